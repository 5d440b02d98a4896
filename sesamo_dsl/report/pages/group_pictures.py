"""Pictures of a group from what every run stores: its Cayley graph, its domain and its modulation.

They need no declaration: the table of products and the scores of the domain, u(x) = argmax_u s_u · ⟨x⟩, are
stored. In more than two dimensions the domain is cut with a plane.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ...ir.interpreter import run
from ...ir.program import Program
from ...values.couplings import Couplings
from ...values.manifolds import feature_fields
from ..canvas import BLUE, GREY, INK, ORANGE, TINTS, new_figure, plain
from ..cayley import MOST, draw_cayley
from .blocks import Picture
from .drawing import inline
from .wording import pretty

_LABELLED = 24  # sectors; more labels would cover each other
_OMEGA = "#f3c9ae"
_SHOWN, _ARROWS = 400, 6
_GRID = 301


def cayley(table: np.ndarray, surviving: Sequence[int] | None) -> Picture | str:
    """The Cayley graph of a group by its table of products, or the reason why it is not drawn."""
    order = len(table)
    if order > MOST:
        return f"The group has {order} elements; a Cayley graph is drawn up to {MOST}."
    size = 3.4 if order <= 12 else 4.6
    figure = new_figure(size + 0.6, size)
    draw_cayley(figure.subplots(), table, surviving)
    broken = "" if surviving is None else " Elements that leave the action as it is are orange."
    lines = "lines lead from u to u·g for each generator T_g"
    caption = f"Cayley graph of the group of order {order}: {lines}.{broken}"
    return Picture(inline(figure, caption), caption)


def modulation(program: Program, parameters: Couplings, x: np.ndarray) -> list[Picture]:
    """The domain with samples: y, folded into Ω, and x = T_u y, in the plane of the collective coordinate."""
    pictures = []
    finite = x[np.isfinite(x).all(axis=tuple(range(1, x.ndim)))][:_SHOWN]
    if not len(finite):
        return []
    if program.sectors.order > 1:
        pictures.append(_finite(program, parameters, finite))
    for i, name in enumerate(sorted(n for n in program.constants if n.startswith("COLLECTIVE_"))):
        pictures.append(_slice(program.constants[name], finite, i))
    return pictures


def _finite(program: Program, parameters: Couplings, x: np.ndarray) -> Picture:
    y = run(program, "canonicalize", {"x": x.astype(np.float64)}, parameters)[0]
    scores = program.constants["SCORES"]
    plane, dimension = _plane(scores)
    at_x, at_y = (_means(program, values) @ plane.T for values in (x, y))
    extent = 1.25 * max(float(np.quantile(np.abs(at_x), 0.995)), 1e-9)
    figure = new_figure(5.2, 2.6 if len(plane) == 1 else 4.8)
    axes = figure.subplots()
    if len(plane) == 1:
        met = _line(axes, scores @ plane.T, extent)
        at_x, at_y = (
            np.stack([v[:, 0], level + 0 * v[:, 0]], axis=1) for v, level in ((at_x, -0.35), (at_y, 0.35))
        )
        scatter = np.random.default_rng(0).uniform(-0.2, 0.2, size=len(x))  # so that points can be told apart
        at_x[:, 1] += scatter
        at_y[:, 1] += scatter
        axes.set(ylim=(-0.75, 0.95), yticks=[])
    else:
        met = _cut(axes, scores @ plane.T, extent)
        axes.set(ylim=(-extent, extent), aspect="equal")
    axes.plot(*at_x.T, ".", color=BLUE, markersize=3, alpha=0.6, label="$x = T_u\\,y$")
    axes.plot(*at_y.T, ".", color=ORANGE, markersize=3, alpha=0.8, label="$y$ in Ω")
    moved = np.flatnonzero(np.abs(at_x - at_y).max(axis=1) > 0.05 * extent)
    if len(plane) == 1:
        moved = np.flatnonzero(np.abs(at_x[:, 0] - at_y[:, 0]) > 0.05 * extent)
    for i in moved[:: max(1, len(moved) // _ARROWS)][:_ARROWS]:
        style = {
            "arrowstyle": "-|>",
            "color": INK,
            "linewidth": 0.8,
            "alpha": 0.7,
            "connectionstyle": "arc3,rad=0.15",
        }
        axes.annotate("", xy=tuple(at_x[i]), xytext=tuple(at_y[i]), arrowprops=style)
    axes.set(xlim=(-extent, extent), xlabel="$c_1$")
    if len(plane) > 1:
        axes.set_ylabel("$c_2$")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )
    of_what = ", ".join(pretty(name) for name in program.components[:6])
    block = " of the first block" if program.block_axes else ""
    where = f"Coordinates along combinations of the spatial means of {of_what}{block}."
    if dimension > 2:
        where = (
            f"The plane through the reference ρ and its nearest image, of {dimension} dimensions; it meets "
            f"{met} of {program.sectors.order} sectors, and configurations are projected on it. {where}"
        )
    caption = f"Modulation: the flow draws y in Ω, and T_u takes it to the sector u. {where}"
    return Picture(inline(figure, caption), caption)


def _means(program: Program, x: np.ndarray) -> np.ndarray:
    """Means over the sites on which the group acts alike, (n, features); of the first of several blocks."""
    others = tuple(2 + mu for mu in range(len(program.shape)) if mu not in program.block_axes)
    seen = feature_fields(x, program.angles)
    return seen.mean(axis=others, dtype=np.float64).reshape(len(x), seen.shape[1], -1)[:, :, 0]


def _plane(scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Orthonormal directions in the space of means, (1 or 2, components), and how many there are in all."""
    dimension = int(np.linalg.matrix_rank(scores, tol=1e-9))
    if dimension <= 2:
        axes = np.eye(scores.shape[1])[np.abs(scores).max(axis=0) > 1e-12]
        if len(axes) == dimension:  # the components themselves
            return axes, dimension
    first = scores[0] / np.linalg.norm(scores[0])
    if dimension == 1:
        return first[None], 1
    rest = scores - np.outer(scores @ first, first)
    sizes = np.linalg.norm(rest, axis=1)
    nearest = max(np.flatnonzero(sizes > 1e-9 * sizes.max()), key=lambda u: float(scores[u] @ first))
    return np.stack([first, rest[nearest] / sizes[nearest]]), dimension


