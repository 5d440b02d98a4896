"""The flow for theories with angles, see :mod:`sesamo_dsl.flows.circular`.

Fields are stored entry by entry with the batch as their last axis. Standard normal noise z becomes the
uniform angle 2πΦ(z) − π, and for real fields the Gaussian base. The density is one on the product of circles
and lines: it is the same at θ and θ + 2π, and its integral over (−π, π] for each angle is one.
"""

from __future__ import annotations

import math

import numpy as np

from ..flows.base import GaussianBase
from ..flows.circular import CircularSpec, CircularTables, circular_state
from ..flows.couplings import Block
from ..flows.weights import check_batch
from ..values.manifolds import TURN, wrapped
from .arrays import Array, Arrays, Weights, layers_of, perceptron
from .base_arrays import BaseArrays
from .elementwise import affine, circular_spline, spline
from .placement import Placement, filtered

_NOWHERE = 1e-12  # |Σ e^(iθ)|² below which there is no mean direction


class CircularLayer:
    """A layer that transforms the entries of the active class entry by entry, given the frozen class."""

    def __init__(
        self, arrays: Arrays, spec: CircularSpec, tables: CircularTables, prefix: str, dtype: str
    ) -> None:
        self._arrays, self._spec, self._prefix, self._tables = arrays, spec, prefix, tables
        self._frozen_angles = arrays.constant(tables.frozen_angles[:, None], dtype)
        self._active_angles = arrays.constant(tables.active_angles[:, None], dtype)
        self._around_entry = arrays.constant(tables.around_entry, dtype)
        self._around_site = [arrays.constant(a, dtype) for a in tables.around_site]
        means, lines = tables.coupling.mean_weights, tables.coupling.line_weights
        self._means = arrays.constant(means, dtype)
        self._lines = arrays.constant(lines, dtype) if len(lines) else None
        # rows of the means belong to one component each
        of_means = (means @ tables.frozen_angles[: means.shape[1]]).round()
        self._mean_angles = arrays.constant(of_means[:, None, None], dtype)
        self._neighbours = [
            arrays.constant(block.neighbours.reshape(-1), "index") for block in tables.coupling.blocks
        ]
        self._visible = [arrays.constant(block.visible[..., None], dtype) for block in tables.coupling.blocks]
        self._has_angles = bool(tables.active_angles.any())
        self._has_lines = not tables.active_angles.all()

    def __call__(self, weights: Weights, active: Array, frozen: Array, inverse: bool) -> tuple[Array, Array]:
        """Active and frozen entries, (entries, batch) each → image of the active ones, log |det| (batch,)."""
        xp = self._arrays.xp
        angle = self._frozen_angles[: frozen.shape[0]]
        # a real field is its own first part, with no second one
        first = angle * xp.cos(frozen) + (1 - angle) * frozen
        second = angle * xp.sin(frozen)
        blocks = enumerate(self._tables.coupling.blocks)
        parameters = xp.concat([self._parameters(weights, i, b, first, second) for i, b in blocks], axis=1)
        maps: list[tuple[Array, Array]] = []
        if self._has_angles:
            maps.append(self._angles(parameters, active, first, second, inverse))
        if self._has_lines:
            maps.append(self._real(parameters, active, inverse))
        image, log_slope = maps[0]
        if len(maps) == 2:
            turning = self._active_angles > 0
            image = xp.where(turning, image, maps[1][0])
            log_slope = xp.where(turning, log_slope, maps[1][1])
        return image, log_slope.sum(axis=0)

    def _direction(self, around: Array, first: Array, second: Array) -> tuple[Array, Array]:
        """(cos, sin) of the mean direction of frozen angles, (rows, batch); (1, 0) where there is none."""
        xp = self._arrays.xp
        c, s = around @ first, around @ second
        square = c * c + s * s
        none = square < _NOWHERE
        length = xp.sqrt(xp.where(none, xp.ones_like(square), square))
        return xp.where(none, xp.ones_like(c), c / length), xp.where(none, xp.zeros_like(s), s / length)

    def _parameters(self, weights: Weights, index: int, block: Block, first: Array, second: Array) -> Array:
        """Parameters of the transforms of a block, (parameters, entries, batch)."""
        arrays, xp = self._arrays, self._arrays.xp
        (inputs, sites), batch = block.neighbours.shape, first.shape[-1]
        c, s = self._direction(self._around_site[index], first, second)
        everywhere = arrays.zeros((sites, batch), first)
        means = [(self._means @ part)[:, None] + everywhere for part in (first, second)]
        rows = [self._in_frame(means[0], means[1], c, s, self._mean_angles)] if self._means.shape[0] else []
        if inputs:
            angle = self._frozen_angles
            if self._lines is not None:
                first, second = (xp.concat([part, self._lines @ part]) for part in (first, second))
            places = self._neighbours[index]
            near = [
                arrays.take(part, places).reshape(inputs, sites, batch) * self._visible[index]
                for part in (first, second)
            ]
            turning = arrays.take(angle, places).reshape(inputs, sites, 1)
            rows.append(self._in_frame(near[0], near[1], c, s, turning))
        if not self._spec.relative:
            rows.append(xp.stack([c, s]))
        seen = arrays.zeros((0, sites * batch), first)  # a single entry of a relative flow sees nothing
        if rows:
            seen = xp.concat(rows).reshape(-1, sites * batch)
        layers = layers_of(weights, f"{self._prefix}blocks.{index}.")
        return perceptron(arrays, layers, seen).reshape(-1, block.components * sites, batch)

    def _in_frame(self, first: Array, second: Array, c: Array, s: Array, turning: Array) -> Array:
        """Both parts in the frame of the mean direction, (2·rows, sites, batch); real fields as they are."""
        along = first * c + second * s
        across = second * c - first * s
        return self._arrays.xp.concat(
            [turning * along + (1 - turning) * first, turning * across + (1 - turning) * second]
        )

    def _angles(
        self, parameters: Array, active: Array, first: Array, second: Array, inverse: bool
    ) -> tuple[Array, Array]:
        """θ ↦ ψ + δ + s(θ − ψ) or its inverse, and log s′."""
        xp = self._arrays.xp
        c, s = self._direction(self._around_entry, first, second)
        psi, offset = xp.atan2(s, c), parameters[-1]
        start = psi + offset if inverse else psi
        image, log_slope = circular_spline(
            self._arrays, self._spec, parameters[:-1], wrapped(xp, active - start), inverse
        )
        return wrapped(xp, image + (psi if inverse else psi + offset)), log_slope

    def _real(self, parameters: Array, active: Array, inverse: bool) -> tuple[Array, Array]:
        """A spline and x ↦ e^s x + t, or the inverse, and the log of the derivative."""
        maps = [(spline, parameters[:-2]), (affine, parameters[-2:])]
        total = self._arrays.xp.zeros_like(active)
        for transform, own in reversed(maps) if inverse else maps:
            active, log_slope = transform(self._arrays, self._spec, own, active, inverse)
            total = total + log_slope
        return active, total


