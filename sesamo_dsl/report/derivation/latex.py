"""The derivation as a LaTeX fragment that needs amsmath."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, cast

import sympy as sp
from sympy.printing.latex import LatexPrinter, tex_greek_dictionary
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pretty.pretty_symbology import greek_unicode

from ...analysis.derivation.lines import Line
from ...symbols.fermions import FermionLogDet
from ...symbols.fields import FieldComponent
from ...symbols.lattice import SiteSum
from .markup import OPERATORS, parse
from .writer import MarkupWriter, hop_count, name_parts, site_steps

_WIDTH = 80  # characters of a line, about the width of a page
_GREEK: dict[str, str] = {str(char): name for name, char in greek_unicode.items() if name != "lamda"}
_OPERATORS = {
    **{c: c for c in OPERATORS},
    "−": "-",
    "{": r"\{",
    "}": r"\}",
    "·": r"\cdot",
    "…": r"\ldots",
    "≤": r"\leq",
    "≥": r"\geq",
    "∈": r"\in",
    "∘": r"\circ",
    "↦": r"\mapsto",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    "∇": r"\nabla",
    "Σ": r"\sum",
}
_WORDS = {
    "for all": r"\;\text{for all}\;",
    "eff": r"\mathrm{eff}",
    "argmax": r"\operatorname*{argmax}",
}


class FieldLatexPrinter(LatexPrinter):
    """SymPy's LaTeX printer, with fields, sums over sites and functions as the derivation writes them."""

    def __init__(self) -> None:
        super().__init__()
        self._summing = False

    def _print(self, expr: Any, **kwargs: Any) -> str:
        if isinstance(expr, SiteSum):  # the printing methods of the nodes do not know the enclosing sum
            return self._print_SiteSum(expr)
        if isinstance(expr, FieldComponent):
            return self._print_FieldComponent(expr)
        return cast(str, super()._print(expr, **kwargs))

    def _print_SiteSum(self, expr: SiteSum) -> str:
        before, self._summing = self._summing, True
        density = self._print(expr.density)
        self._summing = before
        running, factor = ("x", "") if expr.bonds is None else (r"\langle xy\rangle", "c_{xy}")
        factor = "" if expr.bonds is None or expr.bonds.is_plain else factor
        return rf"\sum_{{{running}}} {factor}\left[{density}\right]"

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        return self._named(expr.name, [])

    def _print_FieldComponent(self, expr: FieldComponent) -> str:
        steps = "".join(
            f"{'-' if sign == '−' else sign}{k if k > 1 else ''}\\hat{{{mu}}}"
            for sign, k, mu in site_steps(expr)
        )
        place = [f"{'xxy'[expr.end]}{steps}"] if self._summing or steps else []
        if count := hop_count(expr):
            power = f"^{{{count}}}" if count > 1 else ""
            return rf"(A{power}{self._named(expr.label, [])})" + (f"_{{{place[0]}}}" if place else "")
        return self._named(expr.label, place)

    def _print_FermionLogDet(self, expr: FermionLogDet) -> str:
        field = self._print(expr.species * expr.field)
        return rf"\log\det\left(1 + B_{{N_t}} \cdots B_1\right)\left[{field}\right]"

    def _named(self, name: str, more: list[str]) -> str:
        base, scripts = name_parts(name)
        scripts = [_letters(s) for s in scripts] + more
        return _letters(base) + (f"_{{{','.join(scripts)}}}" if scripts else "")

    def _print_log(self, expr: sp.Expr, exp: str | None = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        # no braces around the argument: lines can be broken inside
        return rf"\log{power} \left({self._print(expr.args[0])}\right)"

    def parenthesize(self, item: Any, level: int, is_neg: bool = False, strict: bool = False) -> str:
        """Parentheses where precedence requires them; a SiteSum has the precedence of a sum."""
        if isinstance(item, SiteSum) and level >= PRECEDENCE["Pow"]:
            return rf"\left({self._print(item)}\right)"
        return super().parenthesize(item, level, is_neg=is_neg, strict=strict)


def _letters(text: str) -> str:
    text = _GREEK.get(text, text)
    if text in greek_unicode:
        return str(tex_greek_dictionary.get(text, f"\\{text}"))
    if (len(text) == 1 and text.isascii()) or text.isdigit():
        return text
    return rf"\mathrm{{{text}}}" if text.isascii() else rf"\text{{{_escape(text)}}}"


_LATEX_SPECIAL = {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "’": "'",
    "×": r"$\times$",
    "⋉": r"$\ltimes$",
    "⋊": r"$\rtimes$",
    "·": r"$\cdot$",
    "−": "$-$",
    "→": r"$\to$",
    "↔": r"$\leftrightarrow$",
    "∞": r"$\infty$",
    "ⁿ": "$^n$",
    **{c: f"$_{i}$" for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    **{c: rf"${_letters(c)}$" for c in _GREEK if len(c) == 1},
    **{c: f"${latex}$" for c, latex in _OPERATORS.items() if latex.startswith("\\")},
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def _escape(text: str) -> str:
    return "".join(_LATEX_SPECIAL.get(c, c) for c in text)


class LatexWriter(MarkupWriter):
    """The derivation as LaTeX."""

    def __init__(self) -> None:
        self._printer = FieldLatexPrinter()

    def document(self, lines: Sequence[Line]) -> str:
        """See :meth:`.Writer.document`."""
        out = ["% needs amsmath"]
        for kind, group in groupby(lines, key=lambda line: line.kind):
            texts = [self.line(line) for line in group]
            if kind in ("title", "section"):
                out += [f"\\{'section' if kind == 'title' else 'subsection'}*{{{text}}}" for text in texts]
            elif kind == "item":
                out += [r"\begin{itemize}", *(rf"  \item {text}" for text in texts), r"\end{itemize}"]
            elif kind == "equation":
                out += [r"\begin{align*}", " \\\\\n".join(f"  & {text}" for text in texts), r"\end{align*}"]
            else:
                out += texts
        return "\n".join(out)

    def escape(self, text: str) -> str:
        """See :meth:`.Writer.escape`."""
        return _escape(text)

    def formula(self, template: str, values: Iterator[Any], display: bool) -> str:
        """See :meth:`.Writer.formula`."""
        text = self.node(parse(template, values))
        return _broken(text) if display else f"${text}$"

    def token(self, kind: str, content: Any, parts: list[str | None]) -> str:
        """See :meth:`.MarkupWriter.token`."""
        match kind:
            case "row":
                return " ".join(part for part in parts if part is not None)
            case "operator":
                return _OPERATORS[content]
            case "tilde":
                return rf"\tilde{{{content}}}"
            case "root":
                return rf"\sqrt{{{parts[0]}}}"
            case "space":
                return r"\quad"
            case "word":
                return _WORDS.get(content, f"\\{content}")
            case "script":
                base, below, above = parts
                return f"{base}{f'_{{{below}}}' if below else ''}{f'^{{{above}}}' if above else ''}"
            case _:
                return _letters(content)

    def vector(self, entries: list[str]) -> str:
        """See :meth:`.MarkupWriter.vector`."""
        return rf"\left({', '.join(entries)}\right)"

    def expression(self, expr: Any) -> str:
        """See :meth:`.MarkupWriter.expression`."""
        if isinstance(expr, sp.MatrixBase):
            rows = (" & ".join(map(self._printer.doprint, expr.row(i))) for i in range(expr.rows))
            return r"\begin{pmatrix} " + r" \\ ".join(rows) + r" \end{pmatrix}"
        return self._printer.doprint(expr)


_BREAK = re.compile(r"\\left|\\right|\\begin\{\w+\}|\\end\{\w+\}|\\[A-Za-z]+|\\.|[{}]| [+-] |.", re.DOTALL)


def _broken(formula: str) -> str:
    r"""A long formula on several lines of an align* environment, broken at its outer sums.

    A pair of \left and \right must be on one line: outside braces they become \bigl and \bigr.
    """
    tokens = _BREAK.findall(formula)
    if sum(map(_width, tokens)) <= _WIDTH:
        return formula
    out: list[str] = []
    depth = width = 0
    for token in tokens:
        depth += (token == "{" or token.startswith(r"\begin")) - (token == "}" or token.startswith(r"\end"))
        if depth == 0 and token in (r"\left", r"\right"):
            token = r"\bigl" if token == r"\left" else r"\bigr"
        if depth == 0 and token in (" + ", " - ") and width > _WIDTH // 2:
            out.append(f" \\\\\n  & \\quad {token.strip()} ")
            width = 4
            continue
        width += _width(token)
        out.append(token)
    return "".join(out)


def _width(token: str) -> int:
    """Characters of a token in print, roughly."""
    if token in ("{", "}", "_", "^", " ", r"\left", r"\right"):
        return 0
    if token in (" + ", " - "):
        return 3
    return len(token) - 1 if token in (r"\log", r"\exp", r"\cosh", r"\sinh") else 1
