"""The start density q₀ of a theory with angles: angles are uniform on the circle, real fields are wide.

q₀(θ, φ) = (2π)^(−n_θ) q₀(φ). The real fields have the translation-invariant Gaussian that is closest to the
theory under uniform angles, widened, and a part of Student t with heavier tails.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..ir.interpreter import run
from ..ir.program import Program
from ..landscape.beside_angles import gaussian_beside_angles
from ..landscape.vacua import find_vacuum
from ..markov.whitening import Whitening
from ..values.arrays import Array, Arrays
from ..values.couplings import Couplings
from ..values.manifolds import TURN
from .start import Family, MixtureDensity, StartDensity

_SAMPLES = 128  # configurations that the stiffness of angles is computed from
_WIDE, _BROAD, _BROAD_WEIGHT, _FREEDOM = 1.5, 3.0, 0.3, 5.0  # widths, and weight and ν of the broad part
_CIRCLE = 3 / np.pi**2  # 1/variance of a uniform angle: the least stiffness that an angle has


@dataclass(frozen=True, eq=False)
class StartWithAngles(StartDensity):
    """q₀ of a theory with angles.

    Attributes
    ----------
    angles
        Numbers of the components that are angles.
    lines
        The density of the other components; None if there are none.
    """

    angles: tuple[int, ...] = ()
    lines: StartDensity | None = None

    @property
    def parts(self) -> int:
        """Number of parts of the density of the real fields, 1 without any."""
        return 1 if self.lines is None else self.lines.parts

    def log_density(self, arrays: Arrays) -> DensityWithAngles:
        """log q₀ and its gradient on arrays of a framework."""
        return DensityWithAngles(arrays, self)

    def draw(self, arrays: Arrays, rng: np.random.Generator, count: int) -> Array:
        """Independent draws on the arrays of a framework, (count, components, *lattice)."""
        x = rng.uniform(-np.pi, np.pi, size=(count, *self.field_shape))
        if self.lines is not None:
            x[:, _others(self)] = arrays.to_numpy(self.lines.draw(arrays, rng, count))
        return arrays.constant(x, "float64")


class DensityWithAngles(MixtureDensity):
    """log q₀ of a theory with angles and its gradient, which is zero for angles."""

    def __init__(self, arrays: Arrays, start: StartWithAngles) -> None:
        self._arrays, self._xp, self._start = arrays, arrays.xp, start
        sites = int(np.prod(start.field_shape[1:]))
        self._log_angles = -len(start.angles) * sites * float(np.log(TURN))
        self._of_lines = None if start.lines is None else start.lines.log_density(arrays)

    def __call__(self, x: Array, auxiliary: Array | None = None) -> tuple[Array, Array]:
        """(log q₀, ∂log q₀/∂x), (batch, components, *lattice) → (batch,) and the shape of x."""
        xp, start = self._xp, self._start
        if self._of_lines is None:
            return self._arrays.zeros((x.shape[0],), x) + self._log_angles, xp.zeros_like(x)
        others = _others(start)
        log_q, slope = self._of_lines(xp.stack([x[:, a] for a in others], axis=1))
        nothing = xp.zeros_like(x[:, 0])
        columns = [slope[:, others.index(a)] if a in others else nothing for a in range(start.field_shape[0])]
        return log_q + self._log_angles, xp.stack(columns, axis=1)


def _others(start: StartWithAngles) -> list[int]:
    return [a for a in range(start.field_shape[0]) if a not in start.angles]


def start_with_angles(program: Program, parameters: Couplings) -> StartWithAngles:
    """q₀ and the mass matrix of Hamiltonian Monte Carlo; deterministic."""
    shape, lines = program.configuration_shape, program.lines
    density, width = None, np.zeros((*program.shape, 0, 0))
    if lines:
        mean, width = gaussian_beside_angles(program, parameters)
        whitening = _whitening(program, width)
        centre = np.broadcast_to(mean.reshape(1, -1, *(1,) * len(program.shape)), (1, len(lines), *shape[1:]))
        families = (
            Family(whitening.scaled(_WIDE), centre.copy(), np.log([1 - _BROAD_WEIGHT])),
            Family(whitening.scaled(_BROAD), centre.copy(), np.log([_BROAD_WEIGHT]), "student", _FREEDOM),
        )
        density = StartDensity((len(lines), *shape[1:]), families, whitening)
    stiffness = _stiffness(program, parameters, width)
    return StartWithAngles(shape, (), _whitening(program, stiffness), program.angles, density)


def _stiffness(program: Program, parameters: Couplings, of_lines: np.ndarray) -> np.ndarray:
    """The precision of typical fluctuations, (*lattice, components, components).

    It is the Hessian at the vacuum, with the width of the circle for angles, which are never wider. Without a
    constant vacuum, angles have the root of ⟨(∂S/∂θ)²⟩ under q₀, and real fields the precision of q₀.
    """
    c, lines, angles = len(program.components), list(program.lines), list(program.angles)
    vacuum = find_vacuum(program, parameters)
    if vacuum is not None:
        stiffness = vacuum.hessian.copy()
        for a in angles:
            stiffness[..., a, a] += _CIRCLE
        return stiffness
    x = np.random.default_rng(1).uniform(-np.pi, np.pi, size=(_SAMPLES, *program.configuration_shape))
    with np.errstate(all="ignore"):
        slopes = run(program, "action_and_gradient", {"x": x}, parameters)[1]
    squares = np.where(np.isfinite(slopes), slopes, 0.0) ** 2
    stiffness = np.zeros((*program.shape, c, c), complex)
    for a in angles:
        stiffness[..., a, a] = _CIRCLE + np.sqrt(np.median(squares[:, a]))
    for i, a in enumerate(lines):
        stiffness[..., a, lines] = of_lines[..., i, :]
    return stiffness


def _whitening(program: Program, precision: np.ndarray) -> Whitening:
    """The linear map of a precision for each wave, (*lattice, c, c)."""
    c = precision.shape[-1]
    grid = np.real(precision)
    nodes = len(program.shape) - 1 if program.nodes is not None else None
    for axis in range(len(program.shape)):
        if axis != nodes:
            grid = (grid + np.roll(np.flip(grid, axis), 1, axis)) / 2
    blocks = grid.reshape(-1, c, c)
    if len(blocks) == 1:
        return Whitening.dense(blocks[0])
    return Whitening.of_waves(blocks, (c, *program.shape), nodes)
