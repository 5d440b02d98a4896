"""An annealing by another's code: ``adaptive_tempered_smc`` of blackjax on JAX."""

from __future__ import annotations

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.backend import load_backend

WALKERS, RUNS, WIDTH = 1000, 6, 2.0


def theory() -> sd.Theory:
    v = sd.VectorField("v", sd.Lattice(1), 3)
    action = (v[0] ** 2 - 1) ** 2 + (v[1] - v[0] ** 2) ** 2 + v[2] ** 2 + v[0] * v[2] / 2 + v[0] / 3
    return sd.Theory("curved", fields=[v], action=action, observables={"v0": v[0], "v1": v[1]})


def by_blackjax() -> list[tuple[float, np.ndarray]]:
    """(log Z, walkers (WALKERS, 3)) of some runs from a Gaussian prior of width WIDTH."""
    import blackjax
    import jax
    import jax.numpy as jnp
    from blackjax.smc import extend_params, resampling

    compiled = sd.compile(theory(), "jax", precision="float64")
    action = compiled.bind(compiled.parameter_values())["action"]

    def log_prior(x):
        return -0.5 * jnp.sum(x**2) / WIDTH**2 - 3 * jnp.log(WIDTH * jnp.sqrt(2 * jnp.pi))

    def log_likelihood(x):
        return -action(x.reshape(1, 3, 1))[0] - log_prior(x)

    sampler = blackjax.adaptive_tempered_smc(
        log_prior,
        log_likelihood,
        blackjax.hmc.build_kernel(),
        blackjax.hmc.init,
        extend_params({"step_size": 0.25, "inverse_mass_matrix": jnp.ones(3), "num_integration_steps": 6}),
        resampling.systematic,
        target_ess=0.8,
        num_mcmc_steps=5,
    )
    step, runs = jax.jit(sampler.step), []
    for seed in range(RUNS):
        key, first = jax.random.split(jax.random.key(seed))
        state, log_z = sampler.init(WIDTH * jax.random.normal(first, (WALKERS, 3))), 0.0
        while float(state.tempering_param) < 1:
            key, now = jax.random.split(key)
            state, info = step(now, state)
            log_z += float(info.log_likelihood_increment)
        runs.append((log_z, np.asarray(state.particles)))
    return runs


@pytest.mark.long
def test_log_z_and_means_agree_with_blackjax() -> None:
    pytest.importorskip("blackjax")
    with load_backend("jax").scope("float64"):
        runs = by_blackjax()
    annealed = sd.anneal(theory(), backend="jax", walkers=500, populations=4, progress=False)
    log_z = np.array([run[0] for run in runs])
    assert log_z.std() < 0.2
    error = np.hypot(log_z.std(ddof=1) / np.sqrt(RUNS), annealed.log_z_error)
    assert abs(log_z.mean() - annealed.log_z) < 5 * error  # five: its own error is of six runs only
    for name, column in {"v0": 0, "v1": 1}.items():
        means = np.array([run[1][:, column].mean() for run in runs])
        own = annealed.expect(name)
        assert abs(means.mean() - own.value) < 5 * np.hypot(means.std(ddof=1) / np.sqrt(RUNS), own.error)
