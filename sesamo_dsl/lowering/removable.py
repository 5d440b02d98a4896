"""Removable singularities: (eˣ − 1)/x, coth x − 1/x and their like have a value and a slope at 0.

A function of one variable t whose denominators vanish at t = 0 is replaced near 0 by its Taylor polynomial.
The coefficients are Laurent coefficients on a circle around 0, computed in many digits: the singularity is
removable if the coefficients of negative powers are zero, and the function is analytic inside the circle if
the polynomial reproduces it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp

from ..symbols.fields import FieldComponent
from ..symbols.lattice import Functional, Lattice

_DIGITS = 40
_POINTS = 64  # on the circle
_TERMS = 32  # of the polynomial at most
_RADII = (0.5, 0.125, 1 / 32)  # |t| below which the polynomial is used, half the radius of the circle
_ROUNDING = 1e-18  # relative size of the terms that are left out
_FIELDS = 6  # most fields in the denominators
_LARGEST = 60  # most operations of a function that is examined
_ORDERS = 9  # the order of a zero has to be below this
_POLES = (sp.coth, sp.csch, sp.cot, sp.csc)

VARIABLE = FieldComponent("°t", 0, "°t", Lattice(1), (0,))
"""t, as a field component, because the lowering asks which expressions depend on fields."""

SINC = sp.sin(VARIABLE) / VARIABLE


@dataclass(frozen=True)
class Removable:
    """factor · function(t) at t = argument.

    Attributes
    ----------
    factor
        The factor that does not depend on the argument.
    argument
        An expression in fields; the singularity lies at its zeros.
    function
        An expression in ``VARIABLE``.
    radius
        The polynomial replaces the function for |t| < radius.
    coefficients
        Coefficients of 1, t, t², …; every second one is zero for an even or an odd function.
    """

    factor: sp.Expr
    argument: sp.Expr
    function: sp.Expr
    radius: float
    coefficients: tuple[float, ...]


def split_singular(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """(singular, rest) of a sum or product: its terms with a denominator, or factors that share its fields.

    None if no denominator may vanish, or denominators have more than ``_FIELDS`` fields.
    """
    parts = expr.args
    if not isinstance(expr, sp.Add | sp.Mul) or expr.has(Functional):
        return None
    fields: set[FieldComponent] = set()
    for part in parts:
        for pole in poles(part):
            fields |= pole.atoms(FieldComponent)
    if not fields or len(fields) > _FIELDS:
        return None
    if isinstance(expr, sp.Mul):
        singular = [part for part in parts if part.atoms(FieldComponent) & fields]
    else:
        singular = [part for part in parts if any(poles(part))]
    rest = [part for part in parts if part not in singular]
    return expr.func(*singular), expr.func(*rest)


def poles(expr: sp.Expr) -> Iterator[sp.Expr]:
    """Denominators that may vanish and arguments of coth, csch, cot and csc, outside other functions."""
    if isinstance(expr, sp.Add | sp.Mul):
        for arg in expr.args:
            yield from poles(arg)
    elif isinstance(expr, sp.Pow):
        if expr.exp.is_negative and expr.has(FieldComponent) and not expr.base.is_positive:
            yield expr.base
        elif not expr.exp.is_negative:
            yield from poles(expr.base)
    elif isinstance(expr, _POLES) and expr.has(FieldComponent):
        yield expr.args[0]


@lru_cache(maxsize=256)
def removable(expr: sp.Expr, outer: Callable[..., sp.Expr] | None = None) -> Removable | None:
    """The expression as a function of one variable with a removable singularity, None if none is found.

    Parameters
    ----------
    outer
        A function such as sp.log to be applied to the function of one variable.
    """
    if sp.count_ops(expr) > _LARGEST:
        return None
    for argument in _arguments(expr):
        found = _of_one_variable(expr, argument)
        if found is None:
            continue
        factor, function = found
        if not _is_singular(function):
            continue
        series = _taylor(function if outer is None else outer(function))
        if series is not None:
            return Removable(factor, argument, function, *series)
    return None


@lru_cache(maxsize=256)
def vanishing(expr: sp.Expr) -> tuple[Removable, int] | None:
    """(g, k) with expr = factor · t^k g(t), g(0) ≠ 0 and k > 0 at t = argument; None if none is found."""
    if sp.count_ops(expr) > _LARGEST or expr.has(Functional, sp.Piecewise):
        return None
    for argument in _arguments(expr):
        found = _of_one_variable(expr, argument)
        if found is None or found[1].xreplace({VARIABLE: sp.S.Zero}) != 0:
            continue
        factor, function = found
        for order in range(1, _ORDERS):
            quotient = function / VARIABLE**order
            series = _taylor(quotient)
            if series is not None and series[1][0] != 0:
                return Removable(factor, argument, function, *series), order
    return None


def _arguments(expr: sp.Expr) -> list[sp.Expr]:
    """Candidates for the variable t: arguments of functions, denominators and fields, the simplest first."""
    found: list[Any] = [*poles(expr), *expr.atoms(FieldComponent)]
    for function in expr.atoms(sp.Function, sp.exp):
        found += [arg for arg in function.args if arg.has(FieldComponent)]
    found += [part for f in found for part in f.atoms(sp.Abs, sp.Pow) if part.has(FieldComponent)]
    return sorted(
        dict.fromkeys(found),
        key=lambda e: (bool(e.free_symbols - e.atoms(FieldComponent)), sp.count_ops(e), str(e)),
    )


def _of_one_variable(expr: sp.Expr, argument: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """(factor, function of ``VARIABLE``) with expr = factor · function at the argument."""
    candidates = [expr.xreplace({argument: VARIABLE})]
    if isinstance(argument, sp.Pow) and argument.exp == sp.Rational(1, 2):
        candidates.append(candidates[0].xreplace({argument.base: VARIABLE**2}))
    fields = argument.atoms(FieldComponent)
    candidates = [image for image in candidates if not image.atoms(FieldComponent) & fields]
    for field in sorted(fields, key=str):
        slope = sp.diff(argument, field)
        if slope != 0 and not slope.has(FieldComponent):
            rest = sp.expand(argument - slope * field)
            candidates.append(expr.xreplace({field: (VARIABLE - rest) / slope}))
    for image in candidates:
        for spelling in (image, sp.factor_terms(image), sp.factor_terms(sp.expand(image))):
            factor, function = spelling.as_independent(VARIABLE, as_Add=False)
            if function.free_symbols == {VARIABLE}:
                return factor, function
    return None


def _is_singular(function: sp.Expr) -> bool:
    """Whether a denominator vanishes at t = 0."""
    return any(pole.xreplace({VARIABLE: sp.S.Zero}) == 0 for pole in poles(function))


def _taylor(function: sp.Expr) -> tuple[float, tuple[float, ...]] | None:
    """(radius, coefficients), None if the singularity is not removable or another one is close."""
    try:
        f = sp.lambdify(VARIABLE, function, "mpmath")
    except (KeyError, TypeError, ValueError):
        return None
    with mpmath.workdps(_DIGITS):
        for radius in _RADII:
            try:
                coefficients = _coefficients(f, mpmath.mpf(1.5) * radius, radius)
            except (ArithmeticError, ValueError, TypeError, AttributeError):
                return None
            if coefficients is not None:
                return radius, coefficients
    return None


def _coefficients(f: Callable[[Any], Any], circle: Any, radius: float) -> tuple[float, ...] | None:
    turns = [mpmath.expjpi(mpmath.mpf(k) / _POINTS) for k in range(2 * _POINTS)]  # all powers of the roots
    values = [mpmath.mpmathify(f(circle * root)) for root in turns[1::2]]
    size = max(map(abs, values))
    if not mpmath.isfinite(size):
        return None

    def coefficient(n: int) -> Any:
        powers = [turns[-n * (2 * k + 1) % (2 * _POINTS)] for k in range(_POINTS)]
        return mpmath.fdot(values, powers) / (_POINTS * circle**n)

    if any(abs(coefficient(-n)) > size * circle**n * mpmath.mpf(10) ** -15 for n in range(1, 9)):
        return None
    found = [mpmath.re(coefficient(n)) for n in range(_TERMS)]
    scale = max(size, 1)
    kept = max((n + 1 for n, c in enumerate(found) if abs(c) * radius**n > _ROUNDING * scale), default=1)
    if kept == _TERMS:
        return None
    found = [
        c if abs(c) * radius**n > _ROUNDING * scale * 1e-3 else mpmath.mpf(0)
        for n, c in enumerate(found[:kept])
    ]
    for inside in (radius, -radius, radius / 3, -radius / 7, radius * 1j, radius * (1 + 1j) / 2):
        polynomial = mpmath.polyval(found[::-1], mpmath.mpmathify(inside))
        if abs(polynomial - f(mpmath.mpmathify(inside))) > 100 * _ROUNDING * scale:
            return None
    return tuple(float(c) for c in found)
