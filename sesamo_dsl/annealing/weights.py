"""Weights of walkers: effective sample sizes, the next temperature, and systematic resampling.

All logarithms and sums are in float64. A log weight of −∞ is a weight of zero.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

_BISECTIONS = 60


def normalized(log_weights: np.ndarray) -> np.ndarray:
    """Weights with sum 1 from log weights, (n,) → (n,)."""
    return np.exp(log_weights - logsumexp(log_weights))


def ess(weights: np.ndarray) -> float:
    """1/Σ W² of normalised weights, between 1 and n."""
    return float(1 / np.sum(weights**2))


def log_increment(log_ratio: np.ndarray, step: float) -> np.ndarray:
    """Δβ (−S − log q₀), (n,); −∞ if S is infinite, even for Δβ = 0."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(log_ratio), -np.inf, step * log_ratio)


def conditional_ess(weights: np.ndarray, log_ratio: np.ndarray, step: float) -> float:
    """(Σ W w)²/(Σ W w²) ∈ [0, 1] of the incremental weights w = exp(Δβ (−S − log q₀)).

    W are the present normalised weights of the walkers, (n,). Y. Zhou, A. M. Johansen, J. A. D. Aston, J.
    Comput. Graph. Stat. 25 (2016) 701. Walkers in a hard wall are omitted, as any step removes them.
    """
    log_w = log_increment(log_ratio, step)
    alive = np.isfinite(log_w) & (weights > 0)
    if not alive.any():
        return 0.0
    w = np.exp(log_w[alive] - log_w[alive].max())
    kept = weights[alive] / weights[alive].sum()
    return float((kept @ w) ** 2 / (kept @ w**2))


def next_step(weights: np.ndarray, log_ratio: np.ndarray, target: float, largest: float) -> float:
    """The largest Δβ ≤ ``largest`` with a conditional ESS of at least ``target``, by bisection."""
    if conditional_ess(weights, log_ratio, largest) >= target:
        return largest
    low, high = 0.0, largest
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if conditional_ess(weights, log_ratio, middle) >= target:
            low = middle
        else:
            high = middle
        if high - low < 1e-3 * low:
            break
    return low if low > 0 else high


def systematic(weights: np.ndarray, uniform: float) -> np.ndarray:
    """Systematic resampling: numbers of the parents in ascending order, (n,), by n equidistant points."""
    cumulative = np.cumsum(weights)
    points = (np.arange(len(weights)) + uniform) / len(weights) * cumulative[-1]
    return np.minimum(np.searchsorted(cumulative, points, side="right"), len(weights) - 1)
