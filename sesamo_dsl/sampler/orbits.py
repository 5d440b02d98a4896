"""Laws p(n|y) of the orientations on the orbits (spheres) of Lie groups, as far as training differentiates.

:class:`sesamo_dsl.laws.orbits.OrbitLaw` draws n and evaluates log p(n|y) in NumPy. Where the exact p(n|y) is
known, the objective integrates n out, and no derivative passes through a draw. This file has the integral
log ∫ exp(−S₁) dn, and the circular spline that is trained where the exact p(n|y) is not known.

=============  ==========================================  ============================================
law            how n is drawn                              how training treats n
=============  ==========================================  ============================================
uniform        uniformly                                   S does not depend on n, or n is part of the noise
von_mises      von Mises–Fisher, for a linear source       −log ∫ in closed form
tabulated      by a table on the circle                    −log ∫ by the trapezoid rule
spline         a circular spline of uniform directions     reparametrised (:mod:`sesamo_dsl.laws.circle`)
=============  ==========================================  ============================================
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..laws.circle import BINS, LIMIT, CircleSpec
from ..laws.orbits import OrbitLaw, circle, polar_quadrature
from .arrays import Array, Arrays, Weights, chosen, layers_of, perceptron, repeated
from .elementwise import bounded, knots, rational_quadratic
from .features import Features
from .group_action import GroupAction


def log_orbit_integral(arrays: Arrays, kappa: Array, dimension: int) -> Array:
    """log ∫ exp(κ n·μ) dn over the unit sphere in N dimensions, differentiable, (batch,).

    (2π)^(N/2) I_(N/2−1)(κ)/κ^(N/2−1) in closed form for N = 2, 3, 4, else by quadrature in the polar angle.
    """
    xp = arrays.xp
    small = kappa < 1e-3
    safe = xp.where(small, xp.ones_like(kappa), kappa)
    if dimension == 2:
        return math.log(2 * math.pi) + xp.log(arrays.i0e(kappa)) + kappa
    if dimension == 3:
        value = safe + xp.log1p(-xp.exp(-2 * safe)) - xp.log(2 * safe)
        return math.log(4 * math.pi) + xp.where(small, kappa**2 / 6, value)
    if dimension == 4:
        value = xp.log(2 * arrays.i1e(safe) / safe) + safe
        return math.log(2 * math.pi**2) + xp.where(small, kappa**2 / 8, value)
    dtype = arrays.dtype_of(kappa)
    cosine, log_weight = (arrays.constant(a[:, None], dtype) for a in polar_quadrature(dimension))
    return arrays.logsumexp(kappa[None] * cosine + log_weight, axis=0)


class CircularSpline:
    """A map of the circle onto itself that may depend on y: uniform unit vectors → unit vectors n."""

    def __init__(self, arrays: Arrays, spec: CircleSpec, dtype: str) -> None:
        self._arrays, self._spec = arrays, spec
        self._features = None if spec.features is None else Features(arrays, spec.features, dtype)

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """See :meth:`CircleSpec.initial_state`."""
        return {f"law.circle.{name}": values for name, values in self._spec.initial_state(seed).items()}

    def sample_and_log_prob(self, weights: Weights, y: Array, uniform: Array) -> tuple[Array, Array]:
        """Uniform unit vectors (batch, 2) → (n, log p(n|y) + log 2π)."""
        xp = self._arrays.xp
        curve, offset = self._curve(weights, y)
        v = xp.atan2(uniform[:, 1], uniform[:, 0])
        image, log_slope = rational_quadratic(self._arrays, curve, v[None], inverse=False)
        theta = image[0] + offset
        return xp.stack([xp.cos(theta), xp.sin(theta)], axis=1), -log_slope[0]

    def log_prob(self, weights: Weights, y: Array, n: Array) -> Array:
        """log p(n|y) + log 2π, (batch,)."""
        xp = self._arrays.xp
        curve, offset = self._curve(weights, y)
        cosine, sine = xp.cos(offset), xp.sin(offset)
        turned = xp.atan2(n[:, 1] * cosine - n[:, 0] * sine, n[:, 0] * cosine + n[:, 1] * sine)
        return rational_quadratic(self._arrays, curve, turned[None], inverse=True)[1][0]

    def _curve(self, weights: Weights, y: Array) -> tuple[Array, Array]:
        """Knots and slopes, (3, BINS + 1, 1, batch), and θ₀, (batch,)."""
        xp = self._arrays.xp
        value = weights["law.circle.spline"] + self._arrays.zeros((1, y.shape[0]), y)
        if self._features is not None:
            seen = self._features(y)[:, :, 0]
            value = value + perceptron(self._arrays, layers_of(weights, "law.circle."), seen)
        inner = bounded(self._arrays, value[:-1, None], LIMIT)
        extents = inner[: 2 * BINS].reshape(2, BINS, *inner.shape[1:])
        slopes = xp.exp(inner[2 * BINS :])
        ends = xp.concat([slopes, slopes[:1]])[None]
        return xp.concat([knots(self._arrays, extents, math.pi), ends]), value[-1]


class Orientations:
    """The orientations of a theory on the orbits of its Lie groups: their law, integrals and rotations."""

    def __init__(self, group: GroupAction, law: OrbitLaw, spline: CircularSpline | None) -> None:
        self._group, self._arrays, self._emitted = group, group.arrays, group.emitted
        self.law, self.spline = law, spline

    @property
    def present(self) -> bool:
        """True if the theory has a slice of a Lie group."""
        return bool(self.law.dimensions)

    @property
    def integrated(self) -> bool:
        """True if the objective integrates n out, by :meth:`free_energy`."""
        return self.law.law in ("von_mises", "tabulated")

    def free_energy(self, y: Array, action: Array) -> Array:
        """−log Σ_u ∫ exp(−S(T_u R(n) y)) dn from S(y) on the slice, (batch,); u = 1 with a linear source."""
        source_free = action - self._emitted["breaking"](y)
        if self.law.law == "von_mises":
            kappa = self.law.strength * self.radii(y)[0]
            return source_free - log_orbit_integral(self._arrays, kappa, self.law.dimensions[0])
        table = self.table(y)
        integral = self._arrays.logsumexp(-table, axis=0) + math.log(2 * math.pi / len(table))
        return source_free - integral

    def radii(self, y: Array) -> tuple[Array, ...]:
        """|c|, the length of the collective vector, for every slice, (batch,) each."""
        radii = self._emitted["radii"](y)
        return radii if isinstance(radii, tuple) else (radii,)

    def table(self, y: Array) -> Array:
        """−log Σ_u exp(−S₁(T_u R(n) y)) for n on the nodes of the circle, (nodes, batch)."""
        xp = self._arrays.xp
        points = circle()
        nodes = self._arrays.constant(points, self._arrays.dtype_of(y))
        nodes = repeated(self._arrays, nodes, y.shape[0])
        turned = self._emitted["rotate"](xp.tile(y, (len(points), *[1] * (y.ndim - 1))), nodes)
        return -self._arrays.logsumexp(-self._group.breaking(turned), axis=0).reshape(len(points), -1)

    def turned(
        self, weights: Weights, y: Array, uniform: list[Array], held: bool = False
    ) -> tuple[list[Array], Array]:
        """Orientations n from uniform directions, and log p(n|y) − log p_uniform(n), (batch,).

        With ``held`` the weights in the density, not in n, are constants.
        """
        if self.spline is None:
            return uniform, self._arrays.zeros((y.shape[0],), y)
        n, log_p = self.spline.sample_and_log_prob(weights, y, uniform[0])
        if held:
            log_p = self.spline.log_prob(self._arrays.detach(weights), y, n)
        return [n], log_p

    def log_prob(self, weights: Weights, y: Array, directions: list[Array]) -> Array:
        """log p(n|y) − log p_uniform(n) of a trained law, (batch,); 0 for all other laws."""
        if self.spline is None:
            return self._arrays.zeros((y.shape[0],), y)
        return self.spline.log_prob(weights, y, directions[0])

    def log_given(self, y: Array, directions: list[Array]) -> Array:
        """The same log p(n|y) as by :meth:`OrbitLaw.log_prob`, differentiable, (batch,)."""
        xp, law = self._arrays.xp, self.law
        if law.law == "von_mises":
            kappa = law.strength * self.radii(y)[0]
            assert law.mean is not None
            mean = self._arrays.constant(law.mean, self._arrays.dtype_of(y))
            source = kappa * (directions[0] * mean).sum(axis=1)
            return source - log_orbit_integral(self._arrays, kappa, law.dimensions[0])
        if law.law != "tabulated":
            return self._arrays.zeros((y.shape[0],), y) - law.log_area
        table = -self.table(y)
        n, nodes = directions[0], len(table)
        turns = xp.atan2(n[:, 1], n[:, 0]) / (2 * math.pi)
        position = nodes * xp.where(turns < 0, turns + 1, turns)
        places = self._arrays.constant(np.arange(1, nodes)[:, None], self._arrays.dtype_of(y))
        segment = (position[None] >= places).sum(axis=0)
        left, right = (chosen(self._arrays, table, k) for k in (segment, (segment + 1) % nodes))
        t, top = position - segment, xp.max(table, axis=0)
        between = xp.log((1 - t) * xp.exp(left - top) + t * xp.exp(right - top)) + top
        return between - self._arrays.logsumexp(table, axis=0) - math.log(2 * math.pi / nodes)

    def rotate(self, y: Array, directions: list[Array]) -> Array:
        """R(n) y for y on the slices."""
        return self._emitted["rotate"](y, *directions)

    def unrotate(self, x: Array) -> tuple[Array, list[Array]]:
        """(y on the slices, directions n) with x = R(n) y."""
        y, *directions = self._emitted["unrotate"](x)
        return y, directions

    def on_slices(self, y: Array) -> tuple[Array, Array, Array]:
        """(y on the slices, auxiliary coordinates a, log Δ + log N(a)).

        The flow draws all components of a field. On a slice c_2 … c_N vanish, and their values in the draw
        are the auxiliary coordinates a, whose density in the target is N(a) = N(0, 1).
        """
        if not self.present:
            return y, self._arrays.zeros((y.shape[0], 0), y), self._arrays.zeros((y.shape[0],), y)
        on_slice, *auxiliary = self._emitted["on_slice"](y)
        total = self._emitted["log_faddeev_popov"](on_slice)
        for a in auxiliary:
            total = total - 0.5 * (a**2 + math.log(2 * math.pi)).sum(axis=1)
        return on_slice, self._arrays.xp.concat(auxiliary, axis=1), total

    def off_slices(self, y: Array, auxiliary: Any) -> Array:
        """The inverse of :meth:`on_slices`."""
        return self._emitted["off_slice"](y, *self.law.split(auxiliary)) if self.present else y
