"""Functions without an operation of their own, written with others whose value and slope are stable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import sympy as sp

from ..symbols.lattice import Functional

_HALF = sp.Rational(1, 2)


def _series(coefficients: Sequence[sp.Expr], u: sp.Expr) -> sp.Expr:
    """Σ_k c_k u^2k by Horner's scheme."""
    total: sp.Expr = sp.S.Zero
    for c in reversed(coefficients):
        total = c + u**2 * total
    return total


def _heaviside(u: sp.Expr, at_zero: sp.Expr = _HALF) -> sp.Expr:
    return sp.Piecewise((0, u < 0), (1, u > 0), (at_zero, True))


def log_sinhc(u: sp.Expr) -> sp.Expr:
    """log(sinh(u)/u), with its value 0 at u = 0."""
    # log(sinh(u)/u) = Σ_k 2^(2k−1) B_2k/(k (2k)!) u^2k
    terms = (
        sp.S.Zero,
        *(2 ** (2 * k - 1) * sp.bernoulli(2 * k) / (k * sp.factorial(2 * k)) for k in range(1, 10)),
    )
    far = sp.log(1 - sp.exp(-2 * sp.Abs(u))) + sp.Abs(u) - sp.log(2 * sp.Abs(u))
    return sp.Piecewise((_series(terms, u), sp.Abs(u) < _HALF), (far, True))


ERFC_SERIES_FROM = 8.0  # from here the last term is below 1e-15; erfc(8) is still a normal number in float32
LARGE = sp.Dummy(positive=True)
"""u in the two series: one symbol, because SymPy takes a second to find the sign of their sum."""


@cache
def log_erfc_series() -> sp.Expr:
    """log erfc(u) = −u² − log(√π u) + log Σ_k (−1)^k (2k−1)!!/(2u²)^k for ``LARGE`` = u ≥ 8."""
    return -(LARGE**2) - sp.log(LARGE) - sp.log(sp.pi) / 2 + sp.log(_erfc_sum())


@cache
def erfcx_series() -> sp.Expr:
    """exp(u²) erfc(u) by the same series."""
    return _erfc_sum() / (sp.sqrt(sp.pi) * LARGE)


def _erfc_sum() -> sp.Expr:
    s, total = 1 / (2 * LARGE**2), sp.S.One
    for k in range(14, 0, -1):
        total = 1 - (2 * k - 1) * s * total
    return total


SPELLINGS: dict[Any, Callable[..., sp.Expr]] = {
    sp.sec: lambda u: 1 / sp.cos(u),
    sp.csc: lambda u: 1 / sp.sin(u),
    sp.cot: lambda u: 1 / sp.tan(u),
    sp.sech: lambda u: 1 / sp.cosh(u),
    sp.csch: lambda u: 1 / sp.sinh(u),
    sp.coth: lambda u: 1 / sp.tanh(u),
    sp.Heaviside: _heaviside,
    sp.ceiling: lambda u: -sp.floor(-u),
    sp.frac: lambda u: u - sp.floor(u),
    sp.Mod: lambda u, v: u - v * sp.floor(u / v),
}


def respelled(expr: sp.Basic) -> sp.Expr | None:
    """The function written with others, None if it has an operation of its own or no spelling."""
    spelling = SPELLINGS.get(type(expr))
    return None if spelling is None else spelling(*expr.args)


def ratio_sinhc(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """(u, rest) with expr = rest · sinh(u)/u, None if there is no such factor."""
    factors = sp.Mul.make_args(expr)
    for factor in factors:
        if isinstance(factor, sp.sinh):
            u = factor.args[0]
            bare = sp.Mul(*(f for f in sp.Mul.make_args(u) if not f.is_number))
            if sp.Pow(bare, -1) in factors:
                return u, expr / factor * u
    return None


def multiple_of_erfc(expr: sp.Basic) -> tuple[sp.Expr, sp.Expr] | None:
    """(n, u) with expr = n erfc(u), also of 1 + erf(−u) and 2 − erfc(−u), which may round to 0; else None."""
    if isinstance(expr, sp.erfc):
        return sp.S.One, expr.args[0]
    if not isinstance(expr, sp.Add) or len(expr.args) != 2:
        return None
    number, term = expr.as_two_terms()
    c, function = term.as_coeff_Mul()
    if isinstance(function, sp.erf) and number in (c, -c):
        return number, cast(Any, function.args[0]) * (-1 if number == c else 1)
    if isinstance(function, sp.erfc) and number == -2 * c:
        return -c, -cast(Any, function.args[0])
    return None


def branches_of(logarithm: sp.log) -> sp.Expr | None:
    """log f with the only Piecewise of f taken out, so that each branch is a logarithm; else None."""
    found = _piecewise(logarithm)
    if len(found) != 1 or not found[0].has(sp.exp, sp.cosh, sp.sinh):
        return None
    branches = [
        (logarithm.xreplace({found[0]: value}), condition) for value, condition in cast(Any, found[0].args)
    ]
    if any(value.has(sp.zoo, sp.nan) for value, _ in branches):  # log 0 = −∞ is left to floating point
        return None
    return sp.Piecewise(*branches)


def _piecewise(expr: sp.Basic) -> list[sp.Piecewise]:
    """The different outermost Piecewise nodes outside sums over sites."""
    if isinstance(expr, sp.Piecewise):
        return [expr]
    if isinstance(expr, Functional):
        return []
    return list(dict.fromkeys(p for arg in expr.args for p in _piecewise(arg)))
