"""Invariance under one-parameter groups.

An S without jumps is invariant under exp(θT) exactly when its Lie derivative L_T S = Σ_ab T_ab φ_b ∂S/∂φ_a
vanishes, which the normal form decides. An S with jumps is invariant if it is a function of such invariants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath
import numpy as np
import sympy as sp
from scipy.linalg import expm

from ..algebra.identity_form import IdentityForm
from ..algebra.normal_form import NormalForm
from ..algebra.regularity import regular_parts
from ..algebra.size import LARGEST_EXPANSION, expanded_size
from ..errors import GroupError, NotInvariantError
from ..groups.element import Element
from ..groups.lie import LieSymmetry
from ..groups.site_map import SiteMap
from ..language.theory import Theory
from ..symbols.exact import floats, numbers
from ..symbols.fermions import FermionLogDet
from ..symbols.fields import FieldComponent
from ..symbols.lattice import SiteSum
from ..values.couplings import at_couplings
from .counterexamples import Counterexample, Move, refuse_contradiction, search_counterexample
from .invariance import Verdict, generic_parameters

_ANGLES = (0.7, 2.0, -3.9)  # the first refutes nearly everything


def lie_derivative(
    expr: sp.Expr, generator: sp.ImmutableMatrix, components: tuple[FieldComponent, ...]
) -> sp.Expr:
    """The Lie derivative L_T of an action or a density; of functions that jump see ``algebra.regularity``."""
    if expr.is_Add:  # term by term, each with its own sums
        terms = [lie_derivative(term, generator, components) for term in expr.args]
        return sp.Add(*terms)
    position = {(c.field, c.component): a for a, c in enumerate(components)}

    def moved(field: FieldComponent) -> sp.Expr:
        row = generator.row(position[field.field, field.component])
        terms = (t * c.placed_like(field) for t, c in zip(row, components, strict=True) if t != 0)
        return sp.Add(*terms)

    def density(d: sp.Expr) -> sp.Expr:
        fields = sorted(d.atoms(FieldComponent), key=str)
        images = {f: moved(f) for f in fields}
        return sp.Add(*(sp.diff(d, f) * image for f, image in images.items() if image != 0))

    nodes = sorted(expr.atoms(SiteSum), key=sp.default_sort_key)
    dummies = {node: sp.Dummy(real=True) for node in nodes}
    outer = expr.xreplace(dummies)
    terms = [sp.diff(outer, dummy) * node.over(density(node.density)) for node, dummy in dummies.items()]
    terms.append(density(outer))
    back = {dummy: node for node, dummy in dummies.items()}
    return sp.Add(*terms).xreplace(back)


def judge_generator(
    theory: Theory,
    generator: sp.ImmutableMatrix,
    normal_form: NormalForm,
    limits: list[str] | None = None,
) -> Verdict:
    """Decide invariance of the action under the one-parameter group exp(θT).

    Parameters
    ----------
    limits
        Gets a sentence if the Lie derivative of a refuted generator is too large to be multiplied out.
    """
    _refuse_determinants(theory, generator)
    shown = Element(generator, SiteMap.identity(theory.lattice))
    action = normal_form(theory.action)
    parts = regular_parts(action, moved_by([generator], theory.components))
    changes = [lie_derivative(part, generator, theory.components) for part in parts]
    found, angle = counterexample(theory, generator)
    if found is not None and sum(map(expanded_size, changes)) > LARGEST_EXPANSION:
        if limits is not None:
            limits.append(f"the Lie derivative by T = {shown} is shown as it is, not multiplied out")
    else:
        changes = [normal_form(change) for change in changes]
    if not any(changes):
        refuse_contradiction(theory, f"exp(θT), T = {shown}", found)
        evidence = "proved: the Lie derivative of the action has normal form 0"
        if parts not in ((), (action,)):
            listed = ", ".join(map(str, parts))
            evidence = f"proved: S is a function of {listed}, whose Lie derivatives have normal form 0"
        return Verdict(shown, "exact", sp.S.Zero, evidence)
    residual, part = next((c, p) for c, p in zip(changes, parts, strict=True) if c != 0)
    part = None if part == action else part
    if found is None and all(IdentityForm.vanish(normal_form, change) for change in changes):
        listed = "S" if parts == (action,) else ", ".join(map(str, parts))
        evidence = f"proved: the Lie derivative of {listed} vanishes by identities of elementary functions"
        return Verdict(shown, "exact", sp.S.Zero, evidence)
    if found is None:
        evidence = "no configuration tells the rotated action from it, not proved"
        return Verdict(shown, "undecided", residual, evidence, part=part)
    evidence = f"refuted: exp({angle}·T) changes the action by {found.difference:.6g} at a configuration"
    return Verdict(shown, "broken", residual, evidence, found, part)


def moved_by(
    generators: Sequence[sp.ImmutableMatrix], components: tuple[FieldComponent, ...]
) -> Callable[[FieldComponent], bool]:
    """The function that tells whether a field component is moved by one of the generators."""
    moved = {
        (c.field, c.component) for a, c in enumerate(components) if any(any(t.row(a)) for t in generators)
    }
    return lambda field: (field.field, field.component) in moved


def _refuse_determinants(theory: Theory, generator: sp.ImmutableMatrix) -> None:
    position = {(c.field, c.component): a for a, c in enumerate(theory.components)}
    for node in theory.action.atoms(FermionLogDet):
        rows = [position[f.field, f.component] for f in node.field.atoms(FieldComponent)]
        if any(any(generator.row(a)) for a in rows):
            raise GroupError(
                f"continuous symmetry of theory {theory.name}",
                expected="generators that leave the fields of fermion determinants alone",
                found=f"{generator.tolist()}, which turns the field of {node}",
                remedy="declare a finite group, e.g. the sign flip Z2(phi)",
            )


def lie_change(verdict: Verdict) -> str:
    """The name of the residual of a verdict on a generator T, as text."""
    return "L_T S" if verdict.part is None else f"S is a function of f = {verdict.part}, L_T f"


def counterexample(theory: Theory, generator: sp.ImmutableMatrix) -> tuple[Counterexample | None, float]:
    """(configuration at which exp(θT) changes the action, θ); (None, 0) if none was found."""
    rotations = {angle: rotation(generator, angle) for angle in _ANGLES}
    found = search_counterexample(theory, generic_parameters(theory), list(rotations.values()))
    if found is None:
        return None, 0.0
    return found[0], next(angle for angle, move in rotations.items() if move is found[1])


def rotation(generator: sp.ImmutableMatrix, angle: float) -> Move:
    """The map x ↦ exp(angle·T) x of configurations (components, *lattice)."""
    matrix = expm(angle * floats(generator))

    def move(configuration: np.ndarray, digits: int | None) -> np.ndarray:
        if digits is None:
            return np.tensordot(matrix, configuration, axes=1)
        precise = mpmath.expm(mpmath.matrix(numbers(generator, digits)) * mpmath.mpf(angle))
        return np.tensordot(np.array(precise.tolist(), dtype=object), configuration, axes=1)

    return move


def enforce_lie_claim(theory: Theory, symmetry: LieSymmetry, verdicts: Sequence[Verdict]) -> None:
    """Raise NotInvariantError if a symmetry claimed to be exact is refuted."""
    for verdict in verdicts:
        if symmetry.exact and verdict.counterexample is not None:
            raise NotInvariantError(
                f"symmetry {symmetry.name} of theory {theory.name}",
                expected="an action that does not change, as claimed by exact=True",
                found=f"{lie_change(verdict)} = {verdict.residual} for T = {verdict.generator}; "
                f"{verdict.evidence}{at_couplings(verdict.counterexample.parameters)}",
                remedy="correct the action or the generator, or drop exact=True and let the term count as "
                "breaking; the configuration is in the .counterexample of this error",
                counterexample=verdict.counterexample.configuration,
                difference=verdict.counterexample.difference,
                residual=verdict.residual,
            )


def surviving_algebra(
    theory: Theory,
    generators: Sequence[sp.ImmutableMatrix],
    normal_form: NormalForm,
    limits: list[str] | None = None,
) -> tuple[sp.ImmutableMatrix, ...]:
    """A basis of the combinations Σ w_b T_b that leave the action invariant, by an exact null space.

    Parameters
    ----------
    limits
        Gets a sentence if the Lie derivatives are too large to be multiplied out; the basis is then empty.
    """
    parts = regular_parts(normal_form(theory.action), moved_by(generators, theory.components))
    changes = [[lie_derivative(part, t, theory.components) for part in parts] for t in generators]
    if sum(expanded_size(change) for row in changes for change in row) > LARGEST_EXPANSION:
        if limits is not None:
            limits.append("combinations of generators that survive were not looked for: too many terms")
        return ()
    moved = [
        {
            (i, monomial): number
            for i, change in enumerate(row)
            for monomial, number in coefficients(normal_form(change)).items()
        }
        for row in changes
    ]
    rows = sorted(
        {key for row in moved for key in row}, key=lambda key: (key[0], sp.default_sort_key(key[1]))
    )
    matrix = sp.Matrix(len(rows), len(moved), lambda i, b: moved[b].get(rows[i], sp.S.Zero))
    size = generators[0].shape
    return tuple(
        sp.ImmutableMatrix(sum((w * t for w, t in zip(weights, generators, strict=True)), sp.zeros(*size)))
        for weights in matrix.nullspace()
    )


def coefficients(expr: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    """{term without its number: number} of an expression in normal form."""
    found: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(expr):
        if term != 0:
            factors = sp.Mul.make_args(term)
            symbols = sp.Mul(*(f for f in factors if not f.is_number))
            found[symbols] = sp.Mul(*(f for f in factors if f.is_number))
    return found
