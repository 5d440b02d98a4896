"""The part of a page that says how a result was made: versions, options, seeds, digests and dates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...estimates.making import Making, now, versions_here
from ...ir.program import Program
from ...ir.text import program_text
from ...runs import Run, digest, record_of
from .blocks import Block, Facts, Fold, Listing, Section, Text
from .wording import number

_LONGEST = 20_000  # characters of a program that a page holds
Row = tuple[str, str]


def of_run(run: Run, count: int, seed: int) -> Section:
    """How a run was trained, and how the samples of the page were drawn."""
    record, plan = record_of(run), run.plan
    source = run.origin.get("reference", "a Python session")
    rows: list[Row] = [
        ("run directory", "none: it is kept in memory" if run.directory is None else str(run.directory)),
        ("declared in", source),
        *([("SHA-256 of that file", run.origin["sha256"])] if "sha256" in run.origin else []),
        ("backend, precision", f"{run.compiled.backend.name}, {run.compiled.precision}"),
        ("training", f"{run.progress}, {number(run.course.seconds, 3)} s"),
        ("seed of the training", str(plan.seed)),
        ("samples of this page", f"{count}, seed {seed}"),
        ("optimiser", str(record.get("optimizer", "Adam"))),
        *([("started from", str(run.start_from))] if run.start_from else []),
        ("digest of the program", digest(run.compiled)),
        ("checksum of the run", str(record.get("checksum", "none: it is kept in memory"))),
        ("versions at its last writing", _versions(record.get("versions", {}))),
        ("last written", str(record.get("written", "not known"))),
        *_page(),
    ]
    options: list[Row] = [
        (name, _value(value)) for name, value in plan.as_json().items() if name != "reasons"
    ]
    blocks: list[Block] = [Facts(rows), Fold("Options of the training", [Facts(options)])]
    return Section("Provenance", [*blocks, _listing(run.compiled.program)])


def of_making(making: Making | None, program: Program | None, more: Sequence[Row] = ()) -> Section:
    """How a result without a run directory was made, as far as it is known."""
    rows: list[Row] = list(more)
    if making is not None:
        rows += [(f"option {name}", _value(value)) for name, value in making.options.items()]
        rows += [("backend", making.backend), ("versions", _versions(making.versions)), ("done", making.date)]
    blocks: list[Block] = [Facts([*rows, *_page()])]
    if making is None:
        blocks.insert(0, Text("Options, seeds and versions of this result are not recorded."))
    return Section("Provenance", [*blocks, *([] if program is None else [_listing(program)])])


def _page() -> list[Row]:
    return [("page written", now()), ("versions that wrote it", _versions(versions_here()))]


def _versions(found: Any) -> str:
    if not isinstance(found, Mapping):
        return "not known"
    return ", ".join(f"{name} {version}" for name, version in found.items()) or "not known"


def _value(value: Any) -> str:
    if value is None:
        return "left open"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    if isinstance(value, float):
        return number(value, 12)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _listing(program: Program) -> Block:
    text = program_text(program)
    if len(text) > _LONGEST:
        return Text(
            f"The program that is sampled has {len(text)} characters, too many for a page; "
            "sd.compile(theory).program has it."
        )
    return Fold(f"The program that is sampled, {len(text)} characters", [Listing(text)])
