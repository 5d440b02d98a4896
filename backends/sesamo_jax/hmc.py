"""HMC by blackjax on the emitted action, all chains in one jitted scan, with moves drawn from the groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from blackjax.mcmc import hmc
from jax import Array

from sesamo_dsl.backend import EmittedProgram
from sesamo_dsl.plan.hmc import HMCOptions, Trajectories
from sesamo_dsl.values.couplings import Couplings

_BLOCK_MOVES = 8  # at most, after every trajectory
_JITTER = 0.2  # relative half-width of the step size's distribution


class _Tally(NamedTuple):
    """Acceptance probability of a trajectory, and whether it diverged; (chains,) each."""

    acceptance: Array
    divergent: Array


def moves(compiled: EmittedProgram, parameters: Couplings) -> Callable[[Array, Array], Array]:
    """(key, x) ↦ x: draws from the modulating groups for each chain, (chains, components, *lattice).

    Leaves exp(−S) invariant: see ``sesamo_dsl.estimates.hmc``.
    """
    emitted = compiled.bind(parameters)
    matrices = compiled.program.constants["MATRICES"]
    dimensions = compiled.facts.slice_dimensions

    def breaking(x: Array) -> Array:
        return emitted["breaking"](x) if "breaking" in emitted else jnp.zeros(len(x), x.dtype)

    def heat_bath(key: Array, x: Array) -> Array:
        images = jnp.einsum("gab,nb...->gna...", jnp.asarray(matrices, x.dtype), x)
        energy = breaking(images.reshape(-1, *x.shape[1:])).reshape(len(matrices), -1)
        u = jax.random.categorical(key, -energy, axis=0)
        return images[u, jnp.arange(len(x))]

    def rotation(key: Array, x: Array, which: int) -> Array:
        direction, threshold = jax.random.split(key)
        n = [jnp.tile(jnp.eye(1, d, dtype=x.dtype), (len(x), 1)) for d in dimensions]  # R(e_1) = 1
        normal = jax.random.normal(direction, n[which].shape, x.dtype)
        n[which] = normal / jnp.linalg.norm(normal, axis=1, keepdims=True)
        rotated = emitted["rotate"](x, *n)
        accepted = jnp.log(jax.random.uniform(threshold, (len(x),), x.dtype)) < breaking(x) - breaking(
            rotated
        )
        return jnp.where(accepted.reshape(-1, *[1] * (x.ndim - 1)), rotated, x)

    def block_moves(key: Array, x: Array) -> Array:
        """Metropolis steps that turn one random block each by a random element."""
        sectors = compiled.program.sectors
        blocks = sectors.blocks or 1

        def one(x: Array, key: Array) -> tuple[Array, None]:
            which, element, threshold = jax.random.split(key, 3)
            block = jax.random.randint(which, (len(x),), 0, blocks)
            g = jax.random.randint(element, (len(x),), 0, sectors.order)
            moved = emitted["modulate"](x, jax.nn.one_hot(block, blocks, dtype=g.dtype) * g[:, None])
            uniform = jax.random.uniform(threshold, (len(x),), x.dtype)
            accepted = jnp.log(uniform) < breaking(x) - breaking(moved)
            return jnp.where(accepted.reshape(-1, *[1] * (x.ndim - 1)), moved, x), None

        keys = jax.random.split(key, min(blocks, _BLOCK_MOVES))
        return jax.lax.scan(one, x, keys)[0]

    def move(key: Array, x: Array) -> Array:
        keys = jax.random.split(key, 1 + len(dimensions))
        if len(matrices) > 1:
            x = block_moves(keys[0], x) if compiled.program.blocks else heat_bath(keys[0], x)
        for which in range(len(dimensions)):
            x = rotation(keys[1 + which], x, which)
        return x

    return move


def log_densities(emitted: Mapping[str, Callable[..., Any]]) -> Callable[[Array], Array]:
    """log p up to a constant of one chain, (components, *lattice) → (), to be mapped over all of them.

    What maps it sees one call of the emitted function for all chains, not one for each: emitted code chooses
    its way by what is in the batch, and a choice that is mapped is computed in all its branches.
    """

    @jax.custom_batching.custom_vmap
    def evaluated(x: Array) -> tuple[Array, Array]:
        action, gradient = emitted["action_and_gradient"](x[None])
        return action[0], gradient[0]

    @evaluated.def_vmap
    def _(_size: int, _mapped: list[bool], x: Array) -> tuple[tuple[Array, Array], tuple[bool, bool]]:
        return emitted["action_and_gradient"](x), (True, True)

    @jax.custom_vjp
    def log_density(x: Array) -> Array:
        return -evaluated(x)[0]

    def forward(x: Array) -> tuple[Array, Array]:
        action, gradient = evaluated(x)
        return -action, gradient

    def backward(gradient: Array, adjoint: Array) -> tuple[Array]:
        return (-adjoint * gradient,)

    log_density.defvjp(forward, backward)
    return log_density


def sample(
    compiled: EmittedProgram, parameters: Couplings, initial: np.ndarray, options: HMCOptions
) -> Trajectories:
    """Run the chains; see ``Backend.hmc``."""
    emitted = compiled.bind(parameters)
    action, log_density = emitted["action"], log_densities(emitted)
    move = moves(compiled, parameters) if options.moves else lambda key, x: x
    dtype = jnp.dtype(options.precision)
    inverse_mass = jnp.ones(int(np.prod(initial.shape[1:])), dtype)
    kernel: Any = hmc.build_kernel()  # whose annotations do not know of tracing

    def transition(key: Array, x: Array, step_size: Array) -> tuple[Array, _Tally]:
        """One trajectory and the moves after it, for every chain."""
        jitter, trajectory, group = jax.random.split(key, 3)
        sizes = step_size * jax.random.uniform(jitter, (len(x),), dtype, 1 - _JITTER, 1 + _JITTER)

        def one(key: Array, x: Array, size: Array) -> tuple[Array, _Tally]:
            state = hmc.init(x, log_density)
            # an energy that is NaN has acceptance 0
            state, info = kernel(key, state, log_density, size, inverse_mass, options.steps)
            return state.position, _Tally(info.acceptance_rate, info.is_divergent)

        x, tally = jax.vmap(one)(jax.random.split(trajectory, len(x)), x, sizes)
        return move(group, x), tally

    start, update, final = dual_averaging_adaptation(options.target_acceptance)

    @jax.jit
    def warm_up(keys: Array, x: Array) -> tuple[Array, Array]:
        def body(carry, key):
            x, adaptation = carry
            size = jnp.exp(adaptation.log_step_size) if options.step_size is None else options.step_size
            x, tally = transition(key, x, jnp.asarray(size, dtype))
            # the mean over all chains: one step size for all, frozen afterwards
            return (x, update(adaptation, tally.acceptance.mean())), None

        (x, adaptation), _ = jax.lax.scan(body, (x, start(jnp.asarray(0.1, dtype))), keys)
        return x, final(adaptation)

    @jax.jit
    def run(keys: Array, x: Array, step_size: Array) -> tuple[Array, Array, _Tally]:
        def body(x, keys):
            x, tallies = jax.lax.scan(lambda x, key: transition(key, x, step_size), x, keys)
            return x, (x, action(x), tallies)

        return jax.lax.scan(body, x, keys)[1]

    warm, kept = jax.random.split(jax.random.key(options.seed))
    x = jnp.asarray(initial, dtype)
    step_size = jnp.asarray(options.step_size or 0.0, dtype)
    if options.warm_up:
        x, adapted = warm_up(jax.random.split(warm, options.warm_up), x)
        step_size = step_size if options.step_size else adapted
    keys = jax.random.split(kept, (options.trajectories, options.every))
    x, actions, tally = run(keys, x, step_size)
    return Trajectories(
        np.swapaxes(np.asarray(x), 0, 1),
        np.asarray(actions, np.float64).T + compiled.constant(parameters),
        float(tally.acceptance.mean()),
        int(tally.divergent.sum()),
        float(step_size),
    )
