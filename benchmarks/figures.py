"""What a benchmark reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured figure, and the bar it has to reach (none: for information)."""

    figure: str
    value: float
    error: float | None = None
    bar: str = ""
    passed: bool | None = None
