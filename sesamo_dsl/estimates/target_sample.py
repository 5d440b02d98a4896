"""Weighted configurations of the target from a source other than the model that is compared with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..errors import OptionError
from .estimate import Estimate

_ENTRIES, _FEWEST, _MOST = 2**17, 2**12, 2**14
_STRETCHES, _FEWEST_STRETCHES = 50, 20
_CORRELATED = 4.0  # largest correlation of successive stretches, in standard errors, that counts as chance


def most_of(shape: Sequence[int]) -> int:
    """Largest number of configurations of a shape that are kept; every check evaluates log q at each of them.

    It is 4096, and for small configurations up to four times as many, since the least probability whose
    absence is seen is the inverse of this number.
    """
    return min(max(_ENTRIES // math.prod(shape), _FEWEST), _MOST)


class Outside(NamedTuple):
    """Configurations from outside a model, with the model's density at the time when its samples were drawn.

    Attributes
    ----------
    log_q
        log q at the configurations, (n,).
    target
        The configurations.
    """

    log_q: np.ndarray
    target: TargetSample


@dataclass(frozen=True, eq=False)
class TargetSample:
    """Weighted configurations of exp(−S)/Z from an annealing, Markov chains, or any other source.

    Attributes
    ----------
    x
        Configurations, (n, components, *lattice).
    action
        S(x), (n,).
    weights
        Importance weights with sum 1, (n,).
    cluster
        Number of the cluster of each configuration, (n,). Configurations in different clusters are
        independent; one cluster has for instance the descendants of one walker or a stretch of a chain.
    log_z
        log Z from the same source; None if the source has no log Z, such as a chain.
    origin
        The origin of the configurations, in words.
    doubts
        Reasons to doubt them.
    """

    x: np.ndarray
    action: np.ndarray
    weights: np.ndarray
    cluster: np.ndarray
    log_z: Estimate | None
    origin: str
    doubts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    @property
    def clusters(self) -> int:
        """The number of independent clusters."""
        return len(np.unique(self.cluster))

    @property
    def effective_clusters(self) -> float:
        """1/Σ_c W_c² with the total weight W_c of each cluster."""
        _, number = np.unique(self.cluster, return_inverse=True)
        return float(1 / np.sum(np.bincount(number, weights=self.weights) ** 2))

    def expect(self, values: np.ndarray) -> Estimate:
        """Weighted mean of values, (n,); the error is computed from the clusters, which are independent."""
        mean = float(self.weights @ values)
        _, number = np.unique(self.cluster, return_inverse=True)
        parts = np.bincount(number, weights=self.weights * (values - mean))
        return Estimate(mean, float(np.sqrt(np.sum(parts**2))))

    def part(self, chosen: np.ndarray) -> TargetSample:
        """The configurations of a mask, (n,), with their weights normalised to sum 1."""
        kept = self.weights[chosen]
        return replace(
            self,
            x=self.x[chosen],
            action=self.action[chosen],
            weights=kept / kept.sum(),
            cluster=self.cluster[chosen],
        )

    @classmethod
    def of_arrays(
        cls, x: np.ndarray, action: np.ndarray, log_weights: np.ndarray | None = None
    ) -> TargetSample:
        """Configurations of any source, in the order of their generation.

        Successive configurations may depend on each other, so that 50 stretches of equal length are the
        clusters. Configurations of several chains have to be given chain after chain. There is a doubt if
        successive stretches are correlated, in the mean of S or of a component of the field, and if there are
        fewer than 20 independent clusters, as errors cannot be told from them.

        Parameters
        ----------
        x, action
            Configurations, (n, components, *lattice), and S(x), (n,).
        log_weights
            Logarithms of the weights, (n,), up to a constant; default: equal weights.

        Raises
        ------
        OptionError
            If S is finite at no configuration, or if ``log_weights`` has another shape or no finite numbers.
        """
        finite = np.isfinite(action)
        if not finite.any():
            raise OptionError(
                "configurations to compare a model with",
                expected="at least one, with finite S",
                found=f"{len(x)}, of which S is finite at none",
                remedy="pass configurations of the theory at these couplings",
            )
        if log_weights is not None and np.shape(log_weights) != (len(x),):
            raise OptionError(
                "log_weights",
                expected=f"shape ({len(x)},), one for each configuration",
                found=f"shape {np.shape(log_weights)}",
                remedy="leave them out if all configurations are alike",
            )
        log_weights = np.zeros(len(x)) if log_weights is None else np.asarray(log_weights, dtype=np.float64)
        largest = log_weights[finite].max()
        if not np.isfinite(largest) or np.isnan(log_weights).any():
            raise OptionError(
                "log_weights",
                expected="numbers, −∞ for a configuration of no weight, of which one is finite",
                found=f"{np.isnan(log_weights).sum()} NaN, largest {largest:g}, of {len(x)}",
                remedy="leave such configurations out",
            )
        weights = np.where(finite, np.exp(log_weights - largest), 0.0)
        weights /= weights.sum()
        cluster = np.arange(len(x)) * min(_STRETCHES, len(x)) // len(x)
        effective = 1 / np.sum(np.bincount(cluster, weights=weights) ** 2)
        means = x.reshape(*x.shape[:2], -1).mean(axis=2)
        doubts = ()
        if _are_correlated(np.column_stack([np.where(finite, action, 0.0), means]), cluster):
            doubts = (f"{_STRETCHES} successive stretches of the {len(x)} given are correlated",)
        elif round(effective) < _FEWEST_STRETCHES:
            doubts = (f"the {len(x)} given are worth {effective:.0f} independent ones, too few for errors",)
        chosen = np.arange(0, len(x), -(-len(x) // most_of(x.shape[1:])))
        kept = weights[chosen] / weights[chosen].sum()
        return cls(x[chosen], action[chosen], kept, cluster[chosen], None, f"{len(x)} given ones", doubts)

    def as_data(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain values and arrays by name, to be stored."""
        log_z = None if self.log_z is None else list(self.log_z)
        values = {"source": self.origin, "doubts": list(self.doubts), "log_z": log_z}
        names = ("x", "action", "weights", "cluster")
        return values, {name: np.ascontiguousarray(getattr(self, name)) for name in names}

    @classmethod
    def from_data(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TargetSample:
        """Inverse of :meth:`as_data`; ValueError if the arrays do not fit together."""
        x, action, weights, cluster = (arrays[name] for name in ("x", "action", "weights", "cluster"))
        if not len(x) == len(action) == len(weights) == len(cluster) > 0:
            raise ValueError("configurations, actions and weights of different number")
        log_z = values["log_z"]
        return cls(
            x,
            action,
            weights,
            cluster,
            None if log_z is None else Estimate(float(log_z[0]), float(log_z[1])),
            str(values["source"]),
            tuple(map(str, values["doubts"])),
        )


def _are_correlated(series: np.ndarray, cluster: np.ndarray) -> bool:
    """Whether the means of a series, (n, k), over successive clusters are correlated by more than chance.

    A correlation above 4/√50 leaves fewer than 14 of 50 independent clusters. Configurations that are all
    alike, as those of a frozen chain, are correlated.
    """
    if len(series) > 1 and not np.ptp(series, axis=0).any():
        return True
    counts = np.bincount(cluster)
    sums = np.stack([np.bincount(cluster, weights=values) for values in series.T], axis=1)
    off = sums / counts[:, None]
    off -= off.mean(axis=0)
    with np.errstate(invalid="ignore"):
        correlation = (off[1:] * off[:-1]).sum(axis=0) / (off**2).sum(axis=0)
    return bool((correlation > _CORRELATED / np.sqrt(len(counts))).any())
