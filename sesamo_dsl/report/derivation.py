"""The derivation of an analysis for a referee, as text, LaTeX or HTML.

One list of lines says what there is to say; three writers say how it looks. A line is prose in which ``$…$``
is mathematics and ``{}`` stands for the next value, so that no format can have a formula the others lack.

The mathematics is written in Unicode the way the text shows it: ``S₁(T_u y)``, ``S^(N−1)``, ``√V``, ``q̃``.
The text writer prints it as it stands; the two others read it (``_parse``) and set it. Scripts take one
symbol or a group in parentheses. Values are SymPy expressions, matrices, and tuples for vectors.
"""

from __future__ import annotations

import html
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html.entities import name2codepoint
from itertools import groupby
from math import lcm
from typing import Any, Literal, cast, get_args
from xml.dom.minidom import Document, Element

import numpy as np
import sympy as sp
from sympy.printing.latex import LatexPrinter, tex_greek_dictionary
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pretty.pretty_symbology import greek_unicode

from ..analysis.result import Analysis, LieReport, SymmetryReport
from ..analysis.slices import Slice, rotation_coefficients
from ..errors import OptionError
from ..fields import ComplexField, FieldComponent, VectorField
from ..groups.symmetry import linear_row
from ..lattice import SiteSum
from ..orbits import NODES

Format = Literal["text", "latex", "html"]

_MATRIX_SIZE = 8  # larger generators are listed by the components they move
_WIDTH = 80  # characters of a LaTeX line, about what fits on a page
_EXACT_ORDER = 64  # groups up to here have their invariant inner product averaged exactly
_SAME = 1e-12


def derivation(analysis: Analysis, format: Format = "text") -> str:
    """Everything that was proved and derived, with the formulas.

    Parameters
    ----------
    format
        ``"text"``; ``"latex"``, a fragment to input into a document that uses amsmath; or ``"html"``, a page
        of its own with MathML.

    Raises
    ------
    OptionError
        For any other format.
    """
    writers: dict[str, type[_Writer]] = {"text": _Text, "latex": _Latex, "html": _Html}
    if format not in writers:
        raise OptionError(
            "format of a derivation",
            expected=f"one of {', '.join(get_args(Format))}",
            found=repr(format),
            remedy="choose one of them",
        )
    return writers[format]().document(tuple(_lines(analysis)))


# What there is to say


@dataclass(frozen=True)
class _Line:
    kind: Literal["title", "section", "paragraph", "item", "equation"]
    template: str
    values: tuple[Any, ...] = ()


def _title(template: str, *values: Any) -> _Line:
    return _Line("title", template, values)


def _section(template: str, *values: Any) -> _Line:
    return _Line("section", template, values)


def _say(template: str, *values: Any) -> _Line:
    return _Line("paragraph", template, values)


def _item(template: str, *values: Any) -> _Line:
    return _Line("item", template, values)


def _equation(template: str, *values: Any) -> _Line:
    return _Line("equation", f"${template}$", values)


def _lines(analysis: Analysis) -> Iterator[_Line]:
    yield from _theory_lines(analysis)
    reports = (*analysis.reports, *analysis.lie_reports)
    for report, first in zip(reports, _numbering(reports), strict=True):
        yield from _symmetry_lines(report, analysis.theory.components, first)
    if not analysis.is_modulated:
        yield _section("No symmetry to modulate with")
        yield _say("The flow fills the whole space.")
        return
    yield from _split_lines(analysis)
    if analysis.group.order > 1:
        yield from _domain_lines(analysis)
    for i in range(len(analysis.lie_reports)):
        yield from _slice_lines(analysis, i)
    yield from _density_lines(analysis)


def _numbering(reports: Sequence[SymmetryReport | LieReport]) -> list[int]:
    """The number of the first generator of each symmetry: they are counted through."""
    first = [1]
    for report in reports:
        first.append(first[-1] + len(report.verdicts))
    return first[:-1]


def _theory_lines(analysis: Analysis) -> Iterator[_Line]:
    t = analysis.theory
    yield _title("Theory {}", t.name)
    for field in t.fields:
        if isinstance(field, ComplexField):
            yield _item("complex field ${} = {} + i {}$", sp.Symbol(field.name, real=True), *field.components)
        elif isinstance(field, VectorField):
            yield _item("real field {} with components ${}$", field.name, field.components)
        else:
            yield _item("real scalar field ${}$", field)
    yield _item(
        "sites: {}, $V = {}$, $n = {}$ real degrees of freedom",
        str(t.lattice),
        sp.Integer(t.lattice.volume),
        sp.Integer(t.degrees_of_freedom),
    )
    for parameter in t.parameters:
        if parameter.name in t.defaults:
            yield _item("coupling ${}$, by default ${}$", parameter, _number(t.defaults[parameter.name]))
        else:
            yield _item("coupling ${}$, without a default", parameter)
    yield _say("The target density is $p(x) = exp(−S(x))/Z$ with")
    yield _equation("S = {}", t.action)


