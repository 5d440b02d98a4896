"""Registries of names for flows, bases and laws: the package's own names and those that users register."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from .. import checks
from ..errors import OptionError

T = TypeVar("T")


@dataclass(frozen=True)
class Origin:
    """The place where a function or class was declared, with the digest of its file at that time.

    Attributes
    ----------
    file, digest
        File of the module and the SHA-256 of its content; empty if there is no file.
    """

    module: str
    name: str
    file: str
    digest: str

    @classmethod
    def of(cls, entry: Any) -> Origin:
        """The origin of a function, a class, or a callable object."""
        module = str(getattr(entry, "__module__", None) or type(entry).__module__)
        file = str(getattr(sys.modules.get(module), "__file__", None) or "")
        digest = ""
        with contextlib.suppress(OSError):
            digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        return cls(module, str(getattr(entry, "__qualname__", "")), file, digest)

    def same_as(self, other: Origin) -> bool:
        """Whether both come from the same declaration, executed twice; False if this is unknown."""
        known = self.digest != "" and self.name != "" and "<" not in self.name  # no lambda, no closure
        return known and self == other

    @property
    def text(self) -> str:
        """The module to import, with its file if it has one, in words."""
        if self.module == "__main__":
            return f"{Path(self.file).stem} ({self.file})" if self.file else "what a Python session declared"
        return f"{self.module} ({self.file})" if self.file else self.module


class Registry(Generic[T]):
    """A mapping of names to the entries of an option; a name is bound once in the life of a process.

    Parameters
    ----------
    option
        The option whose values are the names, e.g. "flow".
    own
        The package's own names with their entries.
    """

    def __init__(self, option: str, own: Mapping[str, T] | None = None) -> None:
        self.option, self._entries = option, dict(own or {})
        self._own = tuple(self._entries)
        self._origins: dict[str, Origin] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the package, then the registered ones in order."""
        return tuple(self._entries)

    def register(self, name: str, entry: T) -> None:
        """Bind a name to an entry.

        A second registration from the same unchanged file is allowed, because theory files are run again.

        Raises
        ------
        OptionError
            If ``name`` is not a valid name, or is bound to something else.
        """
        given: Any = name
        if not isinstance(given, str) or not given.isidentifier():
            raise OptionError(
                f"name of a {self.option}",
                expected="letters, digits and underscores, not starting with a digit",
                found=checks.shown(name),
                remedy=f"choose another name for the {self.option}",
            )
        origin = Origin.of(entry)
        if self.added(name) and (self._entries[name] is entry or origin.same_as(self._origins[name])):
            return
        if name in self.names:
            raise OptionError(
                f"{self.option} {name}",
                expected=f"a name that is not taken: {', '.join(self.names)} are",
                found=f"{name!r}, which stands for {checks.shown(self._entries[name])}",
                remedy="choose another name; runs and compiled functions know things by their names, so that "
                "none is given a new meaning",
            )
        self._entries[name], self._origins[name] = entry, origin

    def added(self, name: object) -> bool:
        """Whether the name was registered by a user."""
        return isinstance(name, str) and name in self._entries and name not in self._own

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def source(self, name: str) -> str:
        """The module to import for a registered name, with its file if it has one, in words."""
        return self._origins[name].text
