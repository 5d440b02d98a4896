"""Coupling flows in JAX; the mathematics and the index tables are those of `sesamo_dsl.flow_spec`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import silu
from jax.typing import DTypeLike
from numpy.typing import NDArray

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

# Index tables and the base stay NumPy arrays: constants of the traced function, never leaves to be trained.


class Conditioner(eqx.Module):
    """Network that reads the transform's parameters of one block off the frozen entries around each site.

    (frozen, batch) and (means, batch) → (parameters per entry, entries, batch). The batch is the last axis
    throughout, so every network layer is one matrix product over sites and batch.
    """

    mean: Array
    weight: list[Array]
    bias: list[Array]
    block: Block = eqx.field(static=True)

    def __init__(
        self, block: Block, state: Mapping[str, NDArray[Any]], prefix: str, dtype: DTypeLike
    ) -> None:
        depth = sum(name.startswith(f"{prefix}.weight.") for name in state)
        self.block = block
        self.mean = jnp.asarray(state[f"{prefix}.mean"], dtype)
        self.weight = [jnp.asarray(state[f"{prefix}.weight.{n}"], dtype) for n in range(depth)]
        self.bias = [jnp.asarray(state[f"{prefix}.bias.{n}"], dtype) for n in range(depth)]

    def __call__(self, frozen: Array, means: Array) -> Array:
        inputs, sites = self.block.neighbours.shape
        batch = frozen.shape[-1]
        seen = frozen[_index(self.block.neighbours.reshape(-1))].reshape(inputs, sites, batch)
        if not self.block.visible.all():
            seen = seen * self.block.visible[..., None].astype(seen.dtype)
        hidden = (self.weight[0] @ seen.reshape(inputs, sites * batch)).reshape(-1, sites, batch)
        hidden = hidden + (self.mean @ means + self.bias[0])[:, None, :]
        hidden = hidden.reshape(-1, sites * batch)
        for weight, bias in zip(self.weight[1:], self.bias[1:], strict=True):
            hidden = weight @ silu(hidden) + bias
        return hidden.reshape(-1, self.block.components * sites, batch)


class CouplingLayer(eqx.Module):
    """Transforms the active class given the frozen one, and the inverse; both with the log-determinant."""

    blocks: list[Conditioner]
    spec: FlowSpec = eqx.field(static=True)
    tables: Coupling = eqx.field(static=True)

    def __init__(
        self,
        spec: FlowSpec,
        tables: Coupling,
        state: Mapping[str, NDArray[Any]],
        prefix: str,
        dtype: DTypeLike,
    ) -> None:
        self.spec, self.tables = spec, tables
        self.blocks = [
            Conditioner(block, state, f"{prefix}.blocks.{index}", dtype)
            for index, block in enumerate(tables.blocks)
        ]

    def __call__(self, active: Array, frozen: Array, inverse: bool) -> tuple[Array, Array]:
        means = jnp.asarray(self.tables.mean_weights, frozen.dtype) @ frozen
        if len(self.tables.line_weights):
            lines = jnp.asarray(self.tables.line_weights, frozen.dtype) @ frozen
            frozen = jnp.concatenate([frozen, lines])
        parameters = jnp.concatenate([block(frozen, means) for block in self.blocks], axis=1)
        transform = _affine if self.spec.transform == "affine" else _spline
        image, log_det = transform(self.spec, parameters, active, inverse)
        return image, log_det.sum(axis=0)


class CollectiveLayer(eqx.Module):
    """Transforms the means over the lattice, and scales the other modes depending on them."""

    spline: Array
    weight: list[Array]
    bias: list[Array]
    spec: FlowSpec = eqx.field(static=True)
    tables: Collective = eqx.field(static=True)

    def __init__(
        self, spec: FlowSpec, tables: Collective, state: Mapping[str, NDArray[Any]], dtype: DTypeLike
    ) -> None:
        self.spec, self.tables = spec, tables
        depth = sum(name.startswith("collective.weight.") for name in state)
        self.spline = jnp.asarray(state["collective.spline"], dtype)
        self.weight = [jnp.asarray(state[f"collective.weight.{n}"], dtype) for n in range(depth)]
        self.bias = [jnp.asarray(state[f"collective.bias.{n}"], dtype) for n in range(depth)]

    def __call__(self, field: Array, inverse: bool) -> tuple[Array, Array]:
        """(batch, components, *shape) → the same and the log-determinant, (batch,)."""
        batch, components = field.shape[:2]
        axes = tuple(2 + mu for mu in self.tables.axes)
        features = jnp.asarray(self.tables.features, field.dtype)
        width = jnp.asarray(self.tables.width[:, None], field.dtype)
        mean = field.mean(axis=axes, keepdims=True)
        values = mean.swapaxes(0, 1).reshape(components, -1) / width  # of every configuration and node
        image, log_slope = _spline(self.spec, self.spline[..., None], values, inverse)

        hidden = self.weight[0] @ ((values if inverse else image) * width) + self.bias[0]
        for weight, bias in zip(self.weight[1:], self.bias[1:], strict=True):
            hidden = weight @ silu(hidden) + bias
        coefficients = hidden.reshape(components, features.shape[1], -1)
        log_scale = _bounded(features @ coefficients, self.spec.max_log_scale)
        if inverse:
            log_scale = -log_scale
        # (components, modes, batch · nodes) → (batch, components, *shape)
        factors = jnp.exp(log_scale).reshape(components, len(features), batch, -1)
        factors = jnp.moveaxis(factors, 2, 0).reshape(field.shape)
        waves = jnp.fft.fftn(field - mean, axes=axes)
        moved = jnp.fft.ifftn(waves * factors, axes=axes).real
        mean = (image * width).reshape(components, batch, *mean.shape[2:]).swapaxes(0, 1)
        log_det = log_scale.sum(axis=(0, 1)) + log_slope.sum(axis=0)
        return moved + mean, log_det.reshape(batch, -1).sum(axis=1)


class Flow(eqx.Module):
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

    layers: list[CouplingLayer]
    collective: CollectiveLayer | None
    base: GaussianBase = eqx.field(static=True)
    tables: Coupling = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(
        self, spec: FlowSpec, base: GaussianBase, *, dtype: DTypeLike = jnp.float32, seed: int = 0
    ) -> None:
        self.base, self.dtype = base, jnp.dtype(dtype)
        state = initial_state(spec, base.components, base.shape, seed, base.nodes)
        geometry = base.components, base.shape, base.nodes
        tables = [coupling(parity, spec.kernel, *geometry) for parity in (0, 1)]
        self.layers = [
            CouplingLayer(spec, tables[index % 2], state, f"layers.{index}", dtype)
            for index in range(spec.layers)
        ]
        collective = Collective.of(spec, base)
        self.collective = None if collective is None else CollectiveLayer(spec, collective, state, dtype)
        self.tables = tables[0]

    def forward(self, z: Array) -> tuple[Array, Array]:
        """Noise to configuration: (batch, components, *shape) → (x, log q(x)), log q of shape (batch,)."""
        check_batch(tuple(z.shape), self.base.components, self.base.shape)
        given, z = z.dtype, z.astype(self.dtype)
        field = self._filtered(self.base.filter / self.base.scale[:, None], z)
        log_q = self._base_log_prob(z)
        if self.collective is not None:
            field, log_det = self.collective(field, False)
            log_q = log_q - log_det
        halves = self._split(field)
        for index, layer in enumerate(self.layers):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(halves[active], halves[frozen], False)
            log_q = log_q - log_det
        x = self._column(self.base.mean, z) + self._column(self.base.scale, z) * self._merge(halves)
        return x.astype(given), log_q.astype(given)

    def inverse(self, x: Array) -> tuple[Array, Array]:
        """Configuration to noise: (batch, components, *shape) → (z, log q(x)), log q of shape (batch,)."""
        check_batch(tuple(x.shape), self.base.components, self.base.shape)
        given, x = x.dtype, x.astype(self.dtype)
        halves = self._split((x - self._column(self.base.mean, x)) / self._column(self.base.scale, x))
        total = jnp.zeros(x.shape[0], x.dtype)
        for index, layer in reversed(list(enumerate(self.layers))):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(halves[active], halves[frozen], True)
            total = total + log_det
        field = self._merge(halves)
        if self.collective is not None:
            field, log_det = self.collective(field, True)
            total = total + log_det
        z = self._filtered(self.base.inverse_filter * self.base.scale, field)
        return z.astype(given), (self._base_log_prob(z) + total).astype(given)

    def state_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name, the same names and shapes on every backend."""
        return {name: np.array(value) for name, value in self._named_parameters().items()}

    def with_state_arrays(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """This flow with other weights.

        Raises
        ------
        ValueError
            If names or shapes are not those of this flow.
        """
        own = self._named_parameters()
        check_state({name: value.shape for name, value in own.items()}, state)
        leaves = [jnp.asarray(state[name], value.dtype) for name, value in own.items()]
        return jax.tree.unflatten(jax.tree.structure(self), leaves)

    def _named_parameters(self) -> dict[str, Array]:
        leaves = jax.tree_util.tree_flatten_with_path(self)[0]
        return {jax.tree_util.keystr(path, simple=True, separator="."): value for path, value in leaves}

    def _roles(self, layer: int) -> tuple[int, int]:
        """Which of the two classes is active and which frozen; a single entry is always active."""
        return (1, 0) if self.tables.frozen.size == 0 or layer % 2 == 0 else (0, 1)

    def _split(self, field: Array) -> list[Array]:
        entries = field.reshape(field.shape[0], -1).T
        return [entries[_index(self.tables.frozen)], entries[_index(self.tables.active)]]

    def _merge(self, halves: list[Array]) -> Array:
        entries = jnp.concatenate(halves)[_index(self.tables.unsplit)]
        return entries.T.reshape(-1, self.base.components, *self.base.shape)

    def _column(self, values: NDArray[np.float64], like: Array) -> Array:
        """(components,) → (components, 1, ..., 1) in the dtype of `like`."""
        return jnp.asarray(values.reshape(-1, *(1 for _ in self.base.shape)), like.dtype)

    def _filtered(self, matrix: NDArray[np.complex128], field: Array) -> Array:
        axes = tuple(range(2, field.ndim))
        waves = jnp.moveaxis(jnp.fft.fftn(field, axes=axes), 1, -1)
        product = (jnp.asarray(matrix, waves.dtype) @ waves[..., None])[..., 0]
        return jnp.fft.ifftn(jnp.moveaxis(product, -1, 1), axes=axes).real

    def _base_log_prob(self, z: Array) -> Array:
        normalization = 0.5 * math.log(2 * math.pi) * self.tables.unsplit.size + self.base.log_det
        return -0.5 * jnp.square(z).reshape(z.shape[0], -1).sum(axis=1) - normalization


def _index(table: NDArray[np.int64]) -> NDArray[np.int32]:
    """A copy of a table: JAX remembers the very array together with the width it gave its integers, which is
    another one once something has asked for float64."""
    return table.astype(np.int32)


def _bounded(values: Array, limit: float) -> Array:
    """Into (−limit, limit), smoothly."""
    return limit * jnp.tanh(values / limit)


def _affine(spec: FlowSpec, parameters: Array, values: Array, inverse: bool) -> tuple[Array, Array]:
    """y = x exp(s) + t; parameters (2, entries, batch), values (entries, batch) → (y, log dy/dx), or inverse.

    |s| <= max_log_scale, smoothly, so that exp cannot overflow.
    """
    log_scale, shift = _bounded(parameters[0], spec.max_log_scale), parameters[1]
    if inverse:
        return (values - shift) * jnp.exp(-log_scale), -log_scale
    return values * jnp.exp(log_scale) + shift, log_scale


def _spline(spec: FlowSpec, parameters: Array, values: Array, inverse: bool) -> tuple[Array, Array]:
    """Monotone rational-quadratic spline of Durkan et al. (2019), the identity outside [−bound, bound].

    Parameters (3·bins − 1, entries, batch), or batch 1 for one spline of all: widths and heights of the bins,
    log slopes at the inner knots; values (entries, batch) → (image, log of its derivative).
    """
    bounded = _bounded(parameters, spec.max_log_scale)
    extents = bounded[: 2 * spec.bins].reshape(2, spec.bins, *bounded.shape[1:])
    slopes = jnp.exp(jnp.pad(bounded[2 * spec.bins :], ((1, 1), (0, 0), (0, 0))))
    curve = jnp.concatenate([spread(extents, spec.bound), slopes[None]])

    inside = jnp.abs(values) < spec.bound
    # Values outside are evaluated at 0 and discarded: no branch then has an infinite gradient.
    image, log_det = rational_quadratic(curve, jnp.where(inside, values, 0.0), inverse)
    return jnp.where(inside, image, values), jnp.where(inside, log_det, 0.0)


def rational_quadratic(curve: Array, values: Array, inverse: bool) -> tuple[Array, Array]:
    """The spline through knots (x, y) with slopes d: curve (3, knots, entries, batch or 1) of x, y and d.

    Values (entries, batch) between the first and the last knot → (image, log of its derivative).
    """
    index = (values >= curve[1 if inverse else 0, 1:-1]).sum(axis=0)
    ends = jnp.take_along_axis(curve, jnp.stack([index, index + 1])[None], axis=1)
    (x0, x1), (y0, y1), (d0, d1) = ends
    width, height = x1 - x0, y1 - y0
    mean_slope = height / width
    bend = d0 + d1 - 2 * mean_slope
    if inverse:
        rise = values - y0
        a = height * (mean_slope - d0) + rise * bend
        b = height * d0 - rise * bend
        # all of these are positive, and root is at most 1, but for rounding, which must not make a NaN of it
        tiny = jnp.finfo(b.dtype).tiny
        discriminant = jnp.maximum(b * b + 4 * a * mean_slope * rise, tiny)
        root = jnp.minimum(2 * mean_slope * rise / jnp.maximum(b + jnp.sqrt(discriminant), tiny), 1.0)
    else:
        root = (values - x0) / width
    mix = root * (1 - root)
    denominator = mean_slope + bend * mix
    slope = d1 * root * root + 2 * mean_slope * mix + d0 * (1 - root) * (1 - root)
    log_det = 2 * jnp.log(mean_slope / denominator) + jnp.log(slope)
    if inverse:
        image, log_det = x0 + root * width, -log_det
    else:
        image = y0 + height * (mean_slope * root * root + d0 * mix) / denominator
    return image, log_det


def spread(logits: Array, bound: float) -> Array:
    """Increasing knots from −bound to bound, (n, bins, ...) → (n, bins + 1, ...)."""
    fractions = jax.nn.softmax(logits, axis=1).cumsum(axis=1)[:, :-1]
    zero, one = jnp.zeros_like(logits[:, :1]), jnp.ones_like(logits[:, :1])
    return bound * (2 * jnp.concatenate([zero, fractions, one], axis=1) - 1)