def _symmetry_lines(
    report: SymmetryReport | LieReport, components: Sequence[FieldComponent], first: int
) -> Iterator[_Line]:
    name, status = report.symmetry.name, report.status
    if isinstance(report, LieReport):
        yield _section("Symmetry {}: {}", name, status)
        yield _say("Infinitesimal generators, $x ↦ exp(θT)x$ on the components of $x$:")
    else:
        yield _section("Symmetry {}, order {}: {}", name, str(report.group.order), status)
        if getattr(report.symmetry, "use", "modulate") != "modulate":
            yield _say("It is verified and left to the flow (equivariant): nothing is modulated with it.")
    for k, verdict in enumerate(report.verdicts, start=first):
        matrix, sites = verdict.generator.matrix, verdict.generator.sites
        if matrix.rows <= _MATRIX_SIZE:
            yield _equation("T_{} = {}", sp.Integer(k), matrix)
        else:
            moved = _images(matrix, components, infinitesimal=isinstance(report, LieReport))
            yield _say(f"$T_{{}}$: {', '.join(['${} ↦ {}$'] * (len(moved) // 2))}", sp.Integer(k), *moved)
        if not sites.is_identity:
            yield _say("$T_{}$ moves the sites, {}.", sp.Integer(k), str(sites))
        yield _item("$T_{}$ is {}: {}.", sp.Integer(k), verdict.status, verdict.evidence)
        if verdict.status != "exact":
            change = "L_(T_{}) S = {}" if isinstance(report, LieReport) else "S∘T_{} − S = {}"
            yield _equation(change, sp.Integer(k), verdict.residual)


def _images(
    matrix: sp.ImmutableMatrix, components: Sequence[FieldComponent], *, infinitesimal: bool
) -> list[sp.Expr]:
    """φ, (Tφ), χ, (Tχ), … for the components that a generator moves."""
    images = matrix * sp.Matrix(components)
    found: list[sp.Expr] = []
    for component, image in zip(components, images.flat(), strict=True):
        if image != (0 if infinitesimal else component):
            found += [component, cast(sp.Expr, image)]
    return found


def _split_lines(analysis: Analysis) -> Iterator[_Line]:
    yield _section("The split of the action")
    yield _equation("S = S₀ + S₁, S₁ = {}", analysis.breaking)
    if analysis.breaking == 0:
        yield _say("$S₀ = S$ is invariant under all groups that are modulated with; this is proved.")
        return
    yield _say("$S₀$ is invariant under all groups that are modulated with, $S₁$ is what they change.")
    if any(v.status == "undecided" for r in (*analysis.reports, *analysis.lie_reports) for v in r.verdicts):
        yield _say(
            "Some invariance was not decided: every term that could not be proved invariant is counted in "
            "$S₁$. This is always correct and costs only evaluations."
        )


def _domain_lines(analysis: Analysis) -> Iterator[_Line]:
    domain, group = analysis.domain, analysis.group
    k = len(domain.collective)
    order = sp.Integer(group.order)
    yield _section("The finite group: order {}", str(group.order))
    yield _say("Collective coordinate, with $⟨·⟩$ the mean over the sites; $c(T_g x) = D_g c(x)$:")
    yield _equation("c = " + _vector("⟨{}⟩", k), *domain.collective)
    reference, walls = _walls(analysis)
    inner = "aᵀ b" if _orthogonal(domain.representation) else "aᵀ B b"
    yield _say(
        f"The fundamental domain (of Dirichlet), with $⟨a, b⟩ = {inner}$"
        + ("" if inner == "aᵀ b" else ", $B = Σ_g D_gᵀ D_g / |G|$")
        + ", around the reference"
    )
    yield _equation("ρ = {}", reference)
    yield _say("which no element but the identity leaves in place ($ρ$ up to its length):")
    yield _equation("Ω = { x : ⟨c(x), ρ⟩ ≥ ⟨c(x), D_g ρ⟩ for all g ∈ G }")
    yield _say("Walls, redundant ones removed, with the element that leads to the other side:")
    for j, (wall, neighbour) in enumerate(zip(walls, domain.neighbours, strict=True), start=1):
        yield _equation("λ_{} = {} ≤ 0", sp.Integer(j), wall)
        element = group.elements[neighbour]
        if element.matrix.rows <= _MATRIX_SIZE:
            yield _item("$λ_{}$: towards $T_u Ω$, $T_u = {}$", sp.Integer(j), element.matrix)
    if any(wall.atoms(sp.Float) for wall in walls):
        yield _say("The reference is numerical: walls that depend on it are given to six digits.")
    yield _say("Modulation and its inverse:")
    n = "R(n) " if analysis.lie_reports else ""
    yield _equation(f"x = T_u {n}y, y ∈ Ω, u = argmax_g ⟨c(x), D_g ρ⟩, {n and 'R(n) '}y = T_u⁻¹ x")
    yield _equation("log |J| = log |det T_u| = 0")
    if analysis.breaking == 0:
        yield _say("The law of $u$ is uniform, which is exact; its normaliser is $|G|$:")
        yield _equation("p(u|y) = 1/|G| = {}", 1 / order)
        return
    given = "y, n" if analysis.lie_reports else "y"
    yield _say("The law of $u$ is the heat bath, the exact conditional; its normaliser is $W$:")
    yield _equation(f"p(u|{given}) = exp(−S₁(T_u {n}y))/W, W = Σ_(v ∈ G) exp(−S₁(T_v {n}y))")
    if not analysis.lie_reports:
        yield _say("The flow then sees the effective action")
        yield _equation("S_eff(y) = S₀(y) − log Σ_(u ∈ G) exp(−S₁(T_u y))")


