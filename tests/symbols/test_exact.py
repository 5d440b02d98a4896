"""Exact arithmetic: zero is decided, equal numbers get one spelling, nothing is decided by luck."""

from __future__ import annotations

import itertools
import math

import mpmath
import pytest
import sympy as sp

from sesamo_dsl.symbols.exact import NumberTable, is_zero, numeric, rational

R = sp.Rational
ROOT2, ROOT3, ROOT5 = sp.sqrt(2), sp.sqrt(3), sp.sqrt(5)


def cos(p: int, q: int) -> sp.Expr:
    """cos(πp/q)."""
    return sp.cos(R(p, q) * sp.pi)


def pell(digits: int) -> sp.Rational:
    """A convergent p/q of √2 with |p/q − √2| < 10^−digits, non-zero because √2 is irrational."""
    p, q = 1, 1
    while q * q < 10**digits:
        p, q = p + 2 * q, p + q
    return R(p, q)


ZEROS: dict[str, sp.Expr] = {
    "nested root": sp.sqrt(3 + 2 * ROOT2) - 1 - ROOT2,
    "denominator": 1 / (ROOT2 + ROOT3) - ROOT3 + ROOT2,
    "cube roots": sp.cbrt(2 + ROOT5) - R(1, 2) - ROOT5 / 2,
    "twice nested": sp.sqrt(2 + sp.sqrt(2 + ROOT2)) - 2 * cos(1, 16),
    "sines and cosines": sp.sin(sp.pi / 9) - cos(7, 18),
    "heptagon": cos(1, 7) * cos(2, 7) * cos(3, 7) - R(1, 8),
    "Gauss sum of order 11": sum(cos(2 * k, 11) for k in range(1, 6)) + R(1, 2),
    "17-gon": 16 * cos(2, 17)
    - (
        -1
        + sp.sqrt(17)
        + sp.sqrt(34 - 2 * sp.sqrt(17))
        + 2
        * sp.sqrt(17 + 3 * sp.sqrt(17) - sp.sqrt(34 - 2 * sp.sqrt(17)) - 2 * sp.sqrt(34 + 2 * sp.sqrt(17)))
    ),
    "roots with cosines": sp.sqrt(2 + 2 * cos(2, 7)) - 2 * cos(1, 7),
    "golden icosahedron": (1 + ROOT5) ** 2 / 4 - (1 + ROOT5) / 2 - 1,
    "rational powers": sp.Pow(3 + 2 * ROOT2, R(3, 4)) - sp.Pow(1 + ROOT2, R(3, 2)),
}
NON_ZEROS: dict[str, sp.Expr] = {
    "a convergent of √2": R(665857, 470832) - ROOT2,
    "1e-40 apart": sp.sqrt(2 + R(1, 10**40)) - ROOT2,
    "1e-60 apart": pell(60) - ROOT2,
    "1e-200 apart": pell(200) - ROOT2,
    "a tiny rational": R(1, 10**300),
    "1e-40 beside a cosine": cos(1, 7) + R(1, 10**40) - sp.sin(5 * sp.pi / 14),
    "square of a small number": (pell(40) - ROOT2) ** 2,
    "not algebraic": sp.pi - R(355, 113),
}
UNDECIDABLE: dict[str, sp.Expr] = {
    "logarithms": sp.log(2) + sp.log(3) - sp.log(6),
    "angle that is no multiple of π": sp.sin(1) ** 2 + sp.cos(1) ** 2 - 1,
    "exponential": sp.exp(ROOT2) * sp.exp(ROOT3) - sp.exp(ROOT2 + ROOT3 + sp.log(6) - sp.log(2) - sp.log(3)),
    "degree 2^18": sp.Pow(sum(sp.sqrt(sp.prime(n)) for n in range(1, 19)), 2)
    - sp.expand(sp.Pow(sum(sp.sqrt(sp.prime(n)) for n in range(1, 19)), 2)),
}


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        pytest.param(number, answer, id=name)
        for table, answer in ((ZEROS, True), (NON_ZEROS, False), (UNDECIDABLE, None))
        for name, number in table.items()
    ],
)
def test_is_zero(number: sp.Expr, answer: bool | None) -> None:
    assert not (answer is not False and isinstance(number, sp.Rational)), "SymPy decided this one itself"
    assert is_zero(number) is answer
    assert is_zero(sp.Mul(-7, number, evaluate=False)) is answer


