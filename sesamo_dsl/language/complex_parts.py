"""Real expressions written with complex numbers, such as φ φ*: taken apart into real and imaginary parts."""

from __future__ import annotations

from typing import Any, cast

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
        sums[node] = cast(sp.Expr, pieces[0] + sp.I * pieces[1])
    real, imaginary = _plain_parts(cast(sp.Expr, expr.xreplace(cast(Any, sums))))
    return cast(sp.Expr, real.xreplace(cast(Any, back))), cast(sp.Expr, imaginary.xreplace(cast(Any, back)))


def _plain_parts(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    if not expr.has(sp.I, *_COMPLEX):
        return expr, sp.S.Zero
    arguments = {
        node: sp.atan2(*reversed(_plain_parts(cast(sp.Expr, node.args[0])))) for node in expr.atoms(sp.arg)
    }
    real, imaginary = cast(sp.Expr, expr.xreplace(cast(Any, arguments))).as_real_imag()
    return cast(sp.Expr, sp.expand(real)), cast(sp.Expr, sp.expand(imaginary))


def _outermost(expr: sp.Basic) -> set[Any]:
    if isinstance(expr, Functional):
        return {expr}
    return set().union(*map(_outermost, expr.args)) if expr.args else set()
