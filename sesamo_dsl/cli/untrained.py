"""Commands that sample without a model: hmc, anneal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from ..annealing import anneal
from ..errors import AnnealingInterrupted, ChainInterrupted
from ..hamiltonian import hmc
from ..hamiltonian.options import HMCOptions
from ..language.theory_files import load_theory
from ..machine.outputs import check_output, check_page, check_picture
from .application import FAILED, command
from .arguments import (
    ReportOption,
    SettingsOption,
    TheoryArgument,
    parse_couplings,
    parse_path,
    require_distinct,
)
from .output import doing, note, progress, say, tell
from .printing import annealing_record, chain_record, print_warnings, save_arrays, write_page


@command("hmc")
def run_hmc(
    theory: TheoryArgument,
    settings: SettingsOption = None,
    chains: Annotated[int, typer.Option(min=1, help="Chains that run side by side.")] = HMCOptions.chains,
    trajectories: Annotated[
        int, typer.Option(min=20, help="Kept configurations of each chain.")
    ] = HMCOptions.trajectories,
    warm_up: Annotated[
        int, typer.Option(min=50, help="Trajectories before them, in which the step size adapts.")
    ] = HMCOptions.warm_up,
    backend: Annotated[str, typer.Option(help="torch, jax, or another one that is installed.")] = "torch",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same chains.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path,
            metavar="PATH",
            help="Write x and action, (chains, trajectories, …), to this .npz file.",
        ),
    ] = None,
    report: ReportOption = None,
) -> None:
    """Sample a theory by HMC, with moves drawn from its groups; needs no model."""
    require_distinct(output=output, report=report)
    if output is not None:
        check_output(output)
    if report is not None:
        check_page(report)
    stopped: ChainInterrupted | None = None
    note("compiling, then a short annealing for configurations to start from, then trajectories …")
    try:
        chain = hmc(
            load_theory(theory),
            parameters=parse_couplings(settings or []),
            backend=backend,
            progress=progress(),
            chains=chains,
            trajectories=trajectories,
            warm_up=warm_up,
            seed=seed,
        )
    except ChainInterrupted as interrupted:
        if interrupted.chain is None:
            raise _ended(interrupted) from interrupted
        stopped, chain = interrupted, interrupted.chain
    with doing("measuring"):
        text = chain.text()
    say(text)
    tell(chain=lambda: chain_record(chain))
    if output is not None:
        save_arrays(output, {"x": chain.x, "action": chain.action})
        tell(output=output)
    write_page(chain, report)
    print_warnings(chain.warnings)
    if stopped is not None:
        raise _ended(stopped)


@command("anneal")
def run_anneal(
    theory: TheoryArgument,
    settings: SettingsOption = None,
    seconds: Annotated[
        float | None, typer.Option(help="Time to use; by default until all is done, a minute at most.")
    ] = None,
    walkers: Annotated[
        int | None, typer.Option(help="Walkers of each population; by default as many as seem useful.")
    ] = None,
    populations: Annotated[
        int | None, typer.Option(help="Independent populations; default 8, or as many as fit into --seconds.")
    ] = None,
    backend: Annotated[str, typer.Option(help="torch, jax, or another one that is installed.")] = "torch",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--output",
            parser=parse_path,
            metavar="PATH",
            help="Write x, log_weights, action and ancestor to this .npz file.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path, metavar="PICTURE", help="Draw the annealing to this .png, .pdf or .svg file."
        ),
    ] = None,
    report: ReportOption = None,
) -> None:
    """Find log Z and weighted samples by annealing walkers; needs no model and no training."""
    require_distinct(out=output, plot=plot, report=report)
    if output is not None:
        check_output(output)
    if plot is not None:
        check_picture(plot)
    if report is not None:
        check_page(report)
    asked = {"seconds": seconds, "walkers": walkers, "populations": populations}
    stopped: AnnealingInterrupted | None = None
    note("compiling, then walkers from the start density to exp(−S) …")
    try:
        annealed = anneal(
            load_theory(theory),
            parameters=parse_couplings(settings or []),
            backend=backend,
            seed=seed,
            progress=progress(),
            **{name: value for name, value in asked.items() if value is not None},
        )
    except AnnealingInterrupted as interrupted:
        stopped, annealed = interrupted, interrupted.annealed
    say(annealed.text())
    tell(annealing=lambda: annealing_record(annealed))
    if output is not None:
        arrays = {"x": annealed.samples, "log_weights": annealed.log_weights, "action": annealed.action}
        save_arrays(output, arrays | {"ancestor": annealed.ancestor})
        tell(output=output)
    if plot is not None:
        from ..report import annealing_picture, save  # matplotlib takes a second to import

        save(annealing_picture(annealed), plot)
        say(f"picture            {plot}")
        tell(picture=plot)
    write_page(annealed, report)
    print_warnings(annealed.warnings)
    if stopped is not None:
        raise _ended(stopped)
    if not math.isfinite(annealed.log_z):
        raise typer.Exit(FAILED)


def _ended(stopped: AnnealingInterrupted | ChainInterrupted) -> typer.Exit:
    typer.echo(f"stopped by {stopped}", err=True)
    return typer.Exit(128 + stopped.signal)
