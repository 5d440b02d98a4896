"""Statistical tests whose false alarms are counted.

Every comparison is made at most twice. It fails only if it fails at the level ``STAGE_LEVEL`` and then again,
at the same level, on ``RETEST`` times as many fresh samples: the probability that a true statement fails is
at most ``STAGE_LEVEL²`` = 1e-10. One theory on two backends makes about fifty comparisons; every result
carries the sum for its own, and a suite stays below ``SUITE_LEVEL``.

Tails are not trusted. Bounded quantities are compared by the empirical Bernstein inequality (Maurer and
Pontil, COLT 2009), which holds for every sample size and distribution. Others are compared by a Student
quantile, and only such quantities as a defensive mixture (Hesterberg, Technometrics 37 (1995) 185) keeps from
having heavy tails: for them the level is ``10·STAGE_LEVEL²``, which leaves room for the skewness.
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
    """|mean − expectation| is below this, but for ``level``, for independent values in a range ``width``."""
    log = np.log(4 / level)
    return float(
        np.sqrt(2 * values.var(ddof=1) * log / len(values)) + 7 * width * log / (3 * (len(values) - 1))
    )


def student_bound(values: np.ndarray, level: float) -> float:
    """The same for values with light tails, by the Student quantile of their mean."""
    n = len(values)
    return float(student.isf(level / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))


def vanishing_mean(draw: Callable[[int], np.ndarray], what: str, width: float | None = None) -> Measurement:
    """The expectation of independent values is zero.

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
    """Samples of a model for a stage of a test: those that every law looks at, then fresh ones."""
    if stage == 0:
        return subject.draws(backend, SAMPLES_SEED, **options)
    return subject.model(backend, **options).sample(SAMPLES * RETEST**stage, SAMPLES_SEED + stage)
