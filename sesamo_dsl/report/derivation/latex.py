"""The derivation as a LaTeX fragment that needs amsmath."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import sympy as sp

from ...analysis.derivation.lines import Line
from ...symbols.latex import SYMBOLS, FieldLatexPrinter, escape, letters
from .markup import OPERATORS, parse
from .writer import MarkupWriter

_WIDTH = 80  # characters of a line, about the width of a page
_OPERATORS = {**{c: c for c in OPERATORS}, **SYMBOLS}
_WORDS = {
    "for all": r"\;\text{for all}\;",
    "eff": r"\mathrm{eff}",
    "argmax": r"\operatorname*{argmax}",
}


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
        return escape(text)

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
                return letters(content)

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
