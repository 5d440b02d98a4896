"""Several methods on one theory, with the same budget and the same questions asked of each."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from . import checks
from .baselines import BASELINES, BaselineResult, baseline
from .compiled import CompiledTheory, compile
from .errors import BackendError, OptionError, RunError, TrainingDivergedError
from .estimates.chains import Chain
from .estimates.estimate import Estimate
from .estimates.exact import ExactValues, exact_configurations
from .estimates.making import Making
from .estimates.reported import Reported
from .estimates.samples import Samples
from .hamiltonian import hmc
from .landscape.integrability import require_normalizable
from .language.theory import Theory
from .machine.files import write_text
from .plan.decide import asked_in, planned
from .plan.methods import METHODS, method_options
from .plan.options import TrainingFields, TrainingOptions
from .plan.plan import Plan
from .runs import Run, load_run, start
from .runs.declaration import digest
from .runs.store import RECORD
from .values.couplings import Coupling, Couplings, couplings_text, same_couplings
from .values.precision import Precision

_REFERENCE = 20_000  # configurations of the target, where quadrature gives them
_HMC: dict[str, Any] = {"chains": 64, "trajectories": 200, "warm_up": 200}


@dataclass(frozen=True)
class Trial:
    """The figures of one method with one seed; NaN where there is nothing to compare with.

    Attributes
    ----------
    forward_ess, nll
        On configurations of the target: they see missed modes.
    sector_error
        Largest |mass − exact mass| of a sector, masses by importance weights; of finitely many samples it is
        never zero, and the table names the standard error that a mass has by chance.
    log_z
        The method's own estimate, by importance weights.
    kl
        KL(q‖p) with the exact log Z, or with that of the run that covers the target best: with its own, a run
        that misses modes would look better than it is.
    leaked
        Fraction of samples outside of the domain.
    uncovered
        Fraction of the target's configurations where the model's density is zero.
    seconds, steps
        Time of the training with compilation, and how many steps that was; of a method without a training
        the time of everything.
    effective_samples, drawing
        How many independent samples know as much as those that were drawn, and the seconds it took to draw
        them after the training.
    log_z_error
        Standard error of log Z.
    """

    method: str
    seed: int
    ess: float
    forward_ess: float
    kl: float
    nll: float
    sector_error: float
    leaked: float
    uncovered: float
    log_z: float
    seconds: float
    steps: int
    effective_samples: float = float("nan")
    drawing: float = float("nan")
    log_z_error: float = float("nan")


FIGURES = tuple(f.name for f in fields_of(Trial) if f.name not in ("method", "seed"))


@dataclass(frozen=True, eq=False)
class Comparison(Reported):
    """Result of :func:`compare`; print it to see the table.

    Attributes
    ----------
    trials
        One per method and seed, in the order of the methods.
    notes
        For each method, what the reader must know about it.
    truth
        Where the configurations of the target and the exact masses come from.
    making
        Theory, options and software of the comparison.
    """

    theory: str
    parameters: Couplings
    backend: str
    budget: float
    trials: tuple[Trial, ...]
    notes: Mapping[str, tuple[str, ...]]
    truth: str
    making: Making | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(dict.fromkeys(trial.method for trial in self.trials))

    def figure(self, method: str, name: str) -> Estimate:
        """Mean of a figure over the seeds, with its standard error (NaN for a single seed or an infinity)."""
        values = np.array([getattr(t, name) for t in self.trials if t.method == method], dtype=np.float64)
        known = len(values) > 1 and np.isfinite(values).all()
        error = values.std(ddof=1) / np.sqrt(len(values)) if known else np.nan
        return Estimate(float(values.mean()), float(error))

    def rate(self, method: str) -> Estimate:
        """Effective samples per second, training included; mean over the seeds with its standard error."""
        own = [t for t in self.trials if t.method == method]
        rates = np.array([t.effective_samples / (t.seconds + t.drawing) for t in own])
        known = len(rates) > 1 and np.isfinite(rates).all()
        error = rates.std(ddof=1) / np.sqrt(len(rates)) if known else np.nan
        return Estimate(float(rates.mean()), float(error))

    def break_even(self, method: str) -> float:
        """Number of effective samples from which a training has paid, against the best method without one.

        ∞ where the trained model draws them no faster; NaN where there is nothing to compare.
        """
        free = [self.rate(m).value for m in self.methods if m in BASELINES]
        if method in BASELINES or not np.isfinite(free).any():
            return float("nan")
        effective, drawing = (self.figure(method, name).value for name in ("effective_samples", "drawing"))
        saved = 1 / max(np.nanmax(free), 1e-300) - drawing / max(effective, 1e-300)  # seconds per sample
        return float("inf") if saved <= 0 else self.figure(method, "seconds").value / saved

    def text(self) -> str:
        """The table."""
        couplings = couplings_text(self.parameters)
        seeds = len({trial.seed for trial in self.trials})
        header = ["method", "ESS", "forward ESS", "KL(q‖p)", "NLL", "sector error", "leaked", "seconds"]
        header += ["effective/s", "error of log Z", "pays from"]
        rows = [header]
        for method in self.methods:
            shown = {name: self.figure(method, name) for name in FIGURES}
            rows.append(
                [
                    method,
                    _pair(shown["ess"], 4),
                    _pair(shown["forward_ess"], 4),
                    _pair(shown["kl"], 4),
                    _pair(shown["nll"], 4),
                    _pair(shown["sector_error"], 4),
                    _number(shown["leaked"].value, ".1e"),
                    f"{shown['seconds'].value:.1f}",
                    _number(self.rate(method).value, ".3g"),
                    _number(shown["log_z_error"].value, ".1e"),
                    _number(self.break_even(method), ".2g"),
                ]
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
        table = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        return "\n".join(
            [
                f"theory {self.theory}   {couplings}   {self.backend}, {self.budget:g} s for each, "
                f"{seeds} seed{'s' if seeds > 1 else ''}; ± is the error of the mean over seeds",
                *table,
                f"truth: {self.truth}",
                *(f"note: {method}: {note}" for method, notes in self.notes.items() for note in notes),
            ]
        )

    __str__ = text

    def __repr__(self) -> str:
        return f"Comparison({self.theory!r}, {', '.join(self.methods)}, {len(self.trials)} trials)"

    def csv(self) -> str:
        """One line per method and seed."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["method", "seed", *FIGURES])
        for t in self.trials:
            writer.writerow([t.method, t.seed, *(f"{getattr(t, name):.8g}" for name in FIGURES)])
        return stream.getvalue()


