"""The fall of exp(−S) far out, along a path of points at growing distances from the origin.

The integral over a tube around a path is ∫ dR exp(−E(R)) with E = S − Σ log(widths across), no width larger
than R; it is finite if and only if E grows faster than log R. Where S oscillates along the path its wells
count with their share of the length. E is compared at two distances, the largest ones at which the bound on
the rounding error of S allows a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..ir.rounding import error_bounds
from ..machine.memory import chunk_size
from .directions import constant_fields
from .landscape import Landscape

_EXPONENTS = np.array([2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 25, 30, 40, 50, 75, 100, 150.0])
_DETERMINANTS_END = 1e6  # distance up to which determinants of fermions are computed
_ROUNDOFF = 2.0**-53
_FAR = 1e5  # distance from which S counts as asymptotic, unless it overflows there
_FAR_WITH_WELLS = 1e4  # the same if S oscillates: rounding of phases hides narrow wells further out
_APART = 30.0  # least ratio of the two distances
_MARGIN = 1e-2  # margin of the power of R that decides
_FALL = 50.0  # an S that falls by more between two distances does not fall like a logarithm
_ACROSS = 48  # number of real variables up to which widths are measured in all directions
_DRAWN, _DRAWN_OF_MANY = 16, 4  # number of random directions above that, and above _MANY real variables
_MANY = 2048
_TRIES = 6  # number of distances at which widths are measured
_BOTTOM = 30  # iterations down to the bottom of a valley
_REACH = np.logspace(-40, 0, 41)  # relative to R, of widths
_BETWEEN = np.linspace(0, 1, 17)
_REFINEMENTS = 3
_HALVINGS = 12  # of the logarithm of the distance at which S overflows
_ALONG = 9  # points between R and 2R that say whether S oscillates
_STEEP = 1e3  # per variable: a valley that rises by more from one sphere to the next is given up
_NEWTON, _DIFFERENCES = 8, (1e-6, 1e-3)  # steps at most, and relative differences between slopes in turn
_WELLS = 64  # points between R and 2R from which a well is searched
_STEPS = np.logspace(-16, 0, 65)  # relative to R, of that search
_ROUNDS = 30


Tail = Literal["flat", "unbounded", "finite", "undecided"]
"""The verdict of a path on ∫ exp(−S)."""


@dataclass(frozen=True, eq=False)
class Shell(Landscape):
    """S on the sphere |x| = radius, in coordinates (w, u) with x = radius w u/|w u|.

    The units u, one for each coordinate, only make the coordinates of a bent valley comparable in size; the
    slope along them is set to zero, so that a descent leaves them unchanged.
    """

    radius: float = 1.0

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        """x, (batch, 2n) → (batch, n)."""
        w, u = np.split(coordinates, 2, axis=1)
        return self.radius * w * u / np.linalg.norm(w * u, axis=1, keepdims=True)

    def slopes(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(S, ∂S/∂(w, u))."""
        w, u = np.split(x, 2, axis=1)
        size = np.linalg.norm(w * u, axis=1, keepdims=True)
        unit = w * u / size
        value, slope = super().slopes(self.radius * unit)
        with np.errstate(all="ignore"):
            slope = self.radius * u / size * (slope - (slope * unit).sum(axis=1, keepdims=True) * unit)
        return value, np.concatenate([np.where(np.isfinite(slope), slope, 0.0), np.zeros_like(u)], axis=1)


def known(landscape: Landscape, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S, bound on its error), (batch,) each, the rounding of x included; ∞ where there is no bound."""
    program = landscape.program
    size = chunk_size((len(program.components), *landscape.shape))
    values, errors = [np.zeros(0)], [np.zeros(0)]
    for start in range(0, len(x), size):
        fields = landscape.fields(x[start : start + size])
        with np.errstate(all="ignore"):
            (error,) = error_bounds(
                program,
                "action",
                fields,
                landscape.parameters,
                roundoff=_ROUNDOFF,
                input_error=_ROUNDOFF * np.abs(fields),
            )
        values.append(landscape.computed(x[start : start + size]))
        errors.append(error)
    value, error = np.concatenate(values), np.concatenate(errors)
    return value, np.where(np.isnan(error), np.inf, error)


def reached(landscape: Landscape, distances: np.ndarray) -> np.ndarray:
    """The distances at which S can be computed: determinants are limited to 10⁶."""
    return distances[distances <= _DETERMINANTS_END] if landscape.program.has_determinants else distances


def straight(landscape: Landscape, v: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Points R v + offset at all distances, and at the largest at which S is a finite number, (points, n)."""
    distances = reached(landscape, 10**_EXPONENTS)
    finite = np.isfinite(landscape.computed(distances[:, None] * v + offset))
    if not finite.all():
        first = int(np.argmin(finite))
        inner, outer = (1.0 if first == 0 else distances[first - 1]), distances[first]
        for _ in range(_HALVINGS):
            middle = np.sqrt(inner * outer)
            if np.isfinite(landscape.computed((middle * v + offset)[None]))[0]:
                inner = middle
            else:
                outer = middle
        distances = np.unique(np.concatenate([distances, [inner / 100, inner]]))
    return distances[:, None] * v + offset


