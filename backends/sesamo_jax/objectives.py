"""Estimators of the training gradient in JAX.

With y from the flow, x = T_u y, and f(y, u) = log q̃(y) + log p(u|y) + S(T_u y), the reverse
Kullback–Leibler divergence is ⟨f⟩ + log Z. Its gradient has a part that goes through y, by reparametrisation,
and one that goes through the distribution of u:

===============  ====================================================================================
part             estimator
===============  ====================================================================================
y                differentiate f along y. Derivatives of log q̃ and log p by their weights alone
                 average to zero: the path gradient leaves them out, by holding the weights constant
                 wherever f evaluates a density. At the optimum f is constant, hence no variance is left.
u, enumerate     Σ_u p(u|y) f(y, u) is differentiated as a whole, :func:`enumerated`
u, reinforce     one u per configuration, and (f − baseline) ∇log p(u|y) with the mean of the others
                 as baseline; log p is differentiated by its weights and along y, :func:`reinforced`
===============  ====================================================================================

Reparametrisation needs an f that is continuous in y. A fold takes neighbouring points of the flow to
different walls of the domain, and f is the same there only if it is the same on all images of y, as it is
when u is uniform or from the heat bath. Of any other law the part that is not,

    f − f_heat = E_u log [p(u|y) / p_heat(u|y)] ≥ 0,   f_heat = log q̃(y) − log Σ_u exp(−S(T_u y)),

is differentiated through the density of y instead, (f − f_heat − baseline) ∇log q̃(y) at y held fixed: no
derivative along y, so no flux through the walls can be missed. It vanishes where the law is exact.

The forward divergence needs configurations of the target and is −⟨log q⟩_p + constant, :func:`mixed` in.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from sesamo_dsl.backend import WALL_HEIGHT


def enumerated(breaking: Array, log_p: Array) -> Array:
    """Σ_u p(u|y) (log p(u|y) + S₁(T_u y)) − S₁(y), summed over blocks; (order, batch, …) → (batch,)."""
    change = (jnp.exp(log_p) * (log_p + breaking)).sum(axis=0) - breaking[0]
    return change.reshape(len(change), -1).sum(axis=1)


def excess(log_p: Array, log_heat: Array) -> Array:
    """Σ_u p(u|y) log [p(u|y) / p_heat(u|y)], summed over blocks; (order, batch, …) → (batch,)."""
    gap = (jnp.exp(log_p) * (log_p - log_heat)).sum(axis=0)
    return gap.reshape(len(gap), -1).sum(axis=1)


def reinforced(value: Array, log_p: Array, baseline: bool = True) -> Array:
    """f with the score term of what was drawn in its gradient; f and its log p, (batch,), of batch ≥ 2.

    f − (mean of the others) = (f − mean) n/(n − 1). Without baseline for draws that are not all alike.
    """
    advantage = (value - value.mean()) * (len(value) / (len(value) - 1)) if baseline else value
    return value + jax.lax.stop_gradient(advantage) * (log_p - jax.lax.stop_gradient(log_p))


def walls(facets: Array, height: float, slope: float) -> Array:
    """The penalty Λ = Σ_j A σ(B λ_j) Θ(λ_j), (batch, facets) → (batch,)."""
    return height * jnp.where(facets > 0, jax.nn.sigmoid(slope * facets), 0.0).sum(axis=1)


def mixed(reverse: Array, log_q: Array | None, weight: float) -> Array:
    """(1 − w)·reverse − w·⟨log q⟩_p, a number; log q on configurations of the target, None without them."""
    if log_q is None:
        return reverse.mean()
    return (1 - weight) * reverse.mean() - weight * log_q.mean()


def batch_ess(log_w: Array, shares: Array | None) -> Array:
    """(Σw)²/(N Σw²) of a batch; shares: how often each configuration counts, (batch,) of mean 1."""
    count = 0.0 if shares is None else jnp.log(shares)
    first, second = jax.nn.logsumexp(log_w + count, axis=0), jax.nn.logsumexp(2 * log_w + count, axis=0)
    return jnp.exp(2 * first - second) / len(log_w)


def above_walls(action: Array) -> Array:
    """S, and where it is infinite a number that is larger than all others of the batch."""
    top = jnp.where(jnp.isposinf(action), -jnp.inf, action).max()
    return jnp.where(jnp.isposinf(action), jnp.where(jnp.isfinite(top), top, 0) + WALL_HEIGHT, action)


def walled(action_and_gradient: Callable[[Array], tuple[Array, Array]]) -> Callable[[Array], Array]:
    """S(x), finite, with the emitted gradient as its derivative, which leads out of a wall."""

    @jax.custom_vjp
    def action(x: Array) -> Array:
        return above_walls(action_and_gradient(x)[0])

    def forward(x: Array) -> tuple[Array, Array]:
        value, gradient = action_and_gradient(x)
        return above_walls(value), gradient

    def backward(gradient: Array, adjoint: Array) -> tuple[Array]:
        return (adjoint.reshape(-1, *(1,) * (gradient.ndim - 1)) * gradient,)

    action.defvjp(forward, backward)
    return action
