"""The backend ``"torch"`` of sesamo-dsl: Programs, arrays and models in PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

# Threads that spin while they wait make small operations some twenty times slower when other processes use
# the cores. OpenMP reads the policy once, when PyTorch is first imported; a setting of the user is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from sesamo_dsl.framework import FrameworkBackend
from sesamo_dsl.values.precision import Precision

from .arrays import TorchArrays
from .emit import DIALECT
from .model import TorchModel
from .scope import scope


class TorchBackend(FrameworkBackend):
    """Implements ``sesamo_dsl.backend.Backend``."""

    name, version = "torch", torch.__version__
    dialect, model_class = DIALECT, TorchModel

    def scope(self, precision: Precision) -> AbstractContextManager[None]:
        """Context with PyTorch's default options, the same for both precisions."""
        return scope()

    def to_array(self, values: np.ndarray, precision: Precision) -> torch.Tensor:
        """NumPy → tensor on the CPU."""
        tensor = torch.as_tensor(values)
        return tensor.to(getattr(torch, precision)) if tensor.is_floating_point() else tensor

    def to_numpy(self, values: Any) -> np.ndarray:
        """Tensor → NumPy."""
        return torch.as_tensor(values).detach().cpu().numpy()

    def jvp(self, function: Callable[..., Any], inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
        """The derivative along tangents, by ``torch.func.jvp``."""
        return torch.func.jvp(function, inputs, tangents)[1]

    def arrays(self) -> TorchArrays:
        """The array interface of PyTorch on the CPU."""
        return TorchArrays(torch.device("cpu"))


BACKEND = TorchBackend()
