"""The directory of a run on disk: one process at a time writes it, and every change is atomic.

``run.json`` names the files that belong to the run, with their SHA-256. Files that change in a training are
written under new names, then one rename replaces ``run.json``, then files that it no longer names are
removed. Whenever the process ends, ``run.json`` and the files that it names belong to one state of the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError

from ..errors import RunError, SesamoError, found_by
from ..machine.files import parse_json, write_bytes
from ..machine.lock import alone

RECORD = "run.json"
LOCK = "run.lock"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# files that a killed process may leave behind: of other states of the run, or partly written
_OURS = re.compile(
    r"(state|history|walkers)-\d+-[0-9a-f]{12}\.(safetensors|csv)|state\.safetensors|history\.csv"
    r"|(callbacks|annealings)-[0-9a-f]{12}\.safetensors"
    r"|\.(run\.json|callbacks-.*|annealings-.*|state[-.].*|history[-.].*|walkers-.*|declaration\..*|reference\..*|couplings\..*|analysis\.txt)\.\d+-[0-9a-f]{8}"
)
DAMAGES = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    SafetensorError,
    SesamoError,
)
"""Exceptions that reading damaged data may raise."""
_LARGEST_RECORD = 2**24
_READS = 5


def sha256(data: bytes) -> str:
    """The SHA-256 of the data, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


