"""HMC against quadrature, closed forms, long simulations and blackjax, and what is said of bad chains."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.backend import load_backend
from sesamo_dsl.errors import AnnealingError, BackendError, ChainInterrupted, OptionError
from sesamo_dsl.estimates.exact import exact_values
from sesamo_dsl.hamiltonian import driver
from sesamo_dsl.hamiltonian.kernel import Kernel
from sesamo_dsl.hamiltonian.options import HMCOptions
from sesamo_dsl.markov.elements import group_moves
from sesamo_dsl.markov.whitening import Whitening
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.gaussian_mixture import gaussian_mixture
from sesamo_theories.scalar_phi4 import scalar_phi4
from support import WithoutArrays

SHORT: dict[str, Any] = {"chains": 64, "trajectories": 100, "warm_up": 50, "seed": 3}
X, Y = sp.symbols("X Y", real=True)
LINE = np.linspace(-12, 12, 6001)
PLANE = np.stack(np.meshgrid(np.linspace(-9, 9, 901), np.linspace(-9, 9, 901), indexing="ij"))


def within(estimate: Any, exact: float, sigmas: float = 5) -> None:
    assert estimate.error > 0
    assert abs(estimate.value - exact) < sigmas * estimate.error, (estimate, exact)


def theory(action: sp.Expr, symmetries: Callable[[Any], list[Any]] = lambda v: []) -> sd.Theory:
    """S of X, or of X and Y."""
    plane = action.has(Y)
    v = sd.VectorField("v", sd.Lattice(1), 2 if plane else 1)
    to = {X: v[0], Y: v[1]} if plane else {X: v[0]}
    return sd.Theory(
        "points", fields=[v], action=action.subs(to, simultaneous=True), symmetries=symmetries(v)
    )


def by_quadrature(action: sp.Expr, f: Callable[..., np.ndarray]) -> float:
    """⟨f⟩ by the trapezoid rule, which knows nothing of the package."""
    points = list(PLANE) if action.has(Y) else [LINE]
    symbols = [X, Y] if action.has(Y) else [X]
    weight = np.exp(-sp.lambdify(symbols, action, "numpy")(*points))
    return float((weight * f(*points)).sum() / weight.sum())


def hexagon() -> sp.Expr:
    """Six modes of D₆ at radius 6, far apart, with a source that breaks the group."""
    centres = [(6 * sp.cos(k * sp.pi / 3), 6 * sp.sin(k * sp.pi / 3)) for k in range(6)]
    bumps = [sp.exp(-((X - a) ** 2 + (Y - b) ** 2) * 2) for a, b in centres]
    return -sp.log(sp.Add(*bumps)) + X / 10 + Y / 20


ACTIONS: dict[str, tuple[sp.Expr, Callable[[Any], list[Any]]]] = {
    "anharmonic": (X**4 / 4 + X**2 / 2 + X / 3, lambda v: []),
    "double well": ((X**2 - 4) ** 2 + X / 4, lambda v: [sd.Z2(v)]),
    "unequal wells": ((X**2 - 9) ** 2 * (1 + X / 20 + X**2 / 40) / 6 + X / 4, lambda v: []),
    "hexagon": (hexagon(), lambda v: [sd.groups.Dihedral(6, v)]),
    "ring": (2 * (X**2 + Y**2 - 4) ** 2 + X / 3, lambda v: [sd.SO(v)]),
    "banana": (X**2 / 2 + (Y - X**2 / 2) ** 2, lambda v: []),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_moments_against_quadrature(name: str) -> None:
    """Modes far apart are connected by a group, or have the right proportions from the start."""
    action, symmetries = ACTIONS[name]
    many: dict[str, Any] = {"chains": 400, "trajectories": 40} if name == "unequal wells" else {}
    chain = sd.hmc(theory(action, symmetries), **(SHORT | many))
    for f in (lambda *x: x[0], lambda *x: x[-1] ** 2, lambda *x: np.cos(x[0]) * x[-1]):
        exact = by_quadrature(action, f)
        within(chain.expect(lambda x, f=f: f(*np.moveaxis(x[..., 0], 1, 0))), exact)
    within(chain.virial, 1)
    apart = [w for w in chain.warnings if w.startswith("chains apart")]
    assert bool(apart) == (name == "unequal wells")


def test_scalar_phi4_against_long_simulations() -> None:
    """Values of 256 chains of HMC with another mass, 8×8, κ = 0.3, λ = 0.022, h = 0.02."""
    chain = sd.hmc(scalar_phi4(8, 8), parameters={"h": 0.02}, **SHORT)
    known = {
        "phi_squared": (4.88465, 0.00066),
        "abs_m": (2.11739, 0.00017),
        "m": (-2.09781, 0.00023),
        "m_squared": (4.5064, 0.00071),
        "m_fourth": (20.71465, 0.00626),
    }
    for name, (value, error) in known.items():
        found = chain.expect(name)
        assert abs(found.value - value) < 5 * np.hypot(found.error, error), name
    action = chain.expect("action")
    assert abs(action.value / 64 + 0.19792) < 5 * np.hypot(action.error / 64, 0.00007)
    within(chain.virial, 1)
    assert 0.7 < chain.acceptance < 0.9
    assert chain.x.dtype == np.float64
    compiled = sd.compile(scalar_phi4(8, 8), "torch", precision="float64")
    assert np.allclose(chain.action[0, :5], compiled.action(chain.x[0, :5], {"h": 0.02}))


def kernel(declared: sd.Theory, options: HMCOptions, scale: float = 1.0) -> Kernel:
    """With the mass of a Gaussian of this width, whatever S is."""
    compiled = sd.compile(declared, "torch", precision="float64")
    program, n = compiled.program, int(np.prod(compiled.program.configuration_shape))
    emitted, mass = compiled.bind(compiled.parameter_values()), Whitening.dense(np.eye(n) / scale**2)
    return Kernel(compiled.backend.arrays(), emitted, program, mass, options, "float64")


def exact_draws(action: sp.Expr, count: int, rng: np.random.Generator) -> np.ndarray:
    """By rejection from a uniform density, (count, components, 1)."""
    symbols = [X, Y] if action.has(Y) else [X]
    height = sp.lambdify(symbols, action, "numpy")
    least = float(height(*(list(PLANE) if action.has(Y) else [LINE])).min()) - 0.01
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < count:
        x = rng.uniform(-9, 9, size=(len(symbols), 400_000))
        kept.append(x.T[rng.uniform(size=x.shape[1]) < np.exp(least - height(*x))])
    return np.concatenate(kept)[:count, :, None]


@pytest.mark.parametrize(
    ("name", "width"), [("double well", 0.7), ("hexagon", 0.7), ("ring", 0.3), ("banana", 1.4)]
)
def test_trajectories_and_moves_leave_exact_samples_as_they_are(name: str, width: float) -> None:
    """J. Geweke, J. Am. Stat. Assoc. 99 (2004) 799; steps are long, so that many are rejected."""
    action, symmetries = ACTIONS[name]
    rng = np.random.default_rng(5)
    x = exact_draws(action, 8000, rng)
    sampler = kernel(theory(action, symmetries), HMCOptions(step_size=0.5, steps=3, warm_up=0), width)
    _, _, block = sampler.run(rng, *sampler.start(x), np.zeros(6))
    assert 0.2 < block.acceptance.mean() < 0.95
    before, after = x[..., 0], block.x[-1, ..., 0]
    assert (before != after).any(axis=1).mean() > 0.6
    for f in (
        lambda x: x[:, 0],
        lambda x: x[:, -1],
        lambda x: x[:, 0] ** 2,
        lambda x: x[:, 0] * x[:, -1] ** 2,
        lambda x: np.cos(3 * x[:, 0]),
        lambda x: (x[:, 0] > 0.5).astype(float),
    ):
        change = f(after) - f(before)
        assert abs(change.mean()) < 5 * change.std() / np.sqrt(len(change))


def test_the_heat_bath_balances_and_has_the_masses_of_the_sectors() -> None:
    declared = gaussian_mixture(4, 5)
    compiled = sd.compile(declared, "torch", precision="float64")
    values = compiled.parameter_values({"h": 0.1})
    arrays, rng = compiled.backend.arrays(), np.random.default_rng(2)
    (move,) = group_moves(arrays, compiled.bind(values), compiled.program, heat_bath=True)
    assert move.heat_bath
    angles = np.arange(4) * np.pi / 2
    centres = 5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    weights = np.exp(-0.1 * centres.sum(axis=1))
    k = rng.choice(4, size=20_000, p=weights / weights.sum())
    x = (centres[k] - 0.1 + rng.normal(size=(20_000, 2)))[:, :, None]
    noise = arrays.constant(move.noise(rng, (len(x),)), "float64")
    y = arrays.to_numpy(move.image(arrays.constant(x, "float64"), noise))
    u, v = (compiled.evaluate("canonicalize", a)[1] for a in (x, y))
    flow = np.zeros((4, 4))
    np.add.at(flow, (u, v), 1)
    assert (flow > 0).all()
    assert (np.abs(flow - flow.T) <= 5 * np.sqrt(flow + flow.T)).all()
    exact = exact_values(compiled.program, values)
    assert exact is not None
    masses = np.bincount(v, minlength=4) / len(v)
    assert (np.abs(masses - exact.sector_masses) < 5 * np.sqrt(masses / len(v))).all()
    assert np.allclose((x**2).sum(axis=(1, 2)), (y**2).sum(axis=(1, 2)))


def test_rotations_have_the_exact_law_of_the_angle() -> None:
    """Rotations of constant fields alone reach the von Mises law ∝ exp(−√2 h V |m| cos(θ − π/4))."""
    h = 0.4
    compiled = sd.compile(complex_phi4(2, 2), "torch", precision="float64")
    values = compiled.parameter_values({"kappa": 0.3, "lambda": 0.022, "h": h})
    n, options = 8, HMCOptions(step_size=1e-9, steps=1, warm_up=0)
    sampler = Kernel(
        compiled.backend.arrays(),
        compiled.bind(values),
        compiled.program,
        Whitening.dense(np.eye(n)),
        options,
        "float64",
    )
    x = np.zeros((10_000, 2, 2, 2))
    x[:, 0] = 0.8
    _, _, block = sampler.run(np.random.default_rng(0), *sampler.start(x), np.zeros(40))
    m = block.x[-1].mean(axis=(2, 3))
    assert np.allclose(np.hypot(*m.T), 0.8)
    cosine = m @ np.array([1, 1]) / (0.8 * np.sqrt(2))
    theta = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    weight = np.exp(-np.sqrt(2) * h * 4 * 0.8 * np.cos(theta))
    for power in (1, 2, 3):
        exact = (weight * np.cos(theta) ** power).sum() / weight.sum()
        value = cosine**power
        assert abs(value.mean() - exact) < 5 * value.std() / np.sqrt(len(value))


def test_both_backends_make_the_same_chains() -> None:
    """One HMC on two backends, as long as rounding has not grown; float32 alike."""
    lattice = sd.Lattice(3)
    phi = sd.ScalarField("phi", lattice)
    action = lattice.sum((phi**2 - 1) ** 2 - phi * phi.shift(0) / 2 + phi / 5)
    declared = sd.Theory(
        "sites", fields=[phi], action=action, symmetries=[sd.Sitewise(sd.Z2(phi), axes=(0,))]
    )
    start = np.random.default_rng(0).normal(size=(5, 1, 3))
    few: dict[str, Any] = {"initial": start, "trajectories": 20, "warm_up": 0, "step_size": 0.4}
    one, other = (sd.hmc(declared, backend=name, **few) for name in ("torch", "jax"))
    assert one.x.shape == (5, 20, 1, 3)
    assert np.abs(one.x[:, :5] - other.x[:, :5]).max() < 1e-6
    assert one.trajectories == other.trajectories
    assert sd.hmc(declared, precision="float32", **few).x.dtype == np.float32


def test_one_chain_agrees_with_blackjax() -> None:
    """Steps of another library's kernel, without warm-up and moves: the distributions agree."""
    blackjax = pytest.importorskip("blackjax")
    import jax

    action = ACTIONS["anharmonic"][0]
    height = sp.lambdify([X], action, "jax")
    with load_backend("jax").scope("float64"):
        sampler = blackjax.hmc(lambda x: -height(x[0]), 0.5, np.ones(1), 4)

        def one(key: Any) -> Any:
            state = sampler.init(jax.numpy.zeros(1))
            return jax.lax.scan(
                lambda s, k: (sampler.step(k, s)[0], s.position[0]), state, jax.random.split(key, 100)
            )[1]

        theirs = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 400)))[:, -1]
    ours = sd.hmc(theory(action), **SHORT)
    for power in (1, 2, 3):
        found, value = ours.expect(lambda x, p=power: x[:, 0, 0] ** p), theirs**power
        assert abs(found.value - value.mean()) < 5 * np.hypot(found.error, value.std() / 20)


