"""The Lie algebra of linear internal symmetries.

A generates a symmetry exactly if Σ_ab A_ab D_ab = 0 with the derivatives D_ab = Σ_x φ_b(x) ∂S/∂φ_a(x). The
rank of their values at random points gives an upper bound on the dimension of the algebra. Unless this is 0,
candidates are the null space of an exact linear system, and, where the normal form misses relations, the null
space of the values. Each candidate is then verified as if it had been declared, which includes a search for
configurations that refute it, because a derivative does not see jumps.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import sympy as sp
from scipy.linalg import expm

from ...algebra.linear_algebra import Row, echelon_form, null_space, rank
from ...algebra.regularity import regular_parts
from ...errors import LoweringError
from ...symbols.exact import floats
from ..evaluate import sufficient_shape
from ..lie import coefficients, lie_derivative
from .names import recognise
from .result import LieAlgebra
from .search import Array, Search

_UNKNOWNS = 1024  # largest number of entries of A that are searched
_EXACT_UNKNOWNS = 64  # largest number of entries of A for which the linear system is solved exactly

_Entries = list[tuple[int, int]]


def lie_algebra(search: Search) -> LieAlgebra:
    """All matrices A for which exp(tA) leaves the action unchanged, whatever the couplings."""
    entries = _entries(search)
    # where the action jumps its derivative proves nothing; the derivatives of its regular parts do
    parts = regular_parts(search.action, lambda field: True) if search.multiplied_out else (search.action,)
    values = None
    if len(parts) > 1:
        listed = ", ".join(map(str, parts))
        search.limits.append(
            f"the action may jump: the Lie algebra is that of the functions it depends on, {listed}"
        )
    elif not search.expired("continuous symmetries"):
        values = _values(search, entries)
    null = None if values is None else _null_space(values)
    chosen: list[list[sp.Expr]] = []
    if null is not None and len(null) and not search.multiplied_out:
        search.limits.append(
            f"{len(null)} continuous symmetries that no number refutes were not proved: the action was not "
            "multiplied out"
        )
        null = None
    elif null is None or len(null):
        if search.multiplied_out and search.size**2 <= _EXACT_UNKNOWNS and entries:
            chosen = _exact_candidates(search, parts)
        if null is not None:
            chosen += _further_candidates(search, null, entries, chosen)
    basis: list[sp.ImmutableMatrix] = []
    undecided: list[sp.ImmutableMatrix] = []
    for vector in chosen:
        if search.expired("further continuous symmetries"):
            null = None
            break
        matrix = sp.ImmutableMatrix(search.size, search.size, vector)
        if not search.unchanged(expm(0.7 * floats(matrix))):
            continue
        exact = all(not entry.has(sp.Float) for entry in vector)
        status = search.judge_generator(matrix).status if exact else "undecided"
        if status != "broken":
            (basis if status == "exact" else undecided).append(matrix)
    complete = null is not None and not undecided and len(entries) == search.size**2
    if null is None and len(parts) == 1:
        search.limits.append("the linear system is not known to be complete: the Lie algebra may be larger")
    orthogonal = tuple(-matrix == matrix.T for matrix in basis)
    name, abelian, compact = recognise(basis, all(orthogonal))
    return LieAlgebra(tuple(basis), orthogonal, name, abelian, compact, tuple(undecided), complete)


def _entries(search: Search) -> _Entries:
    """Indices (a, b) of the entries of A that may differ from 0: all, or those within one field."""
    n = search.size
    if n * n <= _UNKNOWNS:
        return list(itertools.product(range(n), range(n)))
    entries: _Entries = []
    start = 0
    for field in search.theory.fields:
        block = range(start, start + len(field.components))
        entries += itertools.product(block, block)
        start += len(block)
    if len(entries) > _UNKNOWNS:
        search.limits.append(f"continuous symmetries were not searched: over {_UNKNOWNS} unknowns")
        return []
    search.limits.append("continuous symmetries were searched that turn every field into itself")
    return entries


def _values(search: Search, entries: _Entries) -> Array | None:
    """The derivatives at random points, (points, entries), each row scaled; None if not available."""
    shape = (search.size, *sufficient_shape(search.theory.action, search.lattice))
    rng = np.random.default_rng(4)
    rows, columns = (list(part) for part in zip(*entries, strict=True)) if entries else ([], [])
    found = []
    for k in range(len(entries) + 20):
        if search.expired("continuous symmetries"):
            return None
        try:
            point = rng.normal(scale=1 + k % 3, size=shape)
            found.append(search.compiled.variations(point)[rows, columns])
        # how NumPy fails at a function of SymPy that it does not know depends on that function
        except (LoweringError, TypeError, ValueError, AttributeError, KeyError, NotImplementedError):
            search.limits.append(
                "the derivative cannot be evaluated: continuous symmetries were not searched"
            )
            return None
    values = np.array(found)
    values = values[np.isfinite(values).all(axis=1)]
    scale = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(scale > 0, scale, 1) if len(values) >= len(entries) else None


def _null_space(values: Array) -> Array:
    """Basis of the vectors orthogonal to all rows, as rows."""
    if not values.size:
        return np.zeros((0, values.shape[-1] if values.ndim > 1 else 0))
    _, singular, right = np.linalg.svd(values, full_matrices=True)
    if singular[0] == 0:
        return np.eye(values.shape[1])
    return right[int(np.sum(singular >= 1e-10 * singular[0])) :]


def _exact_candidates(search: Search, parts: Sequence[sp.Expr]) -> list[list[sp.Expr]]:
    """The null space of the coefficients of the derivatives in normal form; antisymmetric matrices first."""
    n, numbers = search.size, search.numbers
    rows: dict[tuple[int, sp.Expr], Row] = defaultdict(dict)
    nothing = {search.lattice.sum(sp.S.Zero): sp.S.Zero}
    for i, part in enumerate(parts):
        for column in range(n * n):
            if search.expired("continuous symmetries by exact elimination"):
                return []
            unit = sp.ImmutableMatrix(n, n, [sp.Integer(k == column) for k in range(n * n)])
            derivative = lie_derivative(part, unit, search.components).xreplace(nothing)
            for monomial, number in coefficients(search.normal_form(derivative)).items():
                rows[i, monomial][column] = number
    equations = list(rows.values())
    antisymmetry: list[Row] = [
        {a * n + b: sp.S.One, b * n + a: sp.S.One}
        for a, b in itertools.combinations_with_replacement(range(n), 2)
    ]
    solutions = null_space(equations, n * n, numbers)
    chosen = null_space(equations + antisymmetry, n * n, numbers)
    for vector in solutions:
        if len(chosen) < len(solutions) and rank([*chosen, vector], numbers) > len(chosen):
            chosen.append(vector)
    return chosen


def _further_candidates(
    search: Search, null: Array, entries: _Entries, known: Sequence[Sequence[sp.Expr]]
) -> list[list[sp.Expr]]:
    """A basis of the null space beyond what is known, in simple fractions where these are recognised."""
    n = search.size
    places = [a * n + b for a, b in entries]
    found: list[list[sp.Expr]] = []
    span = list(floats(sp.Matrix(known))[:, places]) if known else []
    for vector in echelon_form(null):
        if len(span) == len(null):
            break
        if np.linalg.matrix_rank(np.array([*span, vector]), tol=1e-8) == len(span):
            continue
        span.append(vector)
        exact = [sp.Rational(*Fraction(float(v)).limit_denominator(60).as_integer_ratio()) for v in vector]
        if max(abs(float(e) - v) for e, v in zip(exact, vector, strict=True)) > 1e-8:
            exact = [sp.Float(float(v), 15) for v in vector]
        whole: list[sp.Expr] = [sp.S.Zero] * (n * n)
        for place, entry in zip(places, exact, strict=True):
            whole[place] = entry
        found.append(whole)
    return found
