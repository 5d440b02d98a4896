"""Formulas in MathML, which browsers and notebooks show without a script."""

from __future__ import annotations

import re
from html.entities import name2codepoint
from typing import Any, cast
from xml.dom.minidom import Document, Element

import sympy as sp
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pretty.pretty_symbology import greek_unicode

from .fermions import FermionLogDet
from .fields import FieldComponent
from .lattice import SiteSum
from .notation import hop_count, name_parts, site_steps, without_trivial_sums


def mathml(expr: sp.Expr, *, block: bool = False) -> str:
    """An expression as a MathML element, in the line or on a line of its own."""
    content = FieldMathMLPrinter().doprint(without_trivial_sums(expr))
    return f'<math display="{"block" if block else "inline"}">{content}</math>'


class FieldMathMLPrinter(MathMLPresentationPrinter):
    """SymPy's MathML printer, with fields, sums over sites and functions as the derivation writes them."""

    def __init__(self) -> None:
        super().__init__({"mat_delim": "("})
        self._summing = False
        self.dom = Document()  # the base class does not escape text, such as "<"

    def _tag(self, tag: str, *children: Element | str) -> Element:
        element = self.dom.createElement(tag)
        for child in children:
            element.appendChild(self.dom.createTextNode(child) if isinstance(child, str) else child)
        return element

    def mathml_tag(self, e: Any) -> str:
        """The name of the MathML element for an expression, entities replaced by characters."""
        return _characters(super().mathml_tag(e))

    def doprint(self, expr: Any) -> str:
        """MathML text of an expression."""
        return cast(Element, self._print(expr)).toxml()

    def _print_SiteSum(self, expr: SiteSum) -> Element:
        before, self._summing = self._summing, True
        density = cast(Element, self._print(expr.density))
        self._summing = before
        return self._tag("mrow", *self._sum_sign(expr), self._tag("mo", "["), density, self._tag("mo", "]"))

    def _sum_sign(self, expr: SiteSum) -> list[Element]:
        """The sign Σ with what runs, and the factor of each bond."""
        running = "x" if expr.bonds is None else "⟨xy⟩"
        sign = self._tag("munder", self._tag("mo", "∑"), self._tag("mi", running))
        uniform = expr.bonds is None or expr.bonds.is_plain
        factor = [] if uniform else [self._tag("msub", self._tag("mi", "c"), self._tag("mi", "xy"))]
        return [sign, *factor]

    def _print_Symbol(self, sym: sp.Symbol, style: str = "plain") -> Element:
        return self._named(sym.name, [])

    def _print_FieldComponent(self, expr: FieldComponent) -> Element:
        site = [self._tag("mi", "xxy"[expr.end])]
        for sign, count, mu in site_steps(expr):
            site += [self._tag("mo", sign), *([self._tag("mn", str(count))] if count > 1 else [])]
            site.append(self._tag("mover", self._tag("mn", str(mu)), self._tag("mo", "^")))
        place = [self._tag("mrow", *site)] if self._summing or len(site) > 1 else []
        if count := hop_count(expr):
            matrix = self._tag("mi", "A")
            power = self._tag("msup", matrix, self._tag("mn", str(count))) if count > 1 else matrix
            inner = [self._tag("mo", "("), power, self._named(expr.label, []), self._tag("mo", ")")]
            return (
                self._tag("msub", self._tag("mrow", *inner), *place) if place else self._tag("mrow", *inner)
            )
        return self._named(expr.label, place)

    def _print_FermionLogDet(self, expr: FermionLogDet) -> Element:
        factors = [self._tag("msub", self._tag("mi", "B"), self._tag("mi", "Nt")), self._tag("mo", "⋯")]
        factors.append(self._tag("msub", self._tag("mi", "B"), self._tag("mn", "1")))
        field = cast(Element, self._print(expr.species * expr.field))
        head = [self._tag("mi", "log"), self._tag("mi", "det"), self._tag("mo", "("), self._tag("mn", "1")]
        tail = [self._tag("mo", ")"), self._tag("mo", "["), field, self._tag("mo", "]")]
        return self._tag("mrow", *head, self._tag("mo", "+"), *factors, *tail)

    def _named(self, name: str, more: list[Element]) -> Element:
        base, scripts = name_parts(name)
        nodes = [self._letters(s) for s in scripts] + more
        if not nodes:
            return self._letters(base)
        separated = [n for node in nodes for n in (self._tag("mo", ","), node)][1:]
        return self._tag("msub", self._letters(base), self._tag("mrow", *separated))

    def _letters(self, text: str) -> Element:
        return self._tag("mn" if text.isdigit() else "mi", str(greek_unicode.get(text, text)))

    def _print_Pi(self, e: Any) -> Element:
        return self._tag("mi", "π")

    def _print_Exp1(self, e: Any) -> Element:
        return self._tag("mi", "e")

    def _print_exp(self, expr: sp.Expr) -> Element:
        return self._tag("msup", self._tag("mi", "e"), cast(Element, self._print(expr.args[0])))

    def parenthesize(self, item: Any, level: int, strict: bool = False) -> Element:
        """Parentheses where precedence requires them; a SiteSum has the precedence of a sum."""
        if isinstance(item, SiteSum) and level >= PRECEDENCE["Pow"]:
            inner = cast(Element, self._print(item))
            return self._tag("mrow", self._tag("mo", "("), inner, self._tag("mo", ")"))
        return cast(Element, super().parenthesize(item, level, strict=strict))


def _characters(text: str) -> str:
    """MathML entities replaced by characters, because HTML does not define all of them."""
    named = {"InvisibleTimes": "\u2062", "dd": "d", "ImaginaryI": "i", "ExponentialE": "e"}
    text = re.sub(r"&#x([0-9A-Fa-f]+);", lambda m: chr(int(m[1], 16)), text)
    return re.sub(r"&(\w+);", lambda m: named.get(m[1]) or chr(name2codepoint.get(m[1], 0xFFFD)), text)
