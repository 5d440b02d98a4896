"""pytest plugin: ``pytest --sesamo-theory my_theory.py`` tests every property of a declared theory.

The option may be repeated, and names shipped theories as well. ``--sesamo-backend`` chooses backends and
``--sesamo-examples`` the number of examples of each law.

pytest imports this in every test run: it imports nothing of sesamo_dsl until a theory is named.
"""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    group = parser.getgroup("sesamo-dsl", "properties of lattice field theories")
    group.addoption(
        "--sesamo-theory",
        action="append",
        default=[],
        metavar="THEORY",
        help="run all properties on the theory of this .py file, or on this shipped theory; may be repeated",
    )
    group.addoption(
        "--sesamo-backend",
        action="append",
        default=[],
        metavar="BACKEND",
        help="backends to compare (default: all that are registered); may be repeated",
    )
    group.addoption(
        "--sesamo-examples", type=int, default=None, metavar="N", help="examples to try of each law"
    )


def _files(config: pytest.Config) -> dict[Path, str]:
    """The files to collect, with the reference that ``load_theory`` understands."""
    references = cast(list[str], config.getoption("--sesamo-theory"))
    if not references:
        return {}
    from sesamo_dsl import shipped_theories

    files = {}
    for reference in references:
        if reference in shipped_theories():
            path = Path(str(cast(ModuleSpec, find_spec(f"sesamo_theories.{reference}")).origin))
        else:
            path = config.invocation_params.dir / Path(reference).expanduser()
            if not path.is_file():
                raise pytest.UsageError(f"--sesamo-theory {reference}: no such file, no such shipped theory")
        files[path.resolve()] = reference if reference in shipped_theories() else str(path)
    return files


def pytest_configure(config: pytest.Config) -> None:
    """Collect the theories, and nothing else unless other tests are named."""
    files = [str(path) for path in _files(config)]
    if files:
        named = config.args_source is pytest.Config.ArgsSource.ARGS
        config.args[:] = [*config.args, *files] if named else files


@pytest.hookimpl(tryfirst=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """One collector for each theory."""
    reference = _files(parent.config).get(file_path.resolve())
    if reference is None:
        return None
    from sesamo_dsl.testing.collection import TheoryFile

    return TheoryFile.from_parent(parent, path=file_path, reference=reference)
