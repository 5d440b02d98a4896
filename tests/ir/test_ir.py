"""The intermediate program: its interpreter against SymPy, its gradients against differences, its types."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.errors import LoweringError, ProgramError
from sesamo_dsl.ir.builder import Builder
from sesamo_dsl.ir.gradient import with_gradient
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.text import program_text
from sesamo_dsl.ir.value import Kind
from sesamo_dsl.lowering.expressions import lower
from sesamo_dsl.stages.lower import lower_theory
from sesamo_dsl.symbols.fields import FieldComponent
from sesamo_dsl.symbols.lattice import SiteSum
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.scalar_phi4 import scalar_phi4

Array = np.ndarray[Any, Any]
COUPLINGS = {"a": 0.7, "lambda": -0.4}


def configurations(*shape: int, seed: int = 0) -> Array:
    """Random fields that keep off the kinks at zero."""
    x = np.random.default_rng(seed).normal(size=shape)
    return x + 0.05 * np.sign(x)


def by_hand(expr: sp.Expr, x: Array, couplings: dict[str, float]) -> mpmath.mpf:
    """The value at one configuration by substituting numbers site by site, to 30 digits."""
    numbers = {s: sp.Float(couplings[s.name], 40) for s in expr.free_symbols if s.name in couplings}
    totals = {}
    for node in expr.atoms(SiteSum):
        total = sp.Integer(0)
        for site in np.ndindex(*x.shape[1:]):
            point = dict(numbers)
            for f in node.density.atoms(FieldComponent):
                there = tuple((s + o) % e for s, o, e in zip(site, f.offset, x.shape[1:], strict=True))
                point[f] = sp.Float(float(x[(f.component, *there)]), 40)
            total += sp.N(node.density.xreplace(point), 30)
        totals[node] = total
    return mpmath.mpf(sp.N(expr.xreplace(totals).xreplace(numbers), 30))


def close(found: Any, expected: Any, tolerance: float) -> None:
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert np.isfinite(found).all()
    assert np.abs(found - expected).max() < tolerance * (1 + np.abs(expected).max())


def differences(function: Callable[[Array], Array], x: Array) -> Array:
    """Gradient of function: (batch, …) → (batch,) at one configuration, by a five-point formula."""
    step = 2e-3
    moves = step * np.eye(x.size).reshape(x.size, *x.shape)
    values = [function(x + k * moves) for k in (-2, -1, 1, 2)]
    return ((values[0] - values[3]) / 12 + (values[2] - values[1]) * 2 / 3).reshape(x.shape) / step


def test_interpreter_against_sympy(
    covered: str, coverage: dict[str, sp.Expr], coverage_program: Program
) -> None:
    x = configurations(2, 2, 3, 4)
    (values,) = run(coverage_program, f"action_{list(coverage).index(covered)}", {"x": x}, COUPLINGS)
    assert values.shape == (2,)
    close(values, [float(by_hand(coverage[covered], one, COUPLINGS)) for one in x], 1e-13)


def test_gradient_against_differences(
    covered: str, coverage: dict[str, sp.Expr], coverage_program: Program
) -> None:
    index = list(coverage).index(covered)
    x = configurations(3, 2, 3, 4, seed=5)
    values, gradient = run(coverage_program, f"gradient_{index}", {"x": x}, COUPLINGS)
    assert gradient.shape == x.shape
    assert np.array_equal(values, run(coverage_program, f"action_{index}", {"x": x}, COUPLINGS)[0])
    for one, slope in zip(x, gradient, strict=True):
        expected = differences(
            lambda y: run(coverage_program, f"action_{index}", {"x": y}, COUPLINGS)[0], one
        )
        close(slope, expected, 2e-8)


def single_site(expr: Callable[[Any], sp.Expr], components: int = 1) -> Program:
    """A program with the action Σ_x density and its gradient on one site."""
    point = sd.Lattice(1)
    x = sd.VectorField("x", point, components)
    action = lower("action", "S.", point.sum(expr(x)), x.components, "action")
    gradient = with_gradient(action, "action", components, "gradient", "S and ∂S.")
    functions = {"action": action, "gradient": gradient}
    return Program("one", "", tuple(map(str, x.components)), (1,), {}, {}, functions)


HUGE: dict[str, tuple[Callable[[Any], sp.Expr], Callable[[mpmath.mpf], mpmath.mpf]]] = {
    "log cosh": (lambda x: sp.log(2 * sp.cosh(x[0])), lambda x: mpmath.log(2 * mpmath.cosh(x))),
    "softplus": (lambda x: sp.log(1 + sp.exp(x[0])), lambda x: mpmath.log(1 + mpmath.exp(x))),
    "mixture": (
        lambda x: -sp.log(sp.exp(-((x[0] - 12) ** 2) / 2) + sp.exp(-((x[0] + 12) ** 2) / 2)),
        lambda x: -mpmath.log(mpmath.exp(-((x - 12) ** 2) / 2) + mpmath.exp(-((x + 12) ** 2) / 2)),
    ),
    "product": (
        lambda x: sp.log(sp.exp(x[0]) * (3 + sp.exp(-2 * x[0])) * sp.cosh(x[0])),
        lambda x: mpmath.log(mpmath.exp(x) * (3 + mpmath.exp(-2 * x)) * mpmath.cosh(x)),
    ),
    "far below": (
        lambda x: sp.log(sp.exp(-5000 + x[0]) + sp.exp(-5000 - x[0])),
        lambda x: mpmath.log(mpmath.exp(-5000 + x) + mpmath.exp(-5000 - x)),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", HUGE)
def test_log_sum_exp_does_not_overflow(name: str, dtype: Any) -> None:
    expr, oracle = HUGE[name]
    points = np.array([-1e4, -700.0, -1.25, 0.5, 90.0, 1e4], dtype=dtype)
    with np.errstate(all="raise", under="ignore"):
        values, gradient = run(single_site(expr), "gradient", {"x": points.reshape(-1, 1, 1)})
    with mpmath.workdps(60):
        expected = [oracle(mpmath.mpf(float(p))) for p in points]
        slopes = [mpmath.diff(oracle, mpmath.mpf(float(p)), h=mpmath.mpf(10) ** -20) for p in points]
    # exponents of this size cancel
    size = {"far below": 5000, "mixture": 300}.get(name, 1)
    tolerance = 4 * np.finfo(dtype).eps
    assert values.dtype == gradient.dtype == dtype
    for found, exact in [*zip(values, expected, strict=True), *zip(gradient.ravel(), slopes, strict=True)]:
        assert np.isfinite(found)
        assert abs(float(found) - float(exact)) <= tolerance * (size + abs(float(exact)))


def test_nested_sums_differentiate() -> None:
    """A density that contains a sum over all sites: that value has a gradient at every site."""
    lattice = sd.Lattice(3, 2)
    phi = sd.ScalarField("phi", lattice)
    total = lattice.sum(phi)
    densities = [
        total + phi,
        (total - phi) ** 2,
        sp.cos(total) * phi,
        sp.exp(total / 6) + phi**2,
        total * total,
    ]
    for density in densities:
        action = lower("action", "S.", SiteSum(lattice.symbol, sp.sympify(density)), (phi,), "action")
        gradient = with_gradient(action, "action", 1, "gradient", "S and ∂S.")
        program = Program("nested", "", ("phi",), (3, 2), {}, {}, {"action": action, "gradient": gradient})
        x = configurations(1, 1, 3, 2)
        m = x.sum()
        slope = run(program, "gradient", {"x": x})[1][0]
        close(slope, differences(lambda y, p=program: run(p, "action", {"x": y})[0], x[0]), 1e-9)
        value = {0: 6 * m + m, 4: 6 * m**2}.get(densities.index(density))
        if value is not None:
            close(run(program, "action", {"x": x})[0], [value], 1e-13)


def test_extent_does_not_change_the_program() -> None:
    """Shifts are operations, not unrolled sites."""
    texts = []
    for extent in (4, 16, 64):
        program = lower_theory(sd.analyse(scalar_phi4(extent, extent)))
        texts.append({name: [op.name for op in f.ops] for name, f in program.functions.items()})
    assert texts[0] == texts[1] == texts[2]
    assert len(texts[0]["action"]) < 25
    assert texts[0]["action"].count("shift") == 2


def test_common_subexpressions_are_computed_once() -> None:
    b = Builder("f", "", [("x", Kind.FIELDS)])
    phi = b.component(b.input("x"), 0)
    first, second = b.unary("exp", b.mul(phi, phi)), b.unary("exp", b.mul(phi, phi))
    assert first == second
    function = b.finish(out=b.site_sum(b.add(first, second)))
    assert [op.name for op in function.ops].count("exp") == 1
    unused = b.unary("sin", phi)
    assert b.op(unused).name == "sin"
    assert "sin" not in [op.name for op in b.finish(out=b.site_sum(first)).ops]


HASH_SCRIPT = """
import sesamo_dsl as sd, sympy as sp
from sesamo_dsl.stages.lower import lower_theory
from sesamo_dsl.ir.text import program_text
from sesamo_theories.scalar_phi4 import scalar_phi4
lattice = sd.Lattice(3, 4)
f = sd.VectorField("f", lattice, 3)
a, b, c = sd.parameters("alpha beta gamma")
density = (a * f[0] * f[1].shift(0) * f[2].shift(1, -1) + b * sp.cos(f[0] - f[0].shift(0))
    + c * f[1] ** 3 * f[2]
    + sp.log(sp.exp(f[0]) + sp.exp(a * f[1]) + sp.cosh(f[2])) + sp.Max(f[0], f[1], b) + f.squared ** 2)
