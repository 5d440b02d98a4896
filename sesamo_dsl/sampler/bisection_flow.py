"""The flow that bisects a chain, see :mod:`sesamo_dsl.flows.bisection`, over a Gaussian base.

Fields are stored in the order of drawing with the batch as their last axis. Forward, the levels follow each
other; the inverse knows all sites and takes them all at once, but for the networks.
"""

from __future__ import annotations

import math

import numpy as np

from ..flows.base import GaussianBase
from ..flows.bisection import Bisection, BisectionSpec, initial_state
from ..flows.weights import check_batch
from .arrays import Array, Arrays, Weights, layers_of, perceptron
from .base_arrays import BaseArrays
from .elementwise import affine, spline
from .placement import Placement


class BisectionFlow:
    """A flow on a chain; implements ``sampler.flow.Flow``.

    Parameters
    ----------
    spec
        Architecture.
    base
        The Gaussian base; it fixes the number of components and of sites.
    dtype
        Type of the weights and of the computation, ``"float32"`` or ``"float64"``. Results have the type of
        the input.
    prefix
        Beginning of the names of the weights.
    """

    def __init__(
        self, arrays: Arrays, spec: BisectionSpec, base: GaussianBase, dtype: str, prefix: str = "flow."
    ) -> None:
        self._arrays, self._spec, self._dtype, self._prefix = arrays, spec, dtype, prefix
        self._components, self._shape = base.components, base.shape
        self._bisection = Bisection.of(spec.neighbours, base.components, base.shape[0])
        self._placement = Placement(arrays, BaseArrays.of(arrays, base, dtype), base.tail)
        order = self._bisection.order
        self._order = arrays.constant(order, "index")
        self._unordered = arrays.constant(np.argsort(order), "index")
        self._conditionals = [
            (arrays.constant(c[:, None, None], dtype), sigma)
            for c, sigma in self._bisection.conditionals(base)
        ]
        self._inputs = [
            arrays.constant(level.inputs.reshape(-1), "index") for level in self._bisection.levels
        ]
        widths = (
            len(level.entries) * math.log(sigma)
            for level, (_, sigma) in zip(self._bisection.levels, self._conditionals, strict=True)
        )
        self._log_normalization = (
            0.5 * math.log(2 * math.pi) * len(order)
            + sum(widths)
            + float(np.log(base.scale).sum()) * base.shape[0]
        )

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Weights of the identity, random hidden and last layers of zeros."""
        state = initial_state(self._spec, self._bisection, seed)
        return {f"{self._prefix}{name}": values for name, values in state.items()}

    def forward(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """See :class:`~sesamo_dsl.sampler.flow.Flow`."""
        check_batch(tuple(z.shape), self._components, self._shape)
        given, concat = self._arrays.dtype_of(z), self._arrays.xp.concat
        noise = self._ordered(self._arrays.cast(z, self._dtype))
        log_q, field = self._log_noise(noise), noise[:0]
        for number, level in enumerate(self._bisection.levels):
            own = noise[field.shape[0] : field.shape[0] + len(level.entries)]
            parameters, mean = self._conditioned(weights, number, field, own)
            values, log_curve = spline(self._arrays, self._spec, parameters[:-2], own, False)
            values, log_line = affine(self._arrays, self._spec, parameters[-2:], values, False)
            values, log_det = (
                mean + self._conditionals[number][1] * values,
                (log_curve + log_line).sum(axis=0),
            )
            field, log_q = concat([field, values]), log_q - log_det
        x, log_q = self._placement.placed(self._unordered_field(field), log_q)
        return self._arrays.cast(x, given), self._arrays.cast(log_q, given)

    def inverse(self, weights: Weights, x: Array) -> tuple[Array, Array]:
        """See :class:`~sesamo_dsl.sampler.flow.Flow`."""
        check_batch(tuple(x.shape), self._components, self._shape)
        given, concat = self._arrays.dtype_of(x), self._arrays.xp.concat
        placed, total = self._placement.taken(self._arrays.cast(x, self._dtype))
        field, parameters, units, begin = self._ordered(placed), [], [], 0
        for number, level in enumerate(self._bisection.levels):
            own = field[begin : begin + len(level.entries)]
            of_level, mean = self._conditioned(weights, number, field, own)
            parameters.append(of_level)
            units.append((own - mean) / self._conditionals[number][1])
            begin += len(level.entries)
        every = concat(parameters, axis=1)
        noise, log_line = affine(self._arrays, self._spec, every[-2:], concat(units), True)
        noise, log_curve = spline(self._arrays, self._spec, every[:-2], noise, True)
        log_q = self._log_noise(noise) + total + (log_line + log_curve).sum(axis=0)
        return self._arrays.cast(self._unordered_field(noise), given), self._arrays.cast(log_q, given)

    def _conditioned(self, weights: Weights, number: int, known: Array, like: Array) -> tuple[Array, Array]:
        """Parameters of the transforms at a level, (parameters, sites, batch), and Σ c x, (sites, batch)."""
        level, arrays = self._bisection.levels[number], self._arrays
        (inputs, sites), batch = level.inputs.shape, like.shape[-1]
        layers = layers_of(weights, f"{self._prefix}levels.{level.name}.")
        if inputs:
            seen = arrays.take(known, self._inputs[number])
            mean = (self._conditionals[number][0] * seen.reshape(inputs, sites, batch)).sum(axis=0)
            seen = seen.reshape(inputs, sites * batch)
        else:
            mean = arrays.xp.zeros_like(like)
            seen = arrays.xp.ones_like(like).reshape(1, batch)
        return perceptron(arrays, layers, seen).reshape(-1, sites, batch), mean

    def _ordered(self, field: Array) -> Array:
        return self._arrays.take(field.reshape(field.shape[0], -1).T, self._order)

    def _unordered_field(self, entries: Array) -> Array:
        return self._arrays.take(entries, self._unordered).T.reshape(-1, self._components, *self._shape)

    def _log_noise(self, noise: Array) -> Array:
        return -0.5 * (noise * noise).sum(axis=0) - self._log_normalization
