"""How many terms an expression has when it is multiplied out, without doing it."""

from __future__ import annotations

from math import comb, prod

import sympy as sp

from ...symbols.lattice import SiteSum

LARGEST_EXPANSION = 3000
"""Terms of an action whose normal form is still computed in a search."""


def expanded_terms(expr: sp.Basic) -> int:
    """An upper bound on the number of terms, those inside functions included."""
    return sum(_terms(expr))


def _terms(expr: sp.Basic) -> tuple[int, int]:
    """(terms of the expression, terms inside the functions it is made of)."""
    if isinstance(expr, SiteSum):
        return _terms(expr.density)
    parts = [_terms(arg) for arg in expr.args]
    inside = sum(hidden for _, hidden in parts)
    if isinstance(expr, sp.Add):
        return sum(n for n, _ in parts), inside
    if isinstance(expr, sp.Mul):
        return prod(n for n, _ in parts), inside
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer and int(expr.exp) > 0:
        return comb(parts[0][0] + int(expr.exp) - 1, int(expr.exp)), inside
    return 1, inside + sum(n for n, _ in parts if n > 1)
