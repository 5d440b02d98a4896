"""Matrices on the components of a configuration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..value import Attribute, Kind
from .operation import Array, Arrays, Fixed, Operation, Setting, grown


def _applied(matrices: Array, x: Array) -> Array:
    return np.einsum("nab,nb...->na...", matrices, x)


class Act(Fixed):
    """x_a(site) ↦ Σ_b M[index]_ab x_b(site) with a named constant M of shape (order, c, c)."""

    name, takes, gives = "act", (Kind.FIELDS, Kind.INDEX), Kind.FIELDS

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return _applied(at.constant(attribute)[args[1]], args[0])

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        matrices = np.abs(at.constants[attribute])
        error = grown(args[0], deltas[0], at.roundoff * (matrices.shape[1] + 1))
        return _applied(matrices[args[1]], error)


class Combination(Fixed):
    """Σ_i v_i M_i with a named constant M of shape (k, c, c)."""

    name, takes, gives = "combination", (Kind.VECTOR,), Kind.MATRIX

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.einsum("ni,iab->nab", args[0], at.constant(attribute))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        matrices = np.abs(at.constants[attribute])
        error = grown(args[0], deltas[0], at.roundoff * (len(matrices) + 1))
        return np.einsum("ni,iab->nab", error, matrices)


class MatrixPolynomial(Operation):
    """Σ_j a_j A^j with coefficients a_j per configuration."""

    name = "matrix_polynomial"

    @property
    def arguments(self) -> str:
        return "matrix, then config for every coefficient"

    def kind(self, kinds: Sequence[Kind], attribute: Attribute) -> Kind | None:
        well_typed = tuple(kinds[:1]) == (Kind.MATRIX,) and {*kinds[1:]} <= {Kind.CONFIG}
        return Kind.MATRIX if well_typed else None

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        matrix, *coefficients = args
        total = np.zeros_like(matrix)
        power = np.broadcast_to(np.eye(matrix.shape[1], dtype=at.dtype), matrix.shape)
        for coefficient in coefficients:
            total = total + coefficient[:, None, None] * power
            power = power @ matrix
        return total

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        matrix, *coefficients = args
        size = np.abs(matrix)
        change = np.broadcast_to(deltas[0], matrix.shape)
        identity = np.broadcast_to(np.eye(matrix.shape[1]), matrix.shape)
        total, power, error = np.zeros_like(size), identity, np.zeros_like(size)
        for coefficient, delta in zip(coefficients, deltas[1:], strict=True):
            c = np.abs(np.reshape(coefficient, (-1, 1, 1)))
            total = total + c * error + (np.reshape(delta, (-1, 1, 1)) + 2 * at.roundoff * c) * power
            error = error @ size + power @ change + at.roundoff * (matrix.shape[1] + 1) * (power @ size)
            power = power @ size
        return total


class Rotate(Fixed):
    """x(site) ↦ A x(site), or Aᵀ x(site)."""

    takes, gives = (Kind.FIELDS, Kind.MATRIX), Kind.FIELDS

    def __init__(self, name: str, *, back: bool) -> None:
        self.name, self._back = name, back

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.einsum("nba,nb...->na..." if self._back else "nab,nb...->na...", args[1], args[0])

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        error = grown(args[0], deltas[0], at.roundoff * (args[0].shape[1] + 1))
        change = np.broadcast_to(deltas[1], args[1].shape)
        return self.value([error, np.abs(args[1])], attribute, at) + self.value(
            [np.abs(args[0]), change], attribute, at
        )


MATRICES: tuple[Operation, ...] = (
    *(Act(), Combination(), MatrixPolynomial()),
    *(Rotate("rotate", back=False), Rotate("rotate_back", back=True)),
)
