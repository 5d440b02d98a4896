"""Code that all benchmarks share: rows of the table, stored values, training in a scratch directory."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sesamo_dsl as sd

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))
SAMPLES = 100_000


@dataclass(frozen=True)
class Row:
    """One measured figure and the bar that it has to reach (none: for information)."""

    figure: str
    value: float
    error: float | None = None
    bar: str = ""
    passed: bool | None = None


Task = Callable[[str, float], Iterator[Row]]
"""A benchmark: (backend, seconds of training) → rows."""


def train(
    theory: sd.Theory, backend: str, seconds: float, *, count: int = SAMPLES, **options: Any
) -> tuple[sd.Samples, Row]:
    """Samples of a newly trained model, and a row with the time of compilation and training."""
    samples, spent, _ = train_run(theory, backend, seconds, count=count, **options)
    return samples, spent


def train_run(
    theory: sd.Theory, backend: str, seconds: float, *, count: int = SAMPLES, **options: Any
) -> tuple[sd.Samples, Row, sd.Run]:
    """Samples, time and the run itself, whose weights a larger lattice can start from."""
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        model = sd.compile(theory, backend)
        run = model.train(directory=Path(directory) / "run", progress=False, seconds=seconds, **options)
        elapsed = time.perf_counter() - start
        samples = run.sample(count, seed=1 + run.plan.seed)
        return samples, Row(f"seconds, {len(run.history)} steps", elapsed), run
