"""What configurations from outside say about a model: what it misses, in numbers and by an example.

ESS, reverse KL, sector masses and the virial identity are averages over the model's own samples, and a mode
that it has never drawn enters none of them. Configurations that do not come from the model, such as those of
an annealing, see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import shown
from ..ir.interpreter import run
from .agreement import Agreement
from .estimate import SIGMAS, Estimate
from .spectrum import ComparedOperators, Spectrum
from .target_sample import TargetSample
from .weighted import WeightedSamples, observable_names, observable_values

THIN = 3.0
"""log of how much too small a density is that misses something."""
_THINNEST = 10.0  # log of what is a miss however much the log-weights fluctuate
_LEAST_MASS = 1e-4
_LEAST_PART = 0.1  # of the ESS of the samples, that the forward ESS may be
_FEWEST_SAMPLES = 10  # effective ones whose ESS says something
_MOST_SHOWN = 8  # operators, where the whole table was not asked for
_FEWEST_CLUSTERS = 3  # independent ones that have to be where the model is not

Status = Literal["covered", "missed", "unknown"]


@dataclass(frozen=True, eq=False)
class Coverage:
    """How a model's samples compare with configurations that are not its own.

    Attributes
    ----------
    source
        Where these are from.
    forward_ess
        1/(⟨w⟩_p ⟨1/w⟩_p), the ESS that infinitely many samples of the model would have; 0 where q = 0.
    ess, effective
        That of the samples, which it is equal to where nothing is missed; and times their number.
    log_z
        log Z by the model and by the source, if it has one.
    observables, sector_masses
        Expectation values, and probabilities of the sectors of the group if they can be counted.
    uncovered
        P_p[log w − log Z > t], the probability under p of where the model's density is e^t times too small.
    threshold
        t.
    configuration
        One of these, (components, *lattice); None if there is none.
    doubts
        Reasons not to believe the source: it then proves nothing.
    spectrum
        Operators by the model and by the source, those that differ most first.
    """

    source: str
    forward_ess: Estimate
    ess: float
    effective: float
    log_z: Agreement | None
    observables: tuple[Agreement, ...]
    sector_masses: tuple[Agreement, ...]
    uncovered: Estimate
    threshold: float
    configuration: np.ndarray | None
    doubts: tuple[str, ...]
    spectrum: Spectrum

    @classmethod
    def of(cls, samples: WeightedSamples, log_q: np.ndarray, outside: TargetSample) -> Coverage:
        """Compare.

        Parameters
        ----------
        log_q
            The model's density at the configurations from outside, (n,); NaN counts as zero.
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
            outside.source,
            _forward_ess(log_w, outside),
            samples.ess,
            samples.ess * len(samples),
            None if outside.log_z is None else Agreement("log Z", samples.log_z, outside.log_z),
            tuple(observables),
            _sector_masses(samples, outside),
            uncovered,
            threshold,
            configuration,
            outside.doubts,
            _spectrum(samples, outside),
        )

    @property
    def misses_mass(self) -> bool:
        """Whether there is a part of the target that the model does not reach."""
        value, error = self.uncovered
        return self.configuration is not None and value > max(3 * error, _LEAST_MASS)

    @property
    def lacks_ess(self) -> bool:
        """Whether the samples have a much larger ESS than the target lets them have."""
        value, error = self.forward_ess
        return self.effective >= _FEWEST_SAMPLES and value + SIGMAS * error < _LEAST_PART * self.ess

    @property
    def differing(self) -> tuple[Agreement, ...]:
        """The quantities that differ by more than an accident."""
        compared = (() if self.log_z is None else (self.log_z,)) + self.observables + self.sector_masses
        return tuple(pair for pair in compared if not pair.agrees) + self.spectrum.differing

    @property
    def status(self) -> Status:
        """``"unknown"`` where the source is to be doubted, else whether anything is missed."""
        if self.doubts:
            return "unknown"
        return "missed" if self.misses_mass or self.lacks_ess or self.differing else "covered"

    @property
    def verdict(self) -> str:
        """A sentence that says what was found; what to do is :data:`REMEDY`."""
        if self.status == "unknown":
            return f"nothing can be said: {self.doubts[0]}"
        if self.status == "covered":
            return "nothing is missed that configurations from outside can see"
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

    def text(self, *, operators: bool = False) -> str:
        """The figures as text, with all ``operators``, or those that differ most if any does."""
        most = None if operators else _MOST_SHOWN
        uncovered = f"{self.uncovered}   (log w − log Z > {self.threshold:.3g})"
        lines = [
            f"coverage           {self.status}, by {self.source}",
            f"forward ESS        {self.forward_ess}   (samples {self.ess:.5f})",
            f"uncovered mass     {uncovered}",
            *([] if self.log_z is None else [str(self.log_z)]),
            *map(str, self.observables),
            *map(str, self.sector_masses[:16]),
            *([self.spectrum.text(most)] if operators or self.spectrum.differing else []),
            self.verdict,
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"Coverage({self.status}, uncovered={self.uncovered.value:.3g}, {self.source})"


NOT_ASKED = "no annealing was made; run.check() makes one"
"""Why there is no coverage, where none was asked for."""

UNKNOWN_REMEDY = "anneal for longer, run.check(seconds=60), or compare with sd.anneal(theory, seconds=60)"

REMEDY = (
    "take log Z and means from sd.anneal(theory), which has what the model misses; to train for it, begin "
    "wide and learn from the annealing, train(base='standard', reference=sd.anneal(theory)), and for longer"
)


def thin_threshold(samples: WeightedSamples) -> float:
    """log of how much too small a density is that is no fluctuation of the log-weights."""
    kept = np.isfinite(samples.log_weights)
    squares = (samples.log_weights[kept] - samples.log_z.value) ** 2
    return min(max(THIN, SIGMAS * float(np.sqrt(samples.weights[kept] @ squares))), _THINNEST)


def _forward_ess(log_w: np.ndarray, outside: TargetSample) -> Estimate:
    """1/(⟨w⟩⟨1/w⟩) with its linearised error; 0 where the model has no density at all."""
    seen = outside.weights > 0
    if not np.isfinite(log_w[seen]).all():
        return Estimate(0.0, 0.0)
    relative = np.where(seen, log_w - log_w[seen].mean(), 0.0)
    with np.errstate(over="ignore"):
        w, inverse = np.exp(relative), np.exp(-relative)
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
    ours, theirs = compared.values(samples.x), compared.values(outside.x)
    rows = [
        Agreement(name, samples.expect(ours[:, i]), outside.expect(theirs[:, i]))
        for i, name in enumerate(compared.names)
    ]
    return Spectrum.of(rows, outside.effective_clusters)
