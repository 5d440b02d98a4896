"""The nodes of a graph as flows and emitted programs see them: two colours, and shells of equal distance."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NodeOrder:
    """How a flow sees the nodes of a graph, which are the last axis of its lattice.

    Attributes
    ----------
    colours
        0 or 1 for every node, in place of the parity of a coordinate.
    shells
        For every node the nodes at distance 0, 1, 2, …; alike, in the same order, at nodes that an
        automorphism takes to each other, so that these can share their networks.
    """

    colours: tuple[int, ...]
    shells: tuple[tuple[tuple[int, ...], ...], ...]

    def seen(self, radius: int) -> NDArray[np.int64]:
        """Nodes within a distance, a column for every node, −1 where one sees less than others, (K, N)."""
        rows: list[tuple[int, ...]] = []
        for distance in range(radius + 1):
            shells = [node[distance] if distance < len(node) else () for node in self.shells]
            rows += list(itertools.zip_longest(*shells, fillvalue=-1))
        return np.array(rows, dtype=np.int64)
