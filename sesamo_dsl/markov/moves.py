"""Moves that leave γ_β ∝ q₀^(1−β) e^(−βS) invariant, for a batch of walkers on arrays of a framework.

Hamiltonian Monte Carlo with momenta that are N(0, 1) in whitened coordinates z = R x, and Metropolis steps to
images under maps that are drawn as often as their inverses and keep volumes, accepted with
min(1, γ_β(T x)/γ_β(x)). Markov chains have no q₀, and β = 1.

All noise is an argument, so that nothing here is random, and what is compiled is compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend import LogDensity
from ..values.arrays import Array, Arrays
from ..values.manifolds import wrapped_fields
from ..values.precision import Precision
from .whitening import LinearMaps, Whitening


class State(NamedTuple):
    """Walkers and what is known about where they are.

    Attributes
    ----------
    x
        (walkers, components, *lattice).
    action, action_slope
        S, +∞ where it is not a number, and ∂S/∂x, 0 where it is not finite.
    log_q, log_q_slope
        log q₀ and ∂log q₀/∂x; None without a q₀, and the second one also if log q₀ has no gradient.
    auxiliary
        Coordinates a that q₀ has beside x, (walkers, k), mostly none; log q₀ is relative to their N(0, 1).
    """

    x: Array
    action: Array
    action_slope: Array
    log_q: Array | None = None
    log_q_slope: Array | None = None
    auxiliary: Array | None = None


class Moves:
    """The moves of one theory at fixed couplings.

    Parameters
    ----------
    emitted
        The emitted functions with couplings filled in.
    mass
        The linear map to coordinates in which momenta are N(0, 1).
    field_shape
        Of one configuration, (components, *lattice).
    log_density
        log q₀ and its gradient, if it has one; None where β is always 1.
    angles
        Numbers of the components that are angles. Trajectories pass ±π as if nothing were there, and are
        taken to (−π, π] at their ends.
    """

    def __init__(
        self,
        arrays: Arrays,
        emitted: Mapping[str, Callable[..., Any]],
        mass: Whitening,
        field_shape: tuple[int, ...],
        log_density: LogDensity | None = None,
        precision: Precision = "float64",
        angles: Sequence[int] = (),
    ) -> None:
        self._arrays, self._xp, self._angles = arrays, arrays.xp, angles
        self._action = emitted["action_and_gradient"]
        self._log_density = log_density
        self._mass = LinearMaps(arrays, mass, field_shape, precision)

    def state(self, x: Array, auxiliary: Array | None = None) -> State:
        """What is known about given configurations."""
        return self._with_log_q(self._of_action(x), auxiliary)

    def _of_action(self, x: Array) -> State:
        xp = self._xp
        action, slope = self._action(x)
        action = xp.where(xp.isnan(action), np.inf, action)
        return State(x, action, xp.where(xp.isfinite(slope), slope, 0.0))

    def _with_log_q(self, state: State, auxiliary: Array | None) -> State:
        if self._log_density is None:
            return state
        xp = self._xp
        log_q, slope = self._log_density(state.x, auxiliary)
        if slope is not None:
            slope = xp.where(xp.isfinite(slope), slope, 0.0)
        return state._replace(log_q=log_q, log_q_slope=slope, auxiliary=auxiliary)

    def trajectory(
        self,
        state: State,
        momenta: Array,
        steps: Array,
        log_uniform: Array,
        beta: Any,
        leapfrogs: Any,
    ) -> tuple[State, Array]:
        """One trajectory of each walker.

        Parameters
        ----------
        momenta
            N(0, 1), (walkers, n).
        steps
            Step size of each walker, (walkers,), or of each of its coordinates, (walkers, n). Steps in
            proportion to d are those of a mass matrix (D⁻¹R)ᵀ(D⁻¹R), D = diag d, in place of RᵀR.
        log_uniform
            Logarithms of uniform numbers, (walkers,).
        leapfrogs
            Number of leapfrog steps.

        Returns
        -------
        tuple
            The walkers after it, and its acceptance probability, (walkers,).
        """
        xp = self._xp
        length = xp.reshape(steps, (steps.shape[0], -1))

        def leap(_: Any, carry: tuple[State, Array]) -> tuple[State, Array]:
            s, p = carry
            s = self.state(s.x + self._mass.spread(length * p), s.auxiliary)
            return s, p - length * self.slope(s, beta)

        half = momenta - length / 2 * self.slope(state, beta)
        end, p = self._arrays.repeat(leapfrogs, leap, (state, half))
        p = p + length / 2 * self.slope(end, beta)
        kinetic = (xp.sum(momenta**2, axis=1) - xp.sum(p**2, axis=1)) / 2
        end = end._replace(x=wrapped_fields(xp, end.x, self._angles))
        return self._chosen(state, end, self._gain(state, end, beta) + kinetic, log_uniform)

    def slope(self, state: State, beta: Any) -> Array:
        """−∂ log γ_β/∂z in the whitened coordinates z, (walkers, n)."""
        total = state.action_slope
        if state.log_q_slope is not None:
            total = beta * total - (1 - beta) * state.log_q_slope
        return self._mass.pull_back(total)

    def propose(
        self, state: State, x: Array, auxiliary: Array | None, log_uniform: Array, beta: Any
    ) -> tuple[State, Array]:
        """Metropolis step to images under maps that preserve the measure dx N(a) da.

        Maps and their inverses are drawn equally often; so are auxiliary coordinates before and after.
        """
        end = self.state(x, auxiliary)
        return self._chosen(state, end, self._gain(state, end, beta), log_uniform)

    def judge(self, state: State, moved: State, log_uniform: Array, beta: Any) -> tuple[State, Array]:
        """Metropolis step for γ_β to where moves under exp(−S) have taken the walkers.

        Such moves satisfy detailed balance with respect to exp(−S), so that γ_β accepts them with
        min(1, exp[(1 − β) Δ(log q₀ + S)]); the surrogate transition method of J. S. Liu, *Monte Carlo
        Strategies in Scientific Computing* (Springer, 2001), section 9.4.3.
        """
        end = self._with_log_q(moved, state.auxiliary)
        assert state.log_q is not None
        assert end.log_q is not None
        change = (1 - beta) * (end.log_q - state.log_q + end.action - state.action)
        return self._chosen(state, end, change, log_uniform)

    def _gain(self, state: State, end: State, beta: Any) -> Array:
        """log γ_β(end) − log γ_β(state), (walkers,)."""
        change = state.action - end.action
        if state.log_q is not None and end.log_q is not None:
            change = beta * change + (1 - beta) * (end.log_q - state.log_q)
        return change

    def _chosen(self, state: State, end: State, change: Array, log_uniform: Array) -> tuple[State, Array]:
        """The end with probability min(1, e^change), else the state; and this probability."""
        xp = self._xp
        change = xp.where(xp.isnan(change), -np.inf, change)  # NaN is never accepted
        accepted = log_uniform < change

        def merged(new: Array, old: Array) -> Array:
            if new is None:
                return None
            return xp.where(xp.reshape(accepted, (-1, *(1,) * (new.ndim - 1))), new, old)

        acceptance = xp.exp(xp.where(change < 0, change, 0.0))
        return State(*map(merged, end, state)), acceptance
