"""Fermion determinants as symbols: values by three routes, identities that are proved, and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp
from scipy.linalg import expm

import sesamo_dsl as sd
from sesamo_dsl.algebra.normal_form import NormalForm, transformed
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import act
from sesamo_dsl.errors import (
    FieldError,
    GroupError,
    LatticeError,
    OptionError,
    ParameterError,
    SesamoError,
    TheoryError,
)
from sesamo_dsl.groups import Automorphisms, PointGroup, SiteMap, Translations, node_permutation
from sesamo_dsl.groups.element import Element
from sesamo_dsl.symbols.exact import NumberTable
from sesamo_dsl.symbols.fermions import Hopping

BETA, U, H = sd.parameters("beta U h")
PAIR, RING, TRIANGLE = nx.path_graph(2), nx.cycle_graph(4), nx.cycle_graph(3)
GRAPHS = {"pair": PAIR, "ring": RING, "triangle": TRIANGLE, "honeycomb": nx.pappus_graph()}


def lattice(name: str, slices: int = 3) -> sd.GraphLattice:
    return sd.GraphLattice(GRAPHS[name], time=slices)


def determinant(name: str, species: int = 1, slices: int = 3, hopping: Any = None) -> sd.FermionLogDet:
    phi = sd.ScalarField("phi", lattice(name, slices))
    return sd.FermionLogDet(GRAPHS[name] if hopping is None else hopping, BETA, phi, species)


def hubbard(name: str, *symmetries: Callable[..., Any], slices: int = 3, extra: Any = 0) -> sd.Theory:
    on = lattice(name, slices)
    phi = sd.ScalarField("phi", on)
    both = [sd.FermionLogDet(hopping=GRAPHS[name], beta=BETA, field=phi, species=s) for s in (1, -1)]
    action = on.sum(phi**2 * slices / (2 * U * BETA) + extra * phi) - both[0] - both[1]
    built = [make(on, phi) for make in symmetries]
    defaults = {BETA: 1.5, U: 3.0} | ({H: 0.1} if extra != 0 else {})
    return sd.Theory("hubbard", fields=[phi], action=action, symmetries=built, defaults=defaults)


def plain(matrix: np.ndarray, beta: float, field: np.ndarray) -> float:
    """log |det(1 + B_Nt … B_1)| as it is written, for few slices."""
    product = np.eye(len(matrix))
    for row in field:
        product = expm(matrix * beta / len(field)) @ np.diag(np.exp(row)) @ product
    return float(np.linalg.slogdet(np.eye(len(matrix)) + product)[1])


@pytest.mark.parametrize("species", [1, -1])
@pytest.mark.parametrize("name", GRAPHS)
def test_values_by_independent_routes(name: str, species: int) -> None:
    node = determinant(name, species)
    (phi,) = node.field.atoms(sp.Symbol)
    x = np.random.default_rng(0).normal(size=(1, *node.lattice.shape))
    matrix = nx.to_numpy_array(GRAPHS[name], nodelist=sorted(GRAPHS[name]))
    expected = plain(matrix, 1.5, species * x[0])
    couplings = {"beta": 1.5}
    assert abs(evaluate(node, x, (phi,), couplings) - expected) < 1e-11 * (1 + abs(expected))
    precise = evaluate(node, x, (phi,), couplings, digits=30)
    assert abs(float(precise) - expected) < 1e-11 * (1 + abs(expected))


def test_large_scales_do_not_mix() -> None:
    node = determinant("ring", slices=60)
    (phi,) = node.field.atoms(sp.Symbol)
    x = np.random.default_rng(1).normal(loc=0.5, scale=1.5, size=(1, 60, 4))
    got = evaluate(node, x, (phi,), {"beta": 8.0})
    precise = float(evaluate(node, x, (phi,), {"beta": 8.0}, digits=30))
    assert abs(got - precise) < 1e-10 * abs(precise)


@pytest.mark.parametrize("hopping", [[[0, 1], [1, 0]], [[0.5, 1], [1, 0.5]]])
@pytest.mark.parametrize("species", [1, -1])
def test_explicit_determinant(hopping: list[list[float]], species: int) -> None:
    node = determinant("pair", species, 2, hopping)
    field = [["0.3", "-1.1"], ["0.7", "0.2"]]
    explicit = node.expand_explicit([[sp.Rational(v) for v in row] for row in field])
    value = float(explicit.subs(BETA, sp.Rational(3, 2)).evalf(40))
    assert abs(value - node.value(np.array(field, dtype=float), 1.5)) < 1e-12
    symbols = node.expand_explicit().free_symbols
    assert {s.name for s in symbols} == {"beta", "phi_0_0", "phi_0_1", "phi_1_0", "phi_1_1"}
    with pytest.raises(FieldError, match="2 slices of 2 values"):
        node.expand_explicit([[0, 0]])


def test_one_site_without_hopping_is_written_out() -> None:
    on = sd.GraphLattice(nx.empty_graph(1), time=2)
    node = sd.FermionLogDet([[0]], 1, sd.ScalarField("phi", on))
    a, b = sp.symbols("a b", real=True)
    assert sp.simplify(sp.exp(node.expand_explicit([[a], [b]])) - 1 - sp.exp(a + b)) == 0


def normal(expr: sp.Expr) -> sp.Expr:
    return NormalForm(NumberTable())(expr)


@pytest.mark.parametrize("name", ["pair", "ring", "honeycomb"])
def test_particle_hole_identity_on_bipartite_graphs(name: str) -> None:
    """log det[φ] = Σ φ + log det[−φ]: used by the normal form, true numerically."""
    plus, minus = determinant(name, 1), determinant(name, -1)
    phi = plus.field
    assert plus.hopping.is_bipartite
    assert normal(plus - minus - plus.lattice.sum(phi)) == 0
    x = np.random.default_rng(2).normal(size=(1, *plus.lattice.shape))
    values = [evaluate(node, x, (phi,), {"beta": 2.0}) for node in (plus, minus)]
    assert abs(values[0] - values[1] - x.sum()) < 1e-10


@pytest.mark.parametrize(
    ("name", "hopping"),
    [("triangle", None), ("pair", [[1, 1], [1, 1]]), ("ring", np.ones((4, 4)) - np.eye(4))],
)
def test_no_such_identity_elsewhere(name: str, hopping: Any) -> None:
    plus, minus = determinant(name, 1, hopping=hopping), determinant(name, -1, hopping=hopping)
    phi = plus.field
    assert not plus.hopping.is_bipartite
    assert normal(plus - minus - plus.lattice.sum(phi)) != 0
    x = np.random.default_rng(2).normal(size=(1, *plus.lattice.shape))
    values = [evaluate(node, x, (phi,), {"beta": 2.0}) for node in (plus, minus)]
    assert abs(values[0] - values[1] - x.sum()) > 1e-3


@pytest.mark.parametrize("name", GRAPHS)
def test_symmetries_of_both_species_are_proved(name: str) -> None:
    theory = hubbard(
        name,
        lambda on, phi: sd.Symmetry("flip", [{phi: -phi}], use="equivariant", exact=True),
        lambda on, phi: Automorphisms(on, exact=True),
        lambda on, phi: Translations(on, exact=True),
        lambda on, phi: PointGroup(on, exact=True),
    )
    analysis = sd.analyse(theory)
    assert [r.status for r in analysis.reports] == ["exact"] * 4
    x = np.random.default_rng(5).normal(size=theory.configuration_shape)
    couplings = theory.parameter_values()
    value = evaluate(theory.action, x, theory.components, couplings)
    for report in analysis.reports:
        for generator in report.group.generators:
            moved = evaluate(theory.action, act(generator, x), theory.components, couplings)
            assert abs(moved - value) < 1e-10 * (1 + abs(value))


def test_one_species_alone_and_wrong_maps_are_refuted() -> None:
    on = lattice("triangle")
    phi = sd.ScalarField("phi", on)
    action = on.sum(phi**2) - sd.FermionLogDet(TRIANGLE, BETA, phi, 1)
    flip = sd.Symmetry("flip", [{phi: -phi}], use="equivariant")
    theory = sd.Theory("alone", fields=[phi], action=action, symmetries=[flip], defaults={BETA: 1.0})
    wrong = hubbard("ring", lambda on, phi: sd.Symmetry("wrong", [node_permutation(on, {0: 1, 1: 0})]))
    for one in (theory, wrong):
        (verdict,) = sd.analyse(one).reports[0].verdicts
        assert verdict.status == "broken"
        found = verdict.counterexample
        assert found is not None
        args = found.configuration, one.components, found.parameters
        assert abs(evaluate(verdict.residual, *args) - found.difference) < 1e-10
        assert abs(found.difference) > 1e-6


def test_flip_that_modulates_and_a_source_that_breaks_it() -> None:
    exact = sd.analyse(hubbard("ring", lambda on, phi: sd.Z2(phi, exact=True)))
    assert exact.breaking == 0
    theory = hubbard("ring", lambda on, phi: sd.Z2(phi), extra=H)
    broken = sd.analyse(theory)
    assert broken.status == "broken"
    assert normal(broken.breaking - theory.lattice.sum(H * theory.components[0])) == 0


@pytest.mark.parametrize("name", ["ring", "triangle"])
def test_flips_of_single_sites_are_broken_and_the_global_one_is_not(name: str) -> None:
    analysis = sd.analyse(hubbard(name, lambda on, phi: sd.Sitewise(sd.Z2(phi))))
    (report,) = analysis.reports
    assert (report.status, report.diagonal, report.factorised) == ("broken", "exact", False)
    assert analysis.breaking.has(sd.FermionLogDet)
    rest = analysis.theory.action - analysis.breaking
    x = np.random.default_rng(6).normal(size=analysis.theory.configuration_shape)
    flipped = x * np.array([-1, 1, -1, 1][: x.shape[-1]])
    couplings = analysis.theory.parameter_values()
    values = [evaluate(rest, y, analysis.theory.components, couplings) for y in (x, flipped)]
    assert abs(values[1] - values[0]) < 1e-10 * (1 + abs(values[0]))


@pytest.mark.parametrize("seed", range(4))
def test_transformed_determinant_is_that_of_the_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    on = lattice("ring", 4)
    phi, chi = sd.ScalarField("phi", on), sd.ScalarField("chi", on)
    weights = rng.integers(-3, 4, size=(4, 4)) / 4
    node = sd.FermionLogDet(weights + weights.T, BETA, phi.shift(0) + chi, -1)
    nodes = tuple(int(i) for i in rng.permutation(4))
    sites = SiteMap(on, (0, 1), (int(rng.choice([-1, 1])), 1), (int(rng.integers(4)), 0), nodes)
    element = Element(sp.ImmutableMatrix([[0, -1], [1, 0]]), sites, (sp.Rational(1, 2), sp.Integer(0)))
    x = rng.normal(size=(2, *on.shape))
    expected = evaluate(node, act(element, x), (phi, chi), {"beta": 1.2})
    image = transformed(node, element, (phi, chi))
    for expr in (image, normal(image)):
        assert abs(evaluate(expr, x, (phi, chi), {"beta": 1.2}) - expected) < 1e-10


def test_compiled_action_agrees() -> None:
    theory = hubbard("triangle", lambda on, phi: sd.Z2(phi), slices=2)
    assert theory.precision == "float64"
    x = np.random.default_rng(7).normal(size=(4, *theory.configuration_shape))
    couplings = theory.parameter_values()
    expected = [evaluate(theory.action, y, theory.components, couplings) for y in x]
    direction = np.random.default_rng(8).normal(size=x.shape)
    step = 1e-5
    for backend in sd.backend_names():
        compiled = sd.compile(theory, backend)
        value, gradient = compiled.evaluate("action_and_gradient", x)
        np.testing.assert_allclose(value, expected, rtol=1e-11)
        ends = [compiled.action(x + s * step * direction) for s in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose((gradient * direction).sum(axis=(1, 2, 3)), slope, rtol=1e-6)


def test_hopping_in_every_spelling() -> None:
    on = lattice("ring")
    phi = sd.ScalarField("phi", on)
    matrix = nx.to_numpy_array(RING, dtype=int)
    spellings = [RING, on, matrix, matrix.tolist(), sp.Matrix(matrix), nx.relabel_nodes(RING, {0: 2, 2: 0})]
    assert len({sd.FermionLogDet(k, 1, phi) for k in spellings}) == 1
    node = sd.FermionLogDet(RING, BETA, phi, -1)
    assert node.func(*node.args) == node
    assert Hopping(node.hopping.matrix) == node.hopping
    assert "logdet" in str(node)
    assert r"\det" in sp.latex(node)


ON = lattice("pair")
PHI, CHI = sd.ScalarField("phi", ON), sd.ComplexField("chi", ON)
FLAT = sd.ScalarField("flat", sd.Lattice(3, 2))
STATIC = sd.ScalarField("static", sd.GraphLattice(PAIR))


def with_precision(precision: Any) -> sd.Theory:
    action = ON.sum(PHI**2) - sd.FermionLogDet(PAIR, BETA, PHI)
    return sd.Theory("p", fields=[PHI], action=action, defaults={BETA: 1}, precision=precision)


BAD: dict[str, tuple[type[SesamoError], Callable[[], object], str]] = {
    "asymmetric": (LatticeError, lambda: sd.FermionLogDet([[0, 1], [2, 0]], 1, PHI), "symmetric"),
    "complex": (LatticeError, lambda: sd.FermionLogDet([[0, sp.I], [sp.I, 0]], 1, PHI), "real symmetric"),
    "coupling": (LatticeError, lambda: sd.FermionLogDet([[0, U], [U, 0]], 1, PHI), "numbers"),
    "wrong size": (LatticeError, lambda: sd.FermionLogDet(np.eye(3), 1, PHI), "2×2"),
    "not square": (LatticeError, lambda: sd.FermionLogDet([[0, 1]], 1, PHI), "2×2"),
    "no matrix": (LatticeError, lambda: sd.FermionLogDet("hop", 1, PHI), "2×2"),
    "other nodes": (LatticeError, lambda: sd.FermionLogDet(TRIANGLE, 1, PHI), "same nodes"),
    "species": (TheoryError, lambda: sd.FermionLogDet(PAIR, 1, PHI, 2), r"species=\+1"),
    "β = 0": (ParameterError, lambda: sd.FermionLogDet(PAIR, 0, PHI), "β > 0"),
    "β < 0": (ParameterError, lambda: sd.FermionLogDet(PAIR, -1.5, PHI), "β > 0"),
    "β of a field": (ParameterError, lambda: sd.FermionLogDet(PAIR, PHI, PHI), "parameters"),
    "flat lattice": (LatticeError, lambda: sd.FermionLogDet(PAIR, 1, FLAT), "GraphLattice"),
    "no time": (LatticeError, lambda: sd.FermionLogDet(PAIR, 1, STATIC), "time=Nt"),
    "no field": (LatticeError, lambda: sd.FermionLogDet(PAIR, 1, 3), "no field"),
    "sum of a field": (FieldError, lambda: sd.FermionLogDet(PAIR, 1, ON.sum(PHI)), "itself"),
    "inside a sum": (
        LatticeError,
        lambda: sd.Theory("p", fields=[PHI], action=ON.sum(PHI**2 * sd.FermionLogDet(PAIR, 1, PHI))),
        "nor a determinant",
    ),
    "default β": (
        ParameterError,
        lambda: sd.Theory("p", fields=[PHI], action=sd.FermionLogDet(PAIR, BETA, PHI), defaults={BETA: -1}),
        "positive inverse temperature",
    ),
    "β at run time": (
        ParameterError,
        lambda: with_precision(None).parameter_values({BETA: 0}),
        "positive inverse temperature",
    ),
    "float32 theory": (TheoryError, lambda: with_precision("float32"), "float64"),
    "float32 model": (OptionError, lambda: sd.compile(with_precision(None), precision="float32"), "float64"),
    "continuous group": (
        GroupError,
        lambda: sd.analyse(
            sd.Theory(
                "p",
                fields=[CHI],
                action=ON.sum(CHI.abs2) - sd.FermionLogDet(PAIR, 1, CHI.re),
                symmetries=[sd.U1(CHI)],
            )
        ),
        "determinants alone",
    ),
    "discovery": (LatticeError, lambda: sd.find_symmetries(with_precision(None)), "declare"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_explained(name: str) -> None:
    error, mistake, words = BAD[name]
    with pytest.raises(error, match=words):
        mistake()
