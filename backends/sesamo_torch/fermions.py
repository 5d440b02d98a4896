"""Fermion determinants in PyTorch; emitted modules that use them contain the functions of this module.

The algorithm is described in ``sesamo_dsl.ir.fermions``.
"""

from __future__ import annotations

import torch

from sesamo_dsl.ir.fermion_tree import (
    _fermion_interleave,
    _fermion_join,
    _fermion_merged,
    _fermion_multiplied,
    _fermion_pairs,
    _fermion_rescaled,
    source,
)


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
    # an exported graph holds the determinant as one operation: the algorithm depends on the numbers
    # (versions of PyTorch without this question cannot export it)
    if getattr(torch.compiler, "is_exporting", bool)():
        return torch.ops.sesamo_dsl.fermion_log_det(field, step, matrix, species)
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
    # the first levels multiply, while products are small enough to be accurate
    scale = torch.exp(phi)
    right, products = hop * scale[..., None, :], []
    small = bool((right.abs() < 1e4).all())
    while small and right.shape[1] > 1 and len(products) < 4:
        first, second, rest = _fermion_pairs(right)
        product = _fermion_join(torch, second @ first, rest)
        small = bool((product.abs() < 1e4).all())
        if small:
            products.append((first, second))
            right = product
    if products:
        left, taken_out = torch.eye(phi.shape[2]).to(right).expand_as(right), 0
    else:
        descending = phi.sort(dim=2, descending=True).values
        left, scale, taken_out = _fermion_rescaled(torch, torch.take_along_dim, phi, descending)
        right = hop * scale[..., None, :]
    log, before = _fermion_merged(torch, _fermion_upper, left, right, with_gradient)
    log = log + taken_out
    if before is None:
        return log, None
    # −tr(x_t ∂(exp(matrix·step) diag exp φ_t)), for both slices of a product of two from the x before it
    if not products:
        return log, -scale * (before * hop.mT).sum(dim=-1)
    both, alone, scale_1, scale_2, scale_rest = _fermion_multiplied(torch, before, products, hop, scale)
    return log, -_fermion_interleave(
        torch,
        scale_1 * ((both * hop.mT) @ scale_2[..., None])[..., 0],
        scale_2 * ((both.mT * hop) @ scale_1[..., None])[..., 0],
        scale_rest * alone.diagonal(dim1=-2, dim2=-1),
    )


def _fermion_upper(t, b):
    """x with t x = b for an upper triangular t."""
    return torch.linalg.solve_triangular(t, b, upper=True)


def _fermion_operation():
    """Register the determinant as the operation of PyTorch that exported graphs call."""
    if hasattr(torch.ops.sesamo_dsl, "fermion_log_det"):
        return  # once in a process: graphs hold the operation that was there when they were loaded
    from torch import library

    operation = library.custom_op(
        "sesamo_dsl::fermion_log_det",
        lambda field, step, matrix, species: _fermion_solve(field, step, matrix, species, False)[0],
        mutates_args=(),
        schema="(Tensor field, Tensor step, Tensor matrix, float species) -> Tensor",
    )
    operation.register_fake(lambda field, *_: field.new_empty(field.shape[0]))


SOURCE = source(
    *(_FermionLogDet, _fermion_log_det, _fermion_gradient, _fermion_log_det_and_gradient),
    *(_fermion_solve, _fermion_tree, _fermion_upper),
)
"""The functions for an emitted module."""

OPERATION = (
    source(_fermion_operation, _fermion_solve, _fermion_tree, _fermion_upper) + "\n\n\n_fermion_operation()\n"
)
"""The lines that give a process without this package the operation of exported graphs."""
