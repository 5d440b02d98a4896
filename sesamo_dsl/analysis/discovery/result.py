"""The result of a search for symmetries, and its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import sympy as sp

from ...groups.element import Element
from ...groups.finite import FiniteGroup
from ...groups.site_map import SiteMap
from ...language.theory import Theory
from ...symbols.fields import Field
from ..invariance import Verdict
from .angle_shifts import AngleShifts


@dataclass(frozen=True, eq=False)
class LieAlgebra:
    """The continuous linear internal symmetries φ → exp(tA) φ.

    Attributes
    ----------
    basis
        Matrices A with Σ_ab A_ab φ_b ∂S/∂φ_a ≡ 0, each proved; antisymmetric ones first.
    orthogonal
        For each matrix, whether it is antisymmetric, so that exp(tA) is a rotation.
    name
        Name of the algebra, e.g. ``so(3)``.
    abelian, compact
        Its structure. ``compact``: all exp(tA) are rotations for some positive definite inner product.
    undecided
        Further matrices that could be neither proved nor refuted.
    complete
        Whether all matrices outside the algebra, independent of the couplings, are refuted.
    """

    basis: tuple[sp.ImmutableMatrix, ...]
    orthogonal: tuple[bool, ...]
    name: str
    abelian: bool
    compact: bool
    undecided: tuple[sp.ImmutableMatrix, ...]
    complete: bool

    @property
    def dimension(self) -> int:
        """Number of independent generators."""
        return len(self.basis)


@dataclass(frozen=True, eq=False)
class InternalGroup:
    """Discrete symmetries that act on the components alike at every site.

    Attributes
    ----------
    generators
        A small generating set, each element proved.
    verdicts
        The proofs, in the same order.
    order
        Order of the group they generate.
    group
        The group, enumerated if it is small.
    signed_permutations
        Order of the subgroup of signed permutations of components, None if it is not known.
    name
        Name of the group, e.g. ``D8``.
    undecided
        Verdicts on candidates that were neither proved nor refuted.
    affine
        Verdicts on maps x → c + R(x − c) about another point c than 0, which are not in the group.
    identical
        Sets of fields, by their positions, that can be permuted in any way; exchanges of two of them and
        cycles are among the generators.
    direct
        Whether all other generators act alike on the fields of each of these sets.
    """

    generators: tuple[Element, ...]
    verdicts: tuple[Verdict, ...]
    order: int
    group: FiniteGroup[Element] | None
    signed_permutations: int | None
    name: str
    undecided: tuple[Verdict, ...]
    affine: tuple[Verdict, ...] = ()
    identical: tuple[tuple[int, ...], ...] = ()
    direct: bool = False


@dataclass(frozen=True, eq=False)
class LatticeGroup:
    """Symmetries that move sites: translations, and a point group of signed axis permutations.

    Attributes
    ----------
    generators
        Elements whose site maps generate the point group; a component matrix other than the identity means
        that the site map is a symmetry only together with it.
    verdicts
        The proofs, in the same order.
    point_group
        The site maps, enumerated.
    name
        Name of the point group.
    periods
        The least translation along every axis that is a symmetry: 1 unless couplings depend on the site.
    undecided
        Verdicts on candidates that were neither proved nor refuted.
    """

    generators: tuple[Element, ...]
    verdicts: tuple[Verdict, ...]
    point_group: FiniteGroup[SiteMap]
    name: str
    periods: tuple[int, ...]
    undecided: tuple[Verdict, ...]

    @property
    def translations(self) -> tuple[int, ...]:
        """Number of translations along every axis."""
        shape = self.point_group.elements[0].lattice.shape
        return tuple(extent // period for extent, period in zip(shape, self.periods, strict=True))

    @property
    def order(self) -> int:
        """Number of site maps: translations times order of the point group."""
        return prod(self.translations) * self.point_group.order


@dataclass(frozen=True, eq=False)
class Discovery:
    """The symmetries that :func:`find_symmetries` found; print it to read them.

    Attributes
    ----------
    theory
        The theory, with couplings held as asked for.
    algebra, internal, lattice
        Continuous internal, discrete internal and lattice symmetries.
    name
        The internal group as a whole, e.g. ``O(3)``.
    limits
        Symmetries that the searches may have missed, one sentence each.
    angles
        Shifts of angles.
    """

    theory: Theory
    algebra: LieAlgebra
    internal: InternalGroup
    lattice: LatticeGroup
    name: str
    limits: tuple[str, ...]
    angles: AngleShifts = field(default_factory=AngleShifts)

    def text(self) -> str:
        """The findings as plain text."""
        t, algebra, internal, lattice = self.theory, self.algebra, self.internal, self.lattice
        lines = [f"symmetries of {t.name}: components ({', '.join(map(str, t.components))}) on {t.lattice}"]
        lines.append(f"internal symmetry: {self.name}")
        known = "all of them" if algebra.complete else "there may be more"
        kind = "trivial"
        if algebra.dimension:
            kind = (
                algebra.name
                if "dimension" in algebra.name
                else f"{algebra.name}, dimension {algebra.dimension}"
            )
            kind += "" if algebra.abelian else ", not abelian"
            kind += ", compact" if algebra.compact else ", not compact"
        lines.append(f"  Lie algebra: {kind} ({known})")
        for matrix, orthogonal in zip(algebra.basis, algebra.orthogonal, strict=True):
            lines.append(f"    A = {_unit_matrices(matrix)}: exact{'' if orthogonal else ', not orthogonal'}")
        lines += [f"    A = {_unit_matrices(matrix)}: undecided" for matrix in algebra.undecided]
        lines += self.angles.lines(t.components)
        order = "" if "order" in internal.name else f", order {internal.order}"
        lines.append(f"  discrete maps: {internal.name}{order}")
        if internal.signed_permutations is not None and internal.signed_permutations != internal.order:
            lines.append(f"    {internal.signed_permutations} of them signed permutations")
        for fields in internal.identical:
            names = ", ".join(field_name(t.fields[f]) for f in fields)
            lines.append(f"    S{len(fields)}: all permutations of {names}")
        for verdict in (*internal.verdicts, *internal.undecided):
            lines.append(f"    {self._field_map(verdict)}: {verdict.status}, {verdict.evidence}")
        if internal.affine:
            lines.append("  maps about another point than 0:")
            lines += [f"    {self._field_map(v)}: {v.status}, {v.evidence}" for v in internal.affine]
        if t.lattice.volume > 1:
            translations = " × ".join(f"Z{number}" for number in lattice.translations)
            name = f"({lattice.name})" if "×" in lattice.name else lattice.name
            lines.append(
                f"lattice symmetry: {name} ⋉ translations {translations}, {lattice.order} maps of sites"
            )
            for verdict in (*lattice.verdicts, *lattice.undecided):
                sites = verdict.generator.sites
                images = ", ".join(
                    f"e{mu} → {'-' if sign < 0 else ''}e{axis}"
                    for mu, (axis, sign) in enumerate(zip(sites.axes, sites.signs, strict=True))
                    if (axis, sign) != (mu, 1)
                )
                fields = self._field_map(verdict)
                lines.append(
                    f"    {images}{' with ' + fields if fields else ''}: {verdict.status}, {verdict.evidence}"
                )
        return "\n".join([*lines, *(f"limit: {limit}" for limit in self.limits)])

    __str__ = text

    def __repr__(self) -> str:
        return f"Discovery({self.theory.name!r}, {self.name})"

    def _field_map(self, verdict: Verdict) -> str:
        """The components that change, e.g. ``x → -y, y → x``."""
        components = self.theory.components
        moved = verdict.generator.matrix * sp.Matrix(components) + verdict.generator.shift_vector
        images = moved.flat()
        pairs = zip(components, images, strict=True)
        return ", ".join(f"{a} → {sp.sstr(image)}" for a, image in pairs if a != image)


def field_name(named: Field) -> str:
    """Name of a field."""
    return str(getattr(named, "name", named))


def _unit_matrices(matrix: sp.ImmutableMatrix) -> str:
    """Σ coefficient E_ab, where E_ab has a single entry 1 in row a and column b."""
    units = {(a, b): sp.Symbol(f"E({a},{b})") for a in range(matrix.rows) for b in range(matrix.cols)}
    return sp.sstr(sp.Add(*(matrix[index] * unit for index, unit in units.items())))
