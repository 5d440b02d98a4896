"""The circular spline: a learned law of the orientation where a one-parameter group is broken."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.laws.circle import BINS, LIMIT
from support import shaken, untrained

Array = np.ndarray[Any, Any]
NAMES = ("torch", "jax")
SMALL = sd.FlowSpec(layers=2, hidden=(6,), kernel=1, transform="affine")
every_backend = pytest.mark.parametrize("name", NAMES)
every_law = pytest.mark.parametrize("law", ["learned", "conditional"])


def clock() -> sd.Theory:
    """A complex number of size about 2, whose U(1) a clock term and a source break."""
    phi, (g, h) = sd.ComplexField("phi", sd.Lattice(1)), sd.parameters("g h")
    cube = sp.re(sp.expand(phi.value**3))
    return sd.Theory(
        "clock",
        fields=[phi],
        action=(phi.abs2 - 4) ** 2 / 2 - g * cube + h * phi.im,
        symmetries=[sd.U1(phi)],
        defaults={g: 0.2, h: 0.3},
        precision="float64",
    )


@cache
def compiled(name: str) -> sd.CompiledTheory:
    return sd.compile(clock(), name)


def fresh(name: str, **options: Any) -> Any:
    """A model far from its start, with the same weights on every backend."""
    model = untrained(compiled(name), **{"flow": SMALL, **options})
    return shaken(model, size=lambda key: 0.4 if key.startswith("law.circle.spline") else 0.1)


def on_ring(radius: Array, theta: Array) -> Array:
    """Configurations r·exp(iθ), (batch, 2, 1)."""
    return np.stack([radius * np.cos(theta), radius * np.sin(theta)], axis=-1)[..., None]


def log_law(model: Any, radius: float, theta: Array) -> Array:
    """log p(θ|y) but for a constant: how log q changes around a circle, at one auxiliary coordinate."""
    return model.log_prob(on_ring(np.full(len(theta), radius), theta), np.full((len(theta), 1), 0.3))


@every_law
def test_density(law: str) -> None:
    """Periodic, continuous across the seam, no steeper than its parameters allow, and that of the samples."""
    model = fresh("torch", law=law)
    theta = np.linspace(-np.pi, np.pi, 100_001)
    log_p = log_law(model, 2.0, theta)
    assert abs(log_p[0] - log_p[-1]) < 1e-9
    assert np.ptp(log_p) > 1, "the law is no test"
    assert np.ptp(log_p) < 4 * LIMIT + 1e-9
    narrowest = 2 * np.pi / (1 + (BINS - 1) * np.exp(2 * LIMIT))
    assert np.abs(np.diff(log_p)).max() < 8 * LIMIT / narrowest * (theta[1] - theta[0])


@every_law
def test_it_is_normalised(law: str) -> None:
    """∫ q(x, a) dx da = 1, and the law's own part: log q less that of a uniform law averages to one."""
    theta = (np.arange(50_000) + 0.5) / 50_000 * 2 * np.pi
    ours, uniform = (log_law(fresh("torch", law=each), 2.1, theta) for each in (law, "uniform"))
    difference = ours - uniform
    assert abs(np.exp(difference).mean() - 1) < 1e-6
    assert np.ptp(difference) > 1


@every_law
def test_samples_have_that_density(law: str) -> None:
    model = fresh("torch", law=law)
    draws = model.sample(4000, 3)
    assert np.abs(model.log_prob(draws.x, draws.auxiliary) - draws.log_q).max() < 1e-8
    # u = F(θ|r) is uniform; F by quadrature around the circle through each of a few samples
    grid, x, a = np.linspace(-np.pi, np.pi, 501), draws.x[:400, :, 0], draws.auxiliary[:400]
    radius, theta = np.repeat(np.hypot(*x.T), len(grid)), np.tile(grid, len(x))
    p = np.exp(model.log_prob(on_ring(radius, theta), np.repeat(a, len(grid), axis=0))).reshape(-1, len(grid))
    cdf = np.concatenate([np.zeros((len(x), 1)), np.cumsum((p[:, 1:] + p[:, :-1]) / 2, axis=1)], axis=1)
    u = [np.interp(np.arctan2(y, x), grid, c / c[-1]) for (x, y), c in zip(x, cdf, strict=True)]
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-5


