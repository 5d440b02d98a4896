"""The Gaussian of the real fields of a theory with angles, which may be anywhere on their circles."""

from __future__ import annotations

import numpy as np

from ..ir.interpreter import run
from ..ir.program import Program
from ..values.couplings import Couplings
from .remembered import Remembered
from .vacua import mean_hessian

_SAMPLES, _ITERATIONS = 128, 24
_DAMPING = 0.5


@Remembered
def gaussian_beside_angles(program: Program, parameters: Couplings) -> tuple[np.ndarray, np.ndarray]:
    """Mean, (lines,), and precision, (*lattice, lines, lines), of the real fields under uniform angles.

    The mean of ∂S vanishes, and the precision is ⟨∂²S⟩ = ⟨∂S x†⟩⟨x x†⟩⁻¹ under the Gaussian itself, as in
    :func:`sesamo_dsl.landscape.vacua.variational_gaussian`.
    """
    lines, shape = list(program.lines), program.shape
    c, axes = len(lines), tuple(range(2, 2 + len(shape)))
    rng = np.random.default_rng(0)
    half = rng.normal(size=(_SAMPLES // 2, c, *shape))
    noise = np.moveaxis(np.fft.fftn(np.concatenate([half, -half]), axes=axes), 1, -1)
    x = rng.uniform(-np.pi, np.pi, size=(_SAMPLES, *program.configuration_shape))
    x[_SAMPLES // 2 :] = x[: _SAMPLES // 2]
    hessian, mean = np.broadcast_to(np.eye(c, dtype=complex), (*shape, c, c)).copy(), np.zeros(c)
    for _ in range(_ITERATIONS):
        values, vectors = np.linalg.eigh(hessian)
        root = (vectors / np.sqrt(values)[..., None, :]) @ np.conj(np.swapaxes(vectors, -1, -2))
        waves = (root @ noise[..., None])[..., 0]
        x[:, lines] = np.fft.ifftn(np.moveaxis(waves, -1, 1), axes=axes).real + mean.reshape(
            -1, *(1,) * len(shape)
        )
        with np.errstate(all="ignore"):
            gradient = run(program, "action_and_gradient", {"x": x}, parameters)[1][:, lines]
        finite = np.isfinite(gradient.reshape(len(x), -1)).all(axis=1)
        if finite.sum() < _SAMPLES // 2:  # the Gaussian is much too wide
            hessian = hessian * 4
            continue
        update = mean_hessian(program, waves[finite], gradient[finite], values)
        hessian = (1 - _DAMPING) * hessian + _DAMPING * update
        origin = hessian[(0,) * len(shape)].real
        mean = mean - _DAMPING * np.linalg.solve(origin, gradient[finite].mean(axis=(0, *axes)))
    return mean, hessian
