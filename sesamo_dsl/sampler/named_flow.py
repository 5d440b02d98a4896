"""Flows of users, found by their registered names: the names of their weights, and checks before training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from .. import checks
from ..errors import OptionError
from ..flows.base import GaussianBase
from ..plan.extensions import FLOWS
from .arrays import Array, Arrays, Weights
from .flow import Flow

_BATCH = 4
_TOLERANCE = 1e-2
"""Tolerance of forward against inverse: a flow may be in single precision, or inverted by a root search."""
_REMEDY = (
    "write for arrays.xp, with what initial_state names as weights: see sesamo_dsl.sampler.Flow for what "
    "forward and inverse return, and docs/extending.md"
)


class NamedFlow:
    """A registered flow whose weights have the names that they have in the state of a model.

    Parameters
    ----------
    name
        The name under which the flow was registered.
    dtype
        Type of the weights and of the computation, ``"float32"`` or ``"float64"``. Results have the type of
        the input.
    prefix
        Beginning of the names of the weights in the state; the flow itself gets the names without it.

    Raises
    ------
    OptionError
        If the factory does not return a flow.
    """

    def __init__(self, arrays: Arrays, name: str, base: GaussianBase, dtype: str, prefix: str) -> None:
        self._arrays, self._name, self._base = arrays, name, base
        self._dtype, self._prefix = dtype, prefix
        with self._calling("a function (arrays, base, dtype) → Flow"):
            flow = FLOWS[name](arrays, base, dtype)
        if not isinstance(flow, Flow):
            raise self._error(
                "a flow, with the methods initial_state, forward and inverse", checks.shown(flow)
            )
        self._flow: Flow = flow

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Initial weights of the flow; OptionError unless they are finite arrays by name."""
        with self._calling("initial_state(seed) that returns weights"):
            named: Any = self._flow.initial_state(seed)
        if not isinstance(named, Mapping) or not named or not all(isinstance(name, str) for name in named):
            raise self._error(
                "initial_state: a mapping from names to arrays, at least one", checks.shown(named)
            )
        state = {f"{self._prefix}{name}": np.asarray(values) for name, values in named.items()}
        for name, values in state.items():
            if values.dtype.kind != "f" or not np.isfinite(values).all():
                found = f"{name} of dtype {values.dtype}, or not finite"
                raise self._error("initial_state: finite floating-point NumPy arrays", found)
        return state

    def forward(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """See :class:`Flow`."""
        x, log_q = self._flow.forward(self._own(weights), self._arrays.cast(z, self._dtype))
        given = self._arrays.dtype_of(z)
        return self._arrays.cast(x, given), self._arrays.cast(log_q, given)

    def inverse(self, weights: Weights, x: Array) -> tuple[Array | None, Array]:
        """See :class:`Flow`."""
        z, log_q = self._flow.inverse(self._own(weights), self._arrays.cast(x, self._dtype))
        given = self._arrays.dtype_of(x)
        return None if z is None else self._arrays.cast(z, given), self._arrays.cast(log_q, given)

    def require_sound(self, seed: int, with_noise: bool) -> None:
        """Check on a few configurations that forward and inverse agree, with the initial weights.

        Parameters
        ----------
        with_noise
            True if ``inverse`` has to return z as well.

        Raises
        ------
        OptionError
            If a method raises anything, shapes are wrong, values are not finite, or log q or z of the two
            methods differ.
        """
        constant, shape = self._arrays.constant, (self._base.components, *self._base.shape)
        weights = {n: constant(values, self._dtype) for n, values in self.initial_state(seed).items()}
        noise = np.random.default_rng(0).normal(size=(_BATCH, *shape))
        own = self._own(weights)
        known = f"with weights {checks.shown(sorted(own))}"
        with self._calling(f"forward(weights, z) → (x, log q), {known}"):
            x, log_q = self._flow.forward(own, constant(noise, self._dtype))
        self._require("forward", "x", x, (_BATCH, *shape))
        self._require("forward", "log q", log_q, (_BATCH,))
        with self._calling(f"inverse(weights, x) → (z, log q), {known}"):
            z, again = self._flow.inverse(own, x)
        self._require("inverse", "log q", again, (_BATCH,))
        self._require_equal("log q of forward in inverse", again, self._arrays.to_numpy(log_q))
        if z is not None:
            self._require("inverse", "z", z, (_BATCH, *shape))
            self._require_equal("the noise back from inverse", z, noise)
        elif with_noise:
            raise self._error("inverse with z, for the strategy 'canonicalize'", "None in its place")

    def _own(self, weights: Weights) -> dict[str, Array]:
        prefix = self._prefix
        return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}

    def _require(self, method: str, what: str, values: Array, shape: tuple[int, ...]) -> None:
        found = tuple(getattr(values, "shape", ()))
        if found != shape:
            raise self._error(f"{method}: {what} of shape {shape} for a batch of {_BATCH}", f"shape {found}")
        if not np.isfinite(self._arrays.to_numpy(values)).all():
            raise self._error(f"{method}: finite {what}", checks.shown(self._arrays.to_numpy(values)))

    def _require_equal(self, what: str, values: Array, expected: np.ndarray) -> None:
        difference = np.abs(self._arrays.to_numpy(values) - expected)
        if (difference > _TOLERANCE * (1 + np.abs(expected))).any():
            raise self._error(what, f"a difference of {difference.max():.3g}")

    def _calling(self, expected: str) -> AbstractContextManager[None]:
        return checks.calling(f"flow {self._name}", expected, _REMEDY)

    def _error(self, expected: str, found: str) -> OptionError:
        return OptionError(f"flow {self._name}", expected=expected, found=found, remedy=_REMEDY)
