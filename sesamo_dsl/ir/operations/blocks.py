"""Sums and group actions per block, for a group that acts independently at every point of the block axes.

The block axes, a tuple of lattice axes, are the attribute of each operation or a part of it.
"""

from __future__ import annotations

import numpy as np

from ..value import Attribute, Kind
from .operation import Array, Arrays, Fixed, Operation, Setting, Writer, grown


def _over_blocks(values: np.ndarray, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Values (batch, …, blocks) laid out along the lattice of ``x``, with extent 1 off the block axes."""
    shape = [n if mu in axes else 1 for mu, n in enumerate(x.shape[2:])]
    return values.reshape(*values.shape[:-1], *shape)


class BlockMean(Fixed):
    """Mean of every component over the sites of each block, (batch, blocks, components)."""

    name, takes, gives = "block_mean", (Kind.FIELDS,), Kind.VECTOR

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        rest = tuple(a + 2 for a in range(args[0].ndim - 2) if a not in attribute)
        mean = args[0].mean(axis=rest) if rest else args[0]
        return np.swapaxes(mean.reshape(*mean.shape[:2], -1), 1, 2)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return self.value([grown(args[0], deltas[0], at.roundoff * at.depth)], attribute, at)


class BlockSum(Fixed):
    """Σ over the sites of each block; couplings are taken out of the sum."""

    name, takes, gives = "block_sum", (Kind.SITE,), Kind.BLOCKS

    def simplified(self, b: Writer, args: tuple[int, ...], attribute: Attribute) -> int:
        op = b.op(args[0])
        if op.name == "mul" and b.kind(op.args[0]) is Kind.SCALAR:
            return b.mul(op.args[0], b.apply("block_sum", op.args[1], attribute=attribute))
        return b.emit(self.name, args, attribute)

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        rest = tuple(a for a in at.lattice_axes if a - 1 not in attribute)
        return args[0].sum(axis=rest).reshape(len(args[0]), -1)

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        delta = np.broadcast_to(deltas[0], at.site_shape)
        return self.value([grown(args[0], delta, at.roundoff * at.depth)], attribute, at)


class ActOnBlocks(Fixed):
    """x_a(site) ↦ Σ_b M[index of the site's block]_ab x_b(site).

    The attribute is (name of the constant M, (order, c, c); block axes).
    """

    name, takes, gives = "act_on_blocks", (Kind.FIELDS, Kind.INDEX), Kind.FIELDS

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return self._turned(args[0], args[1], at.constant(attribute[0]), attribute[1])

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        matrices = np.abs(at.constants[attribute[0]])
        error = grown(args[0], deltas[0], at.roundoff * (matrices.shape[1] + 1))
        return self._turned(error, args[1], matrices, attribute[1])

    @staticmethod
    def _turned(x: Array, index: Array, matrices: np.ndarray, axes: tuple[int, ...]) -> Array:
        per_site = _over_blocks(np.moveaxis(matrices[index], 1, -1), x, axes)
        return (per_site * x[:, None]).sum(axis=2)


class Spread(Fixed):
    """x_a(site) ↦ x_a(site) + Σ_j M_aj v_j with the vector v of the site's block.

    The attribute is (name of the constant M, (c, k); block axes).
    """

    name, takes, gives = "spread", (Kind.FIELDS, Kind.VECTOR), Kind.FIELDS

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return args[0] + self._steps(args[0], args[1], at.constant(attribute[0]), attribute[1])

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        matrix = np.abs(at.constants[attribute[0]])
        size = grown(args[1], deltas[1], at.roundoff * (matrix.shape[1] + 1))
        return np.broadcast_to(deltas[0], args[0].shape) + self._steps(args[0], size, matrix, attribute[1])

    @staticmethod
    def _steps(x: Array, vector: Array, matrix: np.ndarray, axes: tuple[int, ...]) -> Array:
        moved = vector @ matrix.T
        by_block = moved[:, None] if moved.ndim == 2 else moved
        return _over_blocks(np.swapaxes(by_block, 1, 2), x, axes)


BLOCKS: tuple[Operation, ...] = (BlockMean(), BlockSum(), ActOnBlocks(), Spread())
