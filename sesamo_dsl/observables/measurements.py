"""Measurements that cannot be declared as sums over sites: two-point functions and the angle of M.

``two_point`` takes plain arrays, (samples, components, *lattice); average its result with ``expect`` of
samples or of a chain. ``angle_test`` takes samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from ..checks import array, as_integer, as_real, listed, shown
from ..errors import ConfigurationError, OptionError
from ..estimates.samples import Samples, check_samples

_MOST_BINS = 1000


def two_point(x: np.ndarray, *, axis: int = 0) -> np.ndarray:
    """The two-point function G(t) = Σ_y φ(0)·φ(t, y), projected to zero momentum and averaged over sites.

    Parameters
    ----------
    x
        Configurations, (samples, components, *lattice); φ·φ sums over the components. Of angles these are
        their cosines and sines, ``np.concatenate([np.cos(x), np.sin(x)], axis=1)``.
    axis
        Lattice direction of the distance t; the other directions are summed over.

    Returns
    -------
    np.ndarray
        G(t) for t = 0 … L//2, shape (samples, L//2 + 1). Its mean over p is ⟨φφ⟩; in a broken phase it tends
        to V_⊥⟨m²⟩ and not to zero.

    Examples
    --------
    A field that alternates is correlated with itself two sites on, and anticorrelated one site on:

    >>> [float(g) for g in two_point(np.array([[[1.0, -1.0, 1.0, -1.0]]]))[0]]
    [1.0, -1.0, 1.0]
    """
    remedy = "put the batch first, the components second; axis counts lattice directions from 0"
    expected = "real numbers, (samples, components, *lattice)"
    x = array(x, "configurations for a two-point function", expected=expected, remedy=remedy)
    mu = as_integer(axis)
    if x.ndim < 3 or mu is None or not -(x.ndim - 2) <= mu < x.ndim - 2:
        raise ConfigurationError(
            "configurations for a two-point function",
            expected=f"shape (samples, components, *lattice) with a lattice axis {shown(axis)}",
            found=f"shape {x.shape}",
            remedy=remedy,
        )
    slices = np.moveaxis(x, mu + 2 if mu >= 0 else mu, 2)
    extent, transverse = slices.shape[2], int(np.prod(slices.shape[3:]))
    sums = slices.reshape(*slices.shape[:3], transverse).sum(axis=3, dtype=np.float64)
    # the correlation theorem gives the sum over all origins
    power = (np.abs(np.fft.rfft(sums, axis=2)) ** 2).sum(axis=1)
    return np.fft.irfft(power, n=extent, axis=1)[:, : extent // 2 + 1] / (extent * transverse)


class ChiSquared(NamedTuple):
    """χ² of a histogram with its degrees of freedom and p-value."""

    value: float
    degrees_of_freedom: int
    p_value: float

    def __str__(self) -> str:
        return f"χ² = {self.value:.1f} for {self.degrees_of_freedom}, p = {self.p_value:.3f}"


def angle_test(samples: Samples, source: Sequence[float] = (0.0, 0.0), *, bins: int = 16) -> ChiSquared:
    """The angle of M = Σ_x φ_x against its exact law under S₁ = h_1 Σφ_1 + h_2 Σφ_2.

    Given |M| the angle is von Mises with κ = |h||M| around the direction of −h (uniform without a source), so
    that its cumulative distribution function is uniform on [0, 1] for every |M|. The test is the χ² of the
    weighted histogram of this function.

    Parameters
    ----------
    samples
        Samples of a theory whose first two components are the complex field.
    source
        The source (h_1, h_2).
    bins
        Number of bins of the histogram, at least 2.
    """
    check_samples(samples, "angle of M")
    whole = as_integer(bins)
    angles = [samples.program.components[a] for a in samples.program.angles if a < 2]
    if angles:
        raise OptionError(
            "histogram of the angle of M",
            expected="a complex field, whose sum is M",
            found=f"the angle {angles[0]}",
            remedy="declare the cosine and sine of the angle as observables",
        )
    if samples.x.shape[1] < 2 or whole is None or not 2 <= whole <= _MOST_BINS:
        raise OptionError(
            "histogram of the angle of M",
            expected=f"a field with two components, and at least 2 and at most {_MOST_BINS} bins",
            found=f"{samples.x.shape[1]} components, {shown(bins)} bins",
            remedy="use it on complex fields",
        )
    given = [as_real(component) for component in listed(source) or []]
    if len(given) != 2 or not all(h is not None and math.isfinite(h) for h in given):
        raise OptionError(
            "source of the angle of M",
            expected="two finite numbers (h_1, h_2)",
            found=shown(source),
            remedy="leave it out without a source",
        )
    total = samples.x[:, :2].reshape(len(samples), 2, -1).sum(axis=2, dtype=np.float64)
    h = np.array(given, dtype=np.float64)
    centre = np.arctan2(-h[1], -h[0])
    angle = (np.arctan2(total[:, 1], total[:, 0]) - centre + np.pi) % (2 * np.pi) - np.pi
    kappa = np.hypot(*h) * np.hypot(*total.T)
    from scipy.stats import vonmises  # half a second, which whoever tests no angle need not wait

    uniform = vonmises.cdf(angle, kappa) if kappa.any() else angle / (2 * np.pi) + 0.5
    return _uniform_histogram(uniform, samples.weights, whole)


def _uniform_histogram(values: ArrayLike, weights: np.ndarray, bins: int) -> ChiSquared:
    """χ² of weighted values on [0, 1] against the uniform law, with the covariance of the bins."""
    index = np.clip((np.asarray(values) * bins).astype(np.int64), 0, bins - 1)
    masses = np.bincount(index, weights=weights, minlength=bins)
    squares = np.bincount(index, weights=weights**2, minlength=bins)
    # Cov of the self-normalised estimates: Σ w² (1_a − p_a)(1_b − p_b) with the exact p = 1/bins
    p = 1 / bins
    covariance = np.diag(squares) - p * (squares[:, None] + squares[None, :]) + p * p * squares.sum()
    value = float((masses - p) @ np.linalg.pinv(covariance, rcond=1e-10) @ (masses - p))
    return ChiSquared(value, bins - 1, float(chdtrc(bins - 1, value)))
