"""Names, numbers, types and environments: what users give, in every form in which it comes."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp
import torch

import sesamo_dsl as sd
from sesamo_dsl import checks, errors
from sesamo_dsl.ir.source import argument_name, docstring
from sesamo_dsl.machine import cache
from sesamo_dsl.runs.store import not_a_run
from sesamo_dsl.sampler.laws import Uniform as UniformLaw
from sesamo_dsl.testing import theory_suite

LATTICE = sd.Lattice(4)
KEYWORDS = ("lambda", "class", "None", "__debug__", "match", "self")
BUILTINS = ("len", "range", "tuple", "print", "torch", "math", "functools")
OWN = ("x", "v1", "action", "SHAPE", "MATRICES", "lambda_", "_constant", "_affine_stack")
MEANINGFUL = (*KEYWORDS, *BUILTINS, *OWN)
X = np.random.default_rng(0).normal(size=(3, 1, 4))


def declared(field: str = "phi", parameter: str = "m", **options: Any) -> sd.Theory:
    phi, m = sd.ScalarField(field, LATTICE), sd.parameters(parameter)
    options = {"observables": {"size": LATTICE.sum(phi**2)}, "defaults": {m: 0.5}, **options}
    return sd.Theory("named", fields=[phi], action=LATTICE.sum(m * phi**2 + phi**4), **options)


def action(theory: sd.Theory) -> np.ndarray:
    return sd.compile(theory, "torch").action(X)


# Names


@pytest.mark.parametrize("name", ["µ", "ϵ", "ﬁt", "ℏ", "x²".replace("²", "ᵢ"), "K"])
def test_names_are_read_in_the_normal_form_of_python(name: str) -> None:
    theory = declared(parameter=name)
    assert np.array_equal(action(theory), action(declared()))
    assert sd.compile(theory, "torch").action(X, {name: 0.5})[0] == action(declared())[0]
    assert np.array_equal(action(declared(field=name)), action(declared()))


@pytest.mark.parametrize("name", MEANINGFUL)
def test_names_that_mean_something_in_emitted_code(name: str) -> None:
    assert np.array_equal(action(declared(parameter=name)), action(declared()))
    assert np.array_equal(action(declared(field=name)), action(declared()))
    if name != "action":
        theory = declared(observables={name: LATTICE.sum(sd.ScalarField("phi", LATTICE) ** 2)})
        (values,) = sd.compile(theory, "torch").evaluate(f"observable_{name}", X)
        np.testing.assert_allclose(values, (X**2).sum(axis=(1, 2)), rtol=1e-6)


def test_names_stay_apart_in_emitted_code() -> None:
    names = ["lambda", "lambda_", "lambda__", "x", "x_", "U", "kappa", "_a", "_a_", "SHAPE", "SHAPE_"]
    assert len({argument_name(name) for name in names}) == len(names)
    assert argument_name("U") == "U"


def test_names_that_are_refused() -> None:
    phi = sd.ScalarField("phi", LATTICE)
    for name in ("action", "1a", "a b", "", "a" * 101):
        with pytest.raises(sd.SesamoError):
            declared(observables={name: LATTICE.sum(phi)})
    with pytest.raises(errors.TheoryError, match="taken"):
        declared(observables={"ﬁ": LATTICE.sum(phi), "fi": LATTICE.sum(phi)})
    with pytest.raises(errors.TheoryError, match="taken"):
        declared(derived={"size": sp.Symbol("size") * 2})


@pytest.mark.parametrize(
    "text", ['a"""b', '"""', 'ends in "', "\\", "a\\", "\\N{x}", "\0", "\r\n", "\u2028", '\\"""']
)
def test_text_cannot_leave_a_docstring(text: str) -> None:
    scope: dict[str, Any] = {}
    exec(f'def f():\n    """{docstring(text)}"""\n', scope)
    assert scope["f"].__doc__.replace("\r\n", "\n") == text.replace("\r\n", "\n")
    theory = declared(notes=[text, 'x"""\nimport os\nos.abort()\n"""'])
    assert np.array_equal(action(theory), action(declared()))


# Numbers


