"""Operators and identities say what a model has wrong, and nothing where it is right."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.stats import norm

import sesamo_dsl as sd
from sesamo_dsl.estimates.agreement import Agreement
from sesamo_dsl.estimates.coverage import Coverage
from sesamo_dsl.estimates.estimate import Estimate
from sesamo_dsl.estimates.spectrum import ComparedOperators, Spectrum
from sesamo_dsl.estimates.target_sample import TargetSample
from sesamo_dsl.estimates.weighted import WeightedSamples
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.stages.lower import lower_theory


@cache
def oscillators() -> Program:
    """Four sites in a ring, nearly normal, with a Z₂ that h breaks."""
    lattice = sd.Lattice(4)
    phi = sd.ScalarField("phi", lattice)
    h = sd.parameters("h")
    action = lattice.sum(phi**2 / 2 + phi**4 / 40 - phi * phi.shift(0) / 8 + h * phi**3 / 10)
    theory = sd.Theory("t", fields=[phi], action=action, symmetries=[sd.Z2(phi)], defaults={h: 0})
    return lower_theory(sd.analyse(theory))


def samples_of(program: Program, count: int, seed: int, source: float, shift: float = 0.0) -> WeightedSamples:
    """From a normal law; a density that does not know of their ``shift`` makes the weights wrong."""
    x = shift + np.random.default_rng(seed).normal(size=(count, *program.configuration_shape))
    log_q = norm.logpdf(x).sum(axis=(1, 2))
    (action,) = run(program, "action", {"x": x}, {"h": source})
    none = np.zeros(count, dtype=int)
    return WeightedSamples(program, {"h": source}, x, log_q, action, none, none.astype(bool), None)


def outside_of(samples: WeightedSamples) -> TargetSample:
    numbers = np.arange(len(samples))
    return TargetSample(samples.x, samples.action, samples.weights, numbers, None, "an exact sample")


def compared(shift: float) -> Coverage:
    program = oscillators()
    ours, theirs = samples_of(program, 8000, 1, 0.3, shift), samples_of(program, 8000, 2, 0.3)
    return Coverage.of(ours, norm.logpdf(theirs.x).sum(axis=(1, 2)), outside_of(theirs))


def test_a_right_model_has_no_deviations() -> None:
    spectrum = compared(0.0).spectrum
    assert not spectrum.differing
    names = {row.name for row in spectrum.rows}
    assert {"odd S₁", "odd Σ phi", "Σ phi^4", "Σ phi·phi(+1)", "(Σ phi)^2", "|phi(k)|², k = 2π/L_0"} <= names
    sizes = [abs(row.z_score) for row in spectrum.rows]
    assert sizes == sorted(sizes, reverse=True)
    assert np.median(sizes) < 2


def test_a_density_that_is_wrong_is_seen_operator_by_operator() -> None:
    """Samples whose weights do not know that they are shifted: odd operators are wrong most of all."""
    coverage = compared(0.08)
    assert coverage.status == "missed"
    assert coverage.spectrum.rows[0].name.startswith("odd")
    assert "odd Σ phi" in {row.name for row in coverage.spectrum.differing}
    assert "<- differs" in coverage.text()
    assert len(coverage.text(operators=True).splitlines()) > len(compared(0.0).text().splitlines())


@pytest.mark.parametrize("shift", [0.0, 0.08])
def test_identities_need_nothing_from_outside(shift: float) -> None:
    samples = samples_of(oscillators(), 8000, 3, 0.3, shift)
    assert bool(samples.residuals.differing) == (shift != 0)
    assert all(row.outside == (0.0, 0.0) for row in samples.residuals.rows)
    assert "outside" not in samples.residuals.text()


def test_odd_parts_are_odd_and_no_operator_is_there_twice() -> None:
    """Under rotations by 90° x and y are neither even nor odd: (x − y)/2 and (x + y)/2 are the odd parts."""
    lattice = sd.Lattice(2)
    x = sd.VectorField("x", lattice, 2)
    theory = sd.Theory("t", fields=[x], action=lattice.sum(x.squared**2), symmetries=[sd.Cyclic(4, x)])
    program = lower_theory(sd.analyse(theory))
    operators = ComparedOperators.of(program, {})
    points = np.random.default_rng(0).normal(size=(200, 2, 2))
    values = operators.values(points)
    centred = values - values.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=0)
    overlap = np.abs(unit.T @ unit - np.eye(len(operators.names)))
    assert overlap.max() < 1 - 1e-6
    half_turn = operators.values(-points)
    for i, name in enumerate(operators.names):
        if name.startswith("odd Σ x"):
            np.testing.assert_allclose(half_turn[:, i], -values[:, i], atol=1e-9)
    assert any(name.startswith("odd part under") for name in operators.names)


def test_the_bound_knows_how_many_are_looked_at_and_from_how_few() -> None:
    rows = [
        Agreement(f"O_{i}", Estimate(z, 1.0), Estimate(0.0, 0.0)) for i, z in enumerate((1.0, -5.5, 5.05))
    ]
    assert [row.name for row in Spectrum.of(rows).differing] == ["O_1", "O_2"]
    assert Spectrum.of(rows * 1000).bound > 5.05
    assert Spectrum.of(rows, independent=8).bound > 10
    nothing = Agreement("O", Estimate(1.0, np.nan), Estimate(0.0, 0.0))
    assert not Spectrum.of([nothing]).differing
    assert not Spectrum.of([]).rows
