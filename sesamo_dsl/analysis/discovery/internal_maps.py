"""Discrete maps of the components: candidates of all searches, proved and put together as a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import factorial, gcd, prod

import sympy as sp

from ...groups.element import Element
from ...groups.finite import FiniteGroup
from ...symbols.exact import floats
from ..invariance import Verdict
from .centre import affine_maps
from .coloured_graph import Images
from .identical_fields import IdenticalFields, joint_planes
from .matrix_group import MatrixGroup
from .names import group_name
from .plane_rotations import (
    plane_candidates,
    plane_map,
    plane_reflection,
    turned_together,
    turns,
    unturned_planes,
)
from .point_sets import point_candidates
from .result import InternalGroup, LieAlgebra
from .search import ENUMERATED, Matrix, Search, indispensable
from .signed_permutations import (
    all_are_listed,
    graph_of,
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
    images, signed_order = signed_permutations(search, graph_of(search))
    fields = IdenticalFields(search, images)
    exact: list[Verdict] = []
    undecided: list[Verdict] = []
    known, infinite = MatrixGroup(n), False
    tried = MatrixGroup(n)  # with what is undecided, of which one representative is enough
    for candidate in _candidates(search, algebra, [*fields.exchanges, *fields.rest]):
        if search.expired("further discrete maps"):
            signed_order = None
            break
        matrix = floats(candidate)
        if matrix in tried or not search.unchanged(matrix):
            continue
        verdict = search.check_invariance(search.element(candidate))
        if verdict.status != "broken":
            tried.add(matrix)
        if verdict.status == "undecided":
            undecided.append(verdict)
        elif verdict.status == "exact" and not known.add(matrix):
            infinite = True
        elif verdict.status == "exact":
            exact.append(verdict)
    if infinite:
        search.limits.append("maps that generate an infinite group with the others were left out")
    order, found = known.order, tuple(exact)
    if len(exact) <= _REDUCED and order <= ENUMERATED:
        exact = indispensable(
            exact, lambda some: MatrixGroup(n, [floats(v.generator.matrix) for v in some]).order
        )
    generators = tuple(v.generator for v in exact)
    group = _enumerate(search, generators) if order <= ENUMERATED else None
    exchanges = {matrix_of(g) for g in fields.exchanges}
    identical = fields.sets if exchanges <= {v.generator.matrix for v in found} else ()
    if group is not None:
        signed_order = sum(is_signed(g.matrix) for g in group.elements)
    elif signed_order != order and not _complete(search):
        signed_order = None
    name = group_name(group) if group else f"a group of order {order}"
    if order == order_of_all(n) == signed_order and n > 2:
        name = f"B{n}"
    elif fields.direct and identical and max(map(len, identical)) > 2:
        rest = [v.generator for v in found if v.generator.matrix not in exchanges]
        name = _product_name(search, [len(some) for some in identical], rest, order) or name
    affine = affine_maps(search)
    return InternalGroup(
        generators,
        tuple(exact),
        order,
        group,
        signed_order,
        name,
        tuple(undecided),
        tuple(affine),
        identical,
        fields.direct,
    )


def _complete(search: Search) -> bool:
    """Whether the graph shows all signed permutations, not only those that show in the form of the action."""
    return search.polynomial is not None and search.polynomial.independent


def _candidates(search: Search, algebra: LieAlgebra, signed: Sequence[Images]) -> Iterator[Matrix]:
    """Matrices to be tried, those of the graph first; what is not among them is a limit."""
    n = search.size
    yield from map(matrix_of, signed)
    if search.polynomial is not None:
        # all signed permutations are known already
        yield from (m for m in plane_candidates(search, search.polynomial, algebra) if not is_signed(m))
        if not search.polynomial.independent:
            search.limits.append(
                "products of sums or functions of parameters: discrete maps may have been missed"
            )
        if n > 2 and algebra.dimension < n * (n - 1) // 2:
            search.limits.append(
                "discrete maps of more than two components are found if they are signed permutations, rotate "
                "or reflect one coordinate plane or the same one of all fields, or rotate complex fields by "
                "phases"
            )
    else:
        yield from point_candidates(search)
        if all_are_listed(n):
            yield from listed_signed_permutations(n)
    yield from _turned_planes(search, algebra)


def _turned_planes(search: Search, algebra: LieAlgebra) -> Iterator[Matrix]:
    """Turns and reflections of planes by fractions of a turn, of all fields at once and one by one."""
    n = search.size
    single = [] if search.polynomial is not None else unturned_planes(n, algebra)
    # where all angles are symmetries, a turn tells nothing, nor does a second reflection
    joint = [planes for planes in joint_planes(search) if not turned_together(n, planes, algebra)]
    planes = [*joint, *([plane] for plane in single[:_PLANES])]
    for plane in planes:
        for m in range(3, _HIGHEST_TURN + 1):
            yield plane_map(n, plane, [turns(Fraction(1, m))] * len(plane))
            for k in range(1, m):
                if gcd(k, m) == 1:
                    angle = turns(Fraction(k, m))
                    yield plane_reflection(n, plane, sp.cos(angle), sp.sin(angle))
    if search.polynomial is None:
        form = "" if all_are_listed(n) else " that show in the form of the action"
        some = "" if len(single) <= _PLANES else f"the first {_PLANES} "
        search.limits.append(
            f"the action is not a polynomial: discrete maps were looked for among signed permutations{form}, "
            f"turns by 2π/m with m ≤ {_HIGHEST_TURN} and reflections in {some}coordinate planes, of one "
            "field or all fields at once, and maps of the points of a log-sum-exp"
        )


def _product_name(search: Search, sizes: Sequence[int], rest: Sequence[Element], order: int) -> str | None:
    """S_m × … for fields that can be permuted in any way and other maps that act on all of them alike."""
    factors = [f"S{m}" for m in sizes]
    other = order // prod(map(factorial, sizes))
    if other > ENUMERATED:
        return None
    if other > 1:
        group = _enumerate(search, rest)
        if group.order != other:
            return None
        name = group_name(group)
        factors.append(f"({name})" if "×" in name else name)
    return " × ".join(factors)


def _enumerate(search: Search, generators: Sequence[Element]) -> FiniteGroup[Element]:
    return FiniteGroup(
        Element.identity(search.size, search.lattice),
        generators,
        lambda a, b: search.element(a.matrix * b.matrix, a.sites @ b.sites),
        bound=ENUMERATED,
        name=f"internal symmetries of {search.theory.name}",
    )
