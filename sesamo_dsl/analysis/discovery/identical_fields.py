"""Sets of fields that can be permuted in any way, split off from the signed permutations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ...symbols.exact import floats
from .coloured_graph import Images
from .search import Search
from .signed_permutations import matrix_of

Fields = tuple[int, ...]
"""Positions of fields in the theory."""


class IdenticalFields:
    """Sets of fields of which any two can be exchanged; ``exchanges`` and ``rest`` generate the group.

    Attributes
    ----------
    sets
        Positions of the fields, one tuple for each set of at least two.
    exchanges
        For each set two generators of all its permutations: an exchange of two, and the cycle.
    rest
        The other generators; each takes every field of a set to itself, if possible.
    direct
        Whether all of ``rest`` act on the fields of a set alike, so that the group is a direct product.
    """

    def __init__(self, search: Search, generators: Sequence[Images]) -> None:
        self._blocks: list[tuple[int, ...]] = []
        start = 0
        for field in search.theory.fields:
            self._blocks.append(tuple(range(start, start + len(field.components))))
            start += len(field.components)
        self._size = search.size
        self.sets = self._sets(search, generators)
        self.exchanges: list[Images] = []
        for fields in self.sets:
            cycle = dict(zip(fields, (*fields[1:], fields[0]), strict=True))
            swap = {fields[0]: fields[1], fields[1]: fields[0]}
            self.exchanges += [self._permuted(m) for m in ([swap] if len(fields) == 2 else [swap, cycle])]
        found = [self._without_exchanges(g) for g in generators]
        identity = self._permuted({})
        self.rest = [g for g in dict.fromkeys(found) if g != identity]
        self.direct = bool(self.sets) and all(self._acts_alike(g) for g in self.rest)

    def _sets(self, search: Search, generators: Sequence[Images]) -> tuple[Fields, ...]:
        """Exchangeability is an equivalence relation: each field is compared with one field of every set."""
        reached = list(range(2 * self._size))  # the orbits of points
        for g in generators:
            for p, image in enumerate(g):
                a, b = _root(reached, p), _root(reached, image)
                reached[max(a, b)] = min(a, b)
        sets: list[list[int]] = []
        for field, block in enumerate(self._blocks):
            for fields in sets:
                other = self._blocks[fields[0]]
                together = len(other) == len(block) and all(
                    _root(reached, 2 * a) == _root(reached, 2 * b) for a, b in zip(block, other, strict=True)
                )
                if not together:
                    continue
                swap = self._permuted({field: fields[0], fields[0]: field})
                if search.unchanged(floats(matrix_of(swap))):
                    fields.append(field)
                    break
            else:
                sets.append([field])
        return tuple(tuple(fields) for fields in sets if len(fields) > 1)

    def _permuted(self, images: dict[int, int]) -> Images:
        """The map of the points that takes the components of a field to those of its image."""
        points = list(range(2 * self._size))
        for field, image in images.items():
            for a, b in zip(self._blocks[field], self._blocks[image], strict=True):
                points[2 * a], points[2 * a + 1] = 2 * b, 2 * b + 1
        return tuple(points)

    def _field_images(self, g: Images) -> list[int | None]:
        """For each field the field that all its components go to; None if they go to several."""
        of = {a: field for field, block in enumerate(self._blocks) for a in block}
        images = [{of[g[2 * a] // 2] for a in block} for block in self._blocks]
        return [next(iter(fields)) if len(fields) == 1 else None for fields in images]

    def _without_exchanges(self, g: Images) -> Images:
        """g followed by the permutation of fields that undoes what g does to the sets as wholes."""
        images, undo = self._field_images(g), dict[int, int]()
        for fields in self.sets:
            if any(images[f] not in fields for f in fields):
                return g
            undo |= {image: f for f in fields if (image := images[f]) is not None}
        back = self._permuted(undo)
        return tuple(back[p] for p in g)

    def _acts_alike(self, g: Images) -> bool:
        images = self._field_images(g)
        for fields in self.sets:
            if any(images[f] != f for f in fields):
                return False
            starts = [2 * self._blocks[f][0] for f in fields]
            maps = {tuple(g[s + k] - s for k in range(2 * len(self._blocks[fields[0]]))) for s in starts}
            if len(maps) > 1:
                return False
        return True


def _root(parents: list[int], p: int) -> int:
    while parents[p] != p:
        p = parents[p]
    return p


def joint_planes(search: Search) -> list[list[tuple[int, int]]]:
    """For a theory of several fields with d ≥ 2 components each: the planes (a, b) of all fields at once."""
    fields = search.theory.fields
    d = len(fields[0].components)
    if len(fields) < 2 or d < 2 or any(len(f.components) != d for f in fields):
        return []
    starts = range(0, search.size, d)
    return [[(s + a, s + b) for s in starts] for a, b in itertools.combinations(range(d), 2)]
