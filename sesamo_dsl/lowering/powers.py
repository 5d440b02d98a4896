"""Powers and roots with a slope of 0 where their base is 0."""

from __future__ import annotations

import math
from fractions import Fraction

import sympy as sp

from .logarithms import log_of
from .lowering import Lowering
from .near_zero import kinked, polynomial
from .removable import VARIABLE, vanishing
from .shapes import even_power, leaves_of, sum_of_squares


def power_of(lower: Lowering, expr: sp.Pow) -> int:
    """A power; where its base is zero its slope is 0, which lies between the slopes on both sides."""
    b = lower.builder
    base, exponent = expr.args
    base, exponent = base, exponent
    if isinstance(exponent, sp.Rational):
        q = Fraction(int(exponent.p), int(exponent.q))
        if q.denominator == 1 or base.is_positive or not lower.slopes:
            return b.power(lower(base), q)
        even = even_power(base)
        if even is not None:  # the even power may underflow, and so may a product of several factors
            root, n = even
            value = b.constant(1.0)
            for factor in sp.Mul.make_args(root):
                value = b.mul(value, kinked(lower, b.unary("abs", lower(factor)), q * n))
            return value
        squares = sum_of_squares(base)
        if squares is not None and q.numerator > 0:
            return kinked(lower, norm_of(lower, squares), 2 * q)
        return kinked(lower, lower(base), q)
    if base.is_positive or not leaves_of(base):
        return b.unary("exp", b.mul(lower(exponent), log_of(lower, base)))
    value, power, zero, one = lower(base), lower(exponent), b.constant(0.0), b.constant(1.0)
    inside = b.unary("exp", b.mul(power, b.unary("log", b.where(value, value, one))))
    at_zero = b.where(b.binary("lt", zero, power), zero, b.constant(math.inf))
    return b.where(value, inside, b.where(power, at_zero, one))


def root_of(lower: Lowering, expr: sp.Pow) -> int | None:
    """f(t)^q of a function that vanishes like t^k: near 0 it is |t|^kq (f/t^k)^q."""
    found = vanishing(expr.base)
    if found is None or not found[0].factor.is_positive or found[0].argument.is_nonzero:
        return None
    b, (function, order), power = lower.builder, found, Fraction(str(expr.exp))
    sign, argument = 1, function.argument
    if order % 2:
        if not argument.is_nonnegative and not argument.is_nonpositive:
            return None
        sign, argument = (1, argument) if argument.is_nonnegative else (-1, -argument)
    t = lower(function.argument)
    near = b.binary("lt", b.unary("abs", t), b.constant(function.radius))
    small = b.where(near, t, b.constant(0.0))
    if order % 2:
        size = lower(argument ** (order * expr.exp))
    else:
        size = kinked(lower, b.unary("abs", small), power * order)
    rest = b.power(polynomial(lower, [sign * c for c in function.coefficients], small), power)
    far = lower.apart()
    far.known[VARIABLE] = b.where(near, b.constant(function.radius), t)
    far.regular = function.function**expr.exp
    value = b.where(near, b.mul(size, rest), far(far.regular))
    return value if function.factor == 1 else b.mul(lower(function.factor**expr.exp), value)


def norm_of(lower: Lowering, terms: list[sp.Expr]) -> int:
    """√Σ terms² with slope 0 at 0, computed in units of the largest term so that no square overflows."""
    b = lower.builder
    values = [lower(term) for term in terms]
    sizes = [b.unary("abs", value) for value in values]
    largest = sizes[0]
    for size in sizes[1:]:
        largest = b.binary("maximum", largest, size)
    largest, one = b.unary("hold", largest), b.constant(1.0)
    unit = b.where(largest, largest, one)
    total = b.constant(0.0)
    for value in values:
        ratio = b.div(b.where(largest, value, one), unit)
        total = b.add(total, b.mul(ratio, ratio))
    return b.mul(largest, b.unary("sqrt", total))
