"""A new operation is one object, and one line in each dialect: softsign, x/(1 + |x|)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch

import sesamo_dsl as sd
import sesamo_jax
import sesamo_torch
from sesamo_dsl.errors import LoweringError
from sesamo_dsl.estimates.identities import Identities
from sesamo_dsl.ir.builder import Builder
from sesamo_dsl.ir.continuity import discontinuity
from sesamo_dsl.ir.gradient import with_gradient
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.operations import OPERATIONS, register
from sesamo_dsl.ir.operations.functions import Elementwise
from sesamo_dsl.ir.operations.operation import Writer
from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.rounding import error_bounds
from sesamo_dsl.ir.source import Dialect, module_source
from sesamo_dsl.ir.value import Kind
from sesamo_dsl.landscape.inner_values import inner_values
from sesamo_dsl.landscape.landscape import Landscape
from sesamo_dsl.lowering.expressions import lower
from sesamo_dsl.lowering.shapes import supported
from sesamo_dsl.stages.lower import action_program
from support import example

Array = np.ndarray[Any, Any]
X = np.random.default_rng(1).normal(scale=3.0, size=(5, 1, 3, 2)).astype(np.float32).astype(np.float64)
TEMPLATES = {
    "torch": "{0} / (1 + torch.abs({0}))",
    "jax": "{0} / (1 + jnp.abs({0}))",
    "numpy": "{0} / (1 + np.abs({0}))",
}


def slope(b: Writer, x: int, y: int, adjoint: int) -> int:
    """1/(1 + |x|)²."""
    size = b.add(b.constant(1.0), b.apply("abs", x))
    return b.div(adjoint, b.mul(size, size))


SOFTSIGN = Elementwise(
    "softsign",
    lambda x: x / (1 + np.abs(x)),
    slope=slope,
    error=lambda x, y, delta, roundoff: (delta + 2 * roundoff * np.abs(x)) / (1 + np.abs(x)),
    continuous=True,
)


class softsign(sp.Function):
    """What users write."""

    is_real = True

    def _eval_evalf(self, prec: int) -> Any:
        return (self.args[0] / (1 + sp.Abs(self.args[0])))._eval_evalf(prec)


@pytest.fixture
def program() -> Iterator[Program]:
    """Σ_x softsign(φ_x) softsign(2 φ_{x+1})² with its gradient."""
    register(SOFTSIGN)
    b = Builder("action", "S.", [("x", Kind.FIELDS)])
    phi = b.component(b.input("x"), 0)
    ahead = b.apply("softsign", b.mul(b.constant(2.0), b.shift(phi, (1, 0))))
    density = b.mul(b.apply("softsign", phi), b.mul(ahead, ahead))
    action = b.finish(action=b.site_sum(density))
    gradient = with_gradient(action, "action", 1, "gradient", "S and ∂S.")
    yield Program("toy", "", ("phi",), (3, 2), {}, {}, {"action": action, "gradient": gradient})
    del OPERATIONS["softsign"]


def by_hand(x: list[list[float]]) -> mpmath.mpf:
    with mpmath.workdps(30):
        here = [v / (1 + abs(v)) for row in x for v in map(mpmath.mpf, row)]
        ahead = [2 * v / (1 + 2 * abs(v)) for row in (*x[1:], x[0]) for v in map(mpmath.mpf, row)]
        return mpmath.fsum(a * b**2 for a, b in zip(here, ahead, strict=True))


def test_value_and_rounding_bound(program: Program) -> None:
    exact = [by_hand(x[0]) for x in X.tolist()]
    np.testing.assert_allclose(run(program, "action", {"x": X})[0], [float(v) for v in exact], rtol=1e-14)
    single = run(program, "action", {"x": X.astype(np.float32)})[0]
    (bound,) = error_bounds(program, "action", X, {}, roundoff=float(np.finfo(np.float32).eps))
    assert single.dtype == np.float32
    assert all(abs(mpmath.mpf(float(v)) - e) <= b for v, e, b in zip(single, exact, bound, strict=True))
    assert bound.max() < 1e-4


def test_gradient(program: Program) -> None:
    step, x = 1e-3, X[:1]
    moves = step * np.eye(x.size).reshape(x.size, *x.shape[1:])
    values = [run(program, "action", {"x": x + k * moves})[0] for k in (-2, -1, 1, 2)]
    expected = ((values[0] - values[3]) / 12 + (values[2] - values[1]) * 2 / 3) / step
    np.testing.assert_allclose(run(program, "gradient", {"x": x})[1].ravel(), expected, rtol=1e-8, atol=1e-9)


def emitted(program: Program, name: str) -> dict[str, Any]:
    dialects: dict[str, Dialect] = {
        "torch": sesamo_torch.emit.DIALECT,
        "jax": sesamo_jax.emit.DIALECT,
        "numpy": example("numpy_backend").DIALECT,
    }
    own = dialects[name]
    scope: dict[str, Any] = {}
    dialect = replace(own, templates={**own.templates, "softsign": TEMPLATES[name]})
    exec(module_source(program, dialect), scope)
    return scope


@pytest.mark.parametrize("name", TEMPLATES)
def test_emitted(name: str, program: Program, float64_in_jax: None) -> None:
    make: Any = torch.from_numpy if name == "torch" else np.asarray
    if name == "jax":
        import jax.numpy as jnp

        make = jnp.asarray
    found = emitted(program, name)["gradient"](make(X))
    for one, other in zip(found, run(program, "gradient", {"x": X}), strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=1e-13, atol=1e-15)


def test_a_formula_names_it(program: Program) -> None:
    """The lowering knows it by the name of the SymPy function, and the name alone of no function at all."""
    phi = sd.ScalarField("phi", sd.Lattice(3, 2))
    total = phi.lattice.sum(softsign(phi) * softsign(2 * phi.shift(0)) ** 2)
    lowered = lower("action", "S.", total, (phi,), "action")
    found = run(Program("toy", "", ("phi",), (3, 2), {}, {}, {"action": lowered}), "action", {"x": X})[0]
    np.testing.assert_allclose(found, run(program, "action", {"x": X})[0], rtol=1e-14)
    for unknown in (sp.Function("softsign"), sp.Function("wall"), sp.Function("hold")):
        with pytest.raises(LoweringError):
            lower("action", "S.", phi.lattice.sum(unknown(phi)), (phi,), "action")


def test_control_variates_and_the_search_for_modes_see_it(program: Program) -> None:
    """As its declaration says; of an operation that says nothing, nothing is proved and all is searched."""
    phi = sd.ScalarField("phi", sd.Lattice(3, 2))
    action = phi.lattice.sum(phi**4 + softsign(2 * phi - 1))
    whole = action_program(sd.Theory("toy", fields=[phi], action=action))
    assert Identities.at(whole, {}, X).obstacle == ""
    found = inner_values(Landscape(whole, {}, (3, 2), uniform=True))
    assert found is not None
    assert np.allclose(found.follow(np.array([[0.5], [2.0]]))[:, found.broken], [[0.0], [3.0]])
    OPERATIONS["softsign"].is_continuous = False
    try:
        assert "softsign" in str(discontinuity(program.functions["action"], {}, {}))
    finally:
        OPERATIONS["softsign"].is_continuous = True


def test_what_is_refused_names_it_among_what_is_supported(program: Program) -> None:
    assert "softsign" in supported()
    assert all(name in supported() for name in ("exp", "Abs", "atan2"))


def test_it_is_gone_again() -> None:
    assert "softsign" not in supported()
    phi = sd.ScalarField("phi", sd.Lattice(3))
    with pytest.raises(LoweringError, match="softsign"):
        lower("action", "S.", phi.lattice.sum(softsign(phi)), (phi,), "action")
