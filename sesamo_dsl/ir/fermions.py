"""The fermion operations of a Program in NumPy: log|det(1 + B_Nt … B_1)| and its gradient in O(Nt·Nx³).

B_t = exp(K ε) diag(exp(s φ_t)) with the step ε = β/Nt and the species s = ±1. The product itself is never
formed: its entries span hundreds of orders of magnitude. The determinant is the one of the linear system

    x_{t+1} − B_t x_t = r_t,    x_Nt = −x_0,

and neighbouring equations P₁ x₁ = R₁ x₀ + r₁, P₂ x₂ = R₂ x₁ + r₂ are merged into one between x₀ and x₂ by
an orthogonal transformation that eliminates x₁: a binary tree over time whose levels are batched. The last
equation is P x = −R x, and det = ± ∏ det T · det(P + R) with the triangular factors T. On the way down the
tree the solutions for unit right-hand sides, the Green's functions, are found by the same transformations.

The first levels, four at most, multiply neighbouring slices, which is cheaper, as long as the products stay
small enough to be accurate. If even a product of two slices is too large, the unknowns are first rescaled by
exponentials of φ, so that no field overflows (:func:`_rescaled`), and no level multiplies.

At fields of many hundreds the determinant is one product of exponentials, from the k-particle path with the
largest Σφ, times minors of exp(K ε). Values are exact there unless minors on that path vanish, as on the
4-ring, where sites 0 and 2 couple in the same way to 1 and 3. Then log|det| is smaller by a difference of
fields that is lost in the rounding of exp(K ε): the value is too large by up to that difference (10² to 10³
at fields of 1e3) and the gradient is meaningless, both finite. :func:`conditioning` exceeds 1e12 there.

log|det| is what an action needs if both species have the same sign, as on bipartite graphs, where
det[−φ] = e^{−Σφ} det[φ].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import expm

from .fermion_tree import pairs

LARGEST_ENTRY = 1e4  # of products of slices: rounding makes errors of 1e-16 times the square of this
MOST_LEVELS = 4  # levels of the tree that multiply slices


class _Merge(NamedTuple):
    """The matrices of one level of the tree that the way down needs."""

    right_1: np.ndarray
    left_2: np.ndarray
    orthogonal: np.ndarray
    triangular: np.ndarray


class _Green(NamedTuple):
    """Solutions x_{t+1} (after) and x_t (before) for r_t = 1, both (batch, Nt, Nx, Nx)."""

    after: np.ndarray
    before: np.ndarray


def log_det(field: np.ndarray, step: float, matrix: np.ndarray, species: int) -> np.ndarray:
    """log|det(1 + B_Nt … B_1)|, (batch, Nt, Nx) → (batch,), in float64."""
    return _solve(field, step, matrix, species, gradient=False)[0]


def log_det_and_gradient(
    field: np.ndarray, step: float, matrix: np.ndarray, species: int
) -> tuple[np.ndarray, np.ndarray]:
    """log|det| and its derivative by the field, (batch,) and (batch, Nt, Nx), in float64."""
    return _solve(field, step, matrix, species, gradient=True)


def green_functions(field: np.ndarray, step: float, matrix: np.ndarray, species: int) -> np.ndarray:
    """(1 + B_t … B_1 B_Nt … B_{t+1})⁻¹ for t = 1, …, Nt, (batch, Nt, Nx, Nx)."""
    left, _, green = _scaled_green(field, step, matrix, species)
    return np.diagonal(left, axis1=-2, axis2=-1)[..., :, None] * green.after


def propagators(field: np.ndarray, step: float, matrix: np.ndarray, species: int) -> np.ndarray:
    """B_t … B_1 (1 + B_Nt … B_1)⁻¹ for t = 0, …, Nt − 1, (batch, Nt, Nx, Nx).

    They are −x_t if the last equation, for x_Nt, has the right-hand side 1 and all others 0.
    Down the tree the unknown between the ends of an equation follows from the unknowns at its ends and from
    its right-hand side, which is zero except in the last equation of a level.
    """
    phi = species * field.astype(np.float64)
    left, scale, _ = _rescaled(phi)
    _, green, merges = _merge_all(left, expm(matrix * float(step)) * scale[..., None, :])
    n, sizes = phi.shape[2], [phi.shape[1]]
    source = np.broadcast_to(np.eye(n), (len(phi), n, n))
    sources = [source]
    for merge in merges:
        if sizes[-1] % 2 == 0:  # else the last equation is not merged
            source = merge.orthogonal[:, -1, n:, n:] @ source
        sources.append(source)
        sizes.append((sizes[-1] + 1) // 2)
    x = green.before @ sources.pop()[:, None]
    for right_1, left_2, q, t in reversed(merges):
        source, size, count = sources.pop(), sizes[len(sources)], t.shape[1]
        ends = np.concatenate([x[:, 1:], -x[:, :1]], axis=1)[:, :count]
        known = q[..., :n, :n] @ (right_1 @ x[:, :count]) - q[..., :n, n:] @ (left_2 @ ends)
        if size % 2 == 0:
            known[:, -1] += q[:, -1, :n, n:] @ source
        x = _interleave(x[:, :count], np.linalg.solve(t, known), x[:, count:])
    return -np.exp(-np.maximum(phi, 0))[..., :, None] * x


def conditioning(field: np.ndarray, step: float, matrix: np.ndarray, species: int) -> np.ndarray:
    """The factor from the relative error of a column of a slice to the error of log det, (batch,).

    To first order δ log det = tr M⁻¹ δM ≤ Σ_c |row c of M⁻¹| |δ column c of M|. M is scaled as in
    :func:`_rescaled`, which changes neither the determinant nor the relative error of a column; only the
    blocks of the rows that multiply slices are counted.
    """
    left, right, green = _scaled_green(field, step, matrix, species)
    columns = np.sqrt((right**2).sum(axis=-2) + np.roll((left**2).sum(axis=-2), 1, axis=1))
    rows = np.sqrt((green.before**2).sum(axis=-1) + np.roll((green.after**2).sum(axis=-1), 1, axis=1))
    return (rows * columns).sum(axis=(1, 2))


def _scaled_green(
    field: np.ndarray, step: float, matrix: np.ndarray, species: int
) -> tuple[np.ndarray, np.ndarray, _Green]:
    """P_t, R_t and the Green's functions of the rescaled equations."""
    left, scale, _ = _rescaled(_balanced(species * field.astype(np.float64)))
    right = expm(matrix * float(step)) * scale[..., None, :]
    _, green, merges = _merge_all(left, right)
    for merge in reversed(merges):
        green = _split(green, merge)
    return left, right, green


