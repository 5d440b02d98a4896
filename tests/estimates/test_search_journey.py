"""Walkers that go on from the valleys of S: what they say about models that are too thin somewhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.estimates.search import Search, find_journey
from sesamo_dsl.landscape.landscape import Landscape
from sesamo_dsl.landscape.walkers import WALKERS, Walk
from sesamo_dsl.stages.lower import lower_theory

SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=3)


def path_theory(slices: int, tilt: float = 0.0) -> sd.Theory:
    """A path between two wells: its kinks are no minima of S."""
    time = sd.Lattice(slices)
    x = sd.ScalarField("x", time)
    density = sp.Rational(5, 2) * (x.shift(0) - x) ** 2 + (x**2 - sp.Rational(9, 4)) ** 2 / 10
    return sd.Theory("path", fields=[x], action=time.sum(density + sp.Float(tilt) * x), symmetries=[sd.Z2(x)])


def free_theory(slices: int) -> sd.Theory:
    time = sd.Lattice(slices)
    x = sd.ScalarField("x", time)
    return sd.Theory("free", fields=[x], action=time.sum((x.shift(0) - x) ** 2 + x**2 / 2))


def kinks_by_transfer_matrix(slices: int) -> float:
    """The probability that x changes sign somewhere, by the trace with and without steps over zero."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x, weights = 4.5 * nodes, 4.5 * weights
    half = np.exp(-((x**2 - 2.25) ** 2) / 20) * np.sqrt(weights)
    matrix = half[:, None] * np.exp(-2.5 * (x[:, None] - x) ** 2) * half
    same = matrix * (np.sign(x)[:, None] == np.sign(x))
    traces = [np.trace(np.linalg.matrix_power(m / 2, slices)) for m in (same, matrix)]
    return float(1 - traces[0] / traces[1])


def test_walkers_are_distributed_as_exp_minus_s() -> None:
    """A free field: ⟨S⟩ = n/2 and every mode has its variance, from a start that is much too narrow."""
    theory = free_theory(6)
    program = lower_theory(sd.analyse(theory))
    landscape = Landscape(program, {}, program.shape)
    rng = np.random.default_rng(3)
    walk = Walk.at(landscape, np.zeros(6), np.eye(6), 1e-3 * rng.normal(size=(2000, 6)), rng)
    walk.advance(60)
    modes = np.fft.fft(walk.configurations, axis=1)[:, :4]
    exact = 6 / (1 + 4 * (1 - np.cos(2 * np.pi * np.arange(4) / 6)))
    assert walk.action.mean() == pytest.approx(3, abs=5 * np.sqrt(3 / 2000))
    np.testing.assert_allclose((abs(modes) ** 2).mean(axis=0), exact, rtol=5 * np.sqrt(2 / 2000))
    np.testing.assert_allclose(walk.action, landscape.values(walk.configurations))


def test_walkers_find_kinks_as_often_as_they_are() -> None:
    slices = 48
    journey = find_journey(lower_theory(sd.analyse(path_theory(slices))), {})
    assert journey is not None
    assert journey.weights.sum() == pytest.approx(1)
    x = journey.walkers[:, 0]
    kinked = np.array([(x[i].min() < 0 < x[i].max()) for i in range(len(x))])
    last = journey.weights[-WALKERS:] / journey.weights[-WALKERS:].sum()
    exact = kinks_by_transfer_matrix(slices)
    assert 0.2 < exact < 0.8
    assert last @ kinked[-WALKERS:] == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / WALKERS))


def test_the_same_walkers_every_time() -> None:
    programs = [lower_theory(sd.analyse(path_theory(8, tilt=0.01))) for _ in range(2)]
    first, second = (find_journey(program, {}) for program in programs)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.walkers, second.walkers)


class TwoValleys:
    """The density of a model that knows both minima of a path theory, and nothing between them."""

    def __init__(self, slices: int) -> None:
        self.stiffness = 10 * (1 - np.cos(2 * np.pi * np.arange(slices) / slices)) + 1.8
        self.log_z = math.log(2) + 0.5 * float(np.log(2 * np.pi / self.stiffness).sum())

    def state(self) -> dict[str, np.ndarray]:
        return {}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        assert state == {}

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        waves = [np.abs(np.fft.fft(x[:, 0] - side, axis=1)) ** 2 / x.shape[2] for side in (1.5, -1.5)]
        return np.logaddexp(*(-0.5 * w @ self.stiffness for w in waves)) - self.log_z


@pytest.mark.parametrize("slices", [24, 32])
def test_what_lies_between_two_valleys_is_noticed(slices: int) -> None:
    model: Any = TwoValleys(slices)
    search = Search(model.log_prob, lower_theory(sd.analyse(path_theory(slices))), {})
    region = search.thin(model.log_z, 3.0)
    assert region is not None
    kinked = kinks_by_transfer_matrix(slices)
    assert 0.3 * kinked < region.mass < kinked + 4 * np.sqrt(kinked * (1 - kinked) / WALKERS)
    assert abs(region.configuration).min() < 0.9  # it comes close to the barrier somewhere
    assert region.log_ratio > 3
    assert search.thin(model.log_z, 1e3) is None


def test_a_model_without_kinks_comes_with_a_warning(tmp_path: Path) -> None:
    samples = trained(path_theory(40, 0.02), tmp_path)
    thin = [warning for warning in samples.warnings if warning.startswith("thin region")]
    assert len(thin) == 1
    assert "% of their time" in thin[0]
    assert "reference" in thin[0]


def test_a_sound_model_is_not(tmp_path: Path) -> None:
    samples = trained(free_theory(24), tmp_path)
    assert samples.search is not None
    assert samples.search.journey is not None
    assert samples.warnings == ()


def trained(theory: sd.Theory, directory: Path, **options: Any) -> sd.Samples:
    model = sd.compile(theory, "torch")
    run = model.train(directory=directory / "run", progress=False, steps=100, batch=64, flow=SMALL, **options)
    return run.sample(4000)
