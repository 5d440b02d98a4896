"""The base of a flow for a range of couplings: a Gaussian whose mean and widths are functions of them.

It is given at nodes, a grid in the space of couplings. Between them the mean, and the logarithm of the filter
at every momentum, are interpolated linearly. Where the vacuum changes its symmetry between two nodes the base
passes from one vacuum to the other, and the flow corrects it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import OptionError
from .base import GaussianBase

_HERMITIAN = 1e-9  # largest relative defect of a filter that counts as rounding


@dataclass(frozen=True, eq=False)
class RangeBase(GaussianBase):
    """A Gaussian for every point of a range of couplings; as a ``GaussianBase`` it is that of one point.

    Attributes
    ----------
    axes
        The nodes of each coupling, in increasing order.
    means
        Means at the nodes, (*nodes, components).
    log_filters
        log A(k) at the nodes, Hermitian, (*nodes, *shape, components, components).
    """

    axes: tuple[NDArray[np.float64], ...] = ()
    means: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    log_filters: NDArray[np.complex128] = field(default_factory=lambda: np.zeros(0, np.complex128))

    @classmethod
    def of_nodes(
        cls, axes: Sequence[NDArray[np.float64]], bases: Sequence[GaussianBase], point: ArrayLike
    ) -> RangeBase:
        """The base from those at the nodes, the last coupling running fastest.

        Raises
        ------
        OptionError
            If tails differ between nodes, or a user's base has a filter without a logarithm.
        """
        one, counts = bases[0], tuple(len(axis) for axis in axes)
        tails = {base.tail for base in bases}
        if len(tails) > 1:
            raise OptionError(
                "option over",
                expected="a range in which exp(−S) falls off alike, so that one kind of tail fits",
                found="the tails " + ", ".join(sorted(map(str, tails))),
                remedy="choose a smaller range, or leave out the couplings that change how S grows",
            )
        logs = np.stack([_logarithm(base.filter) for base in bases])
        means = np.stack([base.mean for base in bases])
        whole = cls(
            *(one.mean, one.filter, one.log_det, one.nodes, one.tail),
            *(tuple(axes), means.reshape(*counts, -1), logs.reshape(*counts, *one.filter.shape)),
        )
        return whole.around(point)

    def around(self, point: ArrayLike) -> RangeBase:
        """The same base, which as a ``GaussianBase`` is that of another point."""
        here = self.at(point)
        own = (here.mean, here.filter, here.log_det, here.nodes, here.tail)
        return RangeBase(*own, self.axes, self.means, self.log_filters)

    def at(self, point: ArrayLike) -> GaussianBase:
        """The Gaussian at a point, (couplings,); beyond the last node it is extrapolated."""
        mean, log_filter = np.zeros(self.components), np.zeros(self.filter.shape, np.complex128)
        for weight, node in _cell(self.axes, np.asarray(point, dtype=np.float64)):
            mean = mean + weight * self.means[node]
            log_filter = log_filter + weight * self.log_filters[node]
        values, vectors = np.linalg.eigh(log_filter)
        matrix = (vectors * np.exp(values)[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
        return GaussianBase(mean, matrix, float(values.sum()), self.nodes, self.tail)


def _logarithm(matrix: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The logarithm of a filter, Hermitian and positive at every momentum."""
    values, vectors = np.linalg.eigh(matrix)
    defect = float(np.abs(matrix - matrix.conj().swapaxes(-1, -2)).max())
    if values.min() <= 0 or defect > _HERMITIAN * float(np.abs(matrix).max()):
        raise OptionError(
            "option over",
            expected="a base whose filter is Hermitian and positive, as that of from_precision",
            found=f"eigenvalue {values.min():.3g}, defect {defect:.3g}",
            remedy="make the base by GaussianBase.from_precision, or leave it to the compiler",
        )
    return (vectors * np.log(values)[..., None, :]) @ vectors.conj().swapaxes(-1, -2)


def _cell(
    axes: Sequence[NDArray[np.float64]], point: NDArray[np.float64]
) -> list[tuple[float, tuple[int, ...]]]:
    """Weights and numbers of the nodes around a point."""
    sides: list[tuple[tuple[float, int], tuple[float, int]]] = []
    for axis, value in zip(axes, point, strict=True):
        left = min(max(int(np.searchsorted(axis, float(value))) - 1, 0), len(axis) - 2)
        share = float((value - axis[left]) / (axis[left + 1] - axis[left]))
        sides.append(((1 - share, left), (share, left + 1)))
    pairs = itertools.product(*sides)
    return [(float(np.prod([w for w, _ in pair])), tuple(node for _, node in pair)) for pair in pairs]
