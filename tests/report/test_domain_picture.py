"""Pictures of domains: the drawn sectors tile, carry the right walls, and exist for every shape of theory."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError
from sesamo_dsl.groups import Dihedral, Hyperoctahedral, Permutations
from sesamo_dsl.report import save
from sesamo_dsl.report.domains import (
    _centroid,
    _clip,
    _half_spaces,
    _sphere_triangles,
    _walls,
    domain_picture,
)

POINT, LATTICE = sd.Lattice(1), sd.Lattice(2, 2)


def theory(name: str) -> sd.Theory:
    if name in sd.shipped_theories():
        return sd.load_theory(name)
    x = sd.VectorField("x", POINT, 3)
    plane = [x[0], x[1]]
    quartic = x.squared**2 - 2 * x.squared
    symmetry = {
        "D3": lambda: Dihedral(3, *plane),
        "Z3": lambda: sd.Cyclic(3, *plane),
        "point reflection": lambda: sd.Z2(*plane),
        "tetrahedron": lambda: sd.Symmetry(
            "Td", [{x[0]: x[1], x[1]: x[0]}, {x[1]: x[2], x[2]: x[1]}, {x[0]: -x[0], x[1]: -x[1]}]
        ),
        "B3": lambda: Hyperoctahedral(x),
        "S3": lambda: Permutations(x),
        "one mirror": lambda: sd.Symmetry("mirror", [{x[2]: -x[2]}], collective=list(x)),
    }[name]()
    return sd.Theory("pictured", fields=[x], action=quartic, symmetries=[symmetry])


@cache
def analysed(name: str) -> sd.Analysis:
    return sd.analyse(theory(name))


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


PLANES = ("gaussian_mixture", "D3", "Z3", "point reflection")
SOLIDS = ("tetrahedron", "B3", "S3", "one mirror")


@pytest.mark.parametrize("name", PLANES)
def test_sectors_tile_the_plane(name: str) -> None:
    domain = analysed(name).domain
    square = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    areas = []
    for u in range(domain.order):
        normals = _half_spaces(domain, u)
        sector = _clip(square, normals)
        assert (sector @ normals.T < 1e-9).all()
        a, b = sector, np.roll(sector, -1, axis=0)
        areas.append(np.sum(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2)
        centre = _centroid([sector])
        assert np.argmax(domain.scores @ centre) == u
        assert len(_walls(sector, normals)) == (1 if name == "point reflection" else 2)
    assert abs(sum(areas) - 4) < 1e-9
    assert min(areas) > 0


@pytest.mark.parametrize("name", SOLIDS)
def test_sectors_tile_the_sphere(name: str) -> None:
    domain = analysed(name).domain
    triangles = _sphere_triangles()[::7]
    for triangle in triangles:
        parts = [_clip(triangle, _half_spaces(domain, u)) for u in range(domain.order)]
        solid = [p for p in parts if len(p) > 2]
        total = sum(_area(p) for p in solid)
        assert abs(total - _area(triangle)) < 1e-9


def _area(polygon: np.ndarray) -> float:
    a, b = polygon[1:-1] - polygon[0], polygon[2:] - polygon[0]
    return float(np.linalg.norm(np.cross(a, b), axis=1).sum() / 2)


@pytest.mark.parametrize("name", PLANES)
def test_plane(name: str) -> None:
    analysis = analysed(name)
    figure = domain_picture(analysis)
    (axes,) = figure.axes
    assert sum(isinstance(p, Polygon) for p in axes.patches) >= analysis.group.order
    assert all(f"$T_{{{u}}}$Ω" in texts(figure) for u in range(1, analysis.group.order))
    assert axes.get_xlabel().startswith("$c_{1}$")
    assert axes.get_aspect() == 1.0


@pytest.mark.parametrize("name", SOLIDS)
def test_solid(name: str) -> None:
    figure = domain_picture(analysed(name))
    assert len(figure.axes) == 2
    assert ("Ω" in texts(figure)) is (analysed(name).group.order <= 24)
    assert "$c_{1}$" in texts(figure)


def test_line_and_slices() -> None:
    figure = domain_picture(analysed("scalar_phi4"))
    (axes,) = figure.axes
    star = next(line for line in axes.lines if line.get_marker() == "*")
    kappa, lam = 0.3, 0.022
    expected = np.sqrt((4 * kappa - (1 - 2 * lam)) / (2 * lam))
    assert abs(abs(np.asarray(star.get_xdata())[0]) - expected) < 1e-4
    figure = domain_picture(analysed("complex_phi4"))
    (axes,) = figure.axes
    assert "U1(phi)" in axes.get_title()
    assert "Δ = $r$" in axes.get_title()


def test_several_factors() -> None:
    phi, n, s = sd.ComplexField("phi", LATTICE), sd.VectorField("n", LATTICE, 3), sd.ScalarField("s", LATTICE)
    action = LATTICE.sum(phi.abs2**2 + n.squared**2 + s**2)
    fields, symmetries = [phi, n, s], [sd.Z2(s), sd.U1(phi), sd.SO(n)]
    figure = domain_picture(
        sd.analyse(sd.Theory("three", fields=fields, action=action, symmetries=symmetries))
    )
    assert len(figure.axes) == 3
    assert "M_{3}" in figure.axes[2].get_ylabel()


def test_refused() -> None:
    x = sd.VectorField("x", POINT, 4)
    flat = sd.Theory("flat", fields=[x], action=x.squared)
    with pytest.raises(OptionError, match="declare a symmetry"):
        domain_picture(sd.analyse(flat))
    flips = [sd.Symmetry("flips", [{c: -c} for c in x])]
    with pytest.raises(OptionError, match="4 dimensions"):
        domain_picture(sd.analyse(sd.Theory("four", fields=[x], action=x.squared, symmetries=flips)))


def test_theory_without_a_vacuum_away_from_zero() -> None:
    x = sd.ScalarField("x", POINT)
    free = sd.Theory("free", fields=[x], action=x**2 / 2 + sp.cosh(x), symmetries=[sd.Z2(x)])
    (axes,) = domain_picture(sd.analyse(free)).axes
    assert axes.get_xlim() == (-1.5, 1.5)


def test_written_and_repeatable(tmp_path: Path) -> None:
    bytes_of = []
    for _ in range(2):
        buffer = io.BytesIO()
        domain_picture(analysed("Z3")).savefig(buffer, format="png", dpi=40)
        bytes_of.append(buffer.getvalue())
    assert bytes_of[0] == bytes_of[1]
    save(domain_picture(analysed("gaussian_mixture")), tmp_path / "z8.svg")
    assert "<svg" in (tmp_path / "z8.svg").read_text()
