"""Derivatives of S by the couplings against finite differences, for theories that chance has made."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.errors import SesamoError
from sesamo_dsl.ir.coupling_derivatives import coupling_derivatives
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.stages.lower import action_program, lower_theory
from sesamo_dsl.testing.random_theories import random_theory


def check(program: Program, x: np.ndarray) -> int:
    """Compare with finite differences of fourth order; returns the number of derivatives that are not 0."""
    known, values = coupling_derivatives(program), dict(program.parameters)
    alive = 0

    def difference(of: Program, function: str, output: int, name: str) -> np.ndarray:
        step = 1e-3 * max(abs(values[name]), 0.1)
        one, back, two, twice_back = (
            run(of, function, {"x": x}, {**values, name: values[name] + k * step})[output]
            for k in (1, -1, 2, -2)
        )
        return (8 * (one - back) - (two - twice_back)) / (12 * step)

    for number, (name, found) in enumerate(
        zip(known.names, run(known.program, "slopes", {"x": x}, values), strict=True)
    ):
        np.testing.assert_allclose(found, difference(program, "action", 0, name), rtol=1e-6, atol=1e-7)
        alive += bool(np.abs(found).max() > 0)
        assert known.names[number] == name
    curvatures = run(known.program, "curvatures", {"x": x}, values)
    for (one, other), found in zip(known.pairs, curvatures, strict=True):
        wanted = difference(known.program, "slopes", known.names.index(one), other)
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
        alive += bool(np.abs(found).max() > 0)
    return alive


def test_random_theories() -> None:
    alive = theories = 0
    for seed in range(10):
        try:
            program = lower_theory(sd.analyse(random_theory(seed).theory, normalizable=False))
        except SesamoError:
            continue
        x = np.random.default_rng(seed).normal(size=(4, *program.configuration_shape))
        alive += check(program, x)
        theories += 1
    assert theories > 5
    assert alive > 5


def test_couplings_in_exponents_quotients_and_roots() -> None:
    lattice = sd.Lattice(3, 2)
    x, a, b = sd.ScalarField("x", lattice), *sd.parameters("a b")
    action = lattice.sum(
        a**2 * sp.log(sp.cosh(b * x)) + sp.sqrt(1 + a * x**2) / b + sp.exp(-a * b * x**2) + x**2 / 2
    )
    action += sp.log(1 + a * lattice.sum(x) ** 2) + b**3
    program = action_program(sd.Theory("mixed", fields=[x], action=action, defaults={a: 0.7, b: 1.3}))
    assert check(program, np.random.default_rng(2).normal(size=(5, 1, 3, 2))) == 5


def test_a_constant_of_the_action_counts() -> None:
    x, a = sd.ScalarField("x", sd.Lattice(2)), sd.parameters("a")
    theory = sd.Theory("c", fields=[x], action=x.lattice.sum(x**2) + 5 * a**2, defaults={a: 3.0})
    known = coupling_derivatives(lower_theory(sd.analyse(theory)))
    at = {"x": np.ones((2, 1, 2))}
    np.testing.assert_allclose(run(known.program, "slopes", at, {"a": 3.0})[0], 30.0)
    np.testing.assert_allclose(run(known.program, "curvatures", at, {"a": 3.0})[0], 10.0)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (lambda x, a: x**2 / 2 + sp.Heaviside(x - a), "may jump"),
        (lambda x, a: x**2 / 2 + sp.sign(a * x), "may jump"),
    ],
)
def test_where_S_may_jump_there_is_no_derivative(action, reason: str) -> None:
    x, a = sd.ScalarField("x", sd.Lattice(1)), sd.parameters("a")
    theory = sd.Theory("t", fields=[x], action=action(x, a), defaults={a: 1.0})
    known = coupling_derivatives(lower_theory(sd.analyse(theory)))
    assert known.names == ()
    assert reason in known.obstacles["a"]
