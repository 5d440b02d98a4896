"""Chains whose sites depend on their neighbours alone: what lies beyond known sites does not matter."""

from __future__ import annotations

import sympy as sp

from ..language.theory import Theory
from ..symbols.fields import FieldComponent
from .local import coefficient_and_sum


def is_markov_chain(theory: Theory) -> bool:
    """True if exp(−S) is seen to be a Markov chain: one dimension, and no coupling beyond neighbours.

    The action is then a sum over sites whose terms have fields of at most two sites, next to each other.
    """
    lattice = theory.lattice
    if lattice.dimension != 1 or lattice.volume < 2 or lattice.graph_axis is not None:
        return False
    for term in sp.Add.make_args(sp.expand_mul(theory.action, deep=False)):
        parts = coefficient_and_sum(term)
        if parts is None:
            return False
        if not all(_spans_a_bond(t, lattice.volume) for t in sp.Add.make_args(parts[1].density)):
            return False
    return True


def _spans_a_bond(term: sp.Expr, sites: int) -> bool:
    places = sorted({field.offset[0] % sites for field in term.atoms(FieldComponent)})
    if len(places) < 2:
        return True
    return len(places) == 2 and places[1] - places[0] in (1, sites - 1)
