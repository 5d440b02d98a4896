"""Properties of the group and its representation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from ...symbols.exact import floats
from ..property import EPS, Measurement, Property, modulated
from ..strategies import indices, words
from ..subject import Subject


def _triples(subject: Subject) -> st.SearchStrategy[tuple[int, int, int]]:
    return st.tuples(indices(subject), indices(subject), indices(subject))


def _group_axioms(subject: Subject, example: tuple[int, int, int]) -> Iterator[Measurement]:
    a, b, c = example
    table, inverses = subject.analysis.group.table, subject.analysis.group.inverses
    yield Measurement(int(table[table[a, b], c] != table[a, table[b, c]]), 0, "(ab)c = a(bc)")
    yield Measurement(int(table[a, 0] != a) + int(table[0, a] != a), 0, "ae = ea = a")
    yield Measurement(int(table[a, inverses[a]] != 0) + int(table[inverses[a], a] != 0), 0, "aa⁻¹ = e")
    yield Measurement(len(set(table[a])) - subject.analysis.group.order, 0, "rows are permutations")


def _homomorphism(subject: Subject, word: list[int]) -> Iterator[Measurement]:
    group, matrices = subject.analysis.group, subject.program.constants["MATRICES"]
    product, index = np.eye(matrices.shape[1]), 0
    for s in word:
        generator = floats(group.generators[s].matrix)
        product = product @ generator
        index = group.table[index, group.elements.index(group.generators[s])]
    size = max(1.0, float(np.abs(product).max()))
    tolerance = 8 * EPS["float64"] * (len(word) + 1) * matrices.shape[1] * size
    yield Measurement(np.abs(product - matrices[index]).max(), tolerance, "D(s₁s₂…) = D(s₁)D(s₂)…")
    inverse = subject.program.constants["INVERSES"][index] @ matrices[index]
    yield Measurement(np.abs(inverse - np.eye(len(inverse))).max(), tolerance, "D(g)⁻¹D(g) = 1")


def _subgroups(subject: Subject, example: tuple[int, int, int]) -> Iterator[Measurement]:
    """Cosets of ⟨a⟩ and ⟨a, b⟩ tile the group; conjugacy classes are closed; the order of a divides |G|."""
    a, b, c = example
    group = subject.analysis.group
    for generators in ((a,), (a, b)):  # two elements often generate the whole group, which has one coset
        members = group.subgroup(generators)
        cosets = group.left_cosets(members)
        counted = np.bincount([g for coset in cosets for g in coset], minlength=group.order)
        yield Measurement(counted - 1, 0, "left cosets tile the group")
        yield Measurement(int(cosets[0] != members), 0, "the first coset is the subgroup")
        closed = all(int(group.table[i, j]) in set(members) for i in members for j in generators)
        yield Measurement(int(not closed), 0, "subgroups are closed")
        mine = next(number for number, coset in enumerate(cosets) if c in coset)
        translated = {int(group.table[c, h]) for h in members}
        yield Measurement(int(translated != set(cosets[mine])), 0, "the coset of c is cH")
    power, order = a, 1
    while power != 0:
        power, order = int(group.table[power, a]), order + 1
    yield Measurement(int(group.element_orders[a]) - order, 0, "orders of elements")
    classes = group.conjugacy_classes()
    counted = np.bincount([g for members in classes for g in members], minlength=group.order)
    yield Measurement(counted - 1, 0, "conjugacy classes tile the group")
    conjugates = {int(group.table[group.table[g, a], group.inverses[g]]) for g in range(group.order)}
    yield Measurement(int(conjugates not in map(set, classes)), 0, "the class of a is all gag⁻¹")


PROPERTIES = (
    Property(
        "group_axioms", "the multiplication table is that of a group", _triples, _group_axioms, modulated
    ),
    Property("homomorphism", "D(gh) = D(g) D(h)", words, _homomorphism, modulated),
    Property(
        "subgroups", "subgroups, cosets, orders and classes are consistent", _triples, _subgroups, modulated
    ),
)
