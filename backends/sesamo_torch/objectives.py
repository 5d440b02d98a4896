"""Estimators of the training gradient in PyTorch.

With y from the flow, x = T_u y, and f(y, u) = log q̃(y) + log p(u|y) + S(T_u y), the reverse
Kullback–Leibler divergence is ⟨f⟩ + log Z. Its gradient has a part that goes through y, by reparametrisation,
and one that goes through the distribution of u:

===============  ====================================================================================
part             estimator
===============  ====================================================================================
y                differentiate f along y. Derivatives of log q̃ and log p by their weights alone
                 average to zero: the path gradient leaves them out, by holding the weights constant
                 wherever f evaluates a density. At the optimum f is constant, hence no variance is left.
u, enumerate     Σ_u p(u|y) f(y, u) is differentiated as a whole, :func:`enumerated`
u, reinforce     one u per configuration, and (f − baseline) ∇log p(u|y) with the mean of the others
                 as baseline; log p is differentiated by its weights and along y, :func:`reinforced`
===============  ====================================================================================

Reparametrisation needs an f that is continuous in y. A fold takes neighbouring points of the flow to
different walls of the domain, and f is the same there only if it is the same on all images of y, as it is
when u is uniform or from the heat bath. Of any other law the part that is not,

    f − f_heat = E_u log [p(u|y) / p_heat(u|y)] ≥ 0,   f_heat = log q̃(y) − log Σ_u exp(−S(T_u y)),

is differentiated through the density of y instead, (f − f_heat − baseline) ∇log q̃(y) at y held fixed: no
derivative along y, so no flux through the walls can be missed. It vanishes where the law is exact.

The forward divergence needs configurations of the target and is −⟨log q⟩_p + constant, :func:`mixed` in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sesamo_dsl.backend import WALL_HEIGHT


def enumerated(breaking: Tensor, log_p: Tensor) -> Tensor:
    """Σ_u p(u|y) (log p(u|y) + S₁(T_u y)) − S₁(y), summed over blocks; (order, batch, …) → (batch,)."""
    change = (log_p.exp() * (log_p + breaking)).sum(dim=0) - breaking[0]
    return change.reshape(len(change), -1).sum(dim=1)


def excess(log_p: Tensor, log_heat: Tensor) -> Tensor:
    """Σ_u p(u|y) log [p(u|y) / p_heat(u|y)], summed over blocks; (order, batch, …) → (batch,)."""
    gap = (log_p.exp() * (log_p - log_heat)).sum(dim=0)
    return gap.reshape(len(gap), -1).sum(dim=1)


def reinforced(value: Tensor, log_p: Tensor, baseline: bool = True) -> Tensor:
    """f with the score term of what was drawn in its gradient; f and its log p, (batch,), of batch ≥ 2.

    f − (mean of the others) = (f − mean) n/(n − 1). Without baseline for draws that are not all alike.
    """
    advantage = (value - value.mean()) * (len(value) / (len(value) - 1)) if baseline else value
    return value + advantage.detach() * (log_p - log_p.detach())


def walls(facets: Tensor, height: float, slope: float) -> Tensor:
    """The penalty Λ = Σ_j A σ(B λ_j) Θ(λ_j), (batch, facets) → (batch,)."""
    inside = torch.zeros_like(facets)
    return height * torch.where(facets > 0, torch.sigmoid(slope * facets), inside).sum(dim=1)


def mixed(reverse: Tensor, log_q: Tensor | None, weight: float) -> Tensor:
    """(1 − w)·reverse − w·⟨log q⟩_p, a number; log q on configurations of the target, None without them."""
    if log_q is None:
        return reverse.mean()
    return (1 - weight) * reverse.mean() - weight * log_q.mean()


def batch_ess(log_w: Tensor, shares: Tensor | None) -> Tensor:
    """(Σw)²/(N Σw²) of a batch; shares: how often each configuration counts, (batch,) of mean 1."""
    count = 0.0 if shares is None else torch.log(shares)
    first, second = torch.logsumexp(log_w + count, dim=0), torch.logsumexp(2 * log_w + count, dim=0)
    return torch.exp(2 * first - second) / len(log_w)


def above_walls(action: Tensor) -> Tensor:
    """S, and where it is infinite a number that is larger than all others of the batch."""
    top = torch.where(torch.isposinf(action), -torch.inf, action).max()
    top = torch.where(torch.isfinite(top), top, torch.zeros_like(top))
    return torch.where(torch.isposinf(action), top + WALL_HEIGHT, action)