def _slice_lines(analysis: Analysis, i: int) -> Iterator[_Line]:
    report = analysis.lie_reports[i]
    s, several = report.slice, len(analysis.lie_reports) > 1
    n = s.dimension
    label = f"_{i + 1}" if several else ""
    yield _section(
        "The slice of {}" + (", with its own $M$, $r$, $n$, $Δ$, $a$ and $R$" if several else ""),
        report.symmetry.name,
    )
    yield _say("Collective coordinate:")
    yield _equation(f"M = V^(−1/2) Σ_x {_vector('{}', n)}", *report.symmetry.collective)
    yield _say("The slice and its gauge conditions:")
    conditions = ", ".join(f"χ_{a} = M_{a}(y) = 0" for a in range(2, n + 1))
    yield _equation(f"M_1(y) = r > 0, {conditions}")
    yield _say("Generators with $K_b e_1 = e_b$:")
    for b, matrix in enumerate(s.basis, start=2):
        if matrix.rows <= _MATRIX_SIZE:
            yield _equation(f"K_{b} = {{}}", matrix)
        else:
            moved = _images(matrix, analysis.theory.components, infinitesimal=True)
            yield _say(f"$K_{b}$: {', '.join(['${} ↦ {}$'] * (len(moved) // 2))}", *moved)
    yield _say(f"Modulation by the least rotation with $R(n) e_1 = n$, $n ∈ S^{n - 1}$:")
    powers = [(j, a) for j, a in enumerate(_rotation(s)) if a != 0]
    terms = " + ".join("{} A^({})" if j > 1 else "{} A" if j else "{}" for j, _ in powers)
    values: list[sp.Expr] = []
    for j, a in powers:
        values += [sp.Symbol("1")] if j == 0 and a == 1 else [a]
        values += [sp.Integer(j)] if j > 1 else []
    direction = " + ".join(f"m_{b} K_{b}" for b in range(2, n + 1))
    yield _equation(f"x = R(n) y, R(n) = exp(α A) = {_grouped(terms, values)}", *values)
    yield _equation(f"A = {direction}, n = (cos α, m sin α), |m| = 1, 0 ≤ α ≤ π")
    yield _say("Faddeev–Popov determinant, the Jacobian of the modulation:")
    yield _equation("Δ = |det_(ab) ∇χ_a·(K_b y)| = {}, d^n x = Δ dy dn, log |J| = log Δ", s.determinant)
    area = cast(sp.Expr, sp.simplify(2 * sp.pi ** sp.Rational(n, 2) / sp.gamma(sp.Rational(n, 2))))
    yield _say("Orbit, with its surface measure $dn$:")
    yield _equation(f"G/H = S^{n - 1}, |S^{n - 1}| = {{}} = {{}}", area, cast(sp.Expr, area.evalf(6)))
    gauge = ", ".join(f"M_{a}" for a in range(2, n + 1))
    yield _say(
        f"Completion: the flow keeps the shape of the lattice; what it gives for ${gauge}$ are auxiliary "
        f"coordinates $a{label}$, which the target has as independent $N(0, 1)$."
    )
    yield from _orbit_law_lines(analysis, n)


def _orbit_law_lines(analysis: Analysis, n: int) -> Iterator[_Line]:
    sphere = f"1/|S^{n - 1}|"
    if analysis.orbit_law == "uniform":
        yield _say("The law of $n$ is uniform, which is exact; its normaliser is the area of the orbit:")
        yield _equation(f"p(n|y) = {sphere}")
    elif analysis.orbit_law == "von_mises":
        assert analysis.source is not None
        size = sp.sqrt(sp.Add(*(h**2 for h in analysis.source)))
        root = sp.sqrt(analysis.theory.lattice.volume)
        kappa = sp.Symbol("κ_n", positive=True)
        yield _say("$S₁ = √V j·M = √V r j·n$ is linear:")
        yield _equation("j = {}", analysis.source)
        name = "von Mises" if n == 2 else "von Mises–Fisher"
        yield _say(f"The law of $n$ is that of {name}, the exact conditional; its normaliser is $W$:")
        yield _equation(
            "p(n|y) = exp(−√V r j·n)/W(κ_n), κ_n = √V r |j| = {}", sp.simplify(root * size) * sp.Symbol("r")
        )
        general = "W(κ_n) = (2π)^(N/2) I_(N/2−1)(κ_n)/κ_n^(N/2−1)"
        if n == 3:
            yield _equation(f"{general} = {{}}, N = 3", 4 * sp.pi * sp.sinh(kappa) / kappa)
        elif n == 2:
            yield _equation(f"{general} = 2π I_0(κ_n), N = 2")
        else:
            yield _equation(f"{general}, N = {n}")
    elif analysis.orbit_law == "tabulated":
        finite = analysis.group.order > 1
        weight = "Σ_(u ∈ G) exp(−S₁(T_u R(θ) y))" if finite else "exp(−S₁(R(θ) y))"
        yield _say(f"The law of $n = (cos θ, sin θ)$ is tabulated at {NODES} equidistant angles:")
        yield _equation(f"p(θ_j|y) = f(θ_j)/W, f(θ) = {weight}, W = (2π/{NODES}) Σ_j f(θ_j)")
        yield _say(
            "and linear in between. It is not the exact conditional, but its own value is the one in "
            "$log q$: the weights are exact."
        )
    else:
        yield _say("No exact conditional law is known for this orbit: the law of $n$ is uniform,")
        yield _equation(f"p(n|y) = {sphere}")
        yield _say("which is not the exact conditional; the weights correct for it.")


