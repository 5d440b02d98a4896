"""Theories whose ∫ exp(−S) is infinite are refused with the direction; none that can be normalised is."""

from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import sympy as sp
from sympy import cosh, exp, sinh

import sesamo_dsl as sd
from sesamo_dsl.errors import NotNormalizableError, OptionError
from sesamo_dsl.symbols.fields import FieldComponent

Density = Callable[..., sp.Expr]


def theory(density: Density, shape: tuple[int, ...] = (1,), fields: int = 1) -> sd.Theory:
    lattice = sd.Lattice(*shape)
    x = [sd.ScalarField(f"x{i}", lattice) for i in range(fields)]
    return sd.Theory("example", fields=x, action=lattice.sum(density(*x)))


def gradient(x: FieldComponent) -> sp.Expr:
    return sp.Add(*((x - x.shift(mu)) ** 2 for mu in x.lattice.directions))


def graph_theory(density: Density) -> sd.Theory:
    """On a ring with a chord; squares of differences along bonds are added to the density."""
    edges = nx.cycle_graph(4)
    edges.add_edge(0, 2)
    graph = sd.GraphLattice(edges)
    x = sd.ScalarField("x", graph)
    return sd.Theory(
        "graph", fields=[x], action=graph.sum(density(x)) + graph.bonds(lambda a, b, w: (a[x] - b[x]) ** 2)
    )


def vector_theory(density: Density) -> sd.Theory:
    """Of |r|² of a vector in three dimensions, with its rotations."""
    point = sd.Lattice(1)
    r = sd.VectorField("r", point, 3)
    return sd.Theory("vector", fields=[r], action=density(sp.Add(*(a**2 for a in r))), symmetries=[sd.SO(r)])


