"""Comparisons, which give 0 or 1, and choices between values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

import numpy as np

from ..value import Attribute, Op
from .functions import undecided
from .operation import (
    TINY,
    Array,
    Arrays,
    Interval,
    Intervals,
    Operation,
    Pointwise,
    Setting,
    Writer,
    hull,
    largest,
)


class Comparison(Pointwise):
    """1 where the first value is less than the second (or less or equal), else 0."""

    count, may_jump = 2, True

    def __init__(self, name: str, function: Callable[[Array, Array], Array]) -> None:
        self.name, self._function = name, function

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return self._function(args[0], args[1]).astype(at.dtype)

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return []

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return 0.0, 1.0

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return 1.0 * undecided(args[0] - args[1], deltas[0] + deltas[1])


class Extreme(Pointwise):
    """The larger or the smaller of two values a, b; where they are equal, ∂/∂a = 0 and ∂/∂b = 1."""

    count = 2
    is_continuous = True

    def __init__(self, name: str, function: Callable[[Array, Array], Array], *, largest: bool) -> None:
        self.name, self._function, self._largest = name, function, largest

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return self._function(args[0], args[1])

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        one, other = op.args
        first = b.apply("lt", other, one) if self._largest else b.apply("lt", one, other)
        return [(one, b.mul(adjoint, first)), (other, b.mul(adjoint, b.sub(b.constant(1.0), first)))]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        (a, c), (d, e) = map(of, op.args)
        return (max(a, d), max(c, e)) if self._largest else (min(a, d), min(c, e))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return largest(deltas)


def _limited(b: Writer, condition: int, value: int, of: Intervals, *, holds: bool = True) -> Interval:
    """The interval of a value where a comparison with it holds, or where it does not."""
    (low, high), op = of(value), b.op(condition)
    if op.name not in ("lt", "le"):
        return (TINY, high) if holds and value == condition and low == 0 else (low, high)
    below, above = op.args if holds else reversed(op.args)
    if below == value:
        high = min(high, of(above)[1])
    if above == value:
        low = max(low, of(below)[0])
    if holds and b.op(below).name == "abs" and b.op(below).args == (value,):
        bound = of(above)[1]
        low, high = max(low, -bound), min(high, bound)
    return low, high


class Where(Pointwise):
    """The second value where the first is not 0, else the third."""

    name, count, may_jump = "where", 3, True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return cast(Array, np.where(args[0] != 0, args[1], args[2]))

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        condition, yes, no = op.args
        zero = b.constant(0.0)
        return [
            (yes, b.apply("where", condition, adjoint, zero)),
            (no, b.apply("where", condition, zero, adjoint)),
        ]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        condition, yes, no = op.args
        return hull((_limited(b, condition, yes, of), _limited(b, condition, no, of, holds=False)))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        either = np.maximum(deltas[1], deltas[2]) + np.abs(args[1] - args[2])
        chosen = self.value([args[0], deltas[1], deltas[2]], attribute, at)
        return cast(Array, np.where(np.asarray(deltas[0]) > 0.5, either, chosen))


CHOICES: tuple[Operation, ...] = (
    Comparison("lt", np.less),
    Comparison("le", np.less_equal),
    Extreme("maximum", np.maximum, largest=True),
    Extreme("minimum", np.minimum, largest=False),
    Where(),
)
