"""Invariance under one-parameter groups, and the split of the action under a compact Lie group.

S is invariant under exp(θT) exactly when its Lie derivative L_T S = Σ_ab T_ab φ_b ∂S/∂φ_a vanishes, which the
normal form decides. The invariant part is found without integrating over the group: with the Casimir
C = Σ_T L_T², whose kernel are the invariants, the polynomial p of least degree with p(C)·C S = 0 gives
S₀ = p(C)S / p(0).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import sympy as sp
from scipy.linalg import expm

from ..errors import GroupError, NotInvariantError
from ..exact import floats
from ..fermions import FermionLogDet
from ..fields import FieldComponent, Parameter
from ..groups.element import Element, SiteMap
from ..groups.lie import LieSymmetry
from ..lattice import SiteSum
from ..theory import Theory
from .evaluate import evaluate
from .invariance import Counterexample, Verdict, generic_parameters
from .normal_form import NormalForm

_ANGLE = 0.7  # generic: refutes at first sight whatever is not invariant
_MAX_DEGREE = 12


def lie_derivative(
    expr: sp.Expr, generator: sp.ImmutableMatrix, components: tuple[FieldComponent, ...]
) -> sp.Expr:
    """L_T of an expression in site sums."""
    position = {(c.field, c.component): a for a, c in enumerate(components)}

    def moved(field: FieldComponent) -> sp.Expr:
        row = generator.row(position[field.field, field.component])
        terms = (t * c.placed_like(field) for t, c in zip(row, components, strict=True) if t != 0)
        return cast(sp.Expr, sp.Add(*terms))

    def density(d: sp.Expr) -> sp.Expr:
        fields = sorted(d.atoms(FieldComponent), key=str)
        images = {f: moved(f) for f in fields}
        return cast(sp.Expr, sp.Add(*(sp.diff(d, f) * image for f, image in images.items() if image != 0)))

    nodes = sorted(expr.atoms(SiteSum), key=sp.default_sort_key)
    dummies = {node: sp.Dummy(real=True) for node in nodes}
    outer = expr.xreplace(dummies)
    terms = [
        sp.diff(outer, dummy) * node.lattice.sum(density(node.density)) for node, dummy in dummies.items()
    ]
    back = {dummy: node for node, dummy in dummies.items()}
    return cast(sp.Expr, sp.Add(*terms).xreplace(back))


def judge_generator(theory: Theory, generator: sp.ImmutableMatrix, normal_form: NormalForm) -> Verdict:
    """Decide invariance of the action under the one-parameter group exp(θT)."""
    _refuse_determinants(theory, generator)
    shown = Element(generator, SiteMap.identity(theory.lattice))
    residual = normal_form(lie_derivative(normal_form(theory.action), generator, theory.components))
    if residual == 0:
        return Verdict(shown, "exact", residual, "proved: the Lie derivative of the action has normal form 0")
    found = _counterexample(theory, generator)
    if found is None:
        return Verdict(
            shown, "undecided", residual, "no configuration tells the rotated action from it, not proved"
        )
    return Verdict(
        shown,
        "broken",
        residual,
        f"refuted: exp({_ANGLE}·T) changes the action by {found.difference:.6g} at a configuration",
        found,
    )


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


def _counterexample(theory: Theory, generator: sp.ImmutableMatrix) -> Counterexample | None:
    rotation = expm(_ANGLE * floats(generator))
    rng = np.random.default_rng(0)
    parameters = generic_parameters(theory)
    shape = theory.configuration_shape
    trials = [np.ones(shape), *(rng.integers(-2, 3, size=shape).astype(float) for _ in range(3))]
    trials += [rng.normal(size=shape) for _ in range(4)]
    for x in trials:
        values = [
            evaluate(theory.action, y, theory.components, parameters)
            for y in (x, np.tensordot(rotation, x, axes=1))
        ]
        if np.isfinite(values).all() and abs(values[1] - values[0]) > 1e-9 * (1 + abs(values[0])):
            return Counterexample(x, parameters, values[1] - values[0])
    return None


def enforce_lie_claim(theory: Theory, symmetry: LieSymmetry, verdicts: Sequence[Verdict]) -> None:
    """Raise NotInvariantError if a symmetry claimed to be exact is refuted."""
    for verdict in verdicts:
        if symmetry.exact and verdict.counterexample is not None:
            raise NotInvariantError(
                f"symmetry {symmetry.name} of theory {theory.name}",
                expected="an action that does not change, as claimed by exact=True",
                found=f"L_T S = {verdict.residual} for T = {verdict.generator}; {verdict.evidence}, "
                f"with couplings {verdict.counterexample.parameters}",
                remedy="correct the action or the generator, or drop exact=True and let the term count as "
                "breaking; the configuration is in the .counterexample of this error",
                counterexample=verdict.counterexample.configuration,
                difference=verdict.counterexample.difference,
                residual=verdict.residual,
            )


def lie_split(theory: Theory, generators: Sequence[sp.ImmutableMatrix], normal_form: NormalForm) -> sp.Expr:
    """S₁ of S = S₀ + S₁ under the group the generators span, S₀ its projection on the invariants."""

    def casimir(expr: sp.Expr) -> sp.Expr:
        parts = []
        for generator in generators:
            once = normal_form(lie_derivative(expr, generator, theory.components))
            parts.append(lie_derivative(once, generator, theory.components))
        return normal_form(cast(sp.Expr, sp.Add(*parts)))

    moved = [
        cast(sp.Expr, term)
        for term in sp.Add.make_args(normal_form(theory.action))
        if any(
            normal_form(lie_derivative(cast(sp.Expr, term), g, theory.components)) != 0 for g in generators
        )
    ]
    breaking = []
    for coupling, part in _by_coupling(moved).items():
        invariant = _invariant_part(part, casimir)
        breaking.append(coupling * (part - invariant))
    return normal_form(cast(sp.Expr, sp.Add(*breaking)))


def _invariant_part(part: sp.Expr, casimir: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    """The projection of ``part`` on the kernel of the Casimir; 0 if it is no finite sum of irreducibles."""
    powers = [part, casimir(part)]  # C^k S
    while powers[-1] != 0:
        relation = _dependency(powers[1:])
        if relation is not None:
            # Σ_k a_k C^k S = 0 over k ≥ 1, hence p(C)S with p = Σ_k a_k C^(k−1) is invariant; p(0) = a_1 ≠ 0
            total = sp.Add(*(a * power for a, power in zip(relation, powers, strict=False)))
            return cast(sp.Expr, total / relation[0])
        if len(powers) > _MAX_DEGREE:
            return sp.S.Zero
        powers.append(casimir(powers[-1]))
    return part  # the Casimir is diagonalisable: what it kills in the end it kills at once


def surviving_algebra(
    theory: Theory, generators: Sequence[sp.ImmutableMatrix], normal_form: NormalForm
) -> tuple[sp.ImmutableMatrix, ...]:
    """A basis of the combinations Σ w_b T_b that leave the action invariant, by an exact null space."""
    moved = [
        dict(_coefficient(cast(sp.Expr, term)) for term in sp.Add.make_args(residual) if term != 0)
        for residual in (
            normal_form(lie_derivative(normal_form(theory.action), t, theory.components)) for t in generators
        )
    ]
    monomials = sorted({m for row in moved for m in row}, key=sp.default_sort_key)
    matrix = sp.Matrix(len(monomials), len(moved), lambda i, b: moved[b].get(monomials[i], sp.S.Zero))
    size = generators[0].shape
    return tuple(
        sp.ImmutableMatrix(sum((w * t for w, t in zip(weights, generators, strict=True)), sp.zeros(*size)))
        for weights in matrix.nullspace()
    )


def breaking_charges(
    theory: Theory, generator: sp.ImmutableMatrix, breaking: sp.Expr, normal_form: NormalForm
) -> tuple[sp.Expr, ...]:
    """The k with terms exp(ikθ) in S₁∘exp(θT), from the eigenvalues −k² of L_T²; () if endless.

    The rotations by 2π/k for the greatest common divisor of the charges survive.
    """

    def twice(expr: sp.Expr) -> sp.Expr:
        once = normal_form(lie_derivative(expr, generator, theory.components))
        return normal_form(lie_derivative(once, generator, theory.components))

    charges: set[sp.Expr] = set()
    terms = [cast(sp.Expr, t) for t in sp.Add.make_args(breaking)]
    for part in _by_coupling(terms).values():
        powers = [part, twice(part)]
        while (relation := _dependency(powers)) is None:
            if len(powers) > _MAX_DEGREE:
                return ()
            powers.append(twice(powers[-1]))
        roots = sp.roots(sp.Poly(list(reversed(relation)), sp.Symbol("z")))
        charges |= {cast(sp.Expr, sp.sqrt(-root)) for root in roots}
    return tuple(sorted(charges, key=float))


def _by_coupling(terms: Sequence[sp.Expr]) -> dict[sp.Expr, sp.Expr]:
    """Group terms of a normal form by their parameter factor."""
    parts: dict[sp.Expr, list[sp.Expr]] = defaultdict(list)
    for term in terms:
        coupling = sp.Mul(*(f for f in sp.Mul.make_args(term) if f.atoms(Parameter) and not f.has(SiteSum)))
        parts[coupling].append(cast(sp.Expr, term / coupling))
    return {coupling: cast(sp.Expr, sp.Add(*group)) for coupling, group in parts.items()}


def _dependency(vectors: list[sp.Expr]) -> list[sp.Expr] | None:
    """Exact coefficients with Σ a_k v_k = 0 and a_last = 1 among normal forms, if there are any."""
    coefficients = [dict(_coefficient(cast(sp.Expr, t)) for t in sp.Add.make_args(v)) for v in vectors]
    monomials = sorted({m for row in coefficients for m in row}, key=sp.default_sort_key)
    matrix = sp.Matrix(
        len(monomials), len(vectors), lambda i, j: coefficients[j].get(monomials[i], sp.S.Zero)
    )
    for vector in matrix.nullspace():
        if vector[-1] != 0:
            return [cast(sp.Expr, entry / vector[-1]) for entry in vector]
    return None


def _coefficient(term: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """(monomial, number) of one term."""
    factors = sp.Mul.make_args(term)
    number = sp.Mul(*(f for f in factors if f.is_number))
    return cast(sp.Expr, sp.Mul(*(f for f in factors if not f.is_number))), cast(sp.Expr, number)
