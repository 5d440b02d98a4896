"""Walkers of an annealing that Hamiltonian Monte Carlo moves on under exp(−S)."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..annealing.start_of_theory import start_density
from ..compiled_program import CompiledProgram
from ..values.couplings import Couplings
from .adaptation import Adaptation
from .kernel import Kernel
from .options import HMCOptions

_WARM_UP = 24  # trajectories in which the step size adapts; their configurations are not kept


class WalkerKernel:
    """One trajectory of each walker, and moves of the groups after it; see ``training.reference.Kernel``.

    Parameters
    ----------
    compiled
        The compiled program, in any precision; walkers move in float64.
    values
        The couplings.
    step_size
        The step size; None to adapt it to the walkers of the first move.
    """

    def __init__(self, compiled: CompiledProgram, values: Couplings, step_size: float | None = None) -> None:
        self._compiled, self._values, self.step_size = compiled, values, step_size

    @cached_property
    def _kernel(self) -> Kernel:
        compiled, program = self._compiled, self._compiled.program
        if compiled.precision != "float64":
            compiled = CompiledProgram.of(program, compiled.facts, compiled.backend, "float64")
        mass = start_density(program, self._values).mass
        arrays, emitted = compiled.backend.arrays(), compiled.bind(self._values)
        return Kernel(arrays, emitted, program, mass, HMCOptions(), "float64")

    def moved(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The walkers, (n, components, *lattice), after one move of each."""
        backend = self._compiled.backend
        with backend.scope("float64"):
            state, adaptation = self._kernel.start(x)
            if self.step_size is None:
                warmed = state
                for _ in range(_WARM_UP):
                    warmed, adaptation, _ = self._kernel.run(rng, warmed, adaptation, np.ones(1))
                self.step_size = self._kernel.step_size(adaptation)[0]
            frozen = Adaptation.start(backend.arrays(), self.step_size, "float64")
            return np.array(self._kernel.run(rng, state, frozen, np.zeros(1))[2].x[0])
