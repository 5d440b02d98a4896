"""Affine maps x → c + R(x − c): signed permutations R about a point c other than the origin.

The common fixed point of a group that leaves the action unchanged can be chosen stationary. Stationary points
among the uniform fields are found by root searches from many starts. Points whose coordinates are simple
fractions are tried as centres c, and so is the mean of the points of lowest action.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import sympy as sp
from scipy.optimize import root

from ...errors import GroupError, LoweringError
from ...groups.element import Element
from ...groups.site_map import SiteMap
from ...symbols.exact import floats
from ...symbols.fields import FieldComponent
from ..evaluate import sufficient_shape
from ..invariance import Verdict
from .action_graph import GraphTooLargeError, action_graph
from .coloured_graph import automorphisms
from .search import Array, Search
from .signed_permutations import matrix_of

_COMPONENTS = 12  # largest number of components for which stationary points are searched
_STARTS = 16
_CENTRES = 6  # largest number of centres that are tried
_DENOMINATOR = 24  # largest denominator of the coordinates of a centre


def affine_maps(search: Search) -> list[Verdict]:
    """Verdicts, exact or undecided, on maps about the first centre other than 0 that has any."""
    found: list[Verdict] = []
    if search.size > _COMPONENTS:
        search.limits.append(
            f"maps about other points than 0 were not searched: over {_COMPONENTS} components"
        )
        return found
    centres = _centres(search)
    for centre in centres[:_CENTRES]:
        if search.expired("maps about other points than 0"):
            break
        for element in _about(search, centre):
            if search.unchanged(floats(element.matrix), shift=floats(element.shift_vector)[:, 0]):
                verdict = search.check_invariance(element)
                if verdict.status != "broken" and all(str(v.generator) != str(element) for v in found):
                    found.append(verdict)
        if found:
            break
    tried = min(len(centres), _CENTRES)
    search.limits.append(
        f"affine maps were searched about {tried} stationary point(s) with simple coordinates other than 0; "
        "their linear parts are signed permutations"
    )
    return found


def _about(search: Search, centre: tuple[sp.Expr, ...]) -> list[Element]:
    """Generators of the signed permutations about a centre, as maps of the unshifted fields.

    Generators that fix 0 are left out.
    """
    moved: dict[sp.Basic, sp.Basic] = {}
    index = {(c.field, c.component): a for a, c in enumerate(search.components)}
    for field in search.theory.action.atoms(FieldComponent):
        moved[field] = field + centre[index[field.field, field.component]]
    action = search.normal_form(search.theory.action.xreplace(moved))
    try:
        graph = action_graph(action, search.components, search.numbers)
    except (GraphTooLargeError, GroupError):
        return []
    column = sp.Matrix(centre)
    elements = []
    for images in automorphisms(graph, range(0, 2 * search.size, 2))[0]:
        matrix = matrix_of(images)
        shift = sp.ImmutableMatrix(column - matrix * column)
        if any(shift.flat()):
            sites = SiteMap.identity(search.lattice)
            elements.append(Element(matrix, sites, tuple(shift.flat()), angles=search.angles))
    return elements


def _centres(search: Search) -> list[tuple[sp.Expr, ...]]:
    """Uniform stationary points in simple fractions, and the mean of the lowest ones; without the origin."""
    rng = np.random.default_rng(7)
    ones = np.ones((1, *sufficient_shape(search.theory.action, search.lattice)))

    def uniform(point: Array) -> Array:
        return np.asarray(point).reshape(-1, *(1,) * search.lattice.dimension) * ones

    def gradient(point: Array) -> Array:
        return search.compiled.gradient(uniform(point))

    points: list[Array] = []
    for k in range(_STARTS):
        if search.expired("further stationary points"):
            break
        try:
            result = root(gradient, rng.normal(scale=(0.5, 2.0, 5.0)[k % 3], size=search.size), tol=1e-13)
        # how NumPy fails at a function of SymPy that it does not know depends on that function
        except (LoweringError, TypeError, ValueError, KeyError, AttributeError, NotImplementedError):
            search.limits.append(
                "the derivative cannot be evaluated: maps about other points than 0 were not searched"
            )
            return []
        scale = 1 + np.abs(result.x).max()
        residual = np.abs(gradient(result.x)).max() if np.isfinite(result.x).all() else np.inf
        if residual < 1e-8 and scale < 1e4 and not any(np.abs(p - result.x).max() < 1e-6 for p in points):
            points.append(result.x)
    if points:
        values = np.array([search.compiled.value(uniform(p)) for p in points])
        lowest = np.abs(values - values.min()) < 1e-7 * (1 + abs(values.min()))
        points.append(np.mean(np.array(points)[lowest], axis=0))
    centres = [centre for p in points if (centre := _simple(p)) is not None and any(centre)]
    return list(dict.fromkeys(centres))


def _simple(point: Array) -> tuple[sp.Expr, ...] | None:
    """The point in simple fractions; None if it is not close to one."""
    fractions = [Fraction(float(v)).limit_denominator(_DENOMINATOR) for v in point]
    if max(abs(float(f) - v) for f, v in zip(fractions, point, strict=True)) > 1e-6:
        return None
    return tuple(sp.Rational(f.numerator, f.denominator) for f in fractions)
