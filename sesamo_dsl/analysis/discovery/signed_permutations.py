"""Signed permutations of components: automorphisms of a coloured graph drawn from the polynomial action."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from math import factorial, prod
from typing import Any, cast

import networkx as nx
import sympy as sp

from ...exact import NumberTable
from .polynomial import Polynomial
from .search import ENUMERATED, Matrix

Images = tuple[int, ...]
"""Where a map of graphs takes the nodes of the components, +φ_0, −φ_0, +φ_1, …"""


def coloured_graph(polynomial: Polynomial, numbers: NumberTable) -> nx.DiGraph:
    """The polynomial as a coloured graph; nodes 2a and 2a + 1 are +φ_a and −φ_a.

    A monomial appears once for each choice of signs of the components it is odd in, coloured by the
    coefficient with that sign: that a map turns φ_a into −φ_b is seen by the graph alone. Displacements
    between the sites of a monomial colour edges, so translates look the same.
    """
    graph = nx.DiGraph()
    for a in range(polynomial.size):
        graph.add_node(2 * a, colour="component")
        graph.add_node(2 * a + 1, colour="component")
        graph.add_edge(2 * a, 2 * a + 1, colour="negative")
        graph.add_edge(2 * a + 1, 2 * a, colour="negative")

    def new(colour: str) -> int:
        node = graph.number_of_nodes()
        graph.add_node(node, colour=colour)
        return node

    for monomial, coefficient in polynomial.terms.items():
        degree: dict[int, int] = defaultdict(int)
        for local in monomial:
            for (_, a), power in local:
                degree[a] += power
        odd = sorted(a for a, power in degree.items() if power % 2)
        for signs in itertools.product((1, -1), repeat=len(odd)):
            sign = dict(zip(odd, signs, strict=True))
            value = prod(signs)
            parts = [
                f"{sp.srepr(p)}: {sp.srepr(numbers.canonical(cast(sp.Expr, value * c)))}"
                for p, c in coefficient
            ]
            term = new("; ".join(parts))
            for local in monomial:
                factor = new("sum")
                graph.add_edge(term, factor, colour="factor")
                sites = {offset: new("site") for offset in sorted({o for (o, _), _ in local})}
                for (first, u), (second, v) in itertools.permutations(sites.items(), 2):
                    step = polynomial.lattice.wrap(b - a for a, b in zip(first, second, strict=True))
                    graph.add_edge(u, v, colour=f"step {step}")
                for node in sites.values():
                    graph.add_edge(factor, node, colour="at")
                for (offset, a), power in local:
                    for s in (sign[a],) if a in sign else (1, -1):
                        graph.add_edge(sites[offset], 2 * a + (s < 0), colour=f"power {power}")
    return graph


def _refined(graphs: Sequence[nx.DiGraph], pinned: Sequence[tuple[int, int]]) -> list[dict[int, int]] | None:
    """Colours that repeated comparison of neighbourhoods leaves; None if the graphs cannot match."""
    names: list[dict[int, Any]] = [dict(graph.nodes(data="colour")) for graph in graphs]
    for k, pair in enumerate(pinned):
        for colours, node in zip(names, pair, strict=True):
            colours[node] = f"pinned {k}"
    count = 0
    while True:
        numbering = {
            name: i for i, name in enumerate(sorted({c for colours in names for c in colours.values()}))
        }
        current = [{node: numbering[c] for node, c in colours.items()} for colours in names]
        if sorted(current[0].values()) != sorted(current[1].values()):
            return None
        if len(numbering) == count:
            return current
        count = len(numbering)
        names = [
            {
                node: (
                    colours[node],
                    tuple(
                        sorted((colour, colours[v]) for _, v, colour in graph.out_edges(node, data="colour"))
                    ),
                    tuple(
                        sorted((colour, colours[u]) for u, _, colour in graph.in_edges(node, data="colour"))
                    ),
                )
                for node in graph
            }
            for graph, colours in zip(graphs, current, strict=True)
        ]


def isomorphism(
    first: nx.DiGraph, second: nx.DiGraph, size: int, pinned: Sequence[tuple[int, int]] = ()
) -> Images | None:
    """Images of the component nodes under an isomorphism that extends ``pinned``; None if there is none."""
    colours = _refined((first, second), pinned)
    if colours is None:
        return None
    for graph, refined in zip((first, second), colours, strict=True):
        nx.set_node_attributes(graph, refined, "refined")
    matcher = nx.algorithms.isomorphism.DiGraphMatcher(
        first,
        second,
        node_match=lambda u, v: u["refined"] == v["refined"],
        edge_match=lambda u, v: u["colour"] == v["colour"],
    )
    for mapping in matcher.isomorphisms_iter():
        return tuple(mapping[node] for node in range(2 * size))
    return None


def signed_permutations(graph: nx.DiGraph, size: int) -> tuple[list[Images], int]:
    """Generators and order of the signed permutations, by a chain of stabilizers.

    Level i holds the automorphisms that leave φ_0 … φ_{i−1} where they are; the order is the product of the
    orbits of φ_i under them, so the group is never enumerated.
    """
    generators: list[Images] = []
    order = 1
    for level in reversed(range(size)):
        pinned = [(2 * a, 2 * a) for a in range(level)]
        orbit = _orbit(2 * level, generators)
        refused: set[int] = set()
        colours = cast(list[dict[int, int]], _refined((graph, graph), pinned))[0]
        for image in range(2 * level, 2 * size):
            if image in orbit or image in refused or colours[image] != colours[2 * level]:
                continue
            found = isomorphism(graph, graph.copy(), size, [*pinned, (2 * level, image)])
            if found is None:
                refused |= _orbit(image, generators)
            else:
                generators.append(found)
                orbit = _orbit(2 * level, generators)
        order *= len(orbit)
    return generators, order


def _orbit(point: int, generators: Sequence[Images]) -> set[int]:
    orbit, frontier = {point}, [point]
    while frontier:
        frontier = sorted({g[p] for p in frontier for g in generators} - orbit)
        orbit |= set(frontier)
    return orbit


def matrix_of(images: Images) -> sp.ImmutableMatrix:
    """R with R_ab = ±1 if φ_a is replaced by ±φ_b."""
    return signed_matrix([node // 2 for node in images[::2]], [(-1) ** (node % 2) for node in images[::2]])


def signed_matrix(axes: Sequence[int], signs: Sequence[int]) -> sp.ImmutableMatrix:
    """φ_a is replaced by signs[a]·φ_axes[a]."""
    n = len(axes)
    return sp.ImmutableMatrix(n, n, lambda a, b: signs[a] if axes[a] == b else 0)


def listed_signed_permutations(size: int) -> list[sp.ImmutableMatrix]:
    """All signed permutation matrices if they are few, else those that change few components."""
    identity = tuple(range(size))
    if all_are_listed(size):
        signs = list(itertools.product((1, -1), repeat=size))
        return [signed_matrix(axes, s) for axes in itertools.permutations(identity) for s in signs]

    def flipped(*axes: int) -> sp.ImmutableMatrix:
        return signed_matrix(identity, [-1 if a in axes else 1 for a in identity])

    listed = [flipped(*identity), *(flipped(a) for a in identity)]
    for a, b in itertools.combinations(identity, 2):
        swapped = [{a: b, b: a}.get(c, c) for c in identity]
        listed += [signed_matrix(swapped, (1,) * size), flipped(a, b)]
    return [*listed, signed_matrix((*identity[1:], 0), (1,) * size)]


def all_are_listed(size: int) -> bool:
    """Whether :func:`listed_signed_permutations` is complete."""
    return order_of_all(size) <= ENUMERATED


def order_of_all(size: int) -> int:
    """Order of B_n, the group of all signed permutations of n components: 2ⁿ n!."""
    return 2**size * factorial(size)


def is_signed(matrix: Matrix) -> bool:
    """Whether an orthogonal matrix is a signed permutation."""
    return all(entry in (-1, 0, 1) for entry in matrix.flat())
