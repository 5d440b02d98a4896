"""How a result was made: what a reader needs in order to make it again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from ..analysis.result import Analysis
from ..backend import Backend


@dataclass(frozen=True, eq=False)
class Making:
    """The theory, the options and the software of a result that no run directory keeps.

    Attributes
    ----------
    analysis
        The analysis of the theory.
    options
        All options by name, with their values.
    backend
        Name of the backend.
    versions
        Versions of the packages that computed the result.
    date
        Date and time of the end, in ISO format, UTC.
    """

    analysis: Analysis
    options: Mapping[str, Any]
    backend: str
    versions: Mapping[str, str]
    date: str

    @classmethod
    def now(cls, analysis: Analysis, options: Mapping[str, Any], backend: Backend) -> Making:
        """The record of a result that is just done."""
        return cls(analysis, dict(options), backend.name, versions_with(backend), now())


def versions_with(backend: Backend) -> dict[str, str]:
    """Versions of this package, Python, NumPy and what the backend stands on."""
    return {**versions_here(), **backend.versions()}


def versions_here() -> dict[str, str]:
    """Versions of this package, Python and NumPy."""
    return {
        "sesamo-dsl": version("sesamo-dsl"),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def now() -> str:
    """Date and time in ISO format, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
