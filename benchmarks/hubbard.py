"""Rows of the Hubbard model, compared with the trace over Fock space where it is possible, else with HMC."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import numpy as np
from common import REFERENCE, Row, Task, train

import sesamo_dsl as sd
from sesamo_dsl.estimates.estimate import Estimate
from sesamo_dsl.estimates.gamma_method import ChainEstimate
from sesamo_dsl.observables import correlators
from sesamo_theories.hubbard import honeycomb, hubbard, two_sites

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from oracles.fock import FockSpace


def against(name: str, found: Estimate, value: float, error: float, source: str) -> Row:
    """A row with a figure and its deviation z from another one, in standard errors."""
    z = (found.value - value) / math.hypot(found.error, error)
    return Row(
        f"{name}, z = {z:+.2f}", *found, f"|z| ≤ 3 to {value:.6g} ± {error:.2g} ({source})", abs(z) <= 3
    )


def quality(samples: sd.Samples, spent: Row, bar: float | None) -> Iterator[Row]:
    """Rows of the training time, ESS and the virial identity."""
    yield spent
    if bar is None:
        yield Row("ESS", samples.ess)
    else:
        yield Row("ESS", samples.ess, bar=f"≥ {bar}", passed=samples.ess >= bar)
    z = samples.virial_z_score
    yield Row(f"virial, z = {z:+.2f}", *samples.virial, "|z| ≤ 3", abs(z) <= 3)


def smallest(backend: str, seconds: float) -> Iterator[Row]:
    """2 sites, 1 slice, U = 18, β = 1: the sectors of (Z₂)², against quadrature."""
    samples, spent = train(hubbard(two_sites(), 1, U=18, beta=1), backend, seconds)
    yield from quality(samples, spent, 0.999)
    yield Row("KL", *samples.kl, "≤ 3e-4", samples.kl.value <= 3e-4)
    known = REFERENCE["hubbard_2x1"]
    yield against("log Z", samples.log_z, known["log_z"], 5e-7, "quadrature")
    masses = zip(samples.sector_masses, samples.sector_errors, strict=True)
    for u, (mass, error) in enumerate(masses):
        exact = known["mass_plus_plus" if u in (0, 3) else "mass_plus_minus"]
        yield against(f"mass of sector {u}", Estimate(float(mass), float(error)), exact, 1e-6, "quadrature")


def two_by_sixteen(U: float) -> Task:
    """2 sites, 16 slices, β = 4 against the trace over Fock space.

    The group has a sign for every slice of every site: a spin flip in imaginary time is a kink in φ.
    """

    def rows(backend: str, seconds: float) -> Iterator[Row]:
        slices, beta = 16, 4.0
        phi = hubbard(two_sites(), slices, U=U, beta=beta).fields
        signs = [sd.Sitewise(sd.Z2(*phi), axes=(0, 1))]
        theory = hubbard(two_sites(), slices, U=U, beta=beta, symmetries=signs)
        options = {"flow": sd.FlowSpec(layers=4, hidden=(32, 32), kernel=5), "learning_rate": 0.01}
        samples, spent = train(theory, backend, seconds, count=40_000, **options)
        yield from quality(samples, spent, 0.95)
        hopping = nx.to_numpy_array(two_sites())
        fock = FockSpace(hopping, slices, U, beta)
        yield against("log Z", samples.log_z, fock.log_z, 0.0, "Fock space")
        double = correlators.double_occupancy(samples.x, hopping, beta / slices)
        yield against("double occupancy", samples.expect(double), fock.double_occupancy, 0.0, "Fock space")
        spins = correlators.spin_correlations(samples.x, hopping, beta / slices)
        exact = fock.spin_correlation[0, 1]
        yield against("⟨Sᶻ₀Sᶻ₁⟩", samples.expect(spins[:, 0, 1]), exact, 0.0, "Fock space")

    return rows


def honeycomb_sites(slices: int, beta: float, batch: int, bar: float | None, trajectories: int) -> Task:
    """18 sites of a honeycomb torus, U = 3, against HMC with flips of single sites."""

    def rows(backend: str, seconds: float) -> Iterator[Row]:
        graph = honeycomb(3, 3)
        sitewise = hubbard(graph, slices, U=3, beta=beta)
        everywhere = hubbard(graph, slices, U=3, beta=beta, symmetries=[sd.Z2(*sitewise.fields)])
        samples, spent = train(everywhere, backend, seconds, count=16_000, batch=batch, learning_rate=0.01)
        yield from quality(samples, spent, bar)
        yield Row("log Z", *samples.log_z)
        if not trajectories:
            return
        chain = sd.hmc(sitewise, chains=32, trajectories=trajectories, warm_up=100, steps=8)
        yield Row("HMC acceptance", chain.acceptance)
        hopping = nx.to_numpy_array(graph, nodelist=sitewise.lattice.nodes)
        neighbours = hopping > 0
        step = beta / slices

        def measured(x: np.ndarray) -> dict[str, np.ndarray]:
            spins = correlators.spin_correlations(x, hopping, step)
            return {
                "double occupancy": correlators.double_occupancy(x, hopping, step),
                "⟨SᶻSᶻ⟩ of neighbours": spins[:, neighbours].mean(axis=1),
                "phi_squared": (x**2).mean(axis=(1, 2, 3)),
            }

        theirs = measured(chain.configurations)
        for name, values in measured(samples.x).items():
            reference: ChainEstimate = chain.expect(theirs[name])
            yield against(name, samples.expect(values), *reference[:2], "HMC")
        action = chain.expect("action")
        yield against("action", samples.expect("action"), *action[:2], "HMC")

    return rows


TASKS: dict[str, Task] = {
    "hubbard-2x1": smallest,
    "hubbard-2x16-U4": two_by_sixteen(4),
    "hubbard-2x16-U8": two_by_sixteen(8),
    "hubbard-18x20": honeycomb_sites(20, 2.0, 128, 0.7, 400),
    "hubbard-18x100": honeycomb_sites(100, 8.0, 32, None, 0),
}
SECONDS = {
    "hubbard-2x16-U4": 900.0,
    "hubbard-2x16-U8": 900.0,
    "hubbard-18x20": 1800.0,
    "hubbard-18x100": 1800.0,
}