def _density_lines(analysis: Analysis) -> Iterator[_Line]:
    yield _section("The density of the sampler")
    count = len(analysis.lie_reports)
    labels = [f"_{i + 1}" for i in range(count)] if count > 1 else [""] * count
    auxiliary = "".join(f", a{label}" for label in labels)
    parts = [f"log q(x) = log q̃(y{auxiliary})"]
    parts += [f" + log p(n{label}|y) − log Δ{label} − log N(a{label})" for label in labels]
    if analysis.group.order > 1:
        given = (
            "y" if not count or analysis.breaking == 0 else "y" + "".join(f", n{label}" for label in labels)
        )
        parts.append(f" + log p(u|{given})")
    yield _equation("".join(parts))
    if count:
        yield _say("with $N(a)$ the standard normal density of the auxiliary coordinates.")
        turn = " ".join(f"R{label}(n{label})" for label in labels)
        element = "T_u " if analysis.group.order > 1 else ""
        yield _say(f"The configuration is $x = {element}{turn} y$.")
    if analysis.orbit_law == "von_mises":
        yield _say("$n$ is integrated out: the weight does not depend on it.")
    yield _say(
        "The weight of a sample is $w = exp(−S(x))/q(x)$; it is exact for every law with a known density."
    )


def _rotation(slice_: Slice) -> list[sp.Expr]:
    """Coefficients a_j(α) of exp(αA) = Σ_j a_j A^j, reduced by A Π_k (A² + k²) = 0."""
    angle, coefficients = rotation_coefficients(slice_)
    a = sp.Symbol("A")
    vanishing = a * sp.prod([a**2 + k**2 for k in slice_.speeds])
    total = sp.Add(*(c.subs(angle, sp.Symbol("α", real=True)) * a**j for j, c in enumerate(coefficients)))
    reduced = sp.Poly(total, a).rem(sp.Poly(vanishing, a))
    return [cast(sp.Expr, sp.expand(c)) for c in reversed(reduced.all_coeffs())]


def _vector(entry: str, count: int) -> str:
    return f"({', '.join([entry] * count)})"


def _grouped(terms: str, values: list[sp.Expr]) -> str:
    """Parentheses around the coefficients that are sums."""
    pieces = terms.split("{}")
    shown = pieces[0]
    for value, rest in zip(values, pieces[1:], strict=True):
        shown += ("({})" if isinstance(value, sp.Add) else "{}") + rest
    return shown


def _number(value: float) -> sp.Expr:
    """A default as it was written, or six digits of what was computed."""
    if abs(value - round(value)) < _SAME:
        return sp.Integer(round(value))
    return sp.Float(repr(value)) if len(repr(value)) <= 8 else sp.Float(value, 6)


def _orthogonal(matrices: np.ndarray) -> bool:
    products = np.einsum("gab,gac->gbc", matrices, matrices)
    return bool(np.abs(products - np.eye(matrices.shape[1])).max(initial=0.0) < _SAME)


def _walls(analysis: Analysis) -> tuple[tuple[sp.Expr, ...], list[sp.Expr]]:
    """(ρ, λ_j in the symbols c_1 … c_k): exact where ρ has a rational direction or the wall is a mirror."""
    domain = analysis.domain
    symbols = [sp.Symbol(f"c_{a + 1}", real=True) for a in range(len(domain.reference))]
    direction = _rational_direction(domain.reference)
    digits = tuple(_digits(v) for v in domain.reference)
    walls = []
    for normal, facet in zip(_exact_normals(analysis, direction), domain.facets, strict=True):
        if normal is None:
            normal = [_digits(v) for v in facet]
        walls.append(sp.Add(*(a * c for a, c in zip(normal, symbols, strict=True))))
    return digits if direction is None else tuple(direction.flat()), walls


def _digits(value: float) -> sp.Expr:
    return sp.Integer(round(value)) if abs(value - round(value)) < _SAME else sp.Float(value, 6)


def _rational_direction(vector: np.ndarray) -> sp.Matrix | None:
    """The primitive integer vector along ``vector``, None if there is no simple one."""
    ratios = [Fraction(float(v)).limit_denominator(12) for v in vector / np.abs(vector).max()]
    if max(abs(float(q) - v) for q, v in zip(ratios, vector / np.abs(vector).max(), strict=True)) > _SAME:
        return None
    scale = lcm(*(q.denominator for q in ratios))
    return sp.Matrix([sp.Integer(int(q * scale)) for q in ratios])


def _exact_normals(analysis: Analysis, direction: sp.Matrix | None) -> list[list[sp.Expr] | None]:
    """(D_g ρ − ρ)ᵀ B for the neighbours, None where it cannot be had exactly and confirmed numerically."""
    domain, group = analysis.domain, analysis.group
    rows = sp.Matrix([linear_row(e, analysis.theory.components, str(e)) for e in domain.collective])
    inverse = rows.T * (rows * rows.T).inv()
    metric = sp.eye(rows.rows)
    if not _orthogonal(domain.representation):
        if group.order > _EXACT_ORDER:
            return [None] * len(domain.facets)
        images = [rows * g.matrix * inverse for g in group.elements]
        metric = sum((d.T * d for d in images), sp.zeros(*metric.shape)) / group.order
    normals: list[list[sp.Expr] | None] = []
    for neighbour, facet in zip(domain.neighbours, domain.facets, strict=True):
        change = rows * group.elements[neighbour].matrix * inverse - sp.eye(rows.rows)
        if direction is not None:
            moved = [change * direction]
        else:  # for a mirror all columns are parallel, and so is (D − 1)ρ whatever ρ is
            moved = [sign * change[:, a] for a in range(change.cols) for sign in (1, -1)]
        found = (_primitive([cast(sp.Expr, sp.expand(v)) for v in m.T * metric]) for m in moved)
        normals.append(next((normal for normal in found if _is_parallel(normal, facet)), None))
    return normals


