"""The result of an annealing: log Z, weighted configurations, and warnings about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from scipy.special import chdtrc, logsumexp

from ..checks import flag
from ..errors import AnnealingError, OptionError
from ..estimates.control import ControlledEstimate, with_control
from ..estimates.estimate import Estimate
from ..estimates.exports import Exports, NamedArrays
from ..estimates.finding import Finding
from ..estimates.identities import Identities
from ..estimates.log_z_derivatives import log_z_derivative
from ..estimates.making import Making
from ..estimates.pareto import HEAVY_TAIL, pareto_tail_index
from ..estimates.reported import Reported
from ..estimates.sources import Clustered, Independent, digest
from ..estimates.target_sample import TargetSample, most_of
from ..estimates.weighted import (
    Observable,
    all_observables,
    observable_names,
    values_of,
    virial_label,
    virial_values,
    warn_of_nan,
)
from ..ir.interpreter import run
from ..ir.program import Program
from ..language.derived import Derived
from ..values.couplings import Couplings, couplings_text
from ..values.sheet import Line, Sheet, Table, row
from . import genealogy
from .options import LEAST_POPULATIONS
from .population import Population

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEWEST_ANCESTORS, _LEAST_ANCESTORS = 20, 0.05  # least number of ancestors, and least part of the walkers
_DISAGREEMENT = 1e-3  # populations disagree if chance gives their scatter with a smaller probability
_LEAST_ACCEPTANCE, _LEAST_CONDITIONAL_ESS = 0.2, 0.5
_LARGE_ERROR = 0.5  # error of log Z above which its linearisation fails
_LARGE_WEIGHT = 5.0  # if all weights are below this multiple of their mean, their tail is harmless


@dataclass(frozen=True, eq=False)
class Annealed(Exports, Reported):
    """Weighted configurations of exp(−S)/Z by sequential Monte Carlo, with log Z.

    Attributes
    ----------
    program, parameters
        The theory and its couplings.
    samples
        Configurations x, (n, components, *lattice), one population after the other.
    log_weights
        Logarithms of the weights, (n,); log Z is the logarithm of the mean weight.
    action
        S(x), (n,).
    population, ancestor
        For each configuration the number of its population, and the number of the walker of q₀ from which it
        descends, (n,) each; numbers of ancestors differ between populations.
    ladder
        The temperatures β, (temperatures,).
    acceptance, conditional_ess
        Smallest values of all populations at each temperature, (temperatures,).
    tail_index
        Pareto k̂ of the incremental weights at each temperature, (temperatures,).
    population_log_z, population_variance
        log Z of each population, and its variance from the genealogy, (populations,).
    walkers
        Number of walkers of a population.
    reached
        The final β; if it is below 1, the configurations are those of γ_β, and log Z is not known.
    undefined
        Fraction of the walkers of q₀ at which S is NaN.
    stopped
        The reason why the work ended early; empty if it did not.
    notes
        Sentences about the annealing that a reader must know.
    declared
        The theory's derived quantities by name.
    making
        Theory, options and software of the annealing; None for that of a run, which keeps them itself.
    """

    program: Program
    parameters: Couplings
    samples: np.ndarray
    log_weights: np.ndarray
    action: np.ndarray
    population: np.ndarray
    ancestor: np.ndarray
    ladder: np.ndarray
    acceptance: np.ndarray
    conditional_ess: np.ndarray
    tail_index: np.ndarray
    population_log_z: np.ndarray
    population_variance: np.ndarray
    walkers: int
    reached: float
    undefined: float
    stopped: str = ""
    notes: tuple[str, ...] = ()
    declared: Mapping[str, Derived] = field(default_factory=dict)
    making: Making | None = None

    @classmethod
    def of(
        cls,
        populations: Sequence[Population],
        program: Program,
        parameters: Couplings,
        constant: float,
        **rest: Any,
    ) -> Annealed:
        """The result of several populations; ``constant`` is the constant of S that the program omits."""
        count = len(populations[0].weights)
        log_z = np.array([p.log_z for p in populations]) - constant
        with np.errstate(divide="ignore"):
            log_weights = [
                z + np.log(count) + np.log(p.weights) for z, p in zip(log_z, populations, strict=True)
            ]
        length = min(len(p.acceptance) for p in populations)
        increments = np.stack([p.log_increments[:length] for p in populations], axis=1)
        return cls(
            program,
            parameters,
            np.concatenate([p.x for p in populations]),
            np.concatenate(log_weights),
            np.concatenate([p.action for p in populations]) + constant,
            np.repeat(np.arange(len(populations)), count),
            np.concatenate([i * count + p.ancestors for i, p in enumerate(populations)]),
            np.array([s.beta for s in populations[0].ladder[:length]]),
            np.fmin.reduce([p.acceptance[:length] for p in populations]),
            np.min([p.conditional_ess[:length] for p in populations], axis=0),
            np.array([_tail_index(row.reshape(-1)) for row in increments]),
            log_z,
            np.array([p.log_z_variance for p in populations]),
            count,
            min(p.beta for p in populations),
            float(np.mean([p.undefined for p in populations])),
            **rest,
        )

    def __len__(self) -> int:
        return len(self.samples)

    def _named_arrays(self) -> NamedArrays:
        return NamedArrays(
            self.program,
            self.parameters,
            ("sample",),
            self.samples,
            {"action": self.action, "population": self.population, "ancestor": self.ancestor},
            all_observables(self.program, self.parameters, self.samples),
            self.log_weights,
            {"log_z": self.log_z, "log_z_error": self.log_z_error, "beta": self.reached},
            "" if self.reached == 1 else f"those of β = {self.reached:.3g}",
        )

    @cached_property
    def weights(self) -> np.ndarray:
        """Weights normalised to sum 1, (n,)."""
        return np.exp(self.log_weights - logsumexp(self.log_weights))

    @property
    def log_z(self) -> float:
        """log of the mean Z of the populations, which is unbiased; NaN if β = 1 was not reached."""
        if self.reached < 1:
            return float("nan")
        return float(logsumexp(self.log_weights) - np.log(len(self)))

    @property
    def log_z_error(self) -> float:
        """Standard error of log Z from the genealogy, or from the scatter if it is significantly larger.

        The genealogy of all walkers is more precise than the scatter of a few populations, if both agree.
        """
        if self.reached < 1:
            return float("nan")
        return self._scatter if self._disagree else self._genealogical

    @property
    def estimate(self) -> Estimate:
        """log Z with its error; arithmetic takes it for independent of the means, which it is not quite."""
        own, error = Independent(f"log Z of {self._source.key}"), self.log_z_error
        return Estimate.from_samples(own, np.array([error]), self.log_z, error)

    @cached_property
    def _source(self) -> Clustered:
        return Clustered(digest(self.samples, self.log_weights), self.ancestor)

    @property
    def _shares(self) -> np.ndarray:
        """Z of each population in units of the mean Z, (populations,)."""
        return np.exp(self.population_log_z - logsumexp(self.population_log_z)) * self.populations

    @property
    def _genealogical(self) -> float:
        return float(np.sqrt(np.sum(self._shares**2 * self.population_variance)) / self.populations)

    @property
    def _scatter(self) -> float:
        """Relative error of the mean Z from the scatter of the populations; NaN for one population."""
        if self.populations < 2:
            return float("nan")
        return float(self._shares.std(ddof=1) / np.sqrt(self.populations))

    @property
    def _disagree(self) -> bool:
        degrees = self.populations - 1
        if degrees < 1 or not self._scatter > self._genealogical:
            return False
        ratio = (self._scatter / self._genealogical) ** 2 if self._genealogical > 0 else np.inf
        return bool(chdtrc(degrees, degrees * ratio) < _DISAGREEMENT)

    @property
    def populations(self) -> int:
        """Number of independent populations."""
        return len(self.population_log_z)

    @cached_property
    def ancestors(self) -> np.ndarray:
        """Number of walkers of q₀ in each population that have descendants with a weight, (populations,)."""
        distinct = np.unique(self.ancestor[self.weights > 0])
        return np.bincount(distinct // self.walkers, minlength=self.populations)

    @property
    def effective_samples(self) -> float:
        """1/Σ_e W_e² with the total weight W_e of all walkers that descend from ancestor e."""
        return float(1 / np.sum(np.bincount(self.ancestor, weights=self.weights) ** 2))

    @cached_property
    def identities(self) -> Identities:
        """Schwinger–Dyson identities, whose mean under exp(−S)/Z is zero, at the configurations."""
        return Identities.at(self.program, self.parameters, self.samples)

    @overload
    def expect(self, observable: Observable, *, control: Literal[False] = False) -> Estimate: ...

    @overload
    def expect(self, observable: Observable, *, control: Literal[True]) -> ControlledEstimate: ...

    def expect(self, observable: Observable, *, control: bool = False) -> Estimate:
        """⟨O⟩ under exp(−S)/Z.

        Parameters
        ----------
        observable
            ``"action"`` or the name of a declared observable; a function of the configurations,
            (n, components, *lattice) → (n,); or its values, one for each configuration.
        control
            True to lower the variance by Schwinger–Dyson identities; see :meth:`.Samples.expect`.
        """
        values = values_of(self.program, self.parameters, self.samples, observable, self.declared)
        warn_of_nan(values, self.weights, observable)
        if not flag(control, "option control"):
            return self._mean(values)
        doubt = "" if self.reached == 1 else f"β = {self.reached:.3g}, where identities of S do not hold"
        _, number = np.unique(self.ancestor, return_inverse=True)  # quarters have no common ancestor
        return ControlledEstimate.of(
            *with_control(values, self.weights, number % 4, self.identities, self._mean, doubt)
        )

    def _mean(self, values: np.ndarray) -> Estimate:
        values = np.where(self.weights > 0, values, 0.0)  # S is infinite in a wall
        mean = float(self.weights @ values)
        variance = genealogy.mean_variance(values, self.weights, self.ancestor)
        influence = self.weights * (values - mean)
        return Estimate.from_samples(self._source, influence, mean, float(np.sqrt(variance)))

    def as_target(self) -> TargetSample:
        """At most :func:`.most_of` configurations of equal weight, drawn by their weights, for a comparison.

        Raises
        ------
        AnnealingError
            If β = 1 was not reached.
        """
        if self.reached < 1:
            raise AnnealingError(
                f"annealing of theory {self.program.theory}",
                expected="configurations of exp(−S)",
                found=f"{self.stopped} at β = {self.reached:.3g}",
                remedy="give it more seconds: run.check(seconds=…), or sd.anneal(…, seconds=…)",
            )
        count = min(most_of(self.samples.shape[1:]), len(self))
        edges = np.cumsum(self.weights) * count
        drawn = np.minimum(np.searchsorted(edges, np.arange(count) + 0.5), len(self) - 1)
        return TargetSample(
            self.samples[drawn],
            self.action[drawn],
            np.full(count, 1 / count),
            self.ancestor[drawn],
            self.estimate,
            f"annealing of {self.populations} × {self.walkers} walkers",
            self.warnings,
        )

    def derived(self, quantity: str | Callable[..., Any], *observables: Observable) -> Estimate:
        """A declared function of expectation values, or ``f(⟨O_1⟩, …)`` of observables as in ``expect``."""
        chosen = Derived.of(quantity, observables, self.declared, self.program.theory)
        values = [values_of(self.program, self.parameters, self.samples, o) for o in chosen.observables]
        return self._mean(chosen.linearised([self._mean(v).value for v in values], values))

    def d_log_z(self, *couplings: Any) -> Estimate:
        """∂ log Z/∂θ by one coupling θ, or ∂² log Z/∂θ∂η by two; see :meth:`.Samples.d_log_z`."""
        return log_z_derivative(self.program, self.parameters, self.samples, couplings, self.derived)

    @cached_property
    def virial(self) -> Estimate:
        """⟨x·∇S⟩ per degree of freedom; 1 under exp(−S)/Z."""
        return self.expect(virial_values(self.program, self.parameters, self.samples))

    @property
    def sector_masses(self) -> tuple[Estimate, ...]:
        """Probability of each sector of the finite group; OptionError if there are too many sectors."""
        sectors = self.program.sectors
        if not sectors.enumerable:
            raise OptionError(
                f"sector masses of theory {self.program.theory}",
                expected="few enough sectors to count the configurations in each",
                found=f"{sectors.order}^{sectors.n_blocks} of them",
                remedy="average what you need with expect",
            )
        u = sectors.index(run(self.program, "canonicalize", {"x": self.samples})[1])
        return tuple(self.expect((u == sector).astype(np.float64)) for sector in range(sectors.count))

    @cached_property
    def findings(self) -> Mapping[str, Finding | None]:
        """What every check has found, by what it is about; None where it found nothing."""
        return {
            "end of the annealing": self._unfinished(),
            "values of S": self._not_finite(),
            "ancestors": self._few_ancestors(),
            "agreement of populations": self._populations_apart(),
            "acceptance": self._rejected(),
            "evenness of the weights": self._uneven(),
            "error of log Z": self._imprecise(),
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the figures, each with its remedy; empty for a sound annealing."""
        return tuple(str(finding) for finding in self.findings.values() if finding is not None)

    def _unfinished(self) -> Finding | None:
        if self.reached < 1:
            return Finding(
                "budget",
                f"{self.stopped} at β = {self.reached:.3g}: these are no configurations of exp(−S), and "
                "log Z is not known",
                "give it more seconds",
            )
        if self.populations < LEAST_POPULATIONS:
            return Finding(
                "budget",
                f"{self.stopped} after {self.populations} population(s): whether populations agree cannot be "
                f"told from fewer than {LEAST_POPULATIONS}",
                "give it more seconds, or fewer walkers",
            )
        return None

    def _not_finite(self) -> Finding | None:
        if self.undefined == 0:
            return None
        return Finding(
            "not finite",
            f"S is not a number at {100 * self.undefined:.2g} % of the start, which counts as a wall",
            "check the action for divisions by zero, overflow and logarithms of negative numbers",
        )

    def _few_ancestors(self) -> Finding | None:
        mean = float(self.ancestors.mean())
        if mean >= max(_FEWEST_ANCESTORS, _LEAST_ANCESTORS * self.walkers):
            return None
        return Finding(
            "few ancestors",
            f"the {self.walkers} walkers of a population descend from {mean:.0f} of the start on average: "
            "errors cannot be told from so few",
            "use more walkers, or more seconds",
        )

    def _populations_apart(self) -> Finding | None:
        if not self._disagree:
            return None
        low, high = self.population_log_z.min(), self.population_log_z.max()
        return Finding(
            "populations disagree",
            f"log Z of the populations lies between {low:.6g} and {high:.6g}, a scatter of "
            f"{self._scatter:.2g} of the mean, while the genealogy predicts {self._genealogical:.2g}: "
            "some populations miss a mode that others have found",
            "use more walkers",
        )

    def _rejected(self) -> Finding | None:
        worst = int(np.argmin(np.nan_to_num(self.acceptance, nan=1.0)))
        if not self.acceptance[worst] < _LEAST_ACCEPTANCE:
            return None
        return Finding(
            "acceptance",
            f"{self.acceptance[worst]:.2g} of the trajectories at β = {self.ladder[worst]:.3g} are accepted: "
            "walkers hardly move there",
            "check the action for kinks and singularities; more walkers help a little",
        )

    def _uneven(self) -> Finding | None:
        worst = int(np.argmin(self.conditional_ess))
        if self.conditional_ess[worst] < _LEAST_CONDITIONAL_ESS:
            return Finding(
                "uneven weights",
                f"the step to β = {self.ladder[worst]:.3g} leaves an ESS of "
                f"{self.conditional_ess[worst]:.2g}: a few walkers have found a mode that the others miss",
                "use more walkers",
            )
        worst = int(np.argmax(self.tail_index))
        if self.tail_index[worst] > HEAVY_TAIL:
            return Finding(
                "heavy tail",
                f"Pareto k̂ = {self.tail_index[worst]:.2f} > {HEAVY_TAIL} at β = {self.ladder[worst]:.3g}: "
                "the largest weights grow so fast that error bars are not to be believed",
                "the start density does not cover exp(−S); use more walkers, and compare",
            )
        return None

    def _imprecise(self) -> Finding | None:
        if not self.log_z_error > _LARGE_ERROR:
            return None
        return Finding(
            "large error",
            f"log Z is known to {self.log_z_error:.2g} only, where errors are no longer small and symmetric",
            "use more walkers, or more seconds",
        )

    @property
    def sheet(self) -> Sheet:
        """The figures and the warnings."""
        known = self.acceptance[np.isfinite(self.acceptance)]
        acceptance = f"{known.mean():.3f}, at least {known.min():.3f}" if len(known) else "unknown"
        ladder = f"{len(self.ladder)}, β from {self.ladder[0]:.3g} to {self.reached:.3g}"
        parts: list[Line | Table] = [
            row("log Z", str(self.estimate)),
            row("walkers", f"{self.populations} populations × {self.walkers}"),
            row("temperatures", ladder),
            row("acceptance", acceptance),
            row("ancestors", f"{self.ancestors.mean():.0f} of {self.walkers}"),
            row("effective samples", f"{self.effective_samples:.0f}"),
            row(virial_label(self.program), str(self.virial)),
        ]
        names = ["action", *observable_names(self.program)]
        parts += [row(f"⟨{name}⟩", str(self.expect(name))) for name in names]
        parts += [row(name, str(self.derived(name))) for name in self.declared]
        sectors = self.program.sectors
        if sectors.count > 1 and sectors.enumerable:
            masses = enumerate(map(str, self.sector_masses[:16]))
            parts.append(
                Table("sector masses", tuple(Line(f"  {u:3d}  {mass}", (str(u), mass)) for u, mass in masses))
            )
        title = f"Annealing of {self.program.theory}   {couplings_text(self.parameters)}"
        return Sheet(title, parts, self.warnings, self.notes, is_examined=True)

    def text(self) -> str:
        """The figures as text."""
        return self.sheet.text()

    def plot(self, observable: Observable | None = None, *, ax: Axes | None = None) -> Figure:
        """A picture of the distribution of an observable, with a band of one standard error.

        Parameters
        ----------
        observable
            As in :meth:`expect`; by default the annealing itself is shown: its ladder, its populations,
            ancestors and mean fields, of which the ladder alone fits into given axes.
        ax
            Axes of matplotlib to draw into; by default a figure is made.
        """
        from ..report.plots import annealed_plot  # matplotlib takes a second to import

        return annealed_plot(self, observable, ax)

    def _repr_html_(self) -> str:
        return self.sheet.html()

    __str__ = text

    def __repr__(self) -> str:
        size = f"{self.populations} × {self.walkers}"
        return f"Annealed({self.program.theory}, log_z={self.estimate}, {size} walkers)"


def _tail_index(log_increments: np.ndarray) -> float:
    """Pareto k̂ of incremental weights; −∞ if no weight is much larger than the mean."""
    finite = log_increments[np.isfinite(log_increments)]
    if not len(finite) or np.exp(finite.max() - logsumexp(finite)) * len(finite) < _LARGE_WEIGHT:
        return -np.inf
    return pareto_tail_index(finite)
