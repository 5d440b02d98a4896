"""Emitted code: equal to the interpreter on both backends and in both precisions, standalone, cached."""

from __future__ import annotations

import ast
import difflib
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
import torch

import sesamo_dsl as sd
from sesamo_dsl.backend import Backend, load_backend
from sesamo_dsl.errors import RunError
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.machine.cache import load_source
from sesamo_dsl.values.precision import Precision
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.scalar_phi4 import scalar_phi4
from support import TESTS

Array = np.ndarray[Any, Any]
GOLDEN = TESTS / "golden"
COUPLINGS = {"a": 0.7, "lambda": -0.4}
TOLERANCE: dict[Precision, float] = {"float64": 1e-12, "float32": 2e-5}
NAMES = ("torch", "jax")
PRECISIONS: tuple[Precision, ...] = ("float32", "float64")
every_backend = pytest.mark.parametrize("name", NAMES)
every_precision = pytest.mark.parametrize("precision", PRECISIONS)


def configurations(*shape: int, seed: int = 0) -> Array:
    """Random fields that keep off the kinks at zero, exact in float32."""
    x = np.random.default_rng(seed).normal(size=shape)
    return (x + 0.05 * np.sign(x)).astype(np.float32).astype(np.float64)


def close(found: Any, expected: Any, tolerance: float) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    assert np.abs(found - expected).max(initial=0) < tolerance * (1 + np.abs(expected).max(initial=0))


@cache
def evaluated(name: str, precision: Precision, program: Program) -> dict[str, tuple[Array, ...]]:
    """Every function of the coverage program on the same configurations, as the backend computes it."""
    backend = load_backend(name)
    _, module = load_source(f"coverage_{name}", backend.emit(program))
    couplings = {"a": COUPLINGS["a"], "lambda_": COUPLINGS["lambda"]}

    def everything(x: Any, **couplings: Any) -> dict[str, Any]:
        return {
            f.name: getattr(module, f.name)(
                x, **{k: v for k, v in couplings.items() if k.strip("_") in f.parameters}
            )
            for f in program.functions.values()
        }

    with backend.scope(precision):
        x = backend.to_array(configurations(3, 2, 3, 4), precision)
        values = (jax.jit(everything) if name == "jax" else everything)(x, **couplings)
        return {
            key: tuple(backend.to_numpy(v) for v in (value if isinstance(value, tuple) else (value,)))
            for key, value in values.items()
        }


@every_backend
@every_precision
def test_emitted_code_against_the_interpreter(
    name: str, precision: Precision, covered: str, coverage: dict[str, sp.Expr], coverage_program: Program
) -> None:
    index = list(coverage).index(covered)
    x = configurations(3, 2, 3, 4)
    for function in (f"action_{index}", f"gradient_{index}"):
        found = evaluated(name, precision, coverage_program)[function]
        expected = run(coverage_program, function, {"x": x}, COUPLINGS)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == precision
            close(one, other, TOLERANCE[precision])


def test_the_backends_agree(covered: str, coverage: dict[str, sp.Expr], coverage_program: Program) -> None:
    index = list(coverage).index(covered)
    ours, theirs = (evaluated(name, "float64", coverage_program)[f"gradient_{index}"] for name in NAMES)
    for one, other in zip(ours, theirs, strict=True):
        close(one, other, 1e-12)


THEORIES: dict[str, Callable[[], sd.Theory]] = {
    "gaussian_mixture": gaussian_mixture,
    "scalar_phi4": lambda: scalar_phi4(4, 6),
    "scalar_phi4 in three dimensions": lambda: scalar_phi4(2, 3, 4),
    "scalar_phi4 in four dimensions": lambda: scalar_phi4(2, 2, 3, 2),
    "scalar_phi4 on a ring": lambda: scalar_phi4(5),
}


@cache
def compiled(theory: str, name: str, precision: Precision) -> sd.CompiledTheory:
    return sd.compile(THEORIES[theory](), name, precision=precision)


