"""The Cayley graph of the finite group that a sampler is modulated with."""

from __future__ import annotations

import networkx as nx
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from ..analysis.result import Analysis
from ..errors import OptionError
from .canvas import INK, ORANGE, axes_of_user, figure_of, new_figure

_MOST = 120  # elements; more would cover each other
_LABELLED = 48


def cayley_picture(analysis: Analysis, ax: Axes | None = None) -> Figure:
    """Elements u of the group as points, with an arrow from u to u g for each generator g.

    A generator that is its own inverse has lines without heads. The identity is the sector of Ω.

    Raises
    ------
    OptionError
        If there is no finite group, or it has too many elements to be seen.
    """
    group = analysis.group
    if not 1 < group.order <= _MOST:
        raise OptionError(
            f"Cayley graph of theory {analysis.theory.name}",
            expected=f"a finite group of 2 to {_MOST} elements to modulate with",
            found=f"{group.order} elements",
            remedy="read the generators in print(analysis)",
        )
    axes = new_figure(6.4, 6.0).subplots() if ax is None else axes_of_user(ax)
    generators = group.minimal_generators(range(group.order))
    graph = nx.Graph((u, int(group.table[u, g])) for g in generators for u in range(group.order))
    places = nx.kamada_kawai_layout(graph, pos=nx.circular_layout(graph))
    points = np.array([places[u] for u in range(group.order)])
    colours = colormaps["tab10"].colors  # pyright: ignore[reportAttributeAccessIssue]
    for k, g in enumerate(generators):
        colour, twofold = colours[k % 10], group.element_orders[g] == 2
        for u in range(group.order):
            v = int(group.table[u, g])
            if twofold and v < u:
                continue
            arrow = FancyArrowPatch(
                points[u],
                points[v],
                arrowstyle="-" if twofold else "-|>",
                mutation_scale=12,
                color=colour,
                shrinkA=9,
                shrinkB=9,
                linewidth=1.4,
            )
            axes.add_patch(arrow)
        axes.plot([], [], color=colour, label=f"$T_{{{g}}}$" + (", its own inverse" if twofold else ""))
    axes.scatter(*points.T, s=180, c=[ORANGE, *["white"] * (group.order - 1)], edgecolors=INK, zorder=3)
    if group.order <= _LABELLED:
        for u, (x, y) in enumerate(points.tolist()):
            axes.text(x, y, str(u) if u else "Ω", ha="center", va="center", fontsize=8, zorder=4)
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.margins(0.1)
    axes.set_title(f"Cayley graph, {group.order} elements", color=INK, fontsize=12)
    axes.legend(fontsize=9)
    return figure_of(axes)
