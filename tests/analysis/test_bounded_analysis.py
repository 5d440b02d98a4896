"""An analysis answers within seconds, whatever breaks the symmetry; what was not looked for is said."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sympy as sp

import sesamo_dsl as sd

POINT, SQUARE = sd.Lattice(1), sd.Lattice(4, 4)
X, Y = sd.ScalarField("x", POINT), sd.ScalarField("y", POINT)
V = sd.VectorField("v", POINT, 3)
PHI = sd.ComplexField("phi", SQUARE)
H = sd.parameters("h")
R2 = X**2 + Y**2
HOPPING = sum(PHI.dot(PHI.shift(mu)) for mu in SQUARE.directions)

PLANE = [
    sp.log(sp.cosh(X)),
    sp.sqrt(1 + X**2),
    1 / (1 + X**2),
    sp.atan(Y / X),
    sp.cos(X),
    sp.exp(X),
    sp.sign(X) * sp.sign(Y),
    sp.exp(X * Y) / (1 + sp.cosh(X - Y)),
    sp.Abs(X) ** sp.Rational(3, 2) * sp.tanh(Y),
    (X + 2 * Y) ** 10,
]
SPACE = [
    sp.cos(V[0]) * sp.exp(V[1]),
    sp.log(sp.cosh(V[0]) + V[1] ** 2),
    1 / (1 + V[0] ** 2 + 2 * V[1] ** 2),
    (V[0] + V[1] + V[2]) ** 8,
]
LATTICE = [
    sp.cos(PHI.re - PHI.re.shift(0)),
    sp.sqrt(1 + (PHI.re - PHI.im.shift(1)) ** 2),
    sp.exp(PHI.re * PHI.im.shift(0)),
]
CASES: list[tuple[Any, sp.Expr, Any]] = [
    *(([X, Y], (R2 - 1) ** 2 + H * v, sd.LieSymmetry("R", [{X: -Y, Y: X}])) for v in PLANE),
    *(([X, Y], (R2 - 1) ** 2 + H * v, sd.groups.Dihedral(6, X, Y)) for v in PLANE[::3]),
    *(([V], (V.squared - 1) ** 2 + H * v, sd.SO(V)) for v in SPACE),
    *(([V], (V.squared - 1) ** 2 + H * v, sd.groups.Hyperoctahedral(V)) for v in SPACE[:1]),
    *(([PHI], SQUARE.sum(PHI.abs2 + PHI.abs2**2 - HOPPING + H * v), sd.U1(PHI)) for v in LATTICE),
]


@pytest.mark.parametrize("index", range(len(CASES)))
def test_the_analysis_answers_soon(index: int) -> None:
    fields, action, symmetry = CASES[index]
    start = time.process_time()
    analysis = sd.analyse(sd.Theory("t", fields=fields, action=action, symmetries=[symmetry]))
    text = analysis.text()
    assert time.process_time() - start < 8  # of this thread's processor, on machines twice as slow as ours
    assert analysis.status == "broken"
    # (r² − 1)² and its like are invariant, and only what h multiplies counts as breaking
    assert sp.expand(analysis.breaking.xreplace({H: sp.S.Zero})) == 0
    assert analysis.breaking != 0
    assert all(f"note: {limit}" in text for limit in analysis.limits)


def test_what_was_not_made_smaller_is_said() -> None:
    rotation = sd.LieSymmetry("R", [{X: -Y, Y: X}])

    def limits(term: sp.Expr) -> tuple[str, ...]:
        return sd.analyse(sd.Theory("t", fields=[X, Y], action=R2 + H * term, symmetries=[rotation])).limits

    (said,) = limits(sp.cos(X))
    assert "cos(x)" in said
    # polynomials, and polynomials with invariant coefficients, are projected on the invariants
    assert limits(X**3 * Y) == limits(X**2 * sp.exp(-R2)) == ()
