"""Where S has several minima that no symmetry relates, a training learns from an annealing and is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.runs import checking
from sesamo_dsl.runs.checking import inequivalent_minima, walkers_before_training

HALF_LOG = 0.5 * float(np.log(2 * np.pi))


def modes(places: tuple[tuple[float, float], ...]) -> sd.Theory:
    """Unit Gaussians at places in a plane, the first with half of the mass: log Z = log 2π."""
    x, y = (sd.ScalarField(name, sd.Lattice(1)) for name in "xy")
    rest = sp.Rational(1, 2 * (len(places) - 1))
    weights = [sp.Rational(1, 2), *[rest] * (len(places) - 1)]
    terms = [
        w * sp.exp(-((x - sp.Rational(str(a))) ** 2 + (y - sp.Rational(str(b))) ** 2) / 2)
        for w, (a, b) in zip(weights, places, strict=True)
    ]
    return sd.Theory("modes", fields=[x, y], action=-sp.log(sum(terms)), observables={"x": x, "y": y})


def test_minima_that_matter_are_counted() -> None:
    for places in (((0.0, 0.0), (6.0, 1.0)), ((-4.0, 0.0), (4.0, 2.0), (0.0, -5.0))):
        assert inequivalent_minima(sd.compile(modes(places), "torch").program, {}) == len(places)
    phi = sd.ScalarField("phi", sd.Lattice(2, 2))
    kinetic = sum((phi - phi.shift(mu)) ** 2 for mu in phi.lattice.directions)
    for stiffness, count in ((4, 1), (0, 5)):  # of uncoupled sites all patterns are minima, up to symmetries
        action = phi.lattice.sum(5 * (phi**2 - 1) ** 2 + stiffness * kinetic)
        well = sd.Theory("well", fields=[phi], action=action, symmetries=[sd.Z2(phi)])
        assert inequivalent_minima(sd.compile(well, "torch").program, {}) == count


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is learned does not depend on how busy the machine is."""
    monkeypatch.setattr(checking, "_MOST_SECONDS", 600.0)
    monkeypatch.setattr(checking, "most_of", lambda _: 2048)


@pytest.mark.checked
def test_three_unrelated_modes_are_all_found(tmp_path: Path) -> None:
    places = ((-5.0, 0.0), (4.0, 3.0), (1.0, -6.0))
    theory = modes(places)
    run = sd.compile(theory, "torch").train(steps=100, directory=tmp_path / "run", progress=False)
    assert any("3 minima" in reason for reason in run.plan.reasons)
    assert (run.plan.forward_weight, run.plan.flows) == (0.5, 3)
    samples = run.sample(8000)
    assert samples.coverage is not None
    assert samples.coverage.status == "covered", samples.coverage.text()
    assert samples.ess > 0.97  # below 0.9 if the forward part stays: it is noisy even where q = p
    log_z = samples.log_z
    assert abs(log_z.value - 2 * HALF_LOG) < 4 * log_z.error
    exact = np.average(np.array(places), axis=0, weights=[0.5, 0.25, 0.25])
    for name, value in zip("xy", exact, strict=True):
        found = samples.expect(name)
        assert abs(found.value - value) < 4 * found.error
    assert not samples.warnings
    again = sd.load_run(tmp_path / "run")
    np.testing.assert_array_equal(again.sample(50).x, run.sample(50).x)


@pytest.mark.checked
def test_a_training_that_was_not_enough_is_followed_by_one_that_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A curved valley: one minimum, and a part of the mass where a model of a few steps has no density."""

    def by_number(compiled: Any, parameters: Any, _: Any, __: Any, seed: int, *, progress: bool) -> Any:
        """The annealing for the check, but of so many walkers: this one does not depend on the clock."""
        return checking.anneal_for_training(compiled, parameters, seed, progress=progress)

    monkeypatch.setattr("sesamo_dsl.runs.run.anneal_for_check", by_number)
    told: list[str] = []
    monkeypatch.setattr("sesamo_dsl.runs.starting.tell", lambda text, *, progress: told.append(text))
    x, y = (sd.ScalarField(name, sd.Lattice(1)) for name in "xy")
    theory = sd.Theory("valley", fields=[x, y], action=x**2 / 2 + 8 * (y - x**2) ** 2)
    compiled = sd.compile(theory, "torch")
    assert inequivalent_minima(compiled.program, {}) == 1
    run = compiled.train(steps=100, directory=tmp_path / "run", progress=False, seed=1)
    assert any("a first training was not enough" in reason for reason in run.plan.reasons)
    assert len(told) == 1
    assert "training anew: a first training was not enough" in told[0]
    assert (run.plan.forward_weight, run.steps_done, run.finished) == (0.5, 100, True)
    assert run.plan.flows > 1
    samples = run.sample(8000)
    exact = 2 * HALF_LOG - 0.5 * float(np.log(16))
    assert abs(samples.log_z.value - exact) < 4 * samples.log_z.error, samples.text()
    assert samples.ess > 0.5, samples.text()
    again = sd.load_run(tmp_path / "run")
    np.testing.assert_array_equal(again.sample(50).x, run.sample(50).x)


@pytest.mark.checked
def test_learned_from_and_held_against_are_different() -> None:
    compiled = sd.compile(modes(((0.0, 0.0), (7.0, 0.0))), "torch", precision="float64")
    walkers, signals = walkers_before_training(compiled, {}, 0, progress=False)
    assert not signals
    assert walkers is not None
    both = {row.tobytes() for row in walkers.x} & {row.tobytes() for row in walkers.outside.x}
    assert not both
    assert walkers.outside.weights.sum() == pytest.approx(1)