@every_backend
@every_precision
@pytest.mark.parametrize("theory", THEORIES)
def test_compiled_theories_against_the_interpreter(theory: str, name: str, precision: Precision) -> None:
    model = compiled(theory, name, precision)
    shape = model.theory.configuration_shape
    x = 2 * configurations(16, *shape)
    values = model.theory.parameter_values({"h": 0.25})
    for function, signature in model.program.functions.items():
        inputs = {"u": np.arange(16) % model.analysis.group.order} if function == "modulate" else {}
        if function in ("chart", "unchart"):
            walls = len(model.program.constants["WALLS"])
            inputs = {"location": np.full((1, walls), 1.5), "width": np.full((1, walls), 2.0)}
            if function == "unchart":  # defined inside the domain
                x = run(model.program, "canonicalize", {"x": x}, values)[0] * 1.01
        first = signature.inputs[0][0]
        found = model.evaluate(function, x, {"h": 0.25}, **inputs)
        expected = run(model.program, function, {first: x, **inputs}, values)
        for one, other in zip(found, expected, strict=True):
            if np.issubdtype(other.dtype, np.integer):
                assert np.array_equal(one, other)
            else:
                close(one, other, TOLERANCE[precision])


@pytest.mark.usefixtures("float64_in_jax")
@every_backend
@pytest.mark.parametrize("theory", ["gaussian_mixture", "scalar_phi4"])
def test_gradient_against_autodiff(theory: str, name: str) -> None:
    model = compiled(theory, name, "float64")
    x = configurations(5, *model.theory.configuration_shape)
    functions = model.bind(model.theory.parameter_values({"h": 0.25}))
    values, gradient = model.evaluate("action_and_gradient", x, {"h": 0.25})
    if name == "torch":
        point = torch.tensor(x, requires_grad=True)
        total = functions["action"](point).sum()
        (slope,) = torch.autograd.grad(total, point)
        total, slope = total.item(), slope.numpy()
    else:
        total, slope = jax.value_and_grad(lambda y: functions["action"](y).sum())(jnp.asarray(x))
    close(total, values.sum(), 1e-12)
    close(slope, gradient, 1e-12)


# Names that collide with what emitted code is made of

AWKWARD = [
    "x",
    "x_",
    "lambda",
    "lambda_",
    "np",
    "torch",
    "jax",
    "jnp",
    "action",
    "gradient",
    "y",
    "u",
    "v3",
    "v5",
]
AWKWARD += ["MATRICES", "SHAPE", "class"]


@every_backend
def test_names_of_couplings_do_not_collide(name: str) -> None:
    lattice = sd.Lattice(3)
    phi = sd.ScalarField("phi", lattice)
    couplings = sd.parameters(" ".join(AWKWARD))
    density = sum(c * sp.cos(k * phi) * phi.shift(0) for k, c in enumerate(couplings, start=1)) + sp.exp(
        -(phi**2)
    )
    theory = sd.Theory("names", fields=[phi], action=lattice.sum(density), symmetries=[sd.Z2(phi)])
    model = sd.compile(theory, name, precision="float64")
    values = {c.name: 0.1 + 0.07 * k for k, c in enumerate(couplings)}
    x = configurations(4, 1, 3)
    p = x[:, 0]
    terms = sum(v * np.cos(k * p) * np.roll(p, -1, 1) for k, v in enumerate(values.values(), start=1))
    close(model.action(x, values), (terms + np.exp(-(p**2))).sum(axis=1), 1e-12)
    found = model.evaluate("action_and_gradient", x, values)
    for one, other in zip(found, run(model.program, "action_and_gradient", {"x": x}, values), strict=True):
        close(one, other, 1e-12)


