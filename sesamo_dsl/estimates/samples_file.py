"""Samples of a model in an HDF5 file, from which they are read without loading them into memory.

Attributes of the file say what the samples are: theory, couplings, plan, seed, versions, digests of program
and model, the number of samples that were asked for, ``count``, and of those that are ``done``. The arrays
``x``, ``log_q``, ``action``, ``log_weights``, ``sector`` and ``leaked`` have one row for each of ``count``
samples, with named axes; ``work`` and ``model_log_weights`` are there if samples were annealed,
``log_prob_mismatch`` if the model computes it. The groups below ``frame`` are those of
:mod:`sesamo_dsl.estimates.frame`.

Every array lies in one piece, so that the file can be mapped into memory: configurations come from the disk
when they are used, and leave the memory when it is needed.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import shown
from ..errors import OptionError, RunError, SesamoError, found_by
from ..ir.program import Program
from ..machine.files import parse_json
from ..machine.optional import library
from .annealing_record import AnnealingRecord, ess_of
from .frame import Frame

ENDINGS = (".h5", ".hdf5")
"""Endings of files of samples."""
KIND, FORMAT = "samples of sesamo-dsl", 1
ACCEPTANCE = "acceptance"
"""The one array with a row for each part of the file instead of one for each sample."""
_ALWAYS = ("log_q", "action", "sector", "leaked")
_SOMETIMES = ("log_prob_mismatch", "work", "model_log_weights")
DAMAGES = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)
"""Exceptions that reading a damaged file may raise."""


@dataclass(frozen=True, eq=False)
class StoredSamples:
    """What a file of samples holds.

    Attributes
    ----------
    frame
        What the samples have in common.
    arrays
        The arrays of :class:`sesamo_dsl.Samples` by name, of the samples that are done; x is mapped.
    annealed
        Record of the annealing; None if the samples were not annealed.
    asked_to_anneal
        True if the number of layers was to be found, also if none was needed.
    seed
        Seed of the samples.
    """

    frame: Frame
    arrays: Mapping[str, np.ndarray]
    annealed: AnnealingRecord | None
    asked_to_anneal: bool
    seed: int


def axis_names(program: Program) -> tuple[str, ...]:
    """Names of the axes of the lattice: ``axis_0``, …, and ``node`` for the nodes of a graph."""
    names = [f"axis_{mu}" for mu in range(len(program.shape))]
    return (*names[:-1], "node") if program.nodes is not None else tuple(names)


@contextmanager
def opened(path: Path, mode: str) -> Generator[Any, None, None]:
    """The HDF5 file, open; BackendError if h5py is not installed.

    HDF5's own locks are not used: writers have a lock of this package, and a file can be read while it is
    written, because its structure does not change and samples count after they are written.
    """
    h5py = library("h5py", f"samples in {path}", "files")
    with h5py.File(path, mode, locking=False) as file:
        yield file


def header_of(path: Path) -> dict[str, Any]:
    """The attributes of a file of samples.

    Raises
    ------
    OptionError
        If the file is of another kind.
    RunError
        If there is no such file, it cannot be read, or another version has written it.
    """
    try:
        with path.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        raise damaged(path, error) from error
    try:
        with opened(path, "r") as file:
            header = {name: _plain(value) for name, value in file.attrs.items()}
    except DAMAGES:  # no HDF5
        header = {}
    if header.get("kind") != KIND:
        raise OptionError(
            f"file {path}",
            expected="samples that run.sample_to has written",
            found="a file of another kind, or a damaged one",
            remedy="choose another name; nothing is overwritten",
        )
    if header.get("format") != FORMAT:
        raise damaged(path, ValueError(f"format {header.get('format')}; this version reads {FORMAT}"))
    return header


def read_samples(path: Path, part: slice | None) -> StoredSamples:
    """The samples of a file that are done, or a part of them by their numbers.

    Raises
    ------
    OptionError
        If the file is of another kind, or no sample is in the part.
    RunError
        If the file cannot be read or is damaged, or none of its samples is done.
    """
    header = header_of(path)
    try:
        with opened(path, "r") as file:
            frame = Frame.from_data(*frame_data(file, path))
            program, done = frame.program, _number(header["done"])
            mapped = {n: _mapped(file, path, n) for n in ("x", *_ALWAYS, *_SOMETIMES) if n in file}
            acceptance = file[ACCEPTANCE][()] if ACCEPTANCE in file else np.empty(0)
        _check_arrays(program, mapped, header)
        annealed = None
        if "work" in mapped:
            model_ess = ess_of(mapped["model_log_weights"][:done])
            acceptance = acceptance[: -(-done // _number(header["rows"]))]
            annealed = AnnealingRecord(
                _number(header["layers"]),
                float(acceptance.mean()) if done else np.nan,
                _number(header["action_evaluations"]),
                _number(header["density_evaluations"]),
                model_ess,
                float(header["pilot_ess"]),
                _number(header["seed"]),
            )
        searched, seed = header["anneal"] == "auto", _number(header["seed"])
    except (*DAMAGES, SesamoError) as error:
        raise damaged(path, error) from error
    if done == 0:
        raise RunError(
            f"samples in {path}",
            expected="samples that are done",
            found=f"none of {header['count']}",
            remedy="go on with them, by the call that began them",
        )
    rows = _rows(part, done, path)
    arrays = {name: array[:done][rows] for name, array in mapped.items() if name != "model_log_weights"}
    arrays = {name: array if name == "x" else np.array(array) for name, array in arrays.items()}
    arrays["leaked"] = arrays["leaked"].astype(bool)
    if not _are_elements(arrays["sector"], program):
        raise damaged(path, ValueError("numbers in the array sector that are no elements of the group"))
    return StoredSamples(frame, arrays, annealed, searched, seed)


def read_plain(path: Path) -> tuple[list[str], np.ndarray | None, np.ndarray | None]:
    """Names of the arrays of any HDF5 file, and its arrays x and log_weights, those that there are.

    Of a file of samples, the rows that are done.
    """
    with opened(path, "r") as file:
        names = sorted(map(str, file))
        rows = slice(_number(file.attrs["done"])) if _plain(file.attrs.get("kind")) == KIND else slice(None)
        x, log_weights = (
            np.asarray(_own(file, name)[rows]) if name in names else None for name in ("x", "log_weights")
        )
    return names, x, log_weights


def frame_data(file: Any, path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Values and arrays of the frame of an open file; links to other files are not followed."""
    arrays: dict[str, np.ndarray] = {}
    largest = path.stat().st_size

    def take(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            if item.nbytes > largest:
                raise ValueError(f"array {name} is larger than the file")
            arrays[name] = np.asarray(item[()])

    file["frame"].visititems(take)
    return parse_json(arrays.pop("values").tobytes()), arrays


def damaged(path: Path, error: Exception) -> RunError:
    """The error for a file of samples that cannot be read."""
    return RunError(
        f"samples in {path}",
        expected="an HDF5 file, as run.sample_to has written it",
        found=found_by(error),
        remedy="check the path; restore a damaged file from a copy, or write the samples anew",
    )


def _own(file: Any, name: str) -> Any:
    """An array of the file itself; ValueError for a link to another file."""
    item = file[name] if file.get(name, getlink=True).__class__.__name__ == "HardLink" else None
    if item is None or not hasattr(item, "shape"):
        raise ValueError(f"{name} is not an array of this file")
    return item


def _mapped(file: Any, path: Path, name: str) -> np.ndarray:
    """An array of the file, mapped into memory; ValueError if it does not lie in one piece."""
    array = _own(file, name)
    place, dtype = array.id.get_offset(), array.dtype
    if place is None:
        raise ValueError(f"array {name} does not lie in one piece, as after h5repack")
    return np.memmap(path, np.uint8 if dtype.kind == "b" else dtype, "r", place, array.shape)


def _check_arrays(program: Program, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """ValueError or KeyError unless the arrays are those of samples of the program."""
    count, done, order = _number(header["count"]), _number(header["done"]), program.sectors
    if not 0 <= done <= count or _number(header["rows"]) < 1:
        raise ValueError(f"{done} of {count} samples done")
    shapes = dict.fromkeys((*_ALWAYS, *_SOMETIMES), (count,)) | {"x": (count, *program.configuration_shape)}
    if order.n_blocks is not None and arrays["sector"].ndim == 2:
        shapes["sector"] = (count, order.n_blocks)
    for name in ("x", *_ALWAYS, *(n for n in _SOMETIMES if n in arrays)):
        kind = "iu" if name in ("sector", "leaked") else "f"
        if arrays[name].shape != shapes[name] or arrays[name].dtype.kind not in kind:
            raise ValueError(f"array {name} of {arrays[name].dtype}, shape {arrays[name].shape}")
    if ("work" in arrays) != ("model_log_weights" in arrays):
        raise ValueError("one of work and model_log_weights without the other")


def _are_elements(sector: np.ndarray, program: Program) -> bool:
    return bool(sector.min() >= 0 and sector.max() < program.sectors.order)


def _rows(part: Any, done: int, path: Path) -> slice:
    """The rows of a part; OptionError if it is no slice, or has no sample."""
    try:
        chosen = slice(None) if part is None else part
        if not isinstance(chosen, slice) or not range(*chosen.indices(done)):
            raise ValueError
    except (TypeError, ValueError):
        raise OptionError(
            f"part of the samples in {path}",
            expected=f"a slice with some of the {done} samples",
            found=shown(part),
            remedy="write for instance part=slice(0, 1000)",
        ) from None
    return chosen


def _number(value: Any) -> int:
    if not isinstance(value, int | np.integer):
        raise TypeError(f"{value!r} where an integer is expected")
    return int(value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
