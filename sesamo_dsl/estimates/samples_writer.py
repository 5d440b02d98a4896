"""Writing samples to a file part by part: whatever ends the process, the parts before count.

A file gets its full length and all of its structure when it is made, before the first sample. From then on
numbers are written to places that do not move, and last of all the attribute ``done``, the number of samples
that count. So a killed process leaves a file that can be read and continued, and any way to the same samples
leads to the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import shown
from ..errors import OptionError, RunError
from ..machine.memory import chunk_size
from ..machine.optional import library
from ..machine.outputs import check_output
from ..values.couplings import Couplings, same_couplings
from .frame import Frame
from .samples_file import (
    ACCEPTANCE,
    DAMAGES,
    ENDINGS,
    FORMAT,
    KIND,
    axis_names,
    damaged,
    frame_data,
    header_of,
    opened,
)

_PART = 16  # a part of a file is so many times as large as the chunks in which models draw


def rows_per_part(shape: tuple[int, ...]) -> int:
    """Number of samples that are drawn and written at a time, for configurations of this shape."""
    return _PART * chunk_size(shape)


def check_samples_file(path: Path) -> None:
    """Check that samples can be written to the file, before any are drawn.

    Raises
    ------
    OptionError
        If the name has another ending, or the file exists and is not a file of samples.
    BackendError
        If h5py is not installed.
    RunError
        If the place cannot be written.
    """
    library("h5py", f"samples in {path}", "files")
    if path.suffix.lower() not in ENDINGS:
        raise OptionError(
            f"samples file {path}",
            expected=f"a name that ends in {' or '.join(ENDINGS)}",
            found=repr(path.name),
            remedy=f"write for instance {path.with_suffix(ENDINGS[0]).name}",
        )
    check_output(path, ENDINGS)
    if path.exists():
        header_of(path)


def lock_of(path: Path) -> Path:
    """The lock of a file of samples, an empty file beside it."""
    return path.parent / f".{path.name}.lock"


class SamplesWriter:
    """A file of samples that is being written; only while its lock is held.

    Attributes
    ----------
    path
        The file.
    count, rows
        Number of samples that are asked for, and of those that are written at a time.
    done
        Number of samples that are written.
    layers
        Number of layers of the annealing from the model.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.count, self.rows = int(header["count"]), int(header["rows"])
        self.done, self.layers = int(header["done"]), int(header["layers"])

    @classmethod
    def created(
        cls, path: Path, header: Mapping[str, Any], frame: Frame, first: Mapping[str, np.ndarray]
    ) -> SamplesWriter:
        """A new file with room for all samples, which exists as a whole or not at all.

        Parameters
        ----------
        header
            Attributes of the file; among them ``count``, ``rows`` and ``layers``.
        first
            The first part, which tells types and shapes of the arrays; it is not written yet.

        Raises
        ------
        RunError
            If the place cannot be written, or lacks room for all samples.
        """
        complete = {"kind": KIND, "format": FORMAT, "done": 0, **header}
        writer, unfinished = cls(path, complete), path.parent / f".{path.name}.new"
        writer._require_room(first)
        values, arrays = frame.as_data()
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
        sites = axis_names(frame.program)
        with _writing(path):
            try:
                unfinished.unlink(missing_ok=True)
                with opened(unfinished, "w") as file:
                    for name, value in complete.items():
                        file.attrs[name] = np.int64(value) if isinstance(value, int) else value
                    for name, array in first.items():
                        parts = -(-writer.count // writer.rows)
                        length, axis = (parts, "part") if name == ACCEPTANCE else (writer.count, "sample")
                        axes = (axis, "component", *sites) if name == "x" else (axis, "block")
                        _allocate(file, name, array, length, axes)
                    group = file.create_group("frame")
                    group.create_dataset("values", data=np.frombuffer(text.encode(), np.uint8))
                    for name in sorted(arrays):  # constants of a stored program have no order
                        group.create_dataset(name, data=arrays[name])
                    _flush(file)
                if path.exists():  # since it was looked for
                    raise FileExistsError("a file has come into being there in the meantime")
                os.replace(unfinished, path)
            finally:
                unfinished.unlink(missing_ok=True)
        return writer

    @classmethod
    def continued(cls, path: Path, header: Mapping[str, Any], parameters: Couplings) -> SamplesWriter:
        """The file of an earlier call with the same arguments.

        ``header`` is that of :meth:`created` without what the earlier call has found out.

        Raises
        ------
        OptionError
            If the file is of another kind, or of another run, other couplings or other arguments.
        RunError
            If the file is damaged.
        """
        found = header_of(path)
        try:
            with opened(path, "r") as file:
                _, arrays = frame_data(file, path)
            writer = cls(path, found)
            whole = writer.done in (*range(0, writer.count, writer.rows), writer.count)
            if not whole:
                raise ValueError(f"{writer.done} of {writer.count} samples done, in parts of {writer.rows}")
        except DAMAGES as error:
            raise damaged(path, error) from error
        for name, value in header.items():
            if found.get(name) != value:
                raise _of_another_call(path, name, shown(found.get(name)), shown(value))
        couplings = {
            name.removeprefix("couplings/"): array if array.ndim else float(array)
            for name, array in arrays.items()
            if name.startswith("couplings/")
        }
        if not same_couplings(parameters, couplings):
            raise _of_another_call(path, "couplings", "other values at some sites", "those of this run")
        return writer

    def append(self, part: Mapping[str, np.ndarray]) -> None:
        """Write the next part, and then that it counts; RunError if the file cannot be written."""
        end = min(self.done + self.rows, self.count)
        with _writing(self.path), opened(self.path, "r+") as file:
            for name, array in part.items():
                start = self.done // self.rows if name == ACCEPTANCE else self.done
                file[name][start : start + len(array)] = array
            _flush(file)  # what counts is on the disk
            file.attrs.modify("done", np.int64(end))
            _flush(file)
        self.done = end

    def _require_room(self, first: Mapping[str, np.ndarray]) -> None:
        needed = sum(self.count * array[:1].nbytes for array in first.values())
        place = self.path.parent
        free = shutil.disk_usage(place).free
        if needed > free:
            raise RunError(
                f"file {self.path}",
                expected=f"{needed / 2**30:.3g} GiB for {self.count} samples",
                found=f"{free / 2**30:.3g} GiB free",
                remedy="make room, write to another disk, or ask for fewer samples",
            )


def _allocate(file: Any, name: str, array: np.ndarray, length: int, axes: tuple[str, ...]) -> None:
    """An array of the file with rows like those of ``array``, in one piece whose place does not change."""
    h5py = library("h5py", f"array {name}", "files")
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_layout(h5py.h5d.CONTIGUOUS)
    made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    made.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    made.set_obj_track_times(False)  # the same samples are the same bytes
    space = h5py.h5s.create_simple((length, *array.shape[1:]))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(array.dtype, logical=True), space, made)
    for dimension, axis in zip(file[name].dims, axes, strict=False):
        dimension.label = axis


def _flush(file: Any) -> None:
    """Bring everything that was written to the disk."""
    file.flush()
    os.fsync(file.id.get_vfd_handle())


@contextmanager
def _writing(path: Path) -> Generator[None, None, None]:
    """Code that writes a file: what HDF5 and the system raise becomes a RunError."""
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        raise RunError(
            f"file {path}",
            expected="a place that can be written",
            found=str(error),
            remedy="make room or choose another place; samples that are done stay in the file",
        ) from error


def _of_another_call(path: Path, name: str, found: str, asked: str) -> OptionError:
    return OptionError(
        f"samples in {path}",
        expected=f"{name} = {asked}, to go on with them",
        found=f"{name} = {found}",
        remedy="repeat the call that began the file, or choose another name",
    )
