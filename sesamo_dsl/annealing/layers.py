"""Annealing from a model: its samples are taken to exp(−S) along γ_β ∝ q^(1−β) exp(−βS), each on its own.

Annealed importance sampling (R. M. Neal, Stat. Comput. 11 (2001) 125) that starts from a trained flow is a
stochastic normalizing flow (H. Wu, J. Köhler, F. Noé, NeurIPS 2020; M. Caselle et al., JHEP 07 (2022) 015).
At each of K layers a sample x takes up the work (β_k − β_{k−1}) (−S − log q)(x), and moves by a kernel that
leaves γ_k invariant. The mean of the weights is Z for any K. There is no resampling, so samples stay
independent of each other. With auxiliary coordinates a all of this lives on (x, a), where a is drawn anew.

Step sizes are those of a pilot, a batch of its own, so that no kernel knows the samples that it moves. All of
it is in float64.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import logsumexp

from .. import checks
from ..backend import Draws, LogDensity, Model, ModelDensity
from ..compiled_program import CompiledProgram
from ..errors import AnnealingError, BackendError
from ..ir.program import Program
from ..machine.memory import chunk_size
from ..markov.moves import State
from ..markov.whitening import Whitening
from ..values.arrays import Arrays
from ..values.couplings import Couplings
from .components import mass_of_samples
from .ensemble import Ensemble, Setting
from .population import ACCEPTANCE, leapfrogs_of

MOST_LAYERS = 10_000
TARGET = 0.9
"""ESS that ``"auto"`` asks for."""
SECONDS = 60.0
"""Time that ``"auto"`` allows for."""
_BATCH = 512  # samples that move together, and those of the pilot
_FEWEST = 32  # samples of a pilot that have a weight
_WARM = 12  # moves at the first temperature, until the step size fits
_FITS = 0.1  # of the acceptance

Tick = Callable[[str, float], None]
"""Called with what is done, and with the part of it that is done; raises Interruption."""


def checked_layers(value: int | Literal["auto"]) -> int | Literal["auto"]:
    """The option ``anneal``, or OptionError."""
    if isinstance(value, str) and value == "auto":
        return "auto"
    return checks.integer(
        value,
        "option anneal",
        least=0,
        most=MOST_LAYERS,
        what="'auto', or a number of layers",
        remedy="give for instance 20, or 'auto'; 0 leaves the samples as the model draws them",
    )


@dataclass(frozen=True, eq=False)
class _FromModel:
    """Implements ``Start``."""

    field_shape: tuple[int, ...]
    mass: Whitening
    auxiliary: int
    density: ModelDensity

    def log_density(self, arrays: Arrays) -> LogDensity:
        """That of the model."""
        return self.density.log_density


class Moved(NamedTuple):
    """Samples after the layers.

    Attributes
    ----------
    state
        Where they are.
    log_weights
        Their work, log of what they count for, (samples,).
    acceptance
        Mean of the trajectories.
    """

    state: State
    log_weights: np.ndarray
    acceptance: float


class _Pilot:
    """Samples of the model, and the moves that are tried with them."""

    def __init__(self, model: Model, compiled: CompiledProgram, values: Couplings, seed: int) -> None:
        program, density = compiled.program, density_of(model, compiled)
        drawn = int(np.random.SeedSequence([seed, 11]).generate_state(1, np.uint64)[0] >> 1)
        draws = model.sample(_batch(program), drawn)
        x = draws.x.astype(np.float64)
        alive = ~draws.leaked & np.isfinite(x.reshape(len(x), -1)).all(axis=1)
        if alive.sum() < _FEWEST:
            raise AnnealingError(
                f"annealing from the model of theory {program.theory}",
                expected=f"at least {_FEWEST} of {len(x)} samples inside the domain, with finite entries",
                found=f"{int(alive.sum())}",
                remedy="train for longer, or with strategy='fold', which never leaks",
            )
        shape = program.configuration_shape
        mass = mass_of_samples(program, values, x[alive])
        start = _FromModel(shape, mass, draws.auxiliary.shape[1], density)
        self.density, self.seed, self.compiled = density, seed, compiled
        self.ensemble = Ensemble(density.arrays, density.emitted, program, start)
        self.state = self.ensemble.state(x, draws.auxiliary)
        self.leaked = draws.leaked

    def layers(self, count: int, tick: Tick) -> Layers:
        """So many layers, with step sizes that fit; the pilot begins anew for each number of them."""
        rng = np.random.default_rng([self.seed, 12, count])
        step = min(1.0, 1.3 * self.ensemble.start.mass.size**-0.25)
        state = self.state
        for _ in range(_WARM):
            state, chance = self.ensemble.move(rng, state, _setting(1 / count, step))
            if abs(chance - ACCEPTANCE) < _FITS:
                break
            step *= math.exp(chance - ACCEPTANCE)
        state, log_w = self.state, np.zeros(len(self.leaked))
        ladder: list[Setting] = []
        for k in range(1, count + 1):
            tick(f"pilot of {count} layers", k / count)
            log_w = log_w + _work(self.ensemble, state, 1 / count)
            ladder.append(_setting(k / count, step))
            state, chance = self.ensemble.move(rng, state, ladder[-1])
            step *= math.exp((chance - ACCEPTANCE) / 2)
        ess = ess_of(np.where(self.leaked, -np.inf, log_w))
        return Layers(self.density, self.compiled, self.ensemble, tuple(ladder), self.seed, ess)


class Layers:
    """Temperatures with their moves, as a pilot has found them.

    Attributes
    ----------
    ladder
        The temperatures.
    seed, pilot_ess
        Of the pilot.
    """

    def __init__(
        self,
        density: ModelDensity,
        compiled: CompiledProgram,
        ensemble: Ensemble[_FromModel],
        ladder: tuple[Setting, ...],
        seed: int,
        pilot_ess: float,
    ) -> None:
        self._density, self._compiled, self._ensemble = density, compiled, ensemble
        self._canonicalize = density.arrays.compiled(density.emitted["canonicalize"])
        self.ladder, self.seed, self.pilot_ess = ladder, seed, pilot_ess

    @classmethod
    def of(
        cls, model: Model, compiled: CompiledProgram, values: Couplings, count: int, seed: int, tick: Tick
    ) -> Layers:
        """So many layers from the model as it is now.

        Raises
        ------
        BackendError
            If the model's density has no gradient.
        AnnealingError
            If hardly any of its samples has a weight.
        """
        return _Pilot(model, compiled, values, seed).layers(count, tick)

    @classmethod
    def chosen(
        cls, model: Model, compiled: CompiledProgram, values: Couplings, samples: int, seed: int, tick: Tick
    ) -> Layers:
        """Twice as many layers until the ESS of a pilot is at its target, or there is no time for more.

        Parameters
        ----------
        samples
            How many samples are to go through them.
        """
        began, count = time.perf_counter(), 2
        pilot = _Pilot(model, compiled, values, seed)
        while True:
            start = time.perf_counter()
            found = pilot.layers(count, tick)
            seconds = time.perf_counter() - start  # of the pilot alone
            further = 2 * seconds * (1 + samples / len(pilot.leaked))
            late = time.perf_counter() - began + further > SECONDS
            if found.pilot_ess >= TARGET or late or 2 * count > MOST_LAYERS:
                return found
            count *= 2

    @property
    def evaluations(self) -> int:
        """Evaluations of S and log q with their gradients for each sample."""
        return 1 + sum(setting.moves * self._ensemble.work(setting) for setting in self.ladder)

    def forward(self, state: State, rng: np.random.Generator, tick: Callable[[float], None]) -> Moved:
        """From samples of the model to exp(−S)."""
        log_w, before, chances = np.zeros(state.action.shape[0]), 0.0, []
        for setting in self.ladder:
            log_w = log_w + _work(self._ensemble, state, setting.beta - before)
            state, chance = self._ensemble.move(rng, state, setting)
            chances.append(chance)
            before = setting.beta
            tick(before)
        return Moved(state, log_w, float(np.mean(chances)))

    def backward(self, state: State, rng: np.random.Generator) -> Moved:
        """From samples of exp(−S) to the model, by the moves of :meth:`forward` in reverse."""
        log_w, chances = np.zeros(state.action.shape[0]), []
        for setting, before in zip(self.ladder[::-1], self._betas[-2::-1], strict=True):
            state, chance = self._ensemble.move(rng, state, setting, backwards=True)
            chances.append(chance)
            log_w = log_w + _work(self._ensemble, state, setting.beta - before)
        return Moved(state, log_w, float(np.mean(chances)))

    @property
    def _betas(self) -> list[float]:
        return [0.0, *(setting.beta for setting in self.ladder)]

    def batches(self, count: int) -> list[np.ndarray]:
        """Numbers of samples that move together, in batches of one size, the last filled up with the last."""
        size = math.ceil(count / math.ceil(count / _batch(self._compiled.program)))
        return [np.minimum(np.arange(start, start + size), count - 1) for start in range(0, count, size)]

    def start(self, draws: Draws) -> State:
        """Samples as the model has drawn them."""
        return self._ensemble.state(draws.x.astype(np.float64), draws.auxiliary)

    def log_ratio(self, state: State) -> np.ndarray:
        """−S − log q, (samples,)."""
        return self._ensemble.log_ratio(state)

    def draws(self, state: State, leaked: np.ndarray, mismatch: np.ndarray | None) -> Draws:
        """Samples as they are now, with what was found out when they were drawn."""
        to_numpy = self._density.arrays.to_numpy
        u = to_numpy(self._canonicalize(state.x)[1])
        x, log_q, action, auxiliary = (
            np.array(to_numpy(a)) for a in (state.x, state.log_q, state.action, state.auxiliary)
        )
        return Draws(x, log_q, action, np.array(u), leaked, auxiliary, mismatch)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """−S less the work that leads back from given configurations, (n, components, *lattice) → (n,).

        It takes the place of log q for samples that were annealed: configurations of exp(−S) have the density
        of paths that lead to them over that of paths that come back.
        """
        auxiliary, found = self._density.auxiliary(len(x)), []
        with self._compiled.backend.scope("float64"):
            for number, part in enumerate(self.batches(len(x)) if len(x) else []):
                state = self._ensemble.state(x[part], auxiliary[part])
                rng = np.random.default_rng([self.seed, 13, number])
                action = self._density.arrays.to_numpy(state.action)
                found.append(-action - self.backward(state, rng).log_weights)
        return np.concatenate([np.empty(0), *found])[: len(x)]


def density_of(model: Model, compiled: CompiledProgram) -> ModelDensity:
    """log q of a model with its gradient, or BackendError where it has none."""
    density = getattr(model, "density", None)
    if density is None:
        raise BackendError(
            f"annealing from the model of theory {compiled.program.theory}",
            expected="a model whose log q has a gradient, as those of torch and jax have",
            found=f"one of the backend {compiled.backend.name}, which has no method density",
            remedy="load the run with backend='torch' or backend='jax', or draw with anneal=0",
        )
    return density()


def ess_of(log_weights: np.ndarray) -> float:
    """(Σw)²/(N Σw²), 0 if no weight is above zero."""
    kept = log_weights[np.isfinite(log_weights)]
    if not len(kept):
        return 0.0
    first, second = (float(np.asarray(logsumexp(factor * kept))) for factor in (1, 2))
    return math.exp(2 * first - second) / len(log_weights)


def _work(ensemble: Ensemble[_FromModel], state: State, step: float) -> np.ndarray:
    """Δβ (−S − log q); NaN where log q is not a number."""
    return step * ensemble.log_ratio(state)


def _setting(beta: float, step: float) -> Setting:
    return Setting(beta, step, leapfrogs_of(step), 1)


def _batch(program: Program) -> int:
    return min(_BATCH, chunk_size(program.configuration_shape))
