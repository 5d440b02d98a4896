"""No symmetry is proved that is not there: jumps that derivatives do not see, far from and close by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.algebra.normal_form import NormalForm
from sesamo_dsl.analysis.counterexamples import boundaries, refuse_contradiction, search_counterexample
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import find_counterexample, generic_parameters
from sesamo_dsl.errors import GroupError, InternalError
from sesamo_dsl.groups.element import Element
from sesamo_dsl.symbols.exact import NumberTable
from sesamo_dsl.symbols.lattice import SiteSum

POINT, LINE = sd.Lattice(1), sd.Lattice(3)
X, Y = sd.ScalarField("x", POINT), sd.ScalarField("y", POINT)
V = sd.VectorField("v", POINT, 3)
PHI = sd.ComplexField("phi", LINE)
H = sd.parameters("h")
R2 = X**2 + Y**2


def wall(condition: Any, height: Any = sp.oo) -> sp.Expr:
    return sp.Piecewise((0, condition), (height, True))


def step(condition: Any, height: Any = 3) -> sp.Expr:
    return sp.Piecewise((height, condition), (0, True))


ROTATIONS: dict[str, sp.Expr] = {
    "step": R2 / 2 + step(X > 0),
    "step, the other spelling": R2 / 2 + 3 * sp.Heaviside(X),
    "step with an invariant height": R2 + step(X > 0, R2),
    "product of signs": R2 + sp.sign(X) * sp.sign(Y),
    "sign of a product": R2 + sp.sign(X * Y + 1),
    "square well": R2 + wall((sp.Abs(X) < 4) & (sp.Abs(Y) < 4), 7),
    "square well, hard walls": R2 + wall((sp.Abs(X) < 40) & (sp.Abs(Y) < 40)),
    "one wall far away": R2 + wall(X < 300),
    "thin slab far away": R2 + step((X > 40) & (40 + sp.Rational(1, 1000) > X)),
    "tiny well": R2 + step((sp.Abs(X) < sp.Rational(1, 10**5)) & (sp.Abs(Y) < 1)),
    "floor": R2 + sp.floor(X) / 1000,
    "ceiling": R2 + sp.ceiling(3 * Y),
    "remainder": R2 + sp.Mod(sp.floor(X), 2),
    "sign from a quotient": R2 + sp.Abs(X) / X,
    "sign from a root": R2 + X / sp.sqrt(X**2 + 2 * X**4) * sp.sqrt(1 + 2 * X**2),
    "arctangent of a pole": R2 + sp.atan(X) + sp.atan(1 / X),
    "two branches of the angle": R2 + sp.atan2(Y, X) - sp.atan(Y / X),
    "saturated pole": R2 + sp.sign(sp.tan(X)),
    "floor of an invariant and of a component": R2 + sp.floor(R2) + sp.floor(sp.cos(X) / 2),
    "kink": R2 + sp.Max(X, 0),
    "flat branches": R2 + sp.Piecewise((1, X > 1), (2, X < -1), (0, True)),
    "a coupling on the boundary": R2 + step(X > H),
}


@pytest.mark.parametrize("name", ROTATIONS)
def test_rotations_are_refuted_with_a_counterexample(name: str) -> None:
    action = ROTATIONS[name]
    symmetry = sd.LieSymmetry("R", [{X: -Y, Y: X}], exact=True)
    theory = sd.Theory("t", fields=[X, Y], action=action, symmetries=[symmetry])
    with pytest.raises(sd.NotInvariantError, match="remedy") as caught:
        sd.analyse(theory)
    error = caught.value
    assert error.residual != 0
    x, couplings, changes = error.counterexample, generic_parameters(theory), []
    for angle in (0.7, 2.0, -3.9):
        c, s = np.cos(angle), np.sin(angle)
        with np.errstate(all="ignore"):
            before, after = (
                evaluate(theory.action, z, theory.components, couplings)
                for z in (x, np.array([c * x[0] - s * x[1], s * x[0] + c * x[1]]))
            )
        changes.append(after - before)
    assert any(change == pytest.approx(error.difference, rel=1e-6) for change in changes)


@pytest.mark.parametrize("name", ROTATIONS)
def test_what_jumps_counts_as_breaking(name: str) -> None:
    """S₀ = S − S₁ is invariant under finite rotations, at configurations of all sizes."""
    symmetry = sd.LieSymmetry("R", [{X: -Y, Y: X}])
    theory = sd.Theory("t", fields=[X, Y], action=ROTATIONS[name], symmetries=[symmetry])
    if theory.action.has(sp.oo):  # no weight corrects for a wall that the group moves
        with pytest.raises(GroupError, match="wall"):
            sd.analyse(theory)
        return
    analysis = sd.analyse(theory)
    assert analysis.status == "broken"
    assert analysis.breaking != 0
    theory = analysis.theory.with_action(analysis.theory.action - analysis.breaking)
    assert find_counterexample(theory, element_of_order(8)) is None


def element_of_order(order: int) -> Element:
    return sd.Cyclic(order, X, Y).group((X, Y), NumberTable()).generators[0]


@pytest.mark.parametrize("name", list(ROTATIONS)[::3])
def test_they_are_not_found_either(name: str) -> None:
    found = sd.find_symmetries(sd.Theory("t", fields=[X, Y], action=ROTATIONS[name]))
    assert found.algebra.dimension == 0
    assert "O(2)" not in str(found)


OTHERS: dict[str, tuple[Any, sp.Expr, Any]] = {
    "O(3), step in a component": (V, V.squared + step(V[0] > 1), sd.SO(V)),
    "O(3), step in one plane": (V, V.squared + step(V[0] ** 2 + V[1] ** 2 > 4), sd.SO(V)),
    "O(3), signs": (V, V.squared + sp.sign(V[0]) * sp.sign(V[1]) * sp.sign(V[2]), sd.SO(V)),
    "U(1) on a lattice": (
        PHI,
        LINE.sum(PHI.abs2 - PHI.re * PHI.re.shift(0) - PHI.im * PHI.im.shift(0) + step(PHI.re > 1)),
        sd.U1(PHI),
    ),
    "U(1), step between neighbours": (
        PHI,
        LINE.sum(PHI.abs2 + step(PHI.re > PHI.re.shift(0))),
        sd.U1(PHI),
    ),
    "U(1), step in the mean": (PHI, LINE.sum(PHI.abs2) + step(LINE.sum(PHI.im) > 50), sd.U1(PHI)),
    "Z2, far away": (X, X**2 + step(X > 60), sd.Z2(X)),
    "Z2, thin": (X, X**2 + step((X > 7) & (7 + sp.Rational(1, 1000) > X)), sd.Z2(X)),
    "Z4, hard wall": ([X, Y], R2 + wall((sp.Abs(X) < 50) & (sp.Abs(Y) < 51)), sd.Cyclic(4, X, Y)),
    "Z8, octagon with a side missing": (
        [X, Y],
        R2 + wall((sp.Abs(X) < 40) & (sp.Abs(Y) < 40) & (sp.Abs(X + Y) < 40 * sp.sqrt(2))),
        sd.Cyclic(8, X, Y),
    ),
    "sitewise, one side": (
        PHI,
        LINE.sum(PHI.abs2 + step(PHI.re > 20)),
        sd.Sitewise(sd.Z2(PHI)),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_false_symmetries_are_refuted(name: str) -> None:
    fields, action, symmetry = OTHERS[name]
    fields = fields if isinstance(fields, list) else [fields]
    theory = sd.Theory("t", fields=fields, action=action, symmetries=[symmetry])
    if action.has(sp.oo):
        with pytest.raises(GroupError, match="wall"):
            sd.analyse(theory)
        return
    analysis = sd.analyse(theory, normalizable=False)
    verdicts = [v for r in (*analysis.reports, *analysis.lie_reports) for v in r.verdicts]
    assert analysis.status == "broken"
    assert any(v.counterexample is not None for v in verdicts)
    assert analysis.breaking != 0


JUMPS: dict[str, tuple[sp.Expr, sp.Expr]] = {
    "well": (R2 + wall(R2 < 20, 5), sp.S.Zero),
    "hard wall": (R2 + wall(R2 < 30), sp.S.Zero),
    "well with an invariant depth": (R2 + step(R2 < 4, R2**2), sp.S.Zero),
    "floor of the radius": (R2 + sp.floor(sp.sqrt(R2)), sp.S.Zero),
    "sign of an invariant": (R2 + sp.sign(R2 - 1) * (R2 - 1), sp.S.Zero),
    "Coulomb": (R2 + 1 / sp.sqrt(R2), sp.S.Zero),
    "logarithm and pole": (R2 + sp.log(R2) + 1 / R2, sp.S.Zero),
    "kink": (R2 + sp.Max(R2, 1) + sp.Abs(R2 - 2), sp.S.Zero),
    "well and a source": (R2 + step(R2 < 4) + H * X, H * X),
    "well and a step": (R2 + step(R2 < 4) + H * step(X > 0), H * step(X > 0)),
}


@pytest.mark.parametrize("name", JUMPS)
def test_functions_of_invariants_are_proved_though_they_jump(name: str) -> None:
    action, breaking = JUMPS[name]
    symmetry = sd.LieSymmetry("R", [{X: -Y, Y: X}])
    analysis = sd.analyse(sd.Theory("t", fields=[X, Y], action=action, symmetries=[symmetry]))
    assert analysis.status == ("exact" if breaking == 0 else "broken")
    assert sp.expand(analysis.breaking.replace(SiteSum, lambda _, density: density) - breaking) == 0


def test_a_boundary_that_goes_through_simple_configurations_is_no_counterexample() -> None:
    """(1, 1) lies on r² = 2, and its image under an eighth turn on either side of it, as rounding has it."""
    action = R2 + step(R2 >= 2) + step(R2 > 1) + step(R2 < 8)
    theory = sd.Theory("t", fields=[X, Y], action=action, symmetries=[sd.Cyclic(8, X, Y)])
    verdicts = sd.analyse(theory).reports[0].verdicts
    assert all(v.counterexample is None for v in verdicts)


def test_cancellation_at_large_fields_is_no_counterexample() -> None:
    action = POINT.sum(R2 + R2**8 - sp.expand(R2**8))
    theory = sd.Theory("t", fields=[X, Y], action=action, symmetries=[sd.Cyclic(8, X, Y)])
    assert sd.analyse(theory, normalizable=False).status == "exact"


def test_boundaries_are_read_off() -> None:
    action = sp.floor(X) + step((Y > 1) & (X < H)) + sp.Max(X, Y) + 1 / (X - 5)
    found = set(boundaries(action))
    assert {sp.sin(sp.pi * X), Y - 1, X - H, X - 5} <= found
    assert {X - Y, Y - X} & found


def test_a_contradiction_between_proof_and_search_is_a_bug_of_ours() -> None:
    theory = sd.Theory("t", fields=[X], action=X**2 + step(X > 60))
    found = search_counterexample(theory, {}, [lambda x, digits: -x])
    assert found is not None
    with pytest.raises(InternalError, match="report"):
        refuse_contradiction(theory, "Z2", found[0])
    refuse_contradiction(theory, "Z2", None)


def test_the_search_runs_when_a_symmetry_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A normal form that calls everything zero is caught for every kind of group."""
    monkeypatch.setattr(NormalForm, "__call__", lambda self, expr: sp.S.Zero)
    for fields, action, symmetry in (
        ([X], X**2 + X, sd.Z2(X)),
        ([PHI], LINE.sum(PHI.abs2 + PHI.re), sd.Sitewise(sd.Z2(PHI))),
    ):
        with pytest.raises(InternalError, match="bug"):
            sd.analyse(sd.Theory("t", fields=fields, action=action, symmetries=[symmetry]))
    rotation = sd.LieSymmetry("R", [{X: -Y, Y: X}])
    with pytest.raises(InternalError, match="bug"):
        sd.analyse(sd.Theory("t", fields=[X, Y], action=R2 + X, symmetries=[rotation]))
