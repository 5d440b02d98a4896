"""Modulation laws p(u|y) in PyTorch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sesamo_dsl.training import Law


def log_law(law: Law, breaking: Tensor, logits: Tensor) -> Tensor:
    """log p(u|y) for every group element.

    Parameters
    ----------
    breaking
        S₁(T_u y), shape (order, batch).
    logits
        Parameters of the learned law, shape (order,).

    Returns
    -------
    Tensor
        Shape (order, batch).
    """
    if law == "heat_bath":
        return torch.log_softmax(-breaking, dim=0)
    if law == "learned":
        return torch.log_softmax(logits, dim=0)[:, None].expand_as(breaking)
    return torch.full_like(breaking, -math.log(len(breaking)))


def draw(log_probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Group elements by inverse CDF: log p of shape (order, batch), uniforms (batch,) → indices (batch,)."""
    cumulative = log_probabilities.exp().cumsum(dim=0)
    return (cumulative < uniform * cumulative[-1]).sum(dim=0).clamp(max=len(log_probabilities) - 1)