cycle = sd.Symmetry("cycle", [{f[0]: f[1], f[1]: f[2], f[2]: f[0]}])
theory = sd.Theory("mixed", fields=[f], action=lattice.sum(density), symmetries=[cycle, sd.Z2(f)],
    defaults={a: 0.3}, observables={"m": lattice.sum(f[2]) * b, "s": lattice.sum(f[0] * f[1])})
for t in (theory, sd.load_theory("gaussian_mixture"), scalar_phi4(4, 4)):
    analysis = sd.analyse(t)
    print(analysis.text())
    print(program_text(lower_theory(analysis)))
"""


def test_program_does_not_depend_on_the_hash_seed() -> None:
    texts = []
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", HASH_SCRIPT], env=environment, capture_output=True, text=True, check=True
        )
        texts.append(done.stdout)
    assert len(texts[0]) > 5000
    assert texts[0] == texts[1]


# What is refused

BAD_PROGRAMS: dict[str, Callable[[Builder, dict[str, int]], object]] = {
    "component of a density": lambda b, v: b.component(v["site"], 0),
    "stack of configurations": lambda b, v: b.stack([v["site"], v["fields"]]),
    "shift of a configuration": lambda b, v: b.shift(v["fields"], (1, 0)),
    "shift of an index": lambda b, v: b.shift(v["index"], (1, 0)),
    "function of a configuration": lambda b, v: b.unary("exp", v["fields"]),
    "function of an index": lambda b, v: b.neg(v["index"]),
    "unknown function": lambda b, v: b.unary("gamma", v["site"]),
    "sum of a density and a configuration": lambda b, v: b.add(v["site"], v["fields"]),
    "product of a density and an index": lambda b, v: b.mul(v["site"], v["index"]),
    "quotient of vectors": lambda b, v: b.div(v["vector"], v["vector"]),
    "unknown operation": lambda b, v: b.binary("power", v["site"], v["site"]),
    "choice by index": lambda b, v: b.where(v["index"], v["site"], v["site"]),
    "choice of configurations": lambda b, v: b.where(v["site"], v["fields"], v["site"]),
    "log-sum-exp of vectors": lambda b, v: b.logsumexp([v["site"], v["vector"]]),
    "log-sum-exp of nothing": lambda b, v: b.logsumexp([]),
    "site sum of a sum": lambda b, v: b.site_sum(v["config"]),
    "site sum of a configuration": lambda b, v: b.site_sum(v["fields"]),
    "mean of a density": lambda b, v: b.site_mean(v["site"]),
    "matrix on a density": lambda b, v: b.linear(v["site"], "M"),
    "argmax of a configuration": lambda b, v: b.argmax(v["fields"]),
    "action by a density": lambda b, v: b.act(v["fields"], v["site"], "M"),
    "action on a density": lambda b, v: b.act(v["site"], v["index"], "M"),
    "unknown coupling": lambda b, v: b.parameter("kappa"),
    "unknown input": lambda b, v: b.input("z"),
}


@pytest.mark.parametrize("name", BAD_PROGRAMS)
def test_ill_typed_programs(name: str) -> None:
    b = Builder("wrong", "", [("x", Kind.FIELDS), ("u", Kind.INDEX)])
    fields = b.input("x")
    site, vector = b.component(fields, 0), b.site_mean(fields)
    values = {
        "fields": fields,
        "site": site,
        "vector": vector,
        "index": b.input("u"),
        "config": b.site_sum(site),
    }
    with pytest.raises(ProgramError, match=r"function wrong(.|\n)*expected:(.|\n)*found:(.|\n)*remedy:"):
        BAD_PROGRAMS[name](b, values)


PHI = sd.ScalarField("phi", sd.Lattice(4))
UNSUPPORTED: dict[str, tuple[sp.Expr, str]] = {
    "zeta function": (sp.zeta(2 + PHI**2), "zeta"),
    "Bessel function of an order without operation": (sp.besseli(2, PHI), "besseli of order 2"),
    "gamma function of both signs": (sp.gamma(PHI), "PHI".lower()),
    "inside a supported one": (sp.exp(-sp.LambertW(1 + PHI**2)), "LambertW"),
    "equivalence": (sp.Piecewise((1, sp.Xor(PHI > 0, PHI > 1, PHI > 2)), (PHI, True)), "Xor"),
    "too large": (sp.Integer(10) ** 400 * PHI, "too large"),
    "complex": (sp.I * PHI, "complex"),
    "infinite": (sp.Add(PHI, sp.oo, evaluate=False), "infinity"),
    "missing case": (sp.Piecewise((PHI, PHI > 0)), "last condition"),
    "derivative": (sp.Derivative(sp.sin(PHI), PHI), "Derivative"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_functions(name: str) -> None:
    density, word = UNSUPPORTED[name]
    with pytest.raises(LoweringError, match=rf"(.|\n)*found:.*{word}(.|\n)*remedy:"):
        lower("action", "S.", sd.Lattice(4).sum(density), (PHI,), "action")


@cache
def shipped() -> dict[str, Program]:
    theories = {
        "mixture": gaussian_mixture(),
        "phi4": scalar_phi4(4, 4),
        "five modes": gaussian_mixture(5, 3),
    }
    return {name: lower_theory(sd.analyse(theory)) for name, theory in theories.items()}


def test_shipped_actions_from_their_formulas() -> None:
    """Against the formulas written in NumPy."""
    rng = np.random.default_rng(0)
    x = 8 * rng.normal(size=(50, 2, 1))
    angles = 2 * np.pi * np.arange(8) / 8
    centres = 12 * np.stack([np.cos(angles), np.sin(angles)])
    squares = ((x - centres[None]) ** 2).sum(axis=1)
    expected = -np.logaddexp.reduce(-squares / 2, axis=1) + 0.3 * x.sum(axis=(1, 2))
    close(run(shipped()["mixture"], "action", {"x": x}, {"h": 0.3})[0], expected, 1e-13)

    p = rng.normal(size=(20, 1, 4, 4))
    hop = p * (np.roll(p, -1, 2) + np.roll(p, -1, 3))
    density = -2 * 0.2 * hop + (1 - 2 * 0.1) * p**2 + 0.1 * p**4 + 0.05 * p
    couplings = {"kappa": 0.2, "lambda": 0.1, "h": 0.05}
    program = shipped()["phi4"]
    close(run(program, "action", {"x": p}, couplings)[0], density.sum(axis=(1, 2, 3)), 1e-13)
    close(run(program, "breaking", {"x": p}, couplings)[0], 0.05 * p.sum(axis=(1, 2, 3)), 1e-13)
    close(run(program, "observable_abs_m", {"x": p}, couplings)[0], np.abs(p.mean(axis=(1, 2, 3))), 1e-13)
    close(run(program, "observable_m_fourth", {"x": p}, couplings)[0], p.mean(axis=(1, 2, 3)) ** 4, 1e-13)


def test_program_text_names_everything() -> None:
    text = program_text(shipped()["phi4"])
    for word in (
        "action(x: fields; h, kappa, lambda)",
        "site_sum",
        "shift",
        "# phi(x+1e0)",
        "constant MATRICES: (2, 1, 1)",
    ):
        assert word in text


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_unselected_branches_leave_no_nan_in_the_gradient(backend: str) -> None:
    """√φ, log φ and 1/φ are undefined or infinite on the other side, where they are not selected."""
    lattice = sd.Lattice(4)
    phi = sd.ScalarField("phi", lattice)
    cases = (sp.sqrt(phi), phi > 1), (sp.log(phi + 2), phi > -1), (1 / phi, True)
    theory = sd.Theory("branches", fields=[phi], action=lattice.sum(phi**2 + sp.Piecewise(*cases)))
    x = np.array([[[4.0, 0.5, -0.9, -2.0]]])
    action, gradient = sd.compile(theory, backend, precision="float64").evaluate("action_and_gradient", x)
    values = [2.0, np.log(2.5), np.log(1.1), -0.5]
    slopes = [0.25, 1 / 2.5, 1 / 1.1, -0.25]
    np.testing.assert_allclose(action, [(x**2).sum() + sum(values)], rtol=1e-14)
    np.testing.assert_allclose(gradient[0, 0], 2 * x[0, 0] + slopes, rtol=1e-14)
