"""Checks of user arguments: numbers, names and paths.

NumPy's integers and floats are accepted like Python's, since they come out of sweeps and arrays. Booleans and
text are not accepted as numbers: they are slips more often than they are meant.
"""

from __future__ import annotations

import inspect
import math
import operator
import os
import unicodedata
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from .errors import FieldError, OptionError, SesamoError

LARGEST_SEED = 2**63 - 1
_LONGEST_NAME = 100
"""Characters of a name: it becomes part of file names, whose length is limited."""
_LONGEST_MESSAGE = 300  # characters that are shown of the message of somebody else's exception


def as_integer(value: Any) -> int | None:
    """The value as a Python integer; None for booleans and everything that is not an integer."""
    if isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool"):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # arrays of several entries raise any of these
        return None


def as_real(value: Any) -> float | None:
    """The value as a Python float; None for booleans, text and everything that is not a real number."""
    kind = str(getattr(value, "dtype", ""))
    if isinstance(value, bool | str | bytes | bytearray) or "bool" in kind or "complex" in kind:
        return None
    if getattr(value, "shape", ()) not in ((), None):  # an array of one entry is not a number
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    except OverflowError:  # an integer beyond the largest float
        return math.inf


def integer(
    value: Any,
    subject: str,
    *,
    least: int = 1,
    most: int | None = None,
    what: str = "an integer",
    error: type[SesamoError] = OptionError,
    remedy: str | None = None,
) -> int:
    """The value as a Python integer from ``least`` to ``most``; raises ``error`` for anything else."""
    found = as_integer(value)
    if found is None or found < least or (most is not None and found > most):
        upper = "" if most is None else f" and ≤ {most}"
        raise error(
            subject,
            expected=f"{what} ≥ {least}{upper}",
            found=shown(value),
            remedy=remedy or "give a whole number in this range",
        )
    return found


def listed(value: Any) -> list[Any] | None:
    """The entries of a list, tuple or array in their order; None for text, sets and all the rest."""
    ordered = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
    if not ordered and not (isinstance(value, np.ndarray) and value.ndim > 0):
        return None
    return list(cast(Iterable[Any], value))


def array(value: Any, subject: str, *, expected: str, remedy: str) -> np.ndarray:
    """Real numbers, or a mask of zeros and ones, as an array of any shape; OptionError for anything else."""
    try:
        found = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # rows of different lengths
        found = np.empty(0, dtype=object)
    if found.dtype.kind not in "biuf":
        described = f"dtype {found.dtype}, shape {found.shape}" if found.ndim else shown(value)
        raise OptionError(subject, expected=expected, found=described, remedy=remedy)
    return found


def mismatch(function: Callable[..., Any], count: int) -> str | None:
    """Why a function cannot be called with ``count`` arguments; None if it can or has no known signature."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError as error:
        return f"{shown(function)}: {error}"
    except ValueError:  # functions written in C may have no signature
        pass
    return None


@contextmanager
def calling(subject: str, expected: str, remedy: str) -> Generator[None, None, None]:
    """Code of a user runs in this context: what it raises becomes an OptionError that comes from it."""
    try:
        yield
    except SesamoError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        found = f"{type(error).__name__}: {message[:_LONGEST_MESSAGE]}"
        raise OptionError(subject, expected=expected, found=found, remedy=remedy) from error


def seed(value: Any, subject: str = "option seed") -> int:
    """The value as an integer from 0 to 2⁶³ − 1; raises OptionError for anything else."""
    return integer(value, subject, least=0, most=LARGEST_SEED)


def real(
    value: Any,
    subject: str,
    *,
    expected: str = "a finite number > 0",
    least: float = 0.0,
    open_below: bool = True,
    most: float = math.inf,
    error: type[SesamoError] = OptionError,
    remedy: str | None = None,
) -> float:
    """The value as a float > ``least`` (≥ unless ``open_below``) and ≤ ``most``, or raise ``error``."""
    found = as_real(value)
    if (
        found is None
        or not math.isfinite(found)
        or found > most
        or found < least
        or (open_below and found == least)
    ):
        raise error(
            subject,
            expected=expected,
            found=shown(value),
            remedy=remedy or "give a number in this range",
        )
    return found


def flag(value: Any, subject: str, *, error: type[SesamoError] = OptionError) -> bool:
    """The value as a Python bool; raises ``error`` for anything but True and False."""
    if type(value).__name__ not in ("bool", "bool_"):  # NumPy's goes by either name
        raise error(subject, expected="True or False", found=shown(value), remedy="give one of the two")
    return bool(value)


def label(value: Any, what: str, *, error: type[SesamoError]) -> str:
    """A text that names something in reports, on one line; raises ``error`` if it is empty or no text."""
    if not isinstance(value, str) or not value.strip():
        raise error(f"name of {what}", expected="a text", found=shown(value), remedy=f"name the {what}")
    return " ".join(value.split())


def name(value: Any, what: str) -> str:
    """A name of a field, parameter, observable or theory; raises FieldError if it is no Python identifier.

    Python reads identifiers in the normal form NFKC, in which the micro sign is a μ and the ligature ﬁ is fi.
    So does this package, in the code that it emits and wherever a name is looked up.
    """
    found = spelling(value) if isinstance(value, str) else ""
    if not found.isidentifier() or len(found) > _LONGEST_NAME:
        raise FieldError(
            f"{what} name {shown(value)}",
            expected="letters, digits and underscores, not starting with a digit, "
            f"at most {_LONGEST_NAME} of them",
            found=shown(value),
            remedy=f"rename the {what}",
        )
    return found


def spelling(text: str) -> str:
    """The normal form of a name, in which it is looked up."""
    return unicodedata.normalize("NFKC", text)


def path(value: Any, what: str, *, error: type[SesamoError] = OptionError) -> Path:
    """A path with ``~`` expanded; raises ``error`` if no file or directory can have that name."""
    try:
        text = cast(object, os.fspath(value))
        longest = max(map(len, os.fsencode(cast(str, text)).split(os.sep.encode())))
    except (TypeError, UnicodeEncodeError):
        text, longest = "", 0
    if not isinstance(text, str) or not text.strip() or "\0" in text or longest > 255:
        raise error(
            what,
            expected="the path of a file or directory",
            found=shown(value),
            remedy="give a path that is not empty, of names of at most 255 bytes",
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as unknown:  # no such user, or no home directory
        raise error(
            what,
            expected="a path whose ~ can be expanded",
            found=f"{shown(value)}: {unknown}",
            remedy="write the path in full",
        ) from None


def shown(value: Any, width: int = 120) -> str:
    """The repr of a value on one line of at most ``width`` characters, for error messages."""
    try:
        text = repr(value)
    except Exception as broken:
        text = f"<{type(value).__name__} whose repr raises {type(broken).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
