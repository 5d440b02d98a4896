"""Calls exported functions with ONNX Runtime alone; exported samplers contain the text of this class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

IMPORTS = "import onnxruntime\n"


class OnnxFunctions:
    """Functions in ONNX, on the CPU, and random numbers of NumPy."""

    def __init__(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        self._manifest = manifest
        self._sessions = {
            name: onnxruntime.InferenceSession(files[f"{name}.onnx"], providers=["CPUExecutionProvider"])
            for name in manifest["functions"]
        }

    def noise(self, count: int, seed: int, chunk: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """z, and uniform numbers for the group element and for the flow of a mixture."""
        rng, dtype = np.random.default_rng([seed, 2, chunk]), np.dtype(self._manifest["precision"])
        z = rng.standard_normal((count, *self._manifest["shape"]), dtype)
        uniform = rng.random((count, *self._manifest["uniforms"]), dtype)
        return z, uniform, rng.random(count, dtype)

    def __call__(self, name: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the function of this name returns."""
        session = self._sessions[name]
        given = {found.name: a for found, a in zip(session.get_inputs(), arrays, strict=True)}
        return tuple(np.asarray(output) for output in session.run(None, given))
