"""The result of an analysis, which prints as a derivation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .derivation.content import content
from .derivation.text import TextWriter
from .findings import Findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(Findings):
    """Result of :func:`sesamo_dsl.analyse`; print it to read the derivation.

    Attributes are those of :class:`sesamo_dsl.analysis.findings.Findings`.
    """

    def text(self) -> str:
        """The derivation as plain text; :func:`sesamo_dsl.report.derivation` has other formats."""
        return TextWriter().document(tuple(content(self)))

    __str__ = text

    def plot(self, kind: Literal["domain", "cayley"] = "domain", *, ax: Axes | None = None) -> Figure:
        """A picture of the fundamental domain and its images, or of the Cayley graph of the group.

        Parameters
        ----------
        kind
            ``"domain"`` or ``"cayley"``.
        ax
            Axes of matplotlib to draw into; by default a figure is made.

        Raises
        ------
        OptionError
            If there is no group to draw, or its domain has too many dimensions.
        """
        from ..report.canvas import choice  # matplotlib takes a second to import
        from ..report.cayley import cayley_picture
        from ..report.domains import domain_picture

        choice(kind, ("domain", "cayley"), "kind")
        return domain_picture(self, ax) if kind == "domain" else cayley_picture(self, ax)

    def _repr_html_(self) -> str:
        from ..report.derivation import inner_html

        return inner_html(self)

    def __repr__(self) -> str:
        order = f", |G| = {self.group.order}" * (self.group.order > 1)
        return f"Analysis({self.theory.name!r}, {self.status}{order})"
