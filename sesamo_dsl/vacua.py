"""Constant minima of the action and the Gaussian fluctuations around them.

The Hessian of a translation-invariant action is diagonal in momentum space; H(k) is the Fourier transform of
one column, obtained from the gradient of the compiled program, so it needs n_components gradients and no n×n
matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from .ir.interpreter import run
from .ir.program import Program

_SCALES = (0.1, 1.0, 4.0, 16.0)


@dataclass(frozen=True, eq=False)
class Vacuum:
    """A constant minimum.

    Attributes
    ----------
    mean
        Value of each component, shape (components,).
    action
        S there.
    hessian
        H_ab(k), Hermitian and positive definite, shape (*lattice, components, components), k in the order of ``fftn``.
    """

    mean: np.ndarray
    action: float
    hessian: np.ndarray


def find_vacuum(program: Program, parameters: Mapping[str, float]) -> Vacuum | None:
    """The deepest constant minimum found from a fixed set of starting points, None if there is none.

    Among equally deep minima the one with the lexicographically largest components is taken, so that the
    answer is reproducible.
    """
    c = len(program.components)
    # an extensive action of a constant field is the volume times its value on a single site
    extensive = program.functions["action"].is_extensive
    shape = (1,) * len(program.shape) if extensive else program.shape
    volume = int(np.prod(shape))
    ones = np.ones((1, 1, *shape))

    def value_and_slope(v: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(all="ignore"):
            s, gradient = run(
                program, "action_and_gradient", {"x": v.reshape(1, c, *(1,) * len(shape)) * ones}, parameters
            )
        return float(s[0]) / volume, gradient[0].reshape(c, -1).mean(axis=1)

    rng = np.random.default_rng(0)
    directions = np.concatenate([np.eye(c), -np.eye(c), rng.normal(size=(4 * c, c))])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    minima: list[tuple[float, tuple[float, ...]]] = []
    for start in [np.zeros(c), *(scale * d for scale in _SCALES for d in directions)]:
        if not np.isfinite(value_and_slope(start)[0]):
            continue
        found = minimize(value_and_slope, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 200})
        if np.isfinite(found.fun) and np.linalg.norm(found.jac) < 1e-5 and np.linalg.norm(found.x) < 1e4:
            minima.append((round(float(found.fun), 8), tuple(round(float(z), 6) + 0.0 for z in found.x)))
    for _, mean in sorted(set(minima), key=lambda m: (m[0], tuple(-z for z in m[1]))):
        hessian = _hessian(program, parameters, np.array(mean))
        if hessian is not None:
            depth = value_and_slope(np.array(mean))[0] * int(np.prod(program.shape))
            return Vacuum(np.array(mean), depth, hessian)
    return None


def _hessian(program: Program, parameters: Mapping[str, float], mean: np.ndarray) -> np.ndarray | None:
    """H(k) at a constant field, None if it is not positive definite."""
    c, shape = len(mean), program.shape
    step = 1e-4 * (1 + np.abs(mean).max())
    constant = np.broadcast_to(mean.reshape(c, *(1,) * len(shape)), (c, *shape))
    probes = np.repeat(constant[None], 2 * c, axis=0).copy()
    origin = (0,) * len(shape)
    for b in range(c):
        probes[(2 * b, b, *origin)] += step
        probes[(2 * b + 1, b, *origin)] -= step
    with np.errstate(all="ignore"):
        _, gradient = run(program, "action_and_gradient", {"x": probes}, parameters)
    columns = (gradient[0::2] - gradient[1::2]) / (2 * step)  # (b, a, *lattice): ∂²S/∂φ_a(x)∂φ_b(0)
    transformed = np.fft.fftn(columns, axes=tuple(range(2, 2 + len(shape))))
    hessian = np.moveaxis(transformed, (1, 0), (-2, -1))
    hessian = (hessian + np.conj(np.swapaxes(hessian, -1, -2))) / 2
    if not np.isfinite(hessian).all() or np.linalg.eigvalsh(hessian).min() < 1e-6:
        return None
    return hessian
