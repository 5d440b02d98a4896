"""Calls exported functions with JAX alone; exported samplers contain the text of this class."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import jax
import jax.export
import numpy as np

IMPORTS = "import io\n\nimport jax\nimport jax.export\n"


class JaxFunctions:
    """Functions in StableHLO that ``jax.export`` wrote, on the CPU; one of them draws the random numbers."""

    def __init__(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        self._device = jax.local_devices(backend="cpu")[0]
        with np.load(io.BytesIO(files["weights.npz"]), allow_pickle=False) as arrays:
            self._weights = dict(arrays)
        self._functions = {
            name: jax.jit(jax.export.deserialize(bytearray(files[f"{name}.stablehlo"])).call)
            for name in (*manifest["functions"], "noise")
        }

    def noise(self, count: int, seed: int, chunk: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """z, and uniform numbers for the group element and for the flow of a mixture."""
        one = np.random.SeedSequence((seed, 2, chunk)).generate_state(1)[0]
        z, uniform, choices = self._called("noise", np.uint32(one))
        return z, uniform, choices

    def __call__(self, name: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the function of this name returns."""
        return self._called(name, self._weights, *arrays)

    def _called(self, name: str, *arguments: Any) -> tuple[np.ndarray, ...]:
        # float64 is allowed here alone: the option of the process stays as it is
        with jax.enable_x64(True), jax.default_device(self._device):
            return tuple(np.asarray(output) for output in self._functions[name](*arguments))
