"""log Z and means against quadrature and closed forms, calibrated errors, and what is said of them."""

from __future__ import annotations

import itertools
import math
import pickle
import signal
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import quad

import sesamo_dsl as sd
from sesamo_dsl.annealing import genealogy, weights
from sesamo_dsl.annealing.driver import _TARGET
from sesamo_dsl.annealing.options import LEAST_POPULATIONS
from sesamo_dsl.annealing.result import Annealed
from sesamo_dsl.errors import (
    AnnealingError,
    AnnealingInterrupted,
    BackendError,
    NotNormalizableError,
    OptionError,
    ParameterError,
)
from support import WithoutArrays

GAUSS = 0.5 * math.log(2 * math.pi)
X = sp.Symbol("x", real=True)
SIGMAS = 4.5


def line(action: sp.Expr, mirror: bool = False, **more: Any) -> sd.Theory:
    """One variable, S of the symbol X."""
    v = sd.VectorField("v", sd.Lattice(1), 1)
    symmetries = [sd.Z2(v)] if mirror else []
    return sd.Theory("line", fields=[v], action=action.subs(X, v[0]), symmetries=symmetries, **more)


def plane(action: Callable[..., sp.Expr], symmetries: Callable[[Any], list[Any]] = lambda v: []) -> sd.Theory:
    v = sd.VectorField("v", sd.Lattice(1), 2)
    return sd.Theory("plane", fields=[v], action=action(v[0], v[1]), symmetries=symmetries(v))


def quadrature(action: sp.Expr, edges: tuple[float, ...]) -> float:
    f = sp.lambdify(X, action, "numpy")
    pieces = [
        quad(lambda x: math.exp(-float(f(x))), a, b, epsabs=0, epsrel=1e-10, limit=400)[0]
        for a, b in itertools.pairwise(edges)
    ]
    return math.log(sum(pieces))


def bumps(*parts: tuple[float, float, float]) -> sp.Expr:
    """−log Σ mass · exp(−(x − centre)²/2width²)/width."""
    terms = [
        sp.Float(mass) / width * sp.exp(-((X - centre) ** 2) / (2 * sp.Float(width) ** 2))
        for mass, centre, width in parts
    ]
    return -sp.log(sp.Add(*terms))


def two_bumps_apart(x: sp.Expr, y: sp.Expr) -> sp.Expr:
    return -sp.log(sp.exp(-(x**2 + y**2) / 2) + sp.exp(-((x - 9) ** 2 + (y - 4) ** 2) * 2) / 2)


def ring(x: sp.Expr, y: sp.Expr) -> sp.Expr:
    return 2 * (sp.sqrt(x**2 + y**2 + sp.Rational(1, 100)) - 2) ** 2


