"""Flows, bases and laws of one's own: zuko's, those of docs/extending.md, and some that are wrong."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.errors import BackendError, OptionError, RunError
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.plan.base import make_base
from sesamo_dsl.plan.extensions import FLOWS, LAWS, OwnLaw
from sesamo_dsl.sampler import LAW_CLASSES, GroupLaw, TableLaw
from sesamo_dsl.sampler.laws import Learned, Uniform
from sesamo_dsl.values.registry import Registry
from sesamo_theories.gaussian_mixture import gaussian_mixture
from support import ROOT, example, shaken

H = {"h": 0.1}
SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")


@cache
def recipes() -> Mapping[str, Any]:
    """What docs/extending.md declares, in one step of each of its trainings."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    assert code.count("steps=300") == 2
    scope: dict[str, Any] = {"__name__": "recipes"}
    exec(compile(code.replace("steps=300", "steps=1, progress=False"), "docs/extending.md", "exec"), scope)
    return scope


@cache
def compiled(backend: str = "torch", of: str = "gaussian_mixture") -> sd.CompiledTheory:
    return sd.compile(sd.load_theory(of), backend, precision="float64")


def train(steps: int = 2, **options: Any) -> sd.Run:
    given: dict[str, Any] = {"directory": False, "progress": False, "parameters": H, "batch": 16, **options}
    return compiled().train(steps=steps, **given)


# zuko ------------------------------------------------------------------------------------------------------


def test_a_flow_of_zuko_is_trained_kept_loaded_and_resumed(tmp_path: Path) -> None:
    example("own_flow")
    whole = train(6, flow="zuko", directory=tmp_path / "whole")
    assert (whole.plan.strategy, whole.plan.law) == ("fold", "heat_bath")
    assert "flow       zuko, as the model" in str(whole.plan)
    seen = train(6, flow="zuko", directory=tmp_path / "part", callbacks=[lambda step: step.number == 2])
    assert not seen.finished
    found = sd.load_run(tmp_path / "part")
    assert found.plan == seen.plan
    found.resume(progress=False)
    first, again = whole.model.state(), found.model.state()
    assert {name for name in first if name.startswith("flow.flow.transform")}
    assert all(np.array_equal(first[name], again[name]) for name in first)
    fresh = compiled().model(flow="zuko", parameters=H, batch=16).state()
    moved = [
        name for name in fresh if name.startswith("flow.") and not np.array_equal(fresh[name], first[name])
    ]
    assert moved, "the weights are trained"


@pytest.mark.parametrize("strategy", ["fold", "chart", "penalty", "canonicalize", "none"])
def test_the_density_of_a_flow_of_zuko(strategy: str) -> None:
    """log q as drawn is log_prob, and ∫q = 1 by weights against a wider density."""
    example("own_flow")
    options: dict[str, Any] = {"flow": "zuko", "strategy": strategy, "base": "standard"}
    if strategy in ("fold", "chart"):
        options["law"] = "heat_bath"
    theory = sd.compile(gaussian_mixture(radius=2), "torch", precision="float64")
    model = shaken(theory.model(parameters=H, **options), size=0.3)
    drawn = model.sample(400, 1)
    kept = ~drawn.leaked
    assert np.abs(model.log_prob(drawn.x) - drawn.log_q)[kept].max() < 1e-9
    if strategy in ("penalty", "canonicalize"):  # what leaks is lacking in the integral
        return
    rng, width = np.random.default_rng(2), 4.0
    x = width * rng.normal(size=(20_000, 2, 1))
    log_p = -0.5 * (x**2).sum(axis=(1, 2)) / width**2 - math.log(2 * math.pi * width**2)
    ratio = np.exp(model.log_prob(x) - log_p)
    error = ratio.std() / math.sqrt(len(ratio))
    assert error < 0.03
    assert abs(ratio.mean() - 1) < 5 * error


def test_a_flow_of_zuko_needs_pytorch() -> None:
    example("own_flow")
    with pytest.raises(BackendError, match="flow zuko"):
        compiled("jax").model(flow="zuko")


