"""The base class of the writers that typeset parsed formulas."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import sympy as sp

from ...analysis.derivation.writer import Writer
from ...symbols.fields import FieldComponent
from ...symbols.lattice import SiteSum
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


def without_trivial_sums(expr: sp.Expr) -> sp.Expr:
    """The expression with every sum over a single site replaced by its summand."""
    trivial = {node: node.density for node in expr.atoms(SiteSum) if node.lattice.volume == 1}
    return expr.xreplace(trivial)


def name_parts(name: str) -> tuple[str, list[str]]:
    """A name as (base, subscripts): ``phi_re`` → (phi, [re]); superfluous underscores are dropped."""
    base, *scripts = [part for part in name.split("_") if part] or [name]
    return base, scripts


def hop_count(component: FieldComponent) -> int:
    """The power k of the adjacency matrix in (Aᵏφ)(x), 0 for φ(x)."""
    return 0 if component.hops is None else component.hops.steps


def site_steps(component: FieldComponent) -> list[tuple[str, int, int]]:
    """The steps of a shifted field: (sign, number of steps, direction)."""
    offsets = zip(component.offset, component.lattice.shape, strict=True)
    steps = [o if 2 * o <= extent else o - extent for o, extent in offsets]
    return [("+" if step > 0 else "−", abs(step), mu) for mu, step in enumerate(steps) if step]
