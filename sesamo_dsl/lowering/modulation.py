"""The modulation as program functions: finite groups act by matrices, Lie groups by rotations off slices.

=====================  ==========================================================================
function               map
=====================  ==========================================================================
canonicalize, modulate x ↔ (y, u) of the finite group
facets                 λ_j(y) of its fundamental domain
breaking_by_block      S₁ as a sum over the blocks of a group that acts independently on each
chart, unchart         R^n ↔ {y ∈ Ω}, where the walls of Ω are linearly independent
orient                 ỹ ↦ ỹ with c_1 > 0 for every slice
on_slice, off_slice    ỹ ↔ (y, a): the gauge directions c_2 … c_N of every slice become the auxiliary
                       coordinates a and are set to zero in y
unrotate, rotate       x ↔ (y, n_0, n_1, …) with x = R_0(n_0) R_1(n_1) … y
radii                  c_1 = r of every slice
log_faddeev_popov      Σ log Δ(r) on the slices
=====================  ==========================================================================
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..analysis.domain import Domain
from ..analysis.slices import Slice, rotation_coefficients
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..ir.builder import Builder
from ..ir.program import Function, Program
from ..ir.value import Kind
from ..symbols.exact import floats
from .expressions import lower_into


def finite_functions(
    domain: Domain, block_axes: tuple[int, ...], angles: tuple[int, ...] = ()
) -> list[Function]:
    """The functions canonicalize, modulate and facets, and charts if Ω has them.

    Parameters
    ----------
    angles
        Numbers of the components that are angles, of which sectors see cosines and sines.
    """
    count = domain.matrices.shape[1]
    turning = angles if domain.shifts is not None else ()
    b = Builder(
        "canonicalize", "x ↦ (y, u) with y = T_u⁻¹ x in the fundamental domain.", [("x", Kind.FIELDS)]
    )
    x = b.input("x")
    u = b.argmax(b.linear(_mean(b, _features(b, x, count, angles), block_axes), "SCORES"))
    canonicalize = b.finish(y=_acted(b, x, u, "INVERSES", block_axes, count, turning), u=u)

    inputs = [("y", Kind.FIELDS), ("u", Kind.INDEX)]
    b = Builder("modulate", "(y, u) ↦ x = T_u y, the inverse of canonicalize; log|det DT_u| = 0.", inputs)
    modulate = b.finish(x=_acted(b, b.input("y"), b.input("u"), "MATRICES", block_axes, count, turning))

    b = Builder(
        "facets", "λ_j(y), (batch, facets); y is in the domain where all are ≤ 0.", [("y", Kind.FIELDS)]
    )
    values = b.linear(_mean(b, _features(b, b.input("y"), count, angles), block_axes), "FACETS")
    facets = b.finish(facets=b.flatten(values) if block_axes else values)
    return [canonicalize, modulate, facets, *(_charts(block_axes) if domain.edges is not None else ())]


def _features(b: Builder, x: int, count: int, angles: tuple[int, ...]) -> int:
    """The fields with cos θ and sin θ in the place of each angle θ."""
    if not angles:
        return x
    parts: list[int] = []
    for a in range(count):
        part = b.component(x, a)
        parts += [b.unary("cos", part), b.unary("sin", part)] if a in angles else [part]
    return b.stack(parts)


def _acted(
    b: Builder,
    fields: int,
    u: int,
    matrices: str,
    block_axes: tuple[int, ...],
    count: int,
    turning: tuple[int, ...],
) -> int:
    """T_u x; where angles are shifted, by matrices on their cosines and sines, whose angle is in (−π, π]."""
    if not turning:
        return _act(b, fields, u, matrices, block_axes)
    moved = b.act(_features(b, fields, count, turning), u, f"FEATURE_{matrices}")
    images, first = [], 0
    for a in range(count):
        image = b.component(moved, first)
        images.append(b.atan2(b.component(moved, first + 1), image) if a in turning else image)
        first += 2 if a in turning else 1
    return b.stack(images)


def _mean(b: Builder, fields: int, block_axes: tuple[int, ...]) -> int:
    return b.block_mean(fields, block_axes) if block_axes else b.site_mean(fields)


def _act(b: Builder, fields: int, u: int, matrices: str, block_axes: tuple[int, ...]) -> int:
    return b.act_on_blocks(fields, u, matrices, block_axes) if block_axes else b.act(fields, u, matrices)


def _charts(block_axes: tuple[int, ...]) -> list[Function]:
    """The distances s_j = −λ_j from the walls, moved between R and (0, ∞) by quantile charts."""
    inputs = [("y", Kind.FIELDS), ("location", Kind.VECTOR), ("width", Kind.VECTOR)]
    doc = (
        "y ↦ (y', log|J|) with y' in the domain: the distance s from every wall, any real number, becomes "
        "positive.\n\n    N(location, width²) becomes the same density cut off at the wall."
    )
    b = Builder("chart", doc, inputs)
    location, width = b.input("location"), b.input("width")
    s = b.linear(_mean(b, b.input("y"), block_axes), "WALLS")
    positive = b.half_line("half_line", s, location, width)
    slope = b.half_line("half_line_log_slope", s, location, width)
    y = b.spread(b.input("y"), b.difference(positive, s), "EDGES", block_axes)
    chart = b.finish(y=y, log_jacobian=b.total(slope))

    b = Builder("unchart", "The inverse of chart, log|J| still that of chart.", inputs)
    location, width = b.input("location"), b.input("width")
    s = b.linear(_mean(b, b.input("y"), block_axes), "WALLS")
    real = b.half_line("half_line_inverse", s, location, width)
    slope = b.half_line("half_line_log_slope", real, location, width)
    y = b.spread(b.input("y"), b.difference(real, s), "EDGES", block_axes)
    return [chart, b.finish(y=y, log_jacobian=b.total(slope))]


def slice_functions(slices: Sequence[Slice], components: int, volume: int) -> list[Function]:
    """The functions of the Lie groups, an empty list without slices."""
    if not slices:
        return []
    return [
        _orient(),
        _on_slice(slices, components, volume),
        _off_slice(slices, components, volume),
        _unrotate(slices),
        _rotate(slices),
        _radii(slices),
        _faddeev_popov(slices),
    ]


def constants(
    domain: Domain, group: FiniteGroup[Element], slices: Sequence[Slice], components: int, volume: int
) -> dict[str, np.ndarray]:
    """The arrays the functions refer to.

    WALLS maps means to the distances from the walls, EDGES maps distances to constants added to components.
    ORIENTATIONS are the products of slice reversals.
    COLLECTIVE_i maps spatial means to c = Σ_x φ/√V of slice i, GENERATORS_i generate its rotation.
    """
    arrays = {
        "MATRICES": domain.matrices,
        "INVERSES": domain.matrices[group.inverses],
        "SCORES": domain.scores @ domain.projection,
        "FACETS": domain.facets.reshape(len(domain.facets), len(domain.projection)) @ domain.projection,
    }
    if domain.shifts is not None and domain.feature_matrices is not None:
        arrays["SHIFTS"] = domain.shifts
        arrays["FEATURE_MATRICES"] = domain.feature_matrices
        arrays["FEATURE_INVERSES"] = domain.feature_matrices[group.inverses]
    if domain.edges is not None:
        arrays["WALLS"] = -arrays["FACETS"]
        arrays["EDGES"] = np.linalg.pinv(domain.projection) @ domain.edges
    antipodes = [floats(s.antipode) for s in slices]
    signs = list(itertools.product((1, -1), repeat=len(slices)))
    orientations = []
    for choice in signs:
        product = np.eye(components)
        for sign, antipode in zip(choice, antipodes, strict=True):
            product = product @ antipode if sign < 0 else product
        orientations.append(product)
    if slices:
        arrays["ORIENTATIONS"] = np.array(orientations)
        arrays["REORIENTATIONS"] = np.array([m.T for m in orientations])
        arrays["ORIENTATION_SCORES"] = np.zeros((len(signs), components))
        for i, slice_ in enumerate(slices):
            arrays["ORIENTATION_SCORES"][:, slice_.block[0]] = [choice[i] for choice in signs]
            collective = np.zeros((slice_.dimension, components))
            collective[np.arange(slice_.dimension), list(slice_.block)] = np.sqrt(volume)
            arrays[f"COLLECTIVE_{i}"] = collective
            arrays |= _section_constants(slice_, i)
    return arrays


def all_maps(program: Program) -> np.ndarray:
    """The matrices R_g of all elements, (order, c, c), or (order, c, c + 1) with shifts as last column."""
    matrices, shifts = program.constants["MATRICES"], program.constants.get("SHIFTS")
    return matrices if shifts is None else np.concatenate([matrices, shifts[..., None]], axis=2)


def preimages(program: Program, strategy: str) -> np.ndarray:
    """Matrices M with q̃(y) = Σ_M q_f(M y), the sum over all pre-images M y of the folded configuration y.

    The shape is (count, c, c), or (count, blocks, c, c) with a matrix for every block. Where angles are
    shifted it is (count, c, c + 1), with the shifts as last column.
    """
    matrices, sectors = program.constants["MATRICES"], program.sectors
    orientations = program.constants.get("ORIENTATIONS", np.eye(len(program.components))[None])
    if strategy == "none":
        return np.eye(len(program.components))[None]
    if strategy != "fold":
        return orientations
    if sectors.n_blocks is not None:
        return matrices[sectors.elements]
    if "SHIFTS" in program.constants:  # (M, s) after an orientation, which leaves angles alone
        maps, c = all_maps(program), matrices.shape[1]
        turned = np.einsum("gab,hbc->ghac", maps[:, :, :c], orientations)
        shifts = np.broadcast_to(maps[:, None, :, c:], (*turned.shape[:3], 1))
        return np.concatenate([turned, shifts], axis=3).reshape(-1, c, c + 1)
    return np.einsum("gab,hbc->ghac", matrices, orientations).reshape(-1, *matrices.shape[1:])


def _orient() -> Function:
    b = Builder("orient", "ỹ ↦ its image with c_1 > 0 for every slice.", [("y", Kind.FIELDS)])
    y = b.input("y")
    sign = b.argmax(b.linear(b.site_mean(y), "ORIENTATION_SCORES"))
    return b.finish(y=b.act(y, sign, "REORIENTATIONS"), sign=sign)


def _shifted_modes(
    b: Builder, y: int, slices: Sequence[Slice], components: int, shifts: dict[int, int]
) -> int:
    """y with a constant (a CONFIG value) added to some components."""
    parts = [b.component(y, a) for a in range(components)]
    return b.stack([b.add(shifts[a], part) if a in shifts else part for a, part in enumerate(parts)])


def _on_slice(slices: Sequence[Slice], components: int, volume: int) -> Function:
    doc = "ỹ ↦ (y, a_0, a_1, …): the gauge directions c_2 … c_N of each slice handed out and set to zero."
    b = Builder("on_slice", doc, [("y", Kind.FIELDS)])
    y = b.input("y")
    mean, outputs, shifts = b.site_mean(y), {}, {}
    scale = b.constant(-1 / np.sqrt(volume))
    for i, slice_ in enumerate(slices):
        vector = b.linear(mean, f"COLLECTIVE_{i}")
        outputs[f"a_{i}"] = b.tail(vector)
        for position, a in enumerate(slice_.block[1:], start=1):
            shifts[a] = b.mul(scale, b.entry(vector, position))
    return b.finish(y=_shifted_modes(b, y, slices, components, shifts), **outputs)


def _off_slice(slices: Sequence[Slice], components: int, volume: int) -> Function:
    inputs = [("y", Kind.FIELDS), *((f"a_{i}", Kind.VECTOR) for i in range(len(slices)))]
    b = Builder("off_slice", "(y, a_0, a_1, …) ↦ ỹ, the inverse of on_slice.", inputs)
    scale = b.constant(1 / np.sqrt(volume))
    shifts = {
        a: b.mul(scale, b.entry(b.input(f"a_{i}"), position))
        for i, slice_ in enumerate(slices)
        for position, a in enumerate(slice_.block[1:])
    }
    return b.finish(y=_shifted_modes(b, b.input("y"), slices, components, shifts))


def _section(b: Builder, slice_: Slice, i: int, n: int) -> list[int]:
    """The factors R_1, R_2, … of the rotation with R(n) e_1 = n.

    Each is exp(αA) with A = Σ_b m_b T_b, and takes e_1 to (cos α, m sin α): the last factor gives n its
    components along the directions of its generators, the factors before it give the other components.
    """
    factors: list[int] = []
    for j, stage in reversed(list(enumerate(slice_.stages))):
        if j == 0:
            transverse, forward = b.tail(n), b.entry(n, 0)
        else:
            transverse, n = b.linear(n, f"TURNED_{i}_{j}"), b.linear(n, f"LEFT_{i}_{j}")
            forward = b.norm(n)
            n = b.direction(n)
        angle = b.atan2(b.norm(transverse), forward)
        symbol, coefficients = rotation_coefficients(stage)
        direction = b.combination(b.direction(transverse), _generators_name(i, j))
        values = [
            lower_into(b, c, {symbol: angle}) if c.free_symbols else b.filled(angle, float(c))
            for c in coefficients
        ]
        factors.insert(0, b.matrix_polynomial(direction, values))
    return factors


def _generators_name(i: int, j: int) -> str:
    return f"GENERATORS_{i}_{j}" if j else f"GENERATORS_{i}"


def _section_constants(slice_: Slice, i: int) -> dict[str, np.ndarray]:
    """The generators of every factor R_k, and the entries of n that it makes and that it leaves to others."""
    arrays, known = {}, [0]
    for j, stage in enumerate(slice_.stages):
        arrays[_generators_name(i, j)] = stage.generators
        everything = sorted({*known, *stage.directions})
        unit = np.eye(len(everything))
        if j:
            arrays[f"TURNED_{i}_{j}"] = unit[[everything.index(d) for d in stage.directions]]
            arrays[f"LEFT_{i}_{j}"] = unit[[everything.index(d) for d in known]]
        known = everything
    return arrays


def _unrotate(slices: Sequence[Slice]) -> Function:
    doc = "x ↦ (y, n_0, n_1, …) with y on all slices and n_i the orientation of the i-th collective vector."
    b = Builder("unrotate", doc, [("x", Kind.FIELDS)])
    value, outputs = b.input("x"), {}
    for i, slice_ in enumerate(slices):
        n = b.direction(b.linear(b.site_mean(value), f"COLLECTIVE_{i}"))
        for factor in _section(b, slice_, i, n):
            value = b.rotate(value, factor, back=True)
        outputs[f"n_{i}"] = n
    return b.finish(y=value, **outputs)


def _rotate(slices: Sequence[Slice]) -> Function:
    inputs = [("y", Kind.FIELDS), *((f"n_{i}", Kind.VECTOR) for i in range(len(slices)))]
    b = Builder("rotate", "(y, n_0, n_1, …) ↦ x = R_0(n_0) R_1(n_1) … y, n_i unit vectors.", inputs)
    value = b.input("y")
    for i, slice_ in reversed(list(enumerate(slices))):
        for factor in reversed(_section(b, slice_, i, b.input(f"n_{i}"))):
            value = b.rotate(value, factor)
    return b.finish(x=value)


def _radii(slices: Sequence[Slice]) -> Function:
    b = Builder("radii", "c_1 of every slice, (batch,) each.", [("y", Kind.FIELDS)])
    mean = b.site_mean(b.input("y"))
    return b.finish(**{f"r_{i}": b.entry(b.linear(mean, f"COLLECTIVE_{i}"), 0) for i in range(len(slices))})


def _faddeev_popov(slices: Sequence[Slice]) -> Function:
    shown = " + ".join(f"log({s.determinant})" for s in slices)
    b = Builder("log_faddeev_popov", f"log Δ = {shown} with r = c_1, (batch,).", [("y", Kind.FIELDS)])
    mean = b.site_mean(b.input("y"))
    total = None
    for i, slice_ in enumerate(slices):
        radius = b.entry(b.linear(mean, f"COLLECTIVE_{i}"), 0)
        value = b.unary("log", lower_into(b, slice_.determinant, {slice_.radius: radius}))
        total = value if total is None else b.add(total, value)
    assert total is not None
    return b.finish(log_determinant=total)
