"""Configurations at a finite distance where S falls to −∞ too fast for exp(−S) to be integrable.

S can be singular at zeros of denominators, of arguments of logarithms and of cos in tangents. Newton steps
from many starts find them. Near a zero exp(−S) ∝ r^(−c), r the distance along a generic direction; the
integral is infinite if c is at least the codimension of the singular set. The codimension is the number of
directions that slopes near the zero span, or the number of variables unless the set is found to continue
along the other directions.

Missed are zeros that no start leads to, zeros of arguments beyond the first ``_ARGUMENTS``, and zeros of
actions with more than ``_LARGEST`` variables that are not sums of local densities. On lattices the arguments
are squared and summed over all sites, or taken at the first site alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..ir.builder import Builder
from ..ir.gradient import with_gradient
from ..ir.program import Function
from ..ir.value import Kind
from .landscape import Landscape
from .tails import known

_ARGUMENTS = 6  # most arguments whose zeros are searched
_SITES = 3  # along each axis of a lattice; singularities of local densities are local
_LARGEST = 64  # most real variables
_SCALES = np.array([0.1, 1.0, 1.0, 3.0, 10.0, 100.0])
_STARTS, _ITERATIONS = 8, 40  # starts of each scale
_ZERO = 1e-9  # of the typical size of an argument
_PLACES = 8  # most zeros of one argument that are examined
_RADII = np.logspace(-12, -4, 9)
_PRECISION = 1e-4  # tolerance of the power c
_RANK = 1e-2  # of the largest singular value: smaller ones count as zero
_FIRST = "FIRST_SITE"


def singular_place(
    landscape: Landscape, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Landscape] | None:
    """(x, u, landscape): exp(−S) is not integrable near x, approached along u, (n,) each; else None."""
    function = landscape.program.functions["action"]
    arguments = _arguments(function)
    if not arguments:
        return None
    if function.is_extensive:
        shape = tuple(min(extent, _SITES) for extent in landscape.shape)
        landscape = Landscape(landscape.program, landscape.parameters, shape)
    if landscape.size > _LARGEST:
        return None
    for argument in arguments[:_ARGUMENTS]:
        for squared in _squares(landscape, function, *argument):
            scales = np.repeat(_SCALES, _STARTS)[:, None]
            starts = scales * rng.normal(size=(len(scales), landscape.size))
            for place in _zeros(squared, starts)[:_PLACES]:
                u = _diverging(landscape, squared, place, rng)
                if u is not None:
                    return place, u, landscape
    return None


def _arguments(function: Function) -> list[tuple[int, bool]]:
    """(value, cosine): S may be singular where the value, or its cosine if ``cosine``, vanishes."""
    varying: set[int] = set()
    found: dict[tuple[int, bool], None] = {}
    for index, op in enumerate(function.ops):
        if op.name == "input" or varying & set(op.args):
            varying.add(index)
        for position, name in ((1, "div"), (0, "log"), (0, "tan")):
            if op.name == name and op.args[position] in varying:
                found[op.args[position], name == "tan"] = None
    return list(found)


def _squares(landscape: Landscape, function: Function, value: int, cosine: bool) -> Iterator[Landscape]:
    """The square of an argument as a landscape: summed over all sites, and at the first site alone."""
    program = landscape.program
    first = np.zeros(landscape.shape)
    first.reshape(-1)[0] = 1.0
    for alone in (False, True) if first.size > 1 else (False,):
        b = Builder("action", function.doc, function.inputs, function.parameters)
        root = b.extend(function)[value]
        root = b.apply("cos", root) if cosine else root
        root = b.mul(root, root)
        if b.kind(root) is Kind.SITE:
            root = b.site_sum(b.mul(root, b.site_constant(_FIRST)) if alone else root)
        elif alone:
            return
        action = b.finish(action=root)
        slope = with_gradient(action, "action", len(program.components), "action_and_gradient", function.doc)
        functions = {"action": action, "action_and_gradient": slope}
        yield Landscape(
            replace(program, functions=functions, constants={**program.constants, _FIRST: first}),
            landscape.parameters,
            landscape.shape,
        )


def _zeros(squared: Landscape, starts: np.ndarray) -> np.ndarray:
    """Different zeros of a squared argument, by Newton steps that allow for zeros of order 1, 2 and 4."""
    x = starts
    value, slope = squared.slopes(x)
    typical = np.median(value[np.isfinite(value)]) if np.isfinite(value).any() else 0.0
    with np.errstate(all="ignore"):
        for _ in range(_ITERATIONS):
            step = value[:, None] * slope / (slope**2).sum(axis=1, keepdims=True)
            step = np.where(np.isfinite(step), step, 0.0)
            trials = [(x, value, slope)]
            for order in (1, 2, 4):
                trial = x - order * step
                trials.append((trial, *squared.slopes(trial)))
            best = np.argmin([t[1] for t in trials], axis=0)
            x, value, slope = (np.array([t[i] for t in trials])[best, np.arange(len(x))] for i in range(3))
    x = x[np.sqrt(value) <= _ZERO * np.sqrt(typical)]
    kept: list[np.ndarray] = []
    for point in x:
        if all(np.linalg.norm(point - other) > 1e-3 for other in kept):
            kept.append(point)
    return np.array(kept).reshape(-1, squared.size)


def _diverging(
    landscape: Landscape, squared: Landscape, place: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """A unit vector along which exp(−S) grows too fast towards the zero, None if it is integrable."""
    seen = _power(landscape, place, rng)
    if seen is None:
        return None
    power, u, normal, tangent = seen
    if power >= landscape.size - _PRECISION:
        return u
    if power < normal - _PRECISION:
        return None
    # the zero set has to continue along the tangent: x² + y⁴ has the slopes of a line but one zero
    step = 1e-2 * max(1.0, np.abs(place).max())
    moved = rng.normal(size=(4, len(tangent))) @ tangent
    moved *= step / np.linalg.norm(moved, axis=1, keepdims=True)
    for other in _zeros(squared, place + moved):
        again = _power(landscape, other, rng)
        if np.linalg.norm(other - place) < step / 2 or again is None:
            continue
        if again[2] == normal and again[0] >= normal - _PRECISION:
            return u
    return None


def _power(
    landscape: Landscape, place: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray, int, np.ndarray] | None:
    """(c, u, rank, complement) with exp(−S) ∝ r^(−c) near a zero; None if rounding hides c.

    c is the largest power that a quarter of the directions reach, as S may fall on one side alone; u is a
    direction with the largest power, rank the dimension of the span of the slopes.
    """
    n = landscape.size
    u = rng.normal(size=(n + 8, n))
    u = np.array([[1.0], [-1.0]]) if n == 1 else u / np.linalg.norm(u, axis=1, keepdims=True)
    radii = max(1.0, np.abs(place).max()) * _RADII
    points = place + radii[:, None, None] * u
    value, error = (part.reshape(len(radii), len(u)) for part in known(landscape, points.reshape(-1, n)))
    certain = np.isfinite(value) & (error < _PRECISION + 1e-6 * np.abs(value))
    both = certain[:-2] & certain[2:]
    columns = np.flatnonzero(both.any(axis=0))
    if len(columns) < (len(u) + 3) // 4:
        return None
    rows = both[:, columns].argmax(axis=0)
    powers = (value[rows + 2, columns] - value[rows, columns]) / np.log(radii[2] / radii[0])
    order = np.argsort(-powers, kind="stable")
    chosen = order[: (len(u) + 3) // 4]
    slopes = landscape.slopes(points[rows, columns][chosen if n == 1 else order])[1]
    size = np.linalg.norm(slopes, axis=1, keepdims=True)
    slopes = (slopes / np.where(size > 0, size, 1.0))[np.isfinite(size[:, 0])]
    if not len(slopes):
        return None
    _, values, vectors = np.linalg.svd(slopes)
    rank = int((values > _RANK * values[0]).sum())
    return float(powers[chosen[-1]]), u[columns[chosen[0]]], rank, vectors[rank:]
