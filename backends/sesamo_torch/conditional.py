"""The network of a conditional law in PyTorch; see `sesamo_dsl.conditional`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from sesamo_dsl.conditional import ConditionalSpec, FeatureSpec


class Conditional(nn.Module):
    """log p(u|y) from y: (batch, components, *lattice) → (order, batch), or (order, batch, blocks)."""

    def __init__(self, spec: ConditionalSpec, *, dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        self.spec = spec
        state = spec.initial_state(seed)
        depth = len(state) // 2
        self.weight = nn.ParameterList(torch.tensor(state[f"weight.{n}"], dtype=dtype) for n in range(depth))
        self.bias = nn.ParameterList(torch.tensor(state[f"bias.{n}"], dtype=dtype) for n in range(depth))

    def forward(self, y: Tensor, logits: Tensor) -> Tensor:
        hidden = self._seen(y)
        shape = hidden.shape[1:]
        hidden = hidden.flatten(1)
        for n, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            hidden = torch.addmm(bias, weight, silu(hidden) if n else hidden)
        output = hidden.reshape(-1, *shape) + logits.reshape(len(logits), 1, *logits.shape[1:])
        log_p = torch.log_softmax(output, dim=0)
        if self.spec.cosets is None:
            return log_p
        cosets = torch.as_tensor(self.spec.cosets, device=y.device)
        return torch.logsumexp(log_p[cosets], dim=1) - math.log(cosets.shape[1])

    def _seen(self, y: Tensor) -> Tensor:
        """(inputs, batch), or (inputs, batch, blocks) with the mean over the blocks beside each one's own."""
        own = features(self.spec.features, y)
        if self.spec.joint:
            return own.transpose(1, 2).flatten(0, 1)
        return torch.cat([own, own.mean(dim=2, keepdim=True).expand_as(own)])


def features(spec: FeatureSpec, y: Tensor) -> Tensor:
    """Centred and scaled invariants, (features, batch, blocks)."""
    values = []
    for monomial in spec.monomials:
        product = y[:, monomial[0]]
        for a in monomial[1:]:
            product = product * y[:, a]
        values.append(product.mean(dim=spec.rest) if spec.rest else product)
    own = torch.stack(values).reshape(len(values), len(y), -1)
    mean, scale = (torch.as_tensor(a).to(y)[:, None, None] for a in (spec.mean, spec.scale))
    return (own - mean) / scale
