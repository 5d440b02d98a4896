"""Functions of one value, entry by entry, and the angle of two."""

# SciPy has no types
# pyright: basic

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from scipy import special

from ..value import Attribute, Op
from .operation import ANYTHING, Array, Arrays, Interval, Intervals, Operation, Pointwise, Setting, Writer

STEEPNESS = 100.0  # slope of an infinite wall, so that a gradient inside the wall points to the way out
_TINY = np.finfo(float).tiny

Slope = Callable[[Writer, int, int, int], int | None]
"""(b, x, y, adjoint) ↦ adjoint · f′(x) with y = f(x), None where the slope is zero or left out."""
Error = Callable[[Array, Array, Array, float], Array]
"""(x, y, δ, roundoff) ↦ a bound on the error of y = f(x) for an error δ of x."""


class Elementwise(Pointwise):
    """A function of one value.

    Parameters
    ----------
    name
        The name of the operation in programs; for a SymPy function, the name of that function in lower case.
    function
        The function in NumPy.
    slope
        Its pull-back; None for a function that cannot be differentiated.
    error
        See :data:`Error`.
    in_formulas
        True if it is the SymPy function of its name; otherwise only the lowering writes it.
    may_jump, smooth, continuous
        See :class:`.Operation`.
    curved
        Whether S has narrow features where its argument is stationary, so that modes are searched there.
    turns_at_zero
        Whether it has a kink, a step or the middle of one where its argument changes sign: modes are
        searched there as well.
    within
        An interval of its values; None for a function that is monotone on either side of 0.
    """

    count = 1

    def __init__(
        self,
        name: str,
        function: Callable[[Array], Array],
        *,
        slope: Slope | None,
        error: Error,
        in_formulas: bool = True,
        may_jump: bool = False,
        smooth: bool = False,
        continuous: bool = False,
        curved: bool = True,
        turns_at_zero: bool = True,
        within: Interval | None = None,
    ) -> None:
        self.name, self.in_formulas, self.may_jump = name, in_formulas, may_jump
        self.is_smooth, self.is_continuous = smooth, continuous
        self.curved, self.turns_at_zero = curved, turns_at_zero
        self._function, self._slope, self._error, self._within = function, slope, error, within

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return self._function(args[0])

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        if self._slope is None:
            return super().pull_back(b, op, value, adjoint)
        contribution = self._slope(b, op.args[0], value, adjoint)
        return [] if contribution is None else [(op.args[0], contribution)]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        if self._within is not None:
            return self._within
        low, high = of(op.args[0])
        with np.errstate(all="ignore"):
            ends = self._function(np.array([low, high, min(max(low, 0.0), high)]))
        return (-math.inf if math.isnan(ends[0]) else float(np.nanmin(ends))), float(np.nanmax(ends))

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return self._error(args[0], value, deltas[0], at.roundoff)


