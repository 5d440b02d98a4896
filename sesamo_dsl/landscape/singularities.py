"""Places at a finite distance where S falls to −∞ too fast for exp(−S) to be integrable.

Denominators, arguments of logarithms and poles of the tangent are in the program, and their zeros are found
by Newton steps from many starts. Near a zero S = c log r + …, r the distance along a generic direction; the
integral is infinite where c is no less than the codimension of the singular set: the number of directions
that slopes near it span, or the number of variables if the set is not seen to go on along the others.

Missed are zeros that no start leads to, of a seventh argument, and of actions that are not sums over sites of
local densities and have more than ``_LARGEST`` variables; on lattices all sites are looked at together, and
the first alone.
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

_ARGUMENTS = 6  # that are looked at
_SITES = 3  # along each axis of a lattice; singularities of local densities are local
_LARGEST = 64  # real variables
_SCALES = np.array([0.1, 1.0, 1.0, 3.0, 10.0, 100.0])
_STARTS, _ITERATIONS = 8, 40  # starts of each scale
_ZERO = 1e-9  # of the typical size of an argument
_PLACES = 8  # zeros of one argument that are looked at
_RADII = np.logspace(-12, -4, 9)
_PRECISION = 1e-4  # of the power that decides
_RANK = 1e-2  # of the largest singular value
_FIRST = "FIRST_SITE"


def singular_place(
    landscape: Landscape, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Landscape] | None:
    """A place near which exp(−S) is not integrable, a unit vector from it, (n,), and the lattice of both."""
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
    """What S has no value at the zeros of: a value, and whether its cosine is meant."""
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
    """Different zeros of a square that Newton steps lead to; their order may be 1, 2 or 4."""
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
    """A unit vector along which exp(−S) grows too fast towards a place, None if it is integrable."""
    seen = _power(landscape, place, rng)
    if seen is None:
        return None
    power, u, normal, tangent = seen
    if power >= landscape.size - _PRECISION:
        return u
    if power < normal - _PRECISION:
        return None
    # the set has to go on: x² + y⁴ has the slopes of a line, and is zero at a point
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
    """c, a direction that has it, how many directions slopes span, and those they do not; None if unknown.

    c is the largest that a quarter of the directions reach: S may fall on one side alone.
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
