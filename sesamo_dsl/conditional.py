"""The conditional law p(u|y): a small network of invariants of x.

y is the representative of x in the fundamental domain, hence every function of y is an invariant of x. The
network sees lattice means, in every block, of all monomials of the components up to degree 2 and of the pure
powers of degree 3 and 4, each centred and scaled as it is distributed under the base. Its last layer starts
at zero: a new law is the learned one, which starts at the heat bath of the base's centre.

Where a subgroup H leaves the whole action alone, p(T_h x) = p(x), and p(u|y) has to be the same for u and hu.
The network's own law is therefore averaged over these cosets.

Where S₁ couples more blocks than there can be a table for, the law is that of `sesamo_dsl.autoregressive`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .analysis.result import Analysis
from .flow_spec import GaussianBase
from .ir.interpreter import run
from .ir.program import Program

HIDDEN = (32, 32)
_DRAWN = 4096  # configurations of the base, to scale the features with


@dataclass(frozen=True, eq=False)
class FeatureSpec:
    """Invariants of x: means of monomials of the components of y, centred and scaled.

    Attributes
    ----------
    monomials
        Components that are multiplied in each feature.
    rest
        Axes of (batch, *lattice) that are averaged over: those of the lattice that are not block axes.
    mean, scale
        Of the features under the base, (features,).
    """

    monomials: tuple[tuple[int, ...], ...]
    rest: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, program: Program, y: np.ndarray) -> FeatureSpec:
        """Features of a theory, scaled to how y is distributed, (batch, components, *lattice)."""
        c = len(program.components)
        monomials = (
            *((a,) for a in range(c)),
            *itertools.combinations_with_replacement(range(c), 2),
            *((a,) * n for n in (3, 4) for a in range(c)),
        )
        rest = tuple(mu + 1 for mu in range(len(program.shape)) if mu not in program.blocks)
        values = np.stack([np.prod([y[:, a] for a in m], axis=0).mean(axis=rest) for m in monomials])
        values = values.reshape(len(monomials), -1)
        scale = values.std(axis=1)  # zero, but for rounding, of what is fixed on a slice
        return cls(monomials, rest, values.mean(axis=1), np.where(scale > 1e-6, scale, 1))

    def __len__(self) -> int:
        return len(self.monomials)


def drawn(program: Program, base: GaussianBase, strategy: str | None) -> np.ndarray:
    """What the base samples, in the domain: y, (batch, components, *lattice)."""
    c = len(program.components)
    y = base.apply(np.random.default_rng(0).normal(size=(_DRAWN, c, *program.shape)))
    if strategy != "chart" or "chart" not in program.functions:
        y = run(program, "canonicalize", {"x": y}, {})[0]
    return y


@dataclass(frozen=True, eq=False)
class ConditionalSpec:
    """What the network of a conditional law is, before any framework.

    Attributes
    ----------
    features
        What it sees.
    joint
        Whether there is one distribution over all sectors, rather than one over the elements of each block.
    outputs
        Number of elements or sectors.
    cosets
        Elements or sectors hu for every u, (outputs, |H|), of a subgroup H that survives exactly; None if
        H = 1.
    """

    features: FeatureSpec
    joint: bool
    outputs: int
    blocks: int
    cosets: np.ndarray | None

    @classmethod
    def of(
        cls, program: Program, analysis: Analysis, base: GaussianBase, strategy: str | None
    ) -> ConditionalSpec:
        """The network for a theory, its features scaled to what the base samples."""
        sectors, table, cosets = program.sectors, analysis.group.table, None
        if analysis.surviving is not None and len(analysis.surviving) > 1 and not program.blocks:
            cosets = table[np.array(list(analysis.surviving))].T
        elif program.blocks and sectors.joint and turns_together(analysis):
            cosets = np.stack([sectors.index(row[sectors.elements]) for row in table], axis=1)
        return cls(
            FeatureSpec.of(program, drawn(program, base, strategy)),
            sectors.joint,
            sectors.count if sectors.joint else sectors.order,
            sectors.blocks or 1,
            cosets,
        )

    @property
    def inputs(self) -> int:
        """How many features go into the network: those of all blocks, or of one block and the mean of all."""
        return len(self.features) * (self.blocks if self.joint else 2)

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Named weights of the network, see :func:`network_state`."""
        return network_state([self.inputs, *HIDDEN, self.outputs], seed)


def turns_together(analysis: Analysis) -> bool:
    """Whether the group that acts at all blocks alike leaves the action alone."""
    return analysis.sitewise is not None and analysis.sitewise.diagonal == "exact"


def network_state(widths: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """Named weights: ``weight.n`` (outputs, inputs) and ``bias.n`` (outputs, 1); zeros at the end."""
    generator = np.random.default_rng([seed, 6])
    state: dict[str, np.ndarray] = {}
    for n, (fan_in, outputs) in enumerate(itertools.pairwise(widths)):
        bound = 0.0 if n == len(widths) - 2 else math.sqrt(3 / fan_in)
        state[f"weight.{n}"] = generator.uniform(-bound, bound, (outputs, fan_in))
        state[f"bias.{n}"] = generator.uniform(-bound, bound, (outputs, 1))
    return state
