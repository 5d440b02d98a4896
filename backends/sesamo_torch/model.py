"""The trainable sampler in PyTorch: random numbers, autodiff, Adam and the layout of the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sesamo_dsl.backend import Draws, EmittedProgram
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.flows.weights import check_state
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.sampler import SamplerModel
from sesamo_dsl.sampler.objectives import above_walls
from sesamo_dsl.training.schedule import BETAS
from sesamo_dsl.values.couplings import Couplings

from .arrays import TorchArrays
from .scope import scoped


class _Action(torch.autograd.Function):
    """S(x) with the emitted gradient as its derivative, which spares the graph of the action.

    In a wall the gradient leads out of it, and the value is finite: no loss would be a number otherwise.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, emitted: Any, arrays: TorchArrays | None) -> Tensor:
        action, gradient = emitted(x)
        ctx.save_for_backward(gradient)
        return action if arrays is None else above_walls(arrays, action)

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return outputs[0].reshape(-1, *(1,) * (gradient.ndim - 1)) * gradient, None, None


class TorchModel(SamplerModel):
    """Implements ``sesamo_dsl.backend.Model``."""

    weights: dict[str, Tensor]

    def __init__(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = getattr(torch, compiled.precision)
        emitted = compiled.bind(parameters)

        arrays = TorchArrays(self._device)
        walled = arrays if compiled.program.has_walls else None

        def action(x: Tensor) -> Any:
            return _Action.apply(x, emitted["action_and_gradient"], walled)

        super().__init__(arrays, compiled, emitted, action, parameters, base, plan)
        flow_dtype = plan.flow_precision or compiled.precision
        self.weights = {
            name: arrays.constant(
                values, flow_dtype if name.startswith("flow.") else compiled.precision
            ).requires_grad_()
            for name, values in self.sampler.initial_state().items()
        }
        self._adam = torch.optim.Adam(self.weights.values(), betas=BETAS)  # the rate is set at every step
        self._adam_moments()
        self._step = 0

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

    # training ----------------------------------------------------------------------------------------------

    def _objective(self, step: int, reference: np.ndarray | None) -> tuple[Tensor, Tensor]:
        return self.sampler.objective(self.weights, *self._inputs(step, reference))

    @scoped
    def sample(self, count: int, seed: int) -> Draws:
        """See ``Model.sample``."""
        return super().sample(count, seed)

    @scoped
    def log_prob(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
        """See ``Model.log_prob``."""
        return super().log_prob(x, auxiliary)

    @scoped
    @torch.no_grad()
    def loss(self, step: int, reference: np.ndarray | None = None) -> float:
        """See ``Model.loss``."""
        return float(self._objective(step, reference)[0]) + self._constant

    @scoped
    def gradient(self, step: int, reference: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The estimate of the gradient that the noise of a step gives, by the names of the state."""
        loss = self._objective(step, reference)[0]
        gradients = torch.autograd.grad(loss, list(self.weights.values()), allow_unused=True)
        return {
            name: np.zeros(tuple(w.shape)) if g is None else g.cpu().numpy()
            for (name, w), g in zip(self.weights.items(), gradients, strict=True)
        }

    @scoped
    def step(self, learning_rate: float, reference: np.ndarray | None = None) -> Mapping[str, float]:
        """See ``Model.step``."""
        loss, ess = self._objective(self._step, reference)
        self._adam.zero_grad(set_to_none=False)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.weights.values()), self._plan.clip)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self._step += 1
        value = float(loss.detach()) + self._constant
        return {"loss": value, "ess": float(ess), "gradient_norm": float(norm)}

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

    @scoped
    def state(self) -> dict[str, np.ndarray]:
        """See ``Model.state``."""
        tensors = {**self.weights, **self._adam_moments()}
        arrays = {name: t.detach().cpu().numpy().copy() for name, t in tensors.items()}
        return {**arrays, "step": np.array(self._step)}

    @scoped
    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See ``Model.load_state``."""
        check_state({name: array.shape for name, array in self.state().items()}, state)
        with torch.no_grad():
            for name, tensor in {**self.weights, **self._adam_moments()}.items():
                tensor.copy_(torch.as_tensor(np.asarray(state[name])))
        self._step = int(state["step"])
        for parameter in self.weights.values():
            self._adam.state[parameter]["step"] = torch.tensor(float(self._step))
