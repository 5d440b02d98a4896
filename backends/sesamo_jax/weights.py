"""Weights concatenated to vectors, so that Adam takes a few operations in all and not a few per array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np


class Layout:
    """The positions of named arrays in two vectors, one in the flow's precision and one in the law's."""

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        names = sorted(state)
        self._parts = [[n for n in names if n.startswith("flow.") is flow] for flow in (True, False)]
        self._shapes = {name: np.shape(state[name]) for name in names}

    def vectors(self, weights: Mapping[str, Any], numpy: Any = jnp) -> list[Any]:
        """The two vectors; with ``numpy=np`` JAX does not compile a concatenation for every shape."""
        return [numpy.concatenate([numpy.ravel(weights[n]) for n in part]) for part in self._parts]

    def arrays(self, vectors: Sequence[Any]) -> dict[str, Any]:
        """Inverse of :meth:`vectors`: the named arrays, of the same framework as the vectors."""
        named = {}
        for part, vector in zip(self._parts, vectors, strict=True):
            start = 0
            for name in part:
                end = start + int(np.prod(self._shapes[name]))
                named[name] = vector[start:end].reshape(self._shapes[name])
                start = end
        return named
