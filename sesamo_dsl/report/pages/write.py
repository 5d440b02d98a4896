"""The page of any result, written to a file whole or not at all."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from ... import checks
from ...annealing import Annealed
from ...comparison import Comparison
from ...estimates.chains import Chain
from ...machine.files import write_text
from ...machine.outputs import check_page
from ...runs import Run
from . import quantities
from .blocks import Page
from .compared import comparison_page
from .render import render
from .run import run_page
from .untrained import annealing_page, chain_page


def write_report(
    result: Run | Annealed | Chain | Comparison, path: str | Path, *, references: Any = None, **drawing: Any
) -> None:
    """Write the page of a result; the arguments are those of its method ``report``."""
    place = checks.path(path, "path of a report")
    check_page(place)
    write_text(place, render(_page(result, references, **drawing), version("sesamo-dsl")))


def _page(
    result: Run | Annealed | Chain | Comparison, references: Any, count: int = 0, seed: int = 0
) -> Page:
    if isinstance(result, Comparison):
        return comparison_page(
            result, quantities.check_references(references, [quantities.LOG_Z], result.theory)
        )
    program = result.compiled.program if isinstance(result, Run) else result.program
    declared = result.derived if isinstance(result, Run) else result.declared
    known = quantities.names_of(program, declared, log_z=not isinstance(result, Chain))
    given = quantities.check_references(references, known, program.theory)
    if isinstance(result, Run):
        return run_page(result, result.sample(count, seed=seed), given, seed)
    if isinstance(result, Annealed):
        return annealing_page(result, given)
    return chain_page(result, given)
