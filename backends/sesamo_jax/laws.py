"""Modulation laws p(u|y) in JAX."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from sesamo_dsl.orbits import polar_quadrature
from sesamo_dsl.training import Law


def log_law(law: Law, breaking: Array, logits: Array) -> Array:
    """log p(u|y) for every group element.

    Parameters
    ----------
    breaking
        S₁(T_u y), shape (order, batch), or (order, batch, blocks) if blocks are independent of each other.
    logits
        Parameters of the learned law, shape (order,) or (order, blocks).

    Returns
    -------
    Array
        Of the shape of ``breaking``.
    """
    if law == "heat_bath":
        return jax.nn.log_softmax(-breaking, axis=0)
    if law == "learned":
        return jnp.broadcast_to(jax.nn.log_softmax(logits)[:, None], breaking.shape)
    return jnp.full_like(breaking, -math.log(len(breaking)))


def draw(log_probabilities: Array, uniform: Array) -> Array:
    """Group elements by inverse CDF: log p (order, batch, …), uniforms (batch, …) → indices (batch, …)."""
    cumulative = jnp.cumsum(jnp.exp(log_probabilities), axis=0)
    return jnp.clip((cumulative < uniform * cumulative[-1]).sum(axis=0), max=len(log_probabilities) - 1)


def log_orbit_integral(kappa: Array, dimension: int) -> Array:
    """log ∫ exp(κ n·μ) dn over the unit sphere in N dimensions, differentiable, (batch,).

    (2π)^(N/2) I_(N/2−1)(κ)/κ^(N/2−1) in closed form for N = 2, 3, 4, else by quadrature in the polar angle.
    """
    small = kappa < 1e-3
    safe = jnp.where(small, 1.0, kappa)
    if dimension == 2:
        return math.log(2 * math.pi) + jnp.log(jax.scipy.special.i0e(kappa)) + kappa
    if dimension == 3:
        value = safe + jnp.log1p(-jnp.exp(-2 * safe)) - jnp.log(2 * safe)
        return math.log(4 * math.pi) + jnp.where(small, kappa**2 / 6, value)
    if dimension == 4:
        value = jnp.log(2 * jax.scipy.special.i1e(safe) / safe) + safe
        return math.log(2 * math.pi**2) + jnp.where(small, kappa**2 / 8, value)
    cosine, log_weight = (jnp.asarray(values, kappa.dtype)[:, None] for values in polar_quadrature(dimension))
    return jax.nn.logsumexp(kappa[None] * cosine + log_weight, axis=0)