class Store(Protocol):
    """The place where a run is kept: a directory, or memory."""

    @property
    def path(self) -> Path | None:
        """The directory; None for memory."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Context in which no other process can write the run."""
        ...

    def write(self, record: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
        """Replace the record and the files that belong to it, all or none; returns the record's checksum."""
        ...

    def checksum(self) -> str | None:
        """The checksum of the record that is kept now; None if there is none."""
        ...


class Memory:
    """A store that writes nothing: the run exists in this process only."""

    path = None

    def __init__(self) -> None:
        self._checksum: str | None = None

    def locked(self) -> AbstractContextManager[None]:
        """See :class:`Store`; there is nothing to lock."""
        return contextlib.nullcontext()

    def write(self, record: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
        """See :class:`Store`; only the checksum is kept."""
        complete = {**record, "files": {name: sha256(data) for name, data in files.items()}}
        self._checksum = record_digest(complete)
        return self._checksum

    def checksum(self) -> str | None:
        """See :class:`Store`."""
        return self._checksum


class RunDirectory:
    """A run on disk; the first paragraph of this file has the protocol."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._is_locked = False

    @classmethod
    def fresh(cls, stem: Path) -> RunDirectory:
        """A new directory called ``stem``, or ``stem``-2, -3, … if the name is taken."""
        for path in itertools.chain([stem], (Path(f"{stem}-{n}") for n in itertools.count(2))):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise _unwritable(path, error) from error
            return cls(path)
        raise AssertionError

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See :class:`Store`; RunError if another process has the lock. One object may enter it twice."""
        if self._is_locked:
            yield
            return
        busy = RunError(
            f"run directory {self.path}",
            expected="a run that no other process is training",
            found="another process that holds it",
            remedy="wait until it is done, stop it, or choose another directory",
        )
        with alone(self.path / LOCK, busy):
            self._is_locked = True
            try:
                yield
            finally:
                self._is_locked = False

    def refuse_a_run(self) -> None:
        """Raise RunError if the directory holds a run."""
        if (self.path / RECORD).exists():
            raise RunError(
                f"run directory {self.path}",
                expected="a directory without a run in it",
                found="run.json of an earlier run",
                remedy="choose another directory; nothing is overwritten. To train that run on: "
                f"sesamo-dsl resume {self.path}",
            )

    def write(self, record: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
        """Replace the record and the files that belong to it, all or none; returns the record's checksum.

        Files that exist with the same content are not written again. Files with new content need new names.

        Raises
        ------
        RunError
            If the directory cannot be written; the previous run is then still complete.
        """
        with self.locked():
            digests = {name: sha256(data) for name, data in files.items()}
            for name, data in files.items():
                if not self._holds(name, digests[name]):
                    write_bytes(self.path / name, data)
            complete = {**record, "files": digests}
            complete["checksum"] = record_digest(complete)
            text = json.dumps(complete, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            write_bytes(self.path / RECORD, text.encode("utf-8"))
            self._sweep(files)
            return complete["checksum"]

    def checksum(self) -> str | None:
        """See :class:`Store`; RunError if the record is damaged."""
        return self.record().get("checksum")

    def _holds(self, name: str, digest: str) -> bool:
        with contextlib.suppress(OSError):
            return sha256((self.path / name).read_bytes()) == digest
        return False

    def _sweep(self, named: Mapping[str, bytes]) -> None:
        """Remove files that the record no longer names, and files that a killed process left behind."""
        with contextlib.suppress(OSError):
            for path in self.path.iterdir():
                if path.name not in named and _OURS.fullmatch(path.name):
                    with contextlib.suppress(OSError):
                        path.unlink()

    def read(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The record and the files that belong to it; RunError names a missing, damaged or edited file.

        If a process that trains the run replaces files in the meantime, all are read again.
        """
        record = self.record()
        for _ in range(_READS):
            try:
                return record, self._files(record)
            except RunError:
                newer = self.record()
                if newer == record:
                    raise
                record = newer
        return record, self._files(record)

    def record(self) -> dict[str, Any]:
        """The contents of ``run.json``, in any format; RunError if it is missing, damaged or was edited."""
        try:
            with (self.path / RECORD).open("rb") as stream:
                data = stream.read(_LARGEST_RECORD + 1)
            if len(data) > _LARGEST_RECORD:
                raise ValueError(f"more than {_LARGEST_RECORD} bytes of run.json")
            record = parse_json(data)
            if not isinstance(record, dict):
                raise TypeError(f"run.json is a {type(record).__name__}")
            if record["format"] not in (1, 2, 3, 4):
                raise ValueError(f"format {record['format']} of run.json; this version reads 1 to 4")
            if record["format"] != 1 and record["checksum"] != record_digest(record):
                raise ValueError("run.json is damaged or was edited: its checksum is another one")
            return record
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise not_a_run(self.path, error) from error

    def _files(self, record: Mapping[str, Any]) -> dict[str, bytes]:
        found = {}
        try:
            if record["format"] == 1:  # format 1 has fixed names of files and no checksums
                for name in ("state.safetensors", "history.csv"):
                    found[name] = (self.path / name).read_bytes()
                for name in ("reference.safetensors", "couplings.safetensors"):
                    with contextlib.suppress(FileNotFoundError):
                        found[name] = (self.path / name).read_bytes()
                return found
            named: dict[str, Any] = record["files"]
            for name, digest in named.items():
                if not _NAME.fullmatch(name):
                    raise ValueError(f"{name!r} is not the name of a file of a run")
                data = (self.path / name).read_bytes()
                if sha256(data) != digest:
                    raise ValueError(f"{name} is damaged or was edited: its checksum is another one")
                found[name] = data
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise not_a_run(self.path, error) from error
        return found


def state_of(files: Mapping[str, bytes], stem: str = "state") -> bytes:
    """The contents of the file whose name begins with ``stem``; KeyError if there is none."""
    for name, data in files.items():
        if name.startswith(stem):
            return data
    raise KeyError(f"no file called {stem}…")


def record_digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record without its entry ``checksum``."""
    rest = {name: value for name, value in record.items() if name != "checksum"}
    return sha256(json.dumps(rest, sort_keys=True).encode())


def not_a_run(place: Path, error: Exception) -> RunError:
    """The error for a directory that cannot be read."""
    return RunError(
        f"run directory {place}",
        expected="run.json and the files it names, as a training has written them",
        found=found_by(error),
        remedy="give the directory that the training printed; restore damaged files from a copy",
    )


def _unwritable(place: Path, error: Exception) -> RunError:
    return RunError(
        f"run directory {place}",
        expected="a place that can be written",
        found=str(error),
        remedy="choose another directory or fix its permissions",
    )
