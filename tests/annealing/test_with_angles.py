"""Annealing and HMC of theories with angles, against closed forms, transfer matrices and quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from scipy.special import iv, logsumexp

import sesamo_dsl as sd
from sesamo_dsl import groups
from sesamo_dsl.annealing.start_of_theory import start_density
from sesamo_dsl.backend import load_backend
from sesamo_dsl.estimates.weighted import virial_values
from sesamo_dsl.markov.elements import group_moves
from sesamo_dsl.stages.compile import DerivedProgram
from sesamo_dsl.stages.lower import lower_theory

SITES, BETA = 4, 1.2
RING = sd.Lattice(SITES)
THETA, PHI = sd.AngleField("theta", RING), sd.ScalarField("phi", RING)
STEP = sp.cos(THETA - THETA.shift(0))
XY = sd.Theory(
    "xy_ring",
    fields=[THETA],
    action=RING.sum(-sp.Rational(6, 5) * STEP),
    symmetries=[sd.U1(THETA), sd.Z2(THETA)],
    observables={"bond": RING.sum(STEP) / SITES},
)
POINT = sd.Lattice(1)
ANGLE, REAL = sd.AngleField("angle", POINT), sd.ScalarField("real", POINT)
MIXED = sd.Theory(
    "mixed",
    fields=[ANGLE, REAL],
    action=(REAL - 1) ** 2 / 2 + REAL**4 / 20 - sp.cos(ANGLE) * REAL - sp.cos(2 * ANGLE) / 2,
    symmetries=[sd.Z2(ANGLE)],
    observables={"cosine": sp.cos(ANGLE), "real": REAL},
)


def xy_exact() -> tuple[float, float]:
    """(log Z, ⟨cos(θ_x − θ_{x+1})⟩) = log (2π)^N Σ_n I_n(β)^N, and the derivative of log Z by β over N."""
    n = np.arange(-30, 31)
    total = (iv(n, BETA) ** SITES).sum()
    return float(SITES * np.log(2 * np.pi) + np.log(total)), float(
        (iv(n, BETA) ** (SITES - 1) * iv(n + 1, BETA)).sum() / total
    )


def mixed_exact() -> tuple[float, float, float]:
    """(log Z, ⟨cos θ⟩, ⟨φ⟩) by the trapezoid rule, which converges exponentially here."""
    theta, phi = np.meshgrid(np.arange(200) * 2 * np.pi / 200, np.linspace(-10, 10, 2001))
    log_p = -((phi - 1) ** 2 / 2 + phi**4 / 20 - np.cos(theta) * phi - np.cos(2 * theta) / 2)
    log_z = float(logsumexp(log_p) + np.log(0.01 * 2 * np.pi / 200))
    weight = np.exp(log_p - logsumexp(log_p))
    return log_z, float((weight * np.cos(theta)).sum()), float((weight * phi).sum())


def within(estimate: sd.Estimate, exact: float, sigmas: float = 5.0) -> bool:
    return 0 < estimate.error < 0.2 and abs(estimate.value - exact) < sigmas * estimate.error


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_start_density_has_the_norm_one_and_its_gradient(backend: str) -> None:
    pytest.importorskip(backend)
    program = lower_theory(sd.analyse(MIXED))
    start, used = start_density(program, {}), load_backend(backend)
    with used.scope("float64"):
        arrays = used.arrays()
        density = start.log_density(arrays)
        line = np.linspace(-60, 60, 12001)
        x = np.stack([np.full_like(line, 2.0), line], axis=1)[..., None]
        log_q, slope = map(arrays.to_numpy, density(arrays.constant(x, "float64")))
        drawn = arrays.to_numpy(start.draw(arrays, np.random.default_rng(0), 4000))
    assert abs(np.exp(logsumexp(log_q)) * 0.01 * 2 * np.pi - 1) < 1e-4  # Student t beyond the interval
    np.testing.assert_allclose(slope[1:-1, 1, 0], (log_q[2:] - log_q[:-2]) / 0.02, atol=1e-3)
    assert (slope[:, 0] == 0).all()
    assert (np.abs(drawn[:, 0]) <= np.pi).all()
    assert abs(drawn[:, 0].mean()) < 5 * np.pi / np.sqrt(3 * 4000)
    assert abs(drawn[:, 0].var() - np.pi**2 / 3) < 0.2


def test_annealing_of_a_ring_agrees_with_bessel_functions() -> None:
    pytest.importorskip("torch")
    annealed = sd.anneal(XY, walkers=256, populations=4, progress=False, seed=1)
    log_z, bond = xy_exact()
    assert within(annealed.estimate, log_z)
    assert within(annealed.expect("bond"), bond)
    assert within(annealed.expect("bond", control=True), bond)
    assert within(annealed.virial, 1.0)
    assert (np.abs(annealed.samples) <= np.pi).all()
    assert "virial ⟨v·∇S⟩/n" in str(annealed)


def test_annealing_of_an_angle_and_a_real_field_agrees_with_quadrature() -> None:
    pytest.importorskip("torch")
    annealed = sd.anneal(MIXED, walkers=256, populations=4, progress=False, seed=2)
    log_z, cosine, real = mixed_exact()
    assert within(annealed.estimate, log_z)
    assert within(annealed.expect("cosine"), cosine)
    assert within(annealed.expect("real"), real)


def test_hmc_passes_pi_and_agrees() -> None:
    pytest.importorskip("torch")
    chain = sd.hmc(XY, chains=16, trajectories=60, warm_up=100, seed=3)
    assert within(chain.expect("bond"), xy_exact()[1])
    assert (np.abs(chain.x) <= np.pi).all()
    assert {"mean of cos(theta)", "mean of sin(theta)"} <= set(chain.convergence)
    mixed = sd.hmc(MIXED, chains=16, trajectories=60, warm_up=100, seed=4)
    assert within(mixed.expect("real"), mixed_exact()[2])


def test_rotations_and_shifts_are_moves() -> None:
    """Images have the same action, angles stay in (−π, π], and every element of the group is drawn."""
    pytest.importorskip("torch")
    clock = sd.Theory(
        "ring3",
        fields=[THETA],
        action=RING.sum(-STEP - sp.cos(3 * THETA)),
        symmetries=[groups.Cyclic(3, THETA), sd.U1(THETA)],
    )
    compiled = DerivedProgram.of_theory(clock, "torch", "float64")
    arrays, emitted = compiled.backend.arrays(), compiled.bind({})
    finite, rotation = group_moves(arrays, emitted, compiled.program)
    rng = np.random.default_rng(0)
    x = rng.uniform(-np.pi, np.pi, size=(60, 1, SITES))
    u = finite.noise(rng, (60,))
    image = arrays.to_numpy(finite.image(arrays.constant(x, "float64"), arrays.constant(u, "index")))
    assert set(u) == {0, 1, 2}
    before, after = (compiled.action(v) for v in (x, image))
    np.testing.assert_allclose(after, before, atol=1e-9)
    steps = np.unique(((image - x) / (2 * np.pi / 3)).round(6) % 3)
    np.testing.assert_allclose(steps, [0, 1, 2])
    turned = arrays.to_numpy(
        rotation.image(arrays.constant(x, "float64"), arrays.constant(rotation.noise(rng, (60,)), "float64"))
    )
    assert (np.abs(turned) <= np.pi).all()
    differences = np.exp(1j * (turned - x))
    np.testing.assert_allclose(differences, differences[..., :1] * np.ones(SITES), atol=1e-9)


def test_virial_values_have_the_mean_one_under_exact_samples() -> None:
    """Of one angle with a known density, and as a sum over all identities of a product of von Mises laws."""
    theory = sd.Theory("one", fields=[ANGLE], action=-2 * sp.cos(ANGLE))
    program = lower_theory(sd.analyse(theory))
    x = np.random.default_rng(0).vonmises(0, 2.0, size=(40_000, 1, 1))
    values = virial_values(program, {}, x)
    assert abs(values.mean() - 1) < 5 * values.std() / 200
    wrong = virial_values(program, {}, np.random.default_rng(0).vonmises(0, 3.0, size=(40_000, 1, 1)))
    assert abs(wrong.mean() - 1) > 0.1
