"""Whether a model covers what its own samples cannot show: the minima of S that a search from outside finds.

ESS, reverse KL and the virial identity are averages over a model's samples, and a mode that it has never
drawn does not enter them. The search for minima knows nothing of the model. From each minimum a few walkers
run under exp(−S) until they are typical of its valley; there the model's density is held against exp(−S)/Z.

A mode without a minimum of its own, such as a kink between two wells, is found by walkers that go on from the
heavy valleys. The part of their time that they spend where the model has too little density is the mass of
what is missed, or less while they have not come to equilibrium. Less than a few per cent, and what lies
behind barriers that they do not cross, is not seen by this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..ir.interpreter import run
from ..landscape.images import Images
from ..landscape.landscape import Landscape
from ..landscape.laplace import DENSE, modes_at
from ..landscape.minima import Minimum, find_minima
from ..landscape.walkers import WALKERS, Walk
from ..values.couplings import Couplings, Point

if TYPE_CHECKING:
    from ..backend import Model
    from ..ir.program import Program

_TRAJECTORIES = 10  # so few that walkers stay in their valley
_LEAST_PART = 0.1  # of the mass of a valley
_HEAVY = 0.1  # of all mass: valleys from which walkers go on
_JOURNEY, _SHORTEST = 80, 20  # trajectories of those
_WORK = 1.2e6  # operations of the action times real variables times trajectories: about two seconds
_SNAPSHOTS = 4
_FEWEST_WALKERS = 3  # that must have been where the model is too thin


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
    start
        The walkers before they were moved to images, (walkers, n).
    """

    minimum: Minimum
    walkers: np.ndarray
    action: np.ndarray
    weights: np.ndarray
    start: np.ndarray


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


@dataclass(frozen=True, eq=False)
class Journey:
    """Walkers that have gone on from the heavy valleys, some times after one another.

    Attributes
    ----------
    walkers
        Configurations, (snapshots · walkers, components, *lattice).
    action
        S of them.
    weights
        What part of exp(−S) each of them stands for, with sum 1.
    walker
        Which walker each one is.
    """

    walkers: np.ndarray
    action: np.ndarray
    weights: np.ndarray
    walker: np.ndarray


