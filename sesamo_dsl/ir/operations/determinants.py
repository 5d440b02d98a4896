"""Fermion determinants log|det(1 + B_Nt … B_1)| with B_t = exp(K·step) diag(exp(species·value_t)).

The lattice is (Nt, Nx). The attribute is (K, species) with the name of a symmetric constant K, (Nx, Nx), and
species = ±1. The algorithm is in ``ir.fermions``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..fermions import conditioning, log_det, log_det_and_gradient
from ..value import Attribute, Kind, Op
from .operation import Array, Arrays, Fixed, Operation, Setting, Writer


def _problem(args: Arrays, attribute: Attribute, at: Setting) -> tuple[Any, Any, np.ndarray, int]:
    """Field, step, K and species."""
    return args[0], args[1], at.constants[attribute[0]], attribute[1]


def _per_slice(args: Arrays, deltas: Arrays, attribute: Attribute, at: Setting) -> Array:
    """Relative error of a slice: a few roundoffs, and as many again for each level of the tree.

    The error of the step enters through exp(K·step).
    """
    matrix = at.constants[attribute[0]]
    slices, nodes = at.site_shape[1:]
    kinetic = np.abs(matrix).sum(axis=0).max() * np.abs(args[1])
    levels = 2 + np.log2(slices)
    return at.roundoff * nodes * levels * (1 + kinetic) + deltas[1] * kinetic / np.abs(args[1])


class FermionLogDet(Fixed):
    """log|det(1 + B_Nt … B_1)| of a field (SITE) and the step."""

    name, takes, gives = "fermion_log_det", (Kind.SITE, Kind.SCALAR), Kind.CONFIG
    couples_nodes = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return log_det(*_problem(args, attribute, at)).astype(at.dtype)

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        slope = b.apply("fermion_gradient", *op.args, attribute=op.attribute)
        return [(op.args[0], b.mul(adjoint, slope))]

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        problem = _problem(args, attribute, at)
        slope = log_det_and_gradient(*problem)[1]
        moved = (np.abs(slope) * np.broadcast_to(deltas[0], at.site_shape)).sum(axis=at.lattice_axes)
        return moved + _per_slice(args, deltas, attribute, at) * conditioning(*problem)


class FermionGradient(Fixed):
    """Derivative of :class:`FermionLogDet` by the field.

    A relative error of M is amplified by its condition number, which the sum over all columns bounds.
    """

    name, takes, gives = "fermion_gradient", (Kind.SITE, Kind.SCALAR), Kind.SITE
    couples_nodes = True

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return log_det_and_gradient(*_problem(args, attribute, at))[1].astype(at.dtype)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        amplified = conditioning(*_problem(args, attribute, at))
        most = np.broadcast_to(deltas[0], at.site_shape).max(axis=at.lattice_axes)
        most = most + _per_slice(args, deltas, attribute, at)
        return (most * amplified).reshape(-1, 1, 1) * (1 + np.abs(value))


DETERMINANTS: tuple[Operation, ...] = (FermionLogDet(), FermionGradient())