@pytest.mark.parametrize("number", [*ZEROS.values()], ids=[*ZEROS])
@pytest.mark.parametrize("digits", [20, 40, 90])
def test_a_zero_that_is_moved_is_not_zero(number: sp.Expr, digits: int) -> None:
    assert is_zero(number + R(1, 10**digits)) is False


@pytest.mark.parametrize("number", [*ZEROS.values(), *NON_ZEROS.values()], ids=[*ZEROS, *NON_ZEROS])
def test_numeric_against_sympy(number: sp.Expr) -> None:
    with mpmath.workdps(60):
        assert abs(numeric(number) - mpmath.mpf(sp.N(number, 60))) < mpmath.mpf(10) ** -48


def test_equal_numbers_get_one_spelling() -> None:
    """Products of cosines over all angles of several orders, spelled as products and as sums."""
    for n in (5, 7, 8, 9, 12):
        table = NumberTable()
        spelled = {}
        for j in range(n):
            for k in range(n):
                product = table.canonical(cos(2 * j, n) * cos(2 * k, n))
                total = table.canonical((cos(2 * (j + k), n) + cos(2 * (j - k), n)) / 2)
                assert product == total
                value = math.cos(2 * math.pi * j / n) * math.cos(2 * math.pi * k / n)
                assert abs(float(product) - value) < 1e-14
                spelled[product] = value
        values = sorted(spelled.values())
        assert all(b - a > 1e-3 for a, b in itertools.pairwise(values))


def test_numbers_of_the_table() -> None:
    table = NumberTable()
    assert table.canonical(ZEROS["17-gon"]) == 0
    assert table.canonical(cos(1, 7) * cos(2, 7) * cos(3, 7)) == R(1, 8)
    first = table.canonical(sp.sqrt(3 + 2 * ROOT2))
    assert table.canonical(1 + ROOT2) == first
    near = table.canonical(1 + ROOT2 + R(1, 10**32))
    assert near != first
    assert table.canonical(near) == near
    # both sides of a rounding boundary of the key
    assert table.canonical(1 + ROOT2) == first


def test_number_table_of_a_matrix() -> None:
    table, n = NumberTable(), 9
    rotation = sp.Matrix([[cos(2, n), -sp.sin(2 * sp.pi / n)], [sp.sin(2 * sp.pi / n), cos(2, n)]])
    power = first = table.matrix(rotation)
    for k in range(2, n + 1):
        power = table.matrix(power * first)
        expected = [[math.cos(2 * math.pi * k / n), -math.sin(2 * math.pi * k / n)]]
        assert abs(float(power[0, 0]) - expected[0][0]) < 1e-14
        assert abs(float(power[0, 1]) - expected[0][1]) < 1e-14
    assert power == sp.eye(2)
    assert table.matrix(power * first) == first


def test_rational() -> None:
    x = sp.Symbol("x")
    table = [
        (sp.Float("0.1"), R(1, 10)),
        (sp.Float(0.1) + x * sp.Float(0.022), R(1, 10) + R(22, 1000) * x),
        (sp.exp(sp.Float(0.3) * x) ** sp.Float(0.5), sp.exp(R(3, 10) * x) ** R(1, 2)),
        (sp.Float("1e-40") * x, x / sp.Integer(10) ** 40),
        (sp.Float("2.5e10"), sp.Integer(25) * 10**9),
        (
            sp.Piecewise((sp.Float(0.25), x > sp.Float(1.5)), (x, True)),
            sp.Piecewise((R(1, 4), x > R(3, 2)), (x, True)),
        ),
    ]
    for number, expected in table:
        assert rational(number) == expected
        assert not rational(number).atoms(sp.Float)
    untouched = sp.sin(x) / 3 + ROOT2
    assert rational(untouched) is untouched