def judged(landscape: Landscape, path: np.ndarray, rng: np.random.Generator) -> Tail:
    """The verdict on ∫ exp(−S) along a path, (points, n) in the order of their distances."""
    path = path.copy()
    value, error = known(landscape, path)
    swings = bool(oscillates(landscape, path, rng).any())
    radius = np.linalg.norm(path, axis=1)
    settled: set[int] = set()
    widths: dict[int, float] = {}

    def place(i: int, point: np.ndarray) -> None:
        path[i], radius[i] = point, np.linalg.norm(point)
        (value[i],), (error[i],) = known(landscape, point[None])

    def settle(i: int) -> None:
        if i in settled:
            return
        settled.add(i)
        if swings:
            place(i, path[i] * _into_well(*_smallest(landscape, path[i]), rng))

    def log_width(i: int) -> float:
        if i not in widths:
            if landscape.size > _ACROSS:  # random directions need a point at the bottom of the valley
                ends, _ = landscape.descend(path[i][None], _BOTTOM)
                if len(ends) and np.linalg.norm(ends[0] - path[i]) < 1e-2 * radius[i]:
                    place(i, ends[0])
            widths[i] = _log_widths(landscape, path[i], radius[i])
        return widths[i]

    for outer in range(len(path) - 1, 0, -1):
        near = np.flatnonzero(radius[:outer] <= radius[outer] / _APART)
        if not len(near):
            break
        inner = int(near[-1])
        if not np.isfinite([value[inner], value[outer], error[inner], error[outer]]).all():
            continue
        settle(inner)
        settle(outer)
        if not np.isfinite([value[inner], value[outer], error[inner], error[outer]]).all():
            continue
        rise, doubt = value[outer] - value[inner], error[outer] + error[inner]
        scale = np.log(radius[outer] / radius[inner])
        if rise - doubt > (landscape.size + _MARGIN) * scale:
            return "finite"  # tubes grow no faster than R^(n−1)
        falls_off = outer + 1 < len(path) and np.isneginf(value[outer + 1])
        if radius[outer] < (_FAR_WITH_WELLS if swings else _FAR) * (1 - 1e-9) and not falls_off:
            break
        fallen = rise + doubt < -_FALL
        if fallen and rise + doubt < -_FALL * landscape.size * scale:
            return "unbounded"
        if landscape.size * doubt > abs(rise) + (landscape.size + 1) * scale:
            continue
        if len(widths) > _TRIES:
            break
        growth = log_width(inner) - log_width(outer)
        growth += value[outer] - value[inner]
        doubt *= landscape.size  # an error of S changes all widths
        if growth + doubt < (1 + _MARGIN) * scale:
            return "unbounded" if fallen else "flat"
        if growth - doubt > (1 + _MARGIN) * scale:
            return "finite"
    return "undecided"