def _solve(field, step, matrix, species, *, gradient: bool) -> tuple[np.ndarray, np.ndarray]:
    phi = species * field.astype(np.float64)
    hop = expm(matrix * float(step))
    with np.errstate(over="ignore", invalid="ignore"):  # the size of the products is tested below
        scale = np.exp(phi)
        right, products = hop * scale[..., None, :], []
        small = bool((np.abs(right) < LARGEST_ENTRY).all())
        while small and right.shape[1] > 1 and len(products) < MOST_LEVELS:
            first, second, rest = pairs(right)
            product = np.concatenate([second @ first, rest], axis=1)
            small = bool((np.abs(product) < LARGEST_ENTRY).all())
            if small:
                products.append((first, second))
                right = product
    if not products:
        left, scale, log_scale = _rescaled(_balanced(phi))
        log, green, merges = _merge_all(left, hop * scale[..., None, :])
        if not gradient:
            return log + log_scale, np.zeros(0)
        for merge in reversed(merges):
            green = _split(green, merge)
        return log + log_scale, -species * (green.before * hop.T).sum(axis=-1) * scale
    log, green, merges = _merge_all(np.broadcast_to(np.eye(phi.shape[2]), right.shape), right)
    if not gradient:
        return log, np.zeros(0)
    for merge in reversed(merges):
        green = _split(green, merge)
    before = green.before
    for first, second in reversed(products[1:]):
        count = first.shape[1]
        before = _interleave(before[:, :count] @ second, first @ before[:, :count], before[:, count:])
    # −tr(x_t ∂(hop diag(scale_t))), for both slices of a product of two from the x before it
    moved = before @ hop
    scale_1, scale_2, scale_rest = pairs(scale)
    both, alone = moved[:, : scale_1.shape[1]], moved[:, scale_1.shape[1] :]
    slope = _interleave(
        scale_1 * (both * hop.T * scale_2[..., None, :]).sum(axis=-1),
        scale_2 * (both.swapaxes(-1, -2) * hop * scale_1[..., None, :]).sum(axis=-1),
        scale_rest * np.diagonal(alone, axis1=-2, axis2=-1),
    )
    return log, -species * slope


