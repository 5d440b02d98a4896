"""q(x) of a model as a distribution for JAX, by the conventions of NumPyro and flowjax."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sesamo_dsl.errors import BackendError
from sesamo_dsl.sampler.distribution import FixedDensity


class ModelDistribution:
    """The distribution of a model's samples, with the weights that it had.

    ``log_prob`` can be transformed by ``jit``, ``grad`` and ``vmap``, and ``sample`` by ``jit`` and ``vmap``.

    Attributes
    ----------
    event_shape, batch_shape
        (components, *lattice), and ().
    """

    batch_shape: tuple[int, ...] = ()

    def __init__(self, density: FixedDensity, dtype: str, widest: str) -> None:
        self._density, self._dtype, self._widest = density, dtype, widest
        self.event_shape = tuple(density.event_shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(event_shape={self.event_shape}, {self._dtype})"

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Independent samples, (*sample_shape, components, *lattice)."""
        self._require_float64()
        count, sampler = math.prod(sample_shape), self._density.sampler
        normal, uniform, choice, turn = jax.random.split(key, 4)
        with jax.numpy_dtype_promotion("standard"):
            z = jax.random.normal(normal, (count, *sampler.shape), self._dtype)
            uniforms = jax.random.uniform(uniform, (count, *sampler.uniforms), self._dtype)
            choices = jax.random.uniform(choice, (count,), self._dtype) if sampler.draws_flow else None
            x = self._density.draw(z, uniforms, choices, lambda y: self._orientations(turn, y))
        return x.reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value: Any) -> Array:
        """log q of configurations, (…, components, *lattice) → (…)."""
        self._require_float64()
        x = jnp.asarray(value)
        leading = x.shape[: x.ndim - len(self.event_shape)]
        if x.shape[len(leading) :] != self.event_shape or jnp.iscomplexobj(x):
            event = ", ".join(map(str, self.event_shape))
            raise ValueError(f"expected real numbers, (…, {event}), found {x.shape}, {x.dtype}")
        x = x.astype(self._dtype)
        with jax.numpy_dtype_promotion("standard"):
            log_q = self._density.log_prob(x.reshape(-1, *self.event_shape))
        return log_q.reshape(leading)

    def _orientations(self, key: Array, y: Array) -> list[Array]:
        """Orientations, drawn by NumPy from numbers of the key, also within compiled functions."""
        dimensions, count = self._density.sampler.orientations.law.dimensions, y.shape[0]
        if not dimensions:
            return []

        def drawn(seed: Any, *inputs: Any) -> list[np.ndarray]:
            made = self._density.orientations(np.asarray(seed).tolist(), count, *inputs)
            return [n.astype(self._dtype) for n in made]

        shapes = [jax.ShapeDtypeStruct((count, n), self._dtype) for n in dimensions]
        seed = jax.random.bits(key, (4,), jnp.uint32)
        return jax.pure_callback(
            drawn, shapes, seed, *self._density.orbit_inputs(y), vmap_method="sequential"
        )

    def _require_float64(self) -> None:
        if self._widest == "float64" and not jax.config.read("jax_enable_x64"):
            raise BackendError(
                "distribution of a run in float64",
                expected="JAX with float64",
                found="jax_enable_x64 = False",
                remedy='call jax.config.update("jax_enable_x64", True) first',
            )
