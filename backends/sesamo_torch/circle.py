"""A circular spline in PyTorch; see `sesamo_dsl.circle`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from sesamo_dsl.circle import BINS, LIMIT, CircleSpec

from .conditional import features
from .flows import rational_quadratic, spread


class Circle(nn.Module):
    """A map of the circle onto itself that may depend on y: uniform unit vectors to those of the law."""

    def __init__(self, spec: CircleSpec, *, dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        self.spec = spec
        state = spec.initial_state(seed)
        depth = len(state) // 2
        self.spline = nn.Parameter(torch.tensor(state["spline"], dtype=dtype))
        self.weight = nn.ParameterList(torch.tensor(state[f"weight.{n}"], dtype=dtype) for n in range(depth))
        self.bias = nn.ParameterList(torch.tensor(state[f"bias.{n}"], dtype=dtype) for n in range(depth))

    def forward(self, y: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors (batch, 2) → (n, log dθ/dv), n of density 1/(2π dθ/dv)."""
        curve, offset = self._curve(y)
        v = torch.atan2(uniform[:, 1], uniform[:, 0])
        image, log_slope = rational_quadratic(curve, v[None], inverse=False)
        theta = image[0] + offset
        return torch.stack([torch.cos(theta), torch.sin(theta)], dim=1), log_slope[0]

    def log_slope(self, y: Tensor, n: Tensor) -> Tensor:
        """log dθ/dv at n, (batch,)."""
        curve, offset = self._curve(y)
        cosine, sine = torch.cos(offset), torch.sin(offset)
        turned = torch.atan2(n[:, 1] * cosine - n[:, 0] * sine, n[:, 0] * cosine + n[:, 1] * sine)
        return -rational_quadratic(curve, turned[None], inverse=True)[1][0]

    def _curve(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Knots and slopes, (3, BINS + 1, 1, batch), and θ₀, (batch,)."""
        value = self.spline.expand(-1, len(y))
        if self.spec.features is not None:
            hidden = features(self.spec.features, y)[:, :, 0]
            for n, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
                hidden = torch.addmm(bias, weight, silu(hidden) if n else hidden)
            value = value + hidden
        bounded = LIMIT * torch.tanh(value[:-1, None] / LIMIT)
        knots = spread(bounded[: 2 * BINS].reshape(2, BINS, *bounded.shape[1:]), math.pi)
        slopes = torch.exp(bounded[2 * BINS :])
        return torch.cat([knots, torch.cat([slopes, slopes[:1]])[None]]), value[-1]
