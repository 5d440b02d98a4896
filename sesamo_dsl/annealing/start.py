"""The form of the start density q₀: a normalised mixture of Gaussians and Student t distributions.

Parts that share a linear map R to whitened coordinates z = R x make up a family. With d² = |R(x − μ)|², the
part at μ is

    normal    |det R| (2π)^(−n/2) e^(−d²/2)
    student   |det R| Γ((ν+n)/2)/(Γ(ν/2) (νπ)^(n/2)) (1 + d²/ν)^(−(ν+n)/2)
    product   |det R| times a Student t in one variable for each coordinate of R(x − μ)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import gammaln

from ..markov.whitening import LinearMaps, Whitening
from ..values.arrays import Array, Arrays

Shape = Literal["normal", "student", "product"]


@dataclass(frozen=True, eq=False)
class Family:
    """Parts of the mixture that share one linear map.

    Attributes
    ----------
    whitening
        The linear map R.
    centres
        μ of each part, (parts, components, *lattice).
    log_weights
        Logarithm of the weight of each part in the whole mixture, (parts,).
    shape
        The density of a part, see the first paragraph of this file.
    freedom
        ν of a Student t.
    """

    whitening: Whitening
    centres: np.ndarray
    log_weights: np.ndarray
    shape: Shape = "normal"
    freedom: float = np.inf

    @cached_property
    def log_peak(self) -> float:
        """Logarithm of the density of a part at its centre, without its weight."""
        n, nu = self.whitening.size, self.freedom
        if self.shape == "normal":
            norm = -n / 2 * np.log(2 * np.pi)
        elif self.shape == "student":
            norm = gammaln((nu + n) / 2) - gammaln(nu / 2) - n / 2 * np.log(nu * np.pi)
        else:
            norm = n * (gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi))
        return self.whitening.log_det + float(norm)

    def noise(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws of R(x − μ), (count, n)."""
        n = self.whitening.size
        z = rng.standard_normal((count, n))
        if self.shape == "normal":
            return z
        width = 1 if self.shape == "student" else n
        return z / np.sqrt(rng.chisquare(self.freedom, size=(count, width)) / self.freedom)


@dataclass(frozen=True, eq=False)
class StartDensity:
    """The mixture q₀.

    Attributes
    ----------
    field_shape
        Shape of one configuration, (components, *lattice).
    families
        The parts of the mixture.
    mass
        The linear map in which momenta of Hamiltonian Monte Carlo are N(0, 1), from the weighted mean of the
        precisions at all minima.
    """

    field_shape: tuple[int, ...]
    families: tuple[Family, ...]
    mass: Whitening

    @property
    def auxiliary(self) -> int:
        """Number of auxiliary coordinates beside x: 0."""
        return 0

    @property
    def parts(self) -> int:
        """Number of parts of all families."""
        return sum(len(family.centres) for family in self.families)

    def log_density(self, arrays: Arrays) -> MixtureDensity:
        """log q₀ and its gradient on arrays of a framework."""
        return MixtureDensity(arrays, self)

    def draw(self, arrays: Arrays, rng: np.random.Generator, count: int) -> Array:
        """Independent draws on the arrays of a framework, (count, components, *lattice)."""
        weights = np.exp(np.concatenate([family.log_weights for family in self.families]))
        chosen = rng.choice(len(weights), size=count, p=weights / weights.sum())
        x = np.empty((count, *self.field_shape))
        first = 0
        for family in self.families:
            noise = family.noise(rng, count)  # for all draws, so that it does not depend on ``chosen``
            here = (first <= chosen) & (chosen < first + len(family.centres))
            maps = LinearMaps(arrays, family.whitening, self.field_shape)
            spread = arrays.to_numpy(maps.spread(arrays.constant(noise[here], "float64")))
            x[here] = family.centres[chosen[here] - first] + spread
            first += len(family.centres)
        return arrays.constant(x, "float64")


class MixtureDensity:
    """log q₀ and its gradient on arrays of a framework."""

    def __init__(self, arrays: Arrays, start: StartDensity) -> None:
        self._arrays, self._xp = arrays, arrays.xp
        self._families = [_FamilyOn(arrays, family, start.field_shape) for family in start.families]

    def __call__(self, x: Array, auxiliary: Array | None = None) -> tuple[Array, Array]:
        """(log q₀, ∂log q₀/∂x), (batch, components, *lattice) → (batch,) and the shape of x."""
        xp = self._xp
        coordinates = [family.maps.whiten(x) for family in self._families]
        distances = [family.distances(z) for family, z in zip(self._families, coordinates, strict=True)]
        heights = [family.log_parts(d) for family, d in zip(self._families, distances, strict=True)]
        log_q = self._arrays.logsumexp(xp.concat(heights, axis=1), axis=1)
        slope = xp.zeros_like(x)
        for family, z, d, height in zip(self._families, coordinates, distances, heights, strict=True):
            shares = xp.exp(height - log_q[:, None])
            slope = slope + family.maps.push(family.slope(z, d, shares))
        return log_q, slope

    def parts(self, x: np.ndarray) -> np.ndarray:
        """log of weight times density for each part, (batch, components, *lattice) → (batch, parts)."""
        fields = self._arrays.constant(x, "float64")
        heights = [
            family.log_parts(family.distances(family.maps.whiten(fields))) for family in self._families
        ]
        return np.concatenate([self._arrays.to_numpy(height) for height in heights], axis=1)


class _FamilyOn:
    """A family on arrays of a framework."""

    def __init__(self, arrays: Arrays, family: Family, field_shape: tuple[int, ...]) -> None:
        self._xp, self._family = arrays.xp, family
        self.maps = LinearMaps(arrays, family.whitening, field_shape)
        self._centres = self.maps.whiten(arrays.constant(family.centres, "float64"))
        self._rows = [self._centres[k] for k in range(len(family.centres))]
        self._log_peaks = arrays.constant(family.log_weights + family.log_peak, "float64")

    def distances(self, z: Array) -> Array:
        """d² from every centre, (batch, n) → (batch, parts); Σ log(1 + dᵢ²/ν) for products."""
        xp, nu = self._xp, self._family.freedom
        if self._family.shape == "product":
            return xp.stack([xp.sum(xp.log1p((z - row) ** 2 / nu), axis=1) for row in self._rows], axis=1)
        return xp.stack([xp.sum((z - row) ** 2, axis=1) for row in self._rows], axis=1)

    def log_parts(self, distances: Array) -> Array:
        """log of weight times density for each part, from the distances, (batch, parts)."""
        xp, nu, n = self._xp, self._family.freedom, self._family.whitening.size
        if self._family.shape == "product":
            return self._log_peaks - (nu + 1) / 2 * distances
        if self._family.shape == "normal":
            return self._log_peaks - distances / 2
        return self._log_peaks - (nu + n) / 2 * xp.log1p(distances / nu)

    def slope(self, z: Array, distances: Array, shares: Array) -> Array:
        """Σ_k share_k · ∂log part_k/∂z, from z, (batch, n), and shares, (batch, parts) → (batch, n)."""
        xp, nu, n = self._xp, self._family.freedom, self._family.whitening.size
        if self._family.shape == "product":
            return sum(
                -(nu + 1) * shares[:, k : k + 1] * (z - row) / (nu + (z - row) ** 2)
                for k, row in enumerate(self._rows)
            )
        pull = shares
        if self._family.shape == "student":
            pull = shares * (nu + n) / (nu + distances)
        return xp.matmul(pull, self._centres) - xp.sum(pull, axis=1, keepdims=True) * z
