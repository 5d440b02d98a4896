"""A test whether ∫ exp(−S) is finite, by a search for directions and points at which it diverges.

There are five searches, all on the program that is emitted:

- Flat directions v with v·∂S = 0 at random configurations: massless modes, fields that are not in the action,
  angles that only appear as differences.
- Points at a finite distance where S falls to −∞ (``singularities``).
- Lines along which exponentials cancel, by expansions of S far out (``exponentials``).
- Rays, out to as far as float64 reaches, along constant, staggered and single-site fields, plane waves, soft
  directions of the Hessian, directions orthogonal to the fastest-growing terms, and random ones
  (``directions``).
- Valleys, straight or bent: S descends on spheres, from one to the next larger one, up to 10¹². Above
  ``DENSE`` real variables only constant fields are searched, and none if S has determinants.

The growth of S along rays and valleys is compared with log R within bounds on rounding (``tails``).

Angles are confined by θ²/2, which changes nothing about whether the integral is finite.

A search can only find that Z is infinite; finding nothing is no proof that it is finite. Missed are valleys
that no start descends to, bent valleys that rise steeply before they fall, and on lattices most valleys. A
confining term that is smaller than the rounding of the other terms in S counts as none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import NotNormalizableError
from ..ir.program import Program
from ..values.couplings import Couplings, couplings_text
from ..values.manifolds import wrapped_fields
from .directions import DENSE, constant_fields, rays, soft_fields, unseen
from .exponentials import exponential_fall
from .landscape import Landscape
from .remembered import Remembered
from .singularities import singular_place
from .tails import followed, judged, on_sphere, oscillates, reached, straight

LARGEST = 2**14
"""Number of real variables up to which directions are searched."""
_DISTANCES = np.array([1e3, 1e4, 1e6, 1e9, 1e13, 1e20, 1e40, 1e100])
_SLOW = 60.0  # per variable: an S that rises by more between two distances grows faster than a logarithm
_SUSPECTS, _SUSPECTS_OF_MANY = 16, 4  # rays that are examined closely, and above ``DENSE`` variables
_WAVY = 8  # the first rays along which S oscillates, whose S at a few points does not say how deep wells are
_SPHERES = (1e2, 1.3e2, 2e2, 1e3, 1e4, 1e6, 1e8, 1e10, 1e12)
_DESCENTS = 12  # on the first sphere, from rays and as many from random directions
_ITERATIONS = 40
_FOLLOWED = 3  # valleys that are followed from sphere to sphere
_AROUND, _RANDOM_ANGLES = 8, 4  # angles, alike at all sites and random, beside which rays run
_ALIKE = 0.999  # cosine of the angle between two directions that count as the same


@dataclass(frozen=True, eq=False)
class Divergence:
    """A direction along which ∫ exp(−S) diverges.

    Attributes
    ----------
    direction
        Unit vector, (components, *lattice); for a singularity, a direction from which it is approached.
    kind
        "flat": S does not grow, or not fast enough; "unbounded": S falls without end; "singular": S falls
        to −∞ at a configuration, too fast for exp(−S) to be integrable.
    name
        The direction or the singular configuration in words.
    """

    direction: np.ndarray
    kind: Literal["flat", "unbounded", "singular"]
    name: str

    def __str__(self) -> str:
        if self.kind == "singular":
            return f"exp(−S) is not integrable near {self.name}"
        how = "is unbounded below" if self.kind == "unbounded" else "does not grow, or not fast enough,"
        return f"S {how} along {self.name}"


@Remembered
def find_divergence(program: Program, parameters: Couplings) -> Divergence | None:
    """A direction along which ∫ exp(−S) is infinite, None if none is found.

    Above ``LARGEST`` real variables nothing is searched.
    """
    if len(program.components) * math.prod(program.shape) > LARGEST:
        return None
    with np.errstate(all="ignore"):  # S may overflow far out
        return _searched(Landscape(program, parameters, program.shape, confined=bool(program.angles)))


def require_normalizable(program: Program, parameters: Couplings) -> None:
    """Raise NotNormalizableError if ∫ exp(−S) is found to be infinite at these couplings."""
    found = find_divergence(program, parameters)
    if found is not None:
        raise not_normalizable(program.theory, parameters, found)


def not_normalizable(name: str, parameters: Couplings, found: Divergence) -> NotNormalizableError:
    """The NotNormalizableError with the direction along which ∫ exp(−S) diverges at these couplings."""
    at = couplings_text(parameters)
    remedy = "check the signs of the highest powers and of the couplings"
    if found.kind == "flat":
        remedy = (
            "add a term that confines this direction, such as a mass, or leave out what S does not contain"
        )
    if found.kind == "singular":
        remedy = "check the signs of denominators and logarithms, or add a repulsion at short distances"
    return NotNormalizableError(
        f"action of theory {name}" + (f" at {at}" if at else ""),
        direction=found.direction,
        expected="an action that grows in all directions, so that exp(−S) can be normalised",
        found=str(found),
        remedy=f"{remedy}; analyse and compile take normalizable=False where verdicts on symmetries, or "
        "values of S, are all that is asked for",
    )


def _searched(landscape: Landscape) -> Divergence | None:
    rng = np.random.default_rng(0)
    if not landscape.program.lines:  # angles alone: the space is finite
        singular = singular_place(landscape, rng)
        return None if singular is None else _singularity(landscape, *singular)
    blind = unseen(landscape, rng)
    if blind is not None:
        return _divergence(landscape, blind, "flat")
    singular = singular_place(landscape, rng)
    if singular is not None:
        return _singularity(landscape, *singular)
    lines = _off_angles(landscape, rays(landscape, rng))
    falling = exponential_fall(landscape, lines)
    if falling is not None:
        return _divergence(landscape, *falling)
    return _along_rays(landscape, lines, rng) or _along_valleys(landscape, lines, rng)


def _singularity(landscape: Landscape, place: np.ndarray, u: np.ndarray, near: Landscape) -> Divergence:
    direction = np.zeros((len(landscape.program.components), *landscape.shape))
    direction[(slice(None), *(slice(extent) for extent in near.shape))] = near.fields(u[None])[0]
    return Divergence(direction, "singular", _place_name(near, place))


def _at_angles(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Points with angles all around the circle, alike at all sites and random, (points, n)."""
    count = _AROUND + _RANDOM_ANGLES
    fields = np.zeros((count, len(landscape.program.components), *landscape.shape))
    alike = np.linspace(-np.pi, np.pi, _AROUND, endpoint=False)
    for a in landscape.program.angles:
        fields[:_AROUND, a] = alike.reshape(-1, *(1,) * len(landscape.shape))
        fields[_AROUND:, a] = rng.uniform(-np.pi, np.pi, size=fields[_AROUND:, a].shape)
    return fields.reshape(count, -1)


