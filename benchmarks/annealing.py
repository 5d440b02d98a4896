"""Annealing on targets with exact answers, the calibration of its error bars, and φ⁴ on a lattice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import targets
from common import REFERENCE, Row, Task
from lattice_annealing import gerdes

import sesamo_dsl as sd
from sesamo_theories.scalar_phi4 import scalar_phi4

SECONDS = {"anneal-targets": 60.0, "anneal-calibration": 0.0, "anneal-phi4": 13.0}
RUNS, WALKERS, POPULATIONS = 200, 256, 4
CALIBRATED = ("tilted_chain_8", "three_widths", "kinks")
"""Targets that are annealed many times: (log Z − exact)/error should have variance 1."""
CRITICAL, CRITICAL_WALKERS = (12, 5.276, 43.7445), 96
"""φ⁴ near its transition: extent, λ, and log Z as ``gerdes-12`` finds it, to 0.001."""


def on_targets(cases: Path | None = None) -> Task:
    """A task with one row for every target whose Z is finite, for log Z and the means together."""

    def task(backend: str, seconds: float) -> Iterator[Row]:
        warned = silent = 0
        chosen = [target for target in targets.all_targets(cases) if target.kind == "right"]
        for target in chosen:
            assert target.log_z is not None
            began, cpu = time.perf_counter(), time.process_time()
            annealed = sd.anneal(
                target.theory(), parameters=target.parameters, backend=backend, progress=False
            )
            spent, used = time.perf_counter() - began, time.process_time() - cpu
            pulls = [targets.pull_of(annealed.estimate, target.log_z)]
            pulls += [targets.pull_of(annealed.expect(name), value) for name, value in target.means.items()]
            names = [warning.partition(":")[0] for warning in annealed.warnings]
            warned += bool(names)
            wrong = max(pulls) > targets.SIGMAS and not names
            silent += wrong
            told = f" ({', '.join(names)})" if names else ""
            figure = (
                f"{target.name}: exact {target.log_z:.6g}, {max(pulls):.1f}σ, {spent:.0f} s, CPU {used:.0f} s"
            )
            yield Row(figure + told, *annealed.estimate, bar="right or warned", passed=not wrong)
        yield Row("wrong without a warning", silent, bar="0", passed=silent == 0)
        share = warned / len(chosen)
        yield Row("part with a warning", share, bar="≤ 0.1", passed=share <= 0.1)

    return task


def calibration(backend: str, _: float) -> Iterator[Row]:
    """Rows on the calibration: z = (log Z − exact)/error over many small runs has variance 1."""
    known = {target.name: target for target in targets.TARGETS}
    cases = [(known[name].theory(), known[name].log_z, WALKERS) for name in CALIBRATED]
    cases.append((gerdes(*CRITICAL[:2]), CRITICAL[2], CRITICAL_WALKERS))
    for theory, log_z, walkers in cases:
        assert log_z is not None
        compiled = sd.compile(theory, backend, precision="float64")
        z = []
        for seed in range(RUNS):
            annealed = sd.anneal(
                compiled, walkers=walkers, populations=POPULATIONS, seed=seed, progress=False
            )
            z.append((annealed.log_z - log_z) / annealed.log_z_error)
        variance = float(np.mean(np.square(z)))
        error = variance * np.sqrt(2 / RUNS)
        yield Row(f"{theory.name}: variance of z", variance, error, "1 ± 0.15", abs(variance - 1) <= 0.15)
        yield Row(f"{theory.name}: mean of z", float(np.mean(z)), 1 / np.sqrt(RUNS))


def phi4(backend: str, seconds: float) -> Iterator[Row]:
    """log Z of φ⁴ at κ = 0.3, in about the time in which plain NumPy reaches ± 0.014."""
    annealed = sd.anneal(
        scalar_phi4(8, 8), parameters={"kappa": 0.3}, backend=backend, seconds=seconds, progress=False
    )
    exact = REFERENCE["phi4_log_z"]["scalar_phi4 8x8 kappa=0.3 h=0.0"]
    off = abs(annealed.log_z - exact["value"]) / np.hypot(annealed.log_z_error, exact["error"])
    yield Row("log Z", *annealed.estimate, bar=f"{exact['value']} within 4σ", passed=off <= 4)
    yield Row("its error", annealed.log_z_error, bar="≤ 0.02", passed=annealed.log_z_error <= 0.02)


TASKS: dict[str, Task] = {
    "anneal-targets": on_targets(),
    "anneal-calibration": calibration,
    "anneal-phi4": phi4,
}
