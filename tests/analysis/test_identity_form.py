"""The second normal form: every rewriting is an identity on the reals, and odd spellings are proved by it."""

from __future__ import annotations

from typing import Any

import mpmath
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.algebra.identity_form import IdentityForm
from sesamo_dsl.symbols.exact import NumberTable

POINT, LINE = sd.Lattice(1), sd.Lattice(4)
X, Y = sd.ScalarField("x", POINT), sd.ScalarField("y", POINT)
PHI = sd.ScalarField("phi", LINE)
H, DELTA = sd.parameters("h delta")
HALF = sp.Rational(1, 2)
COSINES = -sp.cos(X) - 2 * sp.cos(X / 2) * sp.cos(sp.sqrt(3) * Y / 2)


def huber(x: Any, upper: Any = 1) -> sp.Expr:
    return sp.Piecewise((-x - HALF, x < -1), (x - HALF, x > upper), (x**2 / 2, True))


FUNCTIONS: list[sp.Expr] = [
    sp.log(1 + sp.exp(-X)) + X / 2,
    sp.log(sp.cosh(X)) * sp.tanh(X) + sp.sech(2 * X + 1),
    sp.log(3 * sp.exp(X + 2 * Y) + sp.exp(2 * X - Y) / 7),
    sp.log((1 + X**2) * (2 + sp.exp(Y)) ** 3) + sp.log(4 * sp.exp(X)),
    sp.log(2 + sp.cos(X) * sp.sin(Y)),
    sp.sin(X) ** 3 * sp.cos(2 * Y + sp.pi / 3) + sp.cos(X + 1) ** 2,
    sp.tan(X / 3) + sp.cot(Y) + sp.csc(X) * sp.sec(Y),
    sp.coth(X) - sp.csch(Y),
    sp.tanh(X) / (2 + sp.tanh(Y) ** 2),
    1 / (2 + sp.cos(X)) ** 2 + 1 / (sp.exp(X) + sp.exp(-Y)),
    (1 + sp.cosh(X)) ** sp.Rational(-3, 2) + sp.sqrt(sp.exp(X) + 3 * sp.exp(3 * X)),
    (2 + 4 * X**2) ** sp.Rational(5, 2) / sp.sqrt(3 + 3 * Y**2),
    sp.exp(-((X - Y) ** 2) / 2 + 1) + sp.exp(X + HALF * sp.log(1 + Y**2)) * sp.exp(sp.sqrt(2) * X - 2),
    sp.exp(sp.cos(X)) + sp.cos(sp.cos(Y)),
    sp.Abs(X - 2 * Y) * sp.Abs(X + 1) + sp.Abs(sp.sin(X)) + sp.Abs(X) ** sp.Rational(3, 2),
    sp.sign(X * Y) * X + sp.sign(X - 1) ** 2 * sp.sign(2 - X),
    sp.Heaviside(X) + sp.Heaviside(3 - 2 * X, 0) * Y + sp.Heaviside(X * Y - 1),
    sp.Max(X, Y) * sp.Min(2 * X, Y - 1) + sp.Max(X, Y, 0),
    huber(X) + huber(2 * Y - X),
    sp.Piecewise((X, (X > 1) & (Y < X)), (Y, (X < -1) | (Y > 2)), (X * Y, True)),
    sp.Piecewise((1, X**2 > 2), (X, sp.Abs(X) <= 1), (3, True)),
    sp.Piecewise((X, sp.Abs(X - Y) > 1), (Y, True)),
    sp.Piecewise((1, X**3 - X > 0), (Y, sp.Eq(X, 2)), (X, X * (X - 1) >= 0), (Y**2, sp.Ne(Y, 1)), (7, True)),
    sp.Piecewise((X, (X**2 - 1) ** 2 * (X - 2) > 0), (Y, 3 - sp.Abs(2 * X) > 0), (1, True)),
    sp.Piecewise((H * X, sp.Abs(X) > H), (X**2, ~((X > Y) & (X < H))), (0, True)),
    sp.floor(X + 2) + sp.ceiling(3 * Y) + sp.frac(X * Y) + sp.Mod(X, 3) - sp.Mod(Y, HALF),
    sp.erf(X - Y) + sp.atan(sp.exp(X)) + sp.asinh(Y) + sp.atan2(Y, X),
    sp.cos(3 * sp.atan2(Y, X)) - sp.sin(4 * sp.atan2(X - Y, X) + sp.pi / 6) + sp.sin(5 * sp.atan(X * Y)),
]
POINTS = [
    (0.37, -1.21),
    (-0.83, 0.44),
    (2.6, 1.9),
    (-3.4, -2.7),
    (1, 1),
    (-1, 2),
    (2, 2),
    (-1, -1),
    (0.5, 1.5),
]


