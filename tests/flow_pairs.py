"""Flows of both backends with the same weights, and the laws that each pair of them obeys."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from numpy.typing import NDArray

from sesamo_dsl.flows.architecture import Architecture
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.flows.bisection import BisectionSpec
from sesamo_dsl.sampler import Arrays
from sesamo_dsl.sampler.bisection_flow import BisectionFlow
from sesamo_dsl.sampler.coupling_flow import CouplingFlow
from sesamo_jax.arrays import JaxArrays
from sesamo_torch.arrays import TorchArrays

Array = NDArray[Any]

TORCH, JAX = TorchArrays(torch.device("cpu")), JaxArrays()


class Weighted:
    """A flow with weights of its own."""

    def __init__(
        self, arrays: Arrays, spec: Architecture, base: GaussianBase, dtype: str = "float64", seed: int = 0
    ) -> None:
        self._arrays, self._dtype = arrays, dtype
        self.flow = (
            BisectionFlow(arrays, spec, base, dtype, "")
            if isinstance(spec, BisectionSpec)
            else CouplingFlow(arrays, spec, base, dtype, "")
        )
        self.load(self.flow.initial_state(seed))

    def load(self, state: dict[str, Array]) -> None:
        self.state = state
        convert = torch.as_tensor if self._arrays is TORCH else jnp.asarray
        self.weights = {name: convert(np.asarray(value, self._dtype)) for name, value in state.items()}

    def forward(self, z: Any) -> tuple[Any, Any]:
        return self.flow.forward(self.weights, z)

    def inverse(self, x: Any) -> tuple[Any, Any]:
        return self.flow.inverse(self.weights, x)


def coloured_base(components: int, shape: tuple[int, ...]) -> GaussianBase:
    """A random positive definite precision that is complex and mixes the components."""
    generator = np.random.default_rng(5)
    root = 0.2 * generator.normal(size=(*shape, components, components))
    root[(0,) * len(shape)] += 1.5 * np.eye(components)
    waves = np.fft.fftn(root, axes=tuple(range(len(shape))))
    precision = 0.3 * np.eye(components) + waves @ waves.conj().swapaxes(-1, -2)
    return GaussianBase.from_precision(generator.normal(size=components), precision)


def trained_like(state: dict[str, Array], size: float) -> dict[str, Array]:
    generator = np.random.default_rng(1)
    return {name: value + size * generator.normal(size=value.shape) for name, value in state.items()}


def noise(components: int, shape: tuple[int, ...], batch: int = 4) -> Array:
    return np.random.default_rng(2).normal(size=(batch, components, *shape))


def flow_pair(
    spec: Architecture, base: GaussianBase, single: bool = False, size: float = 0.2
) -> tuple[Weighted, Weighted]:
    """Both backends with the same weights, away from the identity."""
    ours, theirs = (Weighted(a, spec, base, "float32" if single else "float64") for a in (TORCH, JAX))
    for flow in (ours, theirs):
        flow.load(trained_like(flow.flow.initial_state(0), size))
    return ours, theirs


def error(a: Any, b: Any) -> float:
    difference = np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64))
    assert np.isfinite(difference).all()
    return float(difference.max(initial=0.0))


def run_torch(call: Any, values: Array) -> tuple[Array, Array]:
    with torch.no_grad():
        image, log_q = call(torch.as_tensor(values))
    return image.numpy(), log_q.numpy()


def check_pair(ours: Weighted, theirs: Weighted, z: Array) -> None:
    """forward and inverse are a pair, log q is that of the autodiff Jacobian, and the backends agree."""
    x, log_q = run_torch(ours.forward, z)
    back, log_q_back = run_torch(ours.inverse, x)
    assert error(back, z) < 1e-10
    assert error(log_q_back, log_q) < 1e-10

    assert (x.shape, log_q.shape) == (z.shape, (4,))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: ours.forward(one[None])[0][0]))(
        torch.as_tensor(z)
    )
    size = z[0].size
    log_det = np.linalg.slogdet(jacobian.detach().numpy().reshape(4, size, size))[1]
    reference = -0.5 * (z.reshape(4, -1) ** 2).sum(axis=1) - 0.5 * size * math.log(2 * math.pi) - log_det
    assert error(log_q, reference) < 1e-10

    flow = theirs.flow
    both = jax.jit(lambda weights, z, x: (*flow.forward(weights, z), *flow.inverse(weights, x)))
    image, density, preimage, density_back = both(theirs.weights, z, x)
    assert max(error(image, x), error(preimage, z)) < 1e-10
    assert max(error(density, log_q), error(density_back, log_q)) < 1e-11 * max(1.0, np.abs(log_q).max())
