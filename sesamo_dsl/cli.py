"""The command line, ``sesamo-dsl``: theories, check, train, sample, compare, test, hmc, anneal."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import math
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.table import Column, Table
from typer.core import TyperGroup

from . import checks
from .analysis.result import Analysis
from .analysis.undeclared import undeclared_symmetries
from .annealing import anneal
from .baselines import BASELINES
from .comparison import Trial
from .comparison import compare as compare_methods
from .compiled import compile
from .errors import (
    AnnealingInterrupted,
    BackendError,
    OptionError,
    ParameterError,
    RunNotKeptError,
    SamplingInterrupted,
    SesamoError,
    TrainingInterrupted,
)
from .estimates.chains import Chain, check_proposals, enough_proposals, independence_metropolis
from .estimates.estimate import Estimate
from .estimates.files import read_configurations
from .estimates.samples import Samples
from .estimates.weighted import observable_names
from .hamiltonian import hmc
from .hamiltonian.options import HMCOptions
from .language.theory_files import is_shipped, load_theory, shipped_theories, source_of
from .machine.cache import write_bytes, write_text
from .machine.outputs import check_output, check_picture
from .plan.methods import METHODS
from .plan.options import Law, Strategy, TrainingOptions
from .runs import Run, load_run, start
from .stages.analyse import analyse
from .values.precision import Precision

_SEARCH_SECONDS = 1.5
"""Time that ``check`` searches undeclared symmetries for."""

_VERDICTS = {
    "exact": "exact: the action is proved invariant; the uniform law p(u|y) = 1/|G| is exact",
    "broken": "broken by S₁; the heat-bath law is exact all the same, a uniform or learned one is not",
    "undecided": "undecided: neither proved nor refuted; the heat-bath law is exact either way",
}


_FAILED = 3  # exit code of a property or a check that fails


class _Commands(TyperGroup):
    """Commands whose explained failures end as a message and exit code 1, not as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SesamoError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    help="Declare a field theory in SymPy, check its symmetries, train a sampler that has them built in.",
    epilog="Exit codes: 0 done; 1 something that was given is wrong, as the message says; 2 wrong usage; "
    "3 a property or a check failed, or results are NaN or infinite; 130 interrupted.",
)


def _path(text: str) -> Path:
    return checks.path(text, "path on the command line")


