"""Annealing from a model: its pieces against what is known exactly, and its weights against quadrature."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.annealing.layers import Layers
from sesamo_dsl.backend import Model, ModelDensity
from sesamo_dsl.cli import app
from sesamo_dsl.errors import BackendError, OptionError, SamplingInterrupted
from sesamo_theories.clock_phi4 import clock_phi4
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.hubbard import hubbard, two_sites
from sesamo_theories.scalar_phi4 import scalar_phi4
from support import shaken, untrained

SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")
COUNT = 500
BOUND = 4.5  # standard deviations


def mixture() -> sd.Theory:
    return gaussian_mixture(6, 3)


@cache
def unsettled(make: Callable[[], sd.Theory], backend: str = "torch", **options: Any) -> sd.Run:
    """A run after a single step, with noise on its weights: q is far from exp(−S)."""
    compiled = sd.compile(make(), backend, precision=options.pop("precision", "float64"))
    parameters = {"h": 0.1} if "h" in compiled.parameter_values() else None
    noise = options.pop("noise", 0.1)
    options = {"flow": SMALL, "batch": 64, "steps": 1, **options}
    run = compiled.train(parameters=parameters, directory=False, progress=False, check=False, **options)
    shaken(run.model, size=noise)
    return run


def annealed(run: sd.Run, anneal: Any, count: int = COUNT, **options: Any) -> sd.Samples:
    return run.sample(count, anneal=anneal, progress=False, **options)


# log q -----------------------------------------------------------------------------------------------------


def evaluated(density: ModelDensity, x: np.ndarray, a: np.ndarray) -> np.ndarray:
    arrays = density.arrays
    return arrays.to_numpy(
        arrays.compiled(density.log_density)(*(arrays.constant(v, "float64") for v in (x, a)))
    )


CASES = {
    "fold": (mixture, {"strategy": "fold"}),
    "chart": (mixture, {"strategy": "chart"}),
    "folded noise": (mixture, {"strategy": "canonicalize"}),
    "several flows": (mixture, {"flows": 2}),
    "von Mises": (lambda: complex_phi4(2), {}),
    "tabulated": (lambda: clock_phi4(2, order=3), {}),
    "blocks": (lambda: hubbard(two_sites(), 1), {"flow_precision": "float64"}),
}


@pytest.mark.parametrize("case", CASES)
def test_log_q_on_arrays_is_that_of_the_model(case: str) -> None:
    """The model's own log_prob has the laws of orientations from NumPy."""
    make, options = CASES[case]
    compiled = sd.compile(make(), "torch", precision="float64")
    parameters = {"h": 0.1} if "h" in compiled.parameter_values() else {}
    model: Any = shaken(untrained(compiled, parameters, flow=SMALL, **options), size=0.05)
    density = model.density()
    x = model.sample(6, seed=2).x
    a = np.random.default_rng(1).normal(size=density.auxiliary(len(x)).shape)
    value = evaluated(density, x, a)
    kept = np.isfinite(value)
    assert kept.sum() >= 4
    np.testing.assert_allclose(value[kept], model.log_prob(x, a)[kept], rtol=1e-9, atol=1e-9)


def test_both_frameworks_have_the_same_log_q() -> None:
    phi = sd.ScalarField("phi", site := sd.Lattice(1))
    action = site.sum((phi**2 - 1) ** 2 + phi / 5)
    theory = sd.Theory("well", fields=[phi], action=action, symmetries=[sd.Z2(phi)])
    x, found = np.linspace(-2, 2, 5).reshape(-1, 1, 1), []
    for backend in ("torch", "jax"):
        compiled = sd.compile(theory, backend, precision="float64")
        model: Any = shaken(untrained(compiled, flow=SMALL))
        density = model.density()
        with compiled.backend.scope("float64"):
            found.append(evaluated(density, x, np.empty((len(x), 0))))
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-9)


# the kernel ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backwards", [False, True])
def test_moves_leave_the_path_from_a_model_invariant(backwards: bool) -> None:
    """Samples that have the density q^(1−β) e^(−βS), by rejection, have it still, as J. Geweke tests it."""
    beta, run = 0.6, unsettled(mixture)
    layers = Layers.of(run.model, run.compiled, run.parameters, 2, 5, lambda *_: None)
    ensemble = layers._ensemble
    x = run.model.sample(20_000, seed=3).x
    ratio = layers.log_ratio(ensemble.state(x))
    rng = np.random.default_rng(4)
    chosen = np.log(rng.uniform(size=len(x))) < beta * (ratio - ratio.max())
    before = x[chosen][:4000]
    assert len(before) > 1000
    state = ensemble.state(before)
    for moves in (1, 2, 5):
        setting = replace(layers.ladder[0], beta=beta, moves=moves)
        state, acceptance, _ = ensemble.excursion(rng, state, setting, backwards=backwards)
        assert acceptance > 0.3
    after = ensemble.configurations(state)[0]
    assert np.mean(np.abs(after - before).max(axis=(1, 2)) > 1e-6) > 0.5
    functions: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda x: x[:, 0],
        lambda x: x[:, 0] * x[:, 1],
        lambda x: np.sum(x**2, axis=1),
        lambda x: np.sum(x**2, axis=1) ** 2,
        lambda x: np.cos(2 * x[:, 1]),
        lambda x: np.cos(6 * np.arctan2(x[:, 1], x[:, 0])),
    ]
    for f in functions:
        one, other = (f(v.reshape(len(v), -1)) for v in (before, after))
        error = np.sqrt((one.var() + other.var()) / len(one))
        assert abs(one.mean() - other.mean()) < BOUND * error


