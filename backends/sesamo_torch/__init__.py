"""PyTorch backend of sesamo-dsl."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

# Threads that wait by spinning make small operations some twenty times slower when cores are shared with
# other processes. OpenMP reads this once, when PyTorch is first imported; a setting of the user is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from sesamo_dsl.backend import Backend, EmittedProgram, Model
from sesamo_dsl.errors import BackendError
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.ir.program import Program
from sesamo_dsl.plan.hmc import HMCOptions, Trajectories
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.values.couplings import Couplings
from sesamo_dsl.values.precision import Precision

from .emit import emit
from .model import TorchModel
from .scope import scope


class TorchBackend:
    """Implements ``sesamo_dsl.backend.Backend``."""

    name = "torch"

    def versions(self) -> dict[str, str]:
        """Version of PyTorch."""
        return {"torch": torch.__version__}

    def emit(self, program: Program) -> str:
        """Source of the module for a program."""
        return emit(program)

    def scope(self, precision: Precision) -> AbstractContextManager[None]:
        """The same for both precisions."""
        return scope()

    def to_array(self, values: np.ndarray, precision: Precision) -> torch.Tensor:
        """NumPy → tensor on the CPU."""
        tensor = torch.as_tensor(values)
        return tensor.to(getattr(torch, precision)) if tensor.is_floating_point() else tensor

    def to_numpy(self, values: Any) -> np.ndarray:
        """Tensor → NumPy."""
        return torch.as_tensor(values).detach().cpu().numpy()

    def derivative(
        self, function: Callable[..., Any], inputs: Sequence[np.ndarray], tangents: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Directional derivative of the first output, in float64."""

        def first(*arrays: torch.Tensor) -> torch.Tensor:
            output = function(*arrays)
            return output[0] if isinstance(output, tuple) else output

        with scope():
            primal = tuple(self.to_array(a, "float64") for a in inputs)
            along = tuple(self.to_array(a, "float64") for a in tangents)
            return self.to_numpy(torch.func.jvp(first, primal, along)[1])

    def model(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> Model:
        """A fresh model."""
        with scope():
            return TorchModel(compiled, parameters, base, plan)

    def hmc(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        initial: np.ndarray,
        options: HMCOptions,
    ) -> Trajectories:
        """Not available: HMC runs on JAX, whatever backend the models use."""
        raise BackendError(
            f"HMC of theory {compiled.program.theory}",
            expected="the jax backend",
            found="the torch backend",
            remedy="pass the theory itself, sd.hmc(theory), or compile it with backend='jax'; "
            "needs pip install 'sesamo-dsl[hmc]'",
        )


BACKEND = TorchBackend()

if TYPE_CHECKING:
    _: Backend = BACKEND
