"""What is asked and what is decided: plans, models before training, callbacks, runs that are kept nowhere."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.annealing.options import AnnealingFields, AnnealingOptions
from sesamo_dsl.errors import OptionError, RunError
from sesamo_dsl.hamiltonian.options import HMCFields, HMCOptions
from sesamo_dsl.plan.options import TrainingFields
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.training.callbacks import Step
from sesamo_theories.gaussian_mixture import gaussian_mixture
from support import shaken

SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")
TINY: dict[str, Any] = {"flow": SMALL, "batch": 16}


@cache
def compiled() -> sd.CompiledTheory:
    return sd.compile(gaussian_mixture(4, 3), "torch")


def test_keyword_arguments_are_the_fields_of_the_options() -> None:
    asked = {f.name for f in fields(sd.TrainingOptions)}
    assert set(get_type_hints(TrainingFields)) | {"over"} == asked
    assert {f.name for f in fields(Plan)} == asked | {"reasons", "notes"}
    for typed, options in ((HMCFields, HMCOptions), (AnnealingFields, AnnealingOptions)):
        assert set(get_type_hints(typed)) == {f.name for f in fields(options)}


def test_a_plan_says_what_was_chosen_and_why() -> None:
    plan = compiled().plan(law="uniform")
    assert plan.law == "uniform"
    assert plan.strategy == "fold"
    assert plan.learning_rate == 2e-3
    assert all(getattr(plan, name) is not None for name in ("law", "strategy", "law_gradient", "flow"))
    assert [reason.split(":")[0] for reason in plan.reasons] == ["strategy fold"]
    text = str(plan)
    assert "because    strategy fold" in text
    assert "note       uniform law on a broken symmetry" in text
    assert Plan.from_json(plan.as_json()) == plan


def test_choices_of_a_plan_stay_when_it_is_changed() -> None:
    plan = compiled().plan(sd.TrainingOptions(law="learned", steps=7), batch=32)
    assert (plan.law, plan.steps, plan.batch) == ("learned", 7, 32)
    changed = compiled().plan(plan, seconds=3.0)
    assert (changed.law, changed.seconds, changed.reasons) == ("learned", 3.0, plan.reasons)
    assert compiled().plan(changed, steps=9).seconds is None
    assert compiled().plan(method="realnvp").strategy == "none"
    with pytest.raises(OptionError, match="forward_weight"):
        compiled().train(plan, forward_weight=0.5, directory=False, progress=False)
    for wrong in ({"law": "heat"}, {"lawn": "uniform"}, {"steps": 3, "seconds": 2.0}):
        with pytest.raises(OptionError):
            compiled().plan(**wrong)
    with pytest.raises(OptionError, match="a plan"):
        compiled().plan("uniform")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_model_before_training_is_exact(backend: str) -> None:
    """Its flow is the base; log q as drawn is log q as evaluated, and ∫ q = 1 by importance weights."""
    model = sd.compile(gaussian_mixture(4, 3), backend).model(seed=3, **TINY)
    draws = model.sample(4000, seed=1)
    np.testing.assert_allclose(model.log_prob(draws.x), draws.log_q, atol=2e-4)
    again = shaken(sd.compile(gaussian_mixture(4, 3), backend).model(seed=3, **TINY), size=0.05)
    ratio = np.exp(again.log_prob(draws.x).astype(np.float64) - draws.log_q)
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(len(ratio))


def test_a_run_that_is_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = compiled().train(steps=4, directory=False, progress=False, **TINY)
    assert run.directory is None
    assert not list(tmp_path.iterdir())
    assert run.finished
    assert "4 of 4 steps" in repr(run)
    run.resume(3, progress=False)
    assert run.steps_done == 7
    with pytest.raises(RunError, match="save"):
        run.save()
    run.save("kept")
    kept = sd.load_run("kept")
    np.testing.assert_array_equal(kept.sample(50).x, run.sample(50).x)
    assert run.directory == Path("kept")
    straight = compiled().train(steps=7, directory=tmp_path / "straight", progress=False, **TINY)
    assert straight.plan.steps == kept.plan.steps


def test_callbacks_see_every_step_and_stop_a_training(tmp_path: Path) -> None:
    seen: list[Step] = []

    def watch(step: Step) -> bool:
        seen.append(step)
        return step.number == 3

    run = compiled().train(steps=6, directory=tmp_path / "run", progress=False, callbacks=[watch], **TINY)
    assert [step.number for step in seen] == [1, 2, 3]
    assert all({"loss", "ess", "gradient_norm"} <= set(step.metrics) for step in seen)
    assert run.ended == "stopped"
    assert sd.load_run(tmp_path / "run").resume(progress=False).finished


def test_a_callback_that_raises_loses_nothing(tmp_path: Path) -> None:
    def fail(step: Step) -> None:
        if step.number == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        compiled().train(steps=6, directory=tmp_path / "run", progress=False, callbacks=[fail], **TINY)
    run = sd.load_run(tmp_path / "run")
    assert (run.steps_done, run.ended) == (4, "stopped")
