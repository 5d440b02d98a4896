"""Commands that train: train, resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..compiled import compile
from ..errors import OptionError, ParameterError, RunNotKeptError, TrainingInterrupted
from ..estimates.files import read_configurations
from ..language.theory_files import is_shipped, load_theory, source_of
from ..machine.outputs import check_picture
from ..plan.methods import METHODS
from ..plan.options import Law, Strategy, TrainingOptions
from ..runs import Run, load_run, start
from ..values.precision import Precision
from .application import command
from .arguments import (
    DeclarationOption,
    PlotOption,
    RunArgument,
    SettingsOption,
    TheoryArgument,
    is_default,
    parse_couplings,
    parse_ends,
    parse_path,
    require_distinct,
)
from .output import doing, note, progress, say, tell
from .printing import print_range, print_report, require_finite
from .settings import (
    OF_RESUME,
    OF_START,
    OF_TRAINING,
    architecture,
    make_callbacks,
    make_optimizer,
    parse_options,
    read_config,
    require_known,
    together,
)

OptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Any option of compiled.train by its name, as base=standard or flow.layers=6; may be repeated.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        parser=parse_path,
        metavar="FILE",
        help="A TOML file of such options; those of the command line come before them.",
    ),
]
_FLAGS = (
    *("backend", "seed", "steps", "seconds", "method", "law", "strategy", "batch", "learning_rate"),
    *("precision", "start_from", "directory", "check", "over"),
)
"""Options of train that have a name of their own on the command line."""


@command("train")
def train(
    context: typer.Context,
    theory: TheoryArgument,
    backend: Annotated[str, typer.Option(help="torch, jax, or another one that is installed.")] = "torch",
    settings: SettingsOption = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LOW:HIGH",
            help="Train over a range of a coupling, for sesamo-dsl scan RUN; may be repeated.",
        ),
    ] = None,
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
    check: Annotated[
        bool,
        typer.Option(help="End with an annealing, a fifth of the time long, that the model is held against."),
    ] = True,
    options: OptionsOption = None,
    config: ConfigOption = None,
    plot: PlotOption = None,
) -> None:
    """Train a sampler, and measure it on 10 000 samples."""
    flags = {name: context.params[name] for name in _FLAGS if not is_default(context, name)}
    if "over" in flags:
        flags["over"] = parse_ends(flags["over"])
    chosen = _chosen(options, config, (*OF_TRAINING, *OF_START), flags)
    place = chosen.get("directory")
    place = parse_path(place) if isinstance(place, str) else place  # what else it may be is checked with it
    require_distinct(directory=place if isinstance(place, Path) else None, plot=plot)
    if plot is not None:
        check_picture(plot)
    couplings = _couplings(chosen.pop("parameters", {}), parse_couplings(settings or []))
    if "flow" in chosen:
        chosen["flow"] = architecture(chosen["flow"])
    name, callbacks = chosen.pop("backend", "torch"), make_callbacks(chosen.pop("callbacks", {}))
    kept = {key: chosen.pop(key) for key in OF_START if key in chosen}
    with doing("compiling"):
        # Z is judged at the couplings of --set, when the run starts
        made: dict[str, Any] = {key: kept.pop(key) for key in ("precision", "device") if key in kept}
        compiled = compile(load_theory(theory), name, normalizable=False, **made)
        origin = source_of(theory if is_shipped(theory) else str(parse_path(theory).resolve()))
        if "reference" in kept:
            shape = compiled.program.configuration_shape
            kept["reference"], weights = read_configurations(parse_path(kept["reference"]), shape)
            _require_no_weights(weights)
    optimizer = None
    if "optimizer" in kept:
        optimizer = make_optimizer(kept.pop("optimizer"), compiled.backend.name)
    note("training …")

    def begin() -> Run:
        return start(
            compiled,
            None,
            chosen,
            parameters=couplings,
            origin=origin,
            progress=progress(),
            callbacks=callbacks,
            optimizer=optimizer,
            **kept,
        )

    _conclude_training(begin, plot)


@command("resume")
def resume(
    run: RunArgument,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of steps to train further.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Time to train further.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="A new peak rate of Adam.")] = None,
    restart: Annotated[
        bool, typer.Option("--restart-schedule", help="Begin at the peak rate again.")
    ] = False,
    backend: Annotated[str | None, typer.Option(help="By default the one it was trained with.")] = None,
    check: Annotated[
        bool, typer.Option(help="End with an annealing, unless the run has one, as train does.")
    ] = True,
    options: OptionsOption = None,
    config: ConfigOption = None,
    declaration: DeclarationOption = None,
    plot: PlotOption = None,
) -> None:
    """Finish the training of a run that was stopped, or train it on for --steps or --seconds; measure it.

    What a run was begun with it keeps; an optimizer and callbacks are given again, by --option or --config.
    """
    if plot is not None:
        check_picture(plot)
    chosen = _chosen(options, config, OF_RESUME, {})
    callbacks = make_callbacks(chosen.get("callbacks", {}))
    with doing("reading the run"):
        unfinished = load_run(run, theory=declaration, backend=backend)
    framework = unfinished.compiled.backend.name
    optimizer = make_optimizer(chosen["optimizer"], framework) if "optimizer" in chosen else None
    note("training …")

    def go_on() -> Run:
        return unfinished.resume(
            steps,
            seconds=seconds,
            learning_rate=learning_rate,
            restart=restart,
            progress=progress(),
            check=check,
            callbacks=callbacks,
            optimizer=optimizer,
        )

    _conclude_training(go_on, plot)


def _chosen(
    options: list[str] | None, config: Path | None, known: tuple[str, ...], flags: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of the command line and of the file together, all of them known by name."""
    given, filed = parse_options(options or []), {} if config is None else read_config(config)
    require_known(given, known, "--option")
    require_known(filed, known, f"--config {config}")
    return together(given, flags, filed)


def _couplings(table: Any, given: Mapping[str, float]) -> dict[str, float]:
    """The couplings of a table of options, and those of ``--set``, which come before them."""
    if not isinstance(table, Mapping):
        raise ParameterError(
            "option parameters",
            expected="a table of couplings",
            found=repr(table),
            remedy="write for instance --set h=0.1, or parameters = {h = 0.1} in the file",
        )
    return {**table, **given}


def _require_no_weights(weights: Any) -> None:
    if weights is not None:
        raise OptionError(
            "option reference",
            expected="configurations without log_weights",
            found="a file of weighted ones",
            remedy="resample them in proportion to their weights first",
        )


def _conclude_training(trained: Callable[[], Run], plot: Path | None) -> None:
    """Train and report; what is stopped or cannot be written is not lost without a word."""
    try:
        run = trained()
    except TrainingInterrupted as stopped:
        typer.echo(f"stopped by {stopped}", err=True)
        tell(run=stopped.run.directory, finished=stopped.run.finished)
        if not stopped.run.finished:
            typer.echo(f"to finish it: sesamo-dsl resume {stopped.run.directory}", err=True)
        raise typer.Exit(128 + stopped.signal) from stopped
    except RunNotKeptError as error:
        if error.run is not None:
            print_report(error.run.sample(10_000), None)
        raise
    with doing("measuring"):
        samples = run.sample(10_000)
    say(f"run directory      {run.directory}")
    tell(run=run.directory, finished=run.finished, steps=run.steps_done, seconds=run.course.seconds)
    print_report(samples, plot)
    print_range(run)
    require_finite(samples)
