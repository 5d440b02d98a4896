"""Functions of a program at configurations, of which a part at a time is in memory."""

from __future__ import annotations

import numpy as np

from ..ir.interpreter import run
from ..ir.program import Program
from ..machine.memory import chunk_size
from ..values.couplings import Couplings


def evaluated(program: Program, function: str, parameters: Couplings, x: np.ndarray) -> np.ndarray:
    """All outputs of a function that gives numbers, at configurations, (n, …) → (n, outputs), in float64."""
    size = chunk_size(x.shape[1:])
    parts = [
        np.stack(run(program, function, {"x": x[i : i + size].astype(np.float64)}, parameters), axis=1)
        for i in range(0, max(len(x), 1), size)
    ]
    return np.concatenate(parts)
