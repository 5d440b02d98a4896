"""The lines of a whole derivation, from the theory to the density of the sampler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import cast

import numpy as np
import sympy as sp

from ...groups.rotations import AngleRotation
from ...groups.sitewise import Sitewise
from ...groups.staggering import sign_constant
from ...symbols.bonds import WEIGHT
from ...symbols.fields import ComplexField, FieldComponent, VectorField
from ...symbols.lattice import Bonds
from ..findings import Findings, LieReport, SymmetryReport
from .finite import finite_lines
from .lie import slice_lines
from .lines import Line, equation, formulas, item, map_line, number, say, section, title


def content(analysis: Findings) -> Iterator[Line]:
    """All lines of the derivation, in order."""
    yield from verdicts(analysis)
    if not analysis.is_modulated:
        yield section("No symmetry to modulate with")
        yield say("The flow fills the whole space.")
        return
    yield from _split_lines(analysis)
    yield from _breaking_lines(analysis)
    if analysis.group.order > 1:
        yield from finite_lines(analysis)
    for i in range(len(analysis.lie_reports)):
        yield from slice_lines(analysis, i)
    yield from _density_lines(analysis)


def verdicts(analysis: Findings) -> Iterator[Line]:
    """The lines of the theory and of the verdicts on its symmetries, with which the derivation begins."""
    yield from _theory_lines(analysis)
    numbers = count(1)  # one count for the generators of all symmetries
    for report in (*analysis.reports, *analysis.lie_reports):
        yield from _symmetry_lines(report, analysis.theory.components, numbers)


def _theory_lines(analysis: Findings) -> Iterator[Line]:
    t = analysis.theory
    yield title("Theory {}", t.name)
    for field in t.fields:
        if isinstance(field, ComplexField):
            yield item("complex field ${} = {} + i {}$", sp.Symbol(field.name, real=True), *field.components)
        elif isinstance(field, VectorField):
            yield item("real field {} with components ${}$", field.name, field.components)
        elif isinstance(field, FieldComponent) and field.manifold == "circle":
            yield item("angle ${}$ in $(−π, π]$, with the measure $d{}$ at every site", field, field)
        else:
            yield item("real scalar field ${}$", field)
    yield item(
        f"sites: {{}}, $V = {t.lattice.volume}$, $n = {t.degrees_of_freedom}$ real degrees of freedom",
        str(t.lattice),
    )
    for parameter in t.parameters:
        if parameter.name in t.defaults:
            value = t.defaults[parameter.name]
            if isinstance(value, np.ndarray):
                yield item("coupling ${}$, by default an array from ${}$ to ${}$", parameter, *_range(value))
            else:
                yield item("coupling ${}$, by default ${}$", parameter, number(value))
        else:
            yield item("coupling ${}$, without a default", parameter)
    for constant in t.site_constants:
        values = _range(cast(np.ndarray, constant.values))
        yield item("coupling ${}$ that depends on the site, given from ${}$ to ${}$", constant, *values)
    for bonds in sorted(t.action.atoms(Bonds), key=sp.default_sort_key):
        weights = np.array([float(weight) for *_, weight in bonds.bonds])
        if np.ptp(weights):
            yield item("weight ${}$ of the bonds, from ${}$ to ${}$", WEIGHT, *_range(weights))
    yield say("The target density is $p(x) = exp(−S(x))/Z$ with")
    yield equation("S = {}", t.action)
    for note in (*t.notes, *analysis.limits):
        yield item("note: {}", note)
    yield item("normalisability: {}", analysis.normalisability)


def _range(values: np.ndarray) -> tuple[sp.Expr, sp.Expr]:
    return number(values.min()), number(values.max())


def _symmetry_lines(
    report: SymmetryReport | LieReport, components: Sequence[FieldComponent], numbers: Iterator[int]
) -> Iterator[Line]:
    of, status = report.symmetry.name, report.status
    infinitesimal = isinstance(report, LieReport)
    in_part = isinstance(report, SymmetryReport) and isinstance(report.symmetry, Sitewise | AngleRotation)
    if infinitesimal:
        yield section("Symmetry {}: {}", of, status)
        yield say("Infinitesimal generators, $x ↦ exp(θT)x$ on the components of $x$:")
    else:
        yield section("Symmetry {}, order {}: {}", of, report.order, status)
        if isinstance(report.symmetry, Sitewise):
            yield say(
                "A copy of the finite group acts at each block of sites that agree on the axes {}. "
                "Acting at all blocks alike it is {}. Its generators, acting at one block:",
                ", ".join(map(str, report.axes)),
                str(report.diagonal),
            )
        if report.symmetry.use == "equivariant":
            yield say("It is verified and left to the flow (equivariant): nothing is modulated with it.")
    for verdict, k in zip(report.verdicts, numbers, strict=False):
        matrix, sites = verdict.generator.matrix, verdict.generator.sites
        name = f"T_{k}" if infinitesimal else f"A_{k}"  # T_u are all elements, by their sectors
        yield map_line(name, matrix, components, infinitesimal=infinitesimal)
        if not sites.is_identity:
            yield say(f"${name}$ moves the sites, {{}}.", str(sites))
        for component, axes in zip(components, verdict.generator.signs, strict=False):
            if axes:
                sign = sign_constant(sites.lattice, axes)
                yield say(f"${name}$ then multiplies ${{}}$ by the sign ${{}}$ of the site.", component, sign)
        if verdict.generator.shift:
            yield say(f"${name}$ then adds the constants ${{}}$.", verdict.generator.shift)
        yield item(f"${name}$ is {{}}: {{}}.", verdict.status, verdict.evidence)
        if verdict.status != "exact":
            if in_part:
                yield say("The part of the action that changes:")
                yield equation("{}", verdict.residual)
                continue
            if verdict.part is not None:
                yield say("$S$ is a function of $f = {}$, which changes:", verdict.part)
            function = "S" if verdict.part is None else "f"
            change = f"L_({name}) {function}" if infinitesimal else f"{function}∘{name} − {function}"
            yield equation(f"{change} = {{}}", verdict.residual)


def _split_lines(analysis: Findings) -> Iterator[Line]:
    yield section("The split of the action")
    yield equation("S = S₀ + S₁, S₁ = {}", analysis.breaking)
    if analysis.breaking == 0:
        yield say("$S₀ = S$ is invariant under all groups that are modulated with; this is proved.")
        return
    yield say("$S₀$ is invariant under all groups that are modulated with, $S₁$ is what they change.")
    if any(v.status == "undecided" for r in (*analysis.reports, *analysis.lie_reports) for v in r.verdicts):
        yield say(
            "Some invariance was not decided: every term that could not be proved invariant is counted in "
            "$S₁$. This is always correct and costs only evaluations."
        )


def _breaking_lines(analysis: Findings) -> Iterator[Line]:
    """Unbroken subgroup and generators, and the representation in which S₁ transforms."""
    components, broken = analysis.theory.components, [r for r in analysis.lie_reports if r.status != "exact"]
    if analysis.surviving is None and not broken:
        return
    yield section("What stays unbroken")
    if analysis.surviving is not None:
        elements, surviving = analysis.group.elements, analysis.surviving
        kept = analysis.group.minimal_generators(surviving)
        generated = ", generated by" if kept else ": the identity alone."
        yield say(f"The unbroken subgroup of the finite group has order {len(surviving)}{generated}")
        for k, element in enumerate((elements[g] for g in kept), start=1):
            yield map_line(f"H_{k}", element.matrix, components, infinitesimal=False)
            if not element.sites.is_identity:
                yield say(f"$H_{k}$ moves the sites, {{}}.", str(element.sites))
        if surviving.undecided:
            yield say(f"Not counted: {len(surviving.undecided)} elements for which it was not decided.")
    if analysis.representation is not None:
        characters = analysis.representation.characters
        yield say(
            "$S₁$ transforms in a representation of the finite group, on the span of all $S₁∘T_g$, of "
            f"dimension {analysis.representation.dimension}. Its characters on the conjugacy classes, the "
            f"identity’s first: {formulas(len(characters))}.",
            *characters,
        )
    numbers = count(1)
    for report in broken:
        none = "" if report.surviving else " none."
        yield say(f"Unbroken generators of {{}}, a basis:{none}", report.symmetry.name)
        for matrix, k in zip(report.surviving, numbers, strict=False):
            yield map_line(f"X_{k}", matrix, components, infinitesimal=True)
        if unit := sp.gcd_list(list(report.charges)):
            yield say(
                f"Charges of $S₁$ under {{}}: {formulas(len(report.charges))}; the rotations by multiples of "
                "${}$ stay unbroken.",
                report.symmetry.name,
                *report.charges,
                2 * sp.pi / unit,
            )
    if analysis.combined:
        names = " and ".join(report.symmetry.name for report in broken)
        yield say("Unbroken combinations of the generators of {}, beside these:", names)
        for matrix, k in zip(analysis.combined, numbers, strict=False):
            yield map_line(f"X_{k}", matrix, components, infinitesimal=True)


def _density_lines(analysis: Findings) -> Iterator[Line]:
    yield section("The density of the sampler")
    lies, finite = len(analysis.lie_reports), analysis.group.order > 1
    labels = [f"_{i + 1}" for i in range(lies)] if lies > 1 else [""] * lies
    density = f"log q(x) = log q̃(y{''.join(f', a{label}' for label in labels)})"
    density += "".join(f" + log p(n{label}|y) − log Δ{label} − log N(a{label})" for label in labels)
    if finite:
        given = "" if analysis.breaking == 0 else "".join(f", n{label}" for label in labels)
        density += f" + log p(u|y{given})"
    yield equation(density)
    if lies:
        yield say("with $N(a)$ the standard normal density of the auxiliary coordinates.")
        turn = " ".join(f"R{label}(n{label})" for label in labels)
        yield say(f"The configuration is $x = {'T_u ' if finite else ''}{turn} y$.")
    if analysis.orbit_law == "von_mises":
        yield say("$n$ is integrated out: the weight does not depend on it.")
    yield say(
        "The weight of a sample is $w = exp(−S(x))/q(x)$; it is exact for every law with a known density."
    )
