"""Functions whose vanishing derivative along the orbits of a group proves that they are invariant.

A function that is differentiable except at single points of an orbit, with derivative 0, is constant if it
does not jump at these points. Continuous functions do not jump; nor do quotients and logarithms of analytic
functions, which at a singular point have either no limit or the same limit from both sides. Steps, signs and
branches may jump, and so may functions that equal one of these, such as |x|/x and atan(1/x).

A function that may jump is taken apart, because every function of invariants is invariant: ``regular_parts``
gives functions without jumps of which the action is a function.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from enum import IntEnum
from typing import cast

import sympy as sp
from sympy.core.relational import Relational

from ..symbols.fields import FieldComponent
from ..symbols.lattice import Functional, SiteSum

Moved = Callable[[FieldComponent], bool]
"""Whether a component is moved by the group."""


class Regularity(IntEnum):
    """The class of a function restricted to an orbit."""

    ANALYTIC = 0
    CONTINUOUS = 1
    SINGULAR = 2
    """An element of the field that analytic functions and logarithms of their quotients generate."""
    MIXED = 3
    """A sum of a continuous and a singular function."""
    UNKNOWN = 4


_ANALYTIC = (
    sp.exp,
    sp.sin,
    sp.cos,
    sp.sinh,
    sp.cosh,
    sp.tanh,
    sp.sech,
    sp.asinh,
    sp.atan,
    sp.erf,
    sp.erfc,
)
_QUOTIENTS = (sp.tan, sp.cot, sp.sec, sp.csc, sp.coth, sp.csch)
_KINKED = (sp.Abs, sp.Max, sp.Min)


def regularity(expr: sp.Expr, moved: Moved) -> Regularity:
    """The class of an action or a density as a function on orbits."""
    if not _moves(expr, moved) or isinstance(expr, FieldComponent):
        return Regularity.ANALYTIC
    if isinstance(expr, SiteSum):
        return regularity(expr.density, moved)
    classes = [regularity(a, moved) if isinstance(a, sp.Expr) else None for a in expr.args]
    if any(c is None for c in classes):
        return Regularity.UNKNOWN
    worst = max(cast(list[Regularity], classes))
    if isinstance(expr, sp.Add):
        found = set(classes)
        both = {Regularity.CONTINUOUS, Regularity.SINGULAR} <= found
        return max(worst, Regularity.MIXED) if both else worst
    if isinstance(expr, sp.Mul):
        others = [c for c in classes if c != Regularity.ANALYTIC]
        alike = len(others) <= 1 or (len(set(others)) == 1 and worst <= Regularity.SINGULAR)
        return worst if alike else Regularity.UNKNOWN
    if isinstance(expr, sp.Pow):
        return _of_power(expr, regularity(expr.base, moved), regularity(expr.exp, moved))
    if isinstance(expr, sp.log) and len(expr.args) == 1:
        argument = expr.args[0]
        if worst <= Regularity.CONTINUOUS and is_positive(argument):
            return worst
        return Regularity.SINGULAR if worst in (0, 2) and is_nonnegative(argument) else Regularity.UNKNOWN
    if isinstance(expr, _ANALYTIC):
        return worst if worst <= Regularity.CONTINUOUS else Regularity.UNKNOWN
    if isinstance(expr, _QUOTIENTS):
        return Regularity.SINGULAR if worst == Regularity.ANALYTIC else Regularity.UNKNOWN
    if isinstance(expr, _KINKED):
        return Regularity.CONTINUOUS if worst <= Regularity.CONTINUOUS else Regularity.UNKNOWN
    return Regularity.UNKNOWN


def _of_power(expr: sp.Pow, base: Regularity, exponent: Regularity) -> Regularity:
    if expr.exp.is_Integer:
        if expr.exp.is_positive:
            return base if base != Regularity.MIXED else Regularity.UNKNOWN
        if base <= Regularity.CONTINUOUS and is_positive(expr.base):
            return base
        return Regularity.SINGULAR if base in (0, 2) else Regularity.UNKNOWN
    if max(base, exponent) <= Regularity.CONTINUOUS and is_positive(expr.base):
        return max(base, exponent)  # exp(e log b)
    if base <= Regularity.CONTINUOUS and is_nonnegative(expr.base) and expr.exp.is_positive:
        return Regularity.CONTINUOUS
    return Regularity.UNKNOWN


def regular_parts(expr: sp.Expr, moved: Moved) -> tuple[sp.Expr, ...]:
    """Functions without jumps such that the expression is invariant if all of them are.

    A function without jumps is its only part. The parts of a step, a branch or a function of a pole are the
    parts of its arguments. Terms of a sum that have the same factor of this kind are collected: the parts are
    those of the factor and of its coefficient.

    Parameters
    ----------
    expr
        An action or density, in normal form.
    """
    return tuple(dict.fromkeys(_parts(expr, moved)))


def _parts(expr: sp.Basic, moved: Moved) -> list[sp.Expr]:
    if not _moves(expr, moved):
        return []
    if isinstance(expr, Relational):
        return _parts(cast(sp.Expr, expr.lhs) - cast(sp.Expr, expr.rhs), moved)
    if isinstance(expr, sp.Expr) and regularity(expr, moved) != Regularity.UNKNOWN:
        return [expr]
    if isinstance(expr, SiteSum):
        return _parts(expr.density, moved)
    if isinstance(expr, sp.Add | sp.Mul):
        return _of_terms(list(sp.Add.make_args(expr)), moved)
    return [part for arg in expr.args for part in _parts(arg, moved)]


def _of_terms(terms: list[sp.Expr], moved: Moved) -> list[sp.Expr]:
    regular = [t for t in terms if regularity(t, moved) != Regularity.UNKNOWN]
    found = _parts(sp.Add(*regular), moved)
    cofactors: dict[sp.Expr, list[sp.Expr]] = defaultdict(list)
    for term in _one_sum([t for t in terms if t not in regular]):
        factors = list(sp.Mul.make_args(term))
        kernel = [f for f in factors if regularity(f, moved) != Regularity.ANALYTIC]
        cofactors[sp.Mul(*kernel)].append(sp.Mul(*(f for f in factors if f not in kernel)))
    for kernel, others in cofactors.items():
        for factor in sp.Mul.make_args(kernel):
            known = regularity(factor, moved) != Regularity.UNKNOWN
            found += [factor] if known else _of_factor(factor, moved)
        found += _parts(sp.Add(*others), moved)
    return found


def _of_factor(factor: sp.Basic, moved: Moved) -> list[sp.Expr]:
    if isinstance(factor, SiteSum):
        return _parts(factor, moved)
    return [part for arg in factor.args for part in _parts(arg, moved)]


def _one_sum(terms: list[sp.Expr]) -> list[sp.Expr]:
    """The terms with all multiples of sums over sites written as one sum."""
    rest: list[sp.Expr] = []
    densities: dict[sp.Basic, list[sp.Expr]] = defaultdict(list)
    for term in terms:
        factor, node = term.as_independent(*term.atoms(Functional), as_Add=False)
        if isinstance(node, SiteSum):
            densities[node.args[0]].append(factor * node.density)
        else:
            rest.append(term)
    return [*rest, *(SiteSum(symbol, sp.Add(*d)) for symbol, d in densities.items())]


def _moves(expr: sp.Basic, moved: Moved) -> bool:
    return any(moved(f) for f in expr.atoms(FieldComponent))


def is_positive(expr: sp.Expr) -> bool:
    """Whether a real expression is proved to be positive everywhere."""
    return _lower_bound(expr)[1]


def is_nonnegative(expr: sp.Expr) -> bool:
    """Whether a real expression is proved to be nowhere negative."""
    return _lower_bound(expr)[0]


def _lower_bound(expr: sp.Expr) -> tuple[bool, bool]:
    """(proved ≥ 0, proved > 0) by SymPy's assumptions; sums over sites have the sign of their summand."""
    values: dict[sp.Basic, sp.Dummy] = {}
    for node in expr.atoms(SiteSum):
        nonnegative, positive = _lower_bound(node.density) if node.bonds is None else (False, False)
        sign = {"positive": True} if positive else {"nonnegative": True} if nonnegative else {}
        values[node] = sp.Dummy(real=True, **sign)
    bounded = expr.xreplace(values)
    return bool(bounded.is_nonnegative), bool(bounded.is_positive)