INF = math.inf
LINES: dict[str, tuple[sp.Expr, bool, tuple[float, ...]]] = {
    "gaussian": (X**2 / 2 - X, False, (-INF, INF)),
    "narrow": (10**8 * (X - 3) ** 2, False, (2.99, 3, 3.01)),
    "quartic": (X**4, True, (-INF, INF)),
    "sextic": (X**6 / 6 - X**4 + X**2, True, (-6, -2, 0, 2, 6)),
    "double well": (2 * (X**2 - 4) ** 2, True, (-5, -2, 0, 2, 5)),
    "broken double well": (2 * (X**2 - 4) ** 2 + X / 2, True, (-5, -2, 0, 2, 5)),
    "tilted wells": ((X**2 - 4) ** 2 * (1 + X / 10 + X**2 / 50), False, (-7, -2, 0, 2, 7)),
    "mixture": (bumps((1, 0, 1), (0.3, 12, 0.2), (2, -7, 3)), False, (-40, -7, 0, 12, 40)),
    "far bumps": (bumps((1, 40, 1), (1, -40, 1)), True, (-60, -40, 0, 40, 60)),
    "thin bump": (bumps((1, 0, 1), (1, 5, 0.01)), False, (-10, 0, 4.9, 5, 5.1, 15)),
    "kink": (sp.Abs(X), True, (-INF, 0, INF)),
    "root": (2 * sp.sqrt(sp.Abs(X) + sp.Rational(1, 10)), True, (-INF, 0, INF)),
    "cauchy": (sp.log(1 + X**2), True, (-INF, 0, INF)),
    "student": (2 * sp.log(1 + (X - 2) ** 2 / 3), False, (-INF, 2, INF)),
    "skew": (sp.exp(X) - 3 * X, False, (-40, 0, 8)),
    "constant": (X**2 / 2 + 5000, True, (-INF, INF)),
}
EXACT: dict[str, tuple[sd.Theory, float]] = {
    name: (
        line(action, mirror),
        quadrature(action - 5000, edges) - 5000 if name == "constant" else quadrature(action, edges),
    )
    for name, (action, mirror, edges) in LINES.items()
}
EXACT |= {
    "two far bumps": (plane(two_bumps_apart), math.log(2 * math.pi + math.pi / 4)),
    "banana": (plane(lambda x, y: x**2 / 2 + 5 * (y - x**2) ** 2), 2 * GAUSS - 0.5 * math.log(10)),
    "ring": (
        plane(ring, lambda v: [sd.SO(v)]),
        math.log(
            2 * math.pi * quad(lambda r: r * math.exp(-2 * (math.sqrt(r * r + 0.01) - 2) ** 2), 0, 12)[0]
        ),
    ),
    "broken square": (
        plane(lambda x, y: x**2 / 2 + x / 3 + y**2 / 2 + y / 5, lambda v: [sd.Cyclic(4, v)]),
        2 * GAUSS + 1 / 18 + 1 / 50,
    ),
    "two cauchys": (plane(lambda x, y: sp.log(1 + x**2) + sp.log(1 + y**2)), 2 * math.log(math.pi)),
}


LONG = [pytest.param("thin bump", marks=pytest.mark.long)]


@pytest.mark.parametrize("name", [*(name for name in EXACT if name != "thin bump"), *LONG])
def test_log_z_against_quadrature(name: str) -> None:
    theory, exact = EXACT[name]
    annealed = sd.anneal(theory, walkers=512, populations=4, seed=1, progress=False)
    assert abs(annealed.log_z - exact) < SIGMAS * annealed.log_z_error
    assert annealed.log_z_error < 0.08
    assert abs(annealed.virial.value - 1) < SIGMAS * annealed.virial.error + 1e-12


@pytest.mark.long
def test_the_errors_are_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """z of results of four populations each has variance 1; the benchmarks have larger ones of this kind."""
    theory, exact = EXACT["broken double well"]
    runs, each, populations, of = 60, 4, [], Annealed.of

    def kept(found: Any, *arguments: Any, **named: Any) -> Annealed:
        populations.extend(found)
        return of(found, *arguments, **named)

    monkeypatch.setattr(Annealed, "of", kept)
    whole = sd.anneal(theory, walkers=64, populations=runs * each, progress=False)
    groups = [populations[i : i + each] for i in range(0, runs * each, each)]
    results = [of(group, whole.program, whole.parameters, 0.0) for group in groups]
    z = [(annealed.log_z - exact) / annealed.log_z_error for annealed in results]
    assert 0.35 < np.mean(np.square(z)) < 1.75  # χ² of 60: 1 ± 0.18, at most four standard deviations
    assert abs(whole.log_z - exact) < SIGMAS * whole.log_z_error


def phi4() -> sd.Theory:
    return sd.load_theory("scalar_phi4@4x4")


