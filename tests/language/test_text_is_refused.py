"""Text is never evaluated: SymPy would run it, whatever it says and wherever it was read."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl import groups
from sesamo_dsl.errors import FieldError, GroupError, LatticeError, ParameterError, SesamoError
from sesamo_dsl.symbols.exact import exact_matrix, symbolic

LATTICE = sd.Lattice(2)
PHI = sd.ScalarField("phi", LATTICE)
EVIL = "__import__('os').abort()"  # ends the test run if anything evaluates it


@pytest.mark.parametrize("text", [EVIL, "1", "phi**2", ""])
def test_no_declaration_evaluates_text(text: str) -> None:
    graph = nx.Graph()
    graph.add_edge(0, 1, weight=text)
    ladder = sd.GraphLattice(nx.path_graph(2), time=2)
    chi = sd.ScalarField("chi", ladder)
    matrix = [[text, 0], [0, 1]]
    declarations = {
        LatticeError: [
            lambda: LATTICE.sum(text),  # pyright: ignore[reportArgumentType]
            lambda: sd.GraphLattice(graph),
            lambda: sd.FermionLogDet(hopping=matrix, beta=1, field=chi),
            lambda: sd.FermionLogDet(hopping=np.array(matrix, dtype=object), beta=1, field=chi),
            lambda: sd.FermionLogDet(hopping=graph, beta=1, field=chi),
        ],
        FieldError: [
            lambda: sd.FermionLogDet(hopping=ladder, beta=1, field=text),
            lambda: sd.FermionLogDet(hopping=ladder, beta=1, field=chi).expand_explicit([[text, 0], [0, 0]]),
        ],
        ParameterError: [lambda: sd.FermionLogDet(hopping=ladder, beta=text, field=chi)],
        GroupError: [
            lambda: sd.Symmetry("S", [{PHI: text}]),
            lambda: groups.FromMatrices("S", [[[text]]], [PHI]),
            lambda: sd.analyse(_theory(sd.LieSymmetry("S", [{PHI: text}]))),  # pyright: ignore
        ],
    }
    for kind, several in declarations.items():
        for declare in several:
            with pytest.raises(kind) as caught:
                declare()
            assert isinstance(caught.value, SesamoError)


def _theory(symmetry: sd.LieSymmetry) -> sd.Theory:
    return sd.Theory("t", fields=[PHI], action=LATTICE.sum(PHI**2), symmetries=[symmetry])


def test_the_message_on_an_edge_says_what_to_do() -> None:
    graph = nx.Graph()
    graph.add_edge("a", "b", weight="0.5")
    with pytest.raises(LatticeError, match=r"the text '0.5' on \(a, b\)(.|\n)*float"):
        sd.GraphLattice(graph)


def test_numbers_of_every_kind_are_expressions_and_booleans_are_not() -> None:
    for number in (2, 2.0, np.int32(2), np.float32(2), Fraction(2), Decimal(2), sp.Integer(2)):
        assert float(symbolic(number)) == 2  # pyright: ignore[reportArgumentType]
    for other in (True, np.True_, "2", None, [2], np.array(2), np.array([2.0]), 2j):
        assert symbolic(other) is None
    assert exact_matrix(np.eye(2, dtype=int)) == sp.eye(2) == exact_matrix([[1, 0], [0, sp.Integer(1)]])
    assert exact_matrix([[1, 2], [3]]) is None
    assert exact_matrix([1, 2]) is None
