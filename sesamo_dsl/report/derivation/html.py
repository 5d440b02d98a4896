"""The derivation as a standalone HTML page with MathML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from ...analysis.derivation.lines import Line
from ...symbols.mathml import FieldMathMLPrinter
from .markup import parse
from .writer import MarkupWriter

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
