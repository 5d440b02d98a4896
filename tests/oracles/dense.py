"""log det(1 + B_Nt … B_1) from the dense matrix over space and time, with NumPy's LU and nothing else."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

Array = np.ndarray[Any, Any]


def space_time_matrix(phi: Array, hop: Array) -> Array:
    """M with row t: x_{t+1} − B_t x_t, antiperiodic; phi (Nt, Nx), hop = exp(K·step)."""
    slices, nodes = phi.shape
    matrix = np.eye(slices * nodes).reshape(slices, nodes, slices, nodes)
    for t in range(slices):
        after = (t + 1) % slices  # row t is listed as row t + 1, to have ones on the diagonal
        matrix[after, :, t, :] += (1.0 if after == 0 else -1.0) * hop * np.exp(phi[t])
    return matrix.reshape(slices * nodes, slices * nodes)


def log_det(phi: Array, hop: Array) -> tuple[float, float]:
    """Sign and log of the absolute value."""
    sign, value = np.linalg.slogdet(space_time_matrix(phi, hop))
    return float(sign), float(value)


def gradient(phi: Array, hop: Array) -> Array:
    """∂ log det/∂φ = tr M⁻¹ ∂M by the dense inverse, (Nt, Nx)."""
    slices, nodes = phi.shape
    inverse = np.linalg.inv(space_time_matrix(phi, hop)).reshape(slices, nodes, slices, nodes)
    slope = np.empty_like(phi)
    for t in range(slices):
        after = (t + 1) % slices
        sign = 1.0 if after == 0 else -1.0
        slope[t] = sign * np.einsum("xy,yx->x", inverse[t, :, after, :], hop * np.exp(phi[t]))
    return slope


def precise_log_dets(fields: Array, matrix: Array, step: float) -> Array:
    """log|det| of every φ of (batch, Nt, Nx), in as many digits as the products of the slices need."""
    nodes = len(matrix)
    with mpmath.workdps(40 + int(np.abs(fields).max(axis=2).sum(axis=1).max())):
        hop, logs = mpmath.expm(mpmath.matrix((matrix * step).tolist())), []
        for phi in fields:
            product = mpmath.eye(nodes)
            for row in phi:
                product = hop * mpmath.diag([mpmath.exp(mpmath.mpf(float(v))) for v in row]) * product
            logs.append(float(mpmath.log(abs(mpmath.det(mpmath.eye(nodes) + product)))))
    return np.array(logs)
