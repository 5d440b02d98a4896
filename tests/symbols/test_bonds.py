"""Sums over the bonds of a graph: against a loop over its edges, with proofs and refutations."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.algebra.normal_form import NormalForm, transformed
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import act
from sesamo_dsl.errors import GroupError, LatticeError, SesamoError
from sesamo_dsl.groups import Automorphisms, SiteMap
from sesamo_dsl.groups.element import Element
from sesamo_dsl.ir.gradient import with_gradient
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.rounding import error_bounds
from sesamo_dsl.lowering.expressions import arrays, lower
from sesamo_dsl.report.derivation import derivation
from sesamo_dsl.stages.lower import lower_theory
from sesamo_dsl.symbols.exact import NumberTable

J, LAM = sd.parameters("J lam")
COUPLINGS = {"J": 0.7, "lam": 0.3}


def weighted() -> nx.Graph:
    graph = nx.Graph()
    edges = [("a", "b", 0.5), ("a", "d", 0.5), ("b", "c", 2), ("c", "d", 2), ("b", "d", -1)]
    graph.add_weighted_edges_from(edges)
    return graph


GRAPHS: dict[str, nx.Graph] = {
    "triangle": nx.cycle_graph(3),
    "star": nx.star_graph(4),
    "random": nx.gnp_random_graph(7, 0.6, seed=3),
    "weighted": weighted(),
    "disconnected": nx.disjoint_union(nx.cycle_graph(3), nx.path_graph(2)),
}

# f(x, y, w) with the values of two fields at both ends, for SymPy and for NumPy
Pair = Any
DENSITIES: dict[str, Callable[[Pair, Pair, Any, Any], Any]] = {
    "rotor": lambda x, y, w, m: -w * m.cos(x[0] - y[0]),
    "quadratic": lambda x, y, w, m: w**2 * (x[0] - y[0]) ** 2 / 2 + x[0] * y[1] + x[1] * y[0],
    "cubic": lambda x, y, w, m: w * (x[0] ** 2 * y[1] + y[0] ** 2 * x[1]),
    "weight inside": lambda x, y, w, m: m.exp(-((w * (x[0] - y[0])) ** 2)) + m.cos(w) * x[1] * y[1],
    "kink": lambda x, y, w, m: abs(x[0] - y[0]) * w + abs(x[1] * y[1]),
    "pole": lambda x, y, w, m: w / (x[0] - y[0]) ** 2,
}


def action(on: sd.Lattice, phi: Any, chi: Any, name: str, **options: Any) -> sp.Expr:
    f = DENSITIES[name]
    bonds = on.bonds(lambda x, y, w: f((x[phi], x[chi]), (y[phi], y[chi]), w, sp), **options)
    return on.sum(phi**2 / 2 + chi**4 * LAM) + J * bonds


def theory(
    graph: nx.Graph, name: str, *symmetries: Any, time: int | None = None, **options: Any
) -> sd.Theory:
    on = sd.GraphLattice(graph, time=time)
    phi, chi = sd.ScalarField("phi", on), sd.ScalarField("chi", on)
    return sd.Theory(
        "bonds",
        fields=[phi, chi],
        action=action(on, phi, chi, name, **options),
        symmetries=symmetries,
        defaults=COUPLINGS,
    )


def by_hand(graph: nx.Graph, name: str, x: np.ndarray) -> np.ndarray:
    """The same action by a loop over edges, (batch, 2, …, nodes) → (batch,)."""
    position = {node: i for i, node in enumerate(sorted(graph.nodes))}
    phi, chi = x[:, 0], x[:, 1]
    total = (phi**2 / 2 + chi**4 * COUPLINGS["lam"]).sum(axis=tuple(range(1, phi.ndim)))
    for a, b, data in graph.edges(data=True):
        ends = [(phi[..., position[n]], chi[..., position[n]]) for n in (a, b)]
        bond = DENSITIES[name](*ends, data.get("weight", 1), np)
        total = total + COUPLINGS["J"] * bond.reshape(len(x), -1).sum(axis=1)
    return total


@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.parametrize("graph", GRAPHS)
def test_action_and_gradient_everywhere(graph: str, name: str) -> None:
    time = 2 if graph == "random" else None
    declared = theory(GRAPHS[graph], name, time=time)
    x = np.random.default_rng(0).normal(size=(3, *declared.configuration_shape))
    wanted = by_hand(GRAPHS[graph], name, x)
    direct = [evaluate(declared.action, y, declared.components, COUPLINGS) for y in x]
    precise = [evaluate(declared.action, y, declared.components, COUPLINGS, digits=30) for y in x]
    np.testing.assert_allclose(direct, wanted, rtol=1e-12)
    np.testing.assert_allclose(np.array(precise, dtype=float), wanted, rtol=1e-12)
    normal = NormalForm(NumberTable())(declared.action)
    again = [evaluate(normal, y, declared.components, COUPLINGS) for y in x]
    np.testing.assert_allclose(again, wanted, rtol=1e-11)
    program = lower_theory(sd.analyse(declared, normalizable=False))
    value, gradient = run(program, "action_and_gradient", {"x": x}, COUPLINGS)
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    direction = np.random.default_rng(1).normal(size=x.shape)
    step = 1e-6
    up, down = (by_hand(GRAPHS[graph], name, x + s * step * direction) for s in (1, -1))
    slope = (gradient * direction).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-5, atol=1e-6)
    torch = sd.compile(declared, "torch", precision="float64", normalizable=False)
    for got, exact in zip(torch.evaluate("action_and_gradient", x), (value, gradient), strict=True):
        np.testing.assert_allclose(got, exact, rtol=1e-11, atol=1e-11)


def lowered(expr: sp.Expr, components: Any, shape: tuple[int, ...]) -> Program:
    value = lower("value", "S.", expr, components, "value")
    both = with_gradient(value, "value", len(components), "both", "S and its gradient.")
    return Program("t", "", tuple(c.label for c in components), shape, {}, arrays([expr]), {"both": both})


@pytest.mark.parametrize("name", ["cubic", "weight inside"])
def test_the_normal_form_is_lowered_alike(name: str) -> None:
    declared = theory(GRAPHS["weighted"], name, time=3)
    x = np.random.default_rng(2).normal(size=(4, *declared.configuration_shape))
    normal = NormalForm(NumberTable())(declared.action)
    found = [
        run(lowered(expr, declared.components, declared.lattice.shape), "both", {"x": x}, COUPLINGS)
        for expr in (declared.action, normal)
    ]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_rounding_stays_within_its_bounds() -> None:
    declared = theory(GRAPHS["random"], "rotor")
    program = lowered(declared.action, declared.components, declared.lattice.shape)
    x = np.random.default_rng(2).normal(size=(20, *declared.configuration_shape)).astype(np.float32)
    exact = run(program, "both", {"x": x.astype(float)}, COUPLINGS)
    single = run(program, "both", {"x": x}, COUPLINGS)
    bounds = error_bounds(program, "both", x.astype(float), COUPLINGS, roundoff=np.finfo(np.float32).eps)
    for a, b, bound in zip(exact, single, bounds, strict=True):
        assert (np.abs(a - b) <= bound).all()
        assert (bound < 1e-3 * (1 + np.abs(a))).all()


@pytest.mark.parametrize("backend", sd.backend_names())
def test_backends_agree(backend: str) -> None:
    declared = theory(GRAPHS["weighted"], "weight inside", time=2)
    x = np.random.default_rng(5).normal(size=(3, *declared.configuration_shape))
    compiled = sd.compile(declared, backend, precision="float64", normalizable=False)
    program = lower_theory(sd.analyse(declared, normalizable=False))
    wanted = run(program, "action_and_gradient", {"x": x}, COUPLINGS)
    for got, exact in zip(compiled.evaluate("action_and_gradient", x), wanted, strict=True):
        np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-12)


def test_weights_may_be_given_and_bonds_oriented() -> None:
    on = sd.GraphLattice(GRAPHS["triangle"])
    phi = sd.ScalarField("phi", on)
    weights = [0.25, -1.5, 3]
    expr = on.bonds(lambda x, y, w: w * sp.sin(x[phi] - y[phi]), weights=np.array(weights), oriented=True)
    x = np.random.default_rng(1).normal(size=(2, 1, 3))
    wanted = sum(w * np.sin(x[:, 0, i] - x[:, 0, j]) for (i, j, _), w in zip(on.edges, weights, strict=True))
    for spelling in (expr, NormalForm(NumberTable())(expr)):
        np.testing.assert_allclose([evaluate(spelling, y, (phi,), {}) for y in x], wanted, rtol=1e-13)
        np.testing.assert_allclose(
            run(lowered(spelling, (phi,), (3,)), "both", {"x": x})[0], wanted, rtol=1e-13
        )


def test_hypercubic_lattices_have_the_bonds_of_their_directions() -> None:
    on = sd.Lattice(3, 2)
    phi = sd.ScalarField("phi", on)
    expected = on.sum(sum(sp.cos(phi - phi.shift(mu)) for mu in on.directions))
    assert on.bonds(lambda x, y, w: w * sp.cos(x[phi] - y[phi])) == expected
    with pytest.raises(LatticeError, match="SiteConstant"):
        on.bonds(lambda x, y, w: w * x[phi] * y[phi], weights=[1] * 12)


@pytest.mark.parametrize("seed", range(6))
def test_transformed_action_is_the_action_of_the_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    on = sd.GraphLattice(GRAPHS["weighted"], time=4)
    phi, chi = sd.ScalarField("phi", on), sd.ScalarField("chi", on)
    sites = SiteMap(
        on,
        (0, 1),
        (int(rng.choice([-1, 1])), 1),
        (int(rng.integers(4)), 0),
        tuple(int(i) for i in rng.permutation(4)),
    )
    element = Element(sp.ImmutableMatrix([[0, -1], [1, 0]]), sites)
    expr = action(on, phi, chi, list(DENSITIES)[seed % len(DENSITIES)])
    expr += on.bonds(lambda x, y, w: w * x[phi.shift(0)] * y[chi] ** 2, oriented=True)
    x = rng.normal(size=(2, *on.shape))
    wanted = evaluate(expr, act(element, x), (phi, chi), COUPLINGS)
    for image in (transformed(expr, element, (phi, chi)),):
        assert abs(evaluate(image, x, (phi, chi), COUPLINGS) - wanted) < 1e-11 * (1 + abs(wanted))
        normal = NormalForm(NumberTable())(image)
        assert abs(evaluate(normal, x, (phi, chi), COUPLINGS) - wanted) < 1e-11 * (1 + abs(wanted))


@pytest.mark.parametrize(
    ("graph", "order"), [("triangle", 6), ("star", 24), ("weighted", 2), ("disconnected", 12)]
)
@pytest.mark.parametrize("name", ["rotor", "cubic", "weight inside"])
def test_automorphisms_are_proved(graph: str, order: int, name: str) -> None:
    on = sd.GraphLattice(GRAPHS[graph], time=2)
    (report,) = sd.analyse(theory(GRAPHS[graph], name, Automorphisms(on), time=2), normalizable=False).reports
    assert report.status == "exact"
    assert report.group.order == order


def test_weights_that_differ_break_automorphisms() -> None:
    on = sd.GraphLattice(GRAPHS["triangle"])
    declared = theory(GRAPHS["triangle"], "rotor", Automorphisms(on), weights=[1, 1, 0.5])
    analysis = sd.analyse(declared, normalizable=False)
    statuses = {v.status for v in analysis.reports[0].verdicts}
    assert "broken" in statuses
    for verdict in analysis.reports[0].verdicts:
        found = verdict.counterexample
        if found is not None:
            before = evaluate(declared.action, found.configuration, declared.components, found.parameters)
            after = evaluate(
                declared.action,
                act(verdict.generator, found.configuration),
                declared.components,
                found.parameters,
            )
            assert abs(after - before - found.difference) < 1e-9


def test_internal_symmetries_are_proved_or_refuted() -> None:
    on = sd.GraphLattice(GRAPHS["weighted"], time=2)
    phi, chi = sd.ScalarField("phi", on), sd.ScalarField("chi", on)
    both = theory(GRAPHS["weighted"], "quadratic", sd.Z2(phi, chi), sd.Z2(phi), time=2)
    assert [r.status for r in sd.analyse(both, normalizable=False).reports] == ["exact", "broken"]
    spin = sd.VectorField("s", on, 3)
    coupled = on.bonds(lambda x, y, w: -w * x[spin].dot(y[spin]) + sp.exp(-(x[spin].dot(y[spin]) ** 2)))
    heisenberg = sd.Theory(
        "spins",
        fields=[spin],
        action=J * coupled + on.sum(spin.squared**2),
        symmetries=[sd.SO(spin)],
        defaults={J: 1},
    )
    assert sd.analyse(heisenberg, normalizable=False).status == "exact"
    z = sd.ComplexField("z", on)
    hopping = on.bonds(lambda x, y, w: w * sp.re(x[z].conjugate * y[z].value) + x[z].abs2 * y[z].abs2)
    circle = sd.Theory(
        "circle", fields=[z], action=on.sum(z.abs2) - J * hopping, symmetries=[sd.U1(z)], defaults={J: 0.1}
    )
    assert sd.analyse(circle, normalizable=False).status == "exact"
    broken = sd.Theory(
        "broken",
        fields=[z],
        action=on.sum(z.abs2**2) + on.bonds(lambda x, y, w: w * x[z].re * y[z].re),
        symmetries=[sd.U1(z)],
    )
    assert sd.analyse(broken, normalizable=False).status == "broken"


def staggered(density: Callable[..., Any], axes: tuple[int, ...], graph: nx.Graph | None = None) -> str:
    on = sd.GraphLattice(nx.cycle_graph(4) if graph is None else graph, time=2)
    phi = sd.ScalarField("phi", on)
    declared = sd.Theory(
        "signs",
        fields=[phi],
        action=on.sum(phi**4) + on.bonds(lambda x, y, w: density(lambda f: x[f(phi)], lambda f: y[f(phi)])),
        symmetries=[sd.groups.Staggered(phi, axes=axes)],
    )
    return sd.analyse(declared, normalizable=False).status


def later(field: Any) -> Any:
    return field.shift(0)


def here(field: Any) -> Any:
    return field


def test_staggered_signs() -> None:
    assert staggered(lambda x, y: x(here) ** 2 * y(here) ** 2, (0, 1)) == "exact"
    assert staggered(lambda x, y: x(here) * y(here), (0,)) == "exact"
    assert staggered(lambda x, y: x(here) * y(here), (1,)) == "broken"
    assert staggered(lambda x, y: x(here) * y(later) + y(here) * x(later), (0, 1)) == "exact"
    assert staggered(lambda x, y: x(here) * y(later) + y(here) * x(later), (0,)) == "broken"
    assert (
        staggered(lambda x, y: x(here) ** 3 * y(here) + y(here) ** 3 * x(here), (1,), nx.path_graph(3))
        == "broken"
    )
    with pytest.raises(GroupError, match="even and at odd times"):
        staggered(lambda x, y: x(here) ** 2 * y(here) + y(here) ** 2 * x(here), (0,))


def test_a_group_at_every_site() -> None:
    on = sd.GraphLattice(GRAPHS["star"])
    phi = sd.ScalarField("phi", on)

    def status(bond: Callable[[Any, Any], Any]) -> str:
        total = on.sum(phi**4) + on.bonds(lambda x, y, w: bond(x[phi], y[phi]))
        symmetries = [sd.Sitewise(sd.Z2(phi))]
        return sd.analyse(
            sd.Theory("sites", fields=[phi], action=total, symmetries=symmetries), normalizable=False
        ).status

    assert status(lambda x, y: x**2 * y**2 + sp.cos(x) * sp.cos(y)) == "exact"
    assert status(lambda x, y: x * y + x**2 * y**2) == "broken"


def test_copies_and_names() -> None:
    declared = theory(GRAPHS["weighted"], "weight inside")
    again = pickle.loads(pickle.dumps(declared.action))
    assert again == declared.action
    assert "⟨xy⟩" in str(declared.action)
    assert "langle" in sp.latex(declared.action)
    analysis = sd.analyse(theory(GRAPHS["weighted"], "rotor", sd.Z2(*declared.fields)))
    assert r"\langle xy\rangle" in derivation(analysis, "latex")
    assert "⟨xy⟩" in derivation(analysis, "html")
    other = theory(GRAPHS["weighted"], "weight inside", weights=[1, 2, 3, 4, 5])
    assert other.action != declared.action


def pair() -> sd.Theory:
    """Three sites in a row, a Gaussian with a known covariance."""
    on = sd.GraphLattice(nx.path_graph(3))
    phi = sd.ScalarField("phi", on)
    bond = on.bonds(lambda x, y, w: w * (x[phi] - y[phi]) ** 2 / 2)
    return sd.Theory(
        "row",
        fields=[phi],
        action=on.sum(phi**2 / 2) + J * bond,
        defaults={J: 1},
        symmetries=[sd.Z2(phi)],
        observables={"product": on.bonds(lambda x, y, w: x[phi] * y[phi])},
    )


def test_sampled_by_hamiltonian_monte_carlo() -> None:
    covariance = np.linalg.inv(np.array([[2.0, -1.0, 0.0], [-1.0, 3.0, -1.0], [0.0, -1.0, 2.0]]))
    exact = covariance[0, 1] + covariance[1, 2]
    chain = sd.hmc(pair(), seed=1, chains=64, trajectories=400, warm_up=100)
    found = chain.expect("product")
    assert found.error < 0.02
    assert abs(found.value - exact) < 5 * found.error


def test_trained_and_evaluated(tmp_path: Any) -> None:
    compiled = sd.compile(pair(), "torch")
    run_ = compiled.train(steps=2, batch=8, progress=False, directory=tmp_path / "run")
    samples = run_.sample(64)
    x = np.asarray(samples.x, dtype=float)[:, 0]
    wanted = (x**2).sum(axis=1) / 2 + ((x[:, 1:] - x[:, :-1]) ** 2).sum(axis=1) / 2
    np.testing.assert_allclose(compiled.evaluate("action", np.asarray(samples.x))[0], wanted, rtol=1e-5)


ON = sd.GraphLattice(GRAPHS["triangle"])
PHI = sd.ScalarField("phi", ON)
BAD: dict[str, tuple[type[SesamoError], Callable[[], object], str]] = {
    "orientation": (LatticeError, lambda: ON.bonds(lambda x, y, w: sp.sin(x[PHI] - y[PHI])), "oriented=True"),
    "no function": (LatticeError, lambda: ON.bonds(PHI**2), "lambda"),
    "no expression": (LatticeError, lambda: ON.bonds(lambda x, y, w: "x"), "SymPy expression"),
    "weights": (
        LatticeError,
        lambda: ON.bonds(lambda x, y, w: w * x[PHI] * y[PHI], weights=[1, 2]),
        "3 real",
    ),
    "infinite": (
        LatticeError,
        lambda: ON.bonds(lambda x, y, w: w * x[PHI] * y[PHI], weights=[1, 2, float("inf")]),
        "3 real",
    ),
    "hops": (
        LatticeError,
        lambda: ON.bonds(lambda x, y, w: x[ON.neighbours(PHI)] + y[ON.neighbours(PHI)]),
        "end",
    ),
    "running site": (
        LatticeError,
        lambda: ON.bonds(lambda x, y, w: PHI * x[PHI] * y[PHI]),
        "ends of the bond",
    ),
    "other lattice": (
        LatticeError,
        lambda: ON.bonds(lambda x, y, w: x[sd.ScalarField("phi", sd.Lattice(3))]),
        "a field on",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_explained(name: str) -> None:
    error, mistake, words = BAD[name]
    with pytest.raises(error, match=words):
        mistake()
