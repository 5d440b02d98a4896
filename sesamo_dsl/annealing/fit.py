"""A mixture of Gaussians fitted to weighted walkers by expectation maximisation.

A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39 (1977) 1. A part of the whole covariance is
added to every part, so that no width can collapse.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

_ITERATIONS = 25
_FLOOR = 0.02  # multiple of the whole covariance that is added to the covariance of each part
_WALKERS = 10  # least number of effective walkers per variable and part


class Part(NamedTuple):
    """One Gaussian: weight, mean (n,) and covariance (n, n)."""

    weight: float
    mean: np.ndarray
    covariance: np.ndarray


def fit_mixture(x: np.ndarray, weights: np.ndarray, most: int, rng: np.random.Generator) -> list[Part]:
    """At most ``most`` Gaussians for walkers, (count, n), with normalised weights, (count,).

    The list is empty if there are too few effective walkers for one Gaussian.
    """
    n = x.shape[1]
    count = min(most, int(1 / np.sum(weights**2) / (_WALKERS * n)))
    if count < 1:
        return []
    mean = weights @ x
    whole = ((x - mean).T * weights) @ (x - mean)
    means = _seeds(x, weights, count, whole, rng)
    covariances = np.repeat(whole[None] * count ** (-2 / n), count, axis=0)
    shares = np.full(count, 1 / count)
    for _ in range(_ITERATIONS):
        joint = np.stack([_log_normal(x, m, c) for m, c in zip(means, covariances, strict=True)], axis=1)
        joint += np.log(shares)
        belongs = weights[:, None] * np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        shares = belongs.sum(axis=0) + 1e-12
        means = (belongs.T @ x) / shares[:, None]
        for k in range(count):
            d = x - means[k]
            covariances[k] = (d.T * belongs[:, k]) @ d / shares[k] + _FLOOR * whole
        shares /= shares.sum()
    return [Part(float(w), m, c) for w, m, c in zip(shares, means, covariances, strict=True)]


def _seeds(
    x: np.ndarray, weights: np.ndarray, count: int, whole: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """First means: walkers drawn with their weight times the squared distance to those before (k-means++)."""
    z = solve_triangular(np.linalg.cholesky(whole), x.T, lower=True).T
    chosen = [int(rng.choice(len(x), p=weights / weights.sum()))]
    while len(chosen) < count:
        nearest = np.min([np.sum((z - z[i]) ** 2, axis=1) for i in chosen], axis=0) * weights
        chosen.append(int(rng.choice(len(x), p=nearest / nearest.sum())))
    return x[chosen]


def _log_normal(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    root = np.linalg.cholesky(covariance)
    z = solve_triangular(root, (x - mean).T, lower=True)
    return -0.5 * np.sum(z**2, axis=0) - np.log(np.diagonal(root)).sum()