# flows on arrays of any framework --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"flows": 3, "law": "learned"}], ids=["one", "mixture"])
def test_a_flow_on_plain_arrays_agrees_on_torch_jax_and_numpy(options: dict[str, Any]) -> None:
    """NumPy is the oracle of examples/numpy_backend.py; the same weights, away from their start."""
    recipes()
    oracle = example("numpy_backend")
    made: list[Any] = [
        shaken(compiled(backend).model(flow="affine", parameters=H, batch=16, **options), size=0.3)
        for backend in ("torch", "jax")
    ]
    program = sd.compile(sd.load_theory("gaussian_mixture"), oracle.BACKEND, precision="float64")
    plan, values = program.plan(flow="affine", batch=16, **options), program.parameter_values(H)
    made.append(oracle.NumpyModel(program, values, make_base(program.program, values, plan), plan))
    made[-1].load_state(made[0].state())
    states = [{n: v for n, v in m.state().items() if n.startswith("flow.")} for m in made]
    assert all(states[0].keys() == other.keys() for other in states)
    drawn = [model.sample(20, 1) for model in made]
    for draws in drawn:
        for model in made:
            assert np.abs(model.log_prob(draws.x) - draws.log_q).max() < 1e-9
    if not options:  # XLA compiles and differentiates it
        slope = made[1].gradient(0)["flow.stretch"]
        assert np.isfinite(slope).all()
        assert np.abs(slope).max() > 0.01


def test_the_gradient_of_the_objective_reaches_the_weights() -> None:
    """Along a random direction it is what the loss on the same noise changes by."""
    recipes()
    model: Any = shaken(
        compiled().model(flow="affine", parameters=H, batch=16, gradient="reparametrised"), size=0.1
    )
    state, slopes = model.state(), model.gradient(0)
    rng, step = np.random.default_rng(5), 1e-5
    along = {name: rng.normal(size=value.shape) for name, value in state.items() if name.startswith("flow.")}

    def loss(size: float) -> float:
        model.load_state({n: v + size * along[n] if n in along else v for n, v in state.items()})
        return model.loss(0)

    expected = (loss(step) - loss(-step)) / (2 * step)
    found = sum(float((along[name] * slopes[name]).sum()) for name in along)
    assert abs(found) > 0.01
    assert abs(found - expected) < 1e-6 * (1 + abs(expected))


def test_a_flow_of_ones_own_starts_another_run() -> None:
    recipes()
    first = train(3, flow="affine")
    second = train(1, start_from=first, learning_rate=1e-12)
    assert second.plan.flow == "affine"
    before, after = first.model.state(), second.model.state()
    assert np.allclose(before["flow.shift"], after["flow.shift"], atol=1e-9)
    with pytest.raises(RunError, match="start_from"):
        train(1, start_from=first, flow=SMALL)


# bases and laws --------------------------------------------------------------------------------------------


def test_a_base_of_ones_own_is_that_of_the_model() -> None:
    recipes()
    plan = compiled().plan(base="narrow", flow="affine", strategy="none")
    base = make_base(compiled().program, {}, plan)
    x = compiled().model(plan, parameters=H).sample(4000, 1).x
    assert np.allclose(base.mean, 1)
    assert np.abs(x.mean(axis=0) - 1).max() < 5 * 0.5 / math.sqrt(len(x))
    assert np.abs(x.std(axis=0) - 0.5).max() < 5 * 0.5 / math.sqrt(2 * len(x))


class Formula(TableLaw):
    """p(u|y) ∝ exp(−h Σ_i (T_u y)_i), the heat bath of the mixture in so many words."""

    def table(self, weights: Any, y: Any) -> Any:
        images = self._group.all_images(y).reshape(*self._group.table_shape(y), -1)
        return self._arrays.log_softmax(-self._group.parameters["h"] * images.sum(axis=-1), axis=0)


class Drawn(GroupLaw):
    """The uniform law without a table: the number of an element is the integer part of a uniform one."""

    def sample_and_log_prob(self, weights: Any, y: Any, uniform: Any) -> Any:
        order = self._group.sectors.order
        choice = (uniform * order).to(int).clamp(max=order - 1)
        return choice, self.log_prob(weights, y, choice)

    def log_prob(self, weights: Any, y: Any, choice: Any) -> Any:
        return self._arrays.zeros((len(y),), y) - math.log(self._group.sectors.order)


class Logits(Learned):
    """One logit for every element, under another name, of which nothing is known at the walls."""


class Equal(Formula):
    """It says that it is a softmax of a function of T_u y, so that nothing happens at the walls."""

    equivariant = True


