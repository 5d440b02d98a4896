"""Methods under one interface, the table that compares them, and what is left to the compiler."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import sesamo_dsl as sd
import support
from sesamo_dsl.baselines import baseline
from sesamo_dsl.cli import app
from sesamo_dsl.comparison import Trial, _common_log_z
from sesamo_dsl.errors import OptionError, RunError
from sesamo_dsl.estimates.weighted import ForwardMetrics
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.laws.conditional import ConditionalSpec
from sesamo_dsl.plan.decide import decide, planned
from sesamo_dsl.plan.methods import METHODS
from sesamo_dsl.plan.options import TrainingOptions
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.hubbard import hubbard
from sesamo_theories.scalar_phi4 import scalar_phi4
from sesamo_theories.two_sources import two_sources
from support import untrained

SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")
NAMES = ("torch", "jax")


def fresh(theory: sd.Theory, name: str, **options: Any) -> tuple[sd.CompiledTheory, Any]:
    model = sd.compile(theory, name, precision="float64")
    couplings = {"h": 0.1} if "h" in map(str, theory.parameters) else None
    return model, untrained(model, couplings, **{"flow": SMALL, "batch": 32, **options})


def shaken(model: Any) -> Any:
    return support.shaken(model, seed=0)


@pytest.mark.parametrize("options", [{"strategy": "none"}, {"strategy": "none", "flows": 3}, {"flows": 2}])
def test_densities_without_leaks(options: dict[str, Any]) -> None:
    """∫ q = 1, log q as drawn is log q as evaluated, and both backends agree."""
    theory = gaussian_mixture(4, 3)
    models = {name: shaken(fresh(theory, name, **options)[1]) for name in NAMES}
    axis = (np.arange(400) + 0.5) / 400 * 40 - 20
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    log_q = models["torch"].log_prob(grid)
    assert abs(np.exp(log_q).sum() * 0.1**2 - 1) < 3e-3
    assert np.abs(models["jax"].log_prob(grid) - log_q).max() < 1e-8
    for model in models.values():
        draws = model.sample(2000, seed=1)
        assert not draws.leaked.any()
        assert np.abs(model.log_prob(draws.x) - draws.log_q).max() < 1e-9
        assert len(np.unique(draws.sector)) == 4
        mean = np.exp(log_q) @ grid[:, 0, 0] * 0.1**2
        assert abs(draws.x[:, 0, 0].mean() - mean) < 5 * draws.x[:, 0, 0].std() / np.sqrt(2000) + 3e-3


def test_a_canonicalization_flow_covers_what_its_noise_covers() -> None:
    """q is zero where the inverse leaves the domain of the noise; what leaks is what q lacks."""
    theory = gaussian_mixture(4, 3)
    models = {n: shaken(fresh(theory, n, strategy="canonicalize", base="standard")[1]) for n in NAMES}
    axis = (np.arange(600) + 0.5) / 600 * 24 - 12
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    log_q = models["torch"].log_prob(grid)
    assert np.isneginf(log_q).any()
    other = models["jax"].log_prob(grid)
    assert np.array_equal(np.isneginf(log_q), np.isneginf(other))
    finite = np.isfinite(log_q)
    assert np.abs(other[finite] - log_q[finite]).max() < 1e-8
    for model in models.values():
        draws = model.sample(8000, seed=1)
        assert 0 < draws.leaked.mean() < 0.5
        kept = ~draws.leaked
        assert np.abs(model.log_prob(draws.x)[kept] - draws.log_q[kept]).max() < 1e-9
        assert abs(np.exp(log_q).sum() * 0.04**2 - kept.mean()) < 5 * 0.5 / np.sqrt(8000) + 5e-3


def test_a_new_conditional_law_is_the_heat_bath_where_it_sees_the_breaking() -> None:
    """h(x₁ + x₂) and h₁x₁ + h₂x₁x₂ are linear in the features."""
    for theory in (gaussian_mixture(4, 5), two_sources(4, 3)):
        _, model = fresh(theory, "torch", law="conditional")
        _, exact = fresh(theory, "torch", law="heat_bath")
        x = model.sample(500, seed=3).x
        assert np.abs(model.log_prob(x) - exact.log_prob(x)).max() < 1e-9


@pytest.mark.parametrize("theory", [gaussian_mixture(8, 3), hubbard(nx.path_graph(2), 1), scalar_phi4(2, 2)])
def test_a_conditional_law_is_a_function_of_the_place(theory: sd.Theory) -> None:
    """p(u|T_g y) = p(ug|y): no jump where a fold takes neighbouring points to different walls."""
    compiled, model = fresh(theory, "torch", law="conditional", strategy="fold")
    shaken(model)
    sectors, table = compiled.program.sectors, compiled.analysis.group.table
    y = torch.as_tensor(model.sample(20, seed=1).x)
    log_law, modulate = (
        partial(model.sampler.law.table, model.weights),
        model.sampler.group.emitted["modulate"],
    )
    with torch.no_grad():
        there = log_law(y)
        for g in sectors.elements:
            image = modulate(y, torch.as_tensor(np.tile(g, (20,) + (1,) * np.ndim(g))))
            expected = there[sectors.index(table[sectors.elements, g])]
            assert (log_law(image) - expected).abs().max() < 1e-9
    assert there.std() > 1e-2


def test_a_conditional_law_of_blocks_is_a_function_of_the_place() -> None:
    """Seven sites of their own: a table for each, which sees of the others what no element changes."""
    chain = sd.Lattice(7)
    phi, h = sd.ScalarField("phi", chain), sd.parameters("h")
    theory = sd.Theory(
        "wells",
        fields=[phi],
        action=chain.sum((phi**2 - 1) ** 2 + h * phi),
        symmetries=[sd.Sitewise(sd.Z2(phi), axes=(0,))],
        defaults={h: 0.1},
    )
    compiled, model = fresh(theory, "torch", law="conditional", strategy="chart")
    assert not compiled.program.sectors.joint
    shaken(model)
    y = torch.as_tensor(np.random.default_rng(1).normal(size=(20, 1, 7)))
    flipped = y * torch.tensor([1.0, -1, 1, 1, -1, 1, 1])
    with torch.no_grad():
        there, image = (model.sampler.law.table(model.weights, at) for at in (y, flipped))
    assert there.shape == (2, 20, 7)
    expected = there.clone()
    expected[..., [1, 4]] = there[[1, 0]][..., [1, 4]]
    assert (image - expected).abs().max() < 1e-9
    assert there[..., 0].std() > 1e-2


def test_a_surviving_subgroup_is_built_into_the_conditional_law() -> None:
    """x₁x₂ breaks Z₄ to Z₂: p(u|y) is the same for u and u + 2, whatever the weights."""
    point = sd.Lattice(1)
    x, h = sd.VectorField("x", point, 2), sd.parameters("h")
    radius2 = x[0] ** 2 + x[1] ** 2
    theory = sd.Theory(
        "quarter",
        fields=[x],
        action=radius2**2 - radius2 + h * x[0] * x[1],
        symmetries=[sd.Cyclic(4, x)],
    )
    for name in NAMES:
        compiled, model = fresh(theory, name, law="conditional")
        spec = ConditionalSpec.of(
            compiled.program, compiled.analysis, GaussianBase.standard(2, (1,)), "fold", {"h": 1.0}
        )
        assert spec.cosets is not None
        assert spec.cosets.shape == (4, 2)
        shaken(model)
        points = np.random.default_rng(0).normal(size=(50, 2, 1))
        assert np.abs(model.log_prob(points) - model.log_prob(-points)).max() < 1e-9
        turned = np.stack([-points[:, 1], points[:, 0]], axis=1)
        assert np.abs(model.log_prob(points) - model.log_prob(turned)).max() > 1e-3


def test_reasons_and_labels(tmp_path: Path) -> None:
    exact = sd.analyse(scalar_phi4(4, 4))
    chosen = decide(TrainingOptions(), exact)
    assert [r.split(":")[0] for r in chosen.reasons] == ["strategy fold", "law heat_bath"]
    again = planned(exact, chosen, {"steps": 7})
    assert (again.reasons, again.law, again.steps) == (chosen.reasons, chosen.law, 7), "they are written once"
    assert not decide(TrainingOptions(strategy="penalty", law="learned"), exact).reasons
    x = sd.VectorField("x", sd.Lattice(1), 2)
    turn = sd.Symmetry("Z4", [{x[0]: -x[1], x[1]: x[0]}])
    theory = sd.Theory("turned", fields=[x], action=(x[0] ** 2 + x[1] ** 2) ** 2, symmetries=[turn])
    options = TrainingOptions(strategy="canonicalize", steps=2, batch=8, flow=SMALL, base="standard")
    run = sd.compile(theory).train(options, directory=tmp_path / "run", progress=False)
    assert run.plan.strategy == "canonicalize"
    assert run.plan.law == "uniform"
    assert run.plan.reasons == ("law uniform: the strategy canonicalize has no other",)
    assert any("leak" in note for note in run.sample(100).notes)
    assert sd.load_run(run.directory, theory=theory).plan == run.plan


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"strategy": "canonicalize", "flows": 2}, "flows"),
        ({"flows": 0}, "flows"),
        ({"flows": 64, "batch": 32}, "flows"),
        ({"law_gradient": "guess"}, "law_gradient"),
        ({"forward_weight": 1.5}, "forward_weight"),
        ({"forward_weight": "all"}, "forward_weight"),
        ({"law": "fair"}, "law"),
    ],
)
def test_impossible_options(options: dict[str, Any], word: str) -> None:
    with pytest.raises(OptionError, match=f"option {word}(.|\n)*expected"):
        TrainingOptions(**options)


def four_modes(directory: Path) -> str:
    """A theory file, with a quarter of the work of eight modes."""
    path = directory / "four.py"
    path.write_text(
        "from sesamo_theories.gaussian_mixture import gaussian_mixture\ntheory = gaussian_mixture(4, 6)\n"
    )
    return str(path)


def test_the_table(tmp_path: Path) -> None:
    """All methods on a broken theory, by the command line; text, lines and picture are written."""
    arguments = ["compare", four_modes(tmp_path), "--set", "h=0.1", "--budget", "0.1s", "--seeds", "1"]
    done = CliRunner().invoke(app, [*arguments, "--methods", ",".join(METHODS), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    for method in METHODS:
        assert method in done.stdout
    assert "learned law on a broken symmetry" in done.stdout
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + len(METHODS)
    assert lines[0].startswith("method,seed,ess,forward_ess,kl,nll,sector_error")
    assert (tmp_path / "table.png").stat().st_size > 5000
    assert (tmp_path / "ours-0" / "run.json").exists()


def test_methods_without_a_training_have_rows_and_go_on(tmp_path: Path) -> None:
    """On a double well; what is done is taken from the directory."""
    options: dict[str, Any] = {"budget": 1.0, "seeds": 1, "samples": 1000, "directory": tmp_path}
    x = sd.VectorField("x", sd.Lattice(1), 1)
    declared = sd.Theory("well", fields=[x], action=(x[0] ** 2 - 2) ** 2 + x[0] / 3, symmetries=[sd.Z2(x)])
    result = sd.compare(declared, ["ours", "anneal", "hmc"], **options)
    assert result.methods == ("ours", "anneal", "hmc")
    ours, annealed, chains = result.trials
    grid = np.linspace(-6, 6, 4001)
    exact = np.log(np.sum(np.exp(-((grid**2 - 2) ** 2) - grid / 3)) * (grid[1] - grid[0]))
    if annealed.ess > 0:  # else the machine was too slow for its time, as the note says
        assert abs(annealed.log_z - exact) < 5 * annealed.log_z_error
        assert annealed.sector_error < 0.1
    else:
        assert "budget" in str(result)
    assert np.isnan(chains.log_z_error)
    assert chains.sector_error < 0.1
    assert 0 < chains.ess <= 1.5
    assert min(annealed.seconds, chains.seconds) > 0.3
    best = max(result.rate("anneal").value, result.rate("hmc").value)
    saved = 1 / best - ours.drawing / ours.effective_samples
    assert result.break_even("ours") == pytest.approx(ours.seconds / saved if saved > 0 else np.inf)
    assert np.isnan(result.break_even("hmc"))
    assert "pays from" in str(result)
    again = sd.compare(declared, ["anneal", "hmc"], **options)
    assert again.csv().splitlines()[1:] == result.csv().splitlines()[2:]
    with pytest.raises(RunError, match="another"):
        sd.compare(declared, ["anneal"], **{**options, "budget": 2.0})


def test_blackjax_tempers_to_the_exact_log_z() -> None:
    pytest.importorskip("blackjax")
    x = sd.VectorField("x", sd.Lattice(1), 2)
    declared = sd.Theory("round", fields=[x], action=x[0] ** 2 / 2 + x[1] ** 2 + x[0] * x[1] / 2 + x[0] / 3)
    found = baseline("smc", sd.compile(declared), {}, 0.1, 0)
    stiffness = np.array([[1, 0.5], [0.5, 2]])
    exact = np.log(2 * np.pi) - np.linalg.slogdet(stiffness)[1] / 2
    exact += np.array([1 / 3, 0]) @ np.linalg.solve(stiffness, [1 / 3, 0]) / 2
    assert abs(found.log_z - exact) < 6 * found.log_z_error + 0.01
    assert found.effective_samples > 20


def test_a_method_is_one_word_and_can_be_overridden(tmp_path: Path) -> None:
    model = sd.compile(gaussian_mixture(4, 5))
    run = model.train(
        method="sesamo", parameters={"h": 0.1}, directory=tmp_path / "a", progress=False, steps=1, batch=8
    )
    assert (run.plan.strategy, run.plan.law) == ("penalty", "learned")
    assert run.plan.law_gradient == "reinforce"
    chain = sd.independence_metropolis(run.sample(500))
    assert 0 <= chain.acceptance <= 1
    with pytest.raises(OptionError, match=r"expected: +one of ours"):
        model.train(method="magic", directory=tmp_path / "b")
    with pytest.raises(OptionError, match="seeds"):
        sd.compare(model, seeds=0)
    with pytest.raises(OptionError, match="at least one"):
        sd.compare(model, [])
    for options, instead in (
        ({"seed": 3}, "seeds"),
        ({"seconds": 2.0}, "budget"),
        ({"options": TrainingOptions(seconds=2.0)}, "budget"),
        ({"options": {"steps": 3}}, "TrainingOptions"),
    ):
        with pytest.raises(OptionError, match=instead):
            sd.compare(model, ["ours"], **options)


@pytest.mark.parametrize("budget", ["soon", "0s", "-1m", "inf", "nan"])
def test_budgets_are_times(budget: str) -> None:
    done = CliRunner().invoke(app, ["compare", "gaussian_mixture", "--budget", budget])
    assert done.exit_code == 1
    assert "60s, 2m or 1h" in done.stderr
    assert repr(budget) in done.stderr


def test_methods_may_be_apart_by_blanks(tmp_path: Path) -> None:
    arguments = ["compare", four_modes(tmp_path), "--methods", "ours", "realnvp", "--budget", "0.2s"]
    done = CliRunner().invoke(app, [*arguments, "--seeds", "1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    rows = (tmp_path / "table.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["ours", "realnvp"]


def trial(method: str, seed: int, **figures: float) -> Trial:
    rest = ("ess", "forward_ess", "kl", "nll", "sector_error", "leaked", "uncovered", "log_z", "seconds")
    return Trial(method, seed, **{name: figures.get(name, np.nan) for name in rest}, steps=1)


def test_one_log_z_for_every_kl() -> None:
    """That of the best forward ESS; without configurations of the target, the largest one."""
    nan = float("nan")
    collapsed = trial("a", 0, log_z=1.0, kl=0.25, forward_ess=0.01)
    sound = trial("b", 1, log_z=3.0, kl=0.5, forward_ess=0.9)
    lucky = trial("a", 1, log_z=3.5, kl=0.5, forward_ess=0.5)
    failed = trial("a", 2, forward_ess=0.0)
    trials, named = _common_log_z([collapsed, sound, lucky, failed])
    assert named == "b, seed 1, for every KL"
    assert [t.kl for t in trials[:3]] == [2.25, 0.5, 0.0]
    assert np.isnan(trials[3].kl)
    blind = [replace(t, forward_ess=nan) for t in (collapsed, sound, lucky)]
    trials, named = _common_log_z(blind)
    assert named == "a, seed 1, for every KL"
    assert [t.kl for t in trials] == [2.75, 1.0, 0.5]
    assert _common_log_z([failed])[1] == "no run"


def test_a_comparison_without_quadrature_says_whose_log_z_it_took() -> None:
    flow = sd.FlowSpec(layers=1, hidden=(4,), kernel=1)
    options = TrainingOptions(steps=2, flow=flow)
    result = sd.compare(scalar_phi4(2, 2), ["ours"], options, seeds=2, samples=200)
    assert "log Z of ours, seed" in result.truth
    assert all(np.isfinite(t.kl) for t in result.trials)


def test_errors_over_the_seeds_are_errors() -> None:
    """Trials do not share their samples: equal samplers differ by chance; an infinity has no error."""
    result = sd.compare(gaussian_mixture(4, 5), ["ours"], steps=1, seeds=4, samples=1000, base="standard")
    assert "by chance" in result.truth
    errors = [t.sector_error for t in result.trials]
    assert len(set(errors)) == 4
    uncovered = [trial("vmonf", seed, nll=nll) for seed, nll in enumerate((3.0, np.inf))]
    with warnings.catch_warnings(action="error"):
        figure = replace(result, trials=tuple(uncovered)).figure("vmonf", "nll")
    assert np.isposinf(figure.value)
    assert np.isnan(figure.error)


def test_figures_that_cannot_be_are_named(tmp_path: Path) -> None:
    run = sd.compile(gaussian_mixture(4, 3)).train(
        directory=tmp_path / "run", progress=False, steps=2, batch=16, flow=SMALL
    )
    samples = run.sample(2000)
    assert samples.warnings == ()
    assert "WARNING" not in samples.text()
    lost = replace(samples, log_prob_mismatch=np.full(2000, 2.0))
    assert "rounding" in lost.text()
    assert "float64" in lost.warnings[0]
    impossible = replace(samples, log_q=samples.log_q - 3 * samples.kl.value - 1)
    assert "impossible: KL" in impossible.text()
    assert len(impossible.warnings) == 1


def test_configurations_without_density_are_counted() -> None:
    log_q = np.array([-1.0, -np.inf, -2.0, -np.inf])
    metrics = ForwardMetrics.of(log_q, np.zeros(4))
    assert metrics.uncovered == 0.5
    assert (metrics.ess.value, metrics.nll.value) == (0.0, np.inf)
    assert "uncovered" in str(metrics)
    assert "uncovered" not in str(ForwardMetrics.of(np.array([-1.0, -2.0, -1.5]), np.zeros(3)))
