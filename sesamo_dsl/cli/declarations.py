"""Commands about declarations: theories, check, symmetries, test."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ..analysis.derivation.content import verdicts
from ..analysis.derivation.text import TextWriter
from ..analysis.discovery import find_symmetries
from ..analysis.result import Analysis
from ..analysis.undeclared import undeclared_symmetries
from ..errors import (
    BackendError,
    OptionError,
)
from ..language.theory_files import load_theory, shipped_theories
from ..stages.analyse import analyse
from .application import FAILED, command
from .arguments import SettingsOption, TheoryArgument, parse_couplings
from .output import doing, say, show, tell

_SEARCH_SECONDS = 1.5
"""Time that ``check`` searches undeclared symmetries for."""


_VERDICTS = {
    "exact": "exact: the action is proved invariant; the uniform law p(u|y) = 1/|G| is exact",
    "broken": "broken by S₁; the heat-bath law is exact all the same, a uniform or learned one is not",
    "undecided": "undecided: neither proved nor refuted; the heat-bath law is exact either way",
}


@command("theories")
def list_theories() -> None:
    """List the theories that come with the package."""
    listed = []
    for name in shipped_theories():
        theory = load_theory(name)
        text = inspect.getdoc(importlib.import_module(f"sesamo_theories.{name}")) or ""
        symmetry = " × ".join(s.name for s in theory.symmetries) or "none"
        summary = text.partition("\n")[0]
        freedom = theory.degrees_of_freedom
        show(Text(name, "bold", overflow="fold"))
        facts = f"{theory.lattice}, {freedom} degrees of freedom, symmetry {symmetry}"
        for line in (facts, summary):
            show(Padding(line, (0, 0, 0, 4), expand=False))
        listed.append(
            {
                "name": name,
                "lattice": str(theory.lattice),
                "degrees_of_freedom": freedom,
                "symmetries": [s.name for s in theory.symmetries],
                "summary": summary,
            }
        )
    tell(theories=listed)


@command("check")
def check(theory: TheoryArgument, settings: SettingsOption = None) -> None:
    """Verify the declared symmetries and print the verdicts; exit code 3 if ∫ exp(−S) is infinite.

    That is judged at the default couplings and those of --set. What follows is printed by derive.
    """
    with doing("verifying"):
        analysis = analyse(
            load_theory(theory), parameters=parse_couplings(settings or []), normalizable=False
        )
        lines, limits = undeclared_symmetries(analysis, _SEARCH_SECONDS)
    say(TextWriter().document(tuple(verdicts(analysis))))
    say(f"\nverdict: {verdict_of(analysis)}")
    if lines is None:
        say("undeclared symmetries were not searched")
    else:
        say("exact symmetries that are not declared:" if lines else "no undeclared symmetry was found")
    for line in lines or ():
        say(f"  {line}")
    for limit in limits:
        say(f"  limit of the search: {limit}")
    tell(theory=analysis.theory.name, **_judged(analysis), undeclared=lines, limits=limits)
    require_finite_z(analysis)


def require_finite_z(analysis: Analysis) -> None:
    """End with the exit code of a failed check if ∫ exp(−S) is found to be infinite."""
    if analysis.divergence is not None:
        typer.echo(f"normalisability: {analysis.normalisability}", err=True)
        raise typer.Exit(FAILED)


def _judged(analysis: Analysis) -> dict[str, Any]:
    """The verdicts by name, for JSON."""
    reports = (*analysis.reports, *analysis.lie_reports)
    return {
        "verdict": analysis.status if analysis.is_modulated else None,
        "symmetries": [
            {"name": r.symmetry.name, "status": r.status, "evidence": [v.evidence for v in r.verdicts]}
            for r in reports
        ],
        "breaking": str(analysis.breaking),
        "normalisability": analysis.normalisability,
        "infinite": analysis.divergence is not None,
    }


def verdict_of(analysis: Analysis) -> str:
    """What the symmetries are good for, in a sentence."""
    return (
        _VERDICTS[analysis.status]
        if analysis.is_modulated
        else "no symmetry: there is nothing to modulate with"
    )


@command("symmetries")
def list_symmetries(
    theory: TheoryArgument,
    settings: SettingsOption = None,
    seconds: Annotated[
        float, typer.Option(help="Time after which no further search is begun; the result names the rest.")
    ] = 60.0,
) -> None:
    """Find the symmetries of an action from the action alone, each with its proof; none has to be declared.

    They hold for all values of the couplings, except those of --set.
    """
    with doing("searching"):
        values: dict[Any, float] = {**parse_couplings(settings or [])}
        found = find_symmetries(load_theory(theory), at=values, seconds=seconds)
    say(found.text())
    internal, lattice = found.internal, found.lattice

    def judged(verdicts_on: Sequence[Any]) -> list[dict[str, str]]:
        return [{"map": str(v.generator), "status": v.status, "evidence": v.evidence} for v in verdicts_on]

    tell(
        theory=found.theory.name,
        internal=found.name,
        algebra={"name": found.algebra.name, "dimension": found.algebra.dimension},
        discrete={
            "name": internal.name,
            "order": internal.order,
            "generators": judged([*internal.verdicts, *internal.undecided, *internal.affine]),
        },
        lattice={
            "point_group": lattice.name,
            "order": lattice.order,
            "generators": judged([*lattice.verdicts, *lattice.undecided]),
        },
        limits=found.limits,
    )


@command("test")
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
        from ..testing.table import counterexample, print_random, print_results, print_summary
    except ImportError as error:
        raise BackendError(
            "property tests",
            expected="hypothesis to be installed",
            found=str(error),
            remedy="pip install 'sesamo-dsl[test]'",
        ) from error
    from ..testing import PropertyResult, RandomResult, check_properties, run_random

    console = Console()  # of stdout as it is now: with --json that is stderr
    if (theory is None) == (random == 0):
        raise OptionError(
            "command test",
            expected="a THEORY, or --random N",
            found="both" if theory else "neither",
            remedy="name a theory, or ask for random ones",
        )
    if theory is None:
        with doing("testing") as update:

            def report(result: RandomResult) -> None:
                """As they come: what was found by a run that is stopped is not lost."""
                print_random(result, console)
                update(f"random theory {result.seed} {result.status}")

            drawn = run_random(random, seed=seed, backends=backend, report=report)
        print_summary(drawn, console)
        tell(theories=[{"seed": r.seed, "status": r.status, "found": r.found} for r in drawn])
        raise typer.Exit(FAILED if any(result.status == "failed" for result in drawn) else 0)
    began = time.perf_counter()
    with doing("testing") as update:

        def done(result: PropertyResult) -> None:
            update(f"testing: {result.prop.name} done")

        results = check_properties(
            load_theory(theory),
            backend,
            examples=examples,
            report=done,
        )
    print_results(results, time.perf_counter() - began, console)
    tell(
        properties=[
            {
                "law": result.prop.name,
                "statement": result.prop.statement,
                "holds": result.holds,
                "examples": result.examples,
                "residual": result.worst.worst[0],
                "tolerance": result.worst.worst[1],
                "counterexample": None if result.holds else counterexample(result),
            }
            for result in results
        ]
    )
    raise typer.Exit(0 if all(result.holds for result in results) else FAILED)
