"""Training of layers: exact weights with any parameters, and a gain where there is one but nowhere else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.annealing import layer_training, layers
from sesamo_dsl.annealing.ensemble import Setting
from sesamo_dsl.annealing.layers import Layers, ess_of
from sesamo_dsl.cli import app
from sesamo_dsl.errors import OptionError
from sesamo_dsl.estimates.annealing_record import LayerParameters, LayerTraining
from sesamo_dsl.markov.moves import Moves
from sesamo_dsl.markov.whitening import Whitening
from support import shaken

SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")
BOUND = 4.0  # standard deviations
CHANGE = LayerParameters(step=0.5, slope=-0.4, spacing=0.8, mass=-0.6)


def silent(*_: Any) -> None:
    """No progress is shown."""


@cache
def unsettled(backend: str = "torch") -> sd.Run:
    """Two sites with a stiff and a soft direction; q is far from exp(−S)."""
    phi = sd.ScalarField("phi", site := sd.Lattice(2))
    coupled = site.sum(phi**2 / 2 + phi**4 / 4 + phi / 3 + (phi - phi.shift(0)) ** 2)
    compiled = sd.compile(sd.Theory("two", fields=[phi], action=coupled), backend, precision="float64")
    run = compiled.train(flow=SMALL, batch=64, steps=1, directory=False, progress=False, check=False)
    shaken(run.model, size=0.1)
    return run


@cache
def exact_configurations(count: int) -> np.ndarray:
    """Independent configurations of the theory, by rejection from N(0, 1) at each site."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200_000, 1, 2))
    rest = x**4 / 4 + x / 3 + (x - np.roll(x, 1, axis=2)) ** 2
    assert rest.sum(axis=(1, 2)).min() > -1
    x = x[np.log(rng.uniform(size=len(x))) < -rest.sum(axis=(1, 2)) - 1][:count]
    assert len(x) == count
    return x


def of(run: sd.Run, count: int, seed: int = 1) -> Layers:
    with run.compiled.backend.scope("float64"):
        return Layers.of(run.model, run.compiled, run.parameters, count, seed, silent)


