"""Every check of a sample set fires on a bad case and is silent on a sound one."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from scipy.stats import genpareto
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl import cli
from sesamo_dsl.errors import TrainingDivergedError
from sesamo_dsl.estimates.chains import Chain, longest_stay
from sesamo_dsl.estimates.estimate import independent_mean
from sesamo_dsl.estimates.exact import ExactValues
from sesamo_dsl.estimates.health import examine
from sesamo_dsl.estimates.pareto import pareto_tail_index
from sesamo_dsl.estimates.samples import Samples
from sesamo_dsl.estimates.search import Search, log_prob_now
from sesamo_dsl.estimates.training_record import TrainingRecord
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.plan.base import make_base
from sesamo_dsl.plan.decide import decide
from sesamo_dsl.plan.options import TrainingOptions
from sesamo_dsl.stages.lower import lower_theory

N = 4000
SMALL = sd.FlowSpec(layers=1, hidden=(4,), kernel=1)
LOG_Z = np.log(2 * np.pi)


@cache
def program(kind: str = "gaussian") -> Program:
    x, y = v = sd.VectorField("v", sd.Lattice(1), 2)
    action = {
        "gaussian": v.squared / 2,
        "wall": v.squared / 2 + sp.Piecewise((sp.oo, x > 2), (0, True)),
        "jump": v.squared / 2 + sp.Piecewise((3, x > 1), (0, True)),
        "cauchy": sp.log(1 + x**2) + y**2 / 2,
    }[kind]
    return lower_theory(sd.analyse(sd.Theory(kind, fields=[v], action=action)))


def gaussian_samples(width: float = 1.05, kind: str = "gaussian", count: int = N, seed: int = 0) -> Samples:
    """Samples of N(0, width²), with their true density."""
    x = width * np.random.default_rng(seed).normal(size=(count, 2, 1))
    log_q = -((x / width) ** 2).sum(axis=(1, 2)) / 2 - LOG_Z - 2 * np.log(width)
    action = run(program(kind), "action", {"x": x}, {})[0]
    no = np.zeros(count, dtype=bool)
    return Samples(program(kind), {}, x, log_q, action, no.astype(int), no, None)


def names(samples: Samples) -> list[str]:
    """The checks that fire; each says what was found and what to do."""
    found = examine(samples)
    assert [str(f) for f in found] == list(samples.warnings)
    assert all(f.found and f.remedy and f.remedy in str(f) for f in found)
    assert ("WARNING" in samples.text()) == bool(found)
    return [f.name for f in found]


def with_entry(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed.reshape(len(array), -1)[7, 0] = value
    return changed


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("width", [0.95, 1.0, 1.3])
def test_sound_samples_have_no_warnings(width: float, seed: int) -> None:
    samples = gaussian_samples(width, seed=seed)
    record = TrainingRecord(500, 1.0, np.full(500, samples.ess))
    assert names(replace(samples, exact=reference(LOG_Z), training=record)) == []


def reference(log_z: float) -> ExactValues:
    return replace(ExactValues(log_z, 1e-12, np.ones(1), 0.0))


def test_samples_that_do_not_span_the_theory_violate_the_virial_identity() -> None:
    samples = gaussian_samples()
    shrunk = replace(samples, x=0.5 * samples.x, log_q=-samples.action)
    assert names(shrunk) == ["virial"]
    assert shrunk.virial_z_score < -5


def test_a_jump_is_named_as_a_reason_for_the_virial() -> None:
    (finding,) = (f for f in examine(gaussian_samples(kind="jump", count=40_000)) if f.name == "virial")
    assert "jumps" in finding.remedy


def test_a_wide_model_has_a_low_ess() -> None:
    assert names(gaussian_samples(5.0)) == ["low ESS"]


def test_narrow_models_have_heavy_tails() -> None:
    assert "heavy tail" in names(gaussian_samples(0.4))
    assert "heavy tail" in names(gaussian_samples(1.5, "cauchy"))
    assert "heavy tail" not in names(gaussian_samples(0.85))


def test_a_dominant_weight_is_seen() -> None:
    samples = gaussian_samples()
    assert "dominant weight" in names(replace(samples, log_q=with_entry(samples.log_q, -12.0)))


@pytest.mark.parametrize("count", [1, 2, 9])
def test_few_samples_have_no_error(count: int) -> None:
    samples = gaussian_samples(count=count)
    assert names(samples) == ["few samples"]
    if count == 1:
        errors = [samples.log_z.error, samples.virial.error, samples.free_energy_bound.error]
        errors += [samples.expect("action").error, *samples.sector_errors, samples.virial_z_score]
        assert np.isnan(errors).all()
        assert "± nan" in samples.text()


def test_means_of_one_value_and_of_none() -> None:
    assert np.isnan(independent_mean(np.ones(1)).error)
    assert np.isnan(independent_mean(np.ones(0))).all()


@pytest.mark.parametrize("part", ["x", "log_q", "action"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_and_nothing_else(part: str, value: float) -> None:
    samples = gaussian_samples()
    broken: Any = replace(samples, **{part: with_entry(getattr(samples, part), value)})
    assert names(broken) == ["not finite"]
    assert not broken.is_finite
    assert samples.is_finite
    leaked = with_entry(broken.leaked, True).astype(bool)
    assert "not finite" not in names(replace(broken, x=samples.x, leaked=leaked))


def test_a_declared_wall_may_be_infinite() -> None:
    samples = gaussian_samples(kind="wall")
    assert np.isposinf(samples.action).any()
    assert "not finite" not in names(samples)


def test_samples_that_all_leaked_have_no_figures() -> None:
    samples = replace(gaussian_samples(), leaked=np.ones(N, dtype=bool))
    assert names(samples) == ["not finite"]
    assert np.isnan([samples.ess, samples.free_energy_bound.value]).all()


def test_the_exact_log_z_is_held_against_the_samples() -> None:
    samples = gaussian_samples(1.3)
    off = 6 * samples.log_z.error
    assert names(replace(samples, exact=reference(samples.log_z.value + off))) == ["log Z"]
    assert names(replace(samples, exact=reference(samples.log_z.value + off / 2))) == []


def test_rounding_of_log_q_does_not_contradict_the_exact_log_z() -> None:
    """A flow in float32 that is exact: all weights are equal, and off by what the precision resolves."""
    samples = gaussian_samples(1.0)
    log_q = samples.log_q.astype(np.float32)
    for off, found in ((-3e-8, []), (-3e-5, ["log Z"])):
        exact = reference(LOG_Z)
        same = replace(samples, log_q=log_q, action=-log_q.astype(np.float64) - LOG_Z - off, exact=exact)
        assert same.log_z.error < 1e-9
        assert names(same) == found
    precise = replace(same, log_q=log_q.astype(np.float64), action=-log_q.astype(np.float64) - LOG_Z + 3e-8)
    assert names(precise) == ["log Z"]
    # a large constant of S costs float64 its digits, not float32
    shifted = replace(same, action=same.action + 1e6, exact=reference(LOG_Z - 1e6))
    assert names(shifted) == ["log Z"]


def test_impossible_figures_are_named_once() -> None:
    samples = replace(gaussian_samples(), exact=reference(LOG_Z))
    assert names(replace(samples, log_q=samples.log_q - 3)) == ["impossible"]


def test_batches_and_samples_have_to_agree() -> None:
    samples = gaussian_samples(2.0)
    agreeing = TrainingRecord(100, 1.0, np.full(100, samples.ess))
    assert names(replace(samples, training=agreeing)) == []
    for ess in (0.99, 0.1):
        record = TrainingRecord(100, 1.0, np.full(100, ess))
        assert names(replace(samples, training=record)) == ["batch ESS"]


def test_models_that_are_not_trained_to_the_end() -> None:
    samples = gaussian_samples()
    assert names(replace(samples, training=TrainingRecord(0, 0.0, np.zeros(0)))) == ["untrained"]
    assert names(replace(samples, training=TrainingRecord(30, 0.3, np.ones(30)))) == ["unfinished"]
    assert names(replace(samples, log_prob_mismatch=np.full(N, 2.0))) == ["rounding"]


@pytest.mark.parametrize("index", [0.2, 0.5, 0.9, 1.4])
def test_the_tail_index_is_that_of_a_pareto_law(index: float) -> None:
    """Against quantiles of the law and a maximum-likelihood fit by SciPy."""
    size = 40_000
    weights = genpareto.ppf((np.arange(size) + 0.5) / size, index)
    rng = np.random.default_rng(3)
    rng.shuffle(weights)
    found = pareto_tail_index(np.log(weights))
    tail = np.sort(weights)[-int(3 * np.sqrt(size)) :]
    fitted = genpareto.fit(tail - np.sort(weights)[-len(tail) - 1], floc=0)[0]
    assert found == pytest.approx(index, abs=0.05)
    assert found == pytest.approx(fitted, abs=0.05)
    assert found == pytest.approx(pareto_tail_index(np.log(weights) - 700), abs=1e-9)


def test_weights_without_a_tail_have_no_index() -> None:
    assert pareto_tail_index(np.zeros(1000)) == -np.inf
    assert pareto_tail_index(np.random.default_rng(0).normal(size=50)) == -np.inf
    rounded = np.round(np.random.default_rng(0).normal(size=4000)) * 1e-7
    assert pareto_tail_index(rounded) == -np.inf


# Modes that no sample shows


def wells(heights: tuple[float, ...], name: str = "wells", **declared: Any) -> sd.Theory:
    """Wells of unit width along x at 0, 8, 16 …, in three dimensions, of relative mass e^height."""
    v = sd.VectorField("v", sd.Lattice(1), 3)
    rest = (v[1] ** 2 + v[2] ** 2) / 2
    depths = [sp.exp(sp.Rational(h) - (v[0] - 8 * i) ** 2 / 2) for i, h in enumerate(heights)]
    return sd.Theory(name, fields=[v], action=rest - sp.log(sp.Add(*depths)), **declared)


def untrained(theory: sd.Theory, backend: str = "torch", **options: Any) -> tuple[Any, Samples]:
    """A model as it comes from its base, a Gaussian in the deepest well, and samples of it."""
    compiled = sd.compile(theory, backend, precision="float64")
    chosen = decide(TrainingOptions(flow=SMALL, **options), compiled.analysis)
    base = make_base(compiled.program, theory.parameter_values({}), chosen)
    model = compiled.backend.model(compiled, theory.parameter_values({}), base, chosen)
    search = Search(log_prob_now(model), compiled.program, theory.parameter_values({}))
    draws = model.sample(N, 1)
    samples = Samples.of(draws, compiled.program, theory.parameter_values({}), None, search=search)
    return model, samples


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_well_that_was_never_drawn_is_found_from_outside(backend: str) -> None:
    """A second well with e^−2 of the mass of the first, then two of them."""
    samples = untrained(wells((0, -2)), backend)[1]
    assert samples.ess > 0.99
    assert names(samples) == ["missed mode"]
    (mode,) = samples.search.missed(samples.log_z.value, 3.0) if samples.search else ()
    assert mode.mass == pytest.approx(np.exp(-2) / (1 + np.exp(-2)), rel=0.02)
    assert mode.configuration[:, 0] == pytest.approx([8, 0, 0], abs=1e-3)
    assert mode.log_ratio == pytest.approx(8**2 / 2 - 2, abs=4)
    if backend == "torch":
        assert "and 1 more like it" in untrained(wells((0, -2, -3), "three"), backend)[1].warnings[0]


@pytest.mark.parametrize("heights", [(0,), (0, -12)])
def test_wells_that_do_not_matter_are_no_reason_to_warn(heights: tuple[float, ...]) -> None:
    assert names(untrained(wells(heights))[1]) == []


def test_images_count_as_covered_where_the_model_has_them() -> None:
    """With the reflection built in both wells are sampled; without, one of them is missed."""
    v = sd.VectorField("v", sd.Lattice(1), 3)
    h = sd.parameters("h")
    action = (v[1] ** 2 + v[2] ** 2) / 2 + h * v[0]
    action -= sp.log(sp.exp(-((v[0] - 5) ** 2) / 2) + sp.exp(-((v[0] + 5) ** 2) / 2))
    theory = sd.Theory("mirror", fields=[v], action=action, symmetries=[sd.Z2(v)], defaults={h: 0.1})
    assert names(untrained(theory)[1]) == []
    assert names(untrained(theory, strategy="none")[1]) == ["missed mode"]


def test_what_was_found_is_of_the_model_that_drew_the_samples() -> None:
    """Neither training on nor a pickle changes it."""
    model, samples = untrained(wells((0, -2)))
    assert samples.search is not None
    state = model.state()
    model.load_state({k: v + 0.3 if k.startswith("flow.") else v for k, v in state.items()})
    moved = model.log_prob(samples.x[:5])
    (first, second) = samples.search.log_q
    model.load_state(state)
    basins = samples.search.basins
    assert basins is not None
    assert np.array_equal(first, model.log_prob(basins[0].walkers))
    assert not np.allclose(moved, samples.log_q[:5])
    copied = pickle.loads(pickle.dumps(samples.search))
    assert np.array_equal(copied.log_q[1], second)
    assert [m.mass for m in copied.missed(0, 3)] == [m.mass for m in samples.search.missed(0, 3)] != []


def test_a_theory_too_large_to_search_says_so() -> None:
    lattice = sd.Lattice(30, 30)
    phi = sd.ScalarField("phi", lattice)
    samples = untrained(sd.Theory("large", fields=[phi], action=lattice.sum(phi**2) / 2))[1]
    assert "nothing was searched" in samples.text()


# Chains


def chain_of(action: np.ndarray) -> Chain:
    """A chain with a given series of S, (replicas, length)."""
    x = np.sqrt(2 * np.abs(action))[..., None, None] * np.array([[1.0], [0.0]])
    return Chain(program(), {}, x, action, 1.0)


def correlated(length: int, replicas: int = 1, memory: float = 0.98) -> np.ndarray:
    """A series with τ_int = (1 + a)/(2(1 − a)), 49.5 for a = 0.98."""
    noise = np.random.default_rng(0).normal(size=(length, replicas))
    series = [noise[0] / np.sqrt(1 - memory**2)]
    for step in noise[1:]:
        series.append(memory * series[-1] + step)
    return 30 + np.array(series).T


def chain_names(chain: Chain) -> list[str]:
    assert all(f"WARNING: {warning}" in chain.text() for warning in chain.warnings)
    assert all("Remedy: " in warning for warning in chain.warnings)
    return [warning.partition(":")[0] for warning in chain.warnings]


@pytest.mark.parametrize("seed", range(3))
def test_sound_chains_have_no_warnings(seed: int) -> None:
    chain = sd.independence_metropolis(gaussian_samples(1.1, seed=seed), seed)
    assert chain_names(chain) == []
    assert chain_names(chain_of(correlated(20_000, memory=0.8))) == []
    assert chain_names(chain_of(correlated(2000, replicas=16, memory=0.8))) == []


def test_chains_shorter_than_fifty_autocorrelation_times_say_so() -> None:
    assert "short chain" in chain_names(chain_of(correlated(1000)))
    # many replicas, each of which has hardly left its start
    assert "short chain" in chain_names(chain_of(correlated(100, replicas=64)))
    short = chain_of(correlated(10))
    assert "fewer than 20" in short.warnings[0]


def test_long_rejection_runs_say_so() -> None:
    samples = gaussian_samples()
    log_q = samples.log_q.copy()
    log_q[N // 2] -= 8
    chain = sd.independence_metropolis(replace(samples, log_q=log_q))
    assert "rejections" in chain_names(chain)
    assert chain_names(chain_of(np.full((1, 400), 1.5))) == ["rejections"]


@pytest.mark.parametrize(
    ("series", "stay"), [([1, 2, 3], 0), ([1, 1, 1, 2], 2), ([1, 2, 2, 1, 1, 1, 1], 3), ([5], 0), ([4, 4], 1)]
)
def test_the_longest_stay(series: list[int], stay: int) -> None:
    assert longest_stay(np.array(series)) == stay


# Training that diverged


def diverging(action: Any, tmp_path: Path, **options: Any) -> str:
    x = sd.ScalarField("x", sd.Lattice(1))
    a = sd.parameters("a")
    theory = sd.Theory("diverging", fields=[x], action=action(x, a), defaults={a: 1})
    with pytest.raises(TrainingDivergedError) as caught:
        sd.compile(theory, precision="float64").train(
            directory=tmp_path / "run", progress=False, steps=40, batch=16, flow=SMALL, **options
        )
    return str(caught.value)


def test_a_divergence_names_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what is found before the training is refused; this is for what that search does not find
    monkeypatch.setattr("sesamo_dsl.runs.starting.require_normalizable", lambda *_: None)
    monkeypatch.setattr("sesamo_dsl.plan.options.LARGEST_RATE", math.inf)  # steps of a user's optimiser
    text = diverging(lambda x, a: a * x**4 + x, tmp_path / "steps", learning_rate=1e30)
    assert "steps are too large" in text
    assert "lower learning_rate" in text
    for name, action in {
        "quartic": lambda x, a: x**2 / 2 - (a - 1) * x**4,
        "cubic": lambda x, a: x**2 / 2 + (a - 1) * x**3,
    }.items():
        text = diverging(action, tmp_path / name, parameters={"a": 1.2}, learning_rate=1e30)
        assert "not bounded below" in text
        assert "no learning rate helps" in text
    confined = sp.Rational(6, 5)  # by a mass, but for a = 1.2

    def cancelling(x: Any, a: Any) -> Any:
        return sp.sinh(x) ** 2 - sp.cosh(x) ** 2 + (confined - a) * x**2

    text = diverging(cancelling, tmp_path / "constant", parameters={"a": 1.2}, learning_rate=1e30)
    assert "does not grow" in text
    assert "no learning rate helps" in text
    text = diverging(cancelling, tmp_path / "confined", learning_rate=1e30)
    assert "steps are too large" in text


# Command line


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def test_results_that_are_not_numbers_end_with_exit_code_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The action is not a number beyond x = −3, where one sample in a thousand lies."""
    monkeypatch.chdir(tmp_path)
    Path("edge.py").write_text(
        "import sympy as sp\nimport sesamo_dsl as sd\n"
        "x = sd.ScalarField('x', sd.Lattice(1))\n"
        "theory = sd.Theory('edge', fields=[x], action=x**2 / 2 + sp.sqrt(x + 3) / 100)\n"
    )
    trained = command("train", "edge.py", "--steps", 1, "--batch", 2, "--directory", "run")
    assert trained.exit_code == 3, trained.output
    assert "not finite" in trained.output
    assert "run directory" in trained.output
    drawn = command("sample", "run", "--count", 10_000, "--exact")
    assert drawn.exit_code == 3, drawn.output
    assert "WARNING" in drawn.output


def test_one_sample_has_no_error_and_a_warning(tmp_path: Path) -> None:
    place = tmp_path / "run"
    assert command("train", "gaussian_mixture", "--steps", 3, "--directory", place).exit_code == 0
    drawn = command("sample", place, "--count", 1)
    assert drawn.exit_code == 0, drawn.output
    assert "± nan" in drawn.output
    assert "few samples" in drawn.stderr


def test_an_interrupt_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.declarations, "analyse", interrupted)
    assert command("check", "gaussian_mixture").exit_code == 130
    assert "130 interrupted" in " ".join(command("--help").output.split())
