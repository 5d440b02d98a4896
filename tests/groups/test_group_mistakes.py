"""What is wrong with a declared group is said by name, with what was expected and found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp
from sympy.combinatorics import Permutation
from sympy.combinatorics import named_groups as named

import sesamo_dsl as sd
from sesamo_dsl import groups as sg
from sesamo_dsl.errors import FieldError, GroupError, LatticeError, NotClosedError
from sesamo_dsl.groups.element import Element
from sesamo_dsl.symbols.exact import NumberTable

POINT, LINE, SQUARE, THIN = sd.Lattice(1), sd.Lattice(4), sd.Lattice(4, 4), sd.Lattice(4, 2)
X = sd.VectorField("x", POINT, 5)
PHI, CHI = sd.ScalarField("phi", SQUARE), sd.ComplexField("chi", SQUARE)
PSI, V = sd.ComplexField("psi", SQUARE), sd.VectorField("v", SQUARE, 3)
GLIDE = sg.translation(SQUARE, 0) @ sg.reflection(SQUARE, 1)

Z3 = sg.Cyclic(3, X[0], X[1])
OTHER = sd.ScalarField("phi", sd.Lattice(8, 4))


def dihedral(n: int) -> sg.FiniteGroup[Element]:
    return sg.Dihedral(n, CHI).group(CHI.components, NumberTable())


def _still() -> sd.Theory:
    identity = sg.FromMatrices("still", [[[1]]], PHI.components)
    return sd.Theory("still", fields=[PHI], action=SQUARE.sum(PHI**2), symmetries=[identity])


MISTAKES: dict[str, tuple[Callable[[], Any], type[sd.SesamoError], str]] = {
    "rotation of 8×4": (
        lambda: sg.rotation(sd.Lattice(8, 4), 0, 1),
        LatticeError,
        "extent 8 .* extent 4",
    ),
    "exchange of 8×4": (
        lambda: sg.axis_exchange(sd.Lattice(8, 4), 0, 1),
        LatticeError,
        "same extent",
    ),
    "rotation of one axis": (lambda: sg.rotation(SQUARE, 1, 1), LatticeError, "two different axes"),
    "axis 2 of a square": (lambda: sg.reflection(SQUARE, 2), LatticeError, "one of"),
    "axis by name": (lambda: sg.translation(SQUARE, "t"), LatticeError, "one of"),
    "half a step": (lambda: sg.translation(SQUARE, 0, 0.5), LatticeError, "integer"),
    "a shape": (lambda: sg.translation((4, 4), 0), LatticeError, "a Lattice"),
    "translations of a shape": (lambda: sg.Translations((4, 4)), LatticeError, "a Lattice"),
    "point group of a field": (lambda: sg.PointGroup(PHI), LatticeError, "a Lattice"),
    "axes twice": (lambda: sg.SiteMap(SQUARE, (0, 0), (1, 1), (0, 0)), LatticeError, "permutation"),
    "missing sign": (lambda: sg.SiteMap(SQUARE, (0, 1), (1,), (0, 0)), LatticeError, "permutation"),
    "sign 2": (lambda: sg.SiteMap(SQUARE, (0, 1), (1, 2), (0, 0)), LatticeError, "same extent"),
    "no fields": (lambda: sg.Z2(), GroupError, "at least 1 component"),
    "no field": (lambda: sg.Z2("phi"), FieldError, "fields or components"),
    "a field twice": (lambda: sg.Z2(CHI, CHI.re), GroupError, "each once"),
    "fields of two lattices": (lambda: sg.Z2(PHI, OTHER), LatticeError, "on Lattice"),
    "the identity": (lambda: sd.analyse(_still()), GroupError, "no generator changes a component"),
    "order 1": (lambda: sg.Cyclic(1, CHI), GroupError, "order n ≥ 2"),
    "order 2.5": (lambda: sg.Dihedral(2.5, CHI), GroupError, "order n ≥ 2"),
    "fractional charge": (lambda: sg.Cyclic(3, CHI, charge=0.5), GroupError, "integer charge"),
    "plane of three": (lambda: sg.Dihedral(4, V), GroupError, "3 component"),
    "plane of one": (lambda: sg.Cyclic(4, CHI.re, CHI.re), GroupError, "each once"),
    "phases of a real field": (lambda: sg.Phases(4, V), FieldError, "ComplexField"),
    "permutations of one": (lambda: sg.Permutations(PHI), GroupError, "at least 2"),
    "even permutations of two": (lambda: sg.Alternating(CHI), GroupError, "at least 3"),
    "wrong degree": (lambda: sg.from_permutation_group(named.CyclicGroup(4), [V]), GroupError, "degree 4"),
    "a permutation": (
        lambda: sg.from_permutation_group(Permutation([1, 0]), [CHI]),
        GroupError,
        "PermutationGroup",
    ),
    "matrix of another size": (lambda: sg.FromMatrices("m", [sp.eye(2)], V), GroupError, "3×3"),
    "no matrix": (lambda: sg.FromMatrices("m", ["turn"], V), GroupError, "3×3"),
    "no matrices": (lambda: sg.FromMatrices("m", [], V), GroupError, "at least one generator"),
    "singular matrix": (
        lambda: sg.FromMatrices("m", [sp.zeros(3)], V).group(V.components, NumberTable()),
        GroupError,
        "invertible",
    ),
    "irrational rotation": (
        lambda: sg.FromMatrices(
            "m",
            [[[sp.Rational(3, 5), -sp.Rational(4, 5)], [sp.Rational(4, 5), sp.Rational(3, 5)]]],
            CHI,
            order_bound=50,
        ).group(CHI.components, NumberTable()),
        NotClosedError,
        "at most 50",
    ),
    "too large": (
        lambda: sg.Permutations(X, order_bound=100).group(X.components, NumberTable()),
        NotClosedError,
        "at most 100",
    ),
    "one group together": (lambda: sg.together(Z3), GroupError, "at least two"),
    "no group": (lambda: sg.direct_product(Z3, "Z2"), GroupError, "at least two"),
    "out of step": (
        lambda: sg.together(sg.Cyclic(4, CHI), sg.Dihedral(4, PSI)),
        GroupError,
        "same number",
    ),
    "together on one field": (
        lambda: sg.together(sg.Cyclic(4, CHI), sg.Z2(CHI.im)),
        GroupError,
        "chi_im",
    ),
    "together on two lattices": (
        lambda: sg.together(sg.Z2(PHI), sg.Z2(X[0])),
        LatticeError,
        "on Lattice",
    ),
    "together with two maps": (
        lambda: sg.together(sg.Symmetry("a", [GLIDE]), sg.Symmetry("b", [GLIDE.inverse])),
        GroupError,
        "one map",
    ),
    "not commuting": (
        lambda: sg.direct_product(sg.Cyclic(3, CHI), sg.Z2(CHI.im)),
        GroupError,
        "commute",
    ),
    "common element": (
        lambda: sg.direct_product(sg.Cyclic(4, CHI), sg.Z2(CHI)),
        GroupError,
        "only the identity",
    ),
    "common with a product": (
        lambda: sg.direct_product(sg.Z2(V[0]), sg.Z2(V[1]), sg.Z2(V[0], V[1])),
        GroupError,
        "only the identity",
    ),
    "not normal": (
        lambda: sg.semidirect_product(sg.Z2(CHI.im), sg.Cyclic(8, CHI)),
        GroupError,
        "a∘n∘a⁻¹",
    ),
    "semidirect overlap": (
        lambda: sg.semidirect_product(sg.Cyclic(4, CHI), sg.Z2(CHI)),
        GroupError,
        "only the identity",
    ),
    "unknown use": (lambda: sg.Z2(PHI, use="ignore"), GroupError, "use="),
    "a strategy as use": (lambda: sg.Z2(PHI, use="canonicalize"), GroupError, "strategy='canonicalize'"),
    "bound 0": (lambda: sg.Z2(PHI, order_bound=0), GroupError, "order_bound"),
    "a bare mapping": (lambda: sg.Symmetry("s", {PHI: -PHI}), GroupError, "a list of"),
    "a bare map": (lambda: sg.Symmetry("s", GLIDE), GroupError, "a list of"),
    "a string": (lambda: sg.Symmetry("s", ["phi"]), GroupError, "a list of"),
    "a name for a component": (lambda: sg.Symmetry("s", [{"phi": -PHI}]), GroupError, "a list of"),
    "generator of a string": (
        lambda: sg.Symmetry("s", [sg.Generator({PHI: -PHI}, "x+1")]),
        GroupError,
        "a list of",
    ),
    "map of another lattice": (
        lambda: sg.Symmetry("s", [sg.translation(LINE, 0)]).group([PHI], NumberTable()),
        LatticeError,
        "on Lattice",
    ),
    "shift in a substitution": (
        lambda: sg.Symmetry("s", [{PHI: PHI.shift(0)}]).group([PHI], NumberTable()),
        GroupError,
        "same site",
    ),
    "shift in a product": (
        lambda: sg.direct_product(sg.Symmetry("s", [{PHI: PHI.shift(0)}]), sg.Z2(CHI)),
        GroupError,
        "same site",
    ),
    "quotient by a set": (lambda: dihedral(4).quotient([0, 1]), GroupError, "normal subgroup"),
    "quotient by a mirror": (
        lambda: dihedral(3).quotient(dihedral(3).subgroup([2])),
        GroupError,
        "normal subgroup",
    ),
    "quotient by index 99": (
        lambda: dihedral(4).quotient([99]),
        GroupError,
        "indices from 0 to 7",
    ),
    "empty product": (lambda: sg.ProductGroup([]), GroupError, "at least one"),
    "product of symmetries": (lambda: sg.ProductGroup([Z3]), GroupError, "FiniteGroup"),
    "element of another product": (
        lambda: sg.ProductGroup([Z3.group(X[:2], NumberTable())]).index((0, 1)),
        GroupError,
        "1 indices",
    ),
    "part out of range": (
        lambda: sg.ProductGroup([Z3.group(X[:2], NumberTable())]).inverse((3,)),
        GroupError,
        "below the order",
    ),
    "index out of range": (
        lambda: sg.ProductGroup([Z3.group(X[:2], NumberTable())]).element(3),
        GroupError,
        "0 to 2",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_explained(name: str) -> None:
    mistake, error, explanation = MISTAKES[name]
    with pytest.raises(error, match=explanation) as caught:
        mistake()
    assert type(caught.value) is error
    assert caught.value.subject
    assert caught.value.remedy


ROW = sd.Lattice(4)
FOUR, SECOND, PLANE = (
    sd.VectorField("a", ROW, 4),
    sd.VectorField("b", ROW, 4),
    sd.ComplexField("phi", ROW),
)
REAL = sd.ScalarField("c", ROW)


def diagonal() -> sd.LieSymmetry:
    """SU(2) that turns two doublets together."""
    pairs = zip(sd.SU2(FOUR).generators, sd.SU2(SECOND).generators, strict=True)
    return sd.LieSymmetry("diagonal", [{**a, **b} for a, b in pairs], collective=FOUR.components)


@pytest.mark.parametrize(
    ("declare", "remedy"),
    [
        (lambda: sd.Sitewise(sd.U1(PLANE)), r"declare U1\(phi\) itself.*Sitewise\(Cyclic"),
        (lambda: sd.Sitewise(sd.SO(FOUR)), "declare SO4.*Hyperoctahedral"),
        (lambda: sd.Sitewise(sg.Translations(ROW)), "declare translations"),
        (lambda: sd.Sitewise(sg.Staggered(REAL)), "declare staggered signs of c itself"),
        (lambda: sd.Sitewise(sg.Z2(REAL, use="equivariant")), "leave use out"),
        (lambda: sd.Sitewise(sd.Sitewise(sg.Z2(REAL))), "write Sitewise"),
        (lambda: sg.direct_product(sd.SU2(FOUR), sg.Z2(SECOND)), "list it beside"),
        (lambda: sg.semidirect_product(sd.U1(PLANE), sg.Z2(PLANE.im)), "list it beside"),
        (lambda: sg.together(sd.SU2(FOUR), sd.SU2(SECOND)), "one LieSymmetry"),
        (lambda: sg.direct_product(sd.Sitewise(sg.Z2(REAL)), sg.Z2(PLANE)), r"Sitewise\(direct_product"),
    ],
)
def test_what_cannot_be_combined_says_what_to_declare(declare: Any, remedy: str) -> None:
    with pytest.raises(GroupError, match=remedy):
        declare()


def test_a_finite_group_inside_what_a_lie_group_turns() -> None:
    """SU(2) of two doublets and the sign of one, or a reflection beside U(1): the remedy works."""
    k = sd.parameters("k")
    doublets = ROW.sum(FOUR.squared + SECOND.squared**2 + k * FOUR.dot(SECOND) ** 2)
    plane = ROW.sum(PLANE.abs2 + k * PLANE.abs2**2)
    cases: list[tuple[Any, Any, Any, Any]] = [
        ([FOUR, SECOND], doublets, diagonal(), lambda **use: sg.Z2(SECOND, **use)),
        ([PLANE], plane, sd.U1(PLANE), lambda **use: sg.Z2(PLANE.im, **use)),
    ]
    for fields, action, lie, finite in cases:
        with pytest.raises(GroupError, match="use='equivariant'"):
            sd.analyse(sd.Theory("both", fields=fields, action=action, symmetries=[lie, finite()]))
        verified = finite(use="equivariant", exact=True)
        analysis = sd.analyse(sd.Theory("both", fields=fields, action=action, symmetries=[lie, verified]))
        assert analysis.status == "exact"
        assert analysis.slice_dimensions == (len(lie.collective),)


def test_lie_groups_that_overlap_say_which_order_works() -> None:
    action = ROW.sum(FOUR.squared + SECOND.squared**2)
    with pytest.raises(GroupError, match="list first the factor that turns more"):
        sd.analyse(
            sd.Theory("both", fields=[FOUR, SECOND], action=action, symmetries=[sd.SU2(SECOND), diagonal()])
        )
    analysis = sd.analyse(
        sd.Theory("both", fields=[FOUR, SECOND], action=action, symmetries=[diagonal(), sd.SU2(SECOND)])
    )
    assert analysis.status == "exact"
