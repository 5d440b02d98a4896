"""Files that are written whole or not at all, and their names."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from ..errors import RunError

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
