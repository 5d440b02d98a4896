"""The last layer of a flow that needs heavier tails than a Gaussian.

A standard normal vector u becomes u g(|u|²) with

    g(s)² = ν (e^(s/ν) − 1)/s,   so that   s = ν log(1 + r²/ν)   for   r = |u| g

the inverse of the normal approximation of Student's t by D. L. Wallace, Ann. Math. Stat. 30 (1959) 1121. The
density of r falls like r^(−ν−1), up to a power of log r; map and inverse are in closed form. In n dimensions
the map stretches by g perpendicular to u and by e^(s/ν)/g along u, so that

    log|det| = (n − 2) log g + s/ν.

It is the last layer, so that the networks of the flow never see large numbers.
"""

from __future__ import annotations

from collections.abc import Callable

from ..flows.base import Tail
from .arrays import Array, Arrays

_SERIES = 1e-2  # below this s/ν log g is evaluated by its power series


class TailLayer:
    """The map u ↦ u g(|u|²) on fields in units of ``GaussianBase.scale``.

    For the tail shape ``"student"`` |u| is the length of the whole configuration; for ``"product"`` every
    entry is mapped by itself, n = 1.

    Parameters
    ----------
    whiten
        Maps fields, (batch, components, *lattice), to coordinates in which the base is N(0, 1).
    """

    def __init__(self, arrays: Arrays, tail: Tail, whiten: Callable[[Array], Array]) -> None:
        self._arrays, self._nu, self._whiten = arrays, tail.freedom, whiten
        self._separate = tail.shape == "product"

    def forward(self, field: Array) -> tuple[Array, Array]:
        """Field (batch, components, *lattice) → field with heavy tails, log|det| (batch,)."""
        share = self._squares(field) / self._nu
        log_g = self._log_g(share)
        return field * self._arrays.xp.exp(log_g), self._log_det(field, share, log_g)

    def inverse(self, field: Array) -> tuple[Array, Array]:
        """The inverse of :meth:`forward`, with the same log|det|."""
        share = self._arrays.xp.log1p(self._squares(field) / self._nu)
        log_g = self._log_g(share)
        return field * self._arrays.xp.exp(-log_g), self._log_det(field, share, log_g)

    def _squares(self, field: Array) -> Array:
        """|field|² per configuration in whitened coordinates, or per entry; broadcasts against the field."""
        if self._separate:
            return field * field
        u = self._whiten(field)
        squares = (u * u).reshape(u.shape[0], -1).sum(axis=1)
        return squares.reshape(-1, *(1,) * (field.ndim - 1))

    def _log_g(self, share: Array) -> Array:
        """log g = ½ log((e^a − 1)/a) with a = s/ν."""
        xp = self._arrays.xp
        small = share < _SERIES
        a = xp.where(small, xp.ones_like(share), share)
        series = share / 2 + share**2 / 24 - share**4 / 2880
        return xp.where(small, series, a + xp.log(-xp.expm1(-a) / a)) / 2

    def _log_det(self, field: Array, share: Array, log_g: Array) -> Array:
        if self._separate:
            return (share - log_g).reshape(len(field), -1).sum(axis=1)
        n = field[0].reshape(-1).shape[0]
        return ((n - 2) * log_g + share).reshape(-1)
