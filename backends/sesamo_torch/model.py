"""The trainable sampler in PyTorch: flow in the fundamental domain, law on the group, reverse KL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sesamo_dsl.backend import Draws
from sesamo_dsl.compiler import CompiledTheory
from sesamo_dsl.flow_spec import GaussianBase
from sesamo_dsl.training import BETAS, TrainingOptions

from .flows import Flow
from .laws import draw, log_law

_CHUNK = 4096


class _Action(torch.autograd.Function):
    """S(x) with the emitted gradient as its derivative, which spares the graph of the action."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, emitted: Any) -> Tensor:
        action, gradient = emitted(x)
        ctx.save_for_backward(gradient)
        return action

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return outputs[0].reshape(-1, *(1,) * (gradient.ndim - 1)) * gradient, None


class TorchModel:
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
        self._dtype = getattr(torch, compiled.precision)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._shape = compiled.theory.configuration_shape
        self._matrices = torch.as_tensor(compiled.program.constants["MATRICES"]).to(self._device, self._dtype)
        self._flow = Flow(options.flow, base, dtype=self._dtype, seed=options.seed).to(self._device)
        self._logits = torch.zeros(len(self._matrices), dtype=self._dtype, device=self._device, requires_grad=True)
        self._named = {f"flow.{n}": p for n, p in self._flow.named_parameters()} | {"law.logits": self._logits}
        self._adam = torch.optim.Adam(self._named.values(), lr=options.learning_rate, betas=BETAS)
        self._adam_moments()
        self._step = 0

    # the sampler -------------------------------------------------------------------------------------------

    def _noise(self, count: int, *seeds: int) -> tuple[Tensor, Tensor]:
        """Standard normal z and uniforms, a function of the seeds alone (drawn on the CPU for that reason)."""
        seed = int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, *self._shape, generator=generator, dtype=self._dtype)
        return z.to(self._device), torch.rand(count, generator=generator, dtype=self._dtype).to(self._device)

    def _images(self, y: Tensor) -> Tensor:
        """T_u y for every u, (order·batch, components, *lattice)."""
        return torch.einsum("gab,nb...->gna...", self._matrices, y).reshape(-1, *self._shape)

    def _in_domain(self, x: Tensor) -> Tensor:
        """Fold into Ω, or leave alone where the penalty has to do it."""
        return self._emitted["canonicalize"](x)[0] if self._options.strategy == "fold" else x

    def _log_density(self, y: Tensor) -> Tensor:
        """log q̃(y): of the folded flow the sum over all pre-images of y."""
        if self._options.strategy == "penalty":
            return self._flow.inverse(y)[1]
        log_q = self._flow.inverse(self._images(y))[1]
        return torch.logsumexp(log_q.reshape(len(self._matrices), -1), dim=0)

    def _breaking(self, y: Tensor) -> Tensor:
        """S₁(T_u y), (order, batch)."""
        if "breaking" not in self._emitted:
            return y.new_zeros(len(self._matrices), len(y))
        return self._emitted["breaking"](self._images(y)).reshape(len(self._matrices), -1)

    def _action(self, x: Tensor) -> Tensor:
        return _Action.apply(x, self._emitted["action_and_gradient"])  # type: ignore[return-value]

    def _energy(self, y: Tensor) -> Tensor:
        """E_u[S(T_u y) + log p(u|y)], (batch,): under the heat bath S_eff(y) = −log Σ_u exp(−S(T_u y))."""
        breaking = self._breaking(y)
        log_p = log_law(self._law, breaking, self._logits)
        return self._action(y) - breaking[0] + (log_p.exp() * (log_p + breaking)).sum(dim=0)

    # training ----------------------------------------------------------------------------------------------

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Treat the flow's weights as constants: what is left of the gradient is the path derivative."""
        for parameter in self._flow.parameters():
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self._flow.parameters():
                parameter.requires_grad_(True)

    def step(self, learning_rate: float) -> Mapping[str, float]:
        """See ``Model.step``."""
        o = self._options
        z, _ = self._noise(o.batch, o.seed, 1, self._step)
        x, log_q = self._flow.forward(z)
        y = self._in_domain(x)
        if o.gradient == "path":
            with self._frozen():
                log_q = self._log_density(y)
        elif o.strategy == "fold":
            log_q = self._log_density(y)
        loss = log_q + self._energy(y)
        log_w = -loss.detach().double()
        if o.strategy == "penalty" and len(self._matrices) > 1:
            facets = self._emitted["facets"](y)
            walls = torch.where(facets > 0, torch.sigmoid(o.penalty_slope * facets), 0.0)
            loss = loss + o.penalty_height * walls.sum(dim=1)
        loss = loss.mean()
        self._adam.zero_grad(set_to_none=False)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self._named.values()), o.clip)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self._step += 1
        ess = torch.exp(2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)) / len(log_w)
        return {"loss": float(loss.detach()), "ess": float(ess), "gradient_norm": float(norm)}

    # state -------------------------------------------------------------------------------------------------

    def _adam_moments(self) -> dict[str, Tensor]:
        """Adam's moments by name, created as zeros as its first step would."""
        moments = {}
        for name, parameter in self._named.items():
            state = self._adam.state[parameter]
            if not state:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            moments[f"adam.mean.{name}"] = state["exp_avg"]
            moments[f"adam.square.{name}"] = state["exp_avg_sq"]
        return moments

    def state(self) -> dict[str, np.ndarray]:
        """See ``Model.state``."""
        tensors = {**self._named, **self._adam_moments()}
        arrays = {name: t.detach().cpu().numpy().copy() for name, t in tensors.items()}
        return {**arrays, "step": np.array(self._step)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See ``Model.load_state``."""
        with torch.no_grad():
            for name, tensor in {**self._named, **self._adam_moments()}.items():
                tensor.copy_(torch.as_tensor(np.asarray(state[name])))
        self._step = int(state["step"])
        for parameter in self._named.values():
            self._adam.state[parameter]["step"] = torch.tensor(float(self._step))

    # use ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, count: int, seed: int) -> Draws:
        """See ``Model.sample``."""
        parts = []
        for chunk, start in enumerate(range(0, count, _CHUNK)):
            z, uniform = self._noise(min(_CHUNK, count - start), seed, 2, chunk)
            y = self._in_domain(self._flow.forward(z)[0])
            log_p = log_law(self._law, self._breaking(y), self._logits)
            u = draw(log_p, uniform)
            x = self._emitted["modulate"](y, u)
            log_q = self._log_density(y) + log_p.gather(0, u[None])[0]
            outside = (self._emitted["facets"](y) > 0).any(dim=1)
            leaked = outside if self._options.strategy == "penalty" else torch.zeros_like(outside)
            parts.append((x, log_q, self._emitted["action"](x), u, leaked))
        return Draws(*(torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True)))

    @torch.no_grad()
    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """See ``Model.log_prob``."""
        parts = []
        for start in range(0, len(x), _CHUNK):
            chunk = torch.as_tensor(x[start : start + _CHUNK]).to(self._device, self._dtype)
            y, u = self._emitted["canonicalize"](chunk)
            log_p = log_law(self._law, self._breaking(y), self._logits)
            parts.append(self._log_density(y) + log_p.gather(0, u[None])[0])
        return torch.cat(parts).cpu().numpy()