def _is_parallel(normal: list[sp.Expr], facet: np.ndarray) -> bool:
    value = np.array([float(entry) for entry in normal])
    return bool(np.any(value) and np.abs(value / np.linalg.norm(value) - facet).max() < 1e-9)


def _primitive(vector: list[sp.Expr]) -> list[sp.Expr]:
    """Without a common rational factor."""
    factors = [entry.as_content_primitive()[0] for entry in vector if entry != 0]
    common = sp.gcd_list(factors) if factors else sp.S.One
    return [cast(sp.Expr, sp.expand(entry / common)) for entry in vector]


# How it looks

_FUNCTIONS = ("argmax", "log", "exp", "det", "cos", "sin", "eff", "for all")
_OPERATORS = {
    **{c: c for c in "+=()[]|,:/<>"},
    "−": "-",
    "{": r"\{",
    "}": r"\}",
    "·": r"\cdot",
    "…": r"\ldots",
    "≤": r"\leq",
    "≥": r"\geq",
    "∈": r"\in",
    "∘": r"\circ",
    "↦": r"\mapsto",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    "∇": r"\nabla",
    "Σ": r"\sum",
}
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_GREEK: dict[str, str] = {str(char): name for name, char in greek_unicode.items() if name != "lamda"}
_TOKEN = re.compile(r"\{\}|⁻¹|ᵀ|[₀-₉]+|\d+|[^\W\d_]\u0303?|\S")
_WORD = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(_FUNCTIONS)})(?![A-Za-z])")


@dataclass(frozen=True)
class _Node:
    """A piece of a formula: a token, a value, or pieces with a meaning."""

    kind: Literal["row", "letter", "word", "number", "operator", "value", "tilde", "root", "script", "space"]
    content: Any = None
    parts: tuple[_Node | None, ...] = ()


def _parse(template: str, values: Iterator[Any]) -> _Node:
    tokens: list[str] = []
    position = 0
    while position < len(template):
        match = _WORD.match(template, position) or _TOKEN.match(template, position)
        if match is None:
            position += 1
            continue
        tokens.append(match.group())
        position = match.end()
        if tokens[-1] == "," and template[position : position + 1] == " ":
            tokens.append(" ")
    return _parse_row(tokens, values, closing=None)


def _parse_row(tokens: list[str], values: Iterator[Any], closing: str | None) -> _Node:
    nodes: list[_Node] = []
    depth = 0
    while tokens:
        if tokens[0] == closing and depth == 0:
            tokens.pop(0)
            break
        depth += (tokens[0] in "(⟨") - (tokens[0] in ")⟩")
        if tokens[0] == " " and depth:
            tokens.pop(0)  # only commas between statements are set apart
            continue
        nodes.append(_parse_scripted(tokens, values))
    return _Node("row", parts=tuple(nodes))


def _parse_scripted(tokens: list[str], values: Iterator[Any]) -> _Node:
    base = _parse_atom(tokens, values)
    below: _Node | None = None
    above: _Node | None = None
    while tokens and (tokens[0] in ("_", "^", "⁻¹", "ᵀ") or tokens[0][0] in "₀₁₂₃₄₅₆₇₈₉"):
        mark = tokens.pop(0)
        if mark == "ᵀ":
            above = _Node("letter", "T")
        elif mark == "⁻¹":
            above = _Node("row", parts=(_Node("operator", "−"), _Node("number", "1")))
        elif mark not in "_^":
            below = _Node("number", mark.translate(_SUBSCRIPTS))
        else:
            if tokens[0] == "(":
                tokens.pop(0)
                script = _parse_row(tokens, values, closing=")")
            else:
                script = _parse_atom(tokens, values)
            below, above = (script, above) if mark == "_" else (below, script)
    return base if below is above is None else _Node("script", parts=(base, below, above))


def _parse_atom(tokens: list[str], values: Iterator[Any]) -> _Node:
    token = tokens.pop(0)
    if token == "{}":
        return _Node("value", next(values))
    if token == "√":
        return _Node("root", parts=(_parse_atom(tokens, values),))
    if token == " ":
        return _Node("space")
    if token in _FUNCTIONS:
        return _Node("word", token)
    if token.isdigit():
        return _Node("number", token)
    if token in _OPERATORS:
        return _Node("operator", token)
    if token.endswith("\u0303"):
        return _Node("tilde", token[0])
    return _Node("letter", token)


class _Writer(ABC):
    """One format."""

    @abstractmethod
    def document(self, lines: Sequence[_Line]) -> str:
        """The whole derivation."""

    @abstractmethod
    def escape(self, text: str) -> str:
        """Prose and names."""

    @abstractmethod
    def formula(self, template: str, values: Iterator[Any], display: bool) -> str:
        """A formula in the running text, or the content of one on lines of its own."""

    def line(self, line: _Line) -> str:
        """A line with its values filled in."""
        values = iter(line.values)
        pieces = []
        for i, piece in enumerate(line.template.split("$")):
            if i % 2:
                pieces.append(self.formula(piece, values, line.kind == "equation"))
            else:
                first, *rest = piece.split("{}")
                pieces.append(
                    self.escape(first) + "".join(self.escape(next(values)) + self.escape(p) for p in rest)
                )
        return "".join(pieces)


