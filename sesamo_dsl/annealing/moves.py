"""Moves that leave γ_β ∝ q₀^(1−β) e^(−βS) invariant, for a batch of walkers on arrays of a framework.

Hamiltonian Monte Carlo with momenta that are N(0, 1) in whitened coordinates z = R x, and moves by elements
of the declared groups that are drawn uniformly. The inverse of an element is drawn as often as the element
itself and volumes do not change, so a move is accepted with min(1, γ_β(T x)/γ_β(x)), whatever S₁ and q₀ are.

All noise is an argument, so that nothing here is random, and what is compiled is compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..backend import LogDensity
from ..values.arrays import Array, Arrays
from .whitening import LinearMaps, Whitening


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


class State(NamedTuple):
    """Walkers and what is known about where they are.

    Attributes
    ----------
    x
        (walkers, components, *lattice).
    action, action_slope
        S, +∞ where it is not a number, and ∂S/∂x, 0 where it is not finite.
    log_q, log_q_slope
        log q₀ and ∂log q₀/∂x.
    auxiliary
        Coordinates a that q₀ has beside x, (walkers, k), mostly none; log q₀ is relative to their N(0, 1).
    """

    x: Array
    action: Array
    action_slope: Array
    log_q: Array
    log_q_slope: Array
    auxiliary: Array


class Moves:
    """The moves of one theory at fixed couplings.

    Parameters
    ----------
    emitted
        The emitted functions with couplings filled in.
    """

    def __init__(
        self,
        arrays: Arrays,
        emitted: Mapping[str, Callable[..., Any]],
        start: Start,
    ) -> None:
        self._arrays, self._xp = arrays, arrays.xp
        self._action = emitted["action_and_gradient"]
        self._log_density = start.log_density(arrays)
        self._mass = LinearMaps(arrays, start.mass, start.field_shape)

    def state(self, x: Array, auxiliary: Array) -> State:
        """What is known about given configurations."""
        xp = self._xp
        action, slope = self._action(x)
        action = xp.where(xp.isnan(action), np.inf, action)
        slope = xp.where(xp.isfinite(slope), slope, 0.0)
        log_q, log_q_slope = self._log_density(x, auxiliary)
        log_q_slope = xp.where(xp.isfinite(log_q_slope), log_q_slope, 0.0)
        return State(x, action, slope, log_q, log_q_slope, auxiliary)

    def trajectory(
        self,
        state: State,
        momenta: Array,
        steps: Array,
        log_uniform: Array,
        beta: Array,
        leapfrogs: Any,
        widths: Array,
    ) -> tuple[State, Array]:
        """One trajectory of each walker: the walkers after it, and its acceptance probability, (walkers,).

        Parameters
        ----------
        momenta
            N(0, 1), (walkers, n).
        steps
            Step size of each walker, (walkers,).
        log_uniform
            Logarithms of uniform numbers, (walkers,).
        leapfrogs
            Number of leapfrog steps.
        widths
            Of the walkers' distribution in each whitened coordinate, (n,): the mass is its inverse square.
        """
        xp = self._xp
        length = steps[:, None]

        def slope(s: State) -> Array:
            return widths * self._mass.pull_back(beta * s.action_slope - (1 - beta) * s.log_q_slope)

        def leap(_: Any, carry: tuple[State, Array]) -> tuple[State, Array]:
            s, p = carry
            s = self.state(s.x + self._mass.spread(length * widths * p), s.auxiliary)
            return s, p - length * slope(s)

        half = momenta - length / 2 * slope(state)
        end, p = self._arrays.repeat(leapfrogs, leap, (state, half))
        p = p + length / 2 * slope(end)
        kinetic = (xp.sum(momenta**2, axis=1) - xp.sum(p**2, axis=1)) / 2
        return self._chosen(state, end, kinetic, log_uniform, beta)

    def propose(
        self, state: State, x: Array, auxiliary: Array, log_uniform: Array, beta: Array
    ) -> tuple[State, Array]:
        """Metropolis step to images under maps that preserve the measure dx N(a) da.

        Maps and their inverses are drawn equally often; so are auxiliary coordinates before and after.
        """
        end = self.state(x, auxiliary)
        return self._chosen(state, end, self._xp.zeros_like(state.action), log_uniform, beta)

    def _chosen(
        self, state: State, end: State, gain: Array, log_uniform: Array, beta: Array
    ) -> tuple[State, Array]:
        xp = self._xp
        change = beta * (state.action - end.action) + (1 - beta) * (end.log_q - state.log_q) + gain
        change = xp.where(xp.isnan(change), -np.inf, change)  # NaN is never accepted
        accepted = log_uniform < change

        def merged(new: Array, old: Array) -> Array:
            return xp.where(xp.reshape(accepted, (-1, *(1,) * (new.ndim - 1))), new, old)

        acceptance = xp.exp(xp.where(change < 0, change, 0.0))
        return State(*map(merged, end, state)), acceptance
