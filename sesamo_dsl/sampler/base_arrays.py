"""The numbers of a Gaussian base as arrays of the framework, alike for all configurations or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..flows.base import GaussianBase
from .arrays import Array, Arrays


@dataclass(frozen=True, eq=False)
class BaseArrays:
    """The arrays of a base that its flow computes with.

    Each has a leading axis of the batch if ``rows`` is not 0, as in a training over a range of couplings.

    Attributes
    ----------
    filter
        A(k) over the scale, (*lattice, c, c).
    whitening
        The inverse of ``filter``, (*lattice, c, c).
    mean, scale
        Mean and standard deviation of each component, (c, 1, …).
    width
        Standard deviation of each mean over the lattice, or over time on a graph, over the scale, (c, 1).
    log_normalization
        −log q of the base at its centre, a number.
    rows
        Number of configurations that have bases of their own; 0 for one base.
    """

    arrays: Arrays
    filter: Array
    whitening: Array
    mean: Array
    scale: Array
    width: Array
    log_normalization: Any
    rows: int = 0

    @classmethod
    def of(cls, arrays: Arrays, base: GaussianBase, dtype: str) -> BaseArrays:
        """The arrays of one base."""
        numbers = _numbers(base)
        normalization = float(numbers.pop("log_normalization"))
        found = {name: arrays.constant(values, _type(values, dtype)) for name, values in numbers.items()}
        return cls(arrays, **found, log_normalization=normalization)

    @classmethod
    def of_points(cls, arrays: Arrays, bases: Sequence[GaussianBase], dtype: str) -> BaseArrays:
        """A table of several bases, for :meth:`chosen`."""
        each = [_numbers(base) for base in bases]
        table = {name: np.stack([numbers[name] for numbers in each]) for name in each[0]}
        found = {name: arrays.constant(values, _type(values, dtype)) for name, values in table.items()}
        return cls(arrays, **found, rows=len(bases))

    def chosen(self, points: Array, count: int) -> BaseArrays:
        """The bases of configurations with these numbers in a table, (count,)."""
        return self._each(lambda values: self.arrays.take(values, points), count)

    def for_batch(self, count: int) -> BaseArrays:
        """The arrays for a batch of several images of the configurations, image by image."""
        if self.rows == 0 or self.rows == count:
            return self
        return self._each(lambda values: repeated(self.arrays, values, count), count)

    def _each(self, change: Any, count: int) -> BaseArrays:
        names = [field.name for field in fields(self) if field.name not in ("arrays", "rows")]
        return replace(self, **{name: change(getattr(self, name)) for name in names}, rows=count)


def repeated(arrays: Arrays, values: Array, count: int) -> Array:
    """Values of configurations, (batch, …), for a batch of images of them, (count, …), image by image."""
    copies = count // len(values)
    return values if copies == 1 else arrays.xp.concat([values] * copies)


def _numbers(base: GaussianBase) -> dict[str, np.ndarray]:
    column = (-1, *(1 for _ in base.shape))
    nodes = (len(base.shape) - 1,) if base.nodes is not None else ()
    entries = base.components * math.prod(base.shape)
    return {
        "filter": base.filter / base.scale[:, None],
        "whitening": base.inverse_filter * base.scale,
        "mean": base.mean.reshape(column),
        "scale": base.scale.reshape(column),
        "width": (np.sqrt(np.diag(base.mean_covariance(nodes))) / base.scale)[:, None],
        "log_normalization": np.array(0.5 * math.log(2 * math.pi) * entries + base.log_det),
    }


def _type(values: np.ndarray, dtype: str) -> str:
    if values.dtype.kind != "c":
        return dtype
    return {"float32": "complex64", "float64": "complex128"}[dtype]
