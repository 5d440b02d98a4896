"""Errors from the genealogy of one population: how unequal the offspring of its first walkers are.

Walkers that descend from different ancestors, walkers of the start density, are independent but for
resampling. With W_e the final weight of all descendants of ancestor e (Σ W_e = 1), Σ W_e² − 1/n would be the
relative variance of Z without resampling. Resampling makes the W_e unequal as well, without a matching error
of Z. A. Lee, N. Whiteley, Biometrika 105 (2018) 609 (arXiv 1509.00394) take that out of the estimate for
multinomial resampling, by a factor (n/(n − 1)) for each. In systematic resampling descendants of one ancestor
stay side by side, and the number of children of a block that expects m of them varies only by f(1 − f), with
f the fractional part of m; it is this that is taken out here.
"""

from __future__ import annotations

import numpy as np


def resampling_noise(weights: np.ndarray, ancestors: np.ndarray) -> float:
    """Σ_e f_e (1 − f_e)/n² of one systematic resampling, in Σ W_e².

    Parameters
    ----------
    weights
        Normalised weights before resampling, (n,).
    ancestors
        Number of the ancestor of each walker, (n,).
    """
    expected = len(weights) * np.bincount(ancestors, weights=weights)
    fraction = expected - np.floor(expected)
    return float(np.sum(fraction * (1 - fraction))) / len(weights) ** 2


def log_z_variance(weights: np.ndarray, ancestors: np.ndarray, noise: float) -> float:
    """Relative variance of Z of one population, which is the variance of log Z while it is small.

    Parameters
    ----------
    weights
        Final normalised weights, (n,).
    ancestors
        Number of the ancestor of each walker, (n,).
    noise
        Sum of :func:`resampling_noise`.
    """
    shares = np.bincount(ancestors, weights=weights)
    return max(float(np.sum(shares**2)) - 1 / len(weights) - noise, 0.0)


def mean_variance(values: np.ndarray, weights: np.ndarray, ancestors: np.ndarray) -> float:
    """Σ_e (Σ_(i of e) W_i (f_i − f̄))²: variance of a weighted mean whose terms go together by ancestor.

    H. P. Chan, T. L. Lai, Ann. Statist. 41 (2013) 2877. ``weights`` have sum 1.
    """
    centred = values - weights @ values
    return float(np.sum(np.bincount(ancestors, weights=weights * centred) ** 2))
