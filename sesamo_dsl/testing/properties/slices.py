"""Properties of compact Lie groups: slices, rotations off them, and the Faddeev–Popov determinant."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ...laws.orbits import NODES, tabulated_directions, uniform_directions, von_mises_fisher
from ..property import EPS, JACOBIAN_LIMIT, Measurement, Property, action_bound, has_slices
from ..significance import RETEST, vanishing_mean
from ..strategies import configurations
from ..subject import Subject

_DRAWN = 4096  # number of orientations of the first stage


def _slice_pair(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    """rotate and unrotate are inverse, to the rounding of a rotation relative to the size of x."""
    y, *directions = subject.interpret("unrotate", x)
    named = {f"n_{i}": n for i, n in enumerate(directions)}
    back = subject.interpret("rotate", y, **named)[0]
    size = np.abs(x).max(axis=tuple(range(1, x.ndim))) * np.sqrt(subject.theory.lattice.volume)
    tolerance = 256 * EPS["float64"] * (size + 1e-300)
    # a vanishing collective vector has no orientation: rotate and unrotate are then inverse for any n
    yield Measurement(np.abs(back - x).max(axis=tuple(range(1, x.ndim))), tolerance, "rotate∘unrotate = id")
    on_slice, *auxiliary = subject.interpret("on_slice", y)
    for a in auxiliary:
        yield Measurement(np.abs(a).max(axis=1), tolerance, "unrotate lands on the slice")
    named = {f"a_{i}": a for i, a in enumerate(auxiliary)}
    again = subject.interpret("off_slice", on_slice, **named)[0]
    yield Measurement(
        np.abs(again - y).max(axis=tuple(range(1, x.ndim))), tolerance, "off_slice∘on_slice = id"
    )
    oriented = subject.interpret("orient", y)[0]
    for radius in subject.interpret("radii", oriented):
        yield Measurement(np.clip(-radius, 0, None), tolerance, "orient points forward")


def _orbit_invariance(subject: Subject, example: tuple[np.ndarray, int]) -> Iterator[Measurement]:
    """S₀ does not change under R(n); tolerance: bounds of S and S₁ at both ends, R's rounding included."""
    x, seed = example
    rng = np.random.default_rng(seed)
    named = {
        f"n_{i}": uniform_directions(rng, len(x), report.slice.dimension)
        for i, report in enumerate(subject.analysis.lie_reports)
    }
    image = subject.interpret("rotate", x, **named)[0]
    change: Any = 0.0
    tolerance: Any = 0.0
    for sign, y in ((1, image), (-1, x)):
        for function, weight in (("action", 1), ("breaking", -1)):
            if function in subject.program.functions:
                change = change + sign * weight * subject.interpret(function, y)[0]
                tolerance = tolerance + 8 * action_bound(subject, function, y, EPS["float64"])
    yield Measurement(change, tolerance, "S₀(R(n) x) = S₀(x)")


def orbit_jacobian(subject: Subject, backend: str, x: np.ndarray) -> tuple[np.ndarray, float]:
    """The Jacobian of (y on the slices, n) ↦ x at one configuration by forward-mode autodiff, and log Δ(y).

    Columns: an orthonormal basis of the slice, then orthonormal tangents of the spheres; (n, n).
    """
    compiled = subject.compiled(backend, "float64")
    n, shape = subject.theory.degrees_of_freedom, subject.theory.configuration_shape
    y, *directions = subject.interpret("unrotate", x[None])
    gauge = np.zeros((0, n))
    for report in subject.analysis.lie_reports:
        for a in report.slice.block[1:]:
            mode = np.zeros(shape)
            mode[a] = 1 / np.sqrt(subject.theory.lattice.volume)
            gauge = np.concatenate([gauge, mode.reshape(1, n)])
    slice_basis = np.linalg.svd(gauge)[2][len(gauge) :]
    inputs = [np.repeat(y, n, axis=0), *(np.repeat(d, n, axis=0) for d in directions)]
    tangents = [np.zeros_like(a) for a in inputs]
    tangents[0][: len(slice_basis)] = slice_basis.reshape(-1, *shape)
    column = len(slice_basis)
    for i, direction in enumerate(directions):
        sphere = np.linalg.svd(direction)[2][1:]
        tangents[1 + i][column : column + len(sphere)] = sphere
        column += len(sphere)
    columns = compiled.backend.derivative(compiled.module.rotate, inputs, tangents).reshape(n, n)
    return columns.T, float(subject.interpret("log_faddeev_popov", y)[0][0])


