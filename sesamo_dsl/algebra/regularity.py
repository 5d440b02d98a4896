"""When a vanishing derivative is a proof: functions whose value cannot jump where their derivative vanishes.

A function that is differentiable but at single points of an orbit, with derivative 0, is constant only if it
does not jump there. That holds for what is continuous, and for quotients and logarithms of analytic
functions, which have at a singular point either no limit or the same from both sides. It fails for steps,
signs and branches, and for functions that are such in disguise: |x|/x, atan(1/x).

Such functions are taken apart: a function of invariants is invariant whatever it is. ``regular_parts`` gives
the functions without jumps on which an action depends in this way.
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
    """What is known about a function on every orbit."""

    ANALYTIC = 0
    CONTINUOUS = 1
    SINGULAR = 2
    """In the field that analytic functions and logarithms of their quotients generate."""
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
    classes = [regularity(cast(sp.Expr, a), moved) if isinstance(a, sp.Expr) else None for a in expr.args]
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
        argument = cast(sp.Expr, expr.args[0])
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

    A function without jumps is its own only part. Of a step, a branch, a pole inside another function the
    parts are its arguments; of a sum of terms with equal such factors the factors and what is multiplied by
    them.

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
        return _of_terms([cast(sp.Expr, t) for t in sp.Add.make_args(cast(sp.Expr, expr))], moved)
    return [part for arg in expr.args for part in _parts(arg, moved)]


def _of_terms(terms: list[sp.Expr], moved: Moved) -> list[sp.Expr]:
    regular = [t for t in terms if regularity(t, moved) != Regularity.UNKNOWN]
    found = _parts(sp.Add(*regular), moved)
    cofactors: dict[sp.Expr, list[sp.Expr]] = defaultdict(list)
    for term in _one_sum([t for t in terms if t not in regular]):
        factors = [cast(sp.Expr, f) for f in sp.Mul.make_args(term)]
        kernel = [f for f in factors if regularity(f, moved) != Regularity.ANALYTIC]
        cofactors[cast(sp.Expr, sp.Mul(*kernel))].append(
            cast(sp.Expr, sp.Mul(*(f for f in factors if f not in kernel)))
        )
    for kernel, others in cofactors.items():
        for factor in sp.Mul.make_args(kernel):
            known = regularity(cast(sp.Expr, factor), moved) != Regularity.UNKNOWN
            found += [cast(sp.Expr, factor)] if known else _of_factor(factor, moved)
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
            densities[node.args[0]].append(cast(sp.Expr, factor * node.density))
        else:
            rest.append(term)
    return [*rest, *(SiteSum(symbol, cast(sp.Expr, sp.Add(*d))) for symbol, d in densities.items())]


def _moves(expr: sp.Basic, moved: Moved) -> bool:
    return any(moved(f) for f in expr.atoms(FieldComponent))


def is_positive(expr: sp.Expr) -> bool:
    """Whether a real expression is proved to be positive everywhere."""
    return _lower_bound(expr)[1]


def is_nonnegative(expr: sp.Expr) -> bool:
    """Whether a real expression is proved to be nowhere negative."""
    return _lower_bound(expr)[0]


def _lower_bound(expr: sp.Expr) -> tuple[bool, bool]:
    """(≥ 0, > 0), as SymPy's assumptions see it, sums over sites by their summands."""
    values: dict[sp.Basic, sp.Dummy] = {}
    for node in expr.atoms(SiteSum):
        nonnegative, positive = _lower_bound(node.density) if node.bonds is None else (False, False)
        sign = {"positive": True} if positive else {"nonnegative": True} if nonnegative else {}
        values[node] = sp.Dummy(real=True, **sign)
    bounded = cast(sp.Expr, expr.xreplace(values))
    return bool(bounded.is_nonnegative), bool(bounded.is_positive)
