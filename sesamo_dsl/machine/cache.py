"""Files that are written whole or not at all, and emitted modules on disk, one for each digest."""

from __future__ import annotations

import hashlib
import linecache
import os
import re
import secrets
import stat
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from .. import checks
from ..errors import RunError

_STEM = 60
"""Characters of a theory's name that the name of a file has."""


def cache_directory() -> Path:
    """Where emitted modules are kept: a directory that belongs to this user and that no other can write to.

    ``$SESAMO_DSL_CACHE``, or ``sesamo-dsl`` in the user's cache directory; where that cannot be written, a
    new directory for temporary files.

    Raises
    ------
    RunError
        If the directory belongs to somebody else, who could plant code in it, or the one that was asked for
        cannot be written.
    """
    override = os.environ.get("SESAMO_DSL_CACHE")
    if override:
        return _private(checks.path(override, "directory $SESAMO_DSL_CACHE", error=RunError))
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        place = (Path(root) if root else Path.home() / ".cache") / "sesamo-dsl"
        _made(place)
    except (OSError, RuntimeError, ValueError):  # a file in the way, a disk to read from only, no home at all
        return _temporary()
    return _private(place) if os.access(place, os.W_OK | os.X_OK) else _temporary()


@lru_cache(maxsize=1)
def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="sesamo-dsl-"))


def _made(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)


def _private(place: Path) -> Path:
    """The directory, made if there is none; RunError unless it is this user's own."""
    try:
        _made(place)
        found = place.stat()
        own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        if own and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            place.chmod(stat.S_IMODE(found.st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH))
    except OSError as error:
        raise RunError(
            f"cache directory {place}",
            expected="a directory that can be written",
            found=str(error),
            remedy="set SESAMO_DSL_CACHE to another directory",
        ) from error
    if not own:
        raise RunError(
            f"cache directory {place}",
            expected="a directory of this user: code is run from it",
            found=f"one that belongs to user {found.st_uid}",
            remedy="set SESAMO_DSL_CACHE to a directory of your own",
        )
    return place


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all; raises RunError if the place cannot be written."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Like :func:`write_text`, for bytes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"file {path}",
            expected="a place that can be written",
            found=str(error),
            remedy="choose another directory or fix its permissions",
        ) from error


def file_stem(name: str) -> str:
    """A name as part of a file name: ASCII, and not too long."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)[:_STEM]


def load_source(name: str, source: str) -> tuple[Path, ModuleType]:
    """Store emitted source under its digest, and run it as a module.

    What is run is the text that was emitted; the file shows it in tracebacks and to people, and is not read.
    """
    digest = hashlib.sha256(source.encode("utf-8")).hexdigest()[:16]
    stem = f"{file_stem(name)}_{digest}"
    path = cache_directory() / f"{stem}.py"
    if not _holds(path, source):
        write_text(path, source)
    module_name = f"sesamo_emitted.{stem}"
    if module_name not in sys.modules:
        module = ModuleType(module_name)
        module.__file__ = str(path)
        exec(compile(source, str(path), "exec"), module.__dict__)
        linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
        sys.modules[module_name] = module
    return path, sys.modules[module_name]


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode("utf-8")
    except OSError:
        return False
