"""The conditional law of many coupled blocks, p(u|y): a chain, and a heat bath of what turns rows together.

The logits of block b in the chain are a bias, plus fields that the earlier blocks exert on it,

    Σ_(b'<b) J_bb'(u_b, u_b')  and  Σ_(b'<b) K_bb'(u_b, u_b') m_b m_b',

plus a small network, one for all blocks, of these fields, of the sizes m of all blocks, and of invariants of
y at the block and averaged over the blocks. m_b is the size of the mean of y over block b.
Given all u, their probability is one pass; drawing goes through the blocks in turn. K starts from the
coupling of each pair of blocks in S₁ at the base's centre, all else at zero. An open chain of blocks that are
coupled in pairs is represented exactly.

A chain that is trained on its own samples may lose a mode that lies far from the others, as it does where
whole rows of blocks turn together: all time slices of a site, say. Such turns h form a group H, and where H
is small they are left to the heat bath: u is drawn by the chain, and then turned,

    p(u|y) = Σ_(h ∈ H) p_chain(hu|y) · exp(−S₁(T_u y)) / Σ_(h ∈ H) exp(−S₁(T_hu y)).

Where the group that acts at all blocks alike leaves the action as it is, S₁ is evaluated for one h of all
that it takes to each other.
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

_BACKGROUNDS = 4  # random elements at the other blocks, to average the coupling of a pair over
_EVALUATIONS = 20_000  # of S₁ at most; a larger problem starts without couplings
_CHUNK = 512
_TOGETHER = 16  # elements of H at most: the chain is evaluated for each, and S₁


@dataclass(frozen=True, eq=False)
class Together:
    """The group H that turns rows of blocks together.

    Attributes
    ----------
    elements
        Of H, as one element for every block, (count, blocks); first those that are summed over.
    shared
        How many elements of H leave S₁ as it is with each of those: len(elements) is a multiple of it.
    """

    elements: np.ndarray
    shared: int

    @classmethod
    def of(cls, facts: Facts) -> Together | None:
        """The largest such group that there can be a sum over; None if even one row is too much."""
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
        if exact:  # the first row's element is what all rows have in common
            turns = np.concatenate([table[g][turns[turns[:, 0] == 0]] for g in range(order)])
        row = np.broadcast_to(np.arange(math.prod(rows)).reshape(rows), shape).ravel()
        return cls(turns[:, row], order if exact else 1)

    @property
    def summed(self) -> np.ndarray:
        """The elements that are summed over, 1 first, (len(elements)/shared, blocks)."""
        return self.elements[: len(self.elements) // self.shared]


@dataclass(frozen=True, eq=False)
class AutoregressiveSpec:
    """What the network of an autoregressive law is, before any framework.

    Attributes
    ----------
    features
        What the network sees of y.
    size
        Root mean square of the mean of y over a block, under the base: the unit of m_b.
    together
        What turns blocks together; None if the chain draws every block.
    table
        Products of elements, (order, order).
    pairs
        What K starts from, (order, blocks, order, blocks); the block that comes first in the chain is the
        last index, all else is zero.
    """

    features: FeatureSpec
    order: int
    blocks: int
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
        """The network for a theory, scaled to what the base samples."""
        blocks, order = program.sectors.blocks, program.sectors.order
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
        """Features of a block, their mean over the blocks, and the two fields on each element."""
        return 2 * len(self.features) + 2 * self.order

    @property
    def mask(self) -> np.ndarray:
        """1 where a block sees another, (blocks, 1, blocks): only those before it."""
        return np.tri(self.blocks, k=-1)[:, None, :]

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Named weights: of the network; ``coupling``, J and K, (2, order, blocks, order, blocks); ``sizes``.

        ``sizes``, (hidden, blocks, blocks), is what the last block's size adds to the other's first layer.
        """
        state = network_state([self.inputs, *HIDDEN, self.order], seed)
        state["sizes"] = np.zeros((HIDDEN[0], self.blocks, self.blocks))
        state["coupling"] = np.stack([np.zeros_like(self.pairs), self.pairs])
        return state


def _pairs(program: Program, base: GaussianBase, parameters: Couplings) -> np.ndarray:
    """−S₁ as a function of the elements at two blocks, without what depends on one alone.

    At the base's centre; averaged over a few random elements at all other blocks.
    """
    order, blocks = program.sectors.order, program.sectors.blocks
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
