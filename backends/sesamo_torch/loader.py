"""Calls exported functions with PyTorch alone; exported samplers contain the text of this class."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

IMPORTS = "import io\n\nimport torch\n"


class TorchFunctions:
    """Functions that ``torch.export`` wrote, on the CPU, and random numbers of ``torch.Generator``."""

    def __init__(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        self._manifest, self._dtype = manifest, getattr(torch, manifest["precision"])
        self._programs = {
            name: torch.export.load(io.BytesIO(files[f"{name}.pt2"])).module()
            for name in manifest["functions"]
        }

    def noise(self, count: int, seed: int, chunk: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """z, and uniform numbers for the group element and for the flow of a mixture."""
        z, uniform = self._drawn(count, seed, 2, chunk)
        choices = self._drawn(count, seed, 7, chunk)[1].reshape(count, -1)[:, 0]
        return z, uniform, choices

    def _drawn(self, count: int, *seeds: int) -> tuple[np.ndarray, np.ndarray]:
        seed = int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, *self._manifest["shape"], generator=generator, dtype=self._dtype)
        uniform = torch.rand(count, *self._manifest["uniforms"], generator=generator, dtype=self._dtype)
        return z.numpy(), uniform.numpy()

    def __call__(self, name: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the function of this name returns."""
        with torch.no_grad():
            outputs = self._programs[name](*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))
        return tuple(output.numpy() for output in outputs)
