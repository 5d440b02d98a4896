"""The conditional law p(u|y) of many coupled blocks: an autoregressive chain and a heat bath of whole rows.

The logits of block b in the chain are a bias, plus fields that the earlier blocks exert on it,

    Σ_(b'<b) J_bb'(u_b, u_b')  and  Σ_(b'<b) K_bb'(u_b, u_b') m_b m_b',

plus a small network, one for all blocks, of these fields, of the sizes m of all blocks, and of invariants of
y at the block and averaged over the blocks. m_b is the size of the mean of y over block b.
The probability of given u takes one pass; drawing u goes through the blocks in turn. K starts from the
coupling of each pair of blocks in S₁ at the base's centre, all other weights start at zero. An open chain of
blocks that are coupled in pairs is represented exactly.

A chain that is trained on its own samples may lose a mode that lies far from the others, for instance if a
whole row of blocks (all time slices of a site) has to change together. The group elements h that act alike on
each row form a group H. If H is small, it is resampled by a heat bath: the chain draws u, and u ↦ hu,

    p(u|y) = Σ_(h ∈ H) p_chain(hu|y) · exp(−S₁(T_u y)) / Σ_(h ∈ H) exp(−S₁(T_hu y)).

If the action is invariant under the diagonal subgroup, which acts on all blocks alike, S₁ is evaluated once
for each of its cosets in H.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from ..flows.base import GaussianBase
from ..ir.facts import Facts
from ..ir.interpreter import run
from ..ir.program import Program
from ..values.couplings import Couplings
from .conditional import HIDDEN, FeatureSpec, drawn, network_state

_BACKGROUNDS = 4  # random elements at the other blocks over which the coupling of a pair is averaged
_EVALUATIONS = 20_000  # most evaluations of S₁; a larger problem starts without couplings
_CHUNK = 512
_TOGETHER = 16  # most elements of H to sum over: the chain and S₁ are evaluated for each


@dataclass(frozen=True, eq=False)
class Together:
    """The group H of elements that act alike on all blocks of a row.

    Attributes
    ----------
    elements
        The elements of H, each as one element for every block, (count, blocks); the first len/shared are
        representatives of the cosets of the diagonal subgroup.
    shared
        Order of the diagonal subgroup if it leaves S₁ invariant, else 1.
    """

    elements: np.ndarray
    shared: int

    @classmethod
    def of(cls, facts: Facts) -> Together | None:
        """The largest group H that is small enough to sum over; None if one row has too many elements."""
        table, exact, shape = facts.table, facts.turns_together, facts.block_shape
        order = len(table)
        every = (
            tuple(n if keep else 1 for n, keep in zip(shape, kept, strict=True))
            for kept in itertools.product((False, True), repeat=len(shape))
        )
        few = [rows for rows in every if order ** math.prod(rows) <= _TOGETHER and rows != shape]
        if not few:
            return None
        rows = max(few, key=math.prod)
        turns = np.array(list(itertools.product(range(order), repeat=math.prod(rows))))
        if exact:  # H = diagonal subgroup × elements that are 1 on the first row
            turns = np.concatenate([table[g][turns[turns[:, 0] == 0]] for g in range(order)])
        row = np.broadcast_to(np.arange(math.prod(rows)).reshape(rows), shape).ravel()
        return cls(turns[:, row], order if exact else 1)

    @property
    def summed(self) -> np.ndarray:
        """The elements h for which S₁ is evaluated, the identity first, (len(elements)/shared, blocks)."""
        return self.elements[: len(self.elements) // self.shared]


@dataclass(frozen=True, eq=False)
class AutoregressiveSpec:
    """Sizes, inputs and initial weights of the network of an autoregressive law, for any framework.

    Attributes
    ----------
    features
        The features of y that the network takes.
    size
        Root mean square of the mean of y over a block, under the base: the unit of m_b.
    together
        The group H of the heat bath; None if the chain alone draws u.
    table
        Multiplication table of the group, (order, order).
    pairs
        Initial K, (order, blocks, order, blocks), zero unless the last index is the earlier block.
    """

    features: FeatureSpec
    order: int
    n_blocks: int
    size: float
    together: Together | None
    table: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(
        cls,
        program: Program,
        facts: Facts,
        base: GaussianBase,
        strategy: str | None,
        parameters: Couplings,
    ) -> AutoregressiveSpec:
        """The network for a theory, its features scaled to samples of the base."""
        blocks, order = program.sectors.n_blocks, program.sectors.order
        assert blocks is not None
        y = drawn(program, base, strategy)
        features = FeatureSpec.of(program, y)
        means = y.mean(axis=tuple(mu + 1 for mu in features.rest))
        size, centre = float(np.sqrt((means**2).sum(axis=1).mean())), float(np.linalg.norm(base.mean))
        pairs = np.zeros((order, blocks, order, blocks))
        if centre > 0.1 * size:
            pairs = _pairs(program, base, parameters) * (size / centre) ** 2
        return cls(features, order, blocks, size, Together.of(facts), facts.table, pairs)

    @property
    def inputs(self) -> int:
        """Number of inputs: features of a block, their mean over the blocks, and two fields per element."""
        return 2 * len(self.features) + 2 * self.order

    @property
    def mask(self) -> np.ndarray:
        """1 where the first block depends on the second, an earlier one, else 0, (blocks, 1, blocks)."""
        return np.tri(self.n_blocks, k=-1)[:, None, :]

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Named weights: of the network; ``coupling``, J and K, (2, order, blocks, order, blocks); ``sizes``.

        ``sizes``, (hidden, b, b'), are the weights of the size m_b' in the first layer of block b.
        """
        state = network_state([self.inputs, *HIDDEN, self.order], seed)
        state["sizes"] = np.zeros((HIDDEN[0], self.n_blocks, self.n_blocks))
        state["coupling"] = np.stack([np.zeros_like(self.pairs), self.pairs])
        return state


