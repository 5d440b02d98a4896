"""Names that users add to those of the package: of a flow, a base or a law of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from .. import checks
from ..errors import OptionError

T = TypeVar("T")


class Registry(Generic[T]):
    """What each name of an option stands for; a name means one thing for as long as a process lives.

    Parameters
    ----------
    option
        The option whose values are the names, e.g. "flow".
    own
        Names of the package itself, with what they stand for if that is not kept elsewhere.
    """

    def __init__(self, option: str, own: Mapping[str, T] | Iterable[str] = ()) -> None:
        self.option, self._own = option, tuple(own)
        self._entries: dict[str, T] = dict(own) if isinstance(own, Mapping) else {}

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the package, and those that were added in their order."""
        return (*self._own, *(name for name in self._entries if name not in self._own))

    def register(self, name: str, entry: T) -> None:
        """Add a name.

        Raises
        ------
        OptionError
            If it is no name, or stands for something else already.
        """
        if not isinstance(name, str) or not name.isidentifier():
            raise OptionError(
                f"name of a {self.option}",
                expected="letters, digits and underscores, not starting with a digit",
                found=checks.shown(name),
                remedy=f"choose another name for the {self.option}",
            )
        if name in self._own or self._entries.get(name, entry) is not entry:
            raise OptionError(
                f"{self.option} {name}",
                expected=f"a name that is not taken: {', '.join(self.names)} are",
                found=f"{name!r}, which stands for {checks.shown(self._entries.get(name, 'a built-in'))}",
                remedy="choose another name; runs and compiled functions know things by their names, so that "
                "none is given a new meaning",
            )
        self._entries[name] = entry

    def added(self, name: object) -> bool:
        """Whether it was added to those of the package."""
        return isinstance(name, str) and name in self._entries and name not in self._own

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def source(self, name: str) -> str:
        """What has to be imported for a name that was added: a module, with its file if it has one."""
        entry: Any = self._entries[name]
        module = getattr(entry, "__module__", None) or type(entry).__module__
        file = getattr(sys.modules.get(module), "__file__", None)
        if module == "__main__":
            return "what a Python session declared" if file is None else f"{Path(file).stem} ({file})"
        return module if file is None else f"{module} ({file})"
