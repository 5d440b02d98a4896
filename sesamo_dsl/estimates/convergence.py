"""Convergence of Markov chains: rank-normalised split R̂, and effective sample sizes of bulk and tails.

The definitions are those of A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner, Bayesian Anal. 16
(2021) 667; the library arviz-stats computes them.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from ..errors import BackendError

_SHORTEST = 4  # least number of values per chain
_TAIL = (0.05, 0.95)  # the tail ESS is the smaller ESS of these two quantiles


class Convergence(NamedTuple):
    """Agreement of chains about one quantity; NaN if they are too short or a value is not finite.

    Attributes
    ----------
    r_hat
        R̂, the spread of all values divided by the spread within half chains, both of ranks; 1 if all agree.
    bulk_ess, tail_ess
        Number of independent values with the same error of the rank-normalised mean, and of the 5 % and 95 %
        quantiles.
    """

    r_hat: float
    bulk_ess: float
    tail_ess: float

    def __str__(self) -> str:
        return f"R̂ = {self.r_hat:.3f}   ESS {self.bulk_ess:.0f}, tails {self.tail_ess:.0f}"


def convergence(series: np.ndarray) -> Convergence:
    """R̂ and effective sample sizes of a series, (chains, length); R̂ = 1 for a constant series.

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
    parts = series if chains > 1 else series[0, : 2 * half].reshape(2, half)  # R̂ needs two chains
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # constant chains divide by zero
        found = (
            array_stats.rhat(parts, **axes),
            array_stats.ess(series, method="bulk", **axes),
            array_stats.ess(series, method="tail", prob=_TAIL, **axes),
        )
    return Convergence(*(float(np.asarray(value)) for value in found))
