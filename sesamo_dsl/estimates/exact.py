"""Exact values by quadrature for theories of one or two real variables, none of which is an angle.

The integral over all space is computed at least twice, in coordinates without common break points: along rays
from the origin, where every sector is a cone with an integral of its own, and along lines through another
point; if these do not converge, along other lines and rays. Break points are the known minima of the action
and their images, points at several widths around each, the centres and edges of narrow features of S that its
program shows (:mod:`sesamo_dsl.landscape.places`), and all decades of distance. A value is called exact only
if two integrals converge by their own error estimates and agree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..ir.interpreter import run
from ..ir.program import Program
from ..landscape.images import Images
from ..landscape.landscape import Landscape
from ..landscape.laplace import hessian_at
from ..landscape.minima import find_minima
from ..landscape.places import places
from ..landscape.remembered import Remembered
from ..values.couplings import Couplings
from .quadrature import Integral, integrate

_ACCEPTED = 1e-6  # largest relative error of a value that is called exact
_AIM = {1: 1e-11, 2: 1e-9}  # tolerance of the quadrature, by the number of variables
_EVALUATIONS = {1: 400_000, 2: 1_200_000}  # most evaluations of S, by the number of variables
_AROUND = np.array([0.0, 1.0, 4.0, 16.0])  # distances of break points from a minimum, in widths
_DECADES = np.logspace(-8, 8, 17)
_SHIFT = 0.6180339887498949  # shift of the origin of the second coordinates, in widths of the deepest valley
_END = 1 - 2.0**-50  # end of a coordinate that is 1 at infinity
_PARALLEL = 1 - 1e-9  # cosine of an angle: edges are known on lines that are as parallel to an axis as this
_FINE = 4096  # number of directions in the search for walls between sectors
_CENTRES = 64  # most centres of valleys
_SAME = 0.1  # a centre this close to a minimum, in its widths, is omitted
_DEEP = 50.0  # a centre this much higher in S than the deepest centre is omitted
_WIDEST = 1e2  # largest width of a centre that is not a minimum
_MOST_BOXES = {1: 30_000, 2: 12_000}  # most initial boxes, by the number of variables


@dataclass(frozen=True, eq=False)
class ExactValues:
    """Exact values at fixed couplings.

    Attributes
    ----------
    log_z, log_z_error
        log ∫ exp(−S) over all space, and the largest of its two error estimates and the difference of the two
        integrals.
    sector_masses, sector_error
        Probability of each sector T_u Ω, (sectors,), and the largest error of one of them.
    """

    log_z: float
    log_z_error: float
    sector_masses: np.ndarray
    sector_error: float


@Remembered
def exact_values(program: Program, parameters: Couplings) -> ExactValues | None:
    """log Z and sector masses by quadrature; None above two real variables or without convergence."""
    found = _integrated(program, parameters)
    return None if found is None else found[0]


def exact_configurations(
    program: Program, parameters: Couplings, count: int, seed: int
) -> tuple[ExactValues, np.ndarray] | None:
    """Exact values, and independent configurations of the target, (count, components, *lattice).

    The density in each box of the quadrature is bounded by twice its largest value at a node. Boxes are drawn
    with the integral of this bound, and points in a box by rejection. None if there is no exact value.
    """
    found = _integrated(program, parameters)
    if found is None:
        return None
    exact, integral, chart = found
    rng, kept = np.random.default_rng(seed), [np.zeros((0, chart.landscape.size))]
    bound = 2 * integral.peak
    weight = bound * np.prod(integral.upper - integral.lower, axis=1)
    while sum(map(len, kept)) < count:
        box = rng.choice(len(weight), size=4 * count, p=weight / weight.sum())
        lower, upper = integral.lower[box], integral.upper[box]
        point = lower + rng.uniform(size=lower.shape) * (upper - lower)
        density = np.exp(chart.log_density(point) - integral.log_scale)
        kept.append(chart.place(point)[rng.uniform(size=len(box)) * bound[box] < density])
    x = np.concatenate(kept)[:count]
    return exact, x.reshape(count, len(program.components), *program.shape)


def _integrated(program: Program, parameters: Couplings) -> tuple[ExactValues, Integral, _Coordinates] | None:
    landscape = Landscape(program, parameters, program.shape)
    n = landscape.size
    if n > 2 or program.angles:
        return None
    valleys = _valleys(landscape)
    depth = float(landscape.values(valleys.centres).min(initial=np.inf))
    if valleys.oblique or not np.isfinite(depth):
        return None
    converged: list[tuple[_Coordinates, Integral]] = []
    for coordinates in _coordinates(landscape, valleys):
        scale = -depth + n * float(np.log(coordinates.scale))
        limits = {"tolerance": _AIM[n], "evaluations": _EVALUATIONS[n]}
        boxes = coordinates.boxes()
        if len(boxes[2]) > _MOST_BOXES[n]:
            continue
        integral = integrate(coordinates.log_density, *boxes, scale, **limits)
        if integral is None or not integral.relative_error < _ACCEPTED:
            continue
        for earlier, other in converged:
            apart = abs(integral.log_value - other.log_value)
            if apart < _ACCEPTED and (earlier.knows_sectors or program.sectors.count == 1):
                error = max(integral.relative_error, other.relative_error, apart)
                return _as_exact_values(program, other, error), other, earlier
        converged.append((coordinates, integral))
    return None


def _as_exact_values(program: Program, integral: Integral, error: float) -> ExactValues:
    total, count = integral.mass.sum(), program.sectors.count
    masses, errors = (
        np.bincount(integral.label, weights=part, minlength=count) / total
        for part in (integral.mass, integral.error)
    )
    return ExactValues(integral.log_value, error, masses, float(errors.max()))


def _coordinates(landscape: Landscape, valleys: _Valleys) -> Iterator[_Coordinates]:
    """The coordinates for the integrals, in the order in which they are tried."""
    yield _Rays(landscape, valleys, 1.0, np.zeros(landscape.size))
    deepest = int(np.argmin(landscape.values(valleys.centres)))
    away = _SHIFT * valleys.widths[deepest]
    axes = np.linalg.eigh(hessian_at(landscape, valleys.centres[deepest]))[1]
    yield _Lines(landscape, valleys, 1.7, away, axes)
    if landscape.size == 2:
        yield _Lines(landscape, valleys, 1.3, -away, np.eye(2))
        yield _Rays(landscape, valleys, 2.3, away)
        if len(valleys.edges):
            yield _Lines(landscape, valleys, 2.9, 2 * away, np.eye(2))


@dataclass(frozen=True, eq=False)
class _Valleys:
    """The regions where exp(−S) may be large or not smooth.

    Attributes
    ----------
    centres, widths
        All minima with their images, other centres of narrow features of S, and their widths along the axes,
        (k, n) both.
    edges, axis
        Points at which S may have a jump or a kink on a line along an axis, (m, n), and the axis, (m,).
    oblique
        True if S may be discontinuous across a surface that is not perpendicular to an axis: boxes cannot
        resolve it.
    """

    centres: np.ndarray
    widths: np.ndarray
    edges: np.ndarray
    axis: np.ndarray
    oblique: bool


def _valleys(landscape: Landscape) -> _Valleys:
    centres, widths, images = [], [], Images(landscape)
    for minimum in find_minima(landscape.program, landscape.parameters):
        x = minimum.configuration.reshape(-1)
        width = landscape.sections(x, np.eye(landscape.size)).width
        for image in images.listed(x):
            centres.append(image)
            widths.append(width)
    shape, named = (-1, landscape.size), places(landscape)
    minima, around = np.array(centres).reshape(shape), np.array(widths).reshape(shape)
    apart: np.ndarray = np.any(np.abs(named.centres[:, None] - minima) > _SAME * around, axis=2)
    height = landscape.values(named.centres)
    deep = apart.all(axis=1) & (height < height.min(initial=np.inf) + _DEEP)
    centre = np.concatenate([minima, named.centres[deep]])[:_CENTRES]
    width = np.concatenate([around, np.minimum(named.widths[deep], _WIDEST)])[:_CENTRES]
    return _Valleys(centre, width, named.edges, named.axis, named.oblique)


class _Coordinates(ABC):
    """Coordinates of finite range for all space, around a point ``origin``, and initial boxes in them.

    ``scale`` is a distance from the origin that contains all centres, times a factor that differs between
    coordinates.
    """

    knows_sectors = False  # True if each box lies in one sector

    def __init__(self, landscape: Landscape, valleys: _Valleys, factor: float, origin: np.ndarray) -> None:
        self.landscape, self.origin = landscape, origin
        self.centres, self.width = valleys.centres - origin, valleys.widths.min(axis=1)
        self.edges, self.axis = valleys.edges - origin, valleys.axis
        self.scale = factor * float((np.abs(self.centres) + valleys.widths).max(initial=1e-8))

    @abstractmethod
    def place(self, point: np.ndarray) -> np.ndarray:
        """Coordinates to x, (points, n) → (points, n)."""

    @abstractmethod
    def log_jacobian(self, point: np.ndarray) -> np.ndarray:
        """log|dx/dpoint|, (points,)."""

    @abstractmethod
    def boxes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(lower, upper, sector) of the boxes between the break points, (boxes, n), (boxes, n), (boxes,)."""

    def log_density(self, point: np.ndarray) -> np.ndarray:
        """−S + log|dx/dpoint|, (points,); far outside, a NaN of S, such as from ∞ − ∞, counts as S = ∞."""
        x = self.place(point)
        action = self.landscape.computed(x)
        far = np.linalg.norm(x, axis=1) > 1e3 * self.scale
        return self.log_jacobian(point) - np.where(np.isnan(action) & far, np.inf, action)

    def around(self, marks: np.ndarray) -> np.ndarray:
        """Marks, (k, …), and marks at several widths to both sides of each, (many, …)."""
        width = self.width.reshape(-1, *(1,) * (marks.ndim - 1))
        return np.concatenate([marks + side * a * width for a in _AROUND for side in (1, -1)])


