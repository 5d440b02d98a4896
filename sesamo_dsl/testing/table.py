"""The results of a suite as a table, with a counterexample that can be pasted into Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .random_theories import RandomResult
from .suite import PropertyResult, show

_WIDE = 120  # columns of a terminal in which statements have a column of their own


def results_table(results: Sequence[PropertyResult], width: int = _WIDE) -> Table:
    """A table of properties with examples tried, worst residual and its tolerance, and seconds.

    In a terminal of few columns, ``width``, statements stand below the names of the laws.
    """
    table, wide = Table(box=None, header_style="bold", pad_edge=False), width >= _WIDE
    for name in ("", "law", "statement") if wide else ("", "law and statement"):
        table.add_column(name, no_wrap=name == "law")
    for name in ("examples", "worst residual", "tolerance", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        residual, tolerance = result.worst.worst
        said = Text(result.prop.statement, style="" if wide else "dim")
        table.add_row(
            Text("✓", style="green") if result.holds else Text("✗", style="bold red"),
            *((result.prop.name, said) if wide else (Text(f"{result.prop.name}\n").append(said),)),
            str(result.examples),
            f"{residual:.2g}",
            f"{tolerance:.2g}",
            f"{result.seconds:.1f}",
        )
    return table


def counterexample(result: PropertyResult) -> str:
    """The violated property, the excess over its tolerance, and the counterexample as Python text."""
    residual, tolerance = result.worst.worst
    return (
        f"property {result.prop.name}: {result.prop.statement}\n"
        f"  violated  {result.worst.what}\n"
        f"  residual  {residual:.6g}, tolerance {tolerance:.3g}\n"
        f"  smallest counterexample found:\n"
        f"import numpy as np\nexample = {show(result.counterexample[1])}"
    )


def print_results(results: Sequence[PropertyResult], seconds: float, console: Console) -> None:
    """Print the table, the wall time, the probability of a false alarm and every counterexample."""
    console.print(results_table(results, console.width))
    level = sum(result.false_alarm for result in results)
    failed = [result for result in results if not result.holds]
    console.print(
        f"\n{len(results) - len(failed)} of {len(results)} properties hold, {seconds:.1f} s; "
        f"probability of a false alarm below {level:.1g}",
        highlight=False,
    )
    for result in failed:
        console.print("\n" + counterexample(result), highlight=False, markup=False, soft_wrap=True)


def print_random(result: RandomResult, console: Console) -> None:
    """Print the failure of a random theory, nothing if it did not fail."""
    if result.status == "failed":
        console.print(f"random theory {result.seed}: {result.found}\n", highlight=False, markup=False)


def print_summary(results: Sequence[RandomResult], console: Console) -> None:
    """Print how many random theories agree, are refused, and fail."""
    counts = Counter(result.status for result in results)
    classes = Counter(result.error for result in results if result.status == "refused")
    refusals = ", ".join(f"{n} {name}" for name, n in classes.most_common()) or "none"
    seconds = sum(result.seconds for result in results)
    console.print(
        f"{len(results)} random theories: {counts['agrees']} agree on all backends, {counts['refused']} are "
        f"refused with an explanation ({refusals}), {counts['failed']} fail; {seconds:.0f} s, at most "
        f"{max((result.seconds for result in results), default=0):.0f} s for one",
        highlight=False,
    )
