"""Symmetries found from the action alone; the oracle is the action itself at random configurations."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp
from scipy.linalg import expm

import sesamo_dsl as sd
from sesamo_dsl.analysis.discovery import Discovery, find_symmetries
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import act
from sesamo_dsl.errors import ParameterError
from sesamo_dsl.groups.element import Element
from sesamo_dsl.groups.site_map import SiteMap
from sesamo_dsl.symbols.lattice import SiteSum
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.scalar_phi4 import scalar_phi4
from support import processor_time

SECONDS = 5.0
POINT, SQUARE, LARGE = sd.Lattice(1), sd.Lattice(4, 4), sd.Lattice(64, 64)
K, G, H = sd.parameters("kappa g h")
A, B = sd.ScalarField("a", SQUARE), sd.ScalarField("b", SQUARE)
X, Y = sd.VectorField("x", POINT, 3), sd.VectorField("y", POINT, 2)


def hopping(*fields: Any) -> sp.Expr:
    lattice = fields[0].lattice
    return sp.Add(*(c * c.shift(mu) for f in fields for c in f.components for mu in lattice.directions))


def theory(fields: list[Any], action: sp.Expr) -> sd.Theory:
    return sd.Theory("case", fields=fields, action=action)


def phi4(phi: Any, extra: sp.Expr | int = 0) -> sd.Theory:
    squared = sum(c**2 for c in phi.components)
    return theory([phi], phi.lattice.sum(-2 * K * hopping(phi) + squared + G * squared**2 + extra))


def gaussians(centres: list[tuple[Any, ...]], variables: Any) -> sp.Expr:
    return -sp.log(
        sum(
            sp.exp(-sum((x - c) ** 2 for x, c in zip(variables, centre, strict=True)) / 2)
            for centre in centres
        )
    )


def real(expr: sp.Expr) -> sp.Expr:
    return sp.expand(sp.re(sp.expand(expr)))


@dataclass(frozen=True)
class Case:
    """A theory and what a physicist knows about it."""

    theory: sd.Theory
    algebra: str = "0"
    dimension: int = 0
    order: int | None = None
    name: str | None = None
    point: str = "trivial"
    point_order: int = 1
    at: dict[Any, float] = field(default_factory=dict)


def complex_field(lattice: sd.Lattice = LARGE) -> sd.ComplexField:
    return sd.ComplexField("phi", lattice)


PHI, CHI = complex_field(), complex_field(SQUARE)
VECTOR = sd.VectorField("v", LARGE, 3)
CUBIC = sd.VectorField("v", SQUARE, 3)
FOUR = sd.VectorField("w", sd.Lattice(4, 4, 4, 4), 4)
FIRST, SECOND = sd.ComplexField("c", POINT), sd.ComplexField("d", POINT)
SLAB = sd.Lattice(4, 4, 4)
AXIAL = sd.ScalarField("s", SLAB)
TEN = sd.VectorField("t", POINT, 10)
U, W = sd.VectorField("u", POINT, 4), sd.VectorField("w", POINT, 4)
DOUBLETS = [(f[0] + sp.I * f[1], f[2] + sp.I * f[3]) for f in (U, W)]
CONJUGATE = (U[0] - sp.I * U[1], U[2] - sp.I * U[3])
PRODUCT = sp.expand(sum(a * b for a, b in zip(CONJUGATE, DOUBLETS[1], strict=True)))
DETERMINANT = sp.expand(DOUBLETS[0][0] * DOUBLETS[1][1] - DOUBLETS[0][1] * DOUBLETS[1][0])
TETRAHEDRON = [(sp.sqrt(2), 0, 1), (-sp.sqrt(2), 0, 1), (0, sp.sqrt(2), -1), (0, -sp.sqrt(2), -1)]
TILTED = gaussians([(3 * a, 3 * b, 3 * c) for a, b, c in TETRAHEDRON], X)
PENTAGON = [(2 * sp.cos(2 * sp.pi * k / 5), 2 * sp.sin(2 * sp.pi * k / 5)) for k in range(5)]
ROTATED = sp.Rational(3, 5) + sp.I * sp.Rational(4, 5)
NINTH = sp.cos(sp.pi / 9) + sp.I * sp.sin(sp.pi / 9)

CASES = {
    # what the literature knows
    "scalar phi4": Case(scalar_phi4(8, 8), order=2, name="Z2", point="D4", point_order=8, at={"h": 0}),
    "scalar phi4 on 64x64": Case(
        scalar_phi4(64, 64), order=2, name="Z2", point="D4", point_order=8, at={"h": 0}
    ),
    "scalar phi4 with a source": Case(scalar_phi4(8, 8), order=1, name="trivial", point="D4", point_order=8),
    "scalar phi4 on 8x4": Case(scalar_phi4(8, 4), order=1, point="Z2 × Z2", point_order=4),
    "complex phi4": Case(phi4(PHI), "u(1)", 1, 8, "O(2)", "D4", 8),
    "complex phi4 with a source": Case(phi4(PHI, H * PHI.re), order=2, name="Z2", point="D4", point_order=8),
    "three components": Case(phi4(VECTOR), "so(3)", 3, 48, "O(3)", "D4", 8),
    "three components with a source": Case(phi4(VECTOR, H * VECTOR[2]), "u(1)", 1, 8, None, "D4", 8),
    "four components in four dimensions": Case(phi4(FOUR), "so(4)", 6, 384, "O(4)", "B4", 384),
    "eight Gaussians": Case(gaussian_mixture(), order=16, name="D8", at={"h": 0}),
    "eight Gaussians with a source": Case(gaussian_mixture(), order=2, name="Z2"),
    # what no paper tells
    "cubic anisotropy": Case(
        theory([CUBIC], SQUARE.sum(-2 * K * hopping(CUBIC) + CUBIC.squared + G * sum(c**4 for c in CUBIC))),
        order=48,
        name="B3",
        point="D4",
        point_order=8,
    ),
    "tetrahedral potential": Case(
        theory([X], X.squared / 2 + X.squared**2 + G * X[0] * X[1] * X[2]), order=24, name="S4"
    ),
    "two scalars with swap": Case(
        theory([A, B], SQUARE.sum(-2 * K * hopping(A, B) + A**4 + B**4 + G * A**2 * B**2)),
        order=8,
        name="D4",
        point="D4",
        point_order=8,
    ),
    "two scalars without swap": Case(
        theory([A, B], SQUARE.sum(-2 * K * hopping(A, B) + A**4 + 2 * B**4 + G * A**2 * B**2)),
        order=4,
        name="Z2 × Z2",
        point="D4",
        point_order=8,
    ),
    "six-state clock": Case(
        phi4(PHI, H * real(PHI.value**6)), order=12, name="D6", point="D4", point_order=8
    ),
    "three-state clock in a plane": Case(
        theory([Y], Y.squared**2 + G * real((Y[0] + sp.I * Y[1]) ** 3)), order=6, name="D3"
    ),
    "five-state clock, tilted": Case(
        phi4(CHI, H * real(NINTH * CHI.value**5)), order=10, name="D5", point="D4", point_order=8
    ),
    "two-state clock, tilted": Case(
        phi4(CHI, H * real(ROTATED * CHI.value**2)), order=4, name="Z2 × Z2", point="D4", point_order=8
    ),
    "anisotropic hopping": Case(
        theory([A], SQUARE.sum(-2 * K * A * A.shift(0) - 2 * G * A * A.shift(1) + A**4)),
        order=2,
        name="Z2",
        point="Z2 × Z2",
        point_order=4,
    ),
    "axial anisotropy": Case(
        theory([AXIAL], SLAB.sum(AXIAL * (AXIAL.shift(0) + AXIAL.shift(1) + K * AXIAL.shift(2)) + AXIAL**4)),
        order=2,
        point_order=16,
        point="a group of order 16",
    ),
    "nothing": Case(
        theory([A], SQUARE.sum(A**4 + A**3 + H * A * A.shift(0) * A.shift(1) ** 2 + G * A**2 * A.shift(1))),
        order=1,
    ),
    "quarter turn exchanges fields": Case(
        theory([A, B], SQUARE.sum(A * A.shift(0) + B * B.shift(1) + A**4 + B**4)),
        order=4,
        point="D4",
        point_order=8,
    ),
    "chiral hopping": Case(
        theory([A, B], SQUARE.sum(A * B.shift(0) - B * A.shift(0) + (A**2 + B**2) ** 2)),
        "u(1)",
        1,
        4,
        "U(1)",
        "Z2 × Z2",
        4,
    ),
    "two charges locked": Case(
        theory(
            [FIRST, SECOND], FIRST.abs2**2 + 2 * SECOND.abs2**2 + real(FIRST.value**2 * SECOND.conjugate**3)
        ),
        "u(1)",
        1,
    ),
    "two phases locked to twelfths": Case(
        theory(
            [FIRST, SECOND],
            FIRST.abs2**2
            + 2 * SECOND.abs2**2
            + real(FIRST.value**2 * SECOND.conjugate**3)
            + real(FIRST.value**4),
        ),
        order=24,
        name="D12",
    ),
    "tilted source": Case(theory([Y], Y.squared**2 + H * (3 * Y[0] + 4 * Y[1])), order=2, name="Z2"),
    "irrational direction": Case(
        theory([Y], Y.squared**2 + H * (Y[0] + sp.sqrt(2) * Y[1]) ** 2), order=4, name="Z2 × Z2"
    ),
    "SU(2) on two doublets": Case(
        theory(
            [U, W],
            U.squared**2
            + 2 * W.squared**2
            + real(PRODUCT)
            + K * sp.im(PRODUCT)
            + G * real(DETERMINANT)
            + H * sp.im(DETERMINANT),
        ),
        "su(2)",
        3,
    ),
    "Petersen graph": Case(
        theory(
            [TEN], sum(c**4 for c in TEN) + K * sum(TEN[i] * TEN[j] for i, j in nx.petersen_graph().edges)
        ),
        order=240,
    ),
    "ellipse": Case(theory([Y], (Y[0] ** 2 + 4 * Y[1] ** 2) ** 2), "u(1)", 1, 4),
    "hyperbola": Case(theory([Y], (Y[0] * Y[1]) ** 2), "abelian, dimension 1", 1, 8),
    # not polynomials
    "sine-Gordon": Case(
        theory([A], SQUARE.sum(-K * hopping(A) + sp.cos(A))), order=2, name="Z2", point="D4", point_order=8
    ),
    "exponential": Case(
        theory([A], SQUARE.sum(-K * hopping(A) + sp.exp(A))), order=1, point="D4", point_order=8
    ),
    "square root": Case(theory([Y], sp.sqrt(1 + Y.squared) + Y.squared**2), "u(1)", 1, 8, "O(2)"),
    "tetrahedron of Gaussians": Case(theory([X], TILTED), order=24, name="S4"),
    "five Gaussians": Case(theory([Y], gaussians(PENTAGON, Y)), order=10, name="D5"),
    "two Hubbard sites": Case(
        theory([Y], Y.squared / 2 - sum(sp.log(2 + 2 * sp.cosh(c)) for c in Y)), order=8, name="D4"
    ),
}


def change(t: sd.Theory, image: Any, rng: np.random.Generator) -> float:
    """Largest |S(T x) − S(x)| relative to |S| over a few configurations, at random couplings."""
    worst = 0.0
    for _ in range(3):
        x = rng.normal(size=t.configuration_shape)
        couplings = {p.name: rng.uniform(0.2, 0.9) for p in t.parameters}
        before = evaluate(t.action, x, t.components, couplings)
        after = evaluate(t.action, image(x), t.components, couplings)
        assert np.isfinite(before)
        assert np.isfinite(after)
        worst = max(worst, abs(after - before) / (1 + abs(before)))
    return worst


FOUND: dict[int, Discovery] = {}


def discovery(case: Case) -> Discovery:
    if id(case) not in FOUND:
        FOUND[id(case)] = find_symmetries(case.theory, at=case.at)
    return FOUND[id(case)]


@pytest.mark.parametrize("name", CASES)
def test_found(name: str) -> None:
    case = CASES[name]
    with processor_time() as spent:
        found = discovery(case)
    assert spent.is_below(SECONDS)
    assert found.algebra.name == case.algebra, found
    assert found.algebra.dimension == case.dimension, found
    assert found.algebra.complete
    assert case.order is None or found.internal.order == case.order, found
    assert case.name is None or found.name == case.name, found
    assert found.lattice.name == case.point, found
    assert found.lattice.point_group.order == case.point_order, found
    assert found.lattice.order == case.point_order * case.theory.lattice.volume
    assert [*found.internal.undecided, *found.lattice.undecided, *found.algebra.undecided] == []


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_leaves_the_action_unchanged(name: str) -> None:
    found = discovery(CASES[name])
    t, rng = found.theory, np.random.default_rng(0)
    for matrix in found.algebra.basis:
        turn = expm(0.3 * np.array(matrix.evalf(20).tolist(), dtype=float))
        assert change(t, lambda x, turn=turn: np.tensordot(turn, x, axes=1), rng) < 1e-10, matrix
    for verdict in (*found.internal.verdicts, *found.lattice.verdicts):
        assert verdict.status == "exact"
        assert change(t, lambda x, g=verdict.generator: act(g, x), rng) < 1e-10, verdict.generator


def signed_permutations(size: int) -> list[np.ndarray[Any, Any]]:
    identity = np.eye(size)
    return [
        np.array(signs)[:, None] * identity[list(axes)]
        for axes in itertools.permutations(range(size))
        for signs in itertools.product((1, -1), repeat=size)
    ]


COUNTED = [
    name
    for name, case in CASES.items()
    if len(case.theory.components) <= 4 and case.theory.lattice.volume < 400
]


@pytest.mark.parametrize("name", COUNTED)
def test_no_signed_permutation_is_missed(name: str) -> None:
    """Brute force over all 2ⁿ n! signed permutations of components."""
    found = discovery(CASES[name])
    t, rng = found.theory, np.random.default_rng(1)
    x = rng.normal(size=t.configuration_shape)
    couplings = {p.name: rng.uniform(0.2, 0.9) for p in t.parameters}
    before = evaluate(t.action, x, t.components, couplings)
    count = sum(
        abs(evaluate(t.action, np.tensordot(m, x, axes=1), t.components, couplings) - before)
        < 1e-10 * (1 + abs(before))
        for m in signed_permutations(len(t.components))
    )
    assert found.internal.signed_permutations == count


@pytest.mark.parametrize(
    "name", [n for n, c in CASES.items() if c.theory.lattice.shape in ((4, 4), (8, 8), (8, 4))]
)
def test_no_lattice_map_is_missed(name: str) -> None:
    """Brute force over the axis permutations, each with all signed permutations of components."""
    found = discovery(CASES[name])
    t, rng = found.theory, np.random.default_rng(2)
    lattice = t.lattice
    x = rng.normal(size=t.configuration_shape)
    couplings = {p.name: rng.uniform(0.2, 0.9) for p in t.parameters}
    before = evaluate(t.action, x, t.components, couplings)
    identity = sp.ImmutableMatrix(sp.eye(len(t.components)))
    count = 0
    for axes in itertools.permutations((0, 1)):
        if any(lattice.shape[a] != e for a, e in zip(axes, lattice.shape, strict=True)):
            continue
        for signs in itertools.product((1, -1), repeat=2):
            moved = act(Element(identity, SiteMap(lattice, axes, signs, (0, 0))), x)
            count += any(
                abs(evaluate(t.action, np.tensordot(m, moved, axes=1), t.components, couplings) - before)
                < 1e-10 * (1 + abs(before))
                for m in signed_permutations(len(t.components))
            )
    assert found.lattice.point_group.order == count


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.theory.lattice.volume == 1])
def test_lie_algebra_has_the_dimension_of_the_numerical_null_space(name: str) -> None:
    """Central differences of S along x + t E_ab x, at random points and couplings."""
    found = discovery(CASES[name])
    t, rng = found.theory, np.random.default_rng(3)
    n, step = len(t.components), 1e-5
    (node,) = t.action.atoms(SiteSum)
    action = sp.lambdify([t.components, t.parameters], node.density, "numpy")
    rows = []
    for _ in range(n * n + 5):
        x, couplings = rng.normal(size=n), rng.uniform(0.2, 0.9, size=len(t.parameters))
        gradient = [(action(x + step * e, couplings) - action(x - step * e, couplings)) for e in np.eye(n)]
        rows.append(np.outer(gradient, x).ravel() / np.linalg.norm(gradient))
    singular = np.linalg.svd(np.array(rows), compute_uv=False)
    assert np.sum(singular < 1e-6 * singular[0]) == found.algebra.dimension


def test_orthogonal_and_compact_are_told_apart() -> None:
    ellipse, hyperbola = (discovery(CASES[name]).algebra for name in ("ellipse", "hyperbola"))
    assert (ellipse.compact, ellipse.orthogonal) == (True, (False,))
    assert (hyperbola.compact, hyperbola.orthogonal) == (False, (False,))
    sphere = discovery(CASES["three components"]).algebra
    assert (sphere.compact, sphere.abelian, sphere.orthogonal) == (True, False, (True,) * 3)
    expected = [sp.zeros(3) for _ in range(3)]
    for matrix, (a, b) in zip(expected, ((0, 1), (0, 2), (1, 2)), strict=True):
        matrix[a, b], matrix[b, a] = 1, -1
    assert [sp.Matrix(m) for m in sphere.basis] == expected


def test_the_swap_survives_the_source_and_nothing_else_does() -> None:
    (swap,) = discovery(CASES["eight Gaussians with a source"]).internal.generators
    assert swap.matrix == sp.Matrix([[0, 1], [1, 0]])


def test_parts_of_the_point_group_need_a_field_map() -> None:
    fields = [g.matrix for g in discovery(CASES["quarter turn exchanges fields"]).lattice.generators]
    assert sp.Matrix([[0, 1], [1, 0]]) in [sp.Matrix(m) for m in fields]


def test_what_cannot_be_proved_is_not_claimed() -> None:
    """log Γ(2 + u) = log Γ(1 + u) + log(1 + u), which no normal form knows."""
    u = Y[1] ** 4
    hidden = Y[0] ** 2 * (sp.loggamma(2 + u) - sp.loggamma(1 + u) - sp.log(1 + u))
    found = find_symmetries(theory([Y], Y[0] ** 4 + Y[1] ** 4 + hidden))
    assert found.internal.order == 4
    assert [v.status for v in found.internal.undecided] == ["undecided"]
    assert "undecided" in found.text()


def test_equal_defaults_are_no_symmetry() -> None:
    t = sd.Theory(
        "case",
        fields=[A],
        action=SQUARE.sum(-2 * K * A * A.shift(0) - 2 * G * A * A.shift(1) + sp.cosh(A)),
        defaults={K: 0.3, G: 0.3},
    )
    assert find_symmetries(t).lattice.name == "Z2 × Z2"
    assert find_symmetries(t, at={K: 0.3, G: 0.3}).lattice.name == "D4"


def test_large_products_are_not_enumerated() -> None:
    spins = sd.VectorField("s", POINT, 18)
    t = theory([spins], sp.Add(*((k + 1) * c**4 - c**2 for k, c in enumerate(spins))))
    with processor_time() as spent:
        found = find_symmetries(t)
    assert spent.is_below(2 * SECONDS)
    assert found.internal.order == 2**18
    assert found.internal.group is None


def test_maps_that_depend_on_the_couplings_need_their_values() -> None:
    t = theory([Y], Y.squared**2 + G * Y[0] + H * Y[1])
    assert find_symmetries(t).name == "trivial"
    (mirror,) = find_symmetries(t, at={G: 0.3, "h": 0.4}).internal.generators
    assert mirror.matrix == sp.Matrix([[-7, 24], [24, 7]]) / 25


def test_unknown_coupling_is_refused() -> None:
    with pytest.raises(ParameterError):
        find_symmetries(scalar_phi4(4, 4), at={"nope": 0.0})


def test_text_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "import sesamo_dsl as sd\n"
        "from sesamo_dsl.analysis.discovery import find_symmetries\n"
        "from sesamo_theories.gaussian_mixture import gaussian_mixture\n"
        "v = sd.VectorField('v', sd.Lattice(4, 4), 3)\n"
        "s = v.lattice.sum(v.dot(v.shift(0)) + sum(c**4 for c in v))\n"
        "print(find_symmetries(sd.Theory('t', fields=[v], action=s)))\n"
        "print(find_symmetries(gaussian_mixture(4), at={'h': 0}))\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
    assert "B3, order 48" in answers.pop()
