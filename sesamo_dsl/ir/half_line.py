"""The quantile chart R → (0, ∞) of the interpreter, in logarithms so that no tail is lost.

In units of the width and measured from the location, the wall of the half-line lies at a = −location/width.
The chart t ↦ v takes the standard normal density to the same density cut off at a,

    Q(v) = Q(a) Q(t),   dv/dt = Q(a) exp((v² − t²)/2),   Q(t) = ∫_t^∞ exp(−s²/2) ds/√2π,

so that the density at the wall stays finite and the chart is the identity where the wall is far away. At
location 0 the chart is y = Φ⁻¹((1 + Φ(z))/2), from the normal to the half-normal density.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

_MEDIAN = -np.log(2)


def half_line(vector: np.ndarray, location: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The chart R → (0, ∞), entry by entry."""
    a, t = -location / width, (vector - location) / width
    above = log_ndtr(-a) + log_ndtr(-t)  # log Q(v)
    below = np.logaddexp(log_ndtr(a), log_ndtr(-a) + log_ndtr(t))  # log Φ(v)
    right = above < _MEDIAN
    v = np.where(right, -ndtri_exp(np.where(right, above, -1)), ndtri_exp(np.where(right, -1, below)))
    return np.maximum(location + width * v, 0)


def half_line_inverse(vector: np.ndarray, location: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The inverse chart (0, ∞) → R; a number that rounding made ≤ 0 counts as the smallest positive one."""
    a, v = -location / width, (vector - location) / width
    above = log_ndtr(-v) - log_ndtr(-a)  # log Q(t)
    gap = np.minimum(log_ndtr(a) - log_ndtr(v), -np.finfo(v.dtype).tiny)
    below = log_ndtr(v) + np.log(-np.expm1(gap)) - log_ndtr(-a)  # log Φ(t)
    right = above < _MEDIAN
    t = np.where(right, -ndtri_exp(np.where(right, above, -1)), ndtri_exp(np.where(right, -1, below)))
    return location + width * t


def half_line_log_slope(vector: np.ndarray, location: np.ndarray, width: np.ndarray) -> np.ndarray:
    """log of the derivative of :func:`half_line` at the same argument."""
    t = (vector - location) / width
    v = (half_line(vector, location, width) - location) / width
    return log_ndtr(location / width) + (v - t) * (v + t) / 2
