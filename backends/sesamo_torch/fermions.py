"""Fermion determinants in PyTorch; emitted modules that use them contain the functions of this module.

The algorithm is described in ``sesamo_dsl.ir.fermions``.
"""

from __future__ import annotations

import inspect

import torch


class _FermionLogDet(torch.autograd.Function):
    """log|det| with its own derivative: the gradient comes out of the same tree, as stable as the value."""

    @staticmethod
    def forward(ctx, field, step, matrix, species, with_gradient):
        with_gradient = with_gradient or ctx.needs_input_grad[0]
        value, gradient = _fermion_solve(field, step, matrix, species, with_gradient)
        if with_gradient:
            ctx.save_for_backward(gradient)
            ctx.mark_non_differentiable(gradient)
        return value, gradient

    @staticmethod
    def backward(ctx, adjoint, _):
        # The saved gradient is a constant: a second derivative would silently lack this term. An emitted
        # module stands alone, hence an exception of Python's own.
        if torch.is_grad_enabled():
            raise NotImplementedError(
                "second derivatives of a fermion determinant (create_graph=True): expected first derivatives "
                "only; take differences of `action_and_gradient` for a Hessian"
            )
        (gradient,) = ctx.saved_tensors
        return adjoint[:, None, None] * gradient, None, None, None, None


def _fermion_log_det(field, step, matrix, species):
    """log|det(1 + B_Nt … B_1)|, B_t = exp(matrix·step) diag(exp(species·field_t)), per configuration."""
    return _FermionLogDet.apply(field, step, matrix, species, False)[0]


def _fermion_gradient(field, step, matrix, species):
    """Derivative of the log det by the field, of its shape."""
    return _fermion_log_det_and_gradient(field, step, matrix, species)[1]


def _fermion_log_det_and_gradient(field, step, matrix, species):
    """Both from one tree; the gradient is a constant for autograd."""
    return _FermionLogDet.apply(field, step, matrix, species, True)


