"""Sums, products and quotients, entry by entry.

Their simplest forms multiply literals and couplings with scalars before they multiply whole lattices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..value import Attribute, Kind, Op
from .operation import (
    ANYTHING,
    RANK,
    Array,
    Arrays,
    Interval,
    Intervals,
    Operation,
    Pointwise,
    Setting,
    Writer,
    product,
)


def _literal(b: Writer, index: int) -> float | None:
    op = b.op(index)
    return op.attribute if op.name == "constant" else None


def _sum(a: float, b: float) -> float:
    """a + b, where ∞ − ∞ is left out."""
    total = a + b
    return 0.0 if math.isnan(total) else total


def _is_below(b: Writer, term: int, bound: int) -> bool:
    """Whether the second value is an upper bound that was formed from the first."""
    op = b.op(bound)
    if term == bound:
        return True
    return op.name in ("hold", "maximum", "logsumexp") and any(_is_below(b, term, a) for a in op.args)


class Add(Pointwise):
    """a + b."""

    name, count = "add", 2
    is_smooth = True

    def simplified(self, b: Writer, args: tuple[int, ...], attribute: Attribute) -> int:
        first, second = args
        la, lb = _literal(b, first), _literal(b, second)
        if la == 0:
            return second
        if lb == 0:
            return first
        if la is not None and lb is not None:
            return b.constant(la + lb)
        for one, other in ((first, second), (second, first)):
            op = b.op(other)
            if op.name == "mul" and _literal(b, op.args[0]) == -1:
                return b.sub(one, op.args[1])
        return b.emit(self.name, args)

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0] + args[1]

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return [(op.args[0], adjoint), (op.args[1], adjoint)]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        (a, c), (d, e) = map(of, op.args)
        return _sum(a, d), _sum(c, e)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return deltas[0] + deltas[1]

    def is_extensive(self, kinds: Sequence[Kind]) -> bool:
        return Kind.SCALAR not in kinds


class Sub(Pointwise):
    """a − b."""

    name, count = "sub", 2
    is_smooth = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0] - args[1]

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return [(op.args[0], adjoint), (op.args[1], b.neg(adjoint))]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        (a, c), (d, e) = map(of, op.args)
        highest = 0.0 if _is_below(b, *op.args) else _sum(c, -d)
        return _sum(a, -e), highest

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return deltas[0] + deltas[1]

    def is_extensive(self, kinds: Sequence[Kind]) -> bool:
        return Kind.SCALAR not in kinds


class Mul(Pointwise):
    """a·b, the smaller factor first."""

    name, count = "mul", 2
    is_smooth = True

    def simplified(self, b: Writer, args: tuple[int, ...], attribute: Attribute) -> int:
        small, large = args
        if RANK.get(b.kind(small), 9) > RANK.get(b.kind(large), 9) or _literal(b, large) is not None:
            small, large = large, small
        factor, other = _literal(b, small), _literal(b, large)
        if factor == 1:
            return large
        if factor == 0:
            return small
        if factor is not None and other is not None:
            return b.constant(factor * other)
        op = b.op(large)
        if op.name == "mul" and RANK[b.kind(small)] <= RANK[b.kind(op.args[0])] < RANK[op.kind]:
            return b.mul(b.mul(small, op.args[0]), op.args[1])
        if factor is not None and op.name == "mul":
            inner = _literal(b, op.args[0])
            if inner is not None:
                return b.mul(b.constant(factor * inner), op.args[1])
        return b.emit(self.name, (small, large))

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0] * args[1]

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        first, second = op.args
        if first == second:
            return [(first, b.mul(b.constant(2.0), b.mul(adjoint, first)))]
        return [(first, b.mul(adjoint, second)), (second, b.mul(adjoint, first))]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        low, high = product(of(op.args[0]), of(op.args[1]))
        return (max(low, 0.0), high) if op.args[0] == op.args[1] else (low, high)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return np.abs(args[1]) * deltas[0] + np.abs(args[0]) * deltas[1]

    def is_extensive(self, kinds: Sequence[Kind]) -> bool:
        return kinds.count(Kind.CONFIG) == 1


class Div(Pointwise):
    """a/b."""

    name, count = "div", 2

    def simplified(self, b: Writer, args: tuple[int, ...], attribute: Attribute) -> int:
        dividend, divisor = args
        number = _literal(b, divisor)
        if number is not None and number != 0:
            return b.mul(b.constant(1.0 / number), dividend)
        return b.emit(self.name, args)

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0] / args[1]

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        dividend, divisor = op.args
        return [
            (dividend, b.div(adjoint, divisor)),
            (divisor, b.neg(b.mul(adjoint, b.div(value, divisor)))),
        ]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        low, high = of(op.args[1])
        if low < 0 < high:
            return ANYTHING
        inverse = (1 / high if high else -math.inf, 1 / low if low else math.inf)
        return product(of(op.args[0]), inverse)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return (deltas[0] + np.abs(value) * deltas[1]) / np.abs(args[1])


ARITHMETIC: tuple[Operation, ...] = (Add(), Sub(), Mul(), Div())