def test_means_and_sector_masses_of_a_lattice_agree_with_another_way() -> None:
    """Against importance sampling of a Gaussian theory: ⟨φ²⟩ in closed form, sectors by symmetry."""
    lattice = sd.Lattice(4, 3)
    phi = sd.ScalarField("phi", lattice)
    action = lattice.sum(
        phi**2 * sp.Rational(3, 4) + sum((phi - phi.shift(mu)) ** 2 for mu in (0, 1)) / 2 + phi / 5
    )
    theory = sd.Theory(
        "free",
        fields=[phi],
        action=action,
        symmetries=[sd.Z2(phi)],
        observables={"phi2": lattice.sum(phi**2) / 12, "phi": lattice.sum(phi) / 12},
        derived={"variance": sp.Symbol("phi2") - sp.Symbol("phi") ** 2},
    )
    annealed = sd.anneal(theory, walkers=512, populations=4, progress=False)
    k = np.meshgrid(*(4 * np.sin(np.pi * np.arange(n) / n) ** 2 for n in (4, 3)), indexing="ij")
    stiffness = 1.5 + k[0] + k[1]
    shift = -0.2 / 1.5
    exact = 12 * GAUSS - 0.5 * np.log(stiffness).sum() + 12 * 0.2 * 0.2 / (2 * 1.5)
    assert abs(annealed.log_z - exact) < SIGMAS * annealed.log_z_error
    for name, value in {"phi": shift, "phi2": np.mean(1 / stiffness) + shift**2}.items():
        mean = annealed.expect(name)
        assert abs(mean.value - value) < SIGMAS * mean.error
        assert mean.error < 0.05
    variance = annealed.derived("variance")
    assert abs(variance.value - np.mean(1 / stiffness)) < SIGMAS * variance.error
    below = 0.5 * math.erfc(shift / math.sqrt(2 / (12 * 1.5)))  # P[Σφ > 0]
    masses = annealed.sector_masses
    assert sum(m.value for m in masses) == pytest.approx(1)
    assert min(abs(m.value - below) / m.error for m in masses) < SIGMAS


def test_a_theory_with_determinants() -> None:
    """Two sites, one slice: log Z by quadrature in two variables."""
    import networkx as nx

    from sesamo_theories.hubbard import hubbard

    annealed = sd.anneal(
        hubbard(nx.path_graph(2), 1, U=18, beta=1), walkers=512, populations=4, progress=False
    )
    assert abs(annealed.log_z - 24.639822) < SIGMAS * annealed.log_z_error


def test_walls_cut_off_and_are_never_entered() -> None:
    wall = sp.Piecewise((sp.S.Zero, sp.Abs(X) < 1), (sp.oo, True))
    annealed = sd.anneal(line(X**2 / 2 + wall), walkers=512, populations=4, progress=False)
    exact = math.log(math.sqrt(2 * math.pi) * math.erf(1 / math.sqrt(2)))
    assert abs(annealed.log_z - exact) < SIGMAS * annealed.log_z_error
    assert (np.abs(annealed.samples[annealed.weights > 0]) < 1).all()


def test_the_same_seed_gives_the_same_numbers_and_both_backends_agree() -> None:
    theory, exact = EXACT["broken double well"]
    runs = [
        sd.anneal(theory, backend=backend, walkers=128, populations=4, seed=seed, progress=False)
        for backend, seed in (("torch", 0), ("torch", 0), ("torch", 1), ("jax", 0))
    ]
    assert np.array_equal(runs[0].samples, runs[1].samples)
    assert np.array_equal(runs[0].log_weights, runs[1].log_weights)
    assert runs[0].log_z != runs[2].log_z
    for run in runs:
        assert abs(run.log_z - exact) < SIGMAS * run.log_z_error


def test_the_record_is_whole_and_travels() -> None:
    theory, _ = EXACT["double well"]
    annealed = sd.anneal(theory, walkers=64, populations=5, progress=False)
    n = 5 * 64
    assert annealed.samples.shape == (n, 1, 1)
    assert annealed.log_weights.shape == annealed.action.shape == (n,)
    assert annealed.log_weights.dtype == np.float64
    assert annealed.populations == len(annealed.ancestors) == 5
    assert len(annealed.ladder) == len(annealed.acceptance) == len(annealed.conditional_ess)
    assert (np.diff(annealed.ladder) > 0).all()
    assert annealed.ladder[-1] == annealed.reached == 1
    assert (annealed.ancestors <= 64).all()
    assert (annealed.ancestors > 1).all()
    assert 1 < annealed.effective_samples <= n
    assert f"{annealed.log_z:.3g}"[:4] in repr(annealed)
    assert "\n" not in repr(annealed)
    other = pickle.loads(pickle.dumps(annealed))
    assert other.text() == annealed.text()
    assert other.log_z == annealed.log_z
    with pytest.raises(OptionError):
        annealed.expect("energy")
    with pytest.raises(OptionError):
        annealed.expect(np.zeros(3))


def test_a_short_budget_is_told() -> None:
    theory = sd.load_theory("scalar_phi4@24x24")
    annealed = sd.anneal(theory, seconds=0.3, progress=False)
    assert any(w.startswith("budget") for w in annealed.warnings)
    if annealed.reached < 1:
        assert math.isnan(annealed.log_z)
        assert math.isnan(annealed.log_z_error)