class _Rays(_Coordinates):
    """x − origin = r or r (cos θ, sin θ): coordinates (s,) or (s, θ) with r = ρ s/(1 − |s|), ρ = ``scale``.

    Sectors are cones around 0; with this origin each box lies in one sector.
    """

    def __init__(self, landscape: Landscape, valleys: _Valleys, factor: float, origin: np.ndarray) -> None:
        super().__init__(landscape, valleys, factor, origin)
        self.knows_sectors = not origin.any()

    def place(self, point: np.ndarray) -> np.ndarray:
        r = self.scale * point[:, :1] / (1 - np.abs(point[:, :1]))
        return self.origin + (r if point.shape[1] == 1 else r * _direction(point[:, 1]))

    def log_jacobian(self, point: np.ndarray) -> np.ndarray:
        n, s = point.shape[1], np.abs(point[:, 0])
        with np.errstate(divide="ignore"):  # the area at r = 0
            area = np.log(s) if n == 2 else 0.0
        return n * np.log(self.scale) - (n + 1) * np.log1p(-s) + area

    def boxes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        radius = np.linalg.norm(self.centres, axis=1)
        edges = np.linalg.norm(self.edges, axis=1)
        r = np.concatenate([_DECADES, np.abs(self.around(radius)), edges])
        s = _breaks(r / (r + self.scale), 0.0, _END)
        if self.landscape.size == 1:
            ends = np.concatenate([-s[::-1], s[1:]])[:, None]
            return ends[:-1], ends[1:], self._sector(np.sign(ends[:-1] + ends[1:]))
        angle = np.arctan2(self.centres[:, 1], self.centres[:, 0])
        spread = self.width / np.maximum(radius, self.width)
        near = [angle + side * a * spread for a in _AROUND for side in (1, -1)]
        walls = self._walls() if self.knows_sectors else np.zeros(0)
        theta = np.mod(np.concatenate([walls, *near, [np.pi]]), 2 * np.pi)
        lower, upper = _product(s, _breaks(theta, 0.0, 2 * np.pi))
        return lower, upper, self._sector(_direction((lower + upper)[:, 1] / 2))

    def _sector(self, direction: np.ndarray) -> np.ndarray:
        """Number of the sector of a direction, (points, n) → (points,)."""
        program = self.landscape.program
        u = run(program, "canonicalize", {"x": self.landscape.fields(direction)})[1]
        return program.sectors.index(u)

    def _walls(self) -> np.ndarray:
        """The angles at which the sector changes, (walls,)."""
        grid = np.linspace(0, 2 * np.pi, _FINE + 1) + 1e-3
        sector = self._sector(_direction(grid))
        change = np.flatnonzero(sector[1:] != sector[:-1])
        low, high, left = grid[change], grid[change + 1], sector[change]
        for _ in range(52):
            middle = (low + high) / 2
            same = self._sector(_direction(middle)) == left
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return high