@every_backend
def test_names_of_fields_do_not_collide(name: str) -> None:
    lattice = sd.Lattice(3)
    fields = [sd.ScalarField(field, lattice) for field in AWKWARD]
    v4, kappa = sd.parameters("v4 kappa")
    density = sp.Add(
        *(
            v4 * f * g.shift(0) + kappa * sp.exp(-(f**2))
            for f, g in zip(fields, [*fields[1:], fields[0]], strict=True)
        )
    )
    theory = sd.Theory("names", fields=fields, action=lattice.sum(density))
    model = sd.compile(theory, name, precision="float64")
    x = configurations(4, len(AWKWARD), 3)
    values = {"v4": 0.3, "kappa": 0.7}
    terms = 0.3 * x * np.roll(np.roll(x, -1, axis=1), -1, axis=2) + 0.7 * np.exp(-(x**2))
    close(model.action(x, values), terms.sum(axis=(1, 2)), 1e-13)
    found = model.evaluate("action_and_gradient", x, values)
    for one, other in zip(found, run(model.program, "action_and_gradient", {"x": x}, values), strict=True):
        close(one, other, 1e-13)


# Standalone

STANDALONE = """
import importlib.util, json, sys
for forbidden in ("sesamo_dsl", "sesamo_torch", "sesamo_jax", "sesamo_theories"):
    sys.modules[forbidden] = None  # importing it is an ImportError
path, framework, data = sys.argv[1:]
spec = importlib.util.spec_from_file_location("copied", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
x = json.loads(data)
if framework == "torch":
    import torch
    x = torch.tensor(x, dtype=torch.float64)
else:
    import jax
    jax.config.update("jax_enable_x64", True)
    x = jax.numpy.asarray(x)
out = [module.action(x, h=0.25), *module.action_and_gradient(x, h=0.25)]
out += [*module.canonicalize(x), module.facets(x)]
print(json.dumps([o.tolist() for o in out]))
"""


