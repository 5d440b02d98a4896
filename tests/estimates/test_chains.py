"""Markov chains against quadrature, closed forms and published-grade HMC values."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.cli import app
from sesamo_dsl.errors import BackendError, OptionError
from sesamo_dsl.estimates.chains import Chain
from sesamo_dsl.estimates.exact import exact_values
from sesamo_dsl.estimates.gamma_method import gamma_method
from sesamo_dsl.estimates.samples import Samples
from sesamo_dsl.estimates.weighted import ForwardMetrics
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.gaussian_mixture import gaussian_mixture

Array = np.ndarray[Any, Any]
H = 0.1
RADIUS = 5
SHORT = {"chains": 32, "trajectories": 300, "warm_up": 150, "seed": 4}


def within(estimate: Any, exact: float, sigmas: float = 5) -> None:
    assert estimate.error > 0
    assert abs(estimate.value - exact) < sigmas * estimate.error, (estimate, exact)


# Γ-method


@pytest.mark.parametrize("replicas", [1, 8])
def test_gamma_method_on_an_autoregressive_series(replicas: int) -> None:
    """x' = a x + noise has τ_int = (1 + a)/(2(1 − a)) and the variance 1/(1 − a²)."""
    a, length = 0.8, 40_000 // replicas
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(length, replicas))
    series = np.empty_like(noise)
    series[0] = noise[0] / np.sqrt(1 - a**2)
    for i in range(1, length):
        series[i] = a * series[i - 1] + noise[i]
    result = gamma_method(series.T + 3)
    tau = (1 + a) / (2 * (1 - a))
    assert abs(result.tau - tau) < 5 * result.tau_error
    assert result.tau_error < 0.1 * tau
    assert result.error == pytest.approx(np.sqrt(2 * tau / (1 - a**2) / (length * replicas)), rel=0.15)
    within(result, 3)


def test_replicas_that_disagree_are_seen() -> None:
    """Two chains, each stuck in its own mode, do not have the error of a chain that moves."""
    rng = np.random.default_rng(0)
    stuck = np.array([[-1.0], [1.0]]) + 0.1 * rng.normal(size=(2, 1000))
    assert gamma_method(stuck).error > 0.3