def _pair(estimate: Estimate, digits: int) -> str:
    if not np.isfinite(estimate.value):
        return "∞" if np.isposinf(estimate.value) else "—"
    error = f" ± {estimate.error:.{digits}f}" if np.isfinite(estimate.error) else ""
    return f"{estimate.value:.{digits}f}{error}"


def _number(value: float, form: str) -> str:
    if not np.isfinite(value):
        return "∞" if np.isposinf(value) else "—"
    return format(value, form)


def compare(
    theory: Theory | CompiledTheory,
    methods: Sequence[str] = ("ours", "sesamo", "canonicalization", "vmonf", "realnvp", "anneal", "hmc"),
    options: TrainingOptions | Plan | None = None,
    *,
    parameters: Mapping[Any, Coupling] | None = None,
    budget: float = 60.0,
    seeds: int = 3,
    backend: str = "torch",
    precision: Precision | None = None,
    samples: int = 20_000,
    reference: np.ndarray | Chain | None = None,
    directory: str | Path | None = None,
    report: Callable[[Trial], object] = lambda trial: None,
    **fields: Unpack[TrainingFields],
) -> Comparison:
    """Give every method the same time and measure all of them alike.

    Parameters
    ----------
    methods
        Names out of ``sesamo_dsl.plan.methods.METHODS``, which are trained, and out of
        ``sesamo_dsl.baselines.BASELINES``, which need no training.
    options
        What overrides the options of all methods.
    parameters
        Couplings that differ from the theory's defaults.
    budget
        Seconds of each training, or of all that a method without a training does; ``steps=…`` instead gives
        all trainings the same number of steps.
    seeds
        Number of trainings of each method.
    samples
        How many samples each trained model is measured on.
    reference
        Configurations of the target. Default: by quadrature up to two degrees of freedom, else by HMC, which
        needs JAX and blackjax; without them what needs such configurations is left out.
    directory
        Where to keep the runs; by default they are not kept. Those that are there already are gone on with.
    report
        Called with every trial when it is done.
    **fields
        Single fields of :class:`sesamo_dsl.TrainingOptions`, which come before those of ``options``.

    Raises
    ------
    OptionError, ParameterError
        For methods, options or couplings that do not exist or are out of range.
    NotNormalizableError
        If ∫ exp(−S) is found to be infinite at these couplings.
    """
    for name, value, least in (("seeds", seeds, 1), ("samples", samples, 100)):
        checks.integer(value, f"option {name}", least=least, most=10**9, remedy="see compare")
    seeds, samples = int(seeds), int(samples)
    budget = checks.real(budget, "option budget", remedy="see compare")
    named = [methods] if isinstance(methods, str) else checks.listed(methods)
    known = (*METHODS, *BASELINES)
    unknown = [method for method in named or () if not isinstance(method, str) or method not in known]
    if not named or unknown:
        raise OptionError(
            "methods",
            expected=f"some of {', '.join(known)}",
            found=", ".join(map(checks.shown, unknown)) if unknown else checks.shown(methods),
            remedy="name at least one, and check the spelling",
        )
    compiled = theory
    if not isinstance(compiled, CompiledTheory):
        compiled = compile(compiled, backend, precision=precision, normalizable=False)
    values = compiled.theory.parameter_values(parameters)
    require_normalizable(compiled.program, values)
    asked = {**asked_in(options), **fields}
    for name, instead in (("seed", "seeds"), ("seconds", "budget")):
        if name in asked:
            raise OptionError(
                f"option {name} of a comparison",
                expected=f"{instead}, which is that of all methods",
                found=f"{name}={checks.shown(asked[name])}",
                remedy=f"write compare(…, {instead}=…)",
            )
    free = [m for m in dict.fromkeys(named) if m in BASELINES]
    trained = [m for m in dict.fromkeys(named) if m not in BASELINES]
    chosen = {m: method_options(m, compiled.analysis, **asked) for m in trained}
    truth = _Truth.of(compiled, values, reference)
    length = {} if "steps" in asked else {"seconds": budget}
    trials: list[Trial] = []
    notes: dict[str, tuple[str, ...]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) if directory is None else checks.path(directory, "directory of a comparison")
        for method, own in chosen.items():
            for seed in range(seeds):
                begin = time.perf_counter()
                try:
                    run = _trained(
                        compiled, values, place / f"{method}-{seed}", {**own, **length, "seed": seed}
                    )
                except TrainingDivergedError:
                    trial = _diverged(method, seed, time.perf_counter() - begin)
                    told = ("a training diverged and counts as ESS 0",)
                else:
                    # of a training that was finished earlier, the time that it took then
                    elapsed = max(time.perf_counter() - begin, run.course.seconds)
                    begin = time.perf_counter()
                    drawn = run.sample(samples, seed=seed)  # else all trials share their sampling errors
                    drawing = time.perf_counter() - begin
                    told = (*drawn.notes, *(f"seed {seed}: {warning}" for warning in drawn.warnings))
                    trial = _trial(method, seed, run, drawn, truth, elapsed, drawing)
                notes[method] = tuple(dict.fromkeys((*notes.get(method, ()), *told)))
                trials.append(trial)
                report(trial)
        for method in free:
            for seed in range(seeds):
                found = _without_training(
                    method, compiled, values, budget, seed, place / f"{method}-{seed}.json"
                )
                trial = _free_trial(method, seed, found, truth)
                told = tuple(f"seed {seed}: {note}" for note in found.notes)
                notes[method] = (*notes.get(method, ()), *told)
                trials.append(trial)
                report(trial)
    origin = truth.origin
    if truth.masses is not None:
        chance = np.sqrt(truth.masses * (1 - truth.masses) / samples).max()
        origin = f"{origin}; the mass of a sector has a standard error of up to {chance:.4f} by chance"
    if truth.exact is None:
        trials, named = _common_log_z(trials)
        origin = f"{origin}; log Z of {named}"
    shown = {method: (*found, *_on_coverage(method, trials)) for method, found in notes.items()}
    shown = {method: found for method, found in shown.items() if found}
    options_of_all = {"methods": ", ".join(dict.fromkeys((*trained, *free))), "samples": samples, **asked}
    seeds_of_all = {"seeds": ", ".join(map(str, range(seeds))), "budget": budget}
    making = Making.now(compiled.analysis, options_of_all | seeds_of_all, compiled.backend)
    return Comparison(
        compiled.theory.name, values, compiled.backend.name, budget, tuple(trials), shown, origin, making
    )


