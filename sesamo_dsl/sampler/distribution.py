"""q(x) of a model as a distribution: what PyTorch and JAX make their distributions of.

With a slice of a Lie group a model has one coordinate more than x for each broken direction, the auxiliary
coordinates a, and the density of its samples is the integral q(x) = ∫ q(x, a) da. For one coordinate, U(1) or
SO(2), it is taken by the trapezoid rule, which converges exponentially for a smooth density, and like the
square of the step where splines have knots; the number of nodes is doubled until log q changes by less than
10⁻⁴ at samples of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import OptionError
from .arrays import Array, repeated
from .trainable import TrainableModel

_COMPARED = 64  # samples at which numbers of nodes are compared
_WIDTHS = 8.0  # half of the interval of a, in standard deviations of a
_NODES, _MOST = 32, 1024  # first and largest number of intervals
_CHANGE = 1e-4  # of log q, by twice as many nodes, beside rounding
_ROUNDING = 100.0  # machine precisions of 1 + |log q|


class FixedDensity:
    """log q(x) and draws of a model, with the weights that it had.

    Parameters
    ----------
    model
        A model that is not changed any more; called in the scope of its backend.

    Raises
    ------
    OptionError
        If samples leak, so that their density has no norm, or if q(x) is an integral that is not known.
    """

    def __init__(self, model: TrainableModel) -> None:
        self.sampler, self.arrays = model.sampler, model.arrays
        self._weights, self._model = model.arrays.detach(model.weights), model
        law = model.sampler.orientations.law
        if model.sampler.domain.leaky:
            raise _none(
                "one whose samples all lie in its domain",
                f"strategy {model.sampler.domain.name}, whose samples may leak: their density has no norm",
                "train with strategy='fold' or 'chart', or use run.sample, which marks them",
            )
        width = sum(n - 1 for n in law.dimensions)
        if width > 1:
            raise _none(
                "log q(x) in closed form, or as an integral over one auxiliary coordinate",
                f"{width} coordinates that complete the slices of Lie groups",
                "use run.sample, whose log q is an unbiased estimate, or train with strategy='none'",
            )
        self._nodes: tuple[np.ndarray, float] | None = None
        if width:
            self._nodes = self._enough_nodes()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of a configuration, (components, *lattice)."""
        return self.sampler.shape

    def log_prob(self, x: Array) -> Array:
        """log q(x), (batch, components, *lattice) → (batch,), differentiable by x."""
        return self._log_prob(x, self._nodes)

    def draw(
        self, z: Array, uniform: Array, choices: Array | None, orient: Callable[[Array], list[Array]]
    ) -> Array:
        """Configurations from noise, see :meth:`.Sampler.draw`."""
        return self.sampler.draw(self._weights, z, uniform, choices, orient)

    def orbit_inputs(self, y: Array) -> list[Array]:
        """What the law of the orientations takes of y: nothing, r of the slice, or its table."""
        kind = self.sampler.orientations.law.law
        if kind == "von_mises":
            return [self.sampler.orientations.radii(y)[0]]
        return [self.sampler.table(y)] if kind == "tabulated" else []

    def orientations(self, seed: Any, count: int, *inputs: Any) -> list[np.ndarray]:
        """Orientations by NumPy, (count, N) for each slice, from what :meth:`orbit_inputs` returns."""
        law = self.sampler.orientations.law
        given = [np.asarray(a, np.float64) for a in inputs]
        radius = given[0] if law.law == "von_mises" else None
        table = given[0] if law.law == "tabulated" else None
        return law.draw(np.random.default_rng(seed), count, radius, table)

    def _log_prob(self, x: Array, nodes: tuple[np.ndarray, float] | None) -> Array:
        sampler, arrays, weights = self.sampler, self.arrays, self._weights
        y, log_p, directions = sampler.canonical(weights, x)
        log_p = log_p + sampler.orientations.log_given(y, directions)
        if nodes is None:
            return log_p + sampler.log_flow(weights, y, arrays.zeros((y.shape[0], 0), y))
        places, log_step = nodes
        dtype = arrays.dtype_of(y)
        a = repeated(arrays, arrays.constant(places[:, None], dtype), y.shape[0])
        every = arrays.xp.tile(y, (len(places), *[1] * (y.ndim - 1)))
        # log q̃(y, a) is log_flow with log N(a) taken back
        log_flow = sampler.log_flow(weights, every, a)[:, None] - 0.5 * (a * a + math.log(2 * math.pi))
        return log_p + arrays.logsumexp(log_flow.reshape(len(places), -1), axis=0) + log_step

    def _enough_nodes(self) -> tuple[np.ndarray, float]:
        draws = self._model.sample(4 * _COMPARED)
        x = self.arrays.constant(draws.x[:_COMPARED], str(draws.x.dtype))
        centre, width = float(draws.auxiliary.mean()), float(draws.auxiliary.std())
        before, change, intervals = None, math.inf, _NODES
        while intervals <= _MOST:
            places = centre + width * np.linspace(-_WIDTHS, _WIDTHS, intervals + 1)
            nodes = places, math.log(places[1] - places[0])
            evaluate = self.arrays.compiled(lambda x, nodes=nodes: self._log_prob(x, nodes))
            now = self.arrays.to_numpy(evaluate(x))
            if before is not None:
                change = float(np.abs(now - before).max())
                rounding = _ROUNDING * float(np.finfo(now.dtype).eps) * (1 + float(np.abs(before).max()))
                if change <= _CHANGE + rounding:
                    return nodes
            before, intervals = now, 2 * intervals
        raise _none(
            "an integral over the auxiliary coordinate that converges",
            f"a change of {change:.2g} of log q from {_MOST // 2} to {_MOST} nodes",
            "train the run further, or use run.sample, whose log q is an unbiased estimate",
        )


def _none(expected: str, found: str, remedy: str) -> OptionError:
    return OptionError("distribution of a run", expected=expected, found=found, remedy=remedy)
