"""One list of expressions that every printer has to pass; together they use every operation of an action."""

from __future__ import annotations

from functools import cache

import sympy as sp

from ..ir.gradient import with_gradient
from ..ir.program import Function, Program
from ..language.theory import Theory
from ..lowering.expressions import lower
from ..symbols.fields import VectorField, parameters
from ..symbols.lattice import Lattice

LATTICE = Lattice(3, 4)
FIELD = VectorField("f", LATTICE, 2)
A, B = parameters("a lambda")
COUPLINGS = {"a": 0.7, "lambda": -0.4}
_f, _g, _next, _back = FIELD[0], FIELD[1], FIELD[0].shift(0), FIELD[1].shift(1, -1)
_half, _third = sp.Rational(1, 2), sp.Rational(1, 3)
_sum = LATTICE.sum

COVERAGE: dict[str, sp.Expr] = {
    "polynomial": _sum(-2 * A * _f * (_next + _f.shift(1)) + (1 - 2 * B) * _f**2 + B * _f**4 + _g**2),
    "high power": _sum((_f / 2) ** 7 + _g**6 / 5),
    "irrational numbers": _sum(sp.sqrt(2) * _f**2 + sp.pi * _f * _back + _g * sp.Float("0.1")),
    "long shifts": _sum(_f.shift(0, 2) * _g.shift(1, 3) * _f.shift(1, -2) + _f.at((2, 3)) * _g),
    "exp": _sum(sp.exp(-(_f**2) + A * _g)),
    "log": _sum(sp.log(1 + _f**2 + _g**2)),
    "sin and cos": _sum(sp.sin(_f - _next) + sp.cos(2 * _f) * sp.sin(_g)),
    "tan": _sum(sp.tan(_f / 4)),
    "tanh": _sum(sp.tanh(A * _f + _g)),
    "sinh and cosh": _sum(sp.sinh(_f / 2) + sp.cosh(_g - _f)),
    "atan": _sum(sp.atan(3 * _f) * _g),
    "erf": _sum(sp.erf(_f + _g)),
    "abs": _sum(sp.Abs(_f) + sp.Abs(_f * _g - A)),
    "sign": _sum(sp.sign(_f) * _g**2),
    "square root": _sum(sp.sqrt(1 + _f**2 + _g**4)),
    "rational powers": _sum((1 + _f**2) ** sp.Rational(3, 2) + (2 + _g**2) ** _third),
    "negative powers": _sum(
        (1 + _f**2) ** sp.Rational(-3, 2) + (2 + _g**2) ** -2 + 1 / (4 + _f * sp.cos(_g) + _f**4)
    ),
    "negative cube root": _sum((2 + _f**2 * _g**2) ** -_third),
    "quotient": _sum(_f * _next / (1 + _g**2) - A / (2 + sp.cos(_f))),
    "power of a number": _sum(2**_f + sp.Pow(3, -_g)),
    "power of a coupling": _sum((1 + _f**2) ** A + A**_g),
    "maximum and minimum": _sum(sp.Max(_f, _g, A) + sp.Min(_f**2, _next, sp.Rational(1, 2))),
    "piecewise": _sum(sp.Piecewise((_f**2, _f > A), (-_g, _f < B), (_f * _g, True))),
    "piecewise of inequalities": _sum(
        sp.Piecewise(
            (_f**3, sp.And(_f > 0, _g <= sp.Rational(1, 2))),
            (_g**2, sp.Or(_f >= 1, _g < -1)),
            (sp.cos(_f), True),
        )
    ),
    "piecewise on a coupling": _sum(sp.Piecewise((_f**2, _half < A), (_f**4, True)) + _g**2),
    "log-sum-exp": _sum(sp.log(sp.exp(3 * _f) + 2 * sp.exp(-_g) + sp.Rational(1, 3))),
    "log cosh": _sum(sp.log(2 * sp.cosh(3 * _f)) - sp.log(1 + sp.cosh(_g))),
    "log of products": _sum(sp.log(sp.exp(_f) * sp.cosh(_g) * (1 + sp.exp(A * _f)))),
    "mixture": _sum(-sp.log(sum(sp.exp(-((_f - k) ** 2) / 2 - _g**2) for k in range(-2, 3)))),
    "inverse functions": _sum(
        sp.asin(sp.sin(_f) / 2)
        + sp.acos(sp.cos(_g) / 2)
        + sp.asinh(_f)
        + sp.acosh(2 + _g**2)
        + sp.atanh(_f / 20)
    ),
    "angle": _sum(sp.atan2(_f, _g) * _g),
    "error functions": _sum(sp.erfc(_f) - sp.log(sp.erfc(_g))),
    "gamma and Bessel functions": _sum(
        sp.loggamma(1 + _f**2) + sp.log(sp.besseli(0, A * _f)) + sp.besseli(1, _g) / sp.besseli(0, _g)
    ),
    "reciprocal functions": _sum(sp.sech(_f) + sp.coth(2 + _g**2) + sp.sec(_f / 20) + sp.sinc(_g) * _f),
    "steps": _sum(sp.floor(_f) * _g + sp.ceiling(3 * _g) + sp.Mod(_f, 1) + sp.Heaviside(_f - _g) * _g),
    "occupations": _sum(_f**2 / (1 + sp.exp(_f**2)) + 1 / (1 + sp.exp(5 * (_g - 1))) + _f / (sp.exp(_f) - 1)),
    "log of differences": _sum(sp.log(sp.sinh(1 + _f**2)) + sp.log(1 - sp.exp(-2 - _g**2))),
    "log with prefactors": _sum(-sp.log(sp.exp(-((_f - 1) ** 2)) * (1 + _g**2) + _f**2 * sp.exp(_g))),
    "integrated orientation": _sum(sp.log(sp.sinh(_f) / _f) + sp.log(sp.sinh(3 * _g) / _g)),
    "kinks": _sum(sp.Abs(_f) ** sp.Rational(3, 2) + sp.sqrt(_f**2 + 2 * _g**4) + sp.Abs(_g) ** (A + 1)),
    "piecewise of growing branches": _sum(
        sp.Piecewise((sp.exp(_f**2), _f**2 < 1), (_f**40 / 10**9, sp.Eq(_g, 0)), (_f**2, True))
    ),
    "wall": _sum(sp.Piecewise((_f**2, sp.Abs(_f) < 9), (sp.oo, True)) + _g**2),
    "functions of the mean": sp.Abs(_sum(_f)) / 12 + (_sum(_g) / 12) ** 2 + sp.exp(-(_sum(_f) ** 2) / 100),
    "product of sums": A * _sum(_f**2) * _sum(_g) / 12 + sp.sqrt(1 + _sum(_f * _g) ** 2),
    "logarithm of a sum": sp.log(_sum(sp.exp(_f))) + sp.Max(_sum(_f), _sum(_g), 1),
    "piecewise of sums": sp.Piecewise((_sum(_f) ** 2, _sum(_g) > 0), (_sum(_g), True)),
    "coupling functions": sp.exp(A) * _sum(_f**2) + sp.sqrt(A) * sp.log(1 - B) + sp.Max(A, B) * _sum(_g),
    "constant density": _sum(A + 3) + _sum(_f) - _sum(sp.Integer(2)),
    "one component only": _sum(_g**3),
    "number": sp.Rational(7, 3) * sp.S.One,
    "coupling": A * B,
}


