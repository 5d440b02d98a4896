"""The cache of emitted modules on disk, one file for each digest."""

from __future__ import annotations

import hashlib
import linecache
import os
import stat
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from .. import checks
from ..errors import RunError
from .files import file_stem, write_text


def cache_directory() -> Path:
    """The directory of emitted modules, which belongs to this user and to which no other user can write.

    It is ``$SESAMO_DSL_CACHE``, or ``sesamo-dsl`` in the user's cache directory, or, if that cannot be
    written, a new temporary directory.

    Raises
    ------
    RunError
        If the directory belongs to another user, who could plant code in it, or ``$SESAMO_DSL_CACHE`` cannot
        be written.
    """
    override = os.environ.get("SESAMO_DSL_CACHE")
    if override:
        return _private(checks.path(override, "directory $SESAMO_DSL_CACHE", error=RunError))
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        place = (Path(root) if root else Path.home() / ".cache") / "sesamo-dsl"
        _made(place)
    except (OSError, RuntimeError, ValueError):  # a file of that name, a read-only disk, or no home directory
        return _temporary()
    return _private(place) if os.access(place, os.W_OK | os.X_OK) else _temporary()


@lru_cache(maxsize=1)
def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="sesamo-dsl-"))


def _made(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)


def _private(place: Path) -> Path:
    """The directory, created if it does not exist; RunError unless it belongs to this user."""
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


def load_source(name: str, source: str) -> tuple[Path, ModuleType]:
    """Store emitted source under its digest and execute it; returns the path and the module.

    The emitted text itself is executed; the file is for tracebacks and readers and is never read back.
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
