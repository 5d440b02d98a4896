"""The derivation as a standalone HTML page with MathML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from html.entities import name2codepoint
from itertools import groupby
from typing import Any, cast
from xml.dom.minidom import Document, Element

import sympy as sp
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pretty.pretty_symbology import greek_unicode

from ...analysis.derivation.lines import Line
from ...symbols.fermions import FermionLogDet
from ...symbols.fields import FieldComponent
from ...symbols.lattice import SiteSum
from .markup import parse
from .writer import MarkupWriter, hop_count, name_parts, site_steps


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


_STYLE = """\
body { max-width: 60rem; margin: 2rem auto; padding: 0 1.5rem; font: 1rem/1.5 Georgia, serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #c9d0d8; }
math { font-size: 1.05em; } .equation { overflow-x: auto; padding: 0.2rem 0 0.2rem 2rem; }
mtd { padding: 0.1em 0.5em; }"""

_TAGS = {
    "title": "<h1>{}</h1>",
    "section": "<h2>{}</h2>",
    "paragraph": "<p>{}</p>",
    "item": "  <li>{}</li>",
    "equation": '<div class="equation">{}</div>',
}


class HtmlWriter(MarkupWriter):
    """The derivation as an HTML page with MathML."""

    def __init__(self) -> None:
        self._printer = FieldMathMLPrinter()

    def document(self, lines: Sequence[Line]) -> str:
        """See :meth:`.Writer.document`."""
        title = html.escape(str(lines[0].values[0]))
        out = [
            "<!DOCTYPE html>",
            '<html lang="en">',
            f'<head><meta charset="utf-8"/><title>{title}</title>\n<style>\n{_STYLE}\n</style></head>',
            "<body>",
        ]
        return "\n".join([*out, self.fragment(lines), "</body>", "</html>"])

    def fragment(self, lines: Sequence[Line]) -> str:
        """The lines as the inside of a page."""
        out: list[str] = []
        for kind, group in groupby(lines, key=lambda line: line.kind):
            texts = [_TAGS[kind].format(self.line(line)) for line in group]
            out += ["<ul>", *texts, "</ul>"] if kind == "item" else texts
        return "\n".join(out)

    def escape(self, text: str) -> str:
        """See :meth:`.Writer.escape`."""
        return html.escape(text)

    def formula(self, template: str, values: Iterator[Any], display: bool) -> str:
        """See :meth:`.Writer.formula`."""
        style = "block" if display else "inline"
        return f'<math display="{style}">{self.node(parse(template, values))}</math>'

    def token(self, kind: str, content: Any, parts: list[str | None]) -> str:
        """See :meth:`.MarkupWriter.token`."""
        match kind:
            case "row":
                return f"<mrow>{''.join(part for part in parts if part is not None)}</mrow>"
            case "operator":
                stretched = ' stretchy="false"' if content in "()[]|⟨⟩" else ""
                return f"<mo{stretched}>{'∑' if content == 'Σ' else html.escape(content)}</mo>"
            case "tilde":
                return f"<mover><mi>{content}</mi><mo>~</mo></mover>"
            case "root":
                return f"<msqrt>{parts[0]}</msqrt>"
            case "space":
                return '<mspace width="0.8em"/>'
            case "word" if content == "for all":
                return f'<mspace width="0.3em"/><mtext>{content}</mtext><mspace width="0.3em"/>'
            case "script":
                base, below, above = parts
                tag = "msubsup" if below and above else "msub" if below else "msup"
                return f"<{tag}>{base}{below or ''}{above or ''}</{tag}>"
            case _:
                tag = "mn" if kind == "number" else "mi"
                return f"<{tag}>{html.escape(content)}</{tag}>"

    def vector(self, entries: list[str]) -> str:
        """See :meth:`.MarkupWriter.vector`."""
        return f"<mrow><mo>(</mo>{'<mo>,</mo>'.join(entries)}<mo>)</mo></mrow>"

    def expression(self, expr: Any) -> str:
        """See :meth:`.MarkupWriter.expression`."""
        return self._printer.doprint(expr)