def on_sphere(
    landscape: Landscape, starts: np.ndarray, radius: float, iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Minima of S on the sphere |x| = radius from given directions, (starts, n), and S there, (starts,).

    NaN and ∞ where S is not finite at the start.
    """
    kept = {name: getattr(landscape, name) for name in Landscape.__dataclass_fields__}
    shell = Shell(**kept, radius=radius)
    x = radius * starts / np.linalg.norm(starts, axis=1, keepdims=True)
    units = np.maximum(np.abs(x), 1.0)
    coordinates = np.concatenate([x / units, units], axis=1)
    finite = np.isfinite(shell.slopes(coordinates)[0])
    points, heights = np.full(x.shape, np.nan), np.full(len(x), np.inf)
    ends, heights[finite] = shell.descend(coordinates[finite], iterations)
    points[finite] = shell.points(ends)
    return points, heights


def followed(landscape: Landscape, starts: np.ndarray, radii: Sequence[float], iterations: int) -> np.ndarray:
    """Valleys followed from the first sphere outwards, (valleys, radii, n); steeply rising ones are dropped.

    The start on the next sphere extrapolates every coordinate as a power of the radius.
    """
    path = [np.array([_lowered(landscape, start, radii[0]) for start in starts]).reshape(starts.shape)]
    for i in range(1, len(radii)):
        trials = [path[-1]]
        if i > 1:
            power = np.log(radii[i] / radii[i - 1]) / np.log(radii[i - 1] / radii[i - 2])
            with np.errstate(all="ignore"):
                growth = np.abs(path[-1] / path[-2]) ** power
            trials.append(path[-1] * np.where(np.isfinite(growth), growth, 1.0))
        heights = [landscape.values(t * radii[i] / np.linalg.norm(t, axis=1, keepdims=True)) for t in trials]
        best = np.argmin(heights, axis=0)
        guess = np.array(trials)[best, np.arange(len(best))]
        guess *= radii[i] / np.linalg.norm(guess, axis=1, keepdims=True)
        near = np.array(
            [_lowered(landscape, point, radii[i]) for point in guess]
        )  # descents leave the valley
        ends, _ = on_sphere(landscape, near, radii[i], iterations)
        ends = np.array([_lowered(landscape, end, radii[i]) for end in ends])
        path.append(ends)
        slow = landscape.values(path[-1]) - landscape.values(path[-2]) < _STEEP * landscape.size
        if not slow.any():
            return np.zeros((0, len(radii), landscape.size))
        path = [points[slow] for points in path]
    return np.swapaxes(path, 0, 1)


def _lowered(landscape: Landscape, x: np.ndarray, radius: float) -> np.ndarray:
    """The end of Newton steps on the sphere from x, for narrow valleys in which descents stall."""
    n = landscape.size
    if n > _ACROSS or not np.isfinite(x).all():
        return x
    lowest = landscape.values(x[None])[0]
    for difference in _DIFFERENCES * _NEWTON:
        units = np.maximum(np.abs(x), 1.0)
        step = difference * np.diag(units)
        slopes = landscape.slopes(np.concatenate([x[None], x + step, x - step]))[1]
        slope, normal = slopes[0] * units, units * x
        tangent = np.linalg.svd((normal / np.linalg.norm(normal))[None])[2][1:]
        with np.errstate(all="ignore"):
            curvature = (slopes[1 : n + 1] - slopes[n + 1 :]) * units / (2 * difference)
            curvature -= np.diag(units**2) * (slopes[0] @ x) / radius**2  # curvature of the sphere
            curvature = tangent @ (curvature + curvature.T) @ tangent.T / 2
        if not (np.isfinite(curvature).all() and np.isfinite(slope).all()):
            continue
        eigenvalues, vectors = np.linalg.eigh(curvature)
        eigenvalues = np.maximum(np.abs(eigenvalues), 1e-15 * np.abs(eigenvalues).max() + 1e-300)
        direction = units * (tangent.T @ (vectors @ ((vectors.T @ (tangent @ slope)) / eigenvalues)))
        trials = x - np.array([1.0, 0.5, 0.1, 0.01])[:, None] * direction
        trials *= radius / np.linalg.norm(trials, axis=1, keepdims=True)
        heights = landscape.values(trials)
        gain = lowest - heights.min()
        if gain > 0:
            x, lowest = trials[np.argmin(heights)], heights.min()
        if gain <= 1e-3 * (1 + abs(lowest)) and difference == _DIFFERENCES[-1]:
            break
    return x


def oscillates(landscape: Landscape, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whether S both rises and falls on the line from a point x to 2x, (points, n) → (points,)."""
    factors = 1 + (np.arange(_ALONG) + rng.uniform(size=_ALONG)) / _ALONG
    change = np.diff([landscape.values(factor * points) for factor in factors], axis=0)
    return np.logical_and.reduce(
        [np.isfinite(change).all(axis=0), (change > 0).any(axis=0), (change < 0).any(axis=0)]
    )


def _smallest(landscape: Landscape, point: np.ndarray) -> tuple[Landscape, np.ndarray]:
    """The landscape of constant fields with a point that is constant, any other point as it is."""
    fields = point.reshape(len(landscape.program.components), -1)
    if (fields == fields[:, :1]).all():
        return constant_fields(landscape), fields[:, 0]
    return landscape, point


def _into_well(landscape: Landscape, point: np.ndarray, rng: np.random.Generator) -> float:
    """The factor f in [1, 2] for which f·point lies in the deepest well found on that line.

    NaN if the search has not converged.
    """
    factors = 1 + rng.uniform(size=_WELLS)
    factor = factors[np.argmin(landscape.values(factors[:, None] * point))]
    steps = np.concatenate([-_STEPS[::-1], [0.0], _STEPS])
    lowest = np.inf
    for _ in range(_ROUNDS):
        trial = np.clip(factor + steps, 1.0, 2.0)
        heights = landscape.values(trial[:, None] * point)
        factor, before, lowest = trial[np.argmin(heights)], lowest, heights.min()
        if before - lowest <= 1e-3 * (1 + abs(lowest)):
            return float(factor)
    return np.nan


def _log_widths(landscape: Landscape, centre: np.ndarray, radius: float) -> float:
    """Σ log(widths across the tube) plus the log of the share of wells along it; NaN if rounding hides it."""
    n, v = landscape.size, centre / radius
    along, gap = _well_along(landscape, centre, v, radius)
    total = float(np.log(np.minimum(1.0, along / gap)))
    if n == 1:
        return total
    if n <= _ACROSS:
        across = np.linalg.svd(v[None], full_matrices=True)[2][1:]
        across = _principal(landscape, centre, across, _widths(landscape, centre, across, radius))
    else:
        drawn = _DRAWN if n <= _MANY else _DRAWN_OF_MANY
        across = np.random.default_rng(0).normal(size=(drawn, n))  # the same at all distances
        across -= np.outer(across @ v, v)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
    width = _widths(landscape, centre, across, radius)
    return total + float(np.log(width).mean()) * (n - 1)


def _principal(landscape: Landscape, centre: np.ndarray, across: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Principal directions of the curvature of S across the tube, by differences of slopes a width apart."""
    if not np.isfinite(width).all():
        return across
    step = width[:, None] * across
    slopes = landscape.slopes(np.concatenate([centre + step, centre - step]))[1]
    count = len(across)
    curvature = ((slopes[:count] - slopes[count:]) @ across.T) / (2 * width[:, None])
    scaled = curvature * np.sqrt(width)[:, None] * np.sqrt(width)
    if not np.isfinite(scaled).all():
        return across
    return np.linalg.eigh((curvature + curvature.T) / 2)[1].T @ across


def _widths(landscape: Landscape, centre: np.ndarray, lines: np.ndarray, radius: float) -> np.ndarray:
    """Distance along ±line, the smaller of both, at which S has risen by 1/2; at most the radius, (lines,).

    NaN where the rounding of the centre hides it.
    """
    both = np.concatenate([lines, -lines])
    base = landscape.values(centre[None])[0]
    reach = radius * _REACH
    raised = _rise(landscape, centre, both, np.tile(reach, (len(both), 1))) - base > 0.5
    raised[:, -1] = True
    first = raised.argmax(axis=1)
    outer, inner = reach[first], reach[np.maximum(first - 1, 0)]
    for _ in range(_REFINEMENTS):
        distance = inner[:, None] * (outer / inner)[:, None] ** _BETWEEN
        raised = _rise(landscape, centre, both, distance) - base > 0.5
        raised[:, -1] = True
        place = raised.argmax(axis=1)[:, None]
        outer, inner = (
            np.take_along_axis(distance, i, axis=1)[:, 0] for i in (place, np.maximum(place - 1, 0))
        )
    coarse = _ROUNDOFF * np.where(np.abs(both) > 1e-6, np.abs(centre), 0.0).max(axis=1)
    outer = np.where((first == 0) | (outer < 20 * coarse), np.nan, outer)
    return np.minimum(outer[: len(lines)], outer[len(lines) :])


def _rise(landscape: Landscape, centre: np.ndarray, lines: np.ndarray, distance: np.ndarray) -> np.ndarray:
    points = centre + distance[..., None] * lines[:, None, :]
    return landscape.values(points.reshape(-1, centre.size)).reshape(distance.shape)


def _well_along(
    landscape: Landscape, centre: np.ndarray, v: np.ndarray, radius: float
) -> tuple[float, float]:
    """(width of a well along the path, distance to the next well); (1, 1) if S does not oscillate."""
    bottom = landscape.values(centre[None])[0]

    def rises(distance: np.ndarray) -> np.ndarray:
        return _rise(landscape, centre, v[None], distance[None])[0] - bottom

    distance = radius * np.logspace(-20, 0, 161)
    rise = rises(distance)
    high = np.maximum.accumulate(rise)
    beyond = (high > 0.5) & (rise < high - 0.5)
    if not beyond.any():
        return 1.0, 1.0
    edge, top = int(np.argmax(rise > 0.5)), int(np.argmax(rise[: int(np.argmax(beyond)) + 1]))
    bounds = [distance[max(edge - 1, 0)], distance[edge]], [distance[max(top - 1, 0)], distance[top + 1]]
    for _ in range(_REFINEMENTS):  # of the place where S has risen by 1/2, and of the highest one
        edges, tops = (low * (up / low) ** _BETWEEN for low, up in bounds)
        edge, top = int(np.argmax(rises(edges) > 0.5)), int(np.argmax(rises(tops)))
        last = len(tops) - 1
        bounds = (
            [edges[max(edge - 1, 0)], edges[edge]],
            [tops[max(top - 1, 0)], tops[min(top + 1, last)]],
        )
    return 2 * float(bounds[0][1]), float(sum(bounds[1]))
