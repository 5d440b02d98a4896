"""What a user's function sees after every step of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..checks import mismatch, shown
from ..errors import OptionError


@dataclass(frozen=True)
class Step:
    """One step of a training, as it is done.

    Attributes
    ----------
    number
        Steps done since the beginning.
    seconds
        Time that they took.
    progress
        Part of the training that is over, in [0, 1].
    metrics
        ``loss``, ``ess`` of the batch and ``gradient_norm``.
    """

    number: int
    seconds: float
    progress: float
    metrics: Mapping[str, float]


Callback = Callable[[Step], object]
"""Called after every step; the training stops, and can be resumed, if it returns True."""


def checked(callbacks: Any) -> tuple[Callback, ...]:
    """Functions, several of them; OptionError for anything else."""
    found: tuple[Any, ...] = tuple(callbacks) if isinstance(callbacks, Iterable) else (None,)
    wrong = [mismatch(f, 1) if callable(f) else shown(callbacks) for f in found]
    if any(wrong):
        raise OptionError(
            "callbacks",
            expected="a list of functions of a training step",
            found=next(filter(None, wrong)),
            remedy="write callbacks=[f] with def f(step): …; it may return True to stop",
        )
    return found
