"""Fermion determinants by a binary tree over time, written for the array namespace ``xp`` of any framework.

The algorithm is described in ``sesamo_dsl.ir.fermions``. Frameworks differ in how they write the products
before the tree and the rescaling, and in the solution of triangular equations, which is an argument:
``solve`` is (t, b) ↦ x with t x = b for an upper triangular t. Emitted modules contain the text of these
functions, so they call only one another and have no annotations. Axes are given by position, as frameworks
have no common keyword for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np


def _fermion_merged(xp, solve, left, right, with_gradient):
    """log|det| of P_t x_{t+1} = R_t x_t, x_Nt = −x_0, and x_t for unit right-hand sides of equation t."""
    n, log, merges = left.shape[-1], xp.zeros_like(left[:, 0, 0, 0]), []
    # up the tree: P₁ x₁ = R₁ x₀ and P₂ x₂ = R₂ x₁ without x₁
    while left.shape[1] > 1:
        (left_1, left_2, left_rest), (right_1, right_2, right_rest) = map(_fermion_pairs, (left, right))
        q, t, log_t = _fermion_triangular(xp, xp.concatenate([left_1, -right_2], -2))
        log = log + log_t
        merges.append((right_1, left_2, q, t))
        left = _fermion_join(xp, q[..., n:, n:] @ left_2, left_rest)
        right = _fermion_join(xp, q[..., n:, :n] @ right_1, right_rest)
    q, t, log_t = _fermion_triangular(xp, left + right)
    log = log + log_t
    if not with_gradient:
        return log, None
    # down the tree: x after and before an equation for unit right-hand sides of it
    after = solve(t, q)
    before = -after
    for right_1, left_2, q, t in reversed(merges):
        count = t.shape[1]
        last, start = after[:, :count] @ q[..., n:, :], before[:, :count] @ q[..., n:, :]
        known = q[..., :n, :] + q[..., :n, :n] @ (right_1 @ start) - q[..., :n, n:] @ (left_2 @ last)
        middle = solve(t, known)
        after = _fermion_interleave(xp, middle[..., :n], last[..., n:], after[:, count:])
        before = _fermion_interleave(xp, start[..., :n], middle[..., n:], before[:, count:])
    return log, before


def _fermion_multiplied(xp, before, products, hop, scale):
    """x_t exp(matrix·step) below the levels that multiplied pairs out, for pairs and for the rest.

    The scales e^φ follow: of the first and the second of each pair, and of the rest.
    """
    for first, second in reversed(products[1:]):
        count = first.shape[1]
        some = before[:, :count]
        before = _fermion_interleave(xp, some @ second, first @ some, before[:, count:])
    moved, scales = before @ hop, _fermion_pairs(scale)
    pairs = scales[0].shape[1]
    return moved[:, :pairs], moved[:, pairs:], *scales


def _fermion_rescaled(xp, take, phi, descending):
    """P_t, min(exp(ψ_t), 1) and the scale taken out of log det: the unknowns times max(1, exp(ψ_t)).

    ψ_t = φ_t − μ_t, Σ_t μ_t = 0, with the same number of positive entries on all slices. ``descending`` is φ
    in this order along its last axis.
    """
    margin = 1 + xp.amax(xp.abs(phi), (1, 2))[:, None, None]
    ordered = xp.concatenate([descending[..., :1] + margin, descending, descending[..., -1:] - margin], 2)
    totals = ordered.sum(1)[:, None]
    k = (totals >= 0).sum(2)[..., None] - 1
    above, below = take(totals, k, 2), take(totals, k + 1, 2)
    share = above / (above - below)
    k = xp.broadcast_to(k, (*phi.shape[:2], 1))
    psi = phi - ((1 - share) * take(ordered, k, 2) + share * take(ordered, k + 1, 2))
    positive = xp.clip(psi, 0, None)
    left = xp.roll(xp.exp(-positive), -1, 1)[..., None, :] * _fermion_unit(
        xp, phi[:1, :1, None] + phi[:1, :1, :, None]
    )
    return left, xp.exp(xp.clip(psi, None, 0)), positive.sum((1, 2))


def _fermion_unit(xp, like):
    """The unit matrix, broadcast against an array of matrices."""
    return xp.tril(xp.triu(xp.ones_like(like[:1, :1])))


def _fermion_triangular(xp, a):
    """Orthogonal q and upper triangular t with q a = (t, 0), and log|det t| summed over axis 1."""
    n = a.shape[-1]
    q, t = xp.linalg.qr(a, mode="complete")
    t = t[..., :n, :]
    t = t + xp.finfo(t.dtype).eps * (t == 0) * _fermion_unit(xp, t)  # a pivot lost to underflow
    return q.swapaxes(-1, -2), t, xp.log(xp.abs(xp.diagonal(t, 0, -2, -1))).sum((1, 2))


def _fermion_pairs(values):
    """First and second of each pair along axis 1, and the last one if their number is odd."""
    even = values.shape[1] // 2 * 2
    return values[:, :even:2], values[:, 1:even:2], values[:, even:]


def _fermion_interleave(xp, first, second, rest):
    """Inverse of :func:`_fermion_pairs`."""
    pairs = xp.stack([first, second], 2)
    return _fermion_join(xp, pairs.reshape(len(first), 2 * first.shape[1], *first.shape[2:]), rest)


def _fermion_join(xp, values, rest):
    """Both along axis 1; nothing is copied if there is no rest."""
    return xp.concatenate([values, rest], 1) if rest.shape[1] else values


_PARTS = (
    *(_fermion_merged, _fermion_multiplied, _fermion_rescaled, _fermion_unit, _fermion_triangular),
    *(_fermion_pairs, _fermion_interleave, _fermion_join),
)

pairs: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]] = _fermion_pairs


def source(*parts: Callable[..., Any]) -> str:
    """The text of a framework's own functions and of the tree, as emitted modules contain it."""
    return "\n\n\n".join(_text(part) for part in (*parts, *_PARTS))


def _text(part: Callable[..., Any]) -> str:
    return inspect.getsource(part).rstrip()
