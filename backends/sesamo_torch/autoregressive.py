"""The network of an autoregressive law in PyTorch; see `sesamo_dsl.autoregressive`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, silu

from sesamo_dsl.autoregressive import AutoregressiveSpec

from .conditional import features
from .laws import draw


class Autoregressive(nn.Module):
    """log Σ_h p_chain(hu|y), and u drawn from it; y: (batch, components, *lattice), u: (batch, blocks)."""

    mask: Tensor

    def __init__(self, spec: AutoregressiveSpec, *, dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        self.spec = spec
        state = spec.initial_state(seed)
        depth = sum(name.startswith("weight.") for name in state)
        self.weight = nn.ParameterList(torch.tensor(state[f"weight.{n}"], dtype=dtype) for n in range(depth))
        self.bias = nn.ParameterList(torch.tensor(state[f"bias.{n}"], dtype=dtype) for n in range(depth))
        self.coupling = nn.Parameter(torch.tensor(state["coupling"], dtype=dtype))
        self.sizes = nn.Parameter(torch.tensor(state["sizes"], dtype=dtype))
        self.register_buffer("mask", torch.tensor(spec.mask, dtype=dtype), persistent=False)

    def turned(self, u: Tensor, h: Tensor) -> Tensor:
        """hu, by the numbers h, (batch,), in the list of what turns rows together."""
        assert self.spec.together is not None
        elements = torch.as_tensor(self.spec.together.elements, device=u.device)[h]
        return torch.as_tensor(self.spec.table, device=u.device)[elements, u]

    def log_prob(self, y: Tensor, u: Tensor, logits: Tensor) -> Tensor:
        """log Σ_h p_chain(hu|y), (batch,); ``logits`` are the biases, (order, blocks)."""
        hidden, size = self._given(y)
        turns = 1 if self.spec.together is None else len(self.spec.together.elements)
        if turns > 1:
            h = torch.arange(turns, device=u.device).repeat_interleave(len(u))
            u = self.turned(u.repeat(turns, 1), h)
            hidden, size = hidden.repeat(1, 1, turns), size.repeat(1, turns)
        fields = self._fields(self.coupling * self.mask, self._encoded(u), size, size)
        log_p = torch.log_softmax(self._logits(hidden, fields, logits), dim=0)
        chain = log_p.gather(0, u.T[None])[0].sum(dim=0)
        return torch.logsumexp(chain.reshape(turns, -1), dim=0)

    @torch.no_grad()
    def draw(self, y: Tensor, uniform: Tensor, logits: Tensor) -> Tensor:
        """u by the chain, (batch, blocks), one block after the other, each from a column of the uniforms."""
        hidden, size = self._given(y)
        coupling = self.coupling * self.mask
        u = torch.zeros(len(y), self.spec.blocks, dtype=torch.long, device=y.device)
        encoded = y.new_zeros(self.spec.order, self.spec.blocks, len(y))
        for b in range(self.spec.blocks):
            at = slice(b, b + 1)
            fields = self._fields(coupling[:, :, at], encoded, size[at], size)
            log_p = torch.log_softmax(self._logits(hidden[:, at], fields, logits[:, at]), dim=0)
            u[:, b] = draw(log_p[:, 0], uniform[:, b])
            encoded[:, at] = self._encoded(u[:, at])
        return u

    def _given(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """What does not depend on u: the first layer's part, (hidden, blocks, batch); m, (blocks, batch)."""
        spec = self.spec
        means = y.mean(dim=[mu + 1 for mu in spec.features.rest]) if spec.features.rest else y
        squares = means.reshape(*y.shape[:2], -1).square().sum(dim=1)
        size = torch.sqrt(squares.T + torch.finfo(y.dtype).tiny) / spec.size
        own = features(spec.features, y).transpose(1, 2)
        seen = torch.cat([own, own.mean(dim=1, keepdim=True).expand_as(own)])
        weight = self.weight[0][:, : len(seen)]
        hidden = torch.addmm(self.bias[0], weight, seen.flatten(1)).reshape(-1, *seen.shape[1:])
        return hidden + (self.sizes.flatten(0, 1) @ (size - 1)).reshape(hidden.shape), size

    def _encoded(self, u: Tensor) -> Tensor:
        """The elements as (order, blocks, batch), 1 at the right one, less the mean over all elements."""
        return one_hot(u.T, self.spec.order).movedim(-1, 0).to(self.coupling.dtype) - 1 / self.spec.order

    def _fields(self, coupling: Tensor, encoded: Tensor, size: Tensor, sizes: Tensor) -> Tensor:
        """What elements exert on blocks of size m, (2, order, blocks, batch)."""
        rows = coupling.flatten(3).flatten(1, 2)
        plain = rows[0] @ encoded.flatten(0, 1)
        sized = rows[1] @ (encoded * sizes).flatten(0, 1)
        fields = torch.stack([plain, sized]).reshape(2, self.spec.order, *size.shape)
        return torch.stack([fields[0], fields[1] * size])

    def _logits(self, hidden: Tensor, fields: Tensor, logits: Tensor) -> Tensor:
        """(order, blocks, batch)."""
        exerted = fields.flatten(0, 1)
        weight = self.weight[0][:, -len(exerted) :]
        value = torch.addmm(hidden.flatten(1), weight, exerted.flatten(1))
        for weight, bias in zip(list(self.weight)[1:], list(self.bias)[1:], strict=True):
            value = torch.addmm(bias, weight, silu(value))
        return value.reshape(fields.shape[1:]) + fields.sum(dim=0) + logits[..., None]
