"""One reason not to believe the figures, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One reason not to believe the figures.

    Attributes
    ----------
    name
        Short name of the check.
    found
        What was found, with the numbers.
    remedy
        What to do about it.
    """

    name: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.found}. Remedy: {self.remedy}"
