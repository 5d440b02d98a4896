"""Axes of one or two sites: a bond to the same site or two to the same neighbour are told, not silent."""

from __future__ import annotations

import pickle

import networkx as nx
import pytest

import sesamo_dsl as sd


def notes(*shape: int, steps: tuple[int, ...] = (1,), axes: tuple[int, ...] | None = None) -> tuple[str, ...]:
    lattice = sd.Lattice(*shape)
    phi = sd.ScalarField("phi", lattice)
    hopping = sum(phi * phi.shift(mu, s) for mu in axes or lattice.directions for s in steps)
    theory = sd.Theory("t", fields=[phi], action=lattice.sum(phi**2 + phi**4 - hopping))
    analysis = sd.analyse(theory)
    assert all(f"note: {note}" in analysis.text() for note in analysis.limits)
    return analysis.limits


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((1,), ["axis 0 has one site"]),
        ((2,), ["axis 0 has two sites"]),
        ((3,), []),
        ((1, 8), ["axis 0 has one site"]),
        ((4, 2), ["axis 1 has two sites"]),
        ((2, 1, 2), ["axis 0 has two sites", "axis 1 has one site", "axis 2 has two sites"]),
    ],
)
def test_short_axes_are_told(shape: tuple[int, ...], told: list[str]) -> None:
    found = notes(*shape)
    assert len(found) == len(told)
    assert all(note.startswith(start) for note, start in zip(found, told, strict=True))


def test_only_axes_with_shifts_are_told() -> None:
    assert notes(1, 8, axes=(1,)) == ()
    point = sd.Lattice(1)
    x = sd.ScalarField("x", point)
    assert sd.analyse(sd.Theory("t", fields=[x], action=x**2)).limits == ()


def test_once_around_is_told() -> None:
    assert "3 sites" in notes(3, steps=(3,))[0]
    assert notes(3, steps=(1, -1)) == ()
    assert "back to the same site" in notes(2, steps=(2,))[0]
    # there and back is no way around
    lattice = sd.Lattice(4)
    phi = sd.ScalarField("phi", lattice)
    assert phi.shift(0).shift(0, -1) == phi


def test_the_axis_of_a_vector_field_and_of_time() -> None:
    lattice = sd.Lattice(1, 4)
    v = sd.VectorField("v", lattice, 2)
    theory = sd.Theory("t", fields=[v], action=lattice.sum(v.squared - v.dot(v.shift(0)) / 4))
    assert "mass term" in sd.analyse(theory).limits[0]
    graph = sd.GraphLattice(nx.path_graph(3), time=2)
    phi = sd.ScalarField("phi", graph)
    theory = sd.Theory("t", fields=[phi], action=graph.sum(phi**2 - phi * phi.shift(0) / 4))
    assert "twice" in sd.analyse(theory).limits[0]


def test_the_action_knows_one_field_at_the_site() -> None:
    lattice = sd.Lattice(1, 3)
    phi = sd.ScalarField("phi", lattice)
    theory = sd.Theory("t", fields=[phi], action=lattice.sum(phi**4 - phi * phi.shift(0)))
    assert theory.action == lattice.sum(phi**4 - phi**2)
    copied = pickle.loads(pickle.dumps(phi.shift(0)))
    assert copied == phi.shift(0)
    assert copied.in_place == phi
