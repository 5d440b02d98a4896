"""Finite groups from generators: closure, multiplication table, Cayley graph, cosets, orbits, classes.

The elements can be any hashable objects with a composition that returns equal objects for equal elements.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Generic, TypeVar

import numpy as np

from ..errors import GroupError, NotClosedError

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
                            remedy="check the generators (a rotation by an angle that is no rational "
                            "multiple of π never closes) or raise order_bound",
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
    def generator_indices(self) -> tuple[int, ...]:
        """Index of each generator."""
        return tuple(int(i) for i in self._right[0])

    @cached_property
    def table(self) -> np.ndarray:
        """Multiplication table, (order, order): ``table[i, j]`` is the index of elements[i]∘elements[j]."""
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

    def minimal_generators(self, subgroup: Sequence[int]) -> tuple[int, ...]:
        """A few elements of a subgroup that generate it, chosen greedily in the order of the elements."""
        chosen: list[int] = []
        for g in sorted(subgroup):
            if g not in self.subgroup(chosen):
                chosen.append(g)
        return tuple(chosen)

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

    def is_normal_subgroup(self, indices: Iterable[int]) -> bool:
        """Whether these elements are a subgroup that conjugation maps to itself."""
        members = self._indices(indices)
        if self.subgroup(members) != members:
            return False
        inside = np.zeros(self.order, dtype=bool)
        inside[list(members)] = True
        # conjugation by the generators is enough: the group is finite
        generators = np.array(self.generator_indices, dtype=np.int64)
        conjugates = self.table[
            self.table[generators[:, None], list(members)], self.inverses[generators, None]
        ]
        return bool(inside[conjugates].all())

    def quotient(self, indices: Iterable[int]) -> FiniteGroup[tuple[int, ...]]:
        """The group of cosets of a normal subgroup; each element is a sorted tuple of indices of this group.

        Raises
        ------
        GroupError
            If the elements do not form a normal subgroup.
        """
        members = self._indices(indices)
        if not self.is_normal_subgroup(members):
            raise GroupError(
                f"quotient of group {self.name}",
                expected="a normal subgroup, closed under products and under conjugation",
                found=f"{len(members)} element(s): {members[:8]}{'…' if len(members) > 8 else ''}",
                remedy="generate it with subgroup(…) and check it with is_normal_subgroup(…)",
            )
        cosets = self.left_cosets(members)
        coset_of = np.empty(self.order, dtype=np.int64)
        for number, coset in enumerate(cosets):
            coset_of[list(coset)] = number
        return FiniteGroup(
            cosets[0],
            tuple(cosets[coset_of[g]] for g in self.generator_indices),
            lambda a, b: cosets[coset_of[self.table[a[0], b[0]]]],
            bound=len(cosets),
            name=f"{self.name}/[{len(members)}]",
        )

    @cached_property
    def centre(self) -> tuple[int, ...]:
        """Sorted indices of the elements that commute with all others."""
        return tuple(int(i) for i in np.flatnonzero((self.table == self.table.T).all(axis=1)))

    def _indices(self, indices: Iterable[int]) -> tuple[int, ...]:
        found = tuple(indices)
        if not all(isinstance(i, int | np.integer) and 0 <= i < self.order for i in found):
            raise GroupError(
                f"elements of group {self.name}",
                expected=f"indices from 0 to {self.order - 1}",
                found=str(found),
                remedy="name elements by their position in .elements",
            )
        return tuple(sorted({int(i) for i in found}))

    def orbit(self, point: Hashable, act: Callable[[E, Hashable], Hashable]) -> tuple[Hashable, ...]:
        """Distinct images of ``point``, in the order of the elements."""
        return tuple(dict.fromkeys(act(element, point) for element in self.elements))

    def __repr__(self) -> str:
        return f"FiniteGroup({self.name!r}, order={self.order})"


@dataclass(frozen=True, eq=False)
class ProductGroup:
    """A direct product of finite groups whose elements are never enumerated.

    An element is the tuple of the indices of its parts in the factors, or one index that counts these tuples
    with the last factor running fastest; (0, …, 0) and 0 are the identity.

    Raises
    ------
    GroupError
        For an empty list of factors, and from the methods for tuples and indices that are no elements.
    """

    factors: tuple[FiniteGroup[Any], ...]
    name: str

    def __init__(self, factors: Iterable[FiniteGroup[Any]], *, name: str | None = None) -> None:
        listed = tuple(factors)
        if not listed or not all(isinstance(factor, FiniteGroup) for factor in listed):
            raise GroupError(
                "product of groups",
                expected="at least one FiniteGroup",
                found=str(listed) if listed else "none",
                remedy="enumerate the factors first, e.g. with Symmetry.group(…)",
            )
        object.__setattr__(self, "factors", listed)
        object.__setattr__(self, "name", name or " × ".join(factor.name for factor in listed))

    @cached_property
    def orders(self) -> tuple[int, ...]:
        """Orders of the factors."""
        return tuple(factor.order for factor in self.factors)

    @property
    def order(self) -> int:
        """Number of elements, an exact integer of any size."""
        return prod(self.orders)

    @property
    def identity(self) -> tuple[int, ...]:
        """The unit element."""
        return (0,) * len(self.factors)

    @property
    def generators(self) -> tuple[tuple[int, ...], ...]:
        """The generators of each factor, with the identity in all other places."""
        return tuple(
            tuple(g if j == k else 0 for j in range(len(self.factors)))
            for k, factor in enumerate(self.factors)
            for g in factor.generator_indices
        )

    @cached_property
    def is_abelian(self) -> bool:
        """Whether all elements commute."""
        return all(factor.is_abelian for factor in self.factors)

    def index(self, element: Sequence[int]) -> int:
        """The number of an element, from 0 to order − 1."""
        number = 0
        for part, order in zip(self._element(element), self.orders, strict=True):
            number = number * order + part
        return number

    def element(self, index: int) -> tuple[int, ...]:
        """The element with this number."""
        if not isinstance(index, int | np.integer) or not 0 <= index < self.order:
            raise GroupError(
                f"element of group {self.name}",
                expected=f"an index from 0 to {self.order - 1}",
                found=repr(index),
                remedy="number elements as index(…) does",
            )
        parts, rest = [], int(index)
        for order in reversed(self.orders):
            rest, part = divmod(rest, order)
            parts.append(part)
        return tuple(reversed(parts))

    def compose(self, a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
        """The product a∘b: first ``b``, then ``a``."""
        parts = zip(self.factors, self._element(a), self._element(b), strict=True)
        return tuple(int(factor.table[i, j]) for factor, i, j in parts)

    def inverse(self, element: Sequence[int]) -> tuple[int, ...]:
        """The inverse element."""
        return tuple(int(f.inverses[i]) for f, i in zip(self.factors, self._element(element), strict=True))

    def _element(self, element: Sequence[int]) -> tuple[int, ...]:
        parts = tuple(element) if isinstance(element, Sequence) else ()
        if len(parts) != len(self.factors) or not all(
            isinstance(i, int | np.integer) and 0 <= i < order
            for i, order in zip(parts, self.orders, strict=False)
        ):
            raise GroupError(
                f"element of group {self.name}",
                expected=f"{len(self.factors)} indices, each below the order of its factor",
                found=str(element),
                remedy="give the index of the part in every factor",
            )
        return tuple(int(i) for i in parts)

    def __repr__(self) -> str:
        return f"ProductGroup({self.name!r}, order={self.order})"
