"""Compiling for a device: arrays and models are there, and a device that does not exist is explained."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sesamo_dsl as sd
from sesamo_dsl.errors import BackendError
from sesamo_theories.gaussian_mixture import gaussian_mixture
from support import example

SMALL = sd.FlowSpec(layers=2, hidden=(6,))
TWO_DEVICES = "--xla_force_host_platform_device_count=2"


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_cpu_by_its_name(name: str, tmp_path: Path) -> None:
    default, named = (sd.compile(gaussian_mixture(2), name, device=d) for d in (None, "cpu"))
    x = np.random.default_rng(0).normal(size=(3, 2, 1))
    assert np.array_equal(default.action(x), named.action(x))
    flow = sd.FlowSpec(layers=1, hidden=(3,), kernel=1, transform="affine")
    one, other = (c.train(steps=2, flow=flow, directory=False, progress=False) for c in (default, named))
    assert np.array_equal(one.sample(8).x, other.sample(8).x)
    copy = pickle.loads(pickle.dumps(named))
    assert np.array_equal(copy.action(x), named.action(x))


@pytest.mark.parametrize("name", ["torch", "jax", "numpy"])
@pytest.mark.parametrize("device", ["cuda:7", "abacus", "cpu:99", "", 0, torch.device("cpu")])
def test_a_device_that_is_not_there(name: str, device: Any) -> None:
    backend = example("numpy_backend").NumpyBackend() if name == "numpy" else name
    with pytest.raises(BackendError, match=r"device(.|\n)*one of(.|\n)*cpu"):
        sd.compile(gaussian_mixture(), backend, device=device)


def test_a_second_device_of_jax(tmp_path: Path) -> None:
    """Two devices that XLA makes of the host: the same numbers on both, and every weight in its place."""
    script = f"""
import jax, numpy as np, sesamo_dsl as sd
from sesamo_theories.gaussian_mixture import gaussian_mixture
compiled = [sd.compile(gaussian_mixture(), "jax", device=f"cpu:{{n}}") for n in range(2)]
runs = [c.train(steps=2, flow=sd.FlowSpec(layers=2, hidden=(6,)), check=False, progress=False,
                directory="{tmp_path}/run" + str(n)) for n, c in enumerate(compiled)]
for n, run in enumerate([*runs, sd.load_run("{tmp_path}/run0", device="cpu:1")]):
    (place,) = {{d for w in run.model.weights.values() for d in w.devices()}}
    assert place.id == min(n, 1), place
assert np.array_equal(runs[0].sample(8).x, runs[1].sample(8).x)
print("both")
"""
    flags = {**os.environ, "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {TWO_DEVICES}"}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=flags)
    assert result.stdout == "both\n", result.stderr


def test_configurations_and_seeds_of_a_model() -> None:
    model = sd.compile(gaussian_mixture(), "torch").model(flow=SMALL)
    assert np.array_equal(model.sample(5).x, model.sample(5, seed=1).x)
    bad: list[Any] = [np.zeros(3), "x", [[1.0], [2.0, 3.0]], np.zeros((2, 3, 1)), np.full((1, 2, 1), np.nan)]
    for x in bad:
        with pytest.raises(sd.errors.ConfigurationError, match="gaussian_mixture"):
            model.log_prob(x)
    with pytest.raises(sd.errors.ConfigurationError, match="auxiliary"):
        model.log_prob(np.zeros((2, 2, 1)), np.zeros((2, 5)))


def test_the_numpy_backend_makes_models() -> None:
    backend = example("numpy_backend").NumpyBackend()
    model = sd.compile(gaussian_mixture(), backend, precision="float64").model(flow=SMALL)
    draws = model.sample(20)
    assert np.abs(model.log_prob(draws.x) - draws.log_q).max() < 1e-9
    with pytest.raises(BackendError, match="numpy"):
        model.step(1e-3)
