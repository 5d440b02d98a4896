"""Directions in which S may not grow: flat directions, soft directions far out, and simple patterns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .landscape import Landscape

DENSE = 256
"""Number of real variables up to which all directions are searched, not patterns alone."""
_DETERMINANTS = 64  # real variables above which only constant fields are tried where S has determinants
_BLIND = 1e-9  # of the largest slope: v·∂S below it counts as zero
_SOFT = 1e-3  # of the largest slope: directions with weaker slopes are searched by themselves
_SCALES = (1e4, 1e8)  # of the configurations at which soft directions are searched
_FEW = 64  # number of real variables up to which all of these scales are taken
_KEPT = 8  # directions of a soft subspace


def unseen(landscape: Landscape, rng: np.random.Generator) -> np.ndarray | None:
    """A unit vector v, (n,), with v·∂S = 0 at random configurations, confirmed by values of S; else None."""
    n, c = landscape.size, len(landscape.program.components)
    count = n + 8 if n <= DENSE else 4 * c + 8
    scale = rng.choice([0.5, 1.0, 2.0], size=(count, 1))
    x = scale * rng.normal(size=(count, n))
    value, slopes = landscape.slopes(x)
    slopes = _normalised(slopes[np.isfinite(value)])
    if len(slopes) < (n if n <= DENSE else 2 * c):
        return None
    if n > DENSE:  # constant fields alone
        sites = n // c
        slopes = slopes.reshape(len(slopes), c, sites).sum(axis=2) / np.sqrt(sites)
    candidates = _null_vectors(slopes, _BLIND * np.sqrt(len(slopes)))
    if n > DENSE:
        candidates = np.repeat(candidates, n // c, axis=1) / np.sqrt(n // c)
    points = x[np.argsort(np.where(np.isfinite(value), np.abs(value), np.inf))[:8]]  # away from singularities
    before = landscape.values(points)
    for v in candidates:
        if all(_unchanged(landscape, points, before, t * v) for t in (1.0, 1e2, 1e4)):
            return v
    return None


def rays(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors v and −v along which S is followed outwards, (rays, n)."""
    c, shape = len(landscape.program.components), landscape.shape
    sites = landscape.size // c
    grid = np.indices(shape).reshape(len(shape), -1)
    first, last = np.zeros((2, sites))
    first[0] = last[-1] = 1.0
    profiles = [np.ones(sites)]
    if sites > 1:
        profiles += [(-1.0) ** grid.sum(axis=0), first, first - last]
        profiles += [np.cos(2 * np.pi * x / extent) for x, extent in zip(grid, shape, strict=True)]
    internal = np.concatenate(
        [np.eye(c), _combinations(c), rng.normal(size=(8, c)), soft_fields(landscape, rng)]
    )
    if landscape.size > _DETERMINANTS and landscape.program.has_determinants:
        profiles = profiles[:1]
    vectors = [np.outer(a, profile).reshape(1, -1) for profile in profiles for a in internal]
    if landscape.size <= _DETERMINANTS or not landscape.program.has_determinants:
        vectors.append(rng.normal(size=(32, landscape.size)))
        if landscape.size <= DENSE:
            vectors += [_softest(landscape, rng), *soft_subspaces(landscape, rng)]
    vectors = np.concatenate(vectors)
    size = np.linalg.norm(vectors, axis=1)
    vectors = vectors[size > 1e-12] / size[size > 1e-12, None]
    return np.concatenate([vectors, -vectors])


def soft_subspaces(landscape: Landscape, rng: np.random.Generator) -> list[np.ndarray]:
    """Bases of nested subspaces: orthogonal to the slopes of the fastest-growing terms, the next fastest, ….

    The slope of S at a large configuration is dominated by the terms that grow fastest; at a large
    configuration in the subspace orthogonal to these slopes, by the terms that grow next fastest.
    """
    found: list[np.ndarray] = []
    for scale in _SCALES if landscape.size <= _FEW else _SCALES[1:]:
        basis = np.eye(landscape.size)
        while len(basis) > 1:
            x = scale * rng.normal(size=(len(basis) + 8, len(basis))) @ basis
            value, slopes = landscape.slopes(x)
            slopes = _normalised(slopes[np.isfinite(value)] @ basis.T)
            if len(slopes) < len(basis):
                break
            null = _null_vectors(slopes, _SOFT * np.sqrt(len(slopes)))
            if len(null) in (0, len(basis)):
                break
            basis = null @ basis
            mixed = rng.normal(size=(2, len(basis))) @ basis
            found.append(np.concatenate([basis[:_KEPT], mixed]))
    return found


def soft_fields(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """The soft subspaces of constant fields, (k, components); empty if all directions are searched anyway."""
    c = len(landscape.program.components)
    if landscape.size <= DENSE or c == 1:
        return np.zeros((0, c))
    return np.concatenate([np.zeros((0, c)), *soft_subspaces(constant_fields(landscape), rng)])


def constant_fields(landscape: Landscape) -> Landscape:
    """The landscape of constant fields, on a single site if S is a sum over sites of local densities."""
    program = landscape.program
    extensive = program.functions["action"].is_extensive
    shape = (1,) * len(landscape.shape) if extensive else landscape.shape
    return replace(landscape, shape=shape, uniform=True)


def _unchanged(landscape: Landscape, points: np.ndarray, before: np.ndarray, step: np.ndarray) -> bool:
    """Whether S is the same, up to rounding, when all points are moved."""
    after = landscape.values(points + step)
    rounding = 1e-15 * np.linalg.norm(step) ** 2 * (1 + np.abs(before))
    return bool((np.abs(after - before) <= 1e-8 * (1 + np.abs(before)) + rounding).all())


def _normalised(slopes: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length; zero rows stay, rows that are not finite are left out."""
    largest = np.abs(slopes).max(axis=1, keepdims=True, initial=0.0)  # squares might overflow
    with np.errstate(all="ignore"):
        slopes = np.where(largest > 0, slopes / largest, 0.0)
    size = np.linalg.norm(slopes, axis=1, keepdims=True)
    rows = slopes / np.where(size > 0, size, 1.0)
    return rows[np.isfinite(rows).all(axis=1)]


def _null_vectors(slopes: np.ndarray, threshold: float) -> np.ndarray:
    """Unit vectors orthogonal to all slopes, which are of unit length, (k, n)."""
    _, values, vectors = np.linalg.svd(slopes)
    full = np.zeros(len(vectors))
    full[: len(values)] = values
    return vectors[full <= threshold]


def _combinations(c: int) -> np.ndarray:
    """e_a ± e_b, for up to eight components."""
    pairs = [(a, b) for a in range(min(c, 8)) for b in range(a)]
    rows = np.zeros((2 * len(pairs), c))
    for i, (a, b) in enumerate(pairs):
        rows[2 * i, [a, b]] = 1.0
        rows[2 * i + 1, [a, b]] = 1.0, -1.0
    return rows


def _softest(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """The softest directions of the mean Hessian at random points, (k, n); none where it overflows."""
    n, step = landscape.size, 1e-3
    total = np.zeros((n, n))
    for point in rng.normal(size=(2, n)):
        slopes = landscape.slopes(np.concatenate([point + step * np.eye(n), point - step * np.eye(n)]))[1]
        with np.errstate(all="ignore"):
            total += (slopes[:n] - slopes[n:]) / (2 * step)
    with np.errstate(all="ignore"):
        total = total / np.abs(total).max() + total.T / np.abs(total).max()
    if not np.isfinite(total).all():
        return np.zeros((0, n))
    return np.linalg.eigh(total)[1][:, :4].T
