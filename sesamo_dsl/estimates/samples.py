"""The samples of a model as a user holds them: their figures and the warnings about them, as text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..checks import shown
from ..errors import OptionError
from .coverage import NOT_ASKED, REMEDY, UNKNOWN_REMEDY, Coverage
from .finding import Finding
from .health import examine, not_finite
from .weighted import WeightedSamples

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

    def text(self) -> str:
        """The figures as text."""
        kind = "exact log Z" if self.kl_is_exact else "with the estimated log Z, not independent of it"
        lines = [
            f"samples            {len(self)}",
            f"ESS                {self.ess:.5f}",
            f"log Z              {self.log_z}" + (f"   exact {self.exact.log_z:.6f}" if self.exact else ""),
            f"KL(q‖p)            {self.kl}   ({kind})",
            f"free-energy bound  {self.free_energy_bound}   (⟨log q + S⟩ ≥ −log Z; not a KL)",
            f"leaked fraction    {self.leaked_fraction:.2e}",
            f"virial ⟨x·∇S⟩/n    {self.virial}   z = {self.virial_z_score:+.2f}",
        ]
        if self.annealed is not None:
            lines.insert(1, f"annealed           {self.annealed}")
        sectors = self.program.sectors
        if sectors.count > 1 and not sectors.enumerable:
            lines.append("masses of the elements in each block (reweighted)")
            lines += [f"  {b:3d}  {_row(masses)}" for b, masses in enumerate(self.block_masses[:16])]
        elif sectors.count > 1:
            lines.append("sector masses (reweighted ± error, in the model, exact)")
            masses, errors, model = self.sector_masses, self.sector_errors, self.model_masses
            for u in range(min(sectors.count, 16)):
                exact = f"{self.exact.sector_masses[u]:.5f}" if self.exact is not None else "—"
                lines.append(f"  {u:3d}  {masses[u]:.5f} ± {errors[u]:.5f}   {model[u]:.5f}   {exact}")
            if sectors.count > 16:
                lines.append(f"  … {sectors.count - 16} more")
        if self.coverage is not None:
            lines.append(self.coverage.text())
        elif self.unchecked:
            lines.append(f"coverage           unknown: {self.unchecked}")
        lines += [f"WARNING: {warning}" for warning in self.warnings]
        if self.search is not None and self.search.basins is None:
            lines.append("note: no minima of S are known, so nothing was searched for modes that are missed")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

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


def _row(values: np.ndarray) -> str:
    return "  ".join(f"{value:.5f}" for value in values)
