"""The conditional law p(u|y) = exp ψ(T_u y) / Σ_v exp ψ(T_v y) with a small network ψ in the place of −S₁.

The law depends on T_u y only, so that it is continuous across walls that the group identifies. The inputs of
the network are means over each block of all monomials of the components up to degree 2 and of the pure powers
of degree 3 and 4, centred and scaled to their distribution over the images of the base. If every block has a
table of its own, the mean over all elements and blocks is a second input. ψ starts as the linear function of
the inputs that is closest to −S₁ on the base; the last layer of the network starts at zero.

If the action is invariant under a subgroup H, p(T_h x) = p(x), and p(u|y) has to be the same for u and hu.
The network's law is therefore averaged over the cosets Hu.

If S₁ couples more blocks than a table can hold, the law is `sesamo_dsl.laws.autoregressive`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..flows.base import GaussianBase
from ..ir.facts import Facts
from ..ir.interpreter import run
from ..ir.program import Program
from ..values.couplings import Couplings

HIDDEN = (32, 32)
_DRAWN = 4096  # samples of the base from which the features are scaled
_LEAST = 128  # least number of samples for every image


@dataclass(frozen=True, eq=False)
class FeatureSpec:
    """Means of monomials of the components, centred and scaled.

    Attributes
    ----------
    monomials
        The components that are multiplied in each feature.
    rest
        Axes of (batch, *lattice) that are averaged over: the lattice axes that are not block axes.
    mean, scale
        Mean and standard deviation of each monomial's block means, (features,).
    """

    monomials: tuple[tuple[int, ...], ...]
    rest: tuple[int, ...]
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, program: Program, y: np.ndarray) -> FeatureSpec:
        """Features of a theory, scaled to given configurations, (batch, components, *lattice)."""
        c = len(program.components)
        monomials = (
            *((a,) for a in range(c)),
            *itertools.combinations_with_replacement(range(c), 2),
            *((a,) * n for n in (3, 4) for a in range(c)),
        )
        rest = tuple(mu + 1 for mu in range(len(program.shape)) if mu not in program.block_axes)
        features = cls(monomials, rest, np.zeros(len(monomials)), np.ones(len(monomials)))
        values = features(y).reshape(len(monomials), -1)
        scale = values.std(axis=1)  # zero up to rounding for a component that a slice fixes
        return cls(monomials, rest, values.mean(axis=1), np.where(scale > 1e-6, scale, 1))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """The features of configurations, (batch, components, *lattice) → (features, batch, blocks)."""
        values = np.stack(
            [np.prod([y[:, a] for a in m], axis=0).mean(axis=self.rest) for m in self.monomials]
        )
        own = values.reshape(len(values), len(y), -1)
        return (own - self.mean[:, None, None]) / self.scale[:, None, None]

    def __len__(self) -> int:
        return len(self.monomials)


def drawn(program: Program, base: GaussianBase, strategy: str | None) -> np.ndarray:
    """Samples y of the base, canonicalized unless the strategy is a chart, (batch, components, *lattice)."""
    c = len(program.components)
    y = base.apply(np.random.default_rng(0).normal(size=(_DRAWN, c, *program.shape)))
    if strategy != "chart" or "chart" not in program.functions:
        y = run(program, "canonicalize", {"x": y}, {})[0]
    return y


@dataclass(frozen=True, eq=False)
class ConditionalSpec:
    """Inputs and initial weights of the network ψ of a conditional law, for any framework.

    Attributes
    ----------
    features
        The features that the network takes.
    joint
        True for one distribution over all sectors, False for one over the elements of each block.
    choices
        Number of sectors or elements.
    cosets
        The coset Hu, as numbers of sectors or elements, for every u, (choices, |H|), with H the unbroken
        subgroup; None if H = 1.
    linear
        Initial ψ, a linear function, as weights of the network's inputs, (inputs,).
    """

    features: FeatureSpec
    joint: bool
    choices: int
    n_blocks: int
    cosets: np.ndarray | None
    linear: np.ndarray

    @classmethod
    def of(
        cls,
        program: Program,
        facts: Facts,
        base: GaussianBase,
        strategy: str | None,
        parameters: Couplings,
    ) -> ConditionalSpec:
        """The network for a theory, its features scaled to images T_u y of samples of the base."""
        sectors, table, cosets = program.sectors, facts.table, None
        if facts.surviving is not None and len(facts.surviving) > 1 and not program.block_axes:
            cosets = table[np.array(list(facts.surviving))].T
        elif program.block_axes and sectors.joint and facts.turns_together:
            cosets = np.stack([sectors.index(row[sectors.elements]) for row in table], axis=1)
        images = _images(program, drawn(program, base, strategy))
        features = FeatureSpec.of(program, images)
        linear = _closest(program, features(images), images, parameters)
        if not sectors.joint:
            linear = np.concatenate([linear, np.zeros_like(linear)])
        choices = sectors.count if sectors.joint else sectors.order
        return cls(features, sectors.joint, choices, sectors.n_blocks or 1, cosets, linear)

    @property
    def inputs(self) -> int:
        """Number of inputs: the features of all blocks (joint), or of one block and their mean."""
        return len(self.features) * (self.n_blocks if self.joint else 2)

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """``linear``, (1, inputs), and the weights of the network, see :func:`network_state`."""
        return {"linear": self.linear[None], **network_state([self.inputs, *HIDDEN, 1], seed)}


def _images(program: Program, y: np.ndarray) -> np.ndarray:
    """T_u y of the first y for every sector, or for every element at all blocks alike, (choices·batch, …)."""
    sectors = program.sectors
    elements = sectors.elements if sectors.joint else np.arange(sectors.order)[:, None]
    y = y[: max(_LEAST, len(y) // len(elements))]
    shape = (len(y),) if sectors.n_blocks is None else (len(y), sectors.n_blocks)
    turned = [run(program, "modulate", {"y": y, "u": np.broadcast_to(u, shape)}, {})[0] for u in elements]
    return np.concatenate(turned)


def _closest(program: Program, features: np.ndarray, images: np.ndarray, parameters: Couplings) -> np.ndarray:
    """Least-squares weights of the features for −S₁ up to a function of y; zeros if S₁ has no table."""
    sectors = program.sectors
    choices = sectors.count if sectors.joint else sectors.order
    if sectors.joint:  # the features of all blocks, one after the other
        features = features.swapaxes(1, 2).reshape(-1, len(images), 1)
    name = "breaking" if sectors.joint else "breaking_by_block"
    if name not in program.functions:
        return np.zeros(len(features))
    (breaking,) = run(program, name, {"x": images}, parameters)
    energy = breaking.reshape(choices, -1)
    values = features.reshape(len(features), choices, -1)
    energy, values = energy - energy.mean(axis=0), values - values.mean(axis=1, keepdims=True)
    return np.linalg.lstsq(values.reshape(len(features), -1).T, -energy.ravel(), rcond=1e-6)[0]


def network_state(widths: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """Named weights: ``weight.n`` (outputs, inputs) and ``bias.n`` (outputs, 1); the last layer is zero."""
    generator = np.random.default_rng([seed, 6])
    state: dict[str, np.ndarray] = {}
    for n, (fan_in, outputs) in enumerate(itertools.pairwise(widths)):
        bound = 0.0 if n == len(widths) - 2 else math.sqrt(3 / fan_in)
        state[f"weight.{n}"] = generator.uniform(-bound, bound, (outputs, fan_in))
        state[f"bias.{n}"] = generator.uniform(-bound, bound, (outputs, 1))
    return state