@pytest.mark.parametrize("kind", [int, np.int8, np.int64, np.uint16, lambda n: np.array(n), sp.Integer])
def test_every_integer_is_one(kind: Callable[[int], Any]) -> None:
    assert checks.as_integer(kind(4)) == 4
    assert type(checks.as_integer(kind(4))) is int
    options = sd.TrainingOptions(steps=kind(4), seed=kind(1), batch=kind(8), flows=kind(1))
    assert type(options.steps) is int
    assert sd.Lattice(kind(4)) == LATTICE
    assert sd.FlowSpec(layers=kind(2), hidden=(kind(8),), kernel=kind(3)).hidden == (8,)
    w = sd.VectorField("w", LATTICE, kind(2))
    assert sd.Cyclic(kind(4), w).generators == sd.Cyclic(4, w).generators


@pytest.mark.parametrize(
    "value", [True, np.True_, np.array(True), torch.tensor(True), "4", b"4", 4.0, None, [4]]
)
def test_what_is_no_integer(value: Any) -> None:
    assert checks.as_integer(value) is None
    for refused in (
        lambda: sd.Lattice(value),
        lambda: sd.TrainingOptions(steps=value),
        lambda: sd.TrainingOptions(seed=value),
        lambda: sd.FlowSpec(layers=value, hidden=(4,)),
        lambda: sd.VectorField("w", LATTICE, value),
        lambda: sd.Cyclic(value, sd.VectorField("w", LATTICE, 2)),
    ):
        with pytest.raises(sd.SesamoError):
            refused()


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5), sp.Rational(1, 2)])
def test_every_real_number_is_one(value: Any) -> None:
    assert checks.as_real(value) == 0.5
    assert declared().parameter_values({"m": value}) == {"m": 0.5}
    assert type(sd.TrainingOptions(learning_rate=value).learning_rate) is float


@pytest.mark.parametrize(
    "value", [True, np.True_, "0.5", None, 1j, np.complex64(1), [0.5], np.zeros(1), np.nan, 10**400]
)
def test_what_is_no_real_number(value: Any) -> None:
    with pytest.raises(errors.ParameterError):
        declared().parameter_values({"m": value})
    if value is not None:
        with pytest.raises(errors.OptionError):
            sd.TrainingOptions(learning_rate=value)


def test_memory_is_not_asked_for() -> None:
    compiled = sd.compile(declared(), "torch")
    wide = sd.FlowSpec(layers=10_000, hidden=(10**6, 10**6))
    for options in ({"batch": 10**12}, {"flow": wide}):
        with pytest.raises(errors.OptionError, match="memory"):
            compiled.train(progress=False, **options)
    with pytest.raises(errors.LatticeError, match="sites"):
        sd.load_theory("scalar_phi4@100000x100000")


# Paths


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checks.path("~/a", "x") == tmp_path / "a"
    for value in ("", " ", "a\0b", "a" * 256, f"b/{'a' * 256}", None, 3, b"a", "~no_such_user/a"):
        with pytest.raises(errors.OptionError):
            checks.path(value, "x")


# What travels between processes


def test_what_is_declared_and_compiled_travels() -> None:
    theory = declared(
        derived={"twice": 2 * sp.Symbol("size")}, symmetries=[sd.Z2(sd.ScalarField("phi", LATTICE))]
    )
    compiled = sd.compile(theory, "torch")
    for move in (copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))):
        assert move(theory).action == theory.action
        assert move(theory).derived["twice"].function(2.0) == 4.0
        assert move(compiled.analysis).status == "exact"
        there = move(compiled)
        assert np.array_equal(there.action(X), compiled.action(X))
        for thing in (theory, compiled, compiled.analysis, there):
            assert len(repr(thing).splitlines()) == 1
            assert len(repr(thing)) < 200


def _all_errors() -> list[type[errors.SesamoError]]:
    found = [errors.SesamoError]
    for kind in found:
        found += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", _all_errors())
