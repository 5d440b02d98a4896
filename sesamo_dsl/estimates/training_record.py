"""What the training of a model says about its samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """What the training of a model says about its samples.

    Attributes
    ----------
    done
        Optimisation steps that the weights have seen.
    share
        Part of the training that was asked for and is done, 1 if it was finished.
    batch_ess
        ESS of the batch at every step.
    """

    done: int
    share: float
    batch_ess: np.ndarray
