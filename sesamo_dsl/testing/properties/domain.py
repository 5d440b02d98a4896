"""Properties of the fundamental domain, stated on the program's functions alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..property import EPS, JACOBIAN_LIMIT, Measurement, Property, largest, modulated
from ..strategies import configurations, elements, near_walls
from ..subject import Subject

_COUNTED = 64  # group elements up to which every image is computed


def height(subject: Subject, x: np.ndarray) -> np.ndarray:
    """max_j λ_j(x), (batch,): negative inside Ω, −∞ without walls."""
    facets = subject.interpret("facets", x)[0]
    return facets.reshape(len(x), -1).max(axis=1, initial=-np.inf)


def wall_width(subject: Subject, x: np.ndarray) -> np.ndarray:
    """Distance from a wall below which rounding decides the side, (batch,)."""
    volume = subject.theory.lattice.volume
    return (
        64
        * EPS["float64"]
        * (1 + np.log2(volume + 1))
        * len(subject.theory.components)
        * (largest(x) + 1e-300)
    )


def differs(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether two group elements differ, at any block for local groups, (batch,)."""
    return np.any(np.reshape(u != v, (len(u), -1)), axis=1)


def _inverse_pair(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    y, u = subject.interpret("canonicalize", x)
    back = subject.interpret("modulate", y, u=u)[0]
    width = wall_width(subject, x)
    yield Measurement(largest(back - x), width, "modulate∘canonicalize = id")
    yield Measurement(np.clip(height(subject, y), 0, None), width, "canonicalize lands in Ω")


def _tiling(subject: Subject, example: tuple[np.ndarray, np.ndarray]) -> Iterator[Measurement]:
    x, g = example
    table, inverses = subject.analysis.group.table, subject.analysis.group.inverses
    y, u = subject.interpret("canonicalize", x)
    z, v = subject.interpret("canonicalize", subject.act(g, x))
    inside = height(subject, y) < -4 * wall_width(subject, x)  # on a wall x has several u
    distance = np.where(inside, largest(y - z), 0.0)
    yield Measurement(distance, 4 * wall_width(subject, x), "C(T_g x) = C(x)")
    yield Measurement(np.where(inside, differs(v, table[g, u]), 0), 0, "u(T_g x) = g·u(x)")
    for h in subject.some_elements(_COUNTED):
        lies = height(subject, subject.act(inverses[h], x)) <= 0
        own = ~differs(u, np.broadcast_to(h, u.shape))
        yield Measurement(np.where(inside, lies != own, 0), 0, "T_h⁻¹x lies in Ω for h = u(x) alone")


def _facets_match(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    heights, (_, u) = height(subject, x), subject.interpret("canonicalize", x)
    clear = np.abs(heights) > 4 * wall_width(subject, x)
    own = ~differs(u, np.zeros_like(u))
    yield Measurement(np.where(clear, (heights <= 0) != own, 0), 0, "λ_j(x) ≤ 0 for all j ⇔ u(x) = 1")


def _chart_pair(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    """chart and unchart are inverse; tolerance: the rounding of the distance from the wall."""
    inputs = subject.wall_inputs
    y, log_jacobian = subject.interpret("chart", x, **inputs)
    width = wall_width(subject, x) + wall_width(subject, y)
    yield Measurement(np.clip(height(subject, y), 0, None), width, "the chart lands in Ω")
    back, again = subject.interpret("unchart", y, **inputs)
    inside = height(subject, y) < -(width**0.5)
    # near a wall the inverse has the slope 1/slope of the chart, exp(−log|J|) for a single wall
    steep = np.exp(np.clip(-log_jacobian, 0, 30)) * 64
    yield Measurement(np.where(inside, largest(back - x), 0.0), width * steep, "unchart∘chart = id")
    size = steep * width * (1 + largest(x)) ** 2
    yield Measurement(np.where(inside, again - log_jacobian, 0.0), size, "one log|J| for both ways")


def _modulation_jacobian(subject: Subject, g: np.ndarray) -> Iterator[Measurement]:
    """The full matrix of y ↦ T_g y, column by column from unit vectors (the map is linear)."""
    n, shape = subject.theory.degrees_of_freedom, subject.theory.configuration_shape
    for backend in subject.backends:
        compiled = subject.compiled(backend, "float64")
        units = np.eye(n).reshape(n, *shape)
        u = np.broadcast_to(g, (n, *np.shape(g))).copy()
        columns = compiled.evaluate("modulate", units, u=u)[0].reshape(n, n)
        log_det = np.linalg.slogdet(columns)[1]
        yield Measurement(log_det, 64 * n * EPS["float64"], f"log|det DT_g| = 0 ({backend})")
        yield Measurement(n - np.linalg.matrix_rank(columns), 0, f"rank n ({backend})")


PROPERTIES = (
    Property(
        "inverse_pair", "modulate and canonicalize are inverse", configurations, _inverse_pair, modulated
    ),
    Property("tiling", "every x lies in exactly one T_u Ω", near_walls, _tiling, modulated),
    Property("facets", "the facets bound Ω", configurations, _facets_match, modulated),
    Property(
        "chart_pair",
        "chart and unchart are inverse, and the chart lands in Ω",
        lambda s: configurations(s, kinds=("constant", "normal")),
        _chart_pair,
        lambda s: "chart" in s.program.functions,
    ),
    Property(
        "modulation_jacobian",
        "T_g has full rank and log|det| = 0",
        elements,
        _modulation_jacobian,
        lambda s: s.theory.degrees_of_freedom <= JACOBIAN_LIMIT,
        5,
    ),
)
