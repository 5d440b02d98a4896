"""Options and fixtures of the whole suite, and the one list of expressions that every printer has to pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import sympy as sp

from sesamo_dsl.ir.program import Program
from sesamo_dsl.testing.coverage import COVERAGE
from sesamo_dsl.testing.coverage import coverage_program as all_expressions


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files with what is emitted now, instead of comparing",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument ``covered`` runs once for every expression."""
    if "covered" in metafunc.fixturenames:
        metafunc.parametrize("covered", list(COVERAGE))


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


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Emitted modules go to a directory of this test session."""
    directory = tmp_path_factory.mktemp("emitted")
    pytest.MonkeyPatch().setenv("SESAMO_DSL_CACHE", str(directory))
    return directory
