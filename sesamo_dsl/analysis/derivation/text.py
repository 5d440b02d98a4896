"""The derivation as plain text, in the notation of the lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sympy as sp

from .lines import Line
from .writer import Writer


class TextWriter(Writer):
    """The derivation as plain text."""

    def document(self, lines: Sequence[Line]) -> str:
        """See :meth:`.Writer.document`."""
        out = []
        for line in lines:
            text = self.line(line)
            if line.kind == "title":
                out += [text, "=" * len(text)]
            elif line.kind == "section":
                out += ["", text, "-" * len(text)]
            else:
                out.append({"item": "- ", "equation": "    "}.get(line.kind, "") + text)
        return "\n".join(out)

    def escape(self, text: str) -> str:
        """See :meth:`.Writer.escape`."""
        return text

    def formula(self, template: str, values: Iterator[Any], display: bool) -> str:
        """See :meth:`.Writer.formula`."""
        first, *rest = template.split("{}")
        return first + "".join(self.value(next(values)) + piece for piece in rest)

    def value(self, value: Any) -> str:
        """A value: matrices by rows, tuples in parentheses, other expressions as SymPy prints them."""
        if isinstance(value, sp.MatrixBase):
            rows = (", ".join(map(self.value, value.row(i))) for i in range(value.rows))
            return f"[{'; '.join(rows)}]"
        if isinstance(value, tuple):
            return f"({', '.join(map(self.value, value))})"
        return sp.sstr(value, full_prec=False)
