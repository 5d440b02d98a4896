"""Laplacians and slopes of the monomials of a theory, and what is proved to be continuous."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import networkx as nx
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import sesamo_dsl as sd
from sesamo_dsl.ir.continuity import discontinuity
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.schwinger_dyson import operators
from sesamo_dsl.stages.lower import action_program, lower_theory
from sesamo_dsl.symbols.fields import FieldComponent

_STEP = 2e-3


def program_of(action: sp.Expr, fields: list[sd.VectorField], **observables: sp.Expr) -> Program:
    """S alone with the observables, and no analysis."""
    theory = sd.Theory("t", fields=fields, action=action, observables=observables)
    functions = {
        f"observable_{name}": action_program(sd.Theory("o", fields=fields, action=expr)).functions["action"]
        for name, expr in observables.items()
    }
    return action_program(theory, functions)


def differences(
    program: Program, parameters: Mapping[str, float], x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Δf and ∇f·∇S by fourth-order finite differences, (operators, batch) each."""
    known = operators(program)

    def both(y: np.ndarray) -> np.ndarray:
        f = run(known.program, "operators", {"x": y}, parameters)
        return np.array([*f, run(program, "action", {"x": y}, parameters)[0]])

    centre = both(x)
    laplacian, flow = np.zeros_like(centre), np.zeros_like(centre)
    for step in _STEP * np.eye(x[0].size).reshape(-1, *x.shape[1:]):
        one, back, two, twice_back = (both(x + k * step) for k in (1, -1, 2, -2))
        laplacian += (16 * (one + back) - two - twice_back - 30 * centre) / (12 * _STEP**2)
        slope = (8 * (one - back) - (two - twice_back)) / (12 * _STEP)
        flow += slope * slope[-1]
    return laplacian[:-1], flow[:-1]


def check_derivatives(program: Program, parameters: Mapping[str, float] | None = None) -> tuple[str, ...]:
    """Compare with finite differences; the names of the monomials."""
    known, x = operators(program), np.random.default_rng(5).normal(size=(3, *program.configuration_shape))
    found = np.array(run(known.program, "identities", {"x": x}, parameters or {}))
    expected = differences(program, parameters or {}, x)
    np.testing.assert_allclose(found[0::2], expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[1::2], expected[1], rtol=1e-6, atol=1e-6)
    return known.names


@st.composite
def densities(draw: st.DrawFn, components: Sequence[FieldComponent]) -> sp.Expr:
    """Polynomials and sines in fields at up to three sites, in factors that have to be multiplied out."""
    at = st.sampled_from([c.shift(mu) for c in components for mu in (0, 1)] + list(components))
    factor = st.builds(lambda f, g, n, k: (f + k * g) ** n, at, at, st.integers(1, 2), st.integers(-2, 2))
    wave = st.builds(lambda f, g: sp.sin(f - g / 2), at, at)
    terms = st.lists(st.builds(lambda f, g: f * g, factor, st.one_of(factor, wave)), min_size=1, max_size=3)
    return sp.Add(*draw(terms), *(c**4 for c in components))


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_derivatives_of_random_theories(data: st.DataObject) -> None:
    """On two sites along an axis, x + e and x − e are one: both factors are then at one site."""
    lattice = sd.Lattice(*data.draw(st.sampled_from([(2, 2), (2, 3), (1, 3)])))
    field = sd.VectorField("v", lattice, 2)
    check_derivatives(program_of(lattice.sum(data.draw(densities(field.components))), [field]))


def test_derivatives_on_a_graph_with_bonds() -> None:
    """Fields at nodes, sums over neighbours and ends of bonds overlap."""
    graph = nx.Graph([(0, 1), (1, 2), (2, 3), (3, 1)])
    lattice = sd.GraphLattice(graph, time=2)
    phi = sd.ScalarField("phi", lattice)
    near = lattice.neighbours(phi)
    action = lattice.sum(phi**4 + phi * near + sp.cos(phi) * near**2 + near * lattice.neighbours(near))
    action += lattice.bonds(lambda x, y, w: sp.cos(x[phi] - y[phi]) + x[phi] ** 2 * y[phi] ** 2)
    product = lattice.sum(phi) ** 2 * lattice.sum(phi**2)
    names = check_derivatives(program_of(action, [phi], product=product))
    assert "(Σ phi^2)·(Σ phi)^2" in names
    assert any("cos" in name and "x0" in name for name in names)


