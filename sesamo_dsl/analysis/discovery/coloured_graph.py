"""Isomorphisms of coloured graphs, by refinement of the colours and backtracking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Images = tuple[int, ...]
"""The images of the points 0, 1, … under a map of graphs."""


class ColouredGraph:
    """A directed graph whose nodes and edges have colours; its first nodes are the points to be permuted.

    Once all points have different colours, refinement must give all other nodes different colours, too.
    """

    def __init__(self, points: int) -> None:
        self.points = points
        self._colours: list[int] = [_hash("point")] * points
        self._edges: list[tuple[int, int, int]] = []
        self._hashes: dict[str, int] = {}

    def add(self, colour: str) -> int:
        """Add a node and return its number."""
        self._colours.append(self._hashed(colour))
        return len(self._colours) - 1

    def join(self, tail: int, head: int, colour: str) -> None:
        """Add an edge from ``tail`` to ``head``."""
        self._edges.append((tail, head, self._hashed(colour)))

    def _hashed(self, colour: str) -> int:
        if colour not in self._hashes:
            self._hashes[colour] = _hash(colour)
        return self._hashes[colour]

    @property
    def size(self) -> int:
        """Number of nodes and edges."""
        return len(self._colours) + len(self._edges)

    def arrays(self) -> _Arrays:
        """The nodes and edges as arrays, for fast refinement."""
        count = len(self._colours)
        edges = np.array(self._edges, dtype=np.uint64).reshape(-1, 3)
        tails, heads = edges[:, 0].astype(np.int64), edges[:, 1].astype(np.int64)
        return _Arrays(
            count, self.points, np.array(self._colours, dtype=np.uint64), tails, heads, edges[:, 2]
        )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mixed(values: Array) -> Array:
    """The finaliser of splitmix64: equal numbers stay equal, and their sums tell multisets apart."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@dataclass(eq=False)
class _Arrays:
    count: int
    points: int
    colours: Array
    tails: Array
    heads: Array
    labels: Array
    _out: Array = field(init=False)
    _in: Array = field(init=False)

    def __post_init__(self) -> None:
        self._out, self._in = np.argsort(self.tails, kind="stable"), np.argsort(self.heads, kind="stable")

    def refined(self, colours: Array) -> Array:
        """Colours after one refinement: nodes keep equal colours only if their neighbourhoods are equal."""
        total = _mixed(colours + np.uint64(1))
        ways = ((self._out, self.tails, self.heads, 3), (self._in, self.heads, self.tails, 5))
        for order, own, other, salt in ways:
            seen = _mixed(_mixed(colours[other] * np.uint64(salt)) + self.labels)[order]
            sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(seen)])
            ends = np.searchsorted(own[order], np.arange(self.count + 1))
            total = total + _mixed((sums[ends[1:]] - sums[ends[:-1]]) * np.uint64(salt))
        return _mixed(total)

    def edges_under(self, images: Array) -> Array:
        """The sorted edges after the nodes were renamed."""
        edges = np.stack([images[self.tails], images[self.heads], self.labels.view(np.int64)])
        return edges[:, np.lexsort(edges)]


