"""One point of a scan: its figures with their joint errors, in few enough numbers to keep them all.

The figures of a point come from the same samples and are correlated. Of the influences of all samples on the
figures, (figures, samples), only a matrix F with the same covariance F Fᵀ is kept, (figures, at most figures
+ 1); rows of F are the influences of as many independent numbers, so that arithmetic with estimates knows the
correlations after the samples are gone, and after a scan was read from a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from ..checks import shown, spelling
from ..errors import OptionError
from ..estimates.estimate import Estimate, Measured
from ..estimates.sources import Independent, digest
from ..values.couplings import couplings_text

Side = Literal["previous", "next"]
"""The neighbour on the way of the scan."""


def of_neighbour(side: Side, name: str) -> str:
    """The name of a figure that is about the way to a neighbour; a colon is in no name of a user."""
    return f"{side}:{name}"


@dataclass(frozen=True, eq=False)
class ScanPoint:
    """The figures of one point of a scan.

    ``point["log_z"]`` is an estimate. Estimates of one point are correlated as their samples say, those of
    different points are independent.

    Attributes
    ----------
    couplings
        The couplings that change in the scan, at this point.
    names
        Names of the figures.
    values
        Their values, (figures,); NaN for what is not known.
    factor
        A matrix F of which F Fᵀ is their covariance, (figures, columns).
    ess
        The ESS of the samples, relative to their number.
    count
        Number of samples.
    steps, seconds
        Length of the training.
    start
        What the training started from, in words.
    coverage
        "covered", "missed" or "unknown" where an annealing was compared with the samples; else empty.
    reach
        For each neighbour the ESS of the samples when they are reweighted to its couplings, relative to
        their number; 0 if the weights have a heavy tail there.
    warnings
        Reasons to doubt the figures.
    directory
        Where the run is kept; empty for one in memory.
    """

    couplings: Mapping[str, float]
    names: tuple[str, ...]
    values: np.ndarray
    factor: np.ndarray
    ess: float
    count: int
    steps: int
    seconds: float
    start: str
    coverage: str
    reach: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    directory: str = ""

    @staticmethod
    def compressed(estimates: Sequence[Measured], rounding: Sequence[float]) -> np.ndarray:
        """The matrix F of estimates from one set of samples, (figures, columns).

        ``rounding`` are errors of the figures by rounding, (figures,), which all come from one number.
        """
        sources = [(key, len(h)) for e in estimates for key, (_, h) in e.influences.items() if len(h) > 1]
        key, size = sources[0] if sources else ("", 1)
        rows = np.zeros((len(estimates), size))
        known = np.zeros(len(estimates), dtype=bool)
        for k, estimate in enumerate(estimates):
            if key in estimate.influences and np.isfinite(estimate.influences[key][1]).all():
                rows[k], known[k] = estimate.influences[key][1], True
        upper = np.asarray(np.linalg.qr(rows.T, mode="r"))
        factor = np.column_stack([upper.T, np.asarray(rounding, dtype=np.float64)])
        return np.where(known[:, None], factor, np.nan)

    @cached_property
    def _source(self) -> Independent:
        return Independent(digest(self.values, self.factor))

    def __getitem__(self, name: str) -> Estimate:
        found = spelling(name) if isinstance(name, str) else ""
        if found not in self.names:
            raise OptionError(
                f"figure of the point {self.text} of a scan",
                expected=f"one of {', '.join(self.figures)}",
                found=shown(name),
                remedy="declare it as an observable of the theory, Theory(observables={…})",
            )
        k = self.names.index(found)
        row = self.factor[k]
        return Estimate.from_samples(self._source, row, float(self.values[k]), float(np.sqrt(row @ row)))

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures of the point itself."""
        return tuple(name for name in self.names if ":" not in name)

    @property
    def text(self) -> str:
        """The couplings of the point as text."""
        return couplings_text(self.couplings)

    def __repr__(self) -> str:
        return f"ScanPoint({self.text}, log_z={self['log_z']}, ess={self.ess:.4f})"
