"""Errors from the genealogy of one population, the unequal weights of the descendants of its first walkers.

The ancestors are the walkers drawn from the start density. Walkers with different ancestors are independent
except for resampling. With W_e the final weight of all descendants of ancestor e (Σ W_e = 1), Σ W_e² − 1/n
would be the relative variance of Z without resampling. Resampling makes the W_e unequal as well, without a
corresponding error of Z. For multinomial resampling A. Lee, N. Whiteley, Biometrika 105 (2018) 609 (arXiv
1509.00394) correct the estimate by a factor n/(n − 1) for each resampling. In systematic resampling the
descendants of one ancestor are neighbours, and the number of children of such a block with expected number m
has only the variance f(1 − f), with f the fractional part of m. This variance is subtracted here.
"""

from __future__ import annotations

import numpy as np


def resampling_noise(weights: np.ndarray, ancestors: np.ndarray) -> float:
    """Σ_e f_e (1 − f_e)/n², the contribution of one systematic resampling to Σ W_e².

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
    """Relative variance of Z of one population; if it is small, it is the variance of log Z.

    Parameters
    ----------
    weights
        Final normalised weights, (n,).
    ancestors
        Number of the ancestor of each walker, (n,).
    noise
        Sum of :func:`resampling_noise` over all resamplings.
    """
    shares = np.bincount(ancestors, weights=weights)
    return max(float(np.sum(shares**2)) - 1 / len(weights) - noise, 0.0)


def mean_variance(values: np.ndarray, weights: np.ndarray, ancestors: np.ndarray) -> float:
    """Variance of a weighted mean from the sums over descendants, Σ_e (Σ_(i of e) W_i (f_i − f̄))².

    H. P. Chan, T. L. Lai, Ann. Statist. 41 (2013) 2877.

    Parameters
    ----------
    values, weights, ancestors
        f, weights W with sum 1, and number of the ancestor of each walker, (n,) each.
    """
    centred = values - weights @ values
    return float(np.sum(np.bincount(ancestors, weights=weights * centred) ** 2))
