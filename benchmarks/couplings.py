"""One training for a range of couplings: ESS at points of it, and figures against closed forms and HMC.

Every row of a curve is the worst of its points; ``run.scan`` draws other samples at each of them. Bars on the
time are for the time of the training, ``--seconds``; a busy machine gives a process less than that, and the
first rows say how much it was.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from common import REFERENCE, Row, Task

import sesamo_dsl as sd
from sesamo_dsl.observables import correlators
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.hubbard import hubbard, two_sites
from sesamo_theories.scalar_phi4 import scalar_phi4

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from oracles.fock import FockSpace

SECONDS = {"couplings-mixture": 120.0, "couplings-phi4": 900.0, "couplings-complex": 1800.0}


def trained(
    theory: sd.Theory, backend: str, seconds: float, over: Mapping[str, tuple[float, float]]
) -> tuple[sd.Run, list[Row]]:
    """A run over a range, and rows with what the training cost."""
    compiled = sd.compile(theory, backend)
    processor = time.process_time()
    run = compiled.train(over=over, seconds=seconds, directory=False, check=False, progress=False)
    spent = time.process_time() - processor
    wall = Row(f"seconds, {run.steps_done} steps", run.course.seconds)
    return run, [wall, Row("seconds of processor time of the training", spent)]


def least(name: str, ess: Sequence[float], bar: float) -> Row:
    """The lowest ESS of several points."""
    low = min(ess)
    return Row(f"lowest ESS, {name}", low, bar=f"≥ {bar}", passed=low >= bar)


def farthest(name: str, scores: Sequence[float], bar: float = 3.0) -> Row:
    """The largest deviation of several, in standard errors."""
    far = float(np.abs(scores).max())
    return Row(f"{name}, largest |z| of {len(scores)}", far, bar=f"≤ {bar:g}", passed=far <= bar)


def integration(scan: sd.Scan) -> Iterator[Row]:
    """χ² per degree of freedom of thermodynamic integration, and the precision that it has."""
    law = scan.consistency[0]
    fits = law.degrees > 0 and 0.5 <= law.per_degree <= 1.5
    name = f"thermodynamic integration, χ² per degree, {law.degrees} of {law.possible} intervals"
    yield Row(name, law.per_degree, bar="0.5 to 1.5", passed=fits and law.degrees == law.possible)
    yield Row("largest error of log Z", max(point["log_z"].error for point in scan.points))


def mixture(backend: str, seconds: float) -> Iterator[Row]:
    """8 Gaussians, h from 0 to 0.3, against log Z in closed form."""
    run, rows = trained(gaussian_mixture(), backend, seconds, {"h": (0.0, 0.3)})
    yield from rows
    values, angles = np.linspace(0, 0.3, 20), 2 * np.pi * np.arange(8) / 8
    scan = run.scan({"h": values}, n=20_000, progress=False)
    scores = []
    for h, point in zip(values, scan.points, strict=True):
        shifts = h**2 - h * 12 * math.sqrt(2) * np.sin(angles + np.pi / 4)
        exact = math.log(2 * math.pi) + float(np.logaddexp.reduce(shifts))
        scores.append((point["log_z"].value - exact) / point["log_z"].error)
    yield least("20 values of h", [point.ess for point in scan.points], 0.999)
    yield farthest("log Z", scores)


def phi4(backend: str, seconds: float) -> Iterator[Row]:
    """Scalar φ⁴ 8×8, κ from 0.2 to 0.3 and h from 0 to 0.05, against HMC; thermodynamic integration in κ."""
    theory = scalar_phi4(8, 8)
    run, rows = trained(theory, backend, seconds, {"kappa": (0.2, 0.3), "h": (0.0, 0.05)})
    yield from rows
    ess: dict[tuple[float, float], float] = {}
    for kappa in (0.2, 0.225, 0.25, 0.275, 0.3):
        for h in (0.0, 0.005, 0.02, 0.05):
            samples = run.at(kappa=kappa, h=h).sample(10_000)
            ess[kappa, h] = samples.ess
            stored = REFERENCE["phi4"]["runs"].get(f"scalar_phi4 8x8 kappa={kappa} h={h}")
            if stored is not None:
                found = {name: samples.expect(name) for name in stored}
                scores = [
                    (found[name].value - known["value"]) / math.hypot(found[name].error, known["error"])
                    for name, known in stored.items()
                ]
                yield farthest(f"observables at kappa = {kappa}, h = {h}", scores)
    yield least("20 points", list(ess.values()), 0.95)
    yield least("kappa = 0.3", [value for (kappa, _), value in ess.items() if kappa == 0.3], 0.98)
    scan = run.scan({"kappa": np.linspace(0.2, 0.3, 25)}, n=10_000, parameters={"h": 0.02}, progress=False)
    yield from integration(scan)


def complex_field(backend: str, seconds: float) -> Iterator[Row]:
    """Complex φ⁴ 8×8, κ from 0.2 to 0.3, and where its susceptibility has its peak."""
    run, rows = trained(complex_phi4(8, 8), backend, seconds, {"kappa": (0.2, 0.3)})
    yield from rows
    scan = run.scan({"kappa": np.linspace(0.2, 0.3, 21)}, n=5_000, progress=False)
    yield least("21 values of κ", [point.ess for point in scan.points], 0.9)
    yield from integration(scan)
    place, height = scan.peak("susceptibility")
    yield Row("κ of the peak of the susceptibility", *place)
    yield Row("susceptibility at its peak", *height)


def fermions(slices: int) -> Task:
    """Hubbard model on two sites, U from 2 to 18, against the trace over Fock space."""

    def rows(backend: str, seconds: float) -> Iterator[Row]:
        run, first = trained(hubbard(two_sites(), slices, U=18, beta=1), backend, seconds, {"U": (2.0, 18.0)})
        yield from first
        hopping, scores = nx.to_numpy_array(two_sites()), dict[str, list[float]]()
        ess: list[float] = []
        for U in np.linspace(2, 18, 9).tolist():
            samples = run.at(U=U).sample(20_000)
            exact = FockSpace(hopping, slices, U, 1.0)
            ends = [FockSpace(hopping, slices, U + step, 1.0).log_z for step in (-1e-4, 1e-4)]
            double = correlators.double_occupancy(samples.x, hopping, 1.0 / slices)
            pairs: dict[str, tuple[Any, float]] = {
                "log Z": (samples.log_z, exact.log_z),
                "∂ log Z/∂U": (samples.d_log_z("U"), (ends[1] - ends[0]) / 2e-4),
                "double occupancy": (samples.expect(double), exact.double_occupancy),
            }
            ess.append(samples.ess)
            for name, (found, value) in pairs.items():
                scores.setdefault(name, []).append((found.value - value) / found.error)
        yield least("9 values of U", ess, 0.98)
        for name, of_points in scores.items():
            yield farthest(name, of_points)

    return rows


TASKS: dict[str, Task] = {
    "couplings-mixture": mixture,
    "couplings-phi4": phi4,
    "couplings-hubbard": fermions(1),
    "couplings-hubbard-2x8": fermions(8),
    "couplings-complex": complex_field,
}
