"""Whether a model covers what its own samples cannot show: the minima of S that a search from outside finds.

ESS, reverse KL and the virial identity are averages over a model's samples, and a mode that it has never
drawn does not enter them. The search for minima knows nothing of the model. From each minimum a few walkers
run under exp(−S) until they are typical of its valley; there the model's density is held against exp(−S)/Z. A
mode without a minimum of its own, such as a kink between two wells, is not seen by this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .couplings import Couplings, Point
from .images import Images
from .ir.interpreter import run
from .landscape import Landscape
from .laplace import DENSE, modes_at
from .minima import Minimum, find_minima

if TYPE_CHECKING:
    from .backend import Model
    from .ir.program import Program

_WALKERS = 64
_TRAJECTORIES, _LEAPFROGS = 10, 6
_LEAST_PART = 0.1  # of the mass of a valley
_STEP, _ACCEPTANCE = 0.3, 0.7  # of the leapfrog, in standard deviations of the valley, and what it adapts to


@dataclass(frozen=True, eq=False)
class Basin:
    """The valley of a minimum.

    Attributes
    ----------
    minimum
        Where S is lowest.
    walkers
        Configurations that are typical of the valley, moved to all images under the modulating group,
        (walkers, components, *lattice).
    action
        S of them, (walkers,).
    weights
        How much of the mass of its orbit each walker stands for, (walkers,), with sum 1: images differ where
        the symmetry is broken.
    """

    minimum: Minimum
    walkers: np.ndarray
    action: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class MissedMode:
    """A valley of S in which a model has far too little density.

    Attributes
    ----------
    configuration
        The minimum, (components, *lattice).
    action
        S there.
    mass
        Probability under p, by Laplace's method, of the part that is missed.
    log_ratio
        Median of log(e^(−S)/Z) − log q in that part.
    """

    configuration: np.ndarray
    action: float
    mass: float
    log_ratio: float


def find_basins(program: Program, parameters: Couplings) -> tuple[Basin, ...] | None:
    """The valleys of all minima that a search finds; None if there are none, or the theory is too large."""
    return _basins(program, Point(parameters))


@lru_cache(maxsize=16)
def _basins(program: Program, point: Point) -> tuple[Basin, ...] | None:
    landscape = Landscape(program, point.values, program.shape)
    if landscape.size > DENSE:
        return None
    basins = [_basin(landscape, minimum) for minimum in find_minima(program, point.values)]
    return tuple(basin for basin in basins if basin is not None) or None


def _basin(landscape: Landscape, minimum: Minimum) -> Basin | None:
    x = minimum.configuration.reshape(-1)
    modes = modes_at(landscape, x, Images(landscape).orbit(x)[0])
    if modes is None:
        return None
    variances, directions = np.linalg.eigh(modes.stiffness)
    kept = variances > 1e-12 * variances.max()
    root = directions[:, kept] / np.sqrt(variances[kept])
    walkers, before = _equilibrated(landscape, x, root, np.random.default_rng(0))
    fields = landscape.fields(walkers)
    sectors, weights = landscape.program.sectors, np.ones(len(walkers))
    action = before
    if sectors.count > 1 and sectors.blocks is None:
        u = np.arange(len(walkers)) % sectors.count
        fields = run(landscape.program, "modulate", {"y": fields, "u": u})[0]
        action = landscape.values(fields.reshape(len(fields), -1))
        weights = np.exp(np.clip(before - action, -700, 700))
    return Basin(minimum, fields, action, weights / weights.sum())


def _equilibrated(
    landscape: Landscape, centre: np.ndarray, root: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Walkers, (walkers, n), and S of them, after HMC from a Gaussian of the width of the valley.

    The coordinates z of x = centre + root z have unit variance in the valley. The step size adapts in the
    first half of the trajectories, which are so few that walkers stay in their valley.
    """
    z = rng.normal(size=(_WALKERS, root.shape[1]))
    z[~np.isfinite(landscape.values(centre + z @ root.T))] = 0.0
    value, slope = _pulled_back(landscape, centre, root, z)
    step = _STEP
    for trajectory in range(_TRAJECTORIES):
        momentum = rng.normal(size=z.shape)
        end, moved, tilted, risen = z, momentum, slope, value
        lengths = step * rng.uniform(0.8, 1.2, size=(len(z), 1))
        for _ in range(_LEAPFROGS):
            moved = moved - lengths / 2 * tilted
            end = end + lengths * moved
            risen, tilted = _pulled_back(landscape, centre, root, end)
            moved = moved - lengths / 2 * tilted
        change = value - risen + ((momentum**2).sum(axis=1) - (moved**2).sum(axis=1)) / 2
        chance = np.exp(np.minimum(np.where(np.isnan(change), -np.inf, change), 0.0))
        taken = rng.uniform(size=len(z)) < chance
        z, slope = np.where(taken[:, None], end, z), np.where(taken[:, None], tilted, slope)
        value = np.where(taken, risen, value)
        if trajectory < _TRAJECTORIES // 2:
            step *= float(np.exp(chance.mean() - _ACCEPTANCE))
    return centre + z @ root.T, value


def _pulled_back(
    landscape: Landscape, centre: np.ndarray, root: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(over="ignore", invalid="ignore"):
        value, slope = landscape.slopes(centre + z @ root.T)
    return value, slope @ root


class Coverage:
    """What a search from outside says about one model as it was when its samples were drawn.

    The search runs when it is first asked for. A pickled one holds what was found.

    Parameters
    ----------
    model
        The model, whose weights are kept as they are now.
    program, parameters
        Of the theory.
    """

    def __init__(self, model: Model, program: Program, parameters: Couplings) -> None:
        self._model, self._state = model, model.state()
        self._program, self._parameters = program, dict(parameters)

    def __getstate__(self) -> dict[str, object]:
        return {"basins": self.basins, "log_q": self.log_q}

    @cached_property
    def basins(self) -> tuple[Basin, ...] | None:
        """The valleys of S; None if the theory is too large to search, or has no minimum."""
        return find_basins(self._program, self._parameters)

    @cached_property
    def log_q(self) -> tuple[np.ndarray, ...]:
        """The model's density at the walkers of each valley, −∞ where it is not a number."""
        basins = self.basins or ()
        now = self._model.state()
        self._model.load_state(self._state)
        try:
            found = [self._model.log_prob(basin.walkers).astype(np.float64) for basin in basins]
        finally:
            self._model.load_state(now)
        return tuple(np.where(np.isnan(log_q), -np.inf, log_q) for log_q in found)

    def missed(self, log_z: float, threshold: float) -> tuple[MissedMode, ...]:
        """Valleys where log(e^(−S)/Z) − log q > threshold for a tenth of their mass or more, heaviest first.

        Parameters
        ----------
        log_z
            The model's estimate, which lacks what is missed.
        """
        found: list[tuple[Basin, float, float]] = []
        for basin, log_q in zip(self.basins or (), self.log_q, strict=True):
            ratio = -basin.action - log_q - log_z
            low = ratio > threshold
            part = float(basin.weights[low].sum())
            if part >= _LEAST_PART:
                found.append((basin, np.log(part) + basin.minimum.log_weight, float(np.median(ratio[low]))))
        total = np.logaddexp.reduce([log_z, *(log_mass for _, log_mass, _ in found)])
        modes = [
            MissedMode(b.minimum.configuration, b.minimum.action, float(np.exp(log_mass - total)), ratio)
            for b, log_mass, ratio in found
        ]
        return tuple(sorted(modes, key=lambda mode: -mode.mass))