def test_gamma_method_of_a_constant_and_of_bad_series(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gamma_method(np.full((2, 50), 0.1))[:2] == (pytest.approx(0.1), 0.0)
    for wrong in (np.zeros((1, 5)), np.full((1, 50), np.nan)):
        with pytest.raises(OptionError, match="finite values"):
            gamma_method(wrong)
    monkeypatch.setitem(sys.modules, "pyerrors", None)
    with pytest.raises(BackendError, match=r"pip install 'sesamo-dsl\[chains\]'"):
        gamma_method(np.random.default_rng(0).normal(size=(1, 50)))


# Independence Metropolis


def proposals(count: int, seed: int, *, leaks: bool = False) -> Samples:
    """A deliberately bad proposal for the broken mixture of four modes: one wide, shifted Gaussian."""
    theory = gaussian_mixture(4, RADIUS)
    compiled = sd.compile(theory, "jax", precision="float64")
    parameters = theory.parameter_values({"h": H})
    rng = np.random.default_rng(seed)
    mean, width = np.array([1.0, -0.5]), 5.0
    z = rng.normal(size=(count, 2))
    x = (mean + width * z)[:, :, None]
    log_q = -(z**2).sum(axis=1) / 2 - np.log(2 * np.pi * width**2)
    sector = compiled.evaluate("canonicalize", x)[1]
    leaked = np.zeros(count, bool)
    if leaks:  # a third of the proposals is far off and claims to have leaked
        leaked = rng.uniform(size=count) < 1 / 3
        x[leaked] = 100.0
        log_q += np.log(2 / 3)
    action = compiled.action(x, {"h": H})
    return Samples(compiled.program, parameters, x, log_q, action, sector, leaked, None)


@pytest.mark.parametrize("leaks", [False, True])
def test_bad_proposals_give_exact_samples(leaks: bool) -> None:
    chains = [
        sd.independence_metropolis(proposals(20_000, seed, leaks=leaks), seed=seed) for seed in range(3)
    ]
    chain = chains[0].joined(*chains[1:])
    assert chain.action.shape == (3, 18_000)
    assert 0.05 < chain.acceptance < 0.5
    assert np.abs(chain.x).max() < 50
    exact = exact_values(chain.program, chain.parameters)
    assert exact is not None
    for mass, expected in zip(chain.sector_masses, exact.sector_masses, strict=True):
        within(mass, expected)
    within(chain.virial, 1)
    assert chain.expect("action").tau > 0.7
    # ⟨x₁⟩ in closed form: the mixture times exp(−h·x) is a mixture of shifted Gaussians
    within(chain.expect(chain.configurations[:, 0, 0]), exact_mixture_mean())
    unweighted = proposals(20_000, 0).x[:, 0, 0]
    assert abs(unweighted.mean() - exact_mixture_mean()) > 20 * unweighted.std() / np.sqrt(20_000)


def exact_mixture_mean() -> float:
    angles = np.arange(4) * np.pi / 2
    centres = RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    weights = np.exp(-H * centres.sum(axis=1))
    return float(weights @ (centres[:, 0] - H) / weights.sum())


def test_metropolis_refusals() -> None:
    samples = proposals(100, 0)
    gone = Samples(**{**vars_of(samples), "leaked": np.ones(100, bool)})
    with pytest.raises(OptionError, match="none among the first 10 of 100"):
        sd.independence_metropolis(gone)
    chain = sd.independence_metropolis(samples)
    other = sd.independence_metropolis(proposals(200, 0))
    with pytest.raises(OptionError, match="to be joined"):
        chain.joined(other)
    with pytest.raises(OptionError, match="observable nothing"):
        chain.expect("nothing")


def vars_of(samples: Samples) -> dict[str, Any]:
    return {name: getattr(samples, name) for name in Samples.__dataclass_fields__}


# Forward metrics


def test_forward_metrics_in_closed_form() -> None:
    """p = N(0, 1) in n dimensions, q = N(0, s²): 1/∫p²/q = [(2s² − 1)/s⁴]^(n/2), NLL by hand."""
    n, s = 3, 1.3
    x = np.random.default_rng(0).normal(size=(100_000, n))
    squares = (x**2).sum(axis=1)
    log_q = -squares / (2 * s**2) - n * np.log(s * np.sqrt(2 * np.pi))
    result = ForwardMetrics.of(log_q, squares / 2 + 7.0)
    within(result.ess, ((2 * s**2 - 1) / s**4) ** (n / 2))
    within(result.nll, n / (2 * s**2) + n * np.log(s * np.sqrt(2 * np.pi)))
    # the quoted error is that of repetitions
    pieces = [
        ForwardMetrics.of(a, b).ess
        for a, b in zip(np.split(log_q, 100), np.split(squares / 2, 100), strict=True)
    ]
    assert np.std([p.value for p in pieces]) == pytest.approx(np.mean([p.error for p in pieces]), rel=0.3)
    missed = ForwardMetrics.of(np.where(x[:, 0] > 0, log_q, -np.inf), squares / 2)
    assert missed.ess.value == 0
    assert missed.nll.value == np.inf


def test_forward_metrics_of_a_run(tmp_path: Any) -> None:
    """On a free field the vacuum base is the target: the ESS is 1 and the NLL is the entropy."""
    lattice = sd.Lattice(4)
    phi = sd.ScalarField("phi", lattice)
    theory = sd.Theory("free", fields=[phi], action=lattice.sum(phi**2 - phi * phi.shift(0) / 2))
    compiled = sd.compile(theory, "torch", precision="float64")
    flow = sd.FlowSpec(layers=2, hidden=(4,), kernel=3)
    run = compiled.train(directory=tmp_path / "run", progress=False, steps=1, learning_rate=1e-12, flow=flow)
    hessian = 2 * np.eye(4) - (np.roll(np.eye(4), 1, axis=0) + np.roll(np.eye(4), -1, axis=0)) / 2
    rng = np.random.default_rng(0)
    x = np.linalg.solve(np.linalg.cholesky(hessian).T, rng.normal(size=(4, 20_000))).T[:, None]
    independent = run.forward(x)
    entropy = 2 * (1 + np.log(2 * np.pi)) - np.linalg.slogdet(hessian)[1] / 2
    assert independent.ess.value == pytest.approx(1, abs=1e-6)
    within(independent.nll, entropy)
    action = compiled.action(x).reshape(4, -1)
    chain = Chain(compiled.program, {}, x.reshape(4, 5000, 1, 4), action, 1.0)
    assert run.forward(chain).nll.error == pytest.approx(independent.nll.error, rel=0.2)
    assert "forward ESS" in str(independent)


@cache
def compiled_slice() -> sd.CompiledTheory:
    return sd.compile(complex_phi4(2, 4), "torch")


@pytest.mark.parametrize("h", [0.0, 0.05])
def test_metropolis_weights_and_hmc_agree_on_a_slice(h: float, tmp_path: Any) -> None:
    """Complex φ⁴ with auxiliary coordinates: three ways to the same expectation values."""
    compiled, couplings = compiled_slice(), {"h": h}
    theory, flow = compiled.theory, sd.FlowSpec(layers=2, hidden=(12,), kernel=3)
    options = {"steps": 100, "batch": 64, "flow": flow, "progress": False}
    samples = compiled.train(parameters=couplings, directory=tmp_path / "run", **options).sample(20_000)
    metropolis = sd.independence_metropolis(samples)
    truth = sd.hmc(compiled, parameters=couplings, **SHORT)
    assert samples.ess > 0.5
    assert metropolis.acceptance > 0.5
    for name in theory.observables:
        exact = truth.expect(name)
        for found in (samples.expect(name), metropolis.expect(name)):
            assert abs(found.value - exact.value) < 5 * np.hypot(found.error, exact.error), name
    for name in theory.derived:
        exact = truth.derived(name)
        for found in (samples.derived(name), metropolis.derived(name)):
            assert abs(found.value - exact.value) < 5 * np.hypot(found.error, exact.error), name
    assert sd.angle_test(samples, (h, h)).p_value > 1e-5
    within(metropolis.virial, 1)


# Command line


def test_commands(tmp_path: Any) -> None:
    def run(*arguments: Any) -> str:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    output = tmp_path / "hmc.npz"
    few = ("--chains", 4, "--trajectories", 40, "--warm-up", 50, "--seed", 1, "--set", "h=0.1")
    text = run("hmc", "gaussian_mixture", *few, "--output", output)
    assert "τ_int" in text
    assert "sector masses" in text
    assert np.load(output)["x"].shape == (4, 40, 2, 1)
    place = tmp_path / "run"
    run("train", "gaussian_mixture", "--backend", "torch", "--steps", 2, "--batch", 16, "--directory", place)
    text = run("sample", place, "--count", 500, "--exact")
    assert "reweighted" in text
    assert "Metropolis" in text
    assert "acceptance" in text
