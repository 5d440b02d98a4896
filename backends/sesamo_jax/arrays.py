"""JAX's arrays for the sampler: see ``sesamo_dsl.sampler.arrays``."""

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
        """A copy, so that JAX does not remember the table; indices have 32 bits whatever is allowed."""
        return np.array(values, np.int32 if dtype == "index" else dtype)

    def cast(self, values: Array, dtype: str) -> Array:
        """Another type."""
        return values.astype(dtype)

    def double(self, values: Array) -> Array:
        """As it is: float64 is there only if it has been allowed."""
        return values

    def to_numpy(self, values: Any) -> np.ndarray:
        """On the host."""
        return np.asarray(values)

    def dtype_of(self, values: Array) -> str:
        """Its name."""
        return str(values.dtype)

    def detach(self, tree: Any) -> Any:
        """Constants of the derivative."""
        return jax.lax.stop_gradient(tree)

    def zeros(self, shape: tuple[int, ...], like: Array) -> Array:
        """Zeros like another array's."""
        return jnp.zeros(shape, like.dtype)

    def take(self, values: Array, index: Any) -> Array:
        """Rows."""
        return jnp.asarray(values)[index]

    def affine(self, bias: Array, weight: Array, values: Array) -> Array:
        """XLA fuses it."""
        return weight @ values + bias

    def scan(
        self, step: Callable[[Any, tuple[Any, ...]], tuple[Any, Any]], carry: Any, rows: tuple[Any, ...]
    ) -> Array:
        """Compiled once for all rows."""
        return jax.lax.scan(step, carry, rows)[1]

    def repeat(self, count: Any, step: Callable[[Any, Any], Any], carry: Any) -> Any:
        """A loop whose length is an argument of what is compiled."""
        return jax.lax.fori_loop(0, count, step, carry)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """By XLA."""
        return jax.jit(function)