class CircularFlow:
    """A coupling flow for theories with angles; implements ``sampler.flow.Flow``.

    Parameters
    ----------
    spec
        Architecture, with ``relative`` decided.
    base
        The Gaussian base of the real fields; it fixes the number of components and the lattice.
    angles
        Numbers of the components that are angles, which the base leaves alone.
    dtype
        Type of the weights and of the computation, ``"float32"`` or ``"float64"``. Results have the type of
        the input.
    prefix
        Beginning of the names of the weights.
    """

    def __init__(
        self,
        arrays: Arrays,
        spec: CircularSpec,
        base: GaussianBase,
        angles: tuple[int, ...],
        dtype: str,
        prefix: str = "flow.",
    ) -> None:
        self._arrays, self._spec, self._dtype, self._prefix = arrays, spec, dtype, prefix
        self._components, self._shape, self._angles = base.components, base.shape, angles
        one, other = (
            CircularTables.of(parity, spec.kernel, angles, base.components, base.shape, base.nodes)
            for parity in (0, 1)
        )
        self._tables = one, other
        self._layers = [
            CircularLayer(arrays, spec, self._tables[i % 2], f"{prefix}layers.{i}.", dtype)
            for i in range(spec.layers)
        ]
        self._base = BaseArrays.of(arrays, base, dtype)
        self._placement = Placement(arrays, self._base, base.tail)
        turning = len(angles) * math.prod(base.shape)
        # of the Gaussian of the real fields, and of uniform angles, whose parts in the base are N(0, 1)
        self._log_normalization = (
            float(self._base.log_normalization) - 0.5 * math.log(TURN) * turning + math.log(TURN) * turning
        )
        classes = one.coupling
        self._classes = arrays.constant(np.concatenate([classes.frozen, classes.active]), "index")
        self._unsplit = arrays.constant(classes.unsplit, "index")
        self._n_frozen = classes.frozen.size
        mask = np.zeros((1, base.components, *(1,) * len(base.shape)))
        mask[:, list(angles)] = 1.0
        self._turning = arrays.constant(mask, dtype)
        self._has_real = len(angles) < base.components

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Weights of the identity, random hidden and last layers of zeros."""
        state = circular_state(self._spec, self._tables, seed)
        return {f"{self._prefix}{name}": values for name, values in state.items()}

    def forward(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """See :class:`~sesamo_dsl.sampler.flow.Flow`."""
        check_batch(tuple(z.shape), self._components, self._shape)
        given, arrays = self._arrays.dtype_of(z), self._arrays
        z = arrays.cast(z, self._dtype)
        field, log_q = TURN * arrays.ndtr(z) - math.pi, self._log_noise(z)
        if self._has_real:
            real = (1 - self._turning) * z
            field = self._joined(field, filtered(arrays, self._base.filter, real))
        halves = self._split(field)
        for index, layer in enumerate(self._layers):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(weights, halves[active], halves[frozen], False)
            log_q = log_q - log_det
        x = self._merge(halves)
        if self._has_real:
            x = self._joined(x, self._placement.placed(x, log_q)[0])
        return arrays.cast(x, given), arrays.cast(log_q, given)

    def inverse(self, weights: Weights, x: Array) -> tuple[None, Array]:
        """See :class:`~sesamo_dsl.sampler.flow.Flow`; the noise of angles is not computed."""
        check_batch(tuple(x.shape), self._components, self._shape)
        given, arrays = self._arrays.dtype_of(x), self._arrays
        x = arrays.cast(x, self._dtype)
        field, total = x, arrays.zeros((x.shape[0],), x)
        if self._has_real:
            field = self._joined(x, self._placement.taken(x)[0])
        halves = self._split(field)
        for index, layer in reversed(list(enumerate(self._layers))):
            active, frozen = self._roles(index)
            halves[active], log_det = layer(weights, halves[active], halves[frozen], True)
            total = total + log_det
        z = arrays.zeros(tuple(x.shape), x)
        if self._has_real:
            z = self._placement.whitened((1 - self._turning) * self._merge(halves))
        return None, arrays.cast(self._log_noise(z) + total, given)

    def _joined(self, angles: Array, real: Array) -> Array:
        return self._arrays.xp.where(self._turning > 0, angles, real)

    def _log_noise(self, z: Array) -> Array:
        """log of the density of the noise of real fields, and of uniform angles, (batch,)."""
        square = ((1 - self._turning) * z * z).reshape(z.shape[0], -1).sum(axis=1)
        return -0.5 * square - self._log_normalization

    def _roles(self, layer: int) -> tuple[int, int]:
        """Numbers of the active and the frozen class in a layer; a field of one entry is always active."""
        return (1, 0) if self._n_frozen == 0 or layer % 2 == 0 else (0, 1)

    def _split(self, field: Array) -> list[Array]:
        entries = self._arrays.take(field.reshape(field.shape[0], -1).T, self._classes)
        return [entries[: self._n_frozen], entries[self._n_frozen :]]

    def _merge(self, halves: list[Array]) -> Array:
        entries = self._arrays.take(self._arrays.xp.concat(halves), self._unsplit)
        return entries.T.reshape(-1, self._components, *self._shape)
