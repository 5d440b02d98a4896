"""Errors of means over Markov chains: the Γ-method, which sums the autocorrelation function.

U. Wolff, Comput. Phys. Commun. 156 (2004) 143, hep-lat/0306017, in the library pyerrors.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import BackendError, OptionError
from .control import Controlled
from .estimate import Estimate, Measured
from .sources import Source

SHORTEST = 20
"""Least length of a series whose autocorrelation function can be summed."""


class _MeanAndTime(NamedTuple):
    value: float
    error: float
    tau: float
    tau_error: float


class ChainEstimate(Measured, _MeanAndTime):
    """A mean over a chain with its standard error.

    ``tau`` is the integrated autocorrelation time in units of chain steps, 1/2 for independent values;
    the error is √(2τ) times the naive one. Arithmetic is that of :class:`sesamo_dsl.Estimate`: the error of a
    function comes from the Γ-method for the series of its influences.
    """

    def __str__(self) -> str:
        return f"{Estimate(self.value, self.error)}   τ_int = {self.tau:.2f} ± {self.tau_error:.2f}"


class ControlledChainEstimate(Controlled, ChainEstimate):
    """A mean over a chain with control variates; ``control`` has the reduction of the variance."""


def gamma_method(series: np.ndarray) -> ChainEstimate:
    """Mean of a series, (replicas, length), with error and autocorrelation time by the Γ-method.

    Fluctuations are measured from the mean over all replicas, so that a disagreement of replicas, such as
    chains stuck in different modes, increases the autocorrelation time.

    Raises
    ------
    BackendError
        If pyerrors is not installed.
    OptionError
        If a replica has fewer than 20 values, or a value is not finite.
    """
    replicas, length = series.shape
    if length < SHORTEST or not np.isfinite(series).all():
        raise OptionError(
            "series for the Γ-method",
            expected=f"at least {SHORTEST} finite values in each replica",
            found=f"{length} values" if length < SHORTEST else "NaN or infinity",
            remedy="run a longer chain" if length < SHORTEST else "check the observable at its singularities",
        )
    mean = float(series.mean())
    if np.ptp(series) <= 1e-14 * abs(mean):
        return ChainEstimate(mean, 0.0, 0.5, 0.0)
    try:
        import pyerrors  # takes seconds to import
    except ImportError as error:
        raise BackendError(
            "errors by the Γ-method",
            expected="pyerrors to be installed",
            found=str(error),
            remedy="pip install 'sesamo-dsl[chains]'",
        ) from error
    names = [f"chain|{r}" for r in range(replicas)]
    result = pyerrors.Obs(list(series - mean), names, means=[mean] * replicas)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # log(1) in windows where τ_int is 1/2
        result.gamma_method()
    return ChainEstimate(
        mean, float(result.dvalue), float(result.e_tauint["chain"]), float(result.e_dtauint["chain"])
    )


@dataclass(frozen=True)
class Series(Source):
    """The steps of Markov chains, with influences (replicas, length): the Γ-method gives the variance."""

    def variance(self, influence: np.ndarray) -> float:
        """See :meth:`.Source.variance`."""
        return gamma_method(influence.size * influence).error ** 2
