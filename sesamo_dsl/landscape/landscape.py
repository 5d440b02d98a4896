"""S and ∂S/∂x of configurations as vectors (n,), descents to minima, and sections of S along lines.

All functions take batches and use the NumPy interpreter: a search from a hundred starts costs about as much
as one from a single start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..ir.interpreter import run
from ..ir.program import Program
from ..machine.memory import chunk_size
from ..values.couplings import Couplings

_MEMORY = 8  # pairs of the limited-memory BFGS update
_BACKTRACKS = 40
_PATIENCE = 3  # steps in a row that gain nothing
_REACH = np.logspace(-14, 6, 61)  # distances at which a section is first evaluated
_ARC = np.sinh(np.linspace(0, 5, 97)) / 2  # of the quadrature along a section, in units of its width
_RISE = 0.5  # exp(−S) has fallen by e^(−1/2), as a Gaussian has one standard deviation away
_RIDGE = 2.0  # a section that falls again from above this height has come to another valley


@dataclass(frozen=True, eq=False)
class Landscape:
    """S and ∂S/∂x of configurations (batch, n) at fixed couplings.

    Parameters
    ----------
    shape
        The lattice, which may be smaller than the program's where the action is a sum of local densities.
    uniform
        Whether configurations are constant fields, given by one number for each component.
    confined
        Whether S has the additional term θ²/2 for each angle. exp(−S) has then a finite integral over all
        real θ exactly where it has one over the circle: Σ_k exp(−(θ + 2πk)²/2) is bounded from both sides.
    """

    program: Program
    parameters: Couplings
    shape: tuple[int, ...]
    uniform: bool = False
    confined: bool = False

    @property
    def size(self) -> int:
        """n, the number of coordinates."""
        return len(self.program.components) * (1 if self.uniform else int(np.prod(self.shape)))

    def fields(self, x: np.ndarray) -> np.ndarray:
        """Vectors as configurations, (batch, n) → (batch, components, *shape)."""
        c = len(self.program.components)
        if self.uniform:
            column = x.reshape(len(x), c, *(1,) * len(self.shape))
            return np.broadcast_to(column, (len(x), c, *self.shape)).copy()
        return x.reshape(len(x), c, *self.shape)

    @property
    def _confined(self) -> list[int]:
        """The components with the additional term."""
        return list(self.program.angles) if self.confined else []

    def values(self, x: np.ndarray) -> np.ndarray:
        """S, (batch, n) → (batch,), with +∞ in place of NaN."""
        values = self.computed(x)
        return np.where(np.isnan(values), np.inf, values)

    def computed(self, x: np.ndarray) -> np.ndarray:
        """S as it is computed, NaN included, (batch, n) → (batch,)."""
        size = 4 * chunk_size((len(self.program.components), *self.shape))
        parts = [np.zeros(0)]
        with np.errstate(all="ignore"):
            for start in range(0, len(x), size):
                fields = self.fields(x[start : start + size])
                action = run(self.program, "action", {"x": fields}, self.parameters)[0]
                if angles := self._confined:
                    action = action + (fields[:, angles] ** 2).reshape(len(fields), -1).sum(axis=1) / 2
                parts.append(action)
        return np.concatenate(parts)

    def slopes(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(S, ∂S/∂x), (batch, n) → (batch,) and (batch, n); S = +∞ and slope 0 where they are not finite."""
        size = 2 * chunk_size((len(self.program.components), *self.shape))
        values, slopes = [np.zeros(0)], [np.zeros((0, self.size))]
        with np.errstate(all="ignore"):
            for start in range(0, len(x), size):
                fields = self.fields(x[start : start + size])
                inputs = {"x": fields}
                value, slope = run(self.program, "action_and_gradient", inputs, self.parameters)
                if angles := self._confined:
                    value = value + (fields[:, angles] ** 2).reshape(len(fields), -1).sum(axis=1) / 2
                    slope = slope.copy()
                    slope[:, angles] += fields[:, angles]
                slope = slope.reshape(*slope.shape[:2], -1)
                values.append(value)
                slopes.append(slope.sum(axis=2) if self.uniform else slope.reshape(len(fields), -1))
        value, slope = np.concatenate(values), np.concatenate(slopes)
        inclined = np.isfinite(slope).all(axis=1, keepdims=True)  # False at the tip of √|x|
        return np.where(np.isfinite(value), value, np.inf), np.where(inclined, slope, 0.0)

    def descend(self, starts: np.ndarray, iterations: int) -> tuple[np.ndarray, np.ndarray]:
        """Ends of a descent by limited-memory BFGS from each start, (batch, n), and S there, (batch,).

        SciPy follows one start at a time; here all starts take their steps together. Starts at which S is not
        finite are left out. Kinks are no obstacle: every step lowers S, whatever the gradient does.
        """
        with np.errstate(all="ignore"):  # slopes may be so steep that their squares overflow
            return self._descended(np.array(starts, dtype=np.float64), iterations)

    def _descended(self, x: np.ndarray, iterations: int) -> tuple[np.ndarray, np.ndarray]:
        value, slope = self.slopes(x)
        keep = np.isfinite(value)
        x, value, slope = x[keep], value[keep], slope[keep]
        steps, changes = np.zeros((2, _MEMORY, *x.shape))
        inverse = np.zeros((_MEMORY, len(x)))  # 1/(step · change), 0 for a pair that is not used
        length = 1e-2 * np.linalg.norm(x, axis=1) + 1e-9
        stalled = np.zeros(len(x), dtype=int)
        for iteration in range(iterations):
            active = np.flatnonzero(stalled < _PATIENCE)
            if not len(active):
                break
            slot = iteration % _MEMORY
            order = [(slot - 1 - i) % _MEMORY for i in range(min(iteration, _MEMORY))]
            direction = _two_loop(
                slope[active], steps[:, active], changes[:, active], inverse[:, active], order, length[active]
            )
            fall = (direction * slope[active]).sum(axis=1)
            rate = np.ones(len(active))
            moved, risen, tilted = x[active].copy(), value[active].copy(), slope[active].copy()
            trying = np.flatnonzero(fall < 0)
            for _ in range(_BACKTRACKS):
                if not len(trying):
                    break
                trial = x[active[trying]] + rate[trying, None] * direction[trying]
                found, inclined = self.slopes(trial)
                good = found <= value[active[trying]] + 1e-4 * rate[trying] * fall[trying]
                done = trying[good]
                moved[done], risen[done], tilted[done] = trial[good], found[good], inclined[good]
                trying = trying[~good]
                rate[trying] *= 0.35
            step, change = moved - x[active], tilted - slope[active]
            overlap = (step * change).sum(axis=1)
            curved = overlap > 1e-12 * np.linalg.norm(step, axis=1) * np.linalg.norm(change, axis=1)
            steps[slot, active], changes[slot, active] = step, change
            inverse[slot, active] = np.where(curved, 1 / np.where(curved, overlap, 1.0), 0.0)
            walked = np.linalg.norm(step, axis=1)
            length[active] = np.where(walked > 0, 2 * walked, 0.1 * length[active])
            gain = value[active] - risen
            nothing = gain <= 1e-13 * (1 + np.abs(risen))
            stalled[active] = np.where(nothing, stalled[active] + 1, 0)
            inverse[:, active[nothing & (walked == 0)]] = 0.0  # start again with the plain gradient
            x[active], value[active], slope[active] = moved, risen, tilted
        return x, value

    def sections(self, centre: np.ndarray, directions: np.ndarray) -> Sections:
        """Sections of S along lines through a centre (n,) with unit vectors (k, n), in both directions."""
        lines = np.concatenate([directions, -directions])
        base = float(self.values(centre[None])[0])
        heights = self._along(centre, lines, np.broadcast_to(_REACH, (len(lines), len(_REACH)))) - base
        # S is known to a few units in its last place: a smaller rise is rounding
        raised = heights > _RISE
        first = np.where(raised.any(axis=1), raised.argmax(axis=1), len(_REACH) - 1)
        before = np.arange(len(_REACH)) <= first[:, None]
        lowest = np.where(before, heights, 0.0).min(axis=1)
        flat = np.logical_not(raised.any(axis=1))
        outer, inner = _REACH[first], _REACH[np.maximum(first - 1, 0)]
        for _ in range(6):  # bisection in the logarithm
            middle = np.sqrt(inner * outer)
            above = self._along(centre, lines, middle[:, None])[:, 0] - base > _RISE
            inner, outer = np.where(above, inner, middle), np.where(above, middle, outer)
        width = np.where(flat, _REACH[-1], outer)
        distance = width[:, None] * _ARC
        rise = self._along(centre, lines, distance) - base
        high = np.maximum.accumulate(np.where(rise > _RIDGE, rise, -np.inf), axis=1)
        beyond = np.logical_or.accumulate(rise < high - 1e-9, axis=1)
        density = np.where(beyond, 0.0, np.exp(-np.maximum(rise, -50.0)))
        mass = _trapezoids(density, distance)
        second = _trapezoids(density * distance**2, distance)
        count = len(directions)
        total = mass[:count] + mass[count:]
        return Sections(
            np.where(flat[:count] | flat[count:], np.inf, np.log(total)),
            (second[:count] + second[count:]) / total,
            np.minimum(width[:count], width[count:]),
            np.minimum(lowest[:count], lowest[count:]),
        )

    def _along(self, centre: np.ndarray, lines: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """S at centre + distance · line, (lines, points)."""
        points = centre + distance[..., None] * lines[:, None, :]
        return self.values(points.reshape(-1, centre.size)).reshape(distance.shape)


def _trapezoids(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """∫ along the last axis by the trapezoidal rule."""
    return ((values[:, 1:] + values[:, :-1]) / 2 * np.diff(at, axis=1)).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Sections:
    """The integral, variance and width of exp(−S) along lines through a point, one entry for each line.

    Attributes
    ----------
    log_mass
        log ∫ exp(S(0) − S(t)) dt within the valley; +∞ if S never rises by 1/2.
    variance
        ⟨t²⟩ under the density ∝ exp(−S(t)) within the valley.
    width
        The smaller of the two distances at which S has risen by 1/2.
    lowest
        Least S(t) − S(0) before S has risen by 1/2: negative if the point is not a minimum.
    """

    log_mass: np.ndarray
    variance: np.ndarray
    width: np.ndarray
    lowest: np.ndarray


def _two_loop(
    slope: np.ndarray,
    steps: np.ndarray,
    changes: np.ndarray,
    inverse: np.ndarray,
    order: list[int],
    length: np.ndarray,
) -> np.ndarray:
    """−H⁻¹ ∂S for each start, H⁻¹ of the stored pairs, newest first in ``order`` (J. Nocedal, 1980)."""
    direction, weights = slope.copy(), {}
    for i in order:
        weights[i] = inverse[i] * (steps[i] * direction).sum(axis=1)
        direction -= weights[i][:, None] * changes[i]
    norm = np.linalg.norm(slope, axis=1)
    scale = length / np.where(norm > 0, norm, 1.0)
    if order:
        newest = order[0]
        squared = (changes[newest] ** 2).sum(axis=1) * inverse[newest]
        scale = np.where(squared > 0, 1 / np.where(squared > 0, squared, 1.0), scale)
    direction *= scale[:, None]
    for i in reversed(order):
        excess = inverse[i] * (changes[i] * direction).sum(axis=1)
        direction += (weights[i] - excess)[:, None] * steps[i]
    return -direction
