"""Arithmetic of estimates: errors by bootstrap, jackknife and exact Gaussians; formats; refusals."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError
from sesamo_dsl.estimates.chains import Chain
from sesamo_dsl.estimates.gamma_method import Series
from sesamo_dsl.estimates.sources import Clustered, Independent, Source
from sesamo_dsl.estimates.weighted import WeightedSamples
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.stages.lower import lower_theory
from support import walkers_of_normal_numbers

Array = np.ndarray[Any, Any]
LATTICE = sd.Lattice(2)
PHI = sd.ScalarField("phi", LATTICE)
M = sd.parameters("m")
THEORY = sd.Theory(
    "pair",
    fields=[PHI],
    action=LATTICE.sum(M * PHI**2 / 2),
    defaults={M: 1},
    observables={"a": LATTICE.sum(PHI) / 2 + 2, "b": LATTICE.sum((PHI + 1) ** 2) / 2},
)
PROGRAM = lower_theory(sd.analyse(THEORY))
FUNCTIONS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a / b,
    lambda a, b: b - a * a,
    lambda a, b: (2 * a - 1) ** 2 / (3 + b),
    lambda a, b: 2**a - b**-1.5 + 1 / a,
    lambda a, b: a**b,
    lambda a, b: abs(-a) + np.float64(2) * b,
]


def samples(seed: int, count: int = 2000, mass: float = 1.0) -> WeightedSamples:
    """Normal numbers of width 1.2 with weights for the Gaussian of this mass."""
    x = 1.2 * np.random.default_rng(seed).normal(size=(count, 1, 2))
    (action,) = run(PROGRAM, "action", {"x": x}, {"m": mass})
    log_q = -((x / 1.2) ** 2).sum(axis=(1, 2)) / 2 - 2 * np.log(1.2 * np.sqrt(2 * np.pi))
    none = np.zeros(count, dtype=int)
    return WeightedSamples(PROGRAM, {"m": mass}, x, log_q, action, none, none > 0, None)


@cache
def drawn(seed: int = 1) -> WeightedSamples:
    return samples(seed)


def by_jackknife(function: Callable[[Array], float], weights: Array, cluster: Array) -> float:
    """The error of a function of the weights from leaving out one cluster each."""
    without = [function(np.where(cluster == c, 0.0, weights)) for c in np.unique(cluster)]
    return float(np.std(without) * np.sqrt(len(without)))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_errors_are_those_of_a_jackknife_and_of_derived(function: Callable[[Any, Any], Any]) -> None:
    one = drawn()
    a, b = one.expect("a"), one.expect("b")
    values = one.x.sum(axis=(1, 2)) / 2 + 2, ((one.x + 1) ** 2).sum(axis=(1, 2)) / 2
    expected = by_jackknife(
        lambda w: function(*(w @ v / w.sum() for v in values)), one.weights, np.arange(len(one))
    )
    found = function(a, b)
    assert type(found) is sd.Estimate
    assert found.value == pytest.approx(function(a.value, b.value))
    assert found.error == pytest.approx(expected, rel=0.02)
    assert found == pytest.approx(one.derived(function, "a", "b"), rel=1e-6)
    assert found == pytest.approx(sd.propagate(function, a, b), rel=1e-6)
    independent = function(a, drawn(2).expect("b")).error
    assert abs(independent / found.error - 1) > 0.1  # the correlation is seen


def test_the_spread_of_many_sets_is_the_error() -> None:
    """⟨b⟩/⟨a⟩² and log Z + log⟨b⟩ of 300 sets; the exact Gaussian has b = 2, a = 2, Z = 2π."""
    sets = [samples(100 + k, 300) for k in range(300)]
    ratios = [s.expect("b") / s.expect("a") ** 2 for s in sets]
    logs = [s.log_z + sd.propagate(np.log, s.expect("b")) for s in sets]
    for found, exact in ((ratios, 0.5), (logs, np.log(4 * np.pi))):
        values, errors = np.array(found).T
        spread = values.std(ddof=1)
        assert abs(values.mean() - exact) < 5 * spread / np.sqrt(300) + 1 / 300  # and a bias of order 1/n
        assert spread == pytest.approx(np.sqrt(np.mean(errors**2)), rel=5 / np.sqrt(2 * 300))


def test_the_error_of_kl_includes_the_correlation_of_its_terms() -> None:
    """By a bootstrap; the two errors by themselves are far larger, or their larger one."""
    one = drawn()
    rng = np.random.default_rng(0)
    log_w = one.log_weights
    again = log_w[rng.integers(len(one), size=(2000, len(one)))]
    kl = np.log(np.exp(again).mean(axis=1)) - again.mean(axis=1)
    assert one.kl.value == pytest.approx(np.log(np.exp(log_w).mean()) - log_w.mean())
    assert one.kl.error == pytest.approx(kl.std(), rel=5 / np.sqrt(2 * 2000))
    assert one.kl.error < 0.5 * max(one.log_z.error, one.free_energy_bound.error)


def test_leaked_samples_count_in_the_bound() -> None:
    """By a bootstrap, in which the leaked fraction fluctuates too."""
    leaked = np.random.default_rng(5).uniform(size=2000) < 0.3
    one = replace(drawn(), leaked=leaked)
    number = np.random.default_rng(0).integers(2000, size=(2000, 2000))
    kept, log_w = ~leaked[number], drawn().log_weights[number]
    bound = -(log_w * kept).sum(axis=1) / kept.sum(axis=1) - np.log(kept.mean(axis=1))
    assert one.free_energy_bound.error == pytest.approx(bound.std(), rel=5 / np.sqrt(2 * 2000))


def test_the_same_samples_are_known_again() -> None:
    one, again = drawn(), samples(1)
    a = one.expect("a")
    for same in (a, again.expect("a"), replace(one, notes=("x",)).expect("a"), one.derived(lambda x: x, "a")):
        assert (a - same).error < 1e-12 * a.error
    assert (a - a) == (0.0, 0.0)
    for moved in (copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert a - moved == (0.0, 0.0)
    other = drawn(2).expect("a")
    assert (a - other).error == pytest.approx(math.hypot(a.error, other.error))
    elsewhere = samples(1, mass=1.1).expect("b")  # the same draws at another coupling
    change = one.expect("b") - elsewhere
    w, v = (one.weights, samples(1, mass=1.1).weights), ((one.x + 1) ** 2).sum(axis=(1, 2)) / 2
    influence = w[0] * (v - w[0] @ v) - w[1] * (v - w[1] @ v)
    assert change.error == pytest.approx(np.sqrt(influence @ influence))
    assert change.error < 0.5 * elsewhere.error


def test_control_variates_stay_correlated() -> None:
    plain, better = drawn().expect("b"), drawn().expect("b", control=True)
    assert better.control.reduction > 10
    assert better - better == (0.0, 0.0)
    assert (plain - better).error < math.hypot(plain.error, better.error)
    assert (2 * better).error == pytest.approx(2 * better.error)


def test_chains_have_the_errors_of_the_gamma_method() -> None:
    """An autoregressive series: the ratio by `derived`, and the exact error of a difference of two means."""
    pytest.importorskip("pyerrors")
    rng, count, r = np.random.default_rng(4), 10_000, 0.5
    noise = np.sqrt(1 - r * r) * rng.normal(size=(count, 1, 2))
    x = np.empty((count, 1, 2))
    x[0] = rng.normal(size=(1, 2))
    for i in range(1, count):
        x[i] = r * x[i - 1] + noise[i]
    chain = Chain(PROGRAM, {"m": 1.0}, x[None], (x**2).sum(axis=(1, 2))[None] / 2, 1.0)
    a, b = chain.expect("a"), chain.expect("b")
    assert a / b == pytest.approx(chain.derived(operator.truediv, "a", "b")[:2], rel=1e-5)
    assert a - a == (0.0, 0.0)
    left, right = chain.expect(lambda y: y[:, 0, 0]), chain.expect(lambda y: y[:, 0, 1])
    exact = np.sqrt(2 * (1 + r) / (1 - r) / count)
    assert (left - right).error == pytest.approx(exact, rel=5 * 0.03)  # 3 %: √((2W + 1)/2n), W about 8
    assert left - right == pytest.approx(chain.expect(lambda y: y[:, 0, 0] - y[:, 0, 1])[:2], rel=1e-6)
    assert (left + right).error == pytest.approx(2 * a.error, rel=1e-6)  # a is 2 + (left + right)/2
    assert chain.estimate(x[:, 0, 0]) - left == (0.0, 0.0)


def test_annealings_have_the_errors_of_their_ancestors() -> None:
    annealed = walkers_of_normal_numbers(PROGRAM, {"m": 1.0})
    x, ancestor = annealed.samples, annealed.ancestor
    a, b = annealed.expect("a"), annealed.expect("b")
    assert a / b == pytest.approx(annealed.derived(operator.truediv, "a", "b"), rel=1e-5)
    values = [x.sum(axis=(1, 2)) / 2 + 2, ((x + 1) ** 2).sum(axis=(1, 2)) / 2]
    expected = by_jackknife(lambda w: float((w @ values[0]) / (w @ values[1])), annealed.weights, ancestor)
    assert (a / b).error == pytest.approx(expected, rel=0.05)
    assert annealed.estimate - annealed.estimate == (0.0, 0.0)


def test_numbers_that_are_written_down_are_independent() -> None:
    e, other = sd.Estimate(1.0, 0.1), sd.Estimate(1.0, 0.1)
    assert e - e == (0.0, 0.0)
    assert (e - other).error == pytest.approx(0.1 * np.sqrt(2))
    assert pickle.loads(pickle.dumps(e)) - e == (0.0, 0.0)
    assert copy.copy(other) - other == (0.0, 0.0)
    assert e == other == (1.0, 0.1)
    assert hash(e) == hash((1.0, 0.1))
    value, error = e
    assert (value, error, len(e), e[1]) == (1.0, 0.1, 2, 0.1)
    assert sum([e, e]) == (2.0, 0.2)
    assert np.array([1.0, 0.1]).tolist() == np.asarray(e).tolist()
    assert sd.propagate(math.hypot, e, 0) == pytest.approx((1.0, 0.1))
    assert sd.propagate(lambda x: x**3, sd.Estimate(2.0, 0.0)) == (8.0, 0.0)


def test_without_an_error_bar_there_is_none() -> None:
    one = samples(3, 1)
    assert np.isnan(one.expect("a").error)
    for found in (one.expect("a") + 1, one.expect("a") / one.expect("b"), 0 * one.expect("a")):
        assert np.isfinite(found.value)
        assert np.isnan(found.error)
    assert np.isnan(sd.propagate(np.exp, one.expect("a")).error)


def test_formats() -> None:
    def shown(value: float, error: float, form: str = "S") -> str:
        return f"{sd.Estimate(value, error):{form}}"

    assert shown(0.123456, 0.00056, "") == str(sd.Estimate(0.123456, 0.00056)) == "0.123456 ± 0.00056"
    assert shown(0.123456, 0.00056, ".3f") == "0.123 ± 0.001"
    assert shown(0.123456, 0.00056, "+.1e") == "+1.2e-01 ± +5.6e-04"
    assert shown(0.123456, 0.00056) == "0.12346(56)"
    assert shown(0.123456, 0.00056, ".1uS") == "0.1235(6)"
    assert shown(12.3, 4.5) == "12.3(4.5)"
    assert shown(123456, 7890) == "123500(7900)"
    assert shown(9.999, 0.0996) == "10.00(10)"
    assert shown(0.01, 0.25) == "0.01(25)"
    assert shown(1.234e-9, 3e-11) == "1.234(30)e-09"
    assert shown(-5e12, 3e10) == "-5.000(30)e+12"
    assert shown(1.0, np.nan) == "1 ± nan"
    assert shown(0.0, 0.0) == "0 ± 0"
    assert sd.Estimate(1.5e-9, 2e-10)._repr_latex_() == r"$1.5\cdot 10^{-9} \pm 2\cdot 10^{-10}$"


E = sd.Estimate(1.0, 0.1)
REFUSED: dict[str, Callable[[], Any]] = {
    "a tuple": lambda: E + (1, 2),  # noqa: RUF005
    "to a tuple": lambda: (1, 2) + E,  # noqa: RUF005
    "an array": lambda: E * np.ones(2),
    "of an array": lambda: np.ones(2) * E,
    "text": lambda: E + "a",
    "a flag": lambda: E * True,
    "a complex number": lambda: E + 1j,
    "division by zero": lambda: E / 0,
    "by an estimate of zero": lambda: 1 / (E - E),
    "a root": lambda: (-E) ** 0.5,
    "a power": lambda: (-2) ** E,
    "a slope": lambda: (E - E) ** 0.5,
    "too large": lambda: (1e300 * E) ** 2,
    "an error below zero": lambda: sd.Estimate(1.0, -0.1),
    "a function of NumPy": lambda: np.log(E),
    "a sum of NumPy": lambda: np.sum(E),
    "a format": lambda: f"{E:q}",
    "no digits": lambda: f"{E:.0uS}",
    "outside of a function": lambda: sd.propagate(np.log, -E),
    "two results": lambda: sd.propagate(lambda x: (x, x), E),
    "another number of arguments": lambda: sd.propagate(lambda x, y: x, E),
    "what a function raises": lambda: sd.propagate(lambda x: 1 / 0, E),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_arithmetic_of_numbers_is_explained(name: str) -> None:
    with pytest.raises(OptionError) as refused:
        REFUSED[name]()
    assert refused.value.remedy


@pytest.mark.parametrize("source", [Independent("a"), Clustered("b", np.arange(40) // 4), Series("c")])
def test_covariances_belong_to_the_variances(source: Source) -> None:
    rng = np.random.default_rng(2)
    influences = (
        rng.normal(size=(2, 2, 400)) / 800 if isinstance(source, Series) else rng.normal(size=(2, 40))
    )
    one, other = influences
    matrix = source.covariance(influences)
    assert matrix[0, 0] == pytest.approx(source.variance(one))
    assert matrix[1, 1] == pytest.approx(source.variance(other))
    assert matrix[0, 1] == pytest.approx(matrix[1, 0])
    both = matrix[0, 0] + matrix[1, 1] + 2 * matrix[0, 1]
    if not isinstance(source, Series):  # whose windows differ between the numbers
        assert both == pytest.approx(source.variance(one + other))
    np.testing.assert_allclose(Source.covariance(source, influences), matrix, rtol=1e-9, atol=1e-12)
