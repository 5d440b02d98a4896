"""An optimiser of the user's trains in the place of Adam, and what it remembers is kept with the run."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest
import torch

import sesamo_dsl as sd
from sesamo_dsl.backend import Model
from sesamo_dsl.errors import OptionError
from sesamo_theories.gaussian_mixture import gaussian_mixture
from support import shaken

SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")
TINY: dict[str, Any] = {"flow": SMALL, "batch": 8, "progress": False, "check": False}


def momentum(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def searching(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(parameters, max_iter=2)


OPTIMIZERS: dict[str, list[Any]] = {
    "torch": [torch.optim.AdamW, momentum, searching, torch.optim.SGD],
    "jax": [optax.adamw(0.01), optax.sgd(0.01)],  # the other has no memory
}
CASES = [(backend, n) for backend, several in OPTIMIZERS.items() for n in range(len(several))]


@cache
def compiled(backend: str) -> sd.CompiledTheory:
    return sd.compile(gaussian_mixture(4, 5), backend)


def same(one: Model, other: Model) -> None:
    ours, theirs = one.state(), other.state()
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def interrupted(backend: str, optimizer: Any, place: Path) -> sd.Run:
    """Six of twelve steps, read back."""
    compiled(backend).train(
        directory=place, steps=12, optimizer=optimizer, callbacks=[lambda step: step.number == 6], **TINY
    )
    return sd.load_run(place)


@pytest.mark.parametrize(("backend", "number"), CASES)
def test_a_training_is_finished_bit_for_bit(backend: str, number: int, tmp_path: Path) -> None:
    optimizer = OPTIMIZERS[backend][number]
    straight = compiled(backend).train(directory=False, steps=12, optimizer=optimizer, **TINY)
    assert not any(name.startswith("adam") for name in straight.model.state())
    run = interrupted(backend, optimizer, tmp_path / "run")
    assert (run.steps_done, run.model.optimizer) == (6, straight.model.optimizer)
    assert len(run.sample(10).x) == 10, "sampling needs no optimiser"
    run.save()
    run = pickle.loads(pickle.dumps(sd.load_run(tmp_path / "run"))).resume(
        optimizer=optimizer, progress=False
    )
    same(run.model, straight.model)
    assert run.history.columns["loss"] == straight.history.columns["loss"]
    assert run.resume(2, progress=False).steps_done == 14, "it is there now"


def test_gradient_descent_is_what_its_formula_says() -> None:
    """Without momentum a step is w − ε ∇L, with the gradient clipped, on either backend."""
    for backend, optimizer in (("torch", lambda p: torch.optim.SGD(p, lr=0.1)), ("jax", optax.sgd(0.1))):
        plan = compiled(backend).plan(flow=SMALL, batch=8, clip=0.01)
        model = shaken(compiled(backend).model(plan))
        before, slopes = model.state(), model.gradient(0)
        norm = np.sqrt(sum((slope**2).sum() for slope in slopes.values()))
        assert norm > 0.01
        model.use_optimizer(optimizer)
        model.step(123.0)  # our rate means nothing
        for name, slope in slopes.items():
            moved = before[name] - 0.1 * 0.01 / norm * slope
            np.testing.assert_allclose(model.state()[name], moved, rtol=1e-5, atol=1e-8)


def test_another_optimizer_is_refused(tmp_path: Path) -> None:
    run = interrupted("torch", momentum, tmp_path / "run")
    for wrong in (None, torch.optim.AdamW):
        with pytest.raises(OptionError, match=r"torch\.optim\.sgd\.SGD, which the training began with"):
            run.resume(optimizer=wrong, progress=False)
    with pytest.raises(OptionError, match="another memory"):
        run.resume(optimizer=lambda p: torch.optim.SGD(list(p)[:1], lr=0.1, momentum=0.9), progress=False)
    with pytest.raises(OptionError, match="learning_rate"):
        run.resume(optimizer=momentum, learning_rate=0.1, progress=False)
    elsewhere = sd.load_run(tmp_path / "run", backend="jax")
    with pytest.raises(OptionError, match="SGD, which"):
        elsewhere.resume(optimizer=optax.sgd(0.1, momentum=0.9), progress=False)
    assert sd.load_run(tmp_path / "run").steps_done == 6, "nothing was trained"


def test_a_training_of_adam_goes_on_with_adam() -> None:
    run = compiled("torch").train(directory=False, steps=2, **TINY)
    with pytest.raises(OptionError, match="Adam, the default, which the training began with"):
        run.resume(2, optimizer=momentum, progress=False)
    assert run.resume(2, progress=False).steps_done == 4


@pytest.mark.parametrize(
    ("backend", "optimizer", "expected"),
    [
        ("torch", optax.sgd(0.1), "a function of parameters that returns a torch.optim.Optimizer"),
        ("torch", momentum([torch.zeros(1)]), "a function of parameters"),
        ("torch", lambda parameters: "SGD", "a function of parameters"),
        ("torch", lambda parameters: momentum([torch.zeros(1)]), "a function of parameters"),
        ("torch", lambda: momentum([]), "a function of parameters"),
        ("torch", "adam", "a function of parameters"),
        ("jax", momentum, "an optax.GradientTransformation"),
        ("jax", "adam", "an optax.GradientTransformation"),
        ("jax", optax.sgd, "an optax.GradientTransformation"),
    ],
)
def test_what_is_no_optimizer_is_refused(backend: str, optimizer: Any, expected: str) -> None:
    with pytest.raises(OptionError, match=f"expected: {expected}"):
        compiled(backend).train(directory=False, steps=2, optimizer=optimizer, **TINY)


def test_a_rate_beside_an_optimizer_is_refused() -> None:
    with pytest.raises(OptionError, match=r"learning_rate(.|\n)*schedule of its own"):
        compiled("torch").train(directory=False, steps=2, learning_rate=0.1, optimizer=momentum, **TINY)
