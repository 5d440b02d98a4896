"""Rotations and reflections of coordinate planes, from the charges of the monomials.

With z = φ_a + iφ_b for a plane (a, b), every monomial has a charge: the number of its factors z minus the
number of its factors z̄.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from math import comb, gcd, prod

import numpy as np
import sympy as sp

from ...language.theory import Theory
from ...symbols.exact import NumberTable, floats, numeric
from ...symbols.fields import ComplexField
from .polynomial import Local, Monomial, Polynomial, Site, canonical
from .result import LieAlgebra
from .search import TOLERANCE, TREE, Search

Plane = tuple[int, int]
Complex = tuple[sp.Expr, sp.Expr]


def _charged(
    polynomial: Polynomial, planes: Sequence[Plane], numbers: NumberTable
) -> dict[tuple[Monomial, sp.Expr], Complex] | None:
    """The polynomial in z = φ_a + iφ_b and z̄, for each plane (a, b); index a stands for z and b for z̄.

    Returns real and imaginary part of each coefficient that is not zero, or None if there are too many terms.
    """
    plane_of = {c: plane for plane in planes for c in plane}
    sums: dict[tuple[Monomial, sp.Expr], tuple[list[sp.Expr], list[sp.Expr]]] = defaultdict(lambda: ([], []))
    count = 0
    for monomial, coefficient in polynomial.terms.items():
        expansions = [
            [
                (quarters, weight, [((position, offset, a), p) for a, p in powers])
                for quarters, weight, powers in _expansion(c, power, plane_of.get(c))
            ]
            for position, local in enumerate(monomial)
            for (offset, c), power in local
        ]
        count += prod(map(len, expansions))
        if count > TREE:
            return None
        for pieces in itertools.product(*expansions):
            quarter_turns = sum(quarters for quarters, _, _ in pieces)
            sign = 1 if quarter_turns % 4 < 2 else -1
            weight = prod((weight for _, weight, _ in pieces), start=Fraction(sign))
            powers: dict[tuple[int, Site, int], int] = defaultdict(int)
            for _, _, piece in pieces:
                for key, p in piece:
                    powers[key] += p
            factors: list[Local] = [
                tuple(sorted(((o, c), p) for (q, o, c), p in powers.items() if q == position and p))
                for position in range(len(monomial))
            ]
            target = canonical(factors, polynomial.lattice)
            for coupling, number in coefficient:
                sums[target, coupling][quarter_turns % 2].append(_exact(weight) * number)
    result = {}
    for key, (real, imaginary) in sums.items():
        parts = tuple(numbers.canonical(sp.expand(sp.Add(*part))) for part in (real, imaginary))
        if parts != (0, 0):
            result[key] = parts
    return result


def _expansion(
    c: int, power: int, plane: Plane | None
) -> list[tuple[int, Fraction, tuple[tuple[int, int], ...]]]:
    """φ_c^power as a sum of i^quarters · weight · (powers by index); indices a and b stand for z and z̄."""
    if plane is None:
        return [(0, Fraction(1), ((c, power),))]
    a, b = plane
    # φ_a = (z + z̄)/2 and φ_b = −i(z − z̄)/2; k counts the factors z̄
    quarters, sign = (-power, -1) if c == b else (0, 1)
    return [
        (quarters, Fraction(comb(power, k) * sign**k, 2**power), ((a, power - k), (b, k)))
        for k in range(power + 1)
    ]


def _charge(monomial: Monomial, plane: Plane) -> int:
    """Number of factors z minus number of factors z̄."""
    return sum(power * ((c == plane[0]) - (c == plane[1])) for local in monomial for (_, c), power in local)


def plane_map(size: int, planes: Sequence[Plane], angles: Sequence[sp.Expr]) -> sp.Matrix:
    """Matrix of z → exp(iα) z in each plane, with the angle α of the plane."""
    matrix = sp.eye(size)
    for (a, b), angle in zip(planes, angles, strict=True):
        matrix[a, a] = matrix[b, b] = sp.cos(angle)
        matrix[b, a] = sp.sin(angle)
        matrix[a, b] = -sp.sin(angle)
    return matrix


def plane_reflection(size: int, planes: Sequence[Plane], cosine: sp.Expr, sine: sp.Expr) -> sp.Matrix:
    """Matrix of z → exp(iα) z̄ in each plane, from cos α and sin α."""
    matrix = sp.eye(size)
    for a, b in planes:
        matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = cosine, sine, sine, -cosine
    return matrix


def _rotations_from_charges(charges: Sequence[Sequence[int]]) -> list[list[Fraction]]:
    """Generators of { θ ∈ (R/Z)^k : every charge vector · θ is an integer } modulo its continuous part."""
    k = len(charges[0])
    rows = [list(row) for row in charges if any(row)]
    columns = [[int(i == j) for j in range(k)] for i in range(k)]  # columns[i] = i-th column of V in Q V
    diagonal: list[int] = []
    done = 0
    while any(row[j] for row in rows for j in range(done, k)):
        i, j = min(
            ((i, j) for i, row in enumerate(rows) for j in range(done, k) if row[j]),
            key=lambda ij: (abs(rows[ij[0]][ij[1]]), ij),
        )
        rows[0], rows[i] = rows[i], rows[0]
        for row in rows:
            row[done], row[j] = row[j], row[done]
        columns[done], columns[j] = columns[j], columns[done]
        pivot = rows[0][done]
        for row in rows[1:]:
            q = row[done] // pivot
            for c in range(done, k):
                row[c] -= q * rows[0][c]
        for c in range(done + 1, k):
            q = rows[0][c] // pivot
            for row in rows:
                row[c] -= q * row[done]
            columns[c] = [x - q * y for x, y in zip(columns[c], columns[done], strict=True)]
        if not any(row[done] for row in rows[1:]) and not any(rows[0][done + 1 :]):
            diagonal.append(abs(pivot))
            rows = [row for row in rows[1:] if any(row)]
            done += 1
    return [[Fraction(x, d) % 1 for x in columns[i]] for i, d in enumerate(diagonal) if d > 1]


def turns(fraction: Fraction) -> sp.Expr:
    """The angle 2π·fraction."""
    return 2 * sp.pi * _exact(fraction)


def _exact(fraction: Fraction) -> sp.Expr:
    return sp.Rational(fraction.numerator, fraction.denominator)


def plane_candidates(search: Search, polynomial: Polynomial, algebra: LieAlgebra) -> list[sp.Matrix]:
    """Rotations and reflections of coordinate planes, and joint rotations of all complex fields."""
    n = search.size
    found: list[sp.Matrix] = []
    skipped = False
    for plane in unturned_planes(n, algebra):
        terms = _charged(polynomial, [plane], search.numbers)
        if terms is None:
            skipped = True
            continue
        step = gcd(*(_charge(monomial, plane) for monomial, _ in terms))
        if step > 1:
            found.append(plane_map(n, [plane], [turns(Fraction(1, step))]))
        reflection, spelled = _reflection(n, plane, terms)
        if reflection is not None:
            found.append(reflection)
        if not spelled:
            search.limits.append(f"the plane {plane} has a reflection whose angle was not recognised")
    planes = _complex_planes(search.theory)
    if len(planes) > 1:
        terms = _charged(polynomial, planes, search.numbers)
        if terms is None:
            skipped = True
        else:
            vectors = sorted({tuple(_charge(monomial, plane) for plane in planes) for monomial, _ in terms})
            for angles in _rotations_from_charges(vectors):
                found.append(plane_map(n, planes, [turns(angle) for angle in angles]))
    if skipped:
        search.limits.append(f"rotations of planes were not searched: more than {TREE} terms")
    return found


def unturned_planes(size: int, algebra: LieAlgebra) -> list[Plane]:
    """The planes (a, b) that no E_ab − E_ba of the algebra turns; in the others every angle is a symmetry."""
    entries = [matrix.todok() for matrix in algebra.basis]
    return [
        (a, b)
        for a, b in itertools.combinations(range(size), 2)
        if {(a, b): 1, (b, a): -1} not in entries and {(a, b): -1, (b, a): 1} not in entries
    ]


def turned_together(size: int, planes: Sequence[Plane], algebra: LieAlgebra) -> bool:
    """Whether the algebra turns these planes by the same angle."""
    turn = np.zeros((size, size))
    for a, b in planes:
        turn[a, b], turn[b, a] = 1, -1
    known = [floats(matrix).ravel() for matrix in algebra.basis]
    return bool(np.linalg.matrix_rank(np.array([*known, turn.ravel()]), tol=1e-8) == len(known))


def _complex_planes(theory: Theory) -> list[Plane]:
    """The plane (Re φ, Im φ) of each complex field."""
    planes, start = [], 0
    for field in theory.fields:
        if isinstance(field, ComplexField):
            planes.append((start, start + 1))
        start += len(field.components)
    return planes


def _reflection(
    size: int, plane: Plane, terms: dict[tuple[Monomial, sp.Expr], Complex]
) -> tuple[sp.Matrix | None, bool]:
    """A reflection z → exp(iα) z̄ of the plane if there is one, and whether its angle could be written down.

    It maps a term C m to C exp(iαq) m̄, q the charge of m, and the action has the coefficient C̄ there.
    """
    values = [
        (_charge(monomial, plane), complex(float(numeric(re)), float(numeric(im))), (re, im))
        for (monomial, _), (re, im) in terms.items()
    ]

    def fits(alpha: float) -> bool:
        return all(abs(c * np.exp(1j * alpha * q) - np.conj(c)) < TOLERANCE * abs(c) for q, c, _ in values)

    charged = [value for value in values if value[0]]
    if not charged:
        return (plane_reflection(size, [plane], sp.S.One, sp.S.Zero) if fits(0.0) else None), True
    q, c, (re, im) = min(charged, key=lambda value: (abs(value[0]), value[0]))
    for k in range(abs(q)):
        alpha = float((-2 * np.angle(c) + 2 * np.pi * k) / q)
        if not fits(alpha):
            continue
        fraction = Fraction(alpha / (2 * np.pi)).limit_denominator(96)
        if abs(float(fraction) * 2 * np.pi - alpha) < 1e-11:
            angle = turns(fraction)
            return plane_reflection(size, [plane], sp.cos(angle), sp.sin(angle)), True
        # exp(iαq) = C̄/C; for charge ±2 exp(iα) is a square root of it
        square = re**2 + im**2
        cosine, sine = sp.expand((re**2 - im**2) / square), sp.expand(-2 * re * im / square)
        if abs(q) == 1:
            return plane_reflection(size, [plane], cosine, sine * q), True
        if abs(q) == 2:
            half = [sp.sqrt((1 + cosine) / 2), sp.sqrt((1 - cosine) / 2)]
            signs = (np.sign(np.cos(alpha)), np.sign(np.sin(alpha)))
            return plane_reflection(size, [plane], int(signs[0]) * half[0], int(signs[1]) * half[1]), True
        return None, False
    return None, True
