"""Functions of means of any observable have the errors of a jackknife; what is said of NaN and names."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError
from sesamo_dsl.estimates.chains import Chain
from sesamo_dsl.estimates.weighted import WeightedSamples
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.language.derived import Derived
from sesamo_dsl.stages.lower import lower_theory

Array = np.ndarray[Any, Any]
LATTICE = sd.Lattice(6)
PHI = sd.ScalarField("phi", LATTICE)
THEORY = sd.Theory(
    "line",
    fields=[PHI],
    action=LATTICE.sum(PHI**2 - PHI * PHI.shift(0) / 2),
    observables={"square": LATTICE.sum(PHI**2) / 6, "logarithm": LATTICE.sum(sp.log(2 - PHI)) / 6},
)
PROGRAM = lower_theory(sd.analyse(THEORY))
DECLARED = {"ratio": Derived(lambda square: 2 * square, ("square",))}


def drawn(count: int = 1500) -> WeightedSamples:
    """Independent normal numbers with their weights."""
    x = np.random.default_rng(3).normal(size=(count, 1, 6))
    (action,) = run(PROGRAM, "action", {"x": x}, {})
    none = np.zeros(count, dtype=int)
    log_q = -(x**2).sum(axis=(1, 2)) / 2
    return WeightedSamples(PROGRAM, {}, x, log_q, action, none, none > 0, None, declared=DECLARED)


def chain() -> Chain:
    """A chain of independent configurations."""
    samples = drawn()
    return Chain(PROGRAM, {}, samples.x[None], samples.action[None], 1.0, declared=DECLARED)


def by_jackknife(weights: Array, cluster: Array, near: Array, far: Array) -> tuple[float, float]:
    """log(⟨near⟩/⟨far⟩), and its error from the means without one cluster each."""

    def function(w: Array) -> float:
        return float(np.log((w @ near) / (w @ far)))

    without = [function(np.where(cluster == c, 0.0, weights)) for c in np.unique(cluster)]
    return function(weights), float(np.std(without) * np.sqrt(len(without)))


def test_the_error_of_an_effective_mass_is_that_of_a_jackknife() -> None:
    samples, correlated = drawn(), sd.two_point(drawn().x)
    near, far = correlated[:, 0], correlated[:, 1]
    expected = by_jackknife(samples.weights, np.arange(len(samples)), near, far)
    given = samples.derived(lambda a, b: np.log(a / b), near, far)
    assert given == pytest.approx(expected, rel=0.02)
    assert samples.derived(lambda a, b: np.log(a / b), lambda x: sd.two_point(x)[:, 0], far) == given
    by_name = samples.derived(lambda a, b: np.log(a / b), "square", far)
    assert by_name == pytest.approx(given)


def test_chains_and_annealings_have_it_too() -> None:
    pytest.importorskip("pyerrors")
    markov = chain()
    near, far = sd.two_point(markov.configurations)[:, 0], (markov.configurations**2)[:, 0, 0]
    even = np.full(len(near), 1 / len(near))
    expected = by_jackknife(even, np.arange(len(near)), near, far)
    assert markov.derived(lambda a, b: np.log(a / b), near, far)[:2] == pytest.approx(expected, rel=0.15)
    annealed = sd.anneal(THEORY, walkers=200, populations=4, seed=1, progress=False)
    near, far = sd.two_point(annealed.samples)[:, :2].T
    expected = by_jackknife(annealed.weights, annealed.ancestor, near, far)
    assert annealed.derived(lambda a, b: np.log(a / b), near, far) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("made", [drawn, chain])
def test_a_derived_quantity_that_is_asked_for_as_an_observable_is_pointed_out(made: Any) -> None:
    with pytest.raises(OptionError) as refused:
        made().expect("ratio")
    assert 'derived("ratio")' in refused.value.remedy
    with pytest.raises(OptionError) as refused:
        made().expect("other")
    assert "observables={" in refused.value.remedy


def test_a_mean_that_is_nan_is_announced() -> None:
    samples = drawn(50)
    with pytest.warns(RuntimeWarning, match="NaN at 1 of 50"):
        assert np.isnan(samples.expect(np.where(np.arange(50) == 3, np.nan, 1.0)).value)
    with pytest.warns(RuntimeWarning, match="observable logarithm"), np.errstate(all="ignore"):
        assert np.isnan(drawn().expect("logarithm").value)


def test_an_error_that_is_nan_by_design_is_not_announced() -> None:
    """A single sample has a mean without an error, and NaN at a weight of zero is in no mean."""
    samples = drawn(50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(drawn(1).expect("action").error)
        without = replace(samples, leaked=np.arange(50) == 3)
        assert np.isfinite(without.expect(np.where(np.arange(50) == 3, np.nan, 1.0)).value)


def test_a_function_that_works_in_place_does_not_change_the_samples() -> None:
    def centred(x: Array) -> Array:
        x -= 5
        return (x**2)[:, 0, 0]

    for result in (drawn(), chain()):
        before = result.expect("square")
        expected = result.expect(lambda x: ((x - 5) ** 2)[:, 0, 0])
        assert result.expect(centred) == result.expect(centred) == expected
        assert result.derived(lambda mean: mean, centred)[:2] == pytest.approx(expected[:2])
        assert result.expect("square") == before