INFINITE: dict[str, tuple[sd.Theory, str]] = {
    "a cubic": (theory(lambda x: x**2 + x**3 / 7), "unbounded"),
    "a negative quartic": (theory(lambda x: x**2 / 2 - x**4 / 50), "unbounded"),
    "a linear potential": (theory(lambda x: 3 * x), "unbounded"),
    "an indefinite form": (theory(lambda x, y: x**2 + y**2 - 3 * x * y, fields=2), "unbounded"),
    "a cubic on a lattice": (theory(lambda x: gradient(x) + x**2 + x**3 / 10, (12, 12)), "unbounded"),
    "a negative mass at zero momentum": (
        theory(lambda x: x**2 - sp.Rational(11, 10) * x * x.shift(0), (8,)),
        "unbounded",
    ),
    "a negative mass at the edge": (
        theory(lambda x: x**2 + sp.Rational(11, 10) * x * x.shift(0), (8,)),
        "unbounded",
    ),
    "a periodic potential": (theory(lambda x: -3 * sp.cos(2 * x)), "flat"),
    "an exponential fall": (theory(lambda x: sp.exp(-x)), "flat"),
    "a difference": (theory(lambda x, y: (2 * x - 3 * y) ** 4, fields=2), "flat"),
    "a field that is not there": (theory(lambda x, y: x**2 + 0 * y, (4,), 2), "flat"),
    "wells that narrow like 1/x": (theory(lambda x: x**2 * (1 - sp.cos(x))), "flat"),
    "wells that narrow in one of two": (theory(lambda x, y: x**2 * (1 - sp.cos(x)) + y**2, fields=2), "flat"),
    "one bounded field of two": (theory(lambda x, y: x**2 - sp.cos(y), fields=2), "flat"),
    "a massless field": (theory(gradient, (6,)), "flat"),
    "a massless field on a large lattice": (theory(gradient, (24, 24)), "flat"),
    "angles held as reals": (theory(lambda x: -sp.cos(x - x.shift(0)), (5,)), "flat"),
    "a pinned chain of angles": (theory(lambda x: gradient(x) - sp.cos(x), (8,)), "flat"),
    "half a logarithm": (theory(lambda x: sp.log(1 + x**2) / 2), "flat"),
    "a logarithm in the plane": (theory(lambda x, y: sp.log(1 + x**2 + y**2), fields=2), "flat"),
    "a cross": (theory(lambda x, y: x**2 * y**2, fields=2), "flat"),
    # a soft direction along which only bounded terms are left
    "a soft direction": (theory(lambda x, y: (x - 2 * y) ** 2 + sp.cos(y), fields=2), "flat"),
    "an irrational soft direction": (
        theory(lambda x, y: (x - sp.sqrt(3) * y) ** 2 + sp.sin(x) * sp.cos(y), fields=2),
        "flat",
    ),
    "what two powers leave": (
        theory(lambda x, y, z: (x - 2 * y) ** 4 + (y - 3 * z) ** 2 + sp.tanh(z), fields=3),
        "flat",
    ),
    "one of four directions": (
        theory(lambda x, y, z, w: (x - 2 * y) ** 2 + (z + 3 * w) ** 2 + x**2 / (1 + x**2), fields=4),
        "flat",
    ),
    "a soft mixture on a lattice": (theory(lambda x, y: (x - 2 * y) ** 2 + sp.cos(y), (4,), 2), "flat"),
    "a soft mixture on a large lattice": (
        theory(lambda x, y: (x - 2 * y) ** 2 + gradient(x) + sp.cos(y), (16, 12), 2),
        "flat",
    ),
    # S falls to −∞ at a finite distance
    "an inverse square": (theory(lambda x: x**2 - 1 / x**2), "singular"),
    "a simple pole": (theory(lambda x: x**2 - 1 / x), "singular"),
    "the pole of a tangent": (theory(lambda x: x**4 + sp.tan(x)), "singular"),
    "just not integrable": (theory(lambda x: x**2 + sp.log(sp.Abs(x - 1))), "singular"),
    "a logarithm beside a steep well": (theory(lambda x: 10**6 * x**2 + sp.log(sp.Abs(x - 1))), "singular"),
    "zeros of a sine": (theory(lambda x: x**2 + sp.log(sp.sin(x) ** 2)), "singular"),
    "a logarithm at a point": (theory(lambda x, y: x**2 + y**2 + sp.log(x**2 + y**2), fields=2), "singular"),
    "a logarithm at a line": (
        theory(lambda x, y: x**2 + y**2 + sp.log(sp.Abs(x - 2 * y)), fields=2),
        "singular",
    ),
    "a logarithm at a circle": (
        theory(lambda x, y: x**2 + y**2 + sp.log(sp.Abs(x**2 + y**2 - 3)), fields=2),
        "singular",
    ),
    "attraction": (
        theory(lambda x, y, z: x**2 + y**2 + z**2 - 1 / sp.sqrt(x**2 + y**2 + z**2), fields=3),
        "singular",
    ),
    "a pole between neighbours": (
        theory(lambda x: x**2 + sp.Rational(6, 5) * sp.log(sp.Abs(x - x.shift(0))), (5,)),
        "singular",
    ),
    # along bent valleys, and in wells that repeat
    "a bent valley that falls": (
        theory(lambda x, y: 100 * (y - x**2) ** 2 - x**2 / 100, fields=2),
        "unbounded",
    ),
    "a bent valley that is flat": (theory(lambda x, y: (y - x**2) ** 2, fields=2), "flat"),
    "a bent valley that waves": (theory(lambda x, y: (y - x**3) ** 2 + sp.cos(x), fields=2), "flat"),
    "a twisted curve": (theory(lambda x, y, z: (y - x**2) ** 2 + (z - x * y) ** 2, fields=3), "flat"),
    "a hyperbola": (theory(lambda x, y: (x * y - 1) ** 2, fields=2), "flat"),
    "a bent valley that rises too slowly": (
        theory(lambda x, y: 5 * (y - x**2) ** 2 + sp.log(1 + x**2) / 3, fields=2),
        "flat",
    ),
    "wells that narrow": (theory(lambda x: x**2 * sp.sin(x) ** 2), "flat"),
    "walls that narrow": (theory(lambda x, y: x**4 * y**2 + x**2, fields=2), "flat"),
    # far out
    "a cap": (theory(lambda x: sp.Min(x**2, 10**9)), "flat"),
    "a plateau": (theory(lambda x: 10**6 * x**2 / (1 + x**2)), "flat"),
    "a fall behind a high wall": (theory(lambda x: x**4 - x**6 / 10**12), "unbounded"),
    "a fall behind a higher wall": (theory(lambda x: x**2 - x**4 / 10**20), "unbounded"),
    "four fifths of a logarithm": (theory(lambda x: sp.log(1 + x**4) / 5), "flat"),
    # exponentials that cancel, or nearly
    "a cosh less its square": (theory(lambda x: cosh(x) - cosh(x) ** 2), "unbounded"),
    "a square of a cosh less its double": (theory(lambda x: cosh(x) ** 2 - cosh(2 * x)), "unbounded"),
    "half an exponential too much": (theory(lambda x: x**2 + cosh(x) - exp(x)), "unbounded"),
    "half a square too much": (theory(lambda x: x**2 + cosh(x) ** 2 - exp(2 * x) / 2), "unbounded"),
    "a square multiplied out": (
        theory(lambda x: x**2 + (1 + exp(x)) ** 2 - exp(2 * x) - 3 * exp(x)),
        "unbounded",
    ),
    "a difference of squares that is −1": (theory(lambda x: sinh(x) ** 2 - cosh(x) ** 2), "flat"),
    "a quartic under −1": (theory(lambda x: sinh(x) ** 2 - cosh(x) ** 2 + x**2 - x**4), "unbounded"),
    "a difference of fourth powers": (
        theory(lambda x: cosh(x) ** 4 - sinh(x) ** 4 - 2 * cosh(2 * x) + x**2),
        "unbounded",
    ),
    "an odd power under Gaussians": (theory(lambda x: cosh(x**2) ** 2 - sinh(x**2) ** 2 + x), "unbounded"),
    "decimal strengths": (
        theory(lambda x: 0.7 * cosh(x) ** 2 - 0.1 * (1 + sinh(x) ** 2) - 0.6 * exp(x) * cosh(x) + 0.6 * x),
        "unbounded",
    ),
    "irrational rates": (
        theory(lambda x: cosh(sp.sqrt(2) * x) ** 2 - cosh(sp.sqrt(8) * x) / 2 + sp.tanh(x)),
        "flat",
    ),
    "a logistic function": (
        theory(lambda x: sp.log(1 + exp(x)) - exp(x) / (1 + exp(x)) + cosh(x) ** 2 - sinh(x) ** 2),
        "flat",
    ),
    "products of two fields": (
        theory(lambda x, y: cosh(x + y) * cosh(x - y) - sinh(x) ** 2 + x**2 / 2 - cosh(2 * x) / 2, fields=2),
        "unbounded",
    ),
    "an addition theorem": (
        theory(lambda x, y: cosh(x + y) - cosh(x) * cosh(y) - sinh(x) * sinh(y) + x**2, fields=2),
        "flat",
    ),
    "an oblique direction": (
        theory(lambda x, y: cosh(x - 2 * y) ** 2 - sinh(x - 2 * y) ** 2 + (x + 3 * y) ** 2, fields=2),
        "flat",
    ),
    "a chain of exponentials": (theory(lambda x: exp(x - x.shift(0)), (4,)), "flat"),
    "a chain that falls": (
        theory(lambda x: x**2 + cosh(x - x.shift(0)) ** 2 - cosh(2 * x - 2 * x.shift(0)), (4,)),
        "unbounded",
    ),
    "a massless chain of products": (
        theory(lambda x: gradient(x) + cosh(x) ** 2 - sinh(x) ** 2, (4,)),
        "flat",
    ),
    "a large lattice of products": (
        theory(lambda x: gradient(x) + x**2 + cosh(x) ** 2 - cosh(2 * x), (24, 24)),
        "unbounded",
    ),
    "a graph of products": (graph_theory(lambda x: x**2 + 3 * sinh(x) ** 2 - cosh(2 * x) * 2), "unbounded"),
}

