"""Callbacks of the user, which are called after every step of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..checks import mismatch, shown
from ..errors import OptionError


@dataclass(frozen=True)
class Step:
    """The state of a training after one step.

    Attributes
    ----------
    number
        Number of steps since the beginning.
    seconds
        Duration of the training so far.
    progress
        Fraction of the training that is done, in [0, 1].
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
    """The callbacks as a tuple; OptionError unless they are a sequence of functions."""
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
