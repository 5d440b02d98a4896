"""The staged driver.

====================  ==============================  ==========================================
stage                 in                              out
====================  ==============================  ==========================================
:func:`analyse`       Theory                          Analysis: verdicts, split, domain
:func:`lower_theory`  Analysis                        Program: typed SSA, no SymPy
``backend.emit``      Program                         source text of a module
``cache.load_source`` source text                     the imported module
:func:`compile`       Theory, backend name            CompiledTheory: all of the above together
====================  ==============================  ==========================================

Everything up to the source text is independent of the backend, frozen and printable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import sympy as sp

from .analysis.domain import Domain, dirichlet_domain
from .analysis.extents import extent_notes
from .analysis.invariance import (
    Verdict,
    breaking_representation,
    enforce_claim,
    judge,
    split,
    surviving_subgroup,
)
from .analysis.lie import enforce_lie_claim, judge_generator, surviving_algebra
from .analysis.lie_split import breaking_charges, lie_split
from .analysis.local import judge_local, split_local
from .analysis.normal_form import NormalForm
from .analysis.result import Analysis, LieReport, SymmetryReport, weakest
from .analysis.slices import Slice, derive_slice, linear_source
from .backend import Backend, load_backend
from .checks import shown
from .compiled import CompiledProgram
from .couplings import Coupling
from .errors import GroupError, LoweringError, OptionError
from .groups.automorphisms import node_order
from .groups.element import Element
from .groups.finite import FiniteGroup
from .groups.lie import LieSymmetry
from .groups.sitewise import Sitewise
from .groups.symmetry import Symmetry
from .ir.gradient import with_gradient
from .ir.interpreter import run
from .ir.program import Function, Program
from .landscape.integrability import Divergence, find_divergence
from .landscape.vacua import find_vacuum
from .language.theory import Precision, Theory, check_theory
from .language.walls import check_breaking
from .lowering.constants import split_constant
from .lowering.expressions import arrays, lower, lower_by_block
from .lowering.modulation import constants, finite_functions, slice_functions
from .machine.cache import load_source
from .symbols.exact import NumberTable
from .symbols.fields import FieldComponent
from .symbols.lattice import GraphLattice

if TYPE_CHECKING:
    from .estimates.chains import Chain
    from .runs import Run


def analyse(theory: Theory, *, parameters: Mapping[Any, Any] | None = None) -> Analysis:
    """Verify the symmetries of a theory and derive its modulation; print the result to read it.

    Parameters
    ----------
    parameters
        Couplings to hold at numbers, e.g. ``{h: 0}``: verdicts are about the action at these, in which they
        are couplings no longer. Default: none, and verdicts are about all values.

    Raises
    ------
    ParameterError, TheoryError
        If there is no such coupling, or the action is not finite at these values.
    NotInvariantError
        If a symmetry declared with ``exact=True`` is refuted; the counterexample is in the error.
    NotClosedError, NotFaithfulError, GroupError
        If a declared group is not a finite group that can be modulated with.
    """
    theory = check_theory(theory)
    if parameters:
        theory = theory.held(parameters)
    numbers = NumberTable()
    normal_form = NormalForm(numbers)
    reports, lie_reports = [], []
    limits = extent_notes(theory)
    for symmetry in theory.symmetries:
        if isinstance(symmetry, LieSymmetry):
            matrices = symmetry.matrices(theory.components, numbers)
            verdicts = tuple(judge_generator(theory, matrix, normal_form) for matrix in matrices)
            enforce_lie_claim(theory, symmetry, verdicts)
            slice_ = derive_slice(symmetry, theory.components, numbers)
            lie_reports.append(_lie_report(theory, symmetry, matrices, verdicts, slice_, normal_form))
        elif isinstance(symmetry, Sitewise):
            reports.append(_sitewise_report(theory, symmetry, numbers, normal_form))
        else:
            group = symmetry.verified_group(theory.components, numbers)
            generators = symmetry.elements(theory.components, numbers)
            verdicts = tuple(judge(theory, generator, normal_form) for generator in generators)
            enforce_claim(theory, symmetry, verdicts)
            reports.append(SymmetryReport(symmetry, group, verdicts))
    modulating = [report for report in reports if report.symmetry.use != "equivariant"]
    _check_factors(theory, modulating, lie_reports)
    group = _joint_group(theory, modulating, numbers)
    if any(report.diagonal for report in modulating):
        breaking, reports = _local_breaking(theory, reports, normal_form)
    else:
        breaking = _breaking(theory, modulating, lie_reports, group, normal_form, limits)
    check_breaking(breaking, theory.name)
    bases = [r.symmetry.symmetry if isinstance(r.symmetry, Sitewise) else r.symmetry for r in modulating]
    domain = _domain(theory, bases, group)
    source = None
    if len(lie_reports) == 1 and group.order == 1 and breaking != 0:
        source = linear_source(breaking, lie_reports[0].slice, theory.components)
    surviving, representation = None, None
    if group.order > 1 and any(r.status != "exact" and r.diagonal is None for r in modulating):
        surviving = surviving_subgroup(theory, group, normal_form)
        representation = breaking_representation(theory, group, breaking, normal_form)
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
        tuple(limits),
        _divergence(theory),
    )


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
    verdicts = tuple(judge_local(theory, group, g, axes, normal_form) for g in group.generator_indices)
    enforce_claim(theory, symmetry, verdicts)
    diagonal = verdicts
    if any(verdict.status != "exact" for verdict in verdicts):
        diagonal = tuple(judge(theory, generator, normal_form) for generator in group.generators)
    return SymmetryReport(symmetry, group, verdicts, axes, weakest(v.status for v in diagonal))


def _local_breaking(
    theory: Theory, reports: list[SymmetryReport], normal_form: NormalForm
) -> tuple[sp.Expr, list[SymmetryReport]]:
    """S₁ of the sitewise symmetry, and its report completed with whether that factorises."""
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
) -> LieReport:
    if all(verdict.status == "exact" for verdict in verdicts):
        return LieReport(symmetry, matrices, verdicts, slice_, matrices)
    surviving = surviving_algebra(theory, matrices, normal_form)
    charges: tuple[sp.Expr, ...] = ()
    if len(matrices) == 1:
        charges = breaking_charges(theory, matrices[0], lie_split(theory, matrices, normal_form), normal_form)
    return LieReport(symmetry, matrices, verdicts, slice_, surviving, charges)


def _check_factors(theory: Theory, finite: Sequence[SymmetryReport], lie: Sequence[LieReport]) -> None:
    """Factors that modulate act on components alone and leave each other's collective coordinates alone."""
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
        shifting = next((g for g in report.group.generators if g.shift), None)
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


