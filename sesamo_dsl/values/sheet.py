"""Results as a sheet of lines and tables, which is written as text for terminals and as HTML for notebooks.

What is said stands in one place, the sheet that an object makes of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_GREEN, _RED = "#1a7f37", "#cf222e"
_CELL = "text-align:left;padding:0.1em 1em 0.1em 0"


@dataclass(frozen=True)
class Line:
    """One line: as text, and as cells of a row.

    Attributes
    ----------
    text
        The line as text.
    cells
        The same, in columns.
    good
        True or False if the line says that something is right or wrong; it is then green or red.
    markup
        HTML of the last cell where it is not text, such as MathML of a formula.
    """

    text: str
    cells: tuple[str, ...]
    good: bool | None = None
    markup: str = ""

    def html(self, columns: int) -> str:
        """The row of a table with so many columns."""
        *first, last = self.cells
        contents = [*map(escape, first), self.markup or escape(last)]
        colour = "" if self.good is None else f";color:{_GREEN if self.good else _RED}"
        spans = [1] * (len(contents) - 1) + [columns - len(contents) + 1]
        cells = [
            f'<td style="{_CELL}{colour}" colspan="{span}">{content}</td>'
            for content, span in zip(contents, spans, strict=True)
        ]
        return f"<tr>{''.join(cells)}</tr>"


def row(label: str, *cells: str, width: int = 18, good: bool | None = None, markup: str = "") -> Line:
    """A line with a label in a column of this width, and cells that are three spaces apart as text."""
    return Line(f"{label:<{width}} {'   '.join(cells)}", (label, *cells), good, markup)


@dataclass(frozen=True)
class Table:
    """Lines with a heading."""

    heading: str
    lines: tuple[Line, ...]

    def text(self) -> str:
        """The table as text."""
        return "\n".join([self.heading, *(line.text for line in self.lines)])


@dataclass(frozen=True)
class Sheet:
    """What an object shows of itself.

    Attributes
    ----------
    title
        The object in a few words, for the HTML alone: text follows where the object was asked for.
    parts
        Lines, tables, further sheets and sentences, in their order.
    warnings, notes
        Sentences below them.
    is_examined
        True if the absence of warnings means that checks have found nothing.
    """

    title: str
    parts: Sequence[Line | Table | Sheet | str]
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    is_examined: bool = False

    def text(self) -> str:
        """The sheet as text, one line each."""
        lines = [
            part if isinstance(part, str) else part.text if isinstance(part, Line) else part.text()
            for part in self.parts
        ]
        lines += [f"WARNING: {warning}" for warning in self.warnings]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def html(self) -> str:
        """The sheet as an HTML fragment, warnings in red; all text is escaped."""
        out = [f"<div><div><strong>{escape(self.title)}</strong></div>"]
        lines: list[Line | Table] = []
        for part in self.parts:
            if isinstance(part, Line | Table):
                lines.append(part)
                continue
            out += [_table(lines), part.html() if isinstance(part, Sheet) else f"<div>{escape(part)}</div>"]
            lines = []
        out.append(_table(lines))
        out += [_coloured(f"WARNING: {warning}", _RED) for warning in self.warnings]
        if self.is_examined and not self.warnings:
            out.append(_coloured("no warnings", _GREEN))
        out += [f"<div>note: {escape(note)}</div>" for note in self.notes]
        return "".join([*out, "</div>"])


def _table(parts: Sequence[Line | Table]) -> str:
    if not parts:
        return ""
    lines = [line for part in parts for line in (part.lines if isinstance(part, Table) else (part,))]
    columns = max((len(line.cells) for line in lines), default=1)
    rows: list[str] = []
    for part in parts:
        if isinstance(part, Table):
            rows.append(f'<tr><th style="{_CELL}" colspan="{columns}">{escape(part.heading)}</th></tr>')
        rows += [line.html(columns) for line in (part.lines if isinstance(part, Table) else (part,))]
    return f"<table>{''.join(rows)}</table>"


def _coloured(text: str, colour: str) -> str:
    return f'<div style="color:{colour}">{escape(text)}</div>'
