"""The weight of the forward divergence in the course of a training, as asked for and as decided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.training.schedule import forward_weight

REFERENCE = np.random.default_rng(0).normal(size=(100, 1, 1))
SMALL = sd.FlowSpec(layers=2, hidden=(4,), kernel=1, transform="affine")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 0.25, 0.1, 0.1]),
        ({"forward_weight": 0.3}, [0.3, 0.3, 0.3, 0.3]),
        ({"forward_weight": 1.0, "forward_schedule": "falling"}, [1.0, 0.5, 0.2, 0.2]),
        ({"forward_schedule": "constant"}, [0.5, 0.5, 0.5, 0.5]),
    ],
)
def test_the_forward_part_falls_unless_a_weight_is_given(
    options: dict[str, Any], expected: list[float]
) -> None:
    x = sd.ScalarField("x", sd.Lattice(1))
    compiled = sd.compile(sd.Theory("well", fields=[x], action=x**2 / 2 + x**4), "torch")
    rest: dict[str, Any] = {"steps": 1, "directory": False, "progress": False, "check": False}
    run = compiled.train(reference=REFERENCE, **options, **rest)
    assert [forward_weight(run.plan, part) for part in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(expected)
    # a plan that was made before there were any configurations decides alike
    begun = compiled.plan(**{n: v for n, v in options.items() if n != "forward_weight"})
    again = compiled.train(begun, reference=REFERENCE, **options, **rest)
    assert (again.plan.forward_weight, again.plan.forward_schedule) == (
        run.plan.forward_weight,
        run.plan.forward_schedule,
    )


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_the_weight_of_a_step_is_the_one_of_the_schedule(backend: str) -> None:
    """The loss is (1 − w) R + w F, linear in w; one compiled step serves all weights."""
    x = sd.ScalarField("x", sd.Lattice(1))
    compiled = sd.compile(sd.Theory("well", fields=[x], action=x**2 / 2 + x**4), backend)

    def loss(weight: float) -> float:
        model = compiled.model(compiled.plan(forward_weight=0.0, flow=SMALL), seed=0)
        return model.step(1e-3, REFERENCE[:50], weight)["loss"]

    none, half, all_of_it = (loss(weight) for weight in (0.0, 0.5, 1.0))
    assert none != pytest.approx(all_of_it, rel=1e-2)
    assert half == pytest.approx((none + all_of_it) / 2, rel=1e-5)
