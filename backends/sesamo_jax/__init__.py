"""JAX backend of sesamo-dsl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from sesamo_dsl.backend import Backend, EmittedProgram, Model
from sesamo_dsl.errors import BackendError
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.ir.program import Program
from sesamo_dsl.plan.hmc import HMCOptions, Trajectories
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.values.couplings import Couplings
from sesamo_dsl.values.precision import Precision

from .emit import emit
from .model import JaxModel, widest
from .scope import scope


class JaxBackend:
    """Implements ``sesamo_dsl.backend.Backend``."""

    name = "jax"

    def versions(self) -> dict[str, str]:
        """Version of JAX."""
        return {"jax": jax.__version__}

    def emit(self, program: Program) -> str:
        """Source of the module for a program."""
        return emit(program)

    def scope(self, precision: Precision) -> AbstractContextManager[None]:
        """float64 exists inside, if that is the precision."""
        return scope(precision)

    def to_array(self, values: np.ndarray, precision: Precision) -> jax.Array:
        """NumPy → JAX array; one in float64 is to be used in its scope."""
        values = np.asarray(values)
        with scope(precision):
            return jnp.asarray(values, precision if np.issubdtype(values.dtype, np.floating) else None)

    def to_numpy(self, values: Any) -> np.ndarray:
        """JAX array → NumPy."""
        return np.asarray(values)

    def derivative(
        self, function: Callable[..., Any], inputs: Sequence[np.ndarray], tangents: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Directional derivative of the first output, in float64."""

        def first(*arrays: jax.Array) -> jax.Array:
            output = function(*arrays)
            return output[0] if isinstance(output, tuple) else output

        with scope("float64"):
            primal = tuple(self.to_array(a, "float64") for a in inputs)
            along = tuple(self.to_array(a, "float64") for a in tangents)
            return self.to_numpy(jax.jvp(first, primal, along)[1])

    def model(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> Model:
        """A fresh model."""
        with scope(widest(compiled, plan)):
            return JaxModel(compiled, parameters, base, plan)

    def hmc(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        initial: np.ndarray,
        options: HMCOptions,
    ) -> Trajectories:
        """Markov chains by blackjax."""
        try:
            from .hmc import sample  # blackjax is not needed for anything else
        except ImportError as error:
            raise BackendError(
                f"HMC of theory {compiled.program.theory}",
                expected="blackjax to be installed",
                found=str(error),
                remedy="pip install 'sesamo-dsl[hmc]'",
            ) from error
        with scope("float64" if compiled.program.has_determinants else options.precision):
            return sample(compiled, parameters, initial, options)


BACKEND = JaxBackend()

if TYPE_CHECKING:
    _: Backend = BACKEND
