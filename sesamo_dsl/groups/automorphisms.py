"""The automorphism group of a weighted graph, by generators: a stabiliser chain, one search per coset."""

from __future__ import annotations

from math import prod

import networkx as nx
from networkx.algorithms.isomorphism import GraphMatcher

from ..symbols.lattice import GraphLattice
from ..values.node_order import NodeOrder
from .site_map import SiteMap


def automorphisms(lattice: GraphLattice) -> tuple[list[SiteMap], int]:
    """(generators, order) of the maps of the nodes that keep the weight of every edge.

    Level i of the chain has the automorphisms that fix the nodes before i. The orbit of i is completed by one
    automorphism i → j for each j outside the orbit known so far, so that the group is never enumerated.
    """
    graph = _numbered(lattice)
    chain: list[tuple[int, ...]] = []
    orders = []
    for i in reversed(range(len(lattice.nodes))):  # deepest stabiliser first: its generators help above
        orbit = _orbit(i, chain)
        for j in range(i + 1, len(lattice.nodes)):
            if j not in orbit and (found := _search(graph, i, j)):
                chain.append(found)
                orbit = _orbit(i, chain)
        orders.append(len(orbit))
    one = SiteMap.identity(lattice)
    maps = [SiteMap(lattice, one.axes, one.signs, one.translation, images) for images in chain]
    return maps, prod(orders)


def node_order(lattice: GraphLattice) -> NodeOrder:
    """Colours (those of a bipartite graph, else alternating) and distance shells of the nodes, for flows."""
    graph = _numbered(lattice)
    count = len(lattice.nodes)
    colours = [i % 2 for i in range(count)]
    if nx.is_bipartite(graph):
        colours = [nx.algorithms.bipartite.color(graph)[i] for i in range(count)]
    maps = [site_map.nodes for site_map in automorphisms(lattice)[0]]
    shells: dict[int, tuple[tuple[int, ...], ...]] = {}
    for start in range(count):
        if start in shells:
            continue
        distances = nx.single_source_shortest_path_length(graph, start)
        own = [
            tuple(i for i in range(count) if distances.get(i) == d)
            for d in range(max(distances.values()) + 1)
        ]
        shells[start], frontier = tuple(own), [start]
        while frontier:  # carried along to the orbit, each node once
            i = frontier.pop(0)
            for images in maps:
                if images is not None and images[i] not in shells:
                    shells[images[i]] = tuple(tuple(images[k] for k in shell) for shell in shells[i])
                    frontier.append(images[i])
    return NodeOrder(tuple(colours), tuple(shells[i] for i in range(count)))


def _numbered(lattice: GraphLattice) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(len(lattice.nodes)))
    graph.add_edges_from((i, j, {"weight": str(w)}) for i, j, w in lattice.edges)
    return graph


def _search(graph: nx.Graph, i: int, j: int) -> tuple[int, ...] | None:
    """An automorphism that fixes the nodes before i and takes i to j, as a tuple of images."""
    source, target = graph.copy(), graph.copy()
    nx.set_node_attributes(source, {k: k + 1 if k <= i else 0 for k in graph}, "fixed")
    nx.set_node_attributes(target, {k: i + 1 if k == j else k + 1 if k < i else 0 for k in graph}, "fixed")
    matcher = GraphMatcher(
        source,
        target,
        node_match=lambda a, b: a["fixed"] == b["fixed"],
        edge_match=lambda a, b: a["weight"] == b["weight"],
    )
    found = next(matcher.isomorphisms_iter(), None)
    return None if found is None else tuple(found[k] for k in sorted(found))


def _orbit(i: int, generators: list[tuple[int, ...]]) -> set[int]:
    orbit, frontier = {i}, [i]
    while frontier:
        new = {images[k] for k in frontier for images in generators} - orbit
        orbit |= new
        frontier = sorted(new)
    return orbit
