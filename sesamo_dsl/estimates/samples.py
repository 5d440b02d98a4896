"""The samples of a model as a user holds them: their figures and the warnings about them, as text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..checks import shown
from ..errors import OptionError, RunError
from ..language.theory import Theory
from ..language.theory_files import derived_quantities, load_theory
from ..stages.analyse import analyse
from ..stages.same_action import same_action
from ..values.couplings import couplings_text
from ..values.sheet import Line, Sheet, Table, row
from .annealing_record import AnnealingRecord
from .coverage import NOT_ASKED, REMEDY, UNKNOWN_REMEDY, Coverage
from .finding import Finding
from .health import examine, not_finite
from .samples_file import read_samples
from .target_sample import Outside
from .weighted import Observable, WeightedSamples, virial_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNKNOWN = "whether the model misses a part of exp(−S) is not known"


@dataclass(frozen=True, eq=False, repr=False)
class Samples(WeightedSamples):
    """Samples of a trained model with their importance weights; printed, they show figures and warnings.

    Attributes
    ----------
    outside
        Configurations from outside the model, such as those of the annealing at the end of the training, with
        which the samples are compared; None without such configurations.
    unchecked
        The reason why ``outside`` is None, in words.
    """

    outside: Outside | None = None
    unchecked: str = ""

    @cached_property
    def coverage(self) -> Coverage | None:
        """Comparison with configurations from outside the model; None without such configurations."""
        return None if self.outside is None else Coverage.of(self, *self.outside)

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

    @classmethod
    def open(
        cls, path: str | Path, *, part: slice | None = None, theory: Theory | str | Path | None = None
    ) -> Samples:
        """The samples in a file that ``run.sample_to`` has written, or those of them that are done so far.

        All figures are those of the same samples in memory. Configurations stay in the file and are read,
        some thousand at a time, for every figure that is asked for; about a hundred bytes per sample are in
        memory, and eight more for every estimate that is kept, by which it is known to be correlated with
        others. Functions of configurations that are given to :meth:`expect` are called with as many at a
        time.

        Parameters
        ----------
        path
            The file.
        part
            Numbers of the samples, ``slice(0, 1000)`` for instance; default: all that are done.
        theory
            The declaration, or its name or file, for derived quantities whose file has been moved or changed
            since. A theory file is executed as Python.

        Raises
        ------
        OptionError
            If the file is of another kind, or there is no sample in the part.
        RunError
            If the file is not there, is damaged, holds no sample yet, or belongs to another theory.
        BackendError
            If h5py is not installed.
        """
        place = checks.path(path, "samples file")
        stored = read_samples(place, part)
        given = theory if theory is None or isinstance(theory, Theory) else load_theory(theory)
        frame = stored.frame
        if given is not None and not same_action(frame.program, analyse(given, normalizable=False)):
            raise RunError(
                f"samples in {place}",
                expected=f"the theory {frame.program.theory} they were drawn from",
                found=f"{given.name}, whose action is another one",
                remedy="give the declaration as it was when the model was trained",
            )
        derived, missing = derived_quantities(frame.derived, frame.origin, given, (place.parent,))
        samples = cls(
            frame.program,
            frame.parameters,
            exact=frame.exact,
            notes=tuple(dict.fromkeys((*frame.notes, *missing))),
            declared=derived,
            training=frame.training,
            search=frame.search,
            annealed=stored.annealed,
            outside=frame.outside,
            unchecked=frame.unchecked,
            **stored.arrays,
        )
        if stored.annealed is not None or not stored.asked_to_anneal:
            return samples
        none_needed = AnnealingRecord(0, np.nan, 0, 0, samples.ess, samples.ess, stored.seed)
        return replace(samples, annealed=none_needed)

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
            row(virial_label(self.program), str(self.virial), f"z = {self.virial_z_score:+.2f}"),
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
