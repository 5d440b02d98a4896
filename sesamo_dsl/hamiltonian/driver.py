"""``sd.hmc``: ground truth for every theory, without a model.

S. Duane, A. D. Kennedy, B. J. Pendleton, D. Roweth, Phys. Lett. B 195 (1987) 216. HMC alone does not find its
way between well separated modes. Moves drawn from the declared groups follow every trajectory, which connect
all modes that a group relates; for those that none relates, chains start from annealed walkers, in modes that
have their right proportions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from signal import Signals
from typing import Any, Unpack

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .. import checks
from ..annealing.driver import pilot
from ..annealing.options import LEAST_WALKERS
from ..annealing.start import StartDensity
from ..annealing.start_of_theory import start_density
from ..backend import Backend
from ..compiled_program import CompiledProgram, check_configurations
from ..errors import AnnealingError, BackendError, ChainInterrupted
from ..estimates.chains import Chain, Trajectories
from ..estimates.making import Making
from ..landscape.integrability import require_normalizable
from ..language.theory import Theory
from ..machine.interruption import held_back
from ..machine.memory import check_memory
from ..machine.progress_bar import progress_bar
from ..stages.compile import DerivedProgram
from ..values.couplings import Coupling, Couplings
from .kernel import Kernel
from .options import LEAST_TRAJECTORIES, HMCFields, HMCOptions, option_error

_LONGEST_BLOCK, _ENTRIES = 32, 2**21  # trajectories that are compiled as one, and real variables in them
_WALKERS, _WALKERS_PER_CHAIN = 256, 4  # of the annealing
_MOST_ENTRIES = 2**14  # real variables of more walkers than there are chains
_SECONDS = 5.0  # that the annealing may last


def hmc(
    theory: Theory | DerivedProgram,
    *,
    parameters: Mapping[Any, Coupling] | None = None,
    initial: np.ndarray | None = None,
    backend: str | Backend = "torch",
    progress: bool = True,
    **options: Unpack[HMCFields],
) -> Chain:
    """Sample a theory by Hamiltonian Monte Carlo with moves drawn from its groups.

    Parameters
    ----------
    theory
        A theory, or one that is compiled.
    parameters
        Couplings that differ from the theory's defaults.
    initial
        Configurations to start from, (chains, components, *lattice). By default walkers of an annealing of a
        few seconds, so that chains begin in all modes in the right proportions; N(0, 1) at every site where
        the annealing does not come to its end, as the notes of the chain then say.
    backend
        For a theory that is not compiled.
    progress
        Whether to show a progress bar.
    chains, trajectories
        Independent chains that run side by side, and kept configurations of each.
    warm_up
        Trajectories before the first kept one; the step size adapts in them and is then frozen.
    steps
        Leapfrog steps of a trajectory; by default a quarter of a period of small oscillations.
    step_size
        Mean leapfrog step, in units of the widths of exp(−S) around its minima; by default adapted to
        ``target_acceptance`` by dual averaging. Every trajectory has its own, uniform within ±20 %, so that
        no orbit is periodic.
    target_acceptance
        Acceptance to adapt to.
    moves
        Whether moves from the declared groups follow every trajectory.
    every
        Keep one configuration in so many trajectories.
    precision
        "float64" unless speed matters more than an exact acceptance step.
    seed
        The same seed gives the same chains on the same backend.

    Returns
    -------
    Chain
        Configurations in order, with expectation values, errors, convergence diagnostics and warnings.

    Raises
    ------
    OptionError, ParameterError, ConfigurationError
        For arguments out of range.
    NotNormalizableError
        If ∫ exp(−S) is found to be infinite.
    BackendError
        If the backend is not installed, or lends no arrays to compute with.
    ChainInterrupted
        A KeyboardInterrupt, for SIGINT as by Ctrl-C and for SIGTERM; its attribute ``chain`` has the
        trajectories that are done.
    """
    progress = checks.flag(progress, "option progress of hmc")
    unknown = sorted(set(options) - set(HMCOptions.__dataclass_fields__))
    if unknown:
        known = ", ".join(HMCOptions.__dataclass_fields__)
        raise option_error(", ".join(unknown), f"one of {known}", unknown)
    if initial is not None:
        options.setdefault("chains", np.shape(initial)[0] if np.ndim(initial) else 1)
    settings = HMCOptions(**options)
    compiled = theory
    if not isinstance(compiled, DerivedProgram):  # Z is judged below, at the couplings of the chain
        compiled = DerivedProgram.of_theory(compiled, backend, normalizable=False)
    declared, program = compiled.theory, compiled.program
    values = declared.parameter_values(parameters)
    require_normalizable(program, values)
    shape = declared.configuration_shape
    kept = settings.chains * settings.trajectories * math.prod(shape)
    check_memory(kept, "option trajectories of hmc", "ask for fewer chains or trajectories")
    if not hasattr(compiled.backend, "arrays"):
        raise BackendError(
            f"HMC of theory {declared.name}",
            expected="a backend that lends its arrays and evaluates gradients, such as torch or jax",
            found=f"the backend {compiled.backend.name}, which does not",
            remedy="choose backend='torch' or backend='jax'",
        )
    notes = list(declared.notes)
    density = start_density(program, values)
    if initial is None:
        initial, source = _starting_points(compiled, values, density, settings)
        notes.append(source)
    precision = "float64" if program.has_determinants else settings.precision
    start = check_configurations(declared.name, shape, initial, precision)
    if len(start) != settings.chains:
        raise option_error("initial", f"{settings.chains} configurations, one per chain", len(start))
    used: CompiledProgram = compiled
    if compiled.precision != precision:
        used = CompiledProgram.of(program, compiled.facts, compiled.backend, precision)
    columns = TextColumn("trajectories"), BarColumn(), MofNCompleteColumn()
    times = TimeElapsedColumn(), TimeRemainingColumn()
    total = settings.warm_up + settings.trajectories * settings.every
    bar = progress_bar(*columns, *times, progress=progress)
    with compiled.backend.scope(precision), held_back() as signals, bar:
        task = bar.add_task("trajectories", total=total)
        arrays, emitted = compiled.backend.arrays(), used.bind(values)
        kernel = Kernel(arrays, emitted, program, density.mass, settings, precision)
        x, action, made, acceptance = _run(
            kernel, start, settings, signals, lambda done: bar.update(task, completed=min(done, total))
        )
    if signals and x.shape[1] < LEAST_TRAJECTORIES:
        raise ChainInterrupted(signals[0], None)
    if x.shape[1] < settings.trajectories:
        notes.append(f"stopped after {x.shape[1]} of {settings.trajectories} trajectories")
    making = Making.now(compiled.analysis, vars(settings), compiled.backend)
    action += used.constant(values)
    chain = Chain(program, values, x, action, acceptance, tuple(notes), declared.derived, made, making)
    if signals:
        raise ChainInterrupted(signals[0], chain)
    return chain


def _run(
    kernel: Kernel,
    start: np.ndarray,
    options: HMCOptions,
    signals: Sequence[Signals],
    show: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray, Trajectories, float]:
    """All trajectories, in blocks of equal length; what the last one has too many is left out.

    A signal ends them after a block: x and S then have those that are done. ``show`` gets their number.
    """
    total = options.warm_up + options.trajectories * options.every
    longest = min(max(_ENTRIES // start.size, 1), _LONGEST_BLOCK)
    blocks = -(-total // longest)
    length = -(-total // blocks)
    x = np.empty((options.chains, options.trajectories, *start.shape[1:]), start.dtype)
    action = np.empty((options.chains, options.trajectories))
    acceptance, divergent = np.zeros(options.trajectories * options.every), 0
    done = 0  # after the warm-up
    rng = np.random.default_rng([options.seed, 1])
    state, adaptation = kernel.start(start)
    for first in range(0, blocks * length, length):
        number = np.arange(first, first + length) - options.warm_up  # of the trajectory after the warm-up
        adapting = ((number < 0) & (options.step_size is None)).astype(np.float64)
        state, adaptation, found = kernel.run(rng, state, adaptation, adapting)
        counted = (number >= 0) & (number < len(acceptance))
        acceptance[number[counted]] = found.acceptance[counted].mean(axis=1)
        divergent += int((found.acceptance[counted] == 0).sum())
        kept = counted & ((number + 1) % options.every == 0)
        places = number[kept] // options.every
        x[:, places] = np.swapaxes(found.x[kept], 0, 1)
        action[:, places] = found.action[kept].T
        done = max(0, min(number[-1] + 1, len(acceptance)))
        show(first + length)
        if signals:
            break
    x, action = x[:, : done // options.every], action[:, : done // options.every]
    step, leapfrogs = kernel.step_size(adaptation)
    target = options.target_acceptance if options.step_size is None else None
    made = Trajectories(step, leapfrogs, target, divergent, options.moves)
    return x, action, made, float(acceptance[:done].mean()) if done else 0.0


def _starting_points(
    compiled: DerivedProgram, values: Couplings, density: StartDensity, options: HMCOptions
) -> tuple[np.ndarray, str]:
    """Configurations to start from, (chains, components, *lattice), and where they are from."""
    shape, walkers = compiled.theory.configuration_shape, max(_WALKERS, _WALKERS_PER_CHAIN * options.chains)
    walkers = max(min(walkers, _MOST_ENTRIES // math.prod(shape)), options.chains, LEAST_WALKERS)
    rng = np.random.default_rng([options.seed, 0])
    try:
        found, signals = pilot(compiled, values, density, walkers, seconds=_SECONDS, seed=options.seed)
    except AnnealingError as error:
        reason = f"failed ({error.found})"
    else:
        if signals:
            raise ChainInterrupted(signals[0], None)
        if found.beta == 1:
            edges = np.cumsum(found.weights) / found.weights.sum() * options.chains
            chosen = np.searchsorted(edges, np.arange(options.chains) + rng.uniform(), side="right")
            chosen = np.minimum(chosen, walkers - 1)
            ancestors = len(np.unique(found.ancestors[chosen]))
            source = f"chains start from an annealing of {walkers} walkers, with {ancestors} ancestors there"
            return found.x[chosen], source
        reason = f"did not end within {_SECONDS:g} s"
    return rng.normal(size=(options.chains, *shape)), (
        f"an annealing for configurations to start from {reason}: chains start from N(0, 1), and modes that "
        "no group relates may be missing; pass initial=…, of a longer annealing for instance"
    )
