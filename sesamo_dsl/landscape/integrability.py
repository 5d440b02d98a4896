"""Whether ∫ exp(−S) is finite, judged along directions in which it may not be.

Two searches, both on the program that is emitted. First for directions that S does not see at all: v with
v·∂S = 0 at random configurations, as of massless modes, fields that are not in the action, and angles that
only appear as differences. Then along rays S(t v) for large t: constant, staggered and single-site fields,
plane waves, soft directions of the Hessian and random ones. The integral over a tube around a ray is
∫ dt exp(−E(t)) with E = S(tv) − Σ log(width of the tube across), no wider than t; it is finite if and only if
E grows faster than log t. Both can only find that Z is infinite; finding nothing is no proof that it is
finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import NotNormalizableError
from ..ir.program import Program
from ..values.couplings import Couplings, couplings_text
from .landscape import Landscape

LARGEST = 2**14
"""Real variables up to which directions are searched."""
_DENSE = 256  # real variables up to which all directions are searched, not plane waves alone
_DETERMINANTS = 64  # real variables above which only constant fields are tried where S has determinants
_FAR = np.array([1e3, 1e4, 1e5, 1e6])
_BLIND = 1e-9  # of the largest slope
_ROUNDING = 1e-11  # of the largest |S| at the same distance
_ACROSS = 48  # directions across a ray in which its width is measured
_MARGIN = 1e-2  # of the power of t that decides
_FALL = 50.0  # of S between the smallest and the largest distance, so that it is not a logarithm
_LOGARITHMIC = 60.0  # for each variable: what rises by more between them grows faster than any logarithm
_BESIDE = 3
_SUSPECTS = 24  # rays that are looked at closely


@dataclass(frozen=True, eq=False)
class Divergence:
    """A direction along which ∫ exp(−S) diverges.

    Attributes
    ----------
    direction
        Unit vector, (components, *lattice).
    kind
        "flat": S does not grow, or not fast enough; "unbounded": S falls without end.
    name
        The direction in words.
    """

    direction: np.ndarray
    kind: Literal["flat", "unbounded"]
    name: str

    def __str__(self) -> str:
        how = "is unbounded below" if self.kind == "unbounded" else "does not grow, or not fast enough,"
        return f"S {how} along {self.name}"


def find_divergence(program: Program, parameters: Couplings) -> Divergence | None:
    """A direction along which ∫ exp(−S) is infinite, None if none is found.

    Above ``LARGEST`` real variables nothing is searched.
    """
    if len(program.components) * math.prod(program.shape) > LARGEST:
        return None
    with np.errstate(all="ignore"):  # S may overflow far out
        return _searched(Landscape(program, parameters, program.shape))


def require_normalizable(program: Program, parameters: Couplings) -> None:
    """Raise NotNormalizableError if ∫ exp(−S) is found to be infinite at these couplings."""
    found = find_divergence(program, parameters)
    if found is not None:
        raise not_normalizable(program.theory, parameters, found)


def not_normalizable(name: str, parameters: Couplings, found: Divergence) -> NotNormalizableError:
    """The error that says of a theory along which direction ∫ exp(−S) is infinite at these couplings."""
    at = couplings_text(parameters)
    remedy = "check the signs of the highest powers and of the couplings"
    if found.kind == "flat":
        remedy = (
            "add a term that confines this direction, such as a mass, or leave out what S does not contain"
        )
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
    blind = _unseen(landscape, rng)
    if blind is not None:
        return _divergence(landscape, blind, "flat")
    rays = _rays(landscape, rng)
    beside = np.concatenate([np.zeros((1, landscape.size)), rng.normal(size=(_BESIDE, landscape.size))])
    # the least of lines side by side: a ray may run along a singularity, or a valley off the origin
    lines = [[landscape.computed(t * rays + offset) for t in _FAR] for offset in beside]
    heights = np.fmin.reduce(lines, axis=0).T
    generic = float(np.abs(heights[np.isfinite(heights[:, -1]), -1]).max(initial=0.0))
    falling = (heights[:, -1] < -_ROUNDING * generic) & (np.diff(heights, axis=1) < 0).all(axis=1)
    falling &= heights[:, -1] < heights[:, 0] - _FALL
    for row in np.flatnonzero(falling | np.isneginf(heights).any(axis=1)):
        return _divergence(landscape, rays[row], "unbounded")
    growth = heights[:, -1] - heights[:, 0]
    slow = np.flatnonzero(growth < _LOGARITHMIC * landscape.size + _ROUNDING * generic)
    for row in slow[np.argsort(growth[slow], kind="stable")][:_SUSPECTS]:
        power = _tube_power(landscape, rays[row], beside, rng)
        if power is not None and power < 1 + _MARGIN:
            return _divergence(landscape, rays[row], "flat")
    return None


def _unseen(landscape: Landscape, rng: np.random.Generator) -> np.ndarray | None:
    """A unit vector v with v·∂S = 0 at random configurations, (n,), confirmed by S itself."""
    n, c = landscape.size, len(landscape.program.components)
    count = n + 8 if n <= _DENSE else 4 * c + 8
    scale = rng.choice([0.5, 1.0, 2.0], size=(count, 1))
    x = scale * rng.normal(size=(count, n))
    value, slopes = landscape.slopes(x)
    slopes = slopes[np.isfinite(value)]
    size = np.linalg.norm(slopes, axis=1, keepdims=True)
    slopes = slopes / np.where(size > 0, size, 1.0)
    if len(slopes) < (n if n <= _DENSE else 2 * c):
        return None
    candidates = _null_vectors(slopes) if n <= _DENSE else _null_waves(landscape, slopes)
    points = x[np.argsort(np.where(np.isfinite(value), np.abs(value), np.inf))[:8]]  # away from singularities
    before = landscape.values(points)
    for v in candidates:
        if all(_unchanged(landscape, points, before, t * v) for t in (1.0, 1e2, 1e4)):
            return v
    return None


def _unchanged(landscape: Landscape, points: np.ndarray, before: np.ndarray, step: np.ndarray) -> bool:
    """Whether S is the same, up to rounding, when all points are moved."""
    after = landscape.values(points + step)
    rounding = 1e-15 * np.linalg.norm(step) ** 2 * (1 + np.abs(before))
    return bool((np.abs(after - before) <= 1e-8 * (1 + np.abs(before)) + rounding).all())


def _null_vectors(slopes: np.ndarray) -> np.ndarray:
    """Unit vectors orthogonal to all slopes, which are in units of their typical length, (k, n)."""
    _, values, vectors = np.linalg.svd(slopes)
    full = np.zeros(len(vectors))
    full[: len(values)] = values
    return vectors[full <= _BLIND * np.sqrt(len(slopes))]


def _null_waves(landscape: Landscape, slopes: np.ndarray) -> np.ndarray:
    """The same among constant fields."""
    c = len(landscape.program.components)
    sites = landscape.size // c
    constant = _null_vectors(slopes.reshape(len(slopes), c, sites).sum(axis=2) / np.sqrt(sites))
    return np.repeat(constant, sites, axis=1) / np.sqrt(sites)


def _rays(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors of both signs, (rays, n)."""
    c, shape = len(landscape.program.components), landscape.shape
    sites = landscape.size // c
    grid = np.indices(shape).reshape(len(shape), -1)
    first, last = np.zeros((2, sites))
    first[0] = last[-1] = 1.0
    profiles = [np.ones(sites), (-1.0) ** grid.sum(axis=0), first]
    if sites > 1:
        profiles.append(first - last)
        profiles += [np.cos(2 * np.pi * x / extent) for x, extent in zip(grid, shape, strict=True)]
    internal = np.concatenate([np.eye(c), _combinations(c), rng.normal(size=(8, c))])
    if landscape.size > _DETERMINANTS and landscape.program.has_determinants:
        return np.concatenate([np.repeat(internal, sites, axis=1) / np.sqrt(sites)])
    rays = [np.outer(a, profile).reshape(-1) for profile in profiles for a in internal]
    rays += list(rng.normal(size=(32, landscape.size)))
    if landscape.size <= _DENSE:
        rays += list(_soft(landscape, rng))
    vectors = np.array(rays)
    size = np.linalg.norm(vectors, axis=1)
    vectors = vectors[size > 1e-12] / size[size > 1e-12, None]
    return np.concatenate([vectors, -vectors])


