"""Archives that are damaged in any byte are refused as damaged, whichever exception the byte leads to."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sesamo_dsl.errors import ConfigurationError, SesamoError
from sesamo_dsl.estimates.files import read_configurations
from sesamo_dsl.machine.files import ARCHIVE_DAMAGES
from sesamo_dsl.runs.loader import Sampler


def _flipped(content: bytes) -> list[bytes]:
    """The content with one byte changed, one after the other, in four ways."""
    whole: list[bytes] = []
    for place in range(len(content)):
        for bits in (1, 4, 128, 255):
            damaged = bytearray(content)
            damaged[place] ^= bits
            whole.append(bytes(damaged))
    return whole


def _raised(read: Callable[[], object]) -> set[type[BaseException]]:
    """The kinds of exceptions, with those that caused them."""
    try:
        read()
    except Exception as error:
        return {type(error), type(error.__cause__)}
    return set()


def test_configurations(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.random.default_rng(0).normal(size=(9, 2, 2)))
    path, kinds = tmp_path / "x.npz", set[type[BaseException]]()
    for content in _flipped(stream.getvalue()):
        path.write_bytes(content)
        found = _raised(lambda: read_configurations(path, (2, 2)))
        assert not found or ConfigurationError in found, found
        kinds |= found
    assert len(kinds - {ConfigurationError, type(None)}) >= 4  # one kind would prove little
    assert all(issubclass(kind, (*ARCHIVE_DAMAGES, SesamoError, type(None))) for kind in kinds)


def test_exported_samplers() -> None:
    stream = io.BytesIO()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", '{"format": 1, "precision": "float32", "shape": [1, 2]}')
        archive.writestr("weights", rng.bytes(100) + bytes(400))

    def opened(content: bytes) -> object:
        return Sampler(io.BytesIO(content), lambda *_: None)

    assert not _raised(lambda: opened(stream.getvalue()))
    kinds = set[type[BaseException]]()
    for content in _flipped(stream.getvalue()):
        found = _raised(lambda content=content: opened(content))
        assert not found or ValueError in found, found
        kinds |= found
    assert len(kinds - {ValueError, type(None)}) >= 4


def test_a_file_that_is_missing_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.zip"):
        Sampler(tmp_path / "nowhere.zip", lambda *_: None)
