"""The last maps of a flow: the tail, and mean and scale of its base."""

from __future__ import annotations

from ..flows.base import Tail
from .arrays import Array, Arrays
from .base_arrays import BaseArrays
from .tail import TailLayer


class Placement:
    """Field in units of the base's scale → configuration.

    Parameters
    ----------
    base
        Scale and mean of the base.
    tail
        Its tail.
    """

    def __init__(self, arrays: Arrays, base: BaseArrays, tail: Tail | None) -> None:
        self._arrays, self._base = arrays, base
        self._tail = None if tail is None else TailLayer(arrays, tail, self.whitened)

    def placed(self, field: Array, log_q: Array) -> tuple[Array, Array]:
        """Field in units of the scale → configuration, with the log of the density."""
        if self._tail is not None:
            field, log_det = self._tail.forward(field)
            log_q = log_q - log_det
        base = self._base.for_batch(field.shape[0])
        return base.mean + base.scale * field, log_q

    def taken(self, x: Array) -> tuple[Array, Array]:
        """The inverse of :meth:`placed`: (field, log|det|)."""
        base = self._base.for_batch(x.shape[0])
        field, total = (x - base.mean) / base.scale, self._arrays.zeros((x.shape[0],), x)
        if self._tail is not None:
            field, log_det = self._tail.inverse(field)
            total = total - log_det
        return field, total

    def whitened(self, field: Array) -> Array:
        """Field in units of the scale → coordinates in which the base is N(0, 1)."""
        return filtered(self._arrays, self._base.for_batch(field.shape[0]).whitening, field)


def filtered(arrays: Arrays, matrix: Array, field: Array) -> Array:
    """The product with a matrix at each wave, ([batch,] *lattice, c, c), in momentum space."""
    xp, axes = arrays.xp, tuple(range(2, field.ndim))
    waves = xp.moveaxis(xp.fft.fftn(field, axes=axes), 1, -1)
    product = (matrix @ waves[..., None])[..., 0]
    return xp.real(xp.fft.ifftn(xp.moveaxis(product, -1, 1), axes=axes))
