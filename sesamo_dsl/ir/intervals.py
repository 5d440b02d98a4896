"""Intervals that the values of a function lie in, where fields and couplings are not extreme.

They answer which values may be 0 and which may overflow in single precision, so that what is emitted guards
these and no others.
"""

from __future__ import annotations

import math

from .operations import OPERATIONS
from .operations.operation import LARGEST, TINY, Interval, Writer


class ValueIntervals:
    """The interval of each value of a function under construction, by its index."""

    def __init__(self, b: Writer) -> None:
        self._b = b
        self._known: dict[int, Interval] = {}

    def __call__(self, value: int) -> Interval:
        """The interval of one value."""
        if value not in self._known:
            op = self._b.op(value)
            low, high = OPERATIONS[op.name].interval(self._b, op, self)
            self._known[value] = _in_single(low), _in_single(high)
        return self._known[value]

    def may_vanish(self, value: int) -> bool:
        """Whether a value may be 0, also one that underflows."""
        low, high = self(value)
        return low <= 0 <= high

    def may_overflow(self, value: int) -> bool:
        """Whether a value may be infinite."""
        return any(map(math.isinf, self(value)))


def _in_single(end: float) -> float:
    if abs(end) > LARGEST:
        return math.copysign(math.inf, end)
    return end if abs(end) >= TINY else 0.0
