"""Tests whether expressions grow like exponentials, and the exponents of sums of positive exponentials.

A quotient or a logarithm of sums of exponentials is finite where its parts overflow. Lowering therefore asks
whether an expression has exponentials as summands or factors (``grows``), or powers so high that they
overflow as well (``is_steep``). ``exponents`` gives the exponents of a sum with positive coefficients, for
the log-sum-exp of the frameworks.
"""

from __future__ import annotations

from typing import cast

import sympy as sp

from ..symbols.fields import FieldComponent
from ..symbols.lattice import Functional

LARGEST_DEGREE = 6
_AFFINE_FROM = 3  # number of exponents from which one matrix product is faster than single terms
_LARGEST_RATIO = 100  # operations of an expression that is brought to one denominator
_AFFINE_CONSTANTS = 200.0


def grows(expr: sp.Basic) -> bool:
    """Whether an exponential of fields, or a power of one, is a summand or a factor of ``expr``."""
    if isinstance(expr, sp.Add | sp.Mul):
        return any(map(grows, expr.args))
    if isinstance(expr, sp.exp | sp.cosh | sp.sinh | sp.besseli):
        return expr.has(FieldComponent)
    if isinstance(expr, sp.Abs):
        return grows(expr.args[0])
    if isinstance(expr, sp.Pow):
        return grows(expr.base) if isinstance(expr.exp, sp.Rational) else is_exponential(expr)
    return False


def is_steep(expr: sp.Basic) -> bool:
    """Whether ``expr`` or an algebraic part of it has so high a degree that at 10⁶ it overflows float32."""
    if degree(expr) > LARGEST_DEGREE:
        return True
    algebraic = isinstance(expr, sp.Add | sp.Mul) or (isinstance(expr, sp.Pow) and expr.exp.is_Rational)
    return algebraic and any(map(is_steep, expr.args))


def degree(expr: sp.Basic) -> sp.Expr:
    """The largest power of its fields by which an algebraic expression grows or falls; 0 otherwise."""
    if isinstance(expr, FieldComponent | Functional):
        return sp.S.One
    if isinstance(expr, sp.Add | sp.Max | sp.Min):
        return max(map(degree, expr.args))
    if isinstance(expr, sp.Mul):
        return sp.Add(*map(degree, expr.args))
    if isinstance(expr, sp.Pow) and isinstance(expr.exp, sp.Rational):
        return degree(expr.base) * abs(expr.exp)
    return degree(expr.args[0]) if isinstance(expr, sp.Abs) else sp.S.Zero


def is_exponential(expr: sp.Basic) -> bool:
    """Whether ``expr`` is a positive number to a power that fields occur in."""
    number = isinstance(expr, sp.Pow) and expr.base.is_number and expr.base.is_positive
    return bool(number and expr.has(FieldComponent))


