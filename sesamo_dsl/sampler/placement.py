"""The last maps of a flow: the tail, and mean and scale of its base."""

from __future__ import annotations

from ..flows.base import GaussianBase
from .arrays import Array, Arrays
from .tail import TailLayer


class Placement:
    """Field in units of the base's scale → configuration.

    Parameters
    ----------
    base
        The base, which fixes tail, scale and mean.
    dtype
        Type of the computation, ``"float32"`` or ``"float64"``.
    """

    def __init__(self, arrays: Arrays, base: GaussianBase, dtype: str) -> None:
        self._arrays = arrays
        column = (-1, *(1 for _ in base.shape))
        complex_dtype = {"float32": "complex64", "float64": "complex128"}[dtype]
        self._whitening = arrays.constant(base.inverse_filter * base.scale, complex_dtype)
        self._mean = arrays.constant(base.mean.reshape(column), dtype)
        self._scale = arrays.constant(base.scale.reshape(column), dtype)
        self._tail = None if base.tail is None else TailLayer(arrays, base.tail, self.whitened)

    def placed(self, field: Array, log_q: Array) -> tuple[Array, Array]:
        """Field in units of the scale → configuration, with the log of the density."""
        if self._tail is not None:
            field, log_det = self._tail.forward(field)
            log_q = log_q - log_det
        return self._mean + self._scale * field, log_q

    def taken(self, x: Array) -> tuple[Array, Array]:
        """The inverse of :meth:`placed`: (field, log|det|)."""
        field, total = (x - self._mean) / self._scale, self._arrays.zeros((x.shape[0],), x)
        if self._tail is not None:
            field, log_det = self._tail.inverse(field)
            total = total - log_det
        return field, total

    def whitened(self, field: Array) -> Array:
        """Field in units of the scale → coordinates in which the base is N(0, 1)."""
        return filtered(self._arrays, self._whitening, field)


def filtered(arrays: Arrays, matrix: Array, field: Array) -> Array:
    """The product with a matrix at each wave, (*lattice, c, c), in momentum space."""
    xp, axes = arrays.xp, tuple(range(2, field.ndim))
    waves = xp.moveaxis(xp.fft.fftn(field, axes=axes), 1, -1)
    product = (matrix @ waves[..., None])[..., 0]
    return xp.real(xp.fft.ifftn(xp.moveaxis(product, -1, 1), axes=axes))
