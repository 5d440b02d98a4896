"""A search for all minima of the action, from many starts at several scales, with their Laplace weights.

A sampler that misses a minimum cannot know it from its own samples. Here nothing is sampled: descents start
from constant fields along rays over fifteen decades, from patterns of the constant minima over the sites,
from random fields, and from the narrow features that the program of S shows (``places``). A narrow valley far
from all of these is missed. Above 512 real variables only constant fields are searched; above 64 a theory
with fermion determinants is not searched at all.

The weight of a minimum is Laplace's e^(−S*) √det(2π H⁻¹) times the number of its images under translations
and the modulating group; the orbit of a Lie group counts with its volume.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ..ir.program import Program
from ..values.couplings import Couplings
from .images import Images, Known
from .landscape import Landscape
from .laplace import DENSE, Modes, modes_at
from .places import places
from .remembered import Remembered

_NEAREST, _FARTHEST = 1e-9, 1e6  # distances along rays between which valleys are searched
_PER_DECADE = {1: 400, 2: 100}  # points per decade of a ray; 8 with more coordinates
_RANDOM_RAYS = {1: 0, 2: 64}  # 16 with more coordinates
_SMALL = 4  # real variables up to which rays go in all directions, not along constant fields alone
_STARTS = 64
_ITERATIONS = 150
_KEPT = 24  # number of constant fields kept, the deepest ends of descents
_WEIGHED = 16  # number of configurations whose modes are computed, the deepest
_SAME = 1e-4  # of the size of a configuration: closer ones count as the same
_DETERMINANT_SIZE, _DETERMINANT_STARTS = 64, 8


@dataclass(frozen=True, eq=False)
class Minimum:
    """A local minimum of the action, up to images under translations and the modulating group.

    Attributes
    ----------
    configuration
        One of the images, the deepest, (components, *lattice).
    action
        S of the configuration.
    log_weight
        Laplace's estimate of log ∫ exp(−S) around all of its images. Compare it with log Z.
    images
        Number of images under translations and the finite group; a Lie orbit enters by its volume.
    """

    configuration: np.ndarray
    action: float
    log_weight: float
    images: int

    @property
    def is_constant(self) -> bool:
        """Whether the configuration is the same at all sites."""
        first = self.configuration.reshape(len(self.configuration), -1)[:, :1]
        spread = np.abs(self.configuration.reshape(len(first), -1) - first).max()
        return bool(spread <= _SAME * (1e-12 + np.abs(first).max()))


@Remembered
def find_minima(program: Program, parameters: Couplings) -> tuple[Minimum, ...]:
    """All minima that the search finds, the largest weight first; the result is deterministic.

    It is empty if every descent runs to infinity, S is nowhere finite, the theory is too large to search, or
    it has angles, whose configurations θ and θ + 2π would count as two.
    """
    if program.angles:
        return ()
    extensive = program.functions["action"].is_extensive
    full = Landscape(program, parameters, program.shape)
    site = Landscape(program, parameters, (1,) * len(program.shape) if extensive else program.shape, True)
    if full.size <= _SMALL:
        site = full
    rng, count = np.random.default_rng(0), _STARTS
    if program.has_determinants:
        count = _DETERMINANT_STARTS
        if full.size > _DETERMINANT_SIZE:
            return ()
    ends = _ends_from_rays(site, rng, count)
    if site is full:
        return _weighed(full, ends)
    candidates = np.array([full_field(program, v).reshape(-1) for v in ends]).reshape(-1, full.size)
    if full.size <= DENSE and len(ends):
        starts = _patterns(program, ends, rng)
        starts = np.concatenate([candidates + _nudge(candidates, rng), starts])[:count]
        candidates = np.concatenate([candidates, full.descend(starts, _ITERATIONS)[0]])
    return _weighed(full, candidates)


def full_field(program: Program, constant: np.ndarray) -> np.ndarray:
    """The constant field with given components, (components,) → (components, *lattice)."""
    column = constant.reshape(-1, *(1,) * len(program.shape))
    return np.broadcast_to(column, (len(constant), *program.shape)).copy()


# where to start ---------------------------------------------------------------------------------------------


def _ends_from_rays(site: Landscape, rng: np.random.Generator, count: int) -> np.ndarray:
    """Ends of descents from the valleys along rays, (ends, n), the deepest first."""
    c = site.size
    random = rng.normal(size=(_RANDOM_RAYS.get(c, 16), c))
    directions = np.concatenate([np.eye(c), np.ones((int(c > 1), c)), random])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found, written = np.zeros((0, c)), places(site).starts(site)
    written = written[np.argsort(site.values(written), kind="stable")[: count // 2]]
    for _ in range(2):  # the second round starts from the ends of the first
        centres = np.concatenate([np.zeros((1, c)), found[:4]])
        starts = np.concatenate([_valleys(site, centre, directions) for centre in centres])
        order = np.argsort(site.values(starts), kind="stable")
        deep, rest = order[: count // 2], order[count // 2 :]
        spread = rest[:: max(len(rest) // (count - len(deep)), 1)]  # the deepest may all be in one valley
        starts = np.concatenate([written, starts[deep], starts[spread]])
        ends = site.descend(starts, _ITERATIONS)[0]
        found, written = _distinct(np.concatenate([found, ends]), site), found[:0]
    return found


def _valleys(site: Landscape, centre: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Local minima of S along rays from a point, on a logarithmic grid, (starts, n)."""
    decades = np.log10(_FARTHEST / _NEAREST)
    radii = np.geomspace(_NEAREST, _FARTHEST, int(_PER_DECADE.get(site.size, 8) * decades) + 1)
    distance = np.concatenate([-radii[::-1], [0.0], radii])
    points = centre + distance[:, None] * directions[:, None, :]
    heights = site.values(points.reshape(-1, site.size)).reshape(len(directions), -1)
    padded = np.pad(heights, ((0, 0), (1, 1)), constant_values=np.inf)
    inner = np.isfinite(heights) & (heights <= padded[:, :-2]) & (heights < padded[:, 2:])
    return np.unique(points[inner], axis=0)