def test_errors_travel(kind: type[errors.SesamoError]) -> None:
    usual = {"self", "subject", "expected", "found", "remedy", "explanation"}
    inits = [c.__init__ for c in kind.__mro__ if issubclass(c, errors.SesamoError)]
    names = {name for init in inits for name in inspect.signature(init).parameters}
    taken = {name for name in names - usual if name != "run"}
    error = kind("it", expected="this", found="that", remedy="do", **dict.fromkeys(taken, X))
    for there in (copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(there) is kind
        assert (str(there), there.remedy) == (str(error), "do")
        assert set(vars(there)) >= set(vars(error)) - {"run"}  # which stays where it is


# Theory files, and what surrounds a call


def test_a_theory_file_imports_its_neighbours(tmp_path: Path) -> None:
    text = "import sesamo_dsl as sd\nfrom neighbour import N\nx = sd.ScalarField('x', sd.Lattice(N))\n"
    text += "theory = sd.Theory('t', fields=[x], action=x.lattice.sum(x**2))\n"
    path = list(sys.path)
    for extent in (3, 5):
        place = tmp_path / str(extent)
        place.mkdir()
        (place / "neighbour.py").write_text(f"N = {extent}\n")
        (place / "theory.py").write_text(text)
        assert sd.load_theory(place / "theory.py").lattice == sd.Lattice(extent)
    assert sys.path == path
    assert "neighbour" not in sys.modules


@pytest.mark.parametrize(
    "text", ["class B(BaseException): pass\nraise B", "raise SystemExit(3)", "raise GeneratorExit"]
)
def test_whatever_a_theory_file_raises(text: str, tmp_path: Path) -> None:
    (tmp_path / "theory.py").write_text(text)
    with pytest.raises(errors.TheoryFileError):
        sd.load_theory(tmp_path / "theory.py")


def drawn_by_torch(directory: Any) -> np.ndarray:
    compiled = sd.compile(sd.load_theory("gaussian_mixture"), "torch")
    run = compiled.train(steps=2, batch=8, progress=False, directory=directory)
    return run.sample(5).x


@functools.cache
def drawn_with_nothing_switched_on() -> np.ndarray:
    return drawn_by_torch(False)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, lambda: torch.device("meta")])
def test_what_is_switched_on_in_torch_does_not_matter(around: Callable[[], Any], tmp_path: Path) -> None:
    before = drawn_with_nothing_switched_on()
    with around():
        assert np.array_equal(drawn_by_torch(tmp_path / "around"), before)


def test_float64_of_jax_is_on_only_inside() -> None:
    jax = pytest.importorskip("jax")
    compiled = sd.compile(declared(), "jax", precision="float64")
    with jax.numpy_dtype_promotion("strict"):
        values = compiled.action(X)
    assert values.dtype == np.float64
    assert not jax.config.jax_enable_x64


# The cache of emitted modules


def test_the_cache_is_private_and_runs_what_was_emitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cache"
    monkeypatch.setenv("SESAMO_DSL_CACHE", str(place))
    path, module = cache.load_source("planted", "VALUE = 1\n")
    assert place.stat().st_mode & 0o777 == 0o700
    assert module.VALUE == 1
    del sys.modules[module.__name__]
    path.write_text("VALUE = 2\n")
    assert cache.load_source("planted", "VALUE = 1\n")[1].VALUE == 1
    assert path.read_text() == "VALUE = 1\n"
    assert not list(place.glob("**/*.pyc"))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files")
def test_a_cache_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESAMO_DSL_CACHE", str(tmp_path))
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(errors.RunError, match="SESAMO_DSL_CACHE"):
        cache.cache_directory()


def test_without_a_home_the_cache_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESAMO_DSL_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    place = cache.cache_directory()
    assert place.is_dir()
    assert place.stat().st_mode & 0o777 == 0o700


# The command line and pytest


