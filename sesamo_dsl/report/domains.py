"""Pictures of fundamental domains and slices: what the derivation says in inequalities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon

from ..analysis.domain import Domain
from ..analysis.result import Analysis, LieReport
from ..compiler import lower_theory
from ..errors import OptionError
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..vacua import find_vacuum
from .pictures import _BLUE, _GREY, _INK, _ORANGE, _figure

_TINTS = ("#dbe7f3", "#b5cde6", "#e6ebf0", "#93b5d8", "#c9d3dd", "#7da3cc")
_LABELLED = 24  # sectors; more labels would cover each other
_SOLID = 4  # subdivisions of an octahedron: 8·4⁴ triangles look round


def domain_picture(analysis: Analysis) -> Figure:
    """The fundamental domain Ω and its images in the space of the collective coordinate; for Lie groups the slice.

    One dimension is drawn as a line, two as a plane; in three dimensions the cones are cut with a sphere, which is
    shown from both sides. The vacuum at the default couplings (0.5 where there is no default) is marked.

    Raises
    ------
    OptionError
        If there is nothing to draw, or the collective coordinate has more than three dimensions.
    """
    domain = analysis.domain
    dimension = len(domain.collective)
    finite = analysis.group.order > 1
    if not analysis.is_modulated or (finite and dimension > 3):
        raise OptionError(
            f"picture of the domain of theory {analysis.theory.name}",
            expected="a symmetry to modulate with, on a collective coordinate of at most three dimensions",
            found=f"{dimension} dimensions" if finite else "no such symmetry",
            remedy="read the walls in derivation(analysis), or give fewer combinations in collective=[…]"
            if finite
            else "declare a symmetry in Theory(symmetries=[…])",
        )
    vacuum = _vacuum(analysis)
    panels = (2 if dimension == 3 else 1) * finite + len(analysis.lie_reports)
    height = 2.6 if finite and dimension == 1 and panels == 1 else 5.6
    figure = _figure(max(5.4 * panels, 6.4), height)
    axes = list(np.ravel(figure.subplots(1, panels)))
    if finite:
        marked = None if vacuum is None else domain.projection @ vacuum
        if dimension == 3:
            _draw_sphere(axes.pop(0), analysis, marked, back=False)
            _draw_sphere(axes.pop(0), analysis, marked, back=True)
        else:
            (_draw_line if dimension == 1 else _draw_plane)(axes.pop(0), analysis, marked)
    for place, report in zip(axes, analysis.lie_reports, strict=True):
        _draw_slice(place, report, analysis, vacuum)
    name = " × ".join(report.symmetry.name for report in (*_modulating(analysis), *analysis.lie_reports))
    figure.suptitle(f"{analysis.theory.name}   {name}", color=_INK, fontsize=12)
    handles = {label: handle for ax in figure.axes for handle, label in zip(*ax.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _modulating(analysis: Analysis) -> list:
    return [r for r in analysis.reports if getattr(r.symmetry, "use", "modulate") == "modulate"]


def _vacuum(analysis: Analysis) -> np.ndarray | None:
    """Constant minimum of S, (components,), at the default couplings."""
    theory = analysis.theory
    parameters = {p.name: theory.defaults.get(p.name, 0.5) for p in theory.parameters}
    found = find_vacuum(lower_theory(analysis), parameters)
    return None if found is None else found.mean


def _tints(domain: Domain, group: FiniteGroup[Element]) -> list[str]:
    """A colour for every sector: Ω its own, and sectors that share a wall different ones where they suffice."""
    chosen: dict[int, int] = {}
    for u in range(1, group.order):
        near = {int(group.table[u, g]) for g in domain.neighbours}
        near |= {int(group.table[u, group.inverses[g]]) for g in domain.neighbours}
        used = {chosen[v] for v in near if v in chosen}
        free = [i for i in range(len(_TINTS)) if i not in used]
        chosen[u] = free[0] if free else u % len(_TINTS)
    return [_ORANGE, *(_TINTS[chosen[u]] for u in range(1, group.order))]


def _label(u: int) -> str:
    return "Ω" if u == 0 else f"$T_{{{u}}}$Ω"


def _extent(vacuum: np.ndarray | None) -> float:
    """Radius of the picture: the vacuum well inside, or the unit vector where there is none away from 0."""
    size = 0.0 if vacuum is None else float(np.linalg.norm(vacuum))
    return 1.5 * size if size > 1e-6 else 1.5


def _axis_label(domain: Domain, a: int) -> str:
    return f"$c_{{{a + 1}}}$ = ⟨{domain.collective[a]}⟩"


def _draw_line(axes: Axes, analysis: Analysis, vacuum: np.ndarray | None) -> None:
    domain, extent = analysis.domain, _extent(vacuum)
    tints = _tints(domain, analysis.group)
    for u, matrix in enumerate(domain.representation):
        end = float(np.sign(matrix[0, 0] * domain.reference[0])) * extent
        axes.axvspan(min(0.0, end), max(0.0, end), color=tints[u], alpha=0.35 if u == 0 else 1.0, linewidth=0)
        axes.text(end / 2, 0.55, _label(u), ha="center", va="center", color=_INK, fontsize=13)
    axes.axhline(0.0, color=_INK, linewidth=1.0)
    axes.axvline(0.0, color=_GREY, linewidth=1.6, label="walls")
    _arrow(axes, np.array([domain.reference[0] * extent / 3 / abs(domain.reference[0]), 0.0]))
    if vacuum is not None:
        images = np.unique(np.round([float(m[0, 0]) * vacuum[0] for m in domain.representation], 9))
        _mark(axes, np.array([vacuum[0], 0.0]), np.stack([images, 0 * images], axis=1))
    axes.set(xlabel=_axis_label(domain, 0), xlim=(-extent, extent), ylim=(-1, 1), yticks=[])


def _draw_plane(axes: Axes, analysis: Analysis, vacuum: np.ndarray | None) -> None:
    domain, extent = analysis.domain, _extent(vacuum)
    tints = _tints(domain, analysis.group)
    square = extent * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    outlines = []
    for u, polygon in _sectors(domain, square):
        axes.add_patch(Polygon(polygon, color=tints[u], alpha=0.35 if u == 0 else 1.0, linewidth=0))
        outlines.append(polygon)
        if domain.order <= _LABELLED:
            inward = _inside(domain, u, np.linalg.norm)
            axes.text(*(0.82 * extent * inward), _label(u), ha="center", va="center", color=_INK, fontsize=11)
    axes.add_collection(LineCollection(list(_walls(outlines, extent)), colors=_GREY, linewidths=1.4, label="walls"))
    _arrow(axes, domain.reference * extent / 2.2 / np.linalg.norm(domain.reference))
    if vacuum is not None:
        _mark(axes, vacuum, domain.representation @ vacuum)
    limits = (-extent, extent)
    axes.set(xlabel=_axis_label(domain, 0), ylabel=_axis_label(domain, 1), xlim=limits, ylim=limits, aspect="equal")


def _half_spaces(domain: Domain, u: int) -> np.ndarray:
    """Normals ν of T_u Ω = { ν·c ≤ 0 }."""
    return domain.facets @ np.linalg.inv(domain.representation[u])


def _clip(polygon: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The part of a convex polygon (in any dimension) with ν·p ≤ 0 for all normals (Sutherland and Hodgman)."""
    for normal in normals:
        if len(polygon) == 0:
            break
        height = polygon @ normal
        kept = []
        for p, q, a, b in zip(polygon, np.roll(polygon, -1, 0), height, np.roll(height, -1), strict=True):
            if a <= 0:
                kept.append(p)
            if (a < 0 < b) or (b < 0 < a):
                kept.append(p + (q - p) * (a / (a - b)))
        polygon = np.array(kept)
    return polygon


def _sectors(domain: Domain, polygon: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for u in reversed(range(domain.order)):  # Ω last, on top
        part = _clip(polygon, _half_spaces(domain, u))
        if len(part) > 2:
            yield u, part