def _off_angles(landscape: Landscape, lines: np.ndarray) -> np.ndarray:
    """The directions without their parts along angles, which lead nowhere far."""
    if not landscape.program.angles:
        return lines
    fields = landscape.fields(lines).copy()
    fields[:, list(landscape.program.angles)] = 0.0
    rows = fields.reshape(len(lines), -1)
    size = np.linalg.norm(rows, axis=1)
    return rows[size > 1e-3] / size[size > 1e-3, None]


def _along_rays(landscape: Landscape, lines: np.ndarray, rng: np.random.Generator) -> Divergence | None:
    beside = rng.normal(size=(2, landscape.size)) * np.array([[0.0], [1.0]])
    if landscape.program.angles:
        beside = np.concatenate([beside, _at_angles(landscape, rng)])
    # the smaller S of two parallel lines: a ray may run along a singularity
    distances = reached(landscape, _DISTANCES)
    heights = np.array([[landscape.values(t * lines + offset) for t in distances] for offset in beside])
    offsets = beside[np.argmin(heights[:, :3].sum(axis=1), axis=0)]
    heights = heights.min(axis=0).T
    growth = np.where(np.isposinf(heights[:, 1:]), np.inf, np.diff(heights, axis=1)).min(axis=1)
    growth[np.isneginf(heights).any(axis=1)] = -np.inf
    suspect = growth < _SLOW * landscape.size
    wavy = np.zeros(len(lines), dtype=bool)
    if landscape.size <= DENSE:
        wavy = oscillates(landscape, _DISTANCES[1] * lines, rng)
    rows = np.flatnonzero(suspect | wavy)
    suspects = _SUSPECTS if landscape.size <= DENSE else _SUSPECTS_OF_MANY
    slowest = rows[np.argsort(growth[rows], kind="stable")][:suspects]
    for row in dict.fromkeys((*slowest, *np.flatnonzero(wavy)[:_WAVY])):
        tail = judged(landscape, straight(landscape, lines[row], offsets[row]), rng)
        if tail in ("flat", "unbounded"):
            return _divergence(landscape, lines[row], tail)
    return None


