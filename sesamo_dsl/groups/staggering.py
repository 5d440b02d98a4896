"""Signs that alternate from site to site: (−1)^(x_0 + x_2), or the two colours of the nodes of a graph.

A sign is named by the axes whose coordinates are added up in the exponent; the coordinate of a node of a
graph is its colour, 0 or 1. These signs are characters of the translations: χ(x + o) = χ(x)·χ(o).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..checks import as_integer, shown
from ..errors import GroupError
from ..symbols.lattice import AdjacencyPower, GraphLattice, Lattice
from ..symbols.site_constants import SiteConstant
from .site_map import SiteMap

Axes = tuple[int, ...]


def checked_axes(lattice: Lattice, axes: Sequence[Any] | None) -> Axes:
    """The axes of a sign that is well defined on a periodic lattice, sorted; None stands for all of them.

    Raises
    ------
    GroupError
        If an axis does not exist or has an odd extent, or the graph has no two colours.
    """
    everything = tuple(range(lattice.dimension))
    several = axes is None or isinstance(axes, Sequence)
    found = everything if axes is None else tuple(map(as_integer, axes)) if several else ()
    subject = f"staggered signs on {lattice}"
    if not found or not set(found) <= set(everything) or len(set(found)) < len(found):
        raise GroupError(
            subject,
            expected=f"axes among {everything}, at least one and each once",
            found=shown(axes),
            remedy="write axes=(0,) for (−1)^x_0, or leave axes out for the sum of all coordinates",
        )
    chosen = tuple(sorted(mu for mu in found if mu is not None))
    odd = [mu for mu in chosen if mu != lattice.graph_axis and lattice.shape[mu] % 2]
    if odd:
        raise GroupError(
            subject,
            expected="even extents of the axes along which signs alternate",
            found=f"extent {lattice.shape[odd[0]]} of axis {odd[0]}",
            remedy="choose an even extent, or leave the axis out with axes=(…): a sign cannot alternate "
            "around a periodic axis of odd extent",
        )
    if lattice.graph_axis in chosen:
        _colours(lattice)
    return chosen


@lru_cache(maxsize=64)
def _colours(lattice: Lattice) -> tuple[int, ...]:
    """The colour, 0 or 1, of every node; edges join nodes of different colours."""
    import networkx as nx

    assert isinstance(lattice, GraphLattice)
    graph = nx.Graph([(i, j) for i, j, _ in lattice.edges])
    graph.add_nodes_from(range(len(lattice.nodes)))
    if not nx.is_bipartite(graph):
        raise GroupError(
            f"staggered signs on {lattice}",
            expected="a graph whose nodes have two colours such that every edge joins both",
            found="a graph with an odd cycle",
            remedy="leave the graph axis out with axes=(…)",
        )
    colours = nx.algorithms.bipartite.color(graph)
    return tuple(colours[i] for i in range(len(lattice.nodes)))


@lru_cache(maxsize=256)
def pattern(lattice: Lattice, axes: Axes) -> np.ndarray:
    """χ(x) = ±1 at every site, (*lattice)."""
    exponent = np.zeros(lattice.shape, dtype=np.int64)
    for mu in axes:
        along = np.array(_colours(lattice)) if mu == lattice.graph_axis else np.arange(lattice.shape[mu])
        exponent += along.reshape([-1 if nu == mu else 1 for nu in range(lattice.dimension)])
    signs = 1 - 2 * (exponent % 2)
    signs.flags.writeable = False
    return signs


def sign_at_node(lattice: GraphLattice, axes: Axes, node: int) -> int:
    """χ at a node at time 0."""
    return 1 - 2 * _colours(lattice)[node] if lattice.graph_axis in axes else 1


def sign_name(lattice: Lattice, axes: Axes) -> str:
    """The sign as text: (-1)^x0, or (-1)^(x0+colour) on a graph."""
    names = ["colour" if mu == lattice.graph_axis else f"x{mu}" for mu in axes]
    return f"(-1)^{names[0]}" if len(names) == 1 else f"(-1)^({'+'.join(names)})"


def sign_constant(lattice: Lattice, axes: Axes) -> SiteConstant:
    """χ as a symbol in densities."""
    return SiteConstant.given(sign_name(lattice, axes), lattice, pattern(lattice, axes))


def sign_of_step(lattice: Lattice, axes: Axes, offset: Sequence[int], hops: AdjacencyPower | None) -> int:
    """χ(y)/χ(x) for the sites y that are seen from x at x + o and after hops along edges.

    Raises
    ------
    GroupError
        If an edge joins nodes of one colour, which happens if a map of the nodes is no automorphism.
    """
    steps = sum(offset[mu] for mu in axes if mu != lattice.graph_axis)
    if hops is not None and lattice.graph_axis in axes:
        colours = _colours(lattice)
        for i, j, _ in hops.edges:
            if colours[i] == colours[j]:
                raise GroupError(
                    f"staggered signs on {lattice}",
                    expected="edges that join nodes of different colours",
                    found=f"an edge between nodes {i} and {j} of one colour",
                    remedy="declare the signs and the map of the nodes as separate symmetries",
                )
        steps += hops.steps
    return 1 - 2 * (steps % 2)


def carried(axes: Axes, sites: SiteMap) -> tuple[Axes, int]:
    """(B, ±1) with χ_A(g⁻¹x) = ±χ_B(x).

    Raises
    ------
    GroupError
        If g, a map of the nodes of a graph, neither keeps nor exchanges the colours.
    """
    axis = sites.lattice.graph_axis
    images = tuple(sorted(sites.axes[mu] for mu in axes))
    steps = sum(sites.translation[mu] for mu in images if mu != axis)
    if axis in axes:
        colours = _colours(sites.lattice)
        changes = {colours[i] ^ colours[j] for i, j in enumerate(sites.nodes)}
        if len(changes) > 1:
            raise GroupError(
                f"staggered signs and {sites}",
                expected="a map of the nodes that keeps the two colours or exchanges them",
                found="one that keeps the colour of some nodes alone",
                remedy="declare the signs and the map of the nodes as separate symmetries",
            )
        steps += changes.pop()
    return images, 1 - 2 * (steps % 2)


def product(a: Axes, b: Axes) -> Axes:
    """C with χ_A·χ_B = χ_C: the axes that are in A or B, but not in both."""
    return tuple(sorted(set(a) ^ set(b)))
