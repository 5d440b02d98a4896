"""Constant minima of the action and the Gaussian fluctuations around them.

The Hessian of a translation-invariant action is diagonal in momentum space; H(k) is the Fourier transform of
one column, obtained from the gradient of the compiled program, so it needs n_components gradients and no n×n
matrix. Where couplings depend on the site, columns of several sites are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ..flows.base import reflected
from ..ir.interpreter import run
from ..ir.program import Program
from ..values.couplings import Couplings
from .landscape import Landscape
from .minima import find_minima
from .remembered import Remembered

_SCALES = (0.1, 1.0, 4.0, 16.0)
_SAMPLES, _ITERATIONS = 128, 16  # of the variational Gaussian
_STARTS = 12  # random directions at most
_DESCENTS = 8  # the deepest starting points are followed downhill
_PROBED = 64  # most sites at which a Hessian that depends on the site is computed
_SHRINK = 16  # factor by which a step is made smaller to distinguish a kink from a curvature
_SOFT = 1e-3  # of the largest eigenvalue: below it the Hessian does not give the width of a mode


@dataclass(frozen=True, eq=False)
class Vacuum:
    """A constant minimum of the action and the Hessian there.

    Attributes
    ----------
    mean
        Value of each component, shape (components,).
    action
        S at the minimum.
    hessian
        H_ab(k), Hermitian and positive definite, shape (*lattice, components, components), k in the order
        of ``fftn``.
    """

    mean: np.ndarray
    action: float
    hessian: np.ndarray


@Remembered
def find_vacuum(program: Program, parameters: Couplings) -> Vacuum | None:
    """The deepest constant minimum found from a fixed set of starting points, None if there is none.

    On the slices of Lie groups the minimum of S − log Δ is taken along the slice. Among equally deep minima
    the one with the lexicographically largest components is taken, so that the answer is reproducible.
    """
    c = len(program.components)
    slices = gauge_directions(program)
    gauge = [a for _, rest in slices for a in rest]
    # an extensive action of a constant field is the volume times its value on a single site
    extensive = program.functions["action"].is_extensive
    shape = (1,) * len(program.shape) if extensive else program.shape
    sites, volume = int(np.prod(shape)), int(np.prod(program.shape))
    ones = np.ones((1, 1, *shape))

    def value_and_slope(v: np.ndarray) -> tuple[float, np.ndarray]:
        v = np.where(np.isin(np.arange(c), gauge), 0.0, v)
        x = v.reshape(1, c, *(1,) * len(shape)) * ones
        with np.errstate(all="ignore"):
            s, gradient = run(program, "action_and_gradient", {"x": x}, parameters)
        slope = gradient[0].reshape(c, -1).sum(axis=1) / sites
        slope[gauge] = 0.0
        measure, measure_slope, _ = _log_measure(program, v, slices)
        return float(s[0]) / sites - measure / volume, slope - measure_slope / volume

    rng = np.random.default_rng(0)
    axes = np.stack([np.eye(c), -np.eye(c)], axis=1).reshape(-1, c)[: 2 * _STARTS]
    random = rng.normal(size=(min(4 * c, _STARTS) if c > 1 else 0, c))
    directions = np.concatenate([axes, random])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    starts = []
    for start in [np.zeros(c), *(scale * d for scale in _SCALES for d in directions)]:
        start = start.copy()
        for first, rest in slices:
            start[first], start[list(rest)] = abs(start[first]) + 0.1, 0.0
        depth = value_and_slope(start)[0]
        if np.isfinite(depth):
            starts.append((round(depth, 9), len(starts), start))
    minima: list[tuple[float, tuple[float, ...]]] = []
    for _, _, start in sorted(starts)[:_DESCENTS]:
        with np.errstate(all="ignore"):  # the action may overflow at a trial of the line search
            found = minimize(
                value_and_slope, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 200}
            )
        inside = all(found.x[first] > 0 for first, _ in slices)
        if (
            inside
            and np.isfinite(found.fun)
            and np.linalg.norm(found.jac) < 1e-5
            and np.linalg.norm(found.x) < 1e4
        ):
            minima.append((round(float(found.fun), 8), tuple(round(float(z), 6) + 0.0 for z in found.x)))
    for _, mean in sorted(set(minima), key=lambda m: (m[0], tuple(-z for z in m[1]))):
        hessian = wave_hessian(program, parameters, np.array(mean), slices)
        if hessian is not None:
            # rounded for a reproducible choice; a Newton step then restores the digits
            step = np.linalg.solve(
                hessian[(0,) * len(program.shape)].real, value_and_slope(np.array(mean))[1]
            )
            polished = np.where(np.abs(step) > 1e-12 * (1 + np.abs(mean)), mean - step, mean)
            return Vacuum(polished, value_and_slope(polished)[0] * volume, hessian)
    return None


@Remembered
def searched_vacuum(program: Program, parameters: Couplings) -> Vacuum | None:
    """The constant minimum with the largest weight that :func:`.find_minima` finds; None if there is none.

    It serves theories with kinks or many scales, where :func:`find_vacuum` finds nothing. None for theories
    with slices of Lie groups or couplings along a graph axis, as in determinants.
    """
    if gauge_directions(program) or program.functions["action"].couples_nodes:
        return None
    for minimum in find_minima(program, parameters):
        if minimum.is_constant:
            mean = minimum.configuration.reshape(len(program.components), -1).mean(axis=1)
            hessian = wave_hessian(program, parameters, mean, [])
            return None if hessian is None else Vacuum(mean, minimum.action, hessian)
    return None


@Remembered
def variational_gaussian(program: Program, parameters: Couplings) -> Vacuum:
    """The translation-invariant Gaussian around zero with the least KL divergence from the theory.

    The KL divergence is stationary where the precision is the mean of the Hessian under the Gaussian itself.
    By parts ⟨∂²S⟩ ⟨x x†⟩ = ⟨∂S x†⟩, so that gradients on a fixed set of samples are enough:
    H(k) ← ⟨∂S x†⟩ ⟨x x†⟩⁻¹ at every momentum, damped. Nodes of a graph are averaged over. It serves theories
    without a minimum to expand around.
    """
    c, shape = len(program.components), program.shape
    axes = tuple(range(2, 2 + len(shape)))
    half = np.random.default_rng(0).normal(size=(_SAMPLES // 2, c, *shape))
    noise = np.moveaxis(np.fft.fftn(np.concatenate([half, -half]), axes=axes), 1, -1)
    hessian = np.broadcast_to(np.eye(c, dtype=complex), (*shape, c, c)).copy()
    for _ in range(_ITERATIONS):
        values, vectors = np.linalg.eigh(hessian)
        root = (vectors / np.sqrt(values)[..., None, :]) @ np.conj(np.swapaxes(vectors, -1, -2))
        waves = (root @ noise[..., None])[..., 0]
        x = np.fft.ifftn(np.moveaxis(waves, -1, 1), axes=axes).real
        with np.errstate(all="ignore"):
            gradient = run(program, "action_and_gradient", {"x": x}, parameters)[1]
        finite = np.isfinite(gradient.reshape(len(x), -1)).all(axis=1)
        if finite.sum() < _SAMPLES // 2:  # the Gaussian is much too wide
            hessian = hessian * 4
            continue
        update = mean_hessian(program, waves[finite], gradient[finite], values)
        hessian = (hessian + update) / 2
    return Vacuum(np.zeros(c), float("nan"), hessian)


def mean_hessian(program: Program, waves: np.ndarray, gradient: np.ndarray, values: np.ndarray) -> np.ndarray:
    """⟨∂²S⟩ = ⟨∂S x†⟩ ⟨x x†⟩⁻¹ at every momentum, Hermitian and positive, (*lattice, c, c).

    Parameters
    ----------
    waves
        x in momentum space, (n, *lattice, c).
    gradient
        ∂S at the same configurations, (n, c, *lattice).
    values
        Eigenvalues of the precision that x was drawn with: those of the result are within a decade of them.
    """
    axes, count = tuple(range(2, gradient.ndim)), len(waves) * int(np.prod(program.shape))
    slopes = np.moveaxis(np.fft.fftn(gradient, axes=axes), 1, -1)
    power = np.einsum("n...a,n...b->...ab", waves, waves.conj()) / count
    cross = np.einsum("n...a,n...b->...ab", slopes, waves.conj()) / count
    if program.nodes is not None:
        power, cross = (
            np.broadcast_to(part.mean(axis=-3, keepdims=True), part.shape) for part in (power, cross)
        )
    update = cross @ np.linalg.inv(power)
    update = (update + np.conj(np.swapaxes(update, -1, -2))) / 2
    update = (update + np.conj(reflected(update))) / 2
    size, polarisation = np.linalg.eigh(update)
    bounded = np.clip(size, 0.1 * values.min(), 10 * values.max())  # a step of a decade at most
    return (polarisation * bounded[..., None, :]) @ np.conj(np.swapaxes(polarisation, -1, -2))


def gauge_directions(program: Program) -> list[tuple[int, tuple[int, ...]]]:
    """For every slice (component of c_1, components of the gauge directions c_2 … c_N)."""
    found = []
    while f"COLLECTIVE_{len(found)}" in program.constants:
        first, *rest = (int(a) for a in np.argmax(program.constants[f"COLLECTIVE_{len(found)}"], axis=1))
        found.append((first, tuple(rest)))
    return found


def _log_measure(
    program: Program, v: np.ndarray, slices: list[tuple[int, tuple[int, ...]]]
) -> tuple[float, np.ndarray, np.ndarray]:
    """log Δ of a constant field with first and second derivatives, by central differences along each c_1."""
    first_order, second_order = np.zeros(len(v)), np.zeros(len(v))
    if not slices:
        return 0.0, first_order, second_order

    def value(point: np.ndarray) -> float:
        x = point.reshape(1, len(v), *(1,) * len(program.shape))
        with np.errstate(all="ignore"):
            return float(run(program, "log_faddeev_popov", {"y": x})[0][0])

    centre = value(v)
    for first, _ in slices:
        step = 1e-4 * max(abs(v[first]), 1e-6)
        shifted = np.zeros(len(v))
        shifted[first] = step
        up, down = value(v + shifted), value(v - shifted)
        first_order[first] = (up - down) / (2 * step)
        second_order[first] = (up - 2 * centre + down) / step**2
    return centre, first_order, second_order


def wave_hessian(
    program: Program,
    parameters: Couplings,
    mean: np.ndarray,
    slices: list[tuple[int, tuple[int, ...]]],
) -> np.ndarray | None:
    """H(k) at a constant field, None at a saddle; soft modes are given a small positive value.

    Where couplings depend on the site, the Hessian is averaged over translations.
    """
    c, shape = len(mean), program.shape
    constant = np.broadcast_to(mean.reshape(c, *(1,) * len(shape)), (c, *shape))
    origin = (0,) * len(shape)
    sites = [origin]
    if program.functions["action"].is_site_dependent:
        chosen = np.random.default_rng(0).permutation(int(np.prod(shape)))[:_PROBED]
        sites = [tuple(int(i) for i in np.unravel_index(number, shape)) for number in chosen]
    columns = np.mean([_columns(program, parameters, constant, site) for site in sites], axis=0)
    if any(function.couples_nodes for function in program.functions.values()):
        columns[..., 1:] = 0.0  # nodes of a graph have no Fourier modes: the flow learns their coupling
    transformed = np.fft.fftn(columns, axes=tuple(range(2, 2 + len(shape))))
    hessian = np.moveaxis(transformed, (1, 0), (-2, -1))
    hessian = (hessian + np.conj(np.swapaxes(hessian, -1, -2))) / 2
    if not np.isfinite(hessian).all():
        return None
    second = _log_measure(program, mean, slices)[2]
    volume = int(np.prod(shape))
    for first, rest in slices:
        hessian[(*origin, first, first)] -= second[first] / volume
        for a in rest:  # the zero mode of a gauge direction is an auxiliary N(0, 1) coordinate
            hessian[(*origin, a)], hessian[(*origin, slice(None), a)] = 0.0, 0.0
            hessian[(*origin, a, a)] = 1.0
    values, vectors = np.linalg.eigh(hessian)
    if values.min() < -1e-3 * max(np.abs(values).max(), 1e-3):
        return None
    for index in np.argwhere(values < _SOFT * max(values.max(), 1.0)):
        *k, mode = (int(i) for i in index)
        wave = _wave(shape, tuple(k), vectors[(*k, slice(None), mode)])
        values[(*k, mode)] = _stiffness(program, parameters, constant, wave)
    if _has_kink(program, parameters, constant, values, vectors):
        return _from_sections(program, parameters, constant, vectors)
    return (vectors * values[..., None, :]) @ np.conj(np.swapaxes(vectors, -1, -2))


def _columns(
    program: Program, parameters: Couplings, constant: np.ndarray, site: tuple[int, ...]
) -> np.ndarray:
    """∂²S/∂φ_a(site + x)∂φ_b(site) at a constant field, (b, a, *lattice), by central differences."""
    c = len(constant)
    step = 1e-4 * (1 + np.abs(constant).max())
    probes = np.repeat(constant[None], 2 * c, axis=0).copy()
    for b in range(c):
        probes[(2 * b, b, *site)] += step
        probes[(2 * b + 1, b, *site)] -= step
    with np.errstate(all="ignore"):
        _, gradient = run(program, "action_and_gradient", {"x": probes}, parameters)
    columns = (gradient[0::2] - gradient[1::2]) / (2 * step)
    return np.roll(columns, tuple(-i for i in site), tuple(range(2, columns.ndim)))


def _from_sections(
    program: Program, parameters: Couplings, constant: np.ndarray, vectors: np.ndarray
) -> np.ndarray:
    """1/⟨t²⟩ of exp(−S) along each constant mode for a point, along each component of one site for a lattice.

    On a lattice ⟨t²⟩ is the variance at a site given its neighbours, the same at all momenta.
    """
    c, shape = len(program.components), program.shape
    sites = int(np.prod(shape))
    axes = vectors[(0,) * len(shape)].real.T if sites == 1 else np.eye(c)
    directions = np.zeros((c, c, sites))
    directions[..., 0] = axes
    landscape = Landscape(program, parameters, shape)
    variance = landscape.sections(constant.reshape(-1), directions.reshape(c, -1)).variance
    precision = (axes.T / variance) @ axes
    return np.broadcast_to(precision.astype(complex), (*shape, c, c)).copy()


def _wave(shape: tuple[int, ...], k: tuple[int, ...], polarisation: np.ndarray) -> np.ndarray:
    """A real plane wave of norm 1, (components, *lattice)."""
    phase = sum(2 * np.pi * q * x / extent for q, x, extent in zip(k, np.indices(shape), shape, strict=True))
    column = (-1, *(1,) * len(shape))
    wave = np.real(polarisation.reshape(column) * np.exp(1j * np.asarray(phase)))
    norm = np.linalg.norm(wave)
    if norm < 1e-12:  # the real part of a purely imaginary wave: its partner is as soft
        wave = np.imag(polarisation.reshape(column) * np.exp(1j * np.asarray(phase)))
        norm = np.linalg.norm(wave)
    return wave / norm


def has_kink(program: Program, parameters: Couplings, vacuum: Vacuum) -> bool:
    """Whether S has a kink at the vacuum, whose ``hessian`` is then 1/⟨t²⟩ of exp(−S) and no curvature."""
    column = vacuum.mean.reshape(-1, *(1,) * len(program.shape))
    constant = np.broadcast_to(column, program.configuration_shape)
    return _has_kink(program, parameters, constant, *np.linalg.eigh(vacuum.hessian))


def _has_kink(
    program: Program, parameters: Couplings, constant: np.ndarray, values: np.ndarray, vectors: np.ndarray
) -> bool:
    """Whether S has a kink: second differences along a constant mode grow like 1/step as the step shrinks.

    The width of the valley then has to be computed from values of S.
    """
    shape, origin = program.shape, (0,) * len(program.shape)
    for mode in range(values.shape[-1]):
        wave = _wave(shape, origin, vectors[(*origin, slice(None), mode)])
        steps = np.array([1.0, 1 / _SHRINK]) * 0.1 / np.sqrt(values[(*origin, mode)])
        trials = constant + np.multiply.outer([0.0, *steps, *-steps], wave)
        with np.errstate(all="ignore"):
            action = run(program, "action", {"x": trials}, parameters)[0]
        wide, narrow = (action[1:3] + action[3:] - 2 * action[0]) / steps**2
        if np.isfinite(action).all() and narrow > np.sqrt(_SHRINK) * wide > 0:
            return True
    return False


def _stiffness(program: Program, parameters: Couplings, constant: np.ndarray, wave: np.ndarray) -> float:
    """1/t² with t the amplitude of a normalised plane wave that raises S by ½, for a mode without mass."""
    amplitudes = np.geomspace(1e-3, 1e3, 61)
    trials = constant[None] + np.multiply.outer(np.concatenate([[0.0], amplitudes]), wave)
    with np.errstate(all="ignore"):
        action = run(program, "action", {"x": trials}, parameters)[0]
    raised = np.nonzero(~(action[1:] - action[0] < 0.5))[0]
    return float(amplitudes[raised[0]] ** -2) if len(raised) else float(amplitudes[-1] ** -2)
