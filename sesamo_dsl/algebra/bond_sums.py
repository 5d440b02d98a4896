"""Sums over bonds in normal form: one monomial of fields at both ends, and a factor for every bond.

The factors are stored with the bonds: sums of the same monomial are added by adding factors, and a sum is
zero if all its factors are. A map of the nodes maps the bonds; an automorphism that keeps the weights gives
the same bonds again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import cast

import sympy as sp

from ..symbols.bonds import WEIGHT, BondWeight
from ..symbols.exact import NumberTable
from ..symbols.fields import FieldComponent
from ..symbols.lattice import Bond, Bonds, Functional, SiteSum

_MOST_WEIGHTS = 64  # largest number of different weights that get one sum each


def without_weights(bonds: Bonds, monomial: sp.Expr) -> Iterator[tuple[Bonds, sp.Expr]]:
    """(bonds, density) of sums that add up to the given one, without the weight w in the density.

    Powers of w become factors of the bonds. For other functions of w there is one sum for every weight, with
    its number in the place of w. If there are too many different weights, w stays in the density, and sums
    are recognised as equal only if they are spelled alike.
    """
    power, rest = monomial.as_independent(*monomial.atoms(FieldComponent), as_Add=False)
    if not rest.has(BondWeight):
        rows = ((i, j, f * power.xreplace({WEIGHT: w}), sp.S.One) for i, j, f, w in bonds.bonds)
        yield Bonds(bonds.lattice, list(rows)), rest
        return
    by_weight: dict[sp.Expr, list[Bond]] = defaultdict(list)
    for bond in bonds.bonds:
        by_weight[bond[3]].append(bond)
    if len(by_weight) > _MOST_WEIGHTS:
        yield bonds, monomial
        return
    for weight, members in by_weight.items():
        alike = [(i, j, factor, sp.S.One) for i, j, factor, _ in members]
        yield Bonds(bonds.lattice, alike), monomial.xreplace({WEIGHT: weight})


def in_one_orientation(bonds: Bonds, monomial: sp.Expr, other: sp.Expr) -> sp.Expr:
    """The sum of a monomial in a canonical orientation; ``other`` is the monomial with both ends exchanged.

    The monomial that sorts first is kept, and fields at one end only are at x. If both are equal up to a
    sign, bonds go from the smaller node to the larger one. With fields at one end only, bonds are added up at
    each node.
    """
    sign, monomial = _sign_apart(monomial)
    other_sign, other = _sign_apart(other)
    rows: Iterable[Bond] = bonds.bonds
    ends = {f.end for f in monomial.atoms(FieldComponent)}
    if ends == {2} or (ends != {1} and sp.sstr(other) < sp.sstr(monomial)):
        sign, monomial = other_sign, other
        rows = [(j, i, factor, weight) for i, j, factor, weight in rows]
    elif other == monomial:
        swap = sign * other_sign
        rows = [(i, j, f, w) if i <= j else (j, i, swap * f, w) for i, j, f, w in rows]
    if len(ends) == 1 and not monomial.has(BondWeight):
        rows = [(i, i, factor, weight) for i, _, factor, weight in rows]
    return sign * SiteSum(Bonds(bonds.lattice, _together(rows)), monomial)


def _sign_apart(monomial: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    number = monomial.as_coeff_Mul()[0]
    return (sp.S.NegativeOne, -monomial) if number.is_negative else (sp.S.One, monomial)


def _together(rows: Iterable[Bond]) -> list[Bond]:
    """The bonds sorted, with the factors of equal bonds added."""
    factors: dict[tuple[int, int, sp.Expr], list[sp.Expr]] = defaultdict(list)
    for i, j, factor, weight in rows:
        factors[i, j, weight].append(factor)
    summed = ((i, j, sp.expand(sp.Add(*f)), weight) for (i, j, weight), f in factors.items())
    return sorted(summed, key=lambda bond: (bond[0], bond[1], sp.sstr(bond[3])))


def with_sums_over_bonds_together(
    terms: dict[sp.Expr, sp.Expr], numbers: NumberTable
) -> dict[sp.Expr, sp.Expr]:
    """Σ number · term, with all sums over bonds of the same monomial merged into one.

    Bonds whose factor is zero are left out, and the factor of the first bond is 1.
    """
    groups: dict[tuple[sp.Expr, sp.Expr], list[Bond]] = defaultdict(list)
    found: dict[sp.Expr, sp.Expr] = {}
    for term, number in terms.items():
        sums = [f for f in sp.Mul.make_args(term) if isinstance(f, SiteSum) and f.bonds is not None]
        rest = (term / sums[0]) if len(sums) == 1 else term
        if len(sums) != 1 or rest.has(Functional):
            found[term] = number
            continue
        bonds = cast(Bonds, sums[0].bonds)
        scaled = [(i, j, number * f, w) for i, j, f, w in bonds.bonds]
        groups[rest, sums[0].density].extend(scaled)
    lattice = next((b.lattice for t in terms for b in t.atoms(Bonds)), None)
    for (rest, density), rows in groups.items():
        assert lattice is not None
        exact = [(i, j, numbers.canonical(factor), w) for i, j, factor, w in _together(rows)]
        kept = [bond for bond in exact if bond[2] != 0]
        if not kept:
            continue
        first = kept[0][2]
        scaled = [(i, j, numbers.canonical(sp.expand(f / first)), w) for i, j, f, w in kept]
        node = SiteSum(Bonds(lattice, scaled), density)
        everywhere = {(i, i) for i in range(len(lattice.nodes))} == {(i, j) for i, j, *_ in scaled}
        if everywhere and cast(Bonds, node.bonds).is_plain:  # each node once, as in a sum over the sites
            here = {f: f.at_end(0) for f in density.atoms(FieldComponent)}
            node = lattice.sum(density.xreplace(here))
        key = rest * node
        found[key] = numbers.canonical(sp.expand(found.get(key, sp.S.Zero) + first))
    return {term: number for term, number in found.items() if number != 0}