def _slice_jacobian(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    for backend in subject.backends:
        jacobian, log_determinant = orbit_jacobian(subject, backend, x[0])
        n = len(jacobian)
        yield Measurement(n - np.linalg.matrix_rank(jacobian), 0, f"rank n ({backend})")
        log_det = np.linalg.slogdet(jacobian)[1]
        tolerance = 64 * n * EPS["float64"] * (1 + abs(log_determinant)) * np.linalg.cond(jacobian) ** 0.5
        yield Measurement(log_det - log_determinant, min(tolerance, 1e-10), f"log|J| = log Δ ({backend})")


def _directions(subject: Subject, seed: int) -> Iterator[Measurement]:
    """Orientations are drawn from the stated density p(n|y), however peaked it is.

    A theory's own density may be too flat for a test: strengths κ of a source, and tables of values on the
    circle, are drawn from a wide range instead.
    """
    if subject.analysis.orbit_law == "tabulated":
        draw = partial(_within_segments, seed)
        yield vanishing_mean(draw, "positions between the nodes of the circle", width=1.0)
        return
    (report,) = subject.analysis.lie_reports
    for kappa in (0.5, 4.0, 32.0):
        draw = partial(_cosines, report.slice.dimension, kappa, seed)
        yield vanishing_mean(draw, f"⟨n·μ⟩ for κ = {kappa}", width=2.0)


def _within_segments(seed: int, stage: int) -> np.ndarray:
    """CDF between the two nodes next to each draw, minus ½, of the straight line through random values."""
    count = _DRAWN * RETEST**stage
    rng = np.random.default_rng([seed, stage])
    log_density = rng.normal(scale=3.0, size=(NODES, count))
    n = tabulated_directions(rng, log_density)
    position = np.arctan2(n[:, 1], n[:, 0]) / (2 * np.pi) * NODES % NODES
    segment = np.minimum(position.astype(int), NODES - 1)
    column, t = np.arange(count), position - segment
    left, right = (np.exp(log_density[(segment + step) % NODES, column]) for step in (0, 1))
    return (2 * left * t + (right - left) * t**2) / (left + right) - 0.5


def _cosines(dimension: int, kappa: float, seed: int, stage: int) -> np.ndarray:
    """n·μ of draws, minus its mean by quadrature over the angle, for a density ∝ exp(κ n·μ)."""
    count = _DRAWN * RETEST**stage
    mean = np.eye(dimension)[-1]
    n = von_mises_fisher(np.random.default_rng([seed, stage]), np.full(count, kappa), mean)
    angle = (np.arange(20_000) + 0.5) * np.pi / 20_000
    weight = np.exp(kappa * (np.cos(angle) - 1)) * np.sin(angle) ** (dimension - 2)
    return n @ mean - float((weight * np.cos(angle)).sum() / weight.sum())


PROPERTIES = (
    Property(
        "slice_pair",
        "rotate and unrotate, on_slice and off_slice are inverse",
        configurations,
        _slice_pair,
        has_slices,
    ),
    Property(
        "orbit_invariance",
        "S₀(R(n) x) = S₀(x)",
        lambda s: st.tuples(configurations(s), st.integers(0, 2**31)),
        _orbit_invariance,
        has_slices,
    ),
    Property(
        "directions",
        "orientations are drawn from the density that is stated",
        lambda s: st.integers(0, 2**31),
        _directions,
        lambda s: s.analysis.orbit_law in ("von_mises", "tabulated"),
        2,
    ),
    Property(
        "slice_jacobian",
        "(y, n) ↦ x has full rank and log|J| = log Δ, by autodiff",
        lambda s: configurations(s, kinds=("normal", "sector")),
        _slice_jacobian,
        lambda s: has_slices(s) and s.theory.degrees_of_freedom <= JACOBIAN_LIMIT,
        5,
    ),
)
