"""Groups whose elements shift the fields: φ → a − φ and the like, verified and not modulated with."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import act
from sesamo_dsl.errors import GroupError, NotClosedError, NotInvariantError
from sesamo_dsl.groups import Dihedral
from sesamo_dsl.report.derivation import derivation

KAPPA = sd.parameters("kappa")
LINE = sd.Lattice(4)
PHI, V = sd.ScalarField("phi", LINE), sd.VectorField("v", LINE, 2)
WELL = LINE.sum(PHI**2 * (PHI - 3) ** 2 + KAPPA * (PHI - PHI.shift(0)) ** 2)


def theory(field: Any, action: sp.Expr, *generators: Any, **options: Any) -> sd.Theory:
    symmetry = sd.Symmetry("affine", generators, **{"use": "equivariant", **options})
    return sd.Theory("affine", fields=[field], action=action, symmetries=[symmetry], defaults={})


def test_reflection_of_a_shifted_well() -> None:
    (report,) = sd.analyse(theory(PHI, WELL, {PHI: 3 - PHI}, exact=True)).reports
    assert report.status == "exact"
    assert report.group.order == 2
    assert report.group.elements[1].shift == (3,)


def test_wrong_centre_is_refuted() -> None:
    with pytest.raises(NotInvariantError) as caught:
        sd.analyse(theory(PHI, WELL, {PHI: 2 - PHI}, exact=True))
    x = caught.value.counterexample[0]
    well = [(y**2 * (y - 3) ** 2).sum() for y in (x, 2 - x)]  # the other term does not change
    assert abs(well[1] - well[0] - caught.value.difference) < 1e-9


def test_triangle_around_another_point() -> None:
    """D₃ about (1, 0), as the conjugate of the D₃ about 0 by a translation."""
    c, s = sp.Rational(-1, 2), sp.sqrt(3) / 2
    x, y = V[0] - 1, V[1]
    turn = {V[0]: 1 + c * x - s * y, V[1]: s * x + c * y}
    action = LINE.sum((x**2 + y**2) ** 2 + x**3 - 3 * x * y**2 + x * x.xreplace({V[0]: V[0].shift(0)}))
    action += LINE.sum(y * V[1].shift(0))
    analysis = sd.analyse(theory(V, action, turn, {V[1]: -V[1]}, exact=True))
    group = analysis.reports[0].group
    assert group.order == 6
    rng = np.random.default_rng(0)
    point = rng.normal(size=(2, 4))
    centred = point - np.array([[1.0], [0.0]])
    linear = sd.Theory("d3", fields=[V], action=LINE.sum(V.squared), symmetries=[Dihedral(3, V)])
    for element in group.elements:
        image = act(element, point)
        assert np.allclose(np.linalg.norm(image - [[1.0], [0.0]], axis=0), np.linalg.norm(centred, axis=0))
        values = [evaluate(action, z, (V[0], V[1]), {}) for z in (point, image)]
        assert abs(values[0] - values[1]) < 1e-10 * (1 + abs(values[0]))
    assert sd.analyse(linear).group.order == group.order


def test_composition_acts_one_after_the_other() -> None:
    c, s = sp.Rational(-1, 2), sp.sqrt(3) / 2
    turn = {V[0]: c * V[0] - s * V[1] + 1, V[1]: s * V[0] + c * V[1] - 2}
    action = LINE.sum(V.squared)
    (report,) = sd.analyse(theory(V, action, turn)).reports
    group = report.group
    assert group.order == 3
    x = np.random.default_rng(1).normal(size=(2, 4))
    for i, j in np.ndindex(3, 3):
        both = act(group.elements[int(group.table[i, j])], x)
        assert np.allclose(act(group.elements[i], act(group.elements[j], x)), both)


def test_shift_on_a_graph() -> None:
    ring = sd.GraphLattice(nx.cycle_graph(5))
    p = sd.ScalarField("p", ring)
    action = ring.sum((p - 1) ** 4 - (p - 1) * (ring.neighbours(p) - 2))
    assert sd.analyse(theory(p, action, {p: 2 - p}, exact=True)).status == "exact"
    path = sd.GraphLattice(nx.path_graph(3))
    q = sd.ScalarField("q", path)
    assert sd.analyse(theory(q, path.sum(q * path.neighbours(q) + q**4), {q: 2 - q})).status == "broken"
    thirds = sd.GraphLattice(nx.Graph([(0, 1, {"weight": sp.Rational(1, 3)}), (1, 2)]))
    r = sd.ScalarField("r", thirds)
    with pytest.raises(GroupError, match="same sum"):
        sd.analyse(theory(r, thirds.sum(r * thirds.neighbours(r) + r**4), {r: 2 - r}))


def test_modulating_needs_a_group_that_closes_and_names_the_fixed_point() -> None:
    with pytest.raises(NotClosedError, match=r"translation[\s\S]*equivariant"):
        sd.analyse(theory(PHI, WELL, {PHI: PHI + 1}, use="modulate"))
    with pytest.raises(GroupError, match=r"fixed point is phi = 3/2"):
        sd.analyse(theory(PHI, WELL, {PHI: 3 - PHI}, use="modulate"))
    with pytest.raises(GroupError, match="couplings cannot stand"):
        sd.analyse(theory(PHI, WELL, {PHI: KAPPA - PHI}))


def test_it_is_written_in_the_derivation() -> None:
    analysis = sd.analyse(theory(PHI, WELL, {PHI: 3 - PHI}))
    assert "adds the constants (3)" in analysis.text()
    for format in ("latex", "html"):
        assert derivation(analysis, format)
