"""Gaussian elimination: exact on sparse rows, where every zero is proved, and in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import sympy as sp
from sympy.polys.domains import QQ
from sympy.polys.matrices import DomainMatrix

from ..symbols.exact import NumberTable

Array = np.ndarray[Any, Any]
Row = dict[int, sp.Expr]
"""Entries by column, without zeros."""


def null_space(rows: Sequence[Row], columns: int, numbers: NumberTable) -> list[list[sp.Expr]]:
    """Reduced basis of all vectors orthogonal to the rows, by exact elimination; first non-zero entry 1."""
    pivots, reduced = _eliminated(rows, columns, numbers)
    basis = []
    for free in sorted(set(range(columns)) - set(pivots)):
        vector: list[sp.Expr] = [sp.S.Zero] * columns
        vector[free] = sp.S.One
        for pivot, row in zip(pivots, reduced, strict=True):
            vector[pivot] = -row.get(free, sp.S.Zero)
        first = next(entry for entry in vector if entry != 0)
        basis.append([numbers.canonical(sp.radsimp(sp.expand(entry / first))) for entry in vector])
    return basis


def rank(vectors: Sequence[Sequence[sp.Expr]], numbers: NumberTable) -> int:
    """Number of linearly independent vectors, exactly."""
    rows = [{i: entry for i, entry in enumerate(vector) if entry != 0} for vector in vectors]
    return len(_eliminated(rows, len(vectors[0]), numbers)[0])


def _eliminated(rows: Sequence[Row], columns: int, numbers: NumberTable) -> tuple[list[int], list[Row]]:
    """Pivot columns and rows of the reduced row echelon form."""
    distinct = list(
        {tuple(sorted(row.items(), key=lambda item: item[0])): row for row in rows if row}.values()
    )
    if all(entry.is_Rational for row in distinct for entry in row.values()):
        return _rational_elimination(distinct, columns)
    return _algebraic_elimination(distinct, columns, numbers)


def _rational_elimination(rows: Sequence[Row], columns: int) -> tuple[list[int], list[Row]]:
    if not rows:
        return [], []
    entries = {i: {j: QQ.from_sympy(e) for j, e in row.items()} for i, row in enumerate(rows)}
    reduced, pivots = DomainMatrix(entries, (len(rows), columns), QQ).rref()
    dense = reduced.to_list()
    return list(pivots), [
        {j: cast(sp.Expr, QQ.to_sympy(e)) for j, e in enumerate(dense[i]) if e} for i in range(len(pivots))
    ]


def _algebraic_elimination(
    rows: Sequence[Row], columns: int, numbers: NumberTable
) -> tuple[list[int], list[Row]]:
    """Gauss–Jordan; every entry is brought to its canonical spelling, so that zero is recognised by proof."""
    remaining = [dict(row) for row in rows]
    pivots: list[int] = []
    done: list[Row] = []
    for column in range(columns):
        having = [row for row in remaining if column in row]
        if not having:
            continue
        pivot = min(having, key=lambda row: (not row[column].is_Rational, len(row)))
        remaining.remove(pivot)
        lead = pivot[column]
        pivot = {j: numbers.canonical(sp.radsimp(sp.expand(e / lead))) for j, e in pivot.items()}
        for row in (*remaining, *done):
            factor = row.get(column)
            if factor is not None:
                for j, e in pivot.items():
                    changed = numbers.canonical(sp.expand(row.get(j, sp.S.Zero) - factor * e))
                    row[j] = changed
                    if changed == 0:
                        del row[j]
        pivots.append(column)
        done.append(pivot)
    return pivots, done


def echelon_form(matrix: Array) -> Array:
    """Reduced row echelon form in floating point."""
    reduced, row = matrix.copy(), 0
    for column in range(matrix.shape[1]):
        best = row + int(np.argmax(np.abs(reduced[row:, column]))) if row < len(reduced) else row
        if row < len(reduced) and abs(reduced[best, column]) > 1e-7:
            reduced[[row, best]] = reduced[[best, row]]
            reduced[row] /= reduced[row, column]
            others = np.arange(len(reduced)) != row
            reduced[others] -= np.outer(reduced[others, column], reduced[row])
            row += 1
    return reduced
