"""Coverage: a test with configurations from outside a model of whether the model misses a part of exp(−S).

ESS, reverse KL, sector masses and the virial identity are averages over the model's own samples, so a mode
that the model never draws enters none of them. Configurations of another source, such as an annealing, show
such a mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import shown
from ..ir.interpreter import run
from ..values.sheet import Sheet, row
from .agreement import Agreement
from .estimate import SIGMAS, Estimate
from .spectrum import ComparedOperators, Spectrum
from .target_sample import TargetSample
from .weighted import WeightedSamples, observable_names, observable_values

THIN = 3.0
"""Least value of log w − log Z at which a configuration counts as uncovered."""
_THINNEST = 10.0  # largest threshold of log w − log Z, even if the log-weights fluctuate more
_LEAST_MASS = 1e-4  # least uncovered probability that counts as a miss
_LEAST_PART = 0.1  # least forward ESS in units of the ESS of the samples
_FEWEST_SAMPLES = 10  # least number of effective samples at which their ESS means anything
_MOST_SHOWN = 8  # rows of the short table of operators
_FEWEST_CLUSTERS = 3  # least number of independent clusters with uncovered configurations
_EXPECTED_CLUSTERS = 6.3  # expected number of clusters in a region that has so many with a chance of 95 %

Status = Literal["covered", "missed", "unknown"]


@dataclass(frozen=True, eq=False)
class Coverage:
    """Comparison of samples of a model with configurations from outside the model.

    Attributes
    ----------
    origin
        The origin of the configurations from outside, in words.
    forward_ess
        1/(⟨min(w, nZ)⟩_p ⟨1/w⟩_p), the ESS that n samples of the model have, n being the number of samples; 0
        if q = 0 at a configuration. Where w exceeds nZ, n samples have less than one configuration, so that
        such a region costs its probability (:attr:`uncovered`) and no more than n times that in ESS.
    ess, effective
        ESS of the samples, equal to ``forward_ess`` up to fluctuations if nothing is missed; and ESS times
        the number of samples.
    error
        The standard error that the samples claim for log Z.
    log_z
        log Z from the model and from the source; None if the source has no log Z.
    observables, sector_masses
        Expectation values, and probabilities of the sectors of the group if they can be counted.
    uncovered
        P_p[log w − log Z > t], the probability under p of the region in which q is more than e^t times too
        small.
    threshold
        The bound t.
    resolution
        The probability of a region that has enough independent clusters to be seen, with a chance of 95 %.
    configuration
        A configuration of this region, (components, *lattice); None if too few were found.
    doubts
        Reasons to doubt the source; with doubts the comparison proves nothing.
    spectrum
        Operators from the model and from the source, sorted by their deviation, largest first.
    """

    origin: str
    forward_ess: Estimate
    ess: float
    effective: float
    error: float
    log_z: Agreement | None
    observables: tuple[Agreement, ...]
    sector_masses: tuple[Agreement, ...]
    uncovered: Estimate
    threshold: float
    resolution: float
    configuration: np.ndarray | None
    doubts: tuple[str, ...]
    spectrum: Spectrum

    @classmethod
    def of(cls, samples: WeightedSamples, log_q: np.ndarray, outside: TargetSample) -> Coverage:
        """Compare samples with configurations from outside.

        Parameters
        ----------
        samples
            Samples of the model.
        log_q
            log q of the model at the configurations from outside, (n,); NaN counts as q = 0.
        outside
            Configurations of the target.
        """
        log_q = np.where(np.isnan(log_q), -np.inf, log_q.astype(np.float64))
        log_w = -outside.action.astype(np.float64) - log_q
        log_z = samples.log_z if outside.log_z is None else outside.log_z
        threshold = thin_threshold(samples)
        thin = (log_w - log_z.value > threshold) & (outside.weights > 0)
        uncovered = outside.expect(thin.astype(np.float64))
        few = len(np.unique(outside.cluster[thin])) < _FEWEST_CLUSTERS
        configuration = None
        if thin.any() and not few:
            order = np.flatnonzero(thin)[np.argsort(log_w[thin], kind="stable")]
            configuration = outside.x[order[len(order) // 2]]
        program, parameters = samples.program, samples.parameters
        observables = [
            Agreement(
                f"⟨{name}⟩",
                samples.expect(name),
                outside.expect(observable_values(program, parameters, outside.x, name)),
            )
            for name in ("action", *observable_names(program))
        ]
        return cls(
            outside.origin,
            forward_ess(log_w, log_z.value, len(samples), outside),
            samples.ess,
            samples.ess * len(samples),
            samples.log_z.error,
            None if outside.log_z is None else Agreement("log Z", samples.log_z, outside.log_z),
            tuple(observables),
            _sector_masses(samples, outside),
            uncovered,
            threshold,
            _EXPECTED_CLUSTERS / outside.effective_clusters,
            configuration,
            outside.doubts,
            _spectrum(samples, outside),
        )

    @property
    def misses_mass(self) -> bool:
        """True if the uncovered probability is significant, or more than the error that is claimed for log Z.

        Samples that have no part of this probability are off by it in log Z. It is significant above three of
        its errors, and it has to be above ``_LEAST_MASS`` in any case.
        """
        value, error = self.uncovered
        least = max(min(3 * error, self.error), _LEAST_MASS)
        return self.configuration is not None and value > least

    @property
    def lacks_ess(self) -> bool:
        """True if the ESS of the samples is much larger than the forward ESS."""
        value, error = self.forward_ess
        return self.effective >= _FEWEST_SAMPLES and value + SIGMAS * error < _LEAST_PART * self.ess

    @property
    def differing(self) -> tuple[Agreement, ...]:
        """The quantities whose difference is significant."""
        compared = (() if self.log_z is None else (self.log_z,)) + self.observables + self.sector_masses
        return tuple(pair for pair in compared if not pair.agrees) + self.spectrum.differing

    @property
    def status(self) -> Status:
        """``"unknown"`` if there are doubts about the source, else ``"missed"`` or ``"covered"``."""
        if self.doubts:
            return "unknown"
        return "missed" if self.misses_mass or self.lacks_ess or self.differing else "covered"

    @property
    def verdict(self) -> str:
        """The result in one sentence; the remedy for a miss is :data:`REMEDY`."""
        if self.status == "unknown":
            return f"nothing can be said: {self.doubts[0]}"
        if self.status == "covered":
            return f"nothing is missed that configurations from outside can see: {self._limit}"
        found = []
        if self.misses_mass and self.configuration is not None:
            found.append(
                f"{100 * self.uncovered.value:.2g} % of the target's probability lies where the model's "
                f"density is at least e^{self.threshold:.3g} times too small, such as at "
                f"{shown(self.configuration)}"
            )
        if self.lacks_ess:
            theirs = self.forward_ess.value
            found.append(f"the ESS of the samples is {self.ess:.2g}, and {theirs:.2g} under the target")
        for pair in self.differing[:3]:
            found.append(f"{pair.name} differs by {abs(pair.z_score):.1f} standard errors")
        return "; ".join(found)

    @property
    def _limit(self) -> str:
        """The sizes of regions whose absence would be seen, in words."""
        seen = f"regions of more than {100 * max(self.resolution, self.error):.2g} % of the probability"
        if self.error >= self.resolution:
            return seen
        return f"{seen}; the error of log Z, {self.error:.1g}, does not allow for smaller ones"

    def text(self, *, operators: bool = False) -> str:
        """The figures as text; with all ``operators``, or only the most deviating ones if some differ."""
        return self.sheet(operators=operators).text()

    def sheet(self, *, operators: bool = False) -> Sheet:
        """The figures as a sheet, see :meth:`text`."""
        most = None if operators else _MOST_SHOWN
        pairs = (*([] if self.log_z is None else [self.log_z]), *self.observables, *self.sector_masses[:16])
        parts = [
            row("coverage", f"{self.status}, by {self.origin}", good=self.status == "covered"),
            row("forward ESS", str(self.forward_ess), f"(samples {self.ess:.5f})"),
            row("uncovered mass", str(self.uncovered), f"(log w − log Z > {self.threshold:.3g})"),
            *(pair.line for pair in pairs),
            *([self.spectrum.table(most)] if operators or self.spectrum.differing else []),
            self.verdict,
        ]
        return Sheet("Coverage", parts)

    def _repr_html_(self) -> str:
        return self.sheet().html()

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"Coverage({self.status}, uncovered={self.uncovered.value:.3g}, {self.origin})"


NOT_ASKED = "no annealing was made; run.check() makes one"
"""The reason for a missing coverage if no annealing was asked for."""

UNKNOWN_REMEDY = "anneal for longer, run.check(seconds=60), or compare with sd.anneal(theory, seconds=60)"

REMEDY = (
    "take log Z and means from sd.anneal(theory), which has what the model misses; to train for it, begin "
    "wide and learn from the annealing, train(base='standard', reference=sd.anneal(theory)), and for longer"
)


def thin_threshold(samples: WeightedSamples) -> float:
    """The threshold t: ``SIGMAS`` times the rms of log w − log Z under p, but at least 3 and at most 10."""
    kept = np.isfinite(samples.log_weights)
    squares = (samples.log_weights[kept] - samples.log_z.value) ** 2
    return min(max(THIN, SIGMAS * float(np.sqrt(samples.weights[kept] @ squares))), _THINNEST)


def forward_ess(log_w: np.ndarray, log_z: float, count: int, outside: TargetSample) -> Estimate:
    """1/(⟨min(w, nZ)⟩_p ⟨1/w⟩_p) for n = ``count`` samples, with its linearised error; 0 if w is infinite."""
    seen = outside.weights > 0
    if not np.isfinite(log_w[seen]).all():
        return Estimate(0.0, 0.0)
    mean = log_w[seen].mean()
    capped = np.minimum(log_w, log_z + np.log(count))
    with np.errstate(over="ignore", invalid="ignore"):  # ratios that overflow make the ESS 0
        w, inverse = (np.exp(np.where(seen, log_ratio, 0.0)) for log_ratio in (capped - mean, mean - log_w))
        up, down = outside.expect(w).value, outside.expect(inverse).value
        if not np.isfinite(up * down):
            return Estimate(0.0, 0.0)
        ess = 1 / (up * down)
        return Estimate(float(ess), float(ess * outside.expect(w / up + inverse / down).error))


def _sector_masses(samples: WeightedSamples, outside: TargetSample) -> tuple[Agreement, ...]:
    sectors = samples.program.sectors
    if sectors.count == 1 or not sectors.enumerable:
        return ()
    u = sectors.index(run(samples.program, "canonicalize", {"x": outside.x})[1])
    ours = zip(samples.sector_masses, samples.sector_errors, strict=True)
    return tuple(
        Agreement(
            f"mass of sector {sector}",
            Estimate(float(mass), float(error)),
            outside.expect((u == sector).astype(np.float64)),
        )
        for sector, (mass, error) in enumerate(ours)
    )


def _spectrum(samples: WeightedSamples, outside: TargetSample) -> Spectrum:
    compared = ComparedOperators.of(samples.program, samples.parameters)
    ours, theirs = samples.expect_each(compared.values), compared.values(outside.x).T
    rows = [
        Agreement(name, Estimate(value, error), outside.expect(values))
        for name, value, error, values in zip(compared.names, *ours, theirs, strict=True)
    ]
    return Spectrum.of(rows, outside.effective_clusters)
