"""The flow that bisects a chain, see :mod:`sesamo_dsl.flows.bisection`, over a Gaussian base.

Fields are stored in the order of drawing with the batch as their last axis. Forward, the levels follow each
other; the inverse knows all sites and evaluates each level by itself.
"""

from __future__ import annotations

import math

import numpy as np

from ..flows.base import GaussianBase
from ..flows.bisection import Bisection, BisectionSpec, initial_state
from ..flows.weights import check_batch
from .arrays import Array, Arrays, Weights, layers_of, perceptron
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
        self._placement = Placement(arrays, base, dtype)
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
            values, log_det = self._level(weights, number, field, own, False)
            field, log_q = concat([field, values]), log_q - log_det
        x, log_q = self._placement.placed(self._unordered_field(field), log_q)
        return self._arrays.cast(x, given), self._arrays.cast(log_q, given)

    def inverse(self, weights: Weights, x: Array) -> tuple[Array, Array]:
        """See :class:`~sesamo_dsl.sampler.flow.Flow`."""
        check_batch(tuple(x.shape), self._components, self._shape)
        given = self._arrays.dtype_of(x)
        placed, total = self._placement.taken(self._arrays.cast(x, self._dtype))
        field, parts, begin = self._ordered(placed), [], 0
        for number, level in enumerate(self._bisection.levels):
            end = begin + len(level.entries)
            noise, log_det = self._level(weights, number, field, field[begin:end], True)
            parts.append(noise)
            total, begin = total + log_det, end
        noise = self._arrays.xp.concat(parts)
        log_q = self._log_noise(noise) + total
        return self._arrays.cast(self._unordered_field(noise), given), self._arrays.cast(log_q, given)

    def _level(
        self, weights: Weights, number: int, known: Array, values: Array, inverse: bool
    ) -> tuple[Array, Array]:
        """Noise → field at one level or its inverse, with log|det| without the widths σ, (batch,)."""
        level, arrays, spec = self._bisection.levels[number], self._arrays, self._spec
        coefficients, sigma = self._conditionals[number]
        inputs, sites = level.inputs.shape
        batch = values.shape[-1]
        layers = layers_of(weights, f"{self._prefix}levels.{level.name}.")
        if inputs:
            seen = arrays.take(known, self._inputs[number])
            mean = (coefficients * seen.reshape(inputs, sites, batch)).sum(axis=0)
            seen = seen.reshape(inputs, sites * batch)
        else:
            mean = arrays.xp.zeros_like(values)
            seen = arrays.xp.ones_like(values).reshape(1, batch)
        parameters = perceptron(arrays, layers, seen).reshape(-1, sites, batch)
        curve, line = parameters[:-2], parameters[-2:]
        if inverse:
            values, log_line = affine(arrays, spec, line, (values - mean) / sigma, True)
            values, log_curve = spline(arrays, spec, curve, values, True)
        else:
            values, log_curve = spline(arrays, spec, curve, values, False)
            values, log_line = affine(arrays, spec, line, values, False)
            values = mean + sigma * values
        return values, (log_curve + log_line).sum(axis=0)

    def _ordered(self, field: Array) -> Array:
        return self._arrays.take(field.reshape(field.shape[0], -1).T, self._order)

    def _unordered_field(self, entries: Array) -> Array:
        return self._arrays.take(entries, self._unordered).T.reshape(-1, self._components, *self._shape)

    def _log_noise(self, noise: Array) -> Array:
        return -0.5 * (noise * noise).sum(axis=0) - self._log_normalization
