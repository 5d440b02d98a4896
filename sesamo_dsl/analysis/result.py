"""Analysis: everything that was derived from a declaration, and how it reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy as sp

from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..groups.symmetry import Symmetry
from ..theory import Theory
from .domain import Domain
from .invariance import Status, Verdict


@dataclass(frozen=True, eq=False)
class SymmetryReport:
    """Verdicts on the generators of one declared symmetry."""

    symmetry: Symmetry
    group: FiniteGroup[Element]
    verdicts: tuple[Verdict, ...]

    @property
    def status(self) -> Status:
        """The weakest verdict: broken before undecided before exact."""
        statuses = [v.status for v in self.verdicts]
        return "broken" if "broken" in statuses else "undecided" if "undecided" in statuses else "exact"


@dataclass(frozen=True, eq=False)
class Analysis:
    """Result of :func:`sesamo_dsl.analyse`; print it to read the derivation.

    Attributes
    ----------
    theory
        What was analysed.
    reports
        One per declared symmetry.
    group
        The group that all symmetries generate together; it modulates the flow.
    breaking
        S₁, the part of the action that the group changes (0 if none).
    domain
        Fundamental domain of the group.
    """

    theory: Theory
    reports: tuple[SymmetryReport, ...]
    group: FiniteGroup[Element]
    breaking: sp.Expr
    domain: Domain

    @property
    def status(self) -> Status:
        """Verdict on the whole group."""
        statuses = [r.status for r in self.reports]
        return "broken" if "broken" in statuses else "undecided" if "undecided" in statuses else "exact"

    @property
    def is_modulated(self) -> bool:
        """Whether there is any symmetry to modulate with."""
        return self.group.order > 1

    def text(self) -> str:
        """The derivation as plain text."""
        t = self.theory
        lines = [
            f"theory {t.name}: {', '.join(map(str, t.components))} on {t.lattice}, n = {t.degrees_of_freedom}",
            f"S = {t.action}",
            "",
        ]
        for report in self.reports:
            lines.append(f"symmetry {report.symmetry.name}, order {report.group.order}: {report.status}")
            for verdict in report.verdicts:
                lines.append(f"  generator {verdict.generator}: {verdict.status}, {verdict.evidence}")
                if verdict.status != "exact":
                    lines.append(f"    S∘T − S = {verdict.residual}")
        if not self.is_modulated:
            return "\n".join([*lines, "no symmetry to modulate with: the flow fills the whole space"])
        collective = [f"⟨{c}⟩" for c in self.domain.collective]
        lines += [
            "",
            f"S = S₀ + S₁ with S₁ = {self.breaking}",
            f"modulation group: order {self.group.order}, collective coordinate c = ({', '.join(collective)}),"
            " ⟨·⟩ the spatial mean",
            f"fundamental domain Ω around r = {_row(self.domain.reference)}:",
        ]
        for normal, neighbour in zip(self.domain.facets, self.domain.neighbours, strict=True):
            terms = [f"{a:+.6g}·{name}" for a, name in zip(normal, collective, strict=True) if abs(a) > 1e-12]
            lines.append(f"  λ = {' '.join(terms)} ≤ 0  (towards {self.group.elements[neighbour]})")
        lines += [
            "x = T_u y with y ∈ Ω; log|det DT_u| = 0 (the group is finite)",
            "log q(x) = log q̃(y) + log p(u|y)",
            "p(u|y) = 1/|G|, exact" if self.breaking == 0 else "p(u|y) ∝ exp(−S₁(T_u y)), exact (heat bath)",
        ]
        return "\n".join(lines)

    __str__ = __repr__ = text


def _row(vector: np.ndarray) -> str:
    return "(" + ", ".join(f"{v + 0.0:.6g}" for v in vector) + ")"
