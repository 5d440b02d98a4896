"""The comparison of one quantity from two sources: a model, and configurations from outside the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..values.sheet import Line, row
from .estimate import SIGMAS, Estimate


@dataclass(frozen=True)
class Agreement:
    """One quantity from samples of a model and from configurations outside the model.

    Attributes
    ----------
    name
        Name of the quantity.
    model, outside
        Its value from each source.
    """

    name: str
    model: Estimate
    outside: Estimate

    @property
    def z_score(self) -> float:
        """The difference in standard errors; 0 if the values are equal, else NaN without an error bar."""
        if self.difference == 0:
            return 0.0
        error = float(np.hypot(self.model.error, self.outside.error))
        return float(np.copysign(np.inf, self.difference)) if error == 0 else self.difference / error

    @property
    def has_errors(self) -> bool:
        """True if both errors are numbers; the error of a single sample is NaN."""
        return not (np.isnan(self.model.error) or np.isnan(self.outside.error))

    @property
    def agrees(self) -> bool:
        """True if the difference is within ``SIGMAS`` errors, or is finite and there is no error bar."""
        return abs(self.z_score) <= SIGMAS or (bool(np.isfinite(self.difference)) and not self.has_errors)

    @property
    def difference(self) -> float:
        """The value of the model minus the value from outside."""
        return self.model.value - self.outside.value

    @property
    def line(self) -> Line:
        """Both values and the difference in standard errors."""
        cells = [str(self.model), f"outside {self.outside}", f"z = {self.z_score:+.1f}"]
        return row(self.name, *cells, *([] if self.agrees else ["<- differ"]), good=self.agrees and None)

    def __str__(self) -> str:
        return self.line.text
