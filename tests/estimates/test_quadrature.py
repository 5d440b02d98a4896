"""What quadrature calls exact, against closed forms and mpmath; and where it must not call anything exact."""

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.estimates.exact import ExactValues, exact_configurations, exact_values
from sesamo_dsl.estimates.quadrature import integrate
from sesamo_dsl.stages.lower import lower_theory

GAUSS = math.sqrt(2 * math.pi)
Action = Callable[..., sp.Expr]


def point(action: Action, n: int, symmetric: bool = False) -> sd.Theory:
    x = [sd.ScalarField(f"x{i}", sd.Lattice(1)) for i in range(n)]
    return sd.Theory("point", fields=x, action=action(*x), symmetries=[sd.Z2(*x)] if symmetric else [])


def exact(action: Action, n: int = 1, symmetric: bool = False) -> ExactValues | None:
    return exact_values(lower_theory(sd.analyse(point(action, n, symmetric), normalizable=False)), {})


def mixture(*parts: tuple[float, tuple[float, ...], float]) -> Action:
    """−log Σ a exp(−|x − c|²/(2w²)) for (a, c, w)."""

    def action(*x: sp.Expr) -> sp.Expr:
        terms = []
        for a, c, w in parts:
            square = sum((xi - sp.Rational(ci)) ** 2 for xi, ci in zip(x, c, strict=True))
            terms.append(sp.Rational(a) * sp.exp(-square / (2 * sp.Rational(w) ** 2)))
        return -sp.log(sp.Add(*terms))

    return action


