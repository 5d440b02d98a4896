"""What ``pytest --sesamo-theory`` collects: a file for each theory, with an item for each of its laws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..language.theory_files import load_theory
from .law import Law
from .laws import LAWS
from .subject import Subject
from .suite import LawViolation, require, run_law


class TheoryFile(pytest.File):
    """The laws of one theory."""

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
