"""What all parts of a lowering share: the Builder that they write to, and the expressions lowered so far."""

from __future__ import annotations

from abc import ABC, abstractmethod

import sympy as sp

from ..ir.builder import Builder


class Lowering(ABC):
    """Writes SymPy expressions to a Builder, each once.

    Attributes
    ----------
    builder
        The function that is written.
    slopes
        False if the function is not differentiated; kinks then need no care.
    known
        The expressions lowered so far, by the index of their value.
    regular
        An expression to be lowered without special cases.
    """

    def __init__(self, builder: Builder, *, slopes: bool) -> None:
        self.builder, self.slopes = builder, slopes
        self.known: dict[sp.Basic, int] = {}
        self.regular: sp.Expr | None = None

    def __call__(self, expr: sp.Expr) -> int:
        """The index of the value of an expression."""
        if expr not in self.known:
            value = self._lower(expr)
            self.known[expr] = value
        return self.known[expr]

    @abstractmethod
    def _lower(self, expr: sp.Expr) -> int:
        """Write an expression that is not known."""

    @abstractmethod
    def apart(self) -> Lowering:
        """A lowering to the same Builder that knows no expression yet, for values other than the fields."""
