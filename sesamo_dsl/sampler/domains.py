"""Domain maps: they take the output x of a flow to a configuration y in the fundamental domain Ω, with q̃(y).

================  =====================================================================================
strategy          y and log q̃(y)
================  =====================================================================================
fold              y is the canonical image of x; log q̃ sums over all pre-images. Exact.
chart             y is a bijection of w onto Ω; log q̃ = log q(w) − log|dy/dw|. Exact.
penalty           y = x; the objective has a penalty outside of Ω, and samples outside of Ω are rejected.
canonicalize      the noise is folded into Ω before the flow, whose output may still lie outside of Ω.
none              y = x on the whole space: no domain, no group, no slices.
================  =====================================================================================

On a slice of a Lie group c_1 > 0, see :mod:`sesamo_dsl.analysis.slices`. With slices every map but ``none``
therefore also maps y to its image with c_1 > 0, and q̃ sums over both signs of c_1. The density of the flow is
evaluated at a point w of the flow's own space: for a chart, the distance of y from a wall may be lost to
rounding. For all other maps w = y.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from ..ir.program import Program
from ..lowering.modulation import preimages
from .arrays import Array, Weights
from .flow import Flow
from .group_action import GroupAction
from .mixture import Mixture
from .objectives import wall_penalty


@dataclass(frozen=True, eq=False)
class Placed:
    """Configurations that a flow drew and a domain map took to the fundamental domain.

    Attributes
    ----------
    y
        Configurations after the domain map, before the slices, (batch, components, *lattice).
    w
        Points at which the density of the flow is evaluated, (batch, components, *lattice).
    log_jacobian
        log|dy/dw|, (batch,).
    log_drawn
        A function that returns log q̃ as accumulated while drawing, (batch,). Where q̃ is a sum, this is the
        term of the one pre-image that was drawn. It is a function because a mixture evaluates all its flows
        for it.
    """

    y: Array
    w: Array
    log_jacobian: Array
    log_drawn: Callable[[], Array]


class DomainMap(ABC):
    """A strategy that takes the output of a flow to the fundamental domain.

    Parameters
    ----------
    oriented
        Whether the theory has slices of Lie groups.
    wall
        Mean and standard deviation of the distance from each wall under the base, for a chart.
    """

    name: ClassVar[str]
    leaky: ClassVar[bool] = False
    """Whether y may lie outside of Ω."""
    has_domain: ClassVar[bool] = True
    """False if y may be any configuration, without group and slices."""

    def __init__(
        self,
        group: GroupAction,
        program: Program,
        dtype: str,
        oriented: bool,
        wall: tuple[Array, ...] | None = None,
    ) -> None:
        self._group, self._arrays, self._emitted = group, group.arrays, group.emitted
        self._oriented = oriented and self.has_domain
        self._preimages = self._arrays.constant(preimages(program, self.name), dtype)
        self._wall = wall

    @property
    def sums(self) -> bool:
        """Whether log q̃ is a sum over several pre-images."""
        return len(self._preimages) > 1

    def place(self, flow: Flow, weights: Weights, z: Array, uniform: Array | None = None) -> Placed:
        """Noise z → configurations y.

        With uniform numbers, (batch,), a mixture draws the flow of each configuration; without them each of
        its flows gets an equal share of the batch.
        """
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
        return self._arrays.zeros((y.shape[0],), y)

    def log_density(self, flow: Flow, weights: Weights, w: Array, log_jacobian: Array) -> Array:
        """log q̃(y) from w and log|dy/dw|, (batch,); if the map folds, a sum over all pre-images of y."""
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
        """The term of the objective that is positive outside of Ω, (batch,); None if y cannot leave Ω."""
        if not self.leaky or self._group.sectors.count == 1:
            return None
        return wall_penalty(self._arrays, self._emitted["facets"](y), height, slope)


class Fold(DomainMap):
    """The output of the flow is folded into Ω."""

    name = "fold"

    def _enter(self, x: Array) -> tuple[Array, Array, Array]:
        w = self._forward(self._emitted["canonicalize"](x)[0])
        return w, w, self._nothing(w)


class Chart(DomainMap):
    """A bijection of the whole space onto Ω; the identity if Ω has no walls."""

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
    """A penalty in the objective keeps the flow in Ω (arXiv 2505.19619)."""

    name = "penalty"
    leaky = True

    def _enter(self, x: Array) -> tuple[Array, Array, Array]:
        w = self._forward(x)
        return w, w, self._nothing(w)


class CanonicalizedNoise(DomainMap):
    """The noise is folded into Ω before the flow: on Ω its density is |G| N(0, 1), elsewhere zero."""

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
        """See :meth:`DomainMap.log_prob`; −∞ if the noise that gives y lies outside of Ω."""
        log_q = super().log_prob(flow, weights, y)
        outside = self.leaked(flow.inverse(weights, y)[0])
        return self._arrays.xp.where(outside, -math.inf, log_q)


class WholeSpace(DomainMap):
    """The output of the flow as it is: no modulation."""

    name = "none"
    has_domain = False

    def _enter(self, x: Array) -> tuple[Array, Array, Array]:
        return x, x, self._nothing(x)


DOMAIN_MAPS: dict[str, type[DomainMap]] = {
    kind.name: kind for kind in (Fold, Chart, Penalty, CanonicalizedNoise, WholeSpace)
}
"""The domain maps by the name of the strategy. A new one also needs its name in
:data:`sesamo_dsl.plan.options.Strategy`, and its pre-images in
:func:`sesamo_dsl.lowering.modulation.preimages`."""
