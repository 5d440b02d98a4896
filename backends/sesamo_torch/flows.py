"""Coupling flows in PyTorch; the mathematics and the index tables are those of `sesamo_dsl.flow_spec`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from sesamo_dsl.collective import Collective
from sesamo_dsl.flow_spec import (
    Block,
    Coupling,
    FlowSpec,
    GaussianBase,
    check_batch,
    check_state,
    coupling,
    initial_state,
)


class Conditioner(nn.Module):
    """Network that reads the transform's parameters of one block off the frozen entries around each site.

    (frozen, batch) and (means, batch) → (parameters per entry, entries, batch). The batch is the last axis
    throughout, so every network layer is one matrix product over sites and batch.
    """

    neighbours: Tensor
    visible: Tensor | None

    def __init__(
        self, block: Block, state: Mapping[str, NDArray[Any]], prefix: str, dtype: torch.dtype
    ) -> None:
        super().__init__()
        depth = sum(name.startswith(f"{prefix}.weight.") for name in state)
        self.components = block.components
        self.mean = nn.Parameter(torch.tensor(state[f"{prefix}.mean"], dtype=dtype))
        self.weight = nn.ParameterList(
            torch.tensor(state[f"{prefix}.weight.{n}"], dtype=dtype) for n in range(depth)
        )
        self.bias = nn.ParameterList(
            torch.tensor(state[f"{prefix}.bias.{n}"], dtype=dtype) for n in range(depth)
        )
        self.register_buffer("neighbours", torch.tensor(block.neighbours), persistent=False)
        visible = None if block.visible.all() else torch.tensor(block.visible[..., None], dtype=dtype)
        self.register_buffer("visible", visible, persistent=False)

    def forward(self, frozen: Tensor, means: Tensor) -> Tensor:
        inputs, sites = self.neighbours.shape
        batch = frozen.shape[-1]
        seen = frozen.index_select(0, self.neighbours.reshape(-1)).reshape(inputs, sites, batch)
        if self.visible is not None:
            seen = seen * self.visible
        hidden = (self.weight[0] @ seen.reshape(inputs, sites * batch)).reshape(-1, sites, batch)
        hidden = hidden + (self.mean @ means + self.bias[0])[:, None, :]
        hidden = hidden.reshape(-1, sites * batch)
        for weight, bias in zip(list(self.weight)[1:], list(self.bias)[1:], strict=True):
            hidden = torch.addmm(bias, weight, silu(hidden))
        return hidden.reshape(-1, self.components * sites, batch)


class CouplingLayer(nn.Module):
    """Transforms the active class given the frozen one, and the inverse; both with the log-determinant."""

    mean_weights: Tensor
    line_weights: Tensor | None

    def __init__(
        self,
        spec: FlowSpec,
        tables: Coupling,
        state: Mapping[str, NDArray[Any]],
        prefix: str,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.blocks = nn.ModuleList(
            Conditioner(block, state, f"{prefix}.blocks.{index}", dtype)
            for index, block in enumerate(tables.blocks)
        )
        self.register_buffer("mean_weights", torch.tensor(tables.mean_weights, dtype=dtype), persistent=False)
        lines = torch.tensor(tables.line_weights, dtype=dtype) if len(tables.line_weights) else None
        self.register_buffer("line_weights", lines, persistent=False)

    def forward(self, active: Tensor, frozen: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        means = self.mean_weights @ frozen
        if self.line_weights is not None:
            frozen = torch.cat([frozen, self.line_weights @ frozen])
        parameters = torch.cat([block(frozen, means) for block in self.blocks], dim=1)
        transform = _affine if self.spec.transform == "affine" else _spline
        image, log_det = transform(self.spec, parameters, active, inverse)
        return image, log_det.sum(dim=0)


class CollectiveLayer(nn.Module):
    """Transforms the means over the lattice, and scales the other modes depending on them."""

    width: Tensor
    features: Tensor

    def __init__(
        self, spec: FlowSpec, tables: Collective, state: Mapping[str, NDArray[Any]], dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.spec, self.axes = spec, tuple(2 + mu for mu in tables.axes)
        depth = sum(name.startswith("collective.weight.") for name in state)
        self.spline = nn.Parameter(torch.tensor(state["collective.spline"], dtype=dtype))
        self.weight = nn.ParameterList(
            torch.tensor(state[f"collective.weight.{n}"], dtype=dtype) for n in range(depth)
        )
        self.bias = nn.ParameterList(
            torch.tensor(state[f"collective.bias.{n}"], dtype=dtype) for n in range(depth)
        )
        self.register_buffer("width", torch.tensor(tables.width[:, None], dtype=dtype), persistent=False)
        self.register_buffer("features", torch.tensor(tables.features, dtype=dtype), persistent=False)

    def forward(self, field: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """(batch, components, *shape) → the same and the log-determinant, (batch,)."""
        batch, components = field.shape[:2]
        mean = field.mean(dim=self.axes, keepdim=True)
        values = mean.transpose(0, 1).reshape(components, -1) / self.width  # of every configuration and node
        image, log_slope = _spline(self.spec, self.spline[..., None], values, inverse)

        hidden = self.weight[0] @ ((values if inverse else image) * self.width) + self.bias[0]
        for weight, bias in zip(list(self.weight)[1:], list(self.bias)[1:], strict=True):
            hidden = torch.addmm(bias, weight, silu(hidden))
        coefficients = hidden.reshape(components, self.features.shape[1], -1)
        log_scale = _bounded(self.features @ coefficients, self.spec.max_log_scale)
        if inverse:
            log_scale = -log_scale
        # (components, modes, batch · nodes) → (batch, components, *shape)
        factors = log_scale.exp().reshape(components, len(self.features), batch, -1)
        factors = factors.movedim(2, 0).reshape(field.shape)
        waves = torch.fft.fftn(field - mean, dim=self.axes)
        moved = torch.fft.ifftn(waves * factors, dim=self.axes).real
        mean = (image * self.width).reshape(components, batch, *mean.shape[2:]).transpose(0, 1)
        log_det = log_scale.sum(dim=(0, 1)) + log_slope.sum(dim=0)
        return moved + mean, log_det.reshape(batch, -1).sum(dim=1)


class Flow(nn.Module):
    """A coupling flow over a Gaussian base; a new flow is equal to its base.

    Parameters
    ----------
    spec
        Architecture.
    base
        Distribution that the flow starts from; fixes components and shape.
    dtype
        Real floating-point type of the weights and of what is computed with them, float32 or float64; fixed
        from here on. Results come in the type of the input.
    seed
        Seed of the initial weights; the same seed gives the same flow on every backend.
    """

    filter: Tensor
    inverse_filter: Tensor
    base_mean: Tensor
    base_scale: Tensor
    classes: Tensor
    unsplit: Tensor

    def __init__(
        self, spec: FlowSpec, base: GaussianBase, *, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> None:
        super().__init__()
        self.spec, self.components, self.shape = spec, base.components, base.shape
        state = initial_state(spec, self.components, self.shape, seed, base.nodes)
        geometry = self.components, self.shape, base.nodes
        tables = [coupling(parity, spec.kernel, *geometry) for parity in (0, 1)]
        self.layers = nn.ModuleList(
            CouplingLayer(spec, tables[index % 2], state, f"layers.{index}", dtype)
            for index in range(spec.layers)
        )
        collective = Collective.of(spec, base)
        self.collective = None
        if collective is not None:
            self.collective = CollectiveLayer(spec, collective, state, dtype)
        complex_dtype = torch.complex128 if dtype == torch.float64 else torch.complex64
        column = (-1, *(1 for _ in self.shape))
        buffers = {
            "filter": torch.tensor(base.filter / base.scale[:, None], dtype=complex_dtype),
            "inverse_filter": torch.tensor(base.inverse_filter * base.scale, dtype=complex_dtype),
            "base_mean": torch.tensor(base.mean.reshape(column), dtype=dtype),
            "base_scale": torch.tensor(base.scale.reshape(column), dtype=dtype),
            "classes": torch.tensor(np.concatenate([tables[0].frozen, tables[0].active])),
            "unsplit": torch.tensor(tables[0].unsplit),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)
        self.split = tables[0].frozen.size
        self.log_normalization = 0.5 * math.log(2 * math.pi) * tables[0].unsplit.size + base.log_det

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Noise to configuration: (batch, components, *shape) → (x, log q(x)), log q of shape (batch,)."""
        check_batch(tuple(z.shape), self.components, self.shape)
        given, z = z.dtype, z.to(self.base_mean.dtype)
        field, log_q = self._filtered(self.filter, z), self._base_log_prob(z)
        if self.collective is not None:
            field, log_det = self.collective(field, False)
            log_q = log_q - log_det
        halves = self._split(field)
        for index, layer in enumerate(self.layers):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(halves[active], halves[frozen], False)
            log_q = log_q - log_det
        return (self.base_mean + self.base_scale * self._merge(halves)).to(given), log_q.to(given)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Configuration to noise: (batch, components, *shape) → (z, log q(x)), log q of shape (batch,)."""
        check_batch(tuple(x.shape), self.components, self.shape)
        given, x = x.dtype, x.to(self.base_mean.dtype)
        halves = self._split((x - self.base_mean) / self.base_scale)
        total = x.new_zeros(x.shape[0])
        for index, layer in reversed(list(enumerate(self.layers))):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(halves[active], halves[frozen], True)
            total = total + log_det
        field = self._merge(halves)
        if self.collective is not None:
            field, log_det = self.collective(field, True)
            total = total + log_det
        z = self._filtered(self.inverse_filter, field)
        return z.to(given), (self._base_log_prob(z) + total).to(given)

    def state_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name, the same names and shapes on every backend."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.named_parameters()}

    def load_state_arrays(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Replace the weights, in place.

        Raises
        ------
        ValueError
            If names or shapes are not those of this flow.
        """
        own = dict(self.named_parameters())
        check_state({name: tuple(value.shape) for name, value in own.items()}, state)
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(torch.as_tensor(np.asarray(state[name])))

    def _roles(self, layer: int) -> tuple[int, int]:
        """Which of the two classes is active and which frozen; a single entry is always active."""
        return (1, 0) if self.split == 0 or layer % 2 == 0 else (0, 1)

    def _split(self, field: Tensor) -> list[Tensor]:
        entries = field.reshape(field.shape[0], -1).T.index_select(0, self.classes)
        return [entries[: self.split], entries[self.split :]]

    def _merge(self, halves: list[Tensor]) -> Tensor:
        entries = torch.cat(halves).index_select(0, self.unsplit)
        return entries.T.reshape(-1, self.components, *self.shape)

    def _filtered(self, matrix: Tensor, field: Tensor) -> Tensor:
        axes = tuple(range(2, field.ndim))
        waves = torch.fft.fftn(field, dim=axes).movedim(1, -1)
        product = (matrix @ waves[..., None])[..., 0]
        return torch.fft.ifftn(product.movedim(-1, 1), dim=axes).real

    def _base_log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * z.square().flatten(1).sum(dim=1) - self.log_normalization