def test_time_to_compile_is_not_taken_from_the_annealing(monkeypatch: pytest.MonkeyPatch) -> None:
    from sesamo_dsl.annealing import driver as module
    from sesamo_dsl.annealing.ensemble import Ensemble

    hours, warm, now = [], Ensemble.warm, time.perf_counter

    def slow(ensemble: Any, count: int) -> None:
        hours.append(count)
        warm(ensemble, count)

    clock = SimpleNamespace(perf_counter=lambda: now() + 3600 * len(hours))
    monkeypatch.setattr(Ensemble, "warm", slow)
    monkeypatch.setattr(module, "time", clock)
    theory, exact = EXACT["double well"]
    annealed = sd.anneal(theory, seconds=1000.0, walkers=64, populations=4, progress=False)
    assert hours
    assert annealed.warnings == ()
    assert abs(annealed.log_z - exact) < 6 * annealed.log_z_error


def test_populations_that_disagree_and_few_ancestors_are_told() -> None:
    from dataclasses import replace

    theory, _ = EXACT["double well"]
    annealed = sd.anneal(theory, walkers=256, populations=4, progress=False)
    assert annealed.warnings == ()
    shifted = annealed.population_log_z + np.array([0, 0, 0, 1.0])
    apart = replace(annealed, population_log_z=shifted)
    assert any(w.startswith("populations disagree") for w in apart.warnings)
    assert apart.log_z_error > annealed.log_z_error
    few = replace(annealed, ancestor=annealed.population * 256 + annealed.ancestor % 4)
    assert any(w.startswith("few ancestors") for w in few.warnings)
    stuck = replace(annealed, acceptance=0 * annealed.acceptance + 0.01)
    assert any(w.startswith("acceptance") for w in stuck.warnings)
    uneven = replace(annealed, conditional_ess=0 * annealed.ladder + 0.1)
    assert any(w.startswith("uneven weights") for w in uneven.warnings)
    heavy = replace(annealed, tail_index=0 * annealed.ladder + 0.9)
    assert any(w.startswith("heavy tail") for w in heavy.warnings)
    undefined = replace(annealed, undefined=0.1)
    assert any(w.startswith("not finite") for w in undefined.warnings)


@pytest.mark.parametrize("after", [0, 25, 200])
def test_an_interrupt_keeps_what_is_done(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from sesamo_dsl.annealing import driver as module

    moves, tick = [], module._Clock.tick

    def interrupted(clock: Any, beta: float) -> None:
        moves.append(beta)
        if len(moves) == after + 1:
            signal.raise_signal(signal.SIGINT)
        tick(clock, beta)

    monkeypatch.setattr(module._Clock, "tick", interrupted)
    theory, exact = EXACT["broken double well"]
    with pytest.raises(AnnealingInterrupted) as caught:
        sd.anneal(theory, walkers=128, populations=10**6, progress=False)
    annealed = caught.value.annealed
    assert caught.value.signal == signal.SIGINT
    assert any("SIGINT" in w for w in annealed.warnings) == (annealed.populations < LEAST_POPULATIONS)
    assert annealed.reached == 1 or f"β = {annealed.reached:.3g}" in str(caught.value)
    if after == 0:
        assert annealed.reached < 1
        assert math.isnan(annealed.log_z)
    if after == 200:
        assert annealed.populations >= 1
        assert abs(annealed.log_z - exact) < 6 * annealed.log_z_error


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"walkers": 3}, OptionError),
        ({"walkers": 2.5}, OptionError),
        ({"populations": 1}, OptionError),
        ({"seconds": 0}, OptionError),
        ({"seconds": -1}, OptionError),
        ({"seconds": math.nan}, OptionError),
        ({"seed": -1}, OptionError),
        ({"steps": 10}, OptionError),
        ({"walkers": 10**8, "populations": 4}, OptionError),
        ({"parameters": {"kappa": math.inf}}, ParameterError),
        ({"parameters": {"mass": 1}}, ParameterError),
        ({"backend": "numpy"}, BackendError),
    ],
)
def test_wrong_arguments_are_explained(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="remedy"):
        sd.anneal(phi4(), progress=False, **options)


