"""Samples on their way to a file: how much of the time is for drawing them, and how much memory they take.

The flow is a small one: the faster samples are drawn, the more does writing matter. Memory is that of a
process of its own, which loads the run. Time is wall time within one call, of which drawing is a part: a
machine that has other work to do slows down both alike.
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
LENGTHS = (2, 6)  # of files, in parts of 65536 samples, 20 MB
SECONDS = {"files": 10.0}
_CHILD = """
import resource, sys, time
import sesamo_dsl as sd
from sesamo_dsl.estimates.samples_writer import rows_per_part
from sesamo_dsl.runs import sampling

directory, path, parts = sys.argv[1], sys.argv[2], int(sys.argv[3])
run = sd.load_run(directory)
count = parts * rows_per_part(run.compiled.program.configuration_shape)
draw, drawing = sampling._Parts.draw, []

def timed(self, start):
    begin = time.perf_counter()
    arrays = draw(self, start)
    drawing.append(time.perf_counter() - begin)
    return arrays

sampling._Parts.draw = timed
run.sample(1000).warnings  # what is searched for once
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.perf_counter()
run.sample_to(path, count, progress=False)
seconds = time.perf_counter() - begin
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(count / seconds, sum(drawing) / seconds, before / 2**20, after / 2**20)
"""


def measured(directory: Path, path: Path, parts: int) -> list[float]:
    """Samples per second, the part of the time for drawing, and GiB of memory before and after."""
    command = [sys.executable, "-c", _CHILD, str(directory), str(path), str(parts)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    path.unlink()
    return list(map(float, done.stdout.split()))


def to_file(backend: str, seconds: float) -> Iterator[Row]:
    """φ⁴ on 8×8, float32: speed in units of drawing alone, and memory, for two lengths of the file."""
    with tempfile.TemporaryDirectory() as place:
        directory, path = Path(place) / "run", Path(place) / "x.h5"
        compiled = sd.compile(scalar_phi4(8, 8), backend)
        compiled.train(directory=directory, progress=False, seconds=seconds, flow=FLOW)
        for parts in LENGTHS:
            speed, share, before, after = measured(directory, path, parts)
            yield Row(f"samples per second, {parts} parts", speed)
            yield Row(f"of drawing alone, {parts} parts", share, bar="≥ 0.9", passed=share >= 0.9)
            yield Row(f"GiB of memory before, {parts} parts", before)
            yield Row(f"GiB of memory, {parts} parts", after, bar="≤ 2", passed=after <= 2)


TASKS: dict[str, Task] = {"files": to_file}
