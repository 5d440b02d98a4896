"""Lattice means of monomials, which the networks of laws see of a configuration."""

from __future__ import annotations

from ..laws.conditional import FeatureSpec
from .arrays import Array, Arrays


class Features:
    """Centred and scaled monomials, (batch, components, *lattice) → (features, batch, blocks)."""

    def __init__(self, arrays: Arrays, spec: FeatureSpec, dtype: str) -> None:
        self._arrays, self._spec = arrays, spec
        self._mean = arrays.constant(spec.mean[:, None, None], dtype)
        self._scale = arrays.constant(spec.scale[:, None, None], dtype)

    def __len__(self) -> int:
        return len(self._spec)

    def __call__(self, y: Array) -> Array:
        """The values."""
        values = []
        for monomial in self._spec.monomials:
            product = y[:, monomial[0]]
            for a in monomial[1:]:
                product = product * y[:, a]
            values.append(product.mean(axis=self._spec.rest) if self._spec.rest else product)
        own = self._arrays.xp.stack(values).reshape(len(values), len(y), -1)
        return (own - self._mean) / self._scale