def scaled(found: Layers, factor: float) -> Layers:
    """The same layers with all steps changed."""
    return found.changed(LayerParameters(step=float(np.log(factor))))


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers with steps that are far too short, whatever the pilot adapts."""
    monkeypatch.setattr(layers, "_setting", lambda beta, step, moves: Setting(beta, 0.05, 2, 1))


# parameters ------------------------------------------------------------------------------------------------


def test_weights_are_unbiased_with_any_parameters() -> None:
    """⟨w⟩ = Z over paths of changed layers, and ⟨1/w⟩ = 1/Z over paths back from exact configurations."""
    run = unsettled()
    assert run.exact is not None
    changed = of(run, 3).changed(CHANGE)
    draws = run.model.sample(4000, 7)
    with run.compiled.backend.scope("float64"):
        moved = changed.forward(changed.start(draws), np.random.default_rng(3), silent)
        without = changed.log_weights(changed.start(draws), np.random.default_rng(3), lambda: None)
    np.testing.assert_allclose(without, moved.log_weights, rtol=1e-12, atol=1e-12)
    w = np.exp(moved.log_weights - run.exact.log_z)
    error = w.std() / np.sqrt(len(w))
    assert 1e-3 < error < 0.05
    assert abs(w.mean() - 1) < BOUND * error
    x = exact_configurations(4000)
    inverse = np.exp(run.compiled.action(x, run.parameters) + changed.log_prob(x) + run.exact.log_z)
    assert abs(inverse.mean() - 1) < BOUND * inverse.std() / np.sqrt(len(x))


def test_parameters_change_what_they_say() -> None:
    base = of(unsettled(), 4)
    same, changed = base.changed(LayerParameters()), base.changed(CHANGE)
    np.testing.assert_allclose([s.beta for s in same.ladder], [0.25, 0.5, 0.75, 1], rtol=1e-12)
    assert [s.step for s in same.ladder] == [s.step for s in base.ladder]
    assert changed.evaluations == base.evaluations
    betas = np.array([0.0, *(s.beta for s in changed.ladder)])
    assert betas[-1] == 1
    increments = np.diff(betas)
    assert (increments > 0).all()
    np.testing.assert_allclose(np.diff(np.log(increments)), CHANGE.spacing * 2 / 4, rtol=1e-9)
    factors = [s.step / b.step for s, b in zip(changed.ladder, base.ladder, strict=True)]
    np.testing.assert_allclose(np.diff(np.log(factors)), CHANGE.slope * 2 / 4, rtol=1e-9)
    assert factors[-1] == pytest.approx(np.exp(CHANGE.step + CHANGE.slope))
    scales, spectrum = changed.ladder[0].scales, base.pilot.spectrum
    assert scales is not None
    ratio = np.log(scales[spectrum.argmax()] / scales[spectrum.argmin()])
    assert ratio == pytest.approx(2 * CHANGE.mass)
    assert np.log(scales).sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("shape", "nodes"), [((2, 4, 3), None), ((1, 2, 3), 0), ((6,), None)])
def test_principal_coordinates_are_those_of_the_same_gaussian(
    shape: tuple[int, ...], nodes: int | None
) -> None:
    c, waves = shape[0], int(np.prod(shape[1:]))
    root = np.random.default_rng(1).normal(size=(waves, c, c)) + 2 * np.eye(c)
    principal, eigenvalues = Whitening(shape, nodes, root).principal()

    def dense(whitening: Whitening) -> np.ndarray:
        return whitening.as_one_block().roots[0]

    own, other = dense(Whitening(shape, nodes, root)), dense(principal)
    np.testing.assert_allclose(other.T @ other, own.T @ own, atol=1e-10)
    np.testing.assert_allclose(other @ other.T, np.diag(eigenvalues), atol=1e-9 * eigenvalues.max())


def test_scaled_coordinates_are_another_mass() -> None:
    """Trajectories with a step for each coordinate, against those with roots divided by them."""
    run = unsettled()
    arrays, emitted = run.compiled.backend.arrays(), run.compiled.bind(run.parameters)
    rng = np.random.default_rng(2)
    roots = np.diag([1.5, 0.6]) @ np.linalg.qr(rng.normal(size=(2, 2)))[0]
    d = np.array([0.5, 1.7])
    x, momenta, log_uniform = rng.normal(size=(5, 1, 2)), rng.normal(size=(5, 2)), np.full(5, -np.inf)
    ends = []
    for root, steps in ((roots, 0.3 * np.tile(d, (5, 1))), (roots / d[:, None], np.full(5, 0.3))):
        moves = Moves(arrays, emitted, Whitening((2,), None, root[None]), (1, 2))
        given = (arrays.constant(v, "float64") for v in (momenta, steps, log_uniform))
        start = arrays.compiled(moves.state)(arrays.constant(x, "float64"))
        ends.append(arrays.compiled(moves.trajectory)(start, *given, 1.0, 3)[0].x)
    np.testing.assert_allclose(*map(arrays.to_numpy, ends), rtol=1e-12)
    assert np.abs(arrays.to_numpy(ends[0]) - x).max() > 0.1


# the training ----------------------------------------------------------------------------------------------


def test_training_repairs_steps_that_are_far_too_short() -> None:
    run = unsettled()
    bad = scaled(of(run, 4), 0.1)
    found = layer_training.trained(bad, 600.0, silent)
    record = found.training
    assert record is not None
    assert record.kept
    assert record.evaluations == record.planned == layer_training.PASSES
    assert record.gain > 4 * record.gain_error
    assert found.pilot_ess == record.trained_ess > record.untrained_ess
    assert record.parameters.step > 1
    draws = run.model.sample(4000, 9)  # which neither of the pilots has seen
    log_w = [
        one.log_weights(one.start(draws), np.random.default_rng(8), lambda: None)
        for one in (bad, found, of(run, 4))
    ]
    bad_ess, ess, adapted_ess = map(ess_of, log_w)
    assert 1 - ess < 0.8 * (1 - bad_ess)
    assert abs(ess - adapted_ess) < 0.04  # about as good as steps that the pilot adapts
    bad_distance, distance = (layer_training._distance(one)[0] for one in log_w[:2])
    assert abs(1 - distance / bad_distance - record.gain) < 5 * record.gain_error


def test_the_standard_error_of_the_gain_is_right() -> None:
    """Of normal log w, whose distance is a quarter of the variance, in 400 repetitions."""
    rng, found = np.random.default_rng(1), []
    for _ in range(400):
        before = 0.5 * rng.normal(size=500)
        found.append(layer_training._decrease(before, 0.6 * before + rng.normal(1, 0.2, size=500)))
    gains, errors = np.array(found).T
    assert layer_training._distance(rng.normal(3, 0.5, size=10**6))[0] == pytest.approx(0.25 / 4, rel=0.02)
    assert abs(gains.mean() - (1 - 0.52)) < BOUND * gains.std() / 20 + 0.005  # and a bias of order 1/500
    assert errors.mean() == pytest.approx(gains.std(), rel=0.15)
    assert layer_training._decrease(np.zeros(100), rng.normal(size=100)) == (0.0, 0.0)


def test_what_is_no_better_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that ends at parameters that are worse, as one that has fitted noise does."""

    def misled(search: Any, *_: Any, **__: Any) -> None:
        search.best, search.passes = LayerParameters(step=-2.0), 40

    monkeypatch.setattr(layer_training, "minimize", misled)
    run = unsettled()
    samples, plain = (run.sample(100, anneal=3, train_layers=t, progress=False) for t in (True, False))
    assert np.array_equal(samples.x, plain.x)
    assert np.array_equal(samples.log_weights, plain.log_weights)
    record = samples.annealed
    assert record is not None
    assert record.training is not None
    assert not record.training.kept
    assert record.parameters is None
    assert record.training.gain < 0
    assert "the layers stay untrained" in samples.text()


