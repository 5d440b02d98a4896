"""An analysis answers within seconds, whatever breaks the symmetry; what was not looked for is said."""

from __future__ import annotations

from typing import Any

import mpmath
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.algebra.identity_form import IdentityForm
from sesamo_dsl.analysis.invariance import visibly_changes
from sesamo_dsl.analysis.undeclared import undeclared_symmetries
from sesamo_dsl.symbols.lattice import SiteSum
from support import processor_time

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
    with processor_time() as spent:
        analysis = sd.analyse(sd.Theory("t", fields=fields, action=action, symmetries=[symmetry]))
        text = analysis.text()
    assert spent.is_below(5)
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


WAVE = sp.tanh(X + sp.tanh(Y + sp.tanh(X - 2 * Y)))
CENTRES = [((37 * k) % 11 - 5, sp.Rational((53 * k) % 23 - 11, 2)) for k in range(36)]
BUMPS = -sp.log(sp.Add(*(sp.exp(-((X - a) ** 2) - (Y - b) ** 2) for a, b in CENTRES)))
SEXTIC = sp.Add(*(sp.Rational(i + 1, 700) * X**i * Y**j for i in range(7) for j in range(7 - i)))
POWER = (X + Y + 1) ** 20
LINES = sp.Max(*(sp.Rational(k, 7) * X + sp.Rational(11 - k, 5) * Y + k for k in range(11)))
ROTATION = sd.LieSymmetry("R", [{X: -Y, Y: X}])
LARGE = {
    "nested": WAVE,
    "nested, with products": sp.tanh(X * sp.tanh(Y * sp.tanh(X - Y) + 1) + sp.tanh(2 * X)),
    "36 Gaussians": BUMPS,
    "a high power": POWER,
    "the exponential of a polynomial": sp.exp(SEXTIC),
    "the maximum of lines": LINES,
}


LONG = [pytest.param("a high power", marks=pytest.mark.long)]


@pytest.mark.parametrize("symmetry", [sd.Cyclic(7, X, Y), ROTATION], ids=["Z7", "SO2"])
@pytest.mark.parametrize("name", [*(name for name in LARGE if name != "a high power"), *LONG])
def test_large_actions_are_answered_too(name: str, symmetry: Any) -> None:
    with processor_time() as spent:
        theory = sd.Theory("t", fields=[X, Y], action=R2**2 + LARGE[name], symmetries=[symmetry])
        analysis = sd.analyse(theory)
        text = analysis.text()
    assert spent.is_below(10)
    assert analysis.status == "broken"
    assert all(f"note: {limit}" in text for limit in analysis.limits)
    # whatever was given up: S − S₁ is invariant
    rest = (theory.action - analysis.breaking).replace(SiteSum, lambda _, density: density)
    value = sp.lambdify([X, Y], rest, "mpmath", cse=True)
    with mpmath.workdps(40):
        angle = 2 * mpmath.pi / analysis.group.order if symmetry is not ROTATION else mpmath.mpf(7) / 10
        c, s = mpmath.cos(angle), mpmath.sin(angle)
        for x, y in ((mpmath.mpf(1) / 3, mpmath.mpf(-1)), (mpmath.mpf(2), mpmath.mpf(1) / 7)):
            before, after = value(x, y), value(c * x - s * y, s * x + c * y)
            assert abs(after - before) < mpmath.mpf(10) ** -25 * (1 + abs(before))


def test_what_a_configuration_refutes_is_not_tried_to_be_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    def proof(*_: Any) -> bool:
        raise AssertionError("a proof of what is false was tried")

    monkeypatch.setattr(IdentityForm, "vanish", proof)
    theory = sd.Theory("t", fields=[X, Y], action=R2**2 + H * WAVE, symmetries=[sd.Cyclic(7, X, Y)])
    analysis = sd.analyse(theory)
    # an irrational rotation leaves the terms of r⁴ alone together, and not each of them
    assert sp.expand(analysis.breaking.replace(SiteSum, lambda _, density: density) - H * WAVE) == 0


def test_a_change_too_small_for_floats_is_still_one() -> None:
    lattice, move = POINT, lambda x, digits: -x
    for term, seen in ((X**3 / 10**15, True), (X**3 / 10**25, False), (X**4, False)):
        theory = sd.Theory("t", fields=[X], action=lattice.sum(X**2 + term))
        assert visibly_changes(theory, lattice.sum(term), move) is seen


def test_what_was_given_up_is_said() -> None:
    for symmetry, words in (
        (sd.Cyclic(7, X, Y), ("not multiplied out", "S₁ is the whole of", "too large")),
        (ROTATION, ("not multiplied out", "no smaller breaking part")),
    ):
        theory = sd.Theory("t", fields=[X, Y], action=R2**2 + BUMPS, symmetries=[symmetry])
        limits = sd.analyse(theory).limits
        assert all(any(word in limit for limit in limits) for word in words)


def test_a_lattice_of_a_million_sites_is_answered() -> None:
    analysis = sd.analyse(sd.load_theory("scalar_phi4@1024x1024"))
    assert analysis.status == "broken"
    assert "not judged above" in str(analysis)
    _, limits = undeclared_symmetries(analysis, 1.0)
    assert any("smaller lattice" in limit for limit in limits)
