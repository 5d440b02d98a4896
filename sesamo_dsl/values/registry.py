"""Names that users add to those of the package: of a flow, a base or a law of their own."""

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
    """Where something was declared, as it was then.

    Attributes
    ----------
    file, digest
        Of the module, and the SHA-256 of what was in it; empty where there is no file.
    """

    module: str
    name: str
    file: str
    digest: str

    @classmethod
    def of(cls, entry: Any) -> Origin:
        """Of a function, a class, or an object that can be called."""
        module = str(getattr(entry, "__module__", None) or type(entry).__module__)
        file = str(getattr(sys.modules.get(module), "__file__", None) or "")
        digest = ""
        with contextlib.suppress(OSError):
            digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        return cls(module, str(getattr(entry, "__qualname__", "")), file, digest)

    def same_as(self, other: Origin) -> bool:
        """Whether both are one thing that was declared twice; False where that cannot be told."""
        known = self.digest != "" and self.name != "" and "<" not in self.name  # no lambda, no closure
        return known and self == other

    @property
    def text(self) -> str:
        """What has to be imported."""
        if self.module == "__main__":
            return f"{Path(self.file).stem} ({self.file})" if self.file else "what a Python session declared"
        return f"{self.module} ({self.file})" if self.file else self.module


class Registry(Generic[T]):
    """What each name of an option stands for; a name means one thing for as long as a process lives.

    Parameters
    ----------
    option
        The option whose values are the names, e.g. "flow".
    own
        Names of the package itself, with what they stand for.
    reserved
        Further names of the package, whose meaning is kept elsewhere.
    """

    def __init__(
        self, option: str, own: Mapping[str, T] | None = None, reserved: tuple[str, ...] = ()
    ) -> None:
        self.option, self._entries = option, dict(own or {})
        self._own = (*self._entries, *reserved)
        self._origins: dict[str, Origin] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the package, and those that were added in their order."""
        return (*self._own, *(name for name in self._entries if name not in self._own))

    def register(self, name: str, entry: T) -> None:
        """Add a name.

        A file that is run again without a change, as theory files are, says nothing new.

        Raises
        ------
        OptionError
            If it is no name, or stands for something else already.
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
                found=f"{name!r}, which stands for {checks.shown(self._entries.get(name, 'a built-in'))}",
                remedy="choose another name; runs and compiled functions know things by their names, so that "
                "none is given a new meaning",
            )
        self._entries[name], self._origins[name] = entry, origin

    def added(self, name: object) -> bool:
        """Whether it was added to those of the package."""
        return isinstance(name, str) and name in self._entries and name not in self._own

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def source(self, name: str) -> str:
        """What has to be imported for a name that was added: a module, with its file if it has one."""
        return self._origins[name].text
