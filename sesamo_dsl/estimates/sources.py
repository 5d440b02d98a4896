"""Sources of statistical errors: the error of a mean follows from the influence of each configuration.

The influence of configuration i on a number is the first-order change of the number that is due to i: for a
mean Σ_i w_i O_i with normalised weights it is w_i (O_i − ⟨O⟩). Influences of functions of several numbers
are linear combinations, so that correlations within one set of samples are included.

Sources: F. R. Hampel, J. Am. Stat. Assoc. 69 (1974) 383; for lattice data U. Wolff, hep-lat/0306017, where
the Γ-method is applied to the same linear combination.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np


def digest(*arrays: np.ndarray) -> str:
    """A name for a set of samples: equal for equal numbers, wherever they are, and no reference to them."""
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


@dataclass(frozen=True)
class Source(ABC):
    """A set of samples, known by its key; equal keys mean the same samples, others independent ones."""

    key: str

    @abstractmethod
    def variance(self, influence: np.ndarray) -> float:
        """Variance of a number with these influences of the configurations."""

    def covariance(self, influences: np.ndarray) -> np.ndarray:
        """Covariance matrix, (k, k), of numbers with these influences of the configurations, (k, …).

        Cov(a, b) = [Var(a + b) − Var(a − b)]/4; a source that knows it without variances says so itself.
        """
        return np.array(
            [[(self.variance(a + b) - self.variance(a - b)) / 4 for b in influences] for a in influences]
        )


@dataclass(frozen=True)
class Independent(Source):
    """Independent configurations, with influences (n,), of which the variance is Σ_i h_i²."""

    def variance(self, influence: np.ndarray) -> float:
        """See :meth:`Source.variance`."""
        return float(influence @ influence)

    def covariance(self, influences: np.ndarray) -> np.ndarray:
        """See :meth:`Source.covariance`."""
        return influences @ influences.T


@dataclass(frozen=True)
class Clustered(Source):
    """Configurations in independent clusters: the variance is Σ_c (Σ_(i of c) h_i)².

    Attributes
    ----------
    cluster
        Number of the cluster of each configuration, (n,).
    """

    cluster: np.ndarray = field(compare=False, repr=False)

    def variance(self, influence: np.ndarray) -> float:
        """See :meth:`Source.variance`."""
        return float(np.sum(np.bincount(self.cluster, weights=influence) ** 2))

    def covariance(self, influences: np.ndarray) -> np.ndarray:
        """See :meth:`Source.covariance`."""
        sums = np.stack([np.bincount(self.cluster, weights=influence) for influence in influences])
        return sums @ sums.T


Influences = Mapping[str, tuple[Source, np.ndarray]]
"""Source and influence of each of its configurations, by the key of the source."""


def of_one_number(error: float) -> Influences:
    """The influences of a number with this error that is independent of every other number."""
    source = Independent(uuid.uuid4().hex)
    return {source.key: (source, np.array([error]))}


def combined(terms: Iterable[tuple[float, Influences]]) -> Influences:
    """The influences Σ_k slope_k h_k of a function of several numbers."""
    total: dict[str, tuple[Source, np.ndarray]] = {}
    with np.errstate(invalid="ignore", over="ignore"):  # numbers without an error bar
        for slope, influences in terms:
            for key, (source, influence) in influences.items():
                part = slope * influence
                total[key] = (source, total[key][1] + part if key in total else part)
    return total


def standard_error(influences: Influences) -> float:
    """Standard error from independent sources."""
    with np.errstate(invalid="ignore", over="ignore"):
        return math.sqrt(sum(source.variance(influence) for source, influence in influences.values()))
