"""Fermion determinants in JAX; emitted modules that use them contain the functions of this module.

The algorithm is described in ``sesamo_dsl.ir.fermions``.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from sesamo_dsl.ir.fermion_tree import (
    _fermion_interleave,
    _fermion_join,
    _fermion_merged,
    _fermion_multiplied,
    _fermion_pairs,
    _fermion_rescaled,
    source,
)


@jax.custom_jvp
def _fermion_log_det(field, step, matrix, species):
    """log|det(1 + B_Nt … B_1)|, B_t = exp(matrix·step) diag(exp(species·field_t)), per configuration.

    Differentiable by the field only: the gradient comes out of the same tree, as stable as the value.
    """
    return _fermion_solve(field, step, matrix, species, False)[0]


@_fermion_log_det.defjvp
def _fermion_log_det_jvp(primals, tangents):
    field, step, matrix, species = primals
    value, gradient = _fermion_solve(field, step, matrix, species, True)
    return value, (gradient * tangents[0]).sum(axis=(1, 2))


def _fermion_gradient(field, step, matrix, species):
    """Derivative of the log det by the field, of its shape."""
    return _fermion_log_det_and_gradient(field, step, matrix, species)[1]


@jax.custom_jvp
def _fermion_log_det_and_gradient(field, step, matrix, species):
    """Both from one tree; the gradient is a constant for further derivatives."""
    return _fermion_solve(field, step, matrix, species, True)


@_fermion_log_det_and_gradient.defjvp
def _fermion_log_det_and_gradient_jvp(primals, tangents):
    field, step, matrix, species = primals
    value, gradient = _fermion_solve(field, step, matrix, species, True)
    return (value, gradient), ((gradient * tangents[0]).sum(axis=(1, 2)), jnp.zeros_like(field))


@functools.partial(jax.jit, static_argnums=4)  # its loops would be compiled again at every call
def _fermion_solve(field, step, matrix, species, with_gradient):
    """log|det| and its gradient, in float64 whatever the field is."""
    if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise TypeError(
            'a fermion determinant needs float64: call jax.config.update("jax_enable_x64", True) first'
        )
    phi = species * field.astype(jnp.float64)
    hop = jax.scipy.linalg.expm(jnp.asarray(matrix, jnp.float64) * step)
    # on a CPU a part of the batch at a time, with 2 MiB of slices: what a part needs stays in the cache
    batch = len(phi)
    size = 2**18 // (phi.shape[1] * phi.shape[2] ** 2) if jax.default_backend() == "cpu" else batch
    count = max(1, -(-batch // max(1, size)))
    size = max(1, -(-batch // count))  # an empty batch is padded as well
    parts = jnp.pad(phi, ((0, count * size - batch), (0, 0), (0, 0))).reshape(count, size, *phi.shape[1:])
    log, slope = jax.lax.map(lambda part: _fermion_tree(part, hop, with_gradient), parts)
    log = log.reshape(-1)[:batch].astype(field.dtype)
    if not with_gradient:
        return log, None
    return log, (species * slope.reshape(-1, *phi.shape[1:])[:batch]).astype(field.dtype)


def _fermion_tree(phi, hop, with_gradient):
    """log|det| and its gradient by φ for one species, by merging slices in a binary tree."""
    # the first levels multiply, while products are small enough to be accurate
    scale = jnp.exp(phi)
    right, products = [hop * scale[..., None, :]], []
    while right[-1].shape[1] > 1 and len(products) < 4:
        first, second, rest = _fermion_pairs(right[-1])
        products.append((first, second))
        right.append(_fermion_join(jnp, second @ first, rest))
    small = jnp.stack([jnp.abs(r).max() < 1e4 for r in right])

    def rescaled():
        left, scale, log_scale = _fermion_rescaled(jnp, jnp.take_along_axis, phi, -jnp.sort(-phi, axis=2))
        log, before = _fermion_merged(jnp, _fermion_upper, left, hop * scale[..., None, :], with_gradient)
        return log + log_scale, None if before is None else -(before * hop.T).sum(axis=-1) * scale

    def multiplied(levels):
        left = jnp.broadcast_to(jnp.eye(phi.shape[2]), right[levels].shape)
        log, before = _fermion_merged(jnp, _fermion_upper, left, right[levels], with_gradient)
        if before is None:
            return log, None
        both, alone, *scales = _fermion_multiplied(jnp, before, products[:levels], hop, scale)
        # −tr(x_t ∂(hop diag exp φ_t)), for both slices of a product of two from the x before it
        slopes = (
            scales[0] * ((both * hop.T) * scales[1][..., None, :]).sum(axis=-1),
            scales[1] * ((both.swapaxes(-1, -2) * hop) * scales[0][..., None, :]).sum(axis=-1),
            scales[2] * jnp.diagonal(alone, axis1=-2, axis2=-1),
        )
        return log, -_fermion_interleave(jnp, *slopes)

    levels = jnp.maximum(jnp.cumprod(small).sum() - 1, 0)
    branches = [rescaled, *(functools.partial(multiplied, k + 1) for k in range(len(products)))]
    return jax.lax.switch(levels, branches)


def _fermion_upper(t, b):
    """x with t x = b for an upper triangular t."""
    return jax.lax.linalg.triangular_solve(t, b, left_side=True)


SOURCE = source(
    *(_fermion_log_det, _fermion_log_det_jvp, _fermion_gradient),
    *(_fermion_log_det_and_gradient, _fermion_log_det_and_gradient_jvp),
    *(_fermion_solve, _fermion_tree, _fermion_upper),
)