def _line(axes: Axes, scores: np.ndarray, extent: float) -> int:
    """Half-lines, one for each sector, with their numbers."""
    for u, score in enumerate(scores[:, 0]):
        end = float(np.sign(score)) * extent
        axes.axvspan(min(0.0, end), max(0.0, end), color=_OMEGA if u == 0 else TINTS[0], linewidth=0)
        axes.text(end / 2, 0.78, _name(u), ha="center", va="center", fontsize=12, color=INK)
    axes.axvline(0.0, color=GREY, linewidth=1.4, label="wall")
    return len(scores)


def _cut(axes: Axes, scores: np.ndarray, extent: float) -> int:
    """Sectors in a plane, with their numbers; returns how many there are."""
    line = np.linspace(-extent, extent, _GRID)
    plane = np.stack(np.meshgrid(line, line), axis=-1)
    sector = np.argmax(plane @ scores.T, axis=-1)
    met = np.unique(sector)
    tint = {int(u): 0 if u == 0 else 1 + i % len(TINTS) for i, u in enumerate(met)}
    colours = np.vectorize(tint.__getitem__)(sector)
    for number, colour in enumerate((_OMEGA, *TINTS)):
        part = (colours == number).astype(float)
        if part.any():
            axes.contourf(line, line, part, [0.5, 1.5], colors=[colour], zorder=0)
    height = plane @ scores.T
    for u in met:
        others = np.delete(height, u, axis=-1).max(axis=-1)
        style = (ORANGE, 1.8) if u == 0 else (GREY, 0.9)
        axes.contour(
            line, line, height[..., u] - others, [0.0], colors=style[0], linewidths=style[1], zorder=1
        )
        inside = plane[sector == u]
        ring = inside[np.abs(np.linalg.norm(inside, axis=1) - 0.9 * extent) < 0.06 * extent]
        if len(met) <= _LABELLED and len(ring):
            middle = ring.mean(axis=0)
            middle *= 0.9 * extent / max(float(np.linalg.norm(middle)), 1e-12)
            axes.text(
                float(middle[0]),
                float(middle[1]),
                _name(int(u)),
                ha="center",
                va="center",
                fontsize=10,
                color=INK,
                zorder=5,
            )
    axes.plot([], [], color=GREY, label="walls")
    return len(met)


def _name(u: int) -> str:
    return "Ω" if u == 0 else f"$T_{{{u}}}$Ω"


def _slice(collective: np.ndarray, x: np.ndarray, i: int) -> Picture:
    """M of the samples, and M = (r, 0, …) of the same on the slice."""
    moment = x.mean(axis=tuple(range(2, x.ndim)), dtype=np.float64) @ collective.T
    radius = np.linalg.norm(moment, axis=1)
    extent = 1.2 * max(float(radius.max()), 1e-9)
    figure = new_figure(5.0, 4.8)
    axes = figure.subplots()
    axes.axhline(0.0, color=GREY, linewidth=0.6)
    axes.axvline(0.0, color=GREY, linewidth=0.6)
    angles = np.linspace(0, 2 * np.pi, 201)
    typical = float(np.median(radius))
    axes.plot(typical * np.cos(angles), typical * np.sin(angles), color=GREY, linewidth=1.2, label="an orbit")
    axes.plot(*moment[:, :2].T, ".", color=BLUE, markersize=3, alpha=0.6, label="$x = R(n)\\,y$")
    axes.plot([0, extent], [0, 0], color=ORANGE, linewidth=2.4, label="slice $M_1 = r > 0$")
    axes.plot(radius, 0 * radius, ".", color=ORANGE, markersize=4, alpha=0.6, label="$y$ on the slice")
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xlabel="$M_1$", ylabel="$M_2$")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9
    )
    more = f"; {len(collective) - 2} more directions are projected away" if len(collective) > 2 else ""
    caption = (
        f"Modulation with Lie group {i + 1}: the flow draws y on the slice, and R(n) turns it into every "
        f"direction n of M = Σ φ/√V{more}."
    )
    return Picture(inline(figure, plain(caption)), caption)
