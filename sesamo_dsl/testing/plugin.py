"""pytest plugin: ``pytest --sesamo-theory my_theory.py`` runs every law on the theory that a file declares.

The option may be repeated, and names shipped theories as well. ``--sesamo-backend`` chooses backends and
``--sesamo-examples`` the number of examples of each law.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ..theories import load_theory, shipped_theories
from .law import Law
from .laws import LAWS
from .subject import Subject
from .suite import LawViolation, require, run_law


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    group = parser.getgroup("sesamo-dsl", "laws of lattice field theories")
    group.addoption(
        "--sesamo-theory",
        action="append",
        default=[],
        metavar="THEORY",
        help="run all laws on the theory of this .py file, or on this shipped theory; may be repeated",
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
    files = {}
    for reference in cast(list[str], config.getoption("--sesamo-theory")):
        if reference in shipped_theories():
            path = Path(str(importlib.import_module(f"sesamo_theories.{reference}").__file__))
        else:
            path = config.invocation_params.dir / reference
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
    return None if reference is None else _TheoryFile.from_parent(parent, path=file_path, reference=reference)


class _TheoryFile(pytest.File):
    def __init__(self, *, reference: str, **options: Any) -> None:
        super().__init__(**options)
        self._reference = reference

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each law that applies."""
        backends = self.config.getoption("--sesamo-backend")
        subject = Subject.of(load_theory(self._reference), backends or None)
        for law in LAWS:
            if law.applies(subject):
                yield _LawItem.from_parent(self, name=law.name, law=law, subject=subject)


class _LawItem(pytest.Item):
    def __init__(self, *, law: Law, subject: Subject, **options: Any) -> None:
        super().__init__(**options)
        self._law, self._subject = law, subject

    def runtest(self) -> None:
        """Try the law."""
        examples = self.config.getoption("--sesamo-examples")
        require(run_law(self._law, self._subject, examples=examples), self._subject.theory)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A violation explains itself."""
        if isinstance(excinfo.value, LawViolation):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it comes from."""
        return self.path, None, f"{self._subject.theory.name}: {self._law.statement}"
