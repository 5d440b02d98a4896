"""Values where an argument is near 0: Taylor polynomials of removable singularities, powers with a kink."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import sympy as sp

from ..errors import LoweringError
from ..symbols.fields import Parameter
from .lowering import Lowering
from .removable import VARIABLE, Removable, removable


def removed(lower: Lowering, argument: sp.Expr, found: Removable, function: sp.Expr) -> int:
    """A function of one variable t: its Taylor polynomial for |t| < radius, the function elsewhere."""
    b = lower.builder
    t, zero = lower(argument), b.constant(0.0)
    near = b.binary("lt", b.unary("abs", t), b.constant(found.radius))
    small = b.where(near, t, zero)
    value = polynomial(lower, found.coefficients, small)
    far = lower.apart()
    far.regular = found.function
    far.known[VARIABLE] = b.where(near, b.constant(found.radius), t)
    return b.where(near, value, far(function))


def polynomial(lower: Lowering, coefficients: Sequence[float], t: int) -> int:
    """Σ_n c_n t^n by Horner's scheme, in t² where the function is even or odd."""
    b = lower.builder
    step = 2 if not any(coefficients[1::2]) or not any(coefficients[::2]) else 1
    first = next((n for n, c in enumerate(coefficients) if c), 0) % step
    power, value = b.power(t, Fraction(step)), b.constant(0.0)
    for c in reversed(coefficients[first::step]):
        value = b.add(b.constant(c), b.mul(power, value))
    return b.mul(t, value) if first else value


def kinked(lower: Lowering, base: int, exponent: Fraction) -> int:
    """A power of a base that may be zero; the slope there is 0."""
    b = lower.builder
    if exponent.denominator == 1 and exponent >= 0:
        return b.power(base, exponent)
    inside = b.power(b.where(base, base, b.constant(1.0)), exponent)
    return b.where(base, inside, b.constant(0.0 if exponent > 0 else math.inf))


def check_couplings(singular: sp.Expr) -> None:
    """Raise LoweringError for 0/0 whose limit, and so its Taylor expansion, depends on run-time couplings."""
    couplings = sorted(singular.atoms(Parameter), key=str)
    values = {c: sp.Rational(2 * k + 3, 7) for k, c in enumerate(couplings)}
    if couplings and removable(singular.xreplace(values)) is not None:
        raise LoweringError(
            f"expression {singular}",
            expected="a function of one variable, couplings times fields, where 0/0 occurs",
            found="0/0, whose limit depends on " + ", ".join(map(str, couplings)),
            remedy="write it as such functions, as (exp(a·x) − 1)/x, or hold the couplings at numbers",
        )
