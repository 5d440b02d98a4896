"""Laws of the orientation n on the orbits (spheres) of Lie groups, in NumPy: draws of n, and log p(n|y).

Training integrates the orientation out, so no gradient passes through the draws, and one implementation
serves all backends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln, ive

from ..ir.facts import Facts, OrbitKind
from ..values.couplings import Couplings

NODES = 64  # points of a tabulated circle
"""The trapezoid rule on a circle converges exponentially; importance weights correct the remaining error."""


def log_area(dimension: int) -> float:
    """log |S^(N−1)|, the area of the unit sphere in N = ``dimension`` dimensions."""
    return float(np.log(2) + dimension / 2 * np.log(np.pi) - gammaln(dimension / 2))


def uniform_directions(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    """Independent uniform unit vectors, (count, N)."""
    vectors = rng.normal(size=(count, dimension))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def log_bessel_integral(kappa: np.ndarray, dimension: int) -> np.ndarray:
    """log ∫ exp(κ n·μ) dn over the unit sphere = log[(2π)^(N/2) I_(N/2−1)(κ)/κ^(N/2−1)], (batch,)."""
    order = dimension / 2 - 1
    small = kappa < 1e-4
    safe = np.where(small, 1.0, kappa)
    value = dimension / 2 * np.log(2 * np.pi) + np.log(ive(order, safe)) + safe - order * np.log(safe)
    return np.where(small, log_area(dimension) + kappa**2 / (2 * dimension), value)


def von_mises_fisher(rng: np.random.Generator, kappa: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Unit vectors with density ∝ exp(κ n·μ), one per κ: (batch,), (N,) → (batch, N).

    The cosine is drawn by the rejection of Wood (Commun. Stat. Simul. Comput. 23 (1994) 157).
    """
    dimension = len(mean)
    m = dimension - 1
    b = m / (2 * kappa + np.sqrt(4 * kappa**2 + m**2))
    x = (1 - b) / (1 + b)
    c = kappa * x + m * np.log1p(-(x**2))
    cosine = np.zeros(len(kappa))
    waiting = np.arange(len(kappa))
    while len(waiting):
        z = rng.beta(m / 2, m / 2, size=len(waiting))
        bw, xw = b[waiting], x[waiting]
        w = (1 - (1 + bw) * z) / (1 - (1 - bw) * z)
        accepted = kappa[waiting] * w + m * np.log1p(-xw * w) - c[waiting] >= np.log(
            rng.uniform(size=len(waiting))
        )
        cosine[waiting[accepted]] = w[accepted]
        waiting = waiting[~accepted]
    transverse = rng.normal(size=(len(kappa), dimension))
    transverse -= np.outer(transverse @ mean, mean)
    transverse /= np.linalg.norm(transverse, axis=1, keepdims=True)
    return cosine[:, None] * mean + np.sqrt(np.clip(1 - cosine**2, 0, None))[:, None] * transverse


