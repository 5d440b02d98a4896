"""Slices of compact Lie groups: configurations whose collective vector has a fixed direction.

The group rotates c = (c_1 … c_N) = Σ_x φ/√V transitively on spheres. The slice c ∥ e_1, c_1 = r > 0 meets
every orbit once up to the stabiliser of e_1; x = R(n) y with n on the unit sphere and R(n) e_1 = n. The
measure is

    d^n x = Δ(r) dy dn,   Δ = |det_ab ∇χ_a·(T_b y)|,   χ_a = c_a for a ≥ 2

(Faddeev and Popov, Phys. Lett. B 25 (1967) 29), with generators normalised to T_b e_1 = e_b, for which dn is
the surface measure of the sphere.

R(n) = R_1 R_2 … is a product of stages. A stage rotates e_1 towards some of the directions e_b by exp(αA),
A = Σ_b m_b T_b, and does not change the directions of later stages. Hence the last stage determines the
components of n along its directions, the stage before it those along its own, and so on. SO(N) and SU(2) need
one stage; the directions of SU(N) are not equivalent, and it needs N − 1: a whole S³ first, then one more
complex component at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp
from sympy.polys.matrices import DomainMatrix

from ..algebra.linear_algebra import null_space, rank
from ..errors import GroupError
from ..groups.lie import LieSymmetry
from ..symbols.exact import NumberTable, floats
from ..symbols.fields import FieldComponent
from ..symbols.lattice import SiteSum

_RADIUS = sp.Symbol("r", positive=True)


@dataclass(frozen=True, eq=False)
class Stage:
    """One factor exp(αA) of the rotation R(n), A = Σ_b m_b T_b with |m| = 1.

    Attributes
    ----------
    directions
        The directions e_b, b ≥ 2, that the stage turns e_1 to, as positions b − 1 in the collective vector.
    basis
        Generators T_b with T_b e_1 = e_b, exact, on all components of the theory.
    speeds
        The distinct k > 0 such that ±ik are eigenvalues of every A: how fast the components rotate.
    """

    directions: tuple[int, ...]
    basis: tuple[sp.ImmutableMatrix, ...]
    speeds: tuple[sp.Rational, ...]

    @cached_property
    def generators(self) -> np.ndarray:
        """The basis as floats, (directions, components, components)."""
        return np.array([floats(t) for t in self.basis])


@dataclass(frozen=True, eq=False)
class Slice:
    """The slice of one Lie group, its rotations R(n) and its Faddeev–Popov determinant.

    Attributes
    ----------
    symmetry
        The declaration.
    block
        Positions of c_1 … c_N among the components.
    stages
        The factors of R(n) = R_1 R_2 …, in this order.
    antipode
        Exact matrix of R(−e_1), an element that reverses the slice direction.
    determinant
        Δ as a function of ``radius``.
    """

    symmetry: LieSymmetry
    block: tuple[int, ...]
    stages: tuple[Stage, ...]
    antipode: sp.ImmutableMatrix
    determinant: sp.Expr
    radius: sp.Symbol = _RADIUS

    @property
    def dimension(self) -> int:
        """N, dimension of the collective vector; its orbit is S^(N−1)."""
        return len(self.block)

    @property
    def basis(self) -> tuple[sp.ImmutableMatrix, ...]:
        """Generators T_b with T_b e_1 = e_b for b = 2 … N, exact, on all components."""
        found = {d: t for stage in self.stages for d, t in zip(stage.directions, stage.basis, strict=True)}
        return tuple(found[d] for d in sorted(found))


def derive_slice(
    symmetry: LieSymmetry, components: tuple[FieldComponent, ...], numbers: NumberTable
) -> Slice:
    """Derive the slice of a Lie symmetry.

    Raises
    ------
    GroupError
        If the collective coordinate is not mapped into itself, its spheres are not single orbits, or no
        closed rotation e_1 → n exists in the group's representation.
    """
    matrices = symmetry.matrices(components, numbers)
    block = tuple(components.index(c) for c in symmetry.collective)
    outside = [a for a in range(len(components)) if a not in block]
    if len(block) < 2 or any(t[a, b] != 0 for t in matrices for a in outside for b in block):
        raise GroupError(
            f"collective coordinate of {symmetry.name}",
            expected="at least two components that the group rotates among themselves",
            found=", ".join(map(str, symmetry.collective)),
            remedy="choose collective=[…] as one irreducible multiplet",
        )
    algebra = _close(matrices, numbers, symmetry.name)
    stages = _stages(algebra, block, tuple(range(1, len(block))), symmetry, numbers)
    first = stages[0]
    antipode = numbers.matrix(_exponential(first.basis[0], first.speeds, sp.pi))
    incomplete = Slice(symmetry, block, stages, antipode, sp.S.One)
    vector = sp.zeros(len(components), 1)
    vector[block[0]] = _RADIUS
    gradient = sp.Matrix([[1 if a == c else 0 for c in range(len(components))] for a in block[1:]])
    motion = sp.Matrix.hstack(*(t * vector for t in incomplete.basis))
    determinant = sp.simplify(sp.Abs((gradient * motion).det()))
    return Slice(symmetry, block, stages, antipode, determinant)


def _close(
    matrices: Sequence[sp.ImmutableMatrix], numbers: NumberTable, name: str
) -> list[sp.ImmutableMatrix]:
    """A basis of the Lie algebra that the generators generate under commutators."""
    size = matrices[0].rows
    basis: list[sp.ImmutableMatrix] = []
    queue = list(matrices)
    while queue:
        candidate = numbers.matrix(queue.pop(0))
        if rank([m.flat() for m in (*basis, candidate)], numbers) == len(basis):
            continue
        queue += [numbers.matrix(candidate * m - m * candidate) for m in basis]
        basis.append(candidate)
        if len(basis) > size * (size - 1) // 2:
            raise GroupError(
                f"symmetry {name}",
                expected=f"at most {size * (size - 1) // 2} independent rotations",
                found="more",
                remedy="check the generators",
            )
    return basis


def _stages(
    algebra: Sequence[sp.ImmutableMatrix],
    block: tuple[int, ...],
    directions: tuple[int, ...],
    symmetry: LieSymmetry,
    numbers: NumberTable,
) -> tuple[Stage, ...]:
    """Stages, with generators in this algebra, that turn e_1 to all of these directions.

    If all directions are equivalent there is one stage. Otherwise the last stage has the directions that the
    stabiliser of the last direction leaves fixed, and stages of this stabiliser have the others.
    """
    basis = _transitive_basis(algebra, block, directions, symmetry)
    whole = _stage(directions, basis, block)
    if whole is not None:
        return (whole,)
    stabiliser = _stabiliser(algebra, block[directions[-1]], numbers)
    left_alone = tuple(d for d in directions if not any(any(t.col(block[d])) for t in stabiliser))
    others = tuple(d for d in directions if d not in left_alone)
    chosen = [t for d, t in zip(directions, basis, strict=True) if d in left_alone]
    last = _stage(left_alone, chosen, block) if others else None
    if last is None:
        raise GroupError(
            f"symmetry {symmetry.name}",
            expected="rotations of the collective vector that turn all other components with fixed, "
            "rational speeds",
            found=f"directions of {', '.join(map(str, symmetry.collective))} that are not equivalent",
            remedy="choose another multiplet as collective=[…], of components such as Re φ_1, Im φ_1, "
            "Re φ_2, …; charges have to be integers",
        )
    return (*_stages(stabiliser, block, others, symmetry, numbers), last)


def _stabiliser(
    algebra: Sequence[sp.ImmutableMatrix], component: int, numbers: NumberTable
) -> list[sp.ImmutableMatrix]:
    """A basis of the generators t of the algebra with t e_c = 0 for this component c."""
    rows = [
        {i: t[a, component] for i, t in enumerate(algebra) if t[a, component] != 0}
        for a in range(algebra[0].rows)
    ]
    return [_combination(w, algebra, numbers) for w in null_space(rows, len(algebra), numbers)]


def _combination(
    weights: Sequence[sp.Expr], algebra: Sequence[sp.ImmutableMatrix], numbers: NumberTable
) -> sp.ImmutableMatrix:
    total = sum((w * t for w, t in zip(weights, algebra, strict=True)), sp.zeros(*algebra[0].shape))
    return numbers.matrix(sp.Matrix(total))


def _transitive_basis(
    algebra: Sequence[sp.ImmutableMatrix],
    block: tuple[int, ...],
    directions: tuple[int, ...],
    symmetry: LieSymmetry,
) -> list[sp.ImmutableMatrix]:
    """T_b with T_b e_1 = e_b, orthogonal to the stabiliser of e_1 (the least rotation that does it)."""
    first = block[0]
    tangents = sp.zeros(len(directions), 0)
    if algebra:
        tangents = sp.Matrix.hstack(*(sp.Matrix([t[block[d], first] for d in directions]) for t in algebra))
    if tangents.rank() < len(directions):
        names = ", ".join(str(symmetry.collective[d]) for d in directions)
        raise GroupError(
            f"collective coordinate of {symmetry.name}",
            expected=f"a group that turns {symmetry.collective[0]} into every direction of its multiplet",
            found=f"orbits of dimension {tangents.rank()} in the {len(directions) + 1} dimensions of "
            f"{symmetry.collective[0]}, {names}",
            remedy="choose collective=[…] as a multiplet on whose spheres the group is transitive",
        )
    # minimise the Frobenius norm of Σ w_i T_i subject to tangents·w = e_b
    gram = sp.Matrix(len(algebra), len(algebra), lambda i, j: (algebra[i].T * algebra[j]).trace())
    inverse = gram.inv()
    weights = inverse * tangents.T * (tangents * inverse * tangents.T).inv()
    return [
        sp.ImmutableMatrix(
            sum((w * t for w, t in zip(weights.col(b), algebra, strict=True)), sp.zeros(*algebra[0].shape))
        )
        for b in range(len(directions))
    ]


def _stage(
    directions: tuple[int, ...], basis: Sequence[sp.ImmutableMatrix], block: tuple[int, ...]
) -> Stage | None:
    """The stage of some directions; None unless its formulas hold for every A = Σ m_b T_b, |m| = 1.

    The formulas are A e_1 = m and A m = −e_1 on the collective vector, hence exp(αA) e_1 = e_1 cos α +
    m sin α, and Π_k (A² + k²) A = 0 with rational k.
    """
    speeds = _speeds(basis[0])
    if speeds is None:
        return None
    m = sp.symbols(f"m2:{len(basis) + 2}", real=True)
    terms = (c * sp.Matrix(t) for c, t in zip(m, basis, strict=True))
    general = sum(terms, sp.zeros(*basis[0].shape))
    # the entries are polynomials in m, whose products are always expanded, so that zero is recognised
    a = DomainMatrix.from_Matrix(general, extension=True)
    length = a.domain.convert(sp.Add(*(component**2 for component in m)))
    unit = DomainMatrix.eye(general.rows, a.domain)
    square, product = a * a, a
    for speed in speeds:
        product = (square + unit.scalarmul(a.domain.convert(speed**2) * length)) * product
    first = list(range(general.rows)), [block[0]]
    acceleration = square.extract(*first) + unit.scalarmul(length).extract(*first)
    if not (product.is_zero_matrix and acceleration.is_zero_matrix):
        return None
    return Stage(directions, tuple(basis), speeds)


def _speeds(generator: sp.ImmutableMatrix) -> tuple[sp.Rational, ...] | None:
    """The k > 0 with eigenvalues ±ik, None if one is not rational: the rotation then never closes."""
    speeds = set()
    for eigenvalue in generator.eigenvals():
        speed = sp.Abs(sp.im(eigenvalue))
        if not speed.is_Rational:
            return None
        if speed != 0:
            speeds.add(speed)
    return tuple(sorted(speeds))


def projectors(a: sp.Matrix, speeds: tuple[sp.Rational, ...]) -> list[tuple[sp.Rational, sp.Matrix]]:
    """(k, P_k): projectors on the eigenspaces of A² = −k², k = 0 included, as polynomials in A²."""
    values = [sp.S.Zero, *speeds]
    found = []
    for k in values:
        projector = sp.eye(a.rows)
        for j in values:
            if j != k:
                projector = projector * (a * a + j**2 * sp.eye(a.rows)) / (j**2 - k**2)
        found.append((k, projector))
    return found


def _exponential(a: sp.ImmutableMatrix, speeds: tuple[sp.Rational, ...], angle: sp.Expr) -> sp.Matrix:
    """exp(angle·A) = P_0 + Σ_k [cos(k·angle) + sin(k·angle) A/k] P_k."""
    total = sp.zeros(*a.shape)
    for k, projector in projectors(sp.Matrix(a), speeds):
        turn = sp.eye(a.rows) if k == 0 else sp.cos(k * angle) * sp.eye(a.rows) + sp.sin(k * angle) * a / k
        total += turn * projector
    return total


_ANGLE, _A = sp.Symbol("alpha", real=True), sp.Symbol("A")


def rotation_coefficients(stage: Stage) -> tuple[sp.Symbol, tuple[sp.Expr, ...]]:
    """(α, a_j) with exp(αA) = Σ_j a_j(α) A^j for every unit direction A = Σ_b m_b T_b of a stage."""
    scalar = sp.Matrix([[_A]])  # the projectors are polynomials in A² for every A
    total = sp.S.Zero
    for k, projector in projectors(scalar, stage.speeds):
        turn = sp.S.One if k == 0 else sp.cos(k * _ANGLE) + sp.sin(k * _ANGLE) * _A / k
        total += turn * projector[0]
    polynomial = sp.Poly(sp.expand(total), _A)
    return _ANGLE, tuple(c for c in reversed(polynomial.all_coeffs()))


def linear_source(
    breaking: sp.Expr, slice_: Slice, components: tuple[FieldComponent, ...]
) -> tuple[sp.Expr, ...] | None:
    """h_a with S₁ = Σ_a h_a Σ_x φ_a over the collective block, None if S₁ is anything else."""
    lattice = components[0].lattice
    sums = [SiteSum(lattice.symbol, components[a]) for a in slice_.block]
    expanded = sp.expand(breaking)
    coefficients = [expanded.coeff(node) for node in sums]
    rest = sp.expand(expanded - sp.Add(*(h * node for h, node in zip(coefficients, sums, strict=True))))
    if rest != 0 or any(h.has(SiteSum) for h in coefficients):
        return None
    return tuple(coefficients)
