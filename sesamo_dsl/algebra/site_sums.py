"""Sums over sites with given coefficients, and linear combinations of them that are zero.

Σ_x a(x) m(x) with a monomial m of fields vanishes if the array a does, however a is composed of site
constants: for a staggered h the values show that h(x) + h(x+1) = 0.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import cast

import numpy as np
import sympy as sp

from ..groups.site_map import SiteMap
from ..symbols.exact import NumberTable, numeric
from ..symbols.lattice import SiteSum
from ..symbols.site_constants import SiteConstant, exact_value

_Array = np.ndarray


def without_cancelling_sums(terms: dict[sp.Expr, sp.Expr], numbers: NumberTable) -> dict[sp.Expr, sp.Expr]:
    """Σ number · term without the sums over sites whose given coefficients add up to zero at every site."""
    groups: dict[tuple[sp.Expr, sp.Expr], list[sp.Expr]] = defaultdict(list)
    coefficients: dict[sp.Expr, tuple[SiteConstant, ...]] = {}
    for term in terms:
        parts = _given_coefficient(term)
        if parts is not None:
            rest, monomial, coefficients[term] = parts
            groups[rest, monomial].append(term)
    zero = {
        term
        for members in groups.values()
        if any(coefficients[term] for term in members)
        and _vanishes([(terms[term], coefficients[term]) for term in members], numbers)
        for term in members
    }
    return {term: number for term, number in terms.items() if term not in zero}


def sum_of_values(density: sp.Expr) -> sp.Expr | None:
    """Σ_x of a product of given site constants, exactly; None if there are other factors."""
    constants, monomial = _given_factors(density)
    if monomial != 1:
        return None
    rows = np.stack([cast(_Array, h.array).ravel() for h in constants], axis=1)
    return sp.Add(*(sp.Mul(*(exact_value(value) for value in row)) for row in rows))


def _given_factors(density: sp.Expr) -> tuple[tuple[SiteConstant, ...], sp.Expr]:
    """The given site constants in a product, each as often as its power says, and the other factors."""
    constants, monomial = [], []
    for factor in sp.Mul.make_args(density):
        base, exponent = factor.as_base_exp()
        natural = exponent.is_Integer and exponent.is_positive
        if isinstance(base, SiteConstant) and base.values is not None and natural:
            constants += [base] * int(exponent)
        else:
            monomial.append(factor)
    return tuple(constants), sp.Mul(*monomial)


def _given_coefficient(term: sp.Expr) -> tuple[sp.Expr, sp.Expr, tuple[SiteConstant, ...]] | None:
    """(other factors, monomial, site constants) of one sum Σ_x h(x) h'(x) … monomial with given h, h', … ."""
    sums = [factor for factor in sp.Mul.make_args(term) if isinstance(factor, SiteSum)]
    if len(sums) != 1:
        return None
    constants, monomial = _given_factors(sums[0].density)
    return term / sums[0], monomial, constants


def _vanishes(parts: list[tuple[sp.Expr, tuple[SiteConstant, ...]]], numbers: NumberTable) -> bool:
    """Whether Σ_i number_i Π_j h_ij(x) is zero at every site, decided exactly."""
    atoms = sorted({h for _, constants in parts for h in constants}, key=str)
    columns = np.stack([cast(_Array, h.array).ravel() for h in atoms], axis=1)
    rough = np.zeros(len(columns))
    for number, constants in parts:
        factors = [columns[:, atoms.index(h)] for h in constants]
        rough += float(numeric(number)) * np.prod(factors, axis=0)
    if np.abs(rough).max() > 1e-6 * _size(parts, atoms, columns):
        return False
    for row in np.unique(columns, axis=0):
        values = {h: exact_value(value) for h, value in zip(atoms, row, strict=True)}
        total = sp.Add(*(number * sp.Mul(*(values[h] for h in constants)) for number, constants in parts))
        if numbers.canonical(sp.expand(total)) != 0:
            return False
    return True


def _size(
    parts: list[tuple[sp.Expr, tuple[SiteConstant, ...]]], atoms: list[SiteConstant], columns: _Array
) -> float:
    """The largest absolute value of a term of Σ_i number_i Π_j h_ij(x)."""
    return max(
        abs(float(numeric(number)))
        * float(np.abs(np.prod([columns[:, atoms.index(h)] for h in c], axis=0)).max())
        for number, c in parts
    )


@lru_cache(maxsize=256)
def site_numbers(sites: SiteMap) -> tuple[int, ...]:
    """The number of the image of every site, in C order."""
    shape = sites.lattice.shape
    return tuple(int(np.ravel_multi_index(sites.image(site), shape)) for site in np.ndindex(*shape))
