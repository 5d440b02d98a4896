"""Asymptotic expansions agree with the functions in many digits, where exponentials in float64 cancel."""

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from sesamo_dsl.landscape.expansions import Expansion, UndecidedError, is_bounded

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "a square less half its double": lambda f, x: f.cosh(x) * f.cosh(x) - 0.5 * f.cosh(2.0 * x),
    "a polynomial that stays": lambda f, x: f.cosh(x) * f.cosh(x) - f.sinh(x) * f.sinh(x) + x * x,
    "a Gaussian": lambda f, x: f.exp(0.25 * x * x) * f.exp(-0.25 * x * x + x) - f.sinh(x),
    "a quotient": lambda f, x: (f.exp(x) + x) / (f.exp(0.5 * x) - 3.0),
    "a root": lambda f, x: f.sqrt(f.exp(2.0 * x) + 5.0 * f.exp(x)) - f.exp(x),
    "a logarithm": lambda f, x: f.log(f.cosh(x)) - x + f.exp(-0.5 * x),
    "a tanh": lambda f, x: 1.0 - f.tanh(x),
    "an exponential that falls in an exponent": lambda f, x: f.exp(x + f.exp(-x)) - f.exp(x),
    "a larger value": lambda f, x: abs(x - f.exp(x)) - f.expm1(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_expansion_is_the_function_far_out(name: str) -> None:
    slope, offset, t = 2.0, 0.375, 60.0
    line = np.array([Expansion.line(slope, offset)], dtype=object)
    (found,) = FUNCTIONS[name](np, line)
    with mp.workdps(400):
        exact = FUNCTIONS[name](mp, mp.mpf(slope) * t + offset)
        terms = [
            c * mp.mpf(t) ** p * mp.exp(rate * t + square * t**2) for (square, rate, p), c, _ in found.terms
        ]
        assert terms
        assert abs(mp.fsum(terms) / exact - 1) < 1e-12


def test_what_is_not_known_is_no_verdict() -> None:
    x = Expansion.line(1.0, 0.0)
    wave = x.sin()
    assert wave.order is not None
    assert is_bounded(wave.order)
    tower = x.exp().exp()
    for unknown in (wave, wave * x, tower, tower - x.exp(), wave.inverse(), x.log() - x.log()):
        assert unknown.leading is None
        with pytest.raises(UndecidedError):
            assert unknown < 0
    assert (x * x + wave * x).leading == (x * x).leading
    assert (tower * 0.0).sign == 0


def test_coefficients_that_rounding_hides_are_unknown() -> None:
    e = Expansion.line(1.0, 0.0).exp()
    assert (0.1 * e + 0.2 * e - 0.3 * e).order is None
    assert (e * (1 + 1e-12) - e).leading is None
    assert (e * (1 + 1e-9) - e).sign == 1
    assert (1e-30 * e - Expansion.line(1e30, 0.0)).sign == 1