class _Text(_Writer):
    def document(self, lines: Sequence[_Line]) -> str:
        out = []
        for line in lines:
            text = self.line(line)
            if line.kind == "title":
                out += [text, "=" * len(text)]
            elif line.kind == "section":
                out += ["", text, "-" * len(text)]
            else:
                out.append({"item": "- ", "equation": "    "}.get(line.kind, "") + text)
        return "\n".join(out)

    def escape(self, text: str) -> str:
        return text

    def formula(self, template: str, values: Iterator[Any], display: bool) -> str:
        first, *rest = template.split("{}")
        return first + "".join(self.value(next(values)) + piece for piece in rest)

    def value(self, value: Any) -> str:
        if isinstance(value, sp.MatrixBase):
            rows = (", ".join(map(self.value, value.row(i))) for i in range(value.rows))
            return f"[{'; '.join(rows)}]"
        if isinstance(value, tuple):
            return f"({', '.join(map(self.value, value))})"
        return sp.sstr(value, full_prec=False)


class _Markup(_Writer):
    """What LaTeX and HTML have in common: they set parsed formulas."""

    def node(self, node: _Node) -> str:
        """A piece of a formula."""
        if node.kind == "value":
            return self.value(node.content)
        return self.token(node.kind, node.content, [p and self.node(p) for p in node.parts])

    def value(self, value: Any) -> str:
        """A value."""
        if isinstance(value, tuple):
            return self.vector([self.expression(_without_trivial_sums(v)) for v in value])
        return self.expression(value if isinstance(value, sp.MatrixBase) else _without_trivial_sums(value))

    @abstractmethod
    def token(self, kind: str, content: Any, parts: list[str | None]) -> str:
        """Everything but values; the parts are set already."""

    @abstractmethod
    def vector(self, entries: list[str]) -> str:
        """Entries in parentheses."""

    @abstractmethod
    def expression(self, expr: Any) -> str:
        """A SymPy expression or matrix."""


def _without_trivial_sums(expr: sp.Expr) -> sp.Expr:
    """A sum over a single site is its summand."""
    trivial = {node: node.density for node in expr.atoms(SiteSum) if node.lattice.volume == 1}
    return expr.xreplace(trivial) if trivial else expr  # type: ignore[arg-type]


def _name_parts(name: str) -> tuple[str, list[str]]:
    """``phi_re`` as (phi, [re]); underscores without a name between them are dropped."""
    base, *scripts = [part for part in name.split("_") if part] or [name]
    return base, scripts


def _site(component: FieldComponent) -> list[tuple[str, int, int]]:
    """The steps of a shifted field: (sign, number of steps, direction)."""
    offsets = zip(component.offset, component.lattice.shape, strict=True)
    steps = [o if 2 * o <= extent else o - extent for o, extent in offsets]
    return [("+" if step > 0 else "−", abs(step), mu) for mu, step in enumerate(steps) if step]


