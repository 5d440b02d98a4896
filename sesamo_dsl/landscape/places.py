"""Narrow features of S, found from its program: stationary points, jumps and kinks of its parts.

A narrow well that no search along rays meets can be seen in the formula of the action: its centre is where
the argument of an exponential is stationary, its walls are where a condition changes. So the arguments of all
non-polynomial functions are followed along the axes and diagonals, first from the origin and then from the
points found: Newton's method finds where they are stationary, bisection where they change sign.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import label

from .inner_values import Followed, InnerValues, inner_values
from .landscape import Landscape

_NEAREST, _FARTHEST, _PER_DECADE = 1e-9, 1e6, 40  # distances along rays, and points per decade
_ROUNDS = 3  # rounds of rays, each from the points that earlier rounds have found
_CENTRES = 8  # origins of rays in each round
_SMOOTH = 8  # number of variables up to which stationary points are searched
_STEP = 1e-3  # of finite differences, in units of the distance from the origin
_NEWTON, _BISECTIONS = 8, 60
_MOST = {1: 1000, 2: 48}  # most points of one kind that are kept; 48 with more variables
_NEAR = 64  # most extrema that are kept on one ray
_CELLS = 4096  # most points of the grid of all marks
_STARTS = 32
_MOST_STARTS = 512  # most starts of Newton's method
_PAIRS = 300  # most pairs of arguments whose common zeros are searched
_MOST_CORNERS = 16
_JUMP = 1e-6  # jump of S in units of 1 + |S|: less is rounding
_DEGENERATE = 1e-4  # of the largest second derivative


@dataclass(frozen=True, eq=False)
class Places:
    """Points where S may have narrow features that a search along rays misses.

    Attributes
    ----------
    centres, widths
        Isolated stationary points of arguments, and the distances along each axis at which the arguments
        have changed by 1/2, both (k, n).
    edges, axis
        Points (m, n) at which an argument changes sign on lines along the axes, and the axes, (m,).
    corners
        More points to start from, (c, n): in two variables the common zeros of two arguments and zeros on
        diagonals, and stationary points that are not isolated.
    oblique
        Whether S is, or may be, discontinuous across a surface that is not perpendicular to an axis.
    """

    centres: np.ndarray
    widths: np.ndarray
    edges: np.ndarray
    axis: np.ndarray
    corners: np.ndarray
    oblique: bool = False

    def marks(self, axis: int) -> np.ndarray:
        """Sorted coordinates of all edges on lines along one axis."""
        return np.unique(self.edges[self.axis == axis, axis])

    def starts(self, landscape: Landscape) -> np.ndarray:
        """Starts of descents, (starts, n): deep cells between edges, centres and corners."""
        return np.concatenate([_deep_cells(landscape, self), self.centres, self.corners])


def places(landscape: Landscape) -> Places:
    """The narrow features of the action of a landscape; all arrays are empty for a polynomial."""
    n = landscape.size
    inner = inner_values(landscape)
    centres, edges, axis = np.zeros((0, n)), np.zeros((0, n)), np.zeros(0, dtype=int)
    if inner is None or n > _SMOOTH:
        return Places(centres, centres, edges, axis, centres)
    follow, smooth, broken = inner.follow, inner.smooth, inner.broken
    most, oblique = _MOST.get(n, 48), False
    corners = _finite(landscape, _corners(follow, broken, n))
    origins, seen = np.zeros((1, n)), set[tuple[float, ...]]()
    for _ in range(_ROUNDS):
        turned, crossed = _along_rays(follow, smooth, broken, origins)
        seen.update(map(_key, origins))
        isolated, ridges = _stationary(follow, turned)
        centres = _distinct(np.concatenate([centres, isolated]))[:most]
        met = crossed.direction < n
        edges, axis = _first(
            np.concatenate([edges, crossed.high[met]]),
            np.concatenate([axis, crossed.direction[met]]),
            most,
        )
        more = np.concatenate([ridges, crossed.high[~met]])
        corners = _distinct(np.concatenate([corners, _finite(landscape, more)]))
        corners = corners[np.argsort(landscape.values(corners), kind="stable")[:_MOST_CORNERS]]
        oblique = oblique or (n > 1 and _jumps_obliquely(landscape, inner, crossed))
        found = Places(centres, centres, edges, axis, corners)
        fresh = found.starts(landscape)
        fresh = np.array([x for x in fresh if _key(x) not in seen]).reshape(-1, n)
        if not len(fresh):
            break
        origins = fresh[np.argsort(landscape.values(fresh), kind="stable")[:_CENTRES]]
    return Places(centres, _widths(follow, smooth, centres), edges, axis, corners, oblique)


def _length(x: np.ndarray) -> np.ndarray:
    """|x|, (k, n) → (k,)."""
    return np.sqrt((x**2).sum(axis=1))


def _finite(landscape: Landscape, points: np.ndarray) -> np.ndarray:
    return points[np.isfinite(landscape.values(points))]


def _key(x: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(x, 9) + 0.0)


def _first(edges: np.ndarray, axis: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The edges along each axis with different coordinates, at most ``most`` per axis."""
    kept: list[int] = []
    for a in range(edges.shape[1]):
        numbers = np.flatnonzero(axis == a)
        mark = edges[numbers, a]
        step = 1e-11 * 10 ** np.ceil(np.log10(np.abs(mark) + 1e-6))
        kept += sorted(numbers[np.unique(np.round(mark / step) * step, return_index=True)[1]])[:most]
    return edges[kept], axis[kept]


