"""The two-point function by loops over sites, and the histogram behind the test of an angle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.errors import ConfigurationError
from sesamo_dsl.observables.measurements import _uniform_histogram


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_two_point_function_by_loops(axis: int) -> None:
    x = np.random.default_rng(3).normal(size=(2, 2, 4, 3))
    extent = x.shape[2 + axis % 2]
    for t in range(extent // 2 + 1):
        total = np.zeros(2)
        for a, b in itertools.product(np.ndindex(4, 3), repeat=2):
            if (b[axis] - a[axis]) % extent == t:
                total += (x[(slice(None), slice(None), *a)] * x[(slice(None), slice(None), *b)]).sum(axis=1)
        assert np.allclose(sd.two_point(x, axis=axis)[:, t], total / 12)


def test_two_point_function_of_bad_arrays() -> None:
    for x, axis in ((np.zeros((3, 4)), 0), (np.zeros((3, 1, 4, 4)), 2)):
        with pytest.raises(ConfigurationError, match="two-point"):
            sd.two_point(x, axis=axis)


def test_histogram_of_weighted_values() -> None:
    """χ² has the mean and width of its law for weights of any size, and sees a wrong law."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(200):
        values = rng.uniform(size=3000)
        weights = np.exp(rng.normal(size=3000) * 0.7)
        found.append(_uniform_histogram(values, weights / weights.sum(), 9).value)
    assert abs(np.mean(found) - 8) < 5 * 4 / math.sqrt(200)
    assert np.std(found) == pytest.approx(4, rel=0.3)
    assert _uniform_histogram(values**1.2, weights / weights.sum(), 9).p_value < 1e-6
