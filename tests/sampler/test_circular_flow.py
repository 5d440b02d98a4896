"""The flow of angles: its density on the circle, its symmetry, and its derivative, on both backends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import sympy as sp
from scipy.special import logsumexp

import sesamo_dsl as sd
from sesamo_dsl import groups
from sesamo_dsl.backend import load_backend
from sesamo_dsl.errors import OptionError
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.flows.circular import CircularTables
from sesamo_dsl.sampler.circular_flow import CircularFlow

SPEC = sd.CircularSpec(layers=3, hidden=(6,), kernel=3, bins=4, relative=False)
RELATIVE = sd.CircularSpec(layers=4, hidden=(6,), kernel=3, bins=4, relative=True)


@pytest.fixture
def backend() -> Iterator[object]:
    """PyTorch; that JAX computes the same is a test of its own."""
    pytest.importorskip("torch")
    found = load_backend("torch")
    with found.scope("float64"):
        yield found


class Made:
    """A flow with random weights, and its functions in NumPy."""

    def __init__(
        self,
        backend: object,
        spec: sd.CircularSpec,
        components: int,
        shape: tuple[int, ...],
        angles: tuple[int, ...],
    ) -> None:
        self.arrays = backend.arrays()
        self.flow = CircularFlow(
            self.arrays, spec, GaussianBase.standard(components, shape), angles, "float64"
        )
        rng = np.random.default_rng(5)
        state = self.flow.initial_state(0)
        values = {n: w + 0.15 * rng.normal(size=w.shape) for n, w in state.items()}
        self.weights = {n: self.arrays.constant(w, "float64") for n, w in values.items()}
        self.shape = (components, *shape)

    def log_q(self, x: np.ndarray) -> np.ndarray:
        found = self.flow.inverse(self.weights, self.arrays.constant(x, "float64"))[1]
        return self.arrays.to_numpy(found)

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        z = np.random.default_rng(6).normal(size=(count, *self.shape))
        x, log_q = self.flow.forward(self.weights, self.arrays.constant(z, "float64"))
        return self.arrays.to_numpy(x), self.arrays.to_numpy(log_q)


@pytest.mark.parametrize(
    ("components", "shape", "angles"),
    [(1, (4, 2), (0,)), (2, (3,), (1,)), (3, (1,), (0, 2)), (1, (1,), (0,))],
)
def test_density_of_draws_is_the_density_at_the_point(
    backend: object, components: int, shape: tuple[int, ...], angles: tuple[int, ...]
) -> None:
    made = Made(backend, SPEC, components, shape, angles)
    x, log_q = made.draw(50)
    assert (np.abs(x[:, list(angles)]) <= np.pi + 1e-12).all()
    np.testing.assert_allclose(made.log_q(x), log_q, atol=1e-9)
    turned = x.copy()
    turned[:, list(angles)] += (
        2 * np.pi * np.random.default_rng(0).integers(-2, 3, size=x[:, list(angles)].shape)
    )
    np.testing.assert_allclose(made.log_q(turned), log_q, atol=1e-9)


def test_density_has_the_norm_one_by_quadrature(backend: object) -> None:
    """∫ q over two angles, where the trapezoid rule converges as the square of the step at knots."""
    made = Made(backend, SPEC, 2, (1,), (0, 1))
    grid = -np.pi + 2 * np.pi * np.arange(240) / 240
    a, b = (g.reshape(-1, 1) for g in np.meshgrid(grid, grid))
    log_q = made.log_q(np.stack([a, b], axis=1))
    assert abs(np.exp(logsumexp(log_q)) * (2 * np.pi / 240) ** 2 - 1) < 2e-4
    assert np.ptp(log_q) > 0.5  # it is no uniform density


def test_density_of_an_angle_and_a_real_field_has_the_norm_one(backend: object) -> None:
    made = Made(backend, SPEC, 2, (1,), (0,))
    grid, line = -np.pi + 2 * np.pi * np.arange(120) / 120, np.linspace(-20, 20, 801)
    a, b = (g.reshape(-1, 1) for g in np.meshgrid(grid, line))
    log_q = made.log_q(np.stack([a, b], axis=1))
    assert abs(np.exp(logsumexp(log_q)) * (2 * np.pi / 120) * (line[1] - line[0]) - 1) < 1e-3


def test_relative_flows_are_invariant_under_rotations(backend: object) -> None:
    made = Made(backend, RELATIVE, 2, (4, 2), (0, 1))
    x, log_q = made.draw(30)
    alpha = np.random.default_rng(2).uniform(-9, 9, size=(30, 1, 1, 1))
    np.testing.assert_allclose(made.log_q(x + alpha), log_q, atol=1e-9)
    seen = Made(backend, SPEC, 2, (4, 2), (0, 1))
    x, log_q = seen.draw(30)
    assert np.abs(seen.log_q(x + alpha) - log_q).max() > 1e-3


def test_log_q_is_the_jacobian_of_the_map(backend: object) -> None:
    """By central differences of the noise → configuration map, whose uniform angles have density 1/2π."""
    made = Made(backend, SPEC, 2, (3,), (0,))
    z = np.random.default_rng(3).normal(size=(1, 2, 3))
    step = 1e-5
    unit = step * np.eye(6).reshape(6, 2, 3)
    forward = lambda n: made.arrays.to_numpy(  # noqa: E731
        made.flow.forward(made.weights, made.arrays.constant(n, "float64"))[0]
    ).reshape(len(n), -1)
    change = (forward(z + unit) - forward(z - unit) + np.pi) % (2 * np.pi) - np.pi
    jacobian = change / (2 * step)
    log_q = made.flow.forward(made.weights, made.arrays.constant(z, "float64"))[1]
    expected = -0.5 * (z**2).sum() - 3 * np.log(2 * np.pi) - np.linalg.slogdet(jacobian)[1]
    assert abs(float(made.arrays.to_numpy(log_q)[0]) - expected) < 1e-6


def test_backends_agree() -> None:
    """An angle and a real field, there and back."""
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    z = np.random.default_rng(6).normal(size=(20, 2, 2))
    found = []
    for name in ("torch", "jax"):
        used = load_backend(name)
        with used.scope("float64"):
            made = Made(used, SPEC, 2, (2,), (0,))
            forward, inverse = map(made.arrays.compiled, (made.flow.forward, made.flow.inverse))
            x, log_q = forward(made.weights, made.arrays.constant(z, "float64"))
            again = inverse(made.weights, x)[1]
            found.append([made.arrays.to_numpy(values) for values in (x, log_q, again)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_tables_name_the_angles_around() -> None:
    tables = CircularTables.of(0, 5, (0,), 1, (4, 4), None)
    assert tables.around_entry.shape == (8, 8)
    assert (tables.around_entry.sum(axis=1) == 4).all()
    alone = CircularTables.of(0, 1, (0,), 1, (1,), None)
    assert alone.around_entry.shape == (1, 0)


LATTICE = sd.Lattice(2)
THETA, ETA = sd.AngleField("theta", LATTICE), sd.AngleField("eta", LATTICE)


def test_folded_density_of_a_broken_group_has_the_norm_one() -> None:
    """log q(x) of a model with domain, modulation by shifts, and heat bath, integrated over both angles."""
    pytest.importorskip("torch")
    density = -sp.cos(THETA - THETA.shift(0)) - sp.cos(3 * THETA) - sp.cos(THETA) / 2
    theory = sd.Theory(
        "clock3",
        fields=[THETA],
        action=LATTICE.sum(density),
        symmetries=[groups.Dihedral(3, THETA)],
        precision="float64",
    )
    compiled = sd.compile(theory, backend="torch")
    run = compiled.train(steps=20, batch=64, flow=sd.CircularSpec(layers=2, hidden=(8,), bins=4), check=False)
    grid = -np.pi + 2 * np.pi * (np.arange(180) + 0.3) / 180
    x = np.stack([g.ravel() for g in np.meshgrid(grid, grid)], axis=1)[:, None]
    log_q = run.log_prob(x)
    assert abs(np.exp(logsumexp(log_q)) * (2 * np.pi / 180) ** 2 - 1) < 2e-3
    samples = run.sample(2000)
    exact = logsumexp(-compiled.action(x)) + 2 * np.log(2 * np.pi / 180)
    assert abs(samples.log_z.value - exact) < 4 * samples.log_z.error + 1e-6
    np.testing.assert_allclose(run.log_prob(samples.x[:50]), samples.log_q[:50], atol=1e-8)
    again = run.sample(100, seed=3)
    np.testing.assert_array_equal(again.x, run.sample(100, seed=3).x)


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "chart"},
        {"strategy": "penalty"},
        {"strategy": "canonicalize"},
        {"flows": 2},
        {"flow": sd.FlowSpec(layers=2, hidden=(4,))},
        {"flow": sd.BisectionSpec()},
    ],
)
def test_options_that_angles_do_not_have_are_refused(options: dict[str, object]) -> None:
    theory = sd.Theory("xy2", fields=[THETA], action=LATTICE.sum(-sp.cos(THETA - THETA.shift(0))))
    with pytest.raises(OptionError, match="angles"):
        sd.compile(theory, backend="torch").plan(**options)
    real = sd.ScalarField("phi", LATTICE)
    plain = sd.Theory("plain", fields=[real], action=LATTICE.sum(real**2))
    with pytest.raises(OptionError, match="real fields"):
        sd.compile(plain, backend="torch").plan(flow=SPEC)


def test_a_spec_checks_its_options() -> None:
    for wrong in ({"layers": 0}, {"kernel": 2}, {"hidden": (0,)}, {"bins": 1}, {"relative": 3}):
        with pytest.raises(OptionError):
            sd.CircularSpec(**wrong)