# along rays -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Crossings:
    """Sign changes: argument ``which`` changes sign between ``low`` and ``high``, (m, n), on a line."""

    low: np.ndarray
    high: np.ndarray
    which: np.ndarray
    direction: np.ndarray


def _along_rays(
    follow: Followed, smooth: np.ndarray, broken: np.ndarray, origins: np.ndarray
) -> tuple[np.ndarray, _Crossings]:
    """Extrema of arguments on rays as rows (number of the argument, x), (k, 1 + n), and sign changes."""
    n = origins.shape[1]
    radii = np.geomspace(_NEAREST, _FARTHEST, int(_PER_DECADE * np.log10(_FARTHEST / _NEAREST)) + 1)
    distance = np.concatenate([-radii[::-1], [0.0], radii])
    none = np.zeros(0, dtype=int)
    turned, crossed = [np.zeros((0, 1 + n))], [_Crossings(np.zeros((0, n)), np.zeros((0, n)), none, none)]
    for origin in origins:
        for number, direction in enumerate(_directions(n)):
            points = origin + distance[:, None] * direction
            values = follow(points)
            left, middle, right = values[:-2, smooth], values[1:-1, smooth], values[2:, smooth]
            with np.errstate(invalid="ignore"):
                lowest = (left >= middle) & (middle < right) | (left <= middle) & (middle > right)
            at, which = np.nonzero(lowest)
            keep = np.argsort(np.abs(distance[at + 1]), kind="stable")[:_NEAR]
            turned.append(np.column_stack([smooth[which[keep]], points[at[keep] + 1]]))
            crossed.append(_changes(broken, points, values, number))
    parts = (np.concatenate(part) for part in zip(*(vars(c).values() for c in crossed), strict=True))
    return np.concatenate(turned), _bisected(follow, _Crossings(*parts))


def _directions(n: int) -> Iterator[np.ndarray]:
    yield from np.eye(n)
    if 1 < n <= 2:
        yield from np.array([[1.0, 1.0], [1.0, -1.0]])


