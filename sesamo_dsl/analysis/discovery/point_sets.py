"""Orthogonal maps of a log-sum-exp: they permute the points that its exponents define."""

from __future__ import annotations

import itertools

import numpy as np
import sympy as sp

from ...symbols.exact import floats
from ...symbols.fields import FieldComponent
from .matrix_group import MatrixGroup
from .search import ENUMERATED, TREE, Search


def _exponent_points(search: Search) -> list[tuple[sp.Matrix, str]]:
    """Gradients at 0 of the exponents of every log-sum-exp; a symmetry must respect their labels."""
    origin = (0,) * search.lattice.dimension
    symbols = [c.at(origin) for c in search.components]
    points: list[tuple[sp.Matrix, str]] = []
    logs = sorted(search.action.atoms(sp.log), key=sp.default_sort_key)
    for log in logs:
        argument = sp.expand(log.args[0].rewrite(sp.exp), power_exp=False)
        found = []
        for term in sp.Add.make_args(argument):
            weight, exponential = term.as_independent(sp.exp, as_Add=False)
            exponent = exponential.args[0] if isinstance(exponential, sp.exp) else sp.S.Zero
            fields = exponent.atoms(FieldComponent) | weight.atoms(FieldComponent)
            if not (isinstance(exponential, sp.exp) or exponential == 1) or not fields <= set(symbols):
                break
            if not exponent.is_polynomial(*symbols) or weight.has(FieldComponent):
                break
            zero = dict.fromkeys(symbols, sp.S.Zero)
            gradient = [sp.diff(exponent, s).xreplace(zero) for s in symbols]
            if any(g.free_symbols for g in gradient):
                break
            label = [
                weight,
                exponent.xreplace(zero),
                sp.Add(*(sp.diff(exponent, s, 2).xreplace(zero) for s in symbols)),
            ]
            found.append((sp.Matrix(gradient), "; ".join(sp.sstr(search.normal_form(e)) for e in label)))
        else:
            points += found
    return points


def point_candidates(search: Search) -> list[sp.Matrix]:
    """Orthogonal maps that permute the points; they take a basis to points with the same Gram matrix."""
    points = _exponent_points(search)
    if not points:
        return []
    numeric_points = np.array([floats(p)[:, 0] for p, _ in points])
    labels = [label for _, label in points]
    scale = np.linalg.norm(numeric_points, axis=1).max()
    basis: list[int] = []
    for i in range(len(points)):
        if np.linalg.matrix_rank(numeric_points[[*basis, i]], tol=1e-8 * scale) > len(basis):
            basis.append(i)
    if not basis:
        return []
    gram = numeric_points @ numeric_points.T
    inverse = np.linalg.pinv(numeric_points[basis])
    complement = np.eye(search.size) - inverse @ numeric_points[basis]
    directions = (1, -1) if np.abs(complement).max() > 1e-8 else (1,)
    nodes = 0
    tuples: list[tuple[int, ...]] = []
    stack: list[tuple[int, ...]] = [()]
    while stack and nodes < TREE and len(tuples) < ENUMERATED:
        nodes += 1
        images = stack.pop()
        if len(images) == len(basis):
            tuples.append(images)
            continue
        k = len(images)
        for j in reversed(range(len(points))):
            trial = (*images, j)
            same = labels[j] == labels[basis[k]] and np.allclose(
                gram[j, list(trial)], gram[basis[k], basis[: k + 1]], rtol=0, atol=1e-8 * scale**2
            )
            if same:
                stack.append(trial)
    if stack:
        search.limits.append(
            f"the search for maps of the points of a log-sum-exp stopped after {nodes} steps"
        )
    known = MatrixGroup(search.size)
    exact: list[sp.Matrix] = []
    for images, sign in itertools.product(tuples, directions):
        matrix = (inverse @ numeric_points[list(images)]).T + sign * complement
        if matrix in known or not search.unchanged(matrix) or not known.add(matrix):
            continue
        source = sp.Matrix.hstack(*(points[i][0] for i in basis))
        target = sp.Matrix.hstack(*(points[i][0] for i in images))
        dual = (source.T * source).applyfunc(sp.expand).inv() * source.T
        rest = sp.eye(search.size) - source * dual
        exact.append((target * dual + sign * rest).applyfunc(lambda e: sp.radsimp(sp.expand(e))))
    return exact
