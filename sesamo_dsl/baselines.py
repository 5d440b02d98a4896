"""Samplers that need no training, each with the same wall time: what a trained one is to be compared with.

======  ==================================================================================================
anneal  :func:`sesamo_dsl.anneal`
hmc     :func:`sesamo_dsl.hmc`, its annealed starting points and its warm-up included
smc     adaptive tempered sequential Monte Carlo of blackjax on the emitted JAX code, as often as time allows
======  ==================================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .annealing.driver import anneal_program
from .annealing.options import AnnealingOptions
from .annealing.start_of_theory import start_density
from .errors import AnnealingError, AnnealingInterrupted, BackendError
from .estimates.chains import Chain
from .hamiltonian import hmc
from .stages.compile import DerivedProgram
from .values.couplings import Couplings

_CHAINS, _WARM_UP, _PROBE, _MOST_TRAJECTORIES = 64, 100, 40, 200_000  # of hmc
_PARTICLES, _LEAST_RUNS, _TARGET, _MOVES, _LEAPFROGS = 256, 4, 0.8, 5, 6  # of smc
_STEP = 0.5  # leapfrog step of smc, in units of the standard deviations of the start density


class BaselineResult(NamedTuple):
    """What one of them has found.

    Attributes
    ----------
    count
        Number of configurations.
    effective_samples
        How many independent ones know the mean of S as well, or for chains the slowest quantity.
    log_z, log_z_error
        NaN for chains, which do not know it.
    seconds
        Wall time of everything.
    sector_masses
        Of the sectors of the modulating group; None where they are not counted.
    notes
        What the reader must know about it, warnings included.
    """

    count: int
    effective_samples: float
    log_z: float
    log_z_error: float
    seconds: float
    sector_masses: np.ndarray | None
    notes: tuple[str, ...]


Baseline = Callable[[DerivedProgram, Couplings, float, int], BaselineResult]
"""(theory, couplings, seconds, seed) ↦ the result."""


def _annealed(compiled: DerivedProgram, values: Couplings, seconds: float, seed: int) -> BaselineResult:
    began = time.perf_counter()
    asked = AnnealingOptions(seconds=seconds, seed=seed)
    annealed, signals = anneal_program(compiled, values, asked, progress=False)
    if signals:
        raise AnnealingInterrupted(signals[0], annealed)
    known, masses = annealed.reached == 1, None
    if known and compiled.program.sectors.enumerable:
        masses = np.array([mass.value for mass in annealed.sector_masses])
    return BaselineResult(
        len(annealed),
        annealed.effective_samples if known else 0.0,
        annealed.log_z,
        annealed.log_z_error,
        time.perf_counter() - began,
        masses,
        (*annealed.notes, *annealed.warnings),
    )


def _chains(compiled: DerivedProgram, values: Couplings, seconds: float, seed: int) -> BaselineResult:
    """A short run tells how long a trajectory takes, and where it ends the long one begins."""
    began = time.perf_counter()
    options: dict[str, Any] = {"chains": _CHAINS, "seed": seed}
    probe = hmc(compiled, parameters=values, trajectories=_PROBE, warm_up=_WARM_UP, **options)
    spent = time.perf_counter() - began
    assert probe.trajectories is not None
    options |= {"step_size": probe.trajectories.step_size, "warm_up": 0, "initial": probe.x[:, -1]}
    short = time.perf_counter()
    chain = hmc(compiled, parameters=values, trajectories=_PROBE, **options)
    rate = (time.perf_counter() - short) / _PROBE
    wanted = int(np.clip((seconds - spent - rate * _PROBE) / rate, 0, _MOST_TRAJECTORIES))
    if wanted >= _PROBE:
        options["initial"] = chain.x[:, -1]
        chain = hmc(compiled, parameters=values, trajectories=wanted, **options)
    elapsed = time.perf_counter() - began
    masses = None
    if compiled.program.sectors.enumerable:
        masses = np.array([mass.value for mass in chain.sector_masses])
    notes = (*probe.notes, *chain.warnings)
    return BaselineResult(len(chain), _effective(chain), np.nan, np.nan, elapsed, masses, notes)


def _effective(chain: Chain) -> float:
    """Of the slowest quantity."""
    return float(np.nanmin([found.bulk_ess for found in chain.convergence.values()]))


def _tempered(compiled: DerivedProgram, values: Couplings, seconds: float, seed: int) -> BaselineResult:
    """Runs of blackjax from the same start density as an annealing, until time is over; four at least."""
    try:
        import blackjax
        import jax
        import jax.numpy as jnp
        from blackjax.smc import extend_params, resampling
    except ImportError as error:
        raise BackendError(
            "method smc of a comparison",
            expected="JAX and blackjax to be installed",
            found=str(error),
            remedy="pip install 'sesamo-dsl[compare]', or leave the method out",
        ) from error
    began = time.perf_counter()
    on_jax = DerivedProgram.of_theory(compiled.analysis, "jax", "float64", normalizable=False)
    with on_jax.backend.scope("float64"):
        start, action = start_density(on_jax.program, values), on_jax.bind(values)["action"]
        arrays = on_jax.backend.arrays()
        density = start.log_density(arrays)

        def log_prior(x: Any) -> Any:
            return density(x[None])[0][0]

        def log_likelihood(x: Any) -> Any:
            return -action(x[None])[0] - log_prior(x)

        rng = np.random.default_rng([seed, 4])
        width = np.asarray(start.draw(arrays, rng, 1000)).std(axis=0).reshape(-1)
        parameters: Any = {
            "step_size": _STEP * width.size**-0.25,
            "inverse_mass_matrix": jnp.asarray(width**2),
            "num_integration_steps": _LEAPFROGS,
        }
        sampler: Any = blackjax.adaptive_tempered_smc(
            log_prior,
            log_likelihood,
            blackjax.hmc.build_kernel(),
            blackjax.hmc.init,
            extend_params(parameters),
            resampling.systematic,
            target_ess=_TARGET,
            num_mcmc_steps=_MOVES,
        )
        step: Any = jax.jit(sampler.step)
        log_z: list[float] = []
        energies: list[np.ndarray] = []
        while len(log_z) < _LEAST_RUNS or time.perf_counter() - began < seconds:
            key = jax.random.key(rng.integers(2**31))
            state, total = sampler.init(jnp.asarray(start.draw(arrays, rng, _PARTICLES))), 0.0
            while float(state.tempering_param) < 1:
                key, now = jax.random.split(key)
                state, info = step(now, state)
                total += float(info.log_likelihood_increment)
            log_z.append(total)
            energies.append(np.asarray(action(state.particles)))
    return BaselineResult(
        len(log_z) * _PARTICLES,
        _from_scatter(np.array(energies)),
        *_mean_of_z(np.array(log_z), on_jax.constant(values)),
        time.perf_counter() - began,
        None,
        (f"{len(log_z)} runs of {_PARTICLES} particles; errors and effective samples from their scatter",),
    )


def _from_scatter(energies: np.ndarray) -> float:
    """How many independent values have a mean that varies as that of these runs does, (runs, particles)."""
    runs, particles = energies.shape
    scatter = float(energies.mean(axis=1).var(ddof=1))
    each = float(energies.var()) / scatter if scatter > 0 else particles
    return runs * min(each, particles)


def _mean_of_z(log_z: np.ndarray, constant: float) -> tuple[float, float]:
    """log of the mean of Z over the runs, and its error."""
    top = log_z.max()
    z = np.exp(log_z - top)
    return float(np.log(z.mean()) + top - constant), float(z.std(ddof=1) / np.sqrt(len(z)) / z.mean())


BASELINES: Mapping[str, Baseline] = {"anneal": _annealed, "hmc": _chains, "smc": _tempered}


def baseline(
    name: str, compiled: DerivedProgram, values: Couplings, seconds: float, seed: int
) -> BaselineResult:
    """Run one of them; what fails, as an annealing does that finds no walkers, has no effective samples.

    Raises
    ------
    BackendError
        If the method needs what is not installed.
    """
    began = time.perf_counter()
    try:
        return BASELINES[name](compiled, values, seconds, seed)
    except AnnealingError as error:
        nan, elapsed = float("nan"), time.perf_counter() - began
        return BaselineResult(0, 0.0, nan, nan, elapsed, None, (str(error.found),))
