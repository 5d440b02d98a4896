"""A sampler whose weights are trained: steps, gradients and the layout of the state, on every framework.

A backend completes it by its derivatives and its optimiser. All that a user may call happens in the backend's
scope (:meth:`TrainableModel._scope`), and in the precision that :func:`widest` names.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from ..backend import Draws, EmittedProgram, Model
from ..flows.base import GaussianBase
from ..flows.weights import check_state
from ..plan.plan import Plan
from ..values.couplings import Couplings
from ..values.precision import Precision
from .arrays import Array, Arrays
from .model import SamplerModel

P = ParamSpec("P")
R = TypeVar("R")


def widest(compiled: EmittedProgram, plan: Plan) -> Precision:
    """The precision that has to be available: the wider one of the theory and of the flow."""
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
) -> Model:
    model = compiled.backend.model(compiled, parameters, base, plan)
    model.load_state(state)
    return model


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
        flow = plan.flow_precision or self._precision
        self.weights = {
            name: self._parameter(values, flow if name.startswith("flow.") else self._precision)
            for name, values in self.sampler.initial_state().items()
        }
        self._steps_done = 0

    def __reduce__(self) -> Any:
        """Copies and pickles are built anew and given the state: emitted functions do not travel."""
        return _built, (*self._made_of, self.state())

    @abstractmethod
    def _scope(self) -> AbstractContextManager[None]:
        """Where arrays are made and computed with, see ``sesamo_dsl.backend.Backend.scope``."""

    @abstractmethod
    def _parameter(self, values: np.ndarray, dtype: str) -> Array:
        """An array that is trained."""

    @abstractmethod
    def _loss(self, *inputs: Any) -> Array:
        """The objective of a step, without derivatives."""

    @abstractmethod
    def _gradient(self, *inputs: Any) -> Mapping[str, Array | None]:
        """Its derivative by every weight, None for those that it does not depend on."""

    @abstractmethod
    def _advance(self, learning_rate: float, *inputs: Any) -> Mapping[str, Any]:
        """One step of the optimiser: the loss, ESS and norm of the gradient, see ``Model.step``."""

    @abstractmethod
    def _trained(self) -> dict[str, np.ndarray]:
        """Copies of the weights, and of the moments as ``adam.mean.…`` and ``adam.square.…``."""

    @abstractmethod
    def _restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Inverse of :meth:`_trained`, with the optimiser at step ``_steps_done``."""

    @_scoped
    def sample(self, count: int, seed: int) -> Draws:
        """See ``Model.sample``."""
        return super().sample(count, seed)

    @_scoped
    def log_prob(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
        """See ``Model.log_prob``."""
        return super().log_prob(x, auxiliary)

    @_scoped
    def loss(self, step: int, reference: np.ndarray | None = None) -> float:
        """See ``Model.loss``."""
        return float(self._loss(*self._inputs(step, reference))) + self._constant

    @_scoped
    def gradient(self, step: int, reference: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The estimate of the gradient that the noise of a step gives, by the names of the state."""
        slopes = self._gradient(*self._inputs(step, reference))
        return {
            name: np.zeros(tuple(w.shape)) if (slope := slopes[name]) is None else self._numpy(slope)
            for name, w in self.weights.items()
        }

    @_scoped
    def step(self, learning_rate: float, reference: np.ndarray | None = None) -> Mapping[str, float]:
        """See ``Model.step``."""
        metrics = self._advance(learning_rate, *self._inputs(self._steps_done, reference))
        self._steps_done += 1
        figures = {name: float(value) for name, value in metrics.items()}
        return {**figures, "loss": figures["loss"] + self._constant}

    @_scoped
    def state(self) -> dict[str, np.ndarray]:
        """See ``Model.state``."""
        return {**self._trained(), "step": np.array(self._steps_done)}

    @_scoped
    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See ``Model.load_state``."""
        check_state({name: array.shape for name, array in self.state().items()}, state)
        self._steps_done = int(state["step"])
        self._restore(state)
