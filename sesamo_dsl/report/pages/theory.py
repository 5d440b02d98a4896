"""The parts of a page on the theory: its action and couplings, the verdicts on its symmetries, its group."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import sympy as sp
from markupsafe import Markup

from ...analysis.findings import LieReport, SymmetryReport
from ...analysis.result import Analysis
from ...errors import OptionError
from ...ir.facts import Facts as SymmetryFacts
from ...ir.program import Program
from ...symbols.fields import ComplexField
from ...values.couplings import Coupling, Couplings
from ..derivation import inner_html
from ..domains import domain_picture
from . import group_pictures
from .blocks import Block, Facts, Fold, Formula, Items, Listing, Picture, Pictures, Section, Table, Text
from .drawing import inline
from .formulas import LONGEST, equation, width
from .formulas import inline as formula
from .wording import number, power, pretty, shifts, symbol, typeset

_LONGEST_TEXT = 20_000  # characters of a listing; of longer ones the page says where they are
_LONGEST_FIRST = 4000  # characters of its first part that are shown at once
_SYMMETRY = re.compile(
    r"^Symmetry (?P<name>.+?)(?:, order (?P<order>[^:]+))?: (?P<status>exact|broken|undecided)$"
)
_MEANING = {
    "exact": "proved: both actions have one normal form",
    "broken": "refuted by a configuration",
    "undecided": "neither proved nor refuted; counted as broken, which is always correct",
}


def theory_section(
    analysis: Analysis | None, program: Program, parameters: Couplings, stored: str
) -> Section:
    """The action, the fields, the lattice and the couplings; without an analysis as they were stored."""
    blocks: list[Block] = []
    if analysis is not None:
        blocks += _action(analysis)
    elif stored:
        blocks += [
            Text(
                "The declaration is not at hand, so that formulas are not typeset; this is the derivation "
                "that the training wrote down. To see them, give the declaration: load_run(…, theory=…), or "
                "--theory."
            ),
            *_stored(stored),
        ]
    else:
        blocks.append(Text("The declaration is not at hand; the program below is what is sampled."))
    blocks.append(_couplings(parameters))
    if analysis is None:
        blocks.append(_program(program))
    return Section("Theory", blocks)


def _action(analysis: Analysis) -> Iterator[Block]:
    theory = analysis.theory
    yield Text(Markup("Configurations have the density p(x) = exp(−S(x))/Z with the action"))
    yield from _shown("S", theory.action)
    rows: list[tuple[str | Markup, str | Markup]] = []
    for field in theory.fields:
        kind = "complex field" if isinstance(field, ComplexField) else "real field"
        parts = Markup(", ").join(symbol(c.label) for c in field.components)
        rows.append((symbol(field.name), Markup("{}; components {}").format(kind, parts)))
    lattice, size = theory.lattice, theory.degrees_of_freedom
    rows.append(("lattice", f"{lattice}, V = {lattice.volume}, n = {size} real degrees of freedom"))
    if theory.observables:
        rows.append(("observables", ", ".join(theory.observables)))
    rows.append(("normalisability", analysis.normalisability))
    yield Facts(rows)
    if notes := [*theory.notes, *analysis.limits]:
        yield Items(notes)


def _shown(name: str, expr: sp.Expr) -> Iterator[Block]:
    """A formula, folded away if it is very long."""
    block = Formula(equation(name, expr))
    size = width(block.mathml)
    yield block if size <= LONGEST else Fold(f"{name}, a formula of {size} characters", [block])


def _stored(text: str) -> Iterator[Block]:
    """The theory as the derivation states it, and the rest of the derivation on request."""
    text = shifts(text)
    first = text.partition("\n\n")[0]
    if len(first) <= _LONGEST_FIRST:
        yield Listing(first)
    if len(text) > _LONGEST_TEXT:
        more = len(text) - _LONGEST_TEXT
        text = f"{text[:_LONGEST_TEXT]}\n… {more} more characters in analysis.txt of the run"
    yield Fold("The whole derivation, as plain text", [Listing(text)])


def _couplings(parameters: Couplings) -> Block:
    if not parameters:
        return Text("The theory has no couplings.")
    rows = [[symbol(name), _coupling(value)] for name, value in sorted(parameters.items())]
    return Table(["coupling", "value"], rows, numeric=frozenset({1}))


def _coupling(value: Coupling) -> str:
    if isinstance(value, np.ndarray):
        low, high = number(float(value.min()), 6), number(float(value.max()), 6)
        return f"an array of shape {value.shape}, from {low} to {high}, mean {number(float(value.mean()), 6)}"
    return number(float(value), 12)


def _program(program: Program) -> Block:
    rows: list[tuple[str | Markup, str | Markup]] = [
        ("components", ", ".join(map(pretty, program.components))),
        ("lattice", " × ".join(map(str, program.shape))),
    ]
    return Facts(rows)


def symmetry_section(
    analysis: Analysis | None,
    program: Program,
    parameters: Couplings,
    facts: SymmetryFacts | None,
    stored: str,
    x: np.ndarray,
) -> Section:
    """Verdicts, the breaking part, the Cayley graph, the domain and the modulation of configurations x."""
    blocks: list[Block] = []
    if analysis is not None:
        blocks += _verdicts(analysis, parameters)
    else:
        blocks += _stored_verdicts(program, facts, stored)
    blocks += _pictures(analysis, program, parameters, facts, x)
    if analysis is not None:
        blocks.append(_derivation(analysis))
    return Section("Symmetries", blocks)


def _verdicts(analysis: Analysis, parameters: Couplings) -> Iterator[Block]:
    reports = (*analysis.reports, *analysis.lie_reports)
    if not reports:
        yield Text("No symmetry is declared: the flow fills the whole space.")
        return
    rows = []
    for report in reports:
        use = "modulated with"
        if getattr(report.symmetry, "use", "modulate") == "equivariant":
            use = "left to the flow"
        rows.append([report.symmetry.name, _order(report), badge(report.status), _evidence(report), use])
    yield Table(["symmetry", "order", "verdict", "because", "use"], rows)
    if analysis.breaking != 0:
        yield Text("What the groups that are modulated with change of the action:")
        yield from _shown("S_1", analysis.breaking)
        if _vanishes(analysis, parameters):
            yield Text("At the couplings of this page it vanishes: there the symmetry is exact.")
    broken = [r for r in reports if r.status != "exact" and getattr(r.symmetry, "use", "") == "equivariant"]
    for report in broken:
        for verdict in report.verdicts:
            if verdict.status != "exact":
                yield Text(f"Residual of {report.symmetry.name}, which is not modulated with:")
                yield from _shown("S∘T − S", verdict.residual)
    if analysis.surviving is not None:
        yield Text(f"A subgroup of order {len(analysis.surviving)} of {analysis.group.order} stays unbroken.")


def _vanishes(analysis: Analysis, parameters: Couplings) -> bool:
    """Whether S₁ is zero at the couplings that are zero, whatever the others are."""
    zeros = [p for p in analysis.theory.parameters if not np.any(np.asarray(parameters.get(p.name, 1.0)))]
    return analysis.breaking.subs(dict.fromkeys(zeros, sp.S.Zero)) == 0


def _order(report: SymmetryReport | LieReport) -> str:
    if isinstance(report, LieReport):
        return f"dimension {len(report.matrices)}"
    base, _, exponent = report.order.partition("^")
    return power(base, exponent)


def _evidence(report: SymmetryReport | LieReport) -> str | Markup:
    """Why the verdict is what it is: evidence of the weakest generator, and its residual if it is short."""
    weakest = next((v for v in report.verdicts if v.status == report.status), None)
    if weakest is None:
        return _MEANING[report.status]
    if weakest.status == "exact":
        return typeset(weakest.evidence)
    residual = formula(weakest.residual)
    if width(residual) > 60:
        return typeset(weakest.evidence)
    return Markup("{}; it changes the action by {}").format(typeset(weakest.evidence), residual)


def badge(status: str) -> Markup:
    """A verdict in its colour."""
    return Markup('<span class="badge {}">{}</span>').format(status, status)


def _stored_verdicts(program: Program, facts: SymmetryFacts | None, stored: str) -> Iterator[Block]:
    """What the training wrote down of the verdicts, and what the run stores of the group."""
    rows = []
    for line in stored.splitlines():
        found = _SYMMETRY.match(line)
        if found:
            status = found["status"]
            rows.append([found["name"], found["order"] or "continuous", badge(status), _MEANING[status]])
    if rows:
        yield Table(["symmetry", "order", "verdict", "because"], rows)
    if facts is None:
        return
    if not facts.is_modulated:
        yield Text("There is no symmetry to modulate with: the flow fills the whole space.")
        return
    shown: list[tuple[str | Markup, str | Markup]] = []
    sectors = program.sectors
    if sectors.order > 1:
        blocks = f" at each of {sectors.n_blocks} blocks" if sectors.n_blocks else ""
        shown.append(("finite group", f"order {sectors.order}{blocks}"))
    shown += [("Lie group", f"orbits are spheres {power('S', n - 1)}") for n in facts.slice_dimensions]
    shown.append(("action", "broken by a part S₁" if facts.is_broken else "invariant under all of it"))
    if facts.surviving is not None:
        shown.append(("unbroken subgroup", f"order {len(facts.surviving)} of {sectors.order}"))
    yield Facts(shown)


def _pictures(
    analysis: Analysis | None,
    program: Program,
    parameters: Couplings,
    facts: SymmetryFacts | None,
    x: np.ndarray,
) -> Iterator[Block]:
    shown: list[Picture] = []
    table = None if facts is None else facts.table
    if table is not None and facts is not None and len(table) > 1:
        graph = group_pictures.cayley(table, facts.surviving if facts.is_broken else None)
        if isinstance(graph, Picture):
            shown.append(graph)
        else:
            yield Text(graph)
    if analysis is not None and analysis.is_modulated and len(analysis.domain.collective) <= 3:
        try:
            figure = domain_picture(analysis)
        except OptionError:  # nothing that could be drawn
            pass
        else:
            figure.suptitle("")  # the page says which theory it is
            if figure.get_figwidth() < 7:
                figure.set_size_inches(5.2, 4.8 if figure.get_figheight() > 3 else 2.6)
            parts = [
                *(["the fundamental domain Ω with its images"] if analysis.group.order > 1 else []),
                *(["the slice of each Lie group with an orbit"] if analysis.lie_reports else []),
            ]
            caption = f"Derived: {' and '.join(parts)}; the vacuum is that of the default couplings."
            shown.append(Picture(inline(figure, caption), caption, wide=figure.get_figwidth() > 7))
    shown += group_pictures.modulation(program, parameters, x)
    if shown:
        yield Pictures(shown)


def _derivation(analysis: Analysis) -> Block:
    text = inner_html(analysis)
    # the writer escapes names and prose
    return Fold("The whole derivation, with all proofs and formulas", [Text(Markup(text), kind="derivation")])