def test_derivatives_with_couplings_that_depend_on_the_site() -> None:
    lattice = sd.Lattice(3, 2)
    phi = sd.ScalarField("phi", lattice)
    h = sd.SiteConstant("h", lattice, np.random.default_rng(1).normal(size=(3, 2)))
    action = lattice.sum(phi**4 + h * phi**3 + h.shift(0) * phi * phi.shift(1))
    assert any("h" in name for name in check_derivatives(program_of(action, [phi])))


def test_each_pattern_is_a_monomial_of_its_own_once() -> None:
    """φ_x φ_{x+e} and φ_x φ_{x−e} are one sum; both directions are two."""
    lattice = sd.Lattice(4, 4)
    phi = sd.ScalarField("phi", lattice)
    neighbours = sum(phi.shift(mu) + phi.shift(mu, -1) for mu in (0, 1))
    theory = sd.Theory("t", fields=[phi], action=lattice.sum(phi * neighbours + (1 + phi**2) ** 2))
    names = operators(action_program(theory)).names
    patterns = {name for name in names if name.startswith("Σ phi·")}
    assert patterns == {"Σ phi·phi(0, +1)", "Σ phi·phi(+1, 0)"}
    assert {"Σ phi^2", "Σ phi^4"} <= set(names)
    assert len(set(names)) == len(names)


_X = sp.Symbol("x", real=True)


@pytest.mark.parametrize(
    ("action", "continuous"),
    [
        (_X**4 + sp.sin(_X), True),
        (_X**2 + sp.Abs(_X) + sp.Max(_X, 1), True),
        (_X**2 + sp.log(1 + _X**2), True),
        (_X**2 + 1 / (2 + sp.cos(_X) ** 2), True),
        (sp.sqrt(1 + _X**2), True),
        (-sp.log(sp.exp(-((_X - 2) ** 2)) + sp.exp(-((_X + 2) ** 2))), True),
        (_X**2 + sp.log(sp.Abs(_X)) / 2, False),
        (_X**2 + 1 / _X**2, False),
        (_X**2 + sp.Heaviside(_X, 0), False),
        (_X**2 + sp.sign(_X), False),
        (_X**2 + sp.Piecewise((1, _X > 1), (0, True)), False),
        (_X**2 + sp.floor(_X), False),
        (_X**2 + sp.tan(_X) ** 2, False),
    ],
)
def test_what_is_proved_to_be_continuous(action: sp.Expr, continuous: bool) -> None:
    lattice = sd.Lattice(1)
    phi = sd.ScalarField("phi", lattice)
    program = program_of(lattice.sum(action.xreplace({_X: phi})), [phi])
    why = discontinuity(program.functions["action"], {}, program.constants)
    assert (why is None) == continuous, why


@pytest.mark.parametrize(
    ("combine", "continuous"),
    [
        (lambda s, d: s - d, True),
        (lambda s, d: s - 2 * d, True),
        (lambda s, d: s + d, False),
        (lambda s, d: s + sp.cos(d), False),
        (lambda s, d: s - d * s, False),
    ],
)
def test_determinants_are_continuous_where_they_vanish_in_the_density(
    combine: Callable[[sp.Expr, sp.Expr], sp.Expr], continuous: bool
) -> None:
    lattice = sd.GraphLattice(nx.path_graph(2), time=2)
    phi = sd.ScalarField("phi", lattice)
    determinant = sd.FermionLogDet(hopping=lattice, beta=1, field=phi)
    program = program_of(combine(lattice.sum(phi**2), determinant), [phi])
    why = discontinuity(program.functions["action"], {}, program.constants)
    assert (why is None) == continuous, why


def test_the_program_of_a_theory_with_determinants_has_identities() -> None:
    """Of fields whose divergence is known: powers of φ, with the slope of the determinant."""
    lattice = sd.GraphLattice(nx.path_graph(2), time=2)
    phi = sd.ScalarField("phi", lattice)
    action = lattice.sum(phi**2) - sd.FermionLogDet(hopping=lattice, beta=1, field=phi)
    check_derivatives(lower_theory(sd.analyse(sd.Theory("t", fields=[phi], action=action))))
