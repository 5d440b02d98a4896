"""The Cayley graph of the finite group that a sampler is modulated with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from ..analysis.result import Analysis
from ..errors import OptionError
from .canvas import BLUE, INK, ORANGE, axes_of_user, figure_of, new_figure

MOST = 120
"""Most elements of a graph; more would cover each other."""
_LABELLED = 48
_PAIR = 24  # order up to which pairs of generators are tried before more
_COLOURS = (BLUE, ORANGE, "#3b8a5a", "#8257a5", "#b08900")
_BROKEN = "#c4ccd5"


def cayley_picture(analysis: Analysis, ax: Axes | None = None) -> Figure:
    """Elements u of the group as points, with arrows for few generators; see :func:`draw_cayley`.

    Raises
    ------
    OptionError
        If there is no finite group, or it has too many elements to be seen.
    """
    group = analysis.group
    if not 1 < group.order <= MOST:
        raise OptionError(
            f"Cayley graph of theory {analysis.theory.name}",
            expected=f"a finite group of 2 to {MOST} elements to modulate with",
            found=f"{group.order} elements",
            remedy="read the generators in print(analysis)",
        )
    axes = new_figure(6.4, 6.0).subplots() if ax is None else axes_of_user(ax)
    draw_cayley(axes, group.table, analysis.surviving)
    axes.set_title(f"Cayley graph, {group.order} elements", color=INK, fontsize=12)
    return figure_of(axes)


def draw_cayley(axes: Axes, table: np.ndarray, surviving: Sequence[int] | None) -> None:
    """The elements u of a group by its table of products, with an arrow from u to u·g for each generator T_g.

    A generator that is its own inverse has lines without heads. The identity is the sector Ω. Elements of
    ``surviving``, which leave the action as it is, are orange, all for None.
    """
    order = len(table)
    chosen = generators(table)
    place = _layout(table, chosen)
    for g, colour in zip(chosen, itertools.cycle(_COLOURS), strict=False):
        twice = int(table[g, g]) == 0
        for u in range(order):
            v = int(table[u, g])
            if twice and v < u:
                continue
            shape = {"arrowstyle": "-" if twice else "-|>", "mutation_scale": 10, "shrinkA": 9, "shrinkB": 9}
            axes.add_patch(FancyArrowPatch(place[u], place[v], color=colour, linewidth=1.6, **shape))
        axes.plot(
            [], [], color=colour, linewidth=1.6, label=f"$T_{{{g}}}$" + (" (of order 2)" if twice else "")
        )
    kept = set(range(order)) if surviving is None else set(surviving)
    fill = [ORANGE if u in kept else _BROKEN for u in range(order)]
    size = 230 if order <= _LABELLED // 2 else 120 if order <= _LABELLED else 60
    axes.scatter(*place.T, s=size, c=fill, edgecolors=INK, linewidths=0.8, zorder=3)
    if order <= _LABELLED:
        for u, (x, y) in enumerate(place.tolist()):
            axes.text(x, y, str(u) if u else "Ω", ha="center", va="center", fontsize=8, color=INK, zorder=4)
    if surviving is not None:
        axes.plot([], [], "o", color=ORANGE, markeredgecolor=INK, label="leaves $S$ as it is")
    axes.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")
    axes.set_axis_off()
    if chosen:
        axes.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.02), ncols=3)


def generators(table: np.ndarray) -> list[int]:
    """Few elements that generate the group: one, else two, else more, found one after the other."""
    order = len(table)
    if order == 1:
        return []
    for count in (1, 2):
        if count == 1 or order <= _PAIR:
            for chosen in itertools.combinations(range(1, order), count):
                if len(_span(table, chosen)) == order:
                    return list(chosen)
    kept: list[int] = []
    for g in range(1, order):
        if g not in _span(table, kept):
            kept.append(g)
    return kept


def _span(table: np.ndarray, chosen: Sequence[int]) -> set[int]:
    reached, new = {0}, [0]
    while new:
        new = [v for u in new for g in chosen if (v := int(table[u, g])) not in reached]
        new = list(dict.fromkeys(new))
        reached.update(new)
    return reached


def _layout(table: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Places of the elements, (order, 2): those of a cyclic group on a circle, in the order of its powers."""
    order = len(table)
    if len(chosen) == 1:
        powers = [0]
        for _ in range(order - 1):
            powers.append(int(table[powers[-1], chosen[0]]))
        first = np.pi if order == 2 else np.pi / 2
        angles = first - 2 * np.pi * np.argsort(powers) / order
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    graph = nx.Graph((u, int(table[u, g])) for g in chosen for u in range(order))
    places = nx.kamada_kawai_layout(graph, pos=nx.circular_layout(graph))
    return np.array([places[u] for u in range(order)])
