"""The base class of the formats of a derivation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from .lines import Line


class Writer(ABC):
    """A format of derivations: it turns lines into text."""

    @abstractmethod
    def document(self, lines: Sequence[Line]) -> str:
        """The whole derivation."""

    @abstractmethod
    def escape(self, text: str) -> str:
        """Prose or a name in this format."""

    @abstractmethod
    def formula(self, template: str, values: Iterator[Any], display: bool) -> str:
        """A formula in the running text, or the content of one on lines of its own."""

    def line(self, line: Line) -> str:
        """A line with its values filled in."""
        values = iter(line.values)
        pieces = []
        for i, piece in enumerate(line.template.split("$")):
            if i % 2:
                pieces.append(self.formula(piece, values, line.kind == "equation"))
            else:
                first, *rest = piece.split("{}")
                pieces.append(self.escape(first))
                pieces += [self.escape(next(values)) + self.escape(after) for after in rest]
        return "".join(pieces)