sd.register_law("formula", Formula)
sd.register_law("equal", Equal)
sd.register_law("logits", Logits)
sd.register_law("drawn", Drawn)


def test_a_law_given_by_a_formula_is_exact() -> None:
    """It is the heat bath: the same samples with the same weights, and the same step of the training."""
    runs = [train(2, law=law, flow=SMALL, seed=4) for law in ("formula", "heat_bath")]
    assert any("formula law" in note for note in runs[0].notes)
    ours, exact = (run.model.sample(200, 1) for run in runs)
    assert np.abs(ours.x - exact.x).max() < 1e-9
    assert np.abs(ours.log_q - exact.log_q).max() < 1e-9
    assert np.abs(runs[0].log_prob(exact.x) - exact.log_q).max() < 1e-9
    assert runs[0].model.loss(3) == pytest.approx(runs[1].model.loss(3), abs=1e-9)


def test_an_equivariant_law_has_the_gradient_along_y() -> None:
    """Its step is that of the heat bath, whose free energy is differentiated along y."""
    states = []
    for law in ("equal", "heat_bath"):
        model = compiled().model(law=law, flow=SMALL, batch=16, seed=4, parameters=H)
        model.step(1e-2)
        states.append(model.state())
    assert all(np.allclose(states[0][name], value, atol=1e-12) for name, value in states[1].items())


def test_a_law_that_does_not_see_the_walls_has_the_gradient_of_the_learned_one() -> None:
    runs = [train(2, law=law, flow=SMALL, seed=4) for law in ("logits", "learned")]
    ours, known = (run.model.state() for run in runs)
    assert np.abs(ours["law.logits"]).max() > 0
    assert all(np.array_equal(ours[name], known[name]) for name in known)


def test_a_law_without_a_table_is_trained_by_draws() -> None:
    run = train(2, law="drawn", flow=SMALL)
    assert run.plan.law_gradient == "reinforce"
    assert any("no table" in reason for reason in run.plan.reasons)
    drawn = run.model.sample(200, 1)
    assert np.abs(run.log_prob(drawn.x) - drawn.log_q).max() < 1e-9
    with pytest.raises(OptionError, match="no table"):
        compiled().plan(law="drawn", law_gradient="enumerate")


