"""Laplace's method around a minimum: the modes of S and the integral of exp(−S) over each mode.

Where the Hessian does not give the width of a mode, as at a kink or a quartic minimum, the integral of
exp(−S) along a line replaces √(2π/h).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .landscape import Landscape

DENSE = 512
"""Number of real variables up to which the Hessian is a full matrix; above, it is diagonal in momentum."""
_STEP = 0.02  # of the width of the valley, for finite differences
_TRUSTED = (0.35, 0.75)  # where S should have risen by 1/2 one standard deviation away
_LOWERED = 1e-2  # a point from which S falls by more than this is not a minimum
_SECTIONS = 64  # largest number of modes that are integrated along a line, the softest first


@dataclass(frozen=True, eq=False)
class Modes:
    """The Laplace approximation of exp(−S) around a minimum.

    Attributes
    ----------
    log_integral
        log ∫ exp(S(0) − S) over all modes orthogonal to ``tangents``.
    log_tangents
        log ∫ exp(S(0) − S) over straight lines along the tangents.
    stiffness
        A matrix whose pseudo-inverse is the covariance of the modes, (n, n), or above ``DENSE`` variables of
        the constant modes, (components, components); zero along the tangents.
    resolution
        Distance below which two configurations count as the same: small against the widths of the modes.
    """

    log_integral: float
    log_tangents: float
    stiffness: np.ndarray
    resolution: float

    def distance(self, difference: np.ndarray) -> float:
        """√(dᵀHd), the length of a difference d of configurations, (n,), in standard deviations."""
        if len(self.stiffness) != difference.size:
            difference = difference.reshape(len(self.stiffness), -1).mean(axis=1)
        return float(np.sqrt(difference @ self.stiffness @ difference))


def modes_at(landscape: Landscape, x: np.ndarray, tangents: np.ndarray) -> Modes | None:
    """The modes of S around a configuration, (n,); None if it is no minimum or the integral diverges.

    Parameters
    ----------
    tangents
        Orthonormal directions along the orbits of Lie groups, (k, n).
    """
    if landscape.size <= DENSE:
        basis = np.concatenate([tangents, _complement(tangents, landscape.size)])
        hessian = basis @ hessian_at(landscape, x) @ basis.T
        k = len(tangents)
        values, vectors = np.linalg.eigh(hessian[k:, k:])
        directions = vectors.T @ basis[k:]
        found = _integrals(landscape, x, values, lambda chosen: directions[chosen])
        if found is None:
            return None
        log_integrals, stiffness = found
        matrix = (directions.T * stiffness) @ directions
    else:
        spectrum = _constant_spectrum(landscape, x, tangents)
        if spectrum is None:
            return None
        values, wave, zero_modes = spectrum
        found = _integrals(landscape, x, values, wave)
        if found is None:
            return None
        log_integrals, stiffness = found
        c = len(landscape.program.components)
        constants = zero_modes.reshape(len(zero_modes), c, -1).mean(axis=2)
        sites = landscape.size // c
        matrix = sites**2 * (constants.T * stiffness[: len(zero_modes)]) @ constants
    lines = landscape.sections(x, tangents)
    if len(tangents) and not np.isfinite(lines.log_mass).all():
        return None
    widths = 1 / np.sqrt(stiffness)
    resolution = float(max(0.1 * widths.min(), 1e-4 * widths.max()))
    return Modes(float(log_integrals.sum()), float(lines.log_mass.sum()), matrix, resolution)


def _integrals(
    landscape: Landscape, x: np.ndarray, values: np.ndarray, direction: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """log ∫ exp(S(0) − S) along each mode and 1/variance, (modes,) each; None where S falls."""
    tolerance = _LOWERED + 1e-12 * abs(float(landscape.values(x[None])[0]))
    worst = np.atleast_1d(np.argmin(values))
    if values.min() < 0 and landscape.sections(x, direction(worst)).lowest[0] < -tolerance:
        return None
    positive = values > 0
    width = 1 / np.sqrt(np.where(positive, values, 1.0))
    log_integrals, stiffness = np.log(np.sqrt(2 * np.pi) * width), 1 / width**2
    softest = np.argsort(values, kind="stable")
    suspects = softest if landscape.size <= DENSE else softest[:_SECTIONS]
    lines = direction(suspects)
    sides = np.concatenate([lines, -lines]) * np.tile(width[suspects], 2)[:, None]
    rises = (landscape.values(x + sides) - landscape.values(x[None])).reshape(2, -1)
    low, high = _TRUSTED
    good = positive[suspects] & ((low < rises) & (rises < high)).all(axis=0)
    wrong = suspects[~good][:_SECTIONS]
    if len(wrong):
        found = landscape.sections(x, direction(wrong))
        if found.lowest.min() < -tolerance or not np.isfinite(found.log_mass).all():
            return None
        log_integrals[wrong], stiffness[wrong] = found.log_mass, 1 / found.variance
    return log_integrals, stiffness


def _complement(tangents: np.ndarray, size: int) -> np.ndarray:
    """An orthonormal basis of the complement of the tangents, (n − k, n)."""
    if not len(tangents):
        return np.eye(size)
    return np.linalg.svd(tangents, full_matrices=True)[2][len(tangents) :]


def _steps(landscape: Landscape, x: np.ndarray) -> np.ndarray:
    """Finite-difference step for each component: a fraction of the width of the valley at the first site."""
    c = len(landscape.program.components)
    first = np.zeros((c, c, landscape.size // c))
    first[np.arange(c), np.arange(c), 0] = 1.0
    width = landscape.sections(x, first.reshape(c, -1)).width
    return _STEP * np.minimum(width, 1 + np.abs(x).max())


def hessian_at(landscape: Landscape, x: np.ndarray) -> np.ndarray:
    """∂²S by central differences of the slope, (n, n), symmetric; entries that are not finite become 0."""
    n, c = landscape.size, len(landscape.program.components)
    steps = np.repeat(_steps(landscape, x), n // c)
    probes = np.concatenate([x + np.diag(steps), x - np.diag(steps)])
    slopes = landscape.slopes(probes)[1]
    hessian = (slopes[:n] - slopes[n:]) / (2 * steps[:, None])
    return (hessian + hessian.T) / 2


def _constant_spectrum(
    landscape: Landscape, x: np.ndarray, tangents: np.ndarray
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray], np.ndarray] | None:
    """Eigenvalues of ∂²S at a constant field, constant modes first, and their real plane waves.

    The Hessian is then diagonal in momentum space, so that its columns at one site determine it.
    """
    c, shape = len(landscape.program.components), landscape.shape
    sites = landscape.size // c
    steps = _steps(landscape, x)
    probes = np.repeat(x[None], 2 * c, axis=0).reshape(2, c, c, sites)
    for a in range(c):
        probes[:, a, a, 0] += steps[a] * np.array([1, -1])
    slopes = landscape.slopes(probes.reshape(2 * c, -1))[1].reshape(2, c, c, *shape)
    columns = (slopes[0] - slopes[1]) / (2 * steps.reshape(c, *(1,) * (1 + len(shape))))
    action = landscape.program.functions["action"]
    if action.couples_nodes or action.is_site_dependent:
        return None  # without translations the modes are not plane waves
    hessian = np.moveaxis(np.fft.fftn(columns, axes=tuple(range(2, 2 + len(shape)))), (1, 0), (-2, -1))
    hessian = (hessian + np.conj(np.swapaxes(hessian, -1, -2))).reshape(sites, c, c) / 2
    values, vectors = np.linalg.eigh(hessian)
    basis = _complement(tangents.reshape(-1, c, sites).mean(axis=2) * np.sqrt(sites), c)
    kept, mixing = np.linalg.eigh(basis @ hessian[0].real @ basis.T)
    constants = np.repeat((mixing.T @ basis)[:, :, None] / np.sqrt(sites), sites, axis=2).reshape(
        -1, c * sites
    )
    momenta = np.stack(np.unravel_index(np.arange(sites), shape), axis=-1) / np.array(shape)
    position = np.indices(shape).reshape(len(shape), -1)

    def waves(chosen: np.ndarray) -> np.ndarray:
        lines = np.zeros((len(chosen), c * sites))
        for row, index in enumerate(chosen):
            if index < len(kept):
                lines[row] = constants[index]
                continue
            k, mode = divmod(int(index) - len(kept), c)
            wave = np.outer(vectors[k + 1, :, mode], np.exp(2j * np.pi * momenta[k + 1] @ position)).reshape(
                -1
            )
            real = np.real(wave)
            if np.linalg.norm(real) < 1e-6 * np.sqrt(sites):  # a purely imaginary wave
                real = np.imag(wave)
            lines[row] = real / np.linalg.norm(real)
        return lines

    return np.concatenate([kept, values[1:].reshape(-1)]), waves, constants
