"""Hybrid Monte Carlo of exp(−S) in NumPy, without a model, from walkers around a given configuration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .landscape import Landscape

WALKERS = 64
LEAPFROGS = 6
_STEP, _ACCEPTANCE = 0.3, 0.7  # first leapfrog step in standard deviations, and the acceptance it adapts to


@dataclass(eq=False)
class Walk:
    """The state of a set of HMC walkers.

    Attributes
    ----------
    centre, root
        Configurations are x = centre + root z, (n,) and (n, modes), with z of about unit variance.
    z, action, slope
        Coordinates, S and ∂S/∂z, (walkers, modes), (walkers,), (walkers, modes).
    step
        Step size of the leapfrog, in units of z.
    """

    landscape: Landscape
    centre: np.ndarray
    root: np.ndarray
    z: np.ndarray
    action: np.ndarray
    slope: np.ndarray
    rng: np.random.Generator
    step: float = _STEP

    @classmethod
    def gaussian(
        cls, landscape: Landscape, centre: np.ndarray, root: np.ndarray, count: int, rng: np.random.Generator
    ) -> Walk:
        """Walkers at x = centre + root z, z ~ N(0, 1); at the centre where S is not finite."""
        z = rng.normal(size=(count, root.shape[1]))
        z[~np.isfinite(landscape.values(centre + z @ root.T))] = 0.0
        return cls(landscape, centre, root, z, *_pulled_back(landscape, centre, root, z), rng)

    @classmethod
    def at(
        cls,
        landscape: Landscape,
        centre: np.ndarray,
        root: np.ndarray,
        x: np.ndarray,
        rng: np.random.Generator,
    ) -> Walk:
        """Walkers at given configurations, (walkers, n); the root has to be square."""
        z = np.linalg.solve(root, (x - centre).T).T
        return cls(landscape, centre, root, z, *_pulled_back(landscape, centre, root, z), rng)

    @property
    def configurations(self) -> np.ndarray:
        """x, (walkers, n)."""
        return self.centre + self.z @ self.root.T

    def advance(self, trajectories: int, adapting: int = 0) -> None:
        """Move all walkers; in the first ``adapting`` trajectories the step size follows the acceptance."""
        for trajectory in range(trajectories):
            momentum = self.rng.normal(size=self.z.shape)
            end, moved, tilted, risen = self.z, momentum, self.slope, self.action
            lengths = self.step * self.rng.uniform(0.8, 1.2, size=(len(self.z), 1))
            for _ in range(LEAPFROGS):
                moved = moved - lengths / 2 * tilted
                end = end + lengths * moved
                risen, tilted = _pulled_back(self.landscape, self.centre, self.root, end)
                moved = moved - lengths / 2 * tilted
            kinetic = ((momentum**2).sum(axis=1) - (moved**2).sum(axis=1)) / 2
            change = self.action - risen + kinetic
            chance = np.exp(np.minimum(np.where(np.isnan(change), -np.inf, change), 0.0))
            taken = self.rng.uniform(size=len(self.z)) < chance
            self.z = np.where(taken[:, None], end, self.z)
            self.slope = np.where(taken[:, None], tilted, self.slope)
            self.action = np.where(taken, risen, self.action)
            if trajectory < adapting:
                self.step *= float(np.exp(chance.mean() - _ACCEPTANCE))


def _pulled_back(
    landscape: Landscape, centre: np.ndarray, root: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(over="ignore", invalid="ignore"):
        value, slope = landscape.slopes(centre + z @ root.T)
    return value, slope @ root
