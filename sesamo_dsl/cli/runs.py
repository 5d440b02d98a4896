"""Commands about trained models: sample, export, check-run, report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ..annealing.layers import SECONDS as AUTO_SECONDS
from ..baselines import BASELINES
from ..comparison import Trial
from ..comparison import compare as compare_methods
from ..errors import (
    OptionError,
    SamplingInterrupted,
)
from ..estimates.files import read_configurations
from ..estimates.metropolis import check_proposals, enough_proposals, independence_metropolis
from ..estimates.samples_file import ENDINGS
from ..estimates.samples_writer import check_samples_file
from ..language.theory_files import load_theory
from ..machine.files import write_text
from ..machine.outputs import check_output, check_page, check_picture
from ..plan.methods import METHODS
from ..runs import load_run
from ..runs.export import FORMS
from .application import FAILED, command
from .arguments import (
    CountOption,
    DeclarationOption,
    PlotOption,
    ReportOption,
    RunArgument,
    SettingsOption,
    TheoryArgument,
    parse_couplings,
    parse_layers,
    parse_names,
    parse_path,
    parse_seconds,
    require_distinct,
)
from .output import doing, note, progress, say, tell
from .printing import draw, print_range, print_report, require_finite, residuals_text, save_arrays, write_page


@command("sample")
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
    with doing("reading the run"):
        trained, stopped = load_run(run, theory=declaration, backend=backend), None
    note("sampling …")
    asked: dict[str, Any] = {
        "seed": seed,
        "anneal": parse_layers(layers),
        "anneal_seconds": anneal_seconds,
        "progress": progress(),
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
    tell(output=output)
    draw(samples, plot)
    if stopped is not None:
        _end_stopped(stopped)
    require_finite(samples)


def _end_stopped(stopped: SamplingInterrupted) -> NoReturn:
    typer.echo(f"stopped by {stopped}", err=True)
    raise typer.Exit(128 + stopped.signal)


@command("export")
def export(
    run: RunArgument,
    output: Annotated[
        Path,
        typer.Option(parser=parse_path, metavar="FILE", help="The .zip file to write the sampler to."),
    ],
    to: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help=f"{', '.join(FORMS)}; by default the framework of the run."),
    ] = None,
) -> None:
    """Write a sampler that needs its framework and NumPy alone, and compare it with the run."""
    with doing("exporting, and comparing with the run"):
        written = load_run(run).export(output, to)
    say(f"written to         {written}; README.txt in it says how to use it")
    tell(output=written)


@command("check-run")
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
    with doing("reading the run"):
        trained = load_run(run, theory=declaration)
    if against is None:
        note("annealing …")
        trained.check(seconds, progress=progress())
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
    say(unknown if coverage is None else coverage.text(operators=True))
    say(residuals_text(samples))
    print_range(trained)
    found = {"status": "unknown", "verdict": trained.unchecked}
    if coverage is not None:
        found = {"status": coverage.status, "verdict": coverage.verdict}
    tell(coverage=found)
    elsewhere = against is None and any(check.status == "missed" for check in trained.checked)
    if coverage is None or coverage.status == "missed" or elsewhere:
        raise typer.Exit(FAILED)


@command("report")
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
    with doing("measuring"):
        load_run(run, theory=declaration).report(page, count=count, seed=seed)
    say(f"report             {page}")
    tell(report=page)


@command("compare", context_settings={"allow_extra_args": True})
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
        note(f"{trial.method}, seed {trial.seed}: ESS {trial.ess:.4f}, {trial.steps} steps")

    note("compiling, then a reference of the target …")
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
    say(comparison.text())
    tell(trials=[vars(trial) for trial in comparison.trials], notes=comparison.notes, truth=comparison.truth)
    if out is not None:
        from ..report import comparison_picture, save  # matplotlib takes a second to import

        write_text(out / "table.txt", comparison.text() + "\n")
        write_text(out / "table.csv", comparison.csv())
        save(comparison_picture(comparison), out / "table.png")
        say(f"written to         {out}")
        tell(written_to=out)
    write_page(comparison, page)
