"""Infinite walls: an action may be +∞ outside of a domain, written as a Piecewise with a branch ``oo``.

Inside a wall exp(−S) is zero: samples there have weight zero, and Hamiltonian Monte Carlo rejects moves that
end there. The derivative of S inside a wall is the slope of a ramp on the violated inequality, which leads
training and trajectories out of it. A wall must be a term of its own: multiplied by a field it would be ∞·0
somewhere.
"""

from __future__ import annotations

import sympy as sp

from ..errors import GroupError, TheoryError
from ..symbols.fields import FieldComponent
from ..symbols.lattice import SiteSum


def check_walls(expr: sp.Expr, subject: str) -> None:
    """Raise TheoryError for an infinity that is no branch of a Piecewise, or is not a term of its own."""
    found = _misplaced(expr)
    if found is not None:
        raise TheoryError(
            subject,
            expected="infinities as whole branches of a Piecewise that is a term of its own, (oo, condition)",
            found=str(found),
            remedy="write the wall as a summand, lattice.sum(… + Piecewise((0, inside), (oo, True)))",
        )


def check_breaking(breaking: sp.Expr, theory: str) -> None:
    """Raise GroupError if S₁ contains a wall: where a symmetry moves the wall, S₁ would be ∞ − ∞."""
    if breaking.has(sp.oo):
        raise GroupError(
            f"symmetries of theory {theory}",
            expected="infinite walls that every declared symmetry leaves where they are",
            found=f"the wall in S₁ = {breaking}",
            remedy="leave that symmetry out, or write the wall so that its condition does not change: "
            "Abs(x) < 1, and not x < 1",
        )


def _misplaced(expr: sp.Basic) -> sp.Basic | None:
    if not expr.has(sp.oo, -sp.oo):
        return None
    if isinstance(expr, SiteSum):
        return _misplaced(expr.density)
    if isinstance(expr, sp.Piecewise):
        values = [arg.args[0] for arg in expr.args]
        return next(
            (f for f in map(_misplaced, (v for v in values if v is not sp.oo)) if f is not None), None
        )
    if isinstance(expr, sp.Add):
        return next((f for f in map(_misplaced, expr.args) if f is not None), None)
    if isinstance(expr, sp.Mul):
        walls = [factor for factor in expr.args if factor.has(sp.oo, -sp.oo)]
        others = [factor for factor in expr.args if factor not in walls]
        fine = not any(f.has(FieldComponent) or f.is_negative for f in others)
        return _misplaced(walls[0]) if fine and len(walls) == 1 else expr
    return expr
