"""Infinite walls: density zero outside, a gradient that leads back inside, and exact weights and chains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from scipy.special import i0, i1

import sesamo_dsl as sd
from sesamo_dsl.errors import SesamoError
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.operations.functions import STEEPNESS

POINT = sd.Lattice(1)
X = sd.ScalarField("x", POINT)
ANGLE = sp.Piecewise((-2 * sp.cos(X), sp.Abs(X) < sp.pi), (sp.oo, True))
SPELLINGS = {
    "outside last": ANGLE,
    "outside first": sp.Piecewise((sp.oo, sp.Abs(X) >= sp.pi), (-2 * sp.cos(X), True)),
    "two sides": sp.Piecewise((sp.oo, sp.Or(sp.pi <= X, sp.pi <= -X)), (-2 * sp.cos(X), True)),
    "a term of its own": -2 * sp.cos(X) + sp.Piecewise((0, sp.And(sp.pi > X, sp.pi > -X)), (sp.oo, True)),
}


def angle(action: sp.Expr = ANGLE, **options: object) -> sd.Theory:
    return sd.Theory("wall", fields=[X], action=action, symmetries=[sd.Z2(X)], **options)


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_values_and_the_way_out(spelling: str, backend: str) -> None:
    compiled = sd.compile(angle(SPELLINGS[spelling]), backend)
    assert compiled.program.has_walls
    x = np.array([0.5, -3.1, 3.2, -7.0, 1e6]).reshape(-1, 1, 1)
    inside = np.abs(x.ravel()) < np.pi
    smooth = 2 * np.sin(x.ravel())  # outside too, where the wall is a term beside it
    ramp = np.where(inside, 0, STEEPNESS * np.sign(x.ravel()))
    expected = np.where(inside | (spelling == "a term of its own"), smooth, 0) + ramp
    for values, slopes in (
        compiled.evaluate("action_and_gradient", x),
        run(compiled.program, "action_and_gradient", {"x": x}),
    ):
        np.testing.assert_allclose(values, np.where(inside, -2 * np.cos(x.ravel()), np.inf), rtol=1e-5)
        np.testing.assert_allclose(slopes.ravel(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_training_and_samples(backend: str, tmp_path: Path) -> None:
    """log Z = log 2π I₀(2)."""
    run = sd.compile(angle(), backend).train(steps=150, seed=0, progress=False, directory=tmp_path / "run")
    assert np.isfinite(run.history.columns["loss"]).all()
    samples = run.sample(4000)
    beyond = np.abs(samples.x.ravel()) >= np.float32(np.pi)
    assert np.array_equal(beyond, samples.leaked)
    assert (samples.weights[beyond] == 0).all()
    assert abs(samples.log_z.value - np.log(2 * np.pi * i0(2))) < 5 * samples.log_z.error
    assert np.isfinite(samples.expect("action").value)
    assert "virial" not in " ".join(samples.warnings)


def test_chains_stay_inside() -> None:
    chain = sd.hmc(angle(), chains=16, trajectories=300, warm_up=100, seed=1)
    assert np.isfinite(chain.action).all()
    assert np.abs(chain.configurations).max() < np.pi
    energy = chain.expect("action")
    assert abs(energy.value + 2 * i1(2) / i0(2)) < 5 * energy.error


def test_a_broken_term_beside_a_wall() -> None:
    h = sd.parameters("h")
    analysis = sd.analyse(angle(ANGLE + h * X))
    assert analysis.status == "broken"
    assert analysis.breaking == sd.analyse(angle(X**2 + h * X)).breaking


REFUSED = {
    "an infinity alone": X**2 + sp.Add(X, sp.oo, evaluate=False),
    "times a field": X**2 * sp.Piecewise((1, X < 1), (sp.oo, True)),
    "minus infinity": sp.Piecewise((X**2, X < 1), (-sp.oo, True)),
    "a negative wall": -sp.Piecewise((X**2, X < 1), (sp.oo, True)),
    "inside a function": sp.exp(sp.Piecewise((X**2, X < 1), (sp.oo, True))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_walls_that_are_refused(name: str) -> None:
    with pytest.raises(SesamoError, match=r"remedy:"):
        sd.compile(angle(REFUSED[name]), "torch")


def test_a_wall_that_the_symmetry_moves_is_refused() -> None:
    lopsided = sp.Piecewise((X**2, (X > -1) & (X < 2)), (sp.oo, True))
    with pytest.raises(SesamoError, match=r"wall(.|\n)*remedy:"):
        sd.compile(angle(lopsided), "torch")
