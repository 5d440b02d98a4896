"""The pages of results without a model: an annealing, and Markov chains."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...annealing import Annealed
from ...estimates.chains import Chain
from ...estimates.estimate import Estimate
from ...estimates.making import Making
from ...estimates.weighted import virial_label
from ...ir.program import Program
from ...values.couplings import Couplings, couplings_text
from . import checklist, provenance, quantities, sample_pictures
from .blocks import Block, Card, Page, Pictures, Section, Table, Text
from .theory import symmetry_section, theory_section
from .wording import measured, number, power, pretty


def annealing_page(annealed: Annealed, references: dict[str, Estimate]) -> Page:
    """The page of an annealing."""
    program = annealed.program
    checks = checklist.of_findings(annealed.findings, _unknown_of(annealed))
    counted = program.sectors.count > 1 and program.sectors.enumerable
    masses = list(annealed.sector_masses) if counted else []
    sections = [
        Section("Checks", checklist.blocks(checks, annealed.notes)),
        *_theory(annealed.making, program, annealed.parameters, annealed.samples),
        Section("Annealing", _annealing(annealed)),
        Section("Sectors and orientations", _sectors(program, masses, annealed.samples, annealed.weights)),
        Section("Observables", _quantities(annealed, references, annealed.estimate)),
        provenance.of_making(annealed.making, program),
    ]
    cards = [
        Card("log Z", measured(annealed.estimate)),
        Card("effective samples", number(annealed.effective_samples, 4)),
        Card("walkers", f"{annealed.populations} × {annealed.walkers}"),
        checklist.card(checks),
    ]
    return Page(program.theory, f"an annealing on {_where(program, annealed.parameters)}", cards, sections)


def _unknown_of(annealed: Annealed) -> Mapping[str, str]:
    unknown = {}
    if annealed.populations < 2 or not np.isfinite(annealed.population_log_z).all():
        unknown["agreement of populations"] = "there are too few populations to compare"
    if not np.isfinite(annealed.acceptance).any():
        unknown["acceptance"] = "no trajectory was made"
    if not np.isfinite(annealed.log_z_error):
        unknown["error of log Z"] = "log Z is not known"
    return unknown


def _annealing(annealed: Annealed) -> list[Block]:
    known = annealed.acceptance[np.isfinite(annealed.acceptance)]
    acceptance = f"{known.mean():.3f}, at least {known.min():.3f}" if len(known) else "not known"
    rows = [
        ["log Z", measured(annealed.estimate)],
        ["populations × walkers", f"{annealed.populations} × {annealed.walkers}"],
        ["temperatures", f"{len(annealed.ladder)}, β up to {number(annealed.reached)}"],
        ["acceptance", acceptance],
        ["ancestors of a population", f"{annealed.ancestors.mean():.0f} of {annealed.walkers}"],
        ["effective samples", f"{annealed.effective_samples:.0f}"],
        [virial_label(annealed.program), measured(annealed.virial)],
    ]
    numbers = [f"population {i}" for i in range(annealed.populations)]
    errors = np.sqrt(annealed.population_variance)
    each = [Estimate(float(v), float(e)) for v, e in zip(annealed.population_log_z, errors, strict=True)]
    label = r"$\log Z$" if annealed.reached == 1 else r"$\log \int \gamma_\beta$"
    pictures = [
        sample_pictures.ladder(annealed),
        sample_pictures.points(each, numbers, label, "Each population, with the error of its genealogy."),
        *sample_pictures.means(annealed.program, annealed.samples, annealed.weights, "walkers"),
    ]
    return [Table(["figure", "value"], rows, numeric=frozenset({1})), Pictures(pictures)]


def chain_page(chain: Chain, references: dict[str, Estimate]) -> Page:
    """The page of Markov chains."""
    program = chain.program
    checks = checklist.of_findings(chain.findings, _unknown_of_chains(chain))
    counted = program.sectors.count > 1 and program.sectors.enumerable
    masses = [Estimate(*mass[:2]) for mass in chain.sector_masses] if counted else []
    replicas, length = chain.action.shape
    sections = [
        Section("Checks", checklist.blocks(checks, chain.notes)),
        *_theory(chain.making, program, chain.parameters, chain.configurations),
        Section("Chains", _chains(chain)),
        Section("Sectors and orientations", _sectors(program, masses, chain.configurations, None)),
        Section("Observables", _quantities(chain, references, None)),
        provenance.of_making(chain.making, program),
    ]
    action = chain.expect("action")
    cards = [
        Card("configurations", f"{replicas} × {length}"),
        Card("acceptance", number(chain.acceptance, 3)),
        Card("⟨S⟩", measured(action[:2])),
        Card("τ of S", measured(action[2:])),
        checklist.card(checks),
    ]
    return Page(program.theory, f"Markov chains on {_where(program, chain.parameters)}", cards, sections)


def _unknown_of_chains(chain: Chain) -> Mapping[str, str]:
    unknown = {}
    missing = [name for name, found in chain.convergence.items() if np.isnan(found.r_hat)]
    if missing:
        which = f"R̂ is not known for {', '.join(map(pretty, missing[:4]))}"
        unknown |= {"agreement of chains": which, "effective samples": which}
    if chain.program.sectors.count == 1:
        unknown["changes of sector"] = "there is one sector only"
    if chain.trajectories is None:
        unknown |= dict.fromkeys(
            ("acceptance", "divergent trajectories"), "these are no chains of trajectories"
        )
    return unknown


def _chains(chain: Chain) -> list[Block]:
    rows = []
    for name, found in chain.convergence.items():
        cells = [number(value, 4) for value in (found.r_hat, found.bulk_ess, found.tail_ess)]
        rows.append([_readable(name), *cells])
    table = Table(["quantity", "R̂", "ESS", "ESS of the tails"], rows, numeric=frozenset({1, 2, 3}))
    blocks: list[Block] = []
    if (made := chain.trajectories) is not None:
        moves = "with" if made.moves else "without"
        blocks.append(
            Text(
                f"Hamiltonian Monte Carlo, {made.steps} steps of {number(made.step_size, 3)} widths each, "
                f"{moves} moves of the groups; {made.divergent} trajectories diverged."
            )
        )
    shown = min(4, len(chain.action))
    steps = np.arange(1, chain.action.shape[1] + 1)
    lines = {f"chain {i}": chain.action[i] for i in range(shown)}
    history = sample_pictures.curves(
        steps,
        lines,
        "configuration",
        "$S$",
        f"The action along the first {shown} of {len(chain.action)} chains.",
    )
    means = sample_pictures.means(chain.program, chain.configurations, None, "chains")
    return [*blocks, table, Pictures([history, *means])]


def _readable(name: str) -> str:
    before, of, component = name.rpartition("mean of ")
    return f"{before}{of}{pretty(component)}" if of else name


def _theory(making: Making | None, program: Program, parameters: Couplings, x: np.ndarray) -> list[Section]:
    analysis = None if making is None else making.analysis
    return [
        theory_section(analysis, program, parameters, ""),
        symmetry_section(analysis, program, parameters, analysis, "", x[:: max(1, len(x) // 1000)]),
    ]


def _sectors(
    program: Program, masses: list[Estimate], x: np.ndarray, weights: np.ndarray | None
) -> list[Block]:
    pictures = sample_pictures.orientations(program, x, weights, "chains" if weights is None else "walkers")
    blocks: list[Block] = []
    if masses:
        drawn = sample_pictures.sectors(
            masses, None, None, "counting" if weights is None else "importance weights"
        )
        pictures = [*([] if drawn is None else [drawn]), *pictures]
        blocks.append(quantities.sectors(masses, None, None, ()))
    elif program.sectors.count > 1:
        many = power(program.sectors.order, program.sectors.n_blocks)
        blocks.append(Text(f"There are {many} sectors, too many to count configurations in each."))
    if not blocks and not pictures:
        return [Text("The theory has one sector and no Lie group: there is nothing to compare.")]
    return [*([Pictures(pictures)] if pictures else []), *blocks]


def _quantities(
    result: Annealed | Chain, references: dict[str, Estimate], log_z: Estimate | None
) -> list[Block]:
    names = quantities.names_of(result.program, result.declared, log_z=log_z is not None)
    found = quantities.values(names, result.declared, result.expect, result.derived, log_z)
    table = quantities.table(found, {"reference": references}, result.declared)
    return [table, *([Text(quantities.SIGNIFICANT)] if references else [])]


def _where(program: Program, parameters: Couplings) -> str:
    couplings = couplings_text(parameters) or "no couplings"
    return f"the lattice {' × '.join(map(str, program.shape))}, {couplings}"
