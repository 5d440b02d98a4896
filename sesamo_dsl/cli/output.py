"""What a command says: results on stdout, as text or as one JSON object; progress and notes on stderr.

Commands speak through the functions of this module alone, so that ``--json`` and ``--quiet`` mean the same
everywhere. With ``--json`` whatever else is printed, by the file of a theory for instance, goes to stderr.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Generator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np
import typer
from rich.console import Console, RenderableType

from ..errors import SesamoError


@dataclass
class Output:
    """How the running command speaks, and what it has found so far.

    Attributes
    ----------
    command
        Its name.
    as_json
        True if one JSON object takes the place of text.
    quiet
        True if neither progress nor notes are wanted.
    found
        The entries of the JSON object.
    """

    command: str = ""
    as_json: bool = False
    quiet: bool = False
    found: dict[str, Any] = field(default_factory=dict)


_CURRENT: ContextVar[Output | None] = ContextVar("output", default=None)


_WIDEST = 104  # columns in which a text of several lines is readable


def _current() -> Output:
    return _CURRENT.get() or Output()


def say(text: str = "") -> None:
    """Print a part of the result as text."""
    if not _current().as_json:
        typer.echo(text)


def show(part: RenderableType) -> None:
    """Print a part of the result that is laid out for the width of the terminal."""
    if not _current().as_json:
        Console(highlight=False, width=min(Console().width, _WIDEST)).print(part)


def tell(**found: Any) -> None:
    """Add entries to the JSON object of the result; functions are called only if there is one."""
    if _current().as_json:
        _current().found.update({n: value() if callable(value) else value for n, value in found.items()})


def note(text: str) -> None:
    """Print a note about what is going on to stderr."""
    if not _current().quiet:
        typer.echo(text, err=True)


def progress() -> bool:
    """True if progress is to be shown."""
    return not _current().quiet


@contextlib.contextmanager
def doing(words: str) -> Generator[Callable[[str], object], None, None]:
    """A context in which stderr says what is being done: as long as it lasts on a terminal, else in a line.

    It yields a function that changes the words on a terminal.
    """
    console = Console(stderr=True)
    if progress() and console.is_terminal:
        with console.status(words) as status:
            yield status.update
    else:
        note(f"{words} …")
        yield lambda words: None


@contextlib.contextmanager
def speaking(command: str, *, as_json: bool, quiet: bool) -> Generator[None, None, None]:
    """A context for one command; with ``as_json`` the object is printed at its end, errors included."""
    output = Output(command, as_json, quiet)
    token = _CURRENT.set(output)
    try:
        if not as_json:
            yield
            return
        stdout, code = sys.stdout, 0
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except typer.Exit as ending:
            code = ending.exit_code
            raise
        except SesamoError as error:
            code = 1
            output.found["error"] = explained(error)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            code = 130
            raise typer.Exit(130) from error
        except Exception as error:  # a bug: its traceback is printed as well
            code = 1
            output.found["error"] = {"class": type(error).__name__, "found": str(error)}
            raise
        finally:
            write_object({"command": command, "exit_code": code, **output.found}, stdout)
    finally:
        _CURRENT.reset(token)


def explained(error: SesamoError) -> dict[str, str]:
    """The entries of an error."""
    named = {name: str(getattr(error, name)) for name in ("subject", "expected", "found", "remedy")}
    return {"class": type(error).__name__, **named}


def write_object(entries: Mapping[str, Any], stream: TextIO) -> None:
    """Write one JSON object; numbers that are NaN or infinite become null."""
    text = json.dumps(_plain(entries), indent=2, ensure_ascii=False, allow_nan=False)
    stream.write(text + "\n")
    stream.flush()


def _plain(value: Any) -> Any:
    """The value in the types of JSON; an estimate becomes its value and its error."""
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if hasattr(value, "value") and hasattr(value, "error"):
        return {"value": _plain(value.value), "error": _plain(value.error)}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else str(value)