_NOT_REAL = ("logarithm of a sum", "coupling functions")  # not known to be real for all fields and couplings


@cache
def coverage_program() -> Program:
    """A program with functions ``action_<i>`` and ``gradient_<i>`` for the i-th expression."""
    functions: dict[str, Function] = {}
    for index, (name, expr) in enumerate(COVERAGE.items()):
        action = lower(f"action_{index}", f"{name}.", expr, FIELD.components, "action")
        gradient = with_gradient(
            action, "action", len(FIELD), f"gradient_{index}", f"{name}, with its gradient."
        )
        functions |= {action.name: action, gradient.name: gradient}
    labels = tuple(c.label for c in FIELD.components)
    return Program("coverage", "All expressions.", labels, LATTICE.shape, dict(COUPLINGS), {}, functions)


def coverage_theory() -> Theory:
    """A theory that has the expressions as observables, for the properties of the lowering."""
    observables = {
        "".join(c if c.isalnum() else "_" for c in name): expr
        for name, expr in COVERAGE.items()
        if name not in _NOT_REAL
    }
    return Theory(
        "coverage",
        fields=[FIELD],
        action=COVERAGE["polynomial"],
        defaults={A: COUPLINGS["a"], B: COUPLINGS["lambda"]},
        observables=observables,
    )
