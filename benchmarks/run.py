"""The table of figures: quality of trained samplers, time to compile, speed of the emitted code.

    python benchmarks/run.py [--only NAME …] [--backend torch|jax|both] [--seconds T] [--out DIR]

Prints every figure with its bar and a verdict; ``--out`` also writes the table as text and as JSON. The
values to compare with are in reference.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import annealing
import chains
import couplings
import coverage
import files
import hubbard
import lattice_annealing
import methods
import numpy as np
import targets
from common import REFERENCE, Row, Task, train
from lattice import LATTICE_TASKS, SECONDS
from rich.console import Console
from rich.table import Table

import sesamo_dsl as sd
from sesamo_dsl.backend import load_backend
from sesamo_dsl.stages.lower import lower_theory
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.scalar_phi4 import scalar_phi4

VOLUMES = ((8, 8), (16, 16), (32, 32), (64, 64), (16, 16, 16), (8, 8, 8, 8))


# quality of samplers ----------------------------------------------------------------------------------------


def mixture_exact(backend: str, seconds: float) -> Iterator[Row]:
    """8 Gaussians, Z₈ exact."""
    samples, spent = train(gaussian_mixture(), backend, seconds)
    yield spent
    yield Row("ESS", samples.ess, bar="≥ 0.9995", passed=samples.ess >= 0.9995)
    yield Row("KL", *samples.kl, bar="≤ 2e-4", passed=samples.kl.value <= 2e-4)


def mixture_heat_bath(backend: str, seconds: float) -> Iterator[Row]:
    """8 Gaussians, broken by h = 0.1, heat bath."""
    samples, spent = train(gaussian_mixture(), backend, seconds, parameters={"h": 0.1}, law="heat_bath")
    assert samples.exact is not None
    yield spent
    yield Row("ESS", samples.ess, bar="≥ 0.9995", passed=samples.ess >= 0.9995)
    yield Row("KL", *samples.kl, bar="≤ 3e-4", passed=samples.kl.value <= 3e-4)
    pull = np.abs(samples.sector_masses - samples.exact.sector_masses) / samples.sector_errors
    yield Row("sector masses, largest |z| of 8", float(pull.max()), bar="≤ 3", passed=bool(pull.max() <= 3))


def mixture_learned(backend: str, seconds: float) -> Iterator[Row]:
    """8 Gaussians, broken by h = 0.1, learned law."""
    samples, spent = train(gaussian_mixture(), backend, seconds, parameters={"h": 0.1}, law="learned")
    best = REFERENCE["gaussian_mixture"]["learned_law_kl"]["value"]
    off = abs(samples.kl.value / best - 1)
    yield spent
    yield Row("ESS", samples.ess)
    yield Row("KL", *samples.kl, bar=f"within 15 % of {best}", passed=off <= 0.15)


# time to compile --------------------------------------------------------------------------------------------


def compile_time(backend: str, _: float) -> Iterator[Row]:
    """Time of analyse + lower + emit, for a new declaration each time."""
    emit = load_backend(backend).emit
    cases: dict[str, Callable[[], sd.Theory]] = {"gaussian_mixture": gaussian_mixture}
    for shape in VOLUMES:
        cases[f"scalar_phi4 {'×'.join(map(str, shape))}"] = lambda shape=shape: scalar_phi4(*shape)
    for name, declare in cases.items():
        times = []
        for _ in range(3):
            theory = declare()
            start = time.perf_counter()
            emit(lower_theory(sd.analyse(theory)))
            times.append(time.perf_counter() - start)
        yield Row(f"{name}, first time", times[0], bar="≤ 2 s", passed=times[0] <= 2)
        yield Row(f"{name}, again", min(times[1:]))


# speed of the emitted code ----------------------------------------------------------------------------------


def centres() -> np.ndarray:
    """Modes of the mixture, (8, 2)."""
    angles = 2 * np.pi * np.arange(8) / 8
    return 12.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def by_hand_torch(theory: str, values: dict[str, float]) -> Callable[[Any], Any]:
    """S and ∂S/∂x as a good user of PyTorch would write them, for comparison with emitted code."""
    import torch

    modes = torch.as_tensor(centres())

    def mixture(x: torch.Tensor) -> torch.Tensor:
        point = x[:, :, 0]
        distances = (point[:, None] - modes).square().sum(dim=2)
        return values["h"] * point.sum(dim=1) - torch.logsumexp(-0.5 * distances, dim=1)

    def phi4(x: torch.Tensor) -> torch.Tensor:
        phi, lam = x[:, 0], values["lambda"]
        axes = tuple(range(1, phi.ndim))
        neighbours = sum(torch.roll(phi, -1, mu) for mu in axes)
        phi2 = phi * phi
        density = (
            -2 * values["kappa"] * phi * neighbours
            + (1 - 2 * lam) * phi2
            + lam * phi2 * phi2
            + values["h"] * phi
        )
        return density.sum(dim=axes)

    action = {"gaussian_mixture": mixture, "scalar_phi4": phi4}[theory]

    def action_and_gradient(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = x.detach().requires_grad_()
        s = action(x)
        return s.detach(), torch.autograd.grad(s.sum(), x)[0]

    return action_and_gradient


def by_hand_jax(theory: str, values: dict[str, float]) -> Callable[[Any], Any]:
    """S and ∂S/∂x as a good user of JAX would write them, for comparison with emitted code."""
    import jax
    import jax.numpy as jnp

    modes = jnp.asarray(centres())

    def mixture(x: jax.Array) -> jax.Array:
        point = x[:, 0]
        distances = jnp.sum((point - modes) ** 2, axis=1)
        return values["h"] * point.sum() - jax.nn.logsumexp(-0.5 * distances)

    def phi4(x: jax.Array) -> jax.Array:
        phi, lam = x[0], values["lambda"]
        neighbours = sum(jnp.roll(phi, -1, mu) for mu in range(phi.ndim))
        phi2 = phi * phi
        density = (
            -2 * values["kappa"] * phi * neighbours
            + (1 - 2 * lam) * phi2
            + lam * phi2 * phi2
            + values["h"] * phi
        )
        return density.sum()

    action = {"gaussian_mixture": mixture, "scalar_phi4": phi4}[theory]
    compiled = jax.jit(jax.vmap(jax.value_and_grad(action)))
    return lambda x: jax.block_until_ready(compiled(x))


def emitted(model: sd.CompiledTheory, values: dict[str, float]) -> Callable[[Any], Any]:
    """The emitted S and ∂S/∂x, under jit where the framework has one."""
    function = model.bind(values)["action_and_gradient"]
    if model.backend.name != "jax":
        return function
    import jax

    compiled = jax.jit(function)
    return lambda x: jax.block_until_ready(compiled(x))


def seconds_of(function: Callable[[Any], Any], x: Any, repeats: int) -> float:
    """Seconds of one call, the mean of a few."""
    start = time.perf_counter()
    for _ in range(repeats):
        function(x)
    return (time.perf_counter() - start) / repeats


def speed(backend: str, _: float) -> Iterator[Row]:
    """Emitted action and gradient against hand-written code: pairs timed in turn, ratio of the medians."""
    hand = {"torch": by_hand_torch, "jax": by_hand_jax}[backend]
    cases = [
        (gaussian_mixture(), 128),
        (gaussian_mixture(), 4096),
        (scalar_phi4(8, 8), 128),
        (scalar_phi4(8, 8), 1024),
    ]
    cases += [(scalar_phi4(16, 16, 16), 16), (scalar_phi4(64, 64), 16)]
    for theory, batch in cases:
        model = sd.compile(theory, backend)
        values = theory.parameter_values({"h": 0.1})
        noise = np.random.default_rng(0).normal(size=(batch, *theory.configuration_shape))
        x = model.backend.to_array(noise, "float32")
        ours, theirs = emitted(model, values), hand(theory.name, values)
        for a, b in zip(ours(x), theirs(x), strict=True):
            np.testing.assert_allclose(
                model.backend.to_numpy(a), model.backend.to_numpy(b), rtol=2e-4, atol=2e-3
            )
        repeats = max(1, round(4e-3 / seconds_of(theirs, x, 20)))
        pairs = [(seconds_of(ours, x, repeats), seconds_of(theirs, x, repeats)) for _ in range(60)]
        mine, other = median(p[0] for p in pairs), median(p[1] for p in pairs)
        ratio = other / mine
        shape = "×".join(map(str, theory.lattice.shape))
        name = f"{theory.name} {shape}, batch {batch}: {mine * 1e6:.0f} µs, by hand {other * 1e6:.0f} µs"
        yield Row(name, ratio, bar="≥ 1.0×", passed=ratio >= 1.0)


TASKS: dict[str, Task] = {
    "mixture-exact": mixture_exact,
    "mixture-heat-bath": mixture_heat_bath,
    "mixture-learned": mixture_learned,
    **LATTICE_TASKS,
    **hubbard.TASKS,
    "compile": compile_time,
    "speed": speed,
    **methods.TASKS,
    **annealing.TASKS,
    **lattice_annealing.TASKS,
    **chains.TASKS,
    **coverage.TASKS,
    **couplings.TASKS,
    **files.TASKS,
    "targets": targets.task(),
}


GROUPS = {"couplings": tuple(couplings.TASKS)}
"""Names that stand for several tasks."""


def plain(row: Row) -> Row:
    """The row with Python numbers, because JSON does not accept NumPy scalars."""
    passed = None if row.passed is None else bool(row.passed)
    error = None if row.error is None else float(row.error)
    return replace(row, value=float(row.value), error=error, passed=passed)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join((*TASKS, *(f"{name}: all {name}-…" for name in GROUPS)))
    parser.add_argument(
        "--only", nargs="+", choices=[*TASKS, *GROUPS], default=list(TASKS), metavar="NAME", help=names
    )
    parser.add_argument("--backend", choices=("torch", "jax", "both"), default="both")
    parser.add_argument(
        "--seconds", type=float, help="of each training; default 120 (mixture), 900 or 1800, 30 (targets)"
    )
    parser.add_argument(
        "--cases", type=Path, help="directory with more targets; default ../shared/cases if there is one"
    )
    parser.add_argument("--out", type=Path, help="directory for table.txt and table.json")
    return parser.parse_args()


def main() -> int:
    """Run the tasks; the exit code is 1 if a bar was missed."""
    chosen = arguments()
    backends = ("torch", "jax") if chosen.backend == "both" else (chosen.backend,)
    table = Table("task", "backend", "figure", "value", "± error", "bar", "", box=None, pad_edge=False)
    records, missed = [], 0
    tasks = TASKS | {
        "targets": targets.task(chosen.cases),
        "anneal-targets": annealing.on_targets(chosen.cases),
    }
    for name in dict.fromkeys(task for asked in chosen.only for task in GROUPS.get(asked, (asked,))):
        for backend in backends:
            seconds = chosen.seconds or (
                SECONDS
                | hubbard.SECONDS
                | targets.SECONDS
                | annealing.SECONDS
                | coverage.SECONDS
                | couplings.SECONDS
                | files.SECONDS
                | lattice_annealing.SECONDS
            ).get(name, 120.0)
            for row in map(plain, tasks[name](backend, seconds)):
                verdict = {None: "", True: "pass", False: "MISS"}[row.passed]
                missed += row.passed is False
                error = "" if row.error is None else f"{row.error:.2g}"
                table.add_row(name, backend, row.figure, f"{row.value:.6g}", error, row.bar, verdict)
                records.append({"task": name, "backend": backend, **asdict(row)})
                print(f"{name:18} {backend:6} {row.figure}: {row.value:.6g} {error} {verdict}", flush=True)
    machine = f"{platform.machine()}, {os.cpu_count()} CPU cores, Python {platform.python_version()}"
    console = Console(record=True, width=150)
    console.print(f"\n{machine}\n")
    console.print(table)
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "table.txt").write_text(console.export_text(), encoding="utf-8")
        text = json.dumps({"machine": machine, "rows": records}, indent=2, ensure_ascii=False)
        (chosen.out / "table.json").write_text(text + "\n", encoding="utf-8")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
