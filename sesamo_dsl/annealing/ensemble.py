"""Walkers with everything that moves them: compiled moves, noise from NumPy, and elements of the groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

_JITTER = 0.2  # relative half-width of step sizes, so that no orbit is periodic
_SHORT, _DECADES = 0.25, 1.5  # part of the steps that are shorter, and by how many decades at most

Proposal = Callable[[np.random.Generator, State], tuple[Array, Array]]
"""Walkers to an image, x and auxiliary coordinates."""


class Start(Protocol):
    """What a path γ_β starts from: a density q₀ with a gradient."""

    @property
    def field_shape(self) -> tuple[int, ...]:
        """Of one configuration, (components, *lattice)."""
        ...

    @property
    def mass(self) -> Whitening:
        """The linear map in which momenta of Hamiltonian Monte Carlo are N(0, 1)."""
        ...

    @property
    def auxiliary(self) -> int:
        """Number of coordinates a beside x."""
        ...

    def log_density(self, arrays: Arrays) -> LogDensity:
        """log q₀ and its gradient on arrays of a framework."""
        ...


From = TypeVar("From", bound=Start)


@dataclass(frozen=True)
class Setting:
    """One temperature: β, and how walkers move there.

    Attributes
    ----------
    step
        Typical step size of the leapfrog.
    leapfrogs
        Steps of a trajectory.
    moves
        Trajectories, each followed by moves of the groups.
    """

    beta: float
    step: float
    leapfrogs: int
    moves: int


class Ensemble(Generic[From]):
    """The moves of one theory, compiled, with their noise.

    Parameters
    ----------
    emitted
        The emitted functions with couplings filled in.
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
        moves = Moves(arrays, emitted, start.mass, start.field_shape, start.log_density(arrays))
        self._state = arrays.compiled(moves.state)
        self._trajectory = arrays.compiled(moves.trajectory)
        self._propose = arrays.compiled(moves.propose)
        self._proposals = _proposals(arrays, emitted, program, start.auxiliary)

    def draw(self: Ensemble[StartDensity], rng: np.random.Generator, count: int) -> State:
        """Independent walkers of q₀."""
        return self._state(self.start.draw(self._arrays, rng, count), self._double(np.empty((count, 0))))

    def state(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> State:
        """Walkers at given configurations, (walkers, components, *lattice), and auxiliary coordinates."""
        auxiliary = np.empty((len(x), 0)) if auxiliary is None else auxiliary
        return self._state(self._double(x), self._double(auxiliary))

    def log_ratio(self, state: State) -> np.ndarray:
        """−S − log q₀ of each walker, −∞ in a wall, (walkers,) in NumPy."""
        return -self._arrays.to_numpy(state.action) - self._arrays.to_numpy(state.log_q)

    def undefined(self, state: State) -> float:
        """Part of the walkers at which S is not a number."""
        return float(np.isnan(self._arrays.to_numpy(self._action(state.x))).mean())

    def resampled(self, state: State, parents: np.ndarray) -> State:
        """The walkers with these numbers."""
        index = self._arrays.constant(parents, "index")
        return State(*(self._arrays.take(part, index) for part in state))

    def move(
        self, rng: np.random.Generator, state: State, setting: Setting, *, backwards: bool = False
    ) -> tuple[State, float]:
        """One trajectory and one round of group moves: the walkers, and the mean acceptance probability.

        Each of them satisfies detailed balance; ``backwards`` they come in the other order, which is the move
        that goes back from where this one leads to.

        The acceptance is that of trajectories with steps of the typical size. A part of the steps is shorter,
        by up to a factor of thirty, for walkers in valleys that are narrower than most.
        """
        if backwards:
            state = self._turn(rng, state, setting, self._proposals[::-1])
        count = state.action.shape[0]
        momenta = rng.standard_normal((count, self.start.mass.size))
        short = rng.uniform(size=count) < _SHORT
        jitter = rng.uniform(1 - _JITTER, 1 + _JITTER, size=count)
        factor = np.where(short, 10 ** -rng.uniform(0, _DECADES, size=count), jitter)
        state, chance = self._trajectory(
            state,
            self._double(momenta),
            self._double(setting.step * factor),
            self._log_uniform(rng, count),
            setting.beta,
            setting.leapfrogs,
        )
        if not backwards:
            state = self._turn(rng, state, setting, self._proposals)
        typical = short.all() | ~short  # all, if there is none
        return state, float(self._arrays.to_numpy(chance)[typical].mean())

    def _turn(
        self, rng: np.random.Generator, state: State, setting: Setting, proposals: list[Proposal]
    ) -> State:
        for proposal in proposals:
            image = proposal(rng, state)
            log_uniform = self._log_uniform(rng, state.action.shape[0])
            state = self._propose(state, *image, log_uniform, setting.beta)[0]
        return state

    def work(self, setting: Setting) -> int:
        """Evaluations of S in one move."""
        return setting.leapfrogs + len(self._proposals)

    def configurations(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """(x, S) in NumPy."""
        return np.array(self._arrays.to_numpy(state.x)), np.array(self._arrays.to_numpy(state.action))

    def _double(self, values: np.ndarray) -> Array:
        return self._arrays.constant(values, "float64")

    def _log_uniform(self, rng: np.random.Generator, count: int) -> Array:
        return self._double(np.log1p(-rng.uniform(size=count)))


def resample(
    rng: np.random.Generator, ensemble: Ensemble, state: State, weights: np.ndarray
) -> tuple[State, np.ndarray]:
    """Systematic resampling: the walkers that are chosen, and their numbers before."""
    parents = systematic(weights, rng.uniform())
    return ensemble.resampled(state, parents), parents


def _proposals(
    arrays: Arrays, emitted: Mapping[str, Callable[..., Any]], program: Program, auxiliary: int
) -> list[Proposal]:
    """Draws of images under the finite group, or one of its blocks, and under each Lie group; and of a."""
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
            """Other coordinates from N(0, 1), which the density is relative to."""
            return state.x, arrays.constant(rng.standard_normal((state.x.shape[0], auxiliary)), "float64")

        found.append(drawn)
    return found
