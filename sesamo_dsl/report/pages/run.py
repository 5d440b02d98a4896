"""The page of a run: the theory, the training, and samples that are drawn for the page."""

from __future__ import annotations

import numpy as np

from ...estimates.estimate import Estimate
from ...estimates.samples import Samples
from ...estimates.weighted import virial_label
from ...runs import Run, analysis_of, stored_analysis
from ...values.couplings import couplings_text
from . import checklist, provenance, quantities, sample_pictures
from .blocks import Block, Card, Fold, Items, Page, Picture, Pictures, Section, Table, Text
from .theory import symmetry_section, theory_section
from .wording import measured, number, power, share, typeset

_MOST = 12  # operators that are shown at once


def run_page(run: Run, samples: Samples, references: dict[str, Estimate], seed: int) -> Page:
    """The page of a run with samples of it."""
    program, parameters = samples.program, samples.parameters
    analysis, stored = analysis_of(run), stored_analysis(run)
    checks = checklist.of_samples(samples)
    sections = [
        Section("Checks", checklist.blocks(checks, samples.notes)),
        theory_section(analysis, program, parameters, stored),
        symmetry_section(analysis, program, parameters, run.compiled.facts, stored, samples.x),
        Section("Training", _training(run)),
        Section("Samples and weights", _weights(samples)),
        Section("Sectors and orientations", _sectors(samples)),
        Section("Observables", _observables(samples, references)),
        Section("Coverage", [*_coverage(samples), *_over_range(run)]),
        provenance.of_run(run, len(samples), seed),
    ]
    lattice = " × ".join(map(str, program.shape))
    couplings = couplings_text(parameters) or "no couplings"
    subtitle = f"a run on the lattice {lattice}, {couplings}; {len(samples)} samples"
    return Page(program.theory, subtitle, _cards(samples, checklist.card(checks)), sections)


def _cards(samples: Samples, checks: Card) -> list[Card]:
    coverage = samples.coverage
    status = "unknown" if coverage is None else coverage.status
    state = {"covered": "good", "missed": "bad"}.get(status, "unknown")
    cards = [
        Card("effective sample size", share(samples.ess)),
        Card("log Z", measured(samples.log_z)),
        Card("KL(q‖p)", measured(samples.kl)),
        Card("coverage", status, state),  # pyright: ignore[reportArgumentType]
        checks,
    ]
    if samples.leaked.any():
        cards.insert(3, Card("leaked", share(samples.leaked_fraction)))
    return cards


def _training(run: Run) -> list[Block]:
    pictures = sample_pictures.training(run.history)
    over = "" if run.plan.over is None else f", over {run.plan.over}"
    sentence = f"{run.progress}, in {number(run.course.seconds, 3)} s{over}."
    blocks: list[Block] = [Text(sentence[0].upper() + sentence[1:])]
    if run.plan.reasons:
        blocks += [Text("Why the compiler chose what was left open:"), Items(run.plan.reasons)]
    if not run.finished:
        blocks.append(Text("The training is not finished: run.resume() or sesamo-dsl resume goes on."))
    if not pictures:
        blocks.append(Text("There is no step to draw."))
    return [*blocks, *([Pictures(pictures)] if pictures else [])]


def _weights(samples: Samples) -> list[Block]:
    kind = (
        "with the exact log Z" if samples.kl_is_exact else "with the estimated log Z, not independent of it"
    )
    rows = [
        ["effective sample size", f"{samples.ess:.5f}", "(Σw)²/(N Σw²)"],
        ["log Z", measured(samples.log_z), "by importance weights"],
        ["KL(q‖p)", measured(samples.kl), kind],
        ["free-energy bound", measured(samples.free_energy_bound), "⟨log q + S⟩ ≥ −log Z"],
        ["leaked", share(samples.leaked_fraction), "samples outside Ω or in a wall, of weight zero"],
        [virial_label(samples.program), measured(samples.virial), "1 if the samples span exp(−S)"],
    ]
    if samples.exact is not None:
        exact = Estimate(samples.exact.log_z, samples.exact.log_z_error)
        rows.insert(2, ["log Z, exact", measured(exact), "by quadrature"])
    blocks: list[Block] = [Table(["figure", "value", ""], rows, numeric=frozenset({1}))]
    if samples.annealed is not None:
        blocks.append(Text(f"Annealed: {samples.annealed}."))
    histogram = sample_pictures.weights(samples)
    if histogram is None:
        blocks.append(Text("No sample has a finite weight: there is no histogram."))
    weights = samples.weights if np.isfinite(samples.weights).all() else None
    means = (
        []
        if _is_orbit_only(samples)
        else sample_pictures.means(samples.program, samples.x, weights, "in the model")
    )
    pictures = [*([] if histogram is None else [histogram]), *means]
    return [*blocks, *([Pictures(pictures)] if pictures else [])]


