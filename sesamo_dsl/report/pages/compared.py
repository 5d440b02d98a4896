"""The page of a comparison: figures of each method, with their scatter over seeds."""

from __future__ import annotations

import math

import numpy as np

from ...comparison import FIGURES, Comparison
from ...estimates.estimate import Estimate
from ...stages.lower import lower_theory
from ...values.couplings import couplings_text
from . import provenance, quantities
from .blocks import Block, Card, Fold, Items, Page, Pictures, Section, Table, Text
from .sample_pictures import points
from .theory import symmetry_section, theory_section
from .wording import measured, number

_COLUMNS = {
    "ess": "ESS",
    "forward_ess": "forward ESS",
    "kl": "KL(q‖p)",
    "nll": "NLL",
    "sector_error": "sector error",
    "leaked": "leaked",
    "log_z": "log Z",
    "seconds": "seconds",
}
_DRAWN = ("ess", "forward_ess", "kl", "sector_error")


def comparison_page(comparison: Comparison, references: dict[str, Estimate]) -> Page:
    """The page of a comparison."""
    seeds = len({trial.seed for trial in comparison.trials})
    sections = [Section("Methods", _methods(comparison, references))]
    making = comparison.making
    if making is not None:
        program = lower_theory(making.analysis)
        nothing = np.zeros((0, *program.configuration_shape))
        sections += [
            theory_section(making.analysis, program, comparison.parameters, ""),
            symmetry_section(making.analysis, program, comparison.parameters, making.analysis, "", nothing),
        ]
    sections.append(provenance.of_making(making, None))
    best = max(
        comparison.methods, key=lambda m: np.nan_to_num(comparison.figure(m, "forward_ess").value, nan=-1)
    )
    cards = [
        Card("methods", str(len(comparison.methods))),
        Card("seeds", str(seeds)),
        Card("time of each", f"{number(comparison.budget)} s"),
        Card("largest forward ESS", best),
    ]
    couplings = couplings_text(comparison.parameters) or "no couplings"
    return Page(comparison.theory, f"a comparison of methods, {couplings}", cards, sections)


def _methods(comparison: Comparison, references: dict[str, Estimate]) -> list[Block]:
    methods = comparison.methods
    rows = [
        [
            method,
            *(_pair(comparison.figure(method, name)) for name in _COLUMNS),
            _number(comparison.rate(method).value),
            _number(comparison.break_even(method)),
        ]
        for method in methods
    ]
    header = ["method", *_COLUMNS.values(), "effective samples/s", "pays from"]
    tables = [_part(header, rows, slice(1, 5)), _part(header, rows, slice(5, None))]
    pictures = []
    for name in _DRAWN:
        found = {method: comparison.figure(method, name) for method in methods}
        known = {method: value for method, value in found.items() if math.isfinite(value.value)}
        if known:
            caption = f"{_COLUMNS[name]} of each method, mean over seeds with its error."
            pictures.append(points(list(known.values()), list(known), _COLUMNS[name], caption))
    blocks: list[Block] = [
        *tables,
        Text(f"± is the error of the mean over seeds. Truth: {comparison.truth}."),
    ]
    if pictures:
        blocks.append(Pictures(pictures))
    if references:
        named = {method: _log_z(comparison, method) for method in methods}
        rows = [[method, measured(value), *_against(value, references)] for method, value in named.items()]
        blocks.append(
            Table(["method", "log Z", "reference", "difference"], rows, numeric=frozenset({1, 2, 3}))
        )
    notes = [f"{method}: {note}" for method, told in comparison.notes.items() for note in told]
    if notes:
        blocks += [Text("What the methods have told:"), Items(notes)]
    trials = [
        [t.method, str(t.seed), *(_number(float(getattr(t, name))) for name in FIGURES)]
        for t in comparison.trials
    ]
    titles = ["method", "seed", *(name.replace("_", " ") for name in FIGURES)]
    every = Table(titles, trials, numeric=frozenset(range(1, len(titles))))
    return [*blocks, Fold(f"All {len(trials)} trials", [every])]


def _part(header: list[str], rows: list[list[str]], columns: slice) -> Table:
    """Some columns of a table that is too wide for a page."""
    shown = [header[0], *header[columns]]
    return Table(shown, [[row[0], *row[columns]] for row in rows], numeric=frozenset(range(1, len(shown))))


def _log_z(comparison: Comparison, method: str) -> Estimate:
    """Mean of log Z over the seeds, with the error that the trials claim where there is one seed only."""
    found = comparison.figure(method, "log_z")
    if math.isfinite(found.error):
        return found
    return Estimate(found.value, comparison.figure(method, "log_z_error").value)


def _against(value: Estimate, references: dict[str, Estimate]) -> list:
    other = references[quantities.LOG_Z]
    return [measured(other), quantities.difference("log Z", value, other)]


def _pair(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "∞" if estimate.value == math.inf else "—"
    return measured(estimate) if math.isfinite(estimate.error) else number(estimate.value, 5)


def _number(value: float) -> str:
    return "—" if math.isnan(value) else number(value, 4)
