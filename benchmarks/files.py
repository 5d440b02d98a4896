"""Samples on their way to a file: how much slower than drawing them, and in how much memory.

A process of its own loads the run; drawing alone and drawing to a file take turns in it. Its flow is a small
one: the faster samples are drawn, the more does writing matter.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import Row, Task

import sesamo_dsl as sd
from sesamo_theories.scalar_phi4 import scalar_phi4

FLOW = sd.FlowSpec(layers=2, hidden=(8,), transform="affine")
PARTS, REPEATS = 3, 3  # files of 65536 samples in each part, 20 MB
SECONDS = {"files": 10.0}
_CHILD = """
import resource, sys, time
from pathlib import Path
import sesamo_dsl as sd
from sesamo_dsl.estimates.samples_writer import rows_per_part
from sesamo_dsl.estimates.weighted import WeightedSamples

directory, path, parts, repeats = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
run = sd.load_run(directory)
program = run.compiled.program
rows = rows_per_part(program.configuration_shape)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def draw():
    for number in range(parts):
        WeightedSamples.of(run.model.sample(rows, number), program, run.parameters, None)

def write():
    run.sample_to(path, parts * rows, progress=False)

def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

run.sample(1000).warnings  # what is compiled or searched for once
alone = written = 0.0
for _ in range(repeats):
    alone += seconds(draw)
    path.unlink(missing_ok=True)
    written += seconds(write)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path.unlink()
print(repeats * parts * rows / alone, alone / written, before * 1024, after * 1024)
"""


def measured(directory: Path, parts: int, repeats: int) -> list[float]:
    """Samples per second without a file, speed with one in these units, memory before and after, in bytes."""
    arguments = [str(directory), str(directory.parent / "x.h5"), str(parts), str(repeats)]
    command = [sys.executable, "-c", _CHILD, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return list(map(float, done.stdout.split()))


def to_file(backend: str, seconds: float) -> Iterator[Row]:
    """φ⁴ on 8×8, float32: speed of sampling to a file, and the memory for two lengths of it."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "run"
        compiled = sd.compile(scalar_phi4(8, 8), backend)
        compiled.train(directory=directory, progress=False, seconds=seconds, flow=FLOW)
        drawn, ratio, before, memory = measured(directory, PARTS, REPEATS)
        yield Row("samples per second, drawn alone", drawn)
        yield Row("speed to a file, in units of drawing alone", ratio, bar="≥ 0.9", passed=ratio >= 0.9)
        yield Row("GiB of memory before", before / 2**30)
        for parts, most in ((PARTS, memory), (4 * PARTS, measured(directory, 4 * PARTS, 1)[3])):
            gib = most / 2**30
            yield Row(f"GiB of memory, {parts} parts", gib, bar="≤ 2", passed=gib <= 2)


TASKS: dict[str, Task] = {"files": to_file}