@every_backend
def test_an_emitted_module_runs_alone(name: str, tmp_path: Path) -> None:
    model = compiled("gaussian_mixture", name, "float64")
    copy = Path(shutil.copy(model.source_path, tmp_path / "copied.py"))
    imports = [
        node
        for node in ast.walk(ast.parse(copy.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    roots = {
        alias.name.split(".")[0] for node in imports if isinstance(node, ast.Import) for alias in node.names
    }
    assert all(isinstance(node, ast.Import) for node in imports)
    assert roots - sys.stdlib_module_names <= {"numpy", name}
    x = 5 * configurations(4, 2, 1)
    command = [sys.executable, "-I", "-c", STANDALONE, str(copy), name, json.dumps(x.tolist())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    functions = ("action", "action_and_gradient", "canonicalize", "facets")
    expected = [v for f in functions for v in model.evaluate(f, x, {"h": 0.25})]
    found = json.loads(done.stdout)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        close(one, other, 1e-13)


@every_backend
def test_emitted_code_reads_well(name: str) -> None:
    """One assignment per line, the terms of the action as comments."""
    source = compiled("scalar_phi4", name, "float64").source_path.read_text()
    body = source.split("def action(")[1].split("\ndef ")[0]
    assert "# phi(x+1e0)" in body
    for line in body.splitlines()[2:]:
        assert re.fullmatch(r"    (\w+ = .+|return \w+)|", line), line
    assert len(body.splitlines()) < 30


# The cache


@every_backend
def test_cache_is_addressed_by_content(name: str, private_cache: Path) -> None:
    first = sd.compile(scalar_phi4(4, 4), name)
    again = sd.compile(scalar_phi4(4, 4), name)
    other = sd.compile(scalar_phi4(4, 5), name)
    assert first.source_path == again.source_path
    assert first.module is again.module
    assert other.source_path != first.source_path
    assert first.source_path.parent == private_cache
    assert first.module.__file__ == str(first.source_path)
    assert first.source_path.read_text() == first.backend.emit(first.program)
    assert not [p for p in private_cache.iterdir() if p.name.startswith(".")], "no temporary file is left"


def test_a_damaged_cache_file_is_replaced() -> None:
    source = "VALUE = 41 + 1\n"
    path, module = load_source("damaged", source)
    assert module.VALUE == 42
    path.write_text("VALUE = 'cut o")
    again, _ = load_source("damaged", source)
    assert again == path
    assert path.read_text() == source


def test_an_unwritable_cache_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    monkeypatch.setenv("SESAMO_DSL_CACHE", str(blocked / "below"))
    with pytest.raises(RunError, match="remedy"):
        load_source("blocked", "VALUE = 1\n")


# Couplings at run time


@pytest.mark.usefixtures("float64_in_jax")
def test_couplings_change_without_tracing_again() -> None:
    model = compiled("scalar_phi4", "jax", "float64")
    traces = 0

    @jax.jit
    def action(x: jax.Array, h: jax.Array, kappa: jax.Array, lambda_: jax.Array) -> Any:
        nonlocal traces
        traces += 1
        return model.module.action_and_gradient(x, h=h, kappa=kappa, lambda_=lambda_)

    x = configurations(3, 1, 4, 6)
    for values in [(0.0, 0.3, 0.02), (0.5, 0.2, 0.1), (-1.5, 0.0, 1.0)]:
        couplings = dict(zip(("h", "kappa", "lambda"), values, strict=True))
        found = action(jnp.asarray(x), *values)
        for one, other in zip(
            found, run(model.program, "action_and_gradient", {"x": x}, couplings), strict=True
        ):
            close(one, other, 1e-12)
    assert traces == 1


@every_backend
def test_couplings_are_arguments_of_the_same_module(name: str) -> None:
    model = compiled("gaussian_mixture", name, "float64")
    x = configurations(4, 2, 1)
    actions = [model.action(x, {"h": h}) for h in (0.0, 0.5, -2.0)]
    close(actions[1] - actions[0], 0.5 * x.sum(axis=(1, 2)), 1e-12)
    close(actions[2] - actions[0], -2.0 * x.sum(axis=(1, 2)), 1e-12)
    close(model.action(x), actions[0], 1e-15)


# Golden files

NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d*(?:e[-+]?\d+)?|(?<![\w.])-?\d+e[-+]?\d+")


def same_text(found: str, expected: str) -> bool:
    """Equal text, with decimal numbers compared to 1e-9: their last digits depend on the BLAS."""
    if NUMBER.sub("#", found) != NUMBER.sub("#", expected):
        return False
    ours, theirs = ([float(n) for n in NUMBER.findall(text)] for text in (found, expected))
    return bool(np.allclose(ours, theirs, rtol=1e-9, atol=1e-9))


def golden_programs(coverage_program: Program) -> dict[str, Callable[[Backend], str]]:
    return {
        "coverage": lambda backend: backend.emit(coverage_program),
        "gaussian_mixture": lambda backend: compiled(
            "gaussian_mixture", backend.name, "float64"
        ).source_path.read_text(),
        "scalar_phi4": lambda backend: compiled(
            "scalar_phi4", backend.name, "float64"
        ).source_path.read_text(),
    }


@every_backend
@pytest.mark.parametrize("golden", ["coverage", "gaussian_mixture", "scalar_phi4"])
def test_golden(golden: str, name: str, coverage_program: Program, update_golden: bool) -> None:
    """Rewrite the files with ``pytest --update-golden`` and read the difference before committing it."""
    text = golden_programs(coverage_program)[golden](load_backend(name))
    path = GOLDEN / f"{golden}.{name}.txt"
    if update_golden:
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8")
    if not same_text(text, expected):
        change = difflib.unified_diff(
            expected.splitlines(), text.splitlines(), path.name, "emitted", lineterm=""
        )
        pytest.fail("\n".join(["run pytest --update-golden if this is meant", *itertools.islice(change, 60)]))


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ("v1 = 0.50000000000001 * x", True),
        ("v1 = 0.5001 * x", False),
        ("v1 = 0.5 * y", False),
        ("v1 = -0.5 * x", False),
        ("v2 = 0.5 * x", False),
    ],
)
def test_golden_comparison_sees_what_matters(changed: str, same: bool) -> None:
    assert same_text("v1 = 0.5 * x", "v1 = 0.5 * x")
    assert same_text("v1 = 0.5 * x", changed) is same


def test_modules_are_real_modules() -> None:
    module = compiled("scalar_phi4", "torch", "float64").module
    assert isinstance(module, ModuleType)
    assert module.COMPONENTS == ("phi",)
    assert module.SHAPE == (4, 6)
    assert module.PARAMETERS == {"h": 0.0, "kappa": 0.3, "lambda": 0.022}