def _fixed_point(group: FiniteGroup[Element]) -> list[sp.Expr]:
    """The mean of the images of 0, which no element moves."""
    images = [g.shift_vector for g in group.elements]
    mean = sum(images, sp.zeros(*images[0].shape)) / group.order
    return [cast(sp.Expr, sp.expand(p)) for p in mean.flat()]


def _moved(element: Element, theory: Theory) -> list[FieldComponent]:
    identity = sp.eye(element.matrix.rows)
    return [c for a, c in enumerate(theory.components) if element.matrix.row(a) != identity.row(a)]


def _require_disjoint(
    theory: Theory, a: set[int], b: set[int], one: LieSymmetry, other: Symmetry | Sitewise | LieSymmetry
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
        Element.identity(len(theory.components), theory.lattice),
        generators,
        lambda a, b: a.compose(b, numbers),
        bound=max((_order_bound(report.symmetry) for report in reports), default=1),
        name=" × ".join(report.symmetry.name for report in reports) or "trivial",
    )


def _order_bound(symmetry: Symmetry | Sitewise) -> int:
    return (symmetry.symmetry if isinstance(symmetry, Sitewise) else symmetry).order_bound


def _breaking(
    theory: Theory,
    finite: Sequence[SymmetryReport],
    lie: Sequence[LieReport],
    group: FiniteGroup[Element],
    normal_form: NormalForm,
    limits: list[str],
) -> sp.Expr:
    """S₁ with S − S₁ invariant under all: the Lie groups' part, then the finite group's of the rest."""
    breaking: sp.Expr = sp.S.Zero
    matrices = [t for report in lie for t in report.matrices]
    if any(v.status != "exact" for report in lie for v in report.verdicts):
        breaking = lie_split(theory, matrices, normal_form, limits)
    status = {v.status for report in finite for v in report.verdicts}
    if status - {"exact"}:
        rest = theory.with_action(cast(sp.Expr, theory.action - breaking))
        more = split(rest, group, normal_form, proved="undecided" not in status, limits=limits)
        breaking = normal_form(cast(sp.Expr, breaking + more))
    return breaking


def _domain(theory: Theory, symmetries: Sequence[Symmetry], group: FiniteGroup[Element]) -> Domain:
    c = len(theory.components)
    if not symmetries:
        nothing = np.zeros((0, 0))
        return Domain(
            (),
            np.zeros((0, c)),
            np.zeros((1, 0, 0)),
            np.eye(c)[None],
            np.zeros(0),
            np.zeros((1, 0)),
            nothing,
            (),
        )
    action = _action_program(theory)
    parameters = {p.name: theory.defaults.get(p.name, 0.5) for p in theory.parameters}
    vacuum = find_vacuum(action, parameters)
    return dirichlet_domain(
        symmetries, group, theory.components, None if vacuum is None else vacuum.mean.round(6)
    )


