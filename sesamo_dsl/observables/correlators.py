"""Observables of fermions in an auxiliary field: functions of φ to be averaged with weights or along chains.

In the spin basis of the Hubbard model, spin up couples to φ and spin down to −φ. For a fixed field both are
free, so that all expectation values are polynomials in G_xy = ⟨c_x c†_y⟩ (Wick's theorem). Times lie between
slices: t = 0 is before B_1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import OptionError
from ..ir import fermions

_CHUNK = 2**22  # numbers per array of Green's functions


def green_functions(phi: np.ndarray, hopping: np.ndarray, step: float, species: int = 1) -> np.ndarray:
    """G_xy(t) = ⟨c_x c†_y⟩ = (1 + B_t … B_1 B_Nt … B_{t+1})⁻¹_xy at equal times t = 1, …, Nt.

    Parameters
    ----------
    phi
        Fields, (n, Nt, Nx), or configurations of a one-component theory, (n, 1, Nt, Nx).
    hopping, step
        K, (Nx, Nx), and β/Nt.
    species
        +1 or −1, the sign of φ.

    Returns
    -------
    numpy.ndarray
        (n, Nt, Nx, Nx).
    """
    return _in_chunks(lambda part: fermions.green_functions(part, step, hopping, species), phi, hopping)


def propagators(phi: np.ndarray, hopping: np.ndarray, step: float, species: int = 1) -> np.ndarray:
    """⟨c_x(t) c†_y(0)⟩ for t = 0, …, Nt − 1; arguments as in :func:`green_functions`, (n, Nt, Nx, Nx).

    Fields rolled by s slices give the correlator between times s and s + t.
    """
    return _in_chunks(lambda part: fermions.propagators(part, step, hopping, species), phi, hopping)


def double_occupancy(phi: np.ndarray, hopping: np.ndarray, step: float) -> np.ndarray:
    """⟨n↑ n↓⟩, averaged over sites and times, (n,)."""

    def of(part: np.ndarray) -> np.ndarray:
        up, down = (1 - _diagonal(g) for g in _both(part, hopping, step))
        return (up * down).mean(axis=(1, 2))

    return _in_chunks(of, phi, hopping)


def spin_correlations(phi: np.ndarray, hopping: np.ndarray, step: float) -> np.ndarray:
    """⟨Sᶻ_x Sᶻ_y⟩ with Sᶻ = (n↑ − n↓)/2 at equal times, averaged over the times, (n, Nx, Nx)."""

    def of(part: np.ndarray) -> np.ndarray:
        both = _both(part, hopping, step)
        spin = (_diagonal(both[1]) - _diagonal(both[0])) / 2
        total = spin[..., :, None] * spin[..., None, :]
        for g in both:  # ⟨n_x n_y⟩ − ⟨n_x⟩⟨n_y⟩ = ⟨c†_x c_y⟩⟨c_x c†_y⟩
            total = total + (np.eye(len(hopping)) - g.swapaxes(-1, -2)) * g / 4
        return total.mean(axis=1)

    return _in_chunks(of, phi, hopping)


def _both(phi: np.ndarray, hopping: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    up, down = (fermions.green_functions(phi, step, hopping, species) for species in (1, -1))
    return up, down


def _diagonal(matrices: np.ndarray) -> np.ndarray:
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def _in_chunks(
    function: Callable[[np.ndarray], np.ndarray], phi: np.ndarray, hopping: np.ndarray
) -> np.ndarray:
    fields = phi[:, 0] if phi.ndim == 4 and phi.shape[1] == 1 else phi
    if fields.ndim != 3 or hopping.shape != (fields.shape[-1],) * 2 or not np.allclose(hopping, hopping.T):
        raise OptionError(
            "fermions in an auxiliary field",
            expected="fields (n, Nt, Nx) or (n, 1, Nt, Nx), and a symmetric hopping matrix (Nx, Nx)",
            found=f"shapes {phi.shape} and {hopping.shape}",
            remedy="pass samples.x of a theory with one field on a GraphLattice with time slices",
        )
    size = max(1, _CHUNK // int(np.prod(fields.shape[1:]) * fields.shape[-1]))
    parts = [function(fields[i : i + size].astype(np.float64)) for i in range(0, len(fields), size)]
    return np.concatenate(parts)
