"""Names for Lie algebras, finite groups and the internal group as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import networkx as nx
import numpy as np
import sympy as sp

from ...groups.finite import FiniteGroup
from ...symbols.exact import floats, numeric
from .result import InternalGroup, LieAlgebra
from .search import Array


def recognise(basis: Sequence[sp.ImmutableMatrix], antisymmetric: bool) -> tuple[str, bool, bool]:
    """(name, abelian, compact) of a matrix Lie algebra."""
    if not basis:
        return "0", True, True
    blocks = _rotation_blocks(basis)
    if blocks is not None:
        names = ["u(1)" if len(block) == 2 else f"so({len(block)})" for block in blocks]
        return _direct_sum(names), all(len(block) == 2 for block in blocks), True
    matrices = np.array([floats(matrix) for matrix in basis])
    d = len(matrices)
    flat = matrices.reshape(d, -1)
    brackets = np.einsum("iab,jbc->ijac", matrices, matrices)
    brackets = (brackets - brackets.swapaxes(0, 1)).reshape(d * d, -1)
    # [T_i, T_j] = Σ_k structure[i, j, k] T_k
    structure = np.linalg.lstsq(flat.T, brackets.T, rcond=None)[0].T.reshape(d, d, d)
    adjoint = structure.swapaxes(1, 2)
    abelian = bool(np.abs(structure).max() < 1e-9)
    killing = np.einsum("iab,jba->ij", adjoint, adjoint)
    centre = d - np.linalg.matrix_rank(adjoint.transpose(1, 2, 0).reshape(d * d, d), tol=1e-8)
    compact = antisymmetric or _is_compact(matrices, killing, int(centre))
    if abelian:
        return (_direct_sum(["u(1)"] * d) if compact else f"abelian, dimension {d}"), True, compact
    if not compact:
        return f"dimension {d}", False, False
    derived = _range(structure.reshape(d * d, d))
    names = ["u(1)"] * int(centre)
    for ideal in _simple_ideals(structure, derived):
        names.append(_simple_name(structure, killing, ideal, matrices))
    return _direct_sum(names), False, True


def _direct_sum(names: Iterable[str]) -> str:
    return " ⊕ ".join(sorted(names, key=lambda name: (len(name), name)))


def _rotation_blocks(basis: Sequence[sp.ImmutableMatrix]) -> list[list[int]] | None:
    """Blocks of components that are fully rotated, if the basis consists of E_ab − E_ba and nothing else."""
    graph = nx.Graph()
    for matrix in basis:
        entries = {
            (i, j): matrix[i, j] for i in range(matrix.rows) for j in range(matrix.cols) if matrix[i, j] != 0
        }
        ((i, j), _), *_ = sorted(entries.items(), key=lambda item: item[0])
        if len(entries) != 2 or entries[i, j] + entries.get((j, i), sp.S.One) != 0:
            return None
        graph.add_edge(i, j)
    blocks = sorted(sorted(block) for block in nx.connected_components(graph))
    return blocks if sum(len(b) * (len(b) - 1) // 2 for b in blocks) == len(basis) else None


def _generic(count: int) -> Array:
    return np.sqrt(np.array([sp.prime(i + 1) for i in range(count)], dtype=float)) % 1 + 0.1


def _range(vectors: Array) -> Array:
    """Orthonormal rows that span the same space."""
    _, singular, right = np.linalg.svd(vectors, full_matrices=False)
    return right[singular > 1e-8 * singular[0]]


def _is_compact(matrices: Array, killing: Array, centre: int) -> bool:
    """Whether the Killing form is negative up to the centre, and a generic element generates rotations."""
    spectrum = np.linalg.eigvalsh(killing)
    if spectrum.max() > 1e-8 or int(np.sum(spectrum < -1e-8)) != len(matrices) - centre:
        return False
    element = np.tensordot(_generic(len(matrices)), matrices, axes=1)
    values, vectors = np.linalg.eig(element)
    return bool(
        np.abs(np.real(values)).max() < 1e-7 * (1 + np.abs(values).max()) and np.linalg.cond(vectors) < 1e6
    )


def _simple_ideals(structure: Array, derived: Array) -> list[Array]:
    """Simple ideals of a compact semisimple algebra: eigenspaces of a generic map that commutes with ad."""
    s = len(derived)
    if s > 15:
        return [derived]
    inner = np.einsum("ia,jb,abc,kc->ijk", derived, derived, structure, derived)
    identity = np.eye(s)
    # M with M ad_i = ad_i M, as a linear system for the entries of M
    system = np.concatenate([np.kron(identity, inner[i]) - np.kron(inner[i].T, identity) for i in range(s)])
    _, singular, right = np.linalg.svd(system)
    commuting = right[singular < 1e-8].reshape(-1, s, s)
    mixed = np.tensordot(_generic(len(commuting)), commuting, axes=1)
    values = np.sort(np.linalg.eigvals(mixed).real)
    # rounding splits equal eigenvalues and mixes their eigenvectors; null spaces of clusters are stable
    clusters = np.split(values, 1 + np.flatnonzero(np.diff(values) > 1e-5))
    ideals = []
    for cluster in clusters:
        _, singular, right = np.linalg.svd(mixed.T - cluster.mean() * identity)
        ideals.append(_range(right[singular < 1e-5]) @ derived)
    return ideals


def _simple_name(structure: Array, killing: Array, ideal: Array, matrices: Array) -> str:
    """The compact simple algebra of this dimension and rank; two names where these do not decide."""
    dimension = len(ideal)
    element = _generic(dimension) @ ideal
    adjoint = np.einsum("i,ijk->jk", element, structure)
    rank = dimension - int(np.linalg.matrix_rank(ideal @ adjoint, tol=1e-7))
    if (dimension, rank) == (3, 1):
        # length 1 in units where [T_1, T_2] = T_3, whose Killing form is −2: eigenvalues are i times the spin
        element = element * np.sqrt(-2 / (element @ killing @ element))
        spins = np.linalg.eigvals(np.tensordot(element, matrices, axes=1)).imag
        return "so(3)" if np.abs(spins - np.round(spins)).max() < 1e-6 else "su(2)"
    names = []
    for n in range(2, 12):
        names += [f"su({n})"] * ((n * n - 1, n - 1) == (dimension, rank))
        names += [f"so({n})"] * ((n * (n - 1) // 2, n // 2) == (dimension, rank) and n >= 5 and n != 6)
        names += [f"sp({n})"] * ((n * (2 * n + 1), n) == (dimension, rank) and n >= 3)
    names += ["g2"] * ((dimension, rank) == (14, 2))
    return " or ".join(names) or f"semisimple of dimension {dimension}"


def whole_name(algebra: LieAlgebra, internal: InternalGroup) -> str:
    """Name of the whole internal group, e.g. O(N) if all components rotate and some map reflects."""
    if not algebra.dimension:
        return internal.name
    blocks = _rotation_blocks(algebra.basis)
    n = algebra.basis[0].rows
    if blocks is not None and len(blocks) == 1 and len(blocks[0]) == n:
        # SO(N) or O(N) contains every other map that was found, because these maps are orthogonal
        return _rotation_name(n, [g.matrix for g in internal.generators])
    alike = _rotations_of_each(algebra, internal)
    if alike is not None:
        return alike
    more = "" if internal.order == 1 else f", and the discrete maps {internal.name}"
    return f"connected group with Lie algebra {algebra.name}{more}"


def _rotation_name(n: int, matrices: Iterable[sp.ImmutableMatrix]) -> str:
    """O(N) if some map reflects, else SO(N)."""
    reflects = any(numeric(matrix.det()) < 0 for matrix in matrices)
    return f"O({n})" if reflects else ("U(1)" if n == 2 else f"SO({n})")


def _rotations_of_each(algebra: LieAlgebra, internal: InternalGroup) -> str | None:
    """S_m × O(d) for m identical fields of d components that are only rotated all together; else None."""
    if not internal.direct or len(internal.identical) != 1:
        return None
    m, n = len(internal.identical[0]), algebra.basis[0].rows
    d = n // m
    if d * m != n or d < 2:
        return None
    blocks = []
    for matrix in algebra.basis:
        first = matrix[:d, :d]
        if sp.Matrix(matrix) != sp.diag(*[first] * m):
            return None
        blocks.append(sp.ImmutableMatrix(first))
    rotations = _rotation_blocks(blocks)
    if rotations is None or len(rotations) != 1 or len(rotations[0]) != d:
        return None
    alike = [
        sp.ImmutableMatrix(g.matrix[:d, :d])
        for g in internal.generators
        if sp.Matrix(g.matrix) == sp.diag(*[g.matrix[:d, :d]] * m)
    ]
    return f"S{m} × {_rotation_name(d, alike)}"


def group_name(group: FiniteGroup[Any]) -> str:
    """Name of a group if it is Z_n, D_n, a power of Z_2, A_4 or S_4, else its order."""
    n, orders = group.order, group.element_orders
    if n == 1:
        return "trivial"
    if orders.max() == n:
        return f"Z{n}"
    if orders.max() == 2:
        return " × ".join(["Z2"] * (n.bit_length() - 1))
    if n % 2 == 0:
        for r in np.flatnonzero(orders == n // 2):
            turns = set(group.subgroup([int(r)]))
            flips = [s for s in range(n) if s not in turns]
            if all(orders[s] == 2 for s in flips):
                return f"D{n // 2}"
    if n == 24 and len(group.centre) == 1:
        return "S4"  # the only group of this order without a centre
    if n == 12 and not np.any(orders == 6):
        return "A4"  # no other non-abelian group of order 12 lacks elements of order 6
    return f"a group of order {n}"
