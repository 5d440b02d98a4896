"""The results of an analysis: verdicts on symmetries, the split S = S₀ + S₁, domain, slices and laws."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
import sympy as sp

from ..errors import GroupError
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..groups.lie import LieSymmetry
from ..groups.rotations import AngleRotation
from ..groups.sitewise import Sitewise
from ..groups.symmetry import Symmetry
from ..ir.facts import OrbitKind
from ..ir.sectors import Sectors
from ..landscape.integrability import LARGEST, Divergence
from ..language.theory import Theory
from ..values.couplings import Couplings
from .domain import Domain
from .invariance import BreakingRepresentation, Status, SurvivingSubgroup, Verdict
from .slices import Slice

_LONGEST_CHAIN = 512
"""Largest number of blocks of an autoregressive law, whose matrices grow with its square."""


class Verified:
    """What has verdicts on the generators of a group."""

    verdicts: tuple[Verdict, ...]

    @property
    def status(self) -> Status:
        """The weakest verdict: broken before undecided before exact."""
        return weakest(v.status for v in self.verdicts)


@dataclass(frozen=True, eq=False)
class SymmetryReport(Verified):
    """Verdicts on the generators of one declared symmetry.

    Attributes
    ----------
    enumerated
        The group with its elements; for a sitewise symmetry the group that acts at each block. None for a
        group that is infinite or too large to enumerate, and verified by its generators alone.
    axes
        Block axes of a sitewise symmetry, () for a group that acts at all sites alike.
    diagonal
        For a sitewise symmetry: the verdict on the diagonal subgroup, which acts at all blocks alike.
    factorised
        For a sitewise symmetry: whether S₁ is a sum of functions of one block each.
    """

    symmetry: Symmetry | Sitewise | AngleRotation
    enumerated: FiniteGroup[Element] | None
    verdicts: tuple[Verdict, ...]
    axes: tuple[int, ...] = ()
    diagonal: Status | None = None
    factorised: bool = True

    @property
    def group(self) -> FiniteGroup[Element]:
        """The group with its elements; raises GroupError where it was not enumerated."""
        if self.enumerated is None:
            raise GroupError(
                f"elements of symmetry {self.symmetry.name}",
                expected="a finite group",
                found=f"order {self.order}",
                remedy="use its generators, which are verified: .generators",
            )
        return self.enumerated

    @property
    def generators(self) -> tuple[Element, ...]:
        """The generators of the group, one for each verdict."""
        return tuple(verdict.generator for verdict in self.verdicts)

    @property
    def order(self) -> str:
        """The order of the group as a text."""
        if isinstance(self.symmetry, AngleRotation):
            return "infinite"
        if self.enumerated is None:
            return f"infinite or above {cast(Symmetry, self.symmetry).order_bound}"
        blocks = f"^{self.symmetry.n_blocks}" if isinstance(self.symmetry, Sitewise) else ""
        return f"{self.enumerated.order}{blocks}"


@dataclass(frozen=True, eq=False)
class LieReport(Verified):
    """Verdicts on the generators of one declared Lie group, and its slice.

    Attributes
    ----------
    surviving
        Basis of the subalgebra that leaves the action invariant.
    charges
        For a broken one-parameter group: the k with exp(ikθ) in S₁, in units of the generator.
    """

    symmetry: LieSymmetry
    matrices: tuple[sp.ImmutableMatrix, ...]
    verdicts: tuple[Verdict, ...]
    slice: Slice
    surviving: tuple[sp.ImmutableMatrix, ...]
    charges: tuple[sp.Expr, ...] = ()


def weakest(statuses: Iterable[Status]) -> Status:
    """The weakest of several verdicts: broken before undecided before exact."""
    found = set(statuses)
    return "broken" if "broken" in found else "undecided" if "undecided" in found else "exact"


@dataclass(frozen=True, eq=False)
class Findings:
    """The results that an :class:`sesamo_dsl.Analysis` holds.

    Attributes
    ----------
    theory
        The theory that was analysed.
    reports, lie_reports
        One per declared finite and Lie group.
    group
        The finite group that all modulating symmetries generate together; for a sitewise symmetry the group
        that acts at each block.
    breaking
        S₁, the part of the action that the group changes (0 if none).
    domain
        Fundamental domain of the group.
    linear_source
        h with S₁ = Σ_a h_a Σ_x φ_a on the collective multiplet of the only Lie group, if S₁ has this form.
    surviving, representation
        For a broken finite group: the subgroup that survives, and how S₁ transforms.
    combined
        Combinations of the generators of several broken Lie groups that leave the action invariant, beside
        those that survive in each of the groups: a diagonal U(1), for instance.
    limits
        Sentences on results that were not computed, and on consequences of the declaration that may surprise.
    divergence
        A direction along which ∫ exp(−S) is infinite at the default couplings. :func:`sesamo_dsl.analyse`
        raises it unless it is called with ``normalizable=False``; training and HMC refuse it in any case.
    """

    theory: Theory
    reports: tuple[SymmetryReport, ...]
    lie_reports: tuple[LieReport, ...]
    group: FiniteGroup[Element]
    breaking: sp.Expr
    domain: Domain
    linear_source: tuple[sp.Expr, ...] | None = None
    surviving: SurvivingSubgroup | None = None
    representation: BreakingRepresentation | None = None
    combined: tuple[sp.ImmutableMatrix, ...] = ()
    limits: tuple[str, ...] = ()
    divergence: Divergence | None = None

    @property
    def status(self) -> Status:
        """Verdict on the whole group."""
        return weakest(r.status for r in (*self.reports, *self.lie_reports))

    @property
    def sitewise(self) -> SymmetryReport | None:
        """The report on the sitewise symmetry, if the theory modulates with one."""
        return next((r for r in self.reports if isinstance(r.symmetry, Sitewise)), None)

    @property
    def axes(self) -> tuple[int, ...]:
        """The block axes, () if the finite group acts at all sites alike."""
        return () if self.sitewise is None else self.sitewise.axes

    @property
    def factorised(self) -> bool:
        """Whether S₁ is a sum over the blocks of the modulating group, so that its heat bath factorises."""
        return self.sitewise is None or self.sitewise.factorised

    @property
    def sectors(self) -> Sectors:
        """The number of sectors and their numbering."""
        shape = self.block_shape
        return Sectors(self.group.order, prod(shape) if shape else None)

    @property
    def coupled(self) -> bool:
        """Whether S₁ couples the blocks and there are too many sectors u for a heat bath or a sum over u."""
        return not (self.factorised or self.sectors.joint)

    @property
    def chained(self) -> bool:
        """Whether the law of u is autoregressive in the blocks, Π_b p(u_b | u_1 … u_(b−1), y)."""
        return self.coupled and (self.sectors.n_blocks or 1) <= _LONGEST_CHAIN

    @property
    def orbit_law(self) -> OrbitKind:
        """The kind of conditional law on the orbits of the Lie groups that is known for this theory.

        ``uniform``: the groups are unbroken. ``von_mises``: S₁ is a linear source on the only slice, a closed
        form (von Mises–Fisher above two components). ``tabulated``: one circle, broken in any other way.
        ``none``: no Lie group, or no known conditional law; a uniform law is then corrected by weights.
        """
        if not self.lie_reports:
            return "none"
        if all(v.status == "exact" for report in self.lie_reports for v in report.verdicts):
            return "uniform"
        if self.linear_source is not None:
            return "von_mises"
        return "tabulated" if [r.slice.dimension for r in self.lie_reports] == [2] else "none"

    @property
    def is_modulated(self) -> bool:
        """Whether there is any symmetry to modulate with."""
        return self.group.order > 1 or bool(self.lie_reports)

    @property
    def is_broken(self) -> bool:
        """Whether there is a breaking part S₁."""
        return self.breaking != 0

    @property
    def turns_together(self) -> bool:
        """Whether the action is invariant if the sitewise symmetry acts at all blocks alike."""
        return self.sitewise is not None and self.sitewise.diagonal == "exact"

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Extents of the block axes."""
        return tuple(self.theory.lattice.shape[mu] for mu in self.axes)

    @property
    def table(self) -> np.ndarray:
        """Multiplication table of the finite group, (order, order)."""
        return self.group.table

    @property
    def slice_dimensions(self) -> tuple[int, ...]:
        """For each Lie group the N of its orbit, the sphere S^(N−1)."""
        return tuple(report.slice.dimension for report in self.lie_reports)

    def linear_source_at(self, parameters: Couplings) -> np.ndarray | None:
        """The linear source at given couplings, (N,); None if S₁ is anything else."""
        if self.linear_source is None:
            return None
        symbols = {symbol for h in self.linear_source for symbol in h.free_symbols}
        values: Any = {symbol: parameters[symbol.name] for symbol in symbols}
        return np.array([float(h.subs(values)) for h in self.linear_source])

    @property
    def normalisability(self) -> str:
        """Whether ∫ exp(−S) was found to be infinite at the default couplings, in words."""
        if self.divergence is not None:
            return f"∫ exp(−S) is infinite: {self.divergence}"
        missing = [p.name for p in self.theory.parameters if p.name not in self.theory.defaults]
        if missing:
            return (
                f"∫ exp(−S) is not judged without a value for {', '.join(missing)}: "
                "that is done at the couplings of a run"
            )
        if self.theory.degrees_of_freedom > LARGEST:
            return f"∫ exp(−S) is not judged above {LARGEST} real variables"
        return "∫ exp(−S) was not found to be infinite along any direction that was searched"