# what a user sees ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_steps")
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_trained_layers_have_the_log_z_of_quadrature(backend: str) -> None:
    run = unsettled(backend)
    assert run.exact is not None
    samples = run.sample(4000, anneal=3, train_layers=True, progress=False)
    record = samples.annealed
    assert record is not None
    assert isinstance(record.training, LayerTraining)
    assert record.parameters == record.training.parameters
    assert samples.log_z.error < 0.03
    assert abs(samples.log_z.value - run.exact.log_z) < BOUND * samples.log_z.error
    assert abs(samples.ess - record.pilot_ess) < 0.1
    assert "passes of the pilot in" in samples.text()


@pytest.mark.usefixtures("short_steps")
def test_the_seed_decides() -> None:
    run = unsettled()
    one, two, other = (
        run.sample(500, anneal=3, train_layers=True, progress=False, seed=s) for s in (1, 1, 2)
    )
    assert np.array_equal(one.x, two.x)
    assert np.array_equal(one.log_weights, two.log_weights)
    assert one.annealed == two.annealed != other.annealed
    assert one.ess > run.sample(500, anneal=3, progress=False).ess


@pytest.mark.usefixtures("short_steps")
def test_layers_are_rebuilt_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    run, used = unsettled(), []
    forward = Layers.forward

    def noted(self: Layers, *arguments: Any) -> Any:
        used.append(self)
        return forward(self, *arguments)

    monkeypatch.setattr(Layers, "forward", noted)
    samples = run.sample(1000, anneal=3, train_layers=True, progress=False)
    assert samples.annealed is not None
    rebuilt = run._layers(samples.annealed)
    for one, other in zip(used[0].ladder, rebuilt.ladder, strict=True):
        assert one == other
        assert one.scales is not None
        assert other.scales is not None
        assert np.array_equal(one.scales, other.scales)
    x = run.model.sample(300, 4).x
    assert np.array_equal(used[0].log_prob(x), rebuilt.log_prob(x))
    coverage = run.coverage(samples, exact_configurations(1000))
    assert coverage.status == "covered", coverage.verdict
    assert abs(coverage.forward_ess.value - samples.ess) < 5 * coverage.forward_ess.error + 0.05


def test_the_time_ends_a_training_and_auto_trains_too(monkeypatch: pytest.MonkeyPatch) -> None:
    run = unsettled()
    options: dict[str, Any] = {"train_layers": True, "progress": False}
    short = run.sample(100, anneal=3, anneal_seconds=1e-3, **options)
    assert short.annealed is not None
    assert short.annealed.training is not None
    assert short.annealed.training.evaluations < short.annealed.training.planned
    assert "the time was too short" in short.text()
    monkeypatch.setattr(layers, "TARGET", 0.6)
    found = run.sample(100, anneal="auto", anneal_seconds=600.0, **options).annealed
    assert found is not None
    assert 2 <= found.layers <= 8
    assert found.training is not None
    assert found.training.evaluations == layer_training.PASSES


@pytest.mark.parametrize("anneal", [0, 1])
def test_a_single_layer_is_not_trained(anneal: int) -> None:
    with pytest.raises(OptionError, match="at least 2 layers"):
        unsettled().sample(10, anneal=anneal, train_layers=True)


@pytest.mark.parametrize("wrong", ["yes", 2, None])
def test_train_layers_is_yes_or_no(wrong: Any) -> None:
    with pytest.raises(OptionError, match="option train_layers"):
        unsettled().sample(10, anneal=2, train_layers=wrong)


def test_the_command_line(tmp_path: Path) -> None:
    run = unsettled()
    run.save(tmp_path / "run")
    out = tmp_path / "samples.npz"
    sample = ["sample", str(tmp_path / "run"), "--count", "200", "--output", str(out), "--train-layers"]
    result = CliRunner().invoke(app, [*sample, "--anneal", "2"])
    assert result.exit_code == 0, result.output
    assert "training:" in result.stdout
    expected = run.sample(200, anneal=2, train_layers=True, progress=False)
    with np.load(out) as written:
        assert np.array_equal(written["log_weights"], expected.log_weights)
    refused = CliRunner().invoke(app, sample)
    assert refused.exit_code == 1
    assert "option train_layers" in refused.stderr
