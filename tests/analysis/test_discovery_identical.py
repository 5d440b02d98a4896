"""Identical fields, simultaneous maps of several fields, and maps about other points than 0, all found."""

from __future__ import annotations

import itertools
from math import factorial
from typing import Any

import numpy as np
import pytest
import sympy as sp
from scipy.linalg import expm

import sesamo_dsl as sd
from sesamo_dsl.analysis.discovery import Discovery, find_symmetries
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import act
from sesamo_dsl.symbols.exact import floats
from support import processor_time

POINT, RING = sd.Lattice(1), sd.Lattice(6)
G = sd.parameters("g")
SECONDS = 10.0


def theory(fields: list[Any], action: sp.Expr) -> sd.Theory:
    return sd.Theory("case", fields=fields, action=action)


def vectors(count: int, size: int, lattice: sd.Lattice = POINT) -> list[sd.VectorField]:
    return [sd.VectorField(f"r{i}", lattice, size) for i in range(count)]


def distance(p: Any, q: Any) -> sp.Expr:
    return sp.Add(*((a - b) ** 2 for a, b in zip(p.components, q.components, strict=True)))


def pairs(fields: list[Any], potential: Any) -> sp.Expr:
    return sp.Add(*(potential(p, q) for p, q in itertools.combinations(fields, 2)))


def check_numerically(found: Discovery) -> None:
    """Everything that is claimed, on the action itself at random configurations and couplings."""
    t, rng = found.theory, np.random.default_rng(0)
    verdicts = (*found.internal.verdicts, *found.internal.affine, *found.lattice.verdicts)
    images = [lambda x, g=v.generator: act(g, x) for v in verdicts]
    for matrix in found.algebra.basis:
        turn = expm(0.4 * floats(matrix))
        images.append(lambda x, turn=turn: np.tensordot(turn, x, axes=1))
    for image in images:
        x = rng.normal(scale=1.5, size=t.configuration_shape)
        couplings = {p.name: rng.uniform(0.2, 0.9) for p in t.parameters}
        before, after = (evaluate(t.action, y, t.components, couplings) for y in (x, image(x)))
        assert abs(after - before) < 1e-9 * (1 + abs(before))


@pytest.mark.parametrize("count", [3, 8, 30])
def test_identical_scalars_are_permuted_in_any_way(count: int) -> None:
    fields = [sd.ScalarField(f"p{i}", POINT) for i in range(count)]
    with processor_time() as spent:
        found = find_symmetries(theory(fields, sum(t**2 + t**4 for t in fields) + G * sum(fields) ** 3))
    assert spent.is_below(SECONDS)
    assert found.internal.order == factorial(count)
    assert found.internal.identical == (tuple(range(count)),)
    assert found.name == f"S{count}"
    assert f"S{count}: all permutations of p0" in found.text()
    check_numerically(found)


def test_identical_particles_with_an_even_potential_are_flipped_together() -> None:
    fields = [sd.ScalarField(f"p{i}", POINT) for i in range(7)]
    action = sum(t**4 for t in fields) + pairs(fields, lambda p, q: sp.exp(-((p - q) ** 2)))
    found = find_symmetries(theory(fields, action))
    assert found.name == "S7 × Z2"
    assert found.internal.order == 2 * factorial(7)
    check_numerically(found)


def test_particles_in_a_plane() -> None:
    """exp of squared distances in a trap that is not harmonic: S₃ × O(2), nothing else."""
    fields = vectors(3, 2)
    action = sum(t.squared**2 for t in fields) + pairs(fields, lambda p, q: sp.exp(-distance(p, q)))
    found = find_symmetries(theory(fields, action))
    assert found.name == "S3 × O(2)"
    assert (found.algebra.dimension, found.algebra.complete) == (1, True)
    assert found.internal.order == 6 * 8  # with the quarter turns that permute coordinates
    check_numerically(found)


def test_a_harmonic_trap_turns_centre_and_distances_apart() -> None:
    fields = vectors(3, 2)
    action = sum(t.squared for t in fields) + pairs(fields, lambda p, q: sp.exp(-distance(p, q)))
    found = find_symmetries(theory(fields, action))
    assert found.algebra.name == "u(1) ⊕ u(1)"
    assert found.internal.name == "S3 × D4"
    check_numerically(found)


def test_two_kinds_of_particles_in_a_plane() -> None:
    light, heavy = vectors(2, 2), [sd.VectorField(f"h{i}", POINT, 2) for i in range(2)]
    action = sum(t.squared**2 for t in light) + 3 * sum(t.squared**2 for t in heavy)
    action += pairs([*light, *heavy], lambda p, q: 1 / (1 + distance(p, q)))
    found = find_symmetries(theory([*light, *heavy], action))
    assert found.internal.identical == ((0, 1), (2, 3))
    assert found.algebra.name == "u(1)"
    assert found.internal.order == 4 * 8
    check_numerically(found)


