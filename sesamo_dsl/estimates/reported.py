"""The method ``report`` of results: a page in HTML that says what was found, and how far to believe it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

References = Mapping[str, tuple[float, float]]
"""Values from elsewhere with their errors, by the name of the quantity."""


class Reported:
    """A result that can be written as a page."""

    def report(self, path: str | Path, *, references: References | None = None) -> None:
        """Write one HTML page that needs no network and no other file, for a referee or a colleague.

        Parameters
        ----------
        path
            The file, whose name ends in ``.html``; a page that is there is replaced.
        references
            Values to compare with, ``{"m_squared": (0.1234, 0.0005)}``: value and error (0 for an exact
            value) of ``"log_z"``, ``"action"``, a declared observable or a derived quantity.

        Raises
        ------
        OptionError
            For another ending, or for a reference that is not a value with an error, or has an unknown name.
        RunError
            If the file cannot be written.
        """
        write(self, path, references=references)


def write(result: Any, path: str | Path, **options: Any) -> None:
    """Write the page of a result.

    The room of pages is above those of the results, whose types it knows; a user looks for the page at the
    result.
    """
    from ..report.pages import write_report  # matplotlib takes a second to import

    write_report(result, path, **options)
