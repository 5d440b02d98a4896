"""Moves leave γ_β invariant: a joint test on walkers that have the density from the start.

J. Geweke, J. Am. Stat. Assoc. 99 (2004) 799. γ_β is known exactly where q₀ and exp(−S) are Gaussians, or can
be drawn by rejection; walkers that are drawn from it must have it still after the moves.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import sesamo_dsl as sd
from sesamo_dsl.annealing.ensemble import Ensemble, Setting
from sesamo_dsl.annealing.start import Family, StartDensity
from sesamo_dsl.markov.moves import State
from sesamo_dsl.markov.whitening import Whitening
from sesamo_dsl.values.arrays import Arrays

COUNT, BETA = 8_000, 0.6
DRAWN = 40_000
BOUND = 4.5  # standard deviations


@dataclasses.dataclass(frozen=True, eq=False)
class WithoutGradient(StartDensity):
    """A start density without a gradient, as of a model; trajectories follow S alone."""

    def log_density(self, arrays: Arrays) -> Any:
        whole = super().log_density(arrays)
        return lambda x, auxiliary: (whole(x, auxiliary)[0], None)


def ensemble(
    theory: sd.Theory, backend: str, width: float = 2.0, kind: type[StartDensity] = StartDensity
) -> Ensemble:
    """With a Gaussian start off the symmetric point, so that q₀ is not invariant."""
    compiled = sd.compile(theory, backend, precision="float64")
    shape = compiled.program.configuration_shape
    n = math.prod(shape)
    centre = np.full((1, *shape), 0.3)
    family = Family(Whitening.dense(np.eye(n) / width**2), centre, np.zeros(1))
    start = kind(shape, (family,), Whitening.dense(np.eye(n)))
    values = compiled.parameter_values()
    return Ensemble(compiled.backend.arrays(), compiled.bind(values), compiled.program, start)


def bound(ensemble: Ensemble) -> float:
    """More than −S − log q₀ is anywhere but for a few walkers in a million."""
    return ensemble.log_ratio(ensemble.draw(np.random.default_rng(7), DRAWN)).max() + 0.5


def exact_walkers(ensemble: Ensemble, rng: np.random.Generator) -> np.ndarray:
    """Draws of γ_β by rejection from q₀: accepted with exp(β (−S − log q₀ − bound))."""
    top, kept = bound(ensemble), []
    while sum(map(len, kept)) < COUNT:
        state = ensemble.draw(rng, DRAWN)
        accepted = np.log(rng.uniform(size=DRAWN)) < BETA * (ensemble.log_ratio(state) - top)
        kept.append(ensemble.configurations(state)[0][accepted])
    return np.concatenate(kept)[:COUNT]


def moved(ensemble: Ensemble, x: np.ndarray, rng: np.random.Generator, moves: int = 3) -> np.ndarray:
    state: State = ensemble.state(x)
    for number in range(moves):
        if isinstance(ensemble.start, WithoutGradient):
            setting = Setting(BETA, 0.5, 3, 1 + 2 * number)
            state, acceptance, _ = ensemble.excursion(rng, state, setting, backwards=number == 1)
        else:
            scales = np.linspace(1.2, 0.7, ensemble.start.mass.size) if number else None
            state, acceptance = ensemble.move(rng, state, Setting(BETA, 0.5, 3, 1, scales))
        assert acceptance > 0.1
    return ensemble.configurations(state)[0]


def assert_alike(before: np.ndarray, after: np.ndarray) -> None:
    """Means of many functions agree; walkers move, so that a kernel that does nothing fails."""
    assert np.mean(np.abs(after - before).reshape(len(before), -1).max(axis=1) > 1e-6) > 0.5
    b, a = before.reshape(len(before), -1), after.reshape(len(after), -1)
    functions: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda x: x[:, 0],
        lambda x: x[:, -1],
        lambda x: x[:, 0] * x[:, -1],
        lambda x: np.sum(x**2, axis=1),
        lambda x: np.sum(x**4, axis=1),
        lambda x: np.cos(3 * x[:, 0]),
        lambda x: np.exp(-(x[:, 0] ** 2) / 0.1),
        lambda x: (x[:, 0] > 0).astype(float),
        lambda x: (x.sum(axis=1) > 1).astype(float),
    ]
    for f in functions:
        one, other = f(b), f(a)
        error = np.sqrt((one.var() + other.var()) / len(one))  # correlated walkers only make it too large
        assert abs(one.mean() - other.mean()) < BOUND * error


def double_well() -> sd.Theory:
    v = sd.VectorField("v", sd.Lattice(1), 2)
    action = (v[0] ** 2 - 1) ** 2 + v[1] ** 2 / 2 + v[0] * v[1] / 3 + v[0] / 5
    return sd.Theory("tilted", fields=[v], action=action, symmetries=[sd.Z2(v)])


def square() -> sd.Theory:
    """Four wells on the axes, broken by a source: a non-trivial finite group."""
    v = sd.VectorField("v", sd.Lattice(1), 2)
    action = (v[0] ** 2 + v[1] ** 2 - 1) ** 2 + 2 * v[0] ** 2 * v[1] ** 2 + v[0] / 3 + v[1] / 5
    return sd.Theory("square", fields=[v], action=action, symmetries=[sd.Cyclic(4, v)])


def circle() -> sd.Theory:
    c = sd.ComplexField("c", sd.Lattice(2))
    lattice = sd.Lattice(2)
    re = c.components[0]
    action = lattice.sum((c.abs2 - 1) ** 2 + re / 3 + (re - re.shift(0)) ** 2 / 2)
    return sd.Theory("circle", fields=[c], action=action, symmetries=[sd.U1(c)])


def sites() -> sd.Theory:
    lattice = sd.Lattice(3)
    phi = sd.ScalarField("phi", lattice)
    action = lattice.sum((phi**2 - 1) ** 2 - phi * phi.shift(0) / 2 + phi / 5)
    return sd.Theory("sites", fields=[phi], action=action, symmetries=[sd.Sitewise(sd.Z2(phi), axes=(0,))])


def walled() -> sd.Theory:
    v = sd.VectorField("v", sd.Lattice(1), 2)
    wall = sp.Piecewise((sp.S.Zero, sp.Abs(v[0]) < 1), (sp.oo, True))
    return sd.Theory("walled", fields=[v], action=v[0] ** 2 / 2 + v[1] ** 2 + v[0] * v[1] / 2 + wall)


@pytest.mark.parametrize("kind", [StartDensity, WithoutGradient])
@pytest.mark.parametrize("theory", [double_well, square, circle, sites, walled])
def test_moves_leave_the_path_invariant(theory: Callable[[], sd.Theory], kind: type[StartDensity]) -> None:
    walkers, rng = ensemble(theory(), "torch", kind=kind), np.random.default_rng(1)
    x = exact_walkers(walkers, rng)
    assert_alike(x, moved(walkers, x, rng))


def test_moves_leave_the_path_invariant_on_jax() -> None:
    from sesamo_dsl.backend import load_backend

    with load_backend("jax").scope("float64"):
        walkers, rng = ensemble(square(), "jax"), np.random.default_rng(1)
        x = exact_walkers(walkers, rng)
        assert_alike(x, moved(walkers, x, rng))


@pytest.mark.parametrize("theory", [double_well, square, circle, sites, walled])
def test_the_bound_of_the_rejection_holds(theory: Callable[[], sd.Theory]) -> None:
    """Else walkers would not have the density that moves are tested with."""
    walkers = ensemble(theory(), "torch")
    state = walkers.draw(np.random.default_rng(2), 2 * DRAWN)
    assert (walkers.log_ratio(state) > bound(walkers)).mean() < 1e-4


def test_one_seed_moves_alike_on_both_backends() -> None:
    from sesamo_dsl.backend import load_backend

    x = np.random.default_rng(0).normal(size=(50, 2, 1))
    ends = []
    for name in ("torch", "jax"):
        with load_backend(name).scope("float64"):
            walkers = ensemble(square(), name)
            ends.append(moved(walkers, x, np.random.default_rng(3)))
    np.testing.assert_allclose(*ends, rtol=1e-9, atol=1e-9)


def test_scales_are_the_widths_of_the_density() -> None:
    """Those of a Gaussian whatever the mass is, and of one of two modes."""
    rng, n = np.random.default_rng(4), 2
    variances = np.array([0.04, 9.0])
    v = sd.VectorField("v", sd.Lattice(1), n)
    gauss = sd.Theory("gauss", fields=[v], action=v[0] ** 2 / 0.08 + v[1] ** 2 / 18)
    walkers = ensemble(gauss, "torch")
    x = rng.normal(size=(COUNT, n, 1)) * np.sqrt(variances)[:, None]
    weights = rng.uniform(0.5, 1.5, COUNT)
    scales = walkers.scales(walkers.state(x), weights / weights.sum(), 1.0)
    np.testing.assert_allclose(scales, np.sqrt(variances), rtol=0.05)
    two = sd.Theory("two", fields=[v], action=50 * (v[0] ** 2 - 4) ** 2 + v[1] ** 2 / 2)
    walkers = ensemble(two, "torch")
    at_modes = np.sign(rng.normal(size=COUNT)) * (2 + rng.normal(size=COUNT) / 40)
    x = np.stack([at_modes, rng.normal(size=COUNT)], axis=1)[..., None]
    wide, unit = walkers.scales(walkers.state(x), np.full(COUNT, 1 / COUNT), 1.0)
    assert abs(wide - 1 / 40) < 0.05 / 40
    assert abs(unit - 1) < 0.05


def test_scales_without_any_spread_are_one() -> None:
    walkers = ensemble(double_well(), "torch")
    still = walkers.state(np.ones((50, 2, 1)))  # all with the same slope
    np.testing.assert_array_equal(walkers.scales(still, np.full(50, 0.02), 1.0), [1.0, 1.0])


def test_scales_do_not_follow_rounding() -> None:
    """Where S is linear its slopes differ by rounding alone, whose inverse is no width."""
    v = sd.VectorField("v", sd.Lattice(1), 2)
    wall = sp.Piecewise((sp.S.Zero, v[0] > 0), (sp.oo, True))
    walkers = ensemble(sd.Theory("linear", fields=[v], action=v[0] / 3 + wall + v[1] ** 2 / 2), "torch")
    x = np.random.default_rng(6).exponential(3, size=(200, 2, 1))
    state = walkers.state(x)
    slope = np.asarray(state.action_slope) * (1 + 1e-14 * np.arange(200)[:, None, None])
    scales = walkers.scales(state._replace(action_slope=torch.from_numpy(slope)), np.full(200, 1 / 200), 1.0)
    assert scales[0] == 1
    assert scales[1] != 1
