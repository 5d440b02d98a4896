"""Coupling flows over Gaussian bases, several of one architecture at once.

With the initial weights q is the Gaussian base, with the base's tails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..flows.base import GaussianBase
from ..flows.couplings import coupling
from ..flows.spec import FlowSpec
from ..flows.weights import check_batch, initial_state
from ..flows.zero_mode import ZeroMode
from .arrays import Array, Arrays, Weights
from .base_arrays import BaseArrays
from .couplings import CouplingLayer, ZeroModeLayer
from .given import Given
from .placement import Placement, filtered


class BaseMap:
    """The maps of a flow that depend on its base: filter and zero-mode layer, then tail, scale and mean."""

    def __init__(
        self,
        arrays: Arrays,
        spec: FlowSpec,
        base: GaussianBase,
        dtype: str,
        prefix: str,
        given: Given | None,
    ) -> None:
        self._arrays = arrays
        zero_mode = ZeroMode.of(spec, base)
        self._zero_mode = None
        if zero_mode is not None:
            self._zero_mode = ZeroModeLayer(arrays, spec, zero_mode, f"{prefix}zero_mode.", dtype)
        self._base = BaseArrays.of(arrays, base, dtype) if given is None else given.base
        self._placement = Placement(arrays, self._base, base.tail)

    def coloured(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """White noise → (field in units of the scale, log of its density)."""
        base = self._base.for_batch(z.shape[0])
        field, log_q = filtered(self._arrays, base.filter, z), self._log_prob(z)
        if self._zero_mode is not None:
            field, log_det = self._zero_mode(weights, base, field, False)
            log_q = log_q - log_det
        return field, log_q

    def placed(self, field: Array, log_q: Array) -> tuple[Array, Array]:
        """See :meth:`.Placement.placed`."""
        return self._placement.placed(field, log_q)

    def taken(self, x: Array) -> tuple[Array, Array]:
        """See :meth:`.Placement.taken`."""
        return self._placement.taken(x)

    def whitened(self, weights: Weights, field: Array, total: Array) -> tuple[Array, Array]:
        """The inverse of :meth:`coloured`, with log|det| of the other layers: (z, log q)."""
        if self._zero_mode is not None:
            base = self._base.for_batch(field.shape[0])
            field, log_det = self._zero_mode(weights, base, field, True)
            total = total + log_det
        z = self._placement.whitened(field)
        return z, self._log_prob(z) + total

    def _log_prob(self, z: Array) -> Array:
        normalization = self._base.for_batch(z.shape[0]).log_normalization
        return -0.5 * (z * z).reshape(z.shape[0], -1).sum(axis=1) - normalization


class CouplingFlows:
    """Coupling flows of one architecture over bases of their own; implements ``sampler.flow.Flows``.

    Every coupling transforms the whole batch at once. Only the networks and the maps of the bases are
    evaluated flow by flow.

    Parameters
    ----------
    spec
        Architecture.
    bases
        The Gaussian bases, on one lattice; they fix the number of components and the shape of the lattice.
    dtype
        Type of the weights and of the computation, ``"float32"`` or ``"float64"``. Results have the type of
        the input.
    prefixes
        Beginning of the names of the weights of each flow.
    given
        Couplings of each configuration, for a single flow; its base then comes from there.
    """

    def __init__(
        self,
        arrays: Arrays,
        spec: FlowSpec,
        bases: Sequence[GaussianBase],
        dtype: str,
        prefixes: Sequence[str],
        given: Given | None = None,
    ) -> None:
        self._given = given
        self._arrays, self._spec, self._dtype, self._prefixes = arrays, spec, dtype, prefixes
        one = bases[0]
        self._components, self._shape, self._nodes = one.components, one.shape, one.nodes
        tables = [coupling(p, spec.kernel, one.components, one.shape, one.nodes) for p in (0, 1)]
        self._layers = [
            CouplingLayer(
                arrays, spec, tables[index % 2], [f"{prefix}layers.{index}." for prefix in prefixes], dtype
            )
            for index in range(spec.layers)
        ]
        self._maps = [
            BaseMap(arrays, spec, base, dtype, prefix, given)
            for base, prefix in zip(bases, prefixes, strict=True)
        ]
        self._classes = arrays.constant(np.concatenate([tables[0].frozen, tables[0].active]), "index")
        self._unsplit = arrays.constant(tables[0].unsplit, "index")
        self._n_frozen = tables[0].frozen.size

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Weights of the identity, random hidden and last layers of zeros; flow k has those of seed + k."""
        return {
            f"{prefix}{name}": values
            for k, prefix in enumerate(self._prefixes)
            for name, values in initial_state(
                self._spec, self._components, self._shape, seed + k, self._nodes
            ).items()
        }

    def forward(self, weights: Weights, z: Array, parts: Sequence[slice]) -> tuple[Array, Array]:
        """See :class:`~sesamo_dsl.sampler.flow.Flows`."""
        check_batch(tuple(z.shape), self._components, self._shape)
        given = self._arrays.dtype_of(z)
        z, weights = self._arrays.cast(z, self._dtype), self._at(weights, z.shape[0])
        field, log_q = self._each(parts, lambda base, z: base.coloured(weights, z), z)
        halves = self._split(field)
        for index, layer in enumerate(self._layers):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(weights, halves[active], halves[frozen], parts, False)
            log_q = log_q - log_det
        x, log_q = self._each(parts, BaseMap.placed, self._merge(halves), log_q)
        return self._arrays.cast(x, given), self._arrays.cast(log_q, given)

    def inverse(self, weights: Weights, x: Array, parts: Sequence[slice]) -> tuple[Array, Array]:
        """See :class:`~sesamo_dsl.sampler.flow.Flows`."""
        check_batch(tuple(x.shape), self._components, self._shape)
        given = self._arrays.dtype_of(x)
        x, weights = self._arrays.cast(x, self._dtype), self._at(weights, x.shape[0])
        field, total = self._each(parts, BaseMap.taken, x)
        halves = self._split(field)
        for index, layer in reversed(list(enumerate(self._layers))):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(weights, halves[active], halves[frozen], parts, True)
            total = total + log_det
        z, log_q = self._each(
            parts, lambda base, field, total: base.whitened(weights, field, total), self._merge(halves), total
        )
        return self._arrays.cast(z, given), self._arrays.cast(log_q, given)

    def _at(self, weights: Weights, count: int) -> Weights:
        """The weights for a batch, with one value for each configuration where they depend on couplings."""
        return weights if self._given is None else self._given.weights(weights, count)

    def _each(
        self, parts: Sequence[slice], apply: Callable[..., tuple[Array, Array]], *values: Array
    ) -> tuple[Array, Array]:
        """A map of each flow's base on its part of the batch."""
        if len(parts) == 1:
            return apply(self._maps[0], *values)
        pairs = [
            apply(base, *(given[part] for given in values))
            for base, part in zip(self._maps, parts, strict=True)
        ]
        concat = self._arrays.xp.concat
        return concat([pair[0] for pair in pairs]), concat([pair[1] for pair in pairs])

    def _roles(self, layer: int) -> tuple[int, int]:
        """Numbers of the active and the frozen class in a layer; a field of one entry is always active."""
        return (1, 0) if self._n_frozen == 0 or layer % 2 == 0 else (0, 1)

    def _split(self, field: Array) -> list[Array]:
        entries = self._arrays.take(field.reshape(field.shape[0], -1).T, self._classes)
        return [entries[: self._n_frozen], entries[self._n_frozen :]]

    def _merge(self, halves: list[Array]) -> Array:
        entries = self._arrays.take(self._arrays.xp.concat(halves), self._unsplit)
        return entries.T.reshape(-1, self._components, *self._shape)


class CouplingFlow:
    """One coupling flow, see :class:`CouplingFlows`; implements ``sampler.flow.Flow``."""

    def __init__(
        self,
        arrays: Arrays,
        spec: FlowSpec,
        base: GaussianBase,
        dtype: str,
        prefix: str = "flow.",
        given: Given | None = None,
    ) -> None:
        self._flows = CouplingFlows(arrays, spec, [base], dtype, [prefix], given)

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """See :meth:`CouplingFlows.initial_state`."""
        return self._flows.initial_state(seed)

    def forward(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """See :class:`~sesamo_dsl.sampler.flow.Flow`."""
        return self._flows.forward(weights, z, [slice(z.shape[0])])

    def inverse(self, weights: Weights, x: Array) -> tuple[Array, Array]:
        """See :class:`~sesamo_dsl.sampler.flow.Flow`."""
        return self._flows.inverse(weights, x, [slice(x.shape[0])])
