"""What is left of a group when something breaks it, and how the breaking term transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl import groups as sg
from sesamo_dsl.algebra.normal_form import NormalForm
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import (
    BreakingRepresentation,
    act,
    breaking_representation,
    split,
    surviving_subgroup,
)
from sesamo_dsl.groups.element import Element
from sesamo_dsl.symbols.exact import NumberTable

H, G, K = sd.parameters("h g k")
POINT, LINE, SQUARE = sd.Lattice(1), sd.Lattice(3), sd.Lattice(4, 4)
X, P = sd.VectorField("x", POINT, 2), sd.VectorField("p", POINT, 3)
PHI, CHI, V = sd.ScalarField("phi", SQUARE), sd.ComplexField("chi", SQUARE), sd.VectorField("v", LINE, 3)
COUPLINGS = {"h": 0.37, "g": 0.61, "k": -0.83}


def hopping(field: Any) -> sp.Expr:
    return sp.Add(*(field.dot(field.shift(mu)) for mu in field.lattice.directions))


def real_power(field: Any, n: int) -> sp.Expr:
    """Re (φ_0 + iφ_1)^n."""
    return sp.expand(sp.re(sp.expand((field[0] + sp.I * field[1]) ** n)))


GAUSSIANS = -sp.log(
    sp.Add(
        *(
            sp.exp(-((X[0] - 12 * sp.cos(a)) ** 2 + (X[1] - 12 * sp.sin(a)) ** 2) / 2)
            for a in (2 * sp.pi * k / 8 for k in range(8))
        )
    )
)
COMPLEX_PHI4 = SQUARE.sum(-hopping(CHI) + CHI.abs2 + G * CHI.abs2**2)
CUBIC = LINE.sum(-hopping(V) + V.squared**2 + G * sp.Add(*(c**4 for c in V)))
SCALAR = PHI**4 - PHI * PHI.shift(0) - PHI * PHI.shift(1)
ROTATIONS = sg.Symmetry("C4", [sg.rotation(SQUARE, 0, 1)])


@dataclass(frozen=True)
class Case:
    """An action, a group, the order and the isomorphism type (element orders) of what survives."""

    field: Any
    action: sp.Expr
    symmetry: sg.Symmetry
    order: int
    element_orders: tuple[int, ...] | None = None
    dimension: int = 0
    at_most: int = 8  # elements tested


CASES: dict[str, Case] = {
    "φ⁴": Case(PHI, SQUARE.sum(SCALAR), sg.Z2(PHI), 2, at_most=1),
    "φ⁴ in a source": Case(PHI, SQUARE.sum(SCALAR + H * PHI), sg.Z2(PHI), 1, dimension=1),
    "complex φ⁴ under Z12": Case(CHI, COMPLEX_PHI4, sg.Cyclic(12, CHI), 12, at_most=1),
    "clock term under Z12": Case(
        CHI,
        COMPLEX_PHI4 + H * SQUARE.sum(real_power(CHI, 6)),
        sg.Cyclic(12, CHI),
        6,
        (1, 2, 3, 3, 6, 6),
        dimension=1,
        at_most=2,
    ),
    "clock term under D12": Case(
        CHI,
        COMPLEX_PHI4 + H * SQUARE.sum(real_power(CHI, 6)),
        sg.Dihedral(12, CHI),
        12,
        (1, *[2] * 7, 3, 3, 6, 6),
        dimension=1,
        at_most=3,
    ),
    "two clock terms under Z12": Case(
        CHI,
        COMPLEX_PHI4 + SQUARE.sum(H * real_power(CHI, 4) + K * real_power(CHI, 6)),
        sg.Cyclic(12, CHI),
        2,
        dimension=3,
    ),
    "clock terms that leave nothing": Case(
        CHI,
        SQUARE.sum(real_power(CHI, 4) + real_power(CHI, 3)),
        sg.Cyclic(12, CHI),
        1,
        dimension=4,
    ),
    "eight Gaussians under D8": Case(X, GAUSSIANS, sg.Dihedral(8, X), 16, at_most=2),
    "tilted Gaussians under Z8": Case(X, GAUSSIANS + H * (X[0] + X[1]), sg.Cyclic(8, X), 1, dimension=2),
    "tilted Gaussians under D8": Case(
        X, GAUSSIANS + H * (X[0] + X[1]), sg.Dihedral(8, X), 2, (1, 2), dimension=2
    ),
    "tilted Gaussians under D4": Case(X, GAUSSIANS + H * X[0], sg.Hyperoctahedral(X), 2, (1, 2), dimension=2),
    "cubic anisotropy": Case(V, CUBIC, sg.Hyperoctahedral(V), 48, at_most=3),
    "cubic anisotropy, field along 111": Case(
        V, CUBIC + H * LINE.sum(V[0] + V[1] + V[2]), sg.Hyperoctahedral(V), 6, (1, 2, 2, 2, 3, 3), dimension=3
    ),
    "cubic anisotropy, field along 100": Case(
        V, CUBIC + H * LINE.sum(V[0]), sg.Hyperoctahedral(V), 8, (1, 2, 2, 2, 2, 2, 4, 4), dimension=3
    ),
    "cubic anisotropy, field along 110": Case(
        V, CUBIC + H * LINE.sum(V[0] - V[1]), sg.Hyperoctahedral(V), 4, (1, 2, 2, 2), dimension=3, at_most=9
    ),
    "cubic anisotropy, strained": Case(
        V, CUBIC + H * LINE.sum(V[0] ** 2), sg.Hyperoctahedral(V), 16, dimension=2
    ),
    "tetrahedral potential under B3": Case(
        P, P.squared**2 + G * P[0] * P[1] * P[2], sg.Hyperoctahedral(P), 24, dimension=1
    ),
    "squeezed square": Case(
        PHI, SQUARE.sum(SCALAR - H * PHI * PHI.shift(0)), sg.PointGroup(SQUARE), 4, (1, 2, 2, 2), dimension=1
    ),
    "difference of two corners": Case(
        PHI,
        SQUARE.sum(SCALAR + H * PHI**2 * PHI.shift(0) * (PHI.shift(1) - PHI.shift(1, -1))),
        sg.PointGroup(SQUARE),
        1,
        dimension=3,
    ),
    "drift along an axis": Case(
        PHI,
        SQUARE.sum(SCALAR + H * PHI**3 * (PHI.shift(0) - PHI.shift(0, -1))),
        ROTATIONS,
        1,
        dimension=2,
    ),
    "odd drift, with and without a sign": Case(
        PHI,
        SQUARE.sum(SCALAR + H * PHI**2 * (PHI.shift(0) - PHI.shift(0, -1))),
        sg.direct_product(sg.Z2(PHI), sg.Symmetry("mirror", [sg.reflection(SQUARE, 0)])),
        2,
        (1, 2),
        dimension=1,
    ),
    "spin-orbit term": Case(
        CHI,
        COMPLEX_PHI4 + H * SQUARE.sum(CHI.re * CHI.re.shift(0) + CHI.im * CHI.im.shift(1)),
        sg.direct_product(sg.Cyclic(4, CHI), ROTATIONS),
        8,
        (1, 2, 2, 2, 4, 4, 4, 4),
        dimension=1,
    ),
    "translations": Case(PHI, SQUARE.sum(SCALAR + H * PHI), sg.Translations(SQUARE), 16, at_most=2),
}
every_case = pytest.mark.parametrize("name", CASES)


def setting(case: Case) -> tuple[sd.Theory, sg.FiniteGroup[Element], NormalForm]:
    numbers = NumberTable()
    theory = sd.Theory("t", fields=[case.field], action=case.action)
    return theory, case.symmetry.group(theory.components, numbers), NormalForm(numbers)


def values(expr: sp.Expr, theory: sd.Theory, group: sg.FiniteGroup[Element], seed: int) -> np.ndarray:
    """expr(T_g x) for all g, at one random x: owes nothing to normal forms."""
    x = np.random.default_rng(seed).normal(size=theory.configuration_shape)
    return np.array([evaluate(expr, act(g, x), theory.components, COUPLINGS) for g in group.elements])


@every_case
def test_survivors_are_the_elements_that_do_not_change_the_action(name: str) -> None:
    case = CASES[name]
    theory, group, normal_form = setting(case)
    found = surviving_subgroup(theory, group, normal_form)
    assert isinstance(found, tuple)
    assert len(found) == case.order
    assert group.subgroup(found) == found
    assert found.undecided == ()
    assert len(found.tested) <= case.at_most
    if case.element_orders is not None:
        assert tuple(sorted(group.element_orders[list(found)])) == case.element_orders
    change = np.zeros(group.order)
    for seed in range(2):
        actions = values(theory.action, theory, group, seed)
        change = np.maximum(change, np.abs(actions - actions[0]) / (1 + np.abs(actions[0])))
    assert tuple(np.flatnonzero(change < 1e-10)) == found
    assert change[change >= 1e-10].min(initial=1.0) > 1e-6


def character_table(representation: BreakingRepresentation, group: sg.FiniteGroup[Element]) -> np.ndarray:
    characters = np.empty(group.order)
    for members, character in zip(representation.classes, representation.characters, strict=True):
        characters[list(members)] = float(character)
    return characters


@every_case
def test_how_the_breaking_term_transforms(name: str) -> None:
    """e_i∘T_s = Σ_j D(s)_ij e_j numerically, the characters are those of D, no invariant is left in S₁."""
    case = CASES[name]
    theory, group, normal_form = setting(case)
    breaking = split(theory, group, normal_form, proved=True)
    found = breaking_representation(theory, group, breaking, normal_form)
    assert found.dimension == len(found.basis) == case.dimension
    assert found.classes == group.conjugacy_classes()
    matrices = [np.array(d.evalf(20).tolist(), dtype=float).reshape(d.shape) for d in found.generators]
    points = np.random.default_rng(4).normal(size=(found.dimension + 2, *theory.configuration_shape))

    def on(points: np.ndarray) -> np.ndarray:
        return np.array(
            [[evaluate(e, x, theory.components, COUPLINGS) for x in points] for e in found.basis]
        ).reshape(found.dimension, len(points))

    if found.dimension:
        assert np.linalg.matrix_rank(on(points)) == found.dimension
    for generator, matrix in zip(group.generators, matrices, strict=True):
        assert np.allclose(on(act(generator, points)), matrix @ on(points), rtol=1e-9, atol=1e-9)
    characters = character_table(found, group)
    assert np.isclose(characters[0], case.dimension)
    for word, character in zip(group.words, characters, strict=True):
        product = np.eye(case.dimension)
        for s in word:
            product = product @ matrices[s]
        assert np.isclose(np.trace(product), character, atol=1e-9)
    norm = np.mean(characters**2)
    assert np.isclose(norm, round(norm))
    assert np.isclose(characters.mean(), 0, atol=1e-12), "the group average of S₁ vanishes"
    # S₁ is invariant under what survives, and each of its images spans no more than the space found
    survivors = list(surviving_subgroup(theory, group, normal_form))
    images = np.array([values(breaking, theory, group, seed) for seed in range(case.dimension + 3)])
    assert np.allclose(images[:, survivors], images[:, :1], rtol=1e-9, atol=1e-9)
    assert np.linalg.matrix_rank(images, tol=1e-8 * (1 + np.abs(images).max())) == case.dimension


def representation(field: Any, breaking: sp.Expr, symmetry: sg.Symmetry) -> BreakingRepresentation:
    numbers = NumberTable()
    theory = sd.Theory("t", fields=[field], action=breaking + field.lattice.sum(field.components[0] ** 2))
    group = symmetry.group(theory.components, numbers)
    return breaking_representation(theory, group, breaking, NormalForm(numbers))


def test_sign_representation() -> None:
    found = representation(PHI, H * SQUARE.sum(PHI), sg.Z2(PHI))
    assert found.dimension == 1
    assert found.characters == (1, -1)
    assert found.basis == (H * SQUARE.sum(PHI),)


def test_vector_representation_of_rotations() -> None:
    found = representation(X, H * POINT.sum(X[0] + X[1]), sg.Cyclic(8, X))
    assert found.dimension == 2
    assert {c[0]: ch for c, ch in zip(found.classes, found.characters, strict=True)}[0] == 2
    exact = sorted(found.characters, key=float)
    r = sp.sqrt(2)
    assert [sp.simplify(a - b) for a, b in zip(exact, [-2, -r, -r, 0, 0, r, r, 2], strict=True)] == [0] * 8


def test_vector_representation_of_the_cube() -> None:
    """The source along 111 turns like the field itself: the character is the trace of the matrix."""
    numbers = NumberTable()
    theory = sd.Theory("t", fields=[V], action=CUBIC + H * LINE.sum(V[0] + V[1] + V[2]))
    group = sg.Hyperoctahedral(V).group(theory.components, numbers)
    found = breaking_representation(theory, group, H * LINE.sum(V[0] + V[1] + V[2]), NormalForm(numbers))
    traces = tuple(group.elements[members[0]].matrix.trace() for members in found.classes)
    assert found.characters == traces


def test_independent_images_carry_the_regular_representation() -> None:
    found = representation(X, H * POINT.sum(sp.exp(X[0] + 2 * X[1])), sg.Dihedral(4, X))
    assert found.dimension == 8
    assert found.characters == (8, 0, 0, 0, 0)


def test_couplings_are_independent_sources() -> None:
    """Each coupling carries its own copy of the representation, if the group is large enough to tell."""
    breaking = POINT.sum(H * X[0] + K * X[1])
    assert representation(X, breaking, sg.Cyclic(4, X)).dimension == 2
    assert representation(X, breaking, sg.Hyperoctahedral(X)).dimension == 4


def test_nothing_breaks() -> None:
    found = representation(X, sp.S.Zero, sg.Dihedral(3, X))
    assert found.dimension == 0
    assert found.characters == (0, 0, 0)


# Undecided elements

# zero, in a spelling that no normal form knows, which is even in X[1] in a visible way
HIDDEN = X[0] * (sp.loggamma(2 + X[1] ** 2) - sp.loggamma(1 + X[1] ** 2) - sp.log(1 + X[1] ** 2))


@pytest.mark.parametrize(
    ("symmetry", "survivors", "undecided", "extra"),
    [
        (sg.direct_product(sg.Z2(X[0]), sg.Z2(X[1])), 2, 2, sp.S.Zero),
        (sg.direct_product(sg.Z2(X[0]), sg.Z2(X[1])), 1, 1, X[0] * X[1] ** 3),
        (sg.direct_product(sg.Z2(X[1]), sg.Z2(X[0])), 1, 1, X[1]),
    ],
)
def test_undecided_elements_are_reported_and_not_counted(
    symmetry: sg.Symmetry, survivors: int, undecided: int, extra: sp.Expr
) -> None:
    theory = sd.Theory("hidden", fields=[X], action=POINT.sum(X.squared + HIDDEN + extra))
    numbers = NumberTable()
    group = symmetry.group(theory.components, numbers)
    found = surviving_subgroup(theory, group, NormalForm(numbers))
    assert len(found) == survivors
    assert len(found.undecided) == undecided
    assert not set(found) & set(found.undecided)
    assert group.subgroup(found) == found
    actions = values(theory.action, theory, group, 0)
    really = set(np.flatnonzero(np.abs(actions - actions[0]) < 1e-10))
    assert really == set(found) | set(found.undecided)


@pytest.mark.parametrize("index", range(6))
def test_survivors_of_random_potentials(index: int) -> None:
    """Random invariants of random subgroups of the cube group: at least the subgroup survives."""
    rng = np.random.default_rng(index)
    numbers = NumberTable()
    group = sg.Hyperoctahedral(P).group(P.components, numbers)
    subgroup = group.subgroup(int(i) for i in rng.integers(group.order, size=1 + index % 2))
    monomial = sp.Mul(*(c ** int(n) for c, n in zip(P, rng.integers(1, 5, size=3), strict=True))) + P[0] ** 3
    potential = sp.Add(
        *(
            monomial.xreplace(
                {c: (group.elements[g].matrix.row(a) * sp.Matrix(P.components))[0] for a, c in enumerate(P)}
            )
            for g in subgroup
        )
    )
    theory = sd.Theory("t", fields=[P], action=POINT.sum(P.squared + potential))
    found = surviving_subgroup(theory, group, NormalForm(numbers))
    assert set(subgroup) <= set(found)
    assert group.order % len(found) == 0
    actions = values(theory.action, theory, group, 1)
    assert tuple(np.flatnonzero(np.abs(actions - actions[0]) < 1e-9)) == found


def test_what_two_broken_groups_leave_together() -> None:
    """Re(a² b*) breaks both U(1), and leaves charges (1, 2): the generator J_a + 2 J_b."""
    a, b = (sd.ComplexField(name, POINT) for name in "ab")
    mixing = (a.re**2 - a.im**2) * b.re + 2 * a.re * a.im * b.im
    quartic = a.abs2 + b.abs2 + a.abs2**2 + b.abs2**2
    two = sd.Theory(
        "two", fields=[a, b], action=POINT.sum(quartic + G * mixing), symmetries=[sd.U1(a), sd.U1(b)]
    )
    analysis = sd.analyse(two)
    assert [report.surviving for report in analysis.lie_reports] == [(), ()]
    (left,) = analysis.combined
    turn = sp.Matrix([[0, -1], [1, 0]])
    expected = sp.diag(turn, 2 * turn)
    assert sp.Matrix([left.flat(), expected.flat()]).rank() == 1
    assert "Unbroken combinations of the generators of U1(a) and U1(b)" in analysis.text()
    x = np.random.default_rng(0).normal(size=(3, 4, 1))  # the flow of the generator, numerically
    rotated = (sp.Matrix(left) * 0.7).exp().evalf()
    turned = np.einsum("ab,nbx->nax", np.array(rotated, dtype=float), x)
    compiled = sd.compile(two, precision="float64")
    np.testing.assert_allclose(
        compiled.action(turned, {"g": 0.61}), compiled.action(x, {"g": 0.61}), rtol=1e-12
    )
    one = sd.Theory(
        "one", fields=[a, b], action=POINT.sum(quartic + G * a.re), symmetries=[sd.U1(a), sd.U1(b)]
    )
    assert sd.analyse(one).combined == ()  # U(1) of b survives by itself
