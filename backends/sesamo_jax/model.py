"""The trainable sampler in JAX: flow in the fundamental domain, law on the group, reverse KL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from sesamo_dsl.autoregressive import AutoregressiveSpec
from sesamo_dsl.backend import Draws, chunk_size
from sesamo_dsl.circle import CircleSpec
from sesamo_dsl.compiled import CompiledProgram
from sesamo_dsl.conditional import ConditionalSpec
from sesamo_dsl.couplings import Couplings, couplings_key
from sesamo_dsl.flow_spec import GaussianBase, check_state
from sesamo_dsl.modulation import preimages
from sesamo_dsl.orbits import OrbitLaw, circle, uniform_directions
from sesamo_dsl.training import BETAS, LEAKY, Law, TrainingOptions, jumps, wall_statistics

from .autoregressive import Autoregressive
from .circle import Circle
from .conditional import Conditional
from .flows import Flow
from .laws import draw, log_law, log_orbit_integral
from .mixture import Mixture
from .objectives import batch_ess, enumerated, excess, mixed, reinforced, walled, walls
from .sharing import shared
from .weights import Weights


class JaxModel:
    """Implements ``sesamo_dsl.backend.Model``."""

    def __init__(
        self,
        compiled: CompiledProgram,
        parameters: Couplings,
        base: GaussianBase,
        options: TrainingOptions,
    ) -> None:
        assert options.flow is not None
        assert options.law is not None
        assert options.strategy is not None
        self._facts, self._options = compiled.facts, options
        self._law: Law = options.law
        self._emitted = compiled.bind(parameters)
        self._constant = compiled.constant(parameters)
        has_walls = compiled.program.has_walls
        self._action = walled(self._emitted["action_and_gradient"]) if has_walls else self._emitted["action"]
        self._dtype = jnp.dtype(compiled.precision)
        self._shape = compiled.program.configuration_shape
        self._chunk = chunk_size(self._shape)
        program, facts = compiled.program, compiled.facts
        volume = math.prod(program.shape)
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
        # a chain needs a uniform for every block, and one to turn rows of blocks
        chain = options.law == "conditional" and facts.chained
        self._uniforms = ((self._sectors.blocks or 1) + 1,) if chain else self._sectors.law_shape
        self._plain = options.strategy == "none"  # a flow on the whole space: no domain, no slices, no law
        self._jumps = jumps(options, facts, self._sectors.count)
        self._orbit = OrbitLaw.of(facts, volume, parameters, options.law == "heat_bath")
        if self._plain:
            self._orbit = OrbitLaw("none", (), False)
        flow_dtype = jnp.dtype(options.flow_precision or compiled.precision)
        if options.flows > 1:
            flow = Mixture(options.flow, base, options.flows, dtype=flow_dtype, seed=options.seed)
        else:
            flow = Flow(options.flow, base, dtype=flow_dtype, seed=options.seed)
        conditional = None
        if options.law == "conditional":
            arguments = program, facts, base, options.strategy, parameters
            if facts.chained:
                chain = AutoregressiveSpec.of(*arguments)
                conditional = Autoregressive(chain, dtype=self._dtype, seed=options.seed)
            else:
                spec = ConditionalSpec.of(*arguments)
                conditional = Conditional(spec, dtype=self._dtype, seed=options.seed)
        turning = CircleSpec.of(options.law, program, facts, base, options.strategy)
        circle = None if turning is None else Circle(turning, dtype=self._dtype, seed=options.seed)
        # a learned law starts from the heat bath at the centre of the base
        centre = np.broadcast_to(base.mean.reshape(-1, *(1,) * len(base.shape)), self._shape)[None]
        logits = -self._breaking(jnp.asarray(centre, self._dtype))[:, 0]
        self._optimizer = optax.chain(optax.clip_by_global_norm(options.clip), optax.scale_by_adam(*BETAS))
        self._differentiated = eqx.filter_value_and_grad(self._loss, has_aux=True)
        point = compiled, base, couplings_key(parameters)
        # the flow does not know the law
        drawn = options.flow, options.flow_precision, options.flows, options.seed, options.strategy
        self._noises = shared((compiled, self._plain, self._uniforms), None, noise=self._noise)
        self._of_flow = shared((*point, drawn), flow, draw=self._draw_flow, log_flow=self._log_flow)
        weights = Weights(self._of_flow.alike(flow), logits, conditional, circle)
        self._of_model = shared(
            (*point, options),
            weights,
            step=self._update,
            gradient=self._differentiated,
            loss=self._loss,
            modulate=self._modulate,
            circle=self._on_circle,
            canonical=self._canonical,
        )
        self._weights = self._of_model.alike(weights)
        self._adam: Any = self._optimizer.init(self._weights.vectors())
        self._step = 0

    # the sampler -------------------------------------------------------------------------------------------

    def _noise(self, key: Array, count: int) -> tuple[Array, Array]:
        """Standard normal z and uniforms; compiled once for all that needs them."""
        normal, uniform = jax.random.split(key)
        # the same numbers without axes to unroll: XLA compiles them in a fifth of the time
        z = jax.random.normal(normal, (count * math.prod(self._shape),), self._dtype)
        z = z.reshape(count, *self._shape)
        each = (count,) if self._plain else (count, *self._uniforms)
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

    def _folded(self, z: Array) -> tuple[Array, float]:
        """Noise folded into Ω, and the log of what that adds to its density; one strategy alone does this."""
        if self._options.strategy != "canonicalize":
            return z, 0.0
        return self._emitted["canonicalize"](z)[0], math.log(self._sectors.count)

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

    def _log_density(self, flow: Flow | Mixture, w: Array, log_jacobian: Array) -> Array:
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
        shape = self._law_shape(y)
        name = "breaking" if self._sectors.joint else "breaking_by_block"
        if name not in self._emitted:
            return jnp.zeros(shape, y.dtype)
        return self._emitted[name](self._images(y, self._matrices)).reshape(shape)

    def _law_shape(self, y: Array) -> tuple[int, ...]:
        return len(self._matrices), len(y), *self._sectors.law_shape

    def _log_law(self, weights: Weights, y: Array) -> Array:
        """log p(u|y) of every u, of the shape of S₁(T_u y), which only the heat bath has to know."""
        if isinstance(weights.conditional, Conditional):
            return weights.conditional(self._images(y, self._matrices))
        breaking = self._breaking(y) if self._law == "heat_bath" else jnp.zeros(self._law_shape(y), y.dtype)
        return log_law(self._law, breaking, weights.logits)

    def _log_law_of(self, weights: Weights, y: Array, choice: Array) -> Array:
        """log p(u|y) of one u per configuration, (batch,); of a chain up to the heat bath of rows."""
        if isinstance(weights.conditional, Autoregressive):
            return weights.conditional.log_prob(y, choice, weights.logits)
        return _chosen(self._log_law(weights, y), choice)

    def _drawn(self, weights: Weights, y: Array, uniform: Array) -> tuple[Array, Array]:
        """One u per configuration from uniforms, and its :meth:`_log_law_of`; before rows are turned."""
        if isinstance(weights.conditional, Autoregressive):
            held: Any = jax.lax.stop_gradient(weights)
            choice = held.conditional.draw(jax.lax.stop_gradient(y), uniform, held.logits)
            return choice, weights.conditional.log_prob(y, choice, weights.logits)
        log_p = self._log_law(weights, y)
        choice = draw(jax.lax.stop_gradient(log_p), uniform)
        return choice, _chosen(log_p, choice)

    def _log_together(self, weights: Weights, x: Array) -> Array:
        """log Σ_h exp(S₁(x) − S₁(T_h x)) over what turns rows of blocks together, (batch,); 0 without."""
        log_p, shared = self._heat_of_rows(weights, x)
        return math.log(shared) - log_p[0]

    def _heat_of_rows(self, weights: Weights, x: Array) -> tuple[Array, int]:
        """(log of the heat bath of the elements that are summed over, how many each stands for)."""
        chain = weights.conditional
        if not isinstance(chain, Autoregressive) or chain.spec.together is None:
            return jnp.zeros((1, len(x)), x.dtype), 1
        summed = chain.spec.together.summed
        if len(summed) == 1:
            return jnp.zeros((1, len(x)), x.dtype), chain.spec.together.shared
        turns = jnp.repeat(jnp.asarray(summed), len(x), axis=0)
        turned = self._emitted["modulate"](jnp.tile(x, (len(summed), *[1] * len(self._shape))), turns)
        energy = self._emitted["breaking"](turned).reshape(len(summed), -1)
        return jax.nn.log_softmax(-energy, axis=0), chain.spec.together.shared

    def _turned_together(
        self, weights: Weights, x: Array, choice: Array, uniform: Array
    ) -> tuple[Array, Array]:
        """(u, log p(h|·)) with rows of blocks turned at random, by the last of the uniforms."""
        chain = weights.conditional
        if not isinstance(chain, Autoregressive) or chain.spec.together is None:
            return choice, jnp.zeros(len(x), x.dtype)
        log_p, shared = self._heat_of_rows(weights, x)
        log_p = jnp.tile(log_p, (shared, 1)) - math.log(shared)
        h = draw(log_p, uniform[:, -1])
        return chain.turned(choice, h), jnp.take_along_axis(log_p, h[None], axis=0)[0]

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

    def _energy(
        self, weights: Weights, y: Array, directions: list[Array], uniform: Array
    ) -> tuple[Array, Array | None, Array | None]:
        """E[S(x) + log p(u|·) + log p(n|·)] given y, (batch,), None, and None if it is summed over u.

        −log ∫ exp(−S) over group and orbits if both laws are exact. With REINFORCE: the same for one u, and
        its log p(u|·) at the end. Where the fold makes a part of it jump, that part comes second.
        """
        action = self._action
        if self._plain:
            return action(y), None, None
        if self._orbit.law == "von_mises":
            (radius,) = self._radii(y)
            kappa = self._orbit.strength * radius
            source_free = action(y) - self._emitted["breaking"](y)
            return source_free - log_orbit_integral(kappa, self._orbit.dimensions[0]), None, None
        if self._orbit.law == "tabulated":
            table = self._on_circle(y)
            source_free = action(y) - self._emitted["breaking"](y)
            integral = jax.nn.logsumexp(-table, axis=0) + math.log(2 * math.pi / len(table))
            return source_free - integral, None, None
        log_turned = jnp.full(len(y), -self._orbit.log_area, y.dtype)
        fixed = jax.lax.stop_gradient(y)
        if self._orbit.sampled:
            path = self._options.gradient == "path"
            turned, log_slope = self._turned(weights, y, directions, held=path)
            log_turned = log_turned - log_slope
            y = self._emitted["rotate"](y, *turned)
            if self._jumps:
                there = self._turned(weights, fixed, directions, held=False)[0]
                fixed = self._emitted["rotate"](fixed, *there)
        if self._jumps:
            smooth, jump, chosen = self._jumping(weights, y, fixed, uniform)
            return smooth + log_turned, jump, chosen
        if self._options.law_gradient == "enumerate":
            change = enumerated(self._breaking(y), self._log_law(weights, y))
            return action(y) + change + log_turned, None, None
        choice, chosen = self._drawn(weights, y, uniform)
        held = chosen
        if self._options.gradient == "path":
            held = self._log_law_of(jax.lax.stop_gradient(weights), y, choice)
        x = self._modulated(y, choice)[0]
        return action(x) - self._log_together(weights, x) + held + log_turned, None, chosen

    def _jumping(
        self, weights: Weights, y: Array, fixed: Array, uniform: Array
    ) -> tuple[Array, Array, Array | None]:
        """The energy as a part that is the same on all images of y and the rest, at y held fixed; log p(u|·).

        The first is that of the heat bath, or S₀ where there is no sum over all u.
        """
        action = self._action
        if self._facts.coupled:
            choice, chosen = self._drawn(weights, fixed, uniform)
            x = self._modulated(fixed, choice)[0]
            rest = chosen + self._emitted["breaking"](x) - self._log_together(weights, x)
            return action(y) - self._emitted["breaking"](y), self._weightless(rest), chosen
        breaking = self._breaking(y)
        smooth = action(y) + enumerated(breaking, log_law("heat_bath", breaking, weights.logits))
        log_heat = log_law("heat_bath", self._breaking(fixed), weights.logits)
        if self._options.law_gradient == "enumerate":
            return smooth, excess(self._log_law(weights, fixed), log_heat), None
        choice, chosen = self._drawn(weights, fixed, uniform)
        return smooth, self._weightless(chosen - _chosen(log_heat, choice)), chosen

    def _weightless(self, value: Array) -> Array:
        """Without the derivative by the weights of a density that was drawn from: it averages to zero."""
        return jax.lax.stop_gradient(value) if self._options.gradient == "path" else value

    def _turned(
        self, weights: Weights, y: Array, uniform: list[Array], held: bool
    ) -> tuple[list[Array], Array]:
        """Orientations from uniform ones, and the log of uniform density over theirs.

        ``held`` takes the density's weights as constants.
        """
        if weights.circle is None:
            return uniform, jnp.zeros(len(y), y.dtype)
        n, log_slope = weights.circle(y, uniform[0])
        if held:
            log_slope = jax.lax.stop_gradient(weights.circle).log_slope(y, n)
        return [n], log_slope

    # training ----------------------------------------------------------------------------------------------

    def _reverse(
        self, weights: Weights, noise: tuple[Array, Array], directions: list[Array]
    ) -> tuple[Array, Array, Array | None]:
        """(f with the gradient of its estimator, log w, how often each counts), (batch,) each."""
        o = self._options
        z, uniform = noise
        z, log_folded = self._folded(z)
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
        energy, jump, log_p = self._energy(weights, on_slice, directions, uniform)
        value = log_q + log_folded - log_measure + energy
        log_w = -jax.lax.stop_gradient(value if jump is None else value + jump)
        if jump is not None:
            score = self._log_density(
                weights.flow, jax.lax.stop_gradient(w), jax.lax.stop_gradient(log_jacobian)
            )
            score = score if log_p is None else score + log_p
            jump = reinforced(jump, score, baseline=not isinstance(weights.flow, Mixture))
        elif log_p is not None:
            value = reinforced(value, log_p)
        if o.strategy in LEAKY and self._sectors.count > 1:
            value = value + walls(self._emitted["facets"](y), o.penalty_height, o.penalty_slope)
        rest = 0.0 if jump is None else jump
        if not isinstance(weights.flow, Mixture):
            return value + rest, log_w, None
        shares = weights.flow.shares(z)
        held = jax.lax.stop_gradient(shares)
        return shares * value + held * rest, log_w, held

    def _loss(
        self,
        weights: Weights,
        noise: tuple[Array, Array],
        directions: list[Array],
        reference: tuple[Array, Array] | None,
    ) -> tuple[Array, Array]:
        """The objective on the noise of a step, to be differentiated, and the ESS of the batch."""
        value, log_w, shares = self._reverse(weights, noise, directions)
        log_q = None if reference is None else self._log_weighted(weights, *reference)
        return mixed(value, log_q, self._options.forward_weight or 0.0), batch_ess(log_w, shares)

    def _log_weighted(self, weights: Weights, x: Array, auxiliary: Array) -> Array:
        """log q(x) as far as it depends on the weights, (batch,)."""
        y, log_p, _ = self._canonical(weights, x)
        return log_p + self._log_flow(weights.flow, y, self._orbit.split(auxiliary))

    def _inputs(self, step: int, reference: np.ndarray | None) -> tuple[Any, ...]:
        """Noise, directions, and reference configurations with their auxiliary coordinates, for a step."""
        o = self._options
        noise = self._noises["noise"](self._key(o.seed, 1, step), o.batch)
        directions = self._uniform_directions(o.batch, o.seed, 3, step) if self._orbit.sampled else []
        if reference is None:
            return noise, directions, None
        auxiliary = self._orbit.auxiliary(len(reference), o.seed, 6, step)
        given = jnp.asarray(reference, self._dtype), jnp.asarray(auxiliary, self._dtype)
        return noise, directions, given

    def loss(self, step: int, reference: np.ndarray | None = None) -> float:
        """See ``Model.loss``."""
        loss = self._of_model["loss"](self._weights, *self._inputs(step, reference))[0]
        return float(loss) + self._constant

    def gradient(self, step: int, reference: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The estimate of the gradient that the noise of a step gives, by the names of the state."""
        return self._of_model["gradient"](self._weights, *self._inputs(step, reference))[1].state_arrays()

    def _update(
        self,
        weights: Weights,
        adam: Any,
        learning_rate: Array,
        noise: tuple[Array, Array],
        directions: list[Array],
        reference: tuple[Array, Array] | None,
    ) -> tuple[Weights, Any, dict[str, Array]]:
        (loss, ess), gradient = self._differentiated(weights, noise, directions, reference)
        slopes = gradient.vectors()
        norm = optax.tree.norm(slopes)
        updates, adam = self._optimizer.update(slopes, adam)
        moved = jax.tree.map(lambda w, u: w - learning_rate.astype(u.dtype) * u, weights.vectors(), updates)
        return weights.with_vectors(moved), adam, {"loss": loss, "ess": ess, "gradient_norm": norm}

    def step(self, learning_rate: float, reference: np.ndarray | None = None) -> Mapping[str, float]:
        """See ``Model.step``."""
        rate = jnp.asarray(learning_rate, self._dtype)
        self._weights, self._adam, metrics = self._of_model["step"](
            self._weights, self._adam, rate, *self._inputs(self._step, reference)
        )
        self._step += 1
        figures = {name: float(value) for name, value in metrics.items()}
        return {**figures, "loss": figures["loss"] + self._constant}

    # state -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """See ``Model.state``."""
        moments = self._adam[1]
        arrays = self._weights.state_arrays()
        for prefix, vectors in (("adam.mean.", moments.mu), ("adam.square.", moments.nu)):
            named = self._weights.with_vectors([np.asarray(vector) for vector in vectors])
            arrays |= named.state_arrays(prefix)
        return {**arrays, "step": np.array(self._step)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See ``Model.load_state``."""
        check_state({name: array.shape for name, array in self.state().items()}, state)

        def vectors(prefix: str) -> list[Array]:
            named = self._weights.with_state_arrays(state, prefix)
            return [jnp.asarray(vector) for vector in named.vectors(np)]

        self._step = int(state["step"])
        clip, moments, *rest = self._adam
        moments = moments._replace(
            count=jnp.asarray(self._step, moments.count.dtype),
            mu=vectors("adam.mean."),
            nu=vectors("adam.square."),
        )
        self._adam = (clip, moments, *rest)
        self._weights = self._weights.with_state_arrays(state)

    # use ---------------------------------------------------------------------------------------------------

    def _draw_flow(
        self, flow: Flow | Mixture, z: Array, choices: Array | None
    ) -> tuple[Array, Array, Array, Array, Array]:
        """One chunk on the slices: y, log q̃ − log Δ − log N(a), leaked, a and the shortfall."""
        z, log_folded = self._folded(z)
        if isinstance(flow, Mixture):
            assert choices is not None
            drawn = flow.draw(z, choices.reshape(len(z), -1)[:, 0])
            log_drawn = flow.inverse(drawn)[1]
        else:
            drawn, log_drawn = flow.forward(z)
        full, w, log_jacobian = self._in_domain(drawn)
        y, log_measure = self._on_slices(full)
        log_q = self._log_density(flow, w, log_jacobian)
        shortfall = jax.nn.relu(log_drawn - log_jacobian - log_q)
        log_q = log_q + log_folded - log_measure
        leaked = jnp.zeros(len(y), bool)
        if self._options.strategy in LEAKY:
            leaked = (self._emitted["facets"](y) > 0).any(axis=1)
        auxiliary = jnp.zeros((len(full), 0), full.dtype)
        if self._orbit.dimensions:
            auxiliary = jnp.concatenate(self._emitted["on_slice"](full)[1:], axis=1)
        return y, log_q, leaked, auxiliary, shortfall

    def _modulate(
        self, weights: Weights, y: Array, uniform: Array, directions: list[Array]
    ) -> tuple[Array, Array, Array, Array]:
        """x, log p(u|·), S(x) and u."""
        if self._plain:
            u = self._emitted["canonicalize"](y)[1]
            return y, jnp.zeros(len(y), y.dtype), self._emitted["action"](y), u
        log_slope = jnp.zeros(len(y), y.dtype)
        if self._orbit.dimensions:
            directions, log_slope = self._turned(weights, y, directions, held=False)
            y = self._emitted["rotate"](y, *directions)
        choice, log_p = self._drawn(weights, y, uniform)
        relative = self._modulated(y, choice)[0]
        choice, log_turn = self._turned_together(weights, relative, choice, uniform)
        x, u = self._modulated(y, choice)
        return x, log_p + log_turn - log_slope, self._emitted["action"](x), u

    def _orbit_inputs(self, y: Array) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(r of the slice, table of the circle) as far as the law needs them."""
        radius = np.asarray(self._radii(y)[0], np.float64) if self._orbit.law == "von_mises" else None
        if self._orbit.law != "tabulated":
            return radius, None
        return radius, np.asarray(self._of_model["circle"](y), np.float64)

    def sample(self, count: int, seed: int) -> Draws:
        """See ``Model.sample``."""
        parts = []
        for chunk in range(
            -(-count // self._chunk)
        ):  # one compiled shape: the last chunk is drawn whole and cut
            key = self._key(seed, 2, chunk)
            z, uniform = self._noises["noise"](key, self._chunk)
            choices = None
            if isinstance(
                self._weights.flow, Mixture
            ):  # which flow is drawn has nothing to do with which u is
                choices = self._noises["noise"](jax.random.fold_in(key, 7), self._chunk)[1]
            y, log_q, leaked, auxiliary, shortfall = self._of_flow["draw"](self._weights.flow, z, choices)
            inputs = self._orbit_inputs(y)
            directions = self._orbit.draw(np.random.default_rng([seed, 4, chunk]), len(y), *inputs)
            log_law_n = self._orbit.log_prob(directions, len(y), *inputs)
            turned = [jnp.asarray(n, self._dtype) for n in directions]
            x, log_p, action, u = self._of_model["modulate"](self._weights, y, uniform, turned)
            log_q = np.asarray(log_q) + np.asarray(log_p) + log_law_n.astype(self._dtype)
            parts.append([np.asarray(a) for a in (x, log_q, action, u, leaked, auxiliary, shortfall)])
        draws = Draws(*(np.concatenate(part)[:count] for part in zip(*parts, strict=True)))
        return draws.raised(self._constant)

    def _canonical(self, weights: Weights, x: Array) -> tuple[Array, Array, list[Array]]:
        if self._plain:
            return x, jnp.zeros(len(x), x.dtype), []
        y, u = self._emitted["canonicalize"](x)
        log_p = self._log_law_of(weights, y, self._choice(u)) - self._log_together(weights, x)
        directions: list[Array] = []
        if self._orbit.dimensions:
            y, *directions = self._emitted["unrotate"](y)
        if weights.circle is not None:
            log_p = log_p - weights.circle.log_slope(y, directions[0])
        return y, log_p, directions

    def _log_flow(self, flow: Flow | Mixture, y: Array, auxiliary: list[Array]) -> Array:
        if self._orbit.dimensions:
            y = self._emitted["off_slice"](y, *auxiliary)
        w, log_jacobian = self._coordinates(y)
        log_q = self._log_density(flow, w, log_jacobian) - self._on_slices(y)[1]
        if self._options.strategy != "canonicalize":
            return log_q
        z = flow.inverse(w)[0]
        assert z is not None
        outside = (self._emitted["facets"](z) > 0).any(axis=1)
        return jnp.where(outside, -jnp.inf, log_q + math.log(self._sectors.count))

    def log_prob(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
        """See ``Model.log_prob``."""
        if auxiliary is None:
            auxiliary = self._orbit.auxiliary(len(x))
        parts = []
        for start in range(0, len(x), self._chunk):
            chunk, rest = (self._padded(a[start : start + self._chunk]) for a in (x, auxiliary))
            y, log_p, directions = self._of_model["canonical"](self._weights, jnp.asarray(chunk, self._dtype))
            given = [jnp.asarray(a, self._dtype) for a in self._orbit.split(rest)]
            log_q = self._of_flow["log_flow"](self._weights.flow, y, given) + log_p
            arrays = [np.asarray(n, np.float64) for n in directions]
            log_law_n = self._orbit.log_prob(arrays, len(chunk), *self._orbit_inputs(y))
            parts.append(np.asarray(log_q) + log_law_n.astype(self._dtype))
        return np.concatenate(parts)[: len(x)]

    def _padded(self, rows: np.ndarray) -> np.ndarray:
        """The last row repeated up to one of few lengths, as every other one would be compiled again."""
        length = min(self._chunk, next(n for n in (16, 256, self._chunk) if n >= len(rows)))
        return np.concatenate([rows, np.repeat(rows[-1:], length - len(rows), axis=0)])


def _chosen(log_p: Array, choice: Array) -> Array:
    """The entries of one u per configuration, added over blocks, (batch,)."""
    return jnp.take_along_axis(log_p, choice[None], axis=0)[0].reshape(len(choice), -1).sum(axis=1)
