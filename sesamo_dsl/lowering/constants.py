"""The part of an action that does not depend on the fields: S = C + (S − C).

C does not change the distribution, but in float32 a large C leaves no digits for S − C. It is split off
symbolically, before anything is rounded, and added back in float64.
"""

from __future__ import annotations

import sympy as sp

from ..symbols.fields import Parameter
from ..symbols.lattice import SiteSum


def split_constant(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """(C, expr − C) with C the sum of all terms, also inside densities, of numbers and couplings alone."""
    if isinstance(expr, SiteSum):
        constant, rest = split_constant(expr.density)
        kept = sp.S.Zero if rest == 0 else expr.over(rest)
        return constant * expr.of_one, kept
    if all(isinstance(symbol, Parameter) for symbol in expr.free_symbols):
        return expr, sp.S.Zero
    if isinstance(expr, sp.Add):
        parts = [split_constant(term) for term in expr.args]
        return sp.Add(*(c for c, _ in parts)), sp.Add(*(r for _, r in parts))
    if isinstance(expr, sp.Mul):
        factors = [f for f in expr.args if all(isinstance(s, Parameter) for s in f.free_symbols)]
        others = [f for f in expr.args if f not in factors]
        if len(others) == 1 and isinstance(others[0], sp.Add | SiteSum):
            coefficient = sp.Mul(*factors)
            constant, rest = split_constant(others[0])
            if constant != 0:
                return coefficient * constant, coefficient * rest
    return sp.S.Zero, expr
