"""A flow of zuko in the place of the package's own: ``python examples/own_flow.py``.

Importing this file registers it, and ``flow="zuko"`` is an option from then on. See docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import zuko
from torch import Tensor

import sesamo_dsl as sd
from sesamo_dsl.errors import BackendError
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.sampler import Arrays


class BothWays(torch.nn.Module):
    """A flow of zuko whose two directions are one call, as ``functional_call`` wants it."""

    def __init__(self, flow: zuko.flows.Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, values: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """Noise to sample, or sample to noise, (batch, features); and log q of the sample."""
        law = self.flow()
        if inverse:  # zuko's transform leads from the sample to the noise
            z, log_det = law.transform.call_and_ladj(values)
            return z, law.base.log_prob(z) + log_det
        x, log_det = law.transform.inv.call_and_ladj(values)
        return x, law.base.log_prob(values) - log_det


class ZukoFlow:
    """Implements ``sesamo_dsl.sampler.Flow``: neural splines in units of the base."""

    def __init__(self, arrays: Arrays, base: GaussianBase, dtype: str) -> None:
        if arrays.xp.__name__ != "array_api_compat.torch":
            raise BackendError(
                "flow zuko",
                expected="backend='torch'",
                found=f"arrays of {arrays.xp.__name__}",
                remedy="compile the theory for PyTorch, or leave out flow='zuko'",
            )
        self._shape = (base.components, *base.shape)
        column = (-1, *(1 for _ in base.shape))
        self._mean = arrays.constant(base.mean.reshape(column), dtype)
        self._scale = arrays.constant(base.scale.reshape(column), dtype)
        self._log_volume = float(np.log(base.scale).sum() * np.prod(base.shape))
        self._module = self._made(0).to(self._mean)  # its parameters are never used: weights are an argument

    def _made(self, seed: int) -> BothWays:
        features = int(np.prod(self._shape))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return BothWays(zuko.flows.NSF(features, transforms=2, hidden_features=(16, 16)))

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """As zuko begins."""
        named = self._made(seed).named_parameters()
        return {name: parameter.detach().numpy() for name, parameter in named}

    def forward(self, weights: Mapping[str, Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
        """Noise to configuration, and log q of it."""
        flat, log_q = self._called(weights, z.flatten(1), False)
        return self._mean + self._scale * flat.reshape(z.shape), log_q - self._log_volume

    def inverse(self, weights: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """Configuration to noise, and log q of the configuration."""
        flat, log_q = self._called(weights, ((x - self._mean) / self._scale).flatten(1), True)
        return flat.reshape(x.shape), log_q - self._log_volume

    def _called(self, weights: Mapping[str, Tensor], values: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        return torch.func.functional_call(self._module, dict(weights), (values, inverse))


sd.register_flow("zuko", ZukoFlow)

if __name__ == "__main__":
    compiled = sd.compile(sd.load_theory("gaussian_mixture"), "torch")
    run = compiled.train(flow="zuko", parameters={"h": 0.1}, steps=500, directory=False)
    print(run.plan)
    print(run.sample(10_000))
