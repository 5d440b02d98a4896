"""Signed permutations of components: automorphisms of the action's graph, and the matrices they stand for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import factorial

import sympy as sp

from .action_graph import GraphTooLargeError, action_graph
from .coloured_graph import ColouredGraph, Images, automorphisms
from .search import ENUMERATED, Matrix, Search


def graph_of(search: Search) -> ColouredGraph | None:
    """The graph of the action; None, with a sentence in ``limits``, if it would be too large."""
    for action in dict.fromkeys((search.action, search.theory.action)):
        try:
            return action_graph(action, search.components, search.numbers)
        except GraphTooLargeError:
            continue
    search.limits.append("the graph of the action is too large: signed permutations were not searched")
    return None


def signed_permutations(search: Search, graph: ColouredGraph | None) -> tuple[list[Images], int | None]:
    """Generators and order of the signed permutations; the order is None if some may have been missed."""
    if graph is None:
        return [], None
    generators, order, complete = automorphisms(graph, range(0, 2 * search.size, 2))
    if not complete:
        search.limits.append("the search for signed permutations was given up at some of them")
    return generators, order if complete else None


def matrix_of(images: Images) -> sp.ImmutableMatrix:
    """The matrix R of a signed permutation: R_ab = ±1 if φ_a is replaced by ±φ_b."""
    return signed_matrix([node // 2 for node in images[::2]], [(-1) ** (node % 2) for node in images[::2]])


def signed_matrix(axes: Sequence[int], signs: Sequence[int]) -> sp.ImmutableMatrix:
    """The matrix R that replaces φ_a by signs[a]·φ_axes[a]."""
    n = len(axes)
    return sp.ImmutableMatrix(n, n, lambda a, b: signs[a] if axes[a] == b else 0)


def listed_signed_permutations(size: int) -> list[sp.ImmutableMatrix]:
    """All signed permutation matrices."""
    return [
        signed_matrix(axes, signs)
        for axes in itertools.permutations(range(size))
        for signs in itertools.product((1, -1), repeat=size)
    ]


def all_are_listed(size: int) -> bool:
    """Whether the signed permutations are few enough to be listed."""
    return order_of_all(size) <= ENUMERATED


def order_of_all(size: int) -> int:
    """Order of B_n, the group of all signed permutations of n components: 2ⁿ n!."""
    return 2**size * factorial(size)


def is_signed(matrix: Matrix) -> bool:
    """Whether an orthogonal matrix is a signed permutation."""
    return all(entry in (-1, 0, 1) for entry in matrix.flat())
