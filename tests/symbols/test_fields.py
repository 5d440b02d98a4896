"""Fields are classes, and a scalar field is a symbol of SymPy as well."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import networkx as nx
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.errors import FieldError, LatticeError

LATTICE = sd.Lattice(4, 3)
PHI = sd.ScalarField("phi", LATTICE)
GRAPH = sd.GraphLattice(nx.path_graph(3), time=2)
CHI = sd.ScalarField("chi", GRAPH)
V = sd.VectorField("v", LATTICE, 2)
PLACES = {
    "at x": PHI,
    "shifted": PHI.shift(0),
    "gone around": PHI.shift(1, -3),
    "neighbours": CHI.neighbours(),
    "an end of a bond": CHI.at_end(2),
    "a component": V[1].shift(1),
}


def test_every_declaration_has_a_class() -> None:
    z = sd.ComplexField("z", LATTICE)
    assert isinstance(PHI, sd.ScalarField)
    assert isinstance(PHI, sp.Symbol)
    assert isinstance(PHI.shift(0), sd.ScalarField), "as a shifted vector field is a vector field"
    assert isinstance(CHI.neighbours(), sd.ScalarField)
    assert isinstance(V, sd.VectorField)
    assert isinstance(z, sd.VectorField)
    assert not isinstance(V[0], sd.ScalarField), "a component alone is not what was declared"
    assert not isinstance(z, sd.ScalarField)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies_are_the_same_symbol(place: str, again: Any) -> None:
    field = PLACES[place]
    same = again(field)
    assert type(same) is type(field)
    assert (same, hash(same)) == (field, hash(field))
    assert vars(same) == vars(field)
    assert again(field**2 + 1) == field**2 + 1


def test_the_same_place_is_the_same_symbol() -> None:
    assert PHI.shift(0).shift(0, -1) == PHI == PHI.at((0, 0)) == PHI.at((4, -3))
    assert sd.ScalarField("phi", sd.Lattice(4, 3)) == PHI
    assert sd.ScalarField("phi", sd.Lattice(4, 4)) != PHI
    assert PHI.shift(0) - PHI.at((1, 0)) == 0
    assert sp.diff(PHI**2 * V[0], PHI) == 2 * PHI * V[0]


def test_fields_are_printed_before_couplings_whatever_their_kind() -> None:
    g = sd.parameters("g")
    assert (str(g * PHI), str(g * V[0])) == ("phi*g", "v_0*g")


def test_scalars_and_vectors_make_one_theory() -> None:
    theory = sd.Theory(
        "two_kinds", fields=[V, PHI], action=LATTICE.sum(PHI**2 * V.squared + PHI.shift(0) * PHI)
    )
    assert theory.fields == (V, PHI)
    assert theory.components == (*V, PHI)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(("phi", 8), LatticeError), ((3, LATTICE), FieldError), (("", LATTICE), FieldError)],
)
def test_a_wrong_declaration_is_explained(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error, match="expected"):
        sd.ScalarField(*arguments)
