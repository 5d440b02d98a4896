"""Blocks of trajectories, each followed by moves of the groups: compiled as one, with noise from NumPy.

Momenta are N(0, 1) in coordinates in which the Hessian of S at its minima is 1, where all oscillations have
the period 2π; a trajectory lasts a quarter of it unless the number of its steps is given. Every trajectory
has its own step size, uniform within ±20 %, so that no orbit is periodic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..ir.program import Program
from ..markov.elements import group_moves
from ..markov.moves import Moves, State
from ..markov.whitening import Whitening
from ..values.arrays import Array, Arrays
from ..values.precision import Precision
from .adaptation import Adaptation
from .options import HMCOptions

_JITTER = 0.2
_ORBIT = 1.5  # length of a trajectory in units of the widths
_MOST_LEAPFROGS = 32


class Block(NamedTuple):
    """What a block of trajectories hands back.

    Attributes
    ----------
    x, action
        After each trajectory, (trajectories, chains, components, *lattice) and (trajectories, chains).
    acceptance
        Acceptance probabilities, (trajectories, chains).
    """

    x: np.ndarray
    action: np.ndarray
    acceptance: np.ndarray


class Kernel:
    """The transitions of all chains at fixed couplings.

    Parameters
    ----------
    emitted
        The emitted functions with couplings filled in.
    mass
        The linear map to coordinates in which momenta are N(0, 1).
    """

    def __init__(
        self,
        arrays: Arrays,
        emitted: Mapping[str, Callable[..., Any]],
        program: Program,
        mass: Whitening,
        options: HMCOptions,
        precision: Precision,
    ) -> None:
        self._arrays, self._xp, self._options = arrays, arrays.xp, options
        self._precision: Precision = precision
        self._size = mass.size
        self._moves = Moves(
            arrays, emitted, mass, program.configuration_shape, precision=precision, angles=program.angles
        )
        self._groups = group_moves(arrays, emitted, program, heat_bath=True) if options.moves else []
        self._state = arrays.compiled(self._moves.state)
        self._block = arrays.compiled(self._trajectories)

    def start(self, x: np.ndarray) -> tuple[State, Adaptation]:
        """Chains at given configurations, (chains, components, *lattice)."""
        step = self._options.step_size or min(1.0, 1.3 * self._size**-0.25)
        adaptation = Adaptation.start(self._arrays, step, self._precision)
        return self._state(self._arrays.constant(x, self._precision)), adaptation

    def run(
        self, rng: np.random.Generator, state: State, adaptation: Adaptation, adapting: np.ndarray
    ) -> tuple[State, Adaptation, Block]:
        """A trajectory for each entry of ``adapting``, 1 where the step size adapts and 0 elsewhere."""
        shape = (len(adapting), state.action.shape[0])
        noise: list[np.ndarray] = [
            adapting,
            rng.standard_normal((*shape, self._size)),
            rng.uniform(1 - _JITTER, 1 + _JITTER, size=shape),
            np.log1p(-rng.uniform(size=shape)),
        ]
        for move in self._groups:
            repeated = (shape[0], move.repeats, shape[1])
            noise += [move.noise(rng, repeated), move.log_uniform(rng, repeated)]
        rows = tuple(
            self._arrays.constant(n, "index" if np.issubdtype(n.dtype, np.integer) else self._precision)
            for n in noise
        )
        (state, adaptation), outs = self._block(state, adaptation, rows)
        return state, adaptation, Block(*map(self._arrays.to_numpy, outs))

    def step_size(self, adaptation: Adaptation) -> tuple[float, int]:
        """The step that is kept, and the leapfrog steps of a trajectory."""
        step = float(np.exp(self._arrays.to_numpy(adaptation.log_mean)))
        return step, self._options.steps or int(np.clip(np.round(_ORBIT / step), 1, _MOST_LEAPFROGS))

    def _trajectories(
        self, state: State, adaptation: Adaptation, rows: tuple[Array, ...]
    ) -> tuple[tuple[State, Adaptation], tuple[Array, ...]]:
        return self._arrays.scan(self._trajectory, (state, adaptation), rows)

    def _trajectory(
        self, carry: tuple[State, Adaptation], row: tuple[Array, ...]
    ) -> tuple[tuple[State, Adaptation], tuple[Array, ...]]:
        """One trajectory of every chain, and the moves after it."""
        xp, (state, adaptation) = self._xp, carry
        adapting, momenta, jitter, log_uniform, *noise = row
        step = xp.exp(xp.where(adapting > 0, adaptation.log_step, adaptation.log_mean))
        state, chance = self._moves.trajectory(
            state, momenta, step * jitter, log_uniform, 1.0, self._leapfrogs(step)
        )
        target = self._options.target_acceptance
        adaptation = adaptation.after(self._arrays, xp.mean(chance), target, adapting)
        for i, move in enumerate(self._groups):

            def turned(
                state: State, row: tuple[Array, ...], image: Callable[[Array, Array], Array] = move.image
            ) -> tuple[State, tuple[()]]:
                return self._moves.propose(state, image(state.x, row[0]), None, row[1], 1.0)[0], ()

            state, _ = self._arrays.scan(turned, state, tuple(noise[2 * i : 2 * i + 2]))
        return (state, adaptation), (state.x, state.action, chance)

    def _leapfrogs(self, step: Array) -> Any:
        if self._options.steps is not None:
            return self._options.steps
        xp = self._xp
        return xp.astype(xp.clip(xp.round(_ORBIT / step), 1, _MOST_LEAPFROGS), xp.int32)
