"""Invariance of the action under a group element: proved, refuted by a counterexample, or undecided."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import mpmath
import numpy as np
import sympy as sp

from ..algebra.identity_form import IdentityForm
from ..algebra.normal_form import NormalForm, transformed
from ..algebra.site_sums import site_numbers
from ..algebra.size import LARGEST_EXPANSION, expanded_terms
from ..errors import NotInvariantError
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..groups.rotations import AngleRotation
from ..groups.sitewise import Sitewise
from ..groups.staggering import pattern
from ..groups.symmetry import Symmetry
from ..language.theory import Theory
from ..symbols.exact import numbers
from ..symbols.fields import FieldComponent, Parameter
from ..symbols.lattice import Functional, SiteSum
from ..symbols.site_constants import SiteConstant
from ..values.couplings import Coupling, at_couplings
from .counterexamples import Counterexample, Move, refuse_contradiction, search_counterexample
from .evaluate import evaluate, sufficient_shape

BY_IDENTITIES = "the change vanishes by identities of exponentials, angles, logarithms and branches"
_DIGITS = 40
_LARGEST_PRECISE = 1024  # largest number of entries of a configuration that is evaluated with so many digits
_POINTS = 8
_MOST_IMAGES = 20_000  # elements of a group times operations in the terms that are averaged over it
_IRRATIONAL = 10  # cost of a term with irrational coefficients, in terms with rational ones
_COMPARED = 20  # cost of a comparison of two arguments, in terms
_VISIBLE = 1e-20  # relative change of a term, with 40 digits, that refutes its invariance
_LARGEST_NUMBER = 150  # operations; beyond this, expanding a product of two takes minutes

Status = Literal["exact", "broken", "undecided"]


@dataclass(frozen=True, eq=False)
class Verdict:
    """The verdict on the invariance of the action under one generator.

    Attributes
    ----------
    status
        ``exact``: the residual is proved to vanish. ``broken``: a numerical evaluation shows that S changes.
        ``undecided``: the normal form does not vanish but no evaluation could tell it from zero.
    residual
        S∘T_g − S, the Lie derivative, or for a sitewise group the part of S that changes; 0 when exact.
    evidence
        One sentence for the report.
    part
        The function whose change is the residual, None for S itself.
    """

    generator: Element
    status: Status
    residual: sp.Expr
    evidence: str
    counterexample: Counterexample | None = None
    part: sp.Expr | None = None


def check_invariance(
    theory: Theory, generator: Element, normal_form: NormalForm, limits: list[str] | None = None
) -> Verdict:
    """Decide invariance of the action under one group element.

    Parameters
    ----------
    limits
        Gets a sentence if S∘T_g − S of a refuted element is too large to be multiplied out.
    """
    image = transformed(theory.action, generator, theory.components)
    counterexample = find_counterexample(theory, generator)
    residual: sp.Expr = sp.S.Zero  # if image == action no normal form, which may be large, is needed
    if counterexample is not None and work(image, [generator]) > LARGEST_EXPANSION:
        residual = image - theory.action
        if limits is not None:
            limits.append(f"S∘T_g − S for g = {generator} is shown as it is, not multiplied out")
    elif image != theory.action:
        residual = normal_form(normal_form(image) - normal_form(theory.action))
    if residual == 0:
        refuse_contradiction(theory, str(generator), counterexample)
        return Verdict(generator, "exact", residual, "proved: both actions have the same normal form")
    if counterexample is not None:
        return Verdict(
            generator,
            "broken",
            residual,
            f"refuted: the action changes by {counterexample.difference:.6g} at a configuration",
            counterexample,
        )
    if IdentityForm.vanish(normal_form, image - theory.action, residual):
        return Verdict(generator, "exact", sp.S.Zero, "proved: " + BY_IDENTITIES)
    exponent = _largest_relative_change(theory, residual)
    if exponent is None:
        return Verdict(
            generator,
            "undecided",
            residual,
            f"numerically exact to 1e-{_DIGITS - 5} on {_POINTS} points, not proved",
        )
    return Verdict(
        generator, "broken", residual, f"the action changes by 1e{exponent} of its size on random points"
    )


def work(image: sp.Expr, elements: Sequence[Element]) -> int:
    """The cost of multiplying out an image under one of the elements, in terms with rational coefficients.

    It is counted, not timed, so that the decision to give up does not depend on the machine.
    """
    rational = all(entry.is_Rational for g in elements for entry in g.matrix.flat())
    # SymPy compares all arguments of a maximum with each other
    pairs = sum(len(node.args) * (len(node.args) - 1) // 2 for node in image.atoms(sp.Max, sp.Min))
    weight = 1 if rational else _IRRATIONAL if is_polynomial(image) else 3 * _IRRATIONAL
    return (expanded_terms(image) + _COMPARED * pairs) * weight


def visibly_changes(theory: Theory, expr: sp.Expr, move: Move, *, whole: bool = False) -> bool:
    """Whether a part of the action changes under a map at a random configuration, with 40 digits.

    If it does, no proof has to be tried. False, too, where the part has no value or is too large to evaluate.

    Parameters
    ----------
    whole
        Whether to evaluate on the whole lattice; a smaller one is enough for maps that move no sites.
    """
    shape = theory.lattice.shape if whole else sufficient_shape(expr, theory.lattice)
    shape = (len(theory.components), *shape)
    if math.prod(shape) > _LARGEST_PRECISE:
        return False
    rng, parameters = np.random.default_rng(4), generic_parameters(theory)
    for _ in range(2):
        x = rng.normal(size=shape)
        try:
            with mpmath.workdps(_DIGITS):
                before, after = (
                    evaluate(expr, z, theory.components, parameters, digits=_DIGITS)
                    for z in (x, move(x, _DIGITS))
                )
                changes = abs(after - before) > _VISIBLE * (1 + abs(before))
        except (ArithmeticError, ValueError, TypeError):  # no value there
            continue
        if changes and mpmath.isfinite(before) and mpmath.isfinite(after):
            return True
    return False


def find_counterexample(
    theory: Theory, element: Element, axes: tuple[int, ...] | None = None
) -> Counterexample | None:
    """A configuration, as simple as possible, at which ``element`` changes the action; None if none is found.

    With block axes the element acts at the first block alone.
    """
    block = None if axes is None else (0,) * len(axes)

    def move(configuration: np.ndarray, digits: int | None) -> np.ndarray:
        image = act(element, configuration, digits)
        return image if axes is None else _only_in_block(configuration, image, axes)

    found = search_counterexample(theory, generic_parameters(theory), [move])
    return None if found is None else replace(found[0], block=block)


def _only_in_block(before: np.ndarray, after: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """``after`` where all block axes are at 0, ``before`` elsewhere; arrays (components, *lattice)."""
    inside = tuple(0 if mu in axes else slice(None) for mu in range(before.ndim - 1))
    image = before.astype(after.dtype)
    image[(slice(None), *inside)] = after[(slice(None), *inside)]
    return image


def act(element: Element, configuration: np.ndarray, digits: int | None = None) -> np.ndarray:
    """T_g x for configurations (…, components, *lattice), written out from the definition as a reference.

    With ``digits`` the images are mpmath numbers.
    """
    matrix = numbers(element.matrix, digits)
    d = element.sites.lattice.dimension
    fields = np.moveaxis(configuration, -d - 1, 0)
    shift = numbers(element.shift_vector, digits).reshape(-1, *(1,) * (fields.ndim - 1))
    rotated = np.tensordot(matrix, fields, axes=1)
    moved = rotated
    if not element.sites.is_identity:
        by_number = rotated.reshape(*rotated.shape[:-d], -1)
        moved = np.empty_like(by_number)
        moved[..., list(site_numbers(element.sites))] = by_number
        moved = moved.reshape(rotated.shape)
    for a, axes in enumerate(element.signs):
        moved[a] = moved[a] * pattern(element.sites.lattice, axes)
    return np.moveaxis(moved + shift, 0, -d - 1)


def generic_parameters(theory: Theory) -> dict[str, Coupling]:
    """Couplings near their defaults, all of them different and none of them zero.

    A verdict holds for all values of the couplings, so a coupling with default 0 is switched on, and equal
    couplings are made to differ.
    """
    generic = np.random.default_rng(1).uniform(0.25, 0.75, size=len(theory.parameters))
    return {
        p.name: _generic_value(theory.defaults.get(p.name), value, theory, p)
        for p, value in zip(theory.parameters, (round(float(g), 3) for g in generic), strict=True)
    }


def _generic_value(
    default: Coupling | None, value: float, theory: Theory, parameter: Parameter | SiteConstant
) -> Coupling:
    if isinstance(parameter, SiteConstant):
        rng = np.random.default_rng([3, round(1000 * value)])
        factor = rng.uniform(0.25, 0.75, size=theory.lattice.shape).round(6)
        known = np.zeros(theory.lattice.shape) if default is None else np.asarray(default)
        return np.where(known == 0, factor, known * (0.9 + 0.2 * factor))
    return round(float(default) * (0.9 + 0.2 * value), 6) if default else value


def _largest_relative_change(theory: Theory, residual: sp.Expr) -> int | None:
    """Decimal exponent of the largest |residual|/(1 + |S|) at random points; None below the precision."""
    rng = np.random.default_rng(2)
    shape = (len(theory.components), *sufficient_shape(residual, theory.lattice))
    parameters = generic_parameters(theory)
    worst: int | None = None
    for _ in range(_POINTS):
        configuration = rng.normal(size=shape)
        change = evaluate(residual, configuration, theory.components, parameters, digits=_DIGITS)
        size = 1 + abs(evaluate(theory.action, configuration, theory.components, parameters, digits=_DIGITS))
        if abs(change) > size * mpmath.mpf(10) ** (5 - _DIGITS):
            exponent = int(mpmath.floor(mpmath.log10(abs(change) / size)))
            worst = exponent if worst is None else max(worst, exponent)
    return worst


def enforce_claim(
    theory: Theory, symmetry: Symmetry | Sitewise | AngleRotation, verdicts: Sequence[Verdict]
) -> None:
    """Raise NotInvariantError if a symmetry claimed to be exact is refuted."""
    for verdict in verdicts:
        if symmetry.exact and verdict.status == "broken":
            found = verdict.counterexample
            assert found is not None or verdict.residual != 0
            in_part = isinstance(symmetry, Sitewise | AngleRotation)
            change = "the part of S that changes is" if in_part else "S∘T_g − S ="
            raise NotInvariantError(
                f"symmetry {symmetry.name} of theory {theory.name}",
                expected="an action that does not change, as claimed by exact=True",
                found=f"{change} {verdict.residual} for g = {verdict.generator}; {verdict.evidence}"
                + (at_couplings(found.parameters) if found else ""),
                remedy="correct the action or the generator, or drop exact=True and let the term count as "
                "breaking; the configuration is in the .counterexample of this error",
                counterexample=found.configuration if found else None,
                difference=found.difference if found else float("nan"),
                residual=verdict.residual,
            )


def split(
    theory: Theory,
    group: FiniteGroup[Element],
    normal_form: NormalForm,
    proved: bool,
    limits: list[str] | None = None,
) -> sp.Expr:
    """The breaking part S₁ of S = S₀ + S₁, where S₀ is invariant under the group.

    Terms that every generator leaves invariant are in S₀; so are all terms with the same coupling, or the
    polynomials among them, if their sum is invariant. For the other terms S₀ has their average over the
    group. If an invariance was only tested numerically (``proved`` false), or the average needs too many
    images, these terms are in S₁ as a whole, which is always correct and only costs evaluations.

    Parameters
    ----------
    limits
        Gets a sentence if the average was not taken.
    """

    def is_invariant(expr: sp.Expr) -> bool:
        for g in group.generators:
            whole = bool(g.signs) or not g.sites.is_identity
            if visibly_changes(theory, expr, partial(act, g), whole=whole):
                return False
        changes = [normal_form(transformed(expr, g, theory.components) - expr) for g in group.generators]
        return all(
            # for polynomials the normal form alone decides
            change == 0 or (not is_polynomial(expr) and IdentityForm.vanish(normal_form, change))
            for change in changes
        )

    terms = list(sp.Add.make_args(normal_form(theory.action)))
    moved: list[sp.Expr] = []
    singly = 0
    for alike in _grouped(terms, _coupling):
        changed = [t for t in alike if not is_invariant(t)]
        singly += len(changed)
        for some in [changed] if is_invariant(sp.Add(*changed)) else _grouped(changed, is_polynomial):
            moved += [] if is_invariant(sp.Add(*some)) else some
    block = sp.Add(*moved)
    if not moved or not proved:
        return block
    if group.order * _size_of_image(theory, block, group) > _MOST_IMAGES:
        if limits is not None:
            limits.append(f"S₁ is the whole of {block}: its average over the group was not computed")
        return block
    images = [normal_form(transformed(block, g, theory.components)) for g in group.elements]
    average = normal_form(sp.Add(*images) / group.order)
    breaking = normal_form(block - average)
    return breaking if len(sp.Add.make_args(breaking)) <= singly else block


def _size_of_image(theory: Theory, block: sp.Expr, group: FiniteGroup[Element]) -> int:
    """The work of one image of a block: its operations, or its terms multiplied out where those are more."""
    operations = sp.count_ops(block)
    if not is_polynomial(block):
        image = transformed(block, group.generators[0], theory.components)
        return max(operations, work(image, group.generators))
    rational = all(entry.is_Rational for g in group.generators for entry in g.matrix.flat())
    return operations * (1 if rational else _IRRATIONAL)


def _grouped(terms: Sequence[sp.Expr], key: Callable[[sp.Expr], Any]) -> list[list[sp.Expr]]:
    """The terms, one list for each value of the key."""
    groups: dict[Any, list[sp.Expr]] = {}
    for term in terms:
        groups.setdefault(key(term), []).append(term)
    return list(groups.values())


def _coupling(term: sp.Expr) -> sp.Expr:
    factors = [f for f in sp.Mul.make_args(term) if f.atoms(Parameter) and not f.has(Functional)]
    return sp.Mul(*factors)


def is_polynomial(term: sp.Expr) -> bool:
    """Whether a part of the action is a polynomial in sums of polynomials in the fields."""
    densities = [node.density for node in term.atoms(SiteSum)]
    outer = term.xreplace({node: sp.Dummy() for node in term.atoms(Functional)})
    polynomial = all(bool(d.is_polynomial(*d.atoms(FieldComponent))) for d in densities)
    return polynomial and bool(outer.is_polynomial(*outer.atoms(sp.Dummy)))


class SurvivingSubgroup(tuple[int, ...]):
    """Sorted indices of the elements that are proved to leave the action invariant.

    Attributes
    ----------
    undecided
        Indices of the elements that are neither proved nor refuted; they are not counted as survivors.
    tested
        Indices of the elements whose invariance was tested; all other answers follow from these.
    """

    undecided: tuple[int, ...]
    tested: tuple[int, ...]

    def __new__(
        cls, survivors: Iterable[int], undecided: Iterable[int] = (), tested: Iterable[int] = ()
    ) -> SurvivingSubgroup:
        """The subgroup with sorted indices."""
        self = super().__new__(cls, sorted(survivors))
        self.undecided, self.tested = tuple(sorted(undecided)), tuple(tested)
        return self


def surviving_subgroup(
    theory: Theory, group: FiniteGroup[Element], normal_form: NormalForm
) -> SurvivingSubgroup:
    """The unbroken subgroup H = {g : S∘T_g = S} of a finite group.

    Only few elements are tested. H is a group, so products of survivors survive; h∘g∘h′ survives with g and
    breaks with g; and g is broken if H and g together generate an element that is known to be broken.
    """
    survivors: list[int] = [0]
    broken, undecided = np.zeros((2, group.order), dtype=bool)
    tested = []

    def double_coset(members: np.ndarray) -> np.ndarray:
        left = np.unique(group.table[np.array(survivors)[:, None], members])
        return np.unique(group.table[left[:, None], survivors])

    for g in range(group.order):
        if g in survivors or broken[g] or undecided[g]:
            continue
        generated = list(group.subgroup((*survivors, g)))
        if broken[generated].any():
            broken[double_coset(np.array([g]))] = True
            continue
        element = group.elements[g]
        refuted = find_counterexample(theory, element) is not None
        status = "broken" if refuted else check_invariance(theory, element, normal_form).status
        tested.append(g)
        if status == "exact":
            survivors = generated
            broken[double_coset(np.flatnonzero(broken))] = True
        else:
            (broken if status == "broken" else undecided)[double_coset(np.array([g]))] = True
    doubtful = [
        g
        for g in map(int, np.flatnonzero(undecided & ~broken))
        if g not in survivors and not broken[list(group.subgroup((*survivors, g)))].any()
    ]
    return SurvivingSubgroup(survivors, doubtful, tested)


@dataclass(frozen=True, eq=False)
class BreakingRepresentation:
    """How S₁ transforms: the representation of the group on the span of its images S₁∘T_g.

    Attributes
    ----------
    basis
        Linearly independent functions e_i that span the images; empty if S₁ = 0.
    generators
        For each generator s of the group the matrix D(s) with e_i∘T_s = Σ_j D(s)_ij e_j.
    classes
        The conjugacy classes of the group, as indices of elements.
    characters
        tr D(g), one number per class.
    """

    basis: tuple[sp.Expr, ...]
    generators: tuple[sp.ImmutableMatrix, ...]
    classes: tuple[tuple[int, ...], ...]
    characters: tuple[sp.Expr, ...]

    @property
    def dimension(self) -> int:
        """Dimension of the span."""
        return len(self.basis)


_Vector = dict[sp.Expr, sp.Expr]


def breaking_representation(
    theory: Theory,
    group: FiniteGroup[Element],
    breaking: sp.Expr,
    normal_form: NormalForm,
    limits: list[str] | None = None,
) -> BreakingRepresentation | None:
    """The representation in which S₁ transforms, by exact linear algebra on the terms of its normal form.

    Only generators are applied: to S₁, and to every new direction that appears, until the span closes.
    Terms count as linearly independent functions of fields and couplings. For polynomials they are. For other
    functions this is a representation on the terms; the representation on the functions is its quotient.

    Parameters
    ----------
    limits
        Gets a sentence if the images are too large to be multiplied out.

    Returns
    -------
    BreakingRepresentation | None
        None if more directions appear than the group has elements: the normal form then does not recognise
        some equal functions. None, too, if the images are too large, or if elimination produces nested roots
        that SymPy cannot expand in reasonable time.
    """
    images = (transformed(breaking, g, theory.components) for g in group.generators)
    if group.order * max(work(image, group.generators) for image in images) > _MOST_IMAGES:
        if limits is not None:
            limits.append(
                "the representation in which S₁ transforms was not computed: its images are too large"
            )
        return None
    try:
        return _closed_span(theory, group, breaking, normal_form)
    except _UnwieldyNumberError:
        return None


class _UnwieldyNumberError(Exception):
    """A number has more operations than are worth expanding."""


def _closed_span(
    theory: Theory, group: FiniteGroup[Element], breaking: sp.Expr, normal_form: NormalForm
) -> BreakingRepresentation | None:
    def reduce(vector: _Vector) -> tuple[dict[int, sp.Expr], _Vector]:
        """Coordinates in the basis so far, and what is left; pivots[i] occurs in no later basis vector."""
        coordinates = {}
        for i, (pivot, e) in enumerate(zip(pivots, vectors, strict=True)):
            if pivot in vector:
                factor = vector[pivot]
                coordinates[i] = factor
                vector = _add(vector, e, -factor, normal_form)
        return coordinates, vector

    pivots: list[sp.Expr] = []
    vectors: list[_Vector] = []
    rows: list[list[dict[int, sp.Expr]]] = [[] for _ in group.generators]

    def extend(rest: _Vector) -> None:
        pivot = min(rest, key=sp.default_sort_key)
        pivots.append(pivot)
        vectors.append({term: normal_form(a / rest[pivot]) for term, a in rest.items()})

    start = _terms(normal_form(breaking))
    if start:
        extend(start)
    for e in vectors:  # grows while it is walked
        for row, generator in zip(rows, group.generators, strict=True):
            image = transformed(_expression(e), generator, theory.components)
            coordinates, rest = reduce(_terms(normal_form(image)))
            if rest and len(vectors) == group.order:
                return None
            if rest:
                pivot = min(rest, key=sp.default_sort_key)
                coordinates[len(vectors)] = rest[pivot]
                extend(rest)
            row.append(coordinates)

    def trace(element: int) -> sp.Expr:
        total: list[sp.Expr] = []
        for i in range(len(vectors)):
            image: dict[int, sp.Expr] = {i: sp.S.One}
            for s in group.words[element]:
                moved: dict[int, sp.Expr] = {}
                for j, a in image.items():
                    moved = _add(moved, rows[s][j], a, normal_form)
                image = moved
            total.append(image.get(i, sp.S.Zero))
        return normal_form(sp.Add(*total))

    classes = group.conjugacy_classes()
    n = len(vectors)
    return BreakingRepresentation(
        tuple(_expression(e) for e in vectors),
        tuple(sp.ImmutableMatrix(n, n, lambda i, j, r=row: r[i].get(j, sp.S.Zero)) for row in rows),
        classes,
        tuple(trace(members[0]) for members in classes),
    )


def _terms(expr: sp.Expr) -> _Vector:
    """An expression in normal form as {term without its numerical factor: numerical factor}."""
    found: _Vector = {}
    for term in sp.Add.make_args(expr):
        if term != 0:
            factors = sp.Mul.make_args(term)
            symbols = sp.Mul(*(f for f in factors if not f.is_number))
            found[symbols] = sp.Mul(*(f for f in factors if f.is_number))
    return found


def _expression(vector: _Vector) -> sp.Expr:
    return sp.Add(*(a * term for term, a in vector.items()))


def _add(
    a: dict[Any, sp.Expr], b: dict[Any, sp.Expr], factor: sp.Expr, normal_form: NormalForm
) -> dict[Any, sp.Expr]:
    """a + factor·b, without entries that are zero."""
    total = dict(a)
    for key, value in b.items():
        if sp.count_ops(factor) + sp.count_ops(value) > _LARGEST_NUMBER:
            raise _UnwieldyNumberError
        number = normal_form(sp.expand(total.get(key, sp.S.Zero) + factor * value))
        if number == 0:
            total.pop(key, None)
        else:
            total[key] = number
    return total
