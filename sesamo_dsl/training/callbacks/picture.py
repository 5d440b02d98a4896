"""A picture of loss and batch ESS that follows a training, in a file or in a notebook."""

from __future__ import annotations

import io
import sys
import time
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ... import checks
from ...backend import Model
from ...errors import OptionError, RunError
from ...machine.files import write_bytes
from ...machine.outputs import check_picture
from ..history import History
from .watching import Step, Watcher

_POINTS = 500  # of a curve; each is a mean over steps
_SHARE = 0.05  # largest part of the time that goes into drawing


class LivePicture(Watcher):
    """Draws loss and batch ESS against the number of steps, every few seconds and at the end.

    Drawing takes at most a twentieth of the time.

    Parameters
    ----------
    path
        The picture, such as ``training.png``, which is replaced; by default it is shown in the notebook.
    seconds
        Least time between two drawings.

    Raises
    ------
    OptionError
        For a path that is no picture, for a time out of range, and without a path outside of a notebook.
    RunError
        If the picture cannot be written.
    """

    def __init__(self, path: str | Path | None = None, *, seconds: float = 5.0) -> None:
        self._path = None if path is None else checks.path(path, "path of LivePicture")
        self._seconds = checks.real(seconds, "seconds of LivePicture")
        if self._path is not None:
            check_picture(self._path)
        elif not _in_notebook():
            raise OptionError(
                "LivePicture",
                expected="a path, or a notebook to be shown in",
                found="neither",
                remedy='write LivePicture("training.png")',
            )
        self._history, self._shown = History(), None
        self._next = 0.0

    def begin(self, model: Model, history: History) -> None:
        """See :class:`Watcher`."""
        self._history, self._shown, self._next = history, None, time.perf_counter() + self._seconds

    def __call__(self, step: Step) -> None:
        """Draw, if it is time."""
        if time.perf_counter() >= self._next:
            self._draw()

    def end(self, model: Model, *, completed: bool) -> None:
        """Draw once more."""
        if len(self._history):
            self._draw()

    def _draw(self) -> None:
        begin = time.perf_counter()
        figure = _figure(self._history)
        if self._path is not None:
            data = io.BytesIO()
            figure.savefig(data, format=self._path.suffix.removeprefix(".").lower())
            try:
                write_bytes(self._path, data.getvalue())
            except RunError as error:  # a full disk, say; the training itself goes on
                warnings.warn(f"{self._path} is not drawn: {error.found}", RuntimeWarning, stacklevel=2)
        elif self._shown is None:
            self._shown = import_module("IPython.display").display(figure, display_id=True)
        else:
            self._shown.update(figure)
        end = time.perf_counter()
        self._next = end + max(self._seconds, (end - begin) * (1 / _SHARE - 1))


def _in_notebook() -> bool:
    """True in a process that shows what is displayed, which is one of IPython."""
    if "IPython" not in sys.modules:
        return False
    return getattr(import_module("IPython").get_ipython(), "kernel", None) is not None


def _figure(history: History) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # matplotlib takes a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, label) in zip(
        figure.subplots(1, 2), (("loss", "loss"), ("ess", "ESS of the batch")), strict=True
    ):
        axes.plot(*_thinned(history.columns.get(name, [])), linewidth=1)
        axes.set(xlabel="step", ylabel=label)
    return figure


def _thinned(values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Step numbers and means over as many steps as leave a readable number of points, (points,) each."""
    width = max(1, len(values) // _POINTS)
    whole = len(values) - len(values) % width
    means = np.array(values[:whole]).reshape(-1, width).mean(1)
    return (np.arange(len(means)) + 1) * width, means
