"""What LaTeX and MathML have in common: names with subscripts, shifted fields, sums over a single site."""

from __future__ import annotations

import sympy as sp

from .fields import FieldComponent
from .lattice import SiteSum


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
