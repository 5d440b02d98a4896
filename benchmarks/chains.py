"""Markov chains: what the mass of the Hessian saves on a lattice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from common import Row, Task

import sesamo_dsl as sd
from sesamo_dsl.annealing.start_of_theory import start_density
from sesamo_dsl.estimates.gamma_method import gamma_method
from sesamo_dsl.hamiltonian.kernel import Kernel
from sesamo_dsl.hamiltonian.options import HMCOptions
from sesamo_dsl.markov.whitening import Whitening
from sesamo_theories.scalar_phi4 import scalar_phi4

KAPPA, CHAINS, WARM_UP, LENGTH = 0.26, 16, 100, 400
IDENTITY_STEPS = (6, 12, 24)  # of a trajectory with the mass 1, of which the best counts


def mass(backend: str, _: float) -> Iterator[Row]:
    """τ_int in evaluations of the force, φ⁴ 16×16 at κ = 0.26, with the mass of the Hessian and with 1."""
    compiled = sd.compile(scalar_phi4(16, 16), backend, precision="float64")
    values, program = compiled.parameter_values({"kappa": KAPPA}), compiled.program
    own = start_density(program, values).mass
    n = own.size
    identity = Whitening.of_waves(np.ones((n, 1, 1)), program.configuration_shape)
    start = sd.anneal(compiled, parameters={"kappa": KAPPA}, walkers=64, populations=4, progress=False)
    x = start.as_target().x[:: len(start) // CHAINS][:CHAINS]

    def cost(whitening: Whitening, steps: int | None) -> tuple[dict[str, float], str]:
        options = HMCOptions(chains=CHAINS, steps=steps, moves=False)
        with compiled.backend.scope("float64"):
            arrays, emitted = compiled.backend.arrays(), compiled.bind(values)
            kernel = Kernel(arrays, emitted, program, whitening, options, "float64")
            rng, (state, adaptation) = np.random.default_rng(1), kernel.start(x)
            state, adaptation, _ = kernel.run(rng, state, adaptation, np.ones(WARM_UP))
            _, adaptation, block = kernel.run(rng, state, adaptation, np.zeros(LENGTH))
            step, leapfrogs = kernel.step_size(adaptation)
        mean = block.x.mean(axis=(2, 3, 4)).T
        square = (block.x**2).mean(axis=(2, 3, 4)).T
        series = {"S": block.action.T, "m²": mean**2, "φ²": square}
        taus = {name: gamma_method(np.ascontiguousarray(s)).tau * leapfrogs for name, s in series.items()}
        return taus, f"{leapfrogs} steps of {step:.3g}, acceptance {block.acceptance.mean():.2f}"

    hessian, told = cost(own, None)
    others = {steps: cost(identity, steps) for steps in IDENTITY_STEPS}
    for name, tau in hessian.items():
        steps, (best, said) = min(others.items(), key=lambda item: item[1][0][name])
        yield Row(f"{name}: τ_int × forces, mass of the Hessian ({told})", tau)
        yield Row(f"{name}: the same, mass 1 ({said})", best[name])
        yield Row(
            f"{name}: ratio, mass 1 with {steps} steps", tau / best[name], bar="≤ 1", passed=tau <= best[name]
        )


TASKS: dict[str, Task] = {"hmc-mass": mass}
