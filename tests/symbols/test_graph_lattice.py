"""Lattices of the nodes of a graph: neighbours at every stage, maps of the nodes, proofs and refutations."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.algebra.normal_form import NormalForm, transformed
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import act
from sesamo_dsl.errors import FieldError, GroupError, LatticeError, NotClosedError, SesamoError
from sesamo_dsl.groups import Automorphisms, PointGroup, SiteMap, Translations, node_permutation
from sesamo_dsl.groups.automorphisms import automorphisms
from sesamo_dsl.groups.element import Element
from sesamo_dsl.ir.gradient import with_gradient
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.rounding import error_bounds
from sesamo_dsl.lowering.expressions import arrays as constant_arrays
from sesamo_dsl.lowering.expressions import lower
from sesamo_dsl.stages.lower import lower_theory
from sesamo_dsl.symbols.exact import NumberTable

KAPPA, LAM = sd.parameters("kappa lam")
COUPLINGS = {"kappa": 0.3, "lam": 0.2}


def weighted() -> nx.Graph:
    graph = nx.Graph()
    graph.add_weighted_edges_from([("a", "b", 0.5), ("b", "c", 2), ("c", "d", -1), ("a", "d", 0.5)])
    return graph


GRAPHS: dict[str, nx.Graph] = {
    "two sites": nx.path_graph(2),
    "ring": nx.cycle_graph(6),
    "square torus": nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4, periodic=True)),
    "honeycomb torus": nx.pappus_graph(),
    "weighted": weighted(),
    "disconnected": nx.disjoint_union(nx.cycle_graph(3), nx.path_graph(2)),
}


def lattice(name: str, time: int | None = 4) -> sd.GraphLattice:
    return sd.GraphLattice(GRAPHS[name], time=time)


def phi4(on: sd.GraphLattice, *symmetries: Any) -> sd.Theory:
    phi = sd.ScalarField("phi", on)
    hopping = phi * on.neighbours(phi) + 2 * sum(phi * phi.shift(mu) for mu in on.directions)
    action = on.sum(-KAPPA * hopping + (1 - 2 * LAM) * phi**2 + LAM * phi**4)
    defaults = {KAPPA: 0.3, LAM: 0.2}
    return sd.Theory("phi4", fields=[phi], action=action, symmetries=symmetries, defaults=defaults)


def adjacency(name: str) -> np.ndarray:
    graph = GRAPHS[name]
    return nx.to_numpy_array(graph, nodelist=sorted(graph.nodes))


def by_hand(name: str, x: np.ndarray) -> np.ndarray:
    """The action of ``phi4`` with NumPy alone, (batch, 1, time, nodes) → (batch,)."""
    phi = x[:, 0]
    hopping = phi * (phi @ adjacency(name)) + 2 * phi * np.roll(phi, -1, axis=1)
    k, g = COUPLINGS["kappa"], COUPLINGS["lam"]
    return (-k * hopping + (1 - 2 * g) * phi**2 + g * phi**4).sum(axis=(1, 2))


@pytest.mark.parametrize("name", GRAPHS)
def test_action_and_gradient_everywhere(name: str) -> None:
    theory = phi4(lattice(name))
    x = np.random.default_rng(0).normal(size=(3, *theory.configuration_shape))
    expected = by_hand(name, x)
    direct = [evaluate(theory.action, y, theory.components, COUPLINGS) for y in x]
    precise = [evaluate(theory.action, y, theory.components, COUPLINGS, digits=30) for y in x]
    np.testing.assert_allclose(direct, expected, rtol=1e-13)
    np.testing.assert_allclose(np.array(precise, dtype=float), expected, rtol=1e-13)
    program = lower_theory(sd.analyse(theory))
    value, gradient = run(program, "action_and_gradient", {"x": x}, COUPLINGS)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    direction = np.random.default_rng(1).normal(size=x.shape)
    step = 1e-5
    slope = (by_hand(name, x + step * direction) - by_hand(name, x - step * direction)) / (2 * step)
    np.testing.assert_allclose((gradient * direction).sum(axis=(1, 2, 3)), slope, rtol=1e-7)
    for backend in sd.backend_names():
        compiled = sd.compile(theory, backend, precision="float64")
        for got, wanted in zip(compiled.evaluate("action_and_gradient", x), (value, gradient), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["ring", "weighted"])
def test_rounding_stays_within_its_bounds(name: str) -> None:
    theory = phi4(lattice(name))
    lowered = lower("action", "S.", theory.action, theory.components, "action")
    both = with_gradient(lowered, "action", 1, "both", "S and its gradient.")
    arrays = constant_arrays([theory.action])
    program = Program("t", "", ("phi",), theory.lattice.shape, dict(COUPLINGS), arrays, {"both": both})
    x = np.random.default_rng(2).normal(size=(20, *theory.configuration_shape))
    rounded = x.astype(np.float32).astype(float)
    exact = run(program, "both", {"x": rounded}, COUPLINGS)
    single = run(program, "both", {"x": rounded.astype(np.float32)}, COUPLINGS)
    bounds = error_bounds(program, "both", rounded, COUPLINGS, roundoff=np.finfo(np.float32).eps)
    for a, b, bound in zip(exact, single, bounds, strict=True):
        assert (np.abs(a - b) <= bound).all()
        assert (bound < 1e-3 * (1 + np.abs(a))).all()


def test_hops_add_up_and_settle_on_one_factor() -> None:
    on = lattice("ring")
    phi, chi = sd.ScalarField("phi", on), sd.ScalarField("chi", on)
    normalize = NormalForm(NumberTable())
    once, other = on.neighbours(phi), on.neighbours(chi)
    assert normalize(on.sum(phi * other)) == normalize(on.sum(chi * once))
    assert normalize(on.sum(once * other)) == normalize(on.sum(phi * on.neighbours(other)))
    assert normalize(on.sum(once**2)) == normalize(on.sum(phi * on.neighbours(once)))
    assert normalize(on.sum(once.shift(0) * chi)) == normalize(on.sum(phi * other.shift(0, -1)))
    assert normalize(on.sum(once) - 2 * on.sum(phi)) == 0
    assert normalize(on.sum(phi**2 * other) - on.sum(phi**2 * chi)) != 0
    values = np.random.default_rng(0).normal(size=(2, 4, 6))
    expected = values[0] @ np.linalg.matrix_power(adjacency("ring"), 2)
    got = evaluate(on.sum(phi * on.neighbours(once)), values, (phi, chi), {})
    assert abs(got - (values[0] * expected).sum()) < 1e-12


ORDERS = {
    "two sites": 2,
    "ring": 12,
    "square torus": 384,
    "honeycomb torus": 216,
    "weighted": 1,
    "disconnected": 12,
}


@pytest.mark.parametrize("name", GRAPHS)
def test_automorphisms_are_all_of_them(name: str) -> None:
    on = lattice(name, None)
    maps, order = automorphisms(on)
    assert order == ORDERS[name]
    a = adjacency(name)
    for site_map in maps:
        images = list(site_map.nodes)
        assert np.array_equal(a[np.ix_(images, images)], a)
    theory = phi4(on, Automorphisms(on))
    (report,) = sd.analyse(theory).reports
    assert report.status == "exact"
    assert report.group.order == ORDERS[name]


def test_large_groups_are_counted_and_not_listed() -> None:
    on = sd.GraphLattice(nx.star_graph(12))
    maps, order = automorphisms(on)
    assert order == factorial(12)
    assert len(maps) == 11
    with pytest.raises(NotClosedError, match="subgroup"):
        Automorphisms(on)


@pytest.mark.parametrize("name", GRAPHS)
def test_space_and_time_are_proved(name: str) -> None:
    on = lattice(name)
    theory = phi4(on, Automorphisms(on, exact=True), Translations(on, exact=True), PointGroup(on, exact=True))
    analysis = sd.analyse(theory)
    assert [r.status for r in analysis.reports] == ["exact"] * 3
    assert analysis.reports[1].group.order == 4
    assert analysis.reports[2].group.order == 2


def test_field_flip_is_proved_and_a_wrong_map_is_refuted() -> None:
    on = lattice("ring")
    phi = sd.ScalarField("phi", on)
    wrong = sd.Symmetry("wrong", [node_permutation(on, {0: 2, 2: 0})])
    analysis = sd.analyse(phi4(on, sd.Z2(phi), wrong))
    flip, bad = analysis.reports
    assert flip.status == "exact"
    (verdict,) = bad.verdicts
    assert verdict.status == "broken"
    found = verdict.counterexample
    assert found is not None
    x = found.configuration[None]
    moved = x.copy()
    moved[..., [0, 2]] = x[..., [2, 0]]

    def plain(y: np.ndarray) -> float:
        k, g = found.parameters["kappa"], found.parameters["lam"]
        hopping = y[:, 0] * (y[:, 0] @ adjacency("ring")) + 2 * y[:, 0] * np.roll(y[:, 0], -1, axis=1)
        return float((-k * hopping + (1 - 2 * g) * y[:, 0] ** 2 + g * y[:, 0] ** 4).sum())

    assert abs(found.difference) > 1e-3
    assert abs(plain(moved) - plain(x) - found.difference) < 1e-12
    residual = evaluate(verdict.residual, found.configuration, analysis.theory.components, found.parameters)
    assert abs(residual - found.difference) < 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_transformed_action_is_the_action_of_the_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    on = lattice("weighted")
    phi, chi = sd.ScalarField("phi", on), sd.ScalarField("chi", on)
    nodes = tuple(int(i) for i in rng.permutation(4))
    sites = SiteMap(on, (0, 1), (int(rng.choice([-1, 1])), 1), (int(rng.integers(4)), 0), nodes)
    element = Element(sp.ImmutableMatrix([[0, -1], [1, 0]]), sites)
    assert (sites @ sites.inverse).is_identity
    twice = on.neighbours(on.neighbours(chi))
    action = on.sum(phi**2 * on.neighbours(chi).shift(0) + sp.exp(twice * phi / 50) + phi.shift(0, 2) * chi)
    x = rng.normal(size=(2, *on.shape))
    image = transformed(action, element, (phi, chi))
    expected = evaluate(action, act(element, x), (phi, chi), {})
    assert abs(evaluate(image, x, (phi, chi), {}) - expected) < 1e-12 * (1 + abs(expected))
    normal = NormalForm(NumberTable())(image)
    assert abs(evaluate(normal, x, (phi, chi), {}) - expected) < 1e-12 * (1 + abs(expected))


def test_complex_fields_on_graphs_have_their_circle() -> None:
    on = lattice("honeycomb torus", 2)
    chi = sd.ComplexField("chi", on)
    action = on.sum(-KAPPA * chi.dot(on.neighbours(chi)) + chi.abs2 + LAM * chi.abs2**2)
    theory = sd.Theory("circle", fields=[chi], action=action, symmetries=[sd.U1(chi, exact=True)])
    assert sd.analyse(theory).status == "exact"


def test_lattices_and_fields_know_themselves() -> None:
    one, same, other = lattice("ring"), lattice("ring"), sd.GraphLattice(nx.path_graph(6), time=4)
    assert one == same
    assert hash(one) == hash(same)
    assert len({one, other, sd.Lattice(4, 6)}) == 3
    fields = [sd.ScalarField("phi", on) for on in (one, same, other, sd.Lattice(4, 6))]
    assert fields[0] == fields[1]
    assert len(set(fields)) == 3
    assert one.neighbours(fields[0]) != fields[0]
    assert lattice("weighted").nodes == ("a", "b", "c", "d")
    assert lattice("weighted").adjacency[0, 1] == sp.Rational(1, 2)
    assert str(one) == "GraphLattice(6 nodes, 6 edges, time=4)"


def directed() -> nx.DiGraph:
    return nx.DiGraph([(0, 1)])


def looped() -> nx.Graph:
    return nx.Graph([(0, 1), (1, 1)])


RING = lattice("ring")
FIELD = sd.ScalarField("phi", RING)
BAD: dict[str, tuple[type[SesamoError], Callable[[], object], str]] = {
    "directed": (LatticeError, lambda: sd.GraphLattice(directed()), "undirected"),
    "multigraph": (LatticeError, lambda: sd.GraphLattice(nx.MultiGraph([(0, 1)])), "undirected"),
    "no graph": (LatticeError, lambda: sd.GraphLattice([(0, 1)]), "networkx"),
    "empty": (LatticeError, lambda: sd.GraphLattice(nx.Graph()), "at least one node"),
    "loop": (LatticeError, lambda: sd.GraphLattice(looped()), "loop"),
    "no time": (LatticeError, lambda: sd.GraphLattice(nx.path_graph(2), time=0), "slices"),
    "half a slice": (LatticeError, lambda: sd.GraphLattice(nx.path_graph(2), time=1.5), "slices"),
    "weight": (LatticeError, lambda: sd.GraphLattice(nx.Graph([(0, 1, {"weight": "x"})])), "real number"),
    "weight 0": (LatticeError, lambda: sd.GraphLattice(nx.Graph([(0, 1, {"weight": 0})])), "other than 0"),
    "graph shift": (LatticeError, lambda: FIELD.shift(1), "the graph axis"),
    "no time axis": (LatticeError, lambda: lattice("ring", None).axis(0), "no shift"),
    "hypercubic": (FieldError, lambda: sd.ScalarField("phi", sd.Lattice(4)).neighbours(), "GraphLattice"),
    "other field": (LatticeError, lambda: lattice("weighted").neighbours(FIELD), "on this lattice"),
    "expression": (LatticeError, lambda: RING.neighbours(FIELD**2), "linear"),
    "unknown node": (LatticeError, lambda: node_permutation(RING, {0: 9}), "unknown nodes"),
    "no bijection": (LatticeError, lambda: node_permutation(RING, {0: 1}), "exactly once"),
    "hypercubic maps": (LatticeError, lambda: node_permutation(sd.Lattice(4), {0: 1}), "GraphLattice"),
    "axes exchanged": (LatticeError, lambda: SiteMap(RING, (0, 1), (1, -1), (0, 0)), "no step or sign"),
    "automorphisms": (LatticeError, lambda: Automorphisms(sd.Lattice(4)), "PointGroup"),
    "discovery": (LatticeError, lambda: sd.find_symmetries(phi4(RING)), "declare"),
    "modulated map": (
        GroupError,
        lambda: sd.analyse(phi4(RING, Automorphisms(RING, use="modulate"))),
        "only move sites",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_explained(name: str) -> None:
    error, mistake, words = BAD[name]
    with pytest.raises(error, match=words):
        mistake()
