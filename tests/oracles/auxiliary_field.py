"""Averages over the auxiliary field of the Hubbard model: on a grid, and with samples at K = 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

Array = np.ndarray[Any, Any]


def two_sites_one_slice(U: float, beta: float, points: int = 400) -> tuple[Array, Array]:
    """φ, (n, 1, 2), and log of the weight at each point of a grid: Z = Σ exp(log weight).

    The trapezoidal rule converges exponentially on the whole line. det(1 + B) = 1 + cosh β (eᵃ + eᵇ) + eᵃ⁺ᵇ.
    """
    scale = U * beta
    edge = scale + 11 * np.sqrt(scale)
    grid = np.linspace(-edge, edge, points)
    phi = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    log_cosh = np.log(np.cosh(beta))

    def log_det(v: Array) -> Array:
        a, b = v.T
        return logsumexp([0 * a, log_cosh + a, log_cosh + b, a + b], axis=0)

    log_weight = -(phi**2).sum(axis=1) / (2 * scale) + log_det(phi) + log_det(-phi)
    return phi[:, None, :], log_weight + 2 * np.log(grid[1] - grid[0])


def without_hopping(
    slices: int, nodes: int, U: float, beta: float, count: int, seed: int
) -> tuple[Array, Array]:
    """Samples (count, Nt, Nx) of the model without hopping, where sites decouple, and log of their density.

    A site is empty, has one of two spins, or both: φ_t ~ N(s Ũ, Ũ) with s = 0, ±1 and weight exp(Nt s² Ũ/2).
    """
    rng = np.random.default_rng(seed)
    width = U * beta / slices
    spin = np.array([0, 0, 1, -1])
    mass = np.exp(slices * spin**2 * width / 2)
    chosen = spin[rng.choice(4, size=(count, 1, nodes), p=mass / mass.sum())]
    phi = width * chosen + np.sqrt(width) * rng.normal(size=(count, slices, nodes))
    return phi, log_density_without_hopping(phi, U, beta)


def log_density_without_hopping(phi: Array, U: float, beta: float) -> Array:
    """The log density of :func:`without_hopping`, (n, Nt, Nx) → (n,)."""
    slices, nodes = phi.shape[1:]
    width, spin = U * beta / slices, np.array([0, 0, 1, -1])
    log_mass = slices * spin**2 * width / 2
    squares = ((phi[..., None] - width * spin) ** 2).sum(axis=1) / (2 * width)
    log_density = logsumexp(log_mass - logsumexp(log_mass) - squares, axis=-1).sum(axis=1)
    return log_density - slices * nodes / 2 * np.log(2 * np.pi * width)
