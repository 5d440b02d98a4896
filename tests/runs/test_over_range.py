"""One training for a range of couplings, against models of single couplings and closed forms."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.backend import Model
from sesamo_dsl.errors import NotNormalizableError, OptionError, ParameterError, RunError, SesamoError
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.flows.coupling_range import CouplingRange
from sesamo_dsl.flows.range_weights import OVER
from sesamo_dsl.ir.program import Program
from sesamo_dsl.values.couplings import Couplings

FLOW = sd.FlowSpec(layers=2, hidden=(6,), kernel=3)
OVER_H = {"kappa": (0.05, 0.2), "h": (0.0, 0.4)}


@cache
def compiled(backend: str) -> sd.CompiledTheory:
    """φ⁴ on four sites, with a source that breaks its Z2."""
    lattice = sd.Lattice(2, 2)
    phi, (kappa, h, lam) = sd.ScalarField("phi", lattice), sd.parameters("kappa h lambda")
    action = lattice.sum(
        -2 * kappa * sum(phi * phi.shift(mu) for mu in lattice.directions) + phi**2 + lam * phi**4 + h * phi
    )
    defaults = {kappa: 0.1, h: 0.1, lam: 0.1}
    theory = sd.Theory("over", fields=[phi], action=action, symmetries=[sd.Z2(phi)], defaults=defaults)
    return sd.compile(theory, backend, precision="float64")


def wandering(program: Program, parameters: Couplings) -> GaussianBase:
    """A base whose mean and widths depend on the couplings, at every momentum in another way."""
    kappa, h = (float(np.asarray(parameters[name])) for name in ("kappa", "h"))
    waves = np.indices(program.shape).sum(axis=0)[..., None, None]
    return GaussianBase.from_precision([0.3 - 2 * h], 1.5 + h + kappa * (waves % 2) * 5)


sd.register_base("wandering_in_a_range", wandering)
FIELDS: dict[str, Any] = {"flow": FLOW, "base": "wandering_in_a_range"}


def model(backend: str, batch: int = 35, **fields: Any) -> Any:
    return compiled(backend).model(over=OVER_H, batch=batch, **FIELDS, **fields)


def moved(one: Model) -> None:
    """Weights far from their start, those of the couplings among them."""
    rng = np.random.default_rng(3)
    weights = {
        n: v + 0.15 * rng.normal(size=v.shape) for n, v in one.state().items() if n.startswith("flow.")
    }
    one.load_state({**one.state(), **weights})


def ess_of_groups(ours: Any, number: int, noise: Any) -> float:
    """The mean ESS of the groups of a batch whose configurations are all at one point, by its own model."""
    over, groups = ours._plan.over, ours._over._groups
    alone = ours.at({**ours._made_of[1], **over.at(over.trained("ends")[number])})
    with alone._scope():
        inputs = [
            ((noise[0][rows], noise[1][rows]), [], None)
            for rows in (np.flatnonzero(groups == g) for g in np.unique(groups))
        ]
        return float(np.mean([float(alone._objective(*each)[1]) for each in inputs]))


@pytest.mark.parametrize(  # JAX compiles anew for every size: in a batch of 32 both groups have 16
    ("backend", "strategy", "batch"), [("torch", "fold", 35), ("torch", "chart", 35), ("jax", "fold", 32)]
)
def test_objective_and_gradient_are_means_over_single_couplings(
    backend: str, strategy: str, batch: int
) -> None:
    ours = model(backend, batch, strategy=strategy)
    moved(ours)
    over, points = ours._plan.over, ours._over.points(0)
    with ours._scope():  # JAX has float64 there alone
        noise = ours._inputs(0, None)[0]
    total, slopes = 0.0, {name: np.zeros(np.shape(w)) for name, w in ours.weights.items()}
    for number in np.unique(points):
        rows, point = np.flatnonzero(points == number), over.trained("ends")[number]
        alone = ours.at({**compiled(backend).parameter_values(None), **over.at(point)})
        share = len(rows) / len(points)
        with alone._scope():
            inputs = ((noise[0][rows], noise[1][rows]), [], None)
            total += share * (float(alone._objective(*inputs)[0]) + alone._constant)
            gradient = alone._gradient(*inputs)
        features = over.features(point[None])[0]
        for name in slopes:
            of = "flow." + name.removeprefix(OVER) if name.startswith(OVER) else name
            slope = gradient[of]
            if slope is None:
                continue
            slope = share * alone._numpy(slope)
            if name.startswith(OVER):
                slope = slope.reshape(slopes[name].shape[:-1])[..., None] * features
            slopes[name] += slope
    assert len(np.unique(points)) > 1
    assert ours.ess_of_points([number], 1)[0] == pytest.approx(ess_of_groups(ours, number, noise), rel=1e-9)
    assert ours.loss(0) == pytest.approx(total, rel=1e-10)
    found = ours.gradient(0)
    for name, slope in slopes.items():
        np.testing.assert_allclose(found[name], slope, rtol=1e-7, atol=1e-9, err_msg=name)
    assert max(np.abs(v).max() for n, v in slopes.items() if n.startswith(OVER)) > 1e-3


def test_untrained_model_is_that_of_its_couplings_at_a_node() -> None:
    theory, ours = compiled("torch"), model("torch")
    axes = ours._plan.over.axes
    node = {"kappa": axes[0][2], "h": axes[1][5]}
    fixed = theory.model(**FIELDS, parameters=node)
    x = np.random.default_rng(0).normal(size=(5, 1, 2, 2))
    found = ours.at({**theory.parameter_values(None), **node}).log_prob(x)
    np.testing.assert_allclose(found, fixed.log_prob(x), rtol=1e-9)
    other = ours.at({**theory.parameter_values(None), "kappa": axes[0][4], "h": 0.0}).log_prob(x)
    assert np.abs(other - found).max() > 0.1


def test_samples_have_the_density_of_their_point() -> None:
    ours = model("torch")
    moved(ours)
    values = compiled("torch").parameter_values(None)
    for point in ({"kappa": 0.07, "h": 0.33}, {"kappa": 0.2, "h": 0.0}):
        alone = ours.at({**values, **point})
        draws = alone.sample(50)
        np.testing.assert_allclose(draws.log_q, alone.log_prob(draws.x), rtol=1e-8)
    own = ours.at(values)  # the range model as a model is that of its own couplings
    np.testing.assert_allclose(ours.sample(20).log_q, own.sample(20).log_q, rtol=1e-12)


@cache
def gaussian() -> sd.CompiledTheory:
    """Three independent Gaussians with a source."""
    lattice = sd.Lattice(3)
    phi, (a, h) = sd.ScalarField("phi", lattice), sd.parameters("a h")
    theory = sd.Theory(
        "gaussian", fields=[phi], action=lattice.sum(a * phi**2 / 2 + h * phi), defaults={a: 1, h: 0}
    )
    return sd.compile(theory, precision="float64")


MODEL: dict[str, Any] = {
    "over": {"a": (0.7, 1.6), "h": (-0.7, 0.7)},
    "base": "standard",
    "flow": sd.FlowSpec(layers=2, hidden=(8,), kernel=3),
}
TRAINING: dict[str, Any] = {
    **MODEL,
    "directory": False,
    "check": False,
    "progress": False,
}


def test_training_follows_the_couplings() -> None:
    """From one standard Gaussian at all couplings to the Gaussian of each, with log Z in closed form."""
    run = gaussian().train(**TRAINING, steps=200, batch=64, learning_rate=0.03)
    first = gaussian().model(**MODEL, parameters={"a": 1.6, "h": 0.7})
    draws = first.sample(2000)
    weights = np.exp(-draws.action - draws.log_q)
    assert weights.mean() ** 2 / (weights**2).mean() < 0.8
    for a, h in ((0.7, -0.7), (1.6, 0.7), (1.0, 0.3)):
        samples = run.at(a=a, h=h).sample(2000)
        exact = 1.5 * (math.log(2 * math.pi / a) + h**2 / a)
        assert abs(samples.log_z.value - exact) < 5 * samples.log_z.error + 1e-9
        assert samples.ess > 0.93, (a, h, samples.ess)


@pytest.mark.parametrize("density", ["ends", "adaptive"])
def test_a_training_is_resumed_bit_for_bit(tmp_path: Path, density: str) -> None:
    options = {**TRAINING, "steps": 6, "batch": 32, "density": density}
    whole = gaussian().train(**options)
    begun = gaussian().train(
        **{**options, "directory": tmp_path / "run"}, callbacks=[lambda s: s.number == 3]
    )
    assert not begun.finished
    loaded = sd.load_run(tmp_path / "run").resume(progress=False, check=False)
    expected = whole.model.state()
    for name, values in loaded.model.state().items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    again = sd.load_run(tmp_path / "run")
    assert again.plan == loaded.plan
    here, there = again.at(a=0.9, h=0.5), whole.at({"a": 0.9, "h": 0.5})
    x = np.random.default_rng(1).normal(size=(4, 1, 3))
    np.testing.assert_array_equal(here.log_prob(x), there.log_prob(x))
    here.save(tmp_path / "one")
    one = sd.load_run(tmp_path / "one")
    assert one.parameters == here.parameters
    np.testing.assert_array_equal(one.log_prob(x), here.log_prob(x))
    assert one.resume(2, progress=False, check=False).steps_done == 8
    warm = gaussian().train(
        start_from=tmp_path / "run", steps=1, directory=False, check=False, progress=False
    )
    assert warm.plan.flow == TRAINING["flow"]


def test_points_are_denser_at_the_ends() -> None:
    box = CouplingRange.of({"a": (1.0, 3.0), "h": (-1.0, 0.0)})
    for density, share in (("ends", 1 / 3), ("adaptive", 1 / 3), ("uniform", 1 / 2)):
        points = box.trained(cast(Any, density))
        middle = (points[:, 0] > 1.5) & (points[:, 0] < 2.5)  # half of the interval, 1/3 of the angles
        assert abs(middle.mean() - share) < 0.03
        assert (points.min(axis=0) == box.low).all()
        assert (points.max(axis=0) == box.high).all()
    few = CouplingRange.of([{"a": 1.0}, {"a": 1.2}, {"a": 3.0}])
    assert few.trained("ends").tolist() == few.trained("uniform").tolist() == [[1.0], [1.2], [3.0]]
    with pytest.raises(OptionError, match=r"density\n.*over="):
        gaussian().plan(density="adaptive")


@pytest.mark.parametrize("names", ["a", "ah", "ahbc"])
def test_functions_of_the_couplings_are_polynomials_of_one_size(names: str) -> None:
    """Products cos(iα) cos(jβ) … at points cos α, cos β …; Σ f² is 1 at corners and at most 1 elsewhere."""
    box = CouplingRange.of(dict.fromkeys(names, (1.0, 3.0)))
    angles = np.random.default_rng(0).uniform(0, np.pi, size=(50, len(names)))
    found = box.features(2 + np.cos(angles))
    np.testing.assert_allclose((box.features(box.corners) ** 2).sum(axis=1), 1)
    assert (found**2).sum(axis=1).max() <= 1 + 1e-12
    most = {1: 4, 2: 4, 4: 3}[len(names)]
    degrees = [d for d in np.ndindex(*(most + 1,) * len(names)) if 0 < sum(d) <= most]
    waves = [np.prod(np.cos(np.array(d) * angles), axis=1) for d in degrees]
    np.testing.assert_allclose(found, np.array(waves).T / math.sqrt(len(degrees)), atol=1e-12)


def test_an_adaptive_training_looks_where_the_ess_is_low() -> None:
    """Half of the groups are spread equally, the others in proportion to what was missed."""
    over = {"over": [{"a": 0.5 + 0.1 * i} for i in range(4)], "density": "adaptive"}
    run = gaussian().train(**{**TRAINING, **cast(dict[str, Any], over)}, steps=1, batch=32)
    model = cast(Any, run.model)
    model._over.misses = np.array([0.0, 0.0, 0.3, 0.1])
    seen = np.concatenate([model._over.points(step) for step in range(2000)])
    shares = np.bincount(seen, minlength=4) / len(seen)
    expected = 0.125 + 0.5 * np.array([0, 0, 0.75, 0.25])
    assert (abs(shares - expected) < 5 * np.sqrt(expected * (1 - expected) / (2 * 2000))).all()
    model._over.learn(np.array([2] * 16 + [0] * 16), np.array([0.5, 1.0]))
    np.testing.assert_allclose(model._over.misses, [1e-7, 0.0, 0.9 * 0.3 + 0.1 * 0.5, 0.1])


def test_a_range_starts_from_the_functions_of_another_run() -> None:
    """Over the same box all weights are taken over; over another one those at the couplings of the run."""
    first = gaussian().train(**TRAINING, steps=3, batch=32)
    begun = first.model.state()
    untrained = {"learning_rate": 1e-12, "steps": 1, "batch": 32, "start_from": first}
    same = gaussian().train(**{**TRAINING, **cast(dict[str, Any], untrained)}).model.state()
    varied = [name for name in begun if name.startswith("flow.over.")]
    assert any(np.abs(begun[name]).max() > 0 for name in varied)
    for name in (name for name in begun if name.startswith("flow.")):
        np.testing.assert_allclose(same[name], begun[name], atol=1e-10, err_msg=name)
    box = {"over": {"a": (0.7, 1.6), "h": (-0.7, 0.6)}}
    other = gaussian().train(**{**TRAINING, **cast(dict[str, Any], untrained | box)}).model.state()
    assert all(np.abs(other[name]).max() < 1e-10 for name in varied)
    x = np.random.default_rng(0).normal(size=(3, 1, 3))
    here = gaussian().train(
        **{**TRAINING, **cast(dict[str, Any], untrained), "over": None, "parameters": first.parameters}
    )
    np.testing.assert_allclose(here.log_prob(x), first.log_prob(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({}, "one to 4"),
        ({"a": 1.0}, "two numbers"),
        ({"a": (2.0, 1.0)}, "second end"),
        ({"a": (0.5, math.inf)}, "finite"),
        ({"a": (0.5, "1")}, "finite"),
        ([{"a": 1.0}, {"h": 1.0}], "every point"),
        ([{"a": 1.0}, {"a": 1.0}], "different values"),
        ([], "one to 4"),
        ("a", "list of points"),
        ({"b": (0.5, 1.0)}, "one of"),
    ],
)
def test_ranges_that_are_none_are_refused(over: Any, words: str) -> None:
    with pytest.raises(SesamoError, match=words):
        gaussian().train(**{**TRAINING, "over": over})


def test_impossible_trainings_are_refused() -> None:
    theory = gaussian()
    with pytest.raises(NotNormalizableError, match=r"a = -0\.1"):
        theory.train(**{**TRAINING, "over": {"a": (-0.1, 1.0)}})
    with pytest.raises(ParameterError, match="point of the range"):
        theory.train(**TRAINING, parameters={"a": 3.0})
    for wrong in ({"flows": 2}, {"flow": sd.BisectionSpec()}, {"reference": np.zeros((4, 1, 3))}):
        with pytest.raises(OptionError, match="range of couplings"):
            theory.train(**{**TRAINING, **cast(dict[str, Any], wrong)})
    with pytest.raises(OptionError, match="range of couplings"):
        compiled("torch").plan(over=OVER_H, law="learned")


def test_points_that_are_none_are_refused() -> None:
    run = gaussian().train(**{**TRAINING, "over": [{"a": 1.0}, {"a": 1.2}, {"a": 1.5}]}, steps=2, batch=32)
    assert run.parameters["a"] == 1.0
    wrong: list[dict[str, Any]] = [{"a": 0.9}, {"h": 0.1}, {"b": 1.0}, {"a": math.nan}, {"a": "1"}]
    for couplings in wrong:
        with pytest.raises(ParameterError):
            run.at(**couplings)
    for given in ("a", {"a": 1.1}):
        with pytest.raises(ParameterError):
            run.at(cast(Any, given), a=1.3)
    with pytest.warns(RuntimeWarning, match="outside of the trained range"):
        far = run.at(a=0.9, extrapolate=True)
    assert any("extrapolation: a = 0.9 is outside" in warning for warning in far.sample(10).warnings)
    with pytest.raises(RunError, match="range of couplings"):
        run.at(a=1.1).at(a=1.2)