def _changes(broken: np.ndarray, points: np.ndarray, values: np.ndarray, direction: int) -> _Crossings:
    """Neighbouring points on a line between which an argument changes sign."""
    signs = np.sign(values[:, broken])
    at, which = np.nonzero((signs[1:] != signs[:-1]) & np.isfinite(signs[1:]) & np.isfinite(signs[:-1]))
    distance = _length(points[at] - points[len(points) // 2])
    keep = np.argsort(distance, kind="stable")[: _MOST.get(points.shape[1], 48)]
    at, which = at[keep], which[keep]
    return _Crossings(points[at], points[at + 1], broken[which], np.full(len(at), direction))


def _bisected(follow: Followed, crossed: _Crossings) -> _Crossings:
    """The sign changes with ``low`` and ``high`` bisected to neighbouring floating-point numbers."""
    low, high, rows = crossed.low, crossed.high, np.arange(len(crossed.which))
    if not len(rows):
        return crossed
    left = np.sign(follow(low)[rows, crossed.which])
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        same = (np.sign(follow(middle)[rows, crossed.which]) == left)[:, None]
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return replace(crossed, low=low, high=high)


def _jumps_obliquely(landscape: Landscape, inner: InnerValues, crossed: _Crossings) -> bool:
    """Whether S is discontinuous where an argument of several variables changes sign.

    True also where S is infinite on both sides, as beyond the ends of a slit, and nothing is known.
    """
    chosen = np.isin(crossed.which, inner.jumping)
    low, high, which = crossed.low[chosen], crossed.high[chosen], crossed.which[chosen]
    before, after = landscape.values(low), landscape.values(high)
    both = np.isinf(before) & np.isinf(after)
    with np.errstate(invalid="ignore"):
        jumps = (np.abs(after - before) > _JUMP * (1 + np.abs(before))) | (both & landscape.program.has_walls)
    high, which = high[jumps], which[jumps]
    if not len(high):
        return False
    reach = _STEP * (1 + np.abs(high).max(axis=1, initial=0.0))
    here = inner.follow(high)[np.arange(len(high)), which]
    involved = np.zeros(high.shape, dtype=bool)
    for axis, side in itertools.product(range(high.shape[1]), (1, -1)):
        moved = inner.follow(high + side * reach[:, None] * np.eye(high.shape[1])[axis])
        involved[:, axis] |= moved[np.arange(len(high)), which] != here
    return bool((involved.sum(axis=1) > 1).any())


def _corners(follow: Followed, broken: np.ndarray, n: int) -> np.ndarray:
    """Common zeros of two arguments, in two variables, by Newton's method from two starts, (k, n)."""
    pairs = np.array(list(itertools.islice(itertools.combinations(broken, 2), _PAIRS)), dtype=int)
    if n != 2 or not len(pairs):
        return np.zeros((0, n))
    x = np.repeat([[0.31, 0.17], [-0.17, -0.31]], len(pairs), axis=0)
    pairs, step = np.tile(pairs, (2, 1)), np.zeros(x.shape)
    for _ in range(_NEWTON):
        values, slopes = [], []
        for which in pairs.T:
            values.append(follow(x)[np.arange(len(x)), which])
            slopes.append(_derivatives(follow, which, x)[0])
        value, slope = np.stack(values, axis=1), np.stack(slopes, axis=1)
        good = np.asarray(np.isfinite(value).all(axis=1) & np.isfinite(slope).all(axis=(1, 2)))
        slope = np.where(good[:, None, None], slope, np.eye(n))
        step = -(np.linalg.pinv(slope) @ np.where(good[:, None], value, 1.0)[..., None])[..., 0]
        x = x + step
    size = _length(x)
    return _distinct(x[(_length(step) <= 1e-6 * size + 1e-9) & (size < _FARTHEST)])


# stationary points ------------------------------------------------------------------------------------------


def _stationary(follow: Followed, turned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stationary points near extrema on rays, by Newton's method: isolated ones and others, (k, n) each."""
    n = turned.shape[1] - 1
    which, x = turned[:, 0].astype(int), turned[:, 1:]
    if not len(x):
        return x, x
    order = np.argsort(_length(x), kind="stable")[:_MOST_STARTS]
    which, x = which[order], x[order]
    step = np.zeros(x.shape)
    for _ in range(_NEWTON):
        slope, bend = _derivatives(follow, which, x)
        good = np.asarray(np.isfinite(slope).all(axis=1) & np.isfinite(bend).all(axis=(1, 2)))
        slope, bend = np.where(good[:, None], slope, 0.0), np.where(good[:, None, None], bend, np.eye(n))
        step = -(np.linalg.pinv(bend, rcond=1e-7, hermitian=True) @ slope[..., None])[..., 0]
        x = x + step
    size = _length(x)
    done = _length(step) <= 1e-5 * size + 1e-9
    done &= size < 1e2 * _FARTHEST
    which, x = which[done], x[done]
    coarse, bend = (_derivatives(follow, which, x, step)[1] for step in (_STEP, _STEP / 4))
    stiffness = np.sort(np.abs(np.linalg.eigvalsh(np.nan_to_num(bend))), axis=1)
    stiffest = stiffness.max(axis=1)
    smooth = (stiffest > 0) & (stiffest < 3 * np.abs(coarse).max(axis=(1, 2)))  # at a kink it grows as 1/h
    isolated = stiffness.min(axis=1) > _DEGENERATE * stiffest
    return _distinct(x[smooth & isolated]), _distinct(x[smooth & ~isolated])[:_MOST_CORNERS]


def _derivatives(
    follow: Followed, which: np.ndarray, x: np.ndarray, step: float = _STEP
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients and Hessians of one argument at each point, by central differences."""
    k, n = x.shape
    h = step * (np.abs(x).max(axis=1) + 1e-4)
    offsets = [np.zeros(n), *np.eye(n), *-np.eye(n)]
    pairs = list(itertools.combinations(range(n), 2))
    offsets += [s * (np.eye(n)[i] + np.eye(n)[j]) for i, j in pairs for s in (1, -1)]
    probes = x[:, None] + h[:, None, None] * np.array(offsets)
    found = follow(probes.reshape(-1, n))
    u = found.reshape(k, len(offsets), found.shape[1])[np.arange(k), :, which]
    up, down, here = u[:, 1 : n + 1], u[:, n + 1 : 2 * n + 1], u[:, :1]
    with np.errstate(all="ignore"):
        slope = (up - down) / (2 * h[:, None])
        second = (up + down - 2 * here) / h[:, None] ** 2
        bend = np.zeros((k, n, n))
        bend[:, np.arange(n), np.arange(n)] = second
        for number, (i, j) in enumerate(pairs):
            both = u[:, 2 * n + 1 + 2 * number] + u[:, 2 * n + 2 + 2 * number] - 2 * here[:, 0]
            mixed = (both / h**2 - second[:, i] - second[:, j]) / 2
            bend[:, i, j] = bend[:, j, i] = mixed
    return slope, bend


def _widths(follow: Followed, smooth: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Distance from each centre along each axis at which some argument has first changed by 1/2, (k, n)."""
    k, n = centres.shape
    reach = np.geomspace(_NEAREST, _FARTHEST, 4 * 15 + 1)
    widths = np.full((k, n), _FARTHEST)
    if not k:
        return widths
    here = follow(centres)[:, smooth]
    for axis, side in itertools.product(range(n), (1, -1)):
        probes = centres[:, None] + side * reach[:, None] * np.eye(n)[axis]
        values = follow(probes.reshape(-1, n))[:, smooth].reshape(k, len(reach), -1)
        with np.errstate(invalid="ignore"):
            change = np.abs(values - here[:, None])
        changed: np.ndarray = np.any(change > 0.5, axis=2)
        first = np.where(changed.any(axis=1), reach[changed.argmax(axis=1)], _FARTHEST)
        widths[:, axis] = np.minimum(widths[:, axis], first)
    return widths


# cells between edges ----------------------------------------------------------------------------------------


def _deep_cells(landscape: Landscape, found: Places) -> np.ndarray:
    """Marks and middles of cells between them that are local minima of S on the grid, deepest first.

    Of several equal neighbours, as in a box, one is kept.
    """
    n = landscape.size
    middles = []
    for axis in range(n):
        ends = np.unique(np.concatenate([found.marks(axis), found.centres[:, axis], [0.0]]))
        size = np.abs(ends).max() + 1.0
        between = (ends[1:] + ends[:-1]) / 2
        middles.append(np.unique(np.concatenate([ends[:1] - size, ends, between, ends[-1:] + size])))
    if not len(found.edges) or np.prod([float(len(m)) for m in middles]) > _CELLS:
        return np.zeros((0, n))
    grid = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1)
    heights = landscape.values(grid.reshape(-1, n)).reshape(grid.shape[:-1])
    low = np.isfinite(heights)
    for axis in range(n):
        padded = np.pad(heights, [(int(a == axis),) * 2 for a in range(n)], constant_values=np.inf)
        before, after = (np.take(padded, range(s, s + heights.shape[axis]), axis=axis) for s in (0, 2))
        low &= (heights <= before) & (heights <= after)
    numbers = np.zeros(low.shape, dtype=np.intp)
    label(low, np.ones((3,) * n), output=numbers)
    flat = [np.flatnonzero(numbers.reshape(-1) == number) for number in range(1, int(numbers.max()) + 1)]
    middle = np.array([cells[len(cells) // 2] for cells in flat], dtype=int)
    return grid.reshape(-1, n)[middle[np.argsort(heights.reshape(-1)[middle], kind="stable")[:_STARTS]]]


def _distinct(points: np.ndarray) -> np.ndarray:
    """Points without duplicates up to rounding, the nearest to the origin first."""
    size = np.abs(points).max(axis=1, initial=0.0)
    step = 1e-5 * 10 ** np.ceil(np.log10(size + 1e-3))
    first = np.unique(np.round(points / step[:, None]) * step[:, None] + 0.0, axis=0, return_index=True)[1]
    return points[first[np.argsort(size[first], kind="stable")]]
