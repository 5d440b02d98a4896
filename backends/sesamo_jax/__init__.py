"""The backend ``"jax"`` of sesamo-dsl: Programs, arrays and models in JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sesamo_dsl.backend import EmittedProgram, no_device
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.framework import FrameworkBackend
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.values.couplings import Couplings
from sesamo_dsl.values.precision import Precision

from .arrays import JaxArrays
from .emit import DIALECT
from .model import JaxModel
from .scope import scope


class JaxBackend(FrameworkBackend):
    """Implements ``sesamo_dsl.backend.Backend``."""

    name, version = "jax", jax.__version__
    dialect = DIALECT

    def __init__(self, device: str | None = None) -> None:
        self._device = device

    def __reduce__(self) -> Any:
        """Pickle by the name of the device."""
        return JaxBackend, (self._device,)

    def on(self, device: str) -> JaxBackend:
        """See :meth:`sesamo_dsl.backend.Backend.on`."""
        platform, _, index = device.partition(":")
        try:
            number = int(index or 0)
            if not 0 <= number < len(jax.devices(platform)):
                raise ValueError(f"{len(jax.devices(platform))} of this kind")
        except (RuntimeError, ValueError) as error:  # no such platform, no such number
            there = [f"{d.platform}:{d.id}" for d in jax.devices()]
            raise no_device("jax", device, str(error).partition("\n")[0], there) from error
        return JaxBackend(f"{platform}:{number}")

    def _default_device(self) -> AbstractContextManager[Any]:
        if self._device is None:
            return nullcontext()
        platform, _, index = self._device.partition(":")
        return jax.default_device(jax.devices(platform)[int(index)])

    @contextmanager
    def scope(self, precision: Precision) -> Iterator[None]:
        """Context in which JAX has float64 if ``precision`` is float64, and new arrays are on the device."""
        with self._default_device(), scope(precision):
            yield

    def to_array(self, values: np.ndarray, precision: Precision) -> jax.Array:
        """NumPy → JAX array; a float64 array has to be used inside :meth:`scope`."""
        values = np.asarray(values)
        with self.scope(precision):
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

    def new_model(
        self, compiled: EmittedProgram, parameters: Couplings, base: GaussianBase, plan: Plan
    ) -> JaxModel:
        """A model on the device, by default on the one that JAX prefers."""
        return JaxModel(self.scope, compiled, parameters, base, plan)


BACKEND = JaxBackend()
