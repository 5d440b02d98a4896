"""The surroundings of an annealing: a progress bar, signals that wait until it ends, double precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from signal import Signals

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from ..backend import Backend
from ..machine.interruption import held_back
from ..machine.progress_bar import progress_bar

Show = Callable[[str, float], None]
"""Shows words and the part of the work that is done, in [0, 1]."""


@contextmanager
def watched(
    backend: Backend, first: str, *, progress: bool, transient: bool = False
) -> Iterator[tuple[Sequence[Signals], Show]]:
    """A context to anneal in, which yields the signals received so far and a function that shows progress.

    Parameters
    ----------
    first
        The words beside the bar at the start.
    transient
        True if the bar disappears at the end.
    """
    columns = (TextColumn("annealing"), BarColumn(), TextColumn("{task.fields[shown]}"), TimeElapsedColumn())
    bar = progress_bar(*columns, progress=progress, transient=transient)
    with held_back() as signals, bar, backend.scope("float64"):
        task = bar.add_task("annealing", total=1.0, shown=first)
        yield signals, lambda words, part: bar.update(task, completed=part, shown=words)
