"""The network of an autoregressive law in JAX; see `sesamo_dsl.autoregressive`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from sesamo_dsl.autoregressive import AutoregressiveSpec

from .conditional import features
from .laws import draw


class Autoregressive(eqx.Module):
    """log Σ_h p_chain(hu|y), and u drawn from it; y: (batch, components, *lattice), u: (batch, blocks)."""

    weight: list[Array]
    bias: list[Array]
    coupling: Array
    sizes: Array
    spec: AutoregressiveSpec = eqx.field(static=True)

    def __init__(self, spec: AutoregressiveSpec, *, dtype: DTypeLike, seed: int) -> None:
        self.spec = spec
        state = spec.initial_state(seed)
        depth = sum(name.startswith("weight.") for name in state)
        self.weight = [jnp.asarray(state[f"weight.{n}"], dtype) for n in range(depth)]
        self.bias = [jnp.asarray(state[f"bias.{n}"], dtype) for n in range(depth)]
        self.coupling = jnp.asarray(state["coupling"], dtype)
        self.sizes = jnp.asarray(state["sizes"], dtype)

    def turned(self, u: Array, h: Array) -> Array:
        """hu, by the numbers h, (batch,), in the list of what turns rows together."""
        assert self.spec.together is not None
        return jnp.asarray(self.spec.table)[jnp.asarray(self.spec.together.elements)[h], u]

    def log_prob(self, y: Array, u: Array, logits: Array) -> Array:
        """log Σ_h p_chain(hu|y), (batch,); ``logits`` are the biases, (order, blocks)."""
        hidden, size = self._given(y)
        turns = 1 if self.spec.together is None else len(self.spec.together.elements)
        if turns > 1:
            u = self.turned(jnp.tile(u, (turns, 1)), jnp.repeat(jnp.arange(turns), len(u)))
            hidden, size = jnp.tile(hidden, (1, 1, turns)), jnp.tile(size, (1, turns))
        fields = self._fields(self._masked(y.dtype), self._encoded(u), size, size)
        log_p = jax.nn.log_softmax(self._logits(hidden, fields, logits), axis=0)
        chain = jnp.take_along_axis(log_p, u.T[None], axis=0)[0].sum(axis=0)
        return jax.nn.logsumexp(chain.reshape(turns, -1), axis=0)

    def draw(self, y: Array, uniform: Array, logits: Array) -> Array:
        """u by the chain, (batch, blocks), one block after the other, each from a column of the uniforms."""
        hidden, size = self._given(y)
        coupling, order = self._masked(y.dtype), self.spec.order

        def step(encoded: Array, b: Array) -> tuple[Array, Array]:
            def at(values: Array, axis: int) -> Array:
                return jax.lax.dynamic_slice_in_dim(values, b, 1, axis)

            fields = self._fields(at(coupling, 2), encoded, at(size, 0), size)
            log_p = jax.nn.log_softmax(self._logits(at(hidden, 1), fields, at(logits, 1)), axis=0)
            u = draw(log_p[:, 0], at(uniform, 1)[:, 0])
            return jax.lax.dynamic_update_slice_in_dim(encoded, self._encoded(u[:, None]), b, 1), u

        empty = jnp.zeros((order, self.spec.blocks, len(y)), y.dtype)
        return jax.lax.scan(step, empty, jnp.arange(self.spec.blocks))[1].T

    def _masked(self, dtype: DTypeLike) -> Array:
        return self.coupling * jnp.asarray(self.spec.mask, dtype)

    def _given(self, y: Array) -> tuple[Array, Array]:
        """What does not depend on u: the first layer's part, (hidden, blocks, batch); m, (blocks, batch)."""
        spec = self.spec
        means = y.mean(axis=tuple(mu + 1 for mu in spec.features.rest)) if spec.features.rest else y
        squares = jnp.square(means.reshape(*y.shape[:2], -1)).sum(axis=1)
        size = jnp.sqrt(squares.T + jnp.finfo(y.dtype).tiny) / spec.size
        own = features(spec.features, y).swapaxes(1, 2)
        seen = jnp.concatenate([own, jnp.broadcast_to(own.mean(1, keepdims=True), own.shape)])
        weight = self.weight[0][:, : len(seen)]
        hidden = (weight @ seen.reshape(len(seen), -1) + self.bias[0]).reshape(-1, *seen.shape[1:])
        exerted = self.sizes.reshape(-1, self.spec.blocks) @ (size - 1)
        return hidden + exerted.reshape(hidden.shape), size

    def _encoded(self, u: Array) -> Array:
        """The elements as (order, blocks, batch), 1 at the right one, less the mean over all elements."""
        order = self.spec.order
        return jax.nn.one_hot(u.T, order, axis=0, dtype=self.coupling.dtype) - 1 / order

    def _fields(self, coupling: Array, encoded: Array, size: Array, sizes: Array) -> Array:
        """What elements exert on blocks of size m, (2, order, blocks, batch)."""
        order, batch = len(encoded), encoded.shape[-1]
        rows = coupling.reshape(2, order * len(size), -1)
        plain = rows[0] @ encoded.reshape(-1, batch)
        sized = rows[1] @ (encoded * sizes).reshape(-1, batch)
        fields = jnp.stack([plain, sized]).reshape(2, order, *size.shape)
        return jnp.stack([fields[0], fields[1] * size])

    def _logits(self, hidden: Array, fields: Array, logits: Array) -> Array:
        """(order, blocks, batch)."""
        exerted = fields.reshape(-1, *fields.shape[2:])
        weight = self.weight[0][:, -len(exerted) :]
        value = hidden.reshape(len(hidden), -1) + weight @ exerted.reshape(len(exerted), -1)
        for weight, bias in zip(self.weight[1:], self.bias[1:], strict=True):
            value = weight @ jax.nn.silu(value) + bias
        return value.reshape(fields.shape[1:]) + fields.sum(axis=0) + logits[..., None]

    def state_arrays(self) -> dict[str, np.ndarray]:
        """The weights by name, the same names and shapes on every backend."""
        pairs = {"weight": self.weight, "bias": self.bias}
        named = {f"{name}.{n}": np.array(a) for name, arrays in pairs.items() for n, a in enumerate(arrays)}
        return {**named, "coupling": np.array(self.coupling), "sizes": np.array(self.sizes)}

    def with_state_arrays(self, state: Mapping[str, Any]) -> Self:
        """This network with other weights."""
        loaded = [
            [jnp.asarray(state[f"{name}.{n}"], a.dtype) for n, a in enumerate(arrays)]
            for name, arrays in (("weight", self.weight), ("bias", self.bias))
        ]
        fields = (jnp.asarray(state[name], self.coupling.dtype) for name in ("coupling", "sizes"))
        return eqx.tree_at(lambda m: (m.weight, m.bias, m.coupling, m.sizes), self, (*loaded, *fields))
