"""The trainable sampler in PyTorch: random numbers, autodiff, Adam and the layout of the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sesamo_dsl.backend import EmittedProgram
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.sampler import Arrays, TrainableModel
from sesamo_dsl.sampler.objectives import above_walls
from sesamo_dsl.training.schedule import BETAS
from sesamo_dsl.values.couplings import Couplings

from .arrays import TorchArrays
from .scope import scope


class _Action(torch.autograd.Function):
    """S(x) with the emitted gradient as its derivative, which spares the graph of the action.

    In a wall the gradient leads out of it, and the value is finite: no loss would be a number otherwise.
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
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
        """Functions of the seeds alone (drawn on the CPU for that reason)."""
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

    def _parameter(self, values: np.ndarray, dtype: str) -> Tensor:
        return self.arrays.constant(values, dtype).requires_grad_()

    # training ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _loss(self, *inputs: Any) -> Tensor:
        return self.sampler.objective(self.weights, *inputs)[0]

    def _gradient(self, *inputs: Any) -> dict[str, Tensor | None]:
        loss = self.sampler.objective(self.weights, *inputs)[0]
        slopes = torch.autograd.grad(loss, list(self.weights.values()), allow_unused=True)
        return dict(zip(self.weights, slopes, strict=True))

    def _advance(self, learning_rate: float, *inputs: Any) -> dict[str, Tensor]:
        loss, ess = self.sampler.objective(self.weights, *inputs)
        self._adam.zero_grad(set_to_none=False)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.weights.values()), self._plan.clip)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        return {"loss": loss.detach(), "ess": ess, "gradient_norm": norm}

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

    def _trained(self) -> dict[str, np.ndarray]:
        tensors = {**self.weights, **self._adam_moments()}
        return {name: self._numpy(tensor).copy() for name, tensor in tensors.items()}

    @torch.no_grad()
    def _restore(self, state: Mapping[str, np.ndarray]) -> None:
        for name, tensor in {**self.weights, **self._adam_moments()}.items():
            tensor.copy_(torch.as_tensor(np.asarray(state[name])))
        for parameter in self.weights.values():
            self._adam.state[parameter]["step"] = torch.tensor(float(self._steps_done))