def test_chains_are_reproducible_and_thinned() -> None:
    few: dict[str, Any] = {"chains": 3, "trajectories": 20, "warm_up": 50}
    declared = sd.compile(theory(*ACTIONS["double well"]), "torch", precision="float64")
    first, again = (sd.hmc(declared, seed=7, **few) for _ in range(2))
    assert np.array_equal(first.x, again.x)
    assert "annealing of 256 walkers" in first.notes[-1]
    thinned = sd.hmc(declared, seed=7, every=3, **few)
    assert thinned.x.shape == first.x.shape == (3, 20, 1, 1)
    assert not np.array_equal(first.x, thinned.x)
    assert "annealing" not in str(sd.hmc(declared, initial=first.x[:, -1], **few).notes)


@pytest.mark.parametrize(
    "options",
    [
        {"chains": 0},
        {"trajectories": 3},
        {"warm_up": 3},
        {"steps": 0},
        {"step_size": -1.0},
        {"target_acceptance": 1.0},
        {"precision": "float16"},
        {"surprise": 1},
        {"initial": np.zeros((2, 2, 1)), "chains": 3},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="of hmc"):
        sd.hmc(gaussian_mixture(4, 5), **options)


def test_where_there_is_no_annealing_chains_start_from_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    few: dict[str, Any] = {"chains": 3, "trajectories": 20, "warm_up": 50}
    declared = theory(ACTIONS["double well"][0])
    monkeypatch.setattr(driver, "_SECONDS", 0.0)
    assert "did not end within 0 s" in sd.hmc(declared, **few).notes[-1]

    def fails(*_: Any, **__: Any) -> Any:
        raise AnnealingError("annealing", expected="walkers", found="none", remedy="none")

    monkeypatch.setattr(driver, "pilot", fails)
    assert "failed (none)" in sd.hmc(declared, **few).notes[-1]


@pytest.mark.parametrize("after", [1, 9])
def test_an_interrupt_keeps_what_is_done(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first signal comes in the warm-up, the other one after 25 kept trajectories or more."""
    declared, options = theory(*ACTIONS["double well"]), {"chains": 4, "trajectories": 400, "warm_up": 50}
    whole = sd.hmc(declared, progress=False, **options)
    blocks, run = [], Kernel.run

    def interrupted(self: Any, *arguments: Any) -> Any:
        blocks.append(None)
        if len(blocks) == after:
            signal.raise_signal(signal.SIGINT)
        return run(self, *arguments)

    monkeypatch.setattr(Kernel, "run", interrupted)
    with pytest.raises(ChainInterrupted, match="SIGINT") as stopped:
        sd.hmc(declared, progress=False, **options)
    chain = stopped.value.chain
    if after == 1:
        assert chain is None
        return
    done = chain.x.shape[1]
    assert 25 <= done < 400
    assert np.array_equal(chain.x, whole.x[:, :done])
    assert chain.acceptance > 0
    assert f"stopped after {done} of 400 trajectories" in chain.notes


def test_a_backend_without_arrays_is_refused() -> None:
    with pytest.raises(BackendError, match="backend='torch'"):
        sd.hmc(sd.compile(theory(X**2), WithoutArrays()))  # pyright: ignore[reportArgumentType]


# Diagnostics


@cache
def sound() -> Any:
    longer: dict[str, Any] = SHORT | {"trajectories": 400}
    return sd.hmc(theory(*ACTIONS["double well"]), **longer)


def test_a_sound_chain_is_not_warned_of() -> None:
    chain = sound()
    assert chain.warnings == ()
    assert set(chain.convergence) == {"action", "mean of v_0", "sector 0", "sector 1"}
    assert all(c.r_hat < 1.01 and c.bulk_ess > 400 and c.tail_ess > 400 for c in chain.convergence.values())
    assert (chain.sector_changes > 0.1).all()
    assert "R̂ = 1.00" in str(chain)
    assert "chains change their sector" in str(chain)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"moves": False, "initial": np.full((8, 1, 1), 2.0)}, "frozen sectors"),
        ({"moves": False, "initial": np.array([-2.0, 2.0] * 4)[:, None, None]}, "chains apart"),
        ({"step_size": 6.0, "warm_up": 0, "steps": 1}, "acceptance"),
        ({"step_size": 30.0, "warm_up": 0, "steps": 3}, "divergent trajectories"),
        ({"chains": 2, "trajectories": 30}, "few effective samples"),
    ],
)
def test_what_is_wrong_with_a_chain_is_said(wrong: dict[str, Any], name: str) -> None:
    options: dict[str, Any] = {"chains": 8, "trajectories": 60, "warm_up": 50} | wrong
    chain = sd.hmc(theory(*ACTIONS["double well"]), **options)
    assert any(w.startswith(name) and "Remedy:" in w for w in chain.warnings), chain.warnings
    assert "WARNING" in str(chain)


def test_chains_that_drift_disagree_and_joined_ones_add_up() -> None:
    chain = sound()
    drifting = replace(chain, x=chain.x + np.linspace(0, 0.6, 400)[:, None, None])
    assert any(w.startswith("chains disagree") for w in drifting.warnings)
    diverging = replace(chain, trajectories=chain.trajectories._replace(divergent=3))
    assert chain.joined(diverging).trajectories.divergent == 3
    assert chain.joined(replace(chain, trajectories=None)).trajectories is None
