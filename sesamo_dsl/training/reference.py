"""Configurations of the target for the forward part of the objective, which may move while a model learns.

A model that sees the same few thousand configurations again and again learns them by heart. Configurations
that an annealing has found are therefore moved on by a kernel that leaves exp(−S) invariant, each of them
once while every one is used once on average. Configurations that a user gives are used as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Kernel(Protocol):
    """Moves configurations without a change of their distribution.

    Attributes
    ----------
    step_size
        The step size; None before the first move, which determines it.
    """

    step_size: float | None

    def moved(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The configurations, (n, components, *lattice), after one move of each."""
        ...


@dataclass(eq=False)
class Reference:
    """Configurations of the target for training.

    Attributes
    ----------
    x
        The configurations as they are now, (n, components, *lattice).
    kernel
        How they move; None if they stay.
    rounds
        How often each of them was moved.
    """

    x: np.ndarray
    kernel: Kernel | None = None
    rounds: int = 0

    def batch(self, step: int, size: int, seed: int) -> np.ndarray:
        """The configurations for one training step, (size, components, *lattice).

        They depend on seed and step number only. Steps are asked for in their order, or some of them again.
        """
        if self.kernel is not None:
            while self.rounds < step * size // len(self.x):
                rng = np.random.default_rng([seed, 8, self.rounds])
                self.x = self.kernel.moved(self.x, rng)
                self.rounds += 1
        chosen = np.random.default_rng([seed, 5, step]).integers(len(self.x), size=size)
        return self.x[chosen]
