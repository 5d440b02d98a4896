"""What a user's function sees after every step of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


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
