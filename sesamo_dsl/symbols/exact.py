"""Exact arithmetic with real algebraic numbers: deciding zero, and one spelling per number.

SymPy does not decide whether √(5/8+√5/8)·… − … is zero. Here a number built from rationals, roots and
cos/sin of rational multiples of π is evaluated to enough digits for its *separation bound*, below which a
non-zero value of that construction cannot lie (Burnikel, Fleischer, Mehlhorn, Schirra, Algorithmica 27
(2000) 87, as improved in Algorithmica 55 (2009) 14). The answer is therefore a proof.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import lcm, log2
from numbers import Real
from typing import Any, NamedTuple, cast

import mpmath
import numpy as np
import sympy as sp
from sympy.simplify.fu import TR8

_MAX_BITS = 200_000  # largest precision; numbers that need more, and thus minutes, are left undecided


class _Bound(NamedTuple):
    """log2 bounds on all conjugates of numerator and denominator (both algebraic integers)."""

    upper: float
    lower: float


def _log2_sum(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high + log2(1 + 2.0 ** max(low - high, -1000.0))


class _Separation:
    """Walks an expression once and collects the degree and the conjugate bounds."""

    def __init__(self) -> None:
        self.radicals: set[tuple[sp.Expr, int]] = set()
        self.order = 1

    def bound(self, expr: sp.Expr) -> _Bound | None:
        if isinstance(expr, sp.Rational):
            return _Bound(log2(max(abs(int(expr.p)), 1)), log2(int(expr.q)))
        if isinstance(expr, sp.Add | sp.Mul):
            total: _Bound | None = None
            for arg in expr.args:
                part = self.bound(arg)
                if part is None:
                    return None
                if total is None:
                    total = part
                elif isinstance(expr, sp.Add):
                    upper = _log2_sum(total.upper + part.lower, total.lower + part.upper)
                    total = _Bound(upper, total.lower + part.lower)
                else:
                    total = _Bound(total.upper + part.upper, total.lower + part.lower)
            return total
        if isinstance(expr, sp.Pow) and isinstance(expr.exp, sp.Rational):
            base = self.bound(expr.base)
            if base is None:
                return None
            p, q = int(expr.exp.p), int(expr.exp.q)
            if q > 1:
                self.radicals.add((expr.base, q))
                if base.upper >= base.lower:
                    base = _Bound((base.upper + (q - 1) * base.lower) / q, base.lower)
                else:
                    base = _Bound(base.upper, ((q - 1) * base.upper + base.lower) / q)
            return (
                _Bound(p * base.upper, p * base.lower) if p > 0 else _Bound(-p * base.lower, -p * base.upper)
            )
        if isinstance(expr, sp.cos | sp.sin):
            turns = expr.args[0] / (2 * sp.pi)
            if isinstance(turns, sp.Rational):
                # cos = (ζ + ζ⁻¹)/2 in the cyclotomic field; sin is the cosine of the complement
                self.order = lcm(self.order, int(turns.q), 4 if isinstance(expr, sp.sin) else 1)
                return _Bound(1.0, 1.0)
        return None

    @property
    def degree(self) -> int:
        degree = int(sp.totient(self.order))
        for _, index in self.radicals:
            degree *= index
        return degree


def _evaluate(expr: sp.Expr) -> Any:
    if isinstance(expr, sp.Rational):
        return mpmath.mpf(int(expr.p)) / int(expr.q)
    if isinstance(expr, sp.Add):
        return mpmath.fsum(_evaluate(arg) for arg in expr.args)
    if isinstance(expr, sp.Mul):
        return mpmath.fprod(_evaluate(arg) for arg in expr.args)
    if isinstance(expr, sp.Pow):
        base = _evaluate(expr.base)
        if expr.exp.is_Integer:
            return base ** int(expr.exp)
        return base ** _evaluate(expr.exp)
    if isinstance(expr, sp.cos | sp.sin):
        turns = expr.args[0] / sp.pi
        return (mpmath.cospi if isinstance(expr, sp.cos) else mpmath.sinpi)(_evaluate(turns))
    return mpmath.mpf(sp.N(expr, mpmath.mp.dps))


def numeric(expr: sp.Expr, digits: int = 50) -> Any:
    """The value of a real number to ``digits`` digits, an ``mpmath.mpf``."""
    with mpmath.workdps(digits + 10):
        return _evaluate(expr)


def floats(matrix: sp.Matrix | sp.ImmutableMatrix) -> np.ndarray:
    """The entries of an exact matrix in float64, of the matrix's shape."""
    return np.array([_float(entry) for entry in matrix.flat()], dtype=float).reshape(matrix.shape)


