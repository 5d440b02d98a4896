"""Linear maps between configurations and coordinates in which a Gaussian is N(0, 1).

A precision matrix P = RᵀR that is the same at all sites is block diagonal after a Fourier transform. With the
real transform cos + sin along each axis (R. N. Bracewell, J. Opt. Soc. Am. 73 (1983) 1832), which is
orthogonal and its own inverse, R is a product of small real matrices: one for each axis, and a
(components × components) block for each wave. A precision of any other form is one block for all coordinates
together, as of a field with many components on a single site.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..values.arrays import Array, Arrays
from ..values.precision import Precision

_SMALL = 128  # coordinates up to which a map is held as one matrix


def real_waves(extent: int) -> np.ndarray:
    """The matrix (cos + sin)(2πkx/L)/√L, orthogonal and symmetric, (extent, extent)."""
    angle = 2 * np.pi * np.outer(np.arange(extent), np.arange(extent)) / extent
    return (np.cos(angle) + np.sin(angle)) / np.sqrt(extent)


@dataclass(frozen=True, eq=False)
class Whitening:
    """z = R x, in which a Gaussian with precision RᵀR is N(0, 1).

    Attributes
    ----------
    shape
        Of one configuration as R sees it, (components, *axes); (n,) if R is one dense block.
    nodes
        An axis that is not transformed, as the nodes of a graph.
    roots
        R after the transform, a block for each wave, (waves, components, components).
    """

    shape: tuple[int, ...]
    nodes: int | None
    roots: np.ndarray

    @classmethod
    def dense(cls, precision: np.ndarray) -> Whitening:
        """From any symmetric positive definite matrix, (n, n)."""
        return cls((len(precision),), None, _root(precision)[None])

    @classmethod
    def of_waves(cls, precision: np.ndarray, shape: tuple[int, ...], nodes: int | None = None) -> Whitening:
        """From the real symmetric blocks of all waves, (waves, components, components).

        ``shape`` is (components, *axes), and waves are numbered with the last axis running fastest.
        """
        return cls(shape, nodes, np.array([_root(block) for block in precision]))

    @cached_property
    def size(self) -> int:
        """n, the number of coordinates."""
        return int(np.prod(self.shape))

    @cached_property
    def log_det(self) -> float:
        """log|det R|."""
        return float(np.linalg.slogdet(self.roots)[1].sum())

    @property
    def transforms(self) -> tuple[np.ndarray, ...]:
        """An orthogonal and symmetric matrix for each axis."""
        extents = enumerate(self.shape[1:])
        return tuple(np.eye(n) if mu == self.nodes else real_waves(n) for mu, n in extents)

    def principal(self) -> tuple[Whitening, np.ndarray]:
        """The same RᵀR with coordinates along its principal axes, and its eigenvalues, (n,), in their order.

        A factor for each coordinate then changes the spectrum alone.
        """
        _, singular, axes = np.linalg.svd(self.roots)
        eigenvalues = np.ascontiguousarray(np.swapaxes(singular, 0, 1)).reshape(-1) ** 2
        return Whitening(self.shape, self.nodes, singular[:, :, None] * axes), eigenvalues

    def as_one_block(self) -> Whitening:
        """The same map as a dense matrix, which has (waves, components) in the order of its coordinates."""
        c, sites = self.shape[0], len(self.roots)
        unit = np.eye(self.size).reshape(-1, *self.shape)
        for transform in self.transforms:
            unit = np.tensordot(unit, transform, axes=((2,), (0,)))
        root = np.einsum("kab,ibk->aki", self.roots, unit.reshape(self.size, c, sites))
        return Whitening((self.size,), None, root.reshape(1, self.size, self.size))

    def scaled(self, factor: float) -> Whitening:
        """That of a Gaussian that is ``factor`` times as wide."""
        return Whitening(self.shape, self.nodes, self.roots / factor)


class LinearMaps:
    """R, R⁻¹ and their transposes on arrays of a framework.

    Fields are (batch, components, *lattice), coordinates (batch, n). In few variables one product with a
    matrix is faster than a transform of each axis.
    """

    def __init__(
        self,
        arrays: Arrays,
        whitening: Whitening,
        field_shape: tuple[int, ...],
        precision: Precision = "float64",
    ) -> None:
        if len(whitening.roots) > 1 and whitening.size <= _SMALL:
            whitening = whitening.as_one_block()
        self._xp, self._shape, self._fields = arrays.xp, whitening.shape, field_shape
        self._size, self._waves = whitening.size, len(whitening.roots)
        self._transforms = [arrays.constant(f, precision) for f in whitening.transforms]
        roots, inverses = whitening.roots, np.linalg.inv(whitening.roots)
        named = {"R": roots, "R_inverse": inverses}
        named |= {f"{name}_T": np.swapaxes(blocks, 1, 2) for name, blocks in named.items()}
        self._blocks = {
            name: arrays.constant(np.ascontiguousarray(blocks), precision) for name, blocks in named.items()
        }

    def whiten(self, x: Array) -> Array:
        """R x, fields → coordinates."""
        return self._to_coordinates(x, "R")

    def spread(self, z: Array) -> Array:
        """R⁻¹ z, coordinates → fields."""
        return self._to_fields(z, "R_inverse")

    def pull_back(self, slope: Array) -> Array:
        """R⁻ᵀ ∂/∂x = ∂/∂z, fields → coordinates."""
        return self._to_coordinates(slope, "R_inverse_T")

    def push(self, slope: Array) -> Array:
        """Rᵀ ∂/∂z = ∂/∂x, coordinates → fields."""
        return self._to_fields(slope, "R_T")

    def _to_coordinates(self, x: Array, blocks: str) -> Array:
        batch = x.shape[0]
        waves = self._transformed(self._xp.reshape(x, (batch, *self._shape)))
        return self._xp.reshape(self._multiplied(waves, blocks), (batch, self._size))

    def _to_fields(self, z: Array, blocks: str) -> Array:
        batch = z.shape[0]
        waves = self._multiplied(self._xp.reshape(z, (batch, *self._shape)), blocks)
        x = self._transformed(self._xp.reshape(waves, (batch, *self._shape)))
        return self._xp.reshape(x, (batch, *self._fields))

    def _transformed(self, x: Array) -> Array:
        """Every axis in turn; the one that is done goes to the end, so that the order comes back."""
        for transform in self._transforms:
            x = self._xp.tensordot(x, transform, axes=((2,), (0,)))
        return x

    def _multiplied(self, waves: Array, name: str) -> Array:
        """The block of each wave applied to its components, (batch, components, …) of the same shape."""
        xp, blocks = self._xp, self._blocks[name]
        batch, c = waves.shape[0], self._shape[0]
        if c == 1:
            return xp.reshape(waves, (batch, self._waves)) * xp.reshape(blocks, (1, self._waves))
        if blocks.shape[0] == 1:
            return xp.matmul(xp.reshape(waves, (batch, c)), blocks[0].T)
        columns = xp.moveaxis(xp.reshape(waves, (batch, c, self._waves)), 2, 0)  # (waves, batch, components)
        return xp.moveaxis(xp.matmul(columns, xp.matrix_transpose(blocks)), 0, 2)


def _root(precision: np.ndarray) -> np.ndarray:
    """R with RᵀR = P: upper triangular, or by eigenvalues where rounding has made some of them negative."""
    try:
        return np.linalg.cholesky(precision).T
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh((precision + precision.T) / 2)
        floor = len(values) * np.finfo(np.float64).eps * values.max()
        return np.sqrt(np.maximum(values, floor))[:, None] * vectors.T
