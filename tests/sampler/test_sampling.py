"""Models, trained and untrained: densities, exact weights, and training that can be trusted."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from scipy.special import logsumexp

import sesamo_dsl as sd
import support
from sesamo_dsl.backend import Model
from sesamo_dsl.errors import OptionError, RunError, TrainingDivergedError
from sesamo_dsl.estimates.exact import ExactValues, exact_values
from sesamo_dsl.estimates.samples import Samples
from sesamo_dsl.plan.base import make_base
from sesamo_dsl.plan.decide import decide
from sesamo_dsl.plan.options import TrainingOptions
from sesamo_dsl.training.divergence import Cause
from sesamo_dsl.training.history import History
from sesamo_dsl.training.loop import train
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.scalar_phi4 import scalar_phi4
from support import untrained

Array = np.ndarray[Any, Any]
NAMES = ("torch", "jax")
H = 0.1
RADIUS = 5
SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")
every_backend = pytest.mark.parametrize("name", NAMES)


def mixture() -> sd.Theory:
    """Four modes, so that a fold costs little."""
    return gaussian_mixture(4, RADIUS)


@cache
def compiled(theory: str, name: str) -> sd.CompiledTheory:
    declared = {"mixture": mixture, "phi4": lambda: scalar_phi4(4, 2)}[theory]()
    return sd.compile(declared, name, precision="float64")


def fresh(theory: str, name: str, h: float = H, **options: Any) -> Model:
    """An untrained model."""
    flow = sd.FlowSpec(layers=2, hidden=(8,), kernel=3) if theory == "phi4" else SMALL
    return untrained(compiled(theory, name), {"h": h}, **{"flow": flow, "batch": 64, **options})


def shaken(model: Model, seed: int = 0, size: float = 0.15) -> Model:
    """The model far from the identity, with unequal logits and another base."""

    def is_kept(key: str) -> bool:
        return not key.startswith("adam") and key != "step"

    return support.shaken(model, seed=seed, size=size, chosen=is_kept)


CHOICES = [
    ("mixture", strategy, law)
    for strategy in ("fold", "penalty")
    for law in ("uniform", "learned", "heat_bath")
]
CHOICES += [("phi4", "fold", "heat_bath"), ("phi4", "penalty", "learned")]


@pytest.mark.parametrize(("theory", "strategy", "law"), CHOICES)
def test_density_of_samples_and_of_points(theory: str, strategy: str, law: str) -> None:
    """log q as drawn is log q(x) as evaluated, on both backends and between them."""
    models = {name: shaken(fresh(theory, name, strategy=strategy, law=law)) for name in NAMES}
    models["jax"].load_state(models["torch"].state())
    for name, model in models.items():
        draws = model.sample(300, seed=5)
        n = len(draws.x[0].ravel())
        assert draws.x.shape == (300, *compiled(theory, name).theory.configuration_shape)
        assert np.isfinite(draws.x).all()
        kept = ~draws.leaked
        assert kept.mean() > 0.3
        assert strategy == "penalty" or kept.all()
        scale = 1 + np.abs(draws.log_q).max()
        for other in models.values():
            assert np.abs(other.log_prob(draws.x)[kept] - draws.log_q[kept]).max() < 1e-9 * scale * n
        actions = compiled(theory, name).action(draws.x, {"h": H})
        assert np.abs(actions - draws.action).max() < 1e-10 * (1 + np.abs(actions).max())
        _, u = compiled(theory, name).evaluate("canonicalize", draws.x, {"h": H})
        assert np.array_equal(u[kept], draws.sector[kept])
        assert len(np.unique(draws.sector)) == compiled(theory, name).analysis.group.order


def integral(model: Model, points: int = 320, half: float = 14.0) -> tuple[float, Array]:
    """∫ q dx by the trapezoid rule, and the part of every sector."""
    axis = (np.arange(points) + 0.5) / points * 2 * half - half
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    density = np.exp(model.log_prob(grid)) * (2 * half / points) ** 2
    sector = compiled("mixture", "torch").evaluate("canonicalize", grid)[1]
    return float(density.sum()), np.bincount(sector, weights=density, minlength=4)


@every_backend
@pytest.mark.parametrize("law", ["heat_bath", "learned"])
def test_a_folded_density_integrates_to_one(name: str, law: str) -> None:
    model = shaken(fresh("mixture", name, law=law, strategy="fold"), seed=2)
    total, _ = integral(model)
    # q has jumps at the walls: the rule converges only like the cell size there
    assert abs(total - 1) < 2e-3


@every_backend
def test_a_penalised_density_lacks_what_leaks(name: str) -> None:
    model = shaken(fresh("mixture", name, law="uniform", strategy="penalty"), seed=2, size=0.25)
    leaked = model.sample(8192, seed=1).leaked.mean()
    total, _ = integral(model, points=600, half=45.0)
    assert leaked > 0.02
    assert abs(total - (1 - leaked)) < 5 * math.sqrt(leaked / 8192) + 2e-3


@cache
def trained(name: str) -> sd.Run:
    """A short training of the broken mixture under the heat bath."""
    place = Path(tempfile.mkdtemp()) / "run"
    flow = sd.FlowSpec(layers=4, hidden=(16,), kernel=1, transform="affine")
    model = compiled("mixture", name)
    return model.train(parameters={"h": H}, directory=place, progress=False, steps=150, batch=128, flow=flow)


@cache
def reference() -> ExactValues | None:
    """The package's own quadrature."""
    return exact_values(compiled("mixture", "torch").program, {"h": H})


