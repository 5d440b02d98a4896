"""The application: its help, exit codes and version, and what happens to explained failures."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import (
    SesamoError,
)

FAILED = 3  # exit code of a property or a check that fails


class _Commands(TyperGroup):
    """Commands whose explained failures end as a message and exit code 1, not as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SesamoError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    help="Declare a field theory in SymPy, check its symmetries, train a sampler that has them built in.",
    epilog="Exit codes: 0 done; 1 something that was given is wrong, as the message says; 2 wrong usage; "
    "3 a property or a check failed, or results are NaN or infinite; 130 interrupted.",
)


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
