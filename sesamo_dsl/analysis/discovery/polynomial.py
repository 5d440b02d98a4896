"""The action as a polynomial: exponents and offsets in place of expressions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from ...symbols.exact import NumberTable
from ...symbols.fields import FieldComponent, Parameter
from ...symbols.lattice import Lattice, SiteSum

Site = tuple[int, ...]
Local = tuple[tuple[tuple[Site, int], int], ...]
"""A product of field components under one sum over sites: ((offset, component), power), sorted."""
Monomial = tuple[Local, ...]
"""A product of sums over sites, sorted."""


@dataclass(frozen=True, eq=False)
class Polynomial:
    """Σ coefficient · monomial; a coefficient is a sorted tuple of (factor of parameters, number).

    Attributes
    ----------
    independent
        Whether different monomials and parameter factors are linearly independent functions, so that an
        action that changes as a polynomial changes as a function.
    """

    lattice: Lattice
    size: int
    terms: dict[Monomial, tuple[tuple[sp.Expr, sp.Expr], ...]]
    independent: bool


def canonical(factors: Iterable[Local], lattice: Lattice) -> Monomial:
    """A product of sums in canonical form: each summand translated to its first position, then sorted."""
    return tuple(sorted(_first_position(local, lattice) for local in factors))


def _first_position(local: Local, lattice: Lattice) -> Local:
    """The same product at the position, among those with a factor at the origin, that sorts first."""
    origins = {o for (o, _), _ in local}
    return min(
        tuple(
            sorted(
                ((lattice.wrap(a - b for a, b in zip(o, origin, strict=True)), c), p) for (o, c), p in local
            )
        )
        for origin in origins
    )


def read_polynomial(
    action: sp.Expr, components: tuple[FieldComponent, ...], numbers: NumberTable
) -> Polynomial | None:
    """Read an action in normal form as a polynomial; None if it is not one."""
    lattice = components[0].lattice
    index = {(c.field, c.component): a for a, c in enumerate(components)}
    collected: dict[Monomial, dict[sp.Expr, list[sp.Expr]]] = defaultdict(lambda: defaultdict(list))
    independent = True
    for term in sp.Add.make_args(action):
        number: list[sp.Expr] = []
        couplings: list[sp.Expr] = []
        sums: list[Local] = []
        for factor in sp.Mul.make_args(term):
            base, exponent = factor.as_base_exp()
            if factor.is_number:
                number.append(factor)
            elif not factor.has(FieldComponent):
                couplings.append(factor)
                independent &= isinstance(base, Parameter) and bool(exponent.is_Integer)
            elif isinstance(base, SiteSum) and exponent.is_Integer and int(exponent) > 0:
                local = _local(base.density, index)
                if local is None:
                    return None
                sums += [local] * int(exponent)
            else:
                return None
        # on a finite lattice a product of sums can equal a sum of products
        independent &= len(sums) <= 1
        if sums:
            coupling = sp.Mul(*couplings)
            collected[canonical(sums, lattice)][coupling].append(sp.Mul(*number))
    terms = {}
    for monomial in sorted(collected):
        parts = []
        for coupling, values in collected[monomial].items():
            number_ = numbers.canonical(sp.expand(sp.Add(*values)))
            if number_ != 0:
                parts.append((coupling, number_))
        if parts:
            terms[monomial] = tuple(sorted(parts, key=lambda part: sp.default_sort_key(part[0])))
    return Polynomial(lattice, len(components), terms, independent)


def _local(density: sp.Expr, index: dict[tuple[str, int], int]) -> Local | None:
    """A density as a product of powers of field components; None if it is not one."""
    factors = []
    for factor in sp.Mul.make_args(density):
        base, exponent = factor.as_base_exp()
        if not (isinstance(base, FieldComponent) and exponent.is_Integer and int(exponent) > 0):
            return None
        factors.append(((base.offset, index[base.field, base.component]), int(exponent)))
    return tuple(sorted(factors))
