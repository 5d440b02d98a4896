"""What configurations from outside say: a model that misses a mode is flagged, and sound ones are not."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sympy as sp
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.backend import Draws
from sesamo_dsl.cli import app
from sesamo_dsl.errors import ConfigurationError, OptionError
from sesamo_dsl.estimates.agreement import Agreement
from sesamo_dsl.estimates.coverage import Coverage, forward_ess
from sesamo_dsl.estimates.estimate import Estimate
from sesamo_dsl.estimates.target_sample import TargetSample
from sesamo_dsl.runs import checking
from sesamo_dsl.stages.lower import lower_theory

Array = np.ndarray
FAR, SHARE = 6.0, 0.1
SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")


@cache
def two_modes() -> sd.Theory:
    """N(−a, 1) with weight 0.9 and N(a, 1) with weight 0.1; log Z = ½ log 2π."""
    x = sd.ScalarField("x", sd.Lattice(1))
    density = (1 - SHARE) * sp.exp(-((x + FAR) ** 2) / 2) + SHARE * sp.exp(-((x - FAR) ** 2) / 2)
    return sd.Theory("two_modes", fields=[x], action=-sp.log(density), observables={"x": x})


def target(count: int, rng: np.random.Generator) -> Array:
    sign = np.where(rng.random(count) < SHARE, 1, -1)
    return (sign * FAR + rng.normal(size=count)).reshape(-1, 1, 1)


def log_density(x: Array, share: float) -> Array:
    left, right = (-0.5 * (x.reshape(-1) + s * FAR) ** 2 - 0.5 * np.log(2 * np.pi) for s in (1, -1))
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log(1 - share) + left, np.log(share) + right)


def compared(share: float, seed: int, count: int = 4000) -> Coverage:
    """A model that has the second mode with this share, against as many configurations of the target."""
    rng = np.random.default_rng(seed)
    program = lower_theory(sd.analyse(two_modes()))
    side = np.where(rng.random(count) < share, 1, -1)
    x = (side * FAR + rng.normal(size=count)).reshape(-1, 1, 1)
    nothing = np.zeros(count, dtype=np.int64)
    draws = Draws(x, log_density(x, share), np.zeros(count), nothing, nothing > 0, np.zeros((count, 0)))
    action = -log_density(x, SHARE) - 0.5 * np.log(2 * np.pi)
    samples = sd.Samples.of(draws, program, {}, None)
    samples = sd.Samples(program, {}, x, draws.log_q, action, nothing, nothing > 0, samples.exact)
    y = target(count, rng)
    outside = TargetSample(
        y,
        -log_density(y, SHARE) - 0.5 * np.log(2 * np.pi),
        np.full(count, 1 / count),
        np.arange(count),
        Estimate(0.5 * np.log(2 * np.pi), 0.002),
        "exact draws",
    )
    return Coverage.of(samples, log_density(y, share), outside)


def test_a_missed_mode_is_flagged_with_its_mass_and_an_example() -> None:
    found = compared(0.0, 0)
    assert found.status == "missed"
    assert found.misses_mass
    assert abs(found.uncovered.value - SHARE) < 5 * found.uncovered.error
    assert found.configuration is not None
    assert abs(found.configuration.item() - FAR) < 4
    assert found.log_z is not None
    assert not found.log_z.agrees
    # w = 0.9 Z on the mode that is there, and n = 4000 counts for w on the other, where 1/w is 0
    exact = 1 / (((1 - SHARE) ** 2 + SHARE * 4000) * 1.0)
    assert abs(found.forward_ess.value - exact) < 5 * found.forward_ess.error
    assert "10 %" in found.verdict or "9." in found.verdict
    assert "<- differ" in found.text()
    assert len(repr(found).splitlines()) == 1
    assert pickle.loads(pickle.dumps(found)).text() == found.text()


@pytest.mark.long
def test_sound_models_are_not_flagged() -> None:
    """Two hundred of them, exact ones and such with the wrong share of the modes, which weights correct."""
    found = [compared((SHARE, 0.3)[seed % 2], seed, 1000) for seed in range(200)]
    flagged = [coverage.verdict for coverage in found if coverage.status != "covered"]
    assert len(flagged) <= 1, flagged


def test_forward_ess_is_what_it_says() -> None:
    """1/∫p²/q over the two modes, far from each other."""
    for share in (0.05, 0.3):
        found = compared(share, 1, 100_000).forward_ess
        exact = 1 / ((1 - SHARE) ** 2 / (1 - share) + SHARE**2 / share)
        assert abs(found.value - exact) < 5 * found.error + 1e-6


def test_a_speck_that_no_sample_of_this_size_would_have_is_no_lack_of_ess() -> None:
    """Of 40,000 configurations one is beyond the model: 2.5e-5 of the mass, nothing to 1,000 samples.

    The ESS of infinitely many samples is 0. The same speck matters for a sample that it could be part of.
    """
    rng = np.random.default_rng(3)
    log_w = rng.normal(scale=0.1, size=40_000)
    log_w[7] = 40.0
    few, many = (ess_under_the_target(log_w, n) for n in (1_000, 10**9))
    assert few > 0.95
    assert many < 1e-4


def ess_under_the_target(log_w: Array, n: int) -> float:
    samples = len(log_w)
    equal = np.full(samples, 1 / samples)
    outside = TargetSample(np.zeros((samples, 1, 1)), -log_w, equal, np.arange(samples), None, "")
    return forward_ess(log_w, 0.0, n, outside).value


def test_a_model_has_to_be_as_complete_as_its_error_bar_says() -> None:
    """A missed thousandth is nothing to an error of a hundredth, and ten errors of a ten-thousandth."""
    found = compared(SHARE, 0)
    missed = Estimate(1e-3, 5e-4)  # not significant by itself
    example = np.zeros((1, 1))
    coarse, fine = (
        dataclasses.replace(found, uncovered=missed, configuration=example, error=error)
        for error in (1e-2, 1e-4)
    )
    assert not coarse.misses_mass
    assert fine.misses_mass
    assert fine.status == "missed"


def test_the_verdict_says_how_small_a_region_would_be_seen() -> None:
    """A mode of this probability that is not in the model is flagged in 95 % of all comparisons."""
    n, runs = 2000, 100
    sound = compared(SHARE, 0, n)
    least = sound.resolution
    assert scipy.stats.poisson.cdf(2, least * n) == pytest.approx(0.05, rel=0.01)
    assert "regions of more than" in sound.verdict
    rng, seen = np.random.default_rng(5), 0
    for _ in range(runs):
        thin = rng.uniform(size=n) < least
        found = dataclasses.replace(
            sound,
            uncovered=Estimate(float(thin.mean()), float(thin.std() / n**0.5)),
            configuration=np.zeros((1, 1)) if thin.sum() > 2 else None,
            error=0.0,
        )
        seen += found.misses_mass
    assert abs(seen / runs - 0.95) < 5 * (0.95 * 0.05 / runs) ** 0.5


def test_where_the_source_is_doubted_nothing_is_said() -> None:
    found = compared(0.0, 0)
    doubted = Coverage(**{**vars(found), "doubts": ("few ancestors: 3",)})
    assert doubted.status == "unknown"
    assert "few ancestors" in doubted.verdict


@pytest.mark.parametrize("count", [1, 2, 5, 19])
def test_few_configurations_prove_nothing(count: int) -> None:
    x = np.random.default_rng(count).normal(size=(count, 2, 1))
    assert "too few" in TargetSample.of_arrays(x, (x**2).sum(axis=(1, 2)) / 2).doubts[0]


def test_independent_configurations_are_not_doubted() -> None:
    rng = np.random.default_rng(0)
    for count in (20, 40, 200, 2000):
        for x in rng.normal(size=(25, count, 2, 1)):
            found = TargetSample.of_arrays(x, (x**2).sum(axis=(1, 2)) / 2)
            assert not found.doubts
            assert found.clusters == min(count, 50)


@pytest.mark.parametrize(("time", "doubted"), [(3.0, False), (10.0, False), (60.0, True), (3000.0, True)])
def test_slow_chains_are_doubted(time: float, doubted: bool) -> None:
    """One chain of 2000: its 50 stretches of 40 are independent or not."""
    kept, rng = np.exp(-1 / time), np.random.default_rng(1)
    x = np.zeros((2000, 2, 1))
    for before, after in itertools.pairwise(x):
        after[:] = kept * before + np.sqrt(1 - kept**2) * rng.normal(size=(2, 1))
    found = TargetSample.of_arrays(x, (x**2).sum(axis=(1, 2)) / 2)
    assert found.clusters == 50
    assert bool(found.doubts) == doubted


def test_chains_step_by_step_are_no_stretches() -> None:
    """16 slow chains in the order (step, chain): each stretch has all of them, and they hardly move."""
    rng, chains = np.random.default_rng(2), np.zeros((100, 16, 1, 2))
    chains[0] = rng.normal(size=(16, 1, 2))
    for before, after in itertools.pairwise(chains):
        moved = rng.random(16) < 0.02
        after[:] = np.where(moved[:, None, None], rng.normal(size=(16, 1, 2)), before)
    x = chains.reshape(-1, 1, 2)
    assert "correlated" in TargetSample.of_arrays(x, (x**2).sum(axis=(1, 2)) / 2).doubts[0]


def test_a_frozen_chain_proves_nothing() -> None:
    assert TargetSample.of_arrays(np.full((200, 1, 2), 0.3), np.full(200, 0.09)).doubts


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(weight: float) -> None:
    log_weights = np.zeros(100)
    log_weights[3] = weight
    with pytest.raises(OptionError, match="log_weights"):
        TargetSample.of_arrays(np.zeros((100, 1, 2)), np.zeros(100), log_weights)
    with pytest.raises(OptionError, match="log_weights"):
        TargetSample.of_arrays(np.zeros((100, 1, 2)), np.zeros(100), np.full(100, -np.inf))
    log_weights[3] = -np.inf
    assert TargetSample.of_arrays(np.zeros((100, 1, 2)), np.zeros(100), log_weights).weights[3] == 0


def test_what_is_not_known_is_a_warning() -> None:
    """Samples whose annealing says nothing, or came to nothing, are not to be taken for covered ones."""
    run = sd.compile(two_modes(), "torch").train(steps=2, directory=False, progress=False, flow=SMALL)
    samples = run.sample(500)
    assert not any(w.startswith("coverage") for w in samples.warnings)  # nobody has asked
    x = target(3000, np.random.default_rng(0))
    outside = TargetSample.of_arrays(x, np.zeros(len(x)))
    run.outside = dataclasses.replace(outside, doubts=("ancestors: 3 of 900",))
    (warning,) = [w for w in run.sample(500).warnings if w.startswith("coverage")]
    assert "not known" in warning
    assert "ancestors: 3" in warning
    assert "run.check(seconds=" in warning


def test_one_sample_is_not_held_against_anything() -> None:
    pair = Agreement("log Z", Estimate(0.0, np.nan), Estimate(1.0, 0.1))
    assert pair.agrees
    assert np.isnan(pair.z_score)
    assert not Agreement("log Z", Estimate(0.0, 0.0), Estimate(1.0, 0.0)).agrees
    assert not Agreement("log Z", Estimate(np.nan, np.nan), Estimate(1.0, 0.1)).agrees
    assert not compared(SHARE, 0, 1).differing


class Broken(RuntimeError):
    """An error of nobody's making."""


