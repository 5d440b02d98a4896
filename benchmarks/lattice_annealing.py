"""Lattice theories with flows that are finished by annealing: ESS, observables, log Z at equal time.

The total time of a row is that of training and annealed samples; annealing alone gets as much where errors
are compared.
The points of φ⁴ are those of M. Gerdes et al., SciPost Phys. 15 (2023) 238, arXiv:2207.00283, in whose
normalisation S = Σ_x [−2 Σ_μ φ_x φ_{x+μ} + (4 + m²) φ_x² + λ φ_x⁴] with m² = −4.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import networkx as nx
import numpy as np
from common import Row, Task, train_run

import sesamo_dsl as sd
from sesamo_dsl.estimates.estimate import Estimate
from sesamo_dsl.observables import correlators
from sesamo_theories.hubbard import honeycomb, hubbard
from sesamo_theories.scalar_phi4 import scalar_phi4

TRAINED = 0.5
"""Part of the total time for the training."""
LARGEST_AT_ONCE = 20
"""Extent above which a training starts from those of 8×8 and 16×16."""


def gerdes(extent: int, coupling: float) -> sd.Theory:
    """φ⁴ at m² = −4, without a quadratic term."""
    lattice = sd.Lattice(extent, extent)
    phi = sd.ScalarField("phi", lattice)
    lam = sd.parameters("lambda")
    neighbours = sum(phi.shift(mu) for mu in lattice.directions)
    return sd.Theory(
        f"gerdes_{extent}",
        fields=[phi],
        action=lattice.sum(-2 * phi * neighbours + lam * phi**4),
        symmetries=[sd.Z2(phi)],
        observables={
            "phi_squared": lattice.sum(phi**2) / extent**2,
            "phi_four": lattice.sum(phi**4) / extent**2,
        },
        defaults={lam: coupling},
    )


def agreement(name: str, found: Estimate, other: Estimate, source: str) -> Row:
    """A row with a figure and its deviation from that of another method, in standard errors."""
    z = (found.value - other.value) / math.hypot(found.error, other.error)
    bar = f"|z| ≤ 3 to {other.value:.6g} ± {other.error:.2g} ({source})"
    return Row(f"{name}, z = {z:+.2f}", *found, bar, abs(z) <= 3)


def grown(
    theories: Sequence[sd.Theory], backend: str, seconds: float, count: int, **options: Any
) -> Generator[Row, None, tuple[sd.Samples, sd.Run]]:
    """Samples and run of the last of several lattices; each training starts from the weights of the last."""
    shares = {1: (1.0,), 3: (0.2, 0.3, 0.5)}[len(theories)]
    drawn, run = None, None
    for theory, share in zip(theories, shares, strict=True):
        drawn, spent, run = train_run(
            theory, backend, share * seconds, count=count, start_from=run, check=False, **options
        )
        yield spent
    assert drawn is not None
    assert run is not None
    return drawn, run


def annealed_samples(run: sd.Run, seconds: float) -> sd.Samples:
    """Samples of an ESS of 0.9 if the time allows it, at least 1,000; a first batch determines how many."""
    began = time.perf_counter()
    first = run.sample(1_000, anneal="auto", anneal_seconds=0.9 * seconds, seed=11, progress=False)
    spent = time.perf_counter() - began
    layers = 0 if first.annealed is None else first.annealed.layers
    count = int(1_000 * (seconds - spent) / spent)  # the search is a part of what the first ones took
    return first if count < 1_000 else run.sample(count, anneal=layers, seed=12, progress=False)


def best_samples(run: sd.Run, seconds: float) -> sd.Samples:
    """Samples for so many seconds with as many layers as make the error of log Z smallest.

    The error falls like [(1/ESS − 1) t]^(1/2) with the time t of a sample; batches of 1,000 measure both.
    """
    began, best = time.perf_counter(), (math.inf, 0, 1.0)
    for layers in (0, 1, 2, 4, 8, 16):
        start = time.perf_counter()
        ess = run.sample(1_000, anneal=layers, seed=11 + layers, progress=False).ess
        time_of_one = (time.perf_counter() - start) / 1_000
        best = min(best, ((1 / ess - 1) * time_of_one, layers, time_of_one))
        if time.perf_counter() - began + 2_000 * time_of_one > 0.4 * seconds:
            break
    _, layers, time_of_one = best
    count = int(0.9 * (seconds - (time.perf_counter() - began)) / time_of_one)
    return run.sample(max(count, 1_000), anneal=layers, seed=40, progress=False)


def at_equal_time(extent: int, coupling: float, ratio: float | None, ess: float | None) -> Task:
    """A point of Gerdes et al.: flow and annealing against annealing alone in the same time."""

    def rows(backend: str, seconds: float) -> Iterator[Row]:
        began = time.perf_counter()
        theory = gerdes(extent, coupling)
        extents = (8, 16, extent) if extent > LARGEST_AT_ONCE else (extent,)
        drawn, run = yield from grown(
            [gerdes(n, coupling) for n in extents], backend, TRAINED * seconds, count=10_000
        )
        yield Row("ESS of the flow", drawn.ess)
        draw = annealed_samples if ratio is None else best_samples
        samples = draw(run, seconds - (time.perf_counter() - began))
        total = time.perf_counter() - began
        layers = 0 if samples.annealed is None else samples.annealed.layers
        reached = None if ess is None else samples.ess >= ess
        bar = "" if ess is None else f"≥ {ess}"
        yield Row(f"ESS, {layers} layers, {len(samples)} samples", samples.ess, bar=bar, passed=reached)
        yield Row("total seconds", total)
        share = 0.2 if ratio is None else 1.0
        alone = sd.anneal(theory, backend=backend, seconds=share * total, progress=False)
        yield agreement("log Z", samples.log_z, alone.estimate, "annealing alone")
        for name in ("action", "phi_squared", "phi_four"):
            yield agreement(f"⟨{name}⟩", samples.expect(name), alone.expect(name), "annealing alone")
        smaller = alone.log_z_error / samples.log_z.error
        figure = f"error of log Z, that of annealing alone ({alone.log_z_error:.2g}) over that of both"
        if ratio is not None:
            yield Row(figure, smaller, bar=f"≥ {ratio}", passed=smaller >= ratio)
        for warning in samples.warnings:
            print(f"warning: {warning}")

    return rows


def large_lattice(backend: str, seconds: float) -> Iterator[Row]:
    """φ⁴ 32×32 at κ = 0.27, λ = 0.022: a flow from 8×8 and 16×16, annealed, against HMC and annealing."""
    began = time.perf_counter()
    theories = [scalar_phi4(extent, extent) for extent in (8, 16, 32)]
    _, run = yield from grown(theories, backend, TRAINED * seconds, count=1_000, parameters={"kappa": 0.27})
    theory = theories[-1]
    samples = annealed_samples(run, 0.25 * seconds)
    yield Row(f"ESS, {len(samples)} samples", samples.ess)
    alone = sd.anneal(
        theory, parameters={"kappa": 0.27}, backend=backend, seconds=0.15 * seconds, progress=False
    )
    yield agreement("log Z", samples.log_z, alone.estimate, "annealing alone")
    chain = sd.hmc(theory, parameters={"kappa": 0.27}, chains=64, trajectories=500, warm_up=200)
    total = time.perf_counter() - began
    yield Row("total seconds", total, bar="≤ 1800", passed=total <= 1800)
    for name in ("action", *theory.observables):
        yield agreement(f"⟨{name}⟩", samples.expect(name), Estimate(*chain.expect(name)[:2]), "HMC")


def honeycomb_annealed(
    slices: int,
    U: float,
    beta: float,
    batch: int,
    bar: float | None,
    seeds: int,
    chains: int,
    trajectories: int,
) -> Task:
    """18 sites of a honeycomb torus: the flow, the flow with annealing, and long HMC with flips of sites."""

    def rows(backend: str, seconds: float) -> Iterator[Row]:
        graph, step = honeycomb(3, 3), beta / slices
        sitewise = hubbard(graph, slices, U=U, beta=beta)
        everywhere = hubbard(graph, slices, U=U, beta=beta, symmetries=[sd.Z2(*sitewise.fields)])
        hopping = nx.to_numpy_array(graph, nodelist=sitewise.lattice.nodes)

        def measured(x: np.ndarray) -> dict[str, np.ndarray]:
            spins = correlators.spin_correlations(x, hopping, step)
            return {
                "double occupancy": correlators.double_occupancy(x, hopping, step),
                "⟨SᶻSᶻ⟩ of neighbours": spins[:, hopping > 0].mean(axis=1),
            }

        chain = sd.hmc(sitewise, chains=chains, trajectories=trajectories, warm_up=max(50, trajectories // 4))
        theirs = {
            name: Estimate(*chain.expect(values)[:2])
            for name, values in measured(chain.configurations).items()
        }
        for seed in range(seeds):
            began = time.perf_counter()
            drawn, spent, run = train_run(
                everywhere,
                backend,
                TRAINED * seconds,
                count=4_000,
                batch=batch,
                learning_rate=0.01,
                seed=seed,
                check=False,
            )
            yield spent
            yield Row(f"seed {seed}: ESS of the flow", drawn.ess)
            samples = annealed_samples(run, seconds - (time.perf_counter() - began))
            layers = 0 if samples.annealed is None else samples.annealed.layers
            yield Row(
                f"seed {seed}: ESS, {layers} layers, {len(samples)} samples",
                samples.ess,
                bar="" if bar is None else f"≥ {bar}",
                passed=None if bar is None else samples.ess >= bar,
            )
            yield Row(f"seed {seed}: total seconds", time.perf_counter() - began)
            yield Row(f"seed {seed}: log Z", *samples.log_z)
            for name, values in measured(samples.x).items():
                yield agreement(f"seed {seed}: {name}", samples.expect(values), theirs[name], "HMC")

    return rows


GERDES = {8: (6.0, 3.0, None), 12: (5.276, 3.0, None), 20: (4.807, None, 0.9), 32: (4.572, None, None)}
"""λ, bar for the ratio of errors, and bar for the ESS at each extent."""

TASKS: dict[str, Task] = {
    **{f"gerdes-{extent}": at_equal_time(extent, *point) for extent, point in GERDES.items()},
    "phi4-32-annealed": large_lattice,
    "hubbard-18x20-annealed": honeycomb_annealed(20, 3.0, 2.0, 128, 0.9, 3, 32, 400),
    "hubbard-18x100-annealed": honeycomb_annealed(100, 3.0, 8.0, 32, None, 1, 8, 100),
    "hubbard-18x100-U2-annealed": honeycomb_annealed(100, 2.0, 4.0, 32, None, 1, 8, 100),
}
SECONDS = {
    "gerdes-8": 300.0,
    "gerdes-12": 600.0,
    "gerdes-20": 1800.0,
    "gerdes-32": 1800.0,
    "phi4-32-annealed": 1500.0,
    "hubbard-18x20-annealed": 1800.0,
    "hubbard-18x100-annealed": 1800.0,
    "hubbard-18x100-U2-annealed": 1800.0,
}
