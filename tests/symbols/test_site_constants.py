"""Site-dependent couplings: random fields, bond couplings and masses that vary, against plain NumPy."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp
import torch

import sesamo_dsl as sd
from sesamo_dsl.algebra.normal_form import NormalForm
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.errors import FieldError, LatticeError, ParameterError, RunError, TheoryError
from sesamo_dsl.groups.site_map import node_permutation, reflection, rotation, translation
from sesamo_dsl.groups.symmetry import Generator
from sesamo_dsl.ir.interpreter import run as interpret
from sesamo_dsl.landscape.minima import find_minima
from sesamo_dsl.report.derivation import derivation
from sesamo_dsl.runs import digest
from sesamo_dsl.symbols.exact import NumberTable
from sesamo_dsl.symbols.site_constants import SiteConstant
from sesamo_dsl.testing import theory_suite

RNG = np.random.default_rng(7)
SQUARE = sd.Lattice(3, 4)
PHI = sd.ScalarField("phi", SQUARE)
FIELD = RNG.normal(size=(3, 4)).round(3)
MASS = RNG.uniform(1, 2, size=(3, 4)).round(3)
BONDS = [RNG.normal(size=(3, 4)).round(3) for _ in range(2)]


def disordered(**options: Any) -> sd.Theory:
    """φ⁴ on a torus with a random field, a mass that varies and bond couplings given at run time."""
    h, mass = SiteConstant("h", SQUARE, FIELD), SiteConstant("mass", SQUARE, MASS)
    bonds = [SiteConstant(f"J{mu}", SQUARE) for mu in SQUARE.directions]
    hopping = sum(j * PHI * PHI.shift(mu) for mu, j in enumerate(bonds))
    return sd.Theory(
        "disordered",
        fields=[PHI],
        action=SQUARE.sum(mass * PHI**2 / 2 + PHI**4 / 8 - hopping / 4 + h * PHI),
        symmetries=[sd.Z2(PHI)],
        defaults=dict(zip(bonds, BONDS, strict=True)),
        observables={"backward": SQUARE.sum(bonds[1].shift(1, -1) * PHI.shift(1, -1) * PHI)},
        **options,
    )


def plain_action(x: np.ndarray, bonds: list[np.ndarray]) -> np.ndarray:
    """The same action in NumPy, written independently."""
    f = x[:, 0]
    hopping = sum(j * f * np.roll(f, -1, axis=mu + 1) for mu, j in enumerate(bonds))
    return (MASS * f**2 / 2 + f**4 / 8 - hopping / 4 + FIELD * f).sum(axis=(1, 2))


def plain_gradient(x: np.ndarray, bonds: list[np.ndarray]) -> np.ndarray:
    f = x[:, 0]
    slope = MASS * f + f**3 / 2 + FIELD
    for mu, j in enumerate(bonds):
        slope = slope - (j * np.roll(f, -1, mu + 1) + np.roll(j * f, 1, mu + 1)) / 4
    return slope[:, None]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_both_backends_agree_with_numpy_at_any_values(backend: str) -> None:
    compiled = sd.compile(disordered(precision="float64"), backend)
    x = RNG.normal(size=(5, 1, 3, 4))
    for bonds in (BONDS, [RNG.normal(size=(3, 4)) for _ in range(2)]):
        couplings = {f"J{mu}": j for mu, j in enumerate(bonds)}
        np.testing.assert_allclose(compiled.action(x, couplings), plain_action(x, bonds), rtol=1e-13)
        action, slope = compiled.evaluate("action_and_gradient", x, couplings)
        np.testing.assert_allclose(action, plain_action(x, bonds), rtol=1e-13)
        np.testing.assert_allclose(slope, plain_gradient(x, bonds), rtol=1e-12, atol=1e-13)
        f = x[:, 0]
        expected = (np.roll(bonds[1] * f, 1, 2) * f).sum(axis=(1, 2))
        backward = compiled.evaluate("observable_backward", x, couplings)[0]
        np.testing.assert_allclose(backward, expected, rtol=1e-12, atol=1e-13)
        source = (FIELD * f).sum(axis=(1, 2))
        np.testing.assert_allclose(compiled.evaluate("breaking", x, couplings)[0], source, rtol=1e-12)


def test_symbolic_values_and_the_interpreter_agree_with_numpy() -> None:
    theory = disordered()
    program = sd.compile(theory, "torch").program
    x = RNG.normal(size=(2, 1, 3, 4))
    values = theory.parameter_values()
    np.testing.assert_allclose(interpret(program, "action", {"x": x}, values)[0], plain_action(x, BONDS))
    for digits in (None, 30):
        one = float(evaluate(theory.action, x[0], theory.components, values, digits=digits))
        assert one == pytest.approx(plain_action(x, BONDS)[0], rel=1e-12)


def test_the_emitted_module_stands_alone() -> None:
    compiled = sd.compile(disordered(precision="float64"), "torch")
    text = compiled.source_path.read_text(encoding="utf-8")
    assert "SITES_h = " in text
    assert "def action(x, J0" in text
    space: dict[str, Any] = {}
    exec(compile(text, "emitted", "exec"), space)
    x = RNG.normal(size=(2, 1, 3, 4))
    values = space["action"](torch.tensor(x), *space["PARAMETERS"].values())
    np.testing.assert_allclose(values.numpy(), plain_action(x, BONDS), rtol=1e-12)


def test_a_random_field_breaks_the_sign_flip_and_is_all_that_does() -> None:
    analysis = sd.analyse(disordered())
    assert analysis.reports[0].status == "broken"
    assert analysis.breaking == SQUARE.sum(SiteConstant("h", SQUARE, FIELD) * PHI)
    assert "S₁ = Σ_x[h*phi]" in analysis.text().replace("phi*h", "h*phi")
    for form in ("text", "latex", "html"):
        shown = derivation(analysis, form)
        assert f"{FIELD.min():g}" in shown
        assert f"{FIELD.max():g}" in shown


def test_an_internal_symmetry_is_exact_at_all_values() -> None:
    chi = sd.ComplexField("chi", SQUARE)
    mass, j = SiteConstant("mass", SQUARE, MASS), SiteConstant("J", SQUARE)
    action = SQUARE.sum(mass * chi.abs2 + chi.abs2**2 - j * chi.dot(chi.shift(0)))
    theory = sd.Theory("xy", fields=[chi], action=action, symmetries=[sd.U1(chi)], defaults={j: BONDS[0]})
    assert sd.analyse(theory).lie_reports[0].status == "exact"
    source = SQUARE.sum(SiteConstant("h", SQUARE, FIELD) * chi.re)
    broken = sd.Theory("xy_h", fields=[chi], action=action + source, symmetries=[sd.U1(chi)])
    analysis = sd.analyse(broken)
    assert analysis.lie_reports[0].status == "broken"
    assert analysis.breaking == source
    assert analysis.linear_source is None  # a uniform source has an exact law; this one is not uniform


RING = sd.Lattice(4)
SPIN = sd.ScalarField("s", RING)


def status(density: sp.Expr, *maps: Any) -> str:
    theory = sd.Theory(
        "ring",
        fields=[SPIN],
        action=RING.sum(SPIN**2 - SPIN * SPIN.shift(0) / 2 + density),
        symmetries=[sd.Symmetry("map", list(maps), use="equivariant")],
    )
    return sd.analyse(theory, normalizable=False).reports[0].status


@pytest.mark.parametrize(
    ("values", "steps", "expected"),
    [
        ([1, -1, 1, -1], 1, "broken"),
        ([1, -1, 1, -1], 2, "exact"),
        ([0.3, 0.1, 0.3, 0.1], 2, "exact"),
        ([0.3, 0.1, 0.3, 0.2], 2, "broken"),
        ([0.7, 0.7, 0.7, 0.7], 1, "exact"),
    ],
)
def test_a_translation_holds_exactly_where_the_values_repeat(values, steps, expected) -> None:
    h = SiteConstant("h", RING, values)
    move = translation(RING, 0, steps)
    for density in (h * SPIN, h**2 * SPIN**2 + h.shift(0) * SPIN, sp.cos(h * SPIN)):
        even = density == sp.cos(h * SPIN) and values == [1, -1, 1, -1]
        assert status(density, move) == ("exact" if even else expected)


def test_values_given_at_run_time_break_every_translation() -> None:
    assert status(SiteConstant("J", RING) * SPIN * SPIN.shift(0), translation(RING, 0, 2)) == "broken"


def test_a_staggered_source_is_odd_under_a_translation() -> None:
    stagger = SiteConstant("stagger", RING, [1, -1, 1, -1])
    both = Generator({SPIN: -SPIN}, translation(RING, 0))
    assert status(stagger * SPIN, both) == "exact"
    assert status(stagger * SPIN + SPIN.shift(0) * stagger.shift(0) * SPIN**2, both) == "exact"
    assert status(stagger * SPIN + SPIN / 7, both) == "broken"


def test_coefficients_move_with_their_monomials() -> None:
    """Σ J(x) φ(x) φ(x+1) is Σ J(x−1) φ(x−1) φ(x), and not Σ J(x) φ(x−1) φ(x)."""
    j = SiteConstant("J", RING, [0.1, 0.2, 0.3, 0.5])
    same = RING.sum(j * SPIN * SPIN.shift(0) - j.shift(0, -1) * SPIN.shift(0, -1) * SPIN)
    other = RING.sum(j * SPIN * SPIN.shift(0) - j * SPIN.shift(0, -1) * SPIN)
    assert NormalForm(NumberTable())(same) == 0
    assert NormalForm(NumberTable())(other) != 0


def test_reflections_and_rotations_carry_the_values_along() -> None:
    lattice = sd.Lattice(3, 3)
    phi = sd.ScalarField("phi", lattice)
    bump = np.zeros((3, 3))
    bump[0, 0], bump[1, 0], bump[0, 1], bump[2, 0], bump[0, 2] = 1, 0.5, 0.5, 0.5, 0.5
    lopsided = bump.copy()
    lopsided[1, 0] = 0.25
    for values, expected in ((bump, "exact"), (lopsided, "broken")):
        h = SiteConstant("h", lattice, values)
        action = lattice.sum(phi**2 + h * phi - sum(phi * phi.shift(mu) for mu in (0, 1)) / 4)
        symmetries = [sd.Symmetry("turn", [rotation(lattice, 0, 1)])]
        theory = sd.Theory("bump", fields=[phi], action=action, symmetries=symmetries)
        assert sd.analyse(theory).reports[0].status == expected
    mirrored = SiteConstant("h", RING, [1, 2, 3, 2])
    assert status(mirrored * SPIN, reflection(RING, 0)) == "exact"
    assert status(mirrored.shift(0) * SPIN, reflection(RING, 0)) == "broken"


def test_sums_of_constants_are_added_up() -> None:
    """h₁ + h₂ with opposite values cancel, whatever they are called, and constants are numbers."""
    a = SiteConstant("a", RING, [0.1, 0.2, 0.3, 0.4])
    b = SiteConstant("b", RING, [-0.2, -0.4, -0.6, -0.8])
    form = NormalForm(NumberTable())
    assert form(RING.sum((2 * a + b) * SPIN**3)) == 0
    assert form(RING.sum((sp.sqrt(2) * a + b / sp.sqrt(2)) * SPIN**3)) == 0
    assert form(RING.sum((a + b) * SPIN**3)) != 0
    assert form(RING.sum(a * a.shift(0))) == sp.Rational("0.1") ** 2 * (2 + 6 + 12 + 4)


def test_find_symmetries_claims_no_translation_that_the_values_break() -> None:
    def found(values: Any) -> Any:
        h = SiteConstant("h", RING, values)
        action = RING.sum(SPIN**2 + SPIN**4 - SPIN * SPIN.shift(0) / 2 + h * SPIN**2)
        return sd.find_symmetries(sd.Theory("ring", fields=[SPIN], action=action))

    striped = found([1, 2, 1, 2])
    assert striped.lattice.periods == (2,)
    assert "translations Z2" in striped.text()
    assert any("translations were tried" in limit for limit in striped.limits)
    disorder = found([0.1, 0.7, 0.4, 0.2])
    assert disorder.lattice.order == 1
    assert disorder.internal.order == 2  # φ → −φ
    assert found([3, 3, 3, 3]).lattice.order == 8


def test_log_z_of_a_gaussian_with_a_random_field_and_mass() -> None:
    """log Z = (n log 2π − log det K + h·K⁻¹h)/2, and samples with their weights agree with it."""
    mass = np.array([1.5, 2.5, 2.0, 1.8])
    h = np.array([0.3, -0.4, 0.2, 0.1])
    action = RING.sum(
        SiteConstant("mass", RING, mass) * SPIN**2 / 2
        - SPIN * SPIN.shift(0) / 4
        + SiteConstant("h", RING) * SPIN
    )
    theory = sd.Theory("gauss", fields=[SPIN], action=action)
    K = np.diag(mass) - (np.roll(np.eye(4), 1, axis=0) + np.roll(np.eye(4), -1, axis=0)) / 4
    expected = (4 * np.log(2 * np.pi) - np.linalg.slogdet(K)[1] + h @ np.linalg.solve(K, h)) / 2
    run = sd.compile(theory, "torch").train(parameters={"h": h}, steps=20, progress=False, directory=None)
    samples = run.sample(20_000)
    assert abs(samples.log_z.value - expected) < 5 * samples.log_z.error
    assert samples.log_z.error < 0.02
    assert any("depend on the site" in note for note in samples.notes)


def test_a_run_keeps_the_values_and_knows_others(tmp_path: Path) -> None:
    theory = disordered()
    compiled = sd.compile(theory, "torch")
    flow = sd.FlowSpec(layers=2, hidden=(4,), kernel=3)
    run = compiled.train(steps=2, batch=16, flow=flow, progress=False, directory=tmp_path / "run")
    again = sd.load_run(tmp_path / "run", theory=disordered())
    for name, values in run.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], values)
    np.testing.assert_array_equal(again.sample(50).x, run.sample(50).x)
    other = sd.load_run(tmp_path / "run", theory=disordered(), backend="jax")
    np.testing.assert_allclose(other.log_prob(run.sample(8).x), run.log_prob(run.sample(8).x), rtol=1e-4)
    h, mass = SiteConstant("h", SQUARE, FIELD + 1e-9), SiteConstant("mass", SQUARE, MASS)
    changed = theory.with_action(theory.action.xreplace({SiteConstant("h", SQUARE, FIELD): h}))
    assert digest(sd.compile(changed, "torch")) != digest(compiled)
    with pytest.raises(RunError, match="compiled program differs"):
        sd.load_run(tmp_path / "run", theory=changed)
    assert mass in theory.site_constants


def test_arrays_in_a_density_are_refused_with_the_way_to_declare_them() -> None:
    values = np.array([0.1, -0.3, 0.2, 0.5])
    with pytest.raises(LatticeError, match="SiteConstant"):
        RING.sum(SPIN**2 + values * SPIN)
    source = sum(float(values[i]) * SPIN.shift(0, i) for i in range(4))
    with pytest.raises(TheoryError, match="SiteConstant"):
        sd.Theory("t", fields=[SPIN], action=RING.sum(SPIN**2) + source)
    position = sp.Symbol("i", integer=True)
    with pytest.raises(ParameterError, match="SiteConstant"):
        sd.Theory("t", fields=[SPIN], action=RING.sum(SPIN**2 + (-1) ** position * SPIN))


@pytest.mark.parametrize(
    "values",
    [
        np.ones(3),
        np.ones((4, 1)),
        1.0,
        [1, 2, 3],
        [[1], [2, 3]],
        [1, 2, np.nan, 4],
        [1, 2, np.inf, 4],
        [1j, 1, 1, 1],
        ["1", "1", "1", "1"],
        [True, False, True, False],
        "1234",
    ],
)
def test_wrong_values_are_refused(values: Any) -> None:
    with pytest.raises(ParameterError, match="h"):
        SiteConstant("h", RING, values)


def test_wrong_declarations_are_refused() -> None:
    with pytest.raises(ParameterError, match="lattice"):
        SiteConstant("h", [1, 2, 3, 4])  # pyright: ignore[reportArgumentType]
    with pytest.raises(FieldError):
        SiteConstant("two words", RING)
    with pytest.raises(LatticeError, match="Lattice"):
        RING.sum(SiteConstant("h", sd.Lattice(5), np.ones(5)) * SPIN)
    with pytest.raises(FieldError, match="whole"):
        SiteConstant("h", RING).shift(0, 0.5)  # pyright: ignore[reportArgumentType]
    one, two = SiteConstant("h", RING, np.arange(4)), SiteConstant("h", RING, np.arange(4) + 1)
    with pytest.raises(ParameterError, match="twice"):
        sd.Theory("t", fields=[SPIN], action=RING.sum(SPIN**2 + (one + two) * SPIN))
    with pytest.raises(TheoryError, match="real"):
        sd.Theory("t", fields=[SPIN], action=RING.sum(SPIN**2 + sp.sqrt(one.shift(0) - 1) * SPIN))


def test_values_at_run_time_are_checked() -> None:
    j = SiteConstant("J", RING)
    theory = sd.Theory("t", fields=[SPIN], action=RING.sum(SPIN**2 + j * SPIN))
    compiled = sd.compile(theory, "torch")
    x = RNG.normal(size=(2, 1, 4))
    for wrong in (np.ones(3), [1, 2, np.nan, 4], "1"):
        with pytest.raises(ParameterError, match="J"):
            compiled.action(x, {"J": wrong})
    with pytest.raises(ParameterError, match="none for J"):
        compiled.action(x)
    # a number is the same at every site
    same = compiled.action(x, {j: 0.3})
    np.testing.assert_allclose(same, (x[:, 0] ** 2 + 0.3 * x[:, 0]).sum(axis=1), rtol=1e-6)
    given = SiteConstant("h", RING, np.arange(4))
    fixed = sd.Theory("t", fields=[SPIN], action=RING.sum(SPIN**2 + given * SPIN))
    with pytest.raises(ParameterError, match="without values"):
        fixed.parameter_values({"h": np.ones(4)})


def test_site_constants_survive_copies() -> None:
    for h in (SiteConstant("h", RING, [1, 2, 3, 4]).shift(0), SiteConstant("h", RING).shift(0)):
        for twin in (pickle.loads(pickle.dumps(h)), copy.deepcopy(h)):
            assert twin == h
            assert hash(twin) == hash(h)
            assert twin.offset == (1,)
    assert SiteConstant("h", RING, [1, 2, 3, 4]) != SiteConstant("h", RING, [1, 2, 3, 5])


def test_minima_of_a_disordered_action_are_no_translations_of_each_other() -> None:
    """Two wells at each of three sites, whose depths differ: eight minima, not four up to translations."""
    ring = sd.Lattice(3)
    spin = sd.ScalarField("s", ring)
    h = SiteConstant("h", ring, [0.2, -0.2, 0.1])
    action = ring.sum((spin**2 - 4) ** 2 / 2 - spin * spin.shift(0) / 40 + h * spin)
    program = sd.compile(sd.Theory("wells", fields=[spin], action=action), "torch").program
    found = find_minima(program, {})
    signs = {tuple(np.sign(m.configuration[0])) for m in found}
    assert len(found) == len(signs) == 8
    best = min(found, key=lambda m: m.action)
    assert tuple(np.sign(best.configuration[0])) == (-1, 1, -1)


GLASS = nx.cycle_graph(3)
NODES = sd.GraphLattice(GLASS)
THETA = sd.ScalarField("theta", NODES)


def test_fields_that_differ_between_the_nodes_of_a_graph() -> None:
    """A φ⁴ spin glass with a field of its own at every node, against quadrature over all three."""
    for edge, coupling in zip(GLASS.edges, (0.8, -0.6, 0.3), strict=True):
        GLASS.edges[edge]["weight"] = coupling
    nodes = sd.GraphLattice(GLASS)
    phi = sd.ScalarField("phi", nodes)
    field = np.array([0.3, -0.2, 0.1])
    action = nodes.sum(
        phi**2 / 2 + phi**4 / 4 - phi * nodes.neighbours(phi) / 2 + SiteConstant("h", nodes, field) * phi
    )
    theory = sd.Theory("glass", fields=[phi], action=action, symmetries=[sd.Z2(phi)])
    assert sd.analyse(theory).reports[0].status == "broken"
    axis = np.linspace(-5, 5, 121)
    x = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    bonds = sum(d["weight"] * x[..., a] * x[..., b] for a, b, d in GLASS.edges(data=True))
    exact = (x**2 / 2 + x**4 / 4 + field * x).sum(axis=-1) - bonds
    expected = np.log(np.exp(-exact).sum() * (axis[1] - axis[0]) ** 3)
    compiled = sd.compile(theory, "torch")
    some = x.reshape(-1, 1, 3)[::9973]
    np.testing.assert_allclose(compiled.action(some), exact.ravel()[::9973], rtol=1e-5)
    samples = compiled.train(steps=60, batch=256, progress=False).sample(20_000)
    assert abs(samples.log_z.value - expected) < 5 * samples.log_z.error
    assert samples.log_z.error < 0.05


def test_an_automorphism_takes_the_values_of_the_nodes_along() -> None:
    for values, expected in (([2, 1, 1], "exact"), ([2, 1, 3], "broken")):
        density = THETA**2 + THETA**4 + SiteConstant("h", NODES, values) * THETA
        swap = node_permutation(NODES, {1: 2, 2: 1})
        theory = sd.Theory(
            "nodes",
            fields=[THETA],
            action=NODES.sum(density - THETA * NODES.neighbours(THETA) / 4),
            symmetries=[sd.Symmetry("swap", [swap])],
        )
        assert sd.analyse(theory).reports[0].status == expected


def test_a_determinant_sees_a_chemical_potential_of_every_node() -> None:
    ladder = sd.GraphLattice(nx.path_graph(2), time=3)
    chi = sd.ScalarField("chi", ladder)
    values = RNG.normal(size=(3, 2)).round(2)
    shifted = chi + SiteConstant("mu", ladder, values)
    action = ladder.sum(chi**2) - sd.FermionLogDet(hopping=ladder, beta=1, field=shifted)
    compiled = sd.compile(sd.Theory("mu", fields=[chi], action=action), "torch")
    x = RNG.normal(size=(2, 1, 3, 2))
    plain = sd.Theory(
        "plain",
        fields=[chi],
        action=ladder.sum(chi**2) - sd.FermionLogDet(hopping=ladder, beta=1, field=chi),
    )
    moved = sd.compile(plain, "torch").action(x + values)
    squares = ((x[:, 0] ** 2) - (x[:, 0] + values) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(compiled.action(x), moved + squares, rtol=1e-10)
    elsewhere = SiteConstant("mu", sd.GraphLattice(nx.path_graph(2), time=4))
    foreign = sd.FermionLogDet(hopping=ladder, beta=1, field=chi + elsewhere)
    with pytest.raises(LatticeError, match="mu"):
        sd.Theory("t", fields=[chi], action=ladder.sum(chi**2) - foreign)


def disordered_ring() -> sd.Theory:
    bond = SiteConstant("bond", RING)
    return sd.Theory(
        "disordered_ring",
        fields=[SPIN],
        action=RING.sum(
            SiteConstant("mass", RING, [1.5, 2.5, 2.0, 1.8]) * SPIN**2 / 2
            + SPIN**4 / 4
            - bond * SPIN * SPIN.shift(0) / 4
            + SiteConstant("h", RING, [0.3, -0.2, 0.1, 0.2]) * SPIN
        ),
        symmetries=[sd.Z2(SPIN)],
        observables={"energy": RING.sum(bond.shift(0) * SPIN.shift(0) ** 2)},
    )


TestLaws = theory_suite(disordered_ring, ["torch"], examples=5)
