"""Flows: invertible maps from noise to configurations with a known density, and mixtures of flows.

A flow holds no weights. It defines their names and initial values and takes them as an argument, so that a
caller can pass constants where no derivative by the weights is wanted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from ..flows.base import GaussianBase, MixtureBase, mixture_bases
from ..flows.couplings import coupling
from ..flows.spec import FlowSpec
from ..flows.weights import check_batch, initial_state
from ..flows.zero_mode import ZeroMode
from .arrays import Array, Arrays, Weights, inverse_cdf
from .couplings import CouplingLayer, ZeroModeLayer
from .tail import TailLayer


@runtime_checkable
class Flow(Protocol):
    """An invertible map of standard normal noise z to configurations x, (batch, components, *lattice).

    A user's flow implements this protocol and is registered by :func:`sesamo_dsl.register_flow`; z, x and the
    weights have the floating-point type that its factory was given.
    """

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Initial weights by name; one seed gives the same weights on every backend."""
        ...

    def forward(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """Noise → configuration: (x, log q(x)), log q of shape (batch,)."""
        ...

    def inverse(self, weights: Weights, x: Array) -> tuple[Array | None, Array]:
        """Configuration → noise: (z, log q(x)), with z = None if the flow has no inverse map."""
        ...


class CouplingFlow:
    """A coupling flow over a Gaussian base; with its initial weights q is the base, with the base's tails.

    Parameters
    ----------
    spec
        Architecture.
    base
        The Gaussian base; it fixes the number of components and the shape of the lattice.
    dtype
        Type of the weights and of the computation, ``"float32"`` or ``"float64"``. Results have the type of
        the input.
    prefix
        Beginning of the names of its weights.
    """

    def __init__(
        self, arrays: Arrays, spec: FlowSpec, base: GaussianBase, dtype: str, prefix: str = "flow."
    ) -> None:
        self._arrays, self._spec, self._base, self._dtype, self._prefix = arrays, spec, base, dtype, prefix
        self._components, self._shape = base.components, base.shape
        tables = [coupling(p, spec.kernel, base.components, base.shape, base.nodes) for p in (0, 1)]
        self._layers = [
            CouplingLayer(arrays, spec, tables[index % 2], f"{prefix}layers.{index}.", dtype)
            for index in range(spec.layers)
        ]
        zero_mode = ZeroMode.of(spec, base)
        self.zero_mode = None
        if zero_mode is not None:
            self.zero_mode = ZeroModeLayer(arrays, spec, zero_mode, f"{prefix}zero_mode.", dtype)
        complex_dtype = {"float32": "complex64", "float64": "complex128"}[dtype]
        column = (-1, *(1 for _ in base.shape))
        self._filter = arrays.constant(base.filter / base.scale[:, None], complex_dtype)
        self._inverse_filter = arrays.constant(base.inverse_filter * base.scale, complex_dtype)
        self._mean = arrays.constant(base.mean.reshape(column), dtype)
        self._scale = arrays.constant(base.scale.reshape(column), dtype)
        self._classes = arrays.constant(np.concatenate([tables[0].frozen, tables[0].active]), "index")
        self._unsplit = arrays.constant(tables[0].unsplit, "index")
        self._n_frozen = tables[0].frozen.size
        self._tail = None
        if base.tail is not None:
            self._tail = TailLayer(arrays, base.tail, lambda x: self._filtered(self._inverse_filter, x))
        self._log_normalization = 0.5 * math.log(2 * math.pi) * tables[0].unsplit.size + base.log_det

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Weights of the identity: random hidden layers, last layers of zeros."""
        named = initial_state(self._spec, self._components, self._shape, seed, self._base.nodes)
        return {f"{self._prefix}{name}": values for name, values in named.items()}

    def forward(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """See :class:`Flow`."""
        check_batch(tuple(z.shape), self._components, self._shape)
        given = self._arrays.dtype_of(z)
        z = self._arrays.cast(z, self._dtype)
        field, log_q = self._filtered(self._filter, z), self._base_log_prob(z)
        if self.zero_mode is not None:
            field, log_det = self.zero_mode(weights, field, False)
            log_q = log_q - log_det
        halves = self._split(field)
        for index, layer in enumerate(self._layers):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(weights, halves[active], halves[frozen], False)
            log_q = log_q - log_det
        field = self._merge(halves)
        if self._tail is not None:
            field, log_det = self._tail.forward(field)
            log_q = log_q - log_det
        x = self._mean + self._scale * field
        return self._arrays.cast(x, given), self._arrays.cast(log_q, given)

    def inverse(self, weights: Weights, x: Array) -> tuple[Array, Array]:
        """See :class:`Flow`."""
        check_batch(tuple(x.shape), self._components, self._shape)
        given = self._arrays.dtype_of(x)
        x = self._arrays.cast(x, self._dtype)
        field, total = (x - self._mean) / self._scale, self._arrays.zeros((x.shape[0],), x)
        if self._tail is not None:
            field, log_det = self._tail.inverse(field)
            total = total - log_det
        halves = self._split(field)
        for index, layer in reversed(list(enumerate(self._layers))):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(weights, halves[active], halves[frozen], True)
            total = total + log_det
        field = self._merge(halves)
        if self.zero_mode is not None:
            field, log_det = self.zero_mode(weights, field, True)
            total = total + log_det
        z = self._filtered(self._inverse_filter, field)
        log_q = self._base_log_prob(z) + total
        return self._arrays.cast(z, given), self._arrays.cast(log_q, given)

    def _roles(self, layer: int) -> tuple[int, int]:
        """Numbers of the active and the frozen class in a layer; a field of one entry is always active."""
        return (1, 0) if self._n_frozen == 0 or layer % 2 == 0 else (0, 1)

    def _split(self, field: Array) -> list[Array]:
        entries = self._arrays.take(field.reshape(field.shape[0], -1).T, self._classes)
        return [entries[: self._n_frozen], entries[self._n_frozen :]]

    def _merge(self, halves: list[Array]) -> Array:
        entries = self._arrays.take(self._arrays.xp.concat(halves), self._unsplit)
        return entries.T.reshape(-1, self._components, *self._shape)

    def _filtered(self, matrix: Array, field: Array) -> Array:
        xp, axes = self._arrays.xp, tuple(range(2, field.ndim))
        waves = xp.moveaxis(xp.fft.fftn(field, axes=axes), 1, -1)
        product = (matrix @ waves[..., None])[..., 0]
        return xp.real(xp.fft.ifftn(xp.moveaxis(product, -1, 1), axes=axes))

    def _base_log_prob(self, z: Array) -> Array:
        return -0.5 * (z * z).reshape(z.shape[0], -1).sum(axis=1) - self._log_normalization


class Mixture:
    """q(x) = Σ_k π_k q_k(x), a variational mixture of flows (VMoNF, ESANN 2020) with different bases.

    The bases are the parts of a :class:`~sesamo_dsl.flows.base.MixtureBase`; if the base has no parts, they
    are copies of it with random shifts (:func:`~sesamo_dsl.flows.base.mixture_bases`).
    """

    def __init__(
        self,
        arrays: Arrays,
        make: Callable[[GaussianBase, str], Flow],
        base: GaussianBase,
        count: int,
        seed: int,
    ) -> None:
        self._arrays, self._log_weights = arrays, np.zeros(count)
        if isinstance(base, MixtureBase):
            parts, self._log_weights = base.parts, base.log_weights
        else:
            parts = mixture_bases(base, count, seed)
        self._flows = [make(part, f"flow.flows.{k}.") for k, part in enumerate(parts)]

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Initial weights of all flows, and log π_k of the base as ``flow.logits``; zeros without parts."""
        state: dict[str, np.ndarray] = {"flow.logits": self._log_weights}
        for k, flow in enumerate(self._flows):
            state |= flow.initial_state(seed + k)
        return state

    def forward(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """Noise → (x, log q(x)); each flow transforms an equal share of the batch, see :meth:`shares`."""
        x = self.spread(weights, z)
        return x, self.inverse(weights, x)[1]

    def spread(self, weights: Weights, z: Array) -> Array:
        """x of :meth:`forward` without log q(x), which takes longer: each flow evaluates the whole batch."""
        parts = zip(self._flows, self._parts(z), strict=True)
        return self._arrays.xp.concat([flow.forward(weights, z[part])[0] for flow, part in parts])

    def shares(self, weights: Weights, z: Array) -> Array:
        """π_k divided by the fraction of the batch that flow k transformed, per configuration, (batch,)."""
        pi = self._arrays.softmax(weights["flow.logits"], axis=0) * len(z)
        sizes = [part.stop - part.start for part in self._parts(z)]
        ones = [self._arrays.zeros((size,), pi) + pi[k] / size for k, size in enumerate(sizes)]
        return self._arrays.xp.concat(ones)

    def draw(self, weights: Weights, z: Array, uniform: Array) -> Array:
        """Noise → x; the flow of each configuration is drawn with probability π_k by a uniform, (batch,)."""
        xp = self._arrays.xp
        log_p = self._log_pi(weights) + self._arrays.zeros((len(self._flows), len(z)), z)
        choice = inverse_cdf(self._arrays, log_p, uniform)
        x = xp.stack([flow.forward(weights, z)[0] for flow in self._flows])
        where = choice.reshape(1, -1, *(1,) * (x.ndim - 2))
        return xp.take_along_axis(x, where, axis=0)[0]

    def inverse(self, weights: Weights, x: Array) -> tuple[None, Array]:
        """(None, log q(x)), log q of shape (batch,); a mixture has no inverse map."""
        log_q = self._arrays.xp.stack([flow.inverse(weights, x)[1] for flow in self._flows])
        return None, self._arrays.logsumexp(log_q + self._log_pi(weights), axis=0)

    def _log_pi(self, weights: Weights) -> Array:
        return self._arrays.log_softmax(weights["flow.logits"], axis=0)[:, None]

    def _parts(self, z: Array) -> list[slice]:
        """Consecutive slices of the batch, one per flow; lengths differ by at most 1, longer ones first."""
        sizes = [len(part) for part in np.array_split(np.arange(len(z)), len(self._flows))]
        return [
            slice(stop - size, stop) for size, stop in zip(sizes, itertools.accumulate(sizes), strict=True)
        ]
