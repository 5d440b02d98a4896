"""Configurations of the target that do not come from the model they are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import OptionError
from .estimate import Estimate

MOST = 4096
"""Configurations that are kept: their density under a model is asked for at every check."""


@dataclass(frozen=True, eq=False)
class TargetSample:
    """Weighted configurations of exp(−S)/Z from an annealing, from Markov chains, or from anywhere.

    Attributes
    ----------
    x
        Configurations, (n, components, *lattice).
    action
        S(x), (n,).
    weights
        With sum 1, (n,).
    cluster
        Configurations that are not independent of each other, such as those of one ancestor or of one stretch
        of a chain, have the same number, (n,).
    log_z
        log Z from the same source; None if it has none, as chains have.
    source
        Where the configurations are from.
    doubts
        Reasons not to believe them.
    """

    x: np.ndarray
    action: np.ndarray
    weights: np.ndarray
    cluster: np.ndarray
    log_z: Estimate | None
    source: str
    doubts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    @property
    def clusters(self) -> int:
        """How many of them are independent of each other."""
        return len(np.unique(self.cluster))

    @property
    def effective_clusters(self) -> float:
        """1/Σ W² with the weights of each cluster taken together."""
        _, number = np.unique(self.cluster, return_inverse=True)
        return float(1 / np.sum(np.bincount(number, weights=self.weights) ** 2))

    def expect(self, values: np.ndarray) -> Estimate:
        """Mean of values of each configuration, (n,); the error goes by clusters."""
        mean = float(self.weights @ values)
        _, number = np.unique(self.cluster, return_inverse=True)
        parts = np.bincount(number, weights=self.weights * (values - mean))
        return Estimate(mean, float(np.sqrt(np.sum(parts**2))))

    def part(self, chosen: np.ndarray) -> TargetSample:
        """Some of them, by a mask, (n,)."""
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
        """Configurations from elsewhere; those that follow each other may depend on each other.

        Raises
        ------
        OptionError
            If there are none, none where S is finite, or weights of another number.
        """
        finite = np.isfinite(action)
        if not finite.any():
            raise OptionError(
                "configurations to hold a model against",
                expected="some, with finite S",
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
        weights = np.where(finite, np.exp(log_weights - log_weights[finite].max()), 0.0)
        cluster = np.arange(len(x)) * min(50, len(x)) // len(x)
        chosen = np.arange(0, len(x), max(1, len(x) // MOST))
        kept = weights[chosen] / weights[chosen].sum()
        return cls(x[chosen], action[chosen], kept, cluster[chosen], None, f"{len(x)} given ones")

    def as_data(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain values, and arrays by name."""
        log_z = None if self.log_z is None else list(self.log_z)
        values = {"source": self.source, "doubts": list(self.doubts), "log_z": log_z}
        names = ("x", "action", "weights", "cluster")
        return values, {name: np.ascontiguousarray(getattr(self, name)) for name in names}

    @classmethod
    def from_data(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TargetSample:
        """Inverse of :meth:`as_data`; ValueError for what cannot be one."""
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
