"""Slices of compact Lie groups: where the flow lives when the orientation of a collective vector is fixed.

The group rotates c = (c_1 … c_N) = Σ_x φ/√V transitively on spheres. The slice c ∥ e_1, c_1 = r > 0 meets
every orbit once up to the stabiliser of e_1; x = R(n) y with n on the unit sphere and R(n) e_1 = n. The
measure is

    d^n x = Δ(r) dy dn,   Δ = |det_ab ∇χ_a·(T_b y)|,   χ_a = c_a for a ≥ 2

(Faddeev and Popov, Phys. Lett. B 25 (1967) 29), with generators normalised to T_b e_1 = e_b, for which dn is
the surface measure of the sphere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import sympy as sp

from ..errors import GroupError
from ..exact import NumberTable, floats, is_zero
from ..fields import FieldComponent
from ..groups.lie import LieSymmetry
from ..lattice import SiteSum

_RADIUS = sp.Symbol("r", positive=True)


@dataclass(frozen=True, eq=False)
class Slice:
    """Everything about one Lie factor that the compiler derived.

    Attributes
    ----------
    symmetry
        The declaration.
    block
        Positions of c_1 … c_N among the components.
    basis
        Generators T_b with T_b e_1 = e_b for b = 2 … N, exact, on all components.
    speeds
        The distinct k > 0 such that ±ik are eigenvalues of a T_b: how fast the components rotate.
    antipode
        Exact matrix of R(−e_1), an element that reverses the slice direction.
    determinant
        Δ as a function of ``radius``.
    source
        Coefficients h with S₁ = Σ_a h_a Σ_x φ_a over the block, if S₁ is such a linear source.
    """

    symmetry: LieSymmetry
    block: tuple[int, ...]
    basis: tuple[sp.ImmutableMatrix, ...]
    speeds: tuple[sp.Rational, ...]
    antipode: sp.ImmutableMatrix
    determinant: sp.Expr
    radius: sp.Symbol = _RADIUS

    @property
    def dimension(self) -> int:
        """N, dimension of the collective vector; its orbit is S^(N−1)."""
        return len(self.block)

    @property
    def generators(self) -> np.ndarray:
        """The basis as floats, (N − 1, components, components)."""
        return np.array([floats(t) for t in self.basis])


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
    basis = _transitive_basis(algebra, block, symmetry)
    speeds = _speeds(basis[0], symmetry)
    _check_rotations(basis, speeds, symmetry, numbers)
    antipode = numbers.matrix(_exponential(basis[0], speeds, sp.pi))
    vector = sp.zeros(len(components), 1)
    vector[block[0]] = _RADIUS
    gradient = sp.Matrix([[1 if a == c else 0 for c in range(len(components))] for a in block[1:]])
    motion = sp.Matrix.hstack(*(t * vector for t in basis))
    determinant = sp.simplify(sp.Abs((gradient * motion).det()))
    return Slice(symmetry, block, basis, speeds, antipode, cast(sp.Expr, determinant))


def _close(
    matrices: Sequence[sp.ImmutableMatrix], numbers: NumberTable, name: str
) -> list[sp.ImmutableMatrix]:
    """A basis of the Lie algebra that the generators generate under commutators."""
    size = matrices[0].rows
    basis: list[sp.ImmutableMatrix] = []
    queue = list(matrices)
    while queue:
        candidate = numbers.matrix(queue.pop(0))
        rows = sp.Matrix([m.flat() for m in (*basis, candidate)])
        if rows.rank(iszerofunc=lambda e: is_zero(cast(sp.Expr, sp.expand(e)))) == len(basis):
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


def _transitive_basis(
    algebra: Sequence[sp.ImmutableMatrix], block: tuple[int, ...], symmetry: LieSymmetry
) -> tuple[sp.ImmutableMatrix, ...]:
    """T_b with T_b e_1 = e_b, orthogonal to the stabiliser of e_1 (the least rotation that does it)."""
    tangents = sp.Matrix.hstack(*(sp.Matrix([t[a, block[0]] for a in block[1:]]) for t in algebra))
    if tangents.rank() < len(block) - 1:
        raise GroupError(
            f"collective coordinate of {symmetry.name}",
            expected=f"a group that turns {symmetry.collective[0]} into every direction of its multiplet",
            found=f"orbits of dimension {tangents.rank()} in {len(block)} dimensions",
            remedy="choose collective=[…] as a multiplet on whose spheres the group is transitive",
        )
    # minimise the Frobenius norm of Σ w_i T_i subject to tangents·w = e_b
    gram = sp.Matrix(len(algebra), len(algebra), lambda i, j: (algebra[i].T * algebra[j]).trace())
    inverse = gram.inv()
    weights = inverse * tangents.T * (tangents * inverse * tangents.T).inv()
    return tuple(
        sp.ImmutableMatrix(
            sum((w * t for w, t in zip(weights.col(b), algebra, strict=True)), sp.zeros(*algebra[0].shape))
        )
        for b in range(len(block) - 1)
    )


def _speeds(generator: sp.ImmutableMatrix, symmetry: LieSymmetry) -> tuple[sp.Rational, ...]:
    speeds = set()
    for eigenvalue in generator.eigenvals():
        speed = sp.Abs(sp.im(eigenvalue))
        if not speed.is_Rational:
            raise GroupError(
                f"symmetry {symmetry.name}",
                expected="a compact one-parameter group (rational ratios of charges)",
                found=f"the eigenvalue {eigenvalue}",
                remedy="use integer charges; irrational ratios never close",
            )
        if speed != 0:
            speeds.add(speed)
    return tuple(sorted(speeds))


def _check_rotations(
    basis: tuple[sp.ImmutableMatrix, ...],
    speeds: tuple[sp.Rational, ...],
    symmetry: LieSymmetry,
    numbers: NumberTable,
) -> None:
    """The section R(n) is right if Π_k (A² + k²) A = 0 for every direction A = Σ m_b T_b, |m| = 1."""
    m = sp.symbols(f"m2:{len(basis) + 2}", real=True)
    length = sum(component**2 for component in m)
    terms = (c * sp.Matrix(t) for c, t in zip(m, basis, strict=True))
    a = cast(sp.Matrix, sum(terms, sp.zeros(*basis[0].shape)))
    product = a
    for speed in speeds:
        product = (a * a + speed**2 * length * sp.eye(a.rows)) * product
    if any(sp.expand(entry) != 0 for entry in product):
        raise GroupError(
            f"symmetry {symmetry.name}",
            expected="rotations of the collective vector that turn all other components with fixed speeds",
            found=f"directions of {', '.join(map(str, symmetry.collective))} that are not equivalent",
            remedy="choose another multiplet as collective=[…]",
        )


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


def rotation_coefficients(slice_: Slice) -> tuple[sp.Symbol, tuple[sp.Expr, ...]]:
    """(α, a_j) with exp(αA) = Σ_j a_j(α) A^j for every unit direction A = Σ_b m_b T_b."""
    scalar = sp.Matrix([[_A]])  # the projectors are polynomials in A², whatever A is
    total = sp.S.Zero
    for k, projector in projectors(scalar, slice_.speeds):
        turn = sp.S.One if k == 0 else sp.cos(k * _ANGLE) + sp.sin(k * _ANGLE) * _A / k
        total += turn * projector[0]
    polynomial = sp.Poly(sp.expand(total), _A)
    return _ANGLE, tuple(cast(sp.Expr, c) for c in reversed(polynomial.all_coeffs()))


def linear_source(
    breaking: sp.Expr, slice_: Slice, components: tuple[FieldComponent, ...]
) -> tuple[sp.Expr, ...] | None:
    """h_a with S₁ = Σ_a h_a Σ_x φ_a over the collective block, None if S₁ is anything else."""
    lattice = components[0].lattice
    sums = [SiteSum(lattice.symbol, components[a]) for a in slice_.block]
    expanded = sp.expand(breaking)
    coefficients = [cast(sp.Expr, expanded.coeff(node)) for node in sums]
    rest = sp.expand(expanded - sp.Add(*(h * node for h, node in zip(coefficients, sums, strict=True))))
    if rest != 0 or any(h.has(SiteSum) for h in coefficients):
        return None
    return tuple(coefficients)
