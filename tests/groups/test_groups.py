"""Finite groups from generators, against the axioms and against SymPy's permutation groups."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import networkx as nx
import numpy as np
import pytest
import sympy as sp
from sympy.combinatorics import Permutation, PermutationGroup
from sympy.combinatorics.group_constructs import DirectProduct
from sympy.combinatorics.named_groups import AlternatingGroup, CyclicGroup, DihedralGroup, SymmetricGroup

import sesamo_dsl as sd
from sesamo_dsl.errors import FieldError, GroupError, NotClosedError
from sesamo_dsl.groups.element import Element
from sesamo_dsl.groups.finite import FiniteGroup
from sesamo_dsl.groups.site_map import SiteMap
from sesamo_dsl.symbols.exact import NumberTable

POINT = sd.Lattice(1)
X = tuple(sd.VectorField("x", POINT, 4))
GOLDEN = (1 + sp.sqrt(5)) / 2


def linear(*rows: list[sp.Expr | int]) -> dict[sp.Expr, sp.Expr]:
    """A generator from the rows of its matrix."""
    return {X[a]: sum(sp.sympify(r) * X[b] for b, r in enumerate(row)) for a, row in enumerate(rows)}


def turn(order: int) -> dict[sp.Expr, sp.Expr]:
    angle = 2 * sp.pi / order
    return linear([sp.cos(angle), -sp.sin(angle)], [sp.sin(angle), sp.cos(angle)])


def moved(*images: int) -> dict[sp.Expr, sp.Expr]:
    """x_a → ± x_b, with images ±(b + 1)."""
    return {X[a]: (1 if i > 0 else -1) * X[abs(i) - 1] for a, i in enumerate(images)}


@dataclass(frozen=True)
class Case:
    """Generators, the number of components they act on, and an isomorphic permutation group."""

    generators: tuple[dict[sp.Expr, sp.Expr], ...]
    components: int
    isomorphic: Callable[[], PermutationGroup]


FLIP = linear([1, 0], [0, -1])
QUATERNIONS = PermutationGroup(
    Permutation([[0, 1, 2, 3], [4, 5, 6, 7]]), Permutation([[0, 4, 2, 6], [1, 7, 3, 5]])
)
HALF = sp.Rational(1, 2)
FIFTH_TURN = linear(
    [HALF, -GOLDEN / 2, (GOLDEN - 1) / 2],
    [GOLDEN / 2, (GOLDEN - 1) / 2, -HALF],
    [(GOLDEN - 1) / 2, HALF, GOLDEN / 2],
)
CASES: dict[str, Case] = {
    "trivial": Case((moved(1),), 1, lambda: CyclicGroup(1)),
    "Z2": Case((moved(-1),), 1, lambda: CyclicGroup(2)),
    "Z3": Case((turn(3),), 2, lambda: CyclicGroup(3)),
    "Z8": Case((turn(8),), 2, lambda: CyclicGroup(8)),
    "Z12 from two turns": Case((turn(4), turn(3)), 2, lambda: CyclicGroup(12)),
    "Z17": Case((turn(17),), 2, lambda: CyclicGroup(17)),
    "Z2×Z2": Case((moved(-1, 2), moved(1, -2)), 2, lambda: DirectProduct(CyclicGroup(2), CyclicGroup(2))),
    "Z4×Z2": Case(
        (moved(-2, 1, 3), moved(1, 2, -3)), 3, lambda: DirectProduct(CyclicGroup(4), CyclicGroup(2))
    ),
    "Z2^4": Case(
        tuple(moved(*(-b - 1 if a == b else b + 1 for b in range(4))) for a in range(4)),
        4,
        lambda: DirectProduct(*[CyclicGroup(2)] * 4),
    ),
    "D3": Case((turn(3), FLIP), 2, lambda: DihedralGroup(3)),
    "D5": Case((turn(5), FLIP), 2, lambda: DihedralGroup(5)),
    "D8": Case((turn(8), FLIP), 2, lambda: DihedralGroup(8)),
    "S3 on components": Case((moved(2, 1, 3), moved(1, 3, 2)), 3, lambda: SymmetricGroup(3)),
    "S4 on components": Case((moved(2, 1, 3, 4), moved(2, 3, 4, 1)), 4, lambda: SymmetricGroup(4)),
    "A4": Case((moved(2, 3, 1), moved(-1, -2, 3)), 3, lambda: AlternatingGroup(4)),
    "full tetrahedral": Case(
        (moved(2, 3, 1), moved(-1, -2, 3), moved(2, 1, 3)), 3, lambda: SymmetricGroup(4)
    ),
    "B3": Case(
        (moved(-1, 2, 3), moved(2, 1, 3), moved(1, 3, 2)),
        3,
        lambda: DirectProduct(SymmetricGroup(4), CyclicGroup(2)),
    ),
    "quaternions": Case((moved(-2, 1, -4, 3), moved(-3, 4, 1, -2)), 4, lambda: QUATERNIONS),
    "icosahedral": Case((moved(-1, -2, 3), moved(2, 3, 1), FIFTH_TURN), 3, lambda: AlternatingGroup(5)),
    "shear that closes": Case((linear([1, 1], [-1, 0]),), 2, lambda: CyclicGroup(6)),
}


@cache
def group_of(name: str) -> FiniteGroup[Element]:
    case = CASES[name]
    return sd.Symmetry(name, case.generators).group(X[: case.components], NumberTable())


def matrices_of(group: FiniteGroup[Element]) -> np.ndarray:
    return np.array([np.array(g.matrix.evalf(20).tolist(), dtype=float) for g in group.elements])


every_group = pytest.mark.parametrize("name", CASES)


@every_group
def test_axioms(name: str) -> None:
    group = group_of(name)
    table, everything = group.table, np.arange(group.order)
    assert (table[0] == everything).all()
    assert (table[:, 0] == everything).all()
    assert (np.sort(table, axis=0) == everything[:, None]).all()
    assert (np.sort(table, axis=1) == everything[None]).all()
    assert (table[table] == table[:, table]).all(), "(ab)c = a(bc)"
    assert (table[everything, group.inverses] == 0).all()
    assert (table[group.inverses, everything] == 0).all()
    assert group.is_abelian == bool((table == table.T).all())


@every_group
def test_table_and_words_are_those_of_the_matrices(name: str) -> None:
    group = group_of(name)
    matrices = matrices_of(group)
    assert np.abs(np.einsum("iab,jbc->ijac", matrices, matrices) - matrices[group.table]).max() < 1e-12
    apart = np.abs(matrices[:, None] - matrices[None]).max(axis=(2, 3))
    assert (apart[~np.eye(group.order, dtype=bool)] > 1e-3).all()
    factors = [np.array(g.matrix.evalf(20).tolist(), dtype=float) for g in group.generators]
    for word, matrix in zip(group.words, matrices, strict=True):
        product = matrices[0]
        for s in word:
            product = product @ factors[s]
        assert np.abs(product - matrix).max() < 1e-12
    lengths = [len(word) for word in group.words]
    assert lengths == sorted(lengths)


@every_group
def test_against_permutation_groups(name: str) -> None:
    group, known = group_of(name), CASES[name].isomorphic()
    assert group.order == known.order()
    assert Counter(group.element_orders.tolist()) == Counter(p.order() for p in known.elements)
    assert Counter(map(len, group.conjugacy_classes())) == Counter(map(len, known.conjugacy_classes()))
    assert group.is_abelian == known.is_abelian


@every_group
def test_cayley_graph(name: str) -> None:
    group = group_of(name)
    graph = nx.DiGraph()
    for s, generator in enumerate(group.generator_indices):
        graph.add_edges_from(
            (i, int(group.table[i, generator]), {"generator": s}) for i in range(group.order)
        )
    assert nx.is_strongly_connected(graph)
    indices = {element: i for i, element in enumerate(group.elements)}
    distinct = {indices[g] for g in group.generators}
    assert {d for _, d in graph.out_degree()} == {d for _, d in graph.in_degree()} == {len(distinct)}
    for i, j, data in graph.edges(data=True):
        assert group.table[i, indices[group.generators[data["generator"]]]] == j
    distances = nx.single_source_shortest_path_length(graph, 0)
    assert [distances[i] for i in range(group.order)] == [len(word) for word in group.words]


@every_group
def test_classes_cosets_and_lagrange(name: str) -> None:
    group = group_of(name)
    classes = group.conjugacy_classes()
    assert sorted(itertools.chain(*classes)) == list(range(group.order))
    assert classes[0] == (0,)
    for members in classes:
        conjugates = {
            int(group.table[group.table[g, members[0]], group.inverses[g]]) for g in range(group.order)
        }
        assert conjugates == set(members)
        assert group.order % len(members) == 0
    assert (group.order % group.element_orders == 0).all()
    for i in range(0, group.order, max(1, group.order // 12)):
        subgroup = group.subgroup([i])
        assert len(subgroup) == group.element_orders[i]
        cosets = group.left_cosets(subgroup)
        assert cosets[0] == subgroup
        assert sorted(itertools.chain(*cosets)) == list(range(group.order))
        assert {len(coset) for coset in cosets} == {len(subgroup)}
        for coset in cosets:
            assert set(coset) == {int(group.table[coset[0], h]) for h in subgroup}
    assert group.subgroup([]) == (0,)
    assert group.subgroup(range(group.order)) == tuple(range(group.order))


@every_group
def test_orbit_and_stabilizer(name: str) -> None:
    """|orbit|·|stabilizer| = |G| on generic and on special points."""
    group = group_of(name)
    c = CASES[name].components

    def act(element: Element, point: sp.ImmutableMatrix) -> sp.ImmutableMatrix:
        return numbers.matrix(element.matrix * point)

    numbers = NumberTable()
    points = {"axis": [1, 0, 0, 0], "diagonal": [1, 1, 1, 1], "generic": [1, 7, 19, 83]}
    for entries in points.values():
        point = sp.ImmutableMatrix(entries[:c])
        orbit = group.orbit(point, act)
        stabilizer = tuple(i for i, g in enumerate(group.elements) if act(g, point) == point)
        assert len(set(orbit)) == len(orbit)
        assert len(orbit) * len(stabilizer) == group.order
        assert group.subgroup(stabilizer) == stabilizer
    generic = sp.ImmutableMatrix([1, 7, 19, 83][:c])
    assert len(group.orbit(generic, act)) == group.order


def test_groups_of_anything() -> None:
    """The enumeration knows nothing of matrices: residues under addition, and permutations."""
    residues = FiniteGroup(0, [4, 6], lambda a, b: (a + b) % 20, name="even residues")
    assert set(residues.elements) == set(range(0, 20, 2))
    assert FiniteGroup("unit", [], lambda a, b: a).order == 1
    s5 = FiniteGroup(
        (0, 1, 2, 3, 4), [(1, 0, 2, 3, 4), (1, 2, 3, 4, 0)], lambda a, b: tuple(a[i] for i in b), name="S5"
    )
    assert set(s5.elements) == set(itertools.permutations(range(5)))
    assert len(s5.conjugacy_classes()) == 7


@pytest.mark.parametrize("shape", [(4,), (4, 4), (2, 2), (3, 5), (2, 2, 2), (1, 3)])
def test_site_maps(shape: tuple[int, ...]) -> None:
    """Composition and inverse of site maps, site by site."""
    lattice = sd.Lattice(*shape)
    d = lattice.dimension
    maps = [
        SiteMap(lattice, axes, signs, translation)
        for axes in itertools.permutations(range(d))
        if all(shape[a] == shape[mu] for mu, a in enumerate(axes))
        for signs in itertools.product((1, -1), repeat=d)
        for translation in {(0,) * d, lattice.wrap(range(1, d + 1))}
    ][:40]

    def image(g: SiteMap, site: tuple[int, ...]) -> tuple[int, ...]:
        out = [0] * d
        for mu in range(d):
            out[g.axes[mu]] = g.signs[mu] * site[mu]
        return tuple((o + t) % e for o, t, e in zip(out, g.translation, shape, strict=True))

    sites = list(np.ndindex(*shape))
    for g in maps:
        assert {image(g, s) for s in sites} == set(sites)
        assert [image(g.inverse, image(g, s)) for s in sites] == sites
        assert (g @ g.inverse).is_identity
        assert (g.inverse @ g).is_identity
        assert g.is_identity == (g == SiteMap.identity(lattice))
    for g, h in itertools.product(maps[:12], maps[-12:]):
        assert [image(g @ h, s) for s in sites] == [image(g, image(h, s)) for s in sites]


def test_elements_compose_matrices_and_sites() -> None:
    lattice, numbers = sd.Lattice(4, 4), NumberTable()
    quarter = Element(sp.ImmutableMatrix([[0, -1], [1, 0]]), SiteMap(lattice, (1, 0), (1, -1), (0, 1)))
    step = Element(sp.ImmutableMatrix([[-1, 0], [0, 1]]), SiteMap(lattice, (0, 1), (1, 1), (1, 0)))
    product = quarter.compose(step, numbers)
    assert product.matrix == quarter.matrix * step.matrix
    assert product.sites == quarter.sites @ step.sites
    assert product != step.compose(quarter, numbers)
    identity = Element.identity(2, lattice)
    assert quarter.compose(identity, numbers) == identity.compose(quarter, numbers) == quarter
    space_group = FiniteGroup(identity, [quarter, step], lambda a, b: a.compose(b, numbers))
    assert space_group.order % 16 == 0
    assert (space_group.table[space_group.table] == space_group.table[:, space_group.table]).all()


NOT_GROUPS: dict[str, tuple[dict[sp.Expr, sp.Expr], type[sd.SesamoError], str]] = {
    "irrational rotation": (
        linear([sp.Rational(3, 5), -sp.Rational(4, 5)], [sp.Rational(4, 5), sp.Rational(3, 5)]),
        NotClosedError,
        "at most 60",
    ),
    "rotation by one radian": (
        linear([sp.cos(1), -sp.sin(1)], [sp.sin(1), sp.cos(1)]),
        NotClosedError,
        "at most 60",
    ),
    "shear": (linear([1, 1], [0, 1]), NotClosedError, "at most 60"),
    "stretch": (linear([2, 0], [0, 1]), NotClosedError, "at most 60"),
    "singular": (linear([1, 1], [1, 1]), GroupError, "invertible"),
    "zero": ({X[0]: sp.S.Zero}, GroupError, "invertible"),
    "singular in disguise": (
        linear([sp.sqrt(3 + 2 * sp.sqrt(2)), 1], [1, sp.sqrt(2) - 1]),
        GroupError,
        "invertible",
    ),
    "quadratic": ({X[0]: X[0] ** 2}, GroupError, "linear combination"),
    "constant shift": ({X[0]: X[0] + 1}, NotClosedError, "nor does a translation"),
    "product": ({X[0]: X[0] * X[1]}, GroupError, "linear combination"),
    "function": ({X[0]: sp.sin(X[0])}, GroupError, "linear combination"),
    "complex": ({X[0]: sp.I * X[0]}, GroupError, "real constant"),
    "coupling": ({X[0]: sd.parameters("kappa") * X[0]}, GroupError, "constant"),
    "other field": ({X[3]: -X[3]}, FieldError, "components of the theory"),
}


@pytest.mark.parametrize("name", NOT_GROUPS)
def test_what_is_not_a_group(name: str) -> None:
    generator, error, explanation = NOT_GROUPS[name]
    with pytest.raises(error, match=explanation) as caught:
        sd.Symmetry(name, [generator], order_bound=60).group(X[:2], NumberTable())
    assert type(caught.value) is error


def test_the_bound_is_the_largest_order_that_is_enumerated() -> None:
    for bound, fits in [(9, False), (10, True), (11, True)]:
        symmetry = sd.Symmetry("D5", CASES["D5"].generators, order_bound=bound)
        if fits:
            assert symmetry.group(X[:2], NumberTable()).order == 10
        else:
            with pytest.raises(NotClosedError, match=f"at most {bound} elements"):
                symmetry.group(X[:2], NumberTable())


@pytest.mark.parametrize(
    ("order", "charge"), [(8, 1), (8, 2), (8, 3), (8, 4), (6, 4), (5, 2), (7, 7), (3, -1)]
)
def test_charge_of_a_cyclic_group(order: int, charge: int) -> None:
    group = sd.Cyclic(order, X[0], X[1], charge=charge).group(X[:2], NumberTable())
    assert group.order == order // np.gcd(order, charge)
    angle = 2 * np.pi * charge / order
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    generator = np.array(group.generators[0].matrix.evalf(20).tolist(), dtype=float)
    assert np.abs(generator - rotation).max() < 1e-14
