"""The lines on the finite group: its fundamental domain, with exact walls, and its law p(u|y)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import lcm

import numpy as np
import sympy as sp

from ...groups.angles import feature_matrix, features
from ...groups.element import Element
from ...groups.symmetry import linear_row
from ...laws.autoregressive import Together
from ...symbols.fields import FieldComponent
from ..findings import Findings, SymmetryReport
from .lines import Line, equation, fits, item, map_line, number, say, section, vector

_LISTED = 24  # largest order of a group whose elements are listed
_EXACT_ORDER = 64  # largest order for which the invariant inner product is averaged exactly
_SAME = 1e-12


def finite_lines(analysis: Findings) -> Iterator[Line]:
    """Lines on the collective coordinate, the domain, the modulation and the law."""
    domain, group = analysis.domain, analysis.group
    yield section(f"The finite group: order {group.order}{' at each block' if analysis.axes else ''}")
    if 1 < group.order <= _LISTED:
        yield say("Its elements $T_u$, where $u$ is the number of the sector; $T_0$ is the identity:")
        for u, element in enumerate(group.elements):
            if u:
                yield from _element_lines(f"T_{u}", element, analysis.theory.components)
    mean = "a block, one for each block" if analysis.axes else "the sites"
    yield say(f"Collective coordinate, with $⟨·⟩$ the mean over {mean}; $c(T_g x) = D_g c(x)$:")
    yield equation("c = " + vector("⟨{}⟩", len(domain.collective)), *domain.collective)
    centre, walls = exact_walls(analysis)
    orthogonal = _orthogonal(domain.representation)
    inner = "$⟨a, b⟩ = aᵀ b$" if orthogonal else "$⟨a, b⟩ = aᵀ B b$, $B = Σ_g D_gᵀ D_g / |G|$"
    yield say(f"The fundamental domain (of Dirichlet), with {inner}, around the reference")
    yield equation("ρ = {}", centre)
    yield say("which no element but the identity leaves in place ($ρ$ up to its length):")
    yield equation("Ω = { x : ⟨c(x), ρ⟩ ≥ ⟨c(x), D_g ρ⟩ for all g ∈ G }")
    yield say("Walls, redundant ones removed, with the element that leads to the other side:")
    for j, (wall, neighbour) in enumerate(zip(walls, domain.neighbours, strict=True), start=1):
        yield equation(f"λ_{j} = {{}} ≤ 0", wall)
        matrix, shift = group.elements[neighbour].matrix, group.elements[neighbour].shift
        if fits(matrix) and shift:
            text = f"$λ_{j}$: towards $T_u Ω$, $u = {neighbour}$, $T_u x = {{}} x + {{}}$ modulo $2π$"
            yield item(text, matrix, shift)
        elif fits(matrix):
            yield item(f"$λ_{j}$: towards $T_u Ω$, $u = {neighbour}$, $T_u = {{}}$", matrix)
    if any(wall.atoms(sp.Float) for wall in walls):
        yield say("The reference is numerical: walls that depend on it are given to six digits.")
    yield from _law_lines(analysis)


def _element_lines(name: str, element: Element, components: Sequence[FieldComponent]) -> Iterator[Line]:
    yield map_line(name, element.matrix, components, infinitesimal=False)
    if not element.sites.is_identity:
        yield say(f"${name}$ moves the sites, {{}}.", str(element.sites))
    if element.shift:
        yield say(f"${name}$ then adds the constants ${{}}$.", element.shift)


def _law_lines(analysis: Findings) -> Iterator[Line]:
    turn, given = ("R(n) ", "y, n") if analysis.lie_reports else ("", "y")
    yield say("Modulation and its inverse:")
    yield equation(f"x = T_u {turn}y, y ∈ Ω, u = argmax_g ⟨c(x), D_g ρ⟩, {turn}y = T_u⁻¹ x")
    yield equation("log |J| = log |det T_u| = 0")
    if analysis.breaking == 0:
        yield say("The law of $u$ is uniform, which is exact; its normaliser is $|G|$:")
        yield equation("p(u|y) = 1/|G| = {}", sp.Rational(1, analysis.group.order))
        return
    if analysis.sitewise is not None:
        yield from _sitewise_law_lines(analysis, analysis.sitewise)
        return
    yield say("The law of $u$ is the heat bath, the exact conditional; its normaliser is $W$:")
    yield equation(f"p(u|{given}) = exp(−S₁(T_u {turn}y))/W, W = Σ_(v ∈ G) exp(−S₁(T_v {turn}y))")
    yield from learned_lines(turn, given)
    if not analysis.lie_reports:
        yield say("The flow then sees the effective action")
        yield equation("S_eff(y) = S₀(y) − log Σ_(u ∈ G) exp(−S₁(T_u y))")


def _sitewise_law_lines(analysis: Findings, report: SymmetryReport) -> Iterator[Line]:
    yield say("Here $u = (u_1, …, u_B)$ has one entry for each block $b$, and so has $y$.")
    if report.factorised:
        yield say("No term of $S₁$ meets two blocks: the law is the heat bath of each, which is exact:")
        yield equation("log p(u|y) = Σ_b log p(u_b|y), p(u_b|y) = exp(−S₁(T_(u_b) y_b))/W_b")
        yield from learned_lines("", "y")
        return
    if analysis.sectors.joint:
        yield say("$S₁$ couples the blocks: the law is the heat bath over all sectors, which is exact:")
        yield equation("p(u|y) = exp(−S₁(T_u y))/W, W = Σ_v exp(−S₁(T_v y))")
        yield from learned_lines("", "y")
        return
    yield say("$S₁$ couples the blocks: the law of $u$ is learned, and the weights correct for it.")
    if report.diagonal == "exact":
        yield say("Turning all $u_b$ together leaves the action as it is, and so may the law.")
    together = Together.of(analysis) if analysis.chained else None
    if together is not None:
        count = len(together.elements)
        yield say("It is a chain, one block given those before, whose rows of blocks a heat bath then turns:")
        yield equation("p(u|y) = Σ_(h ∈ H) p_1(h u|y) exp(−S₁(T_u y))/W, W = Σ_(h ∈ H) exp(−S₁(T_h T_u y))")
        yield say(f"with $p_1$ the chain and $H$ the {count} elements that turn whole rows together.")


def learned_lines(turn: str, given: str) -> Iterator[Line]:
    """Lines on the learned laws that can replace the exact one."""
    yield say("On request a trained law takes its place, and the weights correct for what it is not:")
    yield item(f"conditional, with a network $ψ$: $p(u|{given}) = exp ψ(T_u {turn}y)/Σ_v exp ψ(T_v {turn}y)$")
    yield item("learned, with one weight for each element: $p(u) = exp b_u/Σ_v exp b_v$")


def _orthogonal(matrices: np.ndarray) -> bool:
    products = np.einsum("gab,gac->gbc", matrices, matrices)
    return bool(np.abs(products - np.eye(matrices.shape[1])).max(initial=0.0) < _SAME)


def exact_walls(analysis: Findings) -> tuple[tuple[sp.Expr, ...], list[sp.Expr]]:
    """(ρ, λ_j in the symbols c_1 … c_k): exact where ρ has a rational direction or the wall is a mirror."""
    domain = analysis.domain
    symbols = [sp.Symbol(f"c_{a + 1}", real=True) for a in range(len(domain.centre))]
    direction = _rational_direction(domain.centre)
    walls = []
    for exact, facet in zip(_exact_normals(analysis, direction), domain.facets, strict=True):
        normal = [number(v) for v in facet] if exact is None else exact
        walls.append(sp.Add(*(a * c for a, c in zip(normal, symbols, strict=True))))
    centre = map(number, domain.centre) if direction is None else direction.flat()
    return tuple(centre), walls


def _rational_direction(centre: np.ndarray) -> sp.Matrix | None:
    """The primitive integer vector along ``centre``, None if there is no simple one."""
    scaled = centre / np.abs(centre).max()
    ratios = [Fraction(float(v)).limit_denominator(12) for v in scaled]
    if max(abs(float(q) - v) for q, v in zip(ratios, scaled, strict=True)) > _SAME:
        return None
    scale = lcm(*(q.denominator for q in ratios))
    return sp.Matrix([sp.Integer(int(q * scale)) for q in ratios])


def _exact_normals(analysis: Findings, direction: sp.Matrix | None) -> list[list[sp.Expr] | None]:
    """(D_g ρ − ρ)ᵀ B for the neighbours, None without an exact form that agrees with the facet."""
    domain, group = analysis.domain, analysis.group
    components = analysis.theory.components
    rows = sp.Matrix([linear_row(e, features(components), str(e)) for e in domain.collective])
    inverse = rows.T * (rows * rows.T).inv()
    metric = sp.eye(rows.rows)
    if not _orthogonal(domain.representation):
        if group.order > _EXACT_ORDER:
            return [None] * len(domain.facets)
        images = [rows * feature_matrix(g, components) * inverse for g in group.elements]
        metric = sum((d.T * d for d in images), sp.zeros(*metric.shape)) / group.order
    normals: list[list[sp.Expr] | None] = []
    for neighbour, facet in zip(domain.neighbours, domain.facets, strict=True):
        moved_features = feature_matrix(group.elements[neighbour], components)
        change = rows * moved_features * inverse - sp.eye(rows.rows)
        if direction is not None:
            moved = [change * direction]
        else:  # for a mirror all columns are parallel, and so is (D − 1)ρ whatever ρ is
            moved = [sign * change[:, a] for a in range(change.cols) for sign in (1, -1)]
        found = (_primitive([sp.expand(v) for v in m.T * metric]) for m in moved)
        normals.append(next((normal for normal in found if _is_parallel(normal, facet)), None))
    return normals


def _is_parallel(normal: list[sp.Expr], facet: np.ndarray) -> bool:
    value = np.array([float(entry) for entry in normal])
    return bool(np.any(value) and np.abs(value / np.linalg.norm(value) - facet).max() < 1e-9)


def _primitive(entries: list[sp.Expr]) -> list[sp.Expr]:
    """The entries divided by their common rational factor."""
    factors = [entry.as_content_primitive()[0] for entry in entries if entry != 0]
    common = sp.gcd_list(factors) if factors else sp.S.One
    return [sp.expand(entry / common) for entry in entries]
