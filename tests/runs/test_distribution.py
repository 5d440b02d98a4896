"""A run as a distribution of its framework: its norm, its samples, its gradients, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

import sesamo_dsl as sd
from sesamo_dsl.errors import BackendError, OptionError
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.gaussian_mixture import gaussian_mixture
from support import ScaledFlow, shaken, untrained_run

PLAIN = sd.FlowSpec(layers=1, hidden=(3,), kernel=1, zero_mode=False)
SCALED = "scaled_for_a_distribution"  # compiles in less time
sd.register_flow(SCALED, ScaledFlow)


@cache
def run(name: str, backend: str, **options: Any) -> sd.Run:
    theory, given = {
        "mixture": (lambda: gaussian_mixture(4, 3), {"parameters": {"h": 0.1}, "flows": 2}),
        "circle": (lambda: complex_phi4(2), {"parameters": {"h": 0.5}}),
    }[name]
    precision = options.pop("precision", None)
    compiled = sd.compile(theory(), backend, precision=precision)
    made = untrained_run(compiled, **{**given, "flow": PLAIN, **options})
    shaken(made.model, size=0.1)
    return made


def grid(points: int, bound: float) -> tuple[np.ndarray, float]:
    """Configurations of the plane, (points², 2, 1), and the area of each."""
    axis, step = np.linspace(-bound, bound, points, retstep=True)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2, 1), float(step) ** 2


def test_torch_has_the_density_of_its_samples() -> None:
    q = run("mixture", "torch").distribution()
    assert isinstance(q, torch.distributions.Distribution)
    assert (q.event_shape, q.batch_shape, q.has_rsample) == ((2, 1), (), False)
    x, area = grid(161, 9)
    log_q = q.log_prob(torch.as_tensor(x))
    assert float(log_q.double().exp().sum()) * area == pytest.approx(1, abs=2e-3)
    np.testing.assert_array_equal(log_q.numpy(), run("mixture", "torch").log_prob(x))

    torch.manual_seed(3)
    first = q.sample((2, 3))
    torch.manual_seed(3)
    assert torch.equal(first, q.sample(torch.Size([2, 3])))
    assert not torch.equal(first, q.sample((2, 3)))
    assert q.log_prob(first).shape == (2, 3)
    assert q.sample().shape == (2, 1)
    assert q.log_prob(q.sample()).shape == ()
    assert q.sample((0,)).shape == (0, 2, 1)
    own = run("mixture", "torch").model.sample(3000, 2).x.reshape(3000, 2)
    drawn = q.sample((3000,)).reshape(3000, 2).numpy()
    for direction in ([1, 0], [0, 1], [1, 1]):
        assert ks_2samp(drawn @ direction, own @ direction).pvalue > 1e-5


def test_torch_differentiates_and_validates(monkeypatch: pytest.MonkeyPatch) -> None:
    q = run("mixture", "torch", precision="float64").distribution()
    x = q.sample((4,)).requires_grad_()
    assert x.dtype == torch.float64
    slope = torch.autograd.grad(q.log_prob(x).sum(), x)[0]
    step = 1e-6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    change = (q.log_prob(x + step) - q.log_prob(x - step)) / 2
    np.testing.assert_allclose(change.detach(), (slope * step).sum(dim=(1, 2)), rtol=1e-4, atol=1e-11)
    with torch.no_grad():
        assert not q.log_prob(x).requires_grad
    for wrong in (torch.zeros(4, 2, 2), torch.full((4, 2, 1), torch.nan), torch.zeros(2)):
        with pytest.raises(ValueError, match=r"shape|support|event|expected real numbers, \(…, 2, 1\)"):
            q.log_prob(wrong)
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)  # as some libraries do
    assert run("mixture", "torch").distribution()._validate_args
    q._validate_args = False
    for wrong in (torch.zeros(4, 1, 2), torch.zeros(4, 2, 1, dtype=torch.complex64)):
        with pytest.raises(ValueError, match="expected real numbers"):
            q.log_prob(wrong)


def test_what_was_handed_out_does_not_change_with_the_run() -> None:
    trained = run("mixture", "torch", seed=4)
    q, x = trained.distribution(), trained.model.sample(5).x
    before = q.log_prob(torch.as_tensor(x))
    shaken(trained.model, seed=9)
    assert torch.equal(before, q.log_prob(torch.as_tensor(x)))
    assert not np.allclose(before, trained.log_prob(x))


def test_the_auxiliary_coordinate_is_integrated_out() -> None:
    """The mean of exp(log q(x, a) − log N(a)) over a ~ N(0, 1) is q(x)."""
    trained = run("circle", "torch", precision="float64", flow=replace(PLAIN, zero_mode=True))
    q, x = trained.distribution(), trained.model.sample(6).x
    a = np.random.default_rng(0).normal(size=(6, 20_000, 1))
    every = np.repeat(x, 20_000, axis=0)
    terms = np.exp(trained.model.log_prob(every, a.reshape(-1, 1))).reshape(6, -1)
    error = terms.std(axis=1) / np.sqrt(20_000)
    exact = q.log_prob(torch.as_tensor(x)).exp().numpy()
    assert (error < 0.05 * exact).all()
    assert (np.abs(terms.mean(axis=1) - exact) < 5 * error).all()


def test_jax_compiles_differentiates_and_maps() -> None:
    trained = run("circle", "jax", flow=SCALED)
    q = trained.distribution()
    assert (q.event_shape, q.batch_shape) == ((2, 2), ())
    sample = jax.jit(jax.vmap(lambda key: q.sample(key, (2,))))
    keys = jax.random.split(jax.random.key(1), 1000)
    many = sample(keys)
    assert many.shape == (1000, 2, 2, 2)
    assert len(np.unique(np.asarray(many))) == many.size
    np.testing.assert_array_equal(many[::-1], sample(keys[::-1]))
    x = many[:3]
    log_prob = jax.jit(q.log_prob)
    log_q = log_prob(x)
    assert log_q.shape == (3, 2)
    one_by_one, slope = jax.jit(jax.vmap(jax.value_and_grad(q.log_prob)))(x.reshape(6, 2, 2))
    np.testing.assert_allclose(one_by_one.reshape(3, 2), log_q, rtol=2e-5, atol=2e-5)
    slope = slope.reshape(x.shape)
    step = 1e-2 * jnp.sign(slope)
    change = (log_prob(x + step) - log_prob(x - step)) / 2
    np.testing.assert_allclose(change, (slope * step).sum(axis=(2, 3)), rtol=2e-2, atol=1e-4)
    # the same weights on the other backend
    other = run("circle", "torch", flow=SCALED).distribution()
    np.testing.assert_allclose(other.log_prob(torch.tensor(np.asarray(x))), log_q, rtol=1e-4, atol=1e-4)
    # and the samples are those of the model: the angle of their sum, and its length
    drawn = np.asarray(many).reshape(2000, 2, 2).mean(axis=2)
    own = trained.model.sample(2000).x.mean(axis=2)
    for f in (lambda m: np.arctan2(m[:, 1], m[:, 0]), lambda m: (m**2).sum(axis=1)):
        assert ks_2samp(f(drawn), f(own)).pvalue > 1e-5
    for wrong in (x[..., :1], x + 1j):
        with pytest.raises(ValueError, match="expected real numbers"):
            q.log_prob(wrong)


def test_what_has_no_density_is_refused() -> None:
    with pytest.raises(OptionError, match="penalty, whose samples may leak"):
        run("mixture", "torch", strategy="penalty", flows=1).distribution()
    lattice = sd.Lattice(2)
    phi = sd.VectorField("phi", lattice, 3)
    theory = sd.Theory("rotor", fields=[phi], action=lattice.sum(phi.squared), symmetries=[sd.SO(phi)])
    three = untrained_run(sd.compile(theory), flow=PLAIN)
    with pytest.raises(OptionError, match="2 coordinates that complete the slices"):
        three.distribution()
    wide = run("mixture", "jax", precision="float64").distribution()
    with pytest.raises(BackendError, match="jax_enable_x64"):
        wide.log_prob(np.zeros((2, 1)))