def _balanced(phi: np.ndarray) -> np.ndarray:
    """ψ_t = φ_t − μ_t with Σ_t μ_t = 0, so that the product of the slices does not change.

    μ_t lies between the k-th and the (k+1)-th largest φ_t, with the same k for all t: at large fields the
    determinant is dominated by k particles, and the equations without their small terms must couple k
    unknowns of every slice to k of the next.
    """
    margin = 1 + np.abs(phi).max(axis=(1, 2), keepdims=True)
    ordered = -np.sort(-phi, axis=2)
    ordered = np.concatenate([ordered[..., :1] + margin, ordered, ordered[..., -1:] - margin], axis=2)
    totals = ordered.sum(axis=1, keepdims=True)  # decreasing, the first > 0, the last < 0
    k = (totals >= 0).sum(axis=2, keepdims=True) - 1
    above, below = np.take_along_axis(totals, k, 2), np.take_along_axis(totals, k + 1, 2)
    share = above / (above - below)
    k = np.broadcast_to(k, (*phi.shape[:2], 1))
    return phi - (
        (1 - share) * np.take_along_axis(ordered, k, 2) + share * np.take_along_axis(ordered, k + 1, 2)
    )


def _rescaled(psi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The equations for the unknowns x_t max(1, exp ψ_t): no entry overflows.

    Returns
    -------
    left
        P_t = diag min(1, exp −ψ_{t+1}), (batch, Nt, Nx, Nx).
    scale
        min(exp ψ_t, 1), in place of exp φ_t in R_t.
    log_scale
        The part of log det that the scaling removes, (batch,).
    """
    after = np.roll(np.exp(-np.maximum(psi, 0)), -1, axis=1)
    left = after[..., None, :] * np.eye(psi.shape[2])
    return left, np.exp(np.minimum(psi, 0)), np.maximum(psi, 0).sum(axis=(1, 2))


def _interleave(first: np.ndarray, second: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Inverse of :func:`.pairs`."""
    both = np.stack([first, second], axis=2)
    return np.concatenate([both.reshape(len(both), -1, *both.shape[3:]), rest], axis=1)


def _merge_all(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, _Green, list[_Merge]]:
    """Up the tree: log|det|, the Green's function of the last equation, and the levels."""
    n, log, merges = left.shape[-1], np.zeros(len(left)), []
    while left.shape[1] > 1:
        (left_1, left_2, left_rest), (right_1, right_2, right_rest) = pairs(left), pairs(right)
        q, t, log_t = _triangular(np.concatenate([left_1, -right_2], axis=-2))
        merges.append(_Merge(right_1, left_2, q, t))
        log = log + log_t
        # the last n combinations of both equations are free of x₁
        left = np.concatenate([q[..., n:, n:] @ left_2, left_rest], axis=1)
        right = np.concatenate([q[..., n:, :n] @ right_1, right_rest], axis=1)
    q, t, log_t = _triangular(left + right)
    after = np.linalg.solve(t, q)
    return log + log_t, _Green(after, -after), merges


def _triangular(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orthogonal q and upper triangular t with q a = (t, 0), and log|det t| summed over axis 1.

    A pivot that is lost to underflow becomes the roundoff: the logarithm stays finite.
    """
    n = a.shape[-1]
    q, t = np.linalg.qr(a, mode="complete")
    t = t[..., :n, :]
    t = t + np.finfo(float).eps * (t == 0) * np.eye(n)
    log = np.log(np.abs(np.diagonal(t, axis1=-2, axis2=-1))).sum(axis=(1, 2))
    return q.swapaxes(-1, -2), t, log


def _split(green: _Green, merge: _Merge) -> _Green:
    """Down one level: the Green's functions of both equations from the one of the merged equation."""
    right_1, left_2, q, t = merge
    n, count = t.shape[-1], len(t[0])
    after = green.after[:, :count] @ q[..., n:, :]  # x₂ for (r₁, r₂)
    before = green.before[:, :count] @ q[..., n:, :]  # x₀
    known = q[..., :n, :] + q[..., :n, :n] @ (right_1 @ before) - q[..., :n, n:] @ (left_2 @ after)
    middle = np.linalg.solve(t, known)  # x₁
    return _Green(
        _interleave(middle[..., :n], after[..., n:], green.after[:, count:]),
        _interleave(before[..., :n], middle[..., n:], green.before[:, count:]),
    )
