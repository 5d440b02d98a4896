"""Annealing for a training: configurations that a model is held against, and learns from where it has to.

Where S has several minima that no symmetry relates, a model that starts at one of them does not find the
others. Then the annealing comes first. Where it comes last, as it does else, and says that the model misses
something, the model is trained once more. Either way one half of the walkers is learned from, the other half
the model is held against.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from signal import Signals

import numpy as np
from scipy.special import logsumexp

from ..annealing.driver import anneal_program
from ..annealing.options import AnnealingOptions
from ..compiled_program import CompiledProgram
from ..errors import AnnealingError, BackendError
from ..estimates.coverage import Coverage
from ..estimates.target_sample import TargetSample
from ..ir.interpreter import run
from ..ir.program import Program
from ..landscape.laplace import DENSE
from ..landscape.minima import find_minima
from ..values.couplings import Couplings

_MOST_SECTORS = 64  # that a sum goes over
_BARRIER, _POINTS = 1.0, 33  # of −log of a density, and where it is looked for on a line
_LEAST_MASS = 1e-3  # of a minimum beside the deepest one, by Laplace's estimate
_WALKERS, _POPULATIONS, _MOST_SECONDS = 512, 8, 30.0  # of an annealing that is to be learned from
LEAST_SECONDS = 5.0
PART = 0.2  # of the time of the training


def anneal_for_check(
    compiled: CompiledProgram,
    parameters: Couplings,
    seconds: float | None,
    trained: float,
    seed: int,
    *,
    progress: bool,
) -> tuple[TargetSample | str, Sequence[Signals]]:
    """Configurations of the target, or why there are none; and the signals that came in the meantime.

    Whatever goes wrong is a reason and a warning, as there may be a training that would be lost.

    Parameters
    ----------
    seconds
        Time of the annealing; None for a fifth of that of the training, at least five seconds.
    trained
        Seconds of the training.
    """
    seconds = max(LEAST_SECONDS, PART * trained) if seconds is None else seconds
    return _annealed(compiled, parameters, AnnealingOptions(seconds=seconds, seed=seed), progress=progress)


def _annealed(
    compiled: CompiledProgram, parameters: Couplings, options: AnnealingOptions, *, progress: bool
) -> tuple[TargetSample | str, Sequence[Signals]]:
    try:
        annealed, signals = anneal_program(compiled, parameters, options, progress=progress)
        return annealed.as_target(), signals
    except (AnnealingError, BackendError) as error:
        reason = f"{error.subject}: {error.found}"
    except Exception as error:  # an error of ours as well: a training that has been computed is never lost
        reason = f"the annealing failed with {type(error).__name__}: {error}"
    warnings.warn(f"samples of the run are not checked: {reason}", RuntimeWarning, stacklevel=4)
    return reason, ()


def anneal_to_learn(
    compiled: CompiledProgram, parameters: Couplings, seed: int, *, progress: bool
) -> tuple[TargetSample | str, Sequence[Signals]]:
    """Of so many walkers, not of so many seconds, unless it takes too long."""
    options = AnnealingOptions(walkers=_WALKERS, populations=_POPULATIONS, seconds=_MOST_SECONDS, seed=seed)
    return _annealed(compiled, parameters, options, progress=progress)


def inequivalent_minima(program: Program, parameters: Couplings) -> int:
    """How many minima of S matter that neither an exact nor a broken symmetry relates.

    0 of theories with too many variables or sectors to search. In the domain Ω the density is
    Σ_u exp(−S(T_u y)); minima with no barrier of it between them are one.
    """
    sectors = program.sectors
    if math.prod(program.configuration_shape) > DENSE or sectors.count > _MOST_SECTORS:
        return 0
    minima = find_minima(program, parameters)
    weights = np.array([minimum.log_weight for minimum in minima])
    heavy = [m for m in minima if m.log_weight > weights.max() + math.log(_LEAST_MASS)]
    if len(heavy) < 2:
        return len(heavy)
    places = run(program, "canonicalize", {"x": np.stack([m.configuration for m in heavy])})[0]
    if "unrotate" in program.functions:  # the group leaves a minimum at zero where it is
        turned = run(program, "unrotate", {"x": places})[0]
        places = np.where(np.isfinite(turned), turned, places)
    distinct: list[np.ndarray] = []
    for place in places:
        if all(_barrier(program, parameters, place, other) > _BARRIER for other in distinct):
            distinct.append(place)
    return len(distinct)


def _barrier(program: Program, parameters: Couplings, one: np.ndarray, other: np.ndarray) -> float:
    """How far −log Σ_u exp(−S(T_u y)) rises above both ends on the line between them."""
    share = np.linspace(0, 1, _POINTS).reshape(-1, *(1,) * one.ndim)
    y = one + share * (other - one)
    images, sectors = np.repeat(y[None], program.sectors.count, axis=0), program.sectors
    u = np.repeat(sectors.elements, _POINTS, axis=0)
    x = run(program, "modulate", {"y": images.reshape(-1, *one.shape), "u": u})[0]
    action = run(program, "action", {"x": x}, parameters)[0].reshape(sectors.count, _POINTS)
    with np.errstate(all="ignore"):
        depth = -np.asarray(logsumexp(-action, axis=0))
    return float(np.nan_to_num(depth, nan=np.inf).max() - max(depth[0], depth[-1]))


@dataclass(frozen=True)
class Lesson:
    """What a training learns from and is held against.

    Attributes
    ----------
    learned
        Configurations for the forward part of the objective, (n, components, *lattice).
    outside
        Others, which the model never sees.
    reason
        Why, as the plan says it.
    """

    learned: np.ndarray
    outside: TargetSample
    reason: str

    @classmethod
    def of(cls, found: TargetSample, reason: str) -> Lesson | None:
        """Both halves of configurations, none of which depends on one of the other; None for too few."""
        clusters = np.unique(found.cluster)
        first = np.isin(found.cluster, clusters[: len(clusters) // 2])
        if not 0 < first.sum() < len(first):
            return None
        return cls(found.x[first], found.part(~first), f"{reason}; half of the walkers are learned from")


def lesson_before(
    compiled: CompiledProgram, parameters: Couplings, seed: int, *, progress: bool
) -> tuple[Lesson | None, Sequence[Signals]]:
    """Anneal before the training, where S has several minima; None where it has not, or nothing came of it.

    So many walkers, not so long: the same seed gives the same training.
    """
    minima = inequivalent_minima(compiled.program, parameters)
    if minima < 2:
        return None, ()
    found, signals = anneal_to_learn(compiled, parameters, seed, progress=progress)
    if isinstance(found, str) or found.doubts:
        return None, signals
    return Lesson.of(
        found, f"S has {minima} minima that no symmetry relates: an annealing comes first"
    ), signals


def lesson_after(
    compiled: CompiledProgram,
    parameters: Couplings,
    seed: int,
    found: TargetSample,
    coverage: Coverage,
    *,
    progress: bool,
) -> tuple[Lesson | None, Sequence[Signals]]:
    """What is to be learned from the annealing at the end of a training; None if nothing is missed.

    One that had too little time to be believed is made anew.
    """
    if coverage.status == "covered":
        return None, ()
    learned, signals = found, ()
    if found.doubts:
        learned, signals = anneal_to_learn(compiled, parameters, seed, progress=progress)
    if isinstance(learned, str):
        return None, signals
    return Lesson.of(learned, f"a first training was not enough, {coverage.verdict}"), signals
