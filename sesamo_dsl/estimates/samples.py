"""The samples of a model as a user holds them: their figures and the warnings about them, as text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..checks import shown
from ..errors import OptionError
from ..values.couplings import couplings_text
from ..values.sheet import Line, Sheet, Table, row
from .coverage import NOT_ASKED, REMEDY, UNKNOWN_REMEDY, Coverage
from .finding import Finding
from .health import examine, not_finite
from .weighted import Observable, WeightedSamples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNKNOWN = "whether the model misses a part of exp(−S) is not known"


@dataclass(frozen=True, eq=False, repr=False)
class Samples(WeightedSamples):
    """Samples of a trained model with their importance weights; printed, they show figures and warnings.

    Attributes
    ----------
    coverage
        Comparison with configurations from outside the model, such as those of the annealing at the end of
        the training; None without such configurations.
    unchecked
        The reason why ``coverage`` is None, in words.
    """

    coverage: Coverage | None = None
    unchecked: str = ""

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the figures, each with its remedy; empty for a sound model.

        The checks are those of :mod:`sesamo_dsl.estimates.health`.
        """
        found = examine(self)
        if self.coverage is not None and self.coverage.status == "missed":
            found = (*found, Finding("coverage", self.coverage.verdict, REMEDY))
        unknown = "" if self.unchecked == NOT_ASKED else self.unchecked
        if self.coverage is not None and self.coverage.status == "unknown":
            unknown = self.coverage.doubts[0]
        if unknown:
            found = (*found, Finding("coverage", f"{_UNKNOWN}: {unknown}", UNKNOWN_REMEDY))
        return tuple(map(str, found))

    @property
    def is_finite(self) -> bool:
        """True if :func:`~sesamo_dsl.estimates.health.not_finite` has no finding."""
        return not_finite(self) is None

    @property
    def sheet(self) -> Sheet:
        """The figures and the warnings."""
        kind = "exact log Z" if self.kl_is_exact else "with the estimated log Z, not independent of it"
        exact = [] if self.exact is None else [f"exact {self.exact.log_z:.6f}"]
        bound = "(⟨log q + S⟩ ≥ −log Z; not a KL)"
        parts = [
            row("samples", str(len(self))),
            *([] if self.annealed is None else [row("annealed", str(self.annealed))]),
            row("ESS", f"{self.ess:.5f}"),
            row("log Z", str(self.log_z), *exact),
            row("KL(q‖p)", str(self.kl), f"({kind})"),
            row("free-energy bound", str(self.free_energy_bound), bound),
            row("leaked fraction", f"{self.leaked_fraction:.2e}"),
            row("virial ⟨x·∇S⟩/n", str(self.virial), f"z = {self.virial_z_score:+.2f}"),
            *self._sector_tables(),
        ]
        if self.coverage is not None:
            parts.append(self.coverage.sheet())
        elif self.unchecked:
            parts.append(row("coverage", f"unknown: {self.unchecked}"))
        notes = list(self.notes)
        if self.search is not None and self.search.basins is None:
            notes.insert(0, "no minima of S are known, so nothing was searched for modes that are missed")
        title = f"Samples of {self.program.theory}   {couplings_text(self.parameters)}"
        return Sheet(title, parts, self.warnings, notes, is_examined=True)

    def _sector_tables(self) -> list[Table]:
        sectors = self.program.sectors
        if sectors.count == 1:
            return []
        if not sectors.enumerable:
            lines = [
                _line(b, *(f"{mass:.5f}" for mass in masses), gap="  ")
                for b, masses in enumerate(self.block_masses[:16])
            ]
            return [Table("masses of the elements in each block (reweighted)", tuple(lines))]
        masses, errors, model = self.sector_masses, self.sector_errors, self.model_masses
        exact = None if self.exact is None else self.exact.sector_masses
        lines = [
            _line(
                u,
                f"{masses[u]:.5f} ± {errors[u]:.5f}",
                f"{model[u]:.5f}",
                "—" if exact is None else f"{exact[u]:.5f}",
            )
            for u in range(min(sectors.count, 16))
        ]
        if sectors.count > 16:
            lines.append(Line(f"  … {sectors.count - 16} more", (f"… {sectors.count - 16} more",)))
        return [Table("sector masses (reweighted ± error, in the model, exact)", tuple(lines))]

    def text(self) -> str:
        """The figures as text."""
        return self.sheet.text()

    def plot(self, observable: Observable | None = None, *, ax: Axes | None = None) -> Figure:
        """A picture of the distribution of an observable under p, with a band of one standard error.

        Parameters
        ----------
        observable
            As in :meth:`expect`; by default the logarithms of the weights are shown.
        ax
            Axes of matplotlib to draw into; by default a figure is made.
        """
        from ..report.plots import samples_plot  # matplotlib takes a second to import

        return samples_plot(self, observable, ax)

    def _repr_html_(self) -> str:
        return self.sheet.html()

    __str__ = text

    def __repr__(self) -> str:
        return f"Samples({self.program.theory}, {len(self)}, ess={self.ess:.4f})"


def check_samples(value: Any, subject: str) -> Samples:
    """The value if it is :class:`Samples`; else OptionError about ``subject``."""
    if not isinstance(value, Samples):
        raise OptionError(
            subject,
            expected="samples of a trained model",
            found=f"{type(value).__name__} {shown(value)}",
            remedy="draw some: run.sample(1000)",
        )
    return value


def _line(number: int, *cells: str, gap: str = "   ") -> Line:
    return Line(f"  {number:3d}  {gap.join(cells)}", (str(number), *cells))
