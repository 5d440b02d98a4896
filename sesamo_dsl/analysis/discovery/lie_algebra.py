"""The Lie algebra of linear internal symmetries: the null space of an exact linear system.

A generates a symmetry exactly if Σ_ab A_ab D_ab = 0 with the derivatives D_ab = Σ_x φ_b(x) ∂S/∂φ_a(x). Where
the normal form may not see all relations between the D_ab, their numerical rank bounds the answer.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import mpmath
import numpy as np
import sympy as sp

from ...exact import floats
from ...lattice import SiteSum
from ..counterexamples import refuse_contradiction
from ..evaluate import evaluate, sufficient_shape
from ..lie import coefficients, counterexample, lie_derivative
from ..linear_algebra import Row, echelon_form, null_space, rank
from ..regularity import regular_parts
from .names import recognise
from .result import LieAlgebra
from .search import Search, random_couplings

_PROOF_SIZE = 2000  # operations in a derivative that is still simplified


def lie_algebra(search: Search) -> LieAlgebra:
    """All matrices A for which exp(tA) leaves the action unchanged, whatever the couplings."""
    n, numbers = search.size, search.numbers
    derivatives = _derivatives(search, search.theory.action)
    # where the action jumps its derivative proves nothing; that of the functions it depends on does
    parts = regular_parts(search.action, lambda field: True)
    rows: dict[tuple[int, sp.Expr], Row] = defaultdict(dict)
    for i, part in enumerate(parts):
        for column, derivative in enumerate(derivatives if len(parts) == 1 else _derivatives(search, part)):
            for monomial, number in coefficients(search.normal_form(derivative)).items():
                rows[i, monomial][column] = number
    equations = list(rows.values())
    antisymmetry: list[Row] = [
        {a * n + b: sp.S.One, b * n + a: sp.S.One}
        for a, b in itertools.combinations_with_replacement(range(n), 2)
    ]
    proved = null_space(equations, n * n, numbers)
    chosen = null_space(equations + antisymmetry, n * n, numbers)
    for vector in proved:
        if len(chosen) < len(proved) and rank([*chosen, vector], numbers) > len(chosen):
            chosen.append(vector)
    undecided: list[sp.ImmutableMatrix] = []
    complete = search.polynomial is not None and search.polynomial.independent
    if len(parts) > 1:
        complete = False
        listed = ", ".join(map(str, parts))
        search.limits.append(
            f"the action may jump: the Lie algebra is that of the functions it depends on, {listed}"
        )
    elif not complete:
        more, undecided, complete = _numerical_candidates(search, derivatives, chosen)
        chosen += more
        if not complete:
            search.limits.append(
                "the linear system is not known to be complete: the Lie algebra may be larger"
            )
    basis = tuple(sp.ImmutableMatrix(n, n, vector) for vector in chosen)
    for matrix in basis:
        refuse_contradiction(
            search.theory, f"exp(θA), A = {matrix}", counterexample(search.theory, matrix)[0]
        )
    orthogonal = tuple(-matrix == matrix.T for matrix in basis)
    name, abelian, compact = recognise(basis, all(orthogonal))
    return LieAlgebra(basis, orthogonal, name, abelian, compact, tuple(undecided), complete)


def _derivatives(search: Search, function: sp.Expr) -> list[sp.Expr]:
    """D_ab of a function for all (a, b), row by row: Lie derivatives along matrices with a single entry 1."""
    n = search.size
    nothing = {search.lattice.sum(sp.S.Zero): sp.S.Zero}
    units = (sp.ImmutableMatrix(n, n, [sp.Integer(i == k) for i in range(n * n)]) for k in range(n * n))
    return [
        cast(sp.Expr, lie_derivative(function, unit, search.components).xreplace(nothing)) for unit in units
    ]


def _numerical_candidates(
    search: Search, derivatives: Sequence[sp.Expr], proved: Sequence[Sequence[sp.Expr]]
) -> tuple[list[list[sp.Expr]], list[sp.ImmutableMatrix], bool]:
    """Matrices the normal form did not see: (proved after all, undecided, whether all others are refuted).

    The rank of the derivatives' values at random points bounds the dimension of the algebra from above.
    """
    n = search.size
    shape = (n, *sufficient_shape(search.action, search.lattice))
    rng = np.random.default_rng(4)
    points = [rng.normal(scale=1 + k % 3, size=shape) for k in range(n * n + 20)]
    try:
        values = np.array([search.compiled.variations(x).ravel() for x in points])
    except (TypeError, NameError, ValueError, AttributeError, KeyError):
        return [], [], False  # a derivative that NumPy cannot evaluate
    values = values[np.isfinite(values).all(axis=1)]
    scale = np.linalg.norm(values, axis=1, keepdims=True)
    values = values / np.where(scale > 0, scale, 1)
    if len(values) < n * n:
        return [], [], False
    _, singular, right = np.linalg.svd(values)
    null = right[singular < 1e-10 * max(singular[0], 1e-300)] if singular[0] > 0 else np.eye(n * n)
    if len(null) <= len(proved):
        return [], [], True
    more: list[list[sp.Expr]] = []
    undecided: list[sp.ImmutableMatrix] = []
    known = list(floats(sp.Matrix(proved))) if proved else []
    for vector in echelon_form(null):
        if np.linalg.matrix_rank(np.array([*known, vector]), tol=1e-8) == len(known):
            continue
        known.append(vector)
        exact = [
            cast(sp.Expr, sp.Rational(*Fraction(float(v)).limit_denominator(60).as_integer_ratio()))
            for v in vector
        ]
        if max(abs(float(e) - v) for e, v in zip(exact, vector, strict=True)) > 1e-9:
            exact = [cast(sp.Expr, sp.Float(float(v), 15)) for v in vector]
        change = cast(sp.Expr, sp.Add(*(e * d for e, d in zip(exact, derivatives, strict=True) if e != 0)))
        if all(e.is_Rational for e in exact) and _vanishes(change):
            more.append(exact)
        elif not all(e.is_Rational for e in exact) or _vanishes_numerically(search, change, shape):
            undecided.append(sp.ImmutableMatrix(n, n, exact))
    return more, undecided, not undecided


def _vanishes(change: sp.Expr) -> bool:
    """Prove that a derivative is zero by bringing its density over a common denominator."""
    densities = []
    for term in sp.Add.make_args(change):
        factors = sp.Mul.make_args(term)
        sums = [factor for factor in factors if factor.has(SiteSum)]
        if len(sums) != 1 or not isinstance(sums[0], SiteSum):
            return False
        densities.append(sp.Mul(*(f.density if isinstance(f, SiteSum) else f for f in factors)))
    density = cast(sp.Expr, sp.Add(*densities))
    if sp.count_ops(density) > _PROOF_SIZE:
        return False
    numerator, _ = sp.fraction(sp.together(density))
    return sp.expand(sp.powsimp(sp.expand(numerator))) == 0


def _vanishes_numerically(search: Search, change: sp.Expr, shape: tuple[int, ...]) -> bool:
    """Whether 40-digit evaluation at random points cannot tell a derivative from zero."""
    rng = np.random.default_rng(5)
    parameters = random_couplings(search.theory, rng)
    for _ in range(4):
        value = evaluate(change, rng.normal(size=shape), search.components, parameters, digits=40)
        if not abs(value) < mpmath.mpf(10) ** -30:
            return False
    return True
