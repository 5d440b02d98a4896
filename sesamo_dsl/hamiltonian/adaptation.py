"""The step size of the leapfrog, adapted to an acceptance by dual averaging.

M. D. Hoffman, A. Gelman, JMLR 15 (2014) 1593, section 3.2, with their constants; steps are drawn to twice
the first guess, not to ten times it, as in whitened coordinates the guess is a good one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..values.arrays import Array, Arrays
from ..values.precision import Precision

_GAIN, _DELAY, _FORGETTING = 0.05, 10.0, 0.75  # γ, t₀ and κ
_BOLD = math.log(2)


class Adaptation(NamedTuple):
    """One step size for all chains; all of shape ().

    Attributes
    ----------
    first
        log of the first guess.
    log_step
        log of the step to try next.
    log_mean
        log of the step that is kept after the adaptation.
    error
        Mean of target − acceptance.
    count
        Steps that were tried.
    """

    first: Array
    log_step: Array
    log_mean: Array
    error: Array
    count: Array

    @classmethod
    def start(cls, arrays: Arrays, step: float, precision: Precision) -> Adaptation:
        """Before any trajectory."""
        guess, nothing = (arrays.constant(np.array(value), precision) for value in (math.log(step), 0.0))
        return cls(guess, guess, guess, nothing, nothing)

    def after(self, arrays: Arrays, acceptance: Array, target: float, adapting: Array) -> Adaptation:
        """What a trajectory with this mean acceptance teaches; nothing unless ``adapting`` is above 0."""
        xp = arrays.xp
        count = self.count + 1
        weight = 1 / (count + _DELAY)
        error = (1 - weight) * self.error + weight * (target - acceptance)
        log_step = self.first + _BOLD - xp.sqrt(count) / _GAIN * error
        share = count**-_FORGETTING
        log_mean = share * log_step + (1 - share) * self.log_mean
        learned = Adaptation(self.first, log_step, log_mean, error, count)
        return Adaptation(*(xp.where(adapting > 0, new, old) for new, old in zip(learned, self, strict=True)))