CLOSED: dict[str, tuple[Action, int, float]] = {
    "three far modes": (mixture((1, (0,), 1), (1, (55,), 1), (1, (-55,), 1)), 1, math.log(3 * GAUSS)),
    "a narrow mode far away": (mixture((1, (0,), 1), (64, (-1234.5,), 1 / 64)), 1, math.log(2 * GAUSS)),
    "widths of nine decades": (mixture((2**20, (0,), 2**-20), (2**-10, (3,), 2**10)), 1, math.log(2 * GAUSS)),
    "a kink": (lambda x: 3 * sp.Abs(x - 7), 1, math.log(2 / 3)),
    "a cusp": (lambda x: sp.sqrt(sp.Abs(x)), 1, math.log(4)),
    "a heavy tail": (lambda x: sp.log(1 + x**2), 1, math.log(math.pi)),
    "gumbel": (lambda x: sp.exp(x) - x, 1, 0.0),
    "a scale of 1e-6": (lambda x: (10**6 * x) ** 2 / 2, 1, math.log(GAUSS * 1e-6)),
    "a large constant": (lambda x: x**2 / 2 + 10**6, 1, math.log(GAUSS) - 1e6),
    "a step": (
        lambda x: sp.Piecewise((0, sp.Abs(x) < sp.Rational(7, 5)), (sp.Abs(x) + 5, True)),
        1,
        math.log(2.8 + 2 * math.exp(-6.4)),
    ),
    "four modes in a plane": (
        mixture(*((1, c, 1) for c in ((0, 0), (37, 80), (-51, 12), (300, -7)))),
        2,
        math.log(4 * GAUSS**2),
    ),
    "a narrow diagonal valley": (
        lambda x, y: 10**6 * (x - y) ** 2 / 2 + (x + y) ** 2 / 2,
        2,
        math.log(2 * math.pi / 2e3),
    ),
    "two heavy tails": (lambda x, y: sp.log(1 + x**2) + sp.log(1 + y**2), 2, 2 * math.log(math.pi)),
    "a jump": (
        lambda x, y: (x**2 + y**2) / 2 + sp.Piecewise((3, x > 0), (0, True)),
        2,
        math.log(math.pi * (1 + math.exp(-3))),
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name: str) -> None:
    action, n, log_z = CLOSED[name]
    found = exact(action, n)
    assert found is not None
    assert found.log_z_error < 1e-6
    assert abs(found.log_z - log_z) < max(5 * found.log_z_error, 1e-12 * abs(log_z))


def test_two_thin_wells_against_mpmath() -> None:
    for stiffness, place in ((400_000, 1.03), (50_000, -0.77)):
        centre = sp.Rational(place)
        found = exact(lambda x, k=stiffness, p=centre: k * x**2 * (x - p) ** 2)
        ends = sorted(
            [-2, 2, *(c + d for c in (0, place) for d in (-0.1, -0.02, -0.004, 0, 0.004, 0.02, 0.1))]
        )
        z = mpmath.quad(lambda t, k=stiffness, p=place: mpmath.exp(-k * t**2 * (t - p) ** 2), ends)
        assert found is not None
        assert found.log_z == pytest.approx(float(mpmath.log(z)), abs=1e-8)


def test_a_ring_in_the_plane() -> None:
    c = sd.ComplexField("c", sd.Lattice(1))
    r = sp.sqrt(c.abs2)
    action = -sp.log(sp.exp(-c.abs2 / 2) + sp.exp(-((r - 15) ** 2) / 2) / 5)
    theory = sd.Theory("ring", fields=[c], action=action, symmetries=[sd.U1(c)])
    found = exact_values(lower_theory(sd.analyse(theory)), {})
    ring = mpmath.quad(lambda t: t * mpmath.exp(-((t - 15) ** 2) / 2), [0, 10, 15, 20, 60])
    assert found is not None
    assert found.log_z == pytest.approx(float(mpmath.log(2 * mpmath.pi * (1 + ring / 5))), abs=1e-7)


def test_sector_masses_of_a_tilted_mixture() -> None:
    found = exact(mixture((3, (20,), 1), (1, (-20,), 1)), symmetric=True)
    assert found is not None
    assert sorted(found.sector_masses) == pytest.approx([0.25, 0.75], abs=1e-9)
    assert found.sector_error < 1e-8


@pytest.mark.parametrize(
    ("action", "n"),
    [
        (lambda x: x**2 / 2 - x**4 / 100, 1),
        (lambda x: -2 * sp.cos(x), 1),
        (lambda x, y: (x - y) ** 2, 2),
        (lambda x, y: (x * y) ** 2, 2),
        (lambda x: sp.log(1 + x**2) / 2, 1),
    ],
)
def test_an_infinite_integral_has_no_exact_value(action: Action, n: int) -> None:
    assert exact(action, n) is None


def test_above_two_degrees_of_freedom_nothing_is_exact() -> None:
    assert exact(lambda x, y, z: x**2 + y**2 + z**2, 3) is None


def test_configurations_of_far_modes_have_their_moments() -> None:
    theory = point(mixture((1, (0,), 1), (1, (40,), 1 / 2)), 1)
    found = exact_configurations(lower_theory(sd.analyse(theory)), {}, 20_000, seed=3)
    assert found is not None
    x = found[1][:, 0, 0]
    near = x < 20
    error = np.sqrt(2 / 9 / len(x))
    assert abs(near.mean() - 2 / 3) < 4.5 * error  # masses 1 and 1/2
    assert abs(x[near].var() - 1) < 4.5 * np.sqrt(2 / near.sum())
    assert abs(x[~near].var() - 0.25) < 4.5 * 0.25 * np.sqrt(2 / (~near).sum())


def test_boxes_are_refined_where_nodes_see_nothing() -> None:
    """A ridge of width 1e-3 across a box of size 2, between the nodes of every rule."""

    def log_density(points: np.ndarray) -> np.ndarray:
        return -(((points[:, 0] - points[:, 1] + 0.123) / 1e-3) ** 2) / 2 - points[:, 1] ** 2

    box = np.array([[-1.0, -1.0]]), np.array([[1.0, 1.0]])
    found = integrate(log_density, *box, np.zeros(1, dtype=int), 0.0, tolerance=1e-8, evaluations=10**6)
    assert found is not None
    line = mpmath.quad(lambda y: mpmath.exp(-(y**2)), [-0.877, 1])
    edge = 1e-3 * GAUSS  # the ends of the ridge in the box are cut at 45°, which is of second order
    assert found.log_value == pytest.approx(float(mpmath.log(line)) + math.log(edge), abs=1e-5)
