"""Elementwise maps of a coupling: y = x e^s + t, and the rational-quadratic spline of Durkan et al. (2019).

Notation and formulas of the spline are those of arXiv 1906.04032, equations 4 to 8: knots (x^(k), y^(k)),
derivatives δ^(k), and in a bin of width w and height h the mean slope s = h/w and ξ = (x − x^(k))/w.
"""

from __future__ import annotations

import math

from ..flows.architecture import Architecture
from .arrays import Array, Arrays


def bounded(arrays: Arrays, values: Array, limit: float) -> Array:
    """limit · tanh(values/limit), a smooth map into (−limit, limit)."""
    return limit * arrays.xp.tanh(values / limit)


def affine(
    arrays: Arrays, spec: Architecture, parameters: Array, values: Array, inverse: bool
) -> tuple[Array, Array]:
    """y = x exp(s) + t or its inverse, with parameters s and t, (2, entries, batch).

    Values (entries, batch) → (image, log of its derivative). A smooth bound keeps |s| below
    ``spec.max_log_scale``, so that exp cannot overflow.
    """
    log_scale, shift = bounded(arrays, parameters[0], spec.max_log_scale), parameters[1]
    if inverse:
        return (values - shift) * arrays.xp.exp(-log_scale), -log_scale
    return values * arrays.xp.exp(log_scale) + shift, log_scale


def spline(
    arrays: Arrays, spec: Architecture, parameters: Array, values: Array, inverse: bool
) -> tuple[Array, Array]:
    """A monotone spline on [−bound, bound] or its inverse; the identity outside.

    Parameters are the logits of the widths and of the heights of the bins and the log derivatives at the
    inner knots, (3·bins − 1, entries, batch), with batch 1 for one spline for the whole batch. Values
    (entries, batch) → (image, log of its derivative).
    """
    xp = arrays.xp
    inner = bounded(arrays, parameters, spec.max_log_scale)
    extents = inner[: 2 * spec.bins].reshape(2, spec.bins, *inner.shape[1:])
    ends = xp.ones_like(inner[:1])
    slopes = xp.concat([ends, xp.exp(inner[2 * spec.bins :]), ends])
    curve = xp.concat([knots(arrays, extents, spec.bound), slopes[None]])
    inside = xp.abs(values) < spec.bound
    # values outside are evaluated at 0 and the result is discarded: no branch has an infinite gradient
    nothing = xp.zeros_like(values)
    image, log_det = rational_quadratic(arrays, curve, xp.where(inside, values, nothing), inverse)
    return xp.where(inside, image, values), xp.where(inside, log_det, nothing)


def circular_spline(
    arrays: Arrays, spec: Architecture, parameters: Array, values: Array, inverse: bool
) -> tuple[Array, Array]:
    """A monotone spline of the circle [−π, π] onto itself, which takes ±π to ±π, or its inverse.

    Parameters are the logits of the widths and of the heights of the bins and the log derivatives at all
    knots but the last, where it is that of the first, (3·bins, entries, batch). Values (entries, batch) in
    [−π, π] → (image, log of its derivative).
    """
    xp = arrays.xp
    inner = bounded(arrays, parameters, spec.max_log_scale)
    extents = inner[: 2 * spec.bins].reshape(2, spec.bins, *inner.shape[1:])
    slopes = xp.exp(inner[2 * spec.bins :])
    ends = xp.concat([slopes, slopes[:1]])[None]
    return rational_quadratic(arrays, xp.concat([knots(arrays, extents, math.pi), ends]), values, inverse)


def knots(arrays: Arrays, logits: Array, bound: float) -> Array:
    """Increasing knots from −bound to bound; logits of the bin sizes (n, bins, …) → (n, bins + 1, …)."""
    xp = arrays.xp
    fractions = xp.cumulative_sum(arrays.softmax(logits, axis=1), axis=1)[:, :-1]
    zero, one = xp.zeros_like(logits[:, :1]), xp.ones_like(logits[:, :1])
    return bound * (2 * xp.concat([zero, fractions, one], axis=1) - 1)


def rational_quadratic(arrays: Arrays, curve: Array, values: Array, inverse: bool) -> tuple[Array, Array]:
    """The spline through given knots (equations 4 and 5) or its inverse (equations 6 to 8).

    The curve has x, y and δ of all knots, (3, knots, entries, batch or 1). Values (entries, batch) between
    the first and the last knot → (image, log of its derivative).
    """
    xp = arrays.xp
    k = (values >= curve[1 if inverse else 0, 1:-1]).sum(axis=0)
    (x0, x1), (y0, y1), (d0, d1) = xp.take_along_axis(curve, xp.stack([k, k + 1])[None], axis=1)
    w, h = x1 - x0, y1 - y0
    s = h / w
    bend = d0 + d1 - 2 * s
    if inverse:
        rise = values - y0
        a = h * (s - d0) + rise * bend
        b = h * d0 - rise * bend
        # the radicand and b + root are positive and ξ ≤ 1 but for rounding; the clips avoid NaN
        tiny = float(xp.finfo(b.dtype).smallest_normal)
        root = xp.sqrt(xp.clip(b * b + 4 * a * s * rise, tiny, None))
        xi = xp.clip(2 * s * rise / xp.clip(b + root, tiny, None), None, 1.0)
    else:
        xi = (values - x0) / w
    mix = xi * (1 - xi)
    denominator = s + bend * mix
    slope = d1 * xi * xi + 2 * s * mix + d0 * (1 - xi) * (1 - xi)
    log_slope = 2 * xp.log(s / denominator) + xp.log(slope)
    if inverse:
        return x0 + xi * w, -log_slope
    return y0 + h * (s * xi * xi + d0 * mix) / denominator, log_slope
