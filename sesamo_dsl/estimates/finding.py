"""A finding of a check: one reason to doubt the figures, and its remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One reason to doubt the figures.

    Attributes
    ----------
    name
        Short name of the check.
    found
        The problem, with its numbers.
    remedy
        The remedy, as advice to the user.
    """

    name: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.found}. Remedy: {self.remedy}"
