"""The shapes of expressions: leaves, even powers, sums of squares, numbers, and what is not supported."""

from __future__ import annotations

import math
from typing import Any, cast

import sympy as sp

from ..errors import LoweringError
from ..ir.operations import OPERATIONS
from ..ir.operations.functions import Elementwise
from ..symbols.bonds import BondWeight
from ..symbols.fields import FieldComponent
from ..symbols.lattice import Functional

_WRITTEN_WITH_OTHERS = (
    "atan2, sec, csc, cot, sinc, sech, csch, coth; gamma and loggamma of positive arguments, "
    "besseli of order 0 and 1; Heaviside, ceiling, Mod, Max, Min, Piecewise"
)


def is_natural(exponent: sp.Basic) -> bool:
    """Whether an exponent is a natural number or 0."""
    return isinstance(exponent, sp.Integer) and int(exponent) >= 0


def is_leaf(expr: sp.Basic) -> bool:
    """Whether powers of the expression count as growing: a field, a sum over sites or an absolute value."""
    return isinstance(expr, FieldComponent | Functional | sp.Abs)


def leaves_of(expr: sp.Basic) -> set[sp.Expr]:
    """The outermost fields, site sums and determinants of an expression."""
    if isinstance(expr, Functional | FieldComponent | BondWeight):
        return {expr}
    return set().union(*map(leaves_of, expr.args)) if expr.args else set()


def is_quadratic(expr: sp.Expr) -> bool:
    """Whether ``expr`` is a polynomial of the fields of degree two at most."""
    leaves = sorted(leaves_of(expr), key=str)
    return bool(expr.is_polynomial(*leaves) and (not leaves or sp.Poly(expr, *leaves).total_degree() <= 2))


def even_power(base: sp.Expr) -> tuple[sp.Expr, int] | None:
    """(r, n) with base = |r|^n, an even power or (n = 1) an absolute value; None otherwise."""
    if isinstance(base, sp.Pow) and isinstance(base.exp, sp.Integer) and base.exp > 0 and base.exp % 2 == 0:
        return base.base, int(base.exp)
    return (base.args[0], 1) if isinstance(base, sp.Abs) else None


def half_power(root: sp.Expr, exponent: int) -> sp.Expr:
    """|root|^(exponent/2) up to its sign, which does not matter in a square."""
    whole = root ** (exponent // 2)
    return whole * sp.sqrt(sp.Abs(root)) if exponent % 2 else whole


def sum_of_squares(base: sp.Expr) -> list[sp.Expr] | None:
    """Terms t with base = Σ t², if all summands are positive numbers times even powers."""
    terms = []
    for summand in sp.Add.make_args(base):
        number, rest = summand.as_coeff_Mul()
        factors = [even_power(f) for f in sp.Mul.make_args(rest)]
        if not number.is_positive or any(f is None for f in factors):
            return None
        roots = [half_power(*cast(Any, f)) for f in factors]
        terms.append(sp.sqrt(number) * sp.Mul(*roots))
    return terms


def float_of(expr: sp.Expr) -> float:
    """A number in float64; LoweringError for one that is complex or too large."""
    try:
        value = float(expr)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise LoweringError(
            f"number {str(expr)[:60]}",
            expected="a real number within the range of float64",
            found="an infinity outside a Piecewise"
            if expr.is_infinite
            else "one that is complex or too large",
            remedy="measure fields and couplings in units in which the numbers are of moderate size",
        )
    return value


def supported() -> str:
    """What a formula may be made of, in words: the functions that are operations, and others."""
    functions = (o.name for o in OPERATIONS.values() if isinstance(o, Elementwise) and o.in_formulas)
    own = ", ".join("Abs" if name == "abs" else name for name in functions)
    return f"+, ·, powers, {own}; {_WRITTEN_WITH_OTHERS}"


def unsupported(expr: sp.Basic, what: str | None = None) -> LoweringError:
    """The error for an expression that has no lowering."""
    return LoweringError(
        f"expression {expr}",
        expected=supported(),
        found=what or type(expr).__name__,
        remedy="rewrite the expression with these functions",
    )