def test_a_full_disk_behind_the_output() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    command = [sys.executable, "-c", "from sesamo_dsl.cli import main; main()", "--version"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr


def test_an_output_that_is_closed() -> None:
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    main = "import sys; sys.argv[1:] = ['--version']; from sesamo_dsl.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, main], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_terminals_without_our_letters(encoding: str) -> None:
    code = "import sys; from sesamo_dsl.cli import main; sys.argv[1:] = ['theories']; main()"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert b"scalar_phi4" in done.stdout


def test_the_pytest_plugin_imports_nothing() -> None:
    code = (
        "import sys, sesamo_pytest; print([m for m in sys.modules if m in ('sesamo_dsl', 'sympy', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Arguments of the wrong type, to everything that is exported


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run with its samples and a chain, and samples of a complex field."""
    place = tmp_path_factory.mktemp("runs")
    z = sd.ComplexField("z", LATTICE)
    circle = sd.Theory("circle", fields=[z], action=LATTICE.sum(z.abs2 + z.abs2**2), symmetries=[sd.U1(z)])
    options: dict[str, Any] = {"steps": 2, "batch": 8, "progress": False}
    run = sd.compile(declared(), "torch").train(directory=place / "named", **options)
    turning = sd.compile(circle, "torch").train(directory=place / "circle", **options)
    samples = run.sample(200)
    chain = sd.independence_metropolis(samples)
    return {"run": run, "samples": samples, "chain": chain, "circle": turning.sample(200)}


PHI, SITES, GRAPH = sd.ScalarField("phi", LATTICE), sd.Lattice(3), sd.GraphLattice(nx.path_graph(3), time=2)
Z, V, W = sd.ComplexField("z", LATTICE), sd.VectorField("v", LATTICE, 3), sd.VectorField("w", LATTICE, 4)
SIGN = [{PHI: -PHI}]
WRONG: dict[str, Any] = {
    "a number": 2.5,
    "a flag": True,
    "NaN": math.nan,
    "bytes": b"x",
    "an array": np.zeros((2, 2)),
    "text in an array": np.array(["a", "b"]),
    "rows of different lengths": [[1], [1, 2]],
    "a function": lambda *_: None,
    "a symbol": sp.Symbol("q"),
    "an object": object(),
    "unhashable": [{}],
    "a tensor": torch.zeros(3),
    "a huge integer": -(10**400),
}
PASSED: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "find_symmetries": lambda v, _: sd.find_symmetries(v),
    "find_symmetries at": lambda v, _: sd.find_symmetries(declared(), at=v),
    "find_symmetries seconds": lambda v, _: sd.find_symmetries(declared(), seconds=v),
    "independence_metropolis": lambda v, _: sd.independence_metropolis(v),
    "independence_metropolis seed": lambda v, d: sd.independence_metropolis(d["samples"], v),
    "angle_test": lambda v, _: sd.angle_test(v),
    "angle_test source": lambda v, d: sd.angle_test(d["circle"], v),
    "angle_test bins": lambda v, d: sd.angle_test(d["circle"], bins=v),
    "two_point": lambda v, _: sd.two_point(v),
    "two_point axis": lambda v, _: sd.two_point(X, axis=v),
    "analyse": lambda v, _: sd.analyse(v),
    "analyse parameters": lambda v, _: sd.analyse(declared(), parameters=v),
    "compile": lambda v, _: sd.compile(v),
    "compile backend": lambda v, _: sd.compile(declared(), v),
    "compile precision": lambda v, _: sd.compile(declared(), precision=v),
    "compare": lambda v, _: sd.compare(v),
    "compare methods": lambda v, _: sd.compare(declared(), v),
    "compare seeds": lambda v, _: sd.compare(declared(), seeds=v),
    "scan": lambda v, _: sd.scan(v, {"a": [0.1, 0.2]}, directory=False),
    "scan over": lambda v, _: sd.scan(declared(), v, directory=False),
    "scan values": lambda v, _: sd.scan(declared(), {"a": v}, directory=False),
    "scan parameters": lambda v, _: sd.scan(declared(), {"a": [0.1, 0.2]}, parameters=v, directory=False),
    "hmc": lambda v, _: sd.hmc(v),
    "anneal": lambda v, _: sd.anneal(v),
    "anneal parameters": lambda v, _: sd.anneal(declared(), parameters=v),
    "register_flow": lambda v, _: sd.register_flow(v, lambda *_: None),
    "register_flow factory": lambda v, _: sd.register_flow("mine", v),
    "register_base": lambda v, _: sd.register_base(v, lambda *_: None),
    "register_base factory": lambda v, _: sd.register_base("mine", v),
    "register_law": lambda v, _: sd.register_law(v, UniformLaw),
    "register_law type": lambda v, _: sd.register_law("mine", v),
    "Estimate": lambda v, _: sd.Estimate(v, 0.1),
    "Estimate error": lambda v, _: sd.Estimate(0.1, v),
    "propagate": lambda v, _: sd.propagate(v, sd.Estimate(1.0, 0.1)),
    "propagate of": lambda v, _: sd.propagate(lambda x: x, v),
    "load_run": lambda v, _: sd.load_run(v),
    "load_run backend": lambda v, d: sd.load_run(d["run"].directory, backend=v),
    "load_theory": lambda v, _: sd.load_theory(v),
    "Lattice": lambda v, _: sd.Lattice(v),
    "GraphLattice": lambda v, _: sd.GraphLattice(v),
    "ScalarField": lambda v, _: sd.ScalarField(v, LATTICE),
    "AngleField": lambda v, _: sd.AngleField(v, LATTICE),
    "AngleField lattice": lambda v, _: sd.AngleField("theta", v),
    "ComplexField": lambda v, _: sd.ComplexField("z", v),
    "VectorField": lambda v, _: sd.VectorField("v", LATTICE, v),
    "index of a component": lambda v, _: V[v],
    "dot": lambda v, _: V.dot(v),
    "parameters": lambda v, _: sd.parameters(v),
    "SiteConstant": lambda v, _: sd.SiteConstant("h", SITES, v),
    "FermionLogDet": lambda v, _: sd.FermionLogDet(v, 1, sd.ScalarField("g", GRAPH)),
    "BisectionSpec": lambda v, _: sd.BisectionSpec(hidden=v),
    "CircularSpec": lambda v, _: sd.CircularSpec(hidden=v),
    "CircularSpec kernel": lambda v, _: sd.CircularSpec(kernel=v),
    "FlowSpec": lambda v, _: sd.FlowSpec(layers=2, hidden=v),
    "TrainingOptions": lambda v, _: sd.TrainingOptions(batch=v),
    "Z2": lambda v, _: sd.Z2(v),
    "Cyclic": lambda v, _: sd.Cyclic(v, Z),
    "SO": lambda v, _: sd.SO(v),
    "SU": lambda v, _: sd.SU(v, W),
    "SU2": lambda v, _: sd.SU2(v),
    "U1": lambda v, _: sd.U1(Z, charges=v),
    "U1 of an angle": lambda v, _: sd.U1(sd.AngleField("theta", LATTICE), charges=v),
    "AngleRotation": lambda v, _: sd.groups.AngleRotation("R", v),
    "LieSymmetry": lambda v, _: sd.LieSymmetry("R", v),
    "Sitewise": lambda v, _: sd.Sitewise(sd.Z2(PHI), v),
    "Symmetry": lambda v, _: sd.Symmetry("s", v),
    "Symmetry use": lambda v, _: sd.Symmetry("s", SIGN, use=v),
    "Symmetry collective": lambda v, _: declared(symmetries=[sd.Symmetry("s", SIGN, collective=v)]),
    "together name": lambda v, _: sd.groups.together(sd.Z2(PHI), sd.Z2(Z), name=v),
    "direct_product name": lambda v, _: sd.groups.direct_product(sd.Z2(PHI), sd.Z2(Z), name=v),
    "Phases charge": lambda v, _: sd.groups.Phases(3, Z, charge=v),
    "Theory symmetries": lambda v, _: declared(symmetries=v),
    "Theory defaults": lambda v, _: declared(defaults=v),
    "theory_suite": lambda v, _: theory_suite(declared(), v),
    "train parameters": lambda v, d: d["run"].compiled.train(parameters=v),
    "train callbacks": lambda v, d: d["run"].compiled.train(callbacks=v),
    "train plan": lambda v, d: d["run"].compiled.train(v),
    "CSVLogger": lambda v, _: sd.CSVLogger(v),
    "TensorBoardLogger": lambda v, _: sd.TensorBoardLogger(v),
    "LivePicture": lambda v, _: sd.LivePicture(v),
    "LivePicture seconds": lambda v, _: sd.LivePicture(seconds=v),
    "EarlyStopping": lambda v, _: sd.EarlyStopping(v),
    "EarlyStopping patience": lambda v, _: sd.EarlyStopping(patience=v),
    "BestWeights": lambda v, _: sd.BestWeights(v),
    "BestWeights window": lambda v, _: sd.BestWeights(window=v),
    "Every": lambda v, _: sd.Every(v, steps=2),
    "Every steps": lambda v, _: sd.Every(lambda _: None, steps=v),
    "Every seconds": lambda v, _: sd.Every(lambda _: None, seconds=v),
    "train directory": lambda v, d: d["run"].compiled.train(directory=v),
    "train progress": lambda v, d: d["run"].compiled.train(progress=v),
    "train reference": lambda v, d: d["run"].compiled.train(reference=v),
    "train start_from": lambda v, d: d["run"].compiled.train(start_from=v),
    "train over": lambda v, d: d["run"].compiled.train(over=v),
    "at": lambda v, d: d["run"].at(v),
    "action at": lambda v, d: d["run"].compiled.action(X, v),
    "sample": lambda v, d: d["run"].sample(v),
    "log_prob": lambda v, d: d["run"].log_prob(v),
    "resume restart": lambda v, d: d["run"].resume(5, restart=v),
    "expect": lambda v, d: d["samples"].expect(v),
    "derived": lambda v, d: d["samples"].derived(v),
    "derived of": lambda v, d: d["samples"].derived(lambda m: m, v),
    "expect of a chain": lambda v, d: d["chain"].expect(v),
    "derived of a chain": lambda v, d: d["chain"].derived(v),
    "joined": lambda v, d: d["chain"].joined(v),
}
MEANT = {  # what is right here, or taken for what it stands for
    ("find_symmetries seconds", "a number"),
    ("register_flow factory", "a function"),
    ("register_base factory", "a function"),
    ("propagate of", "a number"),
    *((f"Estimate{part}", kind) for part in ("", " error") for kind in ("a number", "NaN", "a huge integer")),
    ("resume restart", "a flag"),
    ("train progress", "a flag"),
    ("Every", "a function"),
    *((call, "a number") for call in ("LivePicture seconds", "Every seconds")),
    ("theory_suite", "text in an array"),
    ("SiteConstant", "a tensor"),
    ("Symmetry", "unhashable"),
    ("Phases charge", "a huge integer"),
}


@pytest.mark.parametrize("call", PASSED)
def test_a_wrong_type_is_explained(call: str, drawn: dict[str, Any]) -> None:
    for kind, value in WRONG.items():
        if (call, kind) in MEANT:
            continue
        try:
            PASSED[call](value, drawn)
        except sd.SesamoError as refused:
            explained = refused
        else:
            pytest.fail(f"{call} takes {kind}")
        assert explained.expected.strip(), kind
        assert explained.remedy.strip(), kind


@pytest.mark.parametrize(
    "call",
    [
        lambda f, _: SITES.bonds(f),
        lambda f, _: GRAPH.bonds(f),
        lambda f, d: d["run"].compiled.train(callbacks=[f]),
        lambda f, d: d["run"].resume(2, callbacks=[f]),
        lambda f, d: d["samples"].expect(f),
        lambda f, d: d["chain"].expect(f),
        lambda f, d: d["samples"].derived(f, "action"),
    ],
)
@pytest.mark.parametrize("function", [lambda: 0.0, lambda a, b, c, d: a, lambda *, x: x])
def test_a_function_that_takes_other_arguments_is_refused_before_it_is_called(
    call: Any, function: Any, drawn: dict[str, Any]
) -> None:
    with pytest.raises((errors.OptionError, errors.LatticeError)) as refused:
        call(function, drawn)
    assert "lambda" in refused.value.found
    assert refused.value.remedy


def test_everything_that_is_exported_is_among_them() -> None:
    """Functions that take no values of theirs, and types that only results have, are left out by name."""
    called = {name.partition(" ")[0] for name in PASSED} | {"Theory"}
    results = {
        "Analysis",
        "Annealed",
        "Chain",
        "Comparison",
        "CompiledTheory",
        "Plan",
        "Run",
        "Samples",
        "Scan",
    }
    known = {name: getattr(sd, name) for name in dir(sd) if not name.startswith("_")}
    exported = {n for n, v in known.items() if callable(v)}
    exported -= {n for n, v in known.items() if isinstance(v, type) and issubclass(v, BaseException)}
    extensions = {"register_flow", "register_base", "register_law"}  # there once they were asked for
    assert exported - results - extensions - {"backend_names", "shipped_theories"} <= called


@pytest.mark.parametrize("value", [True, -1, 0, math.nan, math.inf, "5"])
def test_a_time_is_a_number_above_zero(value: Any) -> None:
    with pytest.raises(errors.OptionError, match="seconds of find_symmetries"):
        sd.find_symmetries(declared(), seconds=value)


def test_flags_and_bytes_are_no_numbers() -> None:
    for values in ([True, 1, 2], [1.0, np.True_, 2], (0, 1, False)):
        with pytest.raises(errors.ParameterError, match="real numbers"):
            sd.SiteConstant("h", SITES, values)
    assert sd.SiteConstant("h", SITES, [0, 1, 2]).array is not None
    for charges in (b"x", "1", {1}, {1: 2}, [True]):
        with pytest.raises(errors.GroupError, match="integer charge"):
            sd.U1(Z, charges=charges)  # pyright: ignore[reportArgumentType]
    assert sd.U1(Z, charges=np.array([2])).generators  # pyright: ignore[reportArgumentType]


def test_functions_of_means_give_one_number(drawn: dict[str, Any]) -> None:
    for function, word in ((lambda a, b: a, "takes 1"), (lambda a: "a", "real"), (lambda a: [a], "real")):
        with pytest.raises(errors.OptionError, match=word):
            drawn["samples"].derived(function, "size")
    assert drawn["samples"].derived(np.sqrt, "size").value > 0  # its signature is not known
    mask = drawn["samples"].x[:, 0, 0] > 0
    assert 0 < drawn["samples"].expect(mask).value < 1


NO_FUNCTIONS = {
    "a distribution": sp.DiracDelta(PHI),
    "a derivative of one": sp.DiracDelta(PHI, 1),
    "a singular function": sp.SingularityFunction(PHI, 0, 1),
    "a set": sp.Piecewise((1, sp.Contains(PHI, sp.Interval(0, 1))), (0, True)),
    "not in a set": sp.Piecewise((1, sp.Not(sp.Contains(PHI, sp.Integers))), (0, True)),
    "an order": sp.Order(PHI),
    "a spherical harmonic": sp.Ynm(0, 0, PHI, 0),
    "a hypergeometric function": sp.hyper([1], [2], PHI),
}


@pytest.mark.parametrize("name", NO_FUNCTIONS)
def test_what_has_no_number_at_a_configuration(name: str) -> None:
    for search in (sd.analyse, sd.find_symmetries):
        with pytest.raises(sd.SesamoError):
            search(_theory(LATTICE.sum(PHI**2 + NO_FUNCTIONS[name])))
    branches = sp.Piecewise((1, sp.Not(sp.And(PHI > 0, PHI < 1))), (0, True))
    assert _theory(LATTICE.sum(PHI**2 + branches))


def _theory(action: sp.Expr) -> sd.Theory:
    return sd.Theory("t", fields=[PHI], action=action, symmetries=[sd.Z2(PHI)])


def test_what_was_found_is_one_line() -> None:
    found = sd.find_symmetries(declared())
    assert len(repr(found).splitlines()) == 1
    assert "named" in repr(found)
    assert len(str(found).splitlines()) > 2


def test_a_rate_that_ruins_a_run_is_refused_before_it_is_touched(drawn: dict[str, Any]) -> None:
    run = drawn["run"]
    before = {path.name: path.read_bytes() for path in run.directory.iterdir() if path.is_file()}
    for rate in (1e300, 11, 0, True):
        with pytest.raises(errors.OptionError, match="learning_rate"):
            run.resume(1, learning_rate=rate, progress=False)
        with pytest.raises(errors.OptionError, match="learning_rate"):
            sd.TrainingOptions(learning_rate=rate)
    assert {path.name: path.read_bytes() for path in run.directory.iterdir() if path.is_file()} == before
    assert run.plan.learning_rate < 1
    assert sd.load_run(run.directory).finished


def test_a_corrupt_reference_is_one_error(tmp_path: Path) -> None:
    model = sd.compile(declared(), "torch")
    run = model.train(steps=2, batch=8, progress=False, directory=tmp_path / "run", reference=X)
    assert run.directory is not None
    path = run.directory / "reference.safetensors"
    whole = path.read_bytes()
    for data in (whole[:-8], b"", whole[:-8] + b"\0" * 8):
        path.write_bytes(data)
        with pytest.raises(errors.RunError, match=r"reference\.safetensors is damaged") as refused:
            sd.load_run(run.directory)
        assert str(refused.value).count("remedy:") == 1
    nested = not_a_run(run.directory, errors.ConfigurationError("x", expected="a", found="b", remedy="c"))
    assert str(nested).count("remedy:") == 1
    assert "x: b" in str(nested)
