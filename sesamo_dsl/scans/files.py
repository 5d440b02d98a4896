"""Scans in files: arrays and one JSON record in an .npz file, of which nothing is executed."""

from __future__ import annotations

import io
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import OptionError, RunError, found_by
from ..machine.files import ARCHIVE_DAMAGES, parse_json, write_bytes
from ..machine.outputs import ARRAYS, check_output
from .point import ScanPoint

_KIND, _FORMAT = "scan of sesamo-dsl", 1
_SIDES = ("previous", "next")
_TOLD = ("count", "steps", "seconds", "start", "coverage", "directory")
_DAMAGES = (*ARCHIVE_DAMAGES, TypeError, AttributeError, ArithmeticError)


def check_scan_file(path: str | Path) -> Path:
    """The path if a scan can be written there; OptionError or RunError if not."""
    place = checks.path(path, "file of a scan")
    if place.suffix.lower() not in ARRAYS:
        raise OptionError(
            f"file of a scan {place}",
            expected="a file name that ends in .npz",
            found=repr(place.suffix),
            remedy="write for instance scan.npz; scan.to_xarray() has other formats",
        )
    check_output(place)
    return place


def write_scan(path: str | Path, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a record and arrays completely or not at all."""
    place = check_scan_file(path)
    text = json.dumps({"kind": _KIND, "format": _FORMAT, **record}, allow_nan=False)
    buffer = io.BytesIO()
    named = {"record": np.frombuffer(text.encode(), dtype=np.uint8), **arrays}
    np.savez_compressed(buffer, **named)  # pyright: ignore[reportArgumentType]
    write_bytes(place, buffer.getvalue())


def read_scan(place: Path) -> tuple[dict[str, Any], dict[str, np.ndarray], tuple[ScanPoint, ...]]:
    """The record, the arrays and the points in a file; within :func:`reading`."""
    with np.load(place, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    record = parse_json(arrays.pop("record").tobytes())
    if (record["kind"], record["format"]) != (_KIND, _FORMAT):
        raise ValueError(f"a {record['kind']} of format {record['format']}")
    return record, arrays, _points(record, arrays)


@contextmanager
def reading(path: str | Path) -> Generator[Path, None, None]:
    """Context in which a file is read: RunError for whatever is wrong with it."""
    place = checks.path(path, "file of a scan", error=RunError)
    try:
        yield place
    except _DAMAGES as error:
        raise RunError(
            f"file of a scan {place}",
            expected="a scan that scan.save(…) has written",
            found=found_by(error),
            remedy="give the path of such a file; restore a damaged one from a copy",
        ) from error


def points_as_data(points: Sequence[ScanPoint]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """What is known of each point as plain values, and as arrays by name."""
    told, arrays = [], {}
    for i, point in enumerate(points):
        told.append(
            {
                "names": list(point.names),
                "warnings": list(point.warnings),
                **{key: getattr(point, key) for key in _TOLD},
            }
        )
        arrays[f"values_{i}"], arrays[f"factor_{i}"] = point.values, point.factor
    arrays["couplings"] = np.array([list(point.couplings.values()) for point in points])
    arrays["ess"] = np.array([point.ess for point in points])
    arrays["reach"] = np.array([[point.reach.get(side, np.nan) for side in _SIDES] for point in points])
    return told, arrays


def _points(record: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> tuple[ScanPoint, ...]:
    """The points of a file, whose arrays are taken out; one of ``_DAMAGES`` for what does not fit."""
    told, names = record["points"], [str(name) for name in record["names"]]
    couplings, ess, reach = (arrays.pop(name) for name in ("couplings", "ess", "reach"))
    count = len(told)
    if not count or (couplings.shape, ess.shape, reach.shape) != ((count, len(names)), (count,), (count, 2)):
        raise ValueError("arrays that do not belong to the points")
    points = []
    for i, entry in enumerate(told):
        values, factor = arrays.pop(f"values_{i}"), arrays.pop(f"factor_{i}")
        figures = tuple(map(str, entry["names"]))
        if values.shape != (len(figures),) or factor.ndim != 2 or len(factor) != len(figures):
            raise ValueError(f"figures of point {i} that do not belong to their names")
        points.append(
            ScanPoint(
                dict(zip(names, couplings[i].tolist(), strict=True)),
                figures,
                values.astype(np.float64),
                factor.astype(np.float64),
                float(ess[i]),
                int(entry["count"]),
                int(entry["steps"]),
                float(entry["seconds"]),
                str(entry["start"]),
                str(entry["coverage"]),
                {side: float(r) for side, r in zip(_SIDES, reach[i], strict=True) if np.isfinite(r)},
                tuple(map(str, entry["warnings"])),
                str(entry["directory"]),
            )
        )
    return tuple(points)
