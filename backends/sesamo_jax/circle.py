"""A circular spline in JAX; see `sesamo_dsl.circle`."""

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

from sesamo_dsl.circle import BINS, LIMIT, CircleSpec

from .conditional import features
from .flows import rational_quadratic, spread


class Circle(eqx.Module):
    """A map of the circle onto itself that may depend on y: uniform unit vectors to those of the law."""

    spline: Array
    weight: list[Array]
    bias: list[Array]
    spec: CircleSpec = eqx.field(static=True)

    def __init__(self, spec: CircleSpec, *, dtype: DTypeLike, seed: int) -> None:
        self.spec = spec
        state = spec.initial_state(seed)
        depth = len(state) // 2
        self.spline = jnp.asarray(state["spline"], dtype)
        self.weight = [jnp.asarray(state[f"weight.{n}"], dtype) for n in range(depth)]
        self.bias = [jnp.asarray(state[f"bias.{n}"], dtype) for n in range(depth)]

    def __call__(self, y: Array, uniform: Array) -> tuple[Array, Array]:
        """Unit vectors (batch, 2) → (n, log dθ/dv), n of density 1/(2π dθ/dv)."""
        curve, offset = self._curve(y)
        v = jnp.arctan2(uniform[:, 1], uniform[:, 0])
        image, log_slope = rational_quadratic(curve, v[None], inverse=False)
        theta = image[0] + offset
        return jnp.stack([jnp.cos(theta), jnp.sin(theta)], axis=1), log_slope[0]

    def log_slope(self, y: Array, n: Array) -> Array:
        """log dθ/dv at n, (batch,)."""
        curve, offset = self._curve(y)
        cosine, sine = jnp.cos(offset), jnp.sin(offset)
        turned = jnp.arctan2(n[:, 1] * cosine - n[:, 0] * sine, n[:, 0] * cosine + n[:, 1] * sine)
        return -rational_quadratic(curve, turned[None], inverse=True)[1][0]

    def _curve(self, y: Array) -> tuple[Array, Array]:
        """Knots and slopes, (3, BINS + 1, 1, batch), and θ₀, (batch,)."""
        value = jnp.broadcast_to(self.spline, (len(self.spline), len(y)))
        if self.spec.features is not None:
            hidden = features(self.spec.features, y)[:, :, 0]
            for n, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
                hidden = weight @ (jax.nn.silu(hidden) if n else hidden) + bias
            value = value + hidden
        bounded = LIMIT * jnp.tanh(value[:-1, None] / LIMIT)
        knots = spread(bounded[: 2 * BINS].reshape(2, BINS, *bounded.shape[1:]), math.pi)
        slopes = jnp.exp(bounded[2 * BINS :])
        return jnp.concatenate([knots, jnp.concatenate([slopes, slopes[:1]])[None]]), value[-1]

    def state_arrays(self) -> dict[str, np.ndarray]:
        """The weights by name, the same names and shapes on every backend."""
        pairs = {"weight": self.weight, "bias": self.bias}
        named = {f"{name}.{n}": np.array(a) for name, arrays in pairs.items() for n, a in enumerate(arrays)}
        return {"spline": np.array(self.spline), **named}

    def with_state_arrays(self, state: Mapping[str, Any]) -> Self:
        """This spline with other weights."""
        loaded = [
            [jnp.asarray(state[f"{name}.{n}"], a.dtype) for n, a in enumerate(arrays)]
            for name, arrays in (("weight", self.weight), ("bias", self.bias))
        ]
        spline = jnp.asarray(state["spline"], self.spline.dtype)
        return eqx.tree_at(lambda m: (m.spline, m.weight, m.bias), self, (spline, *loaded))
