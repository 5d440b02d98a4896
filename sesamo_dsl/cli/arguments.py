"""Arguments and options that commands share, and what their text means."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import checks
from ..errors import (
    OptionError,
    ParameterError,
)


def parse_path(text: str) -> Path:
    """A path, with ~ expanded."""
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


RunArgument = Annotated[
    Path, typer.Argument(parser=parse_path, metavar="RUN", help="The directory that the training printed.")
]
CountOption = Annotated[int, typer.Option(min=1, help="Number of samples.")]


SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Value of a coupling; may be repeated."),
]


PlotOption = Annotated[
    Path | None,
    typer.Option(
        parser=parse_path, metavar="PICTURE", help="Draw the samples to this .png, .pdf or .svg file."
    ),
]


ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        parser=parse_path,
        metavar="PAGE",
        help="Write a page about the result to this .html file.",
    ),
]


def is_default(context: typer.Context, name: str) -> bool:
    """True if the option was not given."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT"


def parse_couplings(settings: list[str]) -> dict[str, float]:
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


def parse_ends(ranges: list[str]) -> dict[str, tuple[float, float]]:
    """The ends of ``--over name=low:high`` by coupling; ``TrainingOptions.over`` checks them."""
    ends: dict[str, tuple[float, float]] = {}
    for text in ranges:
        name, _, values = text.partition("=")
        name = checks.spelling(name.strip())
        try:
            low, high = map(float, values.split(":"))
        except ValueError:
            raise _no_ends(text, checks.shown(text)) from None
        if name in ends:
            raise _no_ends(text, f"{name} twice")
        ends[name] = low, high
    return ends


def _no_ends(text: str, found: str) -> OptionError:
    return OptionError(
        f"--over {text}",
        expected="NAME=LOW:HIGH, the ends of the range of a coupling, once for each",
        found=found,
        remedy="write for instance --over kappa=0.2:0.3; a list of points goes into the file of --config",
    )


def parse_layers(text: str) -> Any:
    """A number where the text is one; what else it may be is checked with it."""
    return int(text) if text.lstrip("+-").isdecimal() else text


def require_distinct(**outputs: Path | None) -> None:
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


def parse_names(text: str) -> list[str]:
    """Names apart by blanks or commas."""
    return text.replace(",", " ").split()


def parse_seconds(text: str) -> float:
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
