"""A mixture of coupling flows with learned weights (variational mixture of flows, ESANN 2020), in JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from numpy.typing import NDArray

from sesamo_dsl.flow_spec import FlowSpec, GaussianBase, mixture_bases

from .flows import Flow
from .laws import draw


class Mixture(eqx.Module):
    """q(x) = Σ_k π_k q_k(x), with the face of a :class:`Flow`; the flows start around different points."""

    flows: list[Flow]
    logits: Array

    def __init__(
        self, spec: FlowSpec, base: GaussianBase, count: int, *, dtype: DTypeLike, seed: int
    ) -> None:
        bases = mixture_bases(base, count, seed)
        self.flows = [Flow(spec, b, dtype=dtype, seed=seed + k) for k, b in enumerate(bases)]
        self.logits = jnp.zeros(count, dtype)

    def forward(self, z: Array) -> tuple[Array, Array]:
        """Noise to configuration, an equal share of the batch through each flow; see :meth:`shares`."""
        shares = jnp.array_split(z, len(self.flows))
        x = jnp.concatenate([flow.forward(share)[0] for flow, share in zip(self.flows, shares, strict=True)])
        return x, self.inverse(x)[1]

    def shares(self, z: Array) -> Array:
        """π_k over the share of the batch that went through flow k, (batch,): the mean of these is 1."""
        sizes = [len(share) for share in jnp.array_split(z, len(self.flows))]
        weights = jax.nn.softmax(self.logits) * len(z)
        return jnp.concatenate([jnp.full(size, weights[k] / size) for k, size in enumerate(sizes)])

    def draw(self, z: Array, uniform: Array) -> Array:
        """Noise to configuration, the flow of each chosen with probability π_k."""
        log_p = jnp.broadcast_to(jax.nn.log_softmax(self.logits)[:, None], (len(self.flows), len(z)))
        choice = draw(log_p, uniform)
        x = jnp.stack([flow.forward(z)[0] for flow in self.flows])
        return x[choice, jnp.arange(len(z))]

    def inverse(self, x: Array) -> tuple[None, Array]:
        """log q(x), (batch,), in the place where a flow has it; a mixture has no inverse map."""
        log_q = jnp.stack([flow.inverse(x)[1] for flow in self.flows])
        return None, jax.nn.logsumexp(log_q + jax.nn.log_softmax(self.logits)[:, None], axis=0)

    def state_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name, the same names and shapes on every backend."""
        named = {
            f"flows.{k}.{name}": value
            for k, flow in enumerate(self.flows)
            for name, value in flow.state_arrays().items()
        }
        return {**named, "logits": np.array(self.logits)}

    def with_state_arrays(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """This mixture with other weights."""
        flows = []
        for k, flow in enumerate(self.flows):
            prefix = f"flows.{k}."
            own = {name.removeprefix(prefix): a for name, a in state.items() if name.startswith(prefix)}
            flows.append(flow.with_state_arrays(own))
        logits = jnp.asarray(state["logits"], self.logits.dtype)
        return eqx.tree_at(lambda m: (m.flows, m.logits), self, (flows, logits))
