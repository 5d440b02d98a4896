"""Pictures of fundamental domains and slices, which the derivation describes by inequalities."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon

from ..analysis.domain import Domain, features_at
from ..analysis.findings import LieReport, SymmetryReport
from ..analysis.result import Analysis
from ..errors import OptionError
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..landscape.vacua import find_vacuum
from ..stages.lower import lower_theory
from ..symbols.latex import latex
from .canvas import BLUE, GREY, INK, ORANGE, TINTS, axes_of_user, figure_of, new_figure, plain

_LABELLED = 24  # sectors; more labels would cover each other
_SUBDIVISIONS = 4  # of an octahedron: 8·4⁴ triangles look round


def domain_picture(analysis: Analysis, ax: Axes | None = None) -> Figure:
    """Fundamental domain Ω and its images in the space of the collective coordinate; slices of Lie groups.

    One dimension is drawn as a line, two as a plane; in three dimensions the cones are cut with a sphere,
    shown from both sides. The vacuum at the default couplings (0.5 where there is no default) is marked.
    A picture of one panel is drawn into ``ax``, if that is given.

    Raises
    ------
    OptionError
        If there is nothing to draw, the collective coordinate has more than three dimensions, or ``ax`` is
        given for a picture of several panels.
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
    if ax is None:
        height = 2.6 if finite and dimension == 1 and panels == 1 else 5.6
        figure = new_figure(max(5.4 * panels, 6.4), height)
        axes = list(np.ravel(figure.subplots(1, panels)))
    else:
        axes = [axes_of_user(ax)]
        if panels > 1:
            raise OptionError(
                "option ax of a picture",
                expected="none for a picture of several panels",
                found=f"axes for one, while the domain of {analysis.theory.name} has {panels} panels",
                remedy="leave ax out",
            )
        figure = figure_of(ax)
    if finite:
        marked = None
        if vacuum is not None:
            marked = domain.projection @ features_at(domain.features, analysis.theory.components, vacuum)
        if dimension == 3:
            _draw_sphere(axes.pop(0), analysis, marked, back=False)
            _draw_sphere(axes.pop(0), analysis, marked, back=True)
        else:
            (_draw_line if dimension == 1 else _draw_plane)(axes.pop(0), analysis, marked)
    for place, report in zip(axes, analysis.lie_reports, strict=True):
        _draw_slice(place, report, analysis, vacuum)
    if ax is not None:
        ax.legend(fontsize=9)
        return figure
    name = " × ".join(report.symmetry.name for report in (*_modulating(analysis), *analysis.lie_reports))
    figure.suptitle(f"{analysis.theory.name}   {plain(name)}", color=INK, fontsize=12)
    handles = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=9
    )
    return figure


def _modulating(analysis: Analysis) -> list[SymmetryReport]:
    return [r for r in analysis.reports if getattr(r.symmetry, "use", "modulate") == "modulate"]


def _vacuum(analysis: Analysis) -> np.ndarray | None:
    """Constant minimum of S, (components,), at the default couplings."""
    theory = analysis.theory
    parameters = {p.name: theory.defaults.get(p.name, 0.5) for p in theory.parameters}
    found = find_vacuum(lower_theory(analysis), parameters)
    return None if found is None else found.mean


def _tints(domain: Domain, group: FiniteGroup[Element]) -> list[str]:
    """A colour for every sector: Ω has its own, neighbours differ if there are enough colours."""
    chosen: dict[int, int] = {}
    for u in range(1, group.order):
        near = {int(group.table[u, g]) for g in domain.neighbours}
        near |= {int(group.table[u, group.inverses[g]]) for g in domain.neighbours}
        used = {chosen[v] for v in near if v in chosen}
        free = [i for i in range(len(TINTS)) if i not in used]
        chosen[u] = free[0] if free else u % len(TINTS)
    return [ORANGE, *(TINTS[chosen[u]] for u in range(1, group.order))]


def _label(u: int) -> str:
    return "Ω" if u == 0 else f"$T_{{{u}}}$Ω"


