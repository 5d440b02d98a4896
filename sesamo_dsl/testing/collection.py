"""Collection for ``pytest --sesamo-theory``: a file for each theory, with an item for each property."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..language.theory_files import load_theory
from .properties import PROPERTIES
from .property import Property
from .subject import Subject
from .suite import PropertyViolation, check_property, require


class TheoryFile(pytest.File):
    """The properties of one theory."""

    def __init__(self, *, reference: str, **options: Any) -> None:
        super().__init__(**options)
        self._reference = reference

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each property that applies."""
        backends = self.config.getoption("--sesamo-backend")
        subject = Subject.of(load_theory(self._reference), backends or None)
        for prop in PROPERTIES:
            if prop.applies(subject):
                yield _PropertyItem.from_parent(self, name=prop.name, prop=prop, subject=subject)


class _PropertyItem(pytest.Item):
    def __init__(self, *, prop: Property, subject: Subject, **options: Any) -> None:
        super().__init__(**options)
        self._property, self._subject = prop, subject

    def runtest(self) -> None:
        """Test the property."""
        examples = self.config.getoption("--sesamo-examples")
        require(check_property(self._property, self._subject, examples=examples), self._subject.theory)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message of a PropertyViolation; pytest's own text for other failures."""
        if isinstance(excinfo.value, PropertyViolation):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Path, no line number, and the theory with the statement of the property."""
        return self.path, None, f"{self._subject.theory.name}: {self._property.statement}"
