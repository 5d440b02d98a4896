"""A search for modes that a model misses, by minima of S and by walkers that start from them.

ESS, reverse KL and the virial identity are averages over a model's samples, so a mode that the model never
draws does not enter them. The search for minima does not depend on the model. From each minimum a few walkers
run under exp(−S) until they are typical of its valley; at the walkers the model's density is compared with
exp(−S)/Z.

A mode without a minimum of its own, such as a kink between two wells, is found by walkers that continue from
the heavy valleys. The fraction of their time in regions where the model's density is too small estimates the
missed mass; it is too small before the walkers are in equilibrium. The search cannot see a mass below a few
per cent, nor regions behind barriers that the walkers do not cross.
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
_LEAST_PART = 0.1  # least part of the mass of a valley that counts as missed
_HEAVY = 0.1  # least part of the total mass of a valley from which walkers continue
_JOURNEY, _SHORTEST = 80, 20  # largest and smallest number of trajectories of walkers that continue
_WORK = 1.2e6  # operations of the action times real variables times trajectories: about two seconds
_SNAPSHOTS = 4  # times at which walkers that continue are recorded
_FEWEST_WALKERS = 3  # least number of different walkers in a thin region


@dataclass(frozen=True, eq=False)
class Basin:
    """The valley of a minimum.

    Attributes
    ----------
    minimum
        The minimum of S.
    walkers
        Configurations that are typical of the valley, distributed over all images under the modulating group,
        (walkers, components, *lattice).
    action
        S of the walkers, (walkers,).
    weights
        Part of the mass of the valley and its images that each walker represents, (walkers,), with sum 1;
        weights differ between images if the symmetry is broken.
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
    """A valley of S in which the density of a model is much too small.

    Attributes
    ----------
    configuration
        The minimum, (components, *lattice).
    action
        S at the minimum.
    mass
        Probability under p of the missed part of the valley, by Laplace's method.
    log_ratio
        Median of log(e^(−S)/Z) − log q in the missed part.
    """

    configuration: np.ndarray
    action: float
    mass: float
    log_ratio: float


@dataclass(frozen=True, eq=False)
class Journey:
    """Walkers that continued from the heavy valleys, recorded at several times.

    Attributes
    ----------
    walkers
        Configurations, (records, components, *lattice), one record for each walker and time.
    action
        S of the configurations, (records,).
    weights
        Part of the mass of exp(−S) that each configuration represents, (records,), with sum 1.
    walker
        Number of the walker of each configuration, (records,).
    """

    walkers: np.ndarray
    action: np.ndarray
    weights: np.ndarray
    walker: np.ndarray


@dataclass(frozen=True)
class ThinRegion:
    """A region that walkers under exp(−S) reach, in which the density of a model is much too small.

    Attributes
    ----------
    configuration
        A configuration in the region, (components, *lattice).
    mass
        Probability of the region under p, from the time that walkers spend in it.
    log_ratio
        Median of log(e^(−S)/Z) − log q in the region.
    """

    configuration: np.ndarray
    mass: float
    log_ratio: float


def find_basins(program: Program, parameters: Couplings) -> tuple[Basin, ...] | None:
    """The valleys of all minima that a search finds.

    None if there is none, the theory is too large, or it has angles.
    """
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
    """Walkers moved to images under the modulating group, S of the images, and exp(S_walker − S_image).

    With blocks the walkers stay where they are.
    """
    fields, sectors = landscape.fields(walk.configurations), landscape.program.sectors
    if sectors.count == 1 or sectors.n_blocks is not None:
        return fields, walk.action, np.ones(len(fields))
    u = np.arange(len(fields)) % sectors.count
    fields = run(landscape.program, "modulate", {"y": fields, "u": u})[0]
    action = landscape.values(fields.reshape(len(fields), -1))
    return fields, action, np.exp(np.clip(walk.action - action, -700, 700))


def find_journey(program: Program, parameters: Couplings) -> Journey | None:
    """Walkers that continue from the heavy valleys; None if there is no valley, or it takes too long."""
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
    """A walk from the walkers of a valley that moves in all directions, also along orbits of Lie groups."""
    x = basin.minimum.configuration.reshape(-1)
    modes = modes_at(landscape, x, Images(landscape).orbit(x)[0])
    assert modes is not None  # otherwise the valley would have no basin
    stiffness, directions = np.linalg.eigh(modes.stiffness)
    kept = stiffness > 1e-12 * stiffness.max()
    root = directions / np.sqrt(np.maximum(stiffness, stiffness[kept].min()))
    return Walk.at(landscape, x, root, basin.start, np.random.default_rng(1))


def log_prob_now(model: Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function log q(x) with the present weights of a model, also after the model is trained further."""
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
    """The search for missed modes of one model, with its weights at the time when the samples were drawn.

    The search runs at the first access to a result; a pickle contains the results.

    Parameters
    ----------
    log_prob
        log q of the model, (n, components, *lattice) → (n,), from :func:`log_prob_now`.
    program, parameters
        The theory and its couplings.
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

    @classmethod
    def of_results(
        cls,
        basins: tuple[Basin, ...] | None,
        log_q: tuple[np.ndarray, ...],
        journey: Journey | None,
        journey_log_q: np.ndarray,
    ) -> Search:
        """A search that is done, from its results; it needs no model."""
        search = cls.__new__(cls)
        search.__dict__.update(basins=basins, log_q=log_q, journey=journey, journey_log_q=journey_log_q)
        return search

    @cached_property
    def basins(self) -> tuple[Basin, ...] | None:
        """The valleys of S; None if the theory is too large to search, or has no minimum."""
        return find_basins(self._program, self._parameters)

    @cached_property
    def log_q(self) -> tuple[np.ndarray, ...]:
        """log q at the walkers of each valley, (walkers,) each; −∞ for NaN."""
        return tuple(self._log_q([basin.walkers for basin in self.basins or ()]))

    @cached_property
    def journey(self) -> Journey | None:
        """Walkers that continued from the heavy valleys; None if it takes too long."""
        return find_journey(self._program, self._parameters)

    @cached_property
    def journey_log_q(self) -> np.ndarray:
        """log q at the configurations of :attr:`journey`, (records,); −∞ for NaN."""
        return np.zeros(0) if self.journey is None else self._log_q([self.journey.walkers])[0]

    def _log_q(self, configurations: list[np.ndarray]) -> list[np.ndarray]:
        found = [self._log_prob(x).astype(np.float64) for x in configurations]
        return [np.where(np.isnan(log_q), -np.inf, log_q) for log_q in found]

    def missed(self, log_z: float, threshold: float) -> tuple[MissedMode, ...]:
        """Valleys where log(e^(−S)/Z) − log q > threshold for a tenth of their mass or more, heaviest first.

        Parameters
        ----------
        log_z
            log Z as estimated from the model's samples, which lacks the missed modes.
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
        """The region with log(e^(−S)/Z) − log q > threshold; None if fewer than three walkers reach it."""
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
