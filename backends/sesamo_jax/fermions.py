"""Fermion determinants in JAX; emitted modules that use them contain the functions of this module.

The algorithm is described in ``sesamo_dsl.ir.fermions``.
"""

from __future__ import annotations

import functools
import inspect

import jax
import jax.numpy as jnp


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
        right.append(jnp.concatenate([second @ first, rest], axis=1))
    small = jnp.stack([jnp.abs(r).max() < 1e4 for r in right])

    def rescaled():
        left, scale, log_scale = _fermion_rescaled(phi)
        log, before = _fermion_merged(left, hop * scale[..., None, :], with_gradient)
        return log + log_scale, None if before is None else -(before * hop.T).sum(axis=-1) * scale

    def multiplied(levels):
        left = jnp.broadcast_to(jnp.eye(phi.shape[2]), right[levels].shape)
        log, before = _fermion_merged(left, right[levels], with_gradient)
        if before is None:
            return log, None
        for first, second in reversed(products[1:levels]):
            count = first.shape[1]
            before = _fermion_interleave(
                before[:, :count] @ second, first @ before[:, :count], before[:, count:]
            )
        # −tr(x_t ∂(hop diag exp φ_t)), for both slices of a product of two from the x before it
        moved = before @ hop
        scale_1, scale_2, scale_rest = _fermion_pairs(scale)
        both, alone = moved[:, : scale_1.shape[1]], moved[:, scale_1.shape[1] :]
        slope_1 = scale_1 * ((both * hop.T) * scale_2[..., None, :]).sum(axis=-1)
        slope_2 = scale_2 * ((both.swapaxes(-1, -2) * hop) * scale_1[..., None, :]).sum(axis=-1)
        slope_rest = scale_rest * jnp.diagonal(alone, axis1=-2, axis2=-1)
        return log, -_fermion_interleave(slope_1, slope_2, slope_rest)

    levels = jnp.maximum(jnp.cumprod(small).sum() - 1, 0)
    branches = [rescaled, *(functools.partial(multiplied, k + 1) for k in range(len(products)))]
    return jax.lax.switch(levels, branches)


def _fermion_merged(left, right, with_gradient):
    """log|det| of P_t x_{t+1} = R_t x_t, x_Nt = −x_0, and x_t for unit right-hand sides of equation t."""
    n, log, merges = left.shape[-1], jnp.zeros(len(left)), []
    # up the tree: P₁ x₁ = R₁ x₀ and P₂ x₂ = R₂ x₁ without x₁
    while left.shape[1] > 1:
        (left_1, left_2, left_rest), (right_1, right_2, right_rest) = (
            _fermion_pairs(left),
            _fermion_pairs(right),
        )
        q, t, log_t = _fermion_triangular(jnp.concatenate([left_1, -right_2], axis=-2))
        log = log + log_t
        merges.append((right_1, left_2, q, t))
        left = jnp.concatenate([q[..., n:, n:] @ left_2, left_rest], axis=1)
        right = jnp.concatenate([q[..., n:, :n] @ right_1, right_rest], axis=1)
    q, t, log_t = _fermion_triangular(left + right)
    log = log + log_t
    if not with_gradient:
        return log, None
    # down the tree: x after and before an equation for unit right-hand sides of it
    after = jax.lax.linalg.triangular_solve(t, q, left_side=True)
    before = -after
    for right_1, left_2, q, t in reversed(merges):
        count = t.shape[1]
        last, start = after[:, :count] @ q[..., n:, :], before[:, :count] @ q[..., n:, :]
        known = q[..., :n, :] + q[..., :n, :n] @ (right_1 @ start) - q[..., :n, n:] @ (left_2 @ last)
        middle = jax.lax.linalg.triangular_solve(t, known, left_side=True)
        after = _fermion_interleave(middle[..., :n], last[..., n:], after[:, count:])
        before = _fermion_interleave(start[..., :n], middle[..., n:], before[:, count:])
    return log, before


def _fermion_triangular(a):
    """Orthogonal q and upper triangular t with q a = (t, 0), and log|det t| summed over axis 1."""
    n = a.shape[-1]
    q, t = jnp.linalg.qr(a, mode="complete")
    t = t[..., :n, :]
    t = t + jnp.finfo(t.dtype).eps * (t == 0) * jnp.eye(n)  # a pivot lost to underflow
    return q.swapaxes(-1, -2), t, jnp.log(jnp.abs(jnp.diagonal(t, axis1=-2, axis2=-1))).sum(axis=(1, 2))


def _fermion_rescaled(phi):
    """P_t, min(exp(ψ_t), 1) and the scale taken out of log det: the unknowns times max(1, exp(ψ_t)).

    ψ_t = φ_t − μ_t, Σ_t μ_t = 0, with the same number of positive entries on all slices.
    """
    margin = 1 + jnp.abs(phi).max(axis=(1, 2), keepdims=True)
    ordered = -jnp.sort(-phi, axis=2)
    ordered = jnp.concatenate([ordered[..., :1] + margin, ordered, ordered[..., -1:] - margin], axis=2)
    totals = ordered.sum(axis=1, keepdims=True)
    k = (totals >= 0).sum(axis=2, keepdims=True) - 1
    above, below = jnp.take_along_axis(totals, k, 2), jnp.take_along_axis(totals, k + 1, 2)
    share = above / (above - below)
    k = jnp.broadcast_to(k, (*phi.shape[:2], 1))
    psi = phi - (
        (1 - share) * jnp.take_along_axis(ordered, k, 2) + share * jnp.take_along_axis(ordered, k + 1, 2)
    )
    after = jnp.roll(jnp.exp(-jnp.maximum(psi, 0)), -1, axis=1)
    left = after[..., None, :] * jnp.eye(phi.shape[2])
    return left, jnp.exp(jnp.minimum(psi, 0)), jnp.maximum(psi, 0).sum(axis=(1, 2))


def _fermion_pairs(values):
    """First and second of each pair along axis 1, and the last one if their number is odd."""
    even = values.shape[1] // 2 * 2
    return values[:, :even:2], values[:, 1:even:2], values[:, even:]


def _fermion_interleave(first, second, rest):
    pairs = jnp.stack([first, second], axis=2)
    return jnp.concatenate([pairs.reshape(len(pairs), -1, *pairs.shape[3:]), rest], axis=1)


SOURCE = "\n\n\n".join(
    inspect.getsource(part).rstrip()
    for part in (
        _fermion_log_det,
        _fermion_log_det_jvp,
        _fermion_gradient,
        _fermion_log_det_and_gradient,
        _fermion_log_det_and_gradient_jvp,
        _fermion_solve,
        _fermion_tree,
        _fermion_merged,
        _fermion_triangular,
        _fermion_rescaled,
        _fermion_pairs,
        _fermion_interleave,
    )
)
