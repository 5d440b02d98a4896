"""Whether an output can be written, found out before the work that it is for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..errors import OptionError, RunError


def check_output(path: Path, *, directory: bool = False) -> None:
    """RunError unless a file can be written there, or files below a directory; leaves nothing behind."""
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
    """The same for a picture, and OptionError unless its suffix names a format that can be drawn."""
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