def single_exponential(term: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """(number c, exponent e) of a term c·exp(e), with e = 0 for a number; None for other terms."""
    number, rest = term.as_coeff_Mul()
    if rest == 1:
        return number, sp.S.Zero
    return (number, rest.args[0]) if isinstance(rest, sp.exp) else None


def difference_of_exponentials(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr] | None:
    """(c, p, q) with expr = c (exp(p) − exp(q)) and a number c > 0, e.g. sinh and exp(x) − 1; else None."""
    if isinstance(expr, sp.sinh):
        argument = expr.args[0]
        return sp.Rational(1, 2), argument, -argument
    parts = [single_exponential(t) for t in expr.args] if isinstance(expr, sp.Add) else []
    if len(parts) != 2 or parts[0] is None or parts[1] is None:
        return None
    (a, p), (b, q) = parts[0], parts[1]
    if a + b != 0:
        return None
    return (a, p, q) if a.is_positive else (-a, q, p)


def exponents(expr: sp.Expr) -> list[sp.Expr] | None:
    """Exponents e_i with expr = Σ exp(e_i), None unless expr is a positive sum of exponentials."""
    if isinstance(expr, sp.Add):
        parts = [exponents(term) for term in expr.args]
        if all(part is not None for part in parts) and expr.has(sp.exp, sp.cosh):
            return [e for part in parts for e in cast(list[sp.Expr], part)]
        return None
    if expr.is_number:
        return [sp.log(expr)] if expr.is_positive else None
    if isinstance(expr, sp.exp):
        return [expr.args[0]]
    if isinstance(expr, sp.cosh):
        argument = expr.args[0]
        return [argument - sp.log(2), -argument - sp.log(2)]
    if isinstance(expr, sp.Mul):
        product: list[sp.Expr] = [sp.S.Zero]
        for factor in expr.args:
            found = exponents(factor)
            if found is None:
                return None
            product = [a + e for a in product for e in found]
        return product
    return None


def vanishing_ratio(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr, list[sp.Expr]] | None:
    """(r, p, [q_i]) with expr = r exp(p) / Σ_i exp(q_i), e.g. 1 − tanh(x)² and f (1 − f) of a logistic f.

    None unless expr has a sum of numbers and such ratios, which rounds to 0 long before its value is tiny.
    """
    ratios = [a for a in expr.atoms(sp.Add) if any(map(_is_ratio, a.atoms(sp.tanh, sp.coth, sp.Pow)))]
    if not ratios or expr.has(Functional) or expr.count_ops() > _LARGEST_RATIO:
        return None
    spelled = expr.replace(lambda e: isinstance(e, sp.tanh | sp.coth), lambda e: e.rewrite(sp.exp))
    numerator, denominator = sp.fraction(sp.together(spelled))
    terms = exponents(sp.expand(denominator))
    exponent, rest = sp.S.Zero, sp.S.One
    for factor in sp.Mul.make_args(numerator):
        number, factors = sp.expand(factor).as_coeff_mul()
        if number.is_positive and factors and all(isinstance(f, sp.exp) for f in factors):
            exponent += sp.log(number) + sp.Add(*(f.args[0] for f in factors))
        elif grows(factor):
            return None
        else:
            rest *= factor
    if terms is None or (rest.is_number and not rest.is_positive):
        return None
    if len(terms) < 2 and rest != 1:  # a single exponential gains nothing for the other factors
        return None
    return rest, exponent, [sp.expand(q) for q in terms]


def _is_ratio(expr: sp.Basic) -> bool:
    if isinstance(expr, sp.Pow):
        return bool(expr.exp.is_negative) and grows(expr.base)
    return expr.has(FieldComponent)


def affine(
    terms: list[sp.Expr],
) -> tuple[sp.Expr, list[FieldComponent], tuple[tuple[float, ...], ...]] | None:
    """(c, fields, rows) with exponent_k = c + rows[k][0] + Σ_j rows[k][j+1] fields[j] and c common to all.

    A mixture of Gaussians with one width has such exponents: the quadratic form is common. None unless the
    constants are so small that the cancellation between c and the rows does not matter in float32.
    """
    if len(terms) < _AFFINE_FROM:
        return None
    expanded = [sp.expand(e) for e in terms]
    shared = set.intersection(*(set(sp.Add.make_args(e)) for e in expanded))
    common = sp.Add(*sorted(shared, key=sp.default_sort_key))
    common = common - common.as_coeff_Add()[0]  # numbers cost nothing in the rows
    rests = [e - common for e in expanded]
    fields = sorted({f for rest in rests for f in rest.atoms(FieldComponent)}, key=lambda f: f.name)
    rows = []
    for rest in rests:
        slopes = [rest.coeff(field) for field in fields]
        constant = sp.expand(rest - sp.Add(*(s * f for s, f in zip(slopes, fields, strict=True))))
        if not all(value.is_number for value in (*slopes, constant)):
            return None
        rows.append(tuple(float(value) for value in (constant, *slopes)))
    small = max(abs(value) for row in rows for value in row) < _AFFINE_CONSTANTS
    return (common, fields, tuple(rows)) if fields and small else None
