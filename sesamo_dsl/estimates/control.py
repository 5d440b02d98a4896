"""Control variates: an observable minus quantities of mean zero has the same mean and smaller fluctuations.

⟨O⟩ = ⟨O − c·g⟩ for Schwinger–Dyson identities g, which have ⟨g⟩ = 0, and any coefficients c. For each half of
the samples the best c is fitted by least squares to the other half: c is then independent of the values that
it multiplies, and causes no bias. The number of identities is chosen in the same way: each quarter of a half
is controlled with coefficients from the other quarter, and the best number is used for the other half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar, cast

import numpy as np

from .estimate import Estimate, Measured
from .identities import Identities

_ROWS = 50  # least number of effective samples in a quarter per coefficient
_LEAST_GAIN = 0.95  # largest remaining part of the variance with which identities are used
_ROUNDING = 1e-14  # relative error of a mean of equal values
_CUTOFF = 1e-9  # relative cutoff of singular values: smaller ones belong to linearly dependent identities


@dataclass(frozen=True)
class Control:
    """The effect of control variates on an estimate.

    Attributes
    ----------
    plain
        The estimate without control variates.
    reduction
        Variance of the plain estimate divided by the variance of the controlled one; 1 without control.
    identities
        Names of the monomials whose identities were used.
    note
        The reason why no identity was used; empty if identities were used.
    """

    plain: Estimate
    reduction: float
    identities: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        if self.note:
            return f"not controlled: {self.note}"
        return f"variance / {self.reduction:.3g} by {len(self.identities)} identities"


class Controlled(Measured):
    """What an estimate with control variates has beside its numbers: ``control``, their effect."""

    control: Control

    @classmethod
    def of(cls, estimate: Measured, control: Control) -> Self:
        """The estimate with the record of its control variates."""
        made = cls.like(estimate)
        made.control = control
        return made

    def __str__(self) -> str:
        return f"{super().__str__()}   {self.control}"


class ControlledEstimate(Controlled, Estimate):
    """An estimate with control variates; ``control`` has the reduction of the variance."""


def combination(
    values: np.ndarray, weights: np.ndarray, quarter: np.ndarray, identities: Identities, plain: Estimate
) -> tuple[np.ndarray, int] | str:
    """Values with the mean of O − c·g and the number of identities g, or the reason why there are none.

    Coefficients that are fitted to one half fluctuate with it. The first-order effect of a sample on the mean
    through these coefficients, −δc·ḡ with ḡ of the other half, is added to its value, so that the error
    includes it. These terms add up to zero by the normal equations.

    Parameters
    ----------
    values, weights
        O and the weight of each configuration, (n,); weights have sum 1.
    quarter
        Number of the quarter of each configuration, (n,): 0 and 1 are one half, 2 and 3 the other half.
        Configurations in different quarters are independent.
    plain
        ⟨O⟩ without control.
    """
    if identities.obstacle:
        return identities.obstacle
    counted = weights > 0
    if not np.isfinite(values[counted]).all() or not np.isfinite(plain.error):
        return "its values are not finite, or it has no error bar"
    if plain.error <= _ROUNDING * abs(plain.value):
        return "it does not fluctuate"
    parts = [counted & (quarter == q) for q in range(4)]
    least = min(weights[p].sum() ** 2 / np.sum(weights[p] ** 2) if p.any() else 0.0 for p in parts)
    most = min(identities.values.shape[1], int(least / _ROWS))
    if most < 1:
        return f"{4 * least:.0f} effective samples are too few for coefficients"
    rows = np.column_stack([np.ones(len(values)), identities.values[:, :most], np.where(counted, values, 0)])
    size = np.sqrt(np.mean(rows[:, 1:-1] ** 2, axis=0))
    rows[:, 1:-1] /= np.where(size > 0, size, 1.0)
    triangles = [_triangle(weights[p, None] * rows[p]) for p in parts]
    halves = (triangles[:2], triangles[2:])
    used = [_best_number(one, other, most) for one, other in halves]
    if not any(used):
        return f"of {most} identities none lowers the variance"
    fits = [_fitted(half, k) for half, k in zip(halves, used, strict=True)]
    result = rows[:, -1].copy()
    for h, other in ((0, 1), (1, 0)):
        inside, k = parts[2 * h] | parts[2 * h + 1], used[h]
        result[inside] -= rows[inside, 1 : used[other] + 1] @ fits[other][0][1:]
        design = rows[inside, : k + 1]
        outside = parts[2 * other] | parts[2 * other + 1]
        mean = weights[outside] @ rows[outside, : k + 1]
        mean[0] = 0.0  # the constant of the fit is not used
        residual = rows[inside, -1] - design @ fits[h][0]
        result[inside] -= weights[inside] * residual * (design @ (fits[h][1] @ mean))
    return result, max(used)


def _triangle(rows: np.ndarray) -> np.ndarray:
    """The factor R of a QR decomposition: a few rows with the same scalar products of columns."""
    return cast(np.ndarray, np.linalg.qr(rows, mode="r"))


def _fitted(triangles: Sequence[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Constant and coefficients of a fit of O by the first k identities, and the inverse normal matrix."""
    rows = np.concatenate(triangles)
    inverse = np.linalg.pinv(rows[:, : k + 1], rcond=_CUTOFF)
    return inverse @ rows[:, -1], inverse @ inverse.T


def _best_number(one: np.ndarray, other: np.ndarray, most: int) -> int:
    """The number of identities with the least variance of two quarters, each fitted to the other quarter."""
    numbers = [*(2**i for i in range(most.bit_length()) if 2**i < most), most]
    left = {0: _LEAST_GAIN * (_variance(one, np.zeros(0)) + _variance(other, np.zeros(0)))}
    for k in numbers:
        left[k] = _variance(other, _fitted([one], k)[0][1:]) + _variance(one, _fitted([other], k)[0][1:])
    return min(left, key=left.__getitem__)


def _variance(triangle: np.ndarray, c: np.ndarray) -> float:
    """The variance of O − c·g, up to a factor."""
    constant, rest = triangle[:, 0], triangle[:, -1] - triangle[:, 1 : len(c) + 1] @ c
    return float(np.sum((rest - constant * (constant @ rest) / (constant @ constant)) ** 2))


AnyEstimate = TypeVar("AnyEstimate", bound=Measured)


def with_control(
    values: np.ndarray,
    weights: np.ndarray,
    quarter: np.ndarray,
    identities: Identities,
    estimate: Callable[[np.ndarray], AnyEstimate],
    doubt: str = "",
) -> tuple[AnyEstimate, Control]:
    """⟨O⟩ with control variates if they lower the error, else the plain estimate, and the record of both.

    Parameters
    ----------
    values, weights, quarter, identities
        See :func:`combination`.
    estimate
        A function of values, (n,), that returns mean and error, and possibly more numbers; it knows the
        correlation of the configurations.
    doubt
        The reason why error bars are not reliable; empty if they are.
    """
    whole = estimate(values)
    plain = Estimate.like(whole)
    found = doubt or combination(values, weights, quarter, identities, plain)
    if isinstance(found, str):
        return whole, Control(plain, 1.0, note=found)
    combined, used = found
    better = estimate(combined)
    reduction = (plain.error / better.error) ** 2 if better.error > 0 else np.inf
    if not reduction > 1:
        return whole, Control(plain, 1.0, note=f"{used} identities do not lower the variance")
    return better, Control(plain, float(reduction), identities.names[:used])
