"""The parts of a page: paragraphs, formulas, tables, pictures, lists of checks, and what is folded away.

Text in them is plain and is escaped when the page is rendered; only :class:`~markupsafe.Markup`, which this
package makes itself, reaches the page as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

State = Literal["good", "bad", "unknown"]
Cell = str | Markup


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: Cell
    kind: str = "text"


@dataclass(frozen=True)
class Formula:
    """A formula in MathML, on lines of its own."""

    mathml: Markup
    kind: str = "formula"


@dataclass(frozen=True)
class Table:
    """A table with one row of headings; cells of the columns in ``numeric`` are numbers, aligned right."""

    header: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    caption: Cell = ""
    numeric: frozenset[int] = frozenset()
    kind: str = "table"


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    rows: Sequence[tuple[Cell, Cell]]
    kind: str = "facts"


@dataclass(frozen=True)
class Picture:
    """A picture in SVG with its caption."""

    svg: Markup
    caption: Cell
    wide: bool = False
    kind: str = "picture"


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side, as far as the page is wide enough."""

    pictures: Sequence[Picture]
    kind: str = "pictures"


@dataclass(frozen=True)
class Listing:
    """Text of a program or of a file, with its line breaks."""

    text: str
    kind: str = "listing"


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: Sequence[Cell]
    kind: str = "items"


@dataclass(frozen=True)
class Check:
    """One check: whether it found something, what, and what to do about it."""

    state: State
    title: str
    sentence: str
    remedy: str = ""


@dataclass(frozen=True)
class Checks:
    """A list of checks, those that found something first."""

    checks: Sequence[Check]
    kind: str = "checks"


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown on request."""

    summary: Cell
    blocks: Sequence[Block]
    kind: str = "fold"


Block = Text | Formula | Table | Facts | Picture | Pictures | Listing | Items | Checks | Fold


@dataclass(frozen=True)
class Card:
    """A figure that a reader wants to see first."""

    name: Cell
    value: str
    state: State | Literal["plain"] = "plain"


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    subtitle: str
    cards: Sequence[Card]
    sections: Sequence[Section]
