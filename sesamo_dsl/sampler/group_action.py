"""The action of the finite group on a batch of configurations: images T_u y, S₁(T_u y), sector numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..ir.program import Program
from ..lowering.modulation import all_maps
from ..values.couplings import Couplings
from ..values.manifolds import wrapped_fields
from .arrays import Array, Arrays

Emitted = Mapping[str, Callable[..., Any]]
"""The emitted functions of a theory on arrays of the framework, at fixed couplings."""


class GroupAction:
    """The finite group of a theory, acting on arrays of the framework.

    A law draws a *choice* for each configuration. Without blocks it is the number u of an element, (batch,).
    With blocks it is the number of a sector, one element for every block, if the law is one table over all
    sectors, (batch,); else it is the element of every block, (batch, blocks).

    Attributes
    ----------
    arrays, dtype
        The arrays of the framework, and the floating-point type of configurations.
    emitted, parameters
        The emitted functions, and their couplings.
    sectors
        Number, blocks and enumeration of the sectors.
    shape
        Shape of a configuration, (components, *lattice).
    """

    def __init__(
        self, arrays: Arrays, emitted: Emitted, program: Program, parameters: Couplings, dtype: str
    ) -> None:
        self.arrays, self.emitted, self.sectors = arrays, emitted, program.sectors
        self.parameters, self.dtype = parameters, dtype
        self.shape = (len(program.components), *program.shape)
        self._block_axes = program.block_axes
        matrices, self._elements = all_maps(program), None
        self._angles = program.angles
        if self._block_axes and self.sectors.joint:  # one matrix per block for every sector
            matrices = matrices[self.sectors.elements]
            self._elements = arrays.constant(self.sectors.elements, "index")
        self._matrices = arrays.constant(matrices, dtype)
        self._breaking = "breaking" if self.sectors.joint else "breaking_by_block"

    def images(self, y: Array, matrices: Array) -> Array:
        """M y for every matrix, or for one matrix per block, (matrices·batch, components, *lattice).

        Matrices with one column more than rows have shifts there, and angles are then taken to (−π, π].
        """
        xp = self.arrays.xp
        if matrices.shape[-1] > matrices.shape[-2]:
            flat = matrices[..., :-1] @ y.reshape(y.shape[0], y.shape[1], -1)[:, None] + matrices[..., -1:]
            images = xp.moveaxis(flat, 1, 0).reshape(-1, *self.shape)
            return wrapped_fields(xp, images, self._angles)
        if matrices.ndim == 3:
            flat = (
                matrices @ y.reshape(y.shape[0], y.shape[1], -1)[:, None]
            )  # (batch, matrices, components, sites)
            return xp.moveaxis(flat, 1, 0).reshape(-1, *self.shape)
        extents = [n if mu in self._block_axes else 1 for mu, n in enumerate(self.shape[1:])]
        per_site = xp.moveaxis(matrices, 1, -1).reshape(len(matrices), 1, *matrices.shape[2:], *extents)
        return (per_site * y[None, :, None]).sum(axis=3).reshape(-1, *self.shape)

    def all_images(self, y: Array) -> Array:
        """T_u y for every choice, (choices·batch, components, *lattice)."""
        return self.images(y, self._matrices)

    def table_shape(self, y: Array) -> tuple[int, ...]:
        """Shape of a table over all u: (choices, batch), or (elements, batch, blocks)."""
        return len(self._matrices), y.shape[0], *self.sectors.law_shape

    def breaking(self, y: Array) -> Array:
        """S₁(T_u y) for every choice, or the part of each block in it, of shape :meth:`table_shape`."""
        if self._breaking not in self.emitted:
            return self.arrays.zeros(self.table_shape(y), y)
        return self.emitted[self._breaking](self.all_images(y)).reshape(self.table_shape(y))

    def modulate(self, y: Array, choice: Array) -> tuple[Array, Array]:
        """(T_u y, u), with u the element, (batch,), or the element of every block, (batch, blocks)."""
        u = choice if self._elements is None else self.arrays.take(self._elements, choice)
        return self.emitted["modulate"](y, u), u

    def choice_of(self, u: Array) -> Array:
        """The choice that stands for the elements u, inverse to the u of :meth:`modulate`."""
        if self._elements is None:
            return u
        places = self.sectors.order ** np.arange(u.shape[1] - 1, -1, -1)
        return (u * self.arrays.constant(places, "index")).sum(axis=1)
