"""Everything that is trained: a tree for JAX, vectors for Adam, named arrays for storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .autoregressive import Autoregressive
from .circle import Circle
from .conditional import Conditional
from .flows import Flow
from .mixture import Mixture


class Weights(NamedTuple):
    """The weights of a model."""

    flow: Flow | Mixture
    logits: Array
    conditional: Conditional | Autoregressive | None
    circle: Circle | None

    @property
    def parts(self) -> tuple[Any, Any]:
        """What has the precision of the flow, and what has that of the law."""
        return self.flow, (self.logits, self.conditional, self.circle)

    def vectors(self, numpy: Any = jnp) -> list[Any]:
        """Each part as one vector: Adam then is a few operations, and not a few for every array.

        With ``numpy=np`` it stays out of JAX, which would compile something for every shape.
        """
        return [
            numpy.concatenate([numpy.ravel(leaf) for leaf in jax.tree.leaves(part)]) for part in self.parts
        ]

    def with_vectors(self, vectors: Sequence[Any]) -> Weights:
        """Other weights of the same shapes; arrays of the kind of the vectors."""
        parts = []
        for vector, part in zip(vectors, self.parts, strict=True):
            leaves, structure = jax.tree.flatten(part)
            ends = np.cumsum([leaf.size for leaf in leaves])
            pieces = [
                vector[end - leaf.size : end].reshape(leaf.shape)
                for leaf, end in zip(leaves, ends, strict=True)
            ]
            parts.append(jax.tree.unflatten(structure, pieces))
        return Weights(parts[0], *parts[1])

    def state_arrays(self, prefix: str = "") -> dict[str, np.ndarray]:
        """The weights by name, the same names and shapes on every backend."""
        named = {f"{prefix}flow.{name}": value for name, value in self.flow.state_arrays().items()}
        named[f"{prefix}law.logits"] = np.array(self.logits)
        if self.conditional is not None:
            law = self.conditional.state_arrays()
            named |= {f"{prefix}law.{name}": value for name, value in law.items()}
        if self.circle is not None:
            law = self.circle.state_arrays()
            named |= {f"{prefix}law.circle.{name}": value for name, value in law.items()}
        return named

    def with_state_arrays(self, state: Mapping[str, np.ndarray], prefix: str = "") -> Weights:
        """Inverse of :meth:`state_arrays`."""
        conditional, circle = self.conditional, self.circle
        if conditional is not None:
            conditional = conditional.with_state_arrays(_below(state, f"{prefix}law."))
        if circle is not None:
            circle = circle.with_state_arrays(_below(state, f"{prefix}law.circle."))
        return Weights(
            self.flow.with_state_arrays(_below(state, f"{prefix}flow.")),
            jnp.asarray(state[f"{prefix}law.logits"], self.logits.dtype),
            conditional,
            circle,
        )


def _below(state: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): a for name, a in state.items() if name.startswith(prefix)}
