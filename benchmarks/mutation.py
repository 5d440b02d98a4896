"""Mutation score of the properties: seeded faults, one at a time, in a copy of the packages.

``python benchmarks/mutation.py --table docs/mutation.md`` applies every fault of ``faults.py``, tests the
properties on a few small theories in one process per fault, and writes which property caught it.

A fault is *caught* when a property or a conformance check fails, when one of them raises an exception (none
is raised without faults, which is tested first), or when the compiler refuses a theory with one of its own
errors. A crash before any property runs and a time limit count as not caught. A fault that cannot be
imported, that uses a name which does not exist, or whose text is not found exactly once, is an error of the
list.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sesamo_dsl", "backends/sesamo_torch", "backends/sesamo_jax", "theories/sesamo_theories")
# modules that are imported once and inherited by every process; the code under test is imported by each
PRELOADED = ["mpmath", "networkx", "sympy", "scipy.stats", "scipy.optimize", "hypothesis", "rich", "torch"]


@dataclass(frozen=True)
class Outcome:
    """Status (``caught``, ``survives``, ``crashed``, ``time limit``, ``import``), test and seconds."""

    status: str
    by: str
    seconds: float


def problems(faults: list[Fault]) -> list[str]:
    """Messages on all faults that cannot be applied."""
    found = []
    for fault in faults:
        path = ROOT / fault.file
        count = path.read_text(encoding="utf-8").count(fault.old) if path.is_file() else 0
        if count != 1:
            found.append(f"{fault.name}: its text is in {fault.file} {count} times instead of once")
            continue
        try:
            compile(path.read_text(encoding="utf-8").replace(fault.old, fault.new), fault.file, "exec")
        except SyntaxError as error:
            found.append(f"{fault.name}: {error}")
    names = Counter(fault.name for fault in faults)
    return found + [f"{name}: the name is used {n} times" for name, n in names.items() if n > 1]


def copy_packages(target: Path) -> None:
    """Copy all packages that faults can be in to ``target``, compiled to bytecode."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(target, quiet=1)


def test_copy(copy: str, backend: str, result: Connection) -> None:
    """Process target: test the properties on the packages of a copy; sends (status, by) to ``result``."""
    root = Path(copy)
    sys.path[:0] = [str(path) for path in (root, root / "backends", root / "theories")]
    os.environ["SESAMO_DSL_CACHE"] = str(root / "emitted")
    os.chdir(root)
    try:
        subject = importlib.import_module("mutation_subject")
        importlib.import_module(f"sesamo_{backend}")
    except Exception as error:
        return result.send(("import", f"{type(error).__name__}: {error}"))
    assert sys.modules["sesamo_dsl"].__file__ == str(root / "sesamo_dsl" / "__init__.py")
    return result.send(subject.outcome(backend))


def run(fault: Fault | None, clean: Path, limit: float, backend: str) -> Outcome:
    """The outcome of a fault; None tests the packages without a fault."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory).resolve() / "copy"
        shutil.copytree(clean, copy)
        if fault is not None:
            path = copy / fault.file
            path.write_text(path.read_text(encoding="utf-8").replace(fault.old, fault.new), encoding="utf-8")
            for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                compiled.unlink()
        receiver, sender = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=test_copy, args=(str(copy), backend, sender))
        process.start()
        sender.close()
        try:
            status, by = receiver.recv() if receiver.poll(limit) else ("time limit", f"{limit:.0f} s")
        except EOFError:
            status, by = "crashed", "the process died"
        process.kill()
        process.join()
    if "raised NameError" in by:
        status = "import"
    return Outcome(status, by, time.perf_counter() - start)


def backend_of(fault: Fault) -> str:
    """The backend to test a fault with: JAX for faults in the JAX backend, else PyTorch."""
    return "jax" if "sesamo_jax" in fault.file else "torch"


def main() -> None:
    """Apply all faults and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="names of faults")
    parser.add_argument("--table", type=Path, help="write the table to this file")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=600, help="seconds for one fault")
    parser.add_argument("--check", action="store_true", help="only find the texts of all faults")
    options = parser.parse_args()
    if wrong := problems(list(FAULTS)):
        raise SystemExit("\n".join(wrong))
    chosen = [f for f in FAULTS if not options.only or f.name in options.only]
    if options.check:
        return print(f"{len(chosen)} faults of {len({f.kind for f in chosen})} kinds can be applied")
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(options.jobs) as pool:
        clean = Path(directory)
        copy_packages(clean)
        rows = []
        for backend in ("torch", "jax"):
            faults = [f for f in chosen if backend_of(f) == backend]
            if not faults:
                continue
            outcome = run(None, clean, 1800, backend)
            print(f"no fault, {backend}: {outcome.status} {outcome.by}, {outcome.seconds:.0f} s", flush=True)
            if outcome.status != "survives":
                raise SystemExit("the laws fail without any fault")
            outcomes = pool.map(partial(run, clean=clean, limit=options.limit, backend=backend), faults)
            for fault, found in zip(faults, outcomes, strict=True):
                print(f"{found.status:<10} {fault.name:<38} {found.seconds:5.1f} s  {found.by}", flush=True)
                rows.append((fault, found))
                if options.table:  # written after every fault, in case the campaign is stopped
                    options.table.write_text(table(rows, time.perf_counter() - start), encoding="utf-8")
    seconds = time.perf_counter() - start
    caught = sum(outcome.status == "caught" for _, outcome in rows)
    print(f"{caught} of {len(rows)} caught, {seconds:.0f} s")
    raise SystemExit(caught < len(rows))


def table(rows: list[tuple[Fault, Outcome]], seconds: float) -> str:
    """The score as Markdown."""
    caught = sum(outcome.status == "caught" for _, outcome in rows)
    raised = sum("raised" in outcome.by for _, outcome in rows)
    others = Counter(outcome.status for _, outcome in rows if outcome.status != "caught")
    rest = "".join(f" {n} {status}." for status, n in others.items())
    lines = [
        "# Mutation score",
        "",
        "Written by `python benchmarks/mutation.py --table docs/mutation.md`: every fault below is applied",
        "to a copy of the packages, one at a time, and the properties are tested on a few small theories",
        "(`benchmarks/mutation_subject.py`), with PyTorch, or with JAX if the fault is in the JAX backend.",
        "",
        f"**{caught} of {len(rows)} faults are caught**, {raised} of them by an exception.{rest}",
        f"The campaign took {seconds / 60:.0f} minutes.",
        "",
        "A fault is caught when a property or a conformance check fails; when one of them raises an",
        "exception, as none does without a fault, which is tried first; or when the compiler refuses a",
        "theory with one of its own errors. A crash before any property runs and a time limit count as",
        "not caught. A fault that cannot be imported, or that uses a name which does not exist, is an error",
        "of the list. Exact properties run first, statistical ones after them; the first that fails is",
        "named: it is not the only one that sees the fault. Seconds include the start of a process and",
        "everything before that property.",
        "",
        "| fault | kind | file | caught by | seconds |",
        "|---|---|---|---|---:|",
    ]
    for fault, outcome in rows:
        by = outcome.by if outcome.status == "caught" else f"**{outcome.status}** {outcome.by}"
        shown = by.replace("|", "\\|")
        lines.append(f"| {fault.name} | {fault.kind} | `{fault.file}` | {shown} | {outcome.seconds:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
