"""Commands about declarations: theories, check, test."""

from __future__ import annotations

import importlib
import inspect
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Column, Table

from ..analysis.result import Analysis
from ..analysis.undeclared import undeclared_symmetries
from ..errors import (
    BackendError,
    OptionError,
)
from ..language.theory_files import load_theory, shipped_theories
from ..machine.files import write_text
from ..machine.outputs import TEXTS, check_output, check_picture
from ..stages.analyse import analyse
from .application import FAILED, app
from .arguments import SettingsOption, TheoryArgument, parse_couplings, parse_path, require_distinct

_SEARCH_SECONDS = 1.5
"""Time that ``check`` searches undeclared symmetries for."""


_VERDICTS = {
    "exact": "exact: the action is proved invariant; the uniform law p(u|y) = 1/|G| is exact",
    "broken": "broken by S₁; the heat-bath law is exact all the same, a uniform or learned one is not",
    "undecided": "undecided: neither proved nor refuted; the heat-bath law is exact either way",
}


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
    """Verify the declared symmetries and print what follows from them; exit code 3 if ∫ exp(−S) is infinite.

    That is judged at the default couplings and those of --set.
    """
    from ..report.derivation import derivation  # matplotlib, in the same package, takes a second to import

    require_distinct(output=output, picture=picture)
    if output is not None:
        check_output(output, TEXTS)
    if picture is not None:
        check_picture(picture)
    analysis = analyse(load_theory(theory), parameters=parse_couplings(settings or []), normalizable=False)
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
        from ..report.domains import domain_picture
        from ..report.pictures import save

        save(domain_picture(analysis), picture)
        typer.echo(f"picture            {picture}", err=output is None and form != "text")
    if analysis.divergence is not None:
        typer.echo(f"normalisability: {analysis.normalisability}", err=True)
        raise typer.Exit(FAILED)


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
        from ..testing.table import print_random, print_results, print_summary
    except ImportError as error:
        raise BackendError(
            "property tests",
            expected="hypothesis to be installed",
            found=str(error),
            remedy="pip install 'sesamo-dsl[test]'",
        ) from error
    from ..testing import RandomResult, check_properties, run_random

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
        raise typer.Exit(FAILED if any(result.status == "failed" for result in drawn) else 0)
    began = time.perf_counter()
    with console.status("testing") as status:
        results = check_properties(
            load_theory(theory),
            backend,
            examples=examples,
            report=lambda result: status.update(f"testing: {result.prop.name} done"),
        )
    print_results(results, time.perf_counter() - began, console)
    raise typer.Exit(0 if all(result.holds for result in results) else FAILED)
