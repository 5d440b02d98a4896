"""The command that scans couplings: scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..errors import OptionError, ScanInterrupted
from ..language.theory_files import load_theory
from ..machine.outputs import check_picture
from ..runs import load_run
from ..runs.store import RECORD
from ..scans import Scan, scan
from ..scans.files import check_scan_file
from .application import FAILED, command
from .arguments import (
    DeclarationOption,
    SettingsOption,
    is_default,
    parse_couplings,
    parse_path,
    require_distinct,
)
from .output import doing, note, progress, say, tell
from .printing import print_warnings, scan_record

_MOST = 10_000
_OF_TRAININGS = ("seconds", "steps", "batch", "directory", "check")
"""Options of the trainings of a scan, which a scan of a trained run has not."""


@command("scan")
def run_scan(
    context: typer.Context,
    theory: Annotated[
        str,
        typer.Argument(
            metavar="THEORY|RUN",
            help="A theory, which is trained at every point: the name of a shipped one, name@16x16 on "
            "another lattice, or a .py file. Or a run that was trained with --over, which is sampled.",
        ),
    ],
    over: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=RANGE",
            help="A coupling and its values, first:last:number, or values apart by commas; may be repeated, "
            "for all combinations.",
        ),
    ],
    settings: SettingsOption = None,
    seconds: Annotated[float | None, typer.Option(help="Time of all trainings together.")] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of a training that starts anew; a third where weights go on."),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Samples per step.")] = None,
    count: Annotated[int, typer.Option(min=100, help="Number of samples at each point.")] = 10_000,
    order: Annotated[
        str | None,
        typer.Option(
            "--order-parameter",
            metavar="NAME",
            help="The observable that is the order parameter; by default the mean of the field.",
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="torch, jax, or another one that is installed; that of a run by default.")
    ] = "torch",
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of weights, noise and samples; of a run's samples by default 1.")
    ] = 0,
    directory: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path,
            metavar="DIR",
            help="Where the runs are kept; by default a new one below runs/. The same command goes on with "
            "what was stopped.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(help="Test coverage by annealing at both ends, in the middle and at the worst point."),
    ] = True,
    extrapolate: Annotated[
        bool,
        typer.Option("--extrapolate", help="Of a run: allow points outside of its range, with a warning."),
    ] = False,
    declaration: DeclarationOption = None,
    output: Annotated[
        Path | None,
        typer.Option(parser=parse_path, metavar="PATH", help="Write the scan to this .npz file."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path, metavar="PICTURE", help="Draw the curves to this .png, .pdf or .svg file."
        ),
    ] = None,
) -> None:
    """Print curves with errors over a range of couplings, from a training at each point or from one for all.

    Exit code 3 if a law between the points is violated, a point is left out, or log Z is not finite.
    """
    require_distinct(output=output, plot=plot)
    if output is not None:
        check_scan_file(output)
    if plot is not None:
        check_picture(plot)
    sampled: dict[str, Any] = {
        "n": count,
        "parameters": parse_couplings(settings or []),
        "order_parameter": order,
        "progress": progress(),
    }
    if not is_default(context, "seed"):
        sampled["seed"] = seed
    if _is_run(theory):
        _require_no_training(context)
        with doing("reading the run"):
            named = None if is_default(context, "backend") else backend
            run = load_run(theory, theory=declaration, backend=named)
        note("sampling …")
        found = run.scan(_ranges(over), extrapolate=extrapolate, **sampled)
    else:
        for name, given in {"extrapolate": extrapolate, "theory": declaration}.items():
            if given:
                raise OptionError(
                    f"option --{name}",
                    expected="the directory of a run that was trained with --over",
                    found=f"{theory}, which is trained at every point",
                    remedy="leave it out",
                )
        options = {"seconds": seconds, "steps": steps, "batch": batch}
        fields: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        note("compiling, then one training after the other …")
        try:
            found = scan(
                load_theory(theory),
                _ranges(over),
                backend=backend,
                directory=directory,
                check=check,
                **sampled,
                **fields,
            )
        except ScanInterrupted as stopped:
            note(f"stopped by {stopped}")
            raise typer.Exit(128 + stopped.signal) from stopped
    _conclude(found, output, plot)


def _is_run(text: str) -> bool:
    """Whether the text is the path of the directory of a run, and not that of a theory."""
    try:
        return (Path(text) / RECORD).is_file()
    except OSError:  # a name that is too long, for instance
        return False


def _require_no_training(context: typer.Context) -> None:
    """OptionError for an option of a training."""
    for name in _OF_TRAININGS:
        if not is_default(context, name):
            raise OptionError(
                f"option --{name}",
                expected="a theory to train, or no option of a training",
                found="a run that is trained",
                remedy="leave it out; sesamo-dsl resume trains a run further",
            )


def _conclude(found: Scan, output: Path | None, plot: Path | None) -> None:
    say(found.text())
    tell(scan=lambda: scan_record(found))
    first = found.runs[0].directory
    if first is not None:
        place = first if len(found.runs) == 1 and len(found) > 1 else first.parent
        say(f"runs               {place}")
        tell(directory=place)
    if output is not None:
        found.save(output)
        say(f"scan               {output}")
        tell(output=output)
    if plot is not None:
        from ..report import save  # matplotlib takes a second to import

        save(found.plot(), plot)
        say(f"picture            {plot}")
        tell(picture=plot)
    print_warnings(found.warnings)
    violated = any(law.holds is False for law in found.consistency)
    if violated or found.missing or not found.is_finite:
        raise typer.Exit(FAILED)


def _ranges(over: list[str]) -> dict[str, np.ndarray]:
    """The values of ``--over kappa=0.2:0.32:25``, or ``kappa=0.2,0.25``, by coupling."""
    ranges: dict[str, np.ndarray] = {}
    for text in over:
        name, _, values = text.partition("=")
        name = name.strip()
        try:
            if ":" in values:
                first, last, number = values.split(":")
                if not 1 <= int(number) <= _MOST:
                    raise ValueError
                found = np.linspace(float(first), float(last), int(number))
            else:
                found = np.array([float(value) for value in values.split(",")])
        except ValueError:
            found = np.empty(0)
        if not name or not len(found) or name in ranges:
            raise OptionError(
                f"--over {text}",
                expected=f"NAME=FIRST:LAST:NUMBER with at most {_MOST} values, or NAME=VALUE,VALUE,…",
                found=f"{name} twice" if name in ranges else repr(text),
                remedy="write for instance --over kappa=0.2:0.32:25",
            )
        ranges[name] = found
    return ranges
