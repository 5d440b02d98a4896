"""The result of an analysis, which prints as a derivation."""

from __future__ import annotations

from dataclasses import dataclass

from .derivation.content import content
from .derivation.text import TextWriter
from .findings import Findings


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(Findings):
    """Result of :func:`sesamo_dsl.analyse`; print it to read the derivation.

    Attributes are those of :class:`sesamo_dsl.analysis.findings.Findings`.
    """

    def text(self) -> str:
        """The derivation as plain text; :func:`sesamo_dsl.report.derivation` has other formats."""
        return TextWriter().document(tuple(content(self)))

    __str__ = text

    def __repr__(self) -> str:
        order = f", |G| = {self.group.order}" * (self.group.order > 1)
        return f"Analysis({self.theory.name!r}, {self.status}{order})"
