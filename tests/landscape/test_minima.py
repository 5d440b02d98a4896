"""The search for minima: what it must find, what each weighs in closed form, and what is not a minimum."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.landscape.minima import Minimum, find_minima
from sesamo_dsl.stages.lower import lower_theory


def search(theory: sd.Theory) -> tuple[Minimum, ...]:
    return find_minima(lower_theory(sd.analyse(theory, normalizable=False)), theory.parameter_values())


def point(
    action: Callable[..., sp.Expr], n: int, symmetries: Callable[..., list] = lambda *x: []
) -> sd.Theory:
    x = [sd.ScalarField(f"x{i}", sd.Lattice(1)) for i in range(n)]
    return sd.Theory("point", fields=x, action=action(*x), symmetries=symmetries(*x))


def bumps(*parts: tuple[float, tuple[int, ...], str]) -> Callable[..., sp.Expr]:
    """−log Σ a exp(−|x − c|²/(2w²)) for (a, c, w)."""

    def action(*x: sp.Expr) -> sp.Expr:
        terms = [
            a * sp.exp(-sum((xi - ci) ** 2 for xi, ci in zip(x, c, strict=True)) / (2 * sp.Rational(w) ** 2))
            for a, c, w in parts
        ]
        return -sp.log(sp.Add(*terms))

    return action


def total(minima: tuple[Minimum, ...]) -> float:
    return float(np.logaddexp.reduce([m.log_weight for m in minima]))


def test_wells_of_different_width_in_four_dimensions() -> None:
    minima = search(point(bumps((1, (4, 0, 0, 0), "1"), (16, (-4, 1, 0, 0), "1/2")), 4))
    assert len(minima) == 2
    for minimum in minima:
        assert minimum.log_weight == pytest.approx(2 * math.log(2 * math.pi), abs=1e-6)
    assert {round(float(m.configuration[0, 0])) for m in minima} == {4, -4}


@pytest.mark.parametrize("distance", [25, 40, 700])
def test_far_modes_are_found_from_starts_at_several_scales(distance: int) -> None:
    action = bumps((1, (0,), "1"), (1, (distance,), "1"), (1, (-distance,), "1"))
    minima = search(point(action, 1, lambda x: [sd.Z2(x)]))
    assert sorted(m.images for m in minima) == [1, 2]
    assert total(minima) == pytest.approx(math.log(3 * math.sqrt(2 * math.pi)), abs=1e-9)


@pytest.mark.parametrize(("stiffness", "other"), [(4 * 10**5, "103/100"), (10**9, "-777/1000"), (1, "60")])
def test_thin_wells(stiffness: int, other: str) -> None:
    place = sp.Rational(other)
    minima = search(point(lambda x: stiffness * x**2 * (x - place) ** 2, 1))
    found = sorted(float(m.configuration[0, 0]) for m in minima)
    assert found == pytest.approx(sorted([0, float(place)]), abs=1e-6 * abs(float(place)))
    well = 0.5 * math.log(2 * math.pi / (2 * stiffness * float(place) ** 2))
    for minimum in minima:
        assert minimum.log_weight == pytest.approx(well, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_kinks_and_scales_have_the_weight_of_their_integral(scale: float) -> None:
    unit = sp.Rational(scale)
    (cusp,) = search(point(lambda x: sp.Abs(x) / unit, 1))
    assert cusp.log_weight == pytest.approx(math.log(2 * scale), abs=2e-3)
    (gauss,) = search(point(lambda x: (x / unit) ** 2 / 2, 1))
    assert gauss.log_weight == pytest.approx(0.5 * math.log(2 * math.pi) + math.log(scale), abs=1e-6)
    (quartic,) = search(point(lambda x: (x / unit) ** 4, 1))
    assert quartic.log_weight == pytest.approx(math.log(2 * math.gamma(1.25) * scale), abs=2e-3)


def test_a_molecule_has_a_second_minimum_that_matters() -> None:
    r = sd.VectorField("r", sd.Lattice(1), 4)
    x1, y1, x2, y2 = r

    def well(x: sp.Expr, y: sp.Expr) -> sp.Expr:
        return (x**2 - 2) ** 2 + 2 * y**2

    action = well(x1, y1) + well(x2, y2) + 4 / (sp.Rational(1, 4) + (x1 - x2) ** 2 + (y1 - y2) ** 2)
    swap = sd.Symmetry("swap", [{x1: x2, x2: x1, y1: y2, y2: y1}])
    theory = sd.Theory("molecule", fields=[r], action=action, symmetries=[swap, sd.Z2(r)])
    apart, together = search(theory)
    assert apart.configuration[0, 0] * apart.configuration[2, 0] < 0
    assert together.configuration[0, 0] * together.configuration[2, 0] > 0
    assert 0.005 < math.exp(together.log_weight - apart.log_weight) < 0.2


def test_a_ring_of_minima_counts_with_its_length() -> None:
    c = sd.ComplexField("c", sd.Lattice(1))
    r = sp.sqrt(c.abs2)
    action = -sp.log(sp.exp(-c.abs2 / 2) + sp.exp(-((r - 30) ** 2) / 2) / 10)
    minima = search(sd.Theory("ring", fields=[c], action=action, symmetries=[sd.U1(c)]))
    by_radius = sorted((float(np.linalg.norm(m.configuration)), m.log_weight) for m in minima)
    assert [r for r, _ in by_radius] == pytest.approx([0, 30], abs=1e-6)
    assert by_radius[0][1] == pytest.approx(math.log(2 * math.pi), abs=1e-6)
    ring = math.log(2 * math.pi * 30) + 0.5 * math.log(2 * math.pi) - math.log(10)
    assert by_radius[1][1] == pytest.approx(ring, abs=1e-6)


def test_a_tilted_chain_has_both_wells() -> None:
    lattice = sd.Lattice(6)
    phi = sd.ScalarField("phi", lattice)
    density = (phi - phi.shift(0)) ** 2 + 3 * (phi**2 - 1) ** 2 + phi / 20
    minima = search(sd.Theory("chain", fields=[phi], action=lattice.sum(density)))
    constant = [float(m.configuration[0, 0]) for m in minima if m.is_constant]
    assert sorted(round(v) for v in constant) == [-1, 1]


def test_an_instanton_path_has_its_two_wells() -> None:
    time = sd.Lattice(64)
    x = sd.ScalarField("x", time)
    action = time.sum(
        (x.shift(0) - x) ** 2 * sp.Rational(5, 2) + (x**2 - sp.Rational(9, 4)) ** 2 / 10 + x / 50
    )
    minima = search(sd.Theory("path", fields=[x], action=action))
    assert {round(float(m.configuration.mean()), 1) for m in minima} >= {-1.5, 1.5}


def test_uncoupled_sites_have_all_patterns_of_wells() -> None:
    lattice = sd.Lattice(4)
    phi = sd.ScalarField("phi", lattice)
    minima = search(sd.Theory("sites", fields=[phi], action=lattice.sum(20 * (phi**2 - 1) ** 2)))
    patterns = {m.images for m in minima}
    assert sum(m.images for m in minima) == 16  # 2⁴ patterns, of which translations relate some
    assert patterns == {1, 2, 4}
    width = math.sqrt(2 * math.pi / 160)
    for minimum in minima:
        assert minimum.log_weight == pytest.approx(4 * math.log(width) + math.log(minimum.images), abs=1e-5)


def test_a_staggered_minimum_is_found() -> None:
    lattice = sd.Lattice(4, 4)
    phi = sd.ScalarField("phi", lattice)
    hopping = sum(phi * phi.shift(mu) for mu in lattice.directions)
    theory = sd.Theory("staggered", fields=[phi], action=lattice.sum(hopping + phi**4 - phi**2))
    deepest = min(search(theory), key=lambda m: m.action)
    # every bond gives −v², two bonds and −v² + v⁴ per site: v² = 3/2
    assert deepest.action == pytest.approx(-16 * 9 / 4, abs=1e-6)
    assert deepest.images == 2


def test_gaussian_fields_have_their_determinant() -> None:
    for shape in ((5,), (4, 6), (24, 24)):  # the last one in momentum space
        lattice = sd.Lattice(*shape)
        phi = sd.ScalarField("phi", lattice)
        gradient = sum((phi - phi.shift(mu)) ** 2 for mu in lattice.directions)
        (minimum,) = search(sd.Theory("free", fields=[phi], action=lattice.sum(gradient + phi**2) / 2))
        momenta = np.stack(np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in shape), indexing="ij"))
        modes = 1 + (2 - 2 * np.cos(momenta)).sum(axis=0)
        assert minimum.log_weight == pytest.approx(0.5 * np.log(2 * np.pi / modes).sum(), abs=1e-5)


def test_the_search_is_reproducible() -> None:
    theory = point(bumps((1, (3, 0), "1"), (2, (-3, 1), "1/2")), 2)
    first, second = search(theory), search(theory)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.configuration, b.configuration)
        assert a.log_weight == b.log_weight


def test_what_is_flat_or_unbounded_has_no_minimum() -> None:
    assert search(point(lambda x, y: (x - y) ** 2, 2)) == ()
    assert search(point(lambda x: -(x**2), 1)) == ()