@pytest.mark.parametrize("index", range(len(FUNCTIONS)))
def test_every_rewriting_is_an_identity(index: int) -> None:
    """Values with 30 digits before and after, on boundaries too."""
    function = FUNCTIONS[index]
    form = IdentityForm(NumberTable())(function)
    euler = {s: sp.E for s in form.free_symbols if s.name == "e"}
    indicators = {"H": lambda v, t: int(mpmath.re(v) > t), "Z": lambda v, t: int(v == t)}
    arguments = (X, Y, H)
    after = sp.lambdify(arguments, form.xreplace(euler), [indicators, "mpmath"])
    before = sp.lambdify(arguments, function, "mpmath")
    compared = 0
    with mpmath.workdps(40):
        for x, y in POINTS:
            numbers = mpmath.mpf(x), mpmath.mpf(y), mpmath.mpf("0.51")
            try:
                expected = before(*numbers)
            except ZeroDivisionError:
                continue
            assert abs(after(*numbers) - expected) < mpmath.mpf(10) ** -30 * (1 + abs(expected))
            compared += 1
    assert compared >= 6


def even(field: Any) -> Any:
    return sd.Z2(field)


SPELLINGS: dict[str, tuple[Any, sp.Expr, Any]] = {
    "log 2cosh": (X, X**2 + sp.log(1 + sp.exp(-X)) + X / 2, even),
    "softplus of 3x": (X, X**2 + sp.log(2 + 2 * sp.exp(3 * X)) - 3 * X / 2, even),
    "log of a product": (X, X**2 - sp.log((1 + sp.exp(X)) * (3 + X**2)) + X / 2, even),
    "two softplus": (X, sp.log(1 + sp.exp(X - 1)) + sp.log(1 + sp.exp(-X - 1)), even),
    "logistic": (X, X**2 + (1 / (1 + sp.exp(-X)) - HALF) * X, even),
    "logistic square": (X, X**2 + 1 / (1 + sp.exp(X)) - 1 / (1 + sp.exp(X)) ** 2, even),
    "hyperbolic quotient": (X, X**2 + X * (sp.exp(2 * X) - 1) / (sp.exp(2 * X) + 1), even),
    "root of exponentials": (X, X**2 + sp.sqrt(1 + sp.exp(2 * X)) * sp.exp(-X / 2), even),
    "double angle": (X, X**2 + sp.sin(X + sp.pi / 4) ** 2 - sp.sin(2 * X) / 2, even),
    "angle addition": (X, X**2 + sp.sin(X + 1) - sp.sin(X - 1) * 0 - sp.cos(1) * sp.sin(X), even),
    "tangent of the half": (X, X**2 + sp.tan(X / 2) * (1 + sp.cos(X)) * X, even),
    "Huber, two half-lines": (X, huber(X), even),
    "Huber, a disjunction": (
        X,
        sp.Piecewise((sp.Abs(X) - HALF, (X > 1) | (X <= -1)), (X**2 / 2, True)),
        even,
    ),
    "Huber, a square": (X, sp.Piecewise((X**2 / 2, X**2 < 1), (sp.Max(X, -X) - HALF, True)), even),
    "Huber with a coupling": (
        X,
        sp.Piecewise((X**2 / 2, (X < DELTA) & (X > -DELTA)), (DELTA * (sp.Abs(X) - DELTA / 2), True)),
        even,
    ),
    "two half-lines, walls": (X, X**2 + sp.Piecewise((5, X > 3), (5, X < -3), (0, True)), even),
    "complement": (X, X**2 + sp.Piecewise((1, X >= 2), (0, X > -2), (1, True)), even),
    "positive parts": (X, X**2 + sp.Max(X, 0) ** 2 - X * sp.Max(X, 0) + sp.Max(X, 0) - X / 2, even),
    "steps": (X, X**2 + X * sp.Heaviside(X) - X / 2, even),
    "ceilings": (X, X**2 + sp.ceiling(X) + sp.floor(-X), even),
    "lattice": (
        PHI,
        LINE.sum(PHI**2 + sp.log(1 + sp.exp(PHI - PHI.shift(0))) - (PHI - PHI.shift(0)) / 2),
        even,
    ),
    "squares of sine and cosine": (
        [X, Y],
        X**2 + Y**2 + Y * (sp.sin(X) ** 2 + sp.cos(X) ** 2 - 1),
        lambda _: sd.groups.Dihedral(4, X, Y),
    ),
    "cosines": ([X, Y], (X**2 + Y**2) / 9 + COSINES, lambda _: sd.groups.Dihedral(6, X, Y)),
    "exponentials of two": (
        [X, Y],
        X**2
        + Y**2
        + sp.cosh(X) * sp.cosh(Y)
        - sp.exp(X + Y) / 2
        - sp.exp(-X - Y) / 2
        + sp.sinh(X) * sp.sinh(Y),
        lambda _: sd.Cyclic(4, X, Y),
    ),
    "rotation": (
        [X, Y],
        X**2 + Y**2 + sp.sin(X**2) * sp.cos(Y**2) + sp.cos(X**2) * sp.sin(Y**2),
        lambda _: sd.LieSymmetry("R", [{X: -Y, Y: X}]),
    ),
    "rotation, log of a product": (
        [X, Y],
        X**2 + Y**2 * (sp.sin(X) ** 2 + sp.cos(X) ** 2) + sp.log(1 + sp.exp(X**2) * sp.exp(Y**2)),
        lambda _: sd.LieSymmetry("R", [{X: -Y, Y: X}]),
    ),
    "sitewise": (PHI, LINE.sum(PHI**2 + sp.log(1 + sp.exp(PHI)) - PHI / 2), lambda f: sd.Sitewise(sd.Z2(f))),
    "three lobes": (
        [X, Y],
        (X**2 + Y**2) / 2 + sp.cos(3 * sp.atan2(Y, X)) + sp.sin(6 * sp.atan2(Y, X)) ** 2,
        lambda _: sd.Cyclic(3, X, Y),
    ),
    "product of tails": (X, sp.erfc(X) * sp.erfc(-X) + X**2, sd.Z2),
    "tail about one half": (X, (sp.erfc(X) - 1) ** 2 + X**2, sd.Z2),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_odd_spellings_are_exact(name: str) -> None:
    fields, action, symmetry = SPELLINGS[name]
    analysis = analysed(fields, action, symmetry(fields))
    assert analysis.status == "exact", analysis.text()
    assert analysis.breaking == 0
    assert "proved" in analysis.text()


FALSE: dict[str, sp.Expr] = {
    "softplus": sp.log(1 + sp.exp(-X)) + X / 3,
    "half-lines": huber(X, 2),
    "closed and open": sp.Piecewise((0, X > 1), (0, X < -2), (1, True)),
    "logistic": 1 / (1 + sp.exp(-X)),
    "lobes of the wrong parity": sp.cos(3 * sp.atan(X)) * sp.sin(2 * sp.atan(X)),
    "phase": sp.sin(X + 1) ** 2 + sp.sin(X) ** 2,
    "tiny": sp.log(1 + sp.exp(X)) - X / 2 + sp.sin(X) / 10**20,
}


@pytest.mark.parametrize("name", FALSE)
def test_what_is_no_identity_is_not_proved(name: str) -> None:
    analysis = analysed(X, X**2 + FALSE[name], sd.Z2(X))
    assert analysis.status == "broken"
    assert analysis.breaking != 0


def test_invariant_terms_do_not_count_as_breaking() -> None:
    """x² + y² and the cosines are invariant, each together; only the source is not."""
    group = sd.groups.Dihedral(6, X, Y)
    analysis = analysed([X, Y], (X**2 + Y**2) / 9 + COSINES + H * X, group)
    assert analysis.status == "broken"
    assert analysis.breaking == H * POINT.sum(X)
    hidden = (sp.atan(sp.exp(X)) - sp.pi / 4) ** 2 + (sp.atan(sp.exp(Y)) - sp.pi / 4) ** 2
    analysis = analysed([X, Y], (X**2 + Y**2) ** 2 + hidden, sd.Cyclic(4, X, Y))
    assert analysis.status == "undecided"
    assert not analysis.breaking.has(X**4, X**2 * Y**2)


def test_large_expressions_are_left_alone() -> None:
    form = IdentityForm(NumberTable())
    large = sp.Add(*(sp.cos(k * X) ** k for k in range(2, 120)))
    assert not form.vanishes(large - large.xreplace({X: -X}) + sp.sin(X) * large)


def analysed(fields: Any, action: sp.Expr, symmetry: Any) -> sd.Analysis:
    fields = fields if isinstance(fields, list) else [fields]
    return sd.analyse(sd.Theory("t", fields=fields, action=action, symmetries=[symmetry]))