def test_group_moves_that_change_nothing_are_omitted() -> None:
    """With an exact symmetry of S and q a group move changes no weight; with a broken one it does."""
    counts = []
    for h in (0.0, 0.1):
        compiled = sd.compile(mixture(), "torch", precision="float64")
        model: Any = shaken(untrained(compiled, {"h": h}, flow=SMALL), size=0.05)
        layers = Layers.of(model, compiled, compiled.parameter_values({"h": h}), 2, 5, lambda *_: None)
        of_action, of_density = layers.evaluations
        counts.append(layers._ensemble.proposals)
        leapfrogs = sum(setting.moves * setting.leapfrogs for setting in layers.ladder)
        assert of_action == 1 + leapfrogs + 2 * counts[-1]
        assert of_density == 1 + 2 * (1 + counts[-1])
    assert counts == [0, 1]


# the weights -----------------------------------------------------------------------------------------------

THEORIES = {
    "broken mixture": (mixture, {}),
    "chart": (mixture, {"strategy": "chart"}),
    "a model that leaks": (mixture, {"strategy": "penalty"}),
    "orbit of U(1)": (lambda: complex_phi4(1), {}),
}


@cache
def of_theory(name: str) -> sd.Run:
    make, options = THEORIES[name]
    return unsettled(make, **options)


@pytest.mark.parametrize("name", THEORIES)
def test_log_z_is_that_of_quadrature_and_the_ess_rises(name: str) -> None:
    run = of_theory(name)
    assert run.exact is not None
    samples = annealed(run, 4, 2000)
    assert abs(samples.log_z.value - run.exact.log_z) < BOUND * samples.log_z.error + 1e-9
    record = samples.annealed
    assert record is not None
    assert record.layers == 4
    plain = annealed(run, 0, 2000)
    assert abs(record.model_ess - plain.ess) < 1e-6
    assert plain.ess < 0.97
    assert 1 - samples.ess < 0.7 * (1 - plain.ess) + samples.leaked_fraction + 0.01
    if run.compiled.program.sectors.enumerable:
        for mass, error, exact in zip(
            samples.sector_masses, samples.sector_errors, run.exact.sector_masses, strict=True
        ):
            assert abs(mass - exact) < BOUND * error + 1e-6
    assert f"annealed           {record}" in samples.text()
    if "mixture" in name:
        assert all(warning.startswith("coverage") for warning in samples.warnings)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_weights_are_unbiased_however_few_layers_there_are(layers: int) -> None:
    run = of_theory("broken mixture")
    assert run.exact is not None
    samples, plain = annealed(run, layers, 6000, seed=layers), annealed(run, 0, 6000, seed=layers)
    w = np.exp(samples.log_weights - run.exact.log_z)
    assert abs(w.mean() - 1) < BOUND * w.std() / np.sqrt(len(w))
    values = w * samples.x[:, 0, 0] ** 2  # and so are means, with configurations that have moved
    exact = np.exp(plain.log_weights - run.exact.log_z) * plain.x[:, 0, 0] ** 2
    error = np.sqrt((values.var() + exact.var()) / len(w))
    assert abs(values.mean() - exact.mean()) < BOUND * error
    moved = np.abs(samples.x - plain.x).max(axis=(1, 2)) > 1e-6
    assert moved.mean() > 0.7
    if layers == 1:  # whose work is done before anything moves
        np.testing.assert_allclose(samples.log_weights, plain.log_weights, rtol=1e-9, atol=1e-9)


def test_the_way_back_knows_z_and_the_ess() -> None:
    """⟨1/w⟩ = 1/Z over paths from exact configurations, and 1/(⟨w⟩⟨1/w⟩) is the ESS of the way there."""
    phi = sd.ScalarField("phi", site := sd.Lattice(2))
    run = unsettled(lambda: sd.Theory("two", fields=[phi], action=site.sum(phi**2 / 2 + phi**4 / 4)))
    assert run.exact is not None
    rng = np.random.default_rng(5)
    x = rng.normal(size=(40_000, 1, 2))  # each site by rejection from N(0, 1)
    x = x[np.log(rng.uniform(size=len(x))) < -(x**4).sum(axis=(1, 2)) / 4][:4000]
    samples = annealed(run, 3, 4000)
    coverage = run.coverage(samples, x)
    assert coverage.status == "covered", coverage.verdict
    assert abs(coverage.forward_ess.value - samples.ess) < 5 * coverage.forward_ess.error + 0.02
    layers = Layers.of(run.model, run.compiled, run.parameters, 3, 1, lambda *_: None)
    inverse = np.exp(run.compiled.action(x, run.parameters) + layers.log_prob(x) + run.exact.log_z)
    assert abs(inverse.mean() - 1) < BOUND * inverse.std() / np.sqrt(len(x))
    assert inverse.std() > 1e-3