def _combinations(c: int) -> np.ndarray:
    """e_a ± e_b, for up to eight components."""
    pairs = [(a, b) for a in range(min(c, 8)) for b in range(a)]
    rows = np.zeros((2 * len(pairs), c))
    for i, (a, b) in enumerate(pairs):
        rows[2 * i, [a, b]] = 1.0
        rows[2 * i + 1, [a, b]] = 1.0, -1.0
    return rows


def _soft(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """The softest directions of the mean Hessian at random points, (k, n)."""
    n, step = landscape.size, 1e-3
    points = rng.normal(size=(2, n))
    total = np.zeros((n, n))
    for point in points:
        slopes = landscape.slopes(np.concatenate([point + step * np.eye(n), point - step * np.eye(n)]))[1]
        total += (slopes[:n] - slopes[n:]) / (2 * step)
    return np.linalg.eigh((total + total.T) / 2)[1][:, :4].T


def _tube_power(
    landscape: Landscape, v: np.ndarray, beside: np.ndarray, rng: np.random.Generator
) -> float | None:
    """dE/d log t between the two largest distances, for the tube around a ray; None if it cannot be told."""
    n = landscape.size
    if n == 1:
        across = np.zeros((0, 1))
    elif n <= _ACROSS:
        across = np.linalg.svd(v[None], full_matrices=True)[2][1:]
    else:
        drawn = rng.normal(size=(_ACROSS, n))
        drawn -= np.outer(drawn @ v, v)
        across = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    energies = []
    for t in (1e3, 1e5):
        # a periodic S is averaged over
        shifts = t * (1 + 0.1 * rng.uniform(size=16))
        offset = beside[np.argmin(landscape.values(t * v + beside))]
        height = landscape.values(shifts[:, None] * v + offset).mean()
        if not np.isfinite(height):
            return None
        log_width = 0.0
        if len(across):
            width = np.minimum(landscape.sections(t * v + offset, across).width, t)
            log_width = float(np.log(width).mean()) * (n - 1)
        energies.append(height - log_width)
    return float((energies[1] - energies[0]) / np.log(100))


def _divergence(landscape: Landscape, v: np.ndarray, kind: Literal["flat", "unbounded"]) -> Divergence:
    if kind == "flat" and v[np.argmax(np.abs(v))] < 0:
        v = -v
    return Divergence(landscape.fields(v[None])[0], kind, _name(landscape, v))


def _name(landscape: Landscape, v: np.ndarray) -> str:
    """What a direction is, in words."""
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
