"""Fermion determinants in JAX; emitted modules that use them contain the functions of this module.

The algorithm is described in ``sesamo_dsl.ir.fermions``.
"""

from __future__ import annotations

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
    return _fermion_solve(jax.lax.stop_gradient(field), step, matrix, species, True)[1]


def _fermion_solve(field, step, matrix, species, with_gradient):
    """log|det| and its gradient, in float64 whatever the field is, by merging slices in a binary tree."""
    if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise TypeError(
            'a fermion determinant needs float64: call jax.config.update("jax_enable_x64", True) first'
        )
    phi = species * field.astype(jnp.float64)
    hop = jax.scipy.linalg.expm(jnp.asarray(matrix, jnp.float64) * step)
    n = phi.shape[2]
    # products of two and of four slices, if they are small enough to be accurate
    scale = jnp.exp(phi)
    single = hop * scale[..., None, :]
    first, _, rest = _fermion_pairs(single)
    twice = jnp.concatenate([hop @ (_fermion_pairs(scale)[1][..., None] * first), rest], axis=1)
    first, second, rest = _fermion_pairs(twice)
    right = jnp.concatenate([second @ first, rest], axis=1)
    small = jnp.stack([jnp.abs(m).max() for m in (single, twice, right)]) < 1e7

    def multiplied():
        log, before = _fermion_tree(jnp.broadcast_to(jnp.eye(n), right.shape), right, with_gradient)
        if before is None:
            return log, None
        count = first.shape[1]
        before = _fermion_interleave(before[:, :count] @ second, first @ before[:, :count], before[:, count:])
        # both slices of a product of two from the x before it
        moved = before @ hop
        scale_1, scale_2, scale_rest = _fermion_pairs(scale)
        both, alone = moved[:, : scale_1.shape[1]], moved[:, scale_1.shape[1] :]
        slope_1 = scale_1 * ((both * hop.T) * scale_2[..., None, :]).sum(axis=-1)
        slope_2 = scale_2 * ((both.swapaxes(-1, -2) * hop) * scale_1[..., None, :]).sum(axis=-1)
        return log, _fermion_interleave(
            slope_1, slope_2, scale_rest * jnp.diagonal(alone, axis1=-2, axis2=-1)
        )

    def rescaled():
        left, scale, log_scale = _fermion_rescaled(phi)
        log, before = _fermion_tree(left, hop * scale[..., None, :], with_gradient)
        return log + log_scale, None if before is None else (before * hop.T).sum(axis=-1) * scale

    log, slope = jax.lax.cond(small.all(), multiplied, rescaled)
    return log.astype(field.dtype), None if slope is None else (-species * slope).astype(field.dtype)


def _fermion_tree(left, right, with_gradient):
    """log|det| of P_t x_{t+1} = R_t x_t, x_Nt = −x_0, and x_t for unit right-hand sides of equation t."""
    # up the tree: P₁ x₁ = R₁ x₀ and P₂ x₂ = R₂ x₁ without x₁
    n, log, merges = left.shape[-1], 0.0, []
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
        _fermion_solve,
        _fermion_tree,
        _fermion_triangular,
        _fermion_rescaled,
        _fermion_pairs,
        _fermion_interleave,
    )
)
