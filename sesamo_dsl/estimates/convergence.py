"""Convergence of Markov chains: rank-normalised split R̂, and effective sample sizes of bulk and tails.

A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner, Bayesian Anal. 16 (2021) 667, as the library
arviz-stats computes them.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from ..errors import BackendError

_SHORTEST = 4  # values per chain
_TAIL = (0.05, 0.95)  # quantiles of which the tail ESS is the lesser one


class Convergence(NamedTuple):
    """How far chains agree about one quantity; NaN where they are too short to tell.

    Attributes
    ----------
    r_hat
        Spread of all values over the spread within half chains, both by ranks; 1 where all agree.
    bulk_ess, tail_ess
        How many independent values know the middle of the distribution as well, and its 5 % quantiles.
    """

    r_hat: float
    bulk_ess: float
    tail_ess: float

    def __str__(self) -> str:
        return f"R̂ = {self.r_hat:.3f}   ESS {self.bulk_ess:.0f}, tails {self.tail_ess:.0f}"


def convergence(series: np.ndarray) -> Convergence:
    """Of a series, (chains, length); one that never changes anywhere agrees with itself.

    Raises
    ------
    BackendError
        If arviz-stats is not installed.
    """
    chains, length = series.shape
    if length < _SHORTEST or not np.isfinite(series).all():
        return Convergence(np.nan, np.nan, np.nan)
    if np.ptp(series) <= 1e-14 * np.abs(series).max():
        return Convergence(1.0, series.size, series.size)
    try:
        from arviz_stats.base.array import array_stats  # takes seconds to import
    except ImportError as error:
        raise BackendError(
            "convergence of Markov chains",
            expected="arviz-stats to be installed",
            found=str(error),
            remedy="pip install 'sesamo-dsl[chains]'",
        ) from error
    axes: dict[str, Any] = {"chain_axis": 0, "draw_axis": 1}
    half = length // 2
    parts = series if chains > 1 else series[0, : 2 * half].reshape(2, half)  # it takes two chains at least
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # chains that never change divide by zero
        found = (
            array_stats.rhat(parts, **axes),
            array_stats.ess(series, method="bulk", **axes),
            array_stats.ess(series, method="tail", prob=_TAIL, **axes),
        )
    return Convergence(*(float(np.asarray(value)) for value in found))