FINITE: dict[str, sd.Theory] = {
    "cauchy": theory(lambda x: sp.log(1 + x**2)),
    "a power just above one": theory(lambda x: sp.Rational(11, 20) * sp.log(1 + x**2)),
    "a power just above two in the plane": theory(
        lambda x, y: sp.Rational(5, 4) * sp.log(1 + x**2 + y**2), fields=2
    ),
    "two tails": theory(lambda x, y: sp.log(1 + x**2) + sp.log(1 + y**2), fields=2),
    "a root": theory(lambda x: sp.sqrt(sp.Abs(x))),
    "gumbel": theory(lambda x: sp.exp(x) - x),
    "a cosh": theory(lambda x: sp.cosh(x) + gradient(x), (16, 16)),
    "a small mass": theory(lambda x: x**2 / 10**6),
    "a small mass on a lattice": theory(lambda x: gradient(x) + x**2 / 10**4, (16,)),
    "a double well with far wells": theory(lambda x: -(x**2) / 2 + x**4 / 10**4),
    "repulsion": theory(lambda x, y: (x - y) ** -12 + x**2 + y**2, fields=2),
    "a confined cross": theory(lambda x, y: x**2 * y**2 + sp.Abs(x) + sp.Abs(y), fields=2),
    "a bent valley": theory(lambda x, y: x**2 / 2 + 50 * (y - x**2) ** 2, fields=2),
    "branches": theory(lambda x: sp.Piecewise((x**2, x > 0), (sp.exp(-x), True))),
    "double wells in two dimensions": theory(lambda x: gradient(x) + (x**2 - 1) ** 2, (6, 6)),
    "tails on a lattice": theory(lambda x: gradient(x) + 2 * sp.log(1 + x**2), (8,)),
    "a well far away": theory(lambda x: (x - 10**6) ** 2),
    "a weak line": theory(lambda x: sp.Abs(x) / 10**6),
    "a weak mass": theory(lambda x: x**2 / 10**14),
    "wells that narrow faster than 1/x": theory(lambda x: x**4 * (1 - sp.cos(x))),
    "wells that narrow and rise": theory(lambda x: x**2 * (1 - sp.cos(x)) + sp.log(1 + x**2) / 5),
    "a weaker mass under waves": theory(lambda x: x**2 / 10**30 + sp.cos(x)),
    "wells that are very far": theory(lambda x: x**4 / 10**14 - x**2),
    "an overflow behind a fall": theory(lambda x: sp.exp(x**2 / 10**5) - x**2),
    "a cosh of a cosh": theory(lambda x: sp.cosh(sp.cosh(x)) - x**2),
    "a mass that overflows": theory(lambda x: sp.Float(10) ** 307 * x**2),
    "terms that cancel": theory(
        lambda x, y: x**2 + y**2 + (x**2 + y**2) ** 5 - sp.expand((x**2 + y**2) ** 5), fields=2
    ),
    "a soft mass": theory(lambda x, y: (x - 2 * y) ** 2 + y**2 / 10**8 + sp.cos(y), fields=2),
    "a soft mass on a lattice": theory(
        lambda x, y: (x - 2 * y) ** 2 + gradient(x) + y**2 / 10**4 + 3 * sp.cos(y), (6,), 2
    ),
    "just integrable": theory(lambda x: x**2 + sp.Rational(99, 100) * sp.log(sp.Abs(x - 1))),
    "just integrable at a point": theory(
        lambda x, y: x**2 + y**2 + sp.Rational(9, 10) * sp.log(x**2 + y**2), fields=2
    ),
    "just integrable at lines that cross": theory(
        lambda x, y: x**2 + y**2 + sp.Rational(9, 10) * (sp.log(sp.Abs(x)) + sp.log(sp.Abs(y))), fields=2
    ),
    "a point that looks like a line": theory(
        lambda x, y: x**2 + y**2 + sp.Rational(7, 10) * sp.log(x**2 + y**4), fields=2
    ),
    "logarithms on a lattice": theory(
        lambda x: x**2 + gradient(x) + sp.Rational(4, 5) * sp.log(sp.Abs(x - 2)), (3, 3)
    ),
    "a deep well that is no pole": theory(lambda x: x**2 - 1 / (x**2 + sp.Rational(1, 10**6))),
    "a bent valley that rises": theory(lambda x, y: (y - x**2) ** 2 + x**2 / 10**6, fields=2),
    "a bent valley with tails": theory(
        lambda x, y: (y - x**2) ** 2 + sp.Rational(3, 5) * sp.log(1 + x**2), fields=2
    ),
    "a twisted curve that rises": theory(
        lambda x, y, z: (y - x**2) ** 2 + (z - x * y) ** 2 + x**2 / 100, fields=3
    ),
    "wells that narrow fast": theory(lambda x: x**4 * sp.sin(x) ** 2 + sp.log(1 + x**2) / 8),
    "walls that narrow fast": theory(lambda x, y: x**4 * y**2 + y**2, fields=2),
    "six fifths of a logarithm": theory(lambda x: sp.Rational(3, 10) * sp.log(1 + x**4)),
    "a graph": graph_theory(lambda x: x**2 / 100),
    # exponentials that cancel and leave what grows
    "squares that differ by 1": theory(lambda x: cosh(x) ** 2 - sinh(x) ** 2 + x**2),
    "exponentials whose product is 1": theory(lambda x: exp(x) * exp(-x) + x**2),
    "a square less half its double": theory(lambda x: cosh(x) ** 2 - cosh(2 * x) / 2 + x**2),
    "a cosh that becomes its falling half": theory(lambda x: cosh(2 * x) - exp(2 * x) / 2 + x**2),
    "a square multiplied out that rises": theory(lambda x: (1 + exp(x)) ** 2 - exp(2 * x) - exp(x) - x),
    "a cosh under a Gaussian": theory(lambda x: exp(x**2 / 9) - 7 * cosh(x) ** 2),
    "logarithms of exponentials": theory(lambda x: sp.log(cosh(3 * x)) - 2 * sp.log(1 + exp(x)) + x / 2),
    "a root of exponentials": theory(lambda x: sp.sqrt(1 + exp(2 * x)) - exp(x) + sp.Abs(x)),
    "an enormous strength": theory(lambda x: sp.Float(10) ** 300 * (cosh(2 * x) - exp(2 * x) / 4)),
    "a branch of exponentials": theory(lambda x: sp.Max(exp(x) - 3 * x, exp(-x)) + sp.Abs(x)),
    "a chain of exponentials with a mass": theory(lambda x: exp(x - x.shift(0)) + x**2 / 8, (4,)),
    "a chain of products with a mass": theory(
        lambda x: cosh(x - x.shift(0)) ** 2 - sinh(x - x.shift(0)) ** 2 + x**2, (4,)
    ),
    "a graph of products with a mass": graph_theory(lambda x: x**2 + 2 * sinh(x) ** 2 - cosh(2 * x) + exp(x)),
    "a vector": vector_theory(lambda r2: sp.Rational(8, 5) * sp.log(1 + r2)),
}
INFINITE["a massless graph"] = (graph_theory(lambda x: sp.cos(x)), "flat")
INFINITE["a vector with tails too fat"] = (
    vector_theory(lambda r2: sp.Rational(3, 2) * sp.log(1 + r2)),
    "flat",
)
INFINITE["a vector that falls"] = (vector_theory(lambda r2: r2**2 - r2**3 / 10**15), "unbounded")


