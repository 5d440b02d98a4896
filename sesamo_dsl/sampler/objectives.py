"""Estimators of the training gradient.

With y from the flow, x = T_u y, and f(y, u) = log q̃(y) + log p(u|y) + S(T_u y), the reverse
Kullback–Leibler divergence is ⟨f⟩ + log Z. Its gradient has a part that goes through y, by reparametrisation,
and one that goes through the distribution of u:

===============  ====================================================================================
part             estimator
===============  ====================================================================================
y                f is differentiated along y. Derivatives of log q̃ and log p by their weights alone
                 average to zero: the path gradient leaves them out, by holding the weights constant
                 wherever f evaluates a density. At the optimum f is constant, hence no variance is left.
u, enumerate     Σ_u p(u|y) f(y, u) is differentiated as a whole, :func:`exact_expectation`
u, reinforce     one u per configuration, and (f − baseline) ∇log p(u|y) with the mean of the others
                 as baseline; log p is differentiated by its weights and along y,
                 :func:`score_function_surrogate`
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

from dataclasses import dataclass

from ..backend import WALL_HEIGHT
from .arrays import Array, Arrays


@dataclass(frozen=True, eq=False)
class Energy:
    """E[S(x) + log p(u|·) + log p(n|·)] given y, as far as it is estimated alike.

    Attributes
    ----------
    value
        The part that is differentiated along y, (batch,).
    across_walls
        The part that is discontinuous at walls where the fold joins two of them, (batch,): it is
        differentiated through the density of y. None where there is none.
    log_law
        log p(u|·) of the one u that was drawn for every configuration, (batch,), for the score function; None
        where u is summed over.
    """

    value: Array
    across_walls: Array | None = None
    log_law: Array | None = None


@dataclass(frozen=True, eq=False)
class Objective:
    """What a step minimises, and the weights of its batch.

    Attributes
    ----------
    terms
        One number for every configuration of the batch, (batch,); their mean is differentiated.
    log_weights
        log w of each configuration, (batch,), without derivative.
    shares
        How often each configuration counts, (batch,) of mean 1; None if all count alike.
    """

    terms: Array
    log_weights: Array
    shares: Array | None = None


def exact_expectation(arrays: Arrays, breaking: Array, log_p: Array) -> Array:
    """Σ_u p(u|y) (log p(u|y) + S₁(T_u y)) − S₁(y), summed over blocks; (order, batch, …) → (batch,)."""
    change = (arrays.xp.exp(log_p) * (log_p + breaking)).sum(axis=0) - breaking[0]
    return change.reshape(len(change), -1).sum(axis=1)


def kl_to_heat_bath(arrays: Arrays, log_p: Array, log_heat: Array) -> Array:
    """Σ_u p(u|y) log [p(u|y) / p_heat(u|y)], summed over blocks; (order, batch, …) → (batch,)."""
    gap = (arrays.xp.exp(log_p) * (log_p - log_heat)).sum(axis=0)
    return gap.reshape(len(gap), -1).sum(axis=1)


def score_function_surrogate(arrays: Arrays, value: Array, log_p: Array, baseline: bool = True) -> Array:
    """f with the score term of what was drawn in its gradient; f and its log p, (batch,), of batch ≥ 2.

    f − (mean of the others) = (f − mean) n/(n − 1). Without baseline for draws that are not all alike.
    """
    advantage = (value - value.mean()) * (len(value) / (len(value) - 1)) if baseline else value
    return value + arrays.detach(advantage) * (log_p - arrays.detach(log_p))


def above_walls(arrays: Arrays, action: Array) -> Array:
    """S, and where it is infinite a number that is larger than all others of the batch, (batch,)."""
    xp = arrays.xp
    infinite = xp.isinf(action) & (action > 0)
    top = xp.max(xp.where(infinite, -xp.inf, action))
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    return xp.where(infinite, top + WALL_HEIGHT, action)


def wall_penalty(arrays: Arrays, facets: Array, height: float, slope: float) -> Array:
    """The penalty Λ = Σ_j A σ(B λ_j) Θ(λ_j), (batch, facets) → (batch,) (arXiv 2505.19619)."""
    xp = arrays.xp
    sigmoid = 0.5 * (1 + xp.tanh(0.5 * slope * facets))
    return height * xp.where(facets > 0, sigmoid, xp.zeros_like(facets)).sum(axis=1)


def mixed(reverse: Array, log_q: Array | None, weight: float) -> Array:
    """(1 − w)·reverse − w·⟨log q⟩_p, a number; log q on configurations of the target, None without them."""
    if log_q is None:
        return reverse.mean()
    return (1 - weight) * reverse.mean() - weight * log_q.mean()


def batch_ess(arrays: Arrays, log_w: Array, shares: Array | None) -> Array:
    """(Σw)²/(N Σw²) of a batch; shares: how often each configuration counts, (batch,) of mean 1."""
    count = 0.0 if shares is None else arrays.xp.log(shares)
    first, second = arrays.logsumexp(log_w + count, axis=0), arrays.logsumexp(2 * log_w + count, axis=0)
    return arrays.xp.exp(2 * first - second) / len(log_w)
