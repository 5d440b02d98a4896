"""Bounds on the number of terms that an expression would have if it were multiplied out."""

from __future__ import annotations

from math import comb, prod

import sympy as sp

from ..symbols.lattice import SiteSum

LARGEST_EXPANSION = 3000
"""Largest number of terms for which a normal form is computed although no proof depends on it."""


def expanded_terms(expr: sp.Basic) -> int:
    """An upper bound on the number of terms, those inside functions included."""
    return sum(_terms(expr))


def expanded_size(expr: sp.Basic) -> int:
    """An upper bound on terms × (1 + terms inside functions)."""
    terms, inside = _terms(expr)
    return terms * (1 + inside)


def _terms(expr: sp.Basic) -> tuple[int, int]:
    """(terms of the expression, terms inside its functions)."""
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
