"""Flows: invertible maps from noise to configurations with a known density.

A flow holds no weights. It defines their names and initial values and takes them as an argument, so that a
caller can pass constants where no derivative by the weights is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from .arrays import Array, Arrays, Weights


@runtime_checkable
class Flow(Protocol):
    """An invertible map of standard normal noise z to configurations x, (batch, components, *lattice).

    A user's flow implements this protocol and is registered by :func:`sesamo_dsl.register_flow`; z, x and the
    weights have the floating-point type that its factory was given.
    """

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Initial weights by name; one seed gives the same weights on every backend."""
        ...

    def forward(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """Noise → configuration: (x, log q(x)), log q of shape (batch,)."""
        ...

    def inverse(self, weights: Weights, x: Array) -> tuple[Array | None, Array]:
        """Configuration → noise: (z, log q(x)), with z = None if the flow has no inverse map."""
        ...


class Flows(Protocol):
    """Several flows, each of which transforms a part of the batch of its own.

    ``parts`` are consecutive slices of the batch that cover it, one per flow.
    """

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Initial weights of all flows by name; flow k has those of seed + k."""
        ...

    def forward(self, weights: Weights, z: Array, parts: Sequence[slice]) -> tuple[Array, Array]:
        """Noise → configurations: (x, log q_k(x)) on part k."""
        ...

    def inverse(self, weights: Weights, x: Array, parts: Sequence[slice]) -> tuple[Array | None, Array]:
        """Configurations → noise: (z, log q_k(x)) on part k, with z = None if a flow has no inverse map."""
        ...


class SeparateFlows:
    """Flows of any kind, evaluated one after the other."""

    def __init__(self, arrays: Arrays, flows: Sequence[Flow]) -> None:
        self._arrays, self._flows = arrays, flows

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """See :class:`Flows`."""
        state: dict[str, np.ndarray] = {}
        for k, flow in enumerate(self._flows):
            state |= flow.initial_state(seed + k)
        return state

    def forward(self, weights: Weights, z: Array, parts: Sequence[slice]) -> tuple[Array, Array]:
        """See :class:`Flows`."""
        pairs = [flow.forward(weights, z[part]) for flow, part in zip(self._flows, parts, strict=True)]
        x, log_q = (self._arrays.xp.concat(values) for values in zip(*pairs, strict=True))
        return x, log_q

    def inverse(self, weights: Weights, x: Array, parts: Sequence[slice]) -> tuple[None, Array]:
        """See :class:`Flows`."""
        log_q = [flow.inverse(weights, x[part])[1] for flow, part in zip(self._flows, parts, strict=True)]
        return None, self._arrays.xp.concat(log_q)