def _trained(compiled: CompiledTheory, values: Couplings, place: Path, options: Mapping[str, Any]) -> Run:
    """The run in a directory: made anew, or the one that is there, finished if it was not."""
    if not (place / RECORD).exists():
        return start(compiled, None, options, parameters=values, directory=place, progress=False, check=False)
    run = load_run(place, backend=compiled.backend.name)
    precision = compiled.requested_precision
    plan = planned(compiled.analysis, None, options, requested_precision=precision)
    same = run.plan == plan
    same = same and same_couplings(run.parameters, values)
    if not same or digest(run.compiled) != digest(compiled):
        raise RunError(
            f"run directory {place}",
            expected="a run of the same theory, couplings and options, to go on with",
            found="another one",
            remedy="choose another directory",
        )
    if run.ended == "diverged":
        raise TrainingDivergedError(
            f"training of {place}",
            expected="a finite loss and gradient",
            found="that it diverged earlier",
            remedy="choose another directory to try again",
        )
    return run if run.finished else run.resume(progress=False, check=False)


def _without_training(
    method: str, compiled: CompiledTheory, values: Couplings, seconds: float, seed: int, place: Path
) -> BaselineResult:
    """The result in a file: made anew, or the one that is there."""
    made_with = {"theory": digest(compiled), "couplings": couplings_text(values), "seconds": seconds}
    if place.exists():
        kept = json.loads(place.read_text())
        if kept.pop("made_with", None) != made_with:
            raise RunError(
                f"result {place}",
                expected="one of the same theory, couplings and budget, to go on with",
                found="another one",
                remedy="choose another directory",
            )
        masses = None if kept["sector_masses"] is None else np.array(kept["sector_masses"])
        return BaselineResult(**{**kept, "sector_masses": masses, "notes": tuple(kept["notes"])})
    found = baseline(method, compiled, values, seconds, seed)
    masses = None if found.sector_masses is None else found.sector_masses.tolist()
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text(place, json.dumps({**found._asdict(), "sector_masses": masses, "made_with": made_with}))
    return found


