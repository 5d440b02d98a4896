"""Symmetries that generate infinite groups, φ → φ + 2π among them: verified by their generators alone."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.analysis.undeclared import undeclared_symmetries
from sesamo_dsl.errors import GroupError, NotClosedError, NotInvariantError
from sesamo_dsl.report.derivation import derivation
from sesamo_dsl.symbols.site_constants import SiteConstant

SQUARE = sd.Lattice(4, 3)
PHI, CHI = sd.ScalarField("phi", SQUARE), sd.ScalarField("chi", SQUARE)
K = sd.parameters("k")
STEP = PHI.shift(0) - PHI
TURN = 2 * sp.pi


def analysed(density: sp.Expr, *generators: Any, fields: Any = (PHI,), **options: Any) -> sd.Analysis:
    symmetry = sd.Symmetry("shift", generators, **{"use": "equivariant", **options})
    action = fields[0].lattice.sum(density)
    theory = sd.Theory("shifted", fields=fields, action=action, symmetries=[symmetry])
    return sd.analyse(theory, normalizable=False)


EXACT: dict[str, tuple[sp.Expr, list[dict[Any, Any]]]] = {
    "pendulum": (-K * sp.cos(PHI) - sp.cos(STEP), [{PHI: PHI + TURN}]),
    "clock": (sp.cos(5 * PHI + 1) - sp.cos(STEP), [{PHI: PHI + TURN / 5}]),
    "functions of angles": (sp.exp(sp.sin(PHI)) / (2 + sp.cos(PHI)) + abs(sp.sin(PHI)), [{PHI: PHI - TURN}]),
    "half a turn": (sp.sin(PHI) ** 2 + sp.sin(PHI) * sp.cos(PHI), [{PHI: PHI + sp.pi}]),
    "differences": (STEP**2 + STEP**4 + sp.exp(-(STEP**2)), [{PHI: PHI + sp.sqrt(2)}]),
    "sine-Gordon": (STEP**2 / 2 - K * sp.cos(3 * PHI), [{PHI: PHI + TURN / 3}, {PHI: -PHI}]),
    "fractional part": (PHI - sp.floor(PHI) + sp.Mod(PHI, 1) ** 2, [{PHI: PHI + 1}]),
    "two angles": (sp.cos(PHI - CHI) + (PHI - CHI) ** 2, [{PHI: PHI + 1, CHI: CHI + 1}]),
    "one of two": (sp.cos(PHI - CHI) + CHI**2, [{PHI: PHI + 2 * TURN}]),
    "irrational angle": (
        (PHI**2 + CHI**2) ** 2,
        [{PHI: (3 * PHI - 4 * CHI) / 5, CHI: (4 * PHI + 3 * CHI) / 5}],
    ),
    "boost": (PHI * CHI + (PHI * CHI.shift(0)) ** 2, [{PHI: 2 * PHI, CHI: CHI / 2}]),
}


@pytest.mark.parametrize("name", EXACT)
def test_infinite_groups_are_proved_by_generators(name: str) -> None:
    density, generators = EXACT[name]
    fields = (PHI, CHI) if density.has(CHI) else (PHI,)
    analysis = analysed(density, *generators, fields=fields, exact=True)
    (report,) = analysis.reports
    assert report.status == "exact"
    assert report.enumerated is None
    assert len(report.generators) == len(generators)
    assert not analysis.is_modulated
    assert "order infinite or above 1152" in str(analysis)
    with pytest.raises(GroupError, match="finite group"):
        report.group  # noqa: B018


BROKEN = {
    "mass": (STEP**2 + PHI**2, {PHI: PHI + 1}),
    "another period": (sp.cos(2 * PHI + 1), {PHI: PHI + TURN / 3}),
    "a float is not a turn": (sp.cos(PHI), {PHI: PHI + 6.25}),
    "tilted": (sp.cos(PHI) + K * PHI, {PHI: PHI + TURN}),
    "one field alone": (sp.cos(PHI - CHI) + (PHI - CHI) ** 2, {PHI: PHI + TURN}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_changes_is_refuted(name: str) -> None:
    density, generator = BROKEN[name]
    fields = (PHI, CHI) if density.has(CHI) else (PHI,)
    with pytest.raises(NotInvariantError) as raised:
        analysed(density, generator, fields=fields, exact=True)
    assert raised.value.counterexample is not None
    assert abs(raised.value.difference) > 1e-3
    assert analysed(density, generator, fields=fields).reports[0].status == "broken"


def test_a_coordinate_without_bounds_is_told_not_raised() -> None:
    action = SQUARE.sum(STEP**2)
    winding = sd.Symmetry("shift", [{PHI: PHI + 1}], use="equivariant", exact=True)
    theory = sd.Theory("massless", fields=[PHI], action=action, symmetries=[winding])
    analysis = sd.analyse(theory, normalizable=False)
    assert analysis.status == "exact"
    assert analysis.divergence is not None
    assert "∫ exp(−S) is infinite" in str(analysis)
    for form in ("text", "latex", "html"):
        assert "infinite or above" in derivation(analysis, form)
    lines, _ = undeclared_symmetries(analysis, 1)
    assert any("phi → -phi" in line for line in lines)


def test_differences_on_a_graph_whose_nodes_differ() -> None:
    """Σ over edges of w (φ_x − φ_y)²/2, written with the sum of the weights at each node."""
    graph = nx.Graph([(0, 1, {"weight": 0.5}), (1, 2), (2, 3, {"weight": 3}), (1, 3)])
    lattice = sd.GraphLattice(graph, time=2)
    p = sd.ScalarField("p", lattice)
    weights = nx.to_numpy_array(graph, nodelist=lattice.nodes).sum(axis=1)
    degree = SiteConstant("degree", lattice, np.broadcast_to(weights, (2, 4)))
    edges = degree * p**2 / 2 - p * lattice.neighbours(p) / 2
    up = {p: p + sp.Rational(7, 3)}
    assert analysed(edges + sp.cos(6 * sp.pi * p / 7), up, fields=[p], exact=True).status == "exact"
    wrong = SiteConstant("degree", lattice, np.broadcast_to(weights + 0.125, (2, 4)))
    assert analysed(edges.xreplace({degree: wrong}), up, fields=[p]).status == "broken"


def test_infinite_groups_are_not_modulated_and_keep_the_measure() -> None:
    with pytest.raises(NotClosedError, match="equivariant"):
        analysed(sp.cos(PHI), {PHI: PHI + TURN}, use="modulate")
    with pytest.raises(NotClosedError, match="equivariant"):
        sd.analyse(
            sd.Theory(
                "default",
                fields=[PHI],
                action=SQUARE.sum(sp.cos(PHI)),
                symmetries=[sd.Symmetry("shift", [{PHI: PHI + TURN}])],
            )
        )
    with pytest.raises(GroupError, match="volumes"):
        analysed(sp.log(PHI**2 + CHI**2) - sp.log(PHI**2), {PHI: 2 * PHI, CHI: 2 * CHI}, fields=(PHI, CHI))


def test_a_finite_group_above_the_bound_is_verified_too() -> None:
    analysis = analysed(PHI**4 + CHI**4, {PHI: CHI, CHI: -PHI}, fields=(PHI, CHI), order_bound=2)
    assert analysis.reports[0].order == "infinite or above 2"
    assert analysis.status == "exact"
