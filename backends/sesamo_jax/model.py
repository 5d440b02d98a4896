"""The trainable sampler in JAX: random numbers, compilation, Adam and the layout of the state."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from sesamo_dsl.backend import EmittedProgram, Exported
from sesamo_dsl.checks import shown
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.flows.weights import check_state
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.sampler import Arrays, TrainableModel
from sesamo_dsl.sampler.distribution import FixedDensity
from sesamo_dsl.sampler.objectives import above_walls
from sesamo_dsl.sampler.trainable import not_an_optimizer, widest
from sesamo_dsl.training.schedule import BETAS
from sesamo_dsl.values.couplings import Couplings, couplings_key
from sesamo_dsl.values.precision import Precision

from .arrays import JaxArrays
from .distribution import ModelDistribution
from .exporting import exported
from .sharing import shared
from .weights import Layout

EXPECTED = "an optax.GradientTransformation, such as optax.adamw(0.001)"

# Lengths of batches beside the chunk: a function is compiled anew for every length.
_LENGTHS = (16, 256)


def _walled(
    arrays: Arrays, action_and_gradient: Callable[[Array], tuple[Array, Array]]
) -> Callable[[Array], Array]:
    """S(x), made finite inside of hard walls, with the emitted gradient, which points out of a wall."""

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


class JaxModel(TrainableModel):
    """Implements ``sesamo_dsl.backend.Model``."""

    def __init__(
        self,
        scope: Callable[[Precision], AbstractContextManager[None]],
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> None:
        self._scope_for = scope
        self._widest: Precision = widest(compiled, plan)
        super().__init__(JaxArrays(), compiled, parameters, base, plan)
        self._dtype = jnp.dtype(compiled.precision)
        sampler = self.sampler
        self._layout = Layout(self.weights)
        self._clip = optax.clip_by_global_norm(plan.clip)
        self._adam_rule = optax.chain(self._clip, optax.scale_by_adam(*BETAS))
        self._differentiated = jax.value_and_grad(self.objective, has_aux=True)
        point = compiled, base, couplings_key(parameters)
        # draw_flow and log_flow do not depend on the law
        of_flow = plan.flow, plan.flow_precision, plan.flows, plan.seed, plan.strategy
        drawing = shared((*point, of_flow), draw_flow=sampler.draw_flow, log_flow=sampler.log_flow)
        others = shared(
            (*point, plan),
            modulate=sampler.modulate,
            table=sampler.table,
            canonical=sampler.canonical,
            objective=self.objective,
            gradient=self._differentiated,
            step=self._update,
        )
        noises = shared((compiled, sampler.shape, sampler.uniforms), noise=self._drawn)
        self._shared = {"draw_flow": drawing, "log_flow": drawing, "noise": noises}, others
        self._adam: Any = self._adam_rule.init(self._layout.vectors(self.weights))

    def _action(self, emitted: Mapping[str, Callable[..., Any]], has_walls: bool) -> Callable[[Array], Array]:
        return _walled(self.arrays, emitted["action_and_gradient"]) if has_walls else emitted["action"]

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

    def _scope(self) -> AbstractContextManager[None]:
        return self._scope_for(self._widest)

    def exported(self, form: str) -> Exported:
        """See ``sesamo_dsl.backend.ModelWithExport.exported``."""
        lengths = sorted({min(n, self._chunk) for n in (*_LENGTHS, self._chunk)})
        with self._scope():
            return exported(self, lengths, str(self._made_of[0].source_path))

    def distribution(self) -> ModelDistribution:
        """See ``sesamo_dsl.backend.ModelWithDistribution.distribution``."""
        with self._scope():
            return ModelDistribution(FixedDensity(self.fixed()), self._precision, self._widest)

    def _parameter(self, values: np.ndarray, dtype: str) -> Array:
        return jnp.asarray(values, dtype)

    # training ----------------------------------------------------------------------------------------------

    def _objective(self, *inputs: Any) -> tuple[Array, Array]:
        return self.compiled("objective")(self.weights, *inputs)

    def _gradient(self, *inputs: Any) -> dict[str, Array]:
        return self.compiled("gradient")(self.weights, *inputs)[1]

    def _update(
        self, weights: dict[str, Array], adam: Any, learning_rate: Array, *inputs: Any
    ) -> tuple[dict[str, Array], Any, dict[str, Array]]:
        (loss, ess), gradient = self._differentiated(weights, *inputs)
        slopes = self._layout.vectors(gradient)
        norm = optax.tree.norm(slopes)
        updates, adam = self._adam_rule.update(slopes, adam)
        pairs = zip(self._layout.vectors(weights), jax.tree.leaves(updates), strict=True)
        moved = [w - learning_rate.astype(u.dtype) * u for w, u in pairs]
        return self._layout.arrays(moved), adam, {"loss": loss, "ess": ess, "gradient_norm": norm}

    def _advance(self, learning_rate: float | None, *inputs: Any) -> dict[str, Array]:
        if learning_rate is None:
            step, memory = self._optimizer
            self.weights, memory, metrics = step(self.weights, memory, *inputs)
            self._optimizer = step, memory
            return metrics
        rate = jnp.asarray(learning_rate, self._dtype)
        self.weights, self._adam, metrics = self.compiled("step")(self.weights, self._adam, rate, *inputs)
        return metrics

    # state -------------------------------------------------------------------------------------------------

    def _moments(self) -> dict[str, np.ndarray]:
        moments = self._adam[1]
        arrays = {}
        for prefix, vectors in (("adam.mean.", moments.mu), ("adam.square.", moments.nu)):
            named = self._layout.arrays([np.asarray(vector) for vector in vectors])
            arrays |= {f"{prefix}{name}": np.array(value) for name, value in named.items()}
        return arrays

    def _restore(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = {name: jnp.asarray(weights[name], value.dtype) for name, value in self.weights.items()}

    def _restore_moments(self, state: Mapping[str, np.ndarray]) -> None:
        def vectors(prefix: str) -> list[Array]:
            named = {name: np.asarray(state[prefix + name], w.dtype) for name, w in self.weights.items()}
            return [jnp.asarray(vector) for vector in self._layout.vectors(named, np)]

        clip, moments, *rest = self._adam
        moments = moments._replace(
            count=jnp.asarray(self._steps_done, moments.count.dtype),
            mu=vectors("adam.mean."),
            nu=vectors("adam.square."),
        )
        self._adam = (clip, moments, *rest)

    # an optimiser of the user's ----------------------------------------------------------------------------

    def _adopted(self, optimizer: Any) -> tuple[str, Any]:
        if not isinstance(optimizer, optax.GradientTransformation):
            raise not_an_optimizer(EXPECTED, shown(optimizer))
        rule = optax.with_extra_args_support(optax.chain(self._clip, optimizer))
        try:
            memory = rule.init(self.weights)
        except Exception as error:
            raise not_an_optimizer(EXPECTED, f"{shown(optimizer)}: {error}") from error

        def step(weights: dict[str, Array], memory: Any, *inputs: Any) -> tuple[dict[str, Array], Any, Any]:
            (loss, ess), slopes = self._differentiated(weights, *inputs)
            # for rules with a line search, or which use the loss
            extra = {"value": loss, "grad": slopes}
            extra["value_fn"] = lambda weights: self.objective(weights, *inputs)[0]
            updates, memory = rule.update(slopes, memory, weights, **extra)
            figures = {"loss": loss, "ess": ess, "gradient_norm": optax.tree.norm(slopes)}
            return cast(dict[str, Array], optax.apply_updates(weights, updates)), memory, figures

        states = str(jax.tree.structure(cast(Any, memory)[1])).removeprefix("PyTreeDef")
        kinds = dict.fromkeys(re.findall(r"[A-Z]\w*(?=\()", states))  # functions have no names worth keeping
        return f"optax: {', '.join(kinds) or 'without a state'}", (jax.jit(step), memory)

    def _remembered(self) -> dict[str, np.ndarray]:
        leaves = jax.tree.leaves(self._optimizer[1])
        return {str(number): np.array(leaf) for number, leaf in enumerate(leaves)}

    def _recalled(self, made: Any, memory: Mapping[str, np.ndarray]) -> Any:
        step, fresh = made
        leaves, structure = jax.tree.flatten(fresh)
        check_state({str(number): np.shape(leaf) for number, leaf in enumerate(leaves)}, memory)
        kept = [jnp.asarray(memory[str(n)], jnp.result_type(leaf)) for n, leaf in enumerate(leaves)]
        return step, jax.tree.unflatten(structure, kept)
