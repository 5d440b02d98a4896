"""Finite groups of matrices, as groups of permutations of the orbits of the unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from sympy.combinatorics import Permutation, PermutationGroup

_ORBIT = 1000  # a group whose orbits of the unit vectors are longer counts as infinite

Array = np.ndarray[Any, Any]


class MatrixGroup:
    """A finite group of matrices that is never enumerated.

    The orbits are found in floating point; order and membership serve to choose generators and to name the
    group. That a generator is a symmetry is proved elsewhere.
    """

    def __init__(self, size: int, generators: Sequence[Array] = ()) -> None:
        self._generators: list[Array] = []
        self._points = np.eye(size)
        self._index = {key: i for i, key in enumerate(_keys(self._points))}
        self._group = PermutationGroup([Permutation(list(range(size)))])
        for generator in generators:
            self.add(generator)

    def add(self, generator: Array) -> bool:
        """Add a generator; False, without a change, if an orbit becomes longer than is followed."""
        generators = [*self._generators, generator]
        blocks, index = [self._points], dict(self._index)
        frontier = self._points
        while len(frontier):
            images = np.concatenate([frontier @ g.T for g in generators])
            fresh = {key: i for i, key in enumerate(_keys(images)) if key not in index}
            frontier = images[sorted(fresh.values())]
            start = len(index)
            index.update((key, start + k) for k, key in enumerate(_keys(frontier)))
            if len(index) > _ORBIT:
                return False
            blocks.append(frontier)
        self._generators, self._points, self._index = generators, np.concatenate(blocks), index
        self._group = PermutationGroup([cast(Permutation, self._permutation(g)) for g in generators])
        return True

    def _permutation(self, matrix: Array) -> Permutation | None:
        images = [self._index.get(key) for key in _keys(self._points @ matrix.T)]
        return None if None in images else Permutation(images)

    def __contains__(self, matrix: Array) -> bool:
        permutation = self._permutation(matrix)
        return permutation is not None and bool(self._group.contains(permutation))

    @property
    def order(self) -> int:
        """Number of elements."""
        return int(self._group.order())


def _keys(points: Array) -> list[bytes]:
    return [row.tobytes() for row in np.round(points * 1e6).astype(np.int64)]
