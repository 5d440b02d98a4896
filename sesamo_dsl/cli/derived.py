"""Commands that write down what follows from a declaration: derive, emit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..compiled import compile
from ..errors import OptionError
from ..language.theory_files import load_theory
from ..machine.files import write_text
from ..machine.outputs import TEXTS, check_output, check_picture
from ..stages.analyse import analyse
from ..values.precision import Precision
from .application import command
from .arguments import SettingsOption, TheoryArgument, parse_couplings, parse_path, require_distinct
from .declarations import require_finite_z, verdict_of
from .output import doing, note, say, tell


@command("derive")
def derive(
    theory: TheoryArgument,
    settings: SettingsOption = None,
    form: Annotated[
        Literal["text", "latex", "html"], typer.Option("--format", help="How to write the derivation.")
    ] = "text",
    output: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path, metavar="FILE", help="Write the derivation to this file, not to the screen."
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path, metavar="PICTURE", help="Draw the domain to this .png, .pdf or .svg file."
        ),
    ] = None,
) -> None:
    """Print what follows from the symmetries: split, domain, modulation, law, density of the sampler.

    Exit code 3 if ∫ exp(−S) is infinite at the default couplings and those of --set.
    """
    from ..report.derivation import derivation  # matplotlib, in the same package, takes a second to import

    require_distinct(output=output, picture=picture)
    if output is not None:
        check_output(output, TEXTS)
    if picture is not None:
        check_picture(picture)
    with doing("deriving"):
        analysis = analyse(
            load_theory(theory), parameters=parse_couplings(settings or []), normalizable=False
        )
        text = derivation(analysis, form)
    tell(theory=analysis.theory.name, verdict=verdict_of(analysis))
    if output is None:
        say(text)
        tell(derivation=text)
    else:
        write_text(output, text + "\n")
        say(f"derivation         {output}")
        tell(output=output)
    if picture is not None:
        from ..report.domains import domain_picture
        from ..report.pictures import save

        save(domain_picture(analysis), picture)
        note(f"picture            {picture}")  # a page that is piped into a file stays a page
        tell(picture=picture)
    require_finite_z(analysis)


@command("emit")
def emit(
    theory: TheoryArgument,
    backend: Annotated[str, typer.Option(help="torch, jax, or another one that is installed.")] = "torch",
    precision: Annotated[Precision | None, typer.Option(help="By default the theory's own.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            parser=parse_path,
            metavar="FILE",
            help="Write the module to this new .py file.",
        ),
    ] = None,
) -> None:
    """Print the module that a backend runs: action, gradient, domain, modulation, observables."""
    if output is not None:
        if output.exists() or output.suffix != ".py":
            raise OptionError(
                f"--output {output}",
                expected="the name of a new .py file",
                found="a file that exists" if output.exists() else repr(output.suffix),
                remedy="choose another name; nothing is overwritten",
            )
        check_output(output)
    with doing("compiling"):
        compiled = compile(load_theory(theory), backend, precision=precision, normalizable=False)
        source = compiled.source_path.read_text(encoding="utf-8")
    tell(theory=compiled.theory.name, backend=compiled.backend.name, precision=compiled.precision)
    if output is None:
        say(source.rstrip("\n"))
        tell(source=source)
    else:
        write_text(output, source)
        say(f"module             {output}")
        tell(output=output)
