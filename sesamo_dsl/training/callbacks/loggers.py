"""Files of the metrics of a training while it runs: CSV, and for TensorBoard."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, TextIO

from ... import checks
from ...backend import Model
from ...errors import OptionError, RunError
from ...machine.files import write_text
from ...machine.optional import library
from ...machine.outputs import check_output
from ..history import History
from .watching import Step, Watcher

_HEADER = "step,seconds,progress,loss,ess,gradient_norm"


class CSVLogger(Watcher):
    """Writes the metrics of every step to a CSV file, one line for each, as soon as it is done.

    A training that goes on writes on in the same file; lines of steps that it repeats are replaced. The run
    keeps the same numbers in its directory with every checkpoint.

    Parameters
    ----------
    path
        A file that ends in ``.csv``: a new one, or that of the training that is resumed.

    Raises
    ------
    OptionError
        For a path of another kind, and when the training begins if the file is not its own.
    RunError
        If the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = checks.path(path, "path of CSVLogger")
        if self._path.suffix.lower() != ".csv":
            raise OptionError(
                f"file {self._path}",
                expected="a file name that ends in .csv",
                found=repr(self._path.suffix),
                remedy="write for instance steps.csv",
            )
        check_output(self._path, (".csv",))
        self._stream: TextIO | None = None
        self._began = False

    def begin(self, model: Model, history: History) -> None:
        """Open the file, with the lines of the steps that are done."""
        rows: list[str] = []
        if self._path.exists():
            lines = self._read()
            rows = [row for row in lines[1:] if _number(row) <= len(history)]
            known = lines[:1] == [_HEADER] and all(map(_number, lines[1:]))
            if not known or (len(history) == 0 and lines[1:] and not self._began):
                raise OptionError(
                    f"file {self._path}",
                    expected="a new file, or the log of the training that goes on",
                    found=f"{len(lines)} lines of something else",
                    remedy="choose another name; nothing is overwritten",
                )
        write_text(self._path, "\n".join([_HEADER, *rows]) + "\n")
        try:
            self._stream = self._path.open("a", encoding="utf-8", buffering=1)  # line by line
        except OSError as error:
            raise self._unwritable(error) from error
        self._began = True

    def _read(self) -> list[str]:
        """The lines of the file; one that a killed process left incomplete is none."""
        try:
            return self._path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise self._unwritable(error) from error

    def __call__(self, step: Step) -> None:
        """Write one line; numbers are written without loss of digits."""
        figures = (step.metrics[name] for name in _HEADER.split(",")[3:])
        line = ",".join(map(repr, (step.number, step.seconds, step.progress, *figures)))
        try:
            if self._stream is not None:
                self._stream.write(f"{line}\n")
        except OSError as error:  # a full disk, say; the training itself goes on
            warnings.warn(f"nothing more is written to {self._path}: {error}", RuntimeWarning, stacklevel=2)
            self._stream = None

    def end(self, model: Model, *, completed: bool) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _unwritable(self, error: Exception) -> RunError:
        return RunError(
            f"file {self._path}",
            expected="a text file that can be read and written",
            found=str(error),
            remedy="choose another file, or make room",
        )


def _number(row: str) -> int:
    """The number of the step of a line; 0 if it is none."""
    number = row.partition(",")[0]
    return int(number) if number.isascii() and number.isdecimal() else 0


class TensorBoardLogger(Watcher):
    """Writes the metrics for TensorBoard, as scalars ``training/loss`` and so on by the number of the step.

    ``tensorboard --logdir DIRECTORY`` shows them while the training runs.

    Parameters
    ----------
    directory
        Where the event files go; several trainings beside each other are compared.

    Raises
    ------
    BackendError
        Without the package tensorboard.
    RunError
        If the directory cannot be written.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = checks.path(directory, "directory of TensorBoardLogger")
        self._library: Any = library("tensorboard.summary", "TensorBoardLogger", "tensorboard")
        check_output(self._directory, directory=True)
        self._writer: Any = None

    def begin(self, model: Model, history: History) -> None:
        """Open an event file."""
        self._writer = self._library.Writer(str(self._directory))

    def __call__(self, step: Step) -> None:
        """Write the metrics of the step."""
        for name, value in {**step.metrics, "seconds": step.seconds}.items():
            self._writer.add_scalar(f"training/{name}", value, step=step.number)

    def end(self, model: Model, *, completed: bool) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
