"""Control variates: an estimate less what is known to be zero, with smaller fluctuations.

⟨O⟩ = ⟨O − c·g⟩ for Schwinger–Dyson identities g, whatever c is. The best c is found by least squares on one
half of the samples and used on the other, and the other way round: it then depends on no value that it is
multiplied with, and no bias comes from it. How many identities are worth their noise is decided in the same
way, by the two quarters of one half for the other half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np

from .estimate import Estimate
from .identities import Identities

_ROWS = 50  # effective samples of a quarter for every coefficient
_LEAST_GAIN = 0.95  # of the variance that is left, or coefficients are not worth their noise
_ROUNDING = 1e-14  # relative error of a mean of equal values
_CUTOFF = 1e-9  # of singular values: identities that are combinations of others


@dataclass(frozen=True)
class Control:
    """What control variates have done for an estimate.

    Attributes
    ----------
    plain
        The estimate without them.
    reduction
        Variance of the plain estimate over that of the controlled one; 1 where they were of no use.
    identities
        Names of the monomials whose identities were used.
    note
        Why there were none, empty if there were some.
    """

    plain: Estimate
    reduction: float
    identities: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        if self.note:
            return f"not controlled: {self.note}"
        return f"variance / {self.reduction:.3g} by {len(self.identities)} identities"


class ControlledEstimate(Estimate):
    """An estimate with control variates; ``control`` says how much they have helped."""

    control: Control

    @classmethod
    def of(cls, estimate: Estimate, control: Control) -> ControlledEstimate:
        """The same with a record of the control."""
        made = cls(*estimate)
        made.control = control
        return made

    def __str__(self) -> str:
        return f"{super().__str__()}   {self.control}"


def combination(
    values: np.ndarray, weights: np.ndarray, quarter: np.ndarray, identities: Identities, plain: Estimate
) -> tuple[np.ndarray, int] | str:
    """Values whose mean is that of O − c·g and their number of identities g, or why there are none.

    Coefficients that are fitted to one half fluctuate with it: what a sample does to the mean by way of them,
    −δc·ḡ of the other half, is part of its value. These parts add up to zero by the normal equations.

    Parameters
    ----------
    values, weights
        O and the weight of each configuration, (n,); weights have sum 1.
    quarter
        0 or 1 of one half, 2 or 3 of the other, (n,); what is in different quarters is independent.
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
    """A few rows with the same scalar products of columns as many."""
    return cast(np.ndarray, np.linalg.qr(rows, mode="r"))


def _fitted(triangles: Sequence[np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Constant and coefficients of the first k identities, and the inverse of the normal matrix."""
    rows = np.concatenate(triangles)
    inverse = np.linalg.pinv(rows[:, : k + 1], rcond=_CUTOFF)
    return inverse @ rows[:, -1], inverse @ inverse.T


def _best_number(one: np.ndarray, other: np.ndarray, most: int) -> int:
    """How many identities lower the variance of either quarter most, with coefficients from the other."""
    numbers = [*(2**i for i in range(most.bit_length()) if 2**i < most), most]
    left = {0: _LEAST_GAIN * (_variance(one, np.zeros(0)) + _variance(other, np.zeros(0)))}
    for k in numbers:
        left[k] = _variance(other, _fitted([one], k)[0][1:]) + _variance(one, _fitted([other], k)[0][1:])
    return min(left, key=left.__getitem__)


def _variance(triangle: np.ndarray, c: np.ndarray) -> float:
    """That of O − c·g, up to a factor."""
    constant, rest = triangle[:, 0], triangle[:, -1] - triangle[:, 1 : len(c) + 1] @ c
    return float(np.sum((rest - constant * (constant @ rest) / (constant @ constant)) ** 2))


AnyEstimate = TypeVar("AnyEstimate", bound=tuple[float, ...])


def with_control(
    values: np.ndarray,
    weights: np.ndarray,
    quarter: np.ndarray,
    identities: Identities,
    estimate: Callable[[np.ndarray], AnyEstimate],
    doubt: str = "",
) -> tuple[AnyEstimate, Control]:
    """⟨O⟩ with control variates where they help, and else the plain estimate with the reason.

    Parameters
    ----------
    values, weights, quarter, identities
        See :func:`combination`.
    estimate
        Mean of values, with its error, the first two numbers, as the configurations are correlated.
    doubt
        Why error bars are not to be believed, empty if they are.
    """
    whole = estimate(values)
    plain = Estimate(*whole[:2])
    found = doubt or combination(values, weights, quarter, identities, plain)
    if isinstance(found, str):
        return whole, Control(plain, 1.0, note=found)
    combined, used = found
    better = estimate(combined)
    reduction = (plain.error / better[1]) ** 2 if better[1] > 0 else np.inf
    if not reduction > 1:
        return whole, Control(plain, 1.0, note=f"{used} identities do not lower the variance")
    return better, Control(plain, float(reduction), identities.names[:used])
