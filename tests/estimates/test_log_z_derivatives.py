"""Derivatives of log Z from samples, against closed forms, quadrature and traces over Fock space."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import sympy as sp
from scipy.integrate import quad
from scipy.special import digamma, polygamma

import sesamo_dsl as sd
from oracles.fock import FockSpace
from sesamo_dsl.estimates.estimate import Estimate, independent_mean
from sesamo_dsl.estimates.log_z_derivatives import log_z_derivative
from sesamo_dsl.estimates.samples import Samples
from sesamo_theories.hubbard import hubbard


def quartic() -> sd.Theory:
    """S = a x²/2 + b⁴ x⁴/4 + h x with a second coupling that enters without being linear."""
    x, (a, b, h) = sd.ScalarField("x", sd.Lattice(1)), sd.parameters("a b h")
    action = a * x**2 / 2 + b**4 * x**4 / 4 + h * x
    return sd.Theory("quartic", fields=[x], action=action, defaults={a: 0.5, b: 0.8, h: 0.3})


def log_z(a: float, b: float, h: float) -> float:
    return float(
        np.log(quad(lambda x: np.exp(-a * x**2 / 2 - b**4 * x**4 / 4 - h * x), -20, 20, epsabs=1e-13)[0])
    )


AT = {"a": 0.5, "b": 0.8, "h": 0.3}


def exact(*names: str) -> float:
    """Derivatives by differences of fourth order."""
    if not names:
        return log_z(**AT)
    step, rest, found = 5e-3, names[1:], 0.0
    for shift, factor in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
        kept = AT[names[0]]
        AT[names[0]] = kept + shift * step
        found += factor * exact(*rest)
        AT[names[0]] = kept
    return found / (12 * step)


@pytest.mark.parametrize("names", [("a",), ("b",), ("h",), ("h", "h"), ("a", "h"), ("h", "a"), ("b", "h")])
def test_samples_annealing_and_chains_agree_with_quadrature(sources: dict, names: tuple[str, ...]) -> None:
    for source in sources.values():
        found = source.d_log_z(*names)
        assert abs(found.value - exact(*names)) < 4.5 * found.error
        assert found.error < 0.1 * max(abs(found.value), 0.2)


@pytest.fixture(scope="module")
def sources() -> dict:
    theory = quartic()
    flow = sd.FlowSpec(layers=1, hidden=(8,), kernel=1)
    run = sd.compile(theory, "torch").train(steps=60, flow=flow, directory=False, progress=False, check=False)
    return {
        "samples": run.sample(8000),
        "annealed": sd.anneal(theory, walkers=1024, populations=4, progress=False),
        "chain": sd.hmc(theory, chains=64, trajectories=300, warm_up=60),
    }


def test_derivatives_are_correlated_with_means(sources: dict) -> None:
    """∂ log Z/∂h = −⟨x⟩, and ∂² log Z/∂h² + ⟨x⟩² = ⟨x²⟩, at the same configurations."""
    for source in sources.values():
        first, second = source.d_log_z("h"), source.d_log_z("h", "h")
        mean, square = (source.expect(lambda x, k=k: x[:, 0, 0].astype(np.float64) ** k) for k in (1, 2))
        for nothing, size in ((first + mean, mean), (second + mean**2 - square, square)):
            assert nothing.value == pytest.approx(0, abs=1e-6 * size.error)
            assert 0 <= nothing.error < 1e-6 * size.error


def test_hubbard_against_the_trace_over_fock_space() -> None:
    graph, slices, U, beta = nx.path_graph(2), 4, 3.0, 1.5
    theory = hubbard(graph, slices, U=U, beta=beta)
    program = sd.compile(theory, "torch").program
    hop = nx.to_numpy_array(graph)

    def of(u: float) -> float:
        return FockSpace(hop, slices, u, beta).log_z

    x = FockSpace(hop, slices, U, beta).sample(20_000, seed=3)[:, None]

    def derived(f, *values: np.ndarray):
        means = [independent_mean(v) for v in values]
        return Estimate(f(*(m.value for m in means)), means[0].error)

    found = log_z_derivative(program, {"U": U, "beta": beta}, x, ("U",), derived)
    wanted = (8 * (of(U + 0.01) - of(U - 0.01)) - (of(U + 0.02) - of(U - 0.02))) / 0.12
    assert abs(found.value - wanted) < 4.5 * found.error
    assert 0 < found.error < 0.05 * abs(wanted)


def test_wrong_couplings_are_one_error(sources: dict) -> None:
    samples: Samples = sources["samples"]
    a = sd.parameters("a")
    assert samples.d_log_z(a) == samples.d_log_z("a")
    for names in ((), ("a", "b", "h"), ("kappa",), (3,), (None,), (["a"],)):
        with pytest.raises(sd.errors.OptionError, match=r"derivative of log Z"):
            samples.d_log_z(*names)
    lattice = sd.Lattice(3)
    phi, field = sd.ScalarField("phi", lattice), sd.SiteConstant("field", lattice)
    theory = sd.Theory("disorder", fields=[phi], action=lattice.sum(phi**2 / 2 + field * phi))
    found = sd.anneal(theory, parameters={"field": np.arange(3.0)}, walkers=64, populations=4, progress=False)
    with pytest.raises(sd.errors.OptionError, match="a value for every site"):
        found.d_log_z("field")


def test_a_susceptibility_is_the_second_derivative_by_the_source() -> None:
    """On a Gaussian chain ∂² log Z/∂h² = Σ_xy C_xy, whatever h is."""
    lattice = sd.Lattice(6)
    phi, (h, k) = sd.ScalarField("phi", lattice), sd.parameters("h k")
    action = lattice.sum(phi**2 - k * phi * phi.shift(0) - h * phi)
    theory = sd.Theory("chain", fields=[phi], action=action, defaults={h: 4.0, k: 0.5})
    found = sd.anneal(theory, walkers=512, populations=4, progress=False)
    kappa = found.d_log_z("h", "h")
    assert abs(kappa.value - 6 / (2 - 2 * 0.5)) < 4.5 * kappa.error
    mixed = found.d_log_z("h", "k")  # of log Z = 6 h²/(2 (2 − 2k)) + …
    assert abs(mixed.value - 48) < 4.5 * mixed.error


def test_behind_a_wall_nothing_counts() -> None:
    """Z = Γ(a + 1) of x > 0 with S = x − a log x, whose derivatives by a are not defined behind the wall."""
    x, a = sd.ScalarField("x", sd.Lattice(1)), sd.parameters("a")
    action = sp.Piecewise((x - a * sp.log(x), x > 0), (sp.oo, True))
    theory = sd.Theory("gamma", fields=[x], action=action, defaults={a: 2.5})
    found = sd.anneal(theory, walkers=2000, populations=4, progress=False)
    for derivative, exact in (
        (found.d_log_z("a"), digamma(3.5)),
        (found.d_log_z("a", "a"), polygamma(1, 3.5)),
    ):
        assert abs(derivative.value - exact) < 4.5 * derivative.error
        assert derivative.error < 0.1
    run = sd.compile(theory, "torch").train(
        steps=1,
        batch=16,
        flow=sd.FlowSpec(layers=1, hidden=(4,), kernel=1),
        directory=False,
        progress=False,
        check=False,
    )
    samples = run.sample(2000)
    assert samples.leaked.any()
    assert np.isfinite(samples.d_log_z("a").value)
