"""The objective of a training over a range of couplings: every configuration of a batch has its own.

The couplings come from a fixed set of points. A batch has groups of configurations with equal couplings. What
depends on the couplings and has no derivative, the base above all, is computed at all points beforehand, and
a step looks it up. In a step a :class:`~sesamo_dsl.sampler.sampler.Sampler` is made whose emitted functions,
base and weights have one value for each configuration; else it is the sampler of single couplings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..backend import EmittedProgram
from ..flows.coupling_range import CouplingRange
from ..flows.range_base import RangeBase
from ..ir.source import argument_name
from ..plan.base import wall_statistics
from ..plan.plan import Plan
from ..values.couplings import Couplings
from .arrays import Array, Arrays, Weights
from .base_arrays import BaseArrays
from .given import Given
from .objectives import ForwardPart
from .sampler import Sampler

_ALIKE = 16  # configurations of a batch with equal couplings
_MEMORY = 0.9  # weight of what is known of a point against what a step says
_LEAST = 1e-6  # 1 − ESS below which points count as equally good
_EQUAL = 0.5  # share of the groups that is spread equally over all points


class OverRange:
    """The objective over a range of couplings, see :meth:`Sampler.objective`.

    Parameters
    ----------
    action
        Makes the differentiable action of emitted functions.
    parameters
        All couplings; those that vary may have any values in the range.
    """

    def __init__(
        self,
        arrays: Arrays,
        compiled: EmittedProgram,
        action: Callable[[Mapping[str, Callable[..., Any]]], Callable[[Array], Array]],
        parameters: Couplings,
        base: RangeBase,
        plan: Plan,
        over: CouplingRange,
    ) -> None:
        self._arrays, self._compiled, self._action = arrays, compiled, action
        self._parameters, self._base, self._plan = parameters, base, plan.of_one_point
        self._adaptive = plan.density == "adaptive"
        self._functions = compiled.varying(frozenset(over.names)).bind(parameters)
        points, precision = over.trained(plan.density), compiled.precision
        dtype = plan.flow_precision or precision
        bases = [base.at(point) for point in points]
        self._couplings = {
            argument_name(name): arrays.constant(column, precision)
            for name, column in zip(over.names, points.T, strict=True)
        }
        self._features = arrays.constant(over.features(points), dtype)
        self._bases, self._wall = BaseArrays.of_points(arrays, bases, dtype), None
        if plan.strategy == "chart" and "chart" in self._functions:
            walls = zip(*(wall_statistics(compiled.program, each) for each in bases), strict=True)
            self._wall = tuple(arrays.constant(np.concatenate(rows), precision) for rows in walls)
        self._constants = np.array([compiled.constant({**parameters, **over.at(p)}) for p in points])
        self._groups = np.arange(plan.batch) * max(1, plan.batch // _ALIKE) // plan.batch
        apart = np.where(self._groups == np.unique(self._groups)[:, None], 0.0, -np.inf)
        self._apart = arrays.constant(apart, "float64")
        self.misses = np.ones(len(points))

    def points(self, step: int) -> np.ndarray:
        """Numbers of the points of the configurations of a step, (batch,).

        Seed and step determine them; if the density is adaptive, also the state of the training: half of the
        groups are anywhere then, and the others where 1 − ESS was large in the last steps.
        """
        rng, count = np.random.default_rng((self._plan.seed, 9, step)), len(self._constants)
        if not self._adaptive:
            return rng.integers(count, size=self._groups[-1] + 1)[self._groups]
        density = _EQUAL / count + (1 - _EQUAL) * self.misses / self.misses.sum()
        return rng.choice(count, size=self._groups[-1] + 1, p=density)[self._groups]

    def learn(self, points: np.ndarray, ess: np.ndarray) -> None:
        """Remember 1 − ESS of the groups of a step at its points, (batch,)."""
        first = np.unique(self._groups, return_index=True)[1]
        for point, miss in zip(points[first], np.clip(1 - ess, _LEAST, 1), strict=True):
            self.misses[point] = _MEMORY * self.misses[point] + (1 - _MEMORY) * miss

    def constant(self, points: np.ndarray) -> float:
        """The mean of the field-independent part of S that the emitted action leaves out."""
        return float(self._constants[points].mean())

    def objective(
        self,
        weights: Weights,
        noise: tuple[Array, Array],
        directions: list[Array],
        forward: ForwardPart | None,
        points: Array,
    ) -> tuple[Array, Array]:
        """The objective of a step, the mean over its configurations, and the ESS of its groups, (groups,)."""
        given, compiled = self._given(points), self._compiled
        emitted = given.bound(self._functions)
        sampler = Sampler(
            self._arrays,
            emitted,
            self._action(emitted),
            compiled.program,
            compiled.facts,
            self._parameters,
            self._base,
            self._plan,
            compiled.precision,
            given,
        )
        return sampler.objective(weights, noise, directions, forward)

    def _given(self, points: Array) -> Given:
        def chosen(values: Array) -> Array:
            return self._arrays.take(values, points)

        return Given(
            self._arrays,
            {name: chosen(values) for name, values in self._couplings.items()},
            chosen(self._features),
            self._bases.chosen(points, len(points)),
            None if self._wall is None else tuple(map(chosen, self._wall)),
            self._apart,
        )
