"""The trainable sampler in PyTorch: random numbers, autodiff, Adam and the layout of the state."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sesamo_dsl.backend import EmittedProgram, Exported
from sesamo_dsl.checks import shown
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.sampler import Arrays, TrainableModel
from sesamo_dsl.sampler.distribution import FixedDensity
from sesamo_dsl.sampler.objectives import above_walls
from sesamo_dsl.sampler.trainable import not_an_optimizer
from sesamo_dsl.training.schedule import BETAS
from sesamo_dsl.values.couplings import Couplings

from .arrays import TorchArrays
from .distribution import ModelDistribution
from .exporting import exported
from .scope import scope

EXPECTED = "a function of parameters that returns a torch.optim.Optimizer, such as torch.optim.AdamW"


class _Action(torch.autograd.Function):
    """S(x) with the emitted gradient as its derivative, so that autograd records no graph of the action.

    Inside of a hard wall S is replaced by a finite value, so that the loss is a number, and the gradient
    points out of the wall.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, emitted: Any, arrays: Arrays | None) -> Tensor:
        action, gradient = emitted(x)
        ctx.save_for_backward(gradient)
        return action if arrays is None else above_walls(arrays, action)

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return outputs[0].reshape(-1, *(1,) * (gradient.ndim - 1)) * gradient, None, None


class TorchModel(TrainableModel):
    """Implements ``sesamo_dsl.backend.Model``."""

    def __init__(
        self,
        device: torch.device,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> None:
        self._device = device
        self._dtype = getattr(torch, compiled.precision)
        super().__init__(TorchArrays(self._device), compiled, parameters, base, plan)
        self._adam = torch.optim.Adam(self.weights.values(), betas=BETAS)  # the rate is set at every step
        self._adam_moments()

    def _action(
        self, emitted: Mapping[str, Callable[..., Any]], has_walls: bool
    ) -> Callable[[Tensor], Tensor]:
        walled = self.arrays if has_walls else None

        def action(x: Tensor) -> Any:
            return _Action.apply(x, emitted["action_and_gradient"], walled)

        return action

    def _noise(self, count: int, *seeds: int) -> tuple[Tensor, Tensor]:
        """Noise that depends on the seeds only; drawn on the CPU, so that devices agree."""
        seed = int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, *self.sampler.shape, generator=generator, dtype=self._dtype)
        uniform = torch.rand(count, *self.sampler.uniforms, generator=generator, dtype=self._dtype)
        return z.to(self._device), uniform.to(self._device)

    def _flow_uniform(self, count: int, *seeds: int) -> Tensor:
        seed, _, chunk = seeds
        return self._noise(count, seed, 7, chunk)[1].reshape(count, -1)[:, 0]

    @torch.no_grad()
    def _call(self, stage: str, *arguments: Any) -> Any:
        return getattr(self.sampler, stage)(*arguments)

    def _scope(self) -> AbstractContextManager[None]:
        return scope()

    def exported(self, form: str) -> Exported:
        """See ``sesamo_dsl.backend.ModelWithExport.exported``."""
        with self._scope():
            return exported(self, form, str(self._made_of[0].source_path))

    def distribution(self) -> ModelDistribution:
        """See ``sesamo_dsl.backend.ModelWithDistribution.distribution``."""
        with self._scope():
            return ModelDistribution(FixedDensity(self.fixed()), self._dtype, self._device, self._chunk)

    def _parameter(self, values: np.ndarray, dtype: str) -> Tensor:
        return self.arrays.constant(values, dtype).requires_grad_()

    # training ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _objective(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        return self.objective(self.weights, *inputs)

    def _gradient(self, *inputs: Any) -> dict[str, Tensor | None]:
        loss = self.objective(self.weights, *inputs)[0]
        slopes = torch.autograd.grad(loss, list(self.weights.values()), allow_unused=True)
        return dict(zip(self.weights, slopes, strict=True))

    def _advance(self, learning_rate: float | None, *inputs: Any) -> dict[str, Tensor]:
        optimizer = self._adam if self._optimizer is None else self._optimizer
        figures: list[dict[str, Tensor]] = []

        def closure() -> Tensor:
            loss, ess = self.objective(self.weights, *inputs)
            optimizer.zero_grad(set_to_none=False)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(list(self.weights.values()), self._plan.clip)
            figures.append({"loss": loss.detach(), "ess": ess, "gradient_norm": norm})
            return loss

        if learning_rate is not None:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        optimizer.step(closure)  # most optimisers call it once, L-BFGS more often
        return figures[0]

    # state -------------------------------------------------------------------------------------------------

    def _adam_moments(self) -> dict[str, Tensor]:
        """Adam's moments by name, created as zeros as its first step would."""
        moments = {}
        for name, parameter in self.weights.items():
            state = self._adam.state[parameter]
            if not state:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            moments[f"adam.mean.{name}"] = state["exp_avg"]
            moments[f"adam.square.{name}"] = state["exp_avg_sq"]
        return moments

    def _moments(self) -> dict[str, np.ndarray]:
        return {name: self._numpy(tensor).copy() for name, tensor in self._adam_moments().items()}

    def _restore_moments(self, state: Mapping[str, np.ndarray]) -> None:
        self._copy(self._adam_moments(), state)
        for parameter in self.weights.values():
            self._adam.state[parameter]["step"] = torch.tensor(float(self._steps_done))

    def _restore(self, weights: Mapping[str, np.ndarray]) -> None:
        self._copy(self.weights, weights)

    @staticmethod
    @torch.no_grad()
    def _copy(tensors: Mapping[str, Tensor], values: Mapping[str, np.ndarray]) -> None:
        for name, tensor in tensors.items():
            tensor.copy_(torch.as_tensor(np.asarray(values[name])))

    # an optimiser of the user's ----------------------------------------------------------------------------

    def _adopted(self, optimizer: Any) -> tuple[str, torch.optim.Optimizer]:
        weights = list(self.weights.values())
        try:
            made = optimizer(weights)
        except Exception as error:
            raise not_an_optimizer(EXPECTED, f"{shown(optimizer)}: {error}") from error
        if not isinstance(made, torch.optim.Optimizer):
            raise not_an_optimizer(EXPECTED, f"a function that returns {shown(made)}")
        moved = {id(parameter) for group in made.param_groups for parameter in group["params"]}
        if not moved <= {id(weight) for weight in weights}:
            raise not_an_optimizer(EXPECTED, "an optimizer of other parameters than those of the model")
        return f"{type(made).__module__}.{type(made).__qualname__}", made

    def _remembered(self) -> dict[str, np.ndarray]:
        stream = io.BytesIO()
        torch.save(self._optimizer.state_dict(), stream)
        return {"state_dict": np.frombuffer(stream.getvalue(), np.uint8)}

    def _recalled(self, made: Any, memory: Mapping[str, np.ndarray]) -> Any:
        stream = io.BytesIO(memory["state_dict"].tobytes())
        made.load_state_dict(torch.load(stream, map_location=self._device, weights_only=True))
        return made