# what a user sees ------------------------------------------------------------------------------------------


def test_the_seed_gives_the_same_samples_and_none_leaves_them_alone() -> None:
    run = unsettled(lambda: scalar_phi4(2, 2), precision="float32")
    plain, none = run.sample(50), annealed(run, 0, 50)
    assert np.array_equal(plain.x, none.x)
    assert np.array_equal(plain.log_weights, none.log_weights)
    assert none.annealed is None
    one, two, other = annealed(run, 3, 50), annealed(run, 3, 50), annealed(run, 3, 50, seed=2)
    assert np.array_equal(one.x, two.x)
    assert np.array_equal(one.log_weights, two.log_weights)
    assert not np.array_equal(one.x, other.x)
    assert one.log_weights.dtype == one.x.dtype == np.float64
    np.testing.assert_allclose(one.log_q, run.log_prob(one.x), atol=1e-3)  # that of the model, in float32
    assert len(annealed(run, 2, 1)) == 1


def test_auto_doubles_until_the_ess_is_there() -> None:
    samples = annealed(of_theory("broken mixture"), "auto", 200)
    assert samples.annealed is not None
    assert samples.annealed.layers in (2, 4, 8, 16, 32)
    assert samples.ess > 0.85
    phi = sd.ScalarField("phi", site := sd.Lattice(2))
    gaussian = unsettled(lambda: sd.Theory("gaussian", fields=[phi], action=site.sum(phi**2)), noise=0.0)
    found = annealed(gaussian, "auto", 400)
    assert found.annealed is not None
    assert found.annealed.layers == 0
    assert "no layers" in found.text()


def test_auto_takes_no_longer_than_it_may() -> None:
    run = of_theory("broken mixture")
    short = run.sample(200, anneal="auto", anneal_seconds=1e-3, progress=False).annealed
    long = run.sample(200, anneal="auto", anneal_seconds=600.0, progress=False).annealed
    assert short is not None
    assert long is not None
    assert short.layers == 2 < long.layers
    with pytest.raises(OptionError, match="option anneal_seconds"):
        run.sample(200, anneal="auto", anneal_seconds=0)


@pytest.mark.parametrize("anneal", [-1, True, "20", "many", 2.5, 10**9, None, float("nan")])
def test_no_number_of_layers(anneal: Any) -> None:
    with pytest.raises(OptionError, match="option anneal"):
        annealed(unsettled(mixture), anneal)


def test_a_model_without_its_density_is_refused() -> None:
    class WithoutDensity:
        def __init__(self, model: Model) -> None:
            self.sample = model.sample

    lacking: Any = WithoutDensity(unsettled(mixture).model)  # of the protocol it has what sampling needs
    run = replace(unsettled(mixture), model=lacking)
    with pytest.raises(BackendError, match="log q on arrays"):
        annealed(run, 5)


def test_chains_take_annealed_samples_as_proposals() -> None:
    run = of_theory("broken mixture")
    acceptance = [sd.independence_metropolis(annealed(run, layers)).acceptance for layers in (0, 12)]
    assert acceptance[1] > acceptance[0]
    assert acceptance[1] > 0.7


def test_what_is_done_is_kept_when_a_signal_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = unsettled(mixture)
    whole, done = annealed(run, 2, 1000), []
    forward = Layers.forward

    def interrupted(self: Layers, *arguments: Any) -> Any:
        done.append(self)
        if len(done) == 2:
            signal.raise_signal(signal.SIGINT)
        return forward(self, *arguments)

    monkeypatch.setattr(Layers, "forward", interrupted)
    with pytest.raises(SamplingInterrupted, match="SIGINT: 500 samples are annealed") as caught:
        annealed(run, 2, 1000)
    samples = caught.value.samples
    assert np.array_equal(samples.x, whole.x[:500])
    assert np.array_equal(samples.log_weights, whole.log_weights[:500])
    del done[1:]
    with pytest.raises(SamplingInterrupted, match="no sample is annealed") as caught:
        annealed(run, 2)
    assert np.array_equal(caught.value.samples.x, run.sample(COUNT).x)


def test_the_command_line(tmp_path: Path) -> None:
    run = unsettled(mixture)
    run.save(tmp_path / "run")
    out = tmp_path / "samples.npz"
    sample = ["sample", str(tmp_path / "run"), "--count", "300", "--output", str(out), "--anneal"]
    result = CliRunner().invoke(app, [*sample, "3"])
    assert result.exit_code == 0, result.output
    assert "annealed           3 layers" in result.stdout
    with np.load(out) as written:
        assert np.array_equal(written["log_weights"], annealed(run, 3, 300).log_weights)
    for wrong in ("-3", "many", "1.5"):
        refused = CliRunner().invoke(app, [*sample, wrong])
        assert refused.exit_code == 1
        assert "option anneal" in refused.stderr
