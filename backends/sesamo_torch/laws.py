"""Modulation laws p(u|y) in PyTorch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sesamo_dsl.orbits import polar_quadrature
from sesamo_dsl.training import Law


def log_law(law: Law, breaking: Tensor, logits: Tensor) -> Tensor:
    """log p(u|y) for every group element.

    Parameters
    ----------
    breaking
        S₁(T_u y), shape (order, batch), or (order, batch, blocks) if blocks are independent of each other.
    logits
        Parameters of the learned law, shape (order,) or (order, blocks).

    Returns
    -------
    Tensor
        Of the shape of ``breaking``.
    """
    if law == "heat_bath":
        return torch.log_softmax(-breaking, dim=0)
    if law == "learned":
        return torch.log_softmax(logits, dim=0)[:, None].expand_as(breaking)
    return torch.full_like(breaking, -math.log(len(breaking)))


def draw(log_probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Group elements by inverse CDF: log p (order, batch, …), uniforms (batch, …) → indices (batch, …)."""
    cumulative = log_probabilities.exp().cumsum(dim=0)
    return (cumulative < uniform * cumulative[-1]).sum(dim=0).clamp(max=len(log_probabilities) - 1)


def log_orbit_integral(kappa: Tensor, dimension: int) -> Tensor:
    """log ∫ exp(κ n·μ) dn over the unit sphere in N dimensions, differentiable, (batch,).

    (2π)^(N/2) I_(N/2−1)(κ)/κ^(N/2−1) in closed form for N = 2, 3, 4, else by quadrature in the polar angle.
    """
    small = kappa < 1e-3
    safe = torch.where(small, torch.ones_like(kappa), kappa)
    if dimension == 2:
        return math.log(2 * math.pi) + torch.log(torch.special.i0e(kappa)) + kappa
    if dimension == 3:
        value = safe + torch.log1p(-torch.exp(-2 * safe)) - torch.log(2 * safe)
        return math.log(4 * math.pi) + torch.where(small, kappa**2 / 6, value)
    if dimension == 4:
        value = torch.log(2 * torch.special.i1e(safe) / safe) + safe
        return math.log(2 * math.pi**2) + torch.where(small, kappa**2 / 8, value)
    cosine, log_weight = polar_quadrature(dimension)
    exponent = (
        kappa[None] * torch.as_tensor(cosine).to(kappa)[:, None]
        + torch.as_tensor(log_weight).to(kappa)[:, None]
    )
    return torch.logsumexp(exponent, dim=0)
