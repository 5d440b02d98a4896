"""Vectors: maps by constant matrices, lengths and directions, numbers and indices."""

from __future__ import annotations

import numpy as np

from ..value import Attribute, Kind
from .operation import Array, Arrays, Fixed, Operation, Setting, grown


class Difference(Fixed):
    """a − b of two vectors."""

    name, takes, gives = "difference", (Kind.VECTOR, Kind.VECTOR), Kind.VECTOR

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0] - args[1]

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return np.broadcast_to(deltas[0], value.shape) + np.broadcast_to(deltas[1], value.shape)


class Total(Fixed):
    """Sum of all entries of the vectors of all blocks."""

    name, takes, gives = "total", (Kind.VECTOR,), Kind.CONFIG

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0].reshape(len(args[0]), -1).sum(axis=1)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return self.value([grown(args[0], deltas[0], at.roundoff * args[0].size)], attribute, at)


class Flatten(Fixed):
    """The vectors of all blocks one after the other, (batch, blocks·k)."""

    name, takes, gives = "flatten", (Kind.VECTOR,), Kind.VECTOR

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0].reshape(len(args[0]), -1)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return self.value([np.broadcast_to(deltas[0], args[0].shape)], attribute, at)


class Linear(Fixed):
    """result_i = Σ_j M_ij v_j with a named constant M."""

    name, takes, gives = "linear", (Kind.VECTOR,), Kind.VECTOR

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0] @ at.constant(attribute).T

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        matrix = np.abs(at.constants[attribute])
        return grown(args[0], deltas[0], at.roundoff * (matrix.shape[1] + 1)) @ matrix.T


class Argmax(Fixed):
    """Index of the largest entry, the first one where several are equal."""

    name, takes, gives = "argmax", (Kind.VECTOR,), Kind.INDEX

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.argmax(args[0], axis=-1)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return 0.0


class Entry(Fixed):
    """v_i, i = attribute."""

    name, takes, gives = "entry", (Kind.VECTOR,), Kind.CONFIG

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0][:, attribute]

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return np.broadcast_to(deltas[0], args[0].shape)[:, attribute]


class Tail(Fixed):
    """(v_2, …, v_N)."""

    name, takes, gives = "tail", (Kind.VECTOR,), Kind.VECTOR

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0][:, 1:]

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return np.broadcast_to(deltas[0], args[0].shape)[:, 1:]


class Norm(Fixed):
    """|v|."""

    name, takes, gives = "norm", (Kind.VECTOR,), Kind.CONFIG

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.sqrt((args[0] ** 2).sum(axis=1))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        total = np.broadcast_to(deltas[0], args[0].shape).sum(axis=1)
        return total + at.roundoff * args[0].shape[1] * value


class Direction(Fixed):
    """v/|v|, and the first unit vector where v = 0."""

    name, takes, gives = "direction", (Kind.VECTOR,), Kind.VECTOR

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        length = np.sqrt((args[0] ** 2).sum(axis=1, keepdims=True))
        first = np.eye(args[0].shape[1], dtype=at.dtype)[:1]
        return np.where(length > 0, args[0] / np.where(length > 0, length, 1), first)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        length = np.maximum(np.sqrt((args[0] ** 2).sum(axis=1, keepdims=True)), np.finfo(float).tiny)
        total = np.broadcast_to(deltas[0], args[0].shape).sum(axis=1, keepdims=True)
        # two unit vectors are never farther apart than 2, however short the vector
        return np.minimum(2 * total / length, 2.0) + at.roundoff * args[0].shape[1]


class Filled(Fixed):
    """The attribute, a number, for every configuration."""

    name, takes, gives = "filled", (Kind.CONFIG,), Kind.CONFIG

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.full_like(args[0], attribute)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return 0.0


VECTORS: tuple[Operation, ...] = (
    *(Difference(), Total(), Flatten(), Linear(), Argmax()),
    *(Entry(), Tail(), Norm(), Direction(), Filled()),
)
