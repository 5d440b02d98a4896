"""The trainable sampler in JAX: random numbers, compilation, Adam and the layout of the state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from sesamo_dsl.backend import Draws, EmittedProgram
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.flows.weights import check_state
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.sampler import SamplerModel
from sesamo_dsl.sampler.objectives import above_walls
from sesamo_dsl.training.schedule import BETAS
from sesamo_dsl.values.couplings import Couplings, couplings_key
from sesamo_dsl.values.precision import Precision

from .arrays import JaxArrays
from .scope import scoped
from .sharing import shared
from .weights import Layout

# Lengths of batches beside the chunk: a function is compiled anew for every length.
_LENGTHS = (16, 256)


def _walled(
    arrays: JaxArrays, action_and_gradient: Callable[[Array], tuple[Array, Array]]
) -> Callable[[Array], Array]:
    """S(x), finite, with the emitted gradient as its derivative, which leads out of a wall."""

    @jax.custom_vjp
    def action(x: Array) -> Array:
        return above_walls(arrays, action_and_gradient(x)[0])

    def forward(x: Array) -> tuple[Array, Array]:
        value, gradient = action_and_gradient(x)
        return above_walls(arrays, value), gradient

    def backward(gradient: Array, adjoint: Array) -> tuple[Array]:
        return (adjoint.reshape(-1, *(1,) * (gradient.ndim - 1)) * gradient,)

    action.defvjp(forward, backward)
    return action


def widest(compiled: EmittedProgram, plan: Plan) -> Precision:
    """The precision that JAX has to be able to compute in: that of the theory or of the flow."""
    return "float64" if "float64" in (compiled.precision, plan.flow_precision) else "float32"


class JaxModel(SamplerModel):
    """Implements ``sesamo_dsl.backend.Model``."""

    weights: dict[str, Array]

    def __init__(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> None:
        self.scope_precision = widest(compiled, plan)
        emitted = compiled.bind(parameters)
        arrays, action = JaxArrays(), emitted["action"]
        if compiled.program.has_walls:
            action = _walled(arrays, emitted["action_and_gradient"])
        super().__init__(arrays, compiled, emitted, action, parameters, base, plan)
        self._dtype = jnp.dtype(compiled.precision)
        sampler = self.sampler
        state = sampler.initial_state()
        self._layout = Layout(state)
        flow_dtype = plan.flow_precision or compiled.precision
        self.weights = {
            name: jnp.asarray(values, flow_dtype if name.startswith("flow.") else compiled.precision)
            for name, values in state.items()
        }
        self._optimizer = optax.chain(optax.clip_by_global_norm(plan.clip), optax.scale_by_adam(*BETAS))
        self._differentiated = jax.value_and_grad(sampler.objective, has_aux=True)
        point = compiled, base, couplings_key(parameters)
        # the flow does not know the law
        of_flow = plan.flow, plan.flow_precision, plan.flows, plan.seed, plan.strategy
        drawing = shared((*point, of_flow), draw_flow=sampler.draw_flow, log_flow=sampler.log_flow)
        others = shared(
            (*point, plan),
            modulate=sampler.modulate,
            table=sampler.table,
            canonical=sampler.canonical,
            objective=sampler.objective,
            gradient=self._differentiated,
            step=self._update,
        )
        noises = shared((compiled, sampler.shape, sampler.uniforms), noise=self._drawn)
        self._shared = {"draw_flow": drawing, "log_flow": drawing, "noise": noises}, others
        self._adam: Any = self._optimizer.init(self._layout.vectors(self.weights))
        self._step = 0

    def compiled(self, name: str) -> Any:
        """A jitted function by name; models that differ in their weights alone share it."""
        special, others = self._shared
        return special.get(name, others)[name]

    def _call(self, stage: str, *arguments: Any) -> Any:
        if stage in ("draw_flow", "log_flow"):  # shared by models with other laws, whose weights differ
            weights, *rest = arguments
            of_flow = {name: value for name, value in weights.items() if name.startswith("flow.")}
            arguments = (of_flow, *rest)
        return self.compiled(stage)(*arguments)

    def _drawn_for(self, count: int) -> int:
        return self._chunk

    def _padded_to(self, count: int) -> int:
        return min(self._chunk, next(n for n in (*_LENGTHS, self._chunk) if n >= count))

    @staticmethod
    def _key(*seeds: int) -> Array:
        return jax.random.key(int(np.random.SeedSequence(seeds).generate_state(1)[0]))

    def _drawn(self, key: Array, count: int) -> tuple[Array, Array]:
        normal, uniform = jax.random.split(key)
        # the same numbers without axes to unroll: XLA compiles them in a fifth of the time
        shape, each = self.sampler.shape, self.sampler.uniforms
        z = jax.random.normal(normal, (count * math.prod(shape),), self._dtype).reshape(count, *shape)
        return z, jax.random.uniform(uniform, (count, *each), self._dtype)

    def _noise(self, count: int, *seeds: int) -> tuple[Array, Array]:
        return self.compiled("noise")(self._key(*seeds), count)

    def _flow_uniform(self, count: int, *seeds: int) -> Array:
        key = jax.random.fold_in(self._key(*seeds), 7)
        return self.compiled("noise")(key, count)[1].reshape(count, -1)[:, 0]

    # training ----------------------------------------------------------------------------------------------

    @scoped
    def sample(self, count: int, seed: int) -> Draws:
        """See ``Model.sample``."""
        return super().sample(count, seed)

    @scoped
    def log_prob(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
        """See ``Model.log_prob``."""
        return super().log_prob(x, auxiliary)

    @scoped
    def loss(self, step: int, reference: np.ndarray | None = None) -> float:
        """See ``Model.loss``."""
        loss = self.compiled("objective")(self.weights, *self._inputs(step, reference))[0]
        return float(loss) + self._constant

    @scoped
    def gradient(self, step: int, reference: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The estimate of the gradient that the noise of a step gives, by the names of the state."""
        slopes = self.compiled("gradient")(self.weights, *self._inputs(step, reference))[1]
        return {name: np.asarray(value) for name, value in slopes.items()}

    def _update(
        self, weights: dict[str, Array], adam: Any, learning_rate: Array, *inputs: Any
    ) -> tuple[dict[str, Array], Any, dict[str, Array]]:
        (loss, ess), gradient = self._differentiated(weights, *inputs)
        slopes = self._layout.vectors(gradient)
        norm = optax.tree.norm(slopes)
        updates, adam = self._optimizer.update(slopes, adam)
        pairs = zip(self._layout.vectors(weights), jax.tree.leaves(updates), strict=True)
        moved = [w - learning_rate.astype(u.dtype) * u for w, u in pairs]
        return self._layout.arrays(moved), adam, {"loss": loss, "ess": ess, "gradient_norm": norm}

    @scoped
    def step(self, learning_rate: float, reference: np.ndarray | None = None) -> Mapping[str, float]:
        """See ``Model.step``."""
        rate = jnp.asarray(learning_rate, self._dtype)
        inputs = self._inputs(self._step, reference)
        self.weights, self._adam, metrics = self.compiled("step")(self.weights, self._adam, rate, *inputs)
        self._step += 1
        figures = {name: float(value) for name, value in metrics.items()}
        return {**figures, "loss": figures["loss"] + self._constant}

    # state -------------------------------------------------------------------------------------------------

    @scoped
    def state(self) -> dict[str, np.ndarray]:
        """See ``Model.state``."""
        moments = self._adam[1]
        arrays = {name: np.array(value) for name, value in self.weights.items()}
        for prefix, vectors in (("adam.mean.", moments.mu), ("adam.square.", moments.nu)):
            named = self._layout.arrays([np.asarray(vector) for vector in vectors])
            arrays |= {f"{prefix}{name}": np.array(value) for name, value in named.items()}
        return {**arrays, "step": np.array(self._step)}

    @scoped
    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See ``Model.load_state``."""
        check_state({name: array.shape for name, array in self.state().items()}, state)
        given = {name: jnp.asarray(state[name], value.dtype) for name, value in self.weights.items()}

        def vectors(prefix: str) -> list[Array]:
            named = {name: np.asarray(state[prefix + name], w.dtype) for name, w in given.items()}
            return [jnp.asarray(vector) for vector in self._layout.vectors(named, np)]

        self._step = int(state["step"])
        clip, moments, *rest = self._adam
        moments = moments._replace(
            count=jnp.asarray(self._step, moments.count.dtype),
            mu=vectors("adam.mean."),
            nu=vectors("adam.square."),
        )
        self._adam, self.weights = (clip, moments, *rest), given
