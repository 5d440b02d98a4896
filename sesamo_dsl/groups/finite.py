"""Finite groups from generators: closure, multiplication table, Cayley graph, cosets, orbits, classes.

Nothing here knows what the elements are; it needs only a composition that returns equal objects for equal
elements.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import Generic, TypeVar

import networkx as nx
import numpy as np

from ..errors import NotClosedError

E = TypeVar("E", bound=Hashable)


class FiniteGroup(Generic[E]):
    """A finite group, enumerated breadth-first from its generators; element 0 is the identity.

    Parameters
    ----------
    identity
        The unit element.
    generators
        Elements that generate the group.
    compose
        ``compose(a, b)`` is the element "first b, then a".
    bound
        Largest order to enumerate.
    name
        Used in error messages.

    Attributes
    ----------
    elements : tuple
        All elements, identity first, in order of word length.
    words : tuple[tuple[int, ...], ...]
        For each element, generator indices s₁ s₂ … with element = s₁∘s₂∘….

    Raises
    ------
    NotClosedError
        If more than ``bound`` elements are generated.
    """

    def __init__(
        self,
        identity: E,
        generators: Sequence[E],
        compose: Callable[[E, E], E],
        *,
        bound: int = 1152,
        name: str = "group",
    ) -> None:
        self.name, self.generators = name, tuple(generators)
        elements: list[E] = [identity]
        index = {identity: 0}
        words: list[tuple[int, ...]] = [()]
        right: list[list[int]] = []  # right[i][s] = index of elements[i]∘generators[s]
        for i, element in enumerate(elements):  # grows while it is walked: breadth-first
            row = []
            for s, generator in enumerate(self.generators):
                product = compose(element, generator)
                if product not in index:
                    if len(elements) >= bound:
                        raise NotClosedError(
                            f"group {name}",
                            expected=f"at most {bound} elements",
                            found=f"more than {bound} products of the {len(self.generators)} generators",
                            remedy="check the generators (a rotation by an angle that is no rational multiple of π "
                            "never closes) or raise order_bound",
                        )
                    index[product] = len(elements)
                    elements.append(product)
                    words.append((*words[i], s))
                row.append(index[product])
            right.append(row)
        self.elements, self.words = tuple(elements), tuple(words)
        self._right = np.array(right, dtype=np.int64).reshape(len(elements), len(self.generators))

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.elements)

    @cached_property
    def table(self) -> np.ndarray:
        """Multiplication table, shape (order, order): ``table[i, j]`` is the index of elements[i]∘elements[j]."""
        table = np.empty((self.order, self.order), dtype=np.int64)
        table[:, 0] = np.arange(self.order)
        word_index = {word: j for j, word in enumerate(self.words)}
        for j, word in enumerate(self.words[1:], start=1):
            table[:, j] = self._right[table[:, word_index[word[:-1]]], word[-1]]
        return table

    @cached_property
    def inverses(self) -> np.ndarray:
        """Index of the inverse of each element, shape (order,)."""
        return np.argmin(self.table, axis=1)  # the identity is index 0

    @cached_property
    def element_orders(self) -> np.ndarray:
        """Order of each element, shape (order,)."""
        orders = np.ones(self.order, dtype=np.int64)
        power = np.arange(self.order)
        while np.any(power != 0):
            orders[power != 0] += 1
            power = np.where(power != 0, self.table[power, np.arange(self.order)], 0)
        return orders

    @cached_property
    def is_abelian(self) -> bool:
        """Whether all elements commute."""
        return bool(np.array_equal(self.table, self.table.T))

    def cayley_graph(self) -> nx.DiGraph:
        """Cayley graph: an edge i → elements[i]∘generators[s], labelled ``generator=s``."""
        graph = nx.DiGraph(name=self.name)
        graph.add_nodes_from(range(self.order))
        for i, row in enumerate(self._right):
            graph.add_edges_from((i, int(j), {"generator": s}) for s, j in enumerate(row))
        return graph

    def conjugacy_classes(self) -> tuple[tuple[int, ...], ...]:
        """Conjugacy classes as sorted index tuples, the identity's first."""
        seen: set[int] = set()
        classes = []
        everything = np.arange(self.order)
        for i in range(self.order):
            if i not in seen:
                members = {int(j) for j in self.table[self.table[everything, i], self.inverses]}
                seen |= members
                classes.append(tuple(sorted(members)))
        return tuple(classes)

    def subgroup(self, generators: Iterable[int]) -> tuple[int, ...]:
        """Sorted indices of the subgroup generated by the elements with these indices."""
        members, frontier = {0}, [0]
        generators = tuple(generators)
        while frontier:
            new = {int(self.table[i, s]) for i in frontier for s in generators} - members
            members |= new
            frontier = sorted(new)
        return tuple(sorted(members))

    def left_cosets(self, subgroup: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Left cosets gH as sorted index tuples; the first is the subgroup itself."""
        seen: set[int] = set()
        cosets = []
        for i in range(self.order):
            if i not in seen:
                coset = tuple(sorted(int(j) for j in self.table[i, list(subgroup)]))
                seen.update(coset)
                cosets.append(coset)
        return tuple(cosets)

    def orbit(self, point: Hashable, act: Callable[[E, Hashable], Hashable]) -> tuple[Hashable, ...]:
        """Distinct images of ``point``, in the order of the elements."""
        return tuple(dict.fromkeys(act(element, point) for element in self.elements))

    def stabilizer(self, point: Hashable, act: Callable[[E, Hashable], Hashable]) -> tuple[int, ...]:
        """Indices of the elements that leave ``point`` where it is."""
        return tuple(i for i, element in enumerate(self.elements) if act(element, point) == point)

    def __repr__(self) -> str:
        return f"FiniteGroup({self.name!r}, order={self.order})"
