"""Lines of a derivation, independent of the output format.

A line is prose in which ``$…$`` is mathematics and ``{}`` stands for the next value, so that all formats
have the same formulas. The mathematics is written in Unicode as the text shows it: ``S₁(T_u y)``,
``S^(N−1)``, ``√V``, ``q̃``; scripts take one symbol or a group in parentheses. Values are names in prose, and
in mathematics SymPy expressions, matrices, and tuples for vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sympy as sp

from ...symbols.fields import FieldComponent

_MATRIX_SIZE = 8  # larger generators are listed by the components they move
_SAME = 1e-12


@dataclass(frozen=True)
class Line:
    """A template with its values."""

    kind: Literal["title", "section", "paragraph", "item", "equation"]
    template: str
    values: tuple[Any, ...] = ()


def title(template: str, *values: Any) -> Line:
    """The heading of the whole derivation."""
    return Line("title", template, values)


def section(template: str, *values: Any) -> Line:
    """The heading of a section."""
    return Line("section", template, values)


def say(template: str, *values: Any) -> Line:
    """A paragraph."""
    return Line("paragraph", template, values)


def item(template: str, *values: Any) -> Line:
    """An entry of a list."""
    return Line("item", template, values)


def equation(template: str, *values: Any) -> Line:
    """A formula on lines of its own."""
    return Line("equation", f"${template}$", values)


def vector(entry: str, count: int) -> str:
    """Template of a vector of values, each shown in the template ``entry``."""
    return f"({', '.join([entry] * count)})"


def formulas(count: int) -> str:
    """Template of a list of values in prose."""
    return ", ".join(["${}$"] * count)


def number(value: float) -> sp.Expr:
    """A float as an integer or as a short decimal if it is one, otherwise to six digits."""
    if abs(value - round(value)) < _SAME:
        return sp.Integer(round(value))
    return sp.Float(repr(float(value))) if len(repr(float(value))) <= 8 else sp.Float(value, 6)


def fits(matrix: sp.MatrixBase) -> bool:
    """Whether a matrix is small enough to be shown as one."""
    return matrix.rows <= _MATRIX_SIZE


def map_line(
    name: str, matrix: sp.ImmutableMatrix, components: Sequence[FieldComponent], *, infinitesimal: bool
) -> Line:
    """A group element or generator T as a line: its matrix, or if large, φ ↦ Tφ for components it moves."""
    if fits(matrix):
        return equation(f"{name} = {{}}", matrix)
    moved: list[sp.Expr] = []
    for component, image in zip(components, (matrix * sp.Matrix(components)).flat(), strict=True):
        if image != (0 if infinitesimal else component):
            moved += [component, image]
    return say(f"${name}$: {', '.join(['${} ↦ {}$'] * (len(moved) // 2))}", *moved)
