"""The backend ``"jax"`` of sesamo-dsl: Programs, arrays and models in JAX."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sesamo_dsl.framework import FrameworkBackend
from sesamo_dsl.values.precision import Precision

from .arrays import JaxArrays
from .emit import DIALECT
from .model import JaxModel
from .scope import scope


class JaxBackend(FrameworkBackend):
    """Implements ``sesamo_dsl.backend.Backend``."""

    name, version = "jax", jax.__version__
    dialect, model_class = DIALECT, JaxModel

    def scope(self, precision: Precision) -> AbstractContextManager[None]:
        """Context in which JAX has float64 if ``precision`` is float64."""
        return scope(precision)

    def to_array(self, values: np.ndarray, precision: Precision) -> jax.Array:
        """NumPy → JAX array; a float64 array has to be used inside :meth:`scope`."""
        values = np.asarray(values)
        with scope(precision):
            return jnp.asarray(values, precision if np.issubdtype(values.dtype, np.floating) else None)

    def to_numpy(self, values: Any) -> np.ndarray:
        """JAX array → NumPy."""
        return np.asarray(values)

    def jvp(self, function: Callable[..., Any], inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
        """The derivative along tangents, by ``jax.jvp``."""
        return jax.jvp(function, inputs, tangents)[1]

    def arrays(self) -> JaxArrays:
        """The array interface of ``jax.numpy``."""
        return JaxArrays()


BACKEND = JaxBackend()
