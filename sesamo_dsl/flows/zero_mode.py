"""The zero-mode layer of a flow: it transforms the lattice means by a spline and scales the other modes.

Near a phase transition the lattice mean M of a field is far from Gaussian, and the width of every other mode
depends on M, as the mass in a constraint effective potential does. For component c, in units of the base's
widths, the layer is

    M_c ──spline──▶ M'_c        φ_c(k) ──▶ φ_c(k) exp s_c(k, M'),  k ≠ 0
    s_c(k, M') = Σ_r a_cr(M') / (1 + k̂²/μ_r²),   k̂² = Σ 4 sin²(k/2)

with a network a. The spline acts on M in units of the width of M, the network on M' in units of the field's
width per site, so that neither depends strongly on the volume; the number of weights does not depend on it.
On a graph M is the mean over time at each node, k is a frequency, and all nodes share spline and network.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import GaussianBase
from .spec import FlowSpec

_SCALES = (math.inf, 8.0, 2.0, 0.5, 0.125, 0.03)  # μ_r²: ∞ for one scale of all modes, small for long waves


@dataclass(frozen=True, eq=False)
class ZeroMode:
    """Tables of the layer.

    Attributes
    ----------
    axes
        The axes of the lattice over which the mean is taken: all but the nodes of a graph.
    features
        1/(1 + k̂²/μ_r²), zero at k = 0, (modes, R), modes in the order of ``fftn`` over ``axes``.
    """

    axes: tuple[int, ...]
    features: NDArray[np.float64]

    @classmethod
    def of(cls, spec: FlowSpec, base: GaussianBase) -> ZeroMode | None:
        """The tables for a flow and its base; None if the option or the lattice excludes the layer."""
        if not has_zero_mode_layer(spec, base.shape, base.nodes is not None):
            return None
        axes = _axes(len(base.shape), base.nodes is not None)
        extents = [base.shape[mu] for mu in axes]
        waves = [4 * np.sin(np.pi * np.arange(n) / n) ** 2 for n in extents]
        k2 = sum(np.meshgrid(*waves, indexing="ij"), np.zeros(extents)).reshape(-1, 1)
        return cls(axes, np.where(k2 > 0, 1 / (1 + k2 / np.array(_SCALES)), 0.0))


def _axes(dimensions: int, graph: bool) -> tuple[int, ...]:
    return tuple(range(dimensions - graph))


def has_zero_mode_layer(spec: FlowSpec, shape: Sequence[int], graph: bool) -> bool:
    """True if a flow on this lattice has the layer."""
    return spec.zero_mode and math.prod(shape[mu] for mu in _axes(len(shape), graph)) > 1


def initial_zero_mode_layer(
    spec: FlowSpec, components: int, generator: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Initial weights by name, with which the layer is the identity.

    They are ``zero_mode.spline`` (3·bins − 1, components), and for each layer n of the network
    ``zero_mode.weight.n`` (outputs, inputs) and ``zero_mode.bias.n`` (outputs, 1); the outputs of the last
    layer are the coefficients a_cr, component by component.
    """
    state: dict[str, NDArray[np.float64]] = {"zero_mode.spline": np.zeros((3 * spec.bins - 1, components))}
    widths = [components, *spec.hidden, components * len(_SCALES)]
    for depth, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        bound = 0.0 if depth == len(widths) - 2 else math.sqrt(3 / inputs)
        state[f"zero_mode.weight.{depth}"] = generator.uniform(-bound, bound, (outputs, inputs))
        state[f"zero_mode.bias.{depth}"] = generator.uniform(-bound, bound, (outputs, 1))
    return state
