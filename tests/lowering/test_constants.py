"""A constant in the action costs no digits: it is split off before rounding, and is in every figure again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.estimates.estimate import Estimate
from sesamo_dsl.lowering.constants import split_constant
from sesamo_dsl.stages.lower import lower_theory

LATTICE = sd.Lattice(2, 3)
PHI = sd.ScalarField("phi", LATTICE)
A, B = sd.parameters("a b")
Σ = LATTICE.sum


def test_what_is_constant() -> None:
    cases = [
        (Σ(PHI**2 + 5), 30, Σ(PHI**2)),
        (Σ(PHI**2 + A) + B, 6 * A + B, Σ(PHI**2)),
        (A * (Σ(PHI**2 + 2) + 7), A * 19, A * Σ(PHI**2)),
        (Σ(A * (PHI**2 + B) + 3 * (PHI + 2)), 6 * A * B + 36, Σ(A * PHI**2 + 3 * PHI)),
        (Σ((PHI**2 - 1) ** 2), 0, Σ((PHI**2 - 1) ** 2)),
        (sp.log(Σ(PHI**2) + 3), 0, sp.log(Σ(PHI**2) + 3)),
    ]
    for expr, constant, rest in cases:
        found = split_constant(expr)
        assert sp.expand(found[0] - constant) == 0
        assert sp.expand((found[1] - rest).doit()) == 0 or sp.simplify(found[1] - rest) == 0


def names(action: sp.Expr, **defaults: float) -> set[str]:
    theory = sd.Theory("constant", fields=[PHI], action=action, defaults=defaults)
    return set(lower_theory(sd.analyse(theory)).functions)


def test_it_is_split_off_only_where_that_makes_the_action_smaller() -> None:
    assert "constant" in names(Σ(PHI**2 / 2 + 10**6))
    assert "constant" in names(Σ(PHI**2 / 2) + A, a=1e5)
    assert "constant" not in names(Σ(PHI**2 / 2))
    assert "constant" not in names(Σ(PHI**2 + 100 * (sp.cosh(PHI) - 1)))
    assert "constant" not in names(Σ(PHI**2) + A, a=0)


POINT = sd.Lattice(1)
X = sd.ScalarField("x", POINT)
EXACT = 0.5 * np.log(2 * np.pi)
SHIFT = 10**6
DECLARED = {
    "syntactic": X**2 / 2 + SHIFT,
    "of a coupling": X**2 / 2 + 1000 * A,
    "in exponents": -sp.log(sp.exp(-(X**2) / 2 - SHIFT) / 2 + sp.exp(-(X**2) / 2 - SHIFT) / 2),
    "not separable": SHIFT * sp.sqrt(1 + X**2 / SHIFT),
}


@pytest.mark.parametrize(("name", "backend"), [*((name, "torch") for name in DECLARED), ("syntactic", "jax")])
def test_log_z_in_float32(name: str, backend: str, tmp_path: Path) -> None:
    theory = sd.Theory(
        "large", fields=[X], action=DECLARED[name], defaults={"a": 1000} if DECLARED[name].has(A) else None
    )
    compiled = sd.compile(theory, backend)
    run = compiled.train(steps=40, seed=0, progress=False, directory=tmp_path / "run", parameters=None)
    samples = run.sample(2000)
    assert samples.ess > 0.9
    tolerance = 5 * samples.log_z.error + 1e-6
    assert abs(samples.log_z.value + SHIFT - EXACT) < tolerance
    assert abs(samples.expect("action").value - SHIFT - 0.5) < 5 * samples.expect("action").error
    assert abs(samples.free_energy_bound.value - SHIFT + EXACT) < 0.1
    assert not [w for w in samples.warnings if "KL" in w or "log q" in w]
    if name != "not separable":
        assert abs(run.history.columns["loss"][-1] - SHIFT + EXACT) < 0.2
    x = np.array([[[0.0]], [[2.0]]])
    np.testing.assert_allclose(compiled.action(x), [SHIFT, SHIFT + 2], rtol=1e-6)


def test_chains_and_reweighting_know_it() -> None:
    theory = sd.Theory("large", fields=[X], action=X**2 / 2 + SHIFT)
    chain = sd.hmc(theory, chains=8, trajectories=100, warm_up=60, seed=0, precision="float32")
    energy = chain.expect("action")
    assert abs(energy.value - SHIFT - 0.5) < 5 * energy.error
    assert energy.error < 0.2


def test_the_digits_that_an_error_allows_are_shown() -> None:
    assert str(Estimate(-999999.0810614, 0.00011)) == "-999999.08106 ± 0.00011"
    assert str(Estimate(0.123456789, 0.01)) == "0.123457 ± 0.01"