def of_scipy(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The SciPy function, its result cast to the dtype of the argument (SciPy lacks extended precision)."""
    return lambda x: function(x).astype(x.dtype)


def undecided(value: Array, error: Array) -> Array:
    """True where rounding may change the sign of a value; False where the error is 0."""
    return (np.abs(value) <= error) & (np.asarray(error) > 0)


def _flat(b: Writer, x: int, y: int, adjoint: int) -> None:
    """None: the slope is zero, or left out on purpose."""


def _kept(x: Array, y: Array, delta: Array, roundoff: float) -> Array:
    """The error of the argument, for a function whose slope is at most 1."""
    return delta


def _kept_in_pieces(x: Array, y: Array, delta: Array, roundoff: float) -> Array:
    """The error of the argument and one roundoff, for functions that libraries compute from several terms."""
    return delta + roundoff


def _gaussian(factor: float) -> Slope:
    """Slope factor · exp(−x²)."""

    def slope(b: Writer, x: int, y: int, adjoint: int) -> int:
        gaussian = b.apply("exp", b.neg(b.mul(x, x)))
        return b.mul(adjoint, b.mul(b.constant(factor), gaussian))

    return slope


def _arc(sign: int) -> Slope:
    """Slope sign/√(1 − x²), in factors that do not cancel."""

    def slope(b: Writer, x: int, y: int, adjoint: int) -> int:
        one = b.constant(1.0)
        root = b.apply("sqrt", b.mul(b.sub(one, x), b.add(one, x)))
        return b.div(adjoint if sign > 0 else b.neg(adjoint), root)

    return slope


def _bessel_1_slope(b: Writer, x: int, y: int, adjoint: int) -> int:
    quotient = b.div(y, b.apply("where", x, x, b.constant(1.0)))  # which is 1/2 at 0
    quotient = b.apply("where", x, quotient, b.constant(0.5))
    slope = b.sub(b.apply("i0e", x), b.mul(b.apply("sign", x), y))
    return b.mul(adjoint, b.sub(slope, quotient))


def _floor_error(x: Array, y: Array, delta: Array, roundoff: float) -> Array:
    return 1.0 * undecided(x - np.round(x), delta)


_FUNCTIONS: tuple[Operation, ...] = (
    Elementwise(
        "exp",
        np.exp,
        slope=lambda b, x, y, adjoint: b.mul(adjoint, y),
        error=lambda x, y, delta, roundoff: np.abs(y) * delta,
        smooth=True,
    ),
    Elementwise(
        "log",
        np.log,
        slope=lambda b, x, y, adjoint: b.div(adjoint, x),
        error=lambda x, y, delta, roundoff: delta / np.abs(x),
    ),
    Elementwise(
        "expm1",
        np.expm1,
        slope=lambda b, x, y, adjoint: b.mul(adjoint, b.apply("exp", x)),
        error=lambda x, y, delta, roundoff: (1 + np.abs(y)) * delta,
        smooth=True,
    ),
    Elementwise(
        "sqrt",
        np.sqrt,
        slope=lambda b, x, y, adjoint: b.div(b.mul(b.constant(0.5), adjoint), y),
        error=lambda x, y, delta, roundoff: delta / np.maximum(2 * np.abs(y), np.sqrt(_TINY)),
    ),
    Elementwise(
        "sin",
        np.sin,
        slope=lambda b, x, y, adjoint: b.mul(adjoint, b.apply("cos", x)),
        error=_kept,
        within=(-1.0, 1.0),
        smooth=True,
        turns_at_zero=False,
    ),
    Elementwise(
        "cos",
        np.cos,
        slope=lambda b, x, y, adjoint: b.neg(b.mul(adjoint, b.apply("sin", x))),
        error=_kept,
        within=(-1.0, 1.0),
        smooth=True,
        turns_at_zero=False,
    ),
    Elementwise(
        "tan",
        np.tan,
        slope=lambda b, x, y, adjoint: b.mul(adjoint, b.add(b.constant(1.0), b.mul(y, y))),
        error=lambda x, y, delta, roundoff: (1 + y**2) * delta,
        within=ANYTHING,
        turns_at_zero=False,
    ),
    Elementwise(
        "tanh",
        np.tanh,
        slope=lambda b, x, y, adjoint: b.mul(adjoint, b.sub(b.constant(1.0), b.mul(y, y))),
        error=_kept,
        smooth=True,
    ),
    Elementwise(
        "sinh",
        np.sinh,
        slope=lambda b, x, y, adjoint: b.mul(adjoint, b.apply("cosh", x)),
        error=lambda x, y, delta, roundoff: np.cosh(x) * delta,
        smooth=True,
    ),
    Elementwise(
        "cosh",
        np.cosh,
        slope=lambda b, x, y, adjoint: b.mul(adjoint, b.apply("sinh", x)),
        error=lambda x, y, delta, roundoff: np.cosh(x) * delta,
        smooth=True,
        turns_at_zero=False,
    ),
    Elementwise(
        "asin",
        np.arcsin,
        slope=_arc(1),
        error=lambda x, y, delta, roundoff: delta / np.sqrt(np.maximum(1 - x**2, _TINY)),
        turns_at_zero=False,
    ),
    Elementwise(
        "acos",
        np.arccos,
        slope=_arc(-1),
        error=lambda x, y, delta, roundoff: delta / np.sqrt(np.maximum(1 - x**2, _TINY)),
        turns_at_zero=False,
    ),
    Elementwise(
        "atan",
        np.arctan,
        slope=lambda b, x, y, adjoint: b.div(adjoint, b.add(b.constant(1.0), b.mul(x, x))),
        error=_kept,
        smooth=True,
    ),
    Elementwise(
        "asinh",
        np.arcsinh,
        slope=lambda b, x, y, adjoint: b.div(adjoint, b.apply("cosh", y)),
        error=_kept_in_pieces,
        smooth=True,
    ),
    Elementwise(
        "acosh",
        np.arccosh,
        slope=lambda b, x, y, adjoint: b.div(adjoint, b.apply("sinh", y)),
        error=lambda x, y, delta, roundoff: delta / np.sqrt(np.maximum(x**2 - 1, _TINY)),
        turns_at_zero=False,
    ),
    Elementwise(
        "atanh",
        np.arctanh,
        slope=lambda b, x, y, adjoint: b.div(
            adjoint, b.mul(b.sub(b.constant(1.0), x), b.add(b.constant(1.0), x))
        ),
        error=lambda x, y, delta, roundoff: delta / np.abs(1 - x**2),
        turns_at_zero=False,
    ),
    Elementwise(
        "abs",
        np.abs,
        slope=lambda b, x, y, adjoint: b.mul(adjoint, b.apply("sign", x)),
        error=_kept,
        continuous=True,
    ),
    Elementwise(
        "sign",
        np.sign,
        slope=_flat,
        error=lambda x, y, delta, roundoff: 2.0 * undecided(x, delta),
        may_jump=True,
    ),
    Elementwise(
        "floor",
        np.floor,
        slope=_flat,
        error=_floor_error,
        may_jump=True,
        curved=False,
        turns_at_zero=False,
    ),
    Elementwise(
        "erf",
        of_scipy(special.erf),
        slope=_gaussian(1.1283791670955126),  # 2/√π
        error=lambda x, y, delta, roundoff: 1.13 * delta,
        smooth=True,
    ),
    Elementwise(
        "erfc",
        of_scipy(special.erfc),
        slope=_gaussian(-1.1283791670955126),
        error=lambda x, y, delta, roundoff: 1.13 * delta,
        smooth=True,
    ),
    Elementwise(  # log Γ(x), x > 0
        "lgamma",
        of_scipy(special.gammaln),
        slope=lambda b, x, y, adjoint: b.mul(adjoint, b.apply("digamma", x)),
        error=lambda x, y, delta, roundoff: np.abs(special.digamma(x)) * delta + roundoff,
        in_formulas=False,
        turns_at_zero=False,
    ),
    Elementwise(
        "digamma",
        of_scipy(special.digamma),
        slope=None,
        error=lambda x, y, delta, roundoff: special.polygamma(1, x) * delta + roundoff,
        within=ANYTHING,
        in_formulas=False,
        curved=False,
        turns_at_zero=False,
    ),
    Elementwise(  # exp(−|x|) I₀(x)
        "i0e",
        of_scipy(special.i0e),
        slope=lambda b, x, y, adjoint: b.mul(adjoint, b.sub(b.apply("i1e", x), b.mul(b.apply("sign", x), y))),
        error=_kept_in_pieces,
        in_formulas=False,
        continuous=True,
        turns_at_zero=False,
    ),
    Elementwise(  # exp(−|x|) I₁(x)
        "i1e",
        of_scipy(special.i1e),
        slope=_bessel_1_slope,
        error=_kept_in_pieces,
        in_formulas=False,
        within=(-0.25, 0.25),
        continuous=True,
        turns_at_zero=False,
    ),
    # the value itself, whose derivative is taken as zero
    Elementwise(
        "hold",
        lambda x: x,
        slope=_flat,
        error=_kept,
        in_formulas=False,
        curved=False,
        turns_at_zero=False,
    ),
    Elementwise(  # +∞, with the derivative of a steep ramp
        "wall",
        lambda x: np.full_like(x, np.inf),
        slope=lambda b, x, y, adjoint: b.mul(b.constant(STEEPNESS), adjoint),
        error=lambda x, y, delta, roundoff: 0.0,
        in_formulas=False,
        may_jump=True,
        curved=False,
        turns_at_zero=False,
    ),
)


class Atan2(Pointwise):
    """Angle of (x, y) in (−π, π], from y and x."""

    name, count = "atan2", 2

    def value(self, args: Arrays, attribute: Attribute, at: Setting) -> Array:
        return np.arctan2(args[0], args[1])

    def pull_back(self, b: Writer, op: Op, value: int, adjoint: int) -> Iterable[tuple[int, int]]:
        y, x = op.args
        square = b.add(b.mul(x, x), b.mul(y, y))
        return [
            (y, b.mul(adjoint, b.div(x, square))),
            (x, b.neg(b.mul(adjoint, b.div(y, square)))),
        ]

    def interval(self, b: Writer, op: Op, of: Intervals) -> Interval:
        return -math.pi, math.pi

    def error(self, args: Arrays, deltas: Arrays, value: Array, attribute: Attribute, at: Setting) -> Array:
        return (deltas[0] + deltas[1]) / np.maximum(np.hypot(args[0], args[1]), _TINY)


FUNCTIONS: tuple[Operation, ...] = (*_FUNCTIONS, Atan2())
