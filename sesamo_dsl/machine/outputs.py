"""Checks that an output can be written, made before the computation that produces it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import OptionError, RunError

ARRAYS = (".npz",)
"""Endings of files of arrays."""
TEXTS = (".txt", ".tex", ".html", ".md")
"""Endings of files of text."""
PAGES = (".html",)
"""Endings of pages."""


def check_output(path: Path, replaced: Sequence[str] = ARRAYS, *, directory: bool = False) -> None:
    """Check that a file, or files in a directory, can be written; nothing is left behind.

    Parameters
    ----------
    path
        The file or the directory.
    replaced
        Endings of files that may be replaced, such as ``ARRAYS``; no other existing file is, since it may be
        the theory or a part of a run.
    directory
        True for a directory of several files, which must not be that of a run.

    Raises
    ------
    OptionError
        If an existing file would be lost.
    RunError
        If the place cannot be written.
    """
    if directory and (path / "run.json").exists():
        raise OptionError(
            f"directory {path}",
            expected="one without a run",
            found="run.json, the record of a run",
            remedy="choose a new directory",
        )
    if not directory and path.is_file() and path.suffix.lower() not in replaced:
        raise OptionError(
            f"file {path}",
            expected=f"a new file, or one that ends in {' or '.join(replaced)} and is replaced",
            found="a file that exists, and is of another kind",
            remedy=f"write for instance {path.with_suffix(replaced[0]).name}",
        )
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


def check_page(path: Path) -> None:
    """Raise OptionError unless the name is that of a page, RunError unless the page can be written."""
    if path.suffix.lower() not in PAGES:
        raise OptionError(
            f"report {path}",
            expected="a file name that ends in .html",
            found=repr(path.suffix),
            remedy="write for instance report.html",
        )
    check_output(path, PAGES)


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
    check_output(path, (path.suffix.lower(),))
