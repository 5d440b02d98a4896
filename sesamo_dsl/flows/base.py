"""The base of a flow: a translation-invariant Gaussian, as a filter in momentum space, or a mixture of them.

If exp(−S) falls off like a power, the base has a :class:`Tail`, and the last layer of the flow gives q tails
of this kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import OptionError
from ..values.node_order import NodeOrder
from .spec import check_geometry

TailShape = Literal["student", "product"]


@dataclass(frozen=True)
class Tail:
    """Heavy tails of a flow, those of Student's t, p(r) ∝ r^(−ν−1).

    Attributes
    ----------
    shape
        ``"student"`` for one tail in the distance r from the mean, in units of the base's widths;
        ``"product"`` for a tail in each coordinate.
    freedom
        ν, the number of degrees of freedom.
    """

    shape: TailShape
    freedom: float


@dataclass(frozen=True, eq=False)
class GaussianBase:
    """A translation-invariant Gaussian, x = mean + Re ifftn_k( A(k) fftn(z)(k) ) with z standard normal.

    Attributes
    ----------
    mean
        Mean of each component, (components,).
    filter
        A(k) = H(k)^(-1/2), Hermitian with A(-k) = conj A(k), (*shape, components, components).
    log_det
        log |det dx/dz| = Σ_k log |det A(k)|.
    nodes
        The order of the nodes of a graph, if these are the last axis; else None.
    tail
        Tail of the flow over this base; None for Gaussian tails.
    """

    mean: NDArray[np.float64]
    filter: NDArray[np.complex128]
    log_det: float
    nodes: NodeOrder | None = None
    tail: Tail | None = None

    @classmethod
    def standard(
        cls, components: int, shape: tuple[int, ...], nodes: NodeOrder | None = None
    ) -> GaussianBase:
        """Mean 0, covariance 1."""
        check_geometry(components, shape)
        identity = np.broadcast_to(np.eye(components), (*shape, components, components))
        return cls.from_precision(np.zeros(components), identity, nodes)

    @classmethod
    def from_precision(
        cls, mean: ArrayLike, precision: ArrayLike, nodes: NodeOrder | None = None
    ) -> GaussianBase:
        """The Gaussian ∝ exp(−½ Σ_k δ(k)† H(k) δ(k) / volume), δ = fftn(x − mean).

        Parameters
        ----------
        mean
            Mean of each component, (components,).
        precision
            H(k), Hermitian and positive definite with H(−k) = conj H(k), (*shape, components, components).
        nodes
            The order of the nodes of a graph, if these are the last axis.

        Raises
        ------
        OptionError
            If shapes disagree, or the precision is not Hermitian, not positive or not that of a real field.
        """
        center = np.asarray(mean, dtype=np.float64)
        matrix = np.asarray(precision, dtype=np.complex128)
        _base(center.ndim == 1, "mean", "shape (components,)", center.shape)
        _base(
            matrix.shape[-2:] == 2 * center.shape,
            "precision",
            f"shape (*shape, {center.size}, {center.size})",
            matrix.shape,
        )
        size = float(np.abs(matrix).max())
        hermitian = float(np.abs(matrix - matrix.conj().swapaxes(-1, -2)).max())
        _base(
            hermitian <= 1e-9 * size,
            "precision",
            "a Hermitian matrix at every k",
            f"a defect of {hermitian:.3g}",
        )
        real = float(np.abs(reflected(matrix) - matrix.conj()).max())
        _base(real <= 1e-9 * size, "precision", "H(-k) = conj H(k)", f"a defect of {real:.3g}")
        values, vectors = np.linalg.eigh(matrix)
        _base(
            bool(values.min() > 0),
            "precision",
            "a positive definite matrix",
            f"eigenvalue {values.min():.6g}",
        )
        root = (vectors / np.sqrt(values)[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
        log_det = -0.5 * float(np.log(values).sum())
        return cls(center, np.asarray(root, dtype=np.complex128), log_det, nodes)

    @property
    def components(self) -> int:
        """Number of field components."""
        return self.mean.size

    @property
    def shape(self) -> tuple[int, ...]:
        """Lattice extents."""
        return self.filter.shape[:-2]

    @property
    def inverse_filter(self) -> NDArray[np.complex128]:
        """A(k)^(-1), (*shape, components, components)."""
        return np.asarray(np.linalg.inv(self.filter), dtype=np.complex128)

    @property
    def scale(self) -> NDArray[np.float64]:
        """Standard deviation of each component at a site, (components,)."""
        power = np.abs(self.filter) ** 2
        return np.sqrt(power.sum(axis=-1).reshape(-1, self.components).mean(axis=0))

    def mean_covariance(self, blocks: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """Covariance of the mean field of one block, (components, components).

        The axes ``blocks`` enumerate the blocks; without them the mean goes over the whole lattice.
        """
        origin = tuple(slice(None) if mu in blocks else 0 for mu in range(len(self.shape)))
        modes = self.filter[origin].reshape(-1, self.components, self.components)
        sites = math.prod(extent for mu, extent in enumerate(self.shape) if mu not in blocks)
        return (modes @ modes.conj().swapaxes(-1, -2)).mean(axis=0).real / sites

    def apply(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Noise → configuration, both (batch, components, *shape)."""
        return self._filtered(self.filter, z) + self._broadcast_mean()

    def invert(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Configuration → noise, both (batch, components, *shape)."""
        return self._filtered(self.inverse_filter, x - self._broadcast_mean())

    def _broadcast_mean(self) -> NDArray[np.float64]:
        return self.mean.reshape(-1, *(1 for _ in self.shape))

    def _filtered(self, matrix: NDArray[np.complex128], field: NDArray[np.float64]) -> NDArray[np.float64]:
        axes = tuple(range(2, field.ndim))
        waves = np.moveaxis(np.fft.fftn(field, axes=axes), 1, -1)
        product = (matrix @ waves[..., None])[..., 0]
        return np.fft.ifftn(np.moveaxis(product, -1, 1), axes=axes).real


@dataclass(frozen=True, eq=False)
class MixtureBase(GaussianBase):
    """A mixture of Gaussians Σ_k π_k N(m_k, C_k); each part is the base of one flow of a mixture of flows.

    As a ``GaussianBase`` it has the mean and the covariance of the whole mixture, for code that needs only
    the typical size of configurations.

    Attributes
    ----------
    parts
        The Gaussians, in the order of the flows.
    log_weights
        Initial log π_k of the flows, (parts,).
    """

    parts: tuple[GaussianBase, ...] = ()
    log_weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of_parts(cls, parts: Sequence[GaussianBase], log_weights: NDArray[np.float64]) -> MixtureBase:
        """The mixture of Gaussians on one lattice with log weights, (parts,), given up to a constant."""
        log_weights = log_weights - np.logaddexp.reduce(log_weights)
        weights = np.exp(log_weights)
        means = np.stack([part.mean for part in parts])
        mean = weights @ means
        squares = np.stack([part.filter @ part.filter.conj().swapaxes(-1, -2) for part in parts])
        covariance = np.einsum("k,k...->...", weights, squares)
        apart = means - mean
        origin = (0,) * (covariance.ndim - 2)
        covariance[origin] += math.prod(parts[0].shape) * np.einsum("k,ka,kb->ab", weights, apart, apart)
        precision = np.asarray(np.linalg.inv(covariance), dtype=np.complex128)
        whole = GaussianBase.from_precision(mean, precision, parts[0].nodes)
        return cls(
            whole.mean, whole.filter, whole.log_det, whole.nodes, parts[0].tail, tuple(parts), log_weights
        )


def mixture_bases(base: GaussianBase, count: int, seed: int) -> list[GaussianBase]:
    """Bases for ``count`` flows of a mixture: the given base, shifted at random by about 2 σ per component.

    Flows with equal bases would learn the same density.
    """
    steps = np.random.default_rng([seed, 7]).normal(size=(count, base.components))
    return [replace(base, mean=base.mean + 2 * base.scale * step) for step in steps]


def reflected(matrix: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """H(k) → H(−k), on the leading axes."""
    axes = tuple(range(matrix.ndim - 2))
    return np.roll(np.flip(matrix, axes), 1, axes)


def _base(valid: bool, name: str, expected: str, found: object) -> None:
    if not valid:
        remedy = "see GaussianBase"
        raise OptionError(f"Gaussian base, {name}", expected=expected, found=str(found), remedy=remedy)
