"""Statistical tests with a bound on the probability of a false alarm.

Every comparison is made at most twice. It fails only if it fails at the level ``STAGE_LEVEL`` and then again,
at the same level, on ``RETEST`` times as many fresh samples: the probability that a true statement fails is
at most ``STAGE_LEVEL²`` = 1e-10. One theory on two backends makes about fifty comparisons; every result
has the sum of their levels, and a suite stays below ``SUITE_LEVEL``.

Heavy tails are excluded. Bounded quantities are compared by the empirical Bernstein inequality (Maurer and
Pontil, COLT 2009), which holds for every sample size and distribution. Other quantities are compared by a
Student quantile, and only if a defensive mixture (Hesterberg, Technometrics 37 (1995) 185) keeps their tails
light: for them the level is ``10·STAGE_LEVEL²``, which leaves room for the skewness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import t as student

from ..backend import Draws
from .property import Measurement
from .subject import SAMPLES, SAMPLES_SEED, Subject

SUITE_LEVEL = 1e-6
"""Bound on the probability that a whole suite fails by chance."""
STAGE_LEVEL = 1e-5
RETEST = 4


def bernstein(values: np.ndarray, width: float, level: float) -> float:
    """Bound on |mean − expectation| at confidence 1 − ``level``, for values in an interval of ``width``."""
    log = np.log(4 / level)
    return float(
        np.sqrt(2 * values.var(ddof=1) * log / len(values)) + 7 * width * log / (3 * (len(values) - 1))
    )


def student_bound(values: np.ndarray, level: float) -> float:
    """Bound on |mean − expectation| at confidence 1 − ``level`` by a Student quantile, for light tails."""
    n = len(values)
    return float(student.isf(level / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))


def vanishing_mean(draw: Callable[[int], np.ndarray], what: str, width: float | None = None) -> Measurement:
    """The measurement that the expectation of independent values is zero.

    Parameters
    ----------
    draw
        ``draw(stage)`` gives the values of stage 0, and ``RETEST`` times as many fresh ones for stage 1.
    width
        Length of the interval all values are known to lie in, if they are bounded.
    """
    level = STAGE_LEVEL**2 * (1 if width is not None else 10)
    for stage in (0, 1):
        values = draw(stage)
        bound = student_bound(values, STAGE_LEVEL) if width is None else bernstein(values, width, STAGE_LEVEL)
        measurement = Measurement(float(values.mean()), bound, what, level)
        if measurement.ratio <= 1:
            break
    return measurement


def samples_at(subject: Subject, backend: str, options: Mapping[str, str], stage: int) -> Draws:
    """Samples of a model for a stage of a test: the shared ones at stage 0, then fresh ones."""
    if stage == 0:
        return subject.draws(backend, SAMPLES_SEED, **options)
    return subject.model(backend, **options).sample(SAMPLES * RETEST**stage, SAMPLES_SEED + stage)