def _extent(vacuum: np.ndarray | None) -> float:
    """Half the width of the picture: 1.5 times the size of the vacuum, or 1.5 if that is 0 or None."""
    size = 0.0 if vacuum is None else float(np.linalg.norm(vacuum))
    return 1.5 * size if size > 1e-6 else 1.5


def _axis_label(domain: Domain, a: int) -> str:
    mean = latex(domain.collective[a])
    return f"$c_{{{a + 1}}}$ = $\\langle {mean} \\rangle$"


def _draw_line(axes: Axes, analysis: Analysis, vacuum: np.ndarray | None) -> None:
    domain, extent = analysis.domain, _extent(vacuum)
    tints = _tints(domain, analysis.group)
    for u, matrix in enumerate(domain.representation):
        end = float(np.sign(matrix[0, 0] * domain.centre[0])) * extent
        axes.axvspan(min(0.0, end), max(0.0, end), color=tints[u], alpha=_opacity(u), linewidth=0)
        _write(axes, np.array([end / 2, 0.55]), _label(u), fontsize=13)
    axes.axhline(0.0, color=INK, linewidth=1.0)
    axes.axvline(0.0, color=GREY, linewidth=1.6, label="walls")
    _arrow(axes, np.array([domain.centre[0] * extent / 3 / abs(domain.centre[0]), 0.0]))
    if vacuum is not None:
        images = np.unique(np.round([float(m[0, 0]) * vacuum[0] for m in domain.representation], 9))
        _mark(axes, np.array([vacuum[0], 0.0]), np.stack([images, 0 * images], axis=1))
    axes.set(xlabel=_axis_label(domain, 0), xlim=(-extent, extent), ylim=(-1, 1), yticks=[])


def _draw_plane(axes: Axes, analysis: Analysis, vacuum: np.ndarray | None) -> None:
    domain, extent = analysis.domain, _extent(vacuum)
    tints = _tints(domain, analysis.group)
    square = extent * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    for u in range(domain.order):
        normals = _half_spaces(domain, u)
        sector = _clip(square, normals)
        axes.add_patch(Polygon(sector, color=tints[u], alpha=_opacity(u), linewidth=0))
        axes.add_collection(LineCollection(_walls(sector, normals), colors=GREY, linewidths=1.4))
        if domain.order <= _LABELLED:
            _write(axes, 0.88 * extent * _unit(_centroid([sector])), _label(u), fontsize=11)
    axes.plot([], [], color=GREY, label="walls")
    _arrow(axes, domain.centre * extent / 2.2 / np.linalg.norm(domain.centre))
    if vacuum is not None:
        _mark(axes, vacuum, domain.representation @ vacuum)
    limits = (-extent, extent)
    axes.set(
        xlabel=_axis_label(domain, 0), ylabel=_axis_label(domain, 1), xlim=limits, ylim=limits, aspect="equal"
    )


def _half_spaces(domain: Domain, u: int) -> np.ndarray:
    """Normals ν of T_u Ω = { ν·c ≤ 0 }."""
    return domain.facets @ np.linalg.inv(domain.representation[u])


