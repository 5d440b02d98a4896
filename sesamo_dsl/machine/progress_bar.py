"""Progress bars, in terminals, notebooks and files."""

from __future__ import annotations

from importlib.util import find_spec

from rich import get_console
from rich.console import Console
from rich.progress import Progress, ProgressColumn

_PER_SECOND = 4  # in a notebook each refresh is a message to the browser


def tell(text: str, *, progress: bool) -> None:
    """Print a sentence where progress bars are drawn, if they are."""
    if progress:
        _console().print(text, highlight=False, markup=False)


def progress_bar(*columns: ProgressColumn, progress: bool, transient: bool = False) -> Progress:
    """A progress bar of rich, which shows nothing unless ``progress``.

    In a notebook it moves if ipywidgets is installed, which rich needs there; without it, as in a file, the
    last state is printed once. Outside of a notebook it is drawn on stderr.
    """
    console = _console()
    rate = _PER_SECOND if console.is_jupyter else 10
    return Progress(
        *columns, console=console, disable=not progress, transient=transient, refresh_per_second=rate
    )


def _console() -> Console:
    console = get_console()
    if not console.is_jupyter:
        return Console(stderr=True)  # results alone go to stdout
    return console if find_spec("ipywidgets") else Console(force_jupyter=False, force_terminal=False)
