"""The record of a training that checks of samples need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """The progress and the batch ESS of a training.

    Attributes
    ----------
    done
        Number of optimisation steps of the weights.
    share
        Fraction of the training that is done, 1 if it is finished.
    batch_ess
        ESS of the batch at every step, (steps,).
    beyond
        Where the samples are outside of the range of couplings of the training, in words.
    """

    done: int
    share: float
    batch_ess: np.ndarray
    beyond: str = ""
