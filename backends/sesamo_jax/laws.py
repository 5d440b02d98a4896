"""Modulation laws p(u|y) in JAX."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from sesamo_dsl.training import Law


def log_law(law: Law, breaking: Array, logits: Array) -> Array:
    """log p(u|y) for every group element.

    Parameters
    ----------
    breaking
        S₁(T_u y), shape (order, batch).
    logits
        Parameters of the learned law, shape (order,).

    Returns
    -------
    Array
        Shape (order, batch).
    """
    if law == "heat_bath":
        return jax.nn.log_softmax(-breaking, axis=0)
    if law == "learned":
        return jnp.broadcast_to(jax.nn.log_softmax(logits)[:, None], breaking.shape)
    return jnp.full_like(breaking, -math.log(len(breaking)))


def draw(log_probabilities: Array, uniform: Array) -> Array:
    """Group elements by inverse CDF: log p of shape (order, batch), uniforms (batch,) → indices (batch,)."""
    cumulative = jnp.cumsum(jnp.exp(log_probabilities), axis=0)
    return jnp.clip((cumulative < uniform * cumulative[-1]).sum(axis=0), max=len(log_probabilities) - 1)
