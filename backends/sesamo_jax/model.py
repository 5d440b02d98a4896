"""The trainable sampler in JAX: flow in the fundamental domain, law on the group, reverse KL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from sesamo_dsl.backend import Draws
from sesamo_dsl.compiler import CompiledTheory
from sesamo_dsl.flow_spec import GaussianBase
from sesamo_dsl.training import BETAS, TrainingOptions

from .flows import Flow
from .laws import draw, log_law

_CHUNK = 4096


class Weights(NamedTuple):
    """Everything that is trained."""

    flow: Flow
    logits: Array


class JaxModel:
    """Implements ``sesamo_dsl.backend.Model``."""

    def __init__(
        self,
        compiled: CompiledTheory,
        parameters: Mapping[str, float],
        base: GaussianBase,
        options: TrainingOptions,
    ) -> None:
        assert options.flow is not None and options.law is not None
        self._compiled, self._options, self._law = compiled, options, options.law
        self._emitted = compiled.bind(parameters)
        self._dtype = jnp.dtype(compiled.precision)
        self._shape = compiled.theory.configuration_shape
        self._matrices = jnp.asarray(compiled.program.constants["MATRICES"], self._dtype)
        flow = Flow(options.flow, base, dtype=self._dtype, seed=options.seed)
        self._weights = Weights(flow, jnp.zeros(len(self._matrices), self._dtype))
        self._optimizer = optax.chain(optax.clip_by_global_norm(options.clip), optax.scale_by_adam(*BETAS))
        self._adam = self._optimizer.init(eqx.filter(self._weights, eqx.is_array))
        self._step = 0
        self._compiled_step = eqx.filter_jit(self._update, donate="all")
        self._compiled_sample = eqx.filter_jit(self._sample)
        self._compiled_log_prob = eqx.filter_jit(self._log_prob)

    # the sampler -------------------------------------------------------------------------------------------

    def _noise(self, key: Array, count: int) -> tuple[Array, Array]:
        """Standard normal z and uniforms."""
        normal, uniform = jax.random.split(key)
        z = jax.random.normal(normal, (count, *self._shape), self._dtype)
        return z, jax.random.uniform(uniform, (count,), self._dtype)

    @staticmethod
    def _key(*seeds: int) -> Array:
        return jax.random.key(int(np.random.SeedSequence(seeds).generate_state(1)[0]))

    def _images(self, y: Array) -> Array:
        """T_u y for every u, (order·batch, components, *lattice)."""
        return jnp.einsum("gab,nb...->gna...", self._matrices, y).reshape(-1, *self._shape)

    def _in_domain(self, x: Array) -> Array:
        """Fold into Ω, or leave alone where the penalty has to do it."""
        return self._emitted["canonicalize"](x)[0] if self._options.strategy == "fold" else x

    def _log_density(self, flow: Flow, y: Array) -> Array:
        """log q̃(y): of the folded flow the sum over all pre-images of y."""
        if self._options.strategy == "penalty":
            return flow.inverse(y)[1]
        log_q = flow.inverse(self._images(y))[1]
        return jax.nn.logsumexp(log_q.reshape(len(self._matrices), -1), axis=0)

    def _breaking(self, y: Array) -> Array:
        """S₁(T_u y), (order, batch)."""
        if "breaking" not in self._emitted:
            return jnp.zeros((len(self._matrices), len(y)), y.dtype)
        return self._emitted["breaking"](self._images(y)).reshape(len(self._matrices), -1)

    def _energy(self, y: Array, logits: Array) -> Array:
        """E_u[S(T_u y) + log p(u|y)], (batch,): under the heat bath S_eff(y) = −log Σ_u exp(−S(T_u y))."""
        breaking = self._breaking(y)
        log_p = log_law(self._law, breaking, logits)
        return self._emitted["action"](y) - breaking[0] + (jnp.exp(log_p) * (log_p + breaking)).sum(axis=0)

    # training ----------------------------------------------------------------------------------------------

    def _loss(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        o = self._options
        x, log_q = weights.flow.forward(z)
        y = self._in_domain(x)
        if o.gradient == "path":
            # the flow's weights as constants: what is left of the gradient is the path derivative
            log_q = self._log_density(jax.lax.stop_gradient(weights.flow), y)
        elif o.strategy == "fold":
            log_q = self._log_density(weights.flow, y)
        loss = log_q + self._energy(y, weights.logits)
        log_w = -jax.lax.stop_gradient(loss)
        if o.strategy == "penalty" and len(self._matrices) > 1:
            facets = self._emitted["facets"](y)
            walls = jnp.where(facets > 0, jax.nn.sigmoid(o.penalty_slope * facets), 0.0)
            loss = loss + o.penalty_height * walls.sum(axis=1)
        return loss.mean(), log_w

    def _update(
        self, weights: Weights, adam: Any, key: Array, learning_rate: Array
    ) -> tuple[Weights, Any, dict[str, Array]]:
        z, _ = self._noise(key, self._options.batch)
        (loss, log_w), gradient = eqx.filter_value_and_grad(self._loss, has_aux=True)(weights, z)
        norm = optax.global_norm(gradient)
        updates, adam = self._optimizer.update(gradient, adam)
        weights = eqx.apply_updates(weights, jax.tree.map(lambda u: -learning_rate * u, updates))
        ess = jnp.exp(2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w)) / len(log_w)
        return weights, adam, {"loss": loss, "ess": ess, "gradient_norm": norm}

    def step(self, learning_rate: float) -> Mapping[str, float]:
        """See ``Model.step``."""
        key = self._key(self._options.seed, 1, self._step)
        rate = jnp.asarray(learning_rate, self._dtype)
        self._weights, self._adam, metrics = self._compiled_step(self._weights, self._adam, key, rate)
        self._step += 1
        return {name: float(value) for name, value in metrics.items()}

    # state -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """See ``Model.state``."""
        moments = self._adam[1]
        arrays = {
            **_named(self._weights, ""),
            **_named(moments.mu, "adam.mean."),
            **_named(moments.nu, "adam.square."),
        }
        return {**arrays, "step": np.array(self._step)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See ``Model.load_state``."""

        def loaded(weights: Weights, prefix: str) -> Weights:
            flow_prefix = f"{prefix}flow."
            flow = {n.removeprefix(flow_prefix): a for n, a in state.items() if n.startswith(flow_prefix)}
            logits = jnp.asarray(state[f"{prefix}law.logits"], self._dtype)
            return Weights(weights.flow.with_state_arrays(flow), logits)

        self._step = int(state["step"])
        self._weights = loaded(self._weights, "")
        clip, moments, *rest = self._adam
        moments = moments._replace(
            count=jnp.asarray(self._step, moments.count.dtype),
            mu=loaded(moments.mu, "adam.mean."),
            nu=loaded(moments.nu, "adam.square."),
        )
        self._adam = (clip, moments, *rest)

    # use ---------------------------------------------------------------------------------------------------

    def _sample(self, weights: Weights, key: Array) -> tuple[Array, ...]:
        z, uniform = self._noise(key, _CHUNK)
        y = self._in_domain(weights.flow.forward(z)[0])
        log_p = log_law(self._law, self._breaking(y), weights.logits)
        u = draw(log_p, uniform)
        x = self._emitted["modulate"](y, u)
        log_q = self._log_density(weights.flow, y) + jnp.take_along_axis(log_p, u[None], axis=0)[0]
        outside = (self._emitted["facets"](y) > 0).any(axis=1)
        leaked = outside if self._options.strategy == "penalty" else jnp.zeros_like(outside)
        return x, log_q, self._emitted["action"](x), u, leaked

    def sample(self, count: int, seed: int) -> Draws:
        """See ``Model.sample``."""
        chunks = -(-count // _CHUNK)  # one compiled shape: the last chunk is drawn whole and cut
        parts = [self._compiled_sample(self._weights, self._key(seed, 2, chunk)) for chunk in range(chunks)]
        return Draws(*(np.concatenate([np.asarray(p) for p in part])[:count] for part in zip(*parts, strict=True)))

    def _log_prob(self, weights: Weights, x: Array) -> Array:
        y, u = self._emitted["canonicalize"](x)
        log_p = log_law(self._law, self._breaking(y), weights.logits)
        return self._log_density(weights.flow, y) + jnp.take_along_axis(log_p, u[None], axis=0)[0]

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """See ``Model.log_prob``."""
        parts = [
            np.asarray(self._compiled_log_prob(self._weights, jnp.asarray(x[start : start + _CHUNK], self._dtype)))
            for start in range(0, len(x), _CHUNK)
        ]
        return np.concatenate(parts)


def _named(weights: Weights, prefix: str) -> dict[str, np.ndarray]:
    flow = {f"{prefix}flow.{name}": value for name, value in weights.flow.state_arrays().items()}
    return {**flow, f"{prefix}law.logits": np.array(weights.logits)}
