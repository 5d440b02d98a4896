"""Control variates change no mean, lower variances, and say where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.annealing.result import Annealed
from sesamo_dsl.cli import app
from sesamo_dsl.errors import OptionError
from sesamo_dsl.estimates.chains import Chain
from sesamo_dsl.estimates.control import Control, combination, with_control
from sesamo_dsl.estimates.estimate import Estimate, independent_mean
from sesamo_dsl.estimates.identities import Identities
from sesamo_dsl.estimates.weighted import WeightedSamples
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.stages.lower import action_program
from support import TESTS

_X = sp.Symbol("x", real=True)
_GRID = np.linspace(-12, 12, 240_001)


def one_variable(action: sp.Expr) -> Program:
    """The program of a theory of one real variable, written in the symbol x."""
    lattice = sd.Lattice(1)
    phi = sd.ScalarField("phi", lattice)
    return action_program(sd.Theory("t", fields=[phi], action=lattice.sum(action.xreplace({_X: phi}))))


def density(program: Program) -> np.ndarray:
    """exp(−S)/Z on the grid, with sum 1."""
    (action,) = run(program, "action", {"x": _GRID.reshape(-1, 1, 1)}, {})
    weights = np.exp(action.min() - action)
    return weights / weights.sum()


def independent(program: Program, count: int, seed: int) -> np.ndarray:
    """Independent configurations of exp(−S)/Z, (count, 1, 1)."""
    cumulative = np.cumsum(density(program))
    u = np.random.default_rng(seed).uniform(size=count)
    return _GRID[np.minimum(np.searchsorted(cumulative, u), len(_GRID) - 1)].reshape(-1, 1, 1)


def weighted(program: Program, x: np.ndarray, log_q: np.ndarray) -> WeightedSamples:
    (action,) = run(program, "action", {"x": x}, {})
    none = np.zeros(len(x), dtype=int)
    return WeightedSamples(program, {}, x, log_q, action, none, none.astype(bool), None)


def gaussian(program: Program, count: int, seed: int, width: float = 1.5) -> WeightedSamples:
    """Samples of a normal law with their weights."""
    x = width * np.random.default_rng(seed).normal(size=(count, *program.configuration_shape))
    return weighted(program, x, norm.logpdf(x, scale=width).sum(axis=tuple(range(1, x.ndim))))


@st.composite
def bounded_polynomials(draw: st.DrawFn) -> sp.Expr:
    number = st.integers(-6, 6)
    quartic, cubic, quadratic, linear = draw(st.integers(1, 4)), draw(number), draw(number), draw(number)
    return (
        sp.Rational(quartic, 4) * _X**4
        + sp.Rational(cubic, 10) * _X**3
        + sp.Rational(quadratic, 4) * _X**2
        + sp.Rational(linear, 5) * _X
    )


@settings(max_examples=4, deadline=None)
@given(bounded_polynomials(), st.integers(0, 1000))
def test_small_samples_have_no_bias(action: sp.Expr, seed: int) -> None:
    """The mean over 200 batches of 400 is that of quadrature, and the variance is no higher."""
    program, count, batches = one_variable(action), 400, 200
    x = independent(program, count * batches, seed)
    identities, weights = Identities.at(program, {}, x), np.full(count, 1 / count)
    quarter = np.arange(count) % 4
    for function in (lambda y: y**2, lambda y: y):
        exact = density(program) @ function(_GRID)
        estimates = []
        for i in range(batches):
            part = slice(i * count, (i + 1) * count)
            known = Identities(identities.names, identities.values[part])
            values = function(x[part].ravel())
            estimates.append(with_control(values, weights, quarter, known, independent_mean)[0])
        values, errors = np.array(estimates).T
        assert abs(values.mean() - exact) < 4.5 * values.std() / np.sqrt(batches)
        plain = function(x.ravel()).var() / count
        assert values.var() < plain * (1 + 4.5 * np.sqrt(2 / batches))
        pull = (values - exact) / errors
        assert pull.std() < 1.2 + 4.5 / np.sqrt(2 * batches)


def test_the_mean_action_and_square_of_a_lattice_theory_gain_a_lot() -> None:
    lattice = sd.Lattice(2, 2)
    phi = sd.ScalarField("phi", lattice)
    action = lattice.sum(phi**2 / 2 + phi**4 / 20 - sum(phi * phi.shift(mu) for mu in (0, 1)) / 8)
    program = action_program(sd.Theory("t", fields=[phi], action=action))
    samples, many = gaussian(program, 2000, 0, 1.0), gaussian(program, 400_000, 1, 1.0)
    for observable in ("action", lambda x: (x**2).sum(axis=(1, 2, 3))):
        better, plain = samples.expect(observable, control=True), samples.expect(observable)
        assert better.control.plain == plain
        assert better.control.reduction == pytest.approx((plain.error / better.error) ** 2)
        assert better.control.reduction > 20
        long = many.expect(observable)
        assert abs(better.value - long.value) < 4.5 * np.hypot(better.error, long.error)
        assert f"variance / {better.control.reduction:.3g}" in str(better)
        value, error = better
        assert Estimate(value, error) == (better.value, better.error)


def test_weights_enter_and_errors_are_right() -> None:
    """Pulls of 120 importance-sampled estimates have unit width and no mean."""
    program = one_variable(_X**4 / 4 - _X**2 / 2 + _X / 3)
    exact = density(program) @ _GRID**2
    pulls = []
    for seed in range(120):
        samples = gaussian(program, 1000, seed)
        estimate = samples.expect(lambda x: x.ravel() ** 2, control=True)
        assert estimate.control.reduction > 2
        pulls.append((estimate.value - exact) / estimate.error)
    assert abs(np.mean(pulls)) < 4.5 / np.sqrt(120)
    assert np.std(pulls) == pytest.approx(1, abs=4.5 / np.sqrt(240))


def test_a_half_has_no_say_in_its_own_coefficients() -> None:
    """What is added to O on one half moves the sum over that half by as much, and by nothing else."""
    program, count = one_variable(_X**4 / 4 + _X / 3), 2000
    x = independent(program, count, 5)
    known, weights, quarter = Identities.at(program, {}, x), np.full(count, 1 / count), np.arange(count) % 4
    values, half = x.ravel() ** 2, quarter < 2
    added = np.where(half, x.ravel() ** 4 + 0.1 * x.ravel(), 0.0)
    sums = []
    for observable in (values, values + added):
        found = combination(observable, weights, quarter, known, independent_mean(observable))
        assert not isinstance(found, str)
        sums.append(found[0][half].sum())
    assert sums[1] - sums[0] == pytest.approx(added.sum(), rel=1e-9)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (_X**2 + sp.Heaviside(_X - 1, 0), "continuous"),
        (_X**2 + sp.Piecewise((sp.oo, _X < 0), (0, True)), "continuous"),
        (_X**2 + sp.log(sp.Abs(_X)) / 2, "continuous"),
        (sp.Rational(3, 4) * sp.log(1 + _X**2), "heavy tail"),
    ],
)
def test_where_no_identity_holds_the_plain_estimate_says_so(action: sp.Expr, reason: str) -> None:
    samples = gaussian(one_variable(action), 500, 0)
    estimate = samples.expect(lambda x: np.cos(x.ravel()), control=True)
    assert tuple(estimate) == tuple(samples.expect(lambda x: np.cos(x.ravel())))
    assert estimate.control.reduction == 1
    assert reason in estimate.control.note
    assert f"not controlled: {estimate.control.note}" in str(estimate)


def test_identities_whose_surface_terms_stay_are_left_out() -> None:
    """S = 4 log(1 + x²): e^−S x³ vanishes far out, but 2 log|x²| − S does not fall fast enough for Σ φ⁴."""
    names = Identities.at(one_variable(6 * sp.log(1 + _X**2)), {}, np.ones((1, 1, 1))).names
    assert "Σ phi^2" in names
    none = Identities.at(one_variable(sp.Rational(5, 4) * sp.log(1 + _X**2)), {}, np.ones((1, 1, 1)))
    assert "Σ phi^4" not in none.names


def test_what_does_not_help_is_left_out() -> None:
    """Noise that is independent of the fields, too few samples, and weights without a variance."""
    program = one_variable(_X**2)
    samples = gaussian(program, 400, 0)
    noise = np.random.default_rng(17).normal(size=400)
    estimate = samples.expect(noise, control=True)
    assert tuple(estimate) == tuple(samples.expect(noise))
    assert "none lowers" in estimate.control.note
    assert estimate.control.reduction == 1
    few = gaussian(program, 12, 0).expect("action", control=True)
    assert "too few" in few.control.note
    narrow = gaussian(program, 4000, 0, width=0.25).expect("action", control=True)
    assert "heavy tail" in narrow.control.note
    constant = samples.expect(np.ones(400), control=True)
    assert "does not fluctuate" in constant.control.note
    broken = samples.expect(np.full(400, np.inf), control=True)
    assert "finite" in broken.control.note
    with pytest.raises(OptionError):
        samples.expect("action", control="yes")  # pyright: ignore[reportArgumentType]


def test_annealings_and_chains_have_them_too() -> None:
    """The value is the same within errors, and the halves share neither ancestors nor stretches."""
    pytest.importorskip("pyerrors")
    lattice = sd.Lattice(1)
    phi = sd.ScalarField("phi", lattice)
    theory = sd.Theory("t", fields=[phi], action=lattice.sum(phi**4 / 4 - phi**2 / 2 + phi / 3))
    annealed = sd.anneal(theory, walkers=400, populations=4, seed=1, progress=False)
    exact = density(action_program(theory)) @ _GRID**2
    x = independent(action_program(theory), 2000, 3)
    (action,) = run(action_program(theory), "action", {"x": x}, {})
    chain = Chain(action_program(theory), {}, x.reshape(2, 1000, 1, 1), action.reshape(2, 1000), 1.0)
    kinds: tuple[Annealed | Chain, ...] = (annealed, chain)
    for kind in kinds:
        estimate = kind.expect(lambda x: x.ravel() ** 2, control=True)
        assert isinstance(estimate.control, Control)
        assert estimate.control.reduction > 3
        assert abs(estimate.value - exact) < 4.5 * estimate.error
    assert chain.expect("action", control=True).tau > 0


def test_the_command_line_prints_the_gain_for_runs_of_earlier_versions() -> None:
    run_directory = str(TESTS / "golden_runs" / "phi4_chart_torch")
    result = CliRunner().invoke(app, ["sample", run_directory, "--count", "500", "--control"])
    assert result.exit_code == 0, result.output
    assert "as control variates" in result.output
    assert "variance / " in result.output or "not controlled" in result.output
