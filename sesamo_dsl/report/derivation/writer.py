"""What the formats have in common that set parsed formulas."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

import sympy as sp

from ...analysis.derivation.writer import Writer
from ...symbols.fields import FieldComponent
from ...symbols.lattice import SiteSum
from .markup import Node


class MarkupWriter(Writer):
    """A format that sets parsed formulas."""

    def node(self, node: Node) -> str:
        """A piece of a formula."""
        if node.kind == "value":
            return self.value(node.content)
        return self.token(node.kind, node.content, [p and self.node(p) for p in node.parts])

    def value(self, value: Any) -> str:
        """A value."""
        if isinstance(value, tuple):
            return self.vector([self.expression(_without_trivial_sums(v)) for v in value])
        return self.expression(value if isinstance(value, sp.MatrixBase) else _without_trivial_sums(value))

    @abstractmethod
    def token(self, kind: str, content: Any, parts: list[str | None]) -> str:
        """Everything but values; the parts are set already."""

    @abstractmethod
    def vector(self, entries: list[str]) -> str:
        """Entries in parentheses."""

    @abstractmethod
    def expression(self, expr: Any) -> str:
        """A SymPy expression or matrix."""


def _without_trivial_sums(expr: sp.Expr) -> sp.Expr:
    """A sum over a single site is its summand."""
    trivial = {node: node.density for node in expr.atoms(SiteSum) if node.lattice.volume == 1}
    return cast(sp.Expr, expr.xreplace(cast(dict[sp.Basic, sp.Basic], trivial)))


def name_parts(name: str) -> tuple[str, list[str]]:
    """``phi_re`` as (phi, [re]); underscores without a name between them are dropped."""
    base, *scripts = [part for part in name.split("_") if part] or [name]
    return base, scripts


def hop_count(component: FieldComponent) -> int:
    """How often neighbours are summed over: k of (Aᵏφ)(x)."""
    return 0 if component.hops is None else component.hops.steps


def site_steps(component: FieldComponent) -> list[tuple[str, int, int]]:
    """The steps of a shifted field: (sign, number of steps, direction)."""
    offsets = zip(component.offset, component.lattice.shape, strict=True)
    steps = [o if 2 * o <= extent else o - extent for o, extent in offsets]
    return [("+" if step > 0 else "−", abs(step), mu) for mu, step in enumerate(steps) if step]