def _pairs(program: Program, base: GaussianBase, parameters: Couplings) -> np.ndarray:
    """−S₁ as a function of the elements at two blocks, without the terms that depend on one of them alone.

    It is taken at the base's centre and averaged over a few random elements at all other blocks.
    """
    order, blocks = program.sectors.order, program.sectors.n_blocks
    assert blocks is not None
    pairs = np.zeros((order, blocks, order, blocks))
    where = list(itertools.combinations(range(blocks), 2))
    elements = list(itertools.product(range(order), repeat=2))
    if len(where) * len(elements) * _BACKGROUNDS > _EVALUATIONS:
        return pairs
    u = np.random.default_rng(0).integers(order, size=(_BACKGROUNDS, blocks))
    u = np.broadcast_to(u, (len(where), order, order, *u.shape)).copy()
    for i, (first, second) in enumerate(where):
        u[i, ..., first] = np.arange(order)[:, None, None]
        u[i, ..., second] = np.arange(order)[None, :, None]
    u = u.reshape(-1, blocks)
    mean = base.mean.reshape(-1, *(1,) * len(base.shape))
    centre = np.broadcast_to(mean, (len(program.components), *program.shape))
    values = []
    for start in range(0, len(u), _CHUNK):
        part = u[start : start + _CHUNK]
        y = np.broadcast_to(centre, (len(part), *centre.shape)).copy()
        (x,) = run(program, "modulate", {"y": y, "u": part}, {})
        values.append(run(program, "breaking", {"x": x}, parameters)[0])
    energy = -np.concatenate(values).reshape(len(where), order, order, _BACKGROUNDS).mean(axis=3)
    energy = energy - energy.mean(axis=1, keepdims=True)
    energy = energy - energy.mean(axis=2, keepdims=True)
    for (first, second), value in zip(where, energy, strict=True):
        pairs[:, second, :, first] = value.T
    return pairs