def _divergence(theory: Theory) -> Divergence | None:
    """Where ∫ exp(−S) is infinite at the default couplings; None if there are none, or nothing is found."""
    if any(p.name not in theory.defaults for p in theory.parameters):
        return None
    try:
        return find_divergence(_action_program(theory), theory.defaults)
    except LoweringError:  # an analysis needs no program
        return None


def _without_constant(theory: Theory, program: Program) -> dict[str, Function]:
    """S up to its constant, and the constant, where the first is much smaller than S at the vacuum."""
    constant, rest = split_constant(theory.action)
    if constant == 0:
        return {}
    functions = {
        "constant": lower(
            "constant", "The part of S that no field is in.", constant, theory.components, "constant"
        ),
        "relative_action": lower(
            "relative_action", "S(x) less the constant.", rest, theory.components, "action"
        ),
    }
    functions["relative_action_and_gradient"] = with_gradient(
        functions["relative_action"],
        "action",
        len(theory.components),
        "relative_action_and_gradient",
        "S(x) less the constant, and ∂S/∂x.",
    )
    parameters = {p.name: theory.defaults.get(p.name, 0.5) for p in theory.parameters}
    vacuum = find_vacuum(program, parameters)
    mean = np.zeros(len(theory.components)) if vacuum is None else vacuum.mean
    x = np.broadcast_to(mean.reshape(-1, *(1,) * theory.lattice.dimension), theory.configuration_shape)
    split = replace(program, functions=program.functions | functions)
    with np.errstate(all="ignore"):
        sizes = [
            abs(run(split, name, {"x": x[None]}, parameters)[0]) for name in ("relative_action", "action")
        ]
    return functions if sizes[0] < sizes[1] / 2 else {}


def _action_program(theory: Theory, extra: Mapping[str, Function] | None = None, **fields: Any) -> Program:
    action = lower("action", "S(x) per configuration.", theory.action, theory.components, "action")
    gradient = with_gradient(
        action, "action", len(theory.components), "action_and_gradient", "S(x) and ∂S/∂x, of the shape of x."
    )
    return Program(
        theory.name,
        fields.get("summary", ""),
        tuple(c.label for c in theory.components),
        theory.lattice.shape,
        {p.name: theory.defaults.get(p.name) for p in theory.parameters},
        arrays([theory.action, *theory.observables.values()]) | fields.get("constants", {}),
        {"action": action, "action_and_gradient": gradient, **(extra or {})},
        fields.get("blocks", ()),
        fields.get("nodes"),
    )