DeclarationOption = Annotated[
    str | None,
    typer.Option(
        "--theory",
        metavar="THEORY",
        help="The declaration, where a run needs it and its file has moved; a .py file is run.",
    ),
]
TheoryArgument = Annotated[
    str,
    typer.Argument(
        metavar="THEORY", help="Name of a shipped theory, name@16x16 on another lattice, or a .py file."
    ),
]
CountOption = Annotated[int, typer.Option(min=1, help="Number of samples.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Value of a coupling; may be repeated."),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(parser=_path, metavar="PICTURE", help="Draw the samples to this .png, .pdf or .svg file."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sesamo-dsl {version('sesamo-dsl')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that belong to no command."""


@app.command("theories")
def list_theories() -> None:
    """List the theories that come with the package."""
    name_column = Column("theory", no_wrap=True)  # a name that is broken up cannot be copied
    table = Table(
        name_column, "lattice", "dof", "symmetry", "", box=None, header_style="bold", pad_edge=False
    )
    for name in shipped_theories():
        theory = load_theory(name)
        text = inspect.getdoc(importlib.import_module(f"sesamo_theories.{name}")) or ""
        symmetry = " × ".join(s.name for s in theory.symmetries) or "none"
        summary = text.partition("\n")[0]
        table.add_row(name, str(theory.lattice), str(theory.degrees_of_freedom), symmetry, summary)
    Console().print(table)


@app.command()
def check(
    theory: TheoryArgument,
    settings: SettingsOption = None,
    form: Annotated[
        Literal["text", "latex", "html"], typer.Option("--format", help="How to write the derivation.")
    ] = "text",
    output: Annotated[
        Path | None,
        typer.Option(
            parser=_path, metavar="FILE", help="Write the derivation to this file, not to the screen."
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            parser=_path, metavar="PICTURE", help="Draw the domain to this .png, .pdf or .svg file."
        ),
    ] = None,
) -> None:
    """Verify the declared symmetries and print what follows from them; exit code 3 if ∫ exp(−S) is infinite.

    That is judged at the default couplings and those of --set.
    """
    from .report.derivation import derivation  # matplotlib, in the same package, takes a second to import

    _distinct(output=output, picture=picture)
    if output is not None:
        check_output(output)
    if picture is not None:
        check_picture(picture)
    analysis = analyse(load_theory(theory), parameters=_couplings(settings or []), normalizable=False)
    text, verdict = derivation(analysis, form), f"verdict: {_verdict(analysis)}"
    if output is not None:
        write_text(output, text + "\n")
        typer.echo(f"derivation         {output}")
    else:
        typer.echo(text)
    if output is not None or form == "text":  # a page that is piped into a file stays a page
        typer.echo(f"\n{verdict}")
        _report_undeclared(analysis)
    if picture is not None:
        from .report.domains import domain_picture
        from .report.pictures import save

        save(domain_picture(analysis), picture)
        typer.echo(f"picture            {picture}", err=output is None and form != "text")
    if analysis.divergence is not None:
        typer.echo(f"normalisability: {analysis.normalisability}", err=True)
        raise typer.Exit(_FAILED)


def _report_undeclared(analysis: Analysis) -> None:
    """Exact symmetries that are not declared, as far as they are found at once."""
    lines, limits = undeclared_symmetries(analysis, _SEARCH_SECONDS)
    typer.echo("exact symmetries that are not declared:" if lines else "no undeclared symmetry was found")
    for line in lines:
        typer.echo(f"  {line}")
    for limit in limits:
        typer.echo(f"  limit of the search: {limit}")


def _verdict(analysis: Analysis) -> str:
    return (
        _VERDICTS[analysis.status]
        if analysis.is_modulated
        else "no symmetry: there is nothing to modulate with"
    )


@app.command()
def train(
    context: typer.Context,
    theory: Annotated[
        str | None,
        typer.Argument(
            metavar="[THEORY]",
            help="Name of a shipped theory, name@16x16 on another lattice, or a .py file; "
            "with --resume only where the run needs it.",
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="torch, jax, or another one that is installed.")] = "torch",
    settings: SettingsOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and noise.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help=f"Number of training steps; default {TrainingOptions.steps}.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Train for a time instead of a number of steps.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help=f"A preset of the options below: {', '.join(METHODS)}.")
    ] = None,
    law: Annotated[Law | None, typer.Option(help="p(u|y); by default an exact one.")] = None,
    strategy: Annotated[Strategy | None, typer.Option(help="How samples stay in the domain.")] = None,
    batch: Annotated[int, typer.Option(min=2, help="Samples per step.")] = TrainingOptions.batch,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak rate of Adam; by default 0.02 on a lattice, 0.002 on a point.")
    ] = None,
    precision: Annotated[Precision | None, typer.Option(help="By default the theory's own.")] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            parser=_path, metavar="RUN", help="Start with the flow weights of this run, of a smaller lattice."
        ),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            parser=_path, metavar="PATH", help="Where to keep the run; by default a new one below runs/."
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            parser=_path,
            metavar="RUN",
            help="Finish the training of this run, or train it on for --steps or --seconds.",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart-schedule", help="With --resume: begin at the peak rate again.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(help="End with an annealing, a fifth of the time long, that the model is held against."),
    ] = True,
    plot: PlotOption = None,
) -> None:
    """Train a sampler, and measure it on 10 000 samples."""
    _distinct(directory=directory, plot=plot)
    if plot is not None:
        check_picture(plot)
    if resume is not None:
        own = None if _is_default(context, "backend") else backend
        _refuse_with_resume(context)
        unfinished = load_run(resume, theory=theory, backend=own)
        rest: dict[str, Any] = {"seconds": seconds, "learning_rate": learning_rate, "restart": restart}
        rest["check"] = check
        _conclude_training(lambda: unfinished.resume(steps, **rest), plot)
        return
    if theory is None:
        raise typer.BadParameter("give a THEORY, or a run to --resume", param_hint="THEORY")
    if restart:
        raise typer.BadParameter("only with --resume", param_hint="--restart-schedule")
    # Z is judged at the couplings of --set, when the run starts
    compiled = compile(load_theory(theory), backend, precision=precision, normalizable=False)
    reference = theory if is_shipped(theory) else str(_path(theory).resolve())
    given = {"law": law, "strategy": strategy, "steps": steps}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    chosen |= {"seed": seed, "seconds": seconds, "batch": batch, "learning_rate": learning_rate}
    couplings = _couplings(settings or [])

    def begin() -> Run:
        return start(
            compiled,
            None,
            chosen,
            parameters=couplings,
            directory=directory,
            origin=source_of(reference),
            start_from=start_from,
            method=method,
            check=check,
        )

    _conclude_training(begin, plot)


def _is_default(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT"


def _refuse_with_resume(context: typer.Context) -> None:
    """A run that goes on keeps what it was begun with."""
    free = {"theory", "backend", "steps", "seconds", "learning_rate", "resume", "restart", "plot", "check"}
    given = [name for name in context.params if name not in free and not _is_default(context, name)]
    if given:
        raise OptionError(
            f"option {', '.join(given)} with --resume",
            expected="--steps or --seconds, --learning-rate, --restart-schedule, --backend or --plot",
            found=", ".join(given),
            remedy="leave it out, or start a new run, with --start-from if its weights are to be used",
        )


def _conclude_training(trained: Callable[[], Run], plot: Path | None) -> None:
    """Train and report; what is stopped or cannot be written is not lost without a word."""
    try:
        run = trained()
    except TrainingInterrupted as stopped:
        typer.echo(f"stopped by {stopped}", err=True)
        if not stopped.run.finished:
            typer.echo(f"to finish it: sesamo-dsl train --resume {stopped.run.directory}", err=True)
        raise typer.Exit(128 + stopped.signal) from stopped
    except RunNotKeptError as error:
        if error.run is not None:
            _report(error.run.sample(10_000), None)
        raise
    samples = run.sample(10_000)
    typer.echo(f"run directory      {run.directory}")
    _report(samples, plot)
    _require_finite(samples)


def _couplings(settings: list[str]) -> dict[str, float]:
    """The values of ``--set name=value``."""
    values: dict[str, float] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        name = checks.spelling(name.strip())
        if name in values:
            raise ParameterError(
                f"--set {setting}",
                expected="one value for each coupling",
                found=f"{name} = {values[name]:g} as well",
                remedy="give it once",
            )
        try:
            values[name] = float(value)
        except ValueError:
            raise ParameterError(
                f"--set {setting}",
                expected="NAME=VALUE with a number",
                found=repr(setting),
                remedy="write for instance --set h=0.1",
            ) from None
    return values


@app.command()
def sample(
    run: Annotated[
        Path, typer.Argument(parser=_path, metavar="RUN", help="The directory that the training printed.")
    ],
    count: CountOption = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 1,
    backend: Annotated[str | None, typer.Option(help="By default the one it was trained with.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=_path,
            metavar="PATH",
            help="Write x, log_q, action, log_weights and sector to this .npz file.",
        ),
    ] = None,
    plot: PlotOption = None,
    declaration: DeclarationOption = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Also run independence Metropolis: asymptotically exact, errors by the Γ-method.",
        ),
    ] = False,
    layers: Annotated[
        str,
        typer.Option(
            "--anneal",
            metavar="LAYERS",
            help="Take the samples to exp(−S) in so many layers of Hamiltonian Monte Carlo, which raises the "
            "ESS; auto finds how many.",
        ),
    ] = "0",
    control: Annotated[
        bool,
        typer.Option(
            "--control", help="Also lower the variance of expectation values by Schwinger–Dyson identities."
        ),
    ] = False,
) -> None:
    """Draw samples from a trained run, and measure them."""
    _distinct(output=output, plot=plot)
    if output is not None:
        check_output(output)
    if plot is not None:
        check_picture(plot)
    if exact:
        check_proposals(count, "--count")
    trained, stopped = load_run(run, theory=declaration, backend=backend), None
    try:
        samples = trained.sample(count, seed=seed, anneal=_layers(layers))
    except SamplingInterrupted as interrupted:
        stopped, samples = interrupted, interrupted.samples
        exact = exact and enough_proposals(len(samples))
    chain = independence_metropolis(samples, seed) if exact and samples.is_finite else None
    _report(samples, None, chain, control=control)
    if output is not None:
        names = ("x", "log_q", "action", "log_weights", "sector")
        _save(output, {name: getattr(samples, name) for name in names})
    _draw(samples, plot)
    if stopped is not None:
        typer.echo(f"stopped by {stopped}", err=True)
        raise typer.Exit(128 + stopped.signal)
    _require_finite(samples)


def _layers(text: str) -> Any:
    """A number where the text is one; what else it may be is checked with it."""
    return int(text) if text.lstrip("+-").isdecimal() else text


@app.command("check-run")
def check_run(
    run: Annotated[
        Path, typer.Argument(parser=_path, metavar="RUN", help="The directory that the training printed.")
    ],
    against: Annotated[
        Path | None,
        typer.Option(
            parser=_path,
            metavar="NPZ",
            help="Configurations of the target: x, (n, components, *lattice) or (chains, n, …), and perhaps "
            "log_weights. By default an annealing, which is kept with the run.",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Time of the annealing; by default a fifth of the training's.")
    ] = None,
    count: CountOption = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 1,
    declaration: DeclarationOption = None,
) -> None:
    """Hold a trained run against configurations that are not its own; exit code 3 if it misses something."""
    trained = load_run(run, theory=declaration)
    if against is None:
        trained.check(seconds)
        samples = trained.sample(count, seed=seed)
        coverage = samples.coverage
    elif seconds is not None:
        raise typer.BadParameter("only without --against", param_hint="--seconds")
    else:
        shape = trained.compiled.program.configuration_shape
        x, log_weights = read_configurations(against, shape)
        samples = trained.sample(count, seed=seed)
        coverage = trained.coverage(samples, x, log_weights)
    unknown = f"coverage           unknown: {trained.unchecked}"
    typer.echo(unknown if coverage is None else coverage.text(operators=True))
    typer.echo(_residuals(samples))
    if coverage is None or coverage.status == "missed":
        raise typer.Exit(_FAILED)


@app.command(context_settings={"allow_extra_args": True})
def compare(
    context: typer.Context,
    theory: TheoryArgument,
    methods: Annotated[
        str, typer.Option(metavar="NAME …", help=f"One or more of {', '.join((*METHODS, *BASELINES))}.")
    ] = "ours,sesamo,canonicalization,vmonf,realnvp,anneal,hmc",
    budget: Annotated[
        str, typer.Option(help="Time of each training, or of a method without one, e.g. 60s or 2m.")
    ] = "60s",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each method.")] = 3,
    backend: Annotated[str, typer.Option(help="torch, jax, or another one that is installed.")] = "torch",
    settings: SettingsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=_path, metavar="DIR", help="Write table.txt, table.csv, table.png and the runs there."
        ),
    ] = None,
) -> None:
    """Give several methods the same time, and put their figures into one table; some of them are trained.

    With --out, a comparison that was stopped goes on where it was.
    """
    if out is not None:
        check_output(out, directory=True)

    def report(trial: Trial) -> None:
        typer.echo(f"{trial.method}, seed {trial.seed}: ESS {trial.ess:.4f}, {trial.steps} steps", err=True)

    comparison = compare_methods(
        load_theory(theory),
        _names(" ".join([methods, *context.args])),
        parameters=_couplings(settings or []),
        budget=_seconds(budget),
        seeds=seeds,
        backend=backend,
        directory=out,
        report=report,
    )
    typer.echo(comparison.text())
    if out is not None:
        from .report import comparison_picture, save  # matplotlib takes a second to import

        write_text(out / "table.txt", comparison.text() + "\n")
        write_text(out / "table.csv", comparison.csv())
        save(comparison_picture(comparison), out / "table.png")
        typer.echo(f"written to         {out}")


def _distinct(**outputs: Path | None) -> None:
    """Refuse one path for two outputs, of which the second would replace the first."""
    taken: dict[Path, str] = {}
    for name, output in outputs.items():
        if output is None:
            continue
        place = Path(os.path.abspath(output))
        if place in taken:
            raise OptionError(
                f"--{name} {output}",
                expected="a path of its own for every output",
                found=f"that of --{taken[place]}",
                remedy="choose another name",
            )
        taken[place] = name


def _names(text: str) -> list[str]:
    """Names apart by blanks or commas."""
    return text.replace(",", " ").split()


def _seconds(text: str) -> float:
    """The number of seconds in 60, 60s, 2m or 1h."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in ("s", "m", "h") else (text, "s")
    try:
        seconds = float(number) * {"s": 1, "m": 60, "h": 3600}[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise OptionError(
            f"--budget {text}",
            expected="a time above zero",
            found=repr(text),
            remedy="write for instance 60s, 2m or 1h",
        )
    return seconds


@app.command("test")
def run_tests(
    theory: Annotated[
        str | None,
        typer.Argument(metavar="[THEORY]", help="A shipped theory's name, or the path of a .py file."),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Backends to compare; may be repeated. By default all that are registered."),
    ] = None,
    examples: Annotated[int | None, typer.Option(min=1, help="Examples of each property.")] = None,
    random: Annotated[
        int, typer.Option("--random", min=0, help="Test this many random theories instead.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Number of the first random theory.")] = 0,
) -> None:
    """Test every property that a theory has to have; exit code 3 and a counterexample if one fails."""
    try:
        from .testing.table import print_random, print_results, print_summary
    except ImportError as error:
        raise BackendError(
            "property tests",
            expected="hypothesis to be installed",
            found=str(error),
            remedy="pip install 'sesamo-dsl[test]'",
        ) from error
    from .testing import RandomResult, check_properties, run_random

    console = Console()
    if (theory is None) == (random == 0):
        raise OptionError(
            "command test",
            expected="a THEORY, or --random N",
            found="both" if theory else "neither",
            remedy="name a theory, or ask for random ones",
        )
    if theory is None:
        with console.status("testing") as status:

            def report(result: RandomResult) -> None:
                """As they come: what was found by a run that is stopped is not lost."""
                print_random(result, console)
                status.update(f"random theory {result.seed} {result.status}")

            drawn = run_random(random, seed=seed, backends=backend, report=report)
        print_summary(drawn, console)
        raise typer.Exit(_FAILED if any(result.status == "failed" for result in drawn) else 0)
    began = time.perf_counter()
    with console.status("testing") as status:
        results = check_properties(
            load_theory(theory),
            backend,
            examples=examples,
            report=lambda result: status.update(f"testing: {result.prop.name} done"),
        )
    print_results(results, time.perf_counter() - began, console)
    raise typer.Exit(0 if all(result.holds for result in results) else _FAILED)


@app.command("hmc")
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
            parser=_path,
            metavar="PATH",
            help="Write x and action, (chains, trajectories, …), to this .npz file.",
        ),
    ] = None,
) -> None:
    """Sample a theory by HMC, with moves drawn from its groups; needs no model."""
    if output is not None:
        check_output(output)
    chain = hmc(
        load_theory(theory),
        parameters=_couplings(settings or []),
        backend=backend,
        chains=chains,
        trajectories=trajectories,
        warm_up=warm_up,
        seed=seed,
    )
    typer.echo(chain.text())
    if output is not None:
        _save(output, {"x": chain.x, "action": chain.action})
    _conclude(chain.warnings)


@app.command("anneal")
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
            parser=_path,
            metavar="PATH",
            help="Write x, log_weights, action and ancestor to this .npz file.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            parser=_path, metavar="PICTURE", help="Draw the annealing to this .png, .pdf or .svg file."
        ),
    ] = None,
) -> None:
    """Find log Z and weighted samples by annealing walkers; needs no model and no training."""
    _distinct(out=output, plot=plot)
    if output is not None:
        check_output(output)
    if plot is not None:
        check_picture(plot)
    asked = {"seconds": seconds, "walkers": walkers, "populations": populations}
    stopped: AnnealingInterrupted | None = None
    try:
        annealed = anneal(
            load_theory(theory),
            parameters=_couplings(settings or []),
            backend=backend,
            seed=seed,
            **{name: value for name, value in asked.items() if value is not None},
        )
    except AnnealingInterrupted as interrupted:
        stopped, annealed = interrupted, interrupted.annealed
    typer.echo(annealed.text())
    if output is not None:
        arrays = {"x": annealed.samples, "log_weights": annealed.log_weights, "action": annealed.action}
        _save(output, arrays | {"ancestor": annealed.ancestor})
    if plot is not None:
        from .report import annealing_picture, save  # matplotlib takes a second to import

        save(annealing_picture(annealed), plot)
        typer.echo(f"picture            {plot}")
    _conclude(annealed.warnings)
    if stopped is not None:
        typer.echo(f"stopped by {stopped}", err=True)
        raise typer.Exit(128 + stopped.signal)
    if not math.isfinite(annealed.log_z):
        raise typer.Exit(_FAILED)


