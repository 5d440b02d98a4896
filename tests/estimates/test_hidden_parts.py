"""Parts of exp(−S) that rays and grids pass by: what is called exact has them, or nothing is called exact."""

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.estimates.exact import exact_values
from sesamo_dsl.ir.program import Program
from sesamo_dsl.landscape.minima import find_minima
from sesamo_dsl.stages.lower import lower_theory

GAUSS = math.sqrt(2 * math.pi)
R = sp.Rational
Action = Callable[..., sp.Expr]


def program(action: Action, n: int) -> Program:
    x = [sd.ScalarField(f"x{i}", sd.Lattice(1)) for i in range(n)]
    return lower_theory(sd.analyse(sd.Theory("hidden", fields=x, action=action(*x)), normalizable=False))


def slice_mass(low: float, high: float) -> float:
    """∫ exp(−x²/2) over an interval."""
    root = math.sqrt(2)
    return GAUSS / 2 * (math.erfc(low / root) - math.erfc(high / root))


def inside(*sides: tuple[Any, Any, Any]) -> Any:
    """|x − c| < w for all (x, c, w)."""
    return sp.And(*(sp.Abs(x - c) < w for x, c, w in sides))


def walls(*boxes: tuple[tuple[Any, Any], ...]) -> Action:
    """S = 0 in boxes of (centre, half width) along each axis, and infinite outside."""

    def action(*x: sp.Expr) -> sp.Expr:
        cases = [(0, inside(*((a, *side) for a, side in zip(x, box, strict=True)))) for box in boxes]
        return sp.Piecewise(*cases, (sp.oo, True))

    return action


TEETH = [(k**3 % 37) + R(k, 7) for k in range(1, 13)]


def comb(x: sp.Expr) -> sp.Expr:
    teeth = [1000 * sp.exp(-(10**6) * (x - c) ** 2 / 2) for c in TEETH]
    return -sp.log(sp.Add(sp.exp(-(x**2) / 2), *teeth))


def bottoms(x: sp.Expr) -> sp.Expr:
    return sp.Piecewise((-3, sp.Abs(x - 2) < R(1, 10)), (-8, sp.Abs(x - 50) < R(1, 1000)), (x**2 / 2, True))


def smooth_pit(x: sp.Expr) -> sp.Expr:
    return x**2 / 2 - 20 * (sp.tanh(10**4 * (x - 8)) - sp.tanh(10**4 * (x - R(801, 100))))


def smooth_pit_z() -> float:
    """∫ exp(40 …) over the pit, and the rest of the Gaussian."""

    def density(t: Any) -> Any:
        steps = mpmath.tanh(10**4 * (t - 8)) - mpmath.tanh(10**4 * (t - mpmath.mpf(801) / 100))
        return mpmath.exp(-(t**2) / 2) * mpmath.expm1(20 * steps)

    ends = sorted(c + s * 10.0**-p for c in (8, 8.01) for p in (6, 5, 4, 3.5, 3) for s in (1, -1))
    inside: Any = mpmath.quad(density, [7.9, 7.99, *ends, 8.02, 8.1])
    return GAUSS + float(inside)


def lorentz(x: sp.Expr) -> sp.Expr:
    return x**2 / 2 - 12 / (1 + 10**8 * (x - R(13, 2)) ** 2)


def lorentz_z() -> float:
    def density(t: Any) -> Any:
        return mpmath.exp(-(t**2) / 2) * mpmath.expm1(12 / (1 + 10**8 * (t - 6.5) ** 2))

    ends = sorted(6.5 + s * 10.0**p for p in range(-6, 2) for s in (1, -1))
    above: Any = mpmath.quad(density, [-20, *ends, 20])
    return GAUSS + float(above)


