"""The conditional law of many coupled blocks, p(u|y) = ∏_b p(u_b|u_1 … u_(b−1), y).

The logits of block b are a bias, plus fields that the earlier blocks exert on it,

    Σ_(b'<b) J_bb'(u_b, u_b')  and  Σ_(b'<b) K_bb'(u_b, u_b') m_b m_b',

plus a small network, one for all blocks, of these fields and of invariants of y at the block and averaged
over the blocks. m_b is the size of the mean of y over block b. Given all u, their probability is one pass;
drawing goes through the blocks in turn. K starts from the coupling of each pair of blocks in S₁ at the base's
centre, J and the network at zero. An open chain of blocks that are coupled in pairs is represented exactly.

Where the group that acts at all blocks alike leaves the action as it is, u and hu are equally likely. Then
the law is one of the relative elements v_b = u_1⁻¹ u_b, which all hu share, and u_1 is uniform.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .analysis.result import Analysis
from .conditional import HIDDEN, FeatureSpec, drawn, network_state, turns_together
from .flow_spec import GaussianBase
from .ir.interpreter import run
from .ir.program import Program

_BACKGROUNDS = 4  # random elements at the other blocks, to average the coupling of a pair over
_EVALUATIONS = 20_000  # of S₁ at most; a larger problem starts without couplings
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class AutoregressiveSpec:
    """What the network of an autoregressive law is, before any framework.

    Attributes
    ----------
    features
        What the network sees of y.
    size
        Root mean square of the mean of y over a block, under the base: the unit of m_b.
    relative
        u_1⁻¹ u_b for every u_1 and u_b, (order, order), if only relative elements matter; else None.
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
    relative: np.ndarray | None
    table: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(
        cls,
        program: Program,
        analysis: Analysis,
        base: GaussianBase,
        strategy: str | None,
        parameters: Mapping[str, float],
    ) -> AutoregressiveSpec:
        """The network for a theory, scaled to what the base samples."""
        blocks, group = program.sectors.blocks, analysis.group
        assert blocks is not None
        y = drawn(program, base, strategy)
        features = FeatureSpec.of(program, y)
        means = y.mean(axis=tuple(mu + 1 for mu in features.rest))
        size, centre = float(np.sqrt((means**2).sum(axis=1).mean())), float(np.linalg.norm(base.mean))
        pairs = np.zeros((group.order, blocks, group.order, blocks))
        if centre > 0.1 * size:
            pairs = _pairs(program, base, parameters) * (size / centre) ** 2
        return cls(
            features,
            group.order,
            blocks,
            size,
            group.table[group.inverses] if turns_together(analysis) else None,
            group.table,
            pairs,
        )

    @property
    def inputs(self) -> int:
        """Features of a block, their mean over the blocks, and the two fields on each element."""
        return 2 * len(self.features) + 2 * self.order

    @property
    def mask(self) -> np.ndarray:
        """1 where a block sees another, (blocks, 1, blocks): only those before it."""
        return np.tri(self.blocks, k=-1)[:, None, :]

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Named weights: the network's, and ``coupling``, J and K, (2, order, blocks, order, blocks)."""
        state = network_state([self.inputs, *HIDDEN, self.order], seed)
        state["coupling"] = np.stack([np.zeros_like(self.pairs), self.pairs])
        return state


def _pairs(program: Program, base: GaussianBase, parameters: Mapping[str, float]) -> np.ndarray:
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
    centre = np.broadcast_to(
        base.mean.reshape(-1, *(1,) * len(base.shape)), (len(program.components), *program.shape)
    )
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
