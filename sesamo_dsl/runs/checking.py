"""The annealing at the end of a training: configurations that the model is held against from then on."""

from __future__ import annotations

from collections.abc import Sequence
from signal import Signals

from ..annealing.driver import anneal_program
from ..annealing.options import AnnealingOptions
from ..compiled_program import CompiledProgram
from ..errors import AnnealingError, BackendError
from ..estimates.target_sample import TargetSample
from ..values.couplings import Couplings

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

    Parameters
    ----------
    seconds
        Time of the annealing; None for a fifth of that of the training, at least five seconds.
    trained
        Seconds of the training.
    """
    seconds = max(LEAST_SECONDS, PART * trained) if seconds is None else seconds
    options = AnnealingOptions(seconds=seconds, seed=seed)
    try:
        annealed, signals = anneal_program(compiled, parameters, options, progress=progress)
        return annealed.as_target(), signals
    except (AnnealingError, BackendError) as error:
        return f"{error.subject}: {error.found}", ()
