"""Mutation score of the laws: seeded faults, one at a time, in a copy of the packages.

``python benchmarks/mutation.py --table docs/mutation.md`` applies every fault, runs the laws on a few small
theories in one process per fault, and writes which law caught it. A fault that no law catches is an error, as
is one whose text is not found exactly once. Faults are listed in ``faults.py``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sesamo_dsl", "backends/sesamo_torch", "backends/sesamo_jax", "theories/sesamo_theories")


def copy_packages(target: Path) -> None:
    """A copy of everything that can be at fault."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))


def mutated(fault: Fault) -> str:
    """The text of the faulty file."""
    text = (ROOT / fault.file).read_text(encoding="utf-8")
    found = text.count(fault.old)
    if found != 1:
        raise SystemExit(
            f"fault {fault.name}: expected its text once in {fault.file}, found it {found} times"
        )
    changed = text.replace(fault.old, fault.new)
    compile(changed, fault.file, "exec")
    return changed


def run(fault: Fault | None, seconds: float) -> tuple[str, float]:
    """Who caught the fault, empty if nobody did; None tests the packages as they are."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        copy_packages(copy)
        if fault is not None:
            (copy / fault.file).write_text(mutated(fault), encoding="utf-8")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (copy, copy / "backends", copy / "theories"))),
            "SESAMO_DSL_CACHE": str(copy / "emitted"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }
        backend = "jax" if fault is not None and "sesamo_jax" in fault.file else "torch"
        command = [sys.executable, str(ROOT / "benchmarks" / "mutation_subject.py"), backend]
        try:
            done = subprocess.run(
                command, env=environment, cwd=copy, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return "a time limit", time.perf_counter() - start
    taken = time.perf_counter() - start
    if done.returncode == 0:
        return "", taken
    said = [line for line in done.stdout.splitlines() if line.startswith("caught by ")]
    last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
    return (said[-1].removeprefix("caught by ") if said else f"a crash: {last[:60]}"), taken


def main() -> None:
    """Apply all faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="names of faults")
    parser.add_argument("--table", type=Path, help="write the table to this file")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="only find the texts of all faults")
    options = parser.parse_args()
    chosen = [f for f in FAULTS if not options.only or f.name in options.only]
    for fault in chosen:
        mutated(fault)
    if options.check:
        return print(f"{len(chosen)} faults can be applied")
    caught, taken = run(None, 900)
    if caught:
        raise SystemExit(f"the laws fail without any fault: {caught}")
    print(f"no fault: all laws hold, {taken:.0f} s", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        rows = []
        for fault, (caught, taken) in zip(chosen, pool.map(lambda f: run(f, 600), chosen), strict=True):
            print(
                f"{'caught  ' if caught else 'SURVIVES'} {fault.name:<36} {taken:5.0f} s  {caught}",
                flush=True,
            )
            rows.append((fault, caught))
    survivors = [fault.name for fault, caught in rows if not caught]
    print(f"{len(rows) - len(survivors)} of {len(rows)} caught")
    if options.table:
        options.table.write_text(table(rows), encoding="utf-8")
    raise SystemExit(1 if survivors else 0)


def table(rows: list[tuple[Fault, str]]) -> str:
    """The score as Markdown."""
    caught = sum(bool(by) for _, by in rows)
    lines = [
        "# Mutation score",
        "",
        "Written by `python benchmarks/mutation.py --table docs/mutation.md`: every fault below is applied",
        "to a copy of the packages, one at a time, and the laws run on a few small theories.",
        "",
        f"**{caught} of {len(rows)} faults are caught.**",
        "",
        "| fault | kind | file | caught by |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {fault.name} | {fault.kind} | `{fault.file}` | {by.replace('|', chr(92) + '|') or '**nobody**'} |"
        for fault, by in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