def _clip(polygon: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The part of a convex polygon, in any dimension, with ν·p ≤ 0 for all normals (Sutherland, Hodgman)."""
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


def _walls(polygon: np.ndarray, normals: np.ndarray) -> list[np.ndarray]:
    """The edges of a clipped polygon that lie in one of the walls."""
    if len(polygon) == 0:
        return []
    on = np.abs(polygon @ normals.T) < 1e-9 * np.abs(polygon).max()
    following = np.roll(polygon, -1, axis=0)
    edges = (on & np.roll(on, -1, axis=0)).any(axis=1)
    return [np.stack([p, q]) for p, q, wall in zip(polygon, following, edges, strict=True) if wall]


def _sphere_triangles() -> np.ndarray:
    """A triangulated unit sphere, (triangles, 3, 3)."""
    corners = [(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)]
    triangles = np.array([np.diag(signs) for signs in corners], dtype=float)
    for _ in range(_SUBDIVISIONS):
        a, b, c = triangles.swapaxes(0, 1)
        ab, bc, ca = a + b, b + c, c + a
        parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        triangles = np.concatenate([np.stack(part, axis=1) for part in parts])
        triangles /= np.linalg.norm(triangles, axis=2, keepdims=True)
    return triangles


def _draw_sphere(axes: Axes, analysis: Analysis, vacuum: np.ndarray | None, *, back: bool) -> None:
    """The cones cut with the unit sphere, seen along the reference ρ or, with ``back``, from behind."""
    domain = analysis.domain
    forward = (-1 if back else 1) * domain.centre / np.linalg.norm(domain.centre)
    upward = np.eye(3)[2 if abs(forward[2]) < 0.9 else 1]
    right = np.cross(upward, forward)
    right /= np.linalg.norm(right)
    view = np.stack([right, np.cross(forward, right)])
    light = forward + 0.5 * view[1] - 0.4 * view[0]
    light /= np.linalg.norm(light)

    triangles = _sphere_triangles()
    triangles = triangles[(triangles.mean(axis=1) @ forward) > -0.05]
    tints = [np.array(to_rgb(tint)) for tint in _tints(domain, analysis.group)]
    tints[0] = 0.6 * tints[0] + 0.4
    for u in range(domain.order):
        normals = _half_spaces(domain, u)
        heights = triangles @ normals.T
        touched = triangles[~np.any(np.all(heights > 0, axis=1), axis=1)]
        parts = [part for part in (_clip(t, normals) for t in touched) if len(part) > 2]
        shades = [0.72 + 0.28 * max(0.0, float(_unit(part.mean(axis=0)) @ light)) for part in parts]
        colours = [tuple(np.clip(shade * tints[u], 0, 1)) for shade in shades]
        flat = [part @ view.T for part in parts]
        axes.add_collection(
            PolyCollection(flat, facecolors=colours, edgecolors=colours, linewidths=0.4, zorder=1)
        )
        lines = [edge @ view.T for part in parts for edge in _walls(part, normals)]
        colour, width = (ORANGE, 2.4) if u == 0 else (GREY, 1.1)
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, zorder=3 if u == 0 else 2))
        if domain.order <= _LABELLED and parts and (centre := _unit(_centroid(parts))) @ forward > 0.35:
            _write(axes, view @ centre, _label(u), fontsize=10)
    axes.add_patch(Circle((0, 0), 1.0, fill=False, color=GREY, linewidth=0.8, zorder=2))
    _draw_axes(axes, view, forward)
    axes.plot([], [], color=GREY, label="walls")
    axes.plot([], [], color=ORANGE, linewidth=2.4, label="walls of Ω")
    if not back:
        axes.plot(0, 0, "o", color=ORANGE, markeredgecolor=INK, markersize=6, zorder=6, label="reference ρ")
    if vacuum is not None and np.linalg.norm(vacuum) > 1e-6:
        images = domain.representation @ _unit(vacuum)
        first = view @ images[0] if images[0] @ forward > 0 else np.full(2, np.nan)
        _mark(axes, first, images[images @ forward > 0] @ view.T)
    side = "from behind" if back else "seen along the reference ρ"
    axes.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", title=side)
    axes.set_axis_off()


def _draw_axes(axes: Axes, view: np.ndarray, forward: np.ndarray) -> None:
    for a, unit in enumerate(np.eye(3)):
        for sign in (1, -1):
            if sign * unit @ forward > -0.2:
                start, end = view @ (sign * unit), view @ (1.22 * sign * unit)
                axes.plot(*np.stack([start, end], axis=1), color=INK, linewidth=0.9, zorder=4)
                text = f"${'' if sign > 0 else '-'}c_{{{a + 1}}}$"
                _write(axes, view @ (1.32 * sign * unit), text, fontsize=10)


def _draw_slice(axes: Axes, report: LieReport, analysis: Analysis, vacuum: np.ndarray | None) -> None:
    """The plane of M_1 and one gauge direction, with the slice and an orbit."""
    s = report.slice
    value = 0.0 if vacuum is None else float(vacuum[s.block[0]]) * np.sqrt(analysis.theory.lattice.volume)
    known = value > 1e-6
    radius = value if known else 1.0
    extent = 1.5 * radius
    orbit = "S^1" if s.dimension == 2 else f"S^{{{s.dimension - 1}}}"
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    axes.axvline(0.0, color=GREY, linewidth=0.8)
    axes.add_patch(Circle((0, 0), radius, fill=False, color=BLUE, linewidth=1.6, label=f"orbit ${orbit}$"))
    axes.plot([0, extent], [0, 0], color=ORANGE, linewidth=3.0, label="slice $M_1 = r > 0$")
    axes.plot(0, 0, "o", markersize=7, markerfacecolor="white", markeredgecolor=ORANGE)
    angle = np.pi / 4
    turned = radius * np.array([np.cos(angle), np.sin(angle)])
    arc = {"arrowstyle": "-|>", "color": INK, "connectionstyle": "arc3,rad=0.22", "shrinkA": 6, "shrinkB": 6}
    axes.annotate("", xy=tuple(turned), xytext=(radius, 0.0), arrowprops=arc)
    axes.plot(*turned, "o", color=BLUE, markersize=7)
    axes.text(1.08 * turned[0], 1.08 * turned[1], "$x = R(n)\\,y$", ha="left", va="bottom", color=INK)
    point = ("*", 15) if known else ("o", 8)
    axes.plot(
        radius, 0, point[0], color=INK, markersize=point[1], label="vacuum on the slice" if known else "y"
    )
    axes.text(1.03 * radius, -0.05 * extent, "$y$", ha="left", va="top", color=INK)
    names = [latex(c) for c in report.symmetry.collective]
    more = f", and likewise $M_3$ … $M_{{{s.dimension}}}$" if s.dimension > 2 else ""
    axes.set(
        xlabel=f"$M_1 = \\Sigma_x\\, {names[0]} / \\sqrt{{V}}$",
        ylabel=f"$M_2 = \\Sigma_x\\, {names[1]} / \\sqrt{{V}}${more}",
        xlim=(-extent, extent),
        ylim=(-extent, extent),
        aspect="equal",
        title=f"slice of {plain(report.symmetry.name)}, Δ = ${latex(s.determinant)}$",
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _centroid(polygons: list[np.ndarray]) -> np.ndarray:
    """Centre of mass of convex polygons."""
    total, weight = np.zeros(polygons[0].shape[1]), 0.0
    for p in polygons:
        for b, c in itertools.pairwise(p[1:]):
            one, other = b - p[0], c - p[0]
            area = float(np.sqrt(max((one @ one) * (other @ other) - (one @ other) ** 2, 0.0)))
            total, weight = total + area * (p[0] + b + c) / 3, weight + area
    return total / weight


def _write(axes: Axes, place: np.ndarray, text: str, *, fontsize: int) -> None:
    x, y = (float(v) for v in place)
    axes.text(x, y, text, ha="center", va="center", fontsize=fontsize, color=INK, zorder=5)


def _opacity(u: int) -> float:
    return 0.35 if u == 0 else 1.0


def _arrow(axes: Axes, end: np.ndarray) -> None:
    style = {"arrowstyle": "-|>", "color": ORANGE, "linewidth": 2.0, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=tuple(end), xytext=(0.0, 0.0), arrowprops=style)
    axes.plot([], [], color=ORANGE, linewidth=2.0, label="reference ρ")


def _mark(axes: Axes, vacuum: np.ndarray, images: np.ndarray) -> None:
    axes.plot(*images.T, "o", color=BLUE, markersize=6, zorder=6, label="images of the vacuum")
    axes.plot(*vacuum, "*", color=INK, markersize=14, zorder=7, label="vacuum")
