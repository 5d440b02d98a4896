"""The tail index of importance weights, which decides whether their error bars are reliable."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

HEAVY_TAIL = 0.7
"""Largest tail index at which error bars are reliable."""
_LEAST_TAIL = 20  # least number of weights for a fit of the tail index
_LARGE_WEIGHT = 3.0  # if all weights are below this multiple of their mean, their tail is harmless


def pareto_tail_index(log_weights: np.ndarray) -> float:
    """k̂ of Pareto-smoothed importance sampling: the tail index of the largest weights.

    The generalised Pareto distribution is fitted to the excess of the largest min(N/5, 3√N) weights over the
    next largest one. The variance of the weights is finite if k < 1/2, their mean if k < 1; above 0.7 error
    bars are unreliable at any practical N. Sources: A. Vehtari, D. Simpson, A. Gelman, Y. Yao, J. Gabry, JMLR
    25 (2024) 72 (arXiv 1507.02646), with the estimator of J. Zhang, M. A. Stephens, Technometrics 51 (2009)
    316 and the weak prior around 1/2.

    Parameters
    ----------
    log_weights
        Logarithms of the weights, (samples,), −∞ for a weight of zero.

    Returns
    -------
    float
        k̂; −∞ if no tail can be fitted: there are too few weights, or the largest ones are equal.
    """
    ordered = np.sort(log_weights[np.isfinite(log_weights)].astype(np.float64))
    size = int(min(0.2 * len(ordered), 3 * np.sqrt(len(ordered))))
    if size < _LEAST_TAIL:
        return -np.inf
    scaled = np.exp(ordered - ordered[-1])
    excess = scaled[-size:] - scaled[-size - 1]
    quartile = excess[int(size / 4 + 0.5) - 1]
    if quartile <= 0:  # the weights are equal up to rounding
        return -np.inf
    # θ = −k/σ has a posterior on a grid of quantiles; k follows from its mean
    grid = np.arange(1, 31 + int(np.sqrt(size)))
    theta = 1 / excess[-1] + (1 - np.sqrt(len(grid) / (grid - 0.5))) / (3 * quartile)
    shape = np.log1p(-theta[:, None] * excess).mean(axis=1)
    profile = size * (np.log(-theta / shape) - shape - 1)
    posterior = 1 / np.exp(profile - profile[:, None]).sum(axis=1)
    mean = float(theta @ posterior / posterior.sum())
    index = float(np.log1p(-mean * excess).mean())
    return (size * index + 10 * 0.5) / (size + 10)


def harmful_tail_index(log_weights: np.ndarray) -> float | None:
    """k̂ if it is above ``HEAVY_TAIL``, so that error bars are unreliable; else None."""
    largest = float(np.exp(log_weights.max() - logsumexp(log_weights))) * len(log_weights)
    if not largest > _LARGE_WEIGHT:
        return None
    index = pareto_tail_index(log_weights)
    return index if index > HEAVY_TAIL else None
