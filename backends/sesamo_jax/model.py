"""The trainable sampler in JAX: flow in the fundamental domain, law on the group, reverse KL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from sesamo_dsl.backend import Draws, chunk_size
from sesamo_dsl.compiler import CompiledTheory
from sesamo_dsl.flow_spec import GaussianBase, check_state
from sesamo_dsl.modulation import preimages
from sesamo_dsl.orbits import OrbitLaw, circle, uniform_directions
from sesamo_dsl.training import BETAS, Law, TrainingOptions, wall_statistics

from .flows import Flow
from .laws import draw, log_law, log_orbit_integral


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
        assert options.flow is not None
        assert options.law is not None
        assert options.strategy is not None
        self._compiled, self._options = compiled, options
        self._law: Law = options.law
        self._emitted = compiled.bind(parameters)
        self._dtype = jnp.dtype(compiled.precision)
        self._shape = compiled.theory.configuration_shape
        self._chunk = chunk_size(self._shape)
        program = compiled.program
        self._sectors, self._blocks = program.sectors, program.blocks
        matrices, self._elements = program.constants["MATRICES"], None
        if self._blocks and self._sectors.joint:  # one matrix per block for every sector
            matrices = matrices[self._sectors.elements]
            self._elements = jnp.asarray(self._sectors.elements)
        self._matrices = jnp.asarray(matrices, self._dtype)
        self._wall = None
        if options.strategy == "chart" and "chart" in self._emitted:
            self._wall = tuple(jnp.asarray(values, self._dtype) for values in wall_statistics(program, base))
        self._preimages = jnp.asarray(preimages(program, options.strategy), self._dtype)
        self._orbit = OrbitLaw.of(compiled.analysis, parameters, options.law == "heat_bath")
        flow = Flow(options.flow, base, dtype=self._dtype, seed=options.seed)
        # a learned law starts from the heat bath at the centre of the base
        centre = np.broadcast_to(base.mean.reshape(-1, *(1,) * len(base.shape)), self._shape)[None]
        self._weights = Weights(flow, -self._breaking(jnp.asarray(centre, self._dtype))[:, 0])
        self._optimizer = optax.chain(optax.clip_by_global_norm(options.clip), optax.scale_by_adam(*BETAS))
        self._adam: Any = self._optimizer.init(eqx.filter(self._weights, eqx.is_array))
        self._step = 0
        self._compiled_step = eqx.filter_jit(self._update, donate="all")
        self._compiled_draw = eqx.filter_jit(self._draw_flow)
        self._compiled_modulate = eqx.filter_jit(self._modulate)
        self._compiled_circle = eqx.filter_jit(self._on_circle)
        self._compiled_canonical = eqx.filter_jit(self._canonical)
        self._compiled_log_flow = eqx.filter_jit(self._log_flow)

    # the sampler -------------------------------------------------------------------------------------------

    def _noise(self, key: Array, count: int) -> tuple[Array, Array]:
        """Standard normal z and uniforms."""
        normal, uniform = jax.random.split(key)
        z = jax.random.normal(normal, (count, *self._shape), self._dtype)
        each = (count, *self._sectors.law_shape)
        return z, jax.random.uniform(uniform, each, self._dtype)

    @staticmethod
    def _key(*seeds: int) -> Array:
        return jax.random.key(int(np.random.SeedSequence(seeds).generate_state(1)[0]))

    def _uniform_directions(self, count: int, *seeds: int) -> list[Array]:
        rng = np.random.default_rng(seeds)
        return [jnp.asarray(uniform_directions(rng, count, n), self._dtype) for n in self._orbit.dimensions]

    def _images(self, y: Array, matrices: Array) -> Array:
        """M y for every matrix, or for one matrix per block, (matrices·batch, components, *lattice)."""
        if matrices.ndim == 3:
            return jnp.einsum("gab,nb...->gna...", matrices, y).reshape(-1, *self._shape)
        extents = [n if mu in self._blocks else 1 for mu, n in enumerate(self._shape[1:])]
        per_site = jnp.moveaxis(matrices, 1, -1).reshape(len(matrices), 1, *matrices.shape[2:], *extents)
        return (per_site * y[None, :, None]).sum(axis=3).reshape(-1, *self._shape)

    def _in_domain(self, x: Array) -> tuple[Array, Array, Array]:
        """(y, w, log|dy/dw|): y in the domain, w where the flow's density is to be asked for.

        Folded into Ω, charted onto it, or left alone where the penalty has to do it; slices always point
        forward. Densities are taken at w and not at y, whose distance from a wall may be lost in rounding.
        """
        if self._options.strategy == "fold":
            x = self._emitted["canonicalize"](x)[0]
        w = self._emitted["orient"](x)[0] if self._orbit.dimensions else x
        if self._wall is None:
            return w, w, jnp.zeros(len(w), w.dtype)
        y, log_jacobian = self._emitted["chart"](w, *self._wall)
        return y, w, log_jacobian

    def _coordinates(self, y: Array) -> tuple[Array, Array]:
        """(w, log|dy/dw|) of y in the domain."""
        if self._wall is None:
            return y, jnp.zeros(len(y), y.dtype)
        w, log_jacobian = self._emitted["unchart"](y, *self._wall)
        return w, log_jacobian

    def _log_density(self, flow: Flow, w: Array, log_jacobian: Array) -> Array:
        """log q̃(y): of the folded flow the sum over all pre-images."""
        if len(self._preimages) == 1:
            return flow.inverse(w)[1] - log_jacobian
        log_q = flow.inverse(self._images(w, self._preimages))[1]
        return jax.nn.logsumexp(log_q.reshape(len(self._preimages), -1), axis=0) - log_jacobian

    def _on_slices(self, y: Array) -> tuple[Array, Array]:
        """(y on the slices, log Δ + log N(a)): what auxiliary coordinates and orbits add to the target."""
        if not self._orbit.dimensions:
            return y, jnp.zeros(len(y), y.dtype)
        on_slice, *auxiliary = self._emitted["on_slice"](y)
        total = self._emitted["log_faddeev_popov"](on_slice)
        for a in auxiliary:
            total = total - 0.5 * (a**2 + math.log(2 * math.pi)).sum(axis=1)
        return on_slice, total

    def _breaking(self, y: Array) -> Array:
        """S₁(T_u y), (sectors, batch), or for each block its part of it, (elements, batch, blocks)."""
        shape = (len(self._matrices), len(y), *self._sectors.law_shape)
        name = "breaking" if self._sectors.joint else "breaking_by_block"
        if name not in self._emitted:
            return jnp.zeros(shape, y.dtype)
        return self._emitted[name](self._images(y, self._matrices)).reshape(shape)

    def _log_law_of(self, log_p: Array, choice: Array) -> Array:
        """log p(u|y) of one u per configuration, (batch,)."""
        return jnp.take_along_axis(log_p, choice[None], axis=0)[0].reshape(len(choice), -1).sum(axis=1)

    def _modulated(self, y: Array, choice: Array) -> tuple[Array, Array]:
        """(x, u) from what was drawn: u itself, or the number of a sector of all blocks."""
        u = choice if self._elements is None else self._elements[choice]
        return self._emitted["modulate"](y, u), u

    def _choice(self, u: Array) -> Array:
        """What would have been drawn for u."""
        if self._elements is None:
            return u
        places = self._sectors.order ** jnp.arange(u.shape[1] - 1, -1, -1)
        return (u * places).sum(axis=1)

    def _radii(self, y: Array) -> tuple[Array, ...]:
        radii = self._emitted["radii"](y)
        return radii if isinstance(radii, tuple) else (radii,)

    def _on_circle(self, y: Array) -> Array:
        """−log Σ_u exp(−S₁(T_u R(n) y)) for n on the nodes of the circle, (nodes, batch)."""
        nodes = jnp.asarray(circle(), y.dtype)
        turned = self._emitted["rotate"](
            jnp.tile(y, (len(nodes), *[1] * len(self._shape))), jnp.repeat(nodes, len(y), axis=0)
        )
        return -jax.nn.logsumexp(-self._breaking(turned), axis=0).reshape(len(nodes), -1)

    def _energy(self, y: Array, logits: Array, directions: list[Array]) -> Array:
        """E[S(x) + log p(u|·) + log p(n|·)] given y, (batch,).

        −log ∫ exp(−S) over group and orbits if both laws are exact.
        """
        if self._orbit.law == "von_mises":
            (radius,) = self._radii(y)
            kappa = self._orbit.strength * radius
            source_free = self._emitted["action"](y) - self._emitted["breaking"](y)
            return source_free - log_orbit_integral(kappa, self._orbit.dimensions[0])
        if self._orbit.law == "tabulated":
            table = self._on_circle(y)
            source_free = self._emitted["action"](y) - self._emitted["breaking"](y)
            return source_free - jax.nn.logsumexp(-table, axis=0) - math.log(2 * math.pi / len(table))
        if self._orbit.sampled:
            y = self._emitted["rotate"](y, *directions)
        breaking = self._breaking(y)
        log_p = log_law(self._law, breaking, logits)
        change = (jnp.exp(log_p) * (log_p + breaking)).sum(axis=0) - breaking[0]
        return self._emitted["action"](y) + change.reshape(len(y), -1).sum(axis=1) - self._orbit.log_area

    # training ----------------------------------------------------------------------------------------------

    def _loss(self, weights: Weights, z: Array, directions: list[Array]) -> tuple[Array, Array]:
        o = self._options
        x, log_q = weights.flow.forward(z)
        y, w, log_jacobian = self._in_domain(x)
        if o.gradient == "path":
            # the flow's weights as constants: what is left of the gradient is the path derivative
            log_q = self._log_density(jax.lax.stop_gradient(weights.flow), w, log_jacobian)
        elif len(self._preimages) > 1:
            log_q = self._log_density(weights.flow, w, log_jacobian)
        else:
            log_q = log_q - log_jacobian
        on_slice, log_measure = self._on_slices(y)
        loss = log_q - log_measure + self._energy(on_slice, weights.logits, directions)
        log_w = -jax.lax.stop_gradient(loss)
        if o.strategy == "penalty" and self._sectors.count > 1:
            facets = self._emitted["facets"](y)
            walls = jnp.where(facets > 0, jax.nn.sigmoid(o.penalty_slope * facets), 0.0)
            loss = loss + o.penalty_height * walls.sum(axis=1)
        return loss.mean(), log_w

    def _update(
        self, weights: Weights, adam: Any, key: Array, learning_rate: Array, directions: list[Array]
    ) -> tuple[Weights, Any, dict[str, Array]]:
        z, _ = self._noise(key, self._options.batch)
        (loss, log_w), gradient = eqx.filter_value_and_grad(self._loss, has_aux=True)(weights, z, directions)
        norm = optax.tree.norm(gradient)
        updates, adam = self._optimizer.update(gradient, adam)
        weights = eqx.apply_updates(weights, jax.tree.map(lambda u: -learning_rate * u, updates))
        ess = jnp.exp(2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w)) / len(log_w)
        return weights, adam, {"loss": loss, "ess": ess, "gradient_norm": norm}

    def step(self, learning_rate: float) -> Mapping[str, float]:
        """See ``Model.step``."""
        key = self._key(self._options.seed, 1, self._step)
        rate = jnp.asarray(learning_rate, self._dtype)
        o = self._options
        directions = self._uniform_directions(o.batch, o.seed, 3, self._step) if self._orbit.sampled else []
        self._weights, self._adam, metrics = self._compiled_step(
            self._weights, self._adam, key, rate, directions
        )
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
        check_state({name: array.shape for name, array in self.state().items()}, state)

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

    def _draw_flow(self, weights: Weights, key: Array) -> tuple[Array, ...]:
        """One chunk on the slices: y, log q̃ − log Δ − log N(a), leaked, a, and what the orbit law needs."""
        z, uniform = self._noise(key, self._chunk)
        full, w, log_jacobian = self._in_domain(weights.flow.forward(z)[0])
        y, log_measure = self._on_slices(full)
        log_q = self._log_density(weights.flow, w, log_jacobian) - log_measure
        outside = (self._emitted["facets"](y) > 0).any(axis=1)
        leaked = outside if self._options.strategy == "penalty" else jnp.zeros_like(outside)
        auxiliary = jnp.zeros((len(full), 0), full.dtype)
        if self._orbit.dimensions:
            auxiliary = jnp.concatenate(self._emitted["on_slice"](full)[1:], axis=1)
        return y, log_q, leaked, auxiliary, uniform

    def _modulate(
        self, weights: Weights, y: Array, uniform: Array, directions: list[Array]
    ) -> tuple[Array, Array, Array, Array]:
        """x, log p(u|·), S(x) and u."""
        if self._orbit.dimensions:
            y = self._emitted["rotate"](y, *directions)
        log_p = log_law(self._law, self._breaking(y), weights.logits)
        choice = draw(log_p, uniform)
        x, u = self._modulated(y, choice)
        return x, self._log_law_of(log_p, choice), self._emitted["action"](x), u

    def _orbit_inputs(self, y: Array) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(r of the slice, table of the circle) as far as the law needs them."""
        radius = np.asarray(self._radii(y)[0], np.float64) if self._orbit.law == "von_mises" else None
        table = np.asarray(self._compiled_circle(y), np.float64) if self._orbit.law == "tabulated" else None
        return radius, table

    def sample(self, count: int, seed: int) -> Draws:
        """See ``Model.sample``."""
        parts = []
        for chunk in range(
            -(-count // self._chunk)
        ):  # one compiled shape: the last chunk is drawn whole and cut
            y, log_q, leaked, auxiliary, uniform = self._compiled_draw(
                self._weights, self._key(seed, 2, chunk)
            )
            inputs = self._orbit_inputs(y)
            directions = self._orbit.draw(np.random.default_rng([seed, 4, chunk]), len(y), *inputs)
            log_law_n = self._orbit.log_prob(directions, len(y), *inputs)
            turned = [jnp.asarray(n, self._dtype) for n in directions]
            x, log_p, action, u = self._compiled_modulate(self._weights, y, uniform, turned)
            log_q = np.asarray(log_q) + np.asarray(log_p) + log_law_n.astype(self._dtype)
            parts.append([np.asarray(a) for a in (x, log_q, action, u, leaked, auxiliary)])
        return Draws(*(np.concatenate(part)[:count] for part in zip(*parts, strict=True)))

    def _canonical(self, weights: Weights, x: Array) -> tuple[Array, Array, list[Array]]:
        y, u = self._emitted["canonicalize"](x)
        log_p = log_law(self._law, self._breaking(y), weights.logits)
        directions: list[Array] = []
        if self._orbit.dimensions:
            y, *directions = self._emitted["unrotate"](y)
        return y, self._log_law_of(log_p, self._choice(u)), directions

    def _log_flow(self, weights: Weights, y: Array, auxiliary: list[Array]) -> Array:
        if self._orbit.dimensions:
            y = self._emitted["off_slice"](y, *auxiliary)
        return self._log_density(weights.flow, *self._coordinates(y)) - self._on_slices(y)[1]

    def log_prob(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
        """See ``Model.log_prob``."""
        if auxiliary is None:
            auxiliary = self._orbit.auxiliary(len(x))
        parts = []
        for start in range(0, len(x), self._chunk):
            chunk = jnp.asarray(x[start : start + self._chunk], self._dtype)
            y, log_p, directions = self._compiled_canonical(self._weights, chunk)
            given = [
                jnp.asarray(a, self._dtype) for a in self._orbit.split(auxiliary[start : start + self._chunk])
            ]
            log_q = self._compiled_log_flow(self._weights, y, given) + log_p
            arrays = [np.asarray(n, np.float64) for n in directions]
            log_law_n = self._orbit.log_prob(arrays, len(chunk), *self._orbit_inputs(y))
            parts.append(np.asarray(log_q) + log_law_n.astype(self._dtype))
        return np.concatenate(parts)


def _named(weights: Weights, prefix: str) -> dict[str, np.ndarray]:
    flow = {f"{prefix}flow.{name}": value for name, value in weights.flow.state_arrays().items()}
    return {**flow, f"{prefix}law.logits": np.array(weights.logits)}
