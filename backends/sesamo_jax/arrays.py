"""The array interface of JAX for sampler and annealing, see ``sesamo_dsl.values.arrays``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sesamo_dsl.sampler import FrameworkArrays


class JaxArrays(FrameworkArrays):
    """Implements ``sesamo_dsl.sampler.Arrays``.

    Constants stay NumPy arrays, which become part of the traced function.
    """

    xp, nn, special = jnp, jax.nn, jax.scipy.special

    def constant(self, values: np.ndarray, dtype: str) -> Any:
        """A copy of a table, so that no cache of JAX holds the table itself; indices are always int32."""
        return np.array(values, np.int32 if dtype == "index" else dtype)

    def cast(self, values: Array, dtype: str) -> Array:
        """The array in another dtype."""
        return values.astype(dtype)

    def double(self, values: Array) -> Array:
        """The array unchanged, because float64 exists only where the scope allows it."""
        return values

    def to_numpy(self, values: Any) -> np.ndarray:
        """The array as a NumPy array."""
        return np.asarray(values)

    def dtype_of(self, values: Array) -> str:
        """The name of the dtype."""
        return str(values.dtype)

    def detach(self, tree: Any) -> Any:
        """The arrays as constants, by ``stop_gradient``."""
        return jax.lax.stop_gradient(tree)

    def zeros(self, shape: tuple[int, ...], like: Array) -> Array:
        """Zeros with the dtype of another array."""
        return jnp.zeros(shape, like.dtype)

    def take(self, values: Array, index: Any) -> Array:
        """values[index] along the first axis."""
        return jnp.asarray(values)[index]

    def affine(self, bias: Array, weight: Array, values: Array) -> Array:
        """weight @ values + bias, which XLA fuses."""
        return weight @ values + bias

    def scan(
        self,
        step: Callable[[Any, tuple[Any, ...]], tuple[Any, tuple[Any, ...]]],
        carry: Any,
        rows: tuple[Any, ...],
    ) -> tuple[Any, tuple[Array, ...]]:
        """``jax.lax.scan``: the step is compiled once for all rows."""
        return jax.lax.scan(step, carry, rows)

    def repeat(self, count: Any, step: Callable[[Any, Any], Any], carry: Any) -> Any:
        """A compiled loop whose length is an argument."""
        return jax.lax.fori_loop(0, count, step, carry)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function under ``jax.jit``."""
        return jax.jit(function)