def polar_quadrature(dimension: int, nodes: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """cos α_k and log weights with ∫ f(n·μ) dn ≈ Σ_k w_k f(cos α_k) over the sphere in ``dimension`` ≥ 3."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    alpha = np.pi * (x + 1) / 2
    return np.cos(alpha), np.log(w * np.pi / 2) + (dimension - 2) * np.log(np.sin(alpha)) + log_area(
        dimension - 1
    )


def circle(nodes: int = NODES) -> np.ndarray:
    """Equidistant points (cos θ_k, sin θ_k), θ_k = 2πk/K, shape (K, 2)."""
    theta = 2 * np.pi * np.arange(nodes) / nodes
    return np.stack([np.cos(theta), np.sin(theta)], axis=1)


def tabulated_directions(rng: np.random.Generator, log_density: np.ndarray) -> np.ndarray:
    """Points on the circle, density piecewise linear through unnormalised nodes, (K, batch) → (batch, 2)."""
    nodes, batch = log_density.shape
    values = np.exp(log_density - log_density.max(axis=0))
    following = np.roll(values, -1, axis=0)
    areas = np.cumsum((values + following) / 2, axis=0)
    target = rng.uniform(size=batch) * areas[-1]
    segment = np.minimum((areas < target).sum(axis=0), nodes - 1)
    column = np.arange(batch)
    left, right = values[segment, column], following[segment, column]
    rest = target - (areas[segment, column] - (left + right) / 2)
    # invert left·t + (right − left)·t²/2 = rest in the form that is stable for right ≈ left
    root = np.sqrt(np.clip(left**2 + 2 * (right - left) * rest, 0, None))
    t = np.clip(2 * rest / np.maximum(left + root, 1e-300), 0, 1)
    theta = 2 * np.pi * (segment + t) / nodes
    return np.stack([np.cos(theta), np.sin(theta)], axis=1)


def tabulated_log_prob(n: np.ndarray, log_density: np.ndarray) -> np.ndarray:
    """log p(n) per angle of :func:`tabulated_directions`, (batch, 2), (K, batch) → (batch,)."""
    nodes, batch = log_density.shape
    top = log_density.max(axis=0)
    values = np.exp(log_density - top)
    position = np.arctan2(n[:, 1], n[:, 0]) / (2 * np.pi) * nodes % nodes
    segment = np.minimum(position.astype(int), nodes - 1)
    t, column = position - segment, np.arange(batch)
    value = (1 - t) * values[segment, column] + t * values[(segment + 1) % nodes, column]
    return np.log(value) - np.log(values.sum(axis=0) * 2 * np.pi / nodes)


@dataclass(frozen=True, eq=False)
class OrbitLaw:
    """p(n|y) for the Lie groups of a theory at given couplings.

    Attributes
    ----------
    law
        See ``Analysis.orbit_law``; ``uniform`` also if no exact conditional is known or asked for.
    dimensions
        N of every slice.
    sampled
        True if S depends on orientations that are drawn uniformly, so that training has to draw them.
    strength, mean
        √V |h| and −h/|h| of a linear source.
    """

    law: OrbitKind
    dimensions: tuple[int, ...]
    sampled: bool
    strength: float = 0.0
    mean: np.ndarray | None = None

    @classmethod
    def of(cls, facts: Facts, volume: int, parameters: Couplings, exact: bool) -> OrbitLaw:
        """The law on a lattice of ``volume`` sites; the exact conditional, if known, with ``exact``."""
        dimensions, law = facts.slice_dimensions, facts.orbit_law
        if law in ("none", "uniform") or not exact:
            sampled = bool(dimensions) and law != "uniform"
            return cls("uniform" if dimensions else "none", dimensions, sampled)
        if law == "tabulated":
            return cls("tabulated", dimensions, False)
        source = facts.linear_source_at(parameters)
        assert source is not None
        size = float(np.linalg.norm(source))
        mean = -source / size if size > 0 else np.eye(len(source))[0]
        return cls("von_mises", dimensions, False, size * np.sqrt(volume), mean)

    @property
    def log_area(self) -> float:
        """Σ log |S^(N−1)|."""
        return sum(log_area(n) for n in self.dimensions)

    def draw(
        self, rng: np.random.Generator, count: int, radius: np.ndarray | None, table: np.ndarray | None
    ) -> list[np.ndarray]:
        """Orientations, one array (count, N) per slice.

        ``radius`` is r of the slice (for ``von_mises``), ``table`` S₁ on the circle, (nodes, count) (for
        ``tabulated``).
        """
        if self.law == "von_mises":
            assert radius is not None
            assert self.mean is not None
            return [von_mises_fisher(rng, self.strength * radius, self.mean)]
        if self.law == "tabulated":
            assert table is not None
            return [tabulated_directions(rng, -table)]
        return [uniform_directions(rng, count, n) for n in self.dimensions]

    def log_prob(
        self, directions: list[np.ndarray], count: int, radius: np.ndarray | None, table: np.ndarray | None
    ) -> np.ndarray:
        """log p(n|y) with respect to the surface measures, (count,)."""
        if self.law == "von_mises":
            assert radius is not None
            assert self.mean is not None
            kappa = self.strength * radius
            return kappa * (directions[0] @ self.mean) - log_bessel_integral(kappa, self.dimensions[0])
        if self.law == "tabulated":
            assert table is not None
            return tabulated_log_prob(directions[0], -table)
        return np.full(count, -self.log_area)

    def auxiliary(self, count: int, *seeds: int) -> np.ndarray:
        """Auxiliary coordinates for given configurations, N(0, 1) from fixed seeds, (count, Σ(N − 1))."""
        return np.random.default_rng(seeds or 0).normal(size=(count, sum(n - 1 for n in self.dimensions)))

    def split(self, auxiliary: Any) -> list[Any]:
        """Auxiliary coordinates by slice, (count, N − 1) each, of an array of any framework."""
        ends = np.cumsum([n - 1 for n in self.dimensions]).tolist()
        return [auxiliary[:, end - n + 1 : end] for n, end in zip(self.dimensions, ends, strict=True)]
