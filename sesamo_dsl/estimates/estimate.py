"""A number with its statistical error."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

SIGMAS = 5.0
"""Number of standard errors above which a deviation is significant."""


class Estimate(NamedTuple):
    """A value with its standard error, which is NaN if there are too few samples to estimate it."""

    value: float
    error: float

    def __str__(self) -> str:
        digits = 6
        if 0 < self.error < abs(self.value) < np.inf:  # two digits of the error
            digits = max(6, math.floor(math.log10(abs(self.value))) - math.floor(math.log10(self.error)) + 2)
        return f"{self.value:.{digits}g} ± {self.error:.2g}"


def independent_mean(values: np.ndarray) -> Estimate:
    """Mean of independent values, (n,); the error of a single value is NaN, as is the mean of no values."""
    if not len(values):
        return Estimate(np.nan, np.nan)
    with np.errstate(invalid="ignore"):  # infinite values
        error = float(values.std() / np.sqrt(len(values))) if len(values) > 1 else np.nan
        return Estimate(float(values.mean()), error)
