"""Exact symmetries of a theory that it does not declare."""

from __future__ import annotations

import numpy as np
import sympy as sp
from scipy.linalg import logm

from ..errors import LatticeError
from ..groups.element import Element
from ..groups.rotations import AngleRotation
from ..symbols.exact import floats
from .discovery import find_symmetries
from .discovery.angle_shifts import AngleShifts
from .result import Analysis


def undeclared_symmetries(analysis: Analysis, seconds: float) -> tuple[list[str] | None, tuple[str, ...]]:
    """(one line for each generator that was not declared, the limits of the search); None without a search.

    Parameters
    ----------
    seconds
        Time after which no further search is begun.
    """
    try:
        found = find_symmetries(analysis.theory, seconds=seconds)
    except LatticeError:
        return None, ("symmetries on the nodes of a graph, and of determinants, are declared, not searched",)
    lines = []
    rotations = [floats(t).ravel() for report in analysis.lie_reports for t in report.matrices]
    for matrix in found.algebra.basis:
        if not _in_span(floats(matrix), rotations):
            lines.append(f"continuous: {_generated(analysis, matrix)}")
            rotations.append(floats(matrix).ravel())
    declared = {str(g) for report in analysis.reports if report.enumerated for g in report.group.elements}
    declared |= {str(g) for g in analysis.group.elements}
    for verdict in (*found.internal.verdicts, *found.internal.affine):
        g = verdict.generator
        if str(g) not in declared and not (not g.shift and _is_rotation(floats(g.matrix), rotations)):
            lines.append(f"discrete: {_moved(analysis, g)}")
    turned = [r.symmetry for r in analysis.reports if isinstance(r.symmetry, AngleRotation)]
    if len(turned) < len(found.angles.rotations):
        known = [rotation.charges for rotation in turned]
        new = [rotation for rotation in found.angles.rotations if rotation.charges not in known]
        lines += [line.strip() for line in AngleShifts(tuple(new)).lines(analysis.theory.components)]
    shifts = [v for v in found.angles.finite if str(v.generator) not in declared]
    lines += [f"discrete: {_moved(analysis, v.generator)}" for v in shifts]
    sites = any(not g.sites.is_identity for r in analysis.reports for g in r.generators)
    if found.lattice.order > 1 and not sites:
        lines.append(
            f"of the lattice: {found.lattice.order} maps of sites, point group {found.lattice.name} "
            "(groups.Translations, groups.PointGroup)"
        )
    return lines, found.limits


def _in_span(matrix: np.ndarray, known: list[np.ndarray]) -> bool:
    rows = np.array([*known, matrix.ravel()])
    return bool(np.linalg.matrix_rank(rows, tol=1e-8) == len(known) - _defect(known))


def _defect(known: list[np.ndarray]) -> int:
    """Number of matrices minus the dimension of their span."""
    return len(known) - int(np.linalg.matrix_rank(np.array(known), tol=1e-8)) if known else 0


def _is_rotation(matrix: np.ndarray, rotations: list[np.ndarray]) -> bool:
    """Whether an orthogonal matrix is the exponential of a combination of generators."""
    if not rotations or np.linalg.det(matrix) < 0:
        return False
    logarithm = np.asarray(logm(matrix), dtype=np.complex128)
    return bool(np.abs(np.imag(logarithm)).max() < 1e-9) and _in_span(np.real(logarithm), rotations)


def _moved(analysis: Analysis, element: Element) -> str:
    components = analysis.theory.components
    images = (element.matrix * sp.Matrix(components) + element.shift_vector).flat()
    pairs = zip(components, images, strict=True)
    return ", ".join(f"{c} → {sp.sstr(image)}" for c, image in pairs if c != image)


def _generated(analysis: Analysis, matrix: sp.ImmutableMatrix) -> str:
    components = analysis.theory.components
    images = (matrix * sp.Matrix(components)).flat()
    return ", ".join(f"δ{c} = {sp.sstr(i)}" for c, i in zip(components, images, strict=True) if i != 0)
