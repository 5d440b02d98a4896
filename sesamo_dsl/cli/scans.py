"""The command that scans couplings: scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..errors import OptionError, ScanInterrupted
from ..language.theory_files import load_theory
from ..machine.outputs import check_picture
from ..scans import scan
from ..scans.files import check_scan_file
from .application import FAILED, command
from .arguments import SettingsOption, TheoryArgument, parse_couplings, parse_path, require_distinct
from .output import note, progress, say, tell
from .printing import print_warnings, scan_record

_MOST = 10_000


@command("scan")
def run_scan(
    theory: TheoryArgument,
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
    backend: Annotated[str, typer.Option(help="torch, jax, or another one that is installed.")] = "torch",
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, noise and samples.")] = 0,
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
    """Train a sampler at each point of a range of couplings, and print curves with errors.

    Exit code 3 if a law between the points is violated, a point is left out, or log Z is not finite.
    """
    require_distinct(output=output, plot=plot)
    if output is not None:
        check_scan_file(output)
    if plot is not None:
        check_picture(plot)
    given = {"seconds": seconds, "steps": steps, "batch": batch}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    note("compiling, then one training after the other …")
    try:
        found = scan(
            load_theory(theory),
            _ranges(over),
            n=count,
            parameters=parse_couplings(settings or []),
            order_parameter=order,
            backend=backend,
            directory=directory,
            check=check,
            progress=progress(),
            seed=seed,
            **fields,
        )
    except ScanInterrupted as stopped:
        note(f"stopped by {stopped}")
        raise typer.Exit(128 + stopped.signal) from stopped
    say(found.text())
    tell(scan=lambda: scan_record(found))
    if found.runs[0].directory is not None:
        say(f"runs               {found.runs[0].directory.parent}")
        tell(directory=found.runs[0].directory.parent)
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
