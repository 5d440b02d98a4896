"""Two laws that hold between the points of every scan, each tested by a χ² with all correlations.

*Thermodynamic integration.* log Z(θ') − log Z(θ) = ∫₀¹ f dt with f = −⟨∂S/∂t⟩ on the way θ + t (θ' − θ). The
integral over an interval between neighbours is taken from f and its derivatives at both ends,

    ∫ f ≈ (f₀ + f₁)/2 + (f₀' − f₁')/10 + (f₀'' + f₁'')/120,

which is exact for polynomials up to t⁵ (the two-point Hermite rule; P. J. Davis, P. Rabinowitz, *Methods of
Numerical Integration*, section 2.7). Its error is estimated by the rule of the next order,

    ∫ f ≈ (f₀ + f₁)/2 + 3 (f₀' − f₁')/28 + (f₀'' + f₁'')/84 + (f₀''' − f₁''')/1680,

and added to the statistical one. An interval where it is larger than the statistical one is too wide to test
anything, and is left out.

*Reweighting.* Samples at θ with the weights exp(S_θ − S_θ') are samples at a neighbour θ', and what they say
there, log Z and means, is what is measured there. It is tested where enough of them count.

The residuals of neighbouring intervals share a point, and figures of one point come from the same samples:
χ² = rᵀ C⁻¹ r with the covariance C of all residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import chdtrc

from ..estimates.estimate import Estimate, covariance
from ..values.sheet import Line, row
from .measuring import DERIVATIVES
from .point import ScanPoint, Side, of_neighbour

VIOLATED = 1e-5
"""Probability of a larger χ² below which a law counts as violated."""
LEAST_REACH, FEWEST = 0.05, 100
"""Least ESS of reweighted samples, relative to their number and absolute, at which they test anything."""
_ROUNDING = 1e-10  # relative error below which a number is a constant
_SINGULAR = 1e-10  # of the largest eigenvalue of the correlation matrix: below it is rounding


@dataclass(frozen=True, eq=False)
class Law:
    """A law with its test.

    Attributes
    ----------
    name
        The law in words.
    chi_squared, degrees
        χ² of all residuals that are tested, and their number.
    possible
        Number of residuals there would be if all could be tested.
    residuals
        The deviations that were tested, with their errors, and where each is, in words.
    unexplained
        The estimated error of the quadrature of each residual, which is added to its statistical error,
        (degrees,).
    untested
        Why some residuals are not tested, in words; empty if all are.
    """

    name: str
    chi_squared: float
    degrees: int
    possible: int
    residuals: tuple[tuple[str, Estimate], ...]
    unexplained: np.ndarray
    untested: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        residuals: Sequence[tuple[str, Estimate]],
        unexplained: np.ndarray,
        possible: int,
        untested: str = "",
    ) -> Law:
        """The test of residuals that are zero up to their errors."""
        chi_squared, degrees = _chi_squared([r for _, r in residuals], unexplained)
        return cls(name, chi_squared, degrees, possible, tuple(residuals), unexplained, untested)

    @property
    def per_degree(self) -> float:
        """χ² divided by the number of degrees of freedom; NaN without any."""
        return self.chi_squared / self.degrees if self.degrees else float("nan")

    @property
    def p_value(self) -> float:
        """The probability of a larger χ² by chance; NaN if nothing is tested."""
        return float(chdtrc(self.degrees, self.chi_squared)) if self.degrees else float("nan")

    @property
    def holds(self) -> bool | None:
        """False if the law is violated, None if nothing was tested."""
        return self.p_value >= VIOLATED if self.degrees else None

    @property
    def worst(self) -> tuple[str, float]:
        """Where the largest residual is, and its size in standard errors; empty and NaN without any."""
        scores = [
            (place, residual.value / float(np.hypot(residual.error, extra)))
            for (place, residual), extra in zip(self.residuals, self.unexplained, strict=True)
        ]
        return max(scores, key=lambda pair: abs(pair[1]), default=("", float("nan")))

    @property
    def line(self) -> Line:
        """The test on one line."""
        if not self.degrees:
            return row(self.name, f"not tested: {self.untested or 'there is nothing to compare'}", width=34)
        place, score = self.worst
        cells = [
            f"χ²/dof = {self.chi_squared:.1f}/{self.degrees} = {self.per_degree:.2f}",
            f"p = {self.p_value:.2g}",
            f"worst {place}: {score:+.1f}σ",
        ]
        left_out = self.possible - len(self.residuals)
        if left_out:
            cells.append(f"{left_out} of {self.possible} not tested")
        return row(self.name, *cells, good=None if self.holds else False, width=34)


def laws_of(points: Sequence[ScanPoint]) -> tuple[Law, ...]:
    """The tests of both laws, thermodynamic integration first, for points in the order of the way."""
    return (_integration(points), *_reweighting(points))


def integral(first: ScanPoint, second: ScanPoint) -> tuple[Estimate, float] | None:
    """log Z(second) − log Z(first) by thermodynamic integration, and the estimated error of the rule.

    None if S has no derivative along the way.
    """
    if of_neighbour("next", DERIVATIVES[0]) not in first.names:
        return None
    a0, a1, a2, a3 = (first[of_neighbour("next", name)] for name in DERIVATIVES)
    b0, b1, b2, b3 = (second[of_neighbour("previous", name)] for name in DERIVATIVES)
    b0, b2 = -b0, -b2  # the second point looks back: odd derivatives have the other sign
    ends = (a0 + b0) / 2, a1 - b1, a2 + b2
    rule = ends[0] + ends[1] / 10 + ends[2] / 120
    of_next_order = ends[0].value + 3 * ends[1].value / 28 + ends[2].value / 84 + (a3.value - b3.value) / 1680
    return rule, abs(of_next_order - rule.value)


def _integration(points: Sequence[ScanPoint]) -> Law:
    kept: list[tuple[str, Estimate]] = []
    errors: list[float] = []
    wide, unknown = 0, 0
    for first, second in pairwise(points):
        found = integral(first, second)
        if found is None or not np.isfinite([*found[0], found[1]]).all():
            unknown += 1
            continue
        residual = second["log_z"] - first["log_z"] - found[0]
        if found[1] > residual.error:
            wide += 1
            continue
        kept.append((_between(first, second), residual))
        errors.append(found[1])
    reasons = [f"{unknown} intervals along which S has no derivative"] * bool(unknown)
    if wide:
        reasons.append(f"{wide} intervals too wide for the rule of integration")
    possible = len(points) - 1
    return Law.of("thermodynamic integration", kept, np.array(errors), possible, "; ".join(reasons))


def _reweighting(points: Sequence[ScanPoint]) -> list[Law]:
    laws = []
    for name in points[0].figures:
        if of_neighbour("next", name) not in points[0].names:
            continue
        kept: list[tuple[str, Estimate]] = []
        far = 0
        for first, second in pairwise(points):
            ways: list[tuple[ScanPoint, ScanPoint, Side]]
            ways = [(first, second, "next"), (second, first, "previous")]
            for here, there, side in ways:
                reach = here.reach.get(side, 0.0)
                if reach < LEAST_REACH or reach * here.count < FEWEST:
                    far += 1
                    continue
                residual = here[of_neighbour(side, name)] - there[name]
                size = max(abs(there[name].value), abs(there[name].value + residual.value))
                if np.isfinite([*residual]).all() and residual.error > _ROUNDING * size:
                    kept.append((f"{here.text} → {there.text}", residual))
        reason = f"{far} ways too far for the weights" if far else ""
        law = f"reweighting, {name}"
        laws.append(Law.of(law, kept, np.zeros(len(kept)), 2 * (len(points) - 1), reason))
    return laws


def _between(first: ScanPoint, second: ScanPoint) -> str:
    return f"{first.text} to {second.text}"


def _chi_squared(residuals: Sequence[Estimate], unexplained: np.ndarray) -> tuple[float, int]:
    """rᵀ C⁻¹ r and the rank of C, in which directions that are rounding do not count."""
    if not residuals:
        return float("nan"), 0
    matrix = covariance(residuals) + np.diag(unexplained**2)
    scale = np.sqrt(np.diag(matrix))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    kept = values > _SINGULAR * values.max()
    along = vectors.T @ (np.array([r.value for r in residuals]) / scale)
    return float(np.sum(along[kept] ** 2 / values[kept])), int(kept.sum())
