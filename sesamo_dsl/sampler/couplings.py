"""The layers of a coupling flow, on fields stored with the batch as their last axis.

The architecture is described in :mod:`sesamo_dsl.flows.spec`, the index tables come from
:mod:`sesamo_dsl.flows.couplings` and :mod:`sesamo_dsl.flows.zero_mode`, and weights are an argument. Every
layer returns its image and log |det| of its Jacobian; with ``inverse=True`` it is the inverse map.

A coupling layer serves several flows of one architecture at once: flow k has the k-th of consecutive slices
of the batch, ``parts``. The networks are evaluated slice by slice, all else on the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..flows.couplings import Block, Coupling
from ..flows.spec import FlowSpec
from ..flows.zero_mode import ZeroMode
from .arrays import Array, Arrays, Weights, layers_of, perceptron
from .base_arrays import BaseArrays
from .elementwise import affine, bounded, spline


class Conditioner:
    """The network that computes the parameters of the transform from the frozen entries around each site.

    (frozen, batch) and (means, batch) → (parameters per entry, entries, batch). The batch is the last axis
    throughout, so every network layer is one matrix product over sites and batch.

    Parameters
    ----------
    prefixes
        Beginning of the names of its weights for every flow.
    """

    def __init__(self, arrays: Arrays, block: Block, prefixes: Sequence[str], dtype: str) -> None:
        self._arrays, self._prefixes, self._components = arrays, prefixes, block.components
        self._inputs, self._sites = block.neighbours.shape
        self._neighbours = arrays.constant(block.neighbours.reshape(-1), "index")
        self._visible = None if block.visible.all() else arrays.constant(block.visible[..., None], dtype)

    def __call__(self, weights: Weights, frozen: Array, means: Array, parts: Sequence[slice]) -> Array:
        """The parameters of each transformed entry."""
        seen = self._arrays.take(frozen, self._neighbours)
        seen = seen.reshape(self._inputs, self._sites, frozen.shape[-1])
        if self._visible is not None:
            seen = seen * self._visible
        if len(parts) == 1:
            return self._network(weights, self._prefixes[0], seen, means)
        columns = [
            self._network(weights, prefix, seen[..., part], means[..., part])
            for prefix, part in zip(self._prefixes, parts, strict=True)
        ]
        return self._arrays.xp.concat(columns, axis=-1)

    def _network(self, weights: Weights, prefix: str, seen: Array, means: Array) -> Array:
        batch = means.shape[-1]
        first = weights[f"{prefix}weight.0"] @ seen.reshape(self._inputs, self._sites * batch)
        offset = weights[f"{prefix}mean"] @ means + weights[f"{prefix}bias.0"]
        hidden = (first.reshape(-1, self._sites, batch) + offset[:, None, :]).reshape(len(offset), -1)
        for weight, bias in layers_of(weights, prefix, first=1):
            hidden = self._arrays.affine(bias, weight, self._arrays.silu(hidden))
        return hidden.reshape(-1, self._components * self._sites, batch)


class CouplingLayer:
    """A layer that transforms the entries of the active class entry by entry, given the frozen class."""

    def __init__(
        self, arrays: Arrays, spec: FlowSpec, tables: Coupling, prefixes: Sequence[str], dtype: str
    ) -> None:
        self._arrays, self._spec = arrays, spec
        self._blocks = [
            Conditioner(arrays, block, [f"{prefix}blocks.{index}." for prefix in prefixes], dtype)
            for index, block in enumerate(tables.blocks)
        ]
        self._mean_weights = arrays.constant(tables.mean_weights, dtype)
        lines = tables.line_weights
        self._line_weights = arrays.constant(lines, dtype) if len(lines) else None
        self._transform = affine if spec.transform == "affine" else spline

    def __call__(
        self, weights: Weights, active: Array, frozen: Array, parts: Sequence[slice], inverse: bool
    ) -> tuple[Array, Array]:
        """Active and frozen entries, (entries, batch) each → image of the active ones, log |det| (batch,)."""
        concat = self._arrays.xp.concat
        means = self._mean_weights @ frozen
        if self._line_weights is not None:
            frozen = concat([frozen, self._line_weights @ frozen])
        parameters = concat([block(weights, frozen, means, parts) for block in self._blocks], axis=1)
        image, log_det = self._transform(self._arrays, self._spec, parameters, active, inverse)
        return image, log_det.sum(axis=0)


class ZeroModeLayer:
    """A layer that transforms the means over the lattice and scales all other modes depending on them."""

    def __init__(self, arrays: Arrays, spec: FlowSpec, tables: ZeroMode, prefix: str, dtype: str) -> None:
        self._arrays, self._spec, self._prefix = arrays, spec, prefix
        self._axes = tuple(2 + mu for mu in tables.axes)
        self._features = arrays.constant(tables.features, dtype)

    def __call__(
        self, weights: Weights, base: BaseArrays, field: Array, inverse: bool
    ) -> tuple[Array, Array]:
        """Field (batch, components, *shape) → image of the same shape, log |det| (batch,)."""
        xp, (batch, components) = self._arrays.xp, field.shape[:2]
        mean = xp.mean(field, axis=self._axes, keepdims=True)
        means = xp.moveaxis(mean, 0, 1).reshape(components, -1)  # one per batch entry and node
        nodes = math.prod(mean.shape[2:])
        width = base.width if base.rows == 0 else self._at_nodes(base.width[..., 0].T, nodes)
        values = means / width
        own = weights[f"{self._prefix}spline"]
        own = own[..., None] if own.ndim == 2 else self._at_nodes(own, nodes)
        image, log_slope = spline(self._arrays, self._spec, own, values, inverse)

        seen = (values if inverse else image) * width
        (first, bias), *rest = layers_of(weights, self._prefix)
        layers = [(first, bias if bias.shape[-1] == 1 else self._at_nodes(bias, nodes)), *rest]
        hidden = perceptron(self._arrays, layers, seen)
        coefficients = hidden.reshape(components, self._features.shape[1], -1)
        log_scale = bounded(self._arrays, self._features @ coefficients, self._spec.max_log_scale)
        if inverse:
            log_scale = -log_scale
        # (components, modes, batch · nodes) → (batch, components, *shape)
        factors = xp.exp(log_scale).reshape(components, len(self._features), batch, -1)
        factors = xp.moveaxis(factors, 2, 0).reshape(field.shape)
        waves = xp.fft.fftn(field - mean, axes=self._axes)
        moved = xp.real(xp.fft.ifftn(waves * factors, axes=self._axes))
        centre = xp.moveaxis((image * width).reshape(components, batch, *mean.shape[2:]), 0, 1)
        log_det = log_scale.sum(axis=(0, 1)) + log_slope.sum(axis=0)
        return moved + centre, log_det.reshape(batch, -1).sum(axis=1)

    def _at_nodes(self, values: Array, nodes: int) -> Array:
        """Values of each configuration, (…, batch), for the nodes of a graph, (…, batch · nodes)."""
        if nodes == 1:
            return values
        return (values[..., None] + self._arrays.zeros((nodes,), values)).reshape(*values.shape[:-1], -1)