class _Lines(_Coordinates):
    """x − origin = R t with orthonormal axes R; t = ρ σ/(1 − σ²) in every coordinate σ, ρ = ``scale``."""

    def __init__(
        self, landscape: Landscape, valleys: _Valleys, factor: float, origin: np.ndarray, axes: np.ndarray
    ) -> None:
        super().__init__(landscape, valleys, factor, origin)
        self._axes = axes

    def place(self, point: np.ndarray) -> np.ndarray:
        return self.origin + (self.scale * point / ((1 - point) * (1 + point))) @ self._axes.T

    def log_jacobian(self, point: np.ndarray) -> np.ndarray:
        rest = np.log1p(-point) + np.log1p(point)
        return (np.log(self.scale) + np.log1p(point**2) - 2 * rest).sum(axis=1)

    def boxes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        zero, decades = -self.origin @ self._axes, _DECADES[::2]
        ends = []
        for axis, marks in enumerate(self.around(self.centres @ self._axes).T):
            along = np.abs(self._axes[self.axis, axis]) > _PARALLEL
            edges = self.edges[along] @ self._axes[:, axis]
            t = np.concatenate([marks, decades, -decades, zero[axis : axis + 1], edges])
            ends.append(_breaks(2 * t / (self.scale + np.hypot(self.scale, 2 * t)), -_END, _END))
        lower, upper = (ends[0][:-1, None], ends[0][1:, None]) if len(ends) == 1 else _product(*ends)
        return lower, upper, np.zeros(len(lower), dtype=int)


def _direction(theta: np.ndarray) -> np.ndarray:
    """(cos θ, sin θ), (k,) → (k, 2)."""
    return np.stack([np.cos(theta), np.sin(theta)], axis=1)


def _breaks(marks: np.ndarray, low: float, high: float) -> np.ndarray:
    """Sorted break points with both ends; points that are equal up to rounding are merged."""
    inside = np.sort(np.concatenate([[low, high], np.clip(marks, low, high)]))
    far = np.diff(inside, prepend=-np.inf) > 1e-12 * (high - low)
    ends = inside[far]
    ends[-1] = high
    return ends


def _product(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corners of all boxes of a grid, (boxes, 2)."""
    lower = np.stack(np.meshgrid(first[:-1], second[:-1], indexing="ij"), axis=-1)
    upper = np.stack(np.meshgrid(first[1:], second[1:], indexing="ij"), axis=-1)
    return lower.reshape(-1, 2), upper.reshape(-1, 2)