class _LatexPrinter(LatexPrinter):
    def __init__(self) -> None:
        super().__init__()
        self._summing = False

    def _print(self, expr: Any, **kwargs: Any) -> str:
        if isinstance(expr, SiteSum):  # their own methods do not know whether there is a sum around them
            return self._print_SiteSum(expr)
        if isinstance(expr, FieldComponent):
            return self._print_FieldComponent(expr)
        return cast(str, super()._print(expr, **kwargs))

    def _print_SiteSum(self, expr: SiteSum) -> str:
        before, self._summing = self._summing, True
        density = self._print(expr.density)
        self._summing = before
        return rf"\sum_{{x}} \left[{density}\right]"

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        return self._named(expr.name, [])

    def _print_FieldComponent(self, expr: FieldComponent) -> str:
        steps = "".join(
            f"{'-' if sign == '−' else sign}{k if k > 1 else ''}\\hat{{{mu}}}" for sign, k, mu in _site(expr)
        )
        return self._named(expr.label, [f"x{steps}"] if self._summing or steps else [])

    def _named(self, name: str, more: list[str]) -> str:
        base, scripts = _name_parts(name)
        scripts = [_latex_letters(s) for s in scripts] + more
        return _latex_letters(base) + (f"_{{{','.join(scripts)}}}" if scripts else "")

    def _print_log(self, expr: sp.Expr, exp: str | None = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        return (
            rf"\log{power} \left({self._print(expr.args[0])}\right)"  # no braces: lines can be broken inside
        )

    def parenthesize(self, item: Any, level: int, is_neg: bool = False, strict: bool = False) -> str:
        if isinstance(item, SiteSum) and level >= PRECEDENCE["Pow"]:
            return rf"\left({self._print(item)}\right)"
        return super().parenthesize(item, level, is_neg=is_neg, strict=strict)


def _latex_letters(text: str) -> str:
    text = _GREEK.get(text, text)
    if text in greek_unicode:
        return str(tex_greek_dictionary.get(text, f"\\{text}"))
    if (len(text) == 1 and text.isascii()) or text.isdigit():
        return text
    return rf"\mathrm{{{text}}}" if text.isascii() else rf"\text{{{_escape_latex(text)}}}"


_LATEX_SPECIAL = {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "’": "'",
    "×": r"$\times$",
    "⋉": r"$\ltimes$",
    "⋊": r"$\rtimes$",
    "·": r"$\cdot$",
    "−": "$-$",
    "→": r"$\to$",
    "↔": r"$\leftrightarrow$",
    "∞": r"$\infty$",
    "ⁿ": "$^n$",
    **{c: f"$_{i}$" for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    **{c: rf"${_latex_letters(c)}$" for c in _GREEK if len(c) == 1},
    **{c: f"${latex}$" for c, latex in _OPERATORS.items() if latex.startswith("\\")},
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX_SPECIAL.get(c, c) for c in text)


class _Latex(_Markup):
    def __init__(self) -> None:
        self._printer = _LatexPrinter()

    def document(self, lines: Sequence[_Line]) -> str:
        out = ["% needs amsmath"]
        for kind, group in groupby(lines, key=lambda line: line.kind):
            texts = [self.line(line) for line in group]
            if kind in ("title", "section"):
                out += [f"\\{'section' if kind == 'title' else 'subsection'}*{{{text}}}" for text in texts]
            elif kind == "item":
                out += [r"\begin{itemize}", *(rf"  \item {text}" for text in texts), r"\end{itemize}"]
            elif kind == "equation":
                out += [r"\begin{align*}", " \\\\\n".join(f"  & {text}" for text in texts), r"\end{align*}"]
            else:
                out += texts
        return "\n".join(out)

    def escape(self, text: str) -> str:
        return _escape_latex(text)

    def formula(self, template: str, values: Iterator[Any], display: bool) -> str:
        text = self.node(_parse(template, values))
        return _broken(text) if display else f"${text}$"

    def token(self, kind: str, content: Any, parts: list[str | None]) -> str:
        if kind == "row":
            return " ".join(part for part in parts if part is not None)
        if kind == "operator":
            return _OPERATORS[content]
        if kind == "tilde":
            return rf"\tilde{{{content}}}"
        if kind == "root":
            return rf"\sqrt{{{parts[0]}}}"
        if kind == "space":
            return r"\quad"
        if kind == "word":
            special = {
                "for all": r"\;\text{for all}\;",
                "eff": r"\mathrm{eff}",
                "argmax": r"\operatorname*{argmax}",
            }
            return special.get(content, f"\\{content}")
        if kind == "script":
            base, below, above = parts
            return f"{base}{f'_{{{below}}}' if below else ''}{f'^{{{above}}}' if above else ''}"
        return _latex_letters(content)

    def vector(self, entries: list[str]) -> str:
        return rf"\left({', '.join(entries)}\right)"

    def expression(self, expr: Any) -> str:
        if isinstance(expr, sp.MatrixBase):
            rows = [
                " & ".join(self._printer.doprint(entry) for entry in expr.row(i)) for i in range(expr.rows)
            ]
            return r"\begin{pmatrix} " + r" \\ ".join(rows) + r" \end{pmatrix}"
        return self._printer.doprint(expr)


_BREAK = re.compile(r"\\left|\\right|\\begin\{\w+\}|\\end\{\w+\}|\\[A-Za-z]+|\\.|[{}]| [+-] |.", re.DOTALL)


def _broken(formula: str) -> str:
    r"""A long formula on several lines of an align* environment, broken at its outer sums.

    \left and \right must be on one line: outside braces they become \bigl and \bigr.
    """
    tokens = _BREAK.findall(formula)
    if sum(map(_width, tokens)) <= _WIDTH:
        return formula
    out: list[str] = []
    depth = width = 0
    for token in tokens:
        depth += (token == "{" or token.startswith(r"\begin")) - (token == "}" or token.startswith(r"\end"))
        if depth == 0 and token in (r"\left", r"\right"):
            token = r"\bigl" if token == r"\left" else r"\bigr"
        if depth == 0 and token in (" + ", " - ") and width > _WIDTH // 2:
            out.append(f" \\\\\n  & \\quad {token.strip()} ")
            width = 4
            continue
        width += _width(token)
        out.append(token)
    return "".join(out)


def _width(token: str) -> int:
    """Characters of a token in print, roughly."""
    if token in ("{", "}", "_", "^", " ", r"\left", r"\right"):
        return 0
    return (
        3
        if token in (" + ", " - ")
        else len(token) - 1
        if token in (r"\log", r"\exp", r"\cosh", r"\sinh")
        else 1
    )


class _MathMLPrinter(MathMLPresentationPrinter):
    def __init__(self) -> None:
        super().__init__({"mat_delim": "("})
        self._summing = False
        self.dom = Document()  # the base class writes text without escaping it, "<" among it

    def _tag(self, tag: str, *children: Element | str) -> Element:
        element = self.dom.createElement(tag)
        for child in children:
            element.appendChild(self.dom.createTextNode(child) if isinstance(child, str) else child)
        return element

    def mathml_tag(self, e: Any) -> str:
        return _characters(super().mathml_tag(e))

    def doprint(self, expr: Any) -> str:
        return cast(Element, self._print(expr)).toxml()

    def _print_SiteSum(self, expr: SiteSum) -> Element:
        before, self._summing = self._summing, True
        density = cast(Element, self._print(expr.density))
        self._summing = before
        sign = self._tag("munder", self._tag("mo", "∑"), self._tag("mi", "x"))
        return self._tag("mrow", sign, self._tag("mo", "["), density, self._tag("mo", "]"))

    def _print_Symbol(self, sym: sp.Symbol, style: str = "plain") -> Element:
        return self._named(sym.name, [])

    def _print_FieldComponent(self, expr: FieldComponent) -> Element:
        site = [self._tag("mi", "x")]
        for sign, count, mu in _site(expr):
            site += [self._tag("mo", sign), *([self._tag("mn", str(count))] if count > 1 else [])]
            site.append(self._tag("mover", self._tag("mn", str(mu)), self._tag("mo", "^")))
        return self._named(expr.label, [self._tag("mrow", *site)] if self._summing or len(site) > 1 else [])

    def _named(self, name: str, more: list[Element]) -> Element:
        base, scripts = _name_parts(name)
        nodes = [self._letters(s) for s in scripts] + more
        if not nodes:
            return self._letters(base)
        separated = [n for node in nodes for n in (self._tag("mo", ","), node)][1:]
        return self._tag("msub", self._letters(base), self._tag("mrow", *separated))

    def _letters(self, text: str) -> Element:
        return self._tag("mn" if text.isdigit() else "mi", str(greek_unicode.get(text, text)))

    def _print_Pi(self, e: Any) -> Element:
        return self._tag("mi", "π")

    def _print_Exp1(self, e: Any) -> Element:
        return self._tag("mi", "e")

    def _print_exp(self, expr: sp.Expr) -> Element:
        return self._tag("msup", self._tag("mi", "e"), cast(Element, self._print(expr.args[0])))

    def parenthesize(self, item: Any, level: int, strict: bool = False) -> Element:
        if isinstance(item, SiteSum) and level >= PRECEDENCE["Pow"]:
            inner = cast(Element, self._print(item))
            return self._tag("mrow", self._tag("mo", "("), inner, self._tag("mo", ")"))
        return cast(Element, super().parenthesize(item, level, strict=strict))


def _characters(text: str) -> str:
    """The entities of MathML as characters: outside a MathML document type they are not defined."""
    named = {"InvisibleTimes": "\u2062", "dd": "d", "ImaginaryI": "i", "ExponentialE": "e"}
    text = re.sub(r"&#x([0-9A-Fa-f]+);", lambda m: chr(int(m[1], 16)), text)
    return re.sub(r"&(\w+);", lambda m: named.get(m[1]) or chr(name2codepoint.get(m[1], 0xFFFD)), text)


_STYLE = """\
body { max-width: 60rem; margin: 2rem auto; padding: 0 1.5rem; font: 1rem/1.5 Georgia, serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #c9d0d8; }
math { font-size: 1.05em; } .equation { overflow-x: auto; padding: 0.2rem 0 0.2rem 2rem; }
mtd { padding: 0.1em 0.5em; }"""


class _Html(_Markup):
    def __init__(self) -> None:
        self._printer = _MathMLPrinter()

    def document(self, lines: Sequence[_Line]) -> str:
        title = html.escape(str(lines[0].values[0]))
        out = [
            "<!DOCTYPE html>",
            '<html lang="en">',
            f'<head><meta charset="utf-8"/><title>{title}</title>\n<style>\n{_STYLE}\n</style></head>',
            "<body>",
        ]
        tags = {
            "title": "<h1>{}</h1>",
            "section": "<h2>{}</h2>",
            "paragraph": "<p>{}</p>",
            "item": "  <li>{}</li>",
        }
        for kind, group in groupby(lines, key=lambda line: line.kind):
            texts = [
                tags.get(kind, '<div class="equation">{}</div>').format(self.line(line)) for line in group
            ]
            out += ["<ul>", *texts, "</ul>"] if kind == "item" else texts
        return "\n".join([*out, "</body>", "</html>"])

    def escape(self, text: str) -> str:
        return html.escape(text)

    def formula(self, template: str, values: Iterator[Any], display: bool) -> str:
        style = "block" if display else "inline"
        return f'<math display="{style}">{self.node(_parse(template, values))}</math>'

    def token(self, kind: str, content: Any, parts: list[str | None]) -> str:
        if kind == "row":
            return f"<mrow>{''.join(part for part in parts if part is not None)}</mrow>"
        if kind == "tilde":
            return f"<mover><mi>{content}</mi><mo>~</mo></mover>"
        if kind == "root":
            return f"<msqrt>{parts[0]}</msqrt>"
        if kind == "space":
            return '<mspace width="0.8em"/>'
        if content == "for all":
            return f'<mspace width="0.3em"/><mtext>{content}</mtext><mspace width="0.3em"/>'
        if kind == "script":
            base, below, above = parts
            tag = "msubsup" if below and above else "msub" if below else "msup"
            return f"<{tag}>{base}{below or ''}{above or ''}</{tag}>"
        if kind == "operator":
            content = "∑" if content == "Σ" else content
            stretched = ' stretchy="false"' if content in "()[]|⟨⟩" else ""
            return f"<mo{stretched}>{html.escape(content)}</mo>"
        tag = "mn" if kind == "number" else "mi"
        return f"<{tag}>{html.escape(content)}</{tag}>"

    def vector(self, entries: list[str]) -> str:
        return f"<mrow><mo>(</mo>{'<mo>,</mo>'.join(entries)}<mo>)</mo></mrow>"

    def expression(self, expr: Any) -> str:
        return self._printer.doprint(expr)
