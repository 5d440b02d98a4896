"""A sampler with its weights: it draws samples and evaluates log q, chunk by chunk, on every backend.

A backend adds its arrays, its random numbers and a way to compile the methods of a
:class:`~sesamo_dsl.sampler.sampler.Sampler`; training is added by :mod:`sesamo_dsl.sampler.trainable`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..backend import Draws, EmittedProgram
from ..flows.base import GaussianBase
from ..flows.range_base import RangeBase
from ..flows.range_weights import weights_at
from ..laws.orbits import uniform_directions
from ..machine.memory import chunk_size
from ..plan.plan import Plan
from ..values.couplings import Couplings
from .arrays import Array, Arrays, Weights
from .objectives import ForwardPart
from .over_range import OverRange
from .sampler import Sampler


class SamplerModel(ABC):
    """The part of ``sesamo_dsl.backend.Model`` that does not differ between backends."""

    weights: Weights

    def __init__(
        self,
        arrays: Arrays,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> None:
        self.arrays, self._plan, self._precision = arrays, plan, compiled.precision
        self._theory, self._constant = compiled.program.theory, compiled.constant(parameters)
        self._over, self._features = self._range(arrays, compiled, parameters, base, plan), None
        if plan.over is not None:
            point = plan.over.features(plan.over.point(parameters)[None]).T
            self._features = arrays.constant(point, plan.flow_precision or compiled.precision)
        emitted = compiled.bind(parameters)
        self.sampler = Sampler(
            arrays,
            emitted,
            self._action(emitted, compiled.program.has_walls),
            compiled.program,
            compiled.facts,
            parameters,
            base,
            plan,
            compiled.precision,
        )
        self.objective = self.sampler.objective if self._over is None else self._over.objective
        self._chunk = chunk_size(self.sampler.shape)

    def _range(
        self,
        arrays: Arrays,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> OverRange | None:
        """What a training over a range of couplings needs; None for single couplings."""
        if plan.over is None:
            return None
        if not isinstance(base, RangeBase):
            raise ValueError("a plan for a range of couplings with a base of one point")
        walls = compiled.program.has_walls
        action: Callable[..., Any] = lambda emitted: self._action(emitted, walls)  # noqa: E731
        return OverRange(arrays, compiled, action, parameters, base, plan, plan.over)

    @property
    def _here(self) -> Weights:
        """The weights at the couplings of the model."""
        return self.weights if self._features is None else weights_at(self.weights, self._features)

    def __repr__(self) -> str:
        size = sum(math.prod(weight.shape) for weight in self.weights.values())
        return f"{type(self).__name__}({self._theory!r}, {self._precision}, {size} weights)"

    def _action(self, emitted: Mapping[str, Callable[..., Any]], has_walls: bool) -> Callable[[Array], Array]:
        """S(x) on arrays of the framework, differentiable; a backend makes it finite inside of hard walls."""
        return emitted["action"]

    @abstractmethod
    def _noise(self, count: int, *seeds: int) -> tuple[Array, Array]:
        """Standard normal z, (count, components, *lattice), and uniforms, (count, *uniforms)."""

    @abstractmethod
    def _flow_uniform(self, count: int, *seeds: int) -> Array:
        """Uniform numbers of another stream, (count,), by which a mixture draws its flow."""

    @abstractmethod
    def _call(self, stage: str, *arguments: Any) -> Any:
        """The sampler's method ``stage`` called without derivatives, compiled if the backend compiles."""

    def _drawn_for(self, count: int) -> int:
        """The length of the batch that is drawn to get count samples; larger if each shape is compiled."""
        return count

    def _padded_to(self, count: int) -> int:
        """The length that a batch of count configurations is padded to; larger if each shape is compiled."""
        return count

    def _tensor(self, values: np.ndarray) -> Array:
        return self.arrays.constant(values, self._precision)

    def _inputs(
        self, step: int, reference: np.ndarray | None, forward_weight: float | None = None
    ) -> tuple[Any, ...]:
        """Inputs of a training step: noise, directions, :class:`ForwardPart`, whose weight is the plan's.

        Over a range of couplings the numbers of the points are the last one.
        """
        o, law = self._plan, self.sampler.orientations.law
        noise, directions = self._noise(o.batch, o.seed, 1, step), []
        if law.sampled:
            rng = np.random.default_rng((o.seed, 3, step))
            directions = [self._tensor(uniform_directions(rng, o.batch, n)) for n in law.dimensions]
        if self._over is not None:
            return noise, directions, None, self.arrays.constant(self._over.points(step), "index")
        if reference is None:
            return noise, directions, None
        auxiliary = law.auxiliary(len(reference), o.seed, 6, step)
        weight = o.forward_weight if forward_weight is None else forward_weight
        part = ForwardPart(self._tensor(reference), self._tensor(auxiliary), self._tensor(np.asarray(weight)))
        return noise, directions, part

    def _constant_of(self, step: int) -> float:
        """The field-independent part of S that the loss of a step lacks."""
        return self._constant if self._over is None else self._over.constant(self._over.points(step))

    def sample(self, count: int, seed: int = 1) -> Draws:
        """See ``sesamo_dsl.backend.Model.sample``."""
        parts, weights = [], self._here
        for chunk, start in enumerate(range(0, count, self._chunk)):
            size = self._drawn_for(min(self._chunk, count - start))
            z, uniform = self._noise(size, seed, 2, chunk)
            choices = self._flow_uniform(size, seed, 2, chunk) if self.sampler.draws_flow else None
            y, log_q, leaked, auxiliary, mismatch = self._call("draw_flow", weights, z, choices)
            directions, log_n = self._draw_directions(y, np.random.default_rng([seed, 4, chunk]))
            x, log_p, action, u = self._call("modulate", weights, y, uniform, directions)
            log_q = self._numpy(log_q) + self._numpy(log_p) + log_n
            others = (self._numpy(a) for a in (action, u, leaked, auxiliary, mismatch))
            parts.append([a[: count - start] for a in (self._numpy(x), log_q, *others)])
        draws = Draws(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        return draws.raised(self._constant)

    def log_prob(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
        """See ``sesamo_dsl.backend.Model.log_prob``."""
        law = self.sampler.orientations.law
        if auxiliary is None:
            auxiliary = law.auxiliary(len(x))
        parts, weights = [], self._here
        for start in range(0, len(x), self._chunk):
            chunk, rest = (self._padded(a[start : start + self._chunk]) for a in (x, auxiliary))
            y, log_p, directions = self._call("canonical", weights, self._tensor(chunk))
            log_flow = self._call("log_flow", weights, y, self._tensor(rest))
            given = [self._numpy(n).astype(np.float64) for n in directions]
            log_n = law.log_prob(given, len(chunk), *self._orbit_inputs(y)).astype(self._precision)
            parts.append(self._numpy(log_flow) + self._numpy(log_p) + log_n)
        return np.concatenate(parts)[: len(x)] if parts else np.zeros(0, self._precision)

    def _draw_directions(self, y: Array, rng: np.random.Generator) -> tuple[list[Array], np.ndarray]:
        """Orientations n given y on the slices, and log p(n|y).

        For a trained law these are the uniform directions that its spline maps to n, and their log-density.
        """
        law, inputs = self.sampler.orientations.law, self._orbit_inputs(y)
        drawn = law.draw(rng, len(y), *inputs)
        log_n = law.log_prob(drawn, len(y), *inputs).astype(self._precision)
        return [self._tensor(n) for n in drawn], log_n

    def _orbit_inputs(self, y: Array) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(r of the slice, −log Σ_u exp(−S₁) on the circle); each is None unless the orbit law needs it."""
        law, radius, table = self.sampler.orientations.law, None, None
        if law.law == "von_mises":
            radius = self._numpy(self.sampler.orientations.radii(y)[0]).astype(np.float64)
        if law.law == "tabulated":
            table = self._numpy(self._call("table", y)).astype(np.float64)
        return radius, table

    def _padded(self, rows: np.ndarray) -> np.ndarray:
        """The rows, padded to the length of a compiled batch by copies of the last row."""
        return np.concatenate([rows, np.repeat(rows[-1:], self._padded_to(len(rows)) - len(rows), axis=0)])

    def _numpy(self, values: Array) -> np.ndarray:
        return self.arrays.to_numpy(values)
