"""Logarithms of sums of exponentials that do not overflow, term by term or of a whole stack of exponents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..value import Attribute, Kind, Op
from .operation import (
    Array,
    Arrays,
    Fixed,
    Interval,
    Intervals,
    Operation,
    Pointwise,
    Setting,
    Writer,
    grown,
    hull,
    largest,
    product,
)


def _logsumexp(values: Array) -> Array:
    """log Σ exp over the first axis."""
    top = values.max(axis=0)
    if values.dtype != object:  # as expansions at infinity are
        top = np.where(np.isinf(top), 0, top)  # ∞ − ∞
    return top + np.log(np.exp(values - top).sum(axis=0))


def _combined(constant: float, factors: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """The interval of constant + Σ_j factors[j] values[j]."""
    parts = [product((c, c), interval) for c, interval in zip(factors, intervals, strict=True)]
    return constant + sum(low for low, _ in parts), constant + sum(high for _, high in parts)


class LogSumExp(Pointwise):
    """log Σ exp(terms)."""

    name = "logsumexp"
    is_continuous = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return _logsumexp(np.stack(np.broadcast_arrays(*args)))

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        return [(term, b.mul(adjoint, b.apply("exp", b.sub(term, value)))) for term in op.args]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        intervals = [of(term) for term in op.args]
        return max(low for low, _ in intervals), hull(intervals)[1] + math.log(len(intervals))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return largest(deltas) + at.roundoff * len(args)


class AffineStack(Operation):
    """rows[k][0] + Σ_j rows[k][j+1] values[j] for every k, rows = attribute."""

    name = "affine_stack"
    is_continuous = True

    @property
    def arguments(self) -> str:
        return "site, once or more"

    def kind(self, kinds: Sequence[Kind], attribute: Attribute) -> Kind | None:
        return Kind.STACK if {*kinds} == {Kind.SITE} else None

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        rows = np.array(attribute, dtype=at.dtype)
        return rows[:, :1] + rows[:, 1:] @ np.stack(args).reshape(len(args), -1)

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return hull(_combined(row[0], row[1:], [of(a) for a in op.args]) for row in op.attribute)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        rows = np.abs(np.array(attribute))
        sizes = np.stack(args).reshape(len(args), -1)
        error = np.stack([np.broadcast_to(d, at.site_shape) for d in deltas]).reshape(len(args), -1)
        return rows[:, 1:] @ grown(sizes, error, at.roundoff * (len(args) + 1)) + at.roundoff * rows[:, :1]


class StackLogSumExp(Fixed):
    """log Σ_k exp(stack_k)."""

    name, takes, gives = "stack_logsumexp", (Kind.STACK,), Kind.SITE
    is_continuous = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return _logsumexp(args[0]).reshape(at.site_shape)

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        """∂/∂value_j = Σ_k softmax_k rows[k][j+1], straight to the arguments of the affine stack."""
        stack = b.op(op.args[0])
        softmax = b.apply("stack_softmax", op.args[0], value)
        for j, argument in enumerate(stack.args):
            slope = b.apply("stack_dot", softmax, attribute=tuple(row[j + 1] for row in stack.attribute))
            yield argument, b.mul(adjoint, slope)

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        low, high = of(op.args[0])
        return low, high + math.log(len(b.op(op.args[0]).attribute))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return (np.max(deltas[0], axis=0) + at.roundoff * len(args[0])).reshape(at.site_shape)


class StackSoftmax(Fixed):
    """exp(stack_k − logsumexp), given the log-sum-exp of the stack."""

    name, takes, gives = "stack_softmax", (Kind.STACK, Kind.SITE), Kind.STACK

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.exp(args[0] - args[1].reshape(-1))

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return 0.0, 1.0

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        total, delta = np.reshape(args[1], -1), np.reshape(deltas[1], -1)
        return np.abs(value) * (deltas[0] + delta + at.roundoff * np.abs(total))


class StackDot(Fixed):
    """Σ_k weights_k stack_k, weights = attribute."""

    name, takes, gives = "stack_dot", (Kind.STACK,), Kind.SITE

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return (np.array(attribute, dtype=at.dtype) @ args[0]).reshape(at.site_shape)

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return _combined(0.0, op.attribute, [of(op.args[0])] * len(op.attribute))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        weights = np.abs(np.array(attribute))
        return (weights @ grown(args[0], deltas[0], at.roundoff * len(weights))).reshape(at.site_shape)


EXPONENTIALS: tuple[Operation, ...] = (
    *(LogSumExp(), AffineStack(), StackLogSumExp(), StackSoftmax(), StackDot()),
)