def _fermion_solve(field, step, matrix, species, with_gradient):
    """log|det| and its gradient, in float64 whatever the field is."""
    phi = species * field.double()
    hop = torch.linalg.matrix_exp(matrix.to(phi) * step)
    # on a CPU a part of the batch at a time, with 2 MiB of slices: what a part needs stays in the cache
    size = max(1, 2**18 // (phi.shape[1] * phi.shape[2] ** 2)) if phi.device.type == "cpu" else len(phi)
    parts = [_fermion_tree(part, hop, with_gradient) for part in phi.split(size)]
    log = torch.cat([log for log, _ in parts]).to(field.dtype)
    slopes = [slope for _, slope in parts if slope is not None]
    return log, (species * torch.cat(slopes)).to(field.dtype) if with_gradient else None


def _fermion_tree(phi, hop, with_gradient):
    """log|det| and its gradient by φ for one species, by merging slices in a binary tree."""
    n = phi.shape[2]
    # the first levels multiply, while products are small enough to be accurate
    scale = torch.exp(phi)
    right, products = hop * scale[..., None, :], []
    small = bool((right.abs() < 1e4).all())
    while small and right.shape[1] > 1 and len(products) < 4:
        first, second, rest = _fermion_pairs(right)
        product = _fermion_join(second @ first, rest)
        small = bool((product.abs() < 1e4).all())
        if small:
            products.append((first, second))
            right = product
    if products:
        left, log = torch.eye(n).to(right).expand_as(right), torch.zeros_like(phi[:, 0, 0])
    else:
        left, scale, log = _fermion_rescaled(phi)
        right = hop * scale[..., None, :]
    # up the tree: P₁ x₁ = R₁ x₀ and P₂ x₂ = R₂ x₁ without x₁
    merges = []
    while left.shape[1] > 1:
        (left_1, left_2, left_rest), (right_1, right_2, right_rest) = (
            _fermion_pairs(left),
            _fermion_pairs(right),
        )
        q, t, log_t = _fermion_triangular(torch.cat([left_1, -right_2], dim=-2))
        log = log + log_t
        merges.append((right_1, left_2, q, t))
        left = _fermion_join(q[..., n:, n:] @ left_2, left_rest)
        right = _fermion_join(q[..., n:, :n] @ right_1, right_rest)
    q, t, log_t = _fermion_triangular(left + right)
    log = log + log_t
    if not with_gradient:
        return log, None
    # down the tree: x after and before an equation for unit right-hand sides of it
    after = torch.linalg.solve_triangular(t, q, upper=True)
    before = -after
    for right_1, left_2, q, t in reversed(merges):
        count = t.shape[1]
        last, start = after[:, :count] @ q[..., n:, :], before[:, :count] @ q[..., n:, :]
        known = q[..., :n, :] + q[..., :n, :n] @ (right_1 @ start) - q[..., :n, n:] @ (left_2 @ last)
        middle = torch.linalg.solve_triangular(t, known, upper=True)
        after = _fermion_interleave(middle[..., :n], last[..., n:], after[:, count:])
        before = _fermion_interleave(start[..., :n], middle[..., n:], before[:, count:])
    for first, second in reversed(products[1:]):
        count = first.shape[1]
        before = _fermion_interleave(before[:, :count] @ second, first @ before[:, :count], before[:, count:])
    # −tr(x_t ∂(exp(matrix·step) diag exp φ_t)), for both slices of a product of two from the x before it
    scale_1, scale_2, scale_rest = _fermion_pairs(scale) if products else (scale[:, :0], scale[:, :0], scale)
    moved = before @ hop
    both, alone = moved[:, : scale_1.shape[1]], moved[:, scale_1.shape[1] :]
    return log, -_fermion_interleave(
        scale_1 * ((both * hop.mT) @ scale_2[..., None])[..., 0],
        scale_2 * ((both.mT * hop) @ scale_1[..., None])[..., 0],
        scale_rest * alone.diagonal(dim1=-2, dim2=-1),
    )


def _fermion_triangular(a):
    """Orthogonal q and upper triangular t with q a = (t, 0), and log|det t| summed over dimension 1."""
    n = a.shape[-1]
    q, t = torch.linalg.qr(a, mode="complete")
    t = t[..., :n, :]
    t = t + torch.finfo(t.dtype).eps * (t == 0) * torch.eye(n).to(t)  # a pivot lost to underflow
    return q.mT, t, t.diagonal(dim1=-2, dim2=-1).abs().log().sum(dim=(1, 2))


def _fermion_rescaled(phi):
    """P_t, min(exp(ψ_t), 1) and the scale taken out of log det: the unknowns times max(1, exp(ψ_t)).

    ψ_t = φ_t − μ_t, Σ_t μ_t = 0, with the same number of positive entries on all slices.
    """
    margin = 1 + phi.abs().amax(dim=(1, 2), keepdim=True)
    ordered = phi.sort(dim=2, descending=True).values
    ordered = torch.cat([ordered[..., :1] + margin, ordered, ordered[..., -1:] - margin], dim=2)
    totals = ordered.sum(dim=1, keepdim=True)
    k = (totals >= 0).sum(dim=2, keepdim=True) - 1
    above, below = totals.gather(2, k), totals.gather(2, k + 1)
    share = above / (above - below)
    k = k.expand(-1, phi.shape[1], -1)
    psi = phi - ((1 - share) * ordered.gather(2, k) + share * ordered.gather(2, k + 1))
    left = torch.diag_embed(torch.exp(-psi.clamp(min=0)).roll(-1, 1))
    return left, torch.exp(psi.clamp(max=0)), psi.clamp(min=0).sum(dim=(1, 2))


def _fermion_pairs(values):
    """First and second of each pair along dimension 1, and the last one if their number is odd."""
    even = values.shape[1] // 2 * 2
    return values[:, :even:2], values[:, 1:even:2], values[:, even:]


def _fermion_interleave(first, second, rest):
    return _fermion_join(torch.stack([first, second], dim=2).flatten(1, 2), rest)


def _fermion_join(values, rest):
    return torch.cat([values, rest], dim=1) if rest.shape[1] else values


SOURCE = "\n\n\n".join(
    inspect.getsource(part).rstrip()
    for part in (
        _FermionLogDet,
        _fermion_log_det,
        _fermion_gradient,
        _fermion_log_det_and_gradient,
        _fermion_solve,
        _fermion_tree,
        _fermion_triangular,
        _fermion_rescaled,
        _fermion_pairs,
        _fermion_interleave,
        _fermion_join,
    )
)