class Isomorphisms:
    """Isomorphisms from one coloured graph to another; ``steps`` bounds the search for each.

    Attributes
    ----------
    stopped
        Whether a search was given up, so that an isomorphism may have been missed.
    """

    def __init__(self, first: ColouredGraph, second: ColouredGraph, steps: int = 2000) -> None:
        self._first = first.arrays()
        self._second = self._first if second is first else second.arrays()
        self._target = self._second.edges_under(np.arange(self._second.count))
        self._steps, self._left = steps, steps
        self.stopped = False

    def refined(self) -> tuple[Array, Array] | None:
        """Refined colours of both graphs; None if these show that the graphs do not match."""
        if self._first.count != self._second.count:
            return None
        return self._refine(self._first.colours.copy(), self._second.colours.copy())

    def pinned(self, colours: tuple[Array, Array], point: int, image: int) -> tuple[Array, Array] | None:
        """Refined colours after a point and its image get a new colour; None if the graphs do not match."""
        pair = colours[0].copy(), colours[1].copy()
        for own, node in zip(pair, (point, image), strict=True):
            own[node] = _mixed(own[node : node + 1] + np.uint64(7))[0]
        return self._refine(*pair)

    def find(self, colours: tuple[Array, Array] | None) -> Images | None:
        """Images of the points under an isomorphism that keeps these colours; None if there is none."""
        self._left = self._steps
        return None if colours is None else self._search(*colours)

    def _refine(self, first: Array, second: Array) -> tuple[Array, Array] | None:
        known = 0
        while True:
            ordered = np.sort(first)
            same = self._second is self._first and np.array_equal(first, second)
            if not same and not np.array_equal(ordered, np.sort(second)):
                return None
            distinct = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1])) if len(ordered) else 0
            if distinct == known:
                return first, second
            known = distinct
            first = self._first.refined(first)
            second = first if same else self._second.refined(second)

    def _search(self, first: Array, second: Array) -> Images | None:
        points = self._first.points
        if self._left <= 0:
            self.stopped = True
            return None
        self._left -= 1
        images = self._verified(first, second)
        if images is not None:
            return tuple(images[:points].tolist())
        cells, counts = np.unique(first[:points], return_counts=True)
        if counts.max() == 1:
            return None
        smallest = cells[counts > 1][np.argmin(counts[counts > 1])]
        point = int(np.flatnonzero(first[:points] == smallest)[0])
        for image in _from_itself(point, np.flatnonzero(second[:points] == smallest)):
            refined = self.pinned((first, second), point, image)
            found = None if refined is None else self._search(*refined)
            if found is not None or self._left <= 0:
                return found
        return None

    def _verified(self, first: Array, second: Array) -> Array | None:
        """The map of all nodes that fixes points of equal colours, if it is an isomorphism; else None."""
        points = self._first.points
        guess = _matched(first[:points], second[:points])
        trial = first.copy(), second.copy()
        ranks = np.arange(points, dtype=np.uint64)
        trial[0][:points] = _mixed(_mixed(ranks + np.uint64(11)) + trial[0][:points])
        trial[1][guess] = trial[0][:points]
        refined = self._refine(*trial)
        if refined is None:
            return None
        images = _matched(*refined)
        fits = np.array_equal(self._first.edges_under(images), self._target)
        return images if fits else None


def _matched(first: Array, second: Array) -> Array:
    """For every node an image of the same colour: the node itself if possible, otherwise in order."""
    images = np.arange(len(first))
    rest = np.flatnonzero(first != second)
    source, target = np.argsort(first[rest], kind="stable"), np.argsort(second[rest], kind="stable")
    images[rest[source]] = rest[target]
    return images


def _from_itself(point: int, candidates: Array) -> Iterator[int]:
    """The candidates, the point itself first."""
    listed = candidates.tolist()
    yield from sorted(listed, key=lambda c: (c != point, c))


def automorphisms(graph: ColouredGraph, base: Sequence[int]) -> tuple[list[Images], int, bool]:
    """(generators, order, whether no search was given up) of the permutations of the points.

    A chain of stabilisers: level i holds the automorphisms that fix the points base[0] … base[i−1]. It needs
    one generator for each orbit that merges with the orbit of base[i], so the group is never enumerated. Only
    the identity may fix all points of ``base``.
    """
    maps = Isomorphisms(graph, graph)
    start = maps.refined()
    levels = [] if start is None else [start]
    for point in base[:-1]:
        below = maps.pinned(levels[-1], point, point)
        assert below is not None  # the identity always matches
        levels.append(below)
    generators: list[Images] = []
    order = 1
    for point, level in reversed(list(zip(base, levels, strict=True))):
        reached = orbit(point, generators)
        refused: set[int] = set()
        colours = level[0][: graph.points]
        for image in map(int, np.flatnonzero(colours == colours[point])):
            if image in reached or image in refused:
                continue
            found = maps.find(maps.pinned(level, point, image))
            if found is None:
                refused |= orbit(image, generators)
            else:
                generators.append(found)
                reached = orbit(point, generators)
        order *= len(reached)
    return generators, order, not maps.stopped


def orbit(point: int, generators: Sequence[Images]) -> set[int]:
    """The orbit of a point under the group that the generators generate."""
    reached, frontier = {point}, [point]
    while frontier:
        frontier = sorted({g[p] for p in frontier for g in generators} - reached)
        reached |= set(frontier)
    return reached
