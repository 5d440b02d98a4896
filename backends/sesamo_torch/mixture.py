"""A mixture of coupling flows with learned weights (variational mixture of flows, ESANN 2020), in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sesamo_dsl.flow_spec import FlowSpec, GaussianBase, mixture_bases

from .flows import Flow
from .laws import draw


class Mixture(nn.Module):
    """q(x) = Σ_k π_k q_k(x), with the face of a :class:`Flow`; the flows start around different points."""

    def __init__(
        self, spec: FlowSpec, base: GaussianBase, count: int, *, dtype: torch.dtype, seed: int
    ) -> None:
        super().__init__()
        bases = mixture_bases(base, count, seed)
        self.flows = nn.ModuleList(Flow(spec, b, dtype=dtype, seed=seed + k) for k, b in enumerate(bases))
        self.logits = nn.Parameter(torch.zeros(count, dtype=dtype))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Noise to configuration, an equal share of the batch through each flow; see :meth:`shares`."""
        shares = torch.tensor_split(z, len(self.flows))
        x = torch.cat([flow.forward(share)[0] for flow, share in zip(self._each, shares, strict=True)])
        return x, self.inverse(x)[1]

    def shares(self, z: Tensor) -> Tensor:
        """π_k over the share of the batch that went through flow k, (batch,): the mean of these is 1."""
        sizes = [len(share) for share in torch.tensor_split(z, len(self.flows))]
        weights = torch.softmax(self.logits, dim=0) * len(z)
        return torch.cat([(weight / size).expand(size) for weight, size in zip(weights, sizes, strict=True)])

    def draw(self, z: Tensor, uniform: Tensor) -> Tensor:
        """Noise to configuration, the flow of each chosen with probability π_k."""
        log_p = torch.log_softmax(self.logits, dim=0)[:, None].expand(-1, len(z))
        choice = draw(log_p, uniform)
        x = torch.stack([flow.forward(z)[0] for flow in self._each])
        return x[choice, torch.arange(len(z), device=z.device)]

    def inverse(self, x: Tensor) -> tuple[None, Tensor]:
        """log q(x), (batch,), in the place where a flow has it; a mixture has no inverse map."""
        log_q = torch.stack([flow.inverse(x)[1] for flow in self._each])
        return None, torch.logsumexp(log_q + torch.log_softmax(self.logits, dim=0)[:, None], dim=0)

    @property
    def _each(self) -> list[Any]:
        return list(self.flows)

    def state_arrays(self) -> Mapping[str, NDArray[Any]]:
        """The weights by name, the same names and shapes on every backend."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.named_parameters()}
