"""Emitted values and slopes at extreme arguments against mpmath, for PyTorch, JAX and the interpreter.

What is demanded of every expression f(x, y), in both precisions, at every point:

* Where |f| is within the range of the precision, the value is finite and it is f up to ``_UNITS`` roundings
  of 1 + |f| + |x ∂f/∂x| + |y ∂f/∂y|, the error that rounding the arguments makes. Where |f| is beyond that
  range, the value is infinite, with the sign of f.
* Where f and its slope are within the range, the slope is finite, and it is that of f, in the same units. At
  a kink the slope lies between those on both sides, and where these are infinite it is 0. Where f jumps it
  is finite.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.backend import Backend, call, load_backend
from sesamo_dsl.errors import LoweringError
from sesamo_dsl.ir.gradient import with_gradient
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.lowering.expressions import lower
from sesamo_dsl.machine.cache import load_source

_UNITS = 2000
_HALF, _THIRD = sp.Rational(1, 2), sp.Rational(1, 3)

POINT = sd.Lattice(1)
FIELD = sd.VectorField("f", POINT, 2)
X, Y = FIELD


def _bump(centre: int, width: int = 1) -> sp.Expr:
    return sp.exp(-width * (X - centre) ** 2)


def _choose(*branches: Any) -> sp.Expr:
    return sp.Piecewise(*branches)


EXPRESSIONS: dict[str, sp.Expr] = {
    # branches that overflow, or are undefined, where they are not selected
    "exp of a square": _choose((sp.exp(X**2), X**2 < 1), (X**2, True)),
    "exp on one side": _choose((sp.exp(3 * X), X < 0), (1 + 3 * X + X**2, True)),
    "cosh inside": _choose((sp.cosh(3 * X), sp.Abs(X) < 1), (X**2, True)),
    "sinh of the other field": _choose((sp.sinh(3 * Y) * X, sp.Abs(Y) < 1), (X * Y, True)),
    "high power": _choose((X**40, X**2 < 1), (X**2, True)),
    "cubic of a quartic": _choose((X**12 * Y**9, (X**2 < 1) & (Y**2 < 1)), (Y**2, True)),
    "root on one side": _choose((sp.sqrt(X), X > 1), (X**2, True)),
    "log on one side": _choose((sp.log(X - 1), X > 2), (X, True)),
    "pole on one side": _choose((1 / X, X > _HALF), (2, True)),
    "nested": _choose((_choose((sp.exp(X), X < 1), (X**5, X < 2), (0, True)), X < 3), (sp.Abs(X), True)),
    "equality": _choose((sp.exp(X**2), sp.Eq(X, 1)), (X**2, True)),
    "inequality": _choose((X**2, sp.Ne(X, 1)), (sp.exp(X), True)),
    "tan inside": _choose((sp.tan(X), sp.Abs(X) < 1), (sp.sign(X), True)),
    # quotients of exponentials
    "Fermi": 1 / (1 + sp.exp(50 * (X - 1))),
    "Fermi of a square": X**2 / (1 + sp.exp(X**2)),
    "Fermi squared": 1 / (1 + sp.exp(X)) ** 2,
    "root of Fermi": 1 / sp.sqrt(1 + sp.exp(X)),
    "two exponentials": sp.exp(X) / (sp.exp(2 * X) + sp.exp(Y)),
    "hand-made tanh": (sp.exp(X) - sp.exp(-X)) / (sp.exp(X) + sp.exp(-X)),
    "hand-made logistic": sp.exp(X) / (1 + sp.exp(X)) + Y**2,
    "sinh over cosh": sp.sinh(X) / sp.cosh(X),
    "sech": sp.sech(X),
    "sech squared": sp.cosh(X) ** -2,
    "coth": sp.coth(2 + X**2),
    "Planck": (X**2 + 1) / (sp.exp(X**2 + 1) - 1),
    "cosh under a Gaussian": sp.cosh(X) * sp.exp(-(X**2) / 2) * (1 + Y**2),
    "sinh under a Gaussian": sp.sinh(X) * sp.exp(-(X**2)),
    "Gaussian polynomial": X**2 * sp.exp(-(X**2)),
    "power of two": 2**X / (1 + 2**X),
    "softmax mean": (X * sp.exp(X) + Y * sp.exp(Y)) / (sp.exp(X) + sp.exp(Y)),
    "ratio of mixtures": (_bump(3) * 3 - _bump(-3) * 3) / (_bump(3) + _bump(-3)),
    # logarithms of sums of exponentials
    "softplus": sp.log(1 + sp.exp(3 * X)),
    "log cosh": sp.log(sp.cosh(3 * X)),
    "log sech": sp.log(sp.sech(X)) + Y,
    "log of Fermi": sp.log(1 / (1 + sp.exp(X))),
    "log sinh": sp.log(sp.sinh(1 + X**2)),
    "log of 1 − exp": sp.log(1 - sp.exp(-1 - X**2)),
    "mixture": -sp.log(_bump(3) + 2 * _bump(-3) + _bump(0) / 1000),
    "narrow mixture": -sp.log(_bump(3, 50) + _bump(-3, 50)),
    "two widths": -sp.log(_bump(4) + 16 * _bump(-4, 4)),
    "prefactor": -sp.log(_bump(3) * (1 + X**2) + _bump(-3)),
    "prefactor with a zero": -sp.log(_bump(1) * X**2 + _bump(-1)),
    "prefactor of the other field": -sp.log(_bump(1) * (2 + sp.cos(Y)) + _bump(-1) * Y**2 + _bump(0)),
    "negative prefactor": -sp.log(_bump(0) * (3 - sp.cos(X)) - _bump(0) * sp.cos(Y)),
    "three widths in a plane": -sp.log(sp.exp(-(X**2) - Y**2) + sp.exp(-2 * X**2) / (1 + Y**2)),
    "integrated orientation": sp.log(sp.sinh(X) / X),
    "integrated length": sp.log(sp.sinh(sp.Abs(3 * X)) / sp.Abs(X)),
    "von Mises": sp.log(sp.besseli(0, X)),
    "Bessel ratio": sp.besseli(1, X) / sp.besseli(0, X),
    "log of a power": sp.log(X**2 * 1) * 1,
    # what rounds to 0 where it is not
    "Jacobian of tanh": -sp.log((1 - sp.tanh(X) ** 2) * (1 - sp.tanh(Y) ** 2)),
    "log of 1 + tanh": sp.log(1 + sp.tanh(X)),
    "log of 1 − tanh": sp.log((1 + X**2) * (3 - 3 * sp.tanh(X))),
    "entropy of a logistic": -sp.log(1 / (1 + sp.exp(-X)) * (1 - 1 / (1 + sp.exp(-X)))),
    "complement of a logistic": sp.log(1 - sp.exp(X) / (1 + sp.exp(X))),
    "logit": sp.log(1 / (1 + sp.exp(-X)) / (1 - 1 / (1 + sp.exp(-X)))),
    "normal distribution": sp.log((1 + sp.erf(X / sp.sqrt(2))) / 2),
    "its complement": sp.log(3 - 3 * sp.erf(X)),
    "erfc of the other sign": sp.log(sp.erfc(-X) * sp.exp(-X)),
    "ratio of tails": sp.log(sp.erfc(X) / sp.erfc(Y)),
    "tails squared": sp.log(sp.erfc(X) ** 2 * (1 + Y**2)),
    # what overflows where it is not the extreme, or inside of a logarithm, or in a power
    "capped exponential": sp.Min(sp.exp(X**2), 10),
    "least of three": sp.Min(sp.exp(X**2), sp.exp(Y**2), 10),
    "floored pole": sp.Max(1 / X**2, 2),
    "capped cosh": sp.Min(sp.cosh(X) - 1, X**2),
    "log of branches": sp.log(2 + _choose((sp.exp(X**2), X > 0), (sp.exp(-X), X < -1), (1, True))) + Y,
    "branches that only grow": sp.log(1 + _choose((X**2, X > 0), (sp.exp(-X), True))),
    "Lorentzian to the seventh": (1 + X**2) ** -7,
    "its root times a field": Y * (1 + X**2) ** sp.Rational(-7, 2),
    # high powers, scaled by the largest
    "log of a high power": sp.log(1 + X**60),
    "Hill": X**100 / (1 + X**100),
    "high root": (1 + X**60) ** sp.Rational(1, 30),
    "root of two high powers": (X**60 + Y**60) ** sp.Rational(1, 30),
    "ratio of high powers": X**40 / (1 + X**38),
    "ratio to a power": X**5 * Y**5 / (1 + X**4 * Y**4),
    "high power under a Gaussian": X**60 * sp.exp(-(X**2)),
    "log of a product of powers": sp.log(1 + X**8 * Y**4 + Y**60),
    # kinks
    "three halves": sp.Abs(X) ** sp.Rational(3, 2),
    "square root of a modulus": sp.sqrt(sp.Abs(X)),
    "root of a square": sp.sqrt(X**2),
    "cube root of a square": (X**2) ** _THIRD,
    "length": sp.sqrt(X**2 + Y**2),
    "length cubed": (X**2 + 3 * Y**2) ** sp.Rational(3, 2),
    "shifted length": (sp.sqrt(X**2 + Y**2) - 2) ** 2,
    "relativistic": sp.sqrt(1 + X**2) - 1,
    "modulus": sp.Abs(X - Y),
    "maximum": sp.Max(X**2, 4 * sp.Abs(X) - 4),
    "minimum of three": sp.Min(X**2, Y**2, 1),
    "sign": sp.sign(X) * Y,
    "kink inside a logarithm": sp.log(1 + sp.Abs(X)),
    "root of a product": sp.sqrt(X**2 * Y**4),
    "root of a modulus and a square": sp.sqrt(sp.Abs(X) + X**2),
    "root of two moduli": sp.sqrt(sp.Abs(X) + sp.Abs(Y)),
    "root of a cubed modulus and a square": sp.sqrt(sp.Abs(X) ** 3 + Y**2),
    "cube root of a modulus and a square": (sp.Abs(X) + X**2) ** _THIRD,
    # differences that vanish like squares, and inverse functions, whose slopes are roots of such
    "half angle": sp.sqrt(1 - sp.cos(X)),
    "root of a hyperbolic versine": sp.sqrt(sp.cosh(X) - 1) / sp.cosh(X),
    "root of relativistic": sp.sqrt(sp.sqrt(1 + X**2) - 1),
    "root of a hole": sp.sqrt(1 - sp.exp(-(X**2) - Y**2)),
    "root of two sines": sp.sqrt(X * sp.sinh(X)),
    "root of a difference of squares": sp.sqrt(X**2 - sp.sin(X) ** 2),
    "log of a versine": sp.log(sp.cosh(X) - 1),
    "arcosh of a parabola": sp.acosh(1 + X**2),
    "arcosh of cosh": sp.acosh(sp.cosh(X)),
    "arccos of a Lorentzian": sp.acos(1 / (1 + X**2)),
    "triangle wave": sp.acos(sp.cos(X)),
    "Gudermannian": sp.asin(sp.tanh(X)),
    "arcsine of a slope": sp.asin(X / sp.sqrt(1 + X**2)),
    "artanh of a slope": sp.atanh(X / sp.sqrt(1 + X**2)),
    "log of a conjugate": sp.log(sp.sqrt(1 + X**2) - X),
    "conjugate of a sum": Y * sp.log(2 * sp.sqrt(4 + (X - Y) ** 2) - 2 * X + 2 * Y),
    "difference of roots": sp.sqrt(sp.exp(X) + 1) - sp.exp(X / 2),
    "root less a modulus": sp.sqrt(X**2 + 1) - sp.Abs(X),
    "Huber": _choose((X**2 / 2, sp.Abs(X) < 1), (sp.Abs(X) - _HALF, True)),
    # functions
    "arsinh": sp.asinh(X) ** 2,
    "arcosh": sp.acosh(2 + X**2),
    "artanh": sp.atanh(sp.tanh(X) / 2),
    "arcsine": sp.asin(sp.sin(X) / 2) + sp.acos(sp.cos(Y) / 2),
    "angle": sp.atan2(X, Y + 20) ** 2,
    "polar angle": sp.atan2(Y, X),
    "Cauchy": sp.log(1 + X**2),
    "Lorentzian": 1 / (1 + X**2),
    "erf": sp.erf(X) ** 2,
    "erfc": sp.erfc(X),
    "log erfc": -sp.log(sp.erfc(X)),
    "log gamma": sp.loggamma(1 + X**2),
    "gamma": sp.log(sp.gamma(_HALF + sp.Abs(X))),
    "sinc": sp.sinc(X),
    "step": sp.Heaviside(X) * Y**2,
    "floor": sp.floor(X + _HALF) * Y,
    "sawtooth": sp.Mod(X, 1) ** 2,
    "entropy": (1 + X**2) * sp.log(1 + X**2),
    "Yukawa": sp.exp(-sp.sqrt(1 + X**2)) / sp.sqrt(1 + X**2),
    "variable power": (1 + X**2) ** (1 / (1 + Y**2)),
    # functions that saturate where what is inside of them overflows
    "tanh of an exponential": X**2 + sp.tanh(sp.exp(X)),
    "Gumbel": X**2 + sp.exp(X - sp.exp(X)),
    "sech of an exponential": X**2 + 1 / sp.cosh(sp.exp(X)),
    "its root": sp.sqrt(1 + 1 / sp.cosh(sp.exp(X))),
    "Fermi of a cubic exponential": 1 / (1 + sp.exp(-sp.exp(X**3))) + Y**2,
    "Gaussian of an exponential": sp.exp(-((sp.exp(X) - 1) ** 2)),
    "Gaussian of a product": sp.exp(-(Y**2) * sp.exp(X**2)),
    "softplus of an exponential": sp.log(1 + sp.exp(-sp.exp(X))) + X * Y,
    "erf of sinh": X**2 + sp.erf(sp.sinh(X)),
    "arctan of a high power": X**2 + sp.atan(X**41),
    "arctan of a ratio of high powers": sp.atan(X**60 / (1 + Y**40)),
    "tanh in a branch": _choose((sp.tanh(sp.exp(X**2)), X > 0), (sp.tanh(1), True)),
    "arsinh of a high power": sp.asinh(X**41),
    "arcosh of an exponential": sp.acosh(2 + sp.exp(X) + Y**2),
    # removable singularities, also where both fields meet and with other factors
    "Debye": (sp.exp(X) - 1) / X,
    "Bose": X / (sp.exp(X) - 1),
    "Bose of a multiple": Y**2 * X / (sp.exp(3 * X) - 1),
    "its logarithm": sp.log(X / (sp.exp(X) - 1)),
    "log ratio": sp.log((sp.exp(X) - 1) / X) * 2,
    "mean of an exponential": (sp.exp(X) - sp.exp(Y)) / (X - Y) * sp.exp(-Y),
    "logarithmic mean": sp.log(1 + sp.Abs(X)) / sp.Abs(X),
    "versine": (1 - sp.cos(X)) / X**2,
    "cubic sine": (X - sp.sin(X)) / X**3,
    "Langevin": sp.coth(X) - 1 / X,
    "Langevin squared": (sp.coth(X) - 1 / X) ** 2 * Y,
    "Langevin of a sum": 2 * sp.coth(X + Y) - 2 / (X + Y) + X**2,
    "log cosh ratio": sp.log(sp.cosh(X)) / X,
    "x coth x": X * sp.coth(X),
    "x over sinh": X / sp.sinh(X),
    "sine ratio": sp.sin(X) / X,
    "expanded sine ratio": sp.sin(X) * sp.exp(-(X**2)) / X + sp.exp(-(X**2)) * Y,
    "arctan ratio": sp.atan(X) / X,
    "sinc of a length": sp.sin(sp.sqrt(X**2 + Y**2)) / sp.sqrt(X**2 + Y**2),
    "removed in a branch": _choose((sp.sin(X) / X, X < 1), (Y, True)),
    # essential singularities, and what vanishes where a logarithm or a tail does not
    "flat on one side": _choose((sp.exp(-1 / X), X > 0), (0, True)),
    "flat": sp.exp(-1 / X**2),
    "flat with a pole": sp.exp(-1 / X**2) / X,
    "x² log x²": X**2 * sp.log(X**2),
    "x² log x² with a mass": X**2 * sp.log(X**2) + X**2,
    "Coleman and Weinberg": X**4 * (sp.log(X**2) - sp.Rational(25, 6)) + X**2 * Y**2,
    "square of a logarithm": X**2 * (1 + sp.log(sp.Abs(X))) ** 2,
    "log of a hole": X**2 - sp.log(1 - sp.exp(-(X**2))) / 4,
    "xlogx of a modulus": sp.Abs(X) ** 3 * sp.log(sp.Abs(X)) * Y,
    "scaled tail": sp.erfc(X) * sp.exp(X**2),
    "scaled tail with other factors": sp.erfc(X) * sp.exp(X**2 - Y**2) * Y,
    "root of a modulus of a product": sp.sqrt(sp.Abs(X * Y)),
    # functions that saturate at a pole
    "arctan of a pole": X**2 + sp.atan(1 / X),
    "arctan of a double pole": X**2 + sp.atan((1 + Y**2) / X**2),
    "tanh of a double pole": X**2 + sp.tanh(1 / X**2),
    "Fermi of a pole": X**2 + 1 / (1 + sp.exp(1 / X**2)),
}

_SIZES = (0.0, 1e-30, 1e-3, 1.0, 15.0, 60.0, 1e6)
POINTS = [
    (float(np.float32(a)), float(np.float32(b))) for r in _SIZES for a in (r, -r) for b in (0.5, a, -0.25 * a)
]


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        (sp.log(_choose((sp.exp(-(X**2)), X > 0), (0, True))), -np.inf),  # log 0 outside of a support
        (sp.log(POINT.sum(1 - sp.tanh(X)) + 1), np.log(2 + np.tanh(2.0))),
        (sp.log(1 + sp.exp(POINT.sum(_choose((X, X > 0), (sp.exp(X), True))))), np.log1p(np.exp(np.exp(-2)))),
        (sp.log(2 + sp.cos(sp.tanh(X) - 1)), np.log(2 + np.cos(np.tanh(2.0) + 1))),
    ],
)
def test_what_is_not_respelled(expr: sp.Expr, value: float) -> None:
    function = lower("f", "f.", POINT.sum(expr), FIELD.components, "value")
    program = Program("odd", "", tuple(c.label for c in FIELD.components), (1,), {}, {}, {"f": function})
    with np.errstate(divide="ignore"):
        found = run(program, "f", {"x": np.array([[[-2.0], [0.3]]])})
    np.testing.assert_allclose(np.ravel(found), [value], rtol=1e-14)


@pytest.mark.parametrize("a", [0.0, 1e-9, -2.0, 40.0])
def test_couplings_in_what_is_removed(a: float) -> None:
    coupling, other = sd.parameters("a b")
    value = lower("value", "f.", POINT.sum((sp.exp(-coupling * X) - 1) / X * Y), FIELD.components, "value")
    both = with_gradient(value, "value", 2, "f", "f and its gradient.")
    with_couplings = Program(
        "couplings", "", tuple(c.label for c in FIELD.components), (1,), {}, {}, {"f": both}
    )
    x = np.array([[[t], [0.7]] for t in (0.0, 1e-20, 1e-3, -0.3, 2.0)])
    values, slopes = run(with_couplings, "f", {"x": x}, {"a": a})
    for t, found, slope in zip(x[:, 0, 0], values, slopes[:, 0, 0], strict=True):
        with mpmath.workdps(60):
            exact = mpmath.taylor(lambda u: mpmath.hyp1f1(1, 2, -mpmath.mpf(a) * u) * -mpmath.mpf(a), t, 1)
        assert abs(found - 0.7 * float(exact[0])) < 1e-13 * (1 + abs(found))
        assert abs(slope - 0.7 * float(exact[1])) < 1e-12 * (1 + abs(slope))
    with pytest.raises(LoweringError, match="limit depends on a, b"):
        lower("f", "f.", POINT.sum((sp.exp(coupling * X) - sp.exp(other * X)) / X), FIELD.components, "value")


def test_enough_of_them() -> None:
    assert len(EXPRESSIONS) >= 60


# mpmath has no value of what is 0/0 or 0·∞; it is the limit
FILLED = {
    *list(EXPRESSIONS)[list(EXPRESSIONS).index("Debye") :],
    "integrated orientation",
    "integrated length",
}
_NEXT = mpmath.mpf(10) ** -12  # steps beside a point, where the limit is taken


_FAR = 10**8  # arguments from which exponentials are as good as 0 and ∞, and mpmath would not return


def _saturated(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda u: function(u if abs(u) < _FAR else mpmath.sign(u) * mpmath.inf)


_SATURATED = {
    name: _saturated(getattr(mpmath, name)) for name in ("exp", "tanh", "sinh", "cosh", "erf", "erfc")
}


@dataclass
class Expected:
    """f, its slopes on both sides along x and y, None at a jump, and the size of one rounding of each."""

    value: mpmath.mpf
    slopes: list[tuple[mpmath.mpf, mpmath.mpf] | None]
    unit: mpmath.mpf
    slope_units: list[mpmath.mpf]


@cache
def in_many_digits(name: str) -> Callable[..., Any]:
    return sp.lambdify((X, Y), EXPRESSIONS[name], [_SATURATED, "mpmath"])


def expected(name: str, point: tuple[float, float]) -> Expected | None:
    """From differences in 200 digits; None where f is undefined."""
    function = in_many_digits(name)
    at = tuple(map(mpmath.mpf, point))
    with mpmath.workdps(500 if name in FILLED else 200):
        steps = [abs(a) * mpmath.mpf(10) ** -50 if a else mpmath.mpf(10) ** -90 for a in at]

        def f(i: float = 0, j: float = 0) -> mpmath.mpf:
            try:
                result = mpmath.mpmathify(function(at[0] + i * steps[0], at[1] + j * steps[1]))
            except (ZeroDivisionError, ValueError):
                result = mpmath.nan
            if mpmath.isnan(result) and name in FILLED:  # on a line that x and y cross with different speed
                limits = [f(i + s * _NEXT, j + s * _NEXT / 3) for s in (1, -1)]
                result = sum(limits) / 2
            return result.real

        value = f()
        if not mpmath.isfinite(value):
            return None
        slopes, seconds = [], []
        for a, (i, j) in enumerate([(1, 0), (0, 1)]):
            up, down = f(i, j), f(-i, -j)
            jump = max(abs(up - value), abs(value - down)) > (1 + abs(value)) * mpmath.mpf(10) ** -20
            slopes.append(None if jump else ((value - down) / steps[a], (up - value) / steps[a]))
            seconds.append((up - 2 * value + down) / steps[a] ** 2)
        mixed = (f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1)) / (4 * steps[0] * steps[1])
        sizes = [mpmath.mpf(0) if s is None else max(map(abs, s)) for s in slopes]
        unit = 1 + abs(value) + sum(abs(a) * s for a, s in zip(at, sizes, strict=True))
        slope_units = [1 + sizes[a] + abs(at[a] * seconds[a]) + abs(at[1 - a] * mixed) for a in range(2)]
        return Expected(value, slopes, unit, slope_units)


@cache
def program(name: str) -> Program:
    value = lower("value", f"{name}.", POINT.sum(EXPRESSIONS[name]), FIELD.components, "value")
    gradient = with_gradient(value, "value", 2, "gradient", f"{name} and its gradient.")
    functions = {value.name: value, gradient.name: gradient}
    return Program("safe", "", tuple(c.label for c in FIELD.components), (1,), {}, {}, functions)


@cache
def module(where: str, name: str) -> tuple[Backend, ModuleType]:
    backend = load_backend(where)
    return backend, load_source(f"safe_{where}", backend.emit(program(name)))[1]


def evaluated(where: str, name: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """(values, slopes of shape (points, 2))."""
    x = np.array(POINTS, dtype=dtype).reshape(-1, 2, 1)
    with np.errstate(all="ignore"):
        if where == "interpreter":
            values, slopes = run(program(name), "gradient", {"x": x})
        else:
            values, slopes = call(*module(where, name), "gradient", {"x": x}, {}, dtype)
    assert values.dtype == slopes.dtype == dtype
    return values, slopes[:, :, 0]


@cache
def oracle(name: str) -> list[Expected | None]:
    return [expected(name, point) for point in POINTS]


def judged(found: float, low: mpmath.mpf, high: mpmath.mpf, unit: mpmath.mpf, info: Any, what: str) -> str:
    """What is wrong with a number that should lie in [low, high], "" if nothing is."""
    largest = mpmath.mpf(float(info.max))
    if min(abs(low), abs(high)) > largest:
        right = np.isinf(found) and np.sign(found) == mpmath.sign(low)
        return "" if right else f"{what}: {found}, beyond the range is {mpmath.nstr(low)}"
    if max(abs(low), abs(high)) * 1000 > largest:
        return ""  # within three decades of the largest number a part of it may overflow
    if not np.isfinite(found):
        return f"{what}: {found}, exact {mpmath.nstr(low)} … {mpmath.nstr(high)}"
    tolerance = _UNITS * mpmath.mpf(float(info.eps)) * unit
    inside = low - tolerance <= mpmath.mpf(float(found)) <= high + tolerance
    return "" if inside else f"{what}: {found}, exact {mpmath.nstr(low, 12)} … {mpmath.nstr(high, 12)}"


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_values_and_slopes(name: str) -> None:
    """All three in one test, which share what mpmath computes."""
    wrong = []
    for where, dtype in itertools.product(("interpreter", "torch", "jax"), ("float32", "float64")):
        info = np.finfo(dtype)
        values, slopes = evaluated(where, name, dtype)
        for k, (point, exact) in enumerate(zip(POINTS, oracle(name), strict=True)):
            at = f"{where} {dtype} at {point}"
            if exact is None:
                continue
            value = judged(values[k], exact.value, exact.value, exact.unit, info, f"value {at}")
            wrong += [value] if value else []
            if abs(exact.value) * 1000 > float(info.max):
                continue
            for a, sides in enumerate(exact.slopes):
                if sides is None:
                    wrong += [] if np.isfinite(slopes[k, a]) else [f"slope {slopes[k, a]} at a jump, {at}"]
                    continue
                unit = exact.slope_units[a]
                low, high = min(sides), max(sides)
                if low < -float(info.max) and high > float(info.max):
                    found = "" if slopes[k, a] == 0 else f"slope {slopes[k, a]} at a cusp, {at}"
                elif abs(high - low) > (1 + abs(high)) * 1e-20:  # a kink
                    found = judged(slopes[k, a], low, high, 1 + abs(low) + abs(high), info, f"∂{a} {at}")
                else:
                    found = judged(slopes[k, a], low, high, unit, info, f"∂{a} {at}")
                wrong += [found] if found else []
    assert not wrong, "\n".join(wrong)
