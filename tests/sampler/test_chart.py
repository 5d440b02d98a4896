"""Charts: the quantile map onto the half-line, and bijections from R^n onto fundamental domains."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError
from sesamo_dsl.ir.half_line import half_line, half_line_inverse, half_line_log_slope
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.testing.subject import Subject
from sesamo_theories.gaussian_mixture import gaussian_mixture

T = np.array([-20.0, -6.0, -3.0, -1.0, 0.0, 0.5, 2.0, 6.0, 15.0, 40.0])
A = [0.0, -0.5, -3.0, -12.0, -40.0]


def exact_quantile(a: float, t: float) -> tuple[float, float]:
    """(v − a, log dv/dt) of Q(v) = Q(a) Q(t) in 60 digits, from whichever tail is the smaller one."""
    with mpmath.workdps(60):

        def above(z):
            return mpmath.erfc(z / mpmath.sqrt(2)) / 2

        kept = above(a)
        low, high = mpmath.mpf(a), mpmath.mpf(max(t, a)) + 3
        for _ in range(200):
            middle = (low + high) / 2
            if t > 0:
                too_low = above(middle) > kept * above(t)
            else:
                too_low = above(-middle) < above(-a) + kept * above(-t)
            low, high = (middle, high) if too_low else (low, middle)
        v = (low + high) / 2
        return float(v - a), float(mpmath.log(kept) + (v**2 - mpmath.mpf(t) ** 2) / 2)


@pytest.mark.parametrize("a", A)
def test_half_line_is_the_quantile_of_the_truncated_normal(a: float) -> None:
    width = 0.7
    s = half_line(width * (T - a), np.array(-a * width), np.array(width))
    slope = half_line_log_slope(width * (T - a), np.array(-a * width), np.array(width))
    for t, found, found_slope in zip(T, s, slope, strict=True):
        expected, expected_slope = exact_quantile(a, t)
        # s is a difference from the wall: its absolute error is that of v
        assert abs(found / width - expected) < 4e-15 * (1 + abs(a) + abs(t))
        assert abs(found_slope - expected_slope) < 1e-13 * (1 + t**2)


@pytest.mark.parametrize("a", A)
def test_half_line_and_its_inverse(a: float) -> None:
    t = np.linspace(max(-4.0, a + 0.5), 30, 200)
    s = half_line(t - a, np.array(-a), np.array(1.0))
    assert np.all(np.diff(s) > 0)
    assert np.allclose(half_line_inverse(s, np.array(-a), np.array(1.0)), t - a, atol=1e-9)


def test_far_from_the_wall_it_is_the_identity() -> None:
    x = np.linspace(80, 120, 20)
    assert np.array_equal(half_line(x, np.array(100.0), np.array(1.0)), x)


def rotations(order: int) -> sd.Theory:
    x = sd.VectorField("x", sd.Lattice(1), 2)
    return sd.Theory("plane", fields=[x], action=x.squared / 2, symmetries=[sd.Cyclic(order, x)])


def cube() -> sd.Theory:
    phi = sd.VectorField("phi", sd.Lattice(3), 3)
    lattice = phi.lattice
    action = lattice.sum(sum(c**4 for c in phi) + phi.squared - phi.dot(phi.shift(0)))
    return sd.Theory("cube", fields=[phi], action=action, symmetries=[sd.groups.Hyperoctahedral(phi)])


THEORIES = {"Z5": lambda: rotations(5), "Z2": lambda: rotations(2), "B3": cube}


@pytest.mark.parametrize(("name", "backend"), [*((name, "torch") for name in THEORIES), ("Z5", "jax")])
def test_chart_is_a_bijection_onto_the_domain(name: str, backend: str) -> None:
    subject = Subject.of(THEORIES[name](), [backend])
    compiled = subject.compiled(backend, "float64")
    walls = len(subject.program.constants["WALLS"])
    rng = np.random.default_rng(1)
    wall = {"location": rng.uniform(0, 2, (1, walls)), "width": rng.uniform(0.5, 2, (1, walls))}
    w = 1.5 * rng.normal(size=(40, *subject.theory.configuration_shape))
    y, log_jacobian = compiled.evaluate("chart", w, **wall)
    assert (compiled.evaluate("facets", y)[0] <= 0).all()
    again, same = compiled.evaluate("unchart", y, **wall)
    assert np.allclose(again, w, atol=1e-8)
    assert np.allclose(same, log_jacobian, atol=1e-8)
    reference = run(subject.program, "chart", {"y": w, **wall})
    assert np.allclose(y, reference[0], atol=1e-12)
    assert np.allclose(log_jacobian, reference[1], atol=1e-11)
    # the Jacobian, column by column, by autodiff
    n = subject.theory.degrees_of_freedom
    for point, expected in zip(w[:3], log_jacobian[:3], strict=True):
        inputs = [np.repeat(point[None], n, axis=0), wall["location"], wall["width"]]
        tangents = [np.eye(n).reshape(n, *point.shape), *(np.zeros_like(v) for v in wall.values())]
        columns = compiled.backend.derivative(compiled.module.chart, inputs, tangents).reshape(n, n)
        assert abs(np.linalg.slogdet(columns)[1] - expected) < 1e-9


def test_charted_density_is_normalised() -> None:
    theory = gaussian_mixture()
    subject = Subject.of(theory, ["torch"])
    model = subject.model("torch", strategy="chart", law="heat_bath")
    draws = model.sample(20_000, 3)
    assert np.abs(model.log_prob(draws.x) - draws.log_q).max() < 1e-8
    axis = np.linspace(-40, 40, 1001)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    mass = np.exp(model.log_prob(grid)).sum() * (axis[1] - axis[0]) ** 2
    assert abs(mass - 1) < 2e-3


def test_no_chart_where_walls_depend_on_each_other() -> None:
    x = sd.VectorField("x", sd.Lattice(1), 3)
    a, b, c = x
    tetrahedral = sd.Symmetry("T", [{a: b, b: c, c: a}, {a: -a, b: -b}])
    theory = sd.Theory("t", fields=[x], action=x.squared + (a * b * c) ** 2, symmetries=[tetrahedral])
    analysis = sd.analyse(theory)
    assert len(analysis.domain.facets) == 4
    assert analysis.domain.edges is None
    with pytest.raises(OptionError, match="independent"):
        sd.compile(analysis, "torch").plan(strategy="chart")
