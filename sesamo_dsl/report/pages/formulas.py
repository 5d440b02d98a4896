"""Formulas as MathML on rows that fit a page: a long sum is broken before its plus and minus signs.

Browsers break no formula, and paper cuts off what is too wide.
"""

from __future__ import annotations

import re
from typing import cast

import sympy as sp
from markupsafe import Markup

from ...symbols.lattice import SiteSum
from ...symbols.mathml import FieldMathMLPrinter, mathml
from ...symbols.notation import without_trivial_sums

WIDTH = 72
"""Characters of a row."""
LONGEST = 4000
"""Characters of a formula that is shown at once; a longer one is folded away."""


class _Breaking(FieldMathMLPrinter):
    """The printer of derivations, which gives a formula in pieces between which it may be broken."""

    def pieces(self, expr: sp.Expr) -> list[str]:
        """MathML of the parts of an expression, in order."""
        if isinstance(expr, sp.Add):
            return self._terms(expr)
        if isinstance(expr, SiteSum):
            before, self._summing = self._summing, True
            inner = self.pieces(expr.density)
            self._summing = before
            sign = "".join(part.toxml() for part in self._sum_sign(expr))
            return _enclosed(sign + _paren("["), inner, _paren("]"))
        if isinstance(expr, sp.log) and isinstance(expr.args[0], sp.Add):
            return _enclosed(
                f"<mi>log</mi>{_paren('(')}", self._terms(cast(sp.Add, expr.args[0])), _paren(")")
            )
        if isinstance(expr, sp.Mul):
            return self._product(expr)
        return [self.doprint(expr)]

    def _terms(self, expr: sp.Add) -> list[str]:
        out: list[str] = []
        for term in cast(list[sp.Expr], self._as_ordered_terms(expr)):
            minus = term.could_extract_minus_sign()
            first, *rest = self.pieces(-term if minus else term)
            sign = "<mo>−</mo>" if minus else "<mo>+</mo>" if out else ""
            out += [sign + first, *rest]
        return out

    def _product(self, expr: sp.Mul) -> list[str]:
        sign, positive = ("<mo>−</mo>", -expr) if expr.could_extract_minus_sign() else ("", expr)
        factors = sp.Mul.make_args(positive)
        long = [f for f in factors if isinstance(f, SiteSum | sp.Add | sp.log)]
        if len(long) != 1 or sp.denom(positive).has(*long):
            return [sign + self.doprint(positive)]
        rest = sp.Mul(*(f for f in factors if f is not long[0]))
        inner = self.pieces(cast(sp.Expr, long[0]))
        if isinstance(long[0], sp.Add):
            inner = _enclosed(_paren("("), inner, _paren(")"))
        if rest == 1:
            return _enclosed(sign, inner, "")
        return _enclosed(f"{sign}{self.doprint(rest)}<mo>\u2062</mo>", inner, "")


def _paren(character: str) -> str:
    """A bracket of one size, since the other one may be on another row."""
    return f'<mo stretchy="false">{character}</mo>'


def _enclosed(before: str, inner: list[str], after: str) -> list[str]:
    first, *rest = inner
    return _closed([before + first, *rest], after)


def _closed(pieces: list[str], after: str) -> list[str]:
    return [*pieces[:-1], pieces[-1] + after]


def width(markup: str) -> int:
    """Characters of a formula in print, roughly."""
    return len(re.sub(r"<[^>]*>|\s", "", markup))


def equation(left: str, expr: sp.Expr) -> Markup:
    """``left`` = expression as a block of MathML; ``left`` is a name of this package, such as S₁."""
    rows, used = [""], width(left) + 1
    for piece in _Breaking().pieces(without_trivial_sums(expr)):
        size = width(piece)
        if rows[-1] and used + size > WIDTH:
            rows.append('<mspace width="2em"/>')
            used = 2
        rows[-1] += piece
        used += size
    rows[0] = f"{_name(left)}<mo>=</mo>{rows[0]}"
    cells = "".join(f"<mtr><mtd><mrow>{row}</mrow></mtd></mtr>" for row in rows)
    return Markup(  # the printer builds a DOM, which escapes the names of symbols
        f'<math display="block"><mtable displaystyle="true" columnalign="left">{cells}</mtable></math>'
    )


def _name(left: str) -> str:
    letter, _, index = left.partition("_")
    return f"<msub><mi>{letter}</mi><mn>{index}</mn></msub>" if index else f"<mi>{letter}</mi>"


def inline(expr: sp.Expr) -> Markup:
    """An expression within a sentence."""
    return Markup(mathml(expr))  # escaped, as above