LINES: dict[str, tuple[Action, float]] = {
    "two slits": (walls(((3, R(1, 1000)),), ((-40, R(1, 50)),)), 0.042),
    "a trough": (
        lambda x: sp.Piecewise((-5, sp.Abs(x - R(73, 10)) < R(1, 100)), (x**2 / 2, True)),
        0.02 * math.exp(5) + GAUSS - slice_mass(7.29, 7.31),
    ),
    "two bottoms of different scale": (
        bottoms,
        0.2 * math.exp(3) + 0.002 * math.exp(8) + GAUSS - slice_mass(1.9, 2.1),
    ),
    "a cusp beside a Gaussian": (
        lambda x: -sp.log(sp.exp(-(x**2) / 2) + 500 * sp.exp(-1000 * sp.Abs(x - R(17, 3)))),
        GAUSS + 1,
    ),
    "a comb": (comb, 13 * GAUSS),
    "a difference of steps": (
        lambda x: x**2 / 2 - 7 * (sp.Heaviside(x - 4) - sp.Heaviside(x - R(4001, 1000))),
        GAUSS + (math.exp(7) - 1) * slice_mass(4, 4.001),
    ),
    "a step": (
        lambda x: x**2 / 2 + 3 * sp.sign(x - R(1234, 1000)),
        math.exp(3) * slice_mass(-40, 1.234) + math.exp(-3) * slice_mass(1.234, 40),
    ),
    "a smooth pit": (smooth_pit, smooth_pit_z()),
    "a Lorentzian well": (lorentz, lorentz_z()),
    "the lower of two parabolas": (
        lambda x: sp.Min(x**2 / 2, 10**6 * (x - R(97, 10)) ** 2 - 3),
        GAUSS + math.exp(3) * math.sqrt(math.pi) / 1000,  # they meet where both are e^(−47)
    ),
    "a condition that is a polynomial": (
        lambda x: sp.Piecewise((-9, (x - R(37, 3)) ** 2 < R(1, 10**8)), (x**2, True)),
        math.sqrt(math.pi) + 2e-4 * math.exp(9),
    ),
    "stairs": (lambda x: sp.floor(x) ** 2, sum(math.exp(-(k**2)) for k in range(-9, 10))),
}

PLANES: dict[str, tuple[Action, float]] = {
    "two boxes": (walls(((0, 1), (0, 1)), ((6, 1), (6, 1))), 8.0),
    "boxes of two sizes": (
        walls(((R(1, 3), R(1, 5)), (2, R(1, 7))), ((-9, R(1, 100)), (4, 2))),
        4 / 35 + 0.08,
    ),
    "a thin box": (walls(((5, R(1, 2000)), (-3, 1)), ((5, R(1, 2000)), (9, 2))), 0.006),
    "a pit beside a Gaussian": (
        lambda x, y: sp.Piecewise(
            (-9, inside((x, 5, R(1, 100)), (y, 2, R(1, 50)))), ((x**2 + y**2) / 2, True)
        ),
        GAUSS**2 + 8e-4 * math.exp(9) - slice_mass(4.99, 5.01) * slice_mass(1.98, 2.02),
    ),
    "a disc": (lambda x, y: sp.Piecewise((0, (x - 3) ** 2 + (y - 4) ** 2 < 1), (sp.oo, True)), math.pi),
    "a triangle": (lambda x, y: sp.Piecewise((0, (x > 0) & (y > 0) & (x + y < 1)), (sp.oo, True)), 0.5),
    "a half plane": (
        lambda x, y: sp.Piecewise(((x**2 + y**2) / 2, x + 2 * y > 3), (sp.oo, True)),
        GAUSS * slice_mass(3 / math.sqrt(5), 40),
    ),
    "an oblique slit beside a box": (
        lambda x, y: sp.Piecewise(
            (0, inside((x, 0, 1), (y, 0, 1))),
            (-6, inside((x + y, 20, R(1, 100)), (x - y, 0, 1))),
            (sp.oo, True),
        ),
        4 + 0.02 * math.exp(6),
    ),
    "an oblique slit off the diagonals": (
        lambda x, y: sp.Piecewise(
            (-8, inside((x + 3 * y, 20, R(1, 100)), (3 * x - y, 7, 1))), ((x**2 + y**2) / 2, True)
        ),
        GAUSS**2 + 0.004 * math.exp(8),  # but for e^(−22) under the slit
    ),
    "a narrow well": (
        lambda x, y: (
            -sp.log(
                sp.exp(-(x**2 + y**2) / 2)
                + 10**4 * sp.exp(-(10**4) * ((x - R(57, 10)) ** 2 + (y + R(83, 10)) ** 2))
            )
        ),
        3 * math.pi,
    ),
    "an oblique narrow well": (
        lambda x, y: (
            -sp.log(
                sp.exp(-(x**2 + y**2) / 2)
                + 4000 * sp.exp(-(10**4) * (x + y - 7) ** 2 - 100 * (x - y - R(40, 3)) ** 2)
            )
        ),
        2 * math.pi + 2 * math.pi,  # 4000 π/(2·100·10)
    ),
    "a well as flat as a fourth power": (
        lambda x, y: (
            -sp.log(
                sp.exp(-(x**2 + y**2) / 2) + 10**6 * sp.exp(-((10**5 * ((x - 5) ** 2 + (y - 6) ** 2)) ** 2))
            )
        ),
        2 * math.pi + 10 * math.pi * math.sqrt(math.pi) / 2,  # ∫ exp(−a² r⁴) = π √π/(2a)
    ),
    "a pyramid": (
        lambda x, y: (
            -sp.log(
                sp.exp(-(x**2 + y**2) / 2)
                + 10**6 * sp.exp(-1000 * (sp.Abs(x - R(21, 5)) + sp.Abs(y + R(33, 10))))
            )
        ),
        2 * math.pi + 4,
    ),
}


