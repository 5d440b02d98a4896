"""What tests of several rooms share: paths, examples, models before and far from their start, commands."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.cache import clear_cache
from typer.testing import CliRunner, Result

import sesamo_dsl as sd
from sesamo_dsl.annealing.result import Annealed
from sesamo_dsl.backend import Model, load_backend
from sesamo_dsl.cli import app
from sesamo_dsl.ir.interpreter import run as interpret
from sesamo_dsl.ir.program import Program
from sesamo_dsl.plan.base import make_base
from sesamo_dsl.plan.decide import decide
from sesamo_dsl.plan.options import TrainingOptions
from sesamo_dsl.runs.declaration import Declaration
from sesamo_dsl.runs.store import Memory

TESTS = Path(__file__).parent
ROOT = TESTS.parent
EXAMPLES = ROOT / "examples"


@dataclass
class Spent:
    """Processor time of a piece of work, in seconds."""

    seconds: float = float("nan")

    def is_below(self, bound: float) -> bool:
        """Whether a free core of the machine the bound is for takes less than this number of seconds.

        Where it took longer, fixed work tells how much slower this machine is just now.
        """
        return self.seconds < bound or self.seconds * _FREE_CORE / _fixed_work() < bound


def walkers_of_normal_numbers(program: Program, parameters: Mapping[str, float]) -> Annealed:
    """An annealing that was none: 4 populations of 50 ancestors with 5 descendants each, and weights."""
    rng, ancestor = np.random.default_rng(6), np.repeat(np.arange(200), 5)
    shape = program.configuration_shape
    x = rng.normal(size=(200, *shape))[ancestor] + 0.3 * rng.normal(size=(1000, *shape))
    (action,) = interpret(program, "action", {"x": x}, parameters)
    one = np.ones(1)
    return Annealed(
        *(program, parameters, x, 0.3 * rng.normal(size=1000), action, ancestor // 50, ancestor),
        *(one, one, one, one, np.zeros(4), np.full(4, 0.01), 250, 1.0, 0.0),
    )


_FREE_CORE = 0.3  # seconds that ``_fixed_work`` takes there


@contextmanager
def processor_time() -> Iterator[Spent]:
    """Time the work inside."""
    spent, start = Spent(), time.process_time()
    yield spent
    spent.seconds = time.process_time() - start


def _fixed_work() -> float:
    """Processor time of an expansion, with nothing remembered of the last one."""
    x, y, z = sp.symbols("x y z")
    clear_cache()
    start = time.process_time()
    sp.diff(sp.expand((x + 2 * y - z + sp.sin(x)) ** 7), x).subs(x, y + 1)
    return time.process_time() - start


@cache
def example(name: str) -> ModuleType:
    """A file of examples/ as a module that can be found again by its name."""
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def untrained(
    compiled: sd.CompiledTheory, parameters: Mapping[Any, Any] | None = None, **options: Any
) -> Model:
    """A model as the compiler makes it, with ``options`` of :class:`TrainingOptions`, before any step."""
    chosen = decide(TrainingOptions(**options), compiled.analysis)
    values = compiled.theory.parameter_values(parameters)
    base = make_base(compiled.program, values, chosen)
    return compiled.backend.model(compiled, values, base, chosen)


def untrained_run(
    compiled: sd.CompiledTheory, parameters: Mapping[Any, Any] | None = None, **options: Any
) -> sd.Run:
    """A run in memory before any step, with ``options`` of :class:`TrainingOptions`."""
    plan, values = compiled.plan(**options), compiled.parameter_values(parameters)
    base = make_base(compiled.program, values, plan)
    model = compiled.backend.model(compiled, values, base, plan)
    declared = Declaration.of(compiled, values, base)
    return sd.Run(compiled, values, plan, model, Memory(), declared, notes=plan.notes)


class ScaledFlow:
    """A flow of a user with a few operations: x = m + e^s z for each entry."""

    def __init__(self, arrays: Any, base: Any, dtype: str) -> None:
        self._xp, self._shape = arrays.xp, (base.components, *base.shape)
        self._mean = np.broadcast_to(base.mean.reshape(-1, *(1,) * len(base.shape)), self._shape)
        self._entries = int(np.prod(self._shape))

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        return {"log_scale": np.zeros(self._shape), "mean": self._mean.copy()}

    def forward(self, weights: Any, z: Any) -> tuple[Any, Any]:
        x = weights["mean"] + self._xp.exp(weights["log_scale"]) * z
        return x, self._log_q(weights, z)

    def inverse(self, weights: Any, x: Any) -> tuple[Any, Any]:
        z = (x - weights["mean"]) * self._xp.exp(-weights["log_scale"])
        return z, self._log_q(weights, z)

    def _log_q(self, weights: Any, z: Any) -> Any:
        squares = (z * z).reshape(-1, self._entries).sum(axis=1)
        return -squares / 2 - self._entries * math.log(2 * math.pi) / 2 - weights["log_scale"].sum()


def is_weight(key: str) -> bool:
    """Whether a name in a model's state is that of weights of the flow or of the law."""
    return key.startswith(("flow", "law"))


def shaken(
    model: Model,
    *,
    seed: int = 3,
    size: float | Callable[[str], float] = 0.1,
    chosen: Callable[[str], bool] = is_weight,
    single: bool = False,
) -> Model:
    """The model with noise on its weights, the same on every backend: far from the identity.

    Parameters
    ----------
    size
        Standard deviation of the noise, or a function of the weight's name.
    single
        Whether weights are rounded to float32, so that they are equal in models of both precisions.
    """
    rng, state = np.random.default_rng(seed), model.state()
    for key in sorted(filter(chosen, state)):
        scale = size(key) if callable(size) else size
        moved = state[key] + scale * rng.normal(size=state[key].shape)
        state[key] = moved.astype(np.float32) if single else moved
    model.load_state(state)
    return model


class WithoutArrays:
    """A backend that only compiles."""

    def __getattr__(self, name: str) -> Any:
        if name == "arrays":
            raise AttributeError(name)
        return getattr(load_backend("torch"), name)


QUICK = ("--steps", "2", "--batch", "16")  # of trainings on the command line


def run_command(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(result: Result, *words: str) -> None:
    """The command ended with exit code 1 and a message that has these words, on stderr."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert "expected:" in result.stderr
    assert "remedy:" in result.stderr
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
