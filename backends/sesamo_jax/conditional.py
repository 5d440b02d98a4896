"""The network of a conditional law in JAX; see `sesamo_dsl.conditional`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from sesamo_dsl.conditional import ConditionalSpec, FeatureSpec


class Conditional(eqx.Module):
    """log p(u|y) from all T_u y: (choices·batch, components, *lattice) → (choices, batch[, blocks])."""

    linear: Array
    weight: list[Array]
    bias: list[Array]
    spec: ConditionalSpec = eqx.field(static=True)

    def __init__(self, spec: ConditionalSpec, *, dtype: DTypeLike, seed: int) -> None:
        self.spec = spec
        state = spec.initial_state(seed)
        depth = len(state) // 2
        self.linear = jnp.asarray(state["linear"], dtype)
        self.weight = [jnp.asarray(state[f"weight.{n}"], dtype) for n in range(depth)]
        self.bias = [jnp.asarray(state[f"bias.{n}"], dtype) for n in range(depth)]

    def __call__(self, images: Array) -> Array:
        seen = self._seen(images)
        shape = seen.shape[1:]
        seen = seen.reshape(len(seen), -1)
        hidden = seen
        for n, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            hidden = weight @ (jax.nn.silu(hidden) if n else hidden) + bias
        log_p = jax.nn.log_softmax((hidden + self.linear @ seen).reshape(shape), axis=0)
        if self.spec.cosets is None:
            return log_p
        cosets = self.spec.cosets
        return jax.nn.logsumexp(log_p[cosets], axis=1) - math.log(cosets.shape[1])

    def _seen(self, images: Array) -> Array:
        """(inputs, choices, batch[, blocks]), of each block its own and the mean of all."""
        own = features(self.spec.features, images)
        if self.spec.joint:
            return own.swapaxes(1, 2).reshape(self.spec.inputs, self.spec.choices, -1)
        own = own.reshape(len(own), self.spec.choices, -1, self.spec.blocks)
        return jnp.concatenate([own, jnp.broadcast_to(own.mean((1, 3), keepdims=True), own.shape)])

    def state_arrays(self) -> dict[str, np.ndarray]:
        """The weights by name, the same names and shapes on every backend."""
        pairs = {"weight": self.weight, "bias": self.bias}
        stacked = {f"{name}.{n}": np.array(a) for name, arrays in pairs.items() for n, a in enumerate(arrays)}
        return {"linear": np.array(self.linear), **stacked}

    def with_state_arrays(self, state: Mapping[str, Any]) -> Self:
        """This network with other weights."""
        loaded = [
            [jnp.asarray(state[f"{name}.{n}"], a.dtype) for n, a in enumerate(arrays)]
            for name, arrays in (("weight", self.weight), ("bias", self.bias))
        ]
        linear = jnp.asarray(state["linear"], self.linear.dtype)
        return eqx.tree_at(lambda m: (m.linear, m.weight, m.bias), self, (linear, *loaded))


def features(spec: FeatureSpec, y: Array) -> Array:
    """Centred and scaled monomials, (features, batch, blocks)."""
    values = []
    for monomial in spec.monomials:
        product = y[:, monomial[0]]
        for a in monomial[1:]:
            product = product * y[:, a]
        values.append(product.mean(axis=spec.rest) if spec.rest else product)
    own = jnp.stack(values).reshape(len(values), len(y), -1)
    mean, scale = (jnp.asarray(a, y.dtype)[:, None, None] for a in (spec.mean, spec.scale))
    return (own - mean) / scale