@lru_cache(maxsize=4096)
def _float(entry: sp.Expr) -> float:
    return float(numeric(entry, 20))


def numbers(matrix: sp.Matrix | sp.ImmutableMatrix, digits: int | None = None) -> np.ndarray:
    """The entries of an exact matrix in float64, or with ``digits`` as mpmath numbers, of its shape."""
    if digits is None:
        return floats(matrix)
    entries = np.empty(len(matrix.flat()), dtype=object)
    entries[:] = [numeric(entry, digits) for entry in matrix.flat()]
    return entries.reshape(matrix.shape)


def is_zero(number: sp.Expr) -> bool | None:
    """Decide exactly whether a real number is zero; None if it is not built from roots and cosines."""
    if isinstance(number, sp.Rational):
        return number.p == 0
    if abs(numeric(number)) > mpmath.mpf(10) ** -35:
        return False  # evaluation is good to 50 digits, numbers of the size that occur here cannot lose 15
    separation = _Separation()
    bound = separation.bound(number)
    if bound is None:
        return None
    bits = max((separation.degree - 1) * bound.upper, 0.0) + bound.lower
    if bits > _MAX_BITS:
        return None
    with mpmath.workprec(int(bits + abs(bound.upper)) + 64):
        return bool(abs(_evaluate(number)) < mpmath.mpf(2) ** (-bits - 1))


class NumberTable:
    """Gives equal algebraic numbers one spelling, each identification proved by ``is_zero``."""

    _SCALE = 10**30

    def __init__(self) -> None:
        self._known: dict[int, list[sp.Expr]] = {}

    def canonical(self, number: sp.Expr) -> sp.Expr:
        """The representative of ``number``: the first spelling of the same number that was seen."""
        if isinstance(number, sp.Rational):
            return number
        value = numeric(number)
        key = int(mpmath.nint(value * self._SCALE))
        for near in (key, key - 1, key + 1):
            for known in self._known.get(near, ()):
                if is_zero(known - number):
                    return known
        if is_zero(number):
            return sp.S.Zero
        guess = sp.Rational(*Fraction(float(value)).limit_denominator(1000).as_integer_ratio())
        if is_zero(number - guess):
            return guess
        self._known.setdefault(key, []).append(number)
        return number

    def matrix(self, matrix: sp.Matrix | sp.ImmutableMatrix) -> sp.ImmutableMatrix:
        """Apply :meth:`canonical` to every entry, with products of cosines turned into sums."""
        summed = matrix.applyfunc(lambda entry: self.canonical(cast(sp.Expr, TR8(sp.expand(entry)))))
        return sp.ImmutableMatrix(summed)


def symbolic(value: Any) -> sp.Expr | None:
    """A SymPy expression or a real number as an expression, None for anything else.

    Text is not accepted: SymPy would evaluate it as code.
    """
    if isinstance(value, sp.Expr):
        return value
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real | Decimal | np.number):
        return None
    return sp.sympify(value.item() if isinstance(value, np.number) else value)


def exact_matrix(declared: Any) -> sp.ImmutableMatrix | None:
    """The matrix of a SymPy matrix, an array or nested lists of expressions; None for anything else."""
    if isinstance(declared, sp.MatrixBase):
        return sp.ImmutableMatrix(declared)
    try:
        entries = np.array(declared, dtype=object)
    except ValueError:  # rows of different lengths
        return None
    if entries.ndim != 2:
        return None
    found = [symbolic(entry) for entry in entries.flat]
    return None if None in found else sp.ImmutableMatrix(*entries.shape, cast(Any, found))


def rational(expr: sp.Expr) -> sp.Expr:
    """Replace decimal numbers by the rationals they spell: 0.1 is 1/10."""
    floats = {f: sp.Rational(sp.sstr(f, full_prec=False)) for f in expr.atoms(sp.Float)}
    return expr.xreplace(floats) if floats else expr
