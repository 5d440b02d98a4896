"""Differences of nearly equal numbers, rewritten as products and quotients without cancellation.

1 − cos u and cosh u − 1 vanish like u² at 0; √(x² + 1) − x and 1 ∓ tanh u vanish at large arguments. Their
roots and logarithms, and inverse functions, whose slopes contain such roots, are finite only if the small
difference is right to its last digits. Each function here returns an expression that equals its argument
everywhere.
"""

from __future__ import annotations

from typing import Any, cast

import sympy as sp

from ..symbols.fields import FieldComponent
from ..symbols.lattice import Functional
from .removable import poles
from .scaled import grows, is_steep

_LARGEST = 60  # operations of an expression that is brought to one denominator


def as_product(expr: sp.Expr) -> sp.Expr | None:
    """The difference as a product without cancellation, None if none is known."""
    if not isinstance(expr, sp.Add) or expr.has(Functional) or not expr.has(FieldComponent):
        return None
    found = _of_angle(expr)
    if found is not None or expr.count_ops() > _LARGEST:
        return found
    root = conjugate(expr)
    if root is None:
        return _over_one_denominator(expr)
    numerator, denominator, other = root
    return (numerator / denominator) if other.is_nonnegative else None


def root_of_product(expr: sp.Expr) -> sp.Expr | None:
    """The root of a difference as the root of a product that is nowhere negative; None if none is known."""
    if not isinstance(expr, sp.Pow) or not isinstance(expr.exp, sp.Rational) or expr.exp.is_Integer:
        return None
    product = as_product(expr.base)
    return (product**expr.exp) if product is not None and product.is_nonnegative else None


def _of_angle(expr: sp.Add) -> sp.Expr | None:
    """Multiples of 1 ± cos u, cosh u − 1 and 1 ± tanh u as products; None for anything else."""
    if len(expr.args) != 2:
        return None
    number, term = expr.as_two_terms()
    c, function = term.as_coeff_Mul()
    if not number.is_number or number not in (c, -c) or not isinstance(function, sp.cos | sp.cosh | sp.tanh):
        return None
    u = function.args[0]
    if isinstance(function, sp.cos):
        return 2 * number * (sp.cos(u / 2) if number == c else sp.sin(u / 2)) ** 2
    if isinstance(function, sp.cosh):
        return 2 * c * (sp.cosh(u / 2) if number == c else sp.sinh(u / 2)) ** 2
    return 2 * number / (1 + sp.exp((-2 if number == c else 2) * u))


def conjugate(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr] | None:
    """(c (A − B²), √A + B, B) with expr = c (√A − B), where A − B² has fewer terms than A."""
    if not isinstance(expr, sp.Add) or expr.has(Functional):
        return None
    for term in expr.args:
        c, root = term.as_coeff_Mul()
        if isinstance(root, sp.Pow) and root.exp == sp.Rational(1, 2) and root.base.is_Add:
            other = sp.expand((term - expr) / c)
            rest = sp.expand(root.base - other**2)
            fewer = len(sp.Add.make_args(rest)) < len(root.base.args)
            if rest != 0 and fewer and not other.is_nonpositive:
                return c * rest, root + other, other
    return None


def _over_one_denominator(expr: sp.Add) -> sp.Expr | None:
    """1 − 1/(1 + x²) = x²/(1 + x²) and the like, if the numerator becomes a product."""
    if not any(f.exp.is_negative for f in expr.atoms(sp.Pow)):
        return None
    if all(term.is_nonnegative for term in expr.args):  # nothing cancels, but slopes would in the quotient
        return None
    numerator, denominator = (sp.factor(part) for part in sp.fraction(sp.together(expr)))
    if isinstance(numerator, sp.Add):
        product = _of_angle(numerator)
        return None if product is None else (product / denominator)
    return numerator / denominator


def _complement(u: sp.Expr) -> sp.Expr | None:
    """√(1 − u²) simplified, None unless the result is known to be real."""
    if u.has(Functional) or u.count_ops() > _LARGEST:
        return None
    numerator, denominator = map(sp.factor, sp.fraction(sp.cancel(sp.together(1 - u**2))))
    is_real = numerator.is_nonnegative and denominator.is_positive
    return (sp.sqrt(numerator) / sp.sqrt(denominator)) if is_real else None


def _angle_of_pole(u: sp.Expr) -> sp.Expr | None:
    """atan(n/d) as an angle whose slope is finite where d = 0; None if n and d are not of this kind."""
    numerator, denominator = u.as_numer_denom()
    if not any(poles(u)) or not numerator.is_nonzero or grows(denominator) or is_steep(denominator):
        return None
    if denominator.is_nonnegative:
        return sp.atan2(numerator, denominator)
    return sp.atan2(sp.sign(denominator) * numerator, sp.Abs(denominator))


def inverse_function(expr: sp.Basic) -> sp.Expr | None:
    """acosh, acos, asin, atan or atanh without infinite slopes, None where this is no better."""
    inverse = sp.acosh | sp.acos | sp.asin | sp.atan | sp.atanh
    if not isinstance(expr, inverse) or not expr.has(FieldComponent):
        return None
    u = cast(Any, expr.args[0])
    if isinstance(expr, sp.atan):
        return _angle_of_pole(u)
    if isinstance(expr, sp.acosh):
        if isinstance(u, sp.cosh):
            return sp.Abs(u.args[0])
        is_far = (u - 1).is_positive and not grows(u) and not is_steep(u)  # from the root, and from overflow
        return None if is_far else (2 * sp.asinh(sp.sqrt((u - 1) / 2)))
    if isinstance(expr, sp.acos):
        factor, wave = u.as_coeff_Mul()
        if isinstance(wave, sp.sin | sp.cos) and abs(factor) < 1:  # the argument stays away from ±1
            return None
        return 2 * sp.atan2(sp.sqrt(1 - u), sp.sqrt(1 + u))
    if isinstance(u, sp.tanh):
        v = u.args[0]
        return v if isinstance(expr, sp.atanh) else (2 * sp.atan(sp.tanh(v / 2)))
    other = _complement(u)
    if other is None:
        return None
    return sp.atan2(u, other) if isinstance(expr, sp.asin) else sp.asinh(u / other)
