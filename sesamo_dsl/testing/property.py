"""Properties of compiled theories: a name, a strategy of examples, and residuals against derived tolerances.

A property measures a residual and its tolerance on one example, and holds if ``residual ≤ tolerance``.
Properties about probabilities build an untrained model with random weights: they hold for every model, not
only for a good one. A measurement that is statistical states the probability ``level`` of a false alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from ..ir.rounding import error_bounds
from ..values.precision import Precision
from .subject import Subject

EPS: dict[Precision, float] = {
    "float32": float(np.finfo(np.float32).eps),
    "float64": float(np.finfo(np.float64).eps),
}
JACOBIAN_LIMIT = 512
"""Degrees of freedom up to which a full Jacobian is formed."""


class Measurement(NamedTuple):
    """Residual and tolerance, arrays broadcastable to each other; NaN counts as a failure.

    ``level`` bounds the probability that a true statement fails: 0 unless the measurement is statistical.
    """

    residual: Any
    tolerance: Any
    what: str = ""
    level: float = 0.0

    @property
    def ratio(self) -> float:
        """Largest residual in units of its tolerance, infinite if anything is NaN."""
        return float(np.max(self._ratios(), initial=0.0))

    @property
    def worst(self) -> tuple[float, float]:
        """(residual, tolerance) with the largest ratio."""
        residual, tolerance = np.broadcast_arrays(np.abs(self.residual), self.tolerance)
        if not residual.size:
            return 0.0, 0.0
        place = np.unravel_index(np.argmax(self._ratios()), residual.shape)
        return float(residual[place]), float(tolerance[place])

    def _ratios(self) -> np.ndarray:
        residual, tolerance = np.broadcast_arrays(np.abs(self.residual), self.tolerance)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where((residual == 0) & (tolerance >= 0), 0.0, residual / tolerance)
        return np.where(np.isnan(ratios), np.inf, ratios)


@dataclass(frozen=True)
class Property:
    """A property of compiled theories.

    Attributes
    ----------
    name
        Short identifier.
    statement
        The property as a formula or sentence.
    examples
        The strategy of examples for a subject.
    measure
        The measurements on one example.
    applies
        Whether the property makes sense for a subject.
    count
        Number of examples to try by default.
    """

    name: str
    statement: str
    examples: Callable[[Subject], st.SearchStrategy[Any]]
    measure: Callable[[Subject, Any], Iterator[Measurement]]
    applies: Callable[[Subject], bool] = lambda subject: True
    count: int = 25


def modulated(subject: Subject) -> bool:
    """Whether the theory is modulated with a finite group."""
    return subject.analysis.group.order > 1


def has_slices(subject: Subject) -> bool:
    """Whether the theory is modulated with a Lie group."""
    return bool(subject.analysis.lie_reports)


def action_bound(subject: Subject, function: str, x: np.ndarray, eps: float, index: int = 0) -> np.ndarray:
    """Bound on the rounding error of a program function at unit roundoff ``eps``, rounding of x included."""
    error = eps * len(subject.theory.components) * np.abs(x).max(axis=1, keepdims=True)
    bounds = error_bounds(
        subject.program,
        function,
        x,
        subject.parameters,
        roundoff=eps,
        input_error=np.broadcast_to(error, x.shape),
    )
    return bounds[index]


def largest(values: np.ndarray) -> np.ndarray:
    """Largest absolute value of each configuration, (batch, …) → (batch,)."""
    return np.abs(values).reshape(len(values), -1).max(axis=1, initial=0.0)