@pytest.mark.parametrize("name", INFINITE)
def test_what_cannot_be_normalised_is_named(name: str) -> None:
    declared, kind = INFINITE[name]
    with pytest.raises(NotNormalizableError, match="normalizable=False") as refused:
        sd.analyse(declared)
    analysis = sd.analyse(declared, normalizable=False)
    found = analysis.divergence
    assert found is not None
    assert found.kind == kind
    assert found.direction.shape == declared.configuration_shape
    assert np.linalg.norm(found.direction) == pytest.approx(1)
    np.testing.assert_array_equal(refused.value.direction, found.direction)
    assert found.name in str(refused.value)
    assert "∫ exp(−S) is infinite" in str(analysis)


def test_what_cannot_be_normalised_is_compiled_for_its_values_alone(tmp_path: Path) -> None:
    declared, _ = INFINITE["a negative quartic"]
    analysis = sd.analyse(declared, normalizable=False)
    messages = set()
    for given in (declared, analysis):
        with pytest.raises(NotNormalizableError, match="unbounded below") as refused:
            sd.compile(given, "torch")
        messages.add(str(refused.value))
    assert len(messages) == 1
    model = sd.compile(declared, "torch", precision="float64", normalizable=False)
    np.testing.assert_allclose(model.action(np.full((1, 1, 1), 2.0)), [2 - 16 / 50], rtol=1e-14)
    with pytest.raises(NotNormalizableError, match="unbounded below"):
        model.train(steps=2, progress=False, directory=tmp_path / "run")
    with pytest.raises(NotNormalizableError, match="unbounded below"):
        sd.compare(model, "ours", steps=2, seeds=1)
    for wrong in (1, None, "no"):
        with pytest.raises(OptionError, match="normalizable"):
            sd.analyse(declared, normalizable=wrong)  # pyright: ignore[reportArgumentType]
        with pytest.raises(OptionError, match="normalizable"):
            sd.compile(declared, "torch", normalizable=wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", FINITE)
def test_what_can_be_normalised_is_not_refused(name: str) -> None:
    assert sd.analyse(FINITE[name]).divergence is None


@pytest.mark.parametrize(
    "reference", ["scalar_phi4", "complex_phi4@16x16", "on_model", "clock_phi4", "hubbard"]
)
def test_shipped_theories_are_not_refused(reference: str) -> None:
    from sesamo_dsl.language.theory_files import load_theory

    assert sd.analyse(load_theory(reference)).divergence is None


def test_the_direction_is_the_one_that_is_flat() -> None:
    found = sd.analyse(INFINITE["a difference"][0], normalizable=False).divergence
    assert found is not None
    np.testing.assert_allclose(found.direction.reshape(-1), np.array([3, 2]) / np.sqrt(13), atol=1e-6)
    assert "x0" in found.name
    assert "x1" in found.name


def test_couplings_are_judged_when_they_are_given(tmp_path: Path) -> None:
    x = sd.ScalarField("x", sd.Lattice(1))
    lam, mass = sd.parameters("lam mass")
    declared = sd.Theory("couplings", fields=[x], action=mass * x**2 + lam * x**4)
    assert sd.analyse(declared).divergence is None  # nothing is known yet
    with pytest.raises(NotNormalizableError, match=r"lam = -0.1"):
        sd.analyse(declared, parameters={mass: 1, lam: -0.1})
    assert sd.analyse(declared, parameters={mass: 1, lam: 0.1}).divergence is None
    model = sd.compile(declared, "torch")
    options = {"progress": False, "steps": 2, "directory": tmp_path / "run"}
    with pytest.raises(NotNormalizableError, match=r"lam = -0.1") as refused:
        model.train(parameters={"mass": 1, "lam": -0.1}, **options)
    assert abs(refused.value.direction).sum() == pytest.approx(1)
    assert not (tmp_path / "run").exists()
    with pytest.raises(NotNormalizableError, match="grow"):
        model.train(parameters={"mass": 0, "lam": 0}, **options)
    model.train(parameters={"mass": -1, "lam": 0.1}, **options)


@pytest.mark.parametrize("k", [1e308, 1e300, 1e-200])
def test_couplings_at_the_ends_of_float64_are_judged(k: float) -> None:
    x = sd.ScalarField("x", sd.Lattice(1))
    strength = sd.parameters("k")
    declared = sd.Theory("extreme", fields=[x], action=strength * x**2)
    assert sd.analyse(declared, parameters={strength: k}).divergence is None
    with pytest.raises(NotNormalizableError, match="unbounded"):
        sd.analyse(declared, parameters={strength: -k})


def test_the_place_of_a_singularity_is_named() -> None:
    y = sp.Rational(3, 2)
    declared = theory(lambda a, b: a**2 + b**2 - 1 / ((a - 2) ** 2 + (b - y) ** 2), fields=2)
    found = sd.analyse(declared, normalizable=False).divergence
    assert found is not None
    assert found.name == "x0 = 2, x1 = 1.5"


def test_hmc_refuses_too() -> None:
    pytest.importorskip("blackjax")
    with pytest.raises(NotNormalizableError, match="unbounded below"):
        sd.hmc(INFINITE["a cubic"][0], chains=2, trajectories=20)


def test_only_the_couplings_of_a_chain_count() -> None:
    """The default couplings need not have a finite Z where others are given."""
    pytest.importorskip("blackjax")
    x = sd.ScalarField("x", sd.Lattice(1))
    lam = sd.parameters("lam")
    declared = sd.Theory("default", fields=[x], action=x**2 / 2 + lam * x**4, defaults={lam: -1})
    with pytest.raises(NotNormalizableError, match="lam = -1"):
        sd.analyse(declared)
    chain = sd.hmc(declared, parameters={lam: 1}, chains=2, trajectories=20, warm_up=50)
    assert np.isfinite(chain.action).all()
