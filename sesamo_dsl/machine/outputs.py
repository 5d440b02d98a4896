"""Checks that an output can be written, made before the computation that produces it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..errors import OptionError, RunError


def check_output(path: Path, *, directory: bool = False) -> None:
    """Raise RunError unless the file, or files in the directory, can be written; leaves nothing behind."""
    error = f"{path} is a directory" if path.is_dir() else "no ordinary file, which a new one would replace"
    if directory or path.is_file() or not path.exists():
        place = path if directory else path.parent
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            with tempfile.TemporaryFile(dir=place) as probe:
                probe.write(b"\0")
                probe.flush()
            return
        except OSError as found:
            error = str(found)
    raise RunError(
        f"file {path}",
        expected="a place that can be written",
        found=error,
        remedy="choose another directory or fix its permissions",
    )


def check_picture(path: Path) -> None:
    """Raise RunError unless the picture can be written, OptionError if matplotlib lacks its format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes a second to import

    form = path.suffix.removeprefix(".").lower()
    known = FigureCanvasAgg.get_supported_filetypes()
    if form not in known:
        raise OptionError(
            f"picture {path}",
            expected=f"a file name that ends in one of {', '.join(sorted(known))}",
            found=repr(path.suffix),
            remedy="write for instance picture.png",
        )
    check_output(path)
