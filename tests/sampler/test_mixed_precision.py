"""Flows in float32 under actions in float64, where only a determinant needs so many digits."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sesamo_dsl as sd
import support
from sesamo_dsl.backend import Model
from sesamo_dsl.errors import OptionError
from sesamo_dsl.plan.decide import decide
from sesamo_dsl.plan.options import TrainingOptions
from sesamo_dsl.plan.plan import Plan
from sesamo_theories.hubbard import hubbard, two_sites
from sesamo_theories.scalar_phi4 import scalar_phi4
from support import untrained

EPS = float(np.finfo(np.float32).eps)
SPEC = sd.FlowSpec(layers=2, hidden=(8,), kernel=3)
COMPILED = {name: sd.compile(hubbard(two_sites(), 2, U=3, beta=1), name) for name in ("torch", "jax")}
every_backend = pytest.mark.parametrize("name", list(COMPILED))


@cache
def shaken(name: str, **options: Any) -> Model:
    """A model with random weights, the same for all."""
    return support.shaken(untrained(COMPILED[name], flow=SPEC, batch=64, **options), single=True)


def test_what_the_compiler_chooses() -> None:
    with_determinant = decide(TrainingOptions(), COMPILED["torch"].analysis)
    assert with_determinant.flow_precision == "float32"
    assert any("flow_precision float32" in reason for reason in with_determinant.reasons)
    asked = decide(TrainingOptions(flow_precision="float64"), COMPILED["torch"].analysis)
    assert asked.flow_precision == "float64"
    assert decide(TrainingOptions(), sd.analyse(scalar_phi4(4, 2))).flow_precision is None
    requested = decide(TrainingOptions(), COMPILED["torch"].analysis, requested_precision="float64")
    assert requested.flow_precision is None, "the flow has the precision of the model"
    assert not any("flow_precision" in reason for reason in requested.reasons)
    assert Plan.from_json(asked.as_json()) == asked
    with pytest.raises(OptionError, match="flow_precision"):
        TrainingOptions(flow_precision="float16")


@every_backend
def test_each_part_has_its_precision(name: str) -> None:
    model = shaken(name)
    for key, array in model.state().items():
        if "flow." in key:
            assert array.dtype == np.float32, key
        elif key != "step":
            assert array.dtype == np.float64, key
    draws = model.sample(50, seed=1)
    assert draws.x.dtype == draws.log_q.dtype == draws.action.dtype == np.float64
    # the action is that of float64 at x, to its last digits
    exact = COMPILED[name].action(draws.x)
    assert np.abs(draws.action - exact).max() < 1e-12 * np.abs(exact).max() * draws.x[0].size


@every_backend
def test_densities_are_those_of_float64(name: str) -> None:
    """As many roundings as there are entries and operations on each, of numbers of the size of log q."""
    single, double = shaken(name), shaken(name, flow_precision="float64")
    draws, wide = single.sample(200, seed=2), double.sample(200, seed=2)
    entries = draws.x[0].size
    assert np.abs(draws.x - wide.x).max() < 100 * EPS * np.abs(wide.x).max()
    error = np.abs(single.log_prob(draws.x) - double.log_prob(draws.x))
    assert 0 < error.max() < 100 * EPS * entries
    assert np.abs(single.log_prob(draws.x) - draws.log_q).max() < 100 * EPS * entries


def test_backends_agree() -> None:
    models = {name: shaken(name) for name in COMPILED}
    x = models["torch"].sample(100, seed=4).x
    one, other = (model.log_prob(x) for model in models.values())
    assert np.abs(one - other).max() < 100 * EPS * x[0].size


def test_training_keeps_precisions_and_is_read_back(tmp_path: Path) -> None:
    run = COMPILED["torch"].train(
        flow=SPEC, batch=64, steps=60, learning_rate=0.01, directory=tmp_path / "run", progress=False
    )
    assert run.plan.flow_precision == "float32"
    samples = run.sample(2000, seed=1)
    assert samples.ess > 0.3
    z = samples.virial_z_score
    assert abs(z) < 5
    again = sd.load_run(tmp_path / "run", theory=COMPILED["torch"].theory)
    assert np.array_equal(again.log_prob(samples.x[:20]), run.log_prob(samples.x[:20]))
    assert again.plan.flow_precision == "float32"


@pytest.mark.parametrize("where", ["compiled", "declared"])
def test_a_precision_that_is_asked_for_is_that_of_the_flow(where: str, tmp_path: Path) -> None:
    theory = COMPILED["torch"].theory
    if where == "declared":
        declaration: Any = {"fields": theory.fields, "action": theory.action, "defaults": theory.defaults}
        theory = sd.Theory("asked", **declaration, precision="float64")
    compiled = sd.compile(theory, "torch", precision="float64" if where == "compiled" else None)
    run = compiled.train(flow=SPEC, batch=8, steps=1, directory=tmp_path / "run", progress=False)
    assert all(array.dtype == np.float64 for key, array in run.model.state().items() if key != "step")
    again = sd.load_run(tmp_path / "run", theory=theory)
    x = run.sample(20, seed=1).x
    assert np.array_equal(again.log_prob(x), run.log_prob(x))
