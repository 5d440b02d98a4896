"""Options and fixtures of the whole suite, and the one list of expressions that every printer has to pass."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sympy as sp

from sesamo_dsl.estimates.coverage import NOT_ASKED
from sesamo_dsl.ir.program import Program
from sesamo_dsl.testing.coverage import COVERAGE
from sesamo_dsl.testing.coverage import coverage_program as all_expressions

# XLA compiles equal functions of different models once; a worker of xdist has a directory of its own
_COMPILED_BY_XLA = TemporaryDirectory(prefix="sesamo-xla-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED_BY_XLA.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"

# Most functions are called a few times: XLA compiles them in half of the time without its optimisation
_QUICKLY = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_QUICKLY}".strip()

# Expressions, caches and traced functions live long: looking through all of them often takes 4 % of the time
gc.set_threshold(50_000, 50, 100)

SLOW = [
    "against_blackjax",
    "algebra",
    "anneal",
    "arguments",
    "autoregressive",
    "backends",
    "bonds",
    "bounded_analysis",
    "chains",
    "circle",
    "cli",
    "command",
    "compare",
    "coverage",
    "derivation",
    "discovery",
    "discovery_identical",
    "distribution",
    "documents",
    "domain",
    "domain_picture",
    "exact",
    "export",
    "exports",
    "extensions",
    "fermion_symbolic",
    "fermions",
    "flows",
    "fuzz",
    "golden_runs",
    "group_catalogue",
    "health",
    "hidden_parts",
    "hmc",
    "hubbard",
    "invariance",
    "ir",
    "layers",
    "learning",
    "minima",
    "mixed_precision",
    "moves",
    "notebook",
    "notebooks",
    "objectives",
    "optimizers",
    "phi4",
    "pictures",
    "propagation",
    "quadrature",
    "readme",
    "runs",
    "safe_expressions",
    "sampler",
    "samples_files",
    "sampling",
    "search_journey",
    "site_constants",
    "sitewise",
    "special_unitary",
    "surviving",
    "targets",
    "testing",
    "undeclared",
]
"""Files of tests, each of which takes more than a few seconds altogether."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files with what is emitted now, instead of comparing",
    )


def pytest_unconfigure() -> None:
    """Remove what XLA compiled here; a worker of xdist ends without what is run at exit."""
    _COMPILED_BY_XLA.cleanup()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument ``covered`` runs once for every expression."""
    if "covered" in metafunc.fixturenames:
        metafunc.parametrize("covered", list(COVERAGE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What trains, compiles with XLA or does statistics is slow; ``make quick`` leaves it out."""
    for item in items:
        if item.path.stem.removeprefix("test_") in SLOW or "jax" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def unchecked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a few steps is not followed by seconds of annealing, unless a test is ``checked``."""
    if "checked" not in request.keywords:
        monkeypatch.setattr("sesamo_dsl.runs.run.anneal_for_check", lambda *_, **__: (NOT_ASKED, ()))
        monkeypatch.setattr("sesamo_dsl.runs.starting.walkers_before_training", lambda *_, **__: (None, ()))


@pytest.fixture(scope="session")
def coverage_program() -> Program:
    """Functions ``action_<i>`` and ``gradient_<i>`` for the i-th expression."""
    return all_expressions()


@pytest.fixture(scope="session")
def coverage() -> dict[str, sp.Expr]:
    return COVERAGE


@pytest.fixture(scope="session")
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def float64_in_jax() -> Iterator[None]:
    """For tests that call emitted functions as they are, without the backend around them."""
    import jax  # takes a second, and few tests need it

    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Emitted modules go to a directory of this test session."""
    directory = tmp_path_factory.mktemp("emitted")
    pytest.MonkeyPatch().setenv("SESAMO_DSL_CACHE", str(directory))
    return directory
