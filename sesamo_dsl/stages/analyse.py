"""The first stage: from a theory to verdicts on its symmetries, the split S = S₀ + S₁ and the domain Ω."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from ..algebra.normal_form import NormalForm
from ..analysis.domain import Domain, dirichlet_domain
from ..analysis.extents import extent_notes
from ..analysis.findings import LieReport, SymmetryReport, weakest
from ..analysis.invariance import (
    Verdict,
    breaking_representation,
    check_invariance,
    enforce_claim,
    split,
    surviving_subgroup,
)
from ..analysis.lie import enforce_lie_claim, judge_generator, surviving_algebra
from ..analysis.lie_split import breaking_charges, lie_split
from ..analysis.local import judge_local, split_local
from ..analysis.result import Analysis
from ..analysis.rotations import judge_rotation
from ..analysis.slices import Slice, derive_slice, linear_source
from ..checks import flag
from ..errors import GroupError, LoweringError
from ..groups.angles import angle_numbers, features
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..groups.lie import LieSymmetry
from ..groups.rotations import AngleRotation
from ..groups.sitewise import Sitewise
from ..groups.symmetry import Symmetry
from ..landscape.integrability import Divergence, find_divergence, not_normalizable
from ..landscape.vacua import find_vacuum
from ..language.theory import Theory, check_theory
from ..language.walls import check_breaking
from ..machine.timing import stage
from ..symbols.exact import NumberTable
from ..symbols.fields import FieldComponent
from .lower import action_program


def analyse(
    theory: Theory, *, parameters: Mapping[Any, Any] | None = None, normalizable: bool = True
) -> Analysis:
    """Verify the symmetries of a theory and derive its modulation; print the result to read it.

    Parameters
    ----------
    parameters
        Couplings that are fixed at numbers, e.g. ``{h: 0}``: verdicts are about the action at these values.
        By default no coupling is fixed, and verdicts hold for all values.
    normalizable
        Whether ∫ exp(−S) has to be finite at ``parameters`` and the default couplings. False: verdicts on
        symmetries are given even if it is infinite, e.g. on φ → φ + 2π of cos φ, and the direction is in
        ``Analysis.divergence``.

    Raises
    ------
    NotNormalizableError
        If ∫ exp(−S) is found to be infinite; the direction is in the error.
    ParameterError, TheoryError
        If a coupling does not exist, or the action is not finite at these values.
    NotInvariantError
        If a symmetry declared with ``exact=True`` is refuted; the counterexample is in the error.
    NotClosedError, NotFaithfulError, GroupError
        If a declared group is not a finite group that the modulation can use.

    Examples
    --------
    >>> import sesamo_dsl as sd
    >>> phi, h = sd.ScalarField("phi", lattice := sd.Lattice(4)), sd.parameters("h")
    >>> action = lattice.sum(phi**2 + h * phi)
    >>> theory = sd.Theory("free", fields=[phi], action=action, symmetries=[sd.Z2(phi)], defaults={h: 1})
    >>> sd.analyse(theory).status, sd.analyse(theory).breaking
    ('broken', h*Σ_x[phi])
    """
    declared, normalizable = check_theory(theory), flag(normalizable, "option normalizable")
    theory = declared if parameters is None else declared.held(parameters)
    with stage("analyse", theory.name):
        analysis = _derived(theory)
        if normalizable and analysis.divergence is not None:
            raise not_normalizable(theory.name, declared.parameter_values(parameters), analysis.divergence)
    return analysis


def _derived(theory: Theory) -> Analysis:
    """The analysis of a theory, from its declaration alone."""
    numbers = NumberTable()
    normal_form = NormalForm(numbers)
    reports, lie_reports = [], []
    limits = extent_notes(theory)
    split_by = _LieSplits(theory, normal_form, limits)
    for symmetry in theory.symmetries:
        if isinstance(symmetry, LieSymmetry):
            matrices = symmetry.matrices(theory.components, numbers)
            verdicts = tuple(judge_generator(theory, matrix, normal_form, limits) for matrix in matrices)
            enforce_lie_claim(theory, symmetry, verdicts)
            slice_ = derive_slice(symmetry, theory.components, numbers)
            lie_reports.append(
                _lie_report(theory, symmetry, matrices, verdicts, slice_, normal_form, split_by)
            )
        elif isinstance(symmetry, AngleRotation):
            verdict = judge_rotation(theory, symmetry, normal_form)
            enforce_claim(theory, symmetry, [verdict])
            reports.append(SymmetryReport(symmetry, None, (verdict,)))
        elif isinstance(symmetry, Sitewise):
            reports.append(_sitewise_report(theory, symmetry, numbers, normal_form))
        else:
            group = symmetry.verified_group(theory.components, numbers)
            generators = symmetry.elements(theory.components, numbers)
            verdicts = tuple(
                check_invariance(theory, generator, normal_form, limits) for generator in generators
            )
            enforce_claim(theory, symmetry, verdicts)
            reports.append(SymmetryReport(symmetry, group, verdicts))
    modulating = [report for report in reports if report.symmetry.use != "equivariant"]
    _check_factors(theory, modulating, lie_reports)
    group = _joint_group(theory, modulating, numbers)
    if any(report.diagonal for report in modulating):
        breaking, reports = _local_breaking(theory, reports, normal_form)
    else:
        breaking = _breaking(theory, modulating, lie_reports, group, normal_form, split_by)
    check_breaking(breaking, theory.name)
    bases = [r.symmetry.symmetry if isinstance(r.symmetry, Sitewise) else r.symmetry for r in modulating]
    domain = _domain(theory, bases, group)
    source = None
    if len(lie_reports) == 1 and group.order == 1 and breaking != 0:
        source = linear_source(breaking, lie_reports[0].slice, theory.components)
    surviving, representation = None, None
    if group.order > 1 and any(r.status != "exact" and r.diagonal is None for r in modulating):
        surviving = surviving_subgroup(theory, group, normal_form)
        representation = breaking_representation(theory, group, breaking, normal_form, limits)
    return Analysis(
        theory,
        tuple(reports),
        tuple(lie_reports),
        group,
        breaking,
        domain,
        source,
        surviving,
        representation,
        _combined(theory, lie_reports, normal_form, limits),
        tuple(dict.fromkeys(limits)),
        _divergence(theory),
    )


class _LieSplits:
    """S₁ under continuous groups, each computed once; sentences on searches not made go to ``limits``."""

    def __init__(self, theory: Theory, normal_form: NormalForm, limits: list[str]) -> None:
        self._theory, self._normal_form, self.limits = theory, normal_form, limits
        self._known: dict[tuple[sp.ImmutableMatrix, ...], sp.Expr] = {}

    def __call__(self, matrices: tuple[sp.ImmutableMatrix, ...]) -> sp.Expr:
        """S₁ under the group that these matrices generate."""
        if matrices not in self._known:
            self._known[matrices] = lie_split(self._theory, matrices, self._normal_form, self.limits)
        return self._known[matrices]


def _sitewise_report(
    theory: Theory, symmetry: Sitewise, numbers: NumberTable, normal_form: NormalForm
) -> SymmetryReport:
    group, axes = symmetry.symmetry.group(theory.components, numbers), symmetry.axes
    shifting = next((g for g in group.generators if g.shift), None)
    if shifting is not None:
        raise GroupError(
            f"symmetry {symmetry.name} of theory {theory.name}",
            expected="a group that acts on components linearly",
            found=f"the generator {shifting}",
            remedy="measure the fields from the fixed point of the group",
        )
    angle = next((c for c in symmetry.components if c.manifold == "circle"), None)
    if angle is not None:
        raise GroupError(
            f"symmetry {symmetry.name} of theory {theory.name}",
            expected="real components, where a group acts at every site by itself",
            found=f"the angle {angle}",
            remedy=f"declare {symmetry.symmetry.name} itself, which acts at all sites alike",
        )
    verdicts = tuple(judge_local(theory, group, g, axes, normal_form) for g in group.generator_indices)
    enforce_claim(theory, symmetry, verdicts)
    diagonal = verdicts
    if any(verdict.status != "exact" for verdict in verdicts):
        diagonal = tuple(check_invariance(theory, generator, normal_form) for generator in group.generators)
    return SymmetryReport(symmetry, group, verdicts, axes, weakest(v.status for v in diagonal))


def _local_breaking(
    theory: Theory, reports: list[SymmetryReport], normal_form: NormalForm
) -> tuple[sp.Expr, list[SymmetryReport]]:
    """S₁ of the sitewise symmetry, and the reports with ``factorised`` filled in."""
    i, report = next((i, r) for i, r in enumerate(reports) if isinstance(r.symmetry, Sitewise))
    breaking, factorised = split_local(theory, report.group, report.axes, normal_form)
    return breaking, [*reports[:i], replace(report, factorised=factorised), *reports[i + 1 :]]


def _lie_report(
    theory: Theory,
    symmetry: LieSymmetry,
    matrices: tuple[sp.ImmutableMatrix, ...],
    verdicts: tuple[Verdict, ...],
    slice_: Slice,
    normal_form: NormalForm,
    split_by: _LieSplits,
) -> LieReport:
    if all(verdict.status == "exact" for verdict in verdicts):
        return LieReport(symmetry, matrices, verdicts, slice_, matrices)
    charges: tuple[sp.Expr, ...] = ()
    surviving: tuple[sp.ImmutableMatrix, ...] = ()
    if len(matrices) > 1 or verdicts[0].status != "broken":
        surviving = surviving_algebra(theory, matrices, normal_form, split_by.limits)
    if len(matrices) == 1:
        charges = breaking_charges(theory, matrices[0], split_by(matrices), normal_form)
    return LieReport(symmetry, matrices, verdicts, slice_, surviving, charges)


def _combined(
    theory: Theory, reports: Sequence[LieReport], normal_form: NormalForm, limits: list[str]
) -> tuple[sp.ImmutableMatrix, ...]:
    """Combinations of generators of several broken groups that survive, beside those of single groups."""
    broken = [report for report in reports if report.status != "exact"]
    if len(broken) < 2:
        return ()
    known = [matrix for report in broken for matrix in report.surviving]
    new: list[sp.ImmutableMatrix] = []
    generators = [matrix for report in broken for matrix in report.matrices]
    for matrix in surviving_algebra(theory, generators, normal_form, limits):
        rows = [each.flat() for each in (*known, *new, matrix)]
        if sp.Matrix(rows).rank() == len(rows):
            new.append(matrix)
    return tuple(new)


def _check_factors(theory: Theory, finite: Sequence[SymmetryReport], lie: Sequence[LieReport]) -> None:
    """Raise GroupError unless groups act linearly on components, each Lie group on its own components."""
    local = next((r.symmetry for r in finite if isinstance(r.symmetry, Sitewise)), None)
    others = [r.symmetry.name for r in (*finite, *lie) if r.symmetry is not local]
    if local is not None and others:
        raise GroupError(
            f"symmetry {local.name} of theory {theory.name}",
            expected="a sitewise group that is the only one to modulate with",
            found=f"also {', '.join(others)}",
            remedy="leave the others out: the sitewise group contains the finite group that acts everywhere "
            "alike; one base group for Sitewise(…) can be a direct_product; Lie groups cannot be combined",
        )
    for report in finite:
        shifting = next((g for g in report.group.generators if _shifts_a_line(g)), None)
        if shifting is not None:
            point = _fixed_point(report.group)
            centre = ", ".join(f"{c} = {p}" for c, p in zip(theory.components, point, strict=True))
            raise GroupError(
                f"symmetry {report.symmetry.name} of theory {theory.name}",
                expected="a modulating group that acts on components linearly",
                found=f"the generator {shifting}, which shifts them; its fixed point is {centre}",
                remedy="measure the fields from the fixed point, so that the group is linear, or declare it "
                "with use='equivariant' (it is verified and not modulated)",
            )
        moving = next((g for g in report.group.generators if not g.sites.is_identity), None)
        if moving is not None:
            raise GroupError(
                f"symmetry {report.symmetry.name} of theory {theory.name}",
                expected="a modulating group that acts on components and leaves sites where they are",
                found=f"the generator {moving}",
                remedy="declare it with use='equivariant' (it is verified and not modulated), or modulate "
                "with the part that acts on components alone",
            )
    for i, report in enumerate(lie):
        moved = {a for t in report.matrices for a in range(t.rows) if any(t.row(a))}
        for earlier in lie[:i]:
            _require_disjoint(theory, moved, set(earlier.slice.block), report.symmetry, earlier.symmetry)
        for other in finite:
            touched = {theory.components.index(c) for g in other.group.generators for c in _moved(g, theory)}
            _require_disjoint(theory, moved, touched, report.symmetry, other.symmetry)


def _shifts_a_line(element: Element) -> bool:
    """Whether an element adds a number to a component that is no angle."""
    return any(s != 0 for a, s in enumerate(element.shift) if a not in element.angles)


def _fixed_point(group: FiniteGroup[Element]) -> list[sp.Expr]:
    """The mean of the images of 0, a fixed point of all elements."""
    images = [g.shift_vector for g in group.elements]
    mean = sum(images, sp.zeros(*images[0].shape)) / group.order
    return [sp.expand(p) for p in mean.flat()]


def _moved(element: Element, theory: Theory) -> list[FieldComponent]:
    identity = sp.eye(element.matrix.rows)
    shift = element.shift_vector
    changed = (
        element.matrix.row(a) != identity.row(a) or shift[a] != 0 for a in range(len(theory.components))
    )
    return [c for c, moved in zip(theory.components, changed, strict=True) if moved]


def _require_disjoint(
    theory: Theory,
    a: set[int],
    b: set[int],
    one: LieSymmetry,
    other: Symmetry | Sitewise | LieSymmetry | AngleRotation,
) -> None:
    if a & b:
        remedy = (
            f"declare {other.name} with use='equivariant', which verifies it and modulates with {one.name}"
        )
        if isinstance(other, LieSymmetry):
            remedy = (
                "declare factors that turn different components, such as SU2(a) and SU2(b) in the place of "
                "SU2(a) and one that turns both; or list first the factor that turns more"
            )
        raise GroupError(
            f"symmetries {other.name} and {one.name} of theory {theory.name}",
            expected="factors that modulate different components",
            found=f"both act on {', '.join(str(theory.components[i]) for i in sorted(a & b))}",
            remedy=remedy,
        )


def _joint_group(theory: Theory, reports: list[SymmetryReport], numbers: NumberTable) -> FiniteGroup[Element]:
    if len(reports) == 1:
        return reports[0].group
    generators = tuple(dict.fromkeys(g for report in reports for g in report.group.generators))
    return FiniteGroup(
        Element.identity(len(theory.components), theory.lattice, angle_numbers(theory.components)),
        generators,
        lambda a, b: a.compose(b, numbers),
        bound=max((_order_bound(report.symmetry) for report in reports), default=1),
        name=" × ".join(report.symmetry.name for report in reports) or "trivial",
    )


def _order_bound(symmetry: Symmetry | Sitewise | AngleRotation) -> int:
    if isinstance(symmetry, AngleRotation):  # never modulated
        return 1
    return (symmetry.symmetry if isinstance(symmetry, Sitewise) else symmetry).order_bound


def _breaking(
    theory: Theory,
    finite: Sequence[SymmetryReport],
    lie: Sequence[LieReport],
    group: FiniteGroup[Element],
    normal_form: NormalForm,
    split_by: _LieSplits,
) -> sp.Expr:
    """S₁ with S − S₁ invariant under all groups: the Lie groups' S₁ plus the finite group's of the rest."""
    breaking: sp.Expr = sp.S.Zero
    matrices = [t for report in lie for t in report.matrices]
    if any(v.status != "exact" for report in lie for v in report.verdicts):
        breaking = split_by(tuple(matrices))
    status = {v.status for report in finite for v in report.verdicts}
    if status - {"exact"}:
        rest = theory.with_action(theory.action - breaking)
        more = split(rest, group, normal_form, proved="undecided" not in status, limits=split_by.limits)
        breaking = normal_form(breaking + more)
    return breaking


def _domain(theory: Theory, symmetries: Sequence[Symmetry], group: FiniteGroup[Element]) -> Domain:
    c = len(theory.components)
    if not symmetries:
        nothing, known = np.zeros((0, 0)), features(theory.components)
        return Domain(
            (),
            np.zeros((0, len(known))),
            np.zeros((1, 0, 0)),
            np.eye(c)[None],
            np.zeros(0),
            np.zeros((1, 0)),
            nothing,
            (),
            known,
        )
    action = action_program(theory)
    parameters = {p.name: theory.defaults.get(p.name, 0.5) for p in theory.parameters}
    vacuum = find_vacuum(action, parameters)
    return dirichlet_domain(
        symmetries, group, theory.components, None if vacuum is None else vacuum.mean.round(6)
    )


def _divergence(theory: Theory) -> Divergence | None:
    """A direction along which ∫ exp(−S) diverges at the default couplings, None if none is found.

    None as well if a coupling has no default.
    """
    if any(p.name not in theory.defaults for p in theory.parameters):
        return None
    try:
        return find_divergence(action_program(theory), theory.defaults)
    except LoweringError:  # an analysis needs no program
        return None
