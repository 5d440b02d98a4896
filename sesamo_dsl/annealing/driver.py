"""``sd.anneal``: log Z and weighted configurations of a theory without a model and without training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from signal import Signals
from typing import Any, Unpack

import numpy as np

from ..backend import Backend
from ..compiled_program import CompiledProgram
from ..errors import AnnealingInterrupted, BackendError
from ..estimates.making import Making
from ..landscape.integrability import require_normalizable
from ..landscape.laplace import DENSE
from ..language.derived import Derived
from ..language.theory import Theory
from ..machine.interruption import held_back
from ..machine.memory import check_memory
from ..stages.compile import DerivedProgram
from ..values.couplings import Coupling, Couplings
from .ensemble import Ensemble
from .options import LEAST_POPULATIONS, LEAST_WALKERS, AnnealingFields, AnnealingOptions
from .population import Interruption, Population, anneal_population, find_ladder
from .progress import watched
from .result import Annealed
from .start import StartDensity
from .start_of_theory import is_soft, refined, start_density

_TARGET = 0.9  # conditional ESS at every temperature
_PILOT, _ONLY_PILOT = 0.4, 0.6  # largest part of the time for each of several pilots, and for a single pilot
_EXTRA_MOVES = 24  # moves of a pilot under exp(−S) before a mixture is fitted to its walkers
_FITS, _FITTING = 3, 0.2  # most fits of the mixture, and the part of the time in which another fit may follow
_PLANNED = 5  # number of populations for which the number of walkers is chosen
_DETERMINANT_SIZE = 64  # real variables above which minima of theories with determinants are not searched
_SAFETY = 0.65  # part of the remaining time for which populations are planned
_COMPILING = "compiling"
_ARRAYS = 12  # number of arrays of the size of all walkers that exist at once


class _Clock:
    """The time limit, the signals that were received, and the progress bar."""

    def __init__(self, limit: float, signals: Sequence[Any], show: Callable[[str, float], None]) -> None:
        self._begin, self._limit, self._signals, self._show = time.perf_counter(), limit, signals, show
        self.deadline, self.stage, self.stopped = limit, "", ""

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self._begin

    @property
    def left(self) -> float:
        return self._limit - self.elapsed

    def start(self, stage: str, deadline: float = math.inf) -> None:
        """Begin a stage of the work that may last for ``deadline`` seconds."""
        self.stage, self.deadline = stage, min(self.elapsed + deadline, self._limit)
        self._show(stage, 0.0)

    @contextmanager
    def paused(self, stage: str) -> Iterator[None]:
        """A stage whose time does not count, such as a compilation."""
        self._show(stage, 0.0)
        began = time.perf_counter()
        yield
        self._begin += time.perf_counter() - began

    def tick(self, beta: float) -> None:
        """Show the progress; raise Interruption if a signal was received or the time is over."""
        self._show(self.stage, beta)
        if self._signals:
            self.stopped = f"stopped by {self._signals[0].name}"
            raise Interruption
        if self.elapsed > self.deadline:
            self.stopped = f"time was over after {self.elapsed:.3g} s"
            raise Interruption


def anneal(
    theory: Theory | DerivedProgram,
    *,
    parameters: Mapping[Any, Coupling] | None = None,
    backend: str | Backend = "torch",
    progress: bool = True,
    **options: Unpack[AnnealingFields],
) -> Annealed:
    """Anneal walkers from a wide start density to exp(−S)/Z by sequential Monte Carlo.

    There is no training. The start density q₀ is a mixture around all known minima, or on a lattice a
    Gaussian that is wide enough to reach all of them at each site. Walkers pass through
    γ_β ∝ q₀^(1−β) exp(−βS); they are weighted, resampled, and moved by Hamiltonian Monte Carlo and by the
    declared groups. Pilots determine q₀ and the temperatures; independent populations follow. All
    computations are in float64.

    Parameters
    ----------
    theory
        A theory, declared or compiled.
    parameters
        Couplings that differ from the theory's defaults.
    backend
        The backend for a theory that is not compiled.
    progress
        True to show a progress bar.
    walkers
        Number of walkers of each population, at least 32. By default a population has about 10⁵ real
        variables, and between 256 and 2048 walkers, or fewer if the time is short.
    populations
        Number of independent populations, at least 4; default 8, or with ``seconds`` as many as fit.
    seconds
        Time to use, in which compilation does not count. By default the work ends when all populations are
        done, and without ``walkers`` after a minute at the latest.
    seed
        Seed of the random numbers. One seed gives the same numbers on one backend, unless the time limit
        determines the number of walkers.

    Returns
    -------
    Annealed
        log Z with its error, weighted configurations, and warnings.

    Raises
    ------
    NotNormalizableError
        If ∫ exp(−S) is found to be infinite.
    OptionError, ParameterError
        For arguments out of range.
    BackendError
        If the backend is not installed, or has no arrays for computations outside of models.
    AnnealingError
        If S is infinite or NaN at all walkers of q₀, or the temperatures do not reach exp(−S).
    AnnealingInterrupted
        A KeyboardInterrupt, for SIGINT as by Ctrl-C and for SIGTERM; its attribute ``annealed`` has the
        results so far.
    """
    chosen = AnnealingOptions.of(options)
    compiled = theory
    if not isinstance(compiled, DerivedProgram):
        compiled = DerivedProgram.of_theory(compiled, backend, normalizable=False)
    values = compiled.parameter_values(parameters)
    require_normalizable(compiled.program, values)
    shape = compiled.theory.configuration_shape
    most = chosen.walkers_of(shape) * math.prod(shape) * _ARRAYS
    check_memory(2 * most, "option walkers of anneal", "use fewer walkers, and more populations")
    declared = compiled.theory
    annealed, signals = anneal_program(
        compiled, values, chosen, progress=progress, notes=declared.notes, derived=declared.derived
    )
    annealed = replace(annealed, making=Making.now(compiled.analysis, vars(chosen), compiled.backend))
    if signals:
        raise AnnealingInterrupted(signals[0], annealed)
    return annealed


def _in_float64(compiled: CompiledProgram) -> CompiledProgram:
    if compiled.precision == "float64":
        return compiled
    return CompiledProgram.of(compiled.program, compiled.facts, compiled.backend, "float64")


def anneal_program(
    compiled: CompiledProgram,
    values: Couplings,
    options: AnnealingOptions,
    *,
    progress: bool,
    notes: Sequence[str] = (),
    derived: Mapping[str, Derived] | None = None,
) -> tuple[Annealed, Sequence[Signals]]:
    """Anneal a compiled program, which needs no declaration; see :func:`anneal`.

    Returns
    -------
    tuple
        The result, and the signals that were received in the meantime; the first of them ended the work.
    """
    if not hasattr(compiled.backend, "arrays"):
        raise BackendError(
            f"annealing of theory {compiled.program.theory}",
            expected="a backend that lends its arrays and evaluates gradients, such as torch or jax",
            found=f"the backend {compiled.backend.name}, which does not",
            remedy="choose backend='torch' or backend='jax'",
        )
    compiled = _in_float64(compiled)
    with watched(compiled.backend, "searching for minima", progress=progress) as (signals, show):
        clock = _Clock(options.limit, signals, lambda stage, beta: show(f"{stage}, β = {beta:.3g}", beta))
        populations = _populations(compiled, values, options, clock)
        annealed = Annealed.of(
            populations,
            compiled.program,
            values,
            compiled.constant(values),
            stopped=clock.stopped,
            notes=(*notes, *_notes(compiled)),
            declared=derived or {},
        )
        return annealed, tuple(signals)


def pilot(
    compiled: CompiledProgram,
    values: Couplings,
    start: StartDensity,
    walkers: int,
    *,
    seconds: float,
    seed: int,
) -> tuple[Population, Sequence[Signals]]:
    """One population that determines its own temperatures, from whose walkers Markov chains can start.

    Its β is below 1 if the time was over, or a signal was received, before it reached exp(−S). The signals
    are returned with it.

    Raises
    ------
    AnnealingError
        If S is infinite or NaN at all walkers of q₀, or the temperatures do not reach exp(−S).
    """
    compiled, program = _in_float64(compiled), compiled.program
    with held_back() as signals, compiled.backend.scope("float64"):
        clock = _Clock(seconds, signals, lambda stage, beta: None)
        ensemble = Ensemble(compiled.backend.arrays(), compiled.bind(values), program, start)
        rng = np.random.default_rng([seed, 3, 0])
        with clock.paused(_COMPILING):
            ensemble.warm(walkers)
        clock.start("pilot")
        return find_ladder(ensemble, rng, walkers, _TARGET, program.theory, clock.tick)[1], signals


def _populations(
    compiled: CompiledProgram, values: Couplings, options: AnnealingOptions, clock: _Clock
) -> list[Population]:
    """All finished populations; if there is none, the unfinished population alone, at its β < 1."""
    program, name = compiled.program, compiled.program.theory
    arrays, emitted = compiled.backend.arrays(), compiled.bind(values)
    count = options.pilots_of(program.configuration_shape)

    def rng(*stage: int) -> np.random.Generator:
        return np.random.default_rng([options.seed, 3, *stage])

    start = start_density(program, values)
    ensemble = Ensemble(arrays, emitted, program, start)
    with clock.paused(_COMPILING):
        ensemble.warm(count)
    soft = is_soft(program)
    clock.start("first pilot", (_ONLY_PILOT if soft else _PILOT) * options.limit)
    extra_moves = 0 if soft else _EXTRA_MOVES
    ladder, pilot = find_ladder(ensemble, rng(0), count, _TARGET, name, clock.tick, extra_moves)
    if pilot.beta < 1:
        return [pilot]
    for fits_left in range(_FITS - 1, -1, -1):  # each fit reaches further than the one before
        fitted = refined(start, program, arrays, pilot.x, pilot.weights)
        if fitted is start:
            break
        ensemble = Ensemble(arrays, emitted, program, fitted)
        with clock.paused(_COMPILING):
            ensemble.warm(count)
        clock.start("next pilot", _PILOT * options.limit)
        again = fits_left > 0 and clock.elapsed < _FITTING * options.limit
        ladder, pilot = find_ladder(
            ensemble, rng(1, fits_left), count, _TARGET, name, clock.tick, _EXTRA_MOVES if again else 0
        )
        if pilot.beta < 1:
            return [pilot]
        if not again:
            break
    evaluations = sum(setting.moves * ensemble.work(setting) for setting in ladder) / count
    seconds = pilot.seconds_per_evaluation * evaluations
    walkers = _walkers(options, program.configuration_shape, seconds, clock.left)
    if walkers != count:
        with clock.paused(_COMPILING):
            ensemble.warm(walkers)
    done: list[Population] = []
    while len(done) < options.most_populations:
        began = clock.elapsed
        clock.start(f"population {len(done) + 1}")
        found = anneal_population(ensemble, rng(2, len(done)), walkers, ladder, name, clock.tick)
        if clock.stopped:
            return done or [found]
        done.append(found)
        enough = len(done) >= LEAST_POPULATIONS or options.seconds is None
        if enough and clock.elapsed - began > clock.left:
            if len(done) < LEAST_POPULATIONS:
                clock.stopped = f"time was over after {clock.elapsed:.3g} s"
            break
    return done


def _walkers(options: AnnealingOptions, shape: Sequence[int], seconds: float, left: float) -> int:
    """The number of walkers of a population: as asked for, else limited by the time.

    ``seconds`` is the time per walker and population, ``left`` the remaining time.
    """
    wanted = options.walkers_of(shape)
    if options.walkers is not None:
        return wanted
    populations = min(options.most_populations, _PLANNED)
    affordable = int(_SAFETY * left / (seconds * populations))
    return min(wanted, max(affordable, LEAST_WALKERS))


def _notes(compiled: CompiledProgram) -> list[str]:
    program = compiled.program
    size = math.prod(program.configuration_shape)
    if program.has_determinants:
        return ["minima were not searched; the start is a Gaussian"] if size > _DETERMINANT_SIZE else []
    return ["minima were searched among constant fields alone"] if size > DENSE else []