def test_a_law_of_the_package_without_a_table_is_trained_by_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contributor declares the traits and the class; nothing else has to know the name."""
    traits = OwnLaw(has_table=False, depends_on_y=False, equivariant=True, note="a coin is thrown")
    monkeypatch.setitem(LAWS._entries, "coin", traits)
    monkeypatch.setattr(LAWS, "_own", (*LAWS._own, "coin"))
    monkeypatch.setitem(LAW_CLASSES, "coin", Drawn)
    plan = compiled().plan(law="coin", flow=SMALL, batch=16)
    assert plan.law_gradient == "reinforce"
    assert any("no table" in reason for reason in plan.reasons)
    assert "coin law: a coin is thrown" in plan.notes
    assert any("coin law on a broken symmetry" in note for note in plan.notes)
    model, uniform = compiled().model(plan, parameters=H), compiled().model(plan, law="uniform", parameters=H)
    assert model.step(1e-2) == uniform.step(1e-2)
    with pytest.raises(OptionError, match="no table"):
        compiled().plan(law="coin", law_gradient="enumerate")


# orientations on the orbits --------------------------------------------------------------------------------


class Alone(Uniform):
    """The law of a group with one element, under a name of a user."""

    def initial_state(self, seed: int) -> dict[str, Any]:
        return {"law.b": np.ones(1)}  # which nothing depends on


sd.register_law("alone", Alone)


def turned(dimension: int, *, clock: bool = False, flips: bool = False) -> sd.CompiledTheory:
    """A vector of size about 2 whose rotations a source or sin 2θ breaks; with a sign beside it."""
    point = sd.Lattice(1)
    v, s, h = sd.VectorField("v", point, dimension), sd.ScalarField("s", point), sd.parameters("h")
    action = (v.squared - 4) ** 2 / 4 + h * (v[0] * v[1] if clock else v[dimension - 1])
    groups: list[Any] = [sd.SO(v)]
    if flips:
        action, groups = action + s**2 + h * s, [*groups, sd.Z2(s)]
    theory = sd.Theory(
        "turned", fields=[v, s] if flips else [v], action=action, symmetries=groups, defaults={h: 0.4}
    )
    return sd.compile(theory, "torch", precision="float64")


@pytest.mark.parametrize("theory", [{"dimension": 2}, {"dimension": 3}, {"dimension": 2, "clock": True}])
def test_orientations_keep_their_exact_law(theory: dict[str, Any]) -> None:
    """Under any registered law: the samples and the steps are those of the heat bath."""
    of = turned(**theory)
    options: dict[str, Any] = {"flow": SMALL, "batch": 16, "seed": 2}
    plan = of.plan(law="alone", **options)
    assert not any("orientations" in note for note in plan.notes)
    ours, exact = of.model(plan), of.model(law="heat_bath", **options)
    for model in (ours, exact):
        model.step(1e-2)
    drawn, expected = ours.sample(50, 1), exact.sample(50, 1)
    assert np.array_equal(drawn.x, expected.x)
    assert np.array_equal(drawn.log_q, expected.log_q)
    shifts = drawn.log_q + drawn.action
    uniform = of.model(law="uniform", **options).sample(50, 1)
    assert shifts.std() < (uniform.log_q + uniform.action).std()


def test_where_orientations_lose_their_exact_law_the_plan_says_so() -> None:
    of = turned(2, flips=True)
    losing = "alone law: orientations are uniform"
    assert any(losing in note for note in of.plan(law="alone", flow=SMALL).notes)
    assert not any("orientations" in note for note in of.plan(law="heat_bath", flow=SMALL).notes)
    drawn = of.model(law="alone", flow=SMALL, batch=16).sample(50, 1)
    assert np.isfinite(drawn.log_q).all()
    assert any("learned law: orientations" in n for n in turned(3).plan(law="learned", flow=SMALL).notes)
    assert not any("orientations" in n for n in turned(2).plan(law="learned", flow=SMALL).notes)


# runs on disk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "name", "registry"),
    [("flow", "affine", FLOWS), ("law", "tempered", LAWS)],
    ids=["flow", "law"],
)
def test_a_run_says_what_has_to_be_imported(
    option: str, name: str, registry: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes()
    chosen: dict[str, Any] = {"flow": SMALL, option: name}
    run = train(1, directory=tmp_path / "run", **chosen)
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["options"][option] == name
    assert record["registered"] == {option: "recipes"}
    x = run.sample(8).x
    assert np.array_equal(sd.load_run(tmp_path / "run").log_prob(x), run.log_prob(x))
    monkeypatch.delitem(registry._entries, name)  # as in another process
    for read in (sd.load_run, lambda place: train(1, start_from=place)):
        with pytest.raises(RunError, match=rf"the {option} '{name}'.*\n.*\n.*import .*recipes"):
            read(tmp_path / "run")


def test_a_theory_file_brings_its_flow_along(tmp_path: Path) -> None:
    """It is run twice, with the module beside it, and says the same; when that has changed it is refused."""
    beside = tmp_path / "flow_beside.py"
    recipe = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").split("```python\n")[1]
    code = recipe.split("compiled =")[0].replace('"affine"', '"beside"')
    beside.write_text(code, encoding="utf-8")
    file = tmp_path / "mixture.py"
    file.write_text(
        "import flow_beside\nfrom sesamo_theories.gaussian_mixture import gaussian_mixture\n"
        "theory = gaussian_mixture()\n",
        encoding="utf-8",
    )
    theory = sd.load_theory(file)
    sd.compile(theory, "torch").train(
        steps=1, flow="beside", batch=16, directory=tmp_path / "run", progress=False
    )
    assert FLOWS.source("beside") == f"flow_beside ({beside})"
    found = sd.load_run(tmp_path / "run", theory=file)
    assert found.plan.flow == "beside"
    beside.write_text(code.replace("np.zeros", "np.ones"), encoding="utf-8")
    with pytest.raises(OptionError, match="not taken"):
        sd.load_theory(file)


def test_a_first_state_depends_on_the_seed() -> None:
    example("own_flow")
    first, same, other = (compiled().model(flow="zuko", seed=seed).state() for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first if name.startswith("flow."))


def test_a_source_names_the_file() -> None:
    own = example("own_flow")
    assert FLOWS.source("zuko") == f"own_flow ({own.__file__})"


# what is refused -------------------------------------------------------------------------------------------


def flow_of(**methods: Callable[..., Any]) -> Callable[..., Any]:
    """A factory of the affine flow of the document with other methods."""

    def factory(*arguments: Any) -> Any:
        made = recipes()["AffineFlow"](*arguments)
        for name, method in methods.items():
            setattr(made, name, lambda *given, method=method: method(made, *given))
        return made

    return factory


def _shifted(flow: Any, weights: Any, x: Any) -> Any:
    z, log_q = type(flow).inverse(flow, weights, x)
    return z, log_q + 0.1


WRONG_FLOWS: dict[str, tuple[Callable[..., Any], str]] = {
    "no_flow": (lambda *_: "RealNVP", "forward and inverse"),
    "no_weights": (flow_of(initial_state=lambda *_: {}), "at least one"),
    "integers": (flow_of(initial_state=lambda *_: {"shift": np.zeros(2, int)}), "floating-point"),
    "infinite": (flow_of(initial_state=lambda *_: {"shift": np.full(2, np.inf)}), "finite"),
    "two_densities": (flow_of(inverse=_shifted), "log q of forward in inverse"),
    "no_density": (
        flow_of(forward=lambda f, w, z: (type(f).forward(f, w, z)[0], z)),
        "log q of shape",
    ),
    "flat": (flow_of(forward=lambda f, w, z: (z.flatten(1), z.sum())), "x of shape"),
    "other_noise": (flow_of(inverse=lambda f, w, x: (x, type(f).inverse(f, w, x)[1])), "the noise back"),
    "one_value": (flow_of(forward=lambda f, w, z: z), "forward.*→ .x, log q."),
    "no_inverse": (flow_of(inverse=lambda f, w, x: None), "inverse.*→ .z, log q."),
    "other_names": (flow_of(forward=lambda f, w, z: w["sift"]), "weights .*shift.*\n.*KeyError: 'sift'"),
    "other_factory": (lambda *_: 1 / 0, "→ Flow.*\n.*ZeroDivisionError"),
    "no_state": (flow_of(initial_state=lambda *_: [][0]), "initial_state.*\n.*IndexError"),
    "not_a_number": (flow_of(forward=lambda f, w, z: (z / 0, z.flatten(1).sum(1))), "finite x"),
}


@pytest.mark.parametrize("name", WRONG_FLOWS)
def test_a_flow_that_is_none_is_refused(name: str) -> None:
    factory, message = WRONG_FLOWS[name]
    if not FLOWS.added(f"wrong_{name}"):
        sd.register_flow(f"wrong_{name}", factory)
    with pytest.raises(OptionError, match=message) as caught:
        compiled().model(flow=f"wrong_{name}")
    assert caught.value.subject == f"flow wrong_{name}"


def test_code_of_another_framework_is_refused() -> None:
    """What the framework says is quoted, and is the cause of the error."""
    sd.register_flow("of_torch", flow_of(forward=lambda f, w, z: (z, z.clone().flatten(1).sum(dim=1))))
    with pytest.raises(OptionError, match=r"forward[^\n]*\n.*found:.*Error: ") as caught:
        compiled("jax").model(flow="of_torch")
    assert caught.value.__cause__ is not None


def test_noise_cannot_be_folded_without_a_bijection() -> None:
    sd.register_flow("one_way", flow_of(inverse=lambda f, w, x: (None, type(f).inverse(f, w, x)[1])))
    drawn = compiled().model(flow="one_way", strategy="fold").sample(8, 1)
    assert np.isfinite(drawn.log_q).all()
    with pytest.raises(OptionError, match="canonicalize"):
        compiled().model(flow="one_way", strategy="canonicalize")


class Unnormalised(Formula):
    def table(self, weights: Any, y: Any) -> Any:
        return super().table(weights, y) + 0.1


class OneColumn(Formula):
    def table(self, weights: Any, y: Any) -> Any:
        return super().table(weights, y)[:, :1]


class Stranger(Formula):
    def initial_state(self, seed: int) -> dict[str, Any]:
        return {"flow.b": np.ones(1)}


class NoGroup(Formula):
    def __init__(self) -> None:
        pass


class NoSuper(Formula):
    def __init__(self, group: Any) -> None:
        pass


class NoWeights(Formula):
    def initial_state(self, seed: int) -> Any:
        return None


class Circle(Formula):
    def initial_state(self, seed: int) -> dict[str, Any]:
        return {"law.a": np.ones(1), "law.circle.b": np.ones(1)}


class Whole(Formula):
    def initial_state(self, seed: int) -> dict[str, Any]:
        return {"law.a": np.ones(1), "law.b": np.ones(1, int)}


class Missing(Formula):
    def table(self, weights: Any, y: Any) -> Any:
        return super().table(weights, y) * weights["law.b"]


class Nothing(Formula):
    def table(self, weights: Any, y: Any) -> Any:
        return None


class Claimed(Logits):
    equivariant = True


class OneValue(Drawn):
    def sample_and_log_prob(self, weights: Any, y: Any, uniform: Any) -> Any:
        return super().sample_and_log_prob(weights, y, uniform)[0]


class Twofold(Drawn):
    def sample_and_log_prob(self, weights: Any, y: Any, uniform: Any) -> Any:
        choice, log_p = super().sample_and_log_prob(weights, y, uniform)
        return choice, log_p + 0.1


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (Unnormalised, "Σ_u"),
        (OneColumn, "a table of shape"),
        (Stranger, "found: +'flow.b'"),
        (Circle, "found: +'law.circle.b'"),
        (Whole, "found: +law.b of dtype int"),
        (NoGroup, "constructor.*\n.*TypeError"),
        (NoSuper, "table.*\n.*AttributeError: .*_group"),
        (NoWeights, "mapping.*\n.*None"),
        (Missing, "weights .*law.logits.*\n.*KeyError: 'law.b'"),
        (Nothing, "a table of shape.*\n.*None"),
        (Claimed, "equivariant"),
        (OneValue, "sample_and_log_prob.*\n.*ValueError"),
        (Twofold, "as it was drawn"),
    ],
)
def test_a_law_that_is_none_is_refused(law: type[GroupLaw], message: str) -> None:
    sd.register_law(law.__name__, law)
    with pytest.raises(OptionError, match=message) as caught:
        compiled().model(law=law.__name__, flow=SMALL, parameters=H)
    assert caught.value.subject == f"law {law.__name__}"


@pytest.mark.parametrize(
    "factory",
    [
        lambda program, parameters: "wide",
        lambda program, parameters: GaussianBase.standard(3, program.shape),
        lambda program, parameters: GaussianBase.standard(2, (4, 4)),
        lambda program, parameters: parameters["mass"],
    ],
)
def test_a_base_that_is_none_is_refused(factory: Any) -> None:
    name = f"wrong_{id(factory)}"
    sd.register_base(name, factory)
    with pytest.raises(OptionError, match="GaussianBase"):
        compiled().model(base=name)


def test_names_are_given_once() -> None:
    sd.register_law("formula", Formula)  # the same again says nothing new
    taken: list[tuple[Any, str, Any]] = [
        (sd.register_law, "formula", Drawn),
        (sd.register_law, "heat_bath", Formula),
        (sd.register_base, "vacuum", recipes()["narrow"]),
        (sd.register_flow, "affine", flow_of()),
    ]
    for register, name, entry in taken:
        with pytest.raises(OptionError, match=f"a name that is not taken: .*{name}"):
            register(name, entry)
    unnamed: list[Any] = ["two words", "", 3, None]
    for name in unnamed:
        with pytest.raises(OptionError, match="name of a flow"):
            sd.register_flow(name, flow_of())


def test_only_factories_are_registered() -> None:
    wrong: list[tuple[Any, Any]] = [
        (sd.register_flow, SMALL),
        (sd.register_flow, lambda arrays, base: None),
        (sd.register_base, lambda: None),
        (sd.register_base, GaussianBase.standard(1, (1,))),
        (sd.register_law, "heat_bath"),
        (sd.register_law, GroupLaw),
        (sd.register_law, TableLaw),
        (sd.register_law, Formula.table),
    ]
    for register, entry in wrong:
        with pytest.raises(OptionError, match=r"docs/extending\.md"):
            register("nothing", entry)


def test_unknown_names_come_with_those_there_are() -> None:
    recipes()
    for option, known in (("flow", "'affine'"), ("law", "'formula'"), ("base", "'narrow'")):
        wrong: Any = {option: "nowhere"}
        with pytest.raises(OptionError, match=known):
            compiled().plan(**wrong)
