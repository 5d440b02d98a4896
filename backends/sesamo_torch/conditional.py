"""The network of a conditional law in PyTorch; see `sesamo_dsl.conditional`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from sesamo_dsl.conditional import ConditionalSpec, FeatureSpec


class Conditional(nn.Module):
    """log p(u|y) from all T_u y: (choices·batch, components, *lattice) → (choices, batch[, blocks])."""

    def __init__(self, spec: ConditionalSpec, *, dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        self.spec = spec
        state = spec.initial_state(seed)
        depth = len(state) // 2
        self.linear = nn.Parameter(torch.tensor(state["linear"], dtype=dtype))
        self.weight = nn.ParameterList(torch.tensor(state[f"weight.{n}"], dtype=dtype) for n in range(depth))
        self.bias = nn.ParameterList(torch.tensor(state[f"bias.{n}"], dtype=dtype) for n in range(depth))

    def forward(self, images: Tensor) -> Tensor:
        seen = self._seen(images)
        shape = seen.shape[1:]
        seen = seen.flatten(1)
        hidden = seen
        for n, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            hidden = torch.addmm(bias, weight, silu(hidden) if n else hidden)
        log_p = torch.log_softmax((hidden + self.linear @ seen).reshape(shape), dim=0)
        if self.spec.cosets is None:
            return log_p
        cosets = torch.as_tensor(self.spec.cosets, device=images.device)
        return torch.logsumexp(log_p[cosets], dim=1) - math.log(cosets.shape[1])

    def _seen(self, images: Tensor) -> Tensor:
        """(inputs, choices, batch[, blocks]), of each block its own and the mean of all."""
        own = features(self.spec.features, images)
        if self.spec.joint:
            return own.transpose(1, 2).reshape(self.spec.inputs, self.spec.choices, -1)
        own = own.reshape(len(own), self.spec.choices, -1, self.spec.blocks)
        return torch.cat([own, own.mean(dim=(1, 3), keepdim=True).expand_as(own)])


def features(spec: FeatureSpec, y: Tensor) -> Tensor:
    """Centred and scaled monomials, (features, batch, blocks)."""
    values = []
    for monomial in spec.monomials:
        product = y[:, monomial[0]]
        for a in monomial[1:]:
            product = product * y[:, a]
        values.append(product.mean(dim=spec.rest) if spec.rest else product)
    own = torch.stack(values).reshape(len(values), len(y), -1)
    mean, scale = (torch.as_tensor(a).to(y)[:, None, None] for a in (spec.mean, spec.scale))
    return (own - mean) / scale