@pytest.mark.checked
@pytest.mark.parametrize("error", [np.linalg.LinAlgError("singular"), Broken("odd"), ValueError("odd")])
def test_an_annealing_that_fails_loses_no_training(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(checking, "anneal_program", failing)
    compiled = sd.compile(two_modes(), "torch")
    with pytest.warns(RuntimeWarning, match=f"not checked.*{type(error).__name__}"):
        run = compiled.train(steps=2, directory=False, progress=False, base="standard", flow=SMALL)
    assert run.finished
    assert any(w.startswith("coverage") and str(error) in w for w in run.sample(100).warnings)


def test_errors_go_by_clusters() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=200), 10)
    alike = np.full(2000, 1 / 2000)
    apart = TargetSample(np.zeros((2000, 1, 1)), values, alike, np.arange(2000), None, "")
    together = TargetSample(np.zeros((2000, 1, 1)), values, alike, np.arange(2000) // 10, None, "")
    assert together.expect(values).error == pytest.approx(np.sqrt(10) * apart.expect(values).error, rel=1e-9)
    assert together.expect(values).error == pytest.approx(values.std() / np.sqrt(200), rel=1e-9)


@pytest.mark.checked
def test_a_training_ends_with_an_annealing_that_is_kept(tmp_path: Path) -> None:
    """The default base of two distant modes has both; a narrow start on one of them is found out."""
    compiled = sd.compile(two_modes(), "torch")
    run = compiled.train(
        steps=3, directory=tmp_path / "run", progress=False, base="standard", flow=SMALL, batch=64
    )
    samples = run.sample(2000)
    assert samples.coverage is not None
    assert samples.coverage.status == "missed"
    assert any(warning.startswith("coverage:") for warning in samples.warnings)
    assert samples.coverage.log_z is not None
    outside = samples.coverage.log_z.outside
    assert abs(outside.value - 0.5 * np.log(2 * np.pi)) < 5 * outside.error
    again = sd.load_run(tmp_path / "run").sample(2000)
    assert again.coverage is not None
    assert again.coverage.text() == samples.coverage.text()
    result = CliRunner().invoke(app, ["check-run", str(tmp_path / "run"), "--seconds", "2", "--count", "500"])
    assert result.exit_code == 3, result.output
    assert "uncovered mass" in result.output


def test_configurations_from_anywhere(tmp_path: Path) -> None:
    compiled = sd.compile(two_modes(), "torch")
    run = compiled.train(
        steps=3, directory=tmp_path / "run", progress=False, base="standard", flow=SMALL, batch=64
    )
    samples = run.sample(2000)
    assert samples.coverage is None
    assert "coverage           unknown" in samples.text()
    x = target(3000, np.random.default_rng(0))
    assert run.coverage(samples, x).status == "missed"
    np.savez(tmp_path / "chains.npz", x=x.reshape(3, 1000, 1, 1))
    command = ["check-run", str(tmp_path / "run"), "--against"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "chains.npz")])
    assert result.exit_code == 3, result.output
    assert "3000 given ones" in result.output
    wrong: dict[str, Any] = {"a": x, "x": x[..., 0][:0]}
    for name in ("a", "x"):
        np.savez(tmp_path / "wrong.npz", **{name: wrong[name]})
        result = CliRunner().invoke(app, [*command, str(tmp_path / "wrong.npz")])
        assert isinstance(result.exception, ConfigurationError | SystemExit), result.exception
        assert result.exit_code != 0
    with pytest.raises(OptionError, match="log_weights"):
        run.coverage(samples, x, np.zeros(3))
    with pytest.raises(OptionError, match="with finite S"):
        run.coverage(samples, x[:0])
    trained = compiled.train(steps=2, directory=False, progress=False, flow=SMALL, reference=x)
    assert trained.plan.forward_weight == 0.5