def _distinct(points: np.ndarray, landscape: Landscape) -> np.ndarray:
    """Points without duplicates up to rounding, the deepest first; points that ran away are left out."""
    values = landscape.values(points)
    size = np.linalg.norm(points, axis=1)
    rounding = 1e-9 * np.where(size < _FARTHEST, size, 0.0).max(initial=0.0)
    kept: list[np.ndarray] = []
    for i in np.argsort(values, kind="stable"):
        far = size[i] > 1e3 * _FARTHEST or not np.isfinite(values[i])
        near = any(np.linalg.norm(points[i] - p) <= _SAME * np.linalg.norm(p) + rounding for p in kept)
        if not far and not near:
            kept.append(points[i])
    return np.array(kept[:_KEPT]).reshape(-1, landscape.size)


def _nudge(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Small noise, so that a descent leaves a saddle."""
    size = 1e-3 * np.linalg.norm(points, axis=1, keepdims=True) / np.sqrt(points.shape[1]) + 1e-6
    return size * rng.normal(size=points.shape)


def _patterns(program: Program, constant: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Domain patterns of two constant minima over the sites, and random fields, (starts, n)."""
    shape, c = program.shape, len(program.components)
    grid = np.indices(shape)
    scale = max(float(np.linalg.norm(constant, axis=1).max()) / np.sqrt(c), 1e-3)
    # −constant is close to a minimum even if a term breaks the symmetry
    values = [*constant[:4], *(-constant[:2])]
    fields = []
    for mu, extent in enumerate(shape):
        for length in sorted({extent // 2, extent // 4, 1} - {0, extent}):
            fields += [
                np.where(grid[mu] < length, _spread(a, shape), _spread(b, shape)) for a, b in _pairs(values)
            ]
    even = (grid.sum(axis=0) % 2).astype(bool)
    fields += [np.where(even, _spread(a, shape), _spread(b, shape)) for a, b in _pairs(values)]
    for _ in range(_STARTS // 4):
        choice = rng.integers(len(values), size=shape)
        fields.append(np.moveaxis(np.array(values)[choice], -1, 0))
    for size in (0.3, 1.0, 3.0):
        fields += list(size * scale * rng.normal(size=(_STARTS // 12, c, *shape)))
    order = rng.permutation(len(fields))  # a fair choice where there are too many
    return np.array([fields[i].reshape(-1) for i in order])


def _pairs(values: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(a, b) for a, b in itertools.permutations(values, 2) if np.linalg.norm(a - b) > 1e-9]


def _spread(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(value.reshape(-1, *(1,) * len(shape)), (len(value), *shape))


# weights of minima ------------------------------------------------------------------------------------------


def _weighed(full: Landscape, candidates: np.ndarray) -> tuple[Minimum, ...]:
    """The candidates that are minima, without duplicates, with their weights."""
    values = full.values(candidates)
    images = Images(full)
    found: list[tuple[Minimum, Known, Modes]] = []
    refused: list[Known] = []
    for i in np.argsort(values, kind="stable"):
        x = candidates[i]
        if not np.isfinite(values[i]) or len(found) + len(refused) >= _WEIGHED:
            break
        if any(modes.distance(images.aligned(x, known) - known.x) < 1 for _, known, modes in found):
            continue
        if any(_alike(images.aligned(x, known), known.x) for known in refused):
            continue
        tangents, log_orbit = images.orbit(x)
        modes = modes_at(full, x, tangents)
        if modes is None:
            refused.append(images.known(x))
            continue
        log_images, count = images.count(x, modes.resolution)
        log_weight = log_images + modes.log_integral + max(modes.log_tangents, log_orbit) - float(values[i])
        minimum = Minimum(full.fields(x[None])[0], float(values[i]), log_weight, count)
        found.append((minimum, images.known(x), modes))
    return tuple(sorted((m for m, _, _ in found), key=lambda m: -m.log_weight))


def _alike(x: np.ndarray, y: np.ndarray) -> bool:
    return bool(np.linalg.norm(x - y) <= _SAME * (np.linalg.norm(y) + 1e-9))
