"""Fundamental domains: images of Ω tile the space, walls are the right ones and no more."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.errors import GroupError, NotFaithfulError
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.stages.lower import lower_theory

Array = np.ndarray[Any, Any]
POINT, LATTICE = sd.Lattice(1), sd.Lattice(3, 2)


def turn(order: int, a: sp.Expr, b: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    c, s = sp.cos(2 * sp.pi / order), sp.sin(2 * sp.pi / order)
    return {a: c * a - s * b, b: s * a + c * b}


def swap(a: sp.Expr, b: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    return {a: b, b: a}


@dataclass(frozen=True)
class Case:
    """A group on components of a field; ``facets`` where the number of walls follows from geometry.

    A finite reflection group of rank r has a simplicial chamber with r walls; rotations by 2π/n have two.
    The Dirichlet cell of the eight unit quaternions is a cube's cone: six walls.
    """

    components: int
    generators: Callable[[Any], list[dict[Any, Any]]]
    order: int
    facets: int | None
    lattice: sd.Lattice = POINT


CASES: dict[str, Case] = {
    "Z2": Case(1, lambda x: [{x[0]: -x[0]}], 2, 1),
    "Z2 of a lattice": Case(1, lambda x: [{x[0]: -x[0]}], 2, 1, LATTICE),
    "point reflection": Case(3, lambda x: [{c: -c for c in x}], 2, 1),
    "Z3": Case(2, lambda x: [turn(3, *x)], 3, 2),
    "Z5 of a lattice": Case(2, lambda x: [turn(5, *x)], 5, 2, LATTICE),
    "Z8": Case(2, lambda x: [turn(8, *x)], 8, 2),
    "Z2×Z2": Case(2, lambda x: [{x[0]: -x[0]}, {x[1]: -x[1]}], 4, 2),
    "Z2^4": Case(4, lambda x: [{c: -c} for c in x], 16, 4),
    "D3": Case(2, lambda x: [turn(3, *x), {x[1]: -x[1]}], 6, 2),
    "D4": Case(2, lambda x: [swap(*x), {x[1]: -x[1]}], 8, 2),
    "D12": Case(2, lambda x: [turn(12, *x), {x[1]: -x[1]}], 24, 2),
    "S3": Case(3, lambda x: [swap(x[0], x[1]), swap(x[1], x[2])], 6, 2),
    "S4": Case(4, lambda x: [swap(x[0], x[1]), swap(x[1], x[2]), swap(x[2], x[3])], 24, 3),
    "full tetrahedral": Case(
        3,
        lambda x: [swap(x[0], x[1]), swap(x[1], x[2]), {x[0]: -x[0], x[1]: -x[1]}],
        24,
        3,
        LATTICE,
    ),
    "B3": Case(3, lambda x: [swap(x[0], x[1]), swap(x[1], x[2]), {x[2]: -x[2]}], 48, 3),
    "Z4 and Z3 in two planes": Case(4, lambda x: [turn(4, x[0], x[1]), turn(3, x[2], x[3])], 12, None),
    "tetrahedral rotations": Case(
        3, lambda x: [{x[0]: x[1], x[1]: x[2], x[2]: x[0]}, {x[0]: -x[0], x[1]: -x[1]}], 12, None
    ),
    "quaternions": Case(
        4,
        lambda x: [
            {x[0]: -x[1], x[1]: x[0], x[2]: -x[3], x[3]: x[2]},
            {x[0]: -x[2], x[1]: x[3], x[2]: x[0], x[3]: -x[1]},
        ],
        8,
        6,
    ),
    "not orthogonal": Case(2, lambda x: [{x[0]: x[0] + x[1], x[1]: -x[0]}], 6, 2),
}
every_group = pytest.mark.parametrize("name", CASES)


@cache
def analysed(name: str) -> tuple[sd.Analysis, Program]:
    case = CASES[name]
    x = sd.VectorField("x", case.lattice, case.components)
    action = case.lattice.sum((x.squared - 3) ** 2 + sp.Add(*(c**2 / (a + 2) for a, c in enumerate(x))))
    symmetry = sd.Symmetry(name, case.generators(x))
    analysis = sd.analyse(sd.Theory("domain", fields=[x], action=action, symmetries=[symmetry]))
    return analysis, lower_theory(analysis)


def random_configurations(name: str, count: int = 3000) -> Array:
    shape = analysed(name)[0].theory.configuration_shape
    return np.random.default_rng(11).normal(size=(count, *shape))


def mean(x: Array) -> Array:
    return x.mean(axis=tuple(range(2, x.ndim)))


def call(name: str, function: str, **inputs: Array) -> tuple[Array, ...]:
    return run(analysed(name)[1], function, inputs)


@every_group
def test_images_of_the_domain_tile_the_space(name: str) -> None:
    """Exactly one T_u Ω holds a random x: the walls λ ≤ 0 are tested on every pre-image."""
    analysis, program = analysed(name)
    assert analysis.group.order == CASES[name].order
    x = random_configurations(name)
    inside = np.stack(
        [
            (call(name, "facets", y=np.einsum("ab,nb...->na...", np.linalg.inv(matrix), x))[0] <= 0).all(
                axis=1
            )
            for matrix in program.constants["MATRICES"]
        ]
    )
    assert (inside.sum(axis=0) == 1).all()
    _, u = call(name, "canonicalize", x=x)
    assert (np.argmax(inside, axis=0) == u).all()
    share = inside.mean(axis=1)
    if name != "not orthogonal":  # a Gaussian is as likely in every image
        assert np.abs(share - 1 / len(share)).max() < 5 * math.sqrt(1 / len(share) / len(x))


@every_group
def test_canonicalize_and_modulate_are_inverse(name: str) -> None:
    analysis, _ = analysed(name)
    x = random_configurations(name)
    y, u = call(name, "canonicalize", x=x)
    assert np.abs(call(name, "modulate", y=y, u=u)[0] - x).max() < 1e-12
    again, sector = call(name, "canonicalize", x=y)
    assert (sector == 0).all()
    assert np.array_equal(again, y)
    for u in range(analysis.group.order):
        sectors = np.full(len(y), u)
        (moved,) = call(name, "modulate", y=y, u=sectors)
        back, found = call(name, "canonicalize", x=moved)
        assert (found == sectors).all()
        assert np.abs(back - y).max() < 1e-12


@every_group
def test_facets_are_those_of_the_canonical_index(name: str) -> None:
    x = random_configurations(name)
    (facets,) = call(name, "facets", y=x)
    _, u = call(name, "canonicalize", x=x)
    assert ((facets <= 0).all(axis=1) == (u == 0)).all()


@every_group
def test_no_facet_is_redundant_or_missing(name: str) -> None:
    analysis, _ = analysed(name)
    domain, expected = analysis.domain, CASES[name].facets
    assert np.abs(np.linalg.norm(domain.facets, axis=1) - 1).max() < 1e-12
    if expected is not None:
        assert len(domain.facets) == expected
    assert len(domain.neighbours) == len(domain.facets)
    # every wall is met: reflect interior points through it, keep those that stay behind all others
    points = np.random.default_rng(4).normal(size=(20_000, domain.facets.shape[1]))
    _, sectors = call(name, "canonicalize", x=lifted(name, points))
    points = np.einsum("nij,nj->ni", np.linalg.inv(domain.representation)[sectors], points)
    for j, normal in enumerate(domain.facets):
        distance = points @ normal
        across = points + np.outer(1e-7 - distance, normal)
        others = np.delete(across @ domain.facets.T, j, axis=1)
        across = across[(others < -1e-3).all(axis=1)]
        assert len(across) > 20
        _, found = call(name, "canonicalize", x=lifted(name, across))
        assert (found == domain.neighbours[j]).all()


def lifted(name: str, collective: Array) -> Array:
    """Constant configurations with these means (all components are collective here)."""
    case = CASES[name]
    shape = (len(collective), case.components, *case.lattice.shape)
    axes = (slice(None), slice(None), *(None,) * case.lattice.dimension)
    return np.broadcast_to(collective[axes], shape).copy()


@every_group
def test_the_representation_is_one(name: str) -> None:
    analysis, _ = analysed(name)
    domain, table = analysis.domain, analysis.group.table
    products = np.einsum("gij,hjk->ghik", domain.representation, domain.representation)
    assert np.abs(products - domain.representation[table]).max() < 1e-12
    x = random_configurations(name, 20)
    for g, matrix in enumerate(domain.matrices):
        image = mean(np.einsum("ab,nb...->na...", matrix, x)) @ domain.projection.T
        assert np.abs(image - mean(x) @ domain.projection.T @ domain.representation[g].T).max() < 1e-12


# Collective coordinates chosen by the user


def domain_of(collective: list[Any] | None, generators: list[dict[Any, Any]], field: Any) -> sd.Analysis:
    symmetry = sd.Symmetry("given", generators, collective=collective)
    action = field.lattice.sum(field.squared**2)
    return sd.analyse(sd.Theory("collective", fields=[field], action=action, symmetries=[symmetry]))


Y = sd.VectorField("y", LATTICE, 4)
QUARTER = {Y[0]: -Y[1], Y[1]: Y[0], Y[2]: -Y[2], Y[3]: -Y[3]}
REFUSED: dict[str, tuple[list[Any], list[dict[Any, Any]], type[sd.SesamoError], list[str]]] = {
    "charge two": (
        [Y[2], Y[3]],
        [QUARTER],
        NotFaithfulError,
        ["order 2", "[-1, 0, 0, 0; 0, -1, 0, 0; 0, 0, 1, 0"],
    ),
    "one flip of two": (
        [Y[0]],
        [{Y[0]: -Y[0]}, {Y[1]: -Y[1]}],
        NotFaithfulError,
        ["order 2", "[1, 0, 0, 0; 0, -1, 0, 0"],
    ),
    "fixed by all": ([Y[3]], [{Y[0]: -Y[0]}], NotFaithfulError, ["order 2"]),
    "symmetric combination": ([Y[0] + Y[1]], [swap(Y[0], Y[1])], NotFaithfulError, ["order 2"]),
    "half a plane": ([Y[0]], [QUARTER], GroupError, ["maps into each other"]),
    "mixed with another": ([Y[0] + Y[2], Y[1]], [QUARTER], GroupError, ["maps into each other"]),
    "redundant": ([Y[0], Y[1], Y[0] - 2 * Y[1]], [QUARTER], GroupError, ["independent"]),
    "not linear": ([Y[0] ** 2], [QUARTER], GroupError, ["linear combination"]),
    "at another site": (
        [Y[0].shift(0), Y[1].shift(0)],
        [QUARTER],
        GroupError,
        ["linear combination"],
    ),
    "none": ([], [QUARTER], GroupError, ["collective"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_collective_coordinates_that_are_refused(name: str) -> None:
    collective, generators, error, explanations = REFUSED[name]
    with pytest.raises(error) as caught:
        domain_of(collective, generators, Y)
    assert type(caught.value) is error
    for explanation in explanations:
        assert explanation in str(caught.value)


@pytest.mark.parametrize(
    ("collective", "generators", "facets"),
    [
        ([Y[0], Y[1]], [QUARTER], 2),
        ([Y[0] - Y[1]], [swap(Y[0], Y[1])], 1),
        ([Y[0] + Y[2], Y[1] + Y[3]], [{Y[0]: Y[1], Y[1]: -Y[0], Y[2]: Y[3], Y[3]: -Y[2]}], 2),
        ([2 * Y[0] + Y[1], sp.sqrt(2) * Y[1]], [QUARTER], 2),
    ],
)
def test_collective_coordinates_that_are_accepted(
    collective: list[Any], generators: list[dict[Any, Any]], facets: int
) -> None:
    analysis = domain_of(collective, generators, Y)
    program = lower_theory(analysis)
    assert len(analysis.domain.facets) == facets
    x = np.random.default_rng(0).normal(size=(500, 4, 3, 2))
    y, u = run(program, "canonicalize", {"x": x})
    assert (run(program, "facets", {"y": y})[0] <= 1e-12).all()
    assert np.abs(run(program, "modulate", {"y": y, "u": u})[0] - x).max() < 1e-12
    assert len(np.unique(u)) == analysis.group.order


# The domain is centred on the vacuum


@pytest.mark.parametrize(("order", "offset"), [(2, 1.1), (3, 0.0), (8, 0.3)])
def test_domain_is_centred_on_a_mode(order: int, offset: float) -> None:
    """Modes on a circle, rotated by a generic angle: both walls are as far from a mode as can be."""
    radius = 5
    x = sd.VectorField("x", POINT, 2)
    angles = [sp.Rational(str(offset)) + 2 * sp.pi * k / order for k in range(order)]
    weights = [
        sp.exp(-((x[0] - radius * sp.cos(a)) ** 2 + (x[1] - radius * sp.sin(a)) ** 2) / 2) for a in angles
    ]
    theory = sd.Theory(
        "modes", fields=[x], action=-sp.log(sp.Add(*weights)), symmetries=[sd.Cyclic(order, x)]
    )
    analysis = sd.analyse(theory)
    domain = analysis.domain
    modes = np.array([[radius * math.cos(a), radius * math.sin(a)] for a in map(float, angles)])
    (mode,) = [m for m in modes if (domain.facets @ m <= 0).all()]
    assert np.abs(domain.facets @ mode + radius * math.sin(math.pi / order)).max() < 1e-4
    assert np.abs(domain.centre - mode / radius).max() < 1e-4


def test_vacuum_on_a_wall_does_not_become_the_reference() -> None:
    """A vacuum that a reflection fixes cannot centre a domain; the images must still tile."""
    x = sd.VectorField("x", POINT, 2)
    action = POINT.sum((x[0] ** 2 - 4) ** 2 + x[1] ** 2)
    symmetries = [sd.Symmetry("flips", [{x[0]: -x[0]}, {x[1]: -x[1]}], exact=True)]
    analysis = sd.analyse(sd.Theory("wall", fields=[x], action=action, symmetries=symmetries))
    assert sorted(map(tuple, np.round(np.abs(analysis.domain.facets), 12))) == [(0.0, 1.0), (1.0, 0.0)]


def test_trivial_group_has_no_walls() -> None:
    x = sd.VectorField("x", POINT, 2)
    analysis = sd.analyse(sd.Theory("free", fields=[x], action=POINT.sum(x.squared)))
    program = lower_theory(analysis)
    points = np.random.default_rng(0).normal(size=(7, 2, 1))
    y, u = run(program, "canonicalize", {"x": points})
    assert np.array_equal(y, points)
    assert (u == 0).all()
    assert run(program, "facets", {"y": y})[0].shape == (7, 0)
    assert not analysis.is_modulated
