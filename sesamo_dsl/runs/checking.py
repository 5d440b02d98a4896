"""Annealing before or after a training: configurations of the target that check a model and may train it.

If S has several minima that no symmetry relates, a model that starts at one of them does not find the others;
in this case the annealing comes before the training. Otherwise it comes after the training, and if it shows
that the model misses a part of exp(−S), the model is trained again. In both cases the model is trained on one
half of the walkers and checked with the other half.
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
from ..errors import AnnealingError, BackendError, found_by
from ..estimates.coverage import Coverage
from ..estimates.target_sample import TargetSample, most_of
from ..ir.interpreter import run
from ..ir.program import Program
from ..landscape.laplace import DENSE
from ..landscape.minima import find_minima
from ..values.couplings import Couplings

_MOST_SECTORS = 64  # with more sectors no minima are searched, because of the sum over u
_BARRIER, _POINTS = 1.0, 33  # least barrier in −log density between minima; points of the line between them
_LEAST_MASS = 1e-3  # least weight of a minimum relative to the heaviest one, by Laplace's approximation
_POPULATIONS, _MOST_SECONDS = 8, 30.0  # options of an annealing whose walkers train a model
LEAST_SECONDS = 5.0  # of an annealing that checks a model
PART = 0.2  # duration of the annealing after a training, relative to the training


def anneal_for_check(
    compiled: CompiledProgram,
    parameters: Couplings,
    seconds: float | None,
    trained: float,
    seed: int,
    *,
    progress: bool,
) -> tuple[TargetSample | str, Sequence[Signals]]:
    """Anneal to check a trained model.

    An error becomes a warning and a reason in words, so that the finished training is not lost.

    Parameters
    ----------
    seconds
        Duration of the annealing; None for a fifth of that of the training, at least five seconds.
    trained
        Duration of the training in seconds.

    Returns
    -------
    tuple
        Configurations of the target, or the reason why there are none, in words; and the signals SIGINT and
        SIGTERM that were received in the meantime.
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
        reason = found_by(error)
    except Exception as error:  # any error, a bug of this package included: a finished training is never lost
        reason = f"the annealing failed with {type(error).__name__}: {error}"
    warnings.warn(f"samples of the run are not checked: {reason}", RuntimeWarning, stacklevel=4)
    return reason, ()


def anneal_for_training(
    compiled: CompiledProgram, parameters: Couplings, seed: int, *, progress: bool
) -> tuple[TargetSample | str, Sequence[Signals]]:
    """Anneal a fixed number of walkers to train on, so that a seed gives the same walkers; at most 30 s.

    Returns the same as :func:`anneal_for_check`.
    """
    walkers = most_of(compiled.program.configuration_shape) // _POPULATIONS
    options = AnnealingOptions(walkers=walkers, populations=_POPULATIONS, seconds=_MOST_SECONDS, seed=seed)
    return _annealed(compiled, parameters, options, progress=progress)


def inequivalent_minima(program: Program, parameters: Couplings) -> int:
    """The number of minima of S with a relevant weight that no symmetry, exact or broken, relates.

    Minima are mapped to the domain Ω, where the density is Σ_u exp(−S(T_u y)); two minima without a barrier
    of this density on the line between them count as one. The number is 0 if the theory has too many
    variables or sectors for a search.
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
    if "unrotate" in program.functions:  # at a collective vector 0 there is no direction: NaN, no rotation
        turned = run(program, "unrotate", {"x": places})[0]
        places = np.where(np.isfinite(turned), turned, places)
    distinct: list[np.ndarray] = []
    for place in places:
        if all(_barrier(program, parameters, place, other) > _BARRIER for other in distinct):
            distinct.append(place)
    return len(distinct)


def _barrier(program: Program, parameters: Couplings, one: np.ndarray, other: np.ndarray) -> float:
    """Height of −log Σ_u exp(−S(T_u y)) on the line between two configurations, above the higher end."""
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
class TrainingWalkers:
    """Configurations of the target for a training, and others that check the trained model.

    Attributes
    ----------
    x
        Configurations for the forward part of the objective, (n, components, *lattice).
    outside
        Configurations that are not used in training; samples of the model are compared with them.
    reason
        Why the model is trained on walkers, in words, for the reasons of the plan.
    """

    x: np.ndarray
    outside: TargetSample
    reason: str

    @classmethod
    def of(cls, found: TargetSample, reason: str) -> TrainingWalkers | None:
        """Split configurations into halves without a common cluster; None if there are too few clusters."""
        clusters = np.unique(found.cluster)
        first = np.isin(found.cluster, clusters[: len(clusters) // 2])
        if not 0 < first.sum() < len(first):
            return None
        return cls(
            found.x[first],
            found.part(~first),
            f"{reason}; half of the walkers are learned from, and moved on by HMC",
        )


def walkers_before_training(
    compiled: CompiledProgram, parameters: Couplings, seed: int, *, progress: bool
) -> tuple[TrainingWalkers | None, Sequence[Signals]]:
    """Anneal before the training if S has several inequivalent minima.

    The walkers are None if S has at most one minimum, or if the annealing failed or is not reliable. The
    signals are SIGINT and SIGTERM that were received in the meantime.
    """
    minima = inequivalent_minima(compiled.program, parameters)
    if minima < 2:
        return None, ()
    found, signals = anneal_for_training(compiled, parameters, seed, progress=progress)
    if isinstance(found, str) or found.doubts:
        return None, signals
    return TrainingWalkers.of(
        found, f"S has {minima} minima that no symmetry relates: an annealing comes first"
    ), signals


def walkers_after_training(
    compiled: CompiledProgram,
    parameters: Couplings,
    seed: int,
    found: TargetSample,
    coverage: Coverage,
    *,
    progress: bool,
) -> tuple[TrainingWalkers | None, Sequence[Signals]]:
    """The walkers of the annealing at the end of a training; None if the model covers the target.

    Parameters
    ----------
    found
        Walkers of the annealing. If there are doubts about them, those of a new annealing replace them.
    coverage
        The comparison of samples of the model with these walkers.
    """
    if coverage.status == "covered":
        return None, ()
    source, signals = found, ()
    if found.doubts:
        source, signals = anneal_for_training(compiled, parameters, seed, progress=progress)
    if isinstance(source, str):
        return None, signals
    return TrainingWalkers.of(source, f"a first training was not enough, {coverage.verdict}"), signals