def _free_trial(method: str, seed: int, found: BaselineResult, truth: _Truth) -> Trial:
    nan = float("nan")
    apart = nan
    if truth.masses is not None and found.sector_masses is not None:
        apart = float(np.abs(found.sector_masses - truth.masses).max())
    return Trial(
        method,
        seed,
        found.effective_samples / max(found.count, 1),
        nan,
        nan,
        nan,
        apart,
        nan,
        nan,
        found.log_z,
        found.seconds,
        0,
        found.effective_samples,
        0.0,
        found.log_z_error,
    )


def _common_log_z(trials: list[Trial]) -> tuple[list[Trial], str]:
    """KL with one log Z for all, and the name of the run it is from.

    That of the best forward ESS, which sees missed modes; where there are no configurations of the target,
    the largest log Z, as what is missed only lowers it.
    """
    known = [t for t in trials if np.isfinite(t.log_z)]
    if not known:
        return trials, "no run"
    forward = [t for t in known if np.isfinite(t.forward_ess)]
    best = max(forward, key=lambda t: t.forward_ess) if forward else max(known, key=lambda t: t.log_z)
    moved = [replace(t, kl=t.kl + best.log_z - t.log_z) for t in trials]
    return moved, f"{best.method}, seed {best.seed}, for every KL"


def _on_coverage(method: str, trials: list[Trial]) -> tuple[str, ...]:
    """What explains a forward ESS of 0 and an infinite NLL."""
    worst = max((t.uncovered for t in trials if t.method == method), default=0.0)
    if not worst > 0:
        return ()
    return (
        f"its density is zero on {worst:.1e} of the target's configurations (the worst seed): a weight of "
        "infinity, hence forward ESS 0 and an infinite NLL; ESS cannot see that",
    )


@dataclass(frozen=True, eq=False)
class _Truth:
    """What is known about the target without any model."""

    reference: np.ndarray | Chain | None
    masses: np.ndarray | None
    exact: ExactValues | None
    origin: str

    @classmethod
    def of(
        cls, compiled: CompiledTheory, values: dict[str, Coupling], reference: np.ndarray | Chain | None
    ) -> _Truth:
        found = exact_configurations(compiled.program, values, _REFERENCE, seed=0)
        if found is not None:
            exact, x = found
            return cls(x if reference is None else reference, exact.sector_masses, exact, "quadrature")
        origin = "the reference that was given"
        if reference is None:
            try:
                reference = hmc(compiled.theory, parameters=values, **_HMC)
            except BackendError as error:
                return cls(None, None, None, f"none, for want of HMC ({error.found})")
            origin = f"HMC, {len(reference)} configurations"
        masses = None
        if isinstance(reference, Chain) and compiled.program.sectors.enumerable:
            masses = np.array([mass.value for mass in reference.sector_masses])
        return cls(reference, masses, None, origin)


def _trial(
    method: str, seed: int, run: Run, drawn: Samples, truth: _Truth, seconds: float, drawing: float
) -> Trial:
    forward_ess = nll = sector_error = uncovered = float("nan")
    if truth.reference is not None:
        forward = run.forward(truth.reference)
        forward_ess, nll, uncovered = forward.ess.value, forward.nll.value, forward.uncovered
    if truth.masses is not None:
        sector_error = float(np.abs(drawn.sector_masses - truth.masses).max())
    return Trial(
        method,
        seed,
        drawn.ess,
        forward_ess,
        float(drawn.kl.value),
        nll,
        sector_error,
        drawn.leaked_fraction,
        uncovered,
        drawn.log_z.value,
        seconds,
        len(run.history),
        drawn.ess * len(drawn),
        drawing,
        drawn.log_z.error,
    )


def _diverged(method: str, seed: int, seconds: float) -> Trial:
    nan = float("nan")
    return Trial(method, seed, 0.0, 0.0, nan, nan, nan, nan, nan, nan, seconds, 0, 0.0, 0.0)
