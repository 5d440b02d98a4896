"""Scalar φ⁴ theory on a 6×6 torus: declare, analyse, train briefly, measure."""

import os

import sympy as sp

import sesamo_dsl as sd

lattice = sd.Lattice(6, 6)
phi = sd.ScalarField("phi", lattice)
kappa, lam, h = sd.parameters("kappa lambda h")
neighbours = sum(phi.shift(mu) for mu in lattice.directions)

theory = sd.Theory(
    "scalar_phi4_example",
    fields=[phi],
    action=lattice.sum(-2 * kappa * phi * neighbours + (1 - 2 * lam) * phi**2 + lam * phi**4 + h * phi),
    symmetries=[sd.Z2(phi)],
    defaults={kappa: 0.3, lam: 0.022, h: 0.02},
    observables={"abs_m": sp.Abs(lattice.sum(phi) / lattice.volume)},
)

if __name__ == "__main__":
    print(sd.analyse(theory), "\n")
    run = sd.compile(theory, backend="torch").train(steps=int(os.environ.get("STEPS", "300")), seed=0)
    samples = run.sample(10_000)
    print(samples)
    print("⟨|m|⟩ =", samples.expect("abs_m"))