def _residuals(samples: Samples) -> str:
    """The table of Schwinger–Dyson identities, or why there are none."""
    if samples.identities.obstacle:
        return f"⟨Δf − ∇f·∇S⟩       no identities: {samples.identities.obstacle}"
    return samples.residuals.text(heading="⟨Δf − ∇f·∇S⟩ = 0")


def _save(output: Path, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    write_bytes(output, buffer.getvalue())


def _report(
    samples: Samples, plot: Path | None, chain: Chain | None = None, *, control: bool = False
) -> None:
    typer.echo(samples.text())
    warnings = samples.warnings
    if chain is None:
        for name in observable_names(samples.program):
            typer.echo(f"{f'⟨{name}⟩':<18} {samples.expect(name)}")
        for name in samples.declared:
            typer.echo(f"{name:<18} {samples.derived(name)}")
    else:
        typer.echo(f"\nindependence Metropolis, {len(chain)} steps, acceptance {chain.acceptance:.4f}")
        typer.echo(_comparison(samples, chain))
        for warning in chain.warnings:
            typer.echo(f"WARNING: {warning}")
        warnings += chain.warnings
    if control:
        typer.echo("\nwith Schwinger–Dyson identities as control variates")
        for name in ("action", *observable_names(samples.program)):
            typer.echo(f"{f'⟨{name}⟩':<18} {(chain or samples).expect(name, control=True)}")
    _draw(samples, plot)
    _conclude(warnings)


def _draw(samples: Samples, plot: Path | None) -> None:
    if plot is not None:
        from .report import samples_picture, save  # matplotlib takes a second to import

        save(samples_picture(samples), plot)
        typer.echo(f"picture            {plot}")


def _require_finite(samples: Samples) -> None:
    """End with the exit code of a failed check if figures are NaN or infinite."""
    if not samples.is_finite:
        raise typer.Exit(_FAILED)


def _conclude(warnings: tuple[str, ...]) -> None:
    """The last line on the screen says that the figures above it are not to be believed."""
    if warnings:
        names = ", ".join(dict.fromkeys(warning.partition(":")[0] for warning in warnings))
        typer.secho(f"{len(warnings)} WARNING(S), see above: {names}", fg="yellow", bold=True, err=True)


def _comparison(samples: Samples, chain: Chain) -> str:
    """Reweighted means beside those of the chain."""
    rows = {
        f"⟨{name}⟩": (samples.expect(name), chain.expect(name))
        for name in ("action", *observable_names(samples.program))
    }
    rows |= {name: (samples.derived(name), chain.derived(name)) for name in samples.declared}
    rows["virial ⟨x·∇S⟩/n"] = (samples.virial, chain.virial)
    if len(samples.sector_masses) > 1:
        masses = map(Estimate, samples.sector_masses.tolist(), samples.sector_errors.tolist())
        pairs = list(zip(masses, chain.sector_masses, strict=True))
        rows |= {f"sector {u}": pair for u, pair in enumerate(pairs[:16])}
    lines = [f"{'':<18} {'reweighted':<24} Metropolis"]
    return "\n".join([*lines, *(f"{name:<18} {a!s:<24} {b}" for name, (a, b) in rows.items())])


def main() -> None:
    """Entry point of the console script."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whatever started the process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # σ and ± are not in every terminal's character set
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:  # a full disk behind the output, say
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is tried on exit
        typer.echo(f"error: the output cannot be written: {error}", err=True)
        sys.exit(1)