def exact() -> tuple[float, Array]:
    """log Z from the closed form, and sector masses by quadrature of the written-out density."""
    k = np.arange(4)
    log_z = math.log(2 * math.pi) + logsumexp(
        H**2 - H * RADIUS * math.sqrt(2) * np.sin(2 * np.pi * k / 4 + np.pi / 4)
    )
    points, half = 1600, 14.0
    axis = (np.arange(points) + 0.5) / points * 2 * half - half
    x, y = np.meshgrid(axis, axis, indexing="ij")
    centres = RADIUS * np.exp(0.5j * np.pi * k)
    density = sum(np.exp(-((x - c.real) ** 2 + (y - c.imag) ** 2) / 2) for c in centres) * np.exp(
        -H * (x + y)
    )
    sector = np.rint(np.angle(x + 1j * y) / (np.pi / 2)).astype(int) % 4
    masses = np.bincount(sector.ravel(), weights=density.ravel(), minlength=4)
    return float(log_z), masses / masses.sum()


@every_backend
def test_samples_against_exact_values(name: str) -> None:
    run = trained(name)
    program = run.compiled.program
    samples = Samples.of(run.model.sample(20_000, seed=3), program, run.parameters, reference())
    log_z, masses = exact()
    assert 0.9 < samples.ess <= 1
    assert abs(samples.log_z.value - log_z) < 5 * samples.log_z.error
    assert samples.exact is not None
    assert abs(samples.exact.log_z - log_z) < 1e-8
    # sector u holds the mode that T_u takes the reference to
    rotation = program.constants["MATRICES"] @ run.compiled.analysis.domain.centre
    order = np.rint(np.arctan2(rotation[:, 1], rotation[:, 0]) / (np.pi / 2)).astype(int) % 4
    assert sorted(order) == [0, 1, 2, 3]
    assert np.abs(samples.exact.sector_masses - masses[order]).max() < 2e-3
    assert (np.abs(samples.sector_masses - masses[order]) < 5 * samples.sector_errors).all()
    assert abs(samples.virial_z_score) < 5
    kl = samples.kl
    assert samples.kl_is_exact
    assert -5 * kl.error < kl.value < 0.1


@every_backend
def test_trained_density_integrates_to_one(name: str) -> None:
    total, masses = integral(trained(name).model)
    assert abs(total - 1) < 1e-3
    drawn = np.bincount(trained(name).model.sample(20_000, seed=9).sector, minlength=4) / 20_000
    assert (np.abs(drawn - masses) < 5 * np.sqrt(masses * (1 - masses) / 20_000) + 1e-3).all()


@every_backend
@pytest.mark.parametrize("strategy", ["fold", "penalty"])
def test_log_z_is_unbiased_whatever_the_model(name: str, strategy: str) -> None:
    """⟨e^{−S−log q}⟩ = Z for an untrained model too, with leaked samples as zeros under a penalty."""
    model = fresh("mixture", name, strategy=strategy, law="learned")
    draws = model.sample(40_000, seed=4)
    log_z, _ = exact()
    weights = np.where(draws.leaked, 0.0, np.exp(-draws.action - draws.log_q - log_z))
    assert abs(weights.mean() - 1) < 5 * weights.std() / math.sqrt(len(weights))
    assert weights.std() < 3


# Reproducibility


