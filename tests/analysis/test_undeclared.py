"""Analyses at given couplings, and exact symmetries that a theory has and does not declare."""

from __future__ import annotations

import networkx as nx
import pytest

import sesamo_dsl as sd
from sesamo_dsl.analysis.undeclared import undeclared_symmetries
from sesamo_dsl.errors import LatticeError, ParameterError

POINT = sd.Lattice(1)
H = sd.parameters("h")
V = sd.VectorField("v", POINT, 2)
X, Y = V


def theory(*symmetries: object) -> sd.Theory:
    action = V.squared**2 - V.squared + H * X
    return sd.Theory("source", fields=[V], action=action, symmetries=list(symmetries), defaults={H: 0.1})


def test_verdicts_are_about_the_couplings_that_are_given() -> None:
    declared = theory(sd.Z2(V))
    assert sd.analyse(declared).status == "broken"
    assert sd.analyse(declared, parameters={H: 0}).status == "exact"
    assert sd.analyse(declared, parameters={"h": 0.2}).status == "broken"
    with pytest.raises(ParameterError):
        sd.analyse(declared, parameters={"nope": 0})


def test_what_is_not_declared_is_named() -> None:
    lines, _ = undeclared_symmetries(sd.analyse(theory(sd.Z2(V)), parameters={H: 0}), 60.0)
    assert any(line.startswith("continuous") for line in lines)
    lines, _ = undeclared_symmetries(sd.analyse(theory()), 60.0)
    assert lines == [f"discrete: {Y} → -{Y}"]
    reflection = sd.Symmetry("reflection", [{Y: -Y}])
    assert undeclared_symmetries(sd.analyse(theory(reflection)), 60.0)[0] == []


def test_on_a_graph_nothing_is_said_to_have_been_looked_for() -> None:
    ring = sd.GraphLattice(nx.cycle_graph(4))
    s = sd.ScalarField("s", ring)
    on_nodes = sd.Theory("ring", fields=[s], action=ring.sum(s**4 + s**2 * ring.neighbours(s) ** 2))
    lines, (limit,) = undeclared_symmetries(sd.analyse(on_nodes), 60.0)
    assert lines is None
    assert "not searched" in limit
    with pytest.raises(LatticeError, match=r"Automorphisms\(lattice\)") as found:
        sd.find_symmetries(on_nodes)
    assert "Translations" not in str(found.value)


def test_fields_of_different_sizes_are_not_exchanged() -> None:
    fields = [sd.ScalarField("b", POINT), sd.VectorField("c", POINT, 3), sd.VectorField("a", POINT, 2)]
    action = sum(sum(phi**4 for phi in field.components) for field in fields)
    lines, _ = undeclared_symmetries(sd.analyse(sd.Theory("mixed", fields=fields, action=action)), 60.0)
    assert lines
