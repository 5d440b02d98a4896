"""The base class of the writers that typeset parsed formulas."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import sympy as sp

from ...analysis.derivation.writer import Writer
from ...symbols.notation import without_trivial_sums
from .markup import Node


class MarkupWriter(Writer):
    """A writer that typesets parsed formulas."""

    def node(self, node: Node) -> str:
        """A node of a formula in the markup of the format."""
        if node.kind == "value":
            return self.value(node.content)
        return self.token(node.kind, node.content, [p and self.node(p) for p in node.parts])

    def value(self, value: Any) -> str:
        """A value, an expression or a tuple of them, in the markup of the format."""
        if isinstance(value, tuple):
            return self.vector([self.expression(without_trivial_sums(v)) for v in value])
        return self.expression(value if isinstance(value, sp.MatrixBase) else without_trivial_sums(value))

    @abstractmethod
    def token(self, kind: str, content: Any, parts: list[str | None]) -> str:
        """A node that is not a value, given its parts in the markup of the format."""

    @abstractmethod
    def vector(self, entries: list[str]) -> str:
        """The entries of a vector in parentheses, separated by commas."""

    @abstractmethod
    def expression(self, expr: Any) -> str:
        """A SymPy expression or matrix in the markup of the format."""
