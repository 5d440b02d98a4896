"""Discrete maps of the components: candidates of all searches, proved and put together as a group."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd

import sympy as sp

from ...exact import floats
from ...groups.element import Element
from ...groups.finite import FiniteGroup
from ..invariance import Verdict
from .matrix_group import MatrixGroup
from .names import group_name
from .plane_rotations import plane_candidates, plane_map, plane_reflection, turns, unturned_planes
from .point_sets import point_candidates
from .result import InternalGroup, LieAlgebra
from .search import ENUMERATED, Matrix, Search, indispensable
from .signed_permutations import (
    all_are_listed,
    coloured_graph,
    is_signed,
    listed_signed_permutations,
    matrix_of,
    order_of_all,
    signed_permutations,
)

_REDUCED = 8  # up to so many generators, those that the others generate are removed
_PLANES = 10  # coordinate planes that are searched in a non-polynomial action
_HIGHEST_TURN = 12  # rotations by 2π/n that are tried when no charge tells which n to try


def internal_group(search: Search, algebra: LieAlgebra) -> InternalGroup:
    """The group that all proved candidates generate."""
    n = search.size
    signed_order: int | None = None
    candidates: list[Matrix]
    if search.polynomial is not None:
        images, signed_order = signed_permutations(coloured_graph(search.polynomial, search.numbers), n)
        candidates = [matrix_of(image) for image in images]
        # all signed permutations are known already
        candidates += [m for m in plane_candidates(search, search.polynomial, algebra) if not is_signed(m)]
        if not search.polynomial.independent:
            search.limits.append(
                "products of sums or functions of parameters: discrete maps may have been missed"
            )
        if n > 2 and algebra.dimension < n * (n - 1) // 2:
            search.limits.append(
                "discrete maps of more than two components are found if they are signed permutations, "
                "rotate or reflect one coordinate plane, or rotate complex fields by phases"
            )
    else:
        candidates = _tried(search, algebra)
    exact: list[Verdict] = []
    undecided: list[Verdict] = []
    known = MatrixGroup(n)
    for candidate in candidates:
        matrix = floats(candidate)
        if matrix in known:
            continue
        verdict = search.judge(search.element(candidate))
        if verdict.status == "undecided":
            undecided.append(verdict)
        elif verdict.status == "exact" and not known.add(matrix):
            search.limits.append("maps that generate an infinite group with the others were left out")
        elif verdict.status == "exact":
            exact.append(verdict)
    order = known.order
    if len(exact) <= _REDUCED:
        exact = indispensable(
            exact, lambda some: MatrixGroup(n, [floats(v.generator.matrix) for v in some]).order
        )
    generators = tuple(v.generator for v in exact)
    group = _enumerate(search, generators) if order <= ENUMERATED else None
    if signed_order is None and group is not None:
        signed_order = sum(is_signed(g.matrix) for g in group.elements)
    name = group_name(group) if group else f"a group of order {order}"
    if order == order_of_all(n) == signed_order and n > 2:
        name = f"B{n}"
    return InternalGroup(generators, tuple(exact), order, group, signed_order, name, tuple(undecided))


def _tried(search: Search, algebra: LieAlgebra) -> list[Matrix]:
    """Generators of the maps, out of finite lists, that leave a non-polynomial action unchanged."""
    n = search.size
    listed: list[Matrix] = [*point_candidates(search), *listed_signed_permutations(n)]
    planes = unturned_planes(n, algebra)
    for plane in planes[:_PLANES]:
        for m in range(3, _HIGHEST_TURN + 1):
            listed.append(plane_map(n, [plane], [turns(Fraction(1, m))]))
            for k in range(1, m):
                if gcd(k, m) == 1:
                    angle = turns(Fraction(k, m))
                    listed.append(plane_reflection(n, plane, sp.cos(angle), sp.sin(angle)))
    extent = "all" if all_are_listed(n) else "elementary"
    some = "" if len(planes) <= _PLANES else f"the first {_PLANES} "
    search.limits.append(
        f"the action is not a polynomial: discrete maps were looked for among {extent} signed permutations, "
        f"turns by 2π/m with m ≤ {_HIGHEST_TURN} and reflections in {some}coordinate planes, "
        "and maps of the points of a log-sum-exp"
    )
    chosen: list[Matrix] = []
    known = MatrixGroup(n)
    for matrix in listed:
        values = floats(matrix)
        if values not in known and search.unchanged(values) and known.add(values):
            chosen.append(matrix)
    return chosen


def _enumerate(search: Search, generators: Sequence[Element]) -> FiniteGroup[Element]:
    return FiniteGroup(
        Element.identity(search.size, search.lattice),
        generators,
        lambda a, b: search.element(a.matrix * b.matrix, a.sites @ b.sites),
        bound=ENUMERATED,
        name=f"internal symmetries of {search.theory.name}",
    )
