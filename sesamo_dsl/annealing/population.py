"""Sequential Monte Carlo along γ_β: a pilot determines the temperatures, and populations follow them.

The pilot chooses every Δβ so that the conditional ESS stays at its target, adapts the step size to the
acceptance, and the step size of each coordinate to the width of γ_β there, which changes along the path; and
it repeats moves until −S − log q₀ of the walkers has decorrelated. It does not enter the result.
Populations follow the ladder of the pilot, so that they are independent of each other and the mean of their Z
is unbiased. P. Del Moral, A. Doucet, A. Jasra, J. R. Stat. Soc. B 68 (2006) 411; for moves by Hamiltonian
Monte Carlo A. Buchholz, N. Chopin, P. E. Jacob, Bayesian Anal. 16 (2021) 745.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from ..errors import AnnealingError
from . import genealogy
from .ensemble import Ensemble, Setting, resample
from .start import StartDensity
from .weights import conditional_ess, ess, log_increment, next_step, normalized

ACCEPTANCE = 0.75
"""Acceptance probability to which step sizes are adapted."""
_ORBIT = 1.5  # length of a trajectory in units of the widths: about a quarter of a period
_MOST_LEAPFROGS = 24
_DECORRELATED = 0.2  # rank correlation below which walkers count as decorrelated
_FEWEST_MOVES, _MOST_MOVES = 2, 16  # number of moves at one temperature
_RESAMPLED = 0.5  # walkers are resampled if ESS/n is below this
_UNFINISHED = 1 - 1e-9  # β of walkers that were stopped during their moves at β = 1
MOST_TEMPERATURES = 2000


class Interruption(Exception):
    """Raised to end the work: the time is over, or a signal was received."""


Tick = Callable[[float], None]
"""Called with β after every move; may raise Interruption."""


@dataclass(frozen=True, eq=False)
class Population:
    """The final walkers of one population, with its estimate of log Z and its record.

    Attributes
    ----------
    x, action
        Configurations and S, (walkers, components, *lattice) and (walkers,).
    weights
        Normalised weights, (walkers,).
    ancestors
        Number of the walker of q₀ from which each walker descends, (walkers,).
    beta
        The final β, 1 unless the population was interrupted.
    log_z
        log ∫ q₀^(1−β) exp(−βS) at the final β.
    log_z_variance
        Variance of log Z from the genealogy.
    ladder
        The temperatures with their moves.
    acceptance, conditional_ess
        Mean acceptance probability and conditional ESS at each temperature, (temperatures,).
    log_increments
        Logarithms of the incremental weights, (temperatures, walkers).
    undefined
        Fraction of the walkers of q₀ at which S is NaN.
    seconds_per_evaluation
        Median time of one evaluation of S for all walkers, in seconds, in which compilation hardly enters.
    """

    x: np.ndarray
    action: np.ndarray
    weights: np.ndarray
    ancestors: np.ndarray
    beta: float
    log_z: float
    log_z_variance: float
    ladder: tuple[Setting, ...]
    acceptance: np.ndarray
    conditional_ess: np.ndarray
    log_increments: np.ndarray
    undefined: float
    seconds_per_evaluation: float


class _Run:
    """A population on its way from q₀ to exp(−S)."""

    def __init__(
        self, ensemble: Ensemble[StartDensity], rng: np.random.Generator, count: int, theory: str
    ) -> None:
        self.ensemble, self.rng = ensemble, rng
        self.state = ensemble.draw(rng, count)
        self.log_ratio = ensemble.log_ratio(self.state)
        self.undefined = ensemble.undefined(self.state)
        if np.isneginf(self.log_ratio).all():
            raise AnnealingError(
                f"annealing of theory {theory}",
                expected="a start density with walkers where S is finite",
                found=f"S infinite or NaN at all of {count} walkers",
                remedy="check the action near its minima; a wall may leave too little room",
            )
        self.log_weights = np.full(count, -np.log(count))
        self.ancestors = np.arange(count)
        self.beta = self.log_z = self.noise = 0.0
        self.acceptance: list[float] = []
        self.conditional: list[float] = []
        self.increments: list[np.ndarray] = []
        self.rates: list[float] = []

    @property
    def weights(self) -> np.ndarray:
        return normalized(self.log_weights)

    def reweight(self, beta: float) -> None:
        """Weight the walkers for the next β, and resample if their ESS is below half of their number."""
        step = beta - self.beta
        self.conditional.append(conditional_ess(self.weights, self.log_ratio, step))
        self.increments.append(log_increment(self.log_ratio, step))
        log_w = self.log_weights + self.increments[-1]
        total = float(np.asarray(logsumexp(log_w)))
        self.log_z, self.log_weights, self.beta = self.log_z + total, log_w - total, beta
        weights = self.weights
        if ess(weights) < _RESAMPLED * len(weights):
            self.noise += genealogy.resampling_noise(weights, self.ancestors)
            self.state, parents = resample(self.rng, self.ensemble, self.state, weights)
            self.ancestors = self.ancestors[parents]
            self.log_weights = np.full(len(weights), -np.log(len(weights)))

    def move(self, setting: Setting, times: int, tick: Tick) -> float:
        """Make ``times`` moves at one temperature; returns the mean acceptance probability."""
        chances = []
        for _ in range(times):
            began = time.perf_counter()
            self.state, chance = self.ensemble.move(self.rng, self.state, setting)
            chances.append(chance)
            self.rates.append((time.perf_counter() - began) / self.ensemble.work(setting))
            tick(self.beta)
        self.log_ratio = self.ensemble.log_ratio(self.state)
        return float(np.mean(chances))

    def population(self, ladder: tuple[Setting, ...]) -> Population:
        """The present walkers as a :class:`Population`."""
        x, action = self.ensemble.configurations(self.state)
        weights = self.weights
        return Population(
            x,
            action,
            weights,
            self.ancestors,
            self.beta,
            self.log_z,
            genealogy.log_z_variance(weights, self.ancestors, self.noise),
            ladder,
            np.array(self.acceptance),
            np.array(self.conditional),
            np.array(self.increments),
            self.undefined,
            float(np.median(self.rates)) if self.rates else np.inf,
        )


def find_ladder(
    ensemble: Ensemble[StartDensity],
    rng: np.random.Generator,
    count: int,
    target: float,
    theory: str,
    tick: Tick,
    extra_moves: int = 0,
) -> tuple[tuple[Setting, ...], Population]:
    """A pilot: temperatures from q₀ to exp(−S) with their moves, and the population that determined them.

    If ``tick`` interrupts it before β = 1, the population has β < 1.

    Parameters
    ----------
    target
        Conditional ESS at every temperature.
    extra_moves
        Number of additional moves at β = 1.

    Raises
    ------
    AnnealingError
        If S is infinite or NaN at all walkers of q₀, or β = 1 is not reached with ``MOST_TEMPERATURES``.
    """
    run = _Run(ensemble, rng, count, theory)
    step = min(1.0, 1.3 * ensemble.start.mass.size**-0.25)
    ladder: list[Setting] = []
    while run.beta < 1:
        if len(ladder) >= MOST_TEMPERATURES:
            raise AnnealingError(
                f"annealing of theory {theory}",
                expected=f"at most {MOST_TEMPERATURES} temperatures from the start density to exp(−S)",
                found=f"β = {run.beta:.3g} after as many",
                remedy="check the action for singularities; more walkers do not help",
            )
        run.reweight(run.beta + next_step(run.weights, run.log_ratio, target, 1 - run.beta))
        scales = ensemble.scales(run.state, run.weights, run.beta)
        ladder.append(Setting(run.beta, step, leapfrogs_of(step), 0, scales))
        run.acceptance.append(np.nan)
        try:
            ladder[-1] = _adapted(run, ladder[-1], tick)
        except Interruption:
            run.beta = min(run.beta, _UNFINISHED)
            break
        step = ladder[-1].step
    else:
        with suppress(Interruption):  # walkers under exp(−S) reach regions that q₀ does not cover
            for _ in range(extra_moves):
                run.move(ladder[-1], 1, tick)
    return tuple(ladder), run.population(tuple(ladder))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of values, (n,), with the mean rank for equal ones."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _adapted(run: _Run, setting: Setting, tick: Tick) -> Setting:
    """Move at one temperature until the walkers have decorrelated; the step size is adapted meanwhile."""
    before, chances = _ranks(run.ensemble.log_ratio(run.state)), []
    while len(chances) < _MOST_MOVES:
        chances.append(run.move(setting, 1, tick))
        step = setting.step * float(np.exp(chances[-1] - ACCEPTANCE))
        setting = replace(setting, step=step, leapfrogs=leapfrogs_of(step))
        if len(chances) >= _FEWEST_MOVES and _correlation(before, _ranks(run.log_ratio)) < _DECORRELATED:
            break
    run.acceptance[-1] = float(np.mean(chances))
    return replace(setting, moves=len(chances))


def anneal_population(
    ensemble: Ensemble[StartDensity],
    rng: np.random.Generator,
    count: int,
    ladder: tuple[Setting, ...],
    theory: str,
    tick: Tick,
) -> Population:
    """One population along a ladder; if ``tick`` interrupts it, the present walkers, with β < 1."""
    run = _Run(ensemble, rng, count, theory)
    try:
        for setting in ladder:
            run.reweight(setting.beta)
            run.acceptance.append(np.nan)
            run.acceptance[-1] = run.move(setting, setting.moves, tick)
    except Interruption:
        run.beta = min(run.beta, _UNFINISHED)
    return run.population(ladder)


def leapfrogs_of(step: float) -> int:
    """Number of leapfrog steps of a trajectory that lasts about a quarter of a period."""
    return int(np.clip(round(_ORBIT / step), 1, _MOST_LEAPFROGS))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two arrays of ranks; 0 if one of them is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
