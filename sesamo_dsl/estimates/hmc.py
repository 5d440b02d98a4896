"""Hamiltonian Monte Carlo on the emitted action: ground truth for every theory, without a model.

S. Duane, A. D. Kennedy, B. J. Pendleton, D. Roweth, Phys. Lett. B 195 (1987) 216. HMC alone does not find its
way between well separated modes, so moves drawn from the modulating groups follow every trajectory: for the
finite group the heat bath on the orbit, p(u|x) ∝ exp(−S₁(T_u x)); for one that acts on blocks independently
Metropolis steps that turn one block by a random element; for a Lie group a rotation R(n) with
uniform n, accepted with min(1, exp(S₁(x) − S₁(R(n) x))). Each leaves p invariant: the first is the exact
conditional, the second has a symmetric proposal, since R(n)⁻¹ = R(n') with n' = (n_1, −n_2, …, −n_N).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np

from ..compiled_program import check_configurations
from ..landscape.integrability import require_normalizable
from ..language.theory import Theory
from ..machine.memory import check_memory
from ..plan.hmc import HMCFields, HMCOptions, option_error
from ..stages.compile import DerivedProgram
from ..values.couplings import Coupling
from .chains import Chain


def hmc(
    theory: Theory | DerivedProgram,
    *,
    parameters: Mapping[Any, Coupling] | None = None,
    initial: np.ndarray | None = None,
    **options: Unpack[HMCFields],
) -> Chain:
    """Sample a theory by Hamiltonian Monte Carlo with moves drawn from its groups.

    Parameters
    ----------
    theory
        A theory, which is compiled for JAX, or one compiled for a backend with HMC.
    parameters
        Couplings that differ from the theory's defaults.
    initial
        Configurations to start from, (chains, components, *lattice); default N(0, 1) at every site.
    chains, trajectories
        Independent chains that run side by side, and kept configurations of each.
    warm_up
        Trajectories before the first kept one; the step size adapts in them and is then frozen.
    steps
        Leapfrog steps of a trajectory.
    step_size
        Mean leapfrog step; by default adapted to ``target_acceptance`` by dual averaging (M. D. Hoffman,
        A. Gelman, JMLR 15 (2014) 1593). Every trajectory has its own, uniform within ±20 %, so that no orbit
        is periodic.
    target_acceptance
        Acceptance to adapt to.
    moves
        Whether moves from the modulating groups follow every trajectory.
    every
        Keep one configuration in so many trajectories.
    precision
        "float64" unless speed matters more than an exact acceptance step.
    seed
        The same seed gives the same chains.

    Raises
    ------
    OptionError, ParameterError, ConfigurationError
        For arguments out of range.
    BackendError
        If JAX or blackjax is not installed, or the theory is compiled for a backend without HMC.
    """
    unknown = sorted(set(options) - set(HMCOptions.__dataclass_fields__))
    if unknown:
        known = ", ".join(HMCOptions.__dataclass_fields__)
        raise option_error(", ".join(unknown), f"one of {known}", unknown)
    if initial is not None:
        options.setdefault("chains", np.shape(initial)[0] if np.ndim(initial) else 1)
    settings = HMCOptions(**options)
    compiled = theory
    if not isinstance(compiled, DerivedProgram):  # Z is judged below, at the couplings of the chain
        compiled = DerivedProgram.of_theory(compiled, "jax", normalizable=False)
    declared = compiled.theory
    values = declared.parameter_values(parameters)
    require_normalizable(compiled.program, values)
    kept = settings.chains * settings.trajectories * math.prod(declared.configuration_shape)
    check_memory(kept, "option trajectories of hmc", "ask for fewer chains or trajectories")
    if initial is None:
        rng = np.random.default_rng([settings.seed, 0])
        initial = rng.normal(size=(settings.chains, *declared.configuration_shape))
    start = check_configurations(declared.name, declared.configuration_shape, initial, settings.precision)
    if len(start) != settings.chains:
        raise option_error("initial", f"{settings.chains} configurations, one per chain", len(start))
    found = compiled.backend.hmc(compiled, values, start, settings)
    notes = list(declared.notes)
    if found.divergent:
        notes.append(
            f"{found.divergent} trajectories diverged and were rejected; where they lead to may be missing: "
            "lower step_size or raise target_acceptance"
        )
    if found.acceptance < 0.3:
        notes.append("few trajectories were accepted: lower step_size, or warm up for longer")
    return Chain(
        compiled.program,
        values,
        found.x,
        found.action,
        found.acceptance,
        tuple(notes),
        declared.derived,
    )
