"""A sampler whose weights are trained: steps, gradients and the state of the model, on every framework.

A backend adds its derivatives and the updates of the weights, by Adam or by a user's optimiser. The memory of
a user's optimiser is part of the state as arrays ``optimizer.…``, in place of Adam's moments, and its name as
the array ``optimizer``. A model can be loaded, sampled and saved without the optimiser; before training
continues, the optimiser has to be passed again.

All public methods run in the backend's scope (:meth:`TrainableModel._scope`), which allows the precision
:func:`widest`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from .. import checks
from ..backend import Draws, EmittedProgram, ModelDensity
from ..compiled_program import CompiledProgram, check_configurations
from ..errors import OptionError
from ..flows.base import GaussianBase
from ..flows.range_base import RangeBase
from ..flows.range_weights import MISSES, initial_over, state_at
from ..flows.weights import check_state
from ..machine.memory import check_memory
from ..plan.plan import Plan
from ..values.couplings import Couplings
from ..values.precision import Precision
from .arrays import Array, Arrays
from .model import SamplerModel

_NAME, _MEMORY = "optimizer", "optimizer."  # names in a state that belong to a user's optimiser

P = ParamSpec("P")
R = TypeVar("R")


def widest(compiled: EmittedProgram, plan: Plan) -> Precision:
    """The wider precision of theory and flow, which the scope of the backend has to allow."""
    return "float64" if "float64" in (compiled.precision, plan.flow_precision) else "float32"


def _scoped(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    @wraps(method)
    def inside(self: TrainableModel, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._scope():
            return method(self, *args, **kwargs)

    return inside


def _built(
    compiled: EmittedProgram,
    parameters: Couplings,
    base: GaussianBase,
    plan: Plan,
    state: Mapping[str, np.ndarray],
) -> Any:
    model = compiled.backend.model(compiled, parameters, base, plan)
    model.load_state(state)
    return model


def not_an_optimizer(expected: str, found: str) -> OptionError:
    """The error for an ``optimizer`` that does not belong to the framework of the backend."""
    return OptionError(
        "optimizer",
        expected=expected,
        found=found,
        remedy="give one of the framework of the backend, or leave it out for Adam",
    )


def _without_prefix(memory: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(_MEMORY): array for name, array in memory.items() if name != _NAME}


class TrainableModel(SamplerModel):
    """Implements ``sesamo_dsl.backend.Model`` for backends with automatic derivatives."""

    weights: dict[str, Array]

    def __init__(
        self,
        arrays: Arrays,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> None:
        super().__init__(arrays, compiled, parameters, base, plan)
        self._made_of = compiled, parameters, base, plan
        flow, first = plan.flow_precision or self._precision, self.sampler.initial_state()
        if self._features is not None:
            first |= initial_over(first, len(self._features))
        self.weights = {
            name: self._parameter(values, flow if name.startswith("flow.") else self._precision)
            for name, values in first.items()
        }
        self._steps_done = 0
        self._optimizer: Any = None  # the user's optimiser
        self._own: str | None = None  # the name of the user's optimiser
        self._unread: dict[str, np.ndarray] = {}  # loaded memory of an optimiser that was not passed yet

    def __reduce__(self) -> Any:
        """Copies and pickles build a new model and load the state, as emitted functions cannot be pickled."""
        return _built, (*self._made_of, self.state())

    @abstractmethod
    def _scope(self) -> AbstractContextManager[None]:
        """The context in which arrays are created and used, see ``sesamo_dsl.backend.Backend.scope``."""

    @abstractmethod
    def _parameter(self, values: np.ndarray, dtype: str) -> Array:
        """The values as a trainable array of this dtype."""

    @abstractmethod
    def _objective(self, *inputs: Any) -> tuple[Array, Array]:
        """The objective of a step and the ESS of its batch; ``inputs`` as from :meth:`_inputs`."""

    @abstractmethod
    def _gradient(self, *inputs: Any) -> Mapping[str, Array | None]:
        """The derivative of the objective by every weight; None if the objective does not depend on it."""

    @abstractmethod
    def _advance(self, learning_rate: float | None, *inputs: Any) -> Mapping[str, Any]:
        """One step of the optimiser; returns loss, ESS and norm of the gradient, see ``Model.step``.

        The rate is None for a user's optimiser, which has a rate of its own.
        """

    @abstractmethod
    def _restore(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set the values of the weights."""

    @abstractmethod
    def _moments(self) -> dict[str, np.ndarray]:
        """Adam's moments as ``adam.mean.…`` and ``adam.square.…``."""

    @abstractmethod
    def _restore_moments(self, state: Mapping[str, np.ndarray]) -> None:
        """Set Adam's moments, as :meth:`_moments` returns them, and its step to ``_steps_done``."""

    @abstractmethod
    def _adopted(self, optimizer: Any) -> tuple[str, Any]:
        """The name of a user's optimiser and the value of ``_optimizer``; OptionError for other objects."""

    @abstractmethod
    def _remembered(self) -> dict[str, np.ndarray]:
        """The memory of ``_optimizer`` as arrays by name."""

    @abstractmethod
    def _recalled(self, made: Any, memory: Mapping[str, np.ndarray]) -> Any:
        """``made`` with this memory; ValueError, LookupError or RuntimeError if the memory does not fit."""

    @property
    def optimizer(self) -> str | None:
        """See ``Model.optimizer``."""
        name = self._unread.get(_NAME)
        return self._own if name is None else name.tobytes().decode("utf-8")

    @_scoped
    def sample(self, count: int, seed: int = 1) -> Draws:
        """See ``Model.sample``; OptionError for an invalid count or seed, or too many samples for memory."""
        count, seed = checks.integer(count, "sample count"), checks.seed(seed, "seed of samples")
        shape = self._made_of[0].program.configuration_shape
        numbers = 2 * count * math.prod(shape)  # the chunks and their concatenation
        check_memory(numbers, f"sample count = {count}", "draw fewer at a time, with different seeds")
        return super().sample(count, seed)

    @_scoped
    def log_prob(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
        """See ``Model.log_prob``; ConfigurationError for other shapes, or values that are not finite."""
        program, precision = self._made_of[0].program, self._made_of[0].precision
        x = check_configurations(program.theory, program.configuration_shape, x, precision)
        if auxiliary is not None:
            shape = self.sampler.orientations.law.auxiliary(0).shape[1:]
            subject = f"auxiliary coordinates of theory {program.theory}"
            auxiliary = check_configurations(program.theory, shape, auxiliary, precision, subject)
        return super().log_prob(x, auxiliary)

    def fixed(self) -> Any:
        """A model of its own with the weights as they are now."""
        return _built(*self._made_of, self.state())

    def density(self) -> ModelDensity:
        """See ``ModelWithDensity.density``."""
        compiled, parameters, base, plan = self._made_of
        if plan.over is not None and isinstance(base, RangeBase):
            return self.at(parameters).density()
        wide = CompiledProgram.of(compiled.program, compiled.facts, compiled.backend, "float64")
        made_of = wide, parameters, base, replace(plan, flow_precision=plan.flow_precision or self._precision)
        return _built(*made_of, self.state())._density_of(wide)

    @_scoped
    def at(self, parameters: Couplings) -> Any:
        """The ordinary model at one point of the range of couplings that this model was made for."""
        compiled, _, base, plan = self._made_of
        assert plan.over is not None
        assert isinstance(base, RangeBase)
        point = plan.over.point(parameters)
        fixed = compiled.backend.model(compiled, parameters, base.at(point), plan.of_one_point)
        weights = state_at(self.state(), plan.over.features(point[None]).T)
        fixed.load_state({**fixed.state(), **weights})
        return fixed

    @_scoped
    def ess_of_points(self, points: Sequence[int], batches: int) -> np.ndarray:
        """See ``ModelOverRange.ess_of_points``."""
        found = np.zeros((batches, len(points)))
        for k in range(batches):
            noise, directions, forward, _ = self._inputs(self._steps_done + k, None)
            for i, point in enumerate(points):
                here = self.arrays.constant(np.full(self._plan.batch, point), "index")
                found[k, i] = float(self._objective(noise, directions, forward, here)[1].mean())
        return found.mean(axis=0)

    @_scoped
    def _density_of(self, compiled: EmittedProgram) -> ModelDensity:
        weights, sampler = self.arrays.detach(self.weights), self.sampler

        def log_density(x: Array, auxiliary: Array) -> Array:
            return sampler.log_density(weights, x, auxiliary)

        emitted = compiled.bind(self._made_of[1])
        return ModelDensity(self.arrays, emitted, log_density, sampler.orientations.law.auxiliary)

    @_scoped
    def loss(self, step: int, reference: np.ndarray | None = None) -> float:
        """See ``Model.loss``."""
        return float(self._objective(*self._inputs(step, reference))[0]) + self._constant_of(step)

    @_scoped
    def gradient(self, step: int, reference: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The estimate of the gradient from the noise of step number ``step``, by the names of weights."""
        slopes = self._gradient(*self._inputs(step, reference))
        return {
            name: np.zeros(tuple(w.shape)) if (slope := slopes[name]) is None else self._numpy(slope)
            for name, w in self.weights.items()
        }

    @_scoped
    def step(
        self,
        learning_rate: float,
        reference: np.ndarray | None = None,
        forward_weight: float | None = None,
    ) -> Mapping[str, float]:
        """See ``Model.step``."""
        if self._unread:
            raise self._another("none")
        rate = learning_rate if self._own is None else None
        step = self._steps_done
        metrics = self._advance(rate, *self._inputs(step, reference, forward_weight))
        self._steps_done += 1
        constant = self._constant_of(step)
        if self._over is not None:
            self._over.learn(self._over.points(step), self._numpy(metrics["ess"]))
        figures = {name: float(value.mean()) for name, value in metrics.items()}
        return {**figures, "loss": figures["loss"] + constant}

    @_scoped
    def use_optimizer(self, optimizer: Any) -> None:
        """See ``Model.use_optimizer``."""
        if optimizer is None:
            if self._unread:
                raise self._another("none")
            return
        name, made = self._adopted(optimizer)
        if name != self.optimizer and (self.optimizer is not None or self._steps_done):
            raise self._another(name)
        if self.optimizer is not None:
            try:
                made = self._recalled(made, _without_prefix(self._memory()))
            except (ValueError, LookupError, RuntimeError) as error:
                raise self._another(f"one of that name with another memory: {error}") from error
        self._optimizer, self._own, self._unread = made, name, {}

    def _another(self, found: str) -> OptionError:
        begun = self.optimizer
        return OptionError(
            "optimizer",
            expected=f"{begun or 'Adam, the default'}, which the training began with",
            found=found,
            remedy="give the same one: run.resume(optimizer=…)" if begun else "leave it out: run.resume()",
        )

    def _memory(self) -> dict[str, np.ndarray]:
        """The part of the state that belongs to Adam or to the user's optimiser."""
        if self._unread:
            return self._unread
        if self._own is None:
            return self._moments()
        memory = {f"{_MEMORY}{name}": array for name, array in self._remembered().items()}
        return {**memory, _NAME: np.frombuffer(self._own.encode("utf-8"), np.uint8)}

    @_scoped
    def state(self) -> dict[str, np.ndarray]:
        """See ``Model.state``."""
        weights = {name: np.array(self._numpy(w)) for name, w in self.weights.items()}
        looked = {} if self._over is None else {MISSES: self._over.misses.copy()}
        return {**weights, **looked, **self._memory(), "step": np.array(self._steps_done)}

    @_scoped
    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See ``Model.load_state``."""
        own = {name: np.asarray(array) for name, array in state.items() if name.startswith(_NAME)}
        rest = {name: array for name, array in state.items() if name not in own}
        moments = {} if own else self._moments()
        looked = {} if self._over is None else {MISSES: self._over.misses}
        expected = {**self.weights, **looked, **moments, "step": np.array(0)}
        check_state({name: tuple(array.shape) for name, array in expected.items()}, rest)
        if self._own is not None and not own:
            raise ValueError(f"a state of Adam for a model that is trained with {self._own}")
        self._steps_done = int(state["step"])
        self._restore(rest)
        if self._over is not None:
            self._over.misses = np.array(rest[MISSES], np.float64)
        if not own:
            self._restore_moments(rest)
        elif self._own is None:
            self._unread = own
        else:
            self._optimizer = self._recalled(self._optimizer, _without_prefix(own))