def test_a_ring_of_particles_has_its_dihedral_group_and_no_more() -> None:
    fields = [sd.ScalarField(f"q{i}", POINT) for i in range(7)]
    action = sum(t**4 + t**3 for t in fields)
    action += sum(sp.cos(fields[i] - fields[i - 1]) for i in range(7))
    found = find_symmetries(theory(fields, action))
    assert found.name == "D7"
    assert found.internal.identical == ()
    check_numerically(found)


def test_crystal_field_turns_all_particles_by_thirds() -> None:
    fields = vectors(2, 2)
    cubic = sum(t[0] ** 3 - 3 * t[0] * t[1] ** 2 for t in fields)
    action = sum(t.squared**2 for t in fields) + cubic + pairs(fields, lambda p, q: sp.exp(-distance(p, q)))
    found = find_symmetries(theory(fields, action))
    assert found.internal.order == 2 * 6
    assert found.algebra.dimension == 0
    check_numerically(found)


def test_fields_on_a_lattice_are_exchanged_as_blocks() -> None:
    fields = vectors(4, 2, RING)
    hopping = sum((c - c.shift(0)) ** 2 for t in fields for c in t.components)
    onsite = sum(sp.log(sp.cosh(t[0])) + t[1] ** 4 + t[1] ** 3 for t in fields)
    action = RING.sum(hopping + onsite + pairs(fields, lambda p, q: sp.exp(-distance(p, q))))
    found = find_symmetries(theory(fields, action))
    assert found.name == "S4 × Z2"
    assert found.lattice.order == 12
    check_numerically(found)


X, Y = sd.ScalarField("x", POINT), sd.ScalarField("y", POINT)
AFFINE = {
    "double well about a half": ([X], X**2 * (1 - X) ** 2, 1),
    "well about −3": ([X], sp.log(sp.cosh(X + 3)) + (X + 3) ** 2, 1),
    "exchange about (1, 0)": ([X, Y], (X - 1) ** 4 + Y**4 + (X - 1) ** 3 + Y**3, 1),
    "square about (1, 2)": ([X, Y], (X - 1) ** 4 + (Y - 2) ** 4, 2),
    "Gaussians at 0 and 3": ([X], -sp.log(sp.exp(-(X**2) / 2) + sp.exp(-((X - 3) ** 2) / 2)), 1),
    "coupled wells": ([X, Y], (X**2 - X) ** 2 + (Y**2 - Y) ** 2 + G * (X - Y) ** 2, 1),
}


@pytest.mark.parametrize("name", AFFINE)
def test_maps_about_another_point_are_found(name: str) -> None:
    fields, action, least = AFFINE[name]
    found = find_symmetries(theory(fields, action))
    assert len(found.internal.affine) >= least
    assert {v.status for v in found.internal.affine} == {"exact"}
    assert any("affine maps were searched about" in limit for limit in found.limits)
    check_numerically(found)
    for verdict in found.internal.affine:  # as a declaration it is proved as well
        matrix, shift = verdict.generator.matrix, verdict.generator.shift_vector
        images = dict(
            zip(found.theory.components, matrix * sp.Matrix(found.theory.components) + shift, strict=True)
        )
        symmetry = sd.Symmetry("found", [images], use="equivariant", exact=True)
        declared = sd.Theory("declared", fields=fields, action=action, symmetries=[symmetry])
        assert sd.analyse(declared).status == "exact"


def test_wells_on_a_lattice() -> None:
    phi = sd.ScalarField("phi", RING)
    action = RING.sum(phi**2 * (2 - phi) ** 2 + G * (phi - phi.shift(0)) ** 2)
    (verdict,) = find_symmetries(theory([phi], action)).internal.affine
    assert verdict.generator.shift == (2,)


def test_an_asymmetric_well_has_no_map_about_another_point() -> None:
    found = find_symmetries(theory([X], X**2 * (1 - X) ** 2 + X**3 / 5))
    assert found.internal.affine == ()
    assert any("affine maps were searched about" in limit for limit in found.limits)


@pytest.mark.parametrize(
    "jump",
    [sp.Piecewise((3, X > 0), (0, True)), sp.sign(X) * sp.sign(Y), sp.Heaviside(X), sp.floor(X)],
)
def test_what_jumps_is_not_claimed(jump: sp.Expr) -> None:
    found = find_symmetries(theory([X, Y], (X**2 + Y**2) / 2 + jump))
    assert found.algebra.dimension == 0
    assert "O(2)" not in found.name
    check_numerically(found)


def test_a_search_that_runs_out_of_time_says_so() -> None:
    fields = vectors(6, 2)
    action = sum(t.squared**2 for t in fields) + pairs(fields, lambda p, q: sp.exp(-distance(p, q)))
    found = find_symmetries(theory(fields, action), seconds=1e-3)
    assert any(limit.startswith("stopped after 0.001 s") for limit in found.limits)
    assert found.algebra.complete is False
    check_numerically(found)