def _is_orbit_only(samples: Samples) -> bool:
    """True if the means of fields are components of a vector that a Lie group turns, drawn by its angle."""
    dimensions = [len(c) for name, c in samples.program.constants.items() if name.startswith("COLLECTIVE_")]
    return sum(dimensions) == len(samples.program.components)


def _sectors(samples: Samples) -> list[Block]:
    sectors = samples.program.sectors
    weights = samples.weights if np.isfinite(samples.weights).all() else None
    pictures: list[Picture] = sample_pictures.orientations(
        samples.program, samples.x, weights, "in the model"
    )
    blocks: list[Block] = []
    if sectors.count > 1 and sectors.enumerable:
        masses = [
            Estimate(float(m), float(e))
            for m, e in zip(samples.sector_masses, samples.sector_errors, strict=True)
        ]
        exact = None if samples.exact is None else samples.exact.sector_masses
        drawn = sample_pictures.sectors(masses, samples.model_masses, exact)
        pictures = [*([] if drawn is None else [drawn]), *pictures]
        outside = () if samples.coverage is None else samples.coverage.sector_masses
        blocks.append(quantities.sectors(masses, samples.model_masses, exact, outside))
    elif sectors.count > 1:
        pictures.insert(0, sample_pictures.blocks(samples.block_masses))
        many = power(sectors.order, sectors.n_blocks)
        blocks.append(Text(f"There are {many} sectors, too many to count configurations in each."))
    if not blocks and not pictures:
        return [Text("The theory has one sector and no Lie group: there is nothing to compare.")]
    return [*([Pictures(pictures)] if pictures else []), *blocks]


def _observables(samples: Samples, references: dict[str, Estimate]) -> list[Block]:
    names = quantities.names_of(samples.program, samples.declared, log_z=True)
    found = quantities.values(names, samples.declared, samples.expect, samples.derived, samples.log_z)
    outside: dict[str, Estimate] = {}
    if samples.coverage is not None:
        outside = {pair.name.strip("⟨⟩"): pair.outside for pair in samples.coverage.observables}
        if samples.coverage.log_z is not None:
            outside[quantities.LOG_Z] = samples.coverage.log_z.outside
    exact = {}
    if samples.exact is not None:
        exact[quantities.LOG_Z] = Estimate(samples.exact.log_z, samples.exact.log_z_error)
    columns = {"exact": exact, "from outside": outside, "reference": references}
    return [quantities.table(found, columns, samples.declared), Text(quantities.SIGNIFICANT)]


def _coverage(samples: Samples) -> list[Block]:
    coverage = samples.coverage
    if coverage is None:
        return [
            Text(f"Coverage is not known: {samples.unchecked or 'there are no configurations from outside'}.")
        ]
    rows = [
        ["status", coverage.status, f"by {coverage.origin}"],
        ["forward ESS", measured(coverage.forward_ess), f"the samples have {number(coverage.ess)}"],
        [
            "uncovered probability",
            measured(coverage.uncovered),
            f"where log w − log Z > {number(coverage.threshold)}",
        ],
        ["smallest region that would be seen", share(coverage.resolution), "with a chance of 95 %"],
    ]
    blocks: list[Block] = [
        Table(["figure", "value", ""], rows, numeric=frozenset({1})),
        Text(_capital(coverage.verdict)),
    ]
    spectrum = coverage.spectrum
    if spectrum.rows:
        blocks.append(
            Text(
                "Operators by the model and from outside, those that differ most first; of "
                f"{len(spectrum.rows)}, more than {number(spectrum.bound, 3)} σ is no accident."
            )
        )
        blocks.append(quantities.operators(spectrum.rows[:_MOST], spectrum.bound, outside=True))
        if rest := spectrum.rows[_MOST:]:
            folded = quantities.operators(rest, spectrum.bound, outside=True)
            blocks.append(Fold(f"{len(rest)} more operators", [folded]))
    return blocks


def _over_range(run: Run) -> list[Block]:
    """The annealings at points of the range of couplings that the run was trained over."""
    if run.plan.over is None:
        return []
    if not run.checked:
        return [Text("There is no annealing at other points of the range: run.check() makes them.")]
    rows = [[c.text, c.place, number(c.ess, 4), c.status, c.verdict] for c in run.checked]
    return [
        Text(f"Annealings at points of the range of the training, {run.plan.over}:"),
        Table(["couplings", "place", "ESS", "coverage", ""], rows, numeric=frozenset({2})),
    ]


def _capital(text: str) -> str:
    text = typeset(text)
    return f"{text[0].upper()}{text[1:]}." if text else ""