def test_theories_without_a_density_are_refused() -> None:
    with pytest.raises(NotNormalizableError):
        sd.anneal(line(-2 * sp.cos(X)), progress=False)
    with pytest.raises(NotNormalizableError):
        sd.anneal(phi4(), parameters={"lambda": -0.1}, progress=False)


def test_a_backend_without_arrays_is_refused() -> None:
    with pytest.raises(BackendError, match="arrays"):
        sd.anneal(phi4(), backend=WithoutArrays(), progress=False)  # pyright: ignore[reportArgumentType]


def test_an_action_that_is_nowhere_a_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from sesamo_dsl.annealing.ensemble import Ensemble

    monkeypatch.setattr(Ensemble, "log_ratio", lambda self, state: np.full(state.action.shape[0], -np.inf))
    with pytest.raises(AnnealingError, match="finite"):
        sd.anneal(EXACT["gaussian"][0], progress=False)


# weights and genealogy ------------------------------------------------------------------------------------


def test_the_next_step_leaves_the_ess_at_its_target() -> None:
    rng = np.random.default_rng(0)
    uniform, ratio = np.full(4000, 1 / 4000), 10 * rng.normal(size=4000)
    step = weights.next_step(uniform, ratio, _TARGET, 1.0)
    assert weights.conditional_ess(uniform, ratio, step) == pytest.approx(_TARGET, abs=2e-3)
    assert weights.next_step(uniform, 1e-9 * ratio, _TARGET, 1.0) == 1.0
    ratio[:100] = -np.inf
    assert weights.conditional_ess(uniform, ratio, 0.0) == pytest.approx(1)
    assert np.isneginf(weights.log_increment(ratio, 0.0)[:100]).all()


def test_systematic_resampling_is_unbiased_and_even() -> None:
    rng = np.random.default_rng(1)
    w = rng.dirichlet(np.ones(50))
    w[7] = 0
    w /= w.sum()
    counts = np.array([np.bincount(weights.systematic(w, u), minlength=50) for u in rng.uniform(size=4000)])
    assert (np.abs(counts - 50 * w) < 1).all()
    fraction = 50 * w - np.floor(50 * w)
    error = np.sqrt(fraction * (1 - fraction) / 4000) + 1e-12
    assert (np.abs(counts.mean(axis=0) - 50 * w) < SIGMAS * error + 1e-9).all()


def test_resampling_noise_is_what_offspring_vary_by() -> None:
    """E Σ_e (N_e/n)² = Σ_e (m_e/n)² + Σ_e f_e (1 − f_e)/n² for blocks of side by side descendants."""
    rng = np.random.default_rng(2)
    w, ancestors = rng.dirichlet(np.ones(60)), np.sort(rng.integers(12, size=60))
    shares = np.bincount(ancestors, weights=w)
    found = []
    for u in rng.uniform(size=20_000):
        offspring = np.bincount(ancestors[weights.systematic(w, u)], minlength=len(shares))
        found.append(np.sum((offspring / 60) ** 2))
    expected = np.sum(shares**2) + genealogy.resampling_noise(w, ancestors)
    assert abs(np.mean(found) - expected) < SIGMAS * np.std(found) / np.sqrt(len(found))


def test_without_resampling_the_variance_is_that_of_a_mean() -> None:
    rng = np.random.default_rng(3)
    raw = rng.exponential(size=2000)
    w = raw / raw.sum()
    expected = np.var(raw) / np.mean(raw) ** 2 / 2000
    assert genealogy.log_z_variance(w, np.arange(2000), 0.0) == pytest.approx(expected, rel=1e-9)


def test_the_arms_of_a_curved_valley_are_found() -> None:
    """They hold a tenth of the mass, and the first walkers hardly come there."""
    x, y = (sd.ScalarField(name, sd.Lattice(1)) for name in "xy")
    valley = sd.Theory("valley", fields=[x, y], action=x**2 / 2 + 8 * (y - x**2) ** 2)
    found = sd.anneal(valley, walkers=512, populations=8, seed=1, progress=False)
    exact = float(np.log(2 * np.pi) - 0.5 * np.log(16))
    assert abs(found.log_z - exact) < 4 * found.log_z_error