def lower_theory(analysis: Analysis) -> Program:
    """Lower everything a backend needs: action, gradient, S₁, observables and the modulation."""
    theory, domain = analysis.theory, analysis.domain
    functions = {}
    if analysis.breaking != 0:
        functions["breaking"] = lower(
            "breaking",
            "S₁(x), the part of S that the group changes.",
            analysis.breaking,
            theory.components,
            "breaking",
        )
    for name, expr in theory.observables.items():
        function = f"observable_{name}"
        functions[function] = lower(
            function, f"Observable {name}.", expr, theory.components, name, slopes=False
        )
    count, volume = len(theory.components), theory.lattice.volume
    slices = [report.slice for report in analysis.lie_reports]
    blocks = analysis.axes
    if blocks and analysis.breaking != 0 and analysis.factorised:
        functions["breaking_by_block"] = lower_by_block(
            "breaking_by_block",
            "S₁(x) as a sum over the blocks, (batch, blocks).",
            analysis.breaking,
            theory.components,
            blocks,
        )
    functions |= {
        f.name: f for f in (*finite_functions(domain, blocks), *slice_functions(slices, count, volume))
    }
    functions |= _without_constant(theory, _action_program(theory))
    of_modulation = constants(domain, analysis.group, slices, count, volume)
    lattice = theory.lattice
    return _action_program(
        theory,
        functions,
        constants=of_modulation,
        blocks=blocks,
        nodes=node_order(lattice) if isinstance(lattice, GraphLattice) else None,
        summary=analysis.text(),
    )


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CompiledTheory(CompiledProgram):
    """A theory compiled for one backend.

    Attributes
    ----------
    theory, analysis
        The declaration, and what was derived from it.
    requested_precision
        The precision if it was asked for, None if it was left to the compiler.
    """

    theory: Theory
    analysis: Analysis
    requested_precision: Precision | None

    def __repr__(self) -> str:
        return f"CompiledTheory({self.theory.name!r}, {self.backend.name}, {self.precision})"

    def __reduce__(self) -> Any:
        """What was derived travels; the module is emitted again where it arrives."""
        parts = self.theory, self.analysis, self.program, self.backend, self.precision
        return _emitted, (*parts, self.requested_precision)

    def parameter_values(self, overrides: Mapping[Any, Any] | None = None) -> dict[str, Coupling]:
        """All couplings by name, defaults replaced by ``overrides``; raises ParameterError."""
        return self.theory.parameter_values(overrides)

    def train(
        self,
        *,
        parameters: Mapping[Any, Coupling] | None = None,
        directory: str | Path | None = None,
        progress: bool = True,
        reference: np.ndarray | Chain | None = None,
        method: str | None = None,
        start_from: Run | str | Path | None = None,
        **options: Any,
    ) -> Run:
        """Train a sampler.

        Parameters
        ----------
        parameters
            Couplings that differ from the theory's defaults.
        directory
            Where to keep the run; default a new ``runs/<theory>-<backend>-<time>``.
        progress
            Whether to show a progress bar.
        reference
            Configurations of the target, (n, components, *lattice) or a chain, for the forward part of the
            objective; ``forward_weight`` says how large that part is, by default 1/2.
        method
            A named preset of options, e.g. "sesamo" or "realnvp"; see :mod:`sesamo_dsl.training.methods`.
        start_from
            A run, or its directory, whose flow weights to start with: of the same fields at other couplings
            or on a smaller lattice. Its architecture is taken over; the base is that of this theory.
        **options
            Fields of :class:`sesamo_dsl.TrainingOptions`: steps, seed, batch, learning_rate, law, strategy, …

        Raises
        ------
        OptionError, ParameterError
            For options or couplings that do not exist or are out of range.
        RunError
            If the directory cannot be written, another process trains a run in it, or the weights to start
            from do not fit.
        RunNotKeptError
            If the training is done and the directory can no longer be written; the run is its attribute.
        TrainingInterrupted
            A KeyboardInterrupt, for SIGINT as by Ctrl-C and for SIGTERM. The step that was going on is done
            first and all is kept; the run is its attribute, and ``run.resume()`` finishes the training.
        TrainingDivergedError
            If training produces NaN or infinity; the last good state is kept in the directory.
        """
        from .runs import start  # a run holds a compiled theory, hence the late import

        return start(
            self,
            parameters=parameters,
            directory=directory,
            progress=progress,
            reference=reference,
            method=method,
            start_from=start_from,
            **options,
        )


def compile(
    theory: Theory | Analysis, backend: str | Backend = "torch", *, precision: Precision | None = None
) -> CompiledTheory:
    """Compile a theory (or its finished analysis) for a backend.

    Parameters
    ----------
    backend
        Entry-point name, "torch" or "jax" unless others are installed; or a backend object.
    precision
        "float32" or "float64"; default is the theory's own.

    Raises
    ------
    BackendError
        For a backend that does not exist or is not installed.
    OptionError
        For any other precision.
    """
    if precision is not None and (not isinstance(precision, str) or precision not in ("float32", "float64")):
        raise OptionError(
            "option precision",
            expected="'float32' or 'float64'",
            found=shown(precision),
            remedy="choose one of the two, or leave it to the theory",
        )
    declared = theory.theory if isinstance(theory, Analysis) else check_theory(theory)
    if precision == "float32" and declared.has_determinants:
        raise OptionError(
            f"option precision of theory {declared.name}",
            expected="'float64': log det(1 + B_Nt … B_1) cancels many digits",
            found="'float32'",
            remedy="leave precision out",
        )
    named = isinstance(backend, str) or not hasattr(backend, "emit")
    loaded = load_backend(cast(str, backend)) if named else cast(Backend, backend)
    analysis = theory if isinstance(theory, Analysis) else analyse(theory)
    program = lower_theory(analysis)
    requested = precision or declared.requested_precision
    return _emitted(declared, analysis, program, loaded, precision or declared.precision, requested)


def _emitted(
    theory: Theory,
    analysis: Analysis,
    program: Program,
    backend: Backend,
    precision: Precision,
    requested: Precision | None,
) -> CompiledTheory:
    with backend.scope(precision):  # constants of the module are made as it is loaded
        path, module = load_source(f"{theory.name}_{backend.name}", backend.emit(program))
    return CompiledTheory(
        theory=theory,
        analysis=analysis,
        program=program,
        facts=analysis,
        backend=backend,
        precision=precision,
        requested_precision=requested,
        source=path,
        module=module,
    )
