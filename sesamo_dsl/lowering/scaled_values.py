"""Values r·exp(m): products and sums of exponentials and high powers that are larger than any number."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from typing import Any, cast

import sympy as sp

from ..ir.intervals import ValueIntervals
from ..symbols.fields import FieldComponent
from .cancelling import root_of_product
from .lowering import Lowering
from .near_zero import kinked
from .scaled import (
    LARGEST_DEGREE,
    degree,
    difference_of_exponentials,
    grows,
    is_exponential,
    is_steep,
)
from .shapes import float_of, is_leaf, is_natural, unsupported


def overflows(lower: Lowering, expr: sp.Expr) -> bool:
    """Whether parts of a product or power may overflow where the whole is finite.

    Such parts are exponentials and powers of high degree. A product of integer powers alone has the size
    of the whole.
    """
    if isinstance(expr, sp.besseli):
        return expr.has(FieldComponent)
    if isinstance(expr, sp.Mul):
        factors = expr.args
        growing = [factor for factor in factors if grows(factor)]
        if len(growing) > 1 or any(map(partial(overflows, lower), factors)):
            return True
        small = [f for f in factors if f in growing or not is_natural(f.as_base_exp()[1])]
        steep = degree(sp.Mul(*(f for f in factors if f not in small))) > LARGEST_DEGREE
        return steep and any(f in growing or degree(f) > 0 for f in small)
    if isinstance(expr, sp.Pow) and isinstance(expr.exp, sp.Rational):
        return not is_natural(expr.exp) and (grows(expr.base) or is_steep(expr.base))
    return False


def scaled(lower: Lowering, expr: sp.Expr, *, steep: bool = False) -> tuple[int, int | None]:
    """(r, m) with expr = r·exp(m) and r of order 1 where exponentials are large; None stands for m = 0.

    Parameters
    ----------
    steep
        Whether powers φ^c count as exponentials exp(c·log|φ|), as in expressions of high degree.
    """
    b = lower.builder
    expr, steep = root_of_product(expr) or expr, steep or is_steep(expr)
    if steep and isinstance(expr, sp.Pow) and is_leaf(expr.base) and expr.exp.is_Integer:
        return scaled_power(lower, lower(expr.base), int(expr.exp))
    if not grows(expr) and not (steep and isinstance(expr, sp.Add | sp.Mul | sp.Pow)):
        return lower(expr), None
    if isinstance(expr, sp.exp):
        return b.constant(1.0), lower(expr.args[0])
    if is_exponential(expr):
        return b.constant(1.0), lower(expr.args[1] * sp.log(cast(Any, expr.args[0])))
    if isinstance(expr, sp.besseli):
        order, argument = expr.args
        if order not in (0, 1):
            raise unsupported(expr, f"besseli of order {order}")
        value = lower(argument)
        return b.unary(f"i{order}e", value), b.unary("abs", value)
    if isinstance(expr, sp.Abs):
        ratio, exponent = scaled(lower, expr.args[0], steep=steep)
        return b.unary("abs", ratio), exponent
    if isinstance(expr, sp.Mul):
        parts = [scaled(lower, factor, steep=steep) for factor in expr.args]
        ratio, total = parts[0]
        for factor, exponent in parts[1:]:
            ratio = b.mul(ratio, factor)
            total = total if exponent is None else exponent if total is None else b.add(total, exponent)
        return ratio, total
    if isinstance(expr, sp.Pow) and not isinstance(expr.exp, sp.Rational):
        return lower(expr), None
    if isinstance(expr, sp.Pow):
        power = Fraction(str(expr.exp))
        ratio, exponent = scaled(lower, expr.base, steep=steep)
        has_kink = power.denominator > 1 and not expr.base.is_positive
        ratio = kinked(lower, ratio, power) if has_kink else b.power(ratio, power)
        return ratio, None if exponent is None else b.mul(b.constant(float(power)), exponent)
    difference = difference_of_exponentials(expr)
    if (
        difference is not None
    ):  # c (e^p − e^q) = c (1 − e^(q − p)) e^p where p > q, else c (e^(p − q) − 1) e^q
        c, p, q = difference
        gap, zero = lower(sp.expand(p - q)), b.constant(0.0)
        below = b.binary("lt", gap, zero)
        rising = b.unary("expm1", b.neg(b.where(below, zero, gap)))
        falling = b.unary("expm1", b.where(below, gap, zero))
        ratio = b.mul(b.constant(float_of(c)), b.where(below, falling, b.neg(rising)))
        return ratio, b.binary("maximum", lower(p), lower(q))
    if isinstance(expr, sp.cosh):
        argument = expr.args[0]
        expr = sp.exp(argument) / 2 + sp.exp(-argument) / 2
    return scaled_sum(lower, [scaled(lower, term, steep=steep) for term in expr.args])


def scaled_power(lower: Lowering, base: int, exponent: int) -> tuple[int, int]:
    """(r, m) with base^exponent = r·exp(m) for a field: r its sign, m = exponent · log|base|."""
    b = lower.builder
    one = b.constant(1.0)
    ratio = b.unary("sign", base) if exponent % 2 else b.where(base, one, b.constant(0.0))
    size = b.unary("log", b.unary("abs", b.where(base, base, one)))
    return ratio if exponent > 0 else b.div(one, ratio), b.mul(b.constant(float(exponent)), size)


def scaled_sum(lower: Lowering, parts: list[tuple[int, int | None]]) -> tuple[int, int]:
    """(r, m) of a sum; m is the largest exponent, held constant as r·exp(m) does not depend on it."""
    b = lower.builder
    zero = b.constant(0.0)
    terms = [(ratio, zero if exponent is None else exponent) for ratio, exponent in parts]
    lowest = terms[0][1]
    for _, exponent in terms[1:]:
        lowest = b.binary("minimum", lowest, exponent)
    sizes = [m if b.op(r).name == "constant" else b.where(r, m, lowest) for r, m in terms]
    largest = sizes[0]
    for size in sizes[1:]:
        largest = b.binary("maximum", largest, size)
    largest = b.unary("hold", largest)
    total, infinity, intervals = zero, b.constant(math.inf), ValueIntervals(b)
    for ratio, exponent in terms:
        gap = b.sub(exponent, largest)
        if intervals(exponent)[1] == math.inf:  # ∞ − ∞
            gap = b.where(b.binary("lt", exponent, infinity), gap, zero)
        total = b.add(total, b.mul(ratio, b.unary("exp", gap)))
    return total, largest
