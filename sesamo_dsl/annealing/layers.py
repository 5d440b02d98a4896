"""Annealing from a model: each of its samples moves to exp(−S) along γ_β ∝ q^(1−β) exp(−βS) independently.

Annealed importance sampling (R. M. Neal, Stat. Comput. 11 (2001) 125) that starts from a trained flow is a
stochastic normalizing flow (H. Wu, J. Köhler, F. Noé, NeurIPS 2020; M. Caselle et al., JHEP 07 (2022) 015).
At each of K layers the log weight of a sample x increases by the work (β_k − β_{k−1}) (−S − log q)(x), and x
moves by a kernel that leaves γ_k invariant. The expected weight is Z for any K. There is no resampling, so
samples stay independent of each other. With auxiliary coordinates the path lives on (x, a), and new values of
a are proposed from N(0, 1).

log q of a flow costs far more than S. The kernel is therefore an excursion: a number of trajectories under
exp(−S), and one evaluation of log q where they end, with which γ_k accepts or rejects the whole of it.

Step sizes and numbers of trajectories come from a pilot, a separate batch, so that kernels do not depend on
the samples that they move. :mod:`.layer_training` may change step sizes, temperatures and the mass, by pilots
as well. All computations are in float64, except for those of flows in float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from .. import checks
from ..backend import Draws, LogDensity, Model, ModelDensity
from ..compiled_program import CompiledProgram
from ..errors import AnnealingError, BackendError, OptionError
from ..estimates.annealing_record import LayerParameters, LayerTraining, ess_of
from ..ir.program import Program
from ..machine.memory import chunk_size
from ..markov.moves import State
from ..markov.whitening import Whitening
from ..values.arrays import Arrays
from ..values.couplings import Couplings
from .ensemble import Ensemble, Setting
from .population import ACCEPTANCE, leapfrogs_of
from .start_of_theory import mass_of_samples

MOST_LAYERS = 10_000
TARGET = 0.9
"""ESS at which ``"auto"`` stops to increase the number of layers."""
SECONDS = 60.0
"""Default time limit of ``"auto"``."""
FEWEST = 32
"""Least number of usable samples in a pilot."""
_BATCH = 512  # largest number of samples in a batch, and in the pilot
_WARM = 12  # most moves at the first temperature to adapt the step size
_MOST_MOVES = 16  # trajectories of an excursion; without determinants S costs next to nothing beside log q
_LONGER, _SHORTER = 0.6, 0.4  # acceptance of excursions above which they get longer, below which shorter
_WORTH = 1.3  # least factor by which the number of layers is raised
_ALIKE = 1e-6  # range of the logarithms of stiffnesses that are equal up to rounding
_FITS = 0.1  # largest deviation of the acceptance from its target after this adaptation

Tick = Callable[[str, float], None]
"""Called with a description of the work and its fraction that is done; may raise Interruption."""


def checked_layers(value: int | Literal["auto"], train_layers: bool = False) -> int | Literal["auto"]:
    """The checked option ``anneal``: ``"auto"`` or a number of layers, else OptionError.

    Layers that are to be trained are at least two: log weights of a single layer do not depend on its move.
    """
    if isinstance(value, str) and value == "auto":
        return "auto"
    count = checks.integer(
        value,
        "option anneal",
        least=0,
        most=MOST_LAYERS,
        what="'auto', or a number of layers",
        remedy="give for instance 20, or 'auto'; 0 leaves the samples as the model draws them",
    )
    if train_layers and count < 2:
        raise OptionError(
            "option train_layers",
            expected="at least 2 layers to train",
            found=f"anneal={count}",
            remedy="give for instance anneal=8, or anneal='auto'; or leave train_layers out",
        )
    return count


@dataclass(frozen=True, eq=False)
class _FromModel:
    """The model as start of the path; implements ``Start``."""

    field_shape: tuple[int, ...]
    mass: Whitening
    auxiliary: int
    density: ModelDensity

    def log_density(self, arrays: Arrays) -> LogDensity:
        """log q of the model, whose gradient would cost more than it gains."""
        return lambda x, auxiliary: (self.density.log_density(x, auxiliary), None)


class Moved(NamedTuple):
    """Samples after the layers.

    Attributes
    ----------
    state
        The configurations after the layers.
    log_weights
        Log weights, the work along each path, (samples,).
    acceptance
        Mean acceptance probability of the trajectories.
    """

    state: State
    log_weights: np.ndarray
    acceptance: float


class Pilot:
    """A batch of samples of the model with which step sizes are adapted.

    Attributes
    ----------
    ensemble
        The moves, in coordinates that are the principal axes of the mass matrix.
    spectrum
        Eigenvalues of the mass matrix along these axes, (n,).
    state, leaked
        The samples as the model drew them, and which of them left the domain, (samples,).
    seed
        Seed of the annealing.
    """

    def __init__(self, model: Model, compiled: CompiledProgram, values: Couplings, seed: int) -> None:
        program, density = compiled.program, density_of(model, compiled)
        self._model, self.compiled, self.density, self.seed = model, compiled, density, seed
        draws = self._draws(11)
        x = draws.x.astype(np.float64)
        alive = ~draws.leaked & np.isfinite(x.reshape(len(x), -1)).all(axis=1)
        if alive.sum() < FEWEST:
            raise AnnealingError(
                f"annealing from the model of theory {program.theory}",
                expected=f"at least {FEWEST} of {len(x)} samples inside the domain, with finite entries",
                found=f"{int(alive.sum())}",
                remedy="train for longer, or with strategy='fold', which never leaks",
            )
        shape = program.configuration_shape
        mass, self.spectrum = mass_of_samples(program, values, x[alive]).principal()
        start = _FromModel(shape, mass, draws.auxiliary.shape[1], density)
        self.ensemble = Ensemble(density.arrays, density.emitted, program, start)
        self.state = self.ensemble.state(x, draws.auxiliary)
        self.ensemble.omit_idle_moves(np.random.default_rng([seed, 15]), self.state)
        self.leaked = draws.leaked

    def _draws(self, stream: int) -> Draws:
        drawn = int(np.random.SeedSequence([self.seed, stream]).generate_state(1, np.uint64)[0] >> 1)
        return self._model.sample(_batch(self.compiled.program), drawn)

    def second(self) -> tuple[State, np.ndarray]:
        """A batch of other samples, on which nothing depends: (state, leaked)."""
        draws = self._draws(16)
        return self.ensemble.state(draws.x.astype(np.float64), draws.auxiliary), draws.leaked

    def layers(self, count: int, tick: Tick) -> Layers:
        """``count`` layers with adapted step sizes; the pilot starts from the same samples for each count."""
        rng = np.random.default_rng([self.seed, 12, count])
        step = min(1.0, 1.3 * self.ensemble.start.mass.size**-0.25)
        state = self.state
        for _ in range(_WARM):
            state, _, conserved = self.ensemble.excursion(rng, state, _setting(1 / count, step, 1))
            if abs(conserved - ACCEPTANCE) < _FITS:
                break
            step *= math.exp(conserved - ACCEPTANCE)
        state, log_w = self.state, np.zeros(len(self.leaked))
        ladder: list[Setting] = []
        moves, most = 1, 1 if self.compiled.program.has_determinants else _MOST_MOVES
        for k in range(1, count + 1):
            tick(f"pilot of {count} layers", k / count)
            log_w = log_w + _work(self.ensemble, state, 1 / count)
            ladder.append(_setting(k / count, step, moves))
            state, acceptance, conserved = self.ensemble.excursion(rng, state, ladder[-1])
            step *= math.exp((conserved - ACCEPTANCE) / 2)
            if acceptance > _LONGER:
                moves = min(2 * moves, most)
            elif acceptance < _SHORTER:
                moves = max(moves // 2, 1)
        ess = ess_of(np.where(self.leaked, -np.inf, log_w))
        return Layers(self, tuple(ladder), ess)


class Layers:
    """The layers: a ladder of temperatures with moves whose step sizes come from a pilot.

    Attributes
    ----------
    ladder
        Temperatures and moves, β_1 to β_K = 1.
    pilot, pilot_ess
        The pilot and its ESS.
    training
        Record of a training of the layers; None without one.
    """

    def __init__(
        self,
        pilot: Pilot,
        ladder: tuple[Setting, ...],
        pilot_ess: float,
        training: LayerTraining | None = None,
    ) -> None:
        self._density, self._compiled, self._ensemble = pilot.density, pilot.compiled, pilot.ensemble
        self._canonicalize = self._density.arrays.compiled(self._density.emitted["canonicalize"])
        self.pilot, self.ladder, self.pilot_ess, self.training = pilot, ladder, pilot_ess, training

    @classmethod
    def of(
        cls, model: Model, compiled: CompiledProgram, values: Couplings, count: int, seed: int, tick: Tick
    ) -> Layers:
        """``count`` layers from the model with its present weights.

        Raises
        ------
        BackendError
            If the backend does not provide the model's density on arrays of its framework.
        AnnealingError
            If too few samples of the model are finite and inside of the domain.
        """
        return Pilot(model, compiled, values, seed).layers(count, tick)

    @classmethod
    def chosen(
        cls,
        model: Model,
        compiled: CompiledProgram,
        values: Couplings,
        samples: int,
        seconds: float,
        seed: int,
        tick: Tick,
        passes: int = 0,
    ) -> Layers:
        """Layers whose number rises until the ESS of the pilot is 0.9, or the time does not allow more.

        It is doubled as long as there is time for that, and then raised as far as the time allows.

        Parameters
        ----------
        samples
            Number of samples that will pass the layers.
        seconds
            The time that search and samples may take together.
        passes
            How often a pilot will pass the layers beside, for which there has to be time as well.
        """
        began, count = time.perf_counter(), 2
        pilot = Pilot(model, compiled, values, seed)
        while True:
            start = time.perf_counter()
            found = pilot.layers(count, tick)
            of_pilot = time.perf_counter() - start
            again = of_pilot * (1 + passes + samples / len(pilot.leaked))  # for the same number once more
            factor = min((seconds - (time.perf_counter() - began)) / again, 2.0, MOST_LAYERS / count)
            if found.pilot_ess >= TARGET or factor < _WORTH:
                return found
            count = int(factor * count)

    @property
    def evaluations(self) -> tuple[int, int]:
        """Numbers of evaluations of S, with its gradient, and of log q, per sample."""
        proposals = len(self.ladder) * self._ensemble.proposals
        trajectories = sum(setting.moves * setting.leapfrogs for setting in self.ladder)
        return 1 + trajectories + proposals, 1 + len(self.ladder) + proposals

    def changed(self, parameters: LayerParameters) -> Layers:
        """Layers that differ from these by smooth changes of steps, temperatures and mass.

        The number of leapfrog steps stays as it is, and so does the cost.
        """
        position = 2 * np.arange(1, len(self.ladder) + 1) / len(self.ladder) - 1  # of each layer, up to 1
        increments = np.diff(self._betas) * np.exp(parameters.spacing * (position - 1 / len(self.ladder)))
        betas = np.cumsum(increments) / increments.sum()
        betas[-1] = 1.0
        factors = np.exp(parameters.step + parameters.slope * position)
        stiffness = np.log(self.pilot.spectrum)
        width = np.ptp(stiffness)
        power = 2 * parameters.mass / width if width > _ALIKE else 0.0
        scales = np.exp(power * (stiffness - stiffness.mean()))
        ladder = tuple(
            replace(setting, beta=float(beta), step=setting.step * float(factor), scales=scales)
            for setting, beta, factor in zip(self.ladder, betas, factors, strict=True)
        )
        return Layers(self.pilot, ladder, self.pilot_ess)

    def log_weights(self, state: State, rng: np.random.Generator, tick: Callable[[], None]) -> np.ndarray:
        """The log weights of :meth:`forward`, (samples,), without the last move, which does not enter."""
        moved = self._along(self.ladder[:-1], state, rng, lambda _: tick())
        before = self._betas[-2]
        return moved.log_weights + _work(self._ensemble, moved.state, self.ladder[-1].beta - before)

    def forward(self, state: State, rng: np.random.Generator, tick: Callable[[float], None]) -> Moved:
        """Take samples of the model to exp(−S)."""
        return self._along(self.ladder, state, rng, tick)

    def _along(
        self,
        ladder: Sequence[Setting],
        state: State,
        rng: np.random.Generator,
        tick: Callable[[float], None],
    ) -> Moved:
        log_w, before, chances = np.zeros(state.action.shape[0]), 0.0, []
        for setting in ladder:
            log_w = log_w + _work(self._ensemble, state, setting.beta - before)
            state, chance, _ = self._ensemble.excursion(rng, state, setting)
            chances.append(chance)
            before = setting.beta
            tick(before)
        return Moved(state, log_w, float(np.mean(chances)))

    def backward(self, state: State, rng: np.random.Generator) -> Moved:
        """Take samples of exp(−S) to the model, by the time-reversed moves of :meth:`forward`."""
        log_w, chances = np.zeros(state.action.shape[0]), []
        for setting, before in zip(self.ladder[::-1], self._betas[-2::-1], strict=True):
            state, chance, _ = self._ensemble.excursion(rng, state, setting, backwards=True)
            chances.append(chance)
            log_w = log_w + _work(self._ensemble, state, setting.beta - before)
        return Moved(state, log_w, float(np.mean(chances)))

    @property
    def _betas(self) -> list[float]:
        return [0.0, *(setting.beta for setting in self.ladder)]

    def batches(self, count: int) -> list[np.ndarray]:
        """Numbers of the samples in each batch; all batches have one size, the last repeats a sample."""
        size = math.ceil(count / math.ceil(count / _batch(self._compiled.program)))
        return [np.minimum(np.arange(start, start + size), count - 1) for start in range(0, count, size)]

    def start(self, draws: Draws) -> State:
        """The state of samples as the model drew them."""
        return self._ensemble.state(draws.x.astype(np.float64), draws.auxiliary)

    def log_ratio(self, state: State) -> np.ndarray:
        """−S − log q of the samples, (samples,) in NumPy."""
        return self._ensemble.log_ratio(state)

    def draws(self, state: State, leaked: np.ndarray, mismatch: np.ndarray | None) -> Draws:
        """The present samples, with ``leaked`` and ``mismatch`` from the time when they were drawn."""
        to_numpy = self._density.arrays.to_numpy
        u = to_numpy(self._canonicalize(state.x)[1])
        x, log_q, action, auxiliary = (
            np.array(to_numpy(a)) for a in (state.x, state.log_q, state.action, state.auxiliary)
        )
        return Draws(x, log_q, action, np.array(u), leaked, auxiliary, mismatch)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """−S minus the work of a reverse path, (n, components, *lattice) → (n,).

        It replaces log q for annealed samples, so that −S − log_prob is the log weight of a path: the reverse
        path leads from a configuration of exp(−S) back to the model, and its work is the log weight of the
        forward path that ends at the configuration.
        """
        auxiliary, found = self._density.auxiliary(len(x)), []
        with self._compiled.backend.scope("float64"):
            for number, part in enumerate(self.batches(len(x)) if len(x) else []):
                state = self._ensemble.state(x[part], auxiliary[part])
                rng = np.random.default_rng([self.pilot.seed, 13, number])
                action = self._density.arrays.to_numpy(state.action)
                found.append(-action - self.backward(state, rng).log_weights)
        return np.concatenate([np.empty(0), *found])[: len(x)]


def density_of(model: Model, compiled: CompiledProgram) -> ModelDensity:
    """log q of a model on arrays of its framework; BackendError if the backend does not provide it."""
    density = getattr(model, "density", None)
    if density is None:
        raise BackendError(
            f"annealing from the model of theory {compiled.program.theory}",
            expected="a model with log q on arrays of its framework, such as those of torch and jax",
            found=f"one of the backend {compiled.backend.name}, which has no method density",
            remedy="load the run with backend='torch' or backend='jax', or draw with anneal=0",
        )
    return density()


def _work(ensemble: Ensemble[_FromModel], state: State, step: float) -> np.ndarray:
    """Δβ (−S − log q) of each sample, (samples,); NaN if log q is NaN."""
    return step * ensemble.log_ratio(state)


def _setting(beta: float, step: float, moves: int) -> Setting:
    return Setting(beta, step, leapfrogs_of(step), moves)


def _batch(program: Program) -> int:
    return min(_BATCH, chunk_size(program.configuration_shape))