@every_law
def test_both_backends_have_the_same_law(law: str) -> None:
    x, a = np.random.default_rng(2).normal(size=(50, 2, 1)), np.random.default_rng(3).normal(size=(50, 1))
    ours, theirs = (fresh(name, law=law) for name in NAMES)
    assert set(ours.state()) == set(theirs.state())
    assert np.abs(ours.log_prob(x, a) - theirs.log_prob(x, a)).max() < 1e-10
    if law == "conditional":
        assert ours.state()["law.circle.spline"].shape == (3 * BINS + 1, 1)


@cache
def quadrature() -> tuple[Array, Array, Array, Array]:
    """Configurations, auxiliary coordinates, S, and log weights of r dr dθ N(a) da."""
    radius, auxiliary, points = 1 + 2.8 * (np.arange(16) + 0.5) / 16, np.arange(11) - 5.0, 1000
    r, step, a = np.meshgrid(radius, np.arange(points), auxiliary, indexing="ij")
    # every circle has its own first point, for the errors at narrow bins of the spline to average out
    first = np.arange(16 * 11).reshape(16, 1, 11) * (np.sqrt(5) - 1) / 2 % 1
    t = 2 * np.pi * (step + first) / points
    cell = 2.8 / 16 * 2 * np.pi / points
    log_weight = np.log(r * cell) + scipy.stats.norm.logpdf(a)
    x = on_ring(r.ravel(), t.ravel())
    return x, a.reshape(-1, 1), compiled("torch").action(x), log_weight.ravel()


@pytest.mark.parametrize(
    ("law", "gradient", "steps"),
    [("learned", "path", 14), ("conditional", "path", 72), ("conditional", "reparametrised", 20)],
)
def test_the_gradient_is_unbiased(law: str, gradient: str, steps: int) -> None:
    """Against a finite difference of ∫ q (log q + S) by quadrature, in a random direction of the law."""
    model = fresh("torch", law=law, gradient=gradient, batch=8192)
    x, a, action, log_weight = quadrature()
    rng, start = np.random.default_rng(4), model.state()
    direction = {k: rng.normal(size=v.shape) for k, v in sorted(start.items()) if k.startswith("law.circle")}

    def objective(t: float) -> float:
        model.load_state({k: v + t * direction[k] if k in direction else v for k, v in start.items()})
        log_q = model.log_prob(x, a)
        q = np.exp(log_q + log_weight)
        assert abs(q.sum() - 1) < 1e-3
        return float((q * (log_q + action)).sum())

    t = 1e-3
    exact = (objective(t) - objective(-t)) / (2 * t)
    model.load_state(start)
    found = [model.gradient(n) for n in range(steps)]
    estimates = np.array([sum(float((g[k] * d).sum()) for k, d in direction.items()) for g in found])
    error = estimates.std(ddof=1) / np.sqrt(steps)
    assert abs(estimates.mean() - exact) < 4.5 * error + 2e-3 * abs(exact)
    assert abs(exact) > 8 * error, "no test"


@pytest.mark.long
def test_training_comes_near_the_tabulated_law(tmp_path: Path) -> None:
    ess = {}
    for law in ("heat_bath", "learned", "conditional"):
        run = compiled("torch").train(
            directory=tmp_path / law,
            progress=False,
            steps=150,
            batch=200,
            law=law,
            flow=SMALL,
            learning_rate=0.02,
        )
        ess[law] = run.sample(8000, seed=1).ess
    assert ess["heat_bath"] > 0.99
    assert ess["conditional"] > 0.95
    assert 0.8 < ess["learned"] < ess["conditional"]  # the breaking grows with r, which it does not see
