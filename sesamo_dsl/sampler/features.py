"""Features of a configuration for the networks of laws: block means of monomials of the fields."""

from __future__ import annotations

from ..laws.conditional import FeatureSpec
from .arrays import Array, Arrays


class Features:
    """Centred and scaled block means, (batch, components, *lattice) → (features, batch, blocks)."""

    def __init__(self, arrays: Arrays, spec: FeatureSpec, dtype: str) -> None:
        self._arrays, self._spec = arrays, spec
        self._mean = arrays.constant(spec.mean[:, None, None], dtype)
        self._scale = arrays.constant(spec.scale[:, None, None], dtype)

    def __len__(self) -> int:
        return len(self._spec)

    def __call__(self, y: Array) -> Array:
        """The features of the configurations y."""
        values = []
        for monomial in self._spec.monomials:
            product = y[:, monomial[0]]
            for a in monomial[1:]:
                product = product * y[:, a]
            values.append(product.mean(axis=self._spec.rest) if self._spec.rest else product)
        own = self._arrays.xp.stack(values).reshape(len(values), y.shape[0], -1)
        return (own - self._mean) / self._scale