def _bounded(values: Tensor, limit: float) -> Tensor:
    """Into (−limit, limit), smoothly."""
    return limit * torch.tanh(values / limit)


def _affine(spec: FlowSpec, parameters: Tensor, values: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """y = x exp(s) + t; parameters (2, entries, batch), values (entries, batch) → (y, log dy/dx), or inverse.

    |s| <= max_log_scale, smoothly, so that exp cannot overflow.
    """
    log_scale, shift = _bounded(parameters[0], spec.max_log_scale), parameters[1]
    if inverse:
        return (values - shift) * torch.exp(-log_scale), -log_scale
    return values * torch.exp(log_scale) + shift, log_scale


def _spline(spec: FlowSpec, parameters: Tensor, values: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """Monotone rational-quadratic spline of Durkan et al. (2019), the identity outside [−bound, bound].

    Parameters (3·bins − 1, entries, batch), or batch 1 for one spline of all: widths and heights of the bins,
    log slopes at the inner knots; values (entries, batch) → (image, log of its derivative).
    """
    bounded = _bounded(parameters, spec.max_log_scale)
    extents = bounded[: 2 * spec.bins].reshape(2, spec.bins, *bounded.shape[1:])
    slopes = torch.exp(pad(bounded[2 * spec.bins :], (0, 0, 0, 0, 1, 1)))
    curve = torch.cat([spread(extents, spec.bound), slopes[None]])

    inside = values.abs() < spec.bound
    # Values outside are evaluated at 0 and discarded: no branch then has an infinite gradient.
    image, log_det = rational_quadratic(curve, torch.where(inside, values, 0.0), inverse)
    return torch.where(inside, image, values), torch.where(inside, log_det, 0.0)


def rational_quadratic(curve: Tensor, values: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
    """The spline through knots (x, y) with slopes d: curve (3, knots, entries, batch or 1) of x, y and d.

    Values (entries, batch) between the first and the last knot → (image, log of its derivative).
    """
    index = (values >= curve[1 if inverse else 0, 1:-1]).sum(dim=0)
    both = torch.stack([index, index + 1]).expand(3, -1, -1, -1)
    (x0, x1), (y0, y1), (d0, d1) = curve.expand(-1, -1, *values.shape).gather(1, both)
    width, height = x1 - x0, y1 - y0
    mean_slope = height / width
    bend = d0 + d1 - 2 * mean_slope
    if inverse:
        rise = values - y0
        a = height * (mean_slope - d0) + rise * bend
        b = height * d0 - rise * bend
        # all of these are positive, and root is at most 1, but for rounding, which must not make a NaN of it
        tiny = torch.finfo(b.dtype).tiny
        discriminant = (b * b + 4 * a * mean_slope * rise).clamp(min=tiny)
        root = (2 * mean_slope * rise / (b + torch.sqrt(discriminant)).clamp(min=tiny)).clamp(max=1.0)
    else:
        root = (values - x0) / width
    mix = root * (1 - root)
    denominator = mean_slope + bend * mix
    slope = d1 * root * root + 2 * mean_slope * mix + d0 * (1 - root) * (1 - root)
    log_det = 2 * torch.log(mean_slope / denominator) + torch.log(slope)
    if inverse:
        image, log_det = x0 + root * width, -log_det
    else:
        image = y0 + height * (mean_slope * root * root + d0 * mix) / denominator
    return image, log_det


def spread(logits: Tensor, bound: float) -> Tensor:
    """Increasing knots from −bound to bound, (n, bins, ...) → (n, bins + 1, ...)."""
    fractions = torch.softmax(logits, dim=1).cumsum(dim=1)[:, :-1]
    zero, one = torch.zeros_like(logits[:, :1]), torch.ones_like(logits[:, :1])
    return bound * (2 * torch.cat([zero, fractions, one], dim=1) - 1)
