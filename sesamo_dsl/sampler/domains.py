"""Domain maps: how what a flow draws becomes a configuration y in the fundamental domain, with its density.

================  =====================================================================================
strategy          y and log q̃(y)
================  =====================================================================================
fold              y is the canonical image of x; log q̃ sums over all pre-images. Exact.
chart             y is a bijection of w onto Ω; log q̃ = log q(w) − log|dy/dw|. Exact.
penalty           y = x; the objective punishes y outside of Ω, and what leaks is rejected.
canonicalize      the noise is folded into Ω before the flow; the flow may leave Ω again.
none              y = x on the whole space: no domain, no group, no slices.
================  =====================================================================================

Slices of Lie groups always point forward: with them every map but the last orients y as well, and the density
sums over both orientations. Densities are taken at w and not at y, whose distance from a wall may be lost in
rounding.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..ir.program import Program
from ..lowering.modulation import preimages
from .arrays import Array, Weights
from .flow import Flow, Mixture
from .group_action import GroupAction
from .objectives import wall_penalty


@dataclass(frozen=True, eq=False)
class Placed:
    """Configurations that a flow drew, in the domain.

    Attributes
    ----------
    y
        In the domain, before slices are taken, (batch, components, *lattice).
    w
        Where the flow's density is to be asked for, of the same shape.
    log_jacobian
        log|dy/dw|, (batch,).
    log_drawn
        log q̃ as it was accumulated on the way: that of one pre-image alone, (batch,). A function, as of a
        mixture it takes long and is not always asked for.
    """

    y: Array
    w: Array
    log_jacobian: Array
    log_drawn: Callable[[], Array]


class DomainMap(ABC):
    """A strategy; ``wall`` are the location and width of the base at each wall, for charts."""

    name: ClassVar[str]
    leaky: ClassVar[bool] = False
    """Whether y may lie outside of Ω."""
    has_domain: ClassVar[bool] = True

    def __init__(
        self,
        group: GroupAction,
        program: Program,
        dtype: str,
        oriented: bool,
        wall: tuple[np.ndarray, ...] | None = None,
    ) -> None:
        self._group, self._arrays, self._emitted = group, group.arrays, group.emitted
        self._oriented = oriented and self.has_domain
        self._preimages = self._arrays.constant(preimages(program, self.name), dtype)
        self._wall = None
        if wall is not None:
            self._wall = tuple(self._arrays.constant(values, dtype) for values in wall)

    @property
    def sums(self) -> bool:
        """Whether log q̃ is a sum over several pre-images."""
        return len(self._preimages) > 1

    def place(self, flow: Flow, weights: Weights, z: Array, uniform: Array | None = None) -> Placed:
        """Noise to y. A mixture given uniforms, (batch,), draws its flow; else each has an equal share."""
        if isinstance(flow, Mixture):
            shared = uniform is None
            x = flow.spread(weights, z) if shared else flow.draw(weights, z, uniform)
            y, w, log_jacobian = self._enter(x)
            return Placed(y, w, log_jacobian, lambda: flow.inverse(weights, x)[1] - log_jacobian)
        x, log_q = flow.forward(weights, z)
        y, w, log_jacobian = self._enter(x)
        return Placed(y, w, log_jacobian, lambda: log_q - log_jacobian)

    @abstractmethod
    def _enter(self, x: Array) -> tuple[Array, Array, Array]:
        """(y, w, log|dy/dw|)."""

    def _forward(self, x: Array) -> Array:
        return self._emitted["orient"](x)[0] if self._oriented else x

    def _nothing(self, y: Array) -> Array:
        return self._arrays.zeros((len(y),), y)

    def log_density(self, flow: Flow, weights: Weights, w: Array, log_jacobian: Array) -> Array:
        """log q̃(y), (batch,): of a flow that was folded the sum over all pre-images."""
        if not self.sums:
            return flow.inverse(weights, w)[1] - log_jacobian
        log_q = flow.inverse(weights, self._group.images(w, self._preimages))[1]
        return self._arrays.logsumexp(log_q.reshape(len(self._preimages), -1), axis=0) - log_jacobian

    def log_prob(self, flow: Flow, weights: Weights, y: Array) -> Array:
        """log q̃(y) of given configurations in the domain, (batch,)."""
        return self.log_density(flow, weights, y, self._nothing(y))

    def leaked(self, y: Array) -> Array:
        """Whether y lies outside of Ω, (batch,)."""
        if not self.leaky:
            return self._nothing(y) > 0
        return self._arrays.xp.any(self._emitted["facets"](y) > 0, axis=1)

    def penalty(self, y: Array, height: float, slope: float) -> Array | None:
        """What the objective adds for y outside of Ω, (batch,)."""
        if not self.leaky or self._group.sectors.count == 1:
            return None
        return wall_penalty(self._arrays, self._emitted["facets"](y), height, slope)


class Fold(DomainMap):
    """Every sample is folded into Ω."""

    name = "fold"

    def _enter(self, x: Array) -> tuple[Array, Array, Array]:
        w = self._forward(self._emitted["canonicalize"](x)[0])
        return w, w, self._nothing(w)


class Chart(DomainMap):
    """A bijection of the whole space onto Ω; the identity where there are no walls."""

    name = "chart"

    def _enter(self, x: Array) -> tuple[Array, Array, Array]:
        w = self._forward(x)
        if self._wall is None:
            return w, w, self._nothing(w)
        y, log_jacobian = self._emitted["chart"](w, *self._wall)
        return y, w, log_jacobian

    def log_prob(self, flow: Flow, weights: Weights, y: Array) -> Array:
        """See :meth:`DomainMap.log_prob`."""
        if self._wall is None:
            return super().log_prob(flow, weights, y)
        return self.log_density(flow, weights, *self._emitted["unchart"](y, *self._wall))


class Penalty(DomainMap):
    """The flow learns to stay in Ω (arXiv 2505.19619)."""

    name = "penalty"
    leaky = True

    def _enter(self, x: Array) -> tuple[Array, Array, Array]:
        w = self._forward(x)
        return w, w, self._nothing(w)


class CanonicalizedNoise(DomainMap):
    """The noise is folded into Ω, not the sample: its density is |G| times that of the noise, on Ω alone."""

    name = "canonicalize"
    leaky = True

    def place(self, flow: Flow, weights: Weights, z: Array, uniform: Array | None = None) -> Placed:
        """See :meth:`DomainMap.place`."""
        placed = super().place(flow, weights, self._emitted["canonicalize"](z)[0], uniform)
        return replace(placed, log_drawn=lambda: placed.log_drawn() + self._gain)

    def _enter(self, x: Array) -> tuple[Array, Array, Array]:
        w = self._forward(x)
        return w, w, self._nothing(w)

    @property
    def _gain(self) -> float:
        return math.log(self._group.sectors.count)

    def log_density(self, flow: Flow, weights: Weights, w: Array, log_jacobian: Array) -> Array:
        """See :meth:`DomainMap.log_density`."""
        return super().log_density(flow, weights, w, log_jacobian) + self._gain

    def log_prob(self, flow: Flow, weights: Weights, y: Array) -> Array:
        """See :meth:`DomainMap.log_prob`; −∞ where the noise of y lies outside of Ω."""
        log_q = super().log_prob(flow, weights, y)
        outside = self.leaked(flow.inverse(weights, y)[0])
        return self._arrays.xp.where(outside, -math.inf, log_q)


class WholeSpace(DomainMap):
    """A flow without modulation."""

    name = "none"
    has_domain = False

    def _enter(self, x: Array) -> tuple[Array, Array, Array]:
        return x, x, self._nothing(x)


DOMAIN_MAPS: dict[str, type[DomainMap]] = {
    kind.name: kind for kind in (Fold, Chart, Penalty, CanonicalizedNoise, WholeSpace)
}
"""The domain maps by the name of the strategy; a further one is added here and in
:func:`sesamo_dsl.lowering.modulation.preimages`."""
