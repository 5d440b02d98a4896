"""Exact answers by quadrature for theories of one or two degrees of freedom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.special import logsumexp

from .ir.interpreter import run
from .ir.program import Program

_CHUNK = 200_000


@dataclass(frozen=True, eq=False)
class Reference:
    """Exact values at fixed couplings.

    Attributes
    ----------
    log_z
        log ∫ exp(−S) by the midpoint rule, which converges exponentially here, and its last change.
    sector_masses
        Probability of T_u Ω for each group element, shape (order,), with the change on the last refinement.
    """

    log_z: float
    log_z_error: float
    sector_masses: np.ndarray
    sector_error: float


def exact_reference(program: Program, parameters: Mapping[str, float]) -> Reference | None:
    """log Z and sector masses by quadrature; None above two degrees of freedom or if it does not converge."""
    n = len(program.components) * int(np.prod(program.shape))
    if n > 2:
        return None
    centre, half = _box(program, parameters, n)
    if half is None:
        return None
    points, previous = (512 if n == 2 else 8192), None
    for _ in range(3):
        current = _midpoint(program, parameters, n, centre, half, points)
        if previous is not None:
            change = abs(current[0] - previous[0])
            if change < 1e-9:
                sector_error = float(np.abs(current[1] - previous[1]).max())
                return Reference(current[0], change, current[1], sector_error)
        previous, points = current, 2 * points
    return None


def _box(program: Program, parameters: Mapping[str, float], n: int) -> tuple[np.ndarray, float | None]:
    """Centre and half-width of a box outside of which exp(−S) is negligible."""
    centre = np.zeros(n)
    for half in (8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0):
        axis = np.linspace(-half, half, 257)
        grid = np.stack(np.meshgrid(*[axis] * n, indexing="ij"), axis=-1).reshape(-1, n) + centre
        weight = -_action(program, parameters, grid)
        peak = weight.max()
        edge = weight[np.abs(grid - centre).max(axis=1) > half * 0.99].max()
        if np.isfinite(peak) and edge < peak - 60:
            inside = grid[weight > peak - 60]
            low, high = inside.min(axis=0), inside.max(axis=0)
            return (low + high) / 2, float((high - low).max() / 2 + 2 * half / 256)
    return centre, None


def _midpoint(
    program: Program, parameters: Mapping[str, float], n: int, centre: np.ndarray, half: float, points: int
) -> tuple[float, np.ndarray]:
    axis = (np.arange(points) + 0.5) / points * 2 * half - half
    log_cell = n * np.log(2 * half / points)
    parts, masses = [], []
    grid = np.stack(np.meshgrid(*[axis] * n, indexing="ij"), axis=-1).reshape(-1, n) + centre
    for start in range(0, len(grid), _CHUNK):
        x = grid[start : start + _CHUNK]
        weight = -_action(program, parameters, x)
        u = run(program, "canonicalize", {"x": _shaped(program, x)})[1]
        top = weight.max()
        parts.append(logsumexp(weight))
        masses.append((top, program.sectors.masses(u, np.exp(weight - top))))
    log_z = float(cast(Any, logsumexp(parts)))
    mass = sum(np.exp(top - log_z) * counts for top, counts in masses)
    return log_z + log_cell, np.asarray(mass)


def _action(program: Program, parameters: Mapping[str, float], flat: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return run(program, "action", {"x": _shaped(program, flat)}, parameters)[0]


def _shaped(program: Program, flat: np.ndarray) -> np.ndarray:
    return flat.reshape(len(flat), len(program.components), *program.shape)
