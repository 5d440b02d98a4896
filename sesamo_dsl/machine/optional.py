"""Libraries that only some results need, and the error for one that is not installed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import BackendError


def library(name: str, purpose: str, extra: str) -> ModuleType:
    """The library called ``name``; BackendError with the command that installs it if it is not there.

    Parameters
    ----------
    purpose
        What it is needed for, in words.
    extra
        The extra of this package that has it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise BackendError(
            purpose,
            expected=f"{name} to be installed",
            found=str(error),
            remedy=f"pip install 'sesamo-dsl[{extra}]'",
        ) from error
