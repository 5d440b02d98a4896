"""Real expressions written with complex numbers, such as φ φ*, brought to a form without i."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import sympy as sp

from ..algebra.normal_form import NormalForm
from ..errors import TheoryError
from ..symbols.exact import NumberTable
from ..symbols.lattice import Functional, SiteSum

_COMPLEX = (sp.re, sp.im, sp.conjugate, sp.arg, sp.adjoint)


def real_expression(expr: sp.Expr, subject: str) -> sp.Expr:
    """The same expression without i; TheoryError if its imaginary part does not cancel."""
    if not expr.has(sp.I, *_COMPLEX):
        return expr
    real, imaginary = _parts(expr)
    if imaginary != 0 and NormalForm(NumberTable())(imaginary) != 0:  # sums cancel after translations
        raise TheoryError(
            subject,
            expected="a real number for every configuration",
            found=f"the imaginary part {imaginary}",
            remedy="add the complex conjugate, or take the real part; |φ|² is phi.abs2 or Abs(phi.value)**2",
        )
    return real


def _parts(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """(real, imaginary) part; sums over sites are taken apart term by term."""
    sums: dict[sp.Basic, sp.Basic] = {}
    back: dict[sp.Basic, sp.Basic] = {}
    for number, node in enumerate(sorted(_outermost(expr), key=sp.default_sort_key)):
        pieces = []
        parts = _parts(node.density) if isinstance(node, SiteSum) else (node, sp.S.Zero)
        for place, part in enumerate(parts):
            total = node.over(part) if isinstance(node, SiteSum) and part != 0 else part
            symbol = sp.Dummy(f"sum_{number}_{place}", real=True)
            back[symbol] = cast(sp.Basic, total)
            pieces.append(symbol if part != 0 else sp.S.Zero)
        sums[node] = pieces[0] + sp.I * pieces[1]
    real, imaginary = _plain_parts(expr.xreplace(cast(Any, sums)))
    return real.xreplace(cast(Any, back)), imaginary.xreplace(cast(Any, back))


def _plain_parts(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    if not expr.has(sp.I, *_COMPLEX):
        return expr, sp.S.Zero
    known: dict[Any, Any] = {
        node: sp.atan2(*reversed(_plain_parts(node.args[0]))) for node in expr.atoms(sp.arg)
    }
    known |= {node: _modulus(node.args[0]) for node in expr.atoms(sp.Abs)}
    plain = expr.xreplace(known)
    # SymPy splits real roots into parts, too, and then does not know their sign
    fractional = (p for p in plain.atoms(sp.Pow) if p.exp.is_Rational and not p.exp.is_Integer)
    roots = [(p, root) for p in sorted(fractional, key=sp.default_sort_key) if (root := _real_root(p))]
    numbered = {p: sp.Dummy(f"root_{k}", nonnegative=True) for k, (p, _) in enumerate(roots)}
    real, imaginary = plain.xreplace(cast(Any, numbered)).as_real_imag()
    back = {numbered[p]: root for p, root in roots}
    parts = (sp.expand(part).xreplace(cast(Any, back)) for part in (real, imaginary))
    return cast(tuple[sp.Expr, sp.Expr], tuple(parts))


def _modulus(expr: sp.Expr) -> sp.Expr:
    """|expr| without i; for a product or an integer power it is taken factor by factor."""
    if isinstance(expr, sp.Mul):
        return sp.Mul(*(_modulus(factor) for factor in expr.args))
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer:
        return _modulus(expr.base) ** expr.exp
    real, imaginary = _plain_parts(expr)
    return sp.Abs(real) if imaginary == 0 else sp.sqrt(real**2 + imaginary**2)


def _real_root(power: sp.Pow) -> sp.Expr | None:
    """A root of a non-negative expression, such as z z* in another spelling, without i; else None."""
    base = power.base
    if not power.has(sp.I, *_COMPLEX):
        return power if base.is_nonnegative else None
    real, imaginary = _plain_parts(base)
    nonnegative = imaginary == 0 and (real.is_nonnegative or _is_nowhere_negative(real))
    return (sp.factor(real) ** power.exp) if nonnegative else None


def _is_nowhere_negative(real: sp.Expr) -> bool:
    """Whether a real expression is nowhere negative at random points; this is no proof."""
    symbols = sorted(real.free_symbols, key=str)
    function = sp.lambdify(symbols, real, "numpy")
    rng = np.random.default_rng(0)
    for scale in np.repeat([0.1, 0.5, 1.0, 3.0, 10.0], 40):
        with np.errstate(all="ignore"):
            if not function(*rng.normal(scale=scale, size=len(symbols))) > -1e-9:
                return False
    return True


def _outermost(expr: sp.Basic) -> set[Any]:
    if isinstance(expr, Functional):
        return {expr}
    return set().union(*map(_outermost, expr.args)) if expr.args else set()
