"""Commands about trained models: train, sample, check-run, report, compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ..annealing.layers import SECONDS as AUTO_SECONDS
from ..baselines import BASELINES
from ..comparison import Trial
from ..comparison import compare as compare_methods
from ..compiled import compile
from ..errors import (
    OptionError,
    RunNotKeptError,
    SamplingInterrupted,
    TrainingInterrupted,
)
from ..estimates.chains import check_proposals, enough_proposals, independence_metropolis
from ..estimates.files import read_configurations
from ..estimates.samples_file import ENDINGS
from ..estimates.samples_writer import check_samples_file
from ..language.theory_files import is_shipped, load_theory, source_of
from ..machine.files import write_text
from ..machine.outputs import check_output, check_page, check_picture
from ..plan.methods import METHODS
from ..plan.options import Law, Strategy, TrainingOptions
from ..runs import Run, load_run, start
from ..values.precision import Precision
from .application import FAILED, app
from .arguments import (
    CountOption,
    DeclarationOption,
    PlotOption,
    ReportOption,
    RunArgument,
    SettingsOption,
    TheoryArgument,
    is_default,
    parse_couplings,
    parse_layers,
    parse_names,
    parse_path,
    parse_seconds,
    require_distinct,
)
from .printing import draw, print_report, require_finite, residuals_text, save_arrays, write_page


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
            parser=parse_path,
            metavar="RUN",
            help="Start with the flow weights of this run, of a smaller lattice.",
        ),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path, metavar="PATH", help="Where to keep the run; by default a new one below runs/."
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path,
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
    require_distinct(directory=directory, plot=plot)
    if plot is not None:
        check_picture(plot)
    if resume is not None:
        own = None if is_default(context, "backend") else backend
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
    reference = theory if is_shipped(theory) else str(parse_path(theory).resolve())
    given = {"law": law, "strategy": strategy, "steps": steps}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    chosen |= {"seed": seed, "seconds": seconds, "batch": batch, "learning_rate": learning_rate}
    couplings = parse_couplings(settings or [])

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


def _refuse_with_resume(context: typer.Context) -> None:
    """A run that goes on keeps what it was begun with."""
    free = {"theory", "backend", "steps", "seconds", "learning_rate", "resume", "restart", "plot", "check"}
    given = [name for name in context.params if name not in free and not is_default(context, name)]
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
            print_report(error.run.sample(10_000), None)
        raise
    samples = run.sample(10_000)
    typer.echo(f"run directory      {run.directory}")
    print_report(samples, plot)
    require_finite(samples)


@app.command()
def sample(
    run: Annotated[
        Path,
        typer.Argument(parser=parse_path, metavar="RUN", help="The directory that the training printed."),
    ],
    count: CountOption = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 1,
    backend: Annotated[str | None, typer.Option(help="By default the one it was trained with.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path,
            metavar="PATH",
            help="Write x, log_q, action, log_weights and sector to this .npz file; or to an .h5 file, a "
            "part at a time, where the same command goes on with what was stopped.",
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
    anneal_seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="The time that --anneal auto, or a training of layers, may take."
        ),
    ] = AUTO_SECONDS,
    train_layers: Annotated[
        bool,
        typer.Option(
            "--train-layers",
            help="With --anneal: train step sizes, temperatures and mass of the layers before they are used.",
        ),
    ] = False,
    control: Annotated[
        bool,
        typer.Option(
            "--control", help="Also lower the variance of expectation values by Schwinger–Dyson identities."
        ),
    ] = False,
) -> None:
    """Draw samples from a trained run, and measure them."""
    require_distinct(output=output, plot=plot)
    streamed = output if output is not None and output.suffix.lower() in ENDINGS else None
    if streamed is not None:
        if train_layers:
            raise OptionError(
                "option --train-layers",
                expected="an output in .npz, or none",
                found=f"{streamed}, to which samples go a part at a time",
                remedy="leave --train-layers out, or write an .npz file",
            )
        check_samples_file(streamed)
    elif output is not None:
        check_output(output)
    if plot is not None:
        check_picture(plot)
    if exact:
        check_proposals(count, "--count")
    trained, stopped = load_run(run, theory=declaration, backend=backend), None
    asked: dict[str, Any] = {
        "seed": seed,
        "anneal": parse_layers(layers),
        "anneal_seconds": anneal_seconds,
    }
    try:
        if streamed is None:
            samples = trained.sample(count, train_layers=train_layers, **asked)
        else:
            samples = trained.sample_to(streamed, count, **asked)
    except SamplingInterrupted as interrupted:
        stopped, samples = interrupted, interrupted.samples
        if samples is None:
            _end_stopped(stopped)
        exact = exact and enough_proposals(len(samples))
    chain = independence_metropolis(samples, seed) if exact and samples.is_finite else None
    print_report(samples, None, chain, control=control)
    if output is not None and streamed is None:
        names = ("x", "log_q", "action", "log_weights", "sector")
        save_arrays(output, {name: getattr(samples, name) for name in names})
    draw(samples, plot)
    if stopped is not None:
        _end_stopped(stopped)
    require_finite(samples)


def _end_stopped(stopped: SamplingInterrupted) -> NoReturn:
    typer.echo(f"stopped by {stopped}", err=True)
    raise typer.Exit(128 + stopped.signal)


@app.command("check-run")
def check_run(
    run: Annotated[
        Path,
        typer.Argument(parser=parse_path, metavar="RUN", help="The directory that the training printed."),
    ],
    against: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path,
            metavar="FILE",
            help="Configurations of the target, an .npz or .h5 file: x, (n, components, *lattice) or "
            "(chains, n, …), and perhaps log_weights. By default an annealing, which is kept with the run.",
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
    typer.echo(residuals_text(samples))
    if coverage is None or coverage.status == "missed":
        raise typer.Exit(FAILED)


@app.command()
def report(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path, metavar="PAGE", help="The page, an .html file; by default report.html in RUN."
        ),
    ] = None,
    count: CountOption = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 1,
    declaration: DeclarationOption = None,
) -> None:
    """Write one HTML page about a run: theory, symmetries, training, samples, checks, provenance."""
    page = run / "report.html" if output is None else output
    check_page(page)
    load_run(run, theory=declaration).report(page, count=count, seed=seed)
    typer.echo(f"report             {page}")


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
            parser=parse_path, metavar="DIR", help="Write table.txt, table.csv, table.png and the runs there."
        ),
    ] = None,
    page: ReportOption = None,
) -> None:
    """Give several methods the same time, and put their figures into one table; some of them are trained.

    With --out, a comparison that was stopped goes on where it was.
    """
    if out is not None:
        check_output(out, directory=True)
    if page is not None:
        check_page(page)

    def report(trial: Trial) -> None:
        typer.echo(f"{trial.method}, seed {trial.seed}: ESS {trial.ess:.4f}, {trial.steps} steps", err=True)

    comparison = compare_methods(
        load_theory(theory),
        parse_names(" ".join([methods, *context.args])),
        parameters=parse_couplings(settings or []),
        budget=parse_seconds(budget),
        seeds=seeds,
        backend=backend,
        directory=out,
        report=report,
    )
    typer.echo(comparison.text())
    if out is not None:
        from ..report import comparison_picture, save  # matplotlib takes a second to import

        write_text(out / "table.txt", comparison.text() + "\n")
        write_text(out / "table.csv", comparison.csv())
        save(comparison_picture(comparison), out / "table.png")
        typer.echo(f"written to         {out}")
    write_page(comparison, page)
