"""Files that are written whole or not at all, their names, and strict JSON."""

from __future__ import annotations

import json
import os
import re
import secrets
import zipfile
import zlib
from pathlib import Path
from typing import Any

from ..errors import RunError

ARCHIVE_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
)
"""Exceptions that reading a damaged zip or .npz archive may raise, depending on the byte that is damaged."""
_STEM = 60
"""Most characters of a theory's name in the name of a file."""


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all; RunError if the path cannot be written."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file completely or not at all; RunError if the path cannot be written."""
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


def parse_json(data: bytes) -> Any:
    """The value of a JSON text; ValueError for NaN, infinities, a repeated key, or text that is not JSON."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(f"a key twice among {', '.join(key for key, _ in pairs)}")
        return found

    def never(word: str) -> Any:
        raise ValueError(f"{word} where a number is expected")

    return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=never)
