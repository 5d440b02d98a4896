"""Angles: what is periodic, proofs on the circle, and the domain of groups that shift angles."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl import groups
from sesamo_dsl.algebra.normal_form import NormalForm
from sesamo_dsl.algebra.waves import in_waves
from sesamo_dsl.errors import FieldError, GroupError, NotInvariantError, NotNormalizableError, TheoryError
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.stages.lower import lower_theory
from sesamo_dsl.symbols.exact import NumberTable

LATTICE = sd.Lattice(4)
THETA, ETA = sd.AngleField("theta", LATTICE), sd.AngleField("eta", LATTICE)
PHI = sd.ScalarField("phi", LATTICE)
BETA = sd.parameters("beta")
XY = -BETA * sp.cos(THETA - THETA.shift(0))


def theory(density: sp.Expr, *symmetries: object, fields: tuple[object, ...] = (THETA,)) -> sd.Theory:
    return sd.Theory(
        "angles",
        fields=fields,
        action=LATTICE.sum(density),
        symmetries=symmetries,
        defaults={BETA: 1.0} if density.has(BETA) else {},
    )


@pytest.mark.parametrize(
    "term",
    [
        THETA**2,
        THETA * PHI,
        sp.cos(THETA / 2),
        sp.cos(BETA * THETA),
        sp.exp(THETA) * 1,
        sp.Piecewise((1, THETA > 0), (0, True)),
        THETA.shift(0) * sp.cos(THETA),
        sp.cos(sp.sqrt(2) * THETA),
        sp.cos(THETA - THETA.shift(0) / 2),
    ],
)
def test_what_is_not_periodic_is_refused_with_its_term(term: sp.Expr) -> None:
    with pytest.raises(TheoryError, match="2π-periodic in the angle theta") as error:
        theory(PHI**2 + XY + term, fields=(THETA, PHI))
    assert str(term).split("(")[0].split("*")[0][:4] in error.value.found
    with pytest.raises(TheoryError, match="observable o"):
        sd.Theory("o", fields=[THETA, PHI], action=LATTICE.sum(XY), observables={"o": LATTICE.sum(term)})


@pytest.mark.parametrize(
    "term",
    [
        sp.cos(THETA / 2) ** 2,
        sp.exp(sp.cos(THETA - PHI)),
        sp.log(2 + sp.cos(3 * THETA)),
        PHI**2 * sp.sin(THETA + sp.Rational(1, 3)) ** 2,
        sp.Piecewise((1, sp.sin(THETA) > 0), (0, True)),
        sp.cos(2 * THETA - 3 * ETA.shift(0)),
    ],
)
def test_what_is_periodic_is_not(term: sp.Expr) -> None:
    declared = theory(PHI**2 + XY + term, fields=(THETA, ETA, PHI))
    assert declared.manifolds == ("circle", "circle", "line")
    assert "theta, eta in (−π, π], with the measure dθ" in str(declared.sheet)


def test_neighbours_and_determinants_of_angles_are_refused() -> None:
    import networkx as nx

    graph = sd.GraphLattice(nx.cycle_graph(3), time=2)
    theta = sd.AngleField("theta", graph)
    with pytest.raises(TheoryError, match="sum over bonds"):
        sd.Theory("n", fields=[theta], action=graph.sum(sp.cos(theta.neighbours())))
    determinant = sd.FermionLogDet(hopping=graph, beta=1, field=theta)
    with pytest.raises(TheoryError, match="2π-periodic"):
        sd.Theory("d", fields=[theta], action=graph.sum(sp.cos(theta)) - determinant)
    bonds = sd.Theory(
        "b", fields=[theta], action=graph.bonds(lambda x, y, w: -w * sp.cos(x[theta] - y[theta]))
    )
    assert bonds.angles == (theta,)


def test_waves_are_the_same_function() -> None:
    """Values at random points, and one spelling for equal functions."""
    expr = (sp.cos(THETA) + PHI * sp.sin(2 * THETA - ETA)) ** 3 * sp.cos(PHI - THETA) + sp.exp(
        sp.cos(THETA) ** 2
    )
    waves = in_waves(expr)
    assert not any(isinstance(node, sp.Pow) and node.base.has(THETA) for node in waves.atoms(sp.Pow))
    rng = np.random.default_rng(0)
    for _ in range(5):
        point = {f: sp.Float(v) for f, v in zip((THETA, ETA, PHI), rng.normal(size=3), strict=True)}
        assert abs(float(sp.N((expr - waves).xreplace(point)))) < 1e-12
    assert in_waves(sp.cos(THETA) ** 2 + sp.sin(THETA) ** 2) == 1
    assert in_waves(PHI**2) == PHI**2


def test_a_sine_that_translations_negate_sums_to_zero() -> None:
    form = NormalForm(NumberTable())
    assert form(LATTICE.sum(sp.sin(THETA - THETA.shift(0, 2)))) == 0
    assert form(LATTICE.sum(sp.sin(THETA - THETA.shift(0, 1)))) != 0
    assert form(LATTICE.sum(sp.cos(THETA.shift(0, 3) - THETA) - sp.cos(THETA - THETA.shift(0)))) == 0


def verdicts(density: sp.Expr, *symmetries: object, fields: tuple[object, ...] = (THETA,)) -> list[str]:
    return [r.status for r in sd.analyse(theory(density, *symmetries, fields=fields)).reports]


TRUE = [
    (XY, sd.U1(THETA)),
    (XY, sd.Z2(THETA)),
    (XY * sp.cos(THETA - THETA.shift(0)), sd.U1(THETA)),
    (XY + sp.cos(6 * THETA), groups.Dihedral(6, THETA)),
    (XY + sp.cos(2 * THETA - ETA), sd.U1(THETA, ETA, charges=[1, 2])),
    (sp.exp(XY), sd.U1(THETA)),
    (XY + sp.sin(THETA) ** 2, sd.Cyclic(2, THETA)),
    (XY + sp.cos(THETA) ** 4 + sp.sin(THETA) ** 4, sd.Cyclic(4, THETA)),
    (XY + sp.sin(THETA - THETA.shift(0, 2)), sd.Z2(THETA)),
    (XY, groups.PointGroup(LATTICE)),
    (sp.Piecewise((0, sp.cos(THETA - THETA.shift(0)) > 0), (1, True)), sd.U1(THETA)),
    (sp.cos(THETA - ETA), sd.Symmetry("swap", [{THETA: ETA, ETA: THETA}], use="equivariant")),
]
FALSE = [
    (XY + sp.cos(THETA), sd.U1(THETA)),
    (XY + sp.cos(THETA + THETA.shift(0)), sd.U1(THETA)),
    (XY + sp.cos(2 * THETA - ETA), sd.U1(THETA, ETA)),
    (XY + sp.cos(5 * THETA), sd.Cyclic(6, THETA)),
    (XY + sp.sin(THETA), sd.Z2(THETA)),
    (XY + sp.sin(THETA - THETA.shift(0)), sd.Z2(THETA)),
    (sp.exp(XY) + sp.exp(sp.cos(THETA)), sd.U1(THETA)),
    (XY + sp.sin(THETA - THETA.shift(0)), groups.PointGroup(LATTICE)),
]


@pytest.mark.parametrize(("density", "symmetry"), TRUE)
def test_symmetries_are_proved(density: sp.Expr, symmetry: object) -> None:
    assert verdicts(density, symmetry, fields=(THETA, ETA)) == ["exact"]


@pytest.mark.parametrize(("density", "symmetry"), FALSE)
def test_false_symmetries_are_refuted_with_a_configuration(density: sp.Expr, symmetry: object) -> None:
    (report,) = sd.analyse(theory(density, symmetry, fields=(THETA, ETA))).reports
    assert report.status == "broken"
    refuted = next(v for v in report.verdicts if v.status == "broken")
    assert refuted.counterexample is not None
    assert abs(refuted.counterexample.difference) > 1e-6
    assert refuted.residual != 0


def test_the_part_that_breaks_a_rotation_is_named() -> None:
    (report,) = sd.analyse(theory(XY + sp.cos(THETA) / 3 + sp.cos(2 * THETA) ** 2, sd.U1(THETA))).reports
    assert report.order == "infinite"
    expected = LATTICE.sum(sp.cos(THETA)) / 3 + LATTICE.sum(sp.cos(4 * THETA)) / 2
    assert NormalForm(NumberTable())(report.verdicts[0].residual - expected) == 0
    with pytest.raises(NotInvariantError, match="part of S that changes"):
        sd.analyse(theory(XY + sp.cos(THETA), sd.U1(THETA, exact=True)))


def test_finite_groups_close_modulo_a_turn_and_split_the_action() -> None:
    analysis = sd.analyse(theory(XY - sp.cos(3 * THETA) - sp.sin(THETA) / 5, groups.Dihedral(3, THETA)))
    assert analysis.group.order == 6
    assert analysis.breaking == -LATTICE.sum(sp.sin(THETA)) / 5
    assert "⟨cos(theta)⟩, ⟨sin(theta)⟩" in str(analysis)
    assert "with the measure dtheta" in str(analysis)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_domains_of_shifted_angles_tile(order: int) -> None:
    """Each configuration is in the domain after canonicalize; modulate takes it back, for each element."""
    group = groups.Dihedral(order, THETA)
    program = lower_theory(sd.analyse(theory(XY - sp.cos(order * THETA), group)))
    x = np.random.default_rng(1).uniform(-np.pi, np.pi, size=(50, 1, 4))
    y, u = run(program, "canonicalize", {"x": x})
    assert len(set(u)) == 2 * order
    assert (run(program, "facets", {"y": y})[0] <= 1e-12).all()
    np.testing.assert_allclose(run(program, "modulate", {"y": y, "u": u})[0], x, atol=1e-12)
    for element in range(2 * order):
        image = run(program, "modulate", {"y": y, "u": np.full(50, element)})[0]
        assert (np.abs(image) <= np.pi).all()
        again, found = run(program, "canonicalize", {"x": image})
        assert (found == element).all()
        np.testing.assert_allclose(again, y, atol=1e-12)
        values = run(program, "action", {"x": image}, {"beta": 1.0})[0]
        np.testing.assert_allclose(values, run(program, "action", {"x": x}, {"beta": 1.0})[0], atol=1e-10)


def test_maps_that_are_none_of_circles_are_refused() -> None:
    both = (THETA, PHI)
    for image in ({THETA: THETA / 2}, {THETA: THETA + PHI}, {PHI: PHI + THETA}, {THETA: 2 * THETA}):
        with pytest.raises(GroupError):
            verdicts(PHI**2 + XY, sd.Symmetry("odd", [image]), fields=both)
    shear = sd.Symmetry("shear", [{THETA: -THETA - ETA}])
    with pytest.raises(GroupError, match="one angle or its negative"):
        verdicts(XY - sp.cos(THETA - THETA.shift(0)), shear, fields=(THETA, ETA))
    with pytest.raises(GroupError, match="a charge that is an integer"):
        groups.AngleRotation("G", {PHI: 1})
    with pytest.raises(GroupError, match="integer"):
        sd.U1(THETA, charges=[0])
    with pytest.raises(GroupError, match="one integer charge for each"):
        sd.U1(THETA, charges=[1, 2])
    with pytest.raises(GroupError, match="shifted and not turned"):
        verdicts(XY, sd.LieSymmetry("G", [{THETA: ETA, ETA: -THETA}]), fields=(THETA, ETA))
    with pytest.raises(GroupError, match="acts at all sites alike"):
        verdicts(XY, sd.Sitewise(sd.Z2(THETA)))
    with pytest.raises(FieldError, match="components of the theory"):
        verdicts(XY, sd.U1(ETA))


def test_only_real_fields_can_make_z_infinite() -> None:
    """A circle is finite; a real field has to be confined at every angle."""
    assert sd.analyse(theory(XY)).divergence is None
    assert sd.analyse(theory(sp.S(BETA) * 0 + sp.cos(2 * THETA))).divergence is None
    assert sd.analyse(theory(XY + PHI**2 + PHI * sp.cos(THETA), fields=(THETA, PHI))).divergence is None
    for density in (XY + PHI * sp.cos(THETA), XY - PHI**2, XY + PHI**2 * sp.cos(THETA), XY):
        with pytest.raises(NotNormalizableError, match="phi"):
            sd.analyse(theory(density, fields=(THETA, PHI)))
    with pytest.raises(NotNormalizableError, match="not integrable near"):
        sd.analyse(theory(XY + 2 * sp.log(1 + sp.cos(THETA)), fields=(THETA,)))


def test_shifts_of_angles_are_found() -> None:
    """Charge lattices with known null spaces and elementary divisors."""
    found = sd.find_symmetries(theory(XY)).angles
    assert [dict(r.charges) for r in found.rotations] == [{THETA: 1}]
    found = sd.find_symmetries(theory(XY + sp.cos(4 * THETA) + sp.cos(THETA + THETA.shift(0)))).angles
    assert not found.rotations
    assert [v.generator.shift for v in found.finite] == [(sp.pi,)]
    both = (THETA, ETA)
    found = sd.find_symmetries(
        theory(XY + sp.cos(2 * THETA - ETA) * sp.cos(ETA - ETA.shift(0)), fields=both)
    ).angles
    (rotation,) = found.rotations
    assert rotation.charges[ETA] == 2 * rotation.charges[THETA]
    assert not found.finite
    density = (
        XY + sp.cos(2 * THETA + 4 * ETA) + sp.cos(6 * THETA)
    )  # 2·12 elements: det [[2, 4], [6, 0]] = −24
    found = sd.find_symmetries(theory(density, fields=both)).angles
    orders = [sp.ilcm(*(sp.denom(s / (2 * sp.pi)) for s in v.generator.shift)) for v in found.finite]
    assert sp.prod(orders) == 24
    assert all(v.status == "exact" for v in found.finite)
    assert "shift of angles" in str(sd.find_symmetries(theory(density, fields=both)))
