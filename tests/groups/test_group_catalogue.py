"""Groups by name, their products and quotients, against the axioms, SymPy and what they do to fields."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import lcm
from typing import Any

import numpy as np
import pytest
import sympy as sp
from sympy.combinatorics import Permutation, PermutationGroup
from sympy.combinatorics import named_groups as named
from sympy.combinatorics.group_constructs import DirectProduct

import sesamo_dsl as sd
from sesamo_dsl import groups as sg
from sesamo_dsl.analysis.invariance import act
from sesamo_dsl.errors import GroupError, NotFaithfulError
from sesamo_dsl.groups.element import Element
from sesamo_dsl.groups.finite import FiniteGroup
from sesamo_dsl.symbols.exact import NumberTable
from sesamo_dsl.symbols.fields import Field, FieldComponent

POINT, LINE, SQUARE, THIN = sd.Lattice(1), sd.Lattice(4), sd.Lattice(4, 4), sd.Lattice(4, 2)
X = sd.VectorField("x", POINT, 5)
PHI, CHI = sd.ScalarField("phi", SQUARE), sd.ComplexField("chi", SQUARE)
PSI = sd.ComplexField("psi", SQUARE)
V = sd.VectorField("v", SQUARE, 3)

TETRAHEDRAL = [  # T_d: two-fold and three-fold axes and a mirror
    sp.diag(-1, -1, 1),
    sp.Matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    sp.Matrix([[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
]
EVEN_SIGNS = sg.Symmetry("V4", [{X[0]: -X[0], X[1]: -X[1]}, {X[1]: -X[1], X[2]: -X[2]}])
QUARTER = sg.Generator({CHI.re: -CHI.im, CHI.im: CHI.re}, sg.rotation(SQUARE, 0, 1))
GLIDE = sg.translation(SQUARE, 0) @ sg.reflection(SQUARE, 1)


AFFINE = PermutationGroup(Permutation([1, 2, 3, 4, 0]), Permutation([0, 2, 4, 1, 3]))


def commutator_subgroup(group: FiniteGroup[Any]) -> tuple[int, ...]:
    """Sorted indices of the subgroup that all a∘b∘a⁻¹∘b⁻¹ generate; the quotient by it is abelian."""
    inverse_product = group.inverses[group.table.T]  # a⁻¹∘b⁻¹ = (b∘a)⁻¹
    return group.subgroup(int(i) for i in np.unique(group.table[group.table, inverse_product]))


def z(n: int) -> PermutationGroup:
    return named.CyclicGroup(n)


def of_sites(symmetry: sg.Symmetry) -> PermutationGroup:
    """The same site maps, written out as permutations of numbered sites."""
    generators = []
    for generator in symmetry.generators:
        assert generator.sites is not None
        g = generator.sites
        shape = g.lattice.shape
        images = []
        for site in np.ndindex(*shape):
            image = [0] * len(shape)
            for mu, s in enumerate(site):
                image[g.axes[mu]] = (g.signs[mu] * s + g.translation[g.axes[mu]]) % shape[mu]
            images.append(int(np.ravel_multi_index(image, shape)))
        generators.append(Permutation(images))
    return PermutationGroup(generators)


@dataclass(frozen=True)
class Case:
    """A symmetry, the fields it acts on, its order, and (if there is a handy one) an isomorphic group."""

    symmetry: sg.Symmetry
    fields: tuple[Field, ...]
    order: int
    isomorphic: Callable[[], PermutationGroup] | None = None


def lattice_case(symmetry: sg.Symmetry, order: int) -> Case:
    lattice = symmetry.lattice
    return Case(symmetry, (sd.ScalarField("s", lattice),), order, lambda: of_sites(symmetry))


CASES: dict[str, Case] = {
    **{f"Z{n}": Case(sg.Cyclic(n, X[0], X[1]), (X[0], X[1]), n, lambda n=n: z(n)) for n in range(2, 10)},
    **{
        f"D{n}": Case(sg.Dihedral(n, X[0], X[1]), (X[0], X[1]), 2 * n, lambda n=n: named.DihedralGroup(n))
        for n in range(3, 9)
    },
    "D2": Case(sg.Dihedral(2, X[0], X[1]), (X[0], X[1]), 4, lambda: DirectProduct(z(2), z(2))),
    "Z2 of two fields": Case(sg.Z2(CHI, PHI), (CHI, PHI), 2, lambda: z(2)),
    "S3": Case(sg.Permutations(X[0], X[1], X[2]), (X[0], X[1], X[2]), 6, lambda: named.SymmetricGroup(3)),
    "S4": Case(sg.Permutations(*X[:4]), X[:4], 24, lambda: named.SymmetricGroup(4)),
    "A3": Case(sg.Alternating(V), (V,), 3, lambda: z(3)),
    "A4": Case(sg.Alternating(*X[:4]), X[:4], 12, lambda: named.AlternatingGroup(4)),
    "A5": Case(sg.Alternating(X), (X,), 60, lambda: named.AlternatingGroup(5)),
    "B1": Case(sg.Hyperoctahedral(X[0]), (X[0],), 2, lambda: z(2)),
    "B2": Case(sg.Hyperoctahedral(X[0], X[1]), (X[0], X[1]), 8, lambda: named.DihedralGroup(4)),
    "B3": Case(sg.Hyperoctahedral(V), (V,), 48, lambda: DirectProduct(named.SymmetricGroup(4), z(2))),
    "tetrahedral": Case(sg.FromMatrices("Td", TETRAHEDRAL, V), (V,), 24, lambda: named.SymmetricGroup(4)),
    "chiral tetrahedral": Case(
        sg.FromMatrices("T", TETRAHEDRAL[:2], [V]), (V,), 12, lambda: named.AlternatingGroup(4)
    ),
    "pentagon of components": Case(
        sg.from_permutation_group(named.DihedralGroup(5), [X]), (X,), 10, lambda: named.DihedralGroup(5)
    ),
    "affine group of F5": Case(
        sg.from_permutation_group(AFFINE, [X]),
        (X,),
        20,
        lambda: AFFINE,
    ),
    "phases": Case(sg.Phases(6, CHI, 5), (CHI,), 6, lambda: z(6)),
    "phases of charge 2": Case(sg.Phases(6, CHI, 2), (CHI,), 3, lambda: z(3)),
    "phases together": Case(
        sg.together(sg.Phases(6, CHI), sg.Phases(6, PSI, 2)), (CHI, PSI), 6, lambda: z(6)
    ),
    "phases out of step": Case(
        sg.together(sg.Phases(4, CHI), sg.Phases(6, PSI)), (CHI, PSI), 12, lambda: z(12)
    ),
    "dihedral together": Case(
        sg.together(sg.Dihedral(4, CHI), sg.Dihedral(4, PSI)), (CHI, PSI), 8, lambda: named.DihedralGroup(4)
    ),
    "phase and sign, separately": Case(
        sg.direct_product(sg.Phases(6, CHI), sg.Z2(PHI)), (CHI, PHI), 12, lambda: DirectProduct(z(6), z(2))
    ),
    "three signs": Case(
        sg.direct_product(*(sg.Z2(c) for c in V)), (V,), 8, lambda: DirectProduct(z(2), z(2), z(2))
    ),
    "D3×Z4": Case(
        sg.direct_product(sg.Dihedral(3, CHI), sg.Cyclic(4, PSI)),
        (CHI, PSI),
        24,
        lambda: DirectProduct(named.DihedralGroup(3), z(4)),
    ),
    "Z8⋊Z2": Case(
        sg.semidirect_product(sg.Cyclic(8, CHI), sg.Z2(CHI.im)), (CHI,), 16, lambda: named.DihedralGroup(8)
    ),
    "V4⋊S3": Case(
        sg.semidirect_product(EVEN_SIGNS, sg.Permutations(X[0], X[1], X[2])),
        (X[0], X[1], X[2]),
        24,
        lambda: named.SymmetricGroup(4),
    ),
    "translations of a line": lattice_case(sg.Translations(LINE), 4),
    "translations of 3×3": lattice_case(sg.Translations(sd.Lattice(3, 3)), 9),
    "translations of 2×3": lattice_case(sg.Translations(sd.Lattice(2, 3)), 6),
    "translations of 1×4": lattice_case(sg.Translations(sd.Lattice(1, 4)), 4),
    "translations of a site": lattice_case(sg.Translations(POINT), 1),
    "translation by two": lattice_case(sg.Symmetry("t", [sg.translation(LINE, 0, 2)]), 2),
    "point group of 4×4": lattice_case(sg.PointGroup(SQUARE), 8),
    "point group of 3×3×3": lattice_case(sg.PointGroup(sd.Lattice(3, 3, 3)), 48),
    "point group of 4×2": lattice_case(sg.PointGroup(THIN), 2),
    "point group of 2×2": lattice_case(sg.PointGroup(sd.Lattice(2, 2)), 2),
    "point group of 4×2×4": lattice_case(sg.PointGroup(sd.Lattice(4, 2, 4)), 8),
    "point group of 5": lattice_case(sg.PointGroup(sd.Lattice(5)), 2),
    "rotations of 4×4": lattice_case(sg.Symmetry("C4", [sg.rotation(SQUARE, 0, 1)]), 4),
    "glide reflection": lattice_case(sg.Symmetry("glide", [GLIDE]), 4),
    "p4g-like": lattice_case(sg.Symmetry("pg", [GLIDE, sg.translation(SQUARE, 1)]), 16),
    "space group of 4×4": lattice_case(
        sg.semidirect_product(sg.Translations(SQUARE), sg.PointGroup(SQUARE)), 128
    ),
    "sign with a step": Case(
        sg.Symmetry("staggered", [sg.Generator({PHI: -PHI}, sg.translation(SQUARE, 0))]),
        (PHI,),
        4,
        lambda: z(4),
    ),
    "sign with a glide": Case(sg.Symmetry("g", [sg.Generator({PHI: -PHI}, GLIDE)]), (PHI,), 4, lambda: z(4)),
    "vector field turned with the lattice": Case(sg.Symmetry("spin", [QUARTER]), (CHI,), 4, lambda: z(4)),
    "vector field in the full square group": Case(
        sg.Symmetry("O(2,Z)", [QUARTER, sg.Generator({CHI.im: -CHI.im}, sg.reflection(SQUARE, 1))]),
        (CHI,),
        8,
        lambda: named.DihedralGroup(4),
    ),
    "internal × translations": Case(
        sg.direct_product(sg.Cyclic(3, CHI), sg.Translations(SQUARE)),
        (CHI,),
        48,
        lambda: DirectProduct(z(3), z(4), z(4)),
    ),
}
every_group = pytest.mark.parametrize("name", CASES)


@cache
def group_of(name: str) -> sg.FiniteGroup[Element]:
    case = CASES[name]
    return case.symmetry.group([c for f in case.fields for c in f.components], NumberTable())


def components_of(name: str) -> tuple[FieldComponent, ...]:
    return tuple(c for f in CASES[name].fields for c in f.components)


@every_group
def test_axioms(name: str) -> None:
    group = group_of(name)
    table, everything = group.table, np.arange(group.order)
    assert group.order == CASES[name].order
    assert (table[0] == everything).all()
    assert (table[:, 0] == everything).all()
    assert (np.sort(table, axis=0) == everything[:, None]).all()
    assert (np.sort(table, axis=1) == everything[None]).all()
    assert (table[table] == table[:, table]).all(), "(ab)c = a(bc)"
    assert (table[everything, group.inverses] == 0).all()
    assert group.generator_indices == tuple(group.elements.index(g) for g in group.generators)


@every_group
def test_group_acts_on_configurations(name: str) -> None:
    """T_g T_h x = T_gh x, and different elements do different things."""
    group, components = group_of(name), components_of(name)
    x = np.random.default_rng(5).normal(size=(len(components), *components[0].lattice.shape))
    images = np.array([act(g, x) for g in group.elements])
    flat = images.reshape(group.order, -1)
    apart = np.array([np.abs(flat - row).max(axis=1) for row in flat])
    assert (apart[~np.eye(group.order, dtype=bool)] > 1e-3).all()
    some = range(0, group.order, max(1, group.order // 8))
    for g, h in itertools.product(some, range(group.order)):
        assert np.allclose(act(group.elements[g], images[h]), images[group.table[g, h]], atol=1e-12)


@every_group
def test_generators_do_what_they_say(name: str) -> None:
    """(T_g φ)(g x) = R φ(x), with R and g read off the declaration and not off the element."""
    group, components = group_of(name), components_of(name)
    lattice = components[0].lattice
    x = np.random.default_rng(6).normal(size=(len(components), *lattice.shape))
    for declared, element in zip(CASES[name].symmetry.generators, group.generators, strict=True):
        image = act(element, x)
        images = [sp.lambdify(components, declared.get(c, c)) for c in components]
        g = declared.sites or sg.SiteMap.identity(lattice)
        for site in np.ndindex(*lattice.shape):
            there = [0] * lattice.dimension
            for mu, s in enumerate(site):
                there[g.axes[mu]] = (g.signs[mu] * s + g.translation[g.axes[mu]]) % lattice.shape[mu]
            local = x[(slice(None), *site)]
            assert np.allclose(image[(slice(None), *there)], [f(*local) for f in images], atol=1e-13)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.isomorphic])
def test_against_permutation_groups(name: str) -> None:
    group, isomorphic = group_of(name), CASES[name].isomorphic
    assert isomorphic is not None
    known = isomorphic()
    assert group.order == known.order()
    assert group.is_abelian == known.is_abelian
    assert Counter(group.element_orders.tolist()) == Counter(p.order() for p in known.elements)
    assert len(group.centre) == known.center().order()
    assert len(commutator_subgroup(group)) == known.derived_subgroup().order()


# Normal subgroups and quotients


@every_group
def test_centre_and_commutator_subgroup(name: str) -> None:
    group = group_of(name)
    for members in (group.centre, commutator_subgroup(group), (0,), tuple(range(group.order))):
        assert group.is_normal_subgroup(members)
        assert group.quotient(members).order * len(members) == group.order
    assert group.quotient(commutator_subgroup(group)).is_abelian
    assert group.is_abelian == (len(group.centre) == group.order) == (len(commutator_subgroup(group)) == 1)


@pytest.mark.parametrize("name", ["D6", "A4", "S4", "B3", "D3×Z4", "vector field in the full square group"])
def test_normal_subgroups_by_definition(name: str) -> None:
    group = group_of(name)
    for pair in itertools.combinations_with_replacement(range(0, group.order, max(1, group.order // 9)), 2):
        members = group.subgroup(pair)
        conjugates = {
            int(group.table[group.table[g, h], group.inverses[g]])
            for g in range(group.order)
            for h in members
        }
        assert group.is_normal_subgroup(members) == (conjugates == set(members))


@pytest.mark.parametrize(
    ("name", "normal", "isomorphic"),
    [
        ("S4", "commutators of commutators", lambda: named.SymmetricGroup(3)),
        ("D8", "centre", lambda: named.DihedralGroup(4)),
        ("B3", "centre", lambda: named.SymmetricGroup(4)),
        ("space group of 4×4", "translations", lambda: named.DihedralGroup(4)),
        ("D6", "commutators", lambda: DirectProduct(z(2), z(2))),
    ],
)
def test_quotients(name: str, normal: str, isomorphic: Callable[[], PermutationGroup]) -> None:
    group = group_of(name)
    if normal == "translations":
        members: tuple[int, ...] = tuple(
            i for i, g in enumerate(group.elements) if g.sites.axes == (0, 1) and g.sites.signs == (1, 1)
        )
    elif normal == "commutators of commutators":  # V4 in A4 in S4
        alternating = commutator_subgroup(group)
        t, inv = group.table, group.inverses
        members = group.subgroup(
            {int(t[t[a, b], t[inv[a], inv[b]]]) for a in alternating for b in alternating}
        )
    else:
        members = group.centre if normal == "centre" else commutator_subgroup(group)
    quotient, known = group.quotient(members), isomorphic()
    assert quotient.order == known.order() == group.order // len(members)
    assert Counter(quotient.element_orders.tolist()) == Counter(p.order() for p in known.elements)
    assert set(itertools.chain(*quotient.elements)) == set(range(group.order))
    for a, b in itertools.product(range(quotient.order), repeat=2):
        products = {int(group.table[i, j]) for i in quotient.elements[a] for j in quotient.elements[b]}
        assert products == set(quotient.elements[quotient.table[a, b]])


# Products


def test_product_of_eighteen_factors_is_never_enumerated() -> None:
    start = time.perf_counter()
    factor = sg.Z2(X[0]).group([X[0]], NumberTable())
    product = sg.ProductGroup([factor] * 18)
    assert product.order == 2**18
    assert product.identity == product.element(0) == (0,) * 18
    assert product.element(2**18 - 1) == (1,) * 18
    assert product.is_abelian
    assert len(product.generators) == 18
    a, b = product.element(0b101), product.element(0b011)
    assert product.index(product.compose(a, b)) == 0b110
    assert product.inverse(a) == a
    assert sg.ProductGroup([product.factors[0]] * 200).order == 2**200
    assert time.perf_counter() - start < 1.0


def test_product_group_is_the_direct_product() -> None:
    numbers = NumberTable()
    parts = [sg.Dihedral(3, CHI), sg.Cyclic(4, PSI), sg.Z2(PHI)]
    factors = [p.group(p.components, numbers) for p in parts]
    product = sg.ProductGroup(factors)
    whole = sg.direct_product(*parts).group((*CHI, *PSI, PHI), numbers)
    assert product.order == whole.order == 48
    assert not product.is_abelian
    elements = [product.element(i) for i in range(product.order)]
    assert [product.index(e) for e in elements] == list(range(product.order))
    assert Counter(
        lcm(*orders) for orders in itertools.product(*(f.element_orders.tolist() for f in factors))
    ) == Counter(whole.element_orders.tolist())
    for a in elements:
        assert product.compose(a, product.inverse(a)) == product.identity
    for a, b, c in itertools.product(elements[::7], repeat=3):
        assert product.compose(product.compose(a, b), c) == product.compose(a, product.compose(b, c))
    reached, frontier = {product.identity}, [product.identity]
    while frontier:
        frontier = list({product.compose(a, g) for a in frontier for g in product.generators} - reached)
        reached |= set(frontier)
    assert len(reached) == product.order


def test_options_of_joint_groups() -> None:
    a, b = sg.Cyclic(4, CHI, exact=True), sg.Cyclic(4, PSI, exact=True)
    assert sg.together(a, b).exact
    assert not sg.together(a, sg.Cyclic(4, PSI)).exact
    assert sg.together(a, b, exact=False).exact is False
    assert sg.together(a, b).collective is None
    chosen = sg.Z2(PHI, PSI.re, collective=[PHI])
    assert sg.direct_product(chosen, a).collective == (PHI, CHI.re, CHI.im)
    assert sg.direct_product(
        sg.Translations(sd.Lattice(8, 8)), sg.Z2(sd.ScalarField("s", sd.Lattice(8, 8)))
    ).use == ("modulate")
    assert sg.semidirect_product(sg.Translations(SQUARE), sg.PointGroup(SQUARE)).use == "equivariant"
    assert sg.together(a, b, name="both").name == "both"


# Maps of the sites


@pytest.mark.parametrize(
    "shape", [(1,), (2,), (3,), (1, 1), (2, 2), (1, 2), (4, 2), (3, 3), (2, 2, 2), (1, 3, 3)]
)
def test_equal_maps_are_equal(shape: tuple[int, ...]) -> None:
    """Site maps compare equal exactly when they move every site alike; the point group has all of them."""
    lattice = sd.Lattice(*shape)
    maps: dict[tuple[Any, ...], set[sg.SiteMap]] = {}
    for axes in itertools.permutations(range(len(shape))):
        if any(shape[a] != shape[mu] for mu, a in enumerate(axes)):
            continue
        for signs in itertools.product((1, -1), repeat=len(shape)):
            moved = []
            for site in np.ndindex(*shape):
                image = [0] * len(shape)
                for mu, s in enumerate(site):
                    image[axes[mu]] = signs[mu] * s % shape[mu]
                moved.append(tuple(image))
            g = sg.SiteMap(lattice, axes, signs, tuple(7 * e for e in shape))
            assert [g.linear_image(site) for site in np.ndindex(*shape)] == moved
            maps.setdefault(tuple(moved), set()).add(g)
    assert {len(spellings) for spellings in maps.values()} == {1}
    group = sg.PointGroup(lattice).group([sd.ScalarField("s", lattice)], NumberTable())
    assert {g.sites for g in group.elements} == {next(iter(s)) for s in maps.values()}


def test_named_maps() -> None:
    turn = sg.rotation(SQUARE, 0, 1)
    assert turn.linear_image((1, 0)) == (0, 1)
    assert turn.linear_image((0, 1)) == (3, 0)
    assert sg.rotation(SQUARE, 1, 0) == turn.inverse
    assert sg.axis_exchange(SQUARE, 0, 1) == sg.reflection(SQUARE, 0) @ turn
    assert sg.translation(SQUARE, 1, -1) == sg.translation(SQUARE, 1, 3)
    assert sg.translation(SQUARE, 1, 4).is_identity
    assert sg.reflection(THIN, 1).is_identity
    assert str(turn @ sg.translation(SQUARE, 0)) == "x ↦ (-x1, x0+1)"
    assert "with x ↦" in str(Element(sp.ImmutableMatrix([[1]]), turn))


def test_large_lattice_is_quick() -> None:
    start = time.perf_counter()
    lattice = sd.Lattice(64, 64)
    assert sg.Translations(lattice).group([sd.ScalarField("s", lattice)], NumberTable()).order == 4096
    assert time.perf_counter() - start < 10.0


# How a group is used


@pytest.mark.parametrize(
    ("symmetry", "use"),
    [
        (sg.Z2(PHI), "modulate"),
        (sg.Symmetry("nothing", [{PHI: PHI}]), "modulate"),
        (sg.Translations(SQUARE), "equivariant"),
        (sg.PointGroup(SQUARE), "equivariant"),
        (sg.Symmetry("two maps", [sg.translation(SQUARE, 0), sg.reflection(SQUARE, 1)]), "equivariant"),
        (sg.Symmetry("bare", [sg.Generator({PHI: PHI}, GLIDE)]), "equivariant"),
        (sg.Symmetry("glide", [sg.Generator({PHI: -PHI}, GLIDE)]), "modulate"),
        (sg.Symmetry("both", [{PHI: -PHI}, GLIDE]), "modulate"),
        (sg.Z2(PHI, use="equivariant"), "equivariant"),
        (sg.Translations(SQUARE, use="modulate"), "modulate"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_use(symmetry: sg.Symmetry, use: str) -> None:
    assert symmetry.use == use


ACTION = SQUARE.sum(PHI**4 + PHI * PHI.shift(0) + PHI * PHI.shift(1))


@pytest.mark.parametrize(
    "symmetry",
    [
        sg.Translations(SQUARE, use="modulate"),
        sg.PointGroup(SQUARE, use="modulate"),
        sg.Translations(SQUARE, use="modulate", collective=[PHI]),
    ],
    ids=lambda s: s.name,
)
def test_groups_that_cannot_modulate(symmetry: sg.Symmetry) -> None:
    with pytest.raises(NotFaithfulError, match="kernel of order"):
        sd.analyse(sd.Theory("t", fields=[PHI], action=ACTION, symmetries=[symmetry]))


@pytest.mark.parametrize(
    "sites", [sg.translation(SQUARE, 0), sg.reflection(SQUARE, 0)], ids=["step", "mirror"]
)
def test_modulating_groups_leave_sites_alone(sites: sg.SiteMap) -> None:
    symmetry = sg.Symmetry("staggered", [sg.Generator({PHI: -PHI}, sites)])
    with pytest.raises(GroupError, match="leaves sites where they are"):
        sd.analyse(sd.Theory("t", fields=[PHI], action=ACTION, symmetries=[symmetry]))


def test_lattice_symmetries_are_verified() -> None:
    symmetries = [
        sg.Z2(PHI, exact=True),
        sg.Translations(SQUARE, exact=True),
        sg.PointGroup(SQUARE, exact=True),
    ]
    analysis = sd.analyse(sd.Theory("t", fields=[PHI], action=ACTION, symmetries=symmetries))
    assert [report.status for report in analysis.reports] == ["exact"] * 3
    assert analysis.group.order == 2
    tilted = ACTION + SQUARE.sum(PHI * PHI.shift(0))
    with pytest.raises(sd.NotInvariantError):
        sd.analyse(sd.Theory("t", fields=[PHI], action=tilted, symmetries=symmetries))
