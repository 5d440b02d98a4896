"""One quantity by two sides, and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .estimate import SIGMAS, Estimate


@dataclass(frozen=True)
class Agreement:
    """One quantity by the model and by the configurations from outside.

    Attributes
    ----------
    name
        What it is.
    model, outside
        Its value by each.
    """

    name: str
    model: Estimate
    outside: Estimate

    @property
    def z_score(self) -> float:
        """The difference in standard errors; 0 where both agree exactly, NaN without an error bar."""
        if self.difference == 0:
            return 0.0
        error = float(np.hypot(self.model.error, self.outside.error))
        return float(np.copysign(np.inf, self.difference)) if error == 0 else self.difference / error

    @property
    def has_errors(self) -> bool:
        """Whether both values have an error bar; that of a single sample is NaN."""
        return not (np.isnan(self.model.error) or np.isnan(self.outside.error))

    @property
    def agrees(self) -> bool:
        """Whether the difference may be an accident, as any is without an error bar; NaN is none."""
        return abs(self.z_score) <= SIGMAS or (bool(np.isfinite(self.difference)) and not self.has_errors)

    @property
    def difference(self) -> float:
        """Of the model from outside."""
        return self.model.value - self.outside.value

    def __str__(self) -> str:
        mark = "" if self.agrees else "   <- differ"
        return f"{self.name:<18} {self.model}   outside {self.outside}   z = {self.z_score:+.1f}{mark}"