@dataclass(frozen=True)
class ThinRegion:
    """Where walkers under exp(−S) come to, and a model has far too little density.

    Attributes
    ----------
    configuration
        One of it, (components, *lattice).
    mass
        Its probability under p, by the time that walkers spend there.
    log_ratio
        Median of log(e^(−S)/Z) − log q there.
    """

    configuration: np.ndarray
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
    walk = Walk.gaussian(landscape, x, root, WALKERS, np.random.default_rng(0))
    walk.advance(_TRAJECTORIES, adapting=_TRAJECTORIES // 2)
    fields, action, weights = _on_all_images(landscape, walk)
    return Basin(minimum, fields, action, weights / weights.sum(), walk.configurations)


def _on_all_images(landscape: Landscape, walk: Walk) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Walkers moved to images under the modulating group, S there, and exp(S before − S there)."""
    fields, sectors = landscape.fields(walk.configurations), landscape.program.sectors
    if sectors.count == 1 or sectors.blocks is not None:
        return fields, walk.action, np.ones(len(fields))
    u = np.arange(len(fields)) % sectors.count
    fields = run(landscape.program, "modulate", {"y": fields, "u": u})[0]
    action = landscape.values(fields.reshape(len(fields), -1))
    return fields, action, np.exp(np.clip(walk.action - action, -700, 700))


def find_journey(program: Program, parameters: Couplings) -> Journey | None:
    """Walkers from the heavy valleys; None if there are no valleys, or walking takes too long."""
    return _journey(program, Point(parameters))


@lru_cache(maxsize=16)
def _journey(program: Program, point: Point) -> Journey | None:
    basins = _basins(program, point)
    if basins is None:
        return None
    landscape = Landscape(program, point.values, program.shape)
    masses = np.array([basin.minimum.log_weight for basin in basins])
    masses = np.exp(masses - np.logaddexp.reduce(masses))
    heavy = [(basin, mass) for basin, mass in zip(basins, masses, strict=True) if mass >= _HEAVY]
    work = len(program.functions["action_and_gradient"].ops) * landscape.size * max(len(heavy), 1)
    trajectories = min(_JOURNEY, int(_WORK / work))
    if trajectories < _SHORTEST or not heavy:
        return None
    parts = []
    for number, (basin, mass) in enumerate(heavy):
        walk = _outward(landscape, basin)
        for _ in range(_SNAPSHOTS):
            walk.advance(trajectories // _SNAPSHOTS)
            fields, action, images = _on_all_images(landscape, walk)
            weights = mass * images / images.sum()
            parts.append((fields, action, weights, number * WALKERS + np.arange(len(fields))))
    walkers, action, weights, walker = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Journey(walkers, action, weights / weights.sum(), walker)


def _outward(landscape: Landscape, basin: Basin) -> Walk:
    """From the walkers of a valley in all directions, along the orbits of Lie groups as well."""
    x = basin.minimum.configuration.reshape(-1)
    modes = modes_at(landscape, x, Images(landscape).orbit(x)[0])
    assert modes is not None  # as when the valley was found
    stiffness, directions = np.linalg.eigh(modes.stiffness)
    kept = stiffness > 1e-12 * stiffness.max()
    root = directions / np.sqrt(np.maximum(stiffness, stiffness[kept].min()))
    return Walk.at(landscape, x, root, basin.start, np.random.default_rng(1))


def log_prob_now(model: Model) -> Callable[[np.ndarray], np.ndarray]:
    """log q of a model with the weights that it has now, whatever becomes of them."""
    state = model.state()

    def log_prob(x: np.ndarray) -> np.ndarray:
        now = model.state()
        model.load_state(state)
        try:
            return model.log_prob(x)
        finally:
            model.load_state(now)

    return log_prob


class Search:
    """What a search from outside says about one model as it was when its samples were drawn.

    The search runs when it is first asked for. A pickled one holds what was found.

    Parameters
    ----------
    log_prob
        The density of the model, (n, components, *lattice) → (n,), as :func:`log_prob_now` keeps it.
    program, parameters
        Of the theory.
    """

    def __init__(
        self, log_prob: Callable[[np.ndarray], np.ndarray], program: Program, parameters: Couplings
    ) -> None:
        self._log_prob = log_prob
        self._program, self._parameters = program, dict(parameters)

    def __getstate__(self) -> dict[str, object]:
        return {
            "basins": self.basins,
            "log_q": self.log_q,
            "journey": self.journey,
            "journey_log_q": self.journey_log_q,
        }

    @cached_property
    def basins(self) -> tuple[Basin, ...] | None:
        """The valleys of S; None if the theory is too large to search, or has no minimum."""
        return find_basins(self._program, self._parameters)

    @cached_property
    def log_q(self) -> tuple[np.ndarray, ...]:
        """The model's density at the walkers of each valley, −∞ where it is not a number."""
        return tuple(self._log_q([basin.walkers for basin in self.basins or ()]))

    @cached_property
    def journey(self) -> Journey | None:
        """Walkers that went on from the valleys; None if that takes too long."""
        return find_journey(self._program, self._parameters)

    @cached_property
    def journey_log_q(self) -> np.ndarray:
        """The model's density at these walkers, −∞ where it is not a number."""
        return np.zeros(0) if self.journey is None else self._log_q([self.journey.walkers])[0]

    def _log_q(self, configurations: list[np.ndarray]) -> list[np.ndarray]:
        found = [self._log_prob(x).astype(np.float64) for x in configurations]
        return [np.where(np.isnan(log_q), -np.inf, log_q) for log_q in found]

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

    def thin(self, log_z: float, threshold: float) -> ThinRegion | None:
        """Where walkers come to and log(e^(−S)/Z) − log q > threshold, if several of them do."""
        if self.journey is None:
            return None
        ratio = -self.journey.action - self.journey_log_q - log_z
        low = (ratio > threshold) & (self.journey.weights > 0)
        if len(np.unique(self.journey.walker[low])) < _FEWEST_WALKERS:
            return None
        median = float(np.median(ratio[low]))
        typical = np.flatnonzero(low)[np.argsort(ratio[low], kind="stable")[int(low.sum()) // 2]]
        mass = float(self.journey.weights[low].sum())
        return ThinRegion(self.journey.walkers[typical], mass, median)
