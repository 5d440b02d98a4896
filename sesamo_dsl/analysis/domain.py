"""The Dirichlet fundamental domain of a finite group on a linear collective coordinate.

c(x) = C·(spatial mean of the components, for angles of their cosines and sines) transforms in a
representation D of the group, c(T_g x) = D_g c(x).
With an invariant inner product M and a centre r that no element but the identity fixes,

    Ω = { x : ⟨c(x), r⟩ ≥ ⟨c(x), D_g r⟩ for all g },   ⟨a, b⟩ = aᵀ M b,

is a fundamental domain: every x lies in exactly one T_u Ω, except on the boundaries.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp
from scipy.optimize import linprog

from ..errors import GroupError, NotFaithfulError
from ..groups.angles import feature_matrix, features
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..groups.symmetry import Symmetry, linear_row
from ..symbols.exact import floats, is_zero
from ..symbols.fields import FieldComponent

_PARALLEL = 1e-9  # distance of two unit normals below which they belong to the same facet


@dataclass(frozen=True, eq=False)
class Domain:
    """A fundamental domain.

    Attributes
    ----------
    collective
        The linear combinations of components whose spatial means form c, as symbols.
    projection
        C, shape (k, components).
    representation
        D_g for every group element, shape (order, k, k).
    matrices
        R_g on the components, shape (order, components, components).
    centre
        r, shape (k,).
    scores
        (D_g r)ᵀ M, shape (order, k): u(x) = argmax_g scores_g · c(x).
    facets
        Unit outward normals ν_j, shape (facets, k): Ω = { λ_j = ν_j · c ≤ 0 }.
    neighbours
        For each facet, the index of the group element whose domain lies on its other side.
    features
        The functions of the fields that ``collective`` combines: the components, and the cosine and sine of
        each angle, which a shift turns, in the place of the angle.
    shifts, feature_matrices
        s_g on the components, (order, components), and the matrices on the features, (order, features,
        features); None if no angle is shifted.
    """

    collective: tuple[sp.Expr, ...]
    projection: np.ndarray
    representation: np.ndarray
    matrices: np.ndarray
    centre: np.ndarray
    scores: np.ndarray
    facets: np.ndarray
    neighbours: tuple[int, ...]
    features: tuple[sp.Expr, ...] = ()
    shifts: np.ndarray | None = None
    feature_matrices: np.ndarray | None = None

    @property
    def order(self) -> int:
        """Number of sectors."""
        return len(self.matrices)

    @property
    def edges(self) -> np.ndarray | None:
        """E with ν E = −1, (k, facets): moving by E_j takes c away from wall j and along all others.

        None if the walls are not linearly independent; Ω is then no orthant in the distances from them.
        Half-lines, wedges, orthants and the Weyl chambers of reflection groups have edges.
        """
        facets = self.facets
        if not all(isinstance(f, FieldComponent) for f in self.features):
            return None  # means of cosines are bounded, and no constant moves them freely
        if not len(facets) or np.linalg.matrix_rank(facets, tol=1e-9) < len(facets):
            return None
        return -facets.T @ np.linalg.inv(facets @ facets.T)


def dirichlet_domain(
    symmetries: Sequence[Symmetry],
    group: FiniteGroup[Element],
    components: tuple[FieldComponent, ...],
    vacuum: np.ndarray | None,
) -> Domain:
    """Derive the fundamental domain of the group that the symmetries generate.

    Parameters
    ----------
    vacuum
        A constant minimum of the action, shape (components,). The domain is centred on it if possible, so
        that its walls run between the modes and not through them.

    Raises
    ------
    GroupError
        If a collective coordinate does not transform linearly into itself.
    NotFaithfulError
        If two elements act alike on it; the kernel is named.
    """
    collective = _collective(symmetries, components)
    known = features(components)
    rows = sp.Matrix([linear_row(e, known, f"collective coordinate {e}") for e in collective])
    names = ", ".join(s.name for s in symmetries)
    exact = [_representation(g, feature_matrix(g, components), rows, names) for g in group.elements]
    _check_faithful(exact, group, collective, names)
    representation, projection = np.array([floats(d) for d in exact]), floats(rows)
    matrices = np.array([floats(g.matrix) for g in group.elements])
    metric = np.einsum("gab,gac->bc", representation, representation) / group.order
    seen = None if vacuum is None else projection @ features_at(known, components, vacuum)
    centre = _centre(representation, metric, seen, names)
    scores = representation @ centre @ metric
    facets, neighbours = _facets(scores)
    shifts, on_features = None, None
    if any(g.shift for g in group.elements):
        shifts = np.array([floats(g.shift_vector).reshape(-1) for g in group.elements])
        on_features = np.array([floats(feature_matrix(g, components)) for g in group.elements])
    parts = collective, projection, representation, matrices, centre, scores, facets, neighbours
    return Domain(*parts, known, shifts, on_features)


def features_at(
    known: tuple[sp.Expr, ...], components: tuple[FieldComponent, ...], constant: np.ndarray
) -> np.ndarray:
    """The features of a domain at a constant field, (components,) → (features,)."""
    if known == components:
        return constant
    values: dict[sp.Basic, sp.Expr] = {
        c: sp.Float(float(v)) for c, v in zip(components, constant, strict=True)
    }
    return np.array([float(f.xreplace(values)) for f in known]).round(6)


def _collective(
    symmetries: Sequence[Symmetry], components: tuple[FieldComponent, ...]
) -> tuple[sp.Expr, ...]:
    chosen: list[sp.Expr] = []
    for symmetry in symmetries:
        if symmetry.collective is not None:
            chosen += [e for e in symmetry.collective if e not in chosen]
        else:
            moved = {c for generator in symmetry.generators for c, image in generator.items() if image != c}
            chosen += [f for f in features([c for c in components if c in moved]) if f not in chosen]
    if not chosen:
        idle = all(symmetry.collective is None for symmetry in symmetries)
        raise GroupError(
            f"collective coordinate of {', '.join(s.name for s in symmetries)}",
            expected="at least one linear combination of components",
            found="none, and no generator changes a component" if idle else "none",
            remedy="leave the symmetry out: it is the identity"
            if idle
            else "give some in collective=[…], or leave it out for the default",
        )
    return tuple(chosen)


def _representation(element: Element, matrix: sp.ImmutableMatrix, rows: sp.Matrix, names: str) -> sp.Matrix:
    """The exact k×k matrix D_g with C R_g = D_g C, R_g the matrix on the features."""
    image = rows * matrix
    gram = rows * rows.T
    if is_zero(sp.expand(gram.det())) is not False:
        raise GroupError(
            f"collective coordinate of {names}",
            expected="linearly independent combinations of components",
            found=str(rows.tolist()),
            remedy="remove the redundant combination",
        )
    solution = (image * rows.T * gram.inv()).applyfunc(sp.expand)
    if any(is_zero(sp.expand(entry)) is not True for entry in solution * rows - image):
        raise GroupError(
            f"collective coordinate of {names}",
            expected="combinations that the group maps into each other",
            found=f"{rows.tolist()} goes to {image.tolist()} under {element}",
            remedy="add the missing combinations to collective=[…]",
        )
    return solution


def _check_faithful(
    exact: Sequence[sp.Matrix], group: FiniteGroup[Element], collective: tuple[sp.Expr, ...], names: str
) -> None:
    identity = sp.eye(exact[0].rows)
    kernel = [
        g
        for g, d in zip(group.elements[1:], exact[1:], strict=True)
        if all(is_zero(sp.expand(entry)) for entry in d - identity)
    ]
    if kernel:
        raise NotFaithfulError(
            f"group generated by {names}",
            expected=f"an action on the means of {', '.join(map(str, collective))} "
            "that tells all elements apart",
            found=f"a kernel of order {len(kernel) + 1}: {'; '.join(map(str, kernel[:4]))} "
            "act trivially on it",
            remedy="choose other combinations with collective=[…], or leave the kernel out of the group",
        )


def _centre(
    representation: np.ndarray, metric: np.ndarray, vacuum: np.ndarray | None, names: str
) -> np.ndarray:
    """A unit vector with trivial stabiliser, as close to the vacuum as its distance to the walls allows."""
    k = representation.shape[1]
    candidates: list[np.ndarray] = []
    if vacuum is not None and np.linalg.norm(vacuum) > 1e-6:
        centre = vacuum / np.linalg.norm(vacuum)
        generic = np.sqrt(np.arange(2, k + 2)) % 1 - 0.5
        candidates = [centre, centre + 0.2 * generic / np.linalg.norm(generic)]
    grid = [np.array(v, dtype=float) for v in itertools.product((2, 1, 0, -1, -2), repeat=min(k, 4))]
    grid = [np.concatenate([v, np.zeros(k - len(v))]) for v in grid if np.any(v)]
    grid.append(1.0 / np.sqrt(np.arange(2, k + 2)))

    def separation(r: np.ndarray) -> float:
        """Smallest distance of the unit vector from its images."""
        if len(representation) == 1:
            return 1.0
        r = r / np.sqrt(r @ metric @ r)
        moved = representation[1:] @ r - r
        return float(np.sqrt(np.einsum("ga,ab,gb->g", moved, metric, moved).min()))

    best = max(grid, key=lambda r: (round(separation(r), 9), round(r[0] / np.linalg.norm(r), 9)))
    centre = next((c for c in candidates if separation(c) > 0.05 * separation(best)), best)
    if separation(centre) < 1e-6:
        raise GroupError(
            f"group generated by {names}",
            expected="a reference vector that only the identity leaves in place",
            found=f"none among {len(grid)} candidates",
            remedy="choose other combinations with collective=[…]",
        )
    return centre / np.sqrt(centre @ metric @ centre)


def _facets(scores: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Outward unit normals of the walls that bound Ω, redundant ones removed by linear programming."""
    outward = scores[1:] - scores[0]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    kept: list[int] = []
    for j, normal in enumerate(outward):
        if all(np.linalg.norm(normal - outward[i]) > _PARALLEL for i in kept):
            kept.append(j)
    essential = list(kept)
    for j in kept:
        others = [i for i in essential if i != j]
        if others:
            # can λ_j be positive while all other λ_i ≤ 0?
            answer = linprog(-outward[j], A_ub=outward[others], b_ub=np.zeros(len(others)), bounds=(-1, 1))
            if answer.status != 0 or -answer.fun < 1e-9:
                essential = others
    return outward[essential], tuple(j + 1 for j in essential)