def _along_valleys(landscape: Landscape, lines: np.ndarray, rng: np.random.Generator) -> Divergence | None:
    space = landscape
    if landscape.size > DENSE:
        space = constant_fields(landscape)
        lines = soft_fields(landscape, rng)
    if space.size == 1 or landscape.program.has_determinants:
        return None
    lowest = np.argsort(space.values(_SPHERES[0] * lines), kind="stable")[:_DESCENTS]
    starts = np.concatenate([lines[lowest], rng.normal(size=(_DESCENTS, space.size))])
    ends = _distinct(*on_sphere(space, starts, _SPHERES[0], _ITERATIONS))[:_FOLLOWED]
    if not len(ends):
        return None
    for path in followed(space, ends, _SPHERES, _ITERATIONS):
        points = np.repeat(path, landscape.size // space.size, axis=1)
        tail = judged(landscape, points, rng)
        if tail in ("flat", "unbounded"):
            far = points[np.isfinite(points).all(axis=1)][-1]
            return _divergence(landscape, far / np.linalg.norm(far), tail)
    return None


def _distinct(points: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The points of a sphere with the least S, without points in nearly the same direction."""
    kept: list[np.ndarray] = []
    for i in np.argsort(heights, kind="stable"):
        size = np.linalg.norm(points[i])
        if np.isfinite(heights[i]) and all(points[i] @ other < _ALIKE * size**2 for other in kept):
            kept.append(points[i])
    return np.array(kept).reshape(-1, points.shape[1])


def _divergence(landscape: Landscape, v: np.ndarray, kind: Literal["flat", "unbounded"]) -> Divergence:
    if kind == "flat" and v[np.argmax(np.abs(v))] < 0:
        v = -v
    return Divergence(landscape.fields(v[None])[0], kind, _name(landscape, v))


def _place_name(landscape: Landscape, place: np.ndarray) -> str:
    """A configuration in words, for a message."""
    values = wrapped_fields(np, landscape.fields(place[None]), landscape.program.angles)
    values = values.reshape(len(landscape.program.components), -1)
    parts = [
        f"{name} = {0.0 if abs(value) < 1e-9 else value:.4g}" + (f" at site {site}" if row.size > 1 else "")
        for name, row in zip(landscape.program.components, values, strict=True)
        for site, value in zip(np.ndindex(landscape.shape), row, strict=True)
    ]
    return ", ".join(parts[:4]) + (", …" if len(parts) > 4 else "")


def _name(landscape: Landscape, v: np.ndarray) -> str:
    """A direction in words, for a message."""
    program = landscape.program
    fields = v.reshape(len(program.components), -1)
    present = [a for a in range(len(fields)) if np.abs(fields[a]).max() > 1e-6]
    parts = []
    for a in present:
        row = fields[a]
        where = ""
        if row.size > 1:
            sites = np.flatnonzero(np.abs(row) > 1e-6)
            if np.ptp(row) < 1e-6:
                where = " at all sites alike"
            elif len(sites) == 1:
                where = f" at site {tuple(int(i) for i in np.unravel_index(sites[0], landscape.shape))}"
            else:
                where = " with a profile over the sites"
        parts.append(f"{row[np.argmax(np.abs(row))]:+.3g}·{program.components[a]}{where}")
    return ", ".join(parts)