UNRESOLVED = {
    "a disc",
    "a triangle",
    "a half plane",
    "an oblique slit beside a box",
    "an oblique slit off the diagonals",
}
"""S jumps along lines that no boxes have for sides: nothing may be called exact."""


@pytest.mark.parametrize("name", [*LINES, *PLANES])
def test_what_is_called_exact_is_right(name: str) -> None:
    action, z = {**LINES, **PLANES}[name]
    found = exact_values(program(action, 1 if name in LINES else 2), {})
    assert (found is None) == (name in UNRESOLVED)
    if found is not None:
        assert found.log_z == pytest.approx(math.log(z), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a trough", (7.3,)),
        ("two slits", (-40.0,)),
        ("a Lorentzian well", (6.5,)),
        ("two boxes", (6.0, 6.0)),
        ("an oblique slit off the diagonals", (4.1, 5.3)),
        ("a pyramid", (4.2, -3.3)),
    ],
)
def test_the_search_for_minima_has_what_is_written_in_the_action(name: str, place: tuple[float, ...]) -> None:
    found = find_minima(program({**LINES, **PLANES}[name][0], len(place)), {})
    distance = [np.abs(m.configuration.reshape(-1) - place).max() for m in found]
    assert min(distance) < (1.0 if "box" in name else 0.1)


@pytest.mark.parametrize("n", [3, 4, 6])
def test_a_narrow_well_in_more_dimensions(n: int) -> None:
    """A tenth of the mass of a Gaussian, at a place that no ray meets."""
    centre = [R((k + 2) ** 3 % 11, 3) + R(k, 7) for k in range(n)]

    def action(*x: sp.Expr) -> sp.Expr:
        square = sum((xi - c) ** 2 for xi, c in zip(x, centre, strict=True))
        return -sp.log(sp.exp(-sum(xi**2 for xi in x) / 2) + R(200**n, 10) * sp.exp(-20000 * square))

    masses = [(m.configuration.reshape(-1), m.log_weight) for m in find_minima(program(action, n), {})]
    assert len(masses) == 2
    (broad, first), (narrow, second) = masses
    assert np.allclose(broad, 0, atol=1e-4)
    assert np.allclose(narrow, np.array(centre, dtype=float), atol=1e-4)
    assert second - first == pytest.approx(math.log(0.1), abs=1e-3)
