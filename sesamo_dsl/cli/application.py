"""The application: its help, exit codes and version, and what happens to explained failures."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from inspect import Parameter
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperGroup

from ..errors import (
    SesamoError,
)
from .output import speaking, write_object

FAILED = 3  # exit code of a property or a check that fails


class _Commands(TyperGroup):
    """Commands whose explained failures end as a message and exit code 1, not as a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the words of the command line, and remember whether a script reads what comes of them."""
        ctx.meta[_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except SesamoError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error
        except _USAGE_ERROR as error:
            if not ctx.meta[_JSON]:
                raise
            usage = {"class": "usage", "found": error.format_message()}
            write_object({"command": ctx.invoked_subcommand, "exit_code": 2, "error": usage}, sys.stdout)
            raise typer.Exit(2) from error


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as a sentence: the line of code that gave it says nothing to who typed a command."""
    typer.secho(f"warning: {message}", fg="yellow", err=True)


_JSON = "sesamo_dsl.json"
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]  # of click, or of typer's own copy of it

app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    help="Declare a field theory in SymPy, check its symmetries, train a sampler that has them built in.",
    epilog="Exit codes: 0 done; 1 something that was given is wrong, as the message says; 2 wrong usage; "
    "3 a property or a check failed, or results are NaN or infinite; 130 interrupted.",
)

F = TypeVar("F", bound=Callable[..., None])
_SHARED = {
    "as_json": Annotated[
        bool, typer.Option("--json", help="Print one JSON object to stdout, errors included, and no text.")
    ],
    "quiet": Annotated[bool, typer.Option("--quiet", help="Show neither progress nor notes.")],
}


def command(name: str, **settings: Any) -> Callable[[F], F]:
    """Register a function as the command ``name``, with the options ``--json`` and ``--quiet``."""

    def register(function: F) -> F:
        @wraps(function)
        def run(*arguments: Any, as_json: bool = False, quiet: bool = False, **options: Any) -> None:
            with speaking(name, as_json=as_json, quiet=quiet):
                function(*arguments, **options)

        hints = get_type_hints(function, include_extras=True) | _SHARED
        shared = [Parameter(name, Parameter.KEYWORD_ONLY, default=False) for name in _SHARED]
        own = inspect.signature(function).parameters.values()
        parameters = [p.replace(annotation=hints[p.name]) for p in (*own, *shared)]
        run.__annotations__ = hints
        vars(run)["__signature__"] = inspect.Signature(parameters)
        app.command(name, **settings)(run)
        return function

    return register


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sesamo-dsl {version('sesamo-dsl')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that belong to no command."""


def main() -> None:
    """Entry point of the console script."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whatever started the process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # σ and ± are not in every terminal's character set
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:  # a full disk behind the output, say
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is tried on exit
        typer.echo(f"error: the output cannot be written: {error}", err=True)
        sys.exit(1)
