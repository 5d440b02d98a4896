"""Estimators of the training gradient.

With y from the flow, x = T_u y, and f(y, u) = log q̃(y) + log p(u|y) + S(T_u y), the reverse
Kullback–Leibler divergence is ⟨f⟩ + log Z. Its gradient has one part through y, by reparametrisation, and one
through the distribution of u:

===============  ====================================================================================
part             estimator
===============  ====================================================================================
y                f is differentiated along y. Derivatives of log q̃ and log p by their own weights
                 average to zero; the path gradient omits them: weights are held constant wherever f
                 evaluates a density. At the optimum f is constant, so its gradient has no variance.
u, enumerate     Σ_u p(u|y) f(y, u) is differentiated as a whole, :func:`exact_expectation`
u, reinforce     one u is drawn per configuration, with the term (f − baseline) ∇log p(u|y), whose
                 baseline is the mean of f over the other configurations of the batch; log p is
                 differentiated by its weights and along y, :func:`score_function_surrogate`
===============  ====================================================================================

Reparametrisation needs an f that is continuous in y. A fold may take two neighbouring points x of the flow to
different walls of the domain. E_u f has the same value there if it depends on the orbit of y only, as it does
when u is uniform or from the heat bath. For any other law the difference

    E_u f − f_heat = E_u log [p(u|y) / p_heat(u|y)] ≥ 0,   f_heat = log q̃(y) − log Σ_u exp(−S(T_u y)),

may be discontinuous. It is differentiated through the density of y instead, with the term
(f − f_heat − baseline) ∇log q̃(y) at fixed y: this term has no derivative along y, so it misses no flux
through the walls. The difference vanishes where the law is exact.

The forward divergence −⟨log q⟩_p + constant needs configurations of the target p; :func:`mixed` adds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..backend import WALL_HEIGHT
from .arrays import Array, Arrays


@dataclass(frozen=True, eq=False)
class Energy:
    """E[S(x) + log p(u|·) + log p(n|·)] given y, in two parts that are differentiated differently.

    Attributes
    ----------
    value
        The part that is differentiated along y, (batch,).
    across_walls
        The part that is discontinuous where the fold joins two walls, (batch,); it is differentiated through
        the density of y. None if the objective has no such part.
    log_law
        log p(u|·) of the u drawn for each configuration, (batch,), for the score function; None if u is
        summed over.
    """

    value: Array
    across_walls: Array | None = None
    log_law: Array | None = None


class ForwardPart(NamedTuple):
    """The part w KL(p‖q) of an objective (1 − w) KL(q‖p) + w KL(p‖q).

    Attributes
    ----------
    x
        Configurations of the target p, (batch, components, *lattice).
    auxiliary
        Their auxiliary coordinates, see :mod:`sesamo_dsl.laws.orbits`.
    weight
        w, an array without axes, so that a compiled step serves all weights.
    """

    x: Array
    auxiliary: Array
    weight: Array


@dataclass(frozen=True, eq=False)
class Objective:
    """The objective of one training step, configuration by configuration, and the weights of its batch.

    Attributes
    ----------
    terms
        One number for every configuration of the batch, (batch,); their mean is minimised.
    log_weights
        log w of each configuration, (batch,), without derivative.
    shares
        Statistical weight of each configuration in the batch, (batch,) of mean 1, from
        :meth:`~sesamo_dsl.sampler.mixture.Mixture.shares`; None if all weights are 1.
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
    """f, (batch,), with (f − baseline) ∇log p added to its gradient; log p, (batch,), is that of the draw.

    The baseline is the mean of f over the other n − 1 ≥ 1 draws: f − baseline = (f − mean) n/(n − 1). It is
    valid only for independent draws from one distribution; otherwise ``baseline`` has to be False.
    """
    advantage = (value - value.mean()) * (len(value) / (len(value) - 1)) if baseline else value
    return value + arrays.detach(advantage) * (log_p - arrays.detach(log_p))


def above_walls(arrays: Arrays, action: Array) -> Array:
    """S with +∞ replaced by the largest finite S of the batch plus ``WALL_HEIGHT``, (batch,) → (batch,)."""
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


def batch_ess(arrays: Arrays, log_w: Array, shares: Array | None, apart: Array | None = None) -> Array:
    """(Σw)²/(N Σw²) of a batch of N; ``shares``, (batch,) of mean 1, multiply the terms of both sums.

    With ``apart``, (groups, batch), 0 within a group and −∞ elsewhere, it is that of every group, (groups,).
    """
    if apart is not None:
        grouped = log_w + apart
        first, second = (arrays.logsumexp(n * grouped, axis=1) for n in (1, 2))
        return arrays.xp.exp(2 * first - second - arrays.logsumexp(apart, axis=1))
    count = 0.0 if shares is None else arrays.xp.log(shares)
    first, second = arrays.logsumexp(log_w + count, axis=0), arrays.logsumexp(2 * log_w + count, axis=0)
    return arrays.xp.exp(2 * first - second) / len(log_w)