@every_backend
def test_the_seed_determines_everything(name: str) -> None:
    models = [fresh("mixture", name, seed=s) for s in (3, 3)]
    for _ in range(3):
        losses = [model.step(1e-2)["loss"] for model in models]
        assert losses[0] == losses[1]
    assert set(models[0].state()) == set(models[1].state())
    for key, value in models[0].state().items():
        assert np.array_equal(value, models[1].state()[key])
    first, same, other = (models[0].sample(5000, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.x, same.x)
    assert np.array_equal(first.log_q, same.log_q)
    elsewhere = fresh("mixture", name, seed=4).state()
    assert any(
        not np.array_equal(value, elsewhere[key])
        for key, value in fresh("mixture", name, seed=3).state().items()
    )
    assert not np.isin(other.x[:, 0, 0], first.x[:, 0, 0]).any()
    assert len(np.unique(first.x[:, 0, 0])) == 5000, "chunks do not repeat each other"


@pytest.mark.parametrize("count", [0, -1, 2.5, True, 10**15])
def test_absurd_numbers_of_samples_are_refused(count: Any) -> None:
    with pytest.raises(OptionError, match="sample count"):
        fresh("mixture", "torch").sample(count, 1)
    with pytest.raises(OptionError, match="seed of samples"):
        fresh("mixture", "torch").sample(2, -1)


@pytest.mark.parametrize("gradient", ["path", "reparametrised"])
def test_interrupted_training_goes_on_as_if_it_had_not_been(gradient: str) -> None:
    """In memory; ``tests/runs/test_runs.py`` has the same of runs on both backends."""

    def steps(model: Model, count: int) -> list[float]:
        return [model.step(5e-3)["loss"] for _ in range(count)]

    whole = fresh("mixture", "torch", law="learned", gradient=gradient)
    steps(whole, 4)
    state = whole.state()
    kept = {key: value.copy() for key, value in state.items()}
    losses = steps(whole, 4)
    resumed = fresh("mixture", "torch", law="learned", gradient=gradient)
    resumed.load_state(state)
    assert steps(resumed, 4) == losses
    for key, value in whole.state().items():
        assert np.array_equal(resumed.state()[key], value), key
        assert np.array_equal(state[key], kept[key]), "a state does not change when its model is trained on"
    assert int(whole.state()["step"]) == 8


def test_state_has_the_same_layout_on_both_backends() -> None:
    layouts = []
    for name in NAMES:
        model = fresh("phi4", name)
        layouts.append({key: (value.shape, value.dtype.kind) for key, value in model.state().items()})
    assert layouts[0] == layouts[1]


def test_new_models_are_the_same_on_both_backends() -> None:
    ours, theirs = (fresh("mixture", name, h=0.3).state() for name in NAMES)
    for key, value in ours.items():
        assert np.abs(value - theirs[key]).max() < 1e-10, key


@every_backend
def test_foreign_weights_are_refused(name: str) -> None:
    model = fresh("mixture", name)
    state = model.state()
    key = next(k for k in state if k.startswith("flow."))
    for wrong in [{**state, key: np.zeros((1, 1, 1))}, {k: v for k, v in state.items() if k != key}]:
        with pytest.raises(ValueError, match="expected"):
            model.load_state(wrong)


def test_models_of_jax_that_are_alike_share_what_is_compiled_but_no_weights() -> None:
    theory = compiled("mixture", "jax")
    base = make_base(theory.program, theory.theory.parameter_values({"h": H}), TrainingOptions())

    def model(h: float = H, **options: Any) -> Any:
        chosen = decide(TrainingOptions(flow=SMALL, batch=64, **options), theory.analysis)
        return theory.backend.model(theory, theory.theory.parameter_values({"h": h}), base, chosen)

    first, twin, other_law, other_couplings = model(), model(), model(law="learned"), model(h=2 * H)
    assert twin.compiled("step") is first.compiled("step")
    assert other_law.compiled("draw_flow") is first.compiled("draw_flow")
    assert other_law.compiled("step") is not first.compiled("step")
    assert other_couplings.compiled("draw_flow") is not first.compiled("draw_flow")
    before = twin.state()
    first.step(1e-2)
    assert all(np.array_equal(value, before[key]) for key, value in twin.state().items())
    twin.step(1e-2)
    assert all(np.array_equal(value, first.state()[key]) for key, value in twin.state().items())
    alone = fresh("mixture", "jax")  # of another base object, so that it shares nothing
    alone.step(1e-2)
    assert np.array_equal(alone.sample(8, 1).log_q, twin.sample(8, 1).log_q)


@pytest.mark.parametrize("count", [1, 16, 17, 257])
def test_jax_pads_batches_without_a_trace(count: int) -> None:
    model = shaken(fresh("mixture", "jax"))
    x = model.sample(300, 2).x
    whole = model.log_prob(x)
    assert model.log_prob(x[:count]).shape == (count,)
    assert np.abs(model.log_prob(x[:count]) - whole[:count]).max() < 1e-12


@every_backend
@pytest.mark.parametrize("damage", ["missing", "shape", "broadcastable", "unknown"])
def test_foreign_states_are_refused(name: str, damage: str) -> None:
    model = fresh("mixture", name)
    state = model.state()
    key = next(k for k in sorted(state) if k.startswith("flow") and "bias" in k)
    if damage == "missing":
        del state[key]
    elif damage == "shape":
        state[key] = np.zeros((3, 3, 3))
    elif damage == "broadcastable":
        state["law.logits"] = np.zeros(1)
    else:
        state["flow.surprise"] = np.zeros(1)
    with pytest.raises(ValueError, match="expected"):
        model.load_state(state)


# Divergence


def test_steps_that_are_too_large_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sesamo_dsl.plan.options.LARGEST_RATE", np.inf)  # as from a user's optimiser
    model = compiled("mixture", "torch")
    place = tmp_path / "diverged"
    with pytest.raises(
        TrainingDivergedError, match=r"found: .*loss = (.|\n)*remedy: +lower learning_rate"
    ) as caught:
        model.train(
            directory=place,
            progress=False,
            steps=50,
            flow=SMALL,
            batch=16,
            learning_rate=1e30,
            law="uniform",
        )
    assert str(place) in str(caught.value)
    run = sd.load_run(place, theory=mixture())
    state = run.model.state()
    assert all(np.isfinite(value).all() for value in state.values())
    assert int(state["step"]) == 0
    assert np.isfinite(run.model.sample(10, seed=1).log_q).all()


@pytest.mark.parametrize("which", ["loss", "gradient_norm", "ess"])
def test_the_last_good_state_is_kept(which: str) -> None:
    """A model whose numbers go bad at step 230 is put back to its snapshot at step 200."""
    inner = fresh("mixture", "torch")
    states: dict[int, dict[str, Array]] = {}

    class Turning:
        """The model itself until step 230; counts steps without computing most of them."""

        state, load_state = inner.state, inner.load_state
        sample, log_prob = inner.sample, inner.log_prob
        count = 0

        def step(self, learning_rate: float) -> dict[str, float]:
            self.count += 1
            good = {"loss": 1.0, "ess": 0.5, "gradient_norm": 1.0}
            if self.count % 50 == 0:
                good = dict(inner.step(1e-3))
                states[self.count] = inner.state()
            return good if self.count < 230 else good | {which: math.nan}

    history = History()
    kept: list[dict[str, Array]] = []
    options = compiled("mixture", "torch").plan(steps=400)
    with pytest.raises(TrainingDivergedError, match="step 200 is kept in there"):
        train(
            Turning(),
            options,
            history,
            progress=False,
            keep=lambda state: kept.append(state) or "there",
            explain=lambda: Cause("", ""),
        )
    assert len(history) == 200  # history and weights are of one moment
    for key, value in states[200].items():
        assert np.array_equal(kept[0][key], value)
        assert np.array_equal(inner.state()[key], value)


def test_an_action_that_becomes_nan_is_stopped(tmp_path: Path) -> None:
    """A square root that is real where the declaration was tested, but not for every normal number."""
    point = sd.Lattice(1)
    x = sd.ScalarField("x", point)
    density = x**2 / 200 + sp.sqrt(sp.Rational(25, 4) - x**2)
    theory = sd.Theory("edge", fields=[x], action=point.sum(density), precision="float64")
    model = sd.compile(theory, "torch")
    with pytest.raises(TrainingDivergedError, match="nan"):
        model.train(directory=tmp_path / "edge", progress=False, steps=40, batch=256, base="standard")
    run = sd.load_run(tmp_path / "edge", theory=theory)
    assert all(np.isfinite(value).all() for value in run.model.state().values())


# Run directories


@every_backend
def test_run_directory_round_trip(name: str) -> None:
    run = trained(name)
    loaded = sd.load_run(run.directory, theory=mixture())
    assert loaded.plan == run.plan
    assert loaded.parameters == run.parameters == {"h": H}
    assert len(loaded.history) == len(run.history) == 150
    assert np.allclose(loaded.history.columns["loss"], run.history.columns["loss"], rtol=1e-7)
    for key, value in run.model.state().items():
        assert np.array_equal(loaded.model.state()[key], value)
    ours, theirs = run.model.sample(500, seed=2), loaded.model.sample(500, seed=2)
    assert np.array_equal(ours.x, theirs.x)
    assert np.array_equal(ours.log_q, theirs.log_q)
    other = sd.load_run(run.directory, theory=mixture(), backend=NAMES[1 - NAMES.index(name)])
    assert np.abs(other.log_prob(ours.x) - ours.log_q).max() < 1e-9
    names = {path.name for path in run.directory.iterdir()}
    assert names >= {"run.json", "declaration.json", "analysis.txt", run.compiled.source_path.name}
    assert sum(n.startswith(("state-", "history-")) for n in names) == 2
    assert not [n for n in names if n.startswith(".")]


def test_resumed_run_goes_on_from_where_it_was(tmp_path: Path) -> None:
    model = compiled("mixture", "torch")
    run = model.train(directory=tmp_path / "run", progress=False, steps=5, flow=SMALL, batch=16)
    copy = shutil.copytree(run.directory, tmp_path / "copy")
    loaded = sd.load_run(copy, theory=mixture()).resume(3, progress=False)
    assert int(loaded.model.state()["step"]) == 8
    assert len(loaded.history) == 8
    assert int(sd.load_run(copy).model.state()["step"]) == 8
    straight = run.resume(3, progress=False)
    for key, value in loaded.model.state().items():
        assert np.array_equal(straight.model.state()[key], value)


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Damage run.json."""

    def damage(place: Path) -> None:
        record = json.loads((place / "run.json").read_text())
        change(record)
        (place / "run.json").write_text(json.dumps(record))

    return damage


def swap_state(place: Path) -> None:
    """Weights of another architecture."""
    flow = sd.FlowSpec(layers=3, hidden=(5,), kernel=1)
    other = compiled("mixture", "torch").train(
        directory=place / "other", progress=False, steps=1, flow=flow, batch=4
    )
    shutil.copy(state_file(other.directory), state_file(place))


def state_file(place: Path) -> Path:
    """Where the weights are."""
    return next(place.glob("state-*.safetensors"))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no run.json": lambda p: (p / "run.json").unlink(),
    "no weights": lambda p: state_file(p).unlink(),
    "empty run.json": lambda p: (p / "run.json").write_text(""),
    "half of run.json": lambda p: (p / "run.json").write_text((p / "run.json").read_text()[:200]),
    "a list": lambda p: (p / "run.json").write_text("[1, 2]"),
    "not text": lambda p: (p / "run.json").write_bytes(b"\xff\xfe\x00"),
    "half of the weights": lambda p: state_file(p).write_bytes(state_file(p).read_bytes()[:500]),
    "garbage for weights": lambda p: state_file(p).write_bytes(b"garbage" * 100),
    "weights of another flow": swap_state,
    "another format": edit(lambda r: r.update(format=99)),
    "no options": edit(lambda r: r.pop("options")),
    "unknown option": edit(lambda r: r["options"].update(magic=1)),
    "impossible option": edit(lambda r: r["options"].update(steps=-1)),
    "impossible flow": edit(lambda r: r["options"]["flow"].update(layers=0)),
    "no flow": edit(lambda r: r["options"].update(flow=None)),
    "no coupling": edit(lambda r: r.update(parameters={})),
    "unknown coupling": edit(lambda r: r.update(parameters={"h": 0.1, "g": 1})),
    "NaN coupling": edit(lambda r: r.update(parameters={"h": math.nan})),
    "text for a coupling": edit(lambda r: r.update(parameters={"h": "strong"})),
    "another theory": edit(lambda r: r.update(program_digest="0" * 64)),
    "no theory source": edit(lambda r: r.update(theory_source=None)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_run_directories(name: str, tmp_path: Path) -> None:
    place = tmp_path / "run"
    compiled_run = small_run()
    shutil.copytree(compiled_run, place)
    DAMAGES[name](place)
    with pytest.raises(RunError, match=r"run directory(.|\n)*expected:(.|\n)*found:(.|\n)*remedy:"):
        sd.load_run(place, theory=mixture())


@cache
def small_run() -> Path:
    """A directory to copy and damage."""
    place = Path(tempfile.mkdtemp()) / "small"
    compiled("mixture", "torch").train(directory=place, progress=False, steps=2, flow=SMALL, batch=8)
    return place


def test_a_run_belongs_to_its_declaration() -> None:
    assert sd.load_run(small_run()).parameters == {"h": 0.0}  # it is in the run, as data
    with pytest.raises(RunError, match="whose compiled program differs"):
        sd.load_run(small_run(), theory=gaussian_mixture(5, RADIUS))


def test_nothing_is_overwritten() -> None:
    before = {path.name: path.read_bytes() for path in small_run().iterdir()}
    with pytest.raises(RunError, match="earlier run"):
        compiled("mixture", "torch").train(directory=small_run(), progress=False, steps=1)
    assert {path.name: path.read_bytes() for path in small_run().iterdir()} == before
