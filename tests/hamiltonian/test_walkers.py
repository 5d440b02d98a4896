"""Walkers that HMC moves on: they keep the distribution exp(−S), and a training goes on with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

import sesamo_dsl as sd
from sesamo_dsl import errors
from sesamo_dsl.hamiltonian.walkers import WalkerKernel
from sesamo_dsl.runs import checking
from sesamo_dsl.runs.reference_file import read_reference, reference_file
from sesamo_dsl.training.reference import Reference


def two_modes() -> sd.Theory:
    """Two Gaussians of width 1 that no symmetry relates."""
    x = sd.ScalarField("x", sd.Lattice(1))
    return sd.Theory(
        "two_modes", fields=[x], action=-sp.log(sp.exp(-(x**2) / 2) + sp.exp(-((x - 7) ** 2) / 2))
    )


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_walkers_keep_their_distribution_and_forget_where_they_were(backend: str) -> None:
    x = sd.VectorField("x", sd.Lattice(1), 2)
    action = (x[0] ** 2 + 9 * x[1] ** 2) / 2 + x[0] * x[1]
    compiled = sd.compile(sd.Theory("tilted", fields=[x], action=action), backend)
    covariance = np.linalg.inv([[1.0, 1.0], [1.0, 9.0]])
    rng, count = np.random.default_rng(1), 20_000
    before = rng.multivariate_normal(np.zeros(2), covariance, size=count).reshape(count, 2, 1)
    kernel = WalkerKernel(compiled, {})
    after = kernel.moved(kernel.moved(before, rng), rng)
    assert kernel.step_size is not None
    flat, then = after.reshape(count, 2), before.reshape(count, 2)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        spread = np.sqrt((covariance[i, i] * covariance[j, j] + covariance[i, j] ** 2) / count)
        assert abs(np.mean(flat[:, i] * flat[:, j]) - covariance[i, j]) < 4.5 * spread
        assert abs(np.corrcoef(flat[:, i], then[:, i])[0, 1]) < 0.2
    again = WalkerKernel(compiled, {}, kernel.step_size)
    one, other = (k.moved(before, np.random.default_rng(5)) for k in (kernel, again))
    np.testing.assert_array_equal(one, other)


class Adding:
    """A kernel that adds 1 to everything."""

    step_size = None

    def moved(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + 1


def test_walkers_move_once_while_each_is_used_once() -> None:
    reference = Reference(np.zeros((100, 1, 1)), Adding())
    ages = [float(reference.batch(step, 30, 0).mean()) for step in range(11)]
    assert ages == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    fixed = Reference(np.arange(100.0).reshape(100, 1, 1))
    drawn = fixed.batch(7, 40, 3)
    np.testing.assert_array_equal(drawn, fixed.batch(7, 40, 3))
    assert (drawn != fixed.batch(8, 40, 3)).any()


@pytest.mark.checked
def test_an_interrupted_training_on_walkers_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "_MOST_SECONDS", 600.0)
    monkeypatch.setattr(checking, "most_of", lambda _: 512)
    compiled = sd.compile(two_modes(), "torch")
    flow = sd.FlowSpec(layers=2, hidden=(8,), kernel=1)
    options: dict[str, Any] = {"steps": 24, "batch": 64, "flow": flow, "progress": False}
    whole = compiled.train(directory=False, **options)
    assert whole.reference is not None
    assert whole.reference.rounds == 23 * 64 // len(whole.reference.x) > 3
    assert any("moved on by HMC" in reason for reason in whole.plan.reasons)
    begun = compiled.train(directory=tmp_path / "run", callbacks=[lambda step: step.number == 11], **options)
    assert begun.reference is not None
    assert 0 < begun.reference.rounds < whole.reference.rounds
    loaded = sd.load_run(tmp_path / "run").resume(progress=False)
    for name, value in whole.model.state().items():
        np.testing.assert_array_equal(loaded.model.state()[name], value)
    assert loaded.reference is not None
    np.testing.assert_array_equal(loaded.reference.x, whole.reference.x)
    assert len(list((tmp_path / "run").glob("walkers-*"))) == 1


def test_a_damaged_file_of_walkers_is_refused() -> None:
    compiled = sd.compile(two_modes(), "torch")
    x = np.zeros((4, 1, 1))
    files = reference_file(Reference(x, WalkerKernel(compiled, {}, 0.5), 2))
    (name, data), *none = files.items()
    assert not none
    found = read_reference(files, compiled, {})
    assert found is not None
    assert found.kernel is not None
    assert (found.rounds, found.kernel.step_size) == (2, 0.5)
    whole = load_tensors(data)
    for change in (
        {"rounds": np.array(0)},
        {"rounds": np.array(-1)},
        {"rounds": np.array([1, 2])},
        {"step_size": np.array(np.nan)},
        {"step_size": np.array(-1.0)},
        {"x": np.zeros((4, 2))},
        {"y": x},
    ):
        with pytest.raises((ValueError, errors.SesamoError)):
            read_reference({name: save_tensors(whole | change)}, compiled, {})
    with pytest.raises((ValueError, errors.SesamoError)):
        read_reference(
            {name: save_tensors({k: v for k, v in whole.items() if k != "step_size"})}, compiled, {}
        )
