"""Functions of angles as sums of waves: Laurent polynomials in the e^(iθ), written with cosines and sines.

Every polynomial in cosines, sines and other fields is in one way a sum Σ_p a_p cos p + b_p sin p over
phases p, which are sums of angles with integer coefficients, possibly with other fields in them. Waves of
different phases are linearly independent, so that two functions of this kind are equal exactly when their
sums are. Of any other function, such as exp(cos θ), only the arguments are rewritten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import sympy as sp

from ..symbols.fields import angles_in

_MOST = 2000  # waves of one expression; a larger one stays as it is

_Waves = dict[sp.Expr, sp.Expr]
"""{p: c} for Σ c e^(ip)."""


class _TooMany(Exception):
    """An expression has more waves than are written down."""


def in_waves(expr: sp.Expr) -> sp.Expr:
    """The expression as Σ_p a_p cos p + b_p sin p; as it is if no angle is in it."""
    if not angles_in(expr):
        return expr
    try:
        return _real(_waves(expr))
    except _TooMany:
        return expr


def _waves(expr: sp.Expr) -> _Waves:
    if not angles_in(expr):
        return {sp.S.Zero: expr}
    if expr.is_Add:
        total: dict[sp.Expr, list[sp.Expr]] = defaultdict(list)
        for arg in expr.args:
            for phase, factor in _waves(cast(sp.Expr, arg)).items():
                total[phase].append(factor)
        return _bounded({phase: sp.Add(*factors) for phase, factors in total.items()})
    if expr.is_Mul:
        product: _Waves = {sp.S.Zero: sp.S.One}
        for arg in expr.args:
            product = _times(product, _waves(cast(sp.Expr, arg)))
        return product
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer and expr.exp.is_positive:
        one = _waves(expr.base)
        power = one
        for _ in range(int(cast(Any, expr.exp)) - 1):
            power = _times(power, one)
        return power
    if isinstance(expr, sp.cos | sp.sin):
        phase = sp.expand(in_waves(cast(sp.Expr, expr.args[0])))
        way = sp.S.Half if isinstance(expr, sp.cos) else -sp.I / 2
        here, there = (_wave(sign * phase) for sign in (1, -1))
        return _sum({here[0]: way * here[1]}, {there[0]: sp.conjugate(way) * there[1]})
    return {sp.S.Zero: cast(sp.Expr, _rewritten_inside(expr))}


def _rewritten_inside(node: sp.Basic) -> sp.Basic:
    """The same function, its arguments in waves."""
    args = [in_waves(a) if isinstance(a, sp.Expr) else _rewritten_inside(a) for a in node.args]
    return node.func(*args) if args else node


def _wave(phase: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """e^(i(p + number)) as (p, e^(i number))."""
    number, rest = phase.as_independent(*phase.free_symbols, as_Add=True)
    return rest, sp.cos(number) + sp.I * sp.sin(number)


def _sum(one: Mapping[sp.Expr, sp.Expr], other: Mapping[sp.Expr, sp.Expr]) -> _Waves:
    total = dict(one)
    for phase, factor in other.items():
        total[phase] = total.get(phase, sp.S.Zero) + factor
    return total


def _times(one: _Waves, other: _Waves) -> _Waves:
    total: dict[sp.Expr, list[sp.Expr]] = defaultdict(list)
    if len(one) * len(other) > _MOST:
        raise _TooMany
    for p, a in one.items():
        for q, b in other.items():
            total[sp.expand(p + q)].append(a * b)
    return {phase: sp.expand(sp.Add(*factors)) for phase, factors in total.items()}


def _bounded(waves: _Waves) -> _Waves:
    if len(waves) > _MOST:
        raise _TooMany
    return waves


def _real(waves: _Waves) -> sp.Expr:
    """Σ c e^(ip) with cosines and sines; a phase and its negative are one wave."""
    terms: list[sp.Expr] = []
    done: set[sp.Expr] = set()
    for phase in waves:
        opposite = sp.expand(-phase)
        if phase in done:
            continue
        done |= {phase, opposite}
        forth = waves[phase]
        back = waves.get(opposite, sp.S.Zero) if phase != 0 else sp.S.Zero
        terms.append(sp.expand(forth + back) * sp.cos(phase))
        terms.append(sp.expand(sp.I * (forth - back)) * sp.sin(phase))
    return sp.expand(sp.Add(*terms), power_exp=False, power_base=False, log=False)
