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

from sesamo_dsl.backend import EmittedProgram, no_device
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.framework import FrameworkBackend
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.values.couplings import Couplings
from sesamo_dsl.values.precision import Precision

from .arrays import TorchArrays
from .emit import DIALECT
from .model import TorchModel
from .scope import scope


class TorchBackend(FrameworkBackend):
    """Implements ``sesamo_dsl.backend.Backend``."""

    name, version = "torch", torch.__version__
    dialect = DIALECT

    def __init__(self, device: str | None = None) -> None:
        self._device = None if device is None else torch.device(device)

    def __reduce__(self) -> Any:
        """Pickle by the name of the device."""
        return TorchBackend, (None if self._device is None else str(self._device),)

    def on(self, device: str) -> TorchBackend:
        """See :meth:`sesamo_dsl.backend.Backend.on`."""
        kinds = {"cuda": torch.cuda.is_available(), "xpu": torch.xpu.is_available()}
        there = ["cpu", *(f"{kind}:0" for kind, is_there in kinds.items() if is_there)]
        try:
            wanted = torch.device(device)
            if wanted.type == "mps":
                raise no_device("torch", device, "a device without float64, which log weights need", there)
            if wanted.type == "cpu" and wanted.index:
                raise no_device("torch", device, "one CPU", there)
            torch.zeros(1, device=wanted).cpu()
        # PyTorch: RuntimeError for an unknown name or number, AssertionError for a build without CUDA,
        # NotImplementedError for a device without data, such as "meta"
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise no_device("torch", device, str(error).partition("\n")[0], there) from error
        return TorchBackend(str(wanted))

    def scope(self, precision: Precision) -> AbstractContextManager[None]:
        """Context with PyTorch's default options, the same for both precisions."""
        return scope()

    def to_array(self, values: np.ndarray, precision: Precision) -> torch.Tensor:
        """NumPy → tensor on the device, by default the CPU."""
        tensor = torch.as_tensor(values, device=self._device)
        return tensor.to(getattr(torch, precision)) if tensor.is_floating_point() else tensor

    def to_numpy(self, values: Any) -> np.ndarray:
        """Tensor → NumPy."""
        return torch.as_tensor(values).detach().cpu().numpy()

    def jvp(self, function: Callable[..., Any], inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
        """The derivative along tangents, by ``torch.func.jvp``."""
        return torch.func.jvp(function, inputs, tangents)[1]

    def arrays(self) -> TorchArrays:
        """The array interface of PyTorch on the device, by default the CPU."""
        return TorchArrays(self._device or torch.device("cpu"))

    def new_model(
        self, compiled: EmittedProgram, parameters: Couplings, base: GaussianBase, plan: Plan
    ) -> TorchModel:
        """A model on the device, by default on a GPU if there is one."""
        default = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return TorchModel(self._device or default, compiled, parameters, base, plan)


BACKEND = TorchBackend()
