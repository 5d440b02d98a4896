"""Order of the nodes of a graph for the masks and networks of flows: two colours, and distance shells."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NodeOrder:
    """Colours and distance shells of the nodes of a graph, the last axis of its lattice.

    Attributes
    ----------
    colours
        0 or 1 for every node, in place of the parity of a coordinate.
    shells
        For every node the nodes at distance 0, 1, 2, …. An automorphism that maps a node to another maps
        their shells in order, so that both nodes can share a network.
    """

    colours: tuple[int, ...]
    shells: tuple[tuple[tuple[int, ...], ...], ...]

    def seen(self, radius: int) -> NDArray[np.int64]:
        """Nodes within a distance of each node, (K, N), one column per node, padded with −1."""
        rows: list[tuple[int, ...]] = []
        for distance in range(radius + 1):
            shells = [node[distance] if distance < len(node) else () for node in self.shells]
            rows += list(itertools.zip_longest(*shells, fillvalue=-1))
        return np.array(rows, dtype=np.int64)
