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
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import checks
from ..compiled import check_configurations
from ..couplings import Coupling
from ..errors import OptionError
from ..landscape.integrability import require_normalizable
from ..language.theory import Precision, Theory
from ..machine.memory import check_memory
from ..stages import CompiledTheory, compile
from .chains import Chain

_MOST = 10**9


@dataclass(frozen=True, kw_only=True)
class HMCOptions:
    """How chains are run; the parameters are those of :func:`hmc`."""

    chains: int = 64
    trajectories: int = 1000
    warm_up: int = 300
    steps: int = 12
    step_size: float | None = None
    target_acceptance: float = 0.8
    moves: bool = True
    every: int = 1
    precision: Precision = "float64"
    seed: int = 0

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {"seed": checks.seed(self.seed, "option seed of hmc")}
        least = {"chains": 1, "trajectories": 20, "warm_up": 0, "steps": 1, "every": 1}
        for name, bound in least.items():
            plain[name] = checks.integer(
                getattr(self, name), f"option {name} of hmc", least=bound, most=_MOST, remedy="see sd.hmc"
            )
        if self.step_size is None and plain["warm_up"] < 50:
            raise _option("warm_up", "at least 50 trajectories, to adapt the step size in", self.warm_up)
        if self.step_size is not None:
            plain["step_size"] = checks.real(self.step_size, "option step_size of hmc", remedy="see sd.hmc")
        plain["target_acceptance"] = checks.real(
            self.target_acceptance, "option target_acceptance of hmc", expected="a number between 0 and 1"
        )
        if plain["target_acceptance"] >= 1:
            raise _option("target_acceptance", "a number between 0 and 1", self.target_acceptance)
        plain["moves"] = checks.flag(self.moves, "option moves of hmc")
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if not (isinstance(self.precision, str) and self.precision in ("float32", "float64")):
            raise _option("precision", "'float32' or 'float64'", self.precision)


def _option(name: str, expected: str, found: Any) -> OptionError:
    return OptionError(
        f"option {name} of hmc", expected=expected, found=checks.shown(found), remedy="see sd.hmc"
    )


@dataclass(frozen=True, eq=False)
class Trajectories:
    """What a backend hands back.

    Attributes
    ----------
    x
        (chains, trajectories, components, *lattice).
    action
        (chains, trajectories).
    acceptance
        Mean acceptance probability of the trajectories.
    divergent
        Number of trajectories whose energy changed by more than 1000, or to NaN.
    step_size
        Mean leapfrog step.
    """

    x: np.ndarray
    action: np.ndarray
    acceptance: float
    divergent: int
    step_size: float


def hmc(
    theory: Theory | CompiledTheory,
    *,
    parameters: Mapping[Any, Coupling] | None = None,
    initial: np.ndarray | None = None,
    **options: Any,
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
        raise _option(", ".join(unknown), f"one of {', '.join(HMCOptions.__dataclass_fields__)}", unknown)
    if initial is not None:
        options.setdefault("chains", np.shape(initial)[0] if np.ndim(initial) else 1)
    settings = HMCOptions(**options)
    compiled = theory if isinstance(theory, CompiledTheory) else compile(theory, "jax")
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
        raise _option("initial", f"{settings.chains} configurations, one per chain", len(start))
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
