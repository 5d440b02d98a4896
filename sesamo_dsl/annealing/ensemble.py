"""The moves of walkers: compiled trajectories of Hamiltonian Monte Carlo, group moves, noise from NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from ..backend import LogDensity
from ..ir.program import Program
from ..markov.elements import GroupMove, group_moves
from ..markov.moves import Moves, State
from ..markov.whitening import Whitening
from ..values.arrays import Array, Arrays
from .start import StartDensity
from .weights import systematic

_JITTER = 0.2  # relative half-width of the distribution of step sizes, so that no orbit is periodic
_ROUNDING = 1e-9  # relative and absolute change of S and log q₀ that is rounding
_MEDIAN = 0.6745  # median of |z| for z ~ N(0, 1)
_SHORT, _DECADES = 0.25, 1.5  # part of the trajectories with shorter steps, by at most so many decades

Proposal = Callable[[np.random.Generator, State], tuple[Array, Array]]
"""A proposed move: generator and walkers → proposed x and auxiliary coordinates."""


class Start(Protocol):
    """The start of a path γ_β: a density q₀ with a gradient, and a mass matrix."""

    @property
    def field_shape(self) -> tuple[int, ...]:
        """Shape of one configuration, (components, *lattice)."""
        ...

    @property
    def mass(self) -> Whitening:
        """The linear map in which momenta of Hamiltonian Monte Carlo are N(0, 1)."""
        ...

    @property
    def auxiliary(self) -> int:
        """Number of auxiliary coordinates a beside x."""
        ...

    def log_density(self, arrays: Arrays) -> LogDensity:
        """log q₀, and its gradient or None, on arrays of a framework."""
        ...


From = TypeVar("From", bound=Start)


@dataclass(frozen=True)
class Setting:
    """The moves of walkers at one temperature.

    Attributes
    ----------
    beta
        β of the density γ_β.
    step
        Typical step size of the leapfrog integrator.
    leapfrogs
        Number of leapfrog steps of a trajectory.
    moves
        Number of trajectories, each followed by one round of group moves; of an excursion, which one round
        follows, its number of trajectories.
    scales
        Step size of each whitened coordinate in units of ``step``, (n,), which changes the mass matrix; None
        if they are alike.
    """

    beta: float
    step: float
    leapfrogs: int
    moves: int
    scales: np.ndarray | None = field(default=None, compare=False)


class Ensemble(Generic[From]):
    """The moves of one theory, compiled, with their noise.

    Parameters
    ----------
    emitted
        The emitted functions at fixed couplings.
    start
        The density q₀ of the path.
    """

    def __init__(
        self,
        arrays: Arrays,
        emitted: Mapping[str, Callable[..., Any]],
        program: Program,
        start: From,
    ) -> None:
        self._arrays, self.start = arrays, start
        self._action = emitted["action"]
        density, angles = start.log_density(arrays), program.angles
        moves = Moves(arrays, emitted, start.mass, start.field_shape, density, angles=angles)
        self._state = arrays.compiled(moves.state)
        self._trajectory = arrays.compiled(moves.trajectory)
        under_action = Moves(arrays, emitted, start.mass, start.field_shape, angles=angles)
        self._under_action = arrays.compiled(under_action.trajectory)
        self._slope = arrays.compiled(moves.slope)
        self._judge = arrays.compiled(moves.judge)
        self._propose = arrays.compiled(moves.propose)
        self._proposals = _proposals(arrays, emitted, program, start.auxiliary)

    def draw(self: Ensemble[StartDensity], rng: np.random.Generator, count: int) -> State:
        """Independent walkers drawn from q₀."""
        return self._state(self.start.draw(self._arrays, rng, count), self._double(np.empty((count, 0))))

    def warm(self: Ensemble[StartDensity], count: int) -> None:
        """Call every function once for ``count`` walkers, so that a backend that compiles has done so."""
        rng = np.random.default_rng(0)
        state = self.draw(rng, count)
        self.undefined(state)
        scales = self.scales(state, np.full(count, 1 / count), 0.0)
        self.move(rng, self.resampled(state, np.arange(count)), Setting(0.0, 1e-3, 1, 1, scales))

    def state(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> State:
        """Walkers at given configurations, (walkers, components, *lattice), and auxiliary coordinates."""
        auxiliary = np.empty((len(x), 0)) if auxiliary is None else auxiliary
        return self._state(self._double(x), self._double(auxiliary))

    def log_ratio(self, state: State) -> np.ndarray:
        """−S − log q₀ of each walker, −∞ in a wall, (walkers,) in NumPy."""
        return -self._arrays.to_numpy(state.action) - self._arrays.to_numpy(state.log_q)

    def undefined(self, state: State) -> float:
        """Fraction of the walkers at which S is NaN."""
        return float(np.isnan(self._arrays.to_numpy(self._action(state.x))).mean())

    def resampled(self, state: State, parents: np.ndarray) -> State:
        """The walkers with the numbers ``parents``, (walkers,)."""
        index = self._arrays.constant(parents, "index")
        return State(*(self._arrays.take(part, index) for part in state))

    def move(self, rng: np.random.Generator, state: State, setting: Setting) -> tuple[State, float]:
        """One trajectory and one round of group moves, each in detailed balance with γ_β.

        A quarter of the trajectories has shorter steps, by up to a factor of thirty, for walkers in narrow
        valleys; they do not enter the mean acceptance probability, which is returned with the walkers.
        """
        state, acceptance = self._followed(self._trajectory, rng, state, setting, setting.beta)
        return self._turn(rng, state, setting, self._proposals), acceptance

    def scales(self, state: State, weights: np.ndarray, beta: float) -> np.ndarray:
        """The width of γ_β in each whitened coordinate, (n,), from walkers with normalised weights.

        It is the inverse spread of g = ∂ log γ_β/∂z: for a Gaussian its width, for several modes the width of
        one of them; ⟨z g⟩ = −1, so that as a standard deviation it is never more than that of z. The spread
        is a median, which walkers far from all others do not move. It is 1 where slopes are alike to
        rounding, as where S is linear within walls.
        """
        slope = self._arrays.to_numpy(self._slope(state, beta))[systematic(weights, 0.5)]
        spread = np.median(np.abs(slope - np.median(slope, axis=0)), axis=0) / _MEDIAN
        known = spread > _ROUNDING * np.abs(slope).max(axis=0)
        return np.where(known, 1 / np.where(known, spread, 1.0), 1.0)

    def excursion(
        self, rng: np.random.Generator, state: State, setting: Setting, *, backwards: bool = False
    ) -> tuple[State, float, float]:
        """Trajectories under exp(−S), after which γ_β accepts or rejects where they led, and group moves.

        For a log q₀ that costs far more than S, as that of a model does. With ``backwards`` the steps, each
        in detailed balance with γ_β, are made in reverse order, which is the time-reversed move.

        Returns
        -------
        tuple
            The walkers; the mean acceptance probability by γ_β; and that of the trajectories, to which step
            sizes are adapted.
        """
        if backwards:
            state = self._turn(rng, state, setting, self._proposals[::-1])
        moved, rates = State(state.x, state.action, state.action_slope), []
        for _ in range(setting.moves):
            moved, rate = self._followed(self._under_action, rng, moved, setting, 1.0)
            rates.append(rate)
        log_uniform = self._log_uniform(rng, state.action.shape[0])
        state, chances = self._judge(state, moved, log_uniform, setting.beta)
        if not backwards:
            state = self._turn(rng, state, setting, self._proposals)
        return state, float(self._arrays.to_numpy(chances).mean()), float(np.mean(rates))

    def _followed(
        self,
        trajectory: Callable[..., tuple[State, Array]],
        rng: np.random.Generator,
        state: State,
        setting: Setting,
        beta: float,
    ) -> tuple[State, float]:
        """One trajectory of each walker, and the mean acceptance probability of those of typical steps."""
        count = state.action.shape[0]
        momenta = rng.standard_normal((count, self.start.mass.size))
        short = rng.uniform(size=count) < _SHORT
        jitter = rng.uniform(1 - _JITTER, 1 + _JITTER, size=count)
        steps = setting.step * np.where(short, 10 ** -rng.uniform(0, _DECADES, size=count), jitter)
        if setting.scales is not None:
            steps = steps[:, None] * setting.scales
        state, chances = trajectory(
            state,
            self._double(momenta),
            self._double(steps),
            self._log_uniform(rng, count),
            beta,
            setting.leapfrogs,
        )
        typical = short.all() | ~short  # all trajectories, if all of them are short
        return state, float(self._arrays.to_numpy(chances)[typical].mean())

    def omit_idle_moves(self, rng: np.random.Generator, state: State) -> None:
        """Omit all moves of groups that change neither S nor log q₀ of any walker.

        They map a path to an equally likely one with the same weight. Group elements of samples from a model
        are independent from the start.
        """
        self._proposals = [p for p in self._proposals if not self._is_idle(state, *p(rng, state))]

    def _is_idle(self, state: State, x: Array, auxiliary: Array) -> bool:
        end = self._state(x, auxiliary)

        def alike(one: Array, other: Array) -> bool:
            a, b = self._arrays.to_numpy(one), self._arrays.to_numpy(other)
            return np.allclose(a, b, rtol=_ROUNDING, atol=_ROUNDING)

        return alike(state.action, end.action) and alike(state.log_q, end.log_q)

    def _turn(
        self, rng: np.random.Generator, state: State, setting: Setting, proposals: list[Proposal]
    ) -> State:
        for proposal in proposals:
            image = proposal(rng, state)
            log_uniform = self._log_uniform(rng, state.action.shape[0])
            state = self._propose(state, *image, log_uniform, setting.beta)[0]
        return state

    def work(self, setting: Setting) -> int:
        """Number of evaluations of S in one move, per walker."""
        return setting.leapfrogs + self.proposals

    @property
    def proposals(self) -> int:
        """Number of Metropolis steps in one move, each with an evaluation of S and log q₀."""
        return len(self._proposals)

    def configurations(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """(x, S) in NumPy, (walkers, components, *lattice) and (walkers,)."""
        return np.array(self._arrays.to_numpy(state.x)), np.array(self._arrays.to_numpy(state.action))

    def _double(self, values: np.ndarray) -> Array:
        return self._arrays.constant(values, "float64")

    def _log_uniform(self, rng: np.random.Generator, count: int) -> Array:
        return self._double(np.log1p(-rng.uniform(size=count)))


def resample(
    rng: np.random.Generator, ensemble: Ensemble, state: State, weights: np.ndarray
) -> tuple[State, np.ndarray]:
    """Systematic resampling; returns the chosen walkers and the numbers of their parents, (walkers,)."""
    parents = systematic(weights, rng.uniform())
    return ensemble.resampled(state, parents), parents


def _proposals(
    arrays: Arrays, emitted: Mapping[str, Callable[..., Any]], program: Program, auxiliary: int
) -> list[Proposal]:
    """Proposals of images under the finite group, or at a block, and under each Lie group; and of new a."""
    found: list[Proposal] = []
    for move in group_moves(arrays, emitted, program):
        compiled = arrays.compiled(move.image)

        def turned(
            rng: np.random.Generator,
            state: State,
            move: GroupMove = move,
            image: Callable[..., Array] = compiled,
        ) -> tuple[Array, Array]:
            noise = move.noise(rng, (state.x.shape[0],))
            kind = "index" if np.issubdtype(noise.dtype, np.integer) else "float64"
            return image(state.x, arrays.constant(noise, kind)), state.auxiliary

        found += [turned] * move.repeats
    if auxiliary:

        def drawn(rng: np.random.Generator, state: State) -> tuple[Array, Array]:
            """New auxiliary coordinates from N(0, 1); log q₀ is log q₀(x, a) − log N(a)."""
            return state.x, arrays.constant(rng.standard_normal((state.x.shape[0], auxiliary)), "float64")

        found.append(drawn)
    return found
