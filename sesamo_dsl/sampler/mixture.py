"""Mixtures of flows: q(x) = Σ_k π_k q_k(x), with log q(x) by all of its flows."""

from __future__ import annotations

import itertools

import numpy as np

from .arrays import Array, Arrays, Weights, inverse_cdf
from .flow import Flows


class Mixture:
    """q(x) = Σ_k π_k q_k(x), a variational mixture of flows (VMoNF, ESANN 2020).

    Parameters
    ----------
    flows
        The flows q_k, with different bases.
    log_weights
        Initial log π_k up to a constant, (flows,).
    """

    def __init__(self, arrays: Arrays, flows: Flows, log_weights: np.ndarray) -> None:
        self._arrays, self._flows, self._log_weights = arrays, flows, log_weights

    @property
    def _count(self) -> int:
        return len(self._log_weights)

    def initial_state(self, seed: int) -> dict[str, np.ndarray]:
        """Initial weights of all flows, and log π_k as ``flow.logits``."""
        return {"flow.logits": self._log_weights} | self._flows.initial_state(seed)

    def forward(self, weights: Weights, z: Array) -> tuple[Array, Array]:
        """Noise → (x, log q(x)); each flow transforms an equal share of the batch, see :meth:`shares`."""
        x = self.spread(weights, z)
        return x, self.inverse(weights, x)[1]

    def spread(self, weights: Weights, z: Array) -> Array:
        """x of :meth:`forward` without log q(x), which takes longer: each flow evaluates the whole batch."""
        return self._flows.forward(weights, z, self._parts(z.shape[0]))[0]

    def shares(self, weights: Weights, z: Array) -> Array:
        """π_k divided by the fraction of the batch that flow k transformed, per configuration, (batch,)."""
        pi = self._arrays.softmax(weights["flow.logits"], axis=0) * z.shape[0]
        sizes = [part.stop - part.start for part in self._parts(z.shape[0])]
        ones = [self._arrays.zeros((size,), pi) + pi[k] / size for k, size in enumerate(sizes)]
        return self._arrays.xp.concat(ones)

    def draw(self, weights: Weights, z: Array, uniform: Array) -> Array:
        """Noise → x; the flow of each configuration is drawn with probability π_k by a uniform, (batch,)."""
        xp = self._arrays.xp
        log_p = self._log_pi(weights) + self._arrays.zeros((self._count, z.shape[0]), z)
        choice = inverse_cdf(self._arrays, log_p, uniform)
        every, parts = self._repeated(z)
        x = self._flows.forward(weights, every, parts)[0].reshape(self._count, *z.shape)
        where = choice.reshape(1, -1, *(1,) * (x.ndim - 2))
        return xp.take_along_axis(x, where, axis=0)[0]

    def inverse(self, weights: Weights, x: Array) -> tuple[None, Array]:
        """(None, log q(x)), log q of shape (batch,); a mixture has no inverse map."""
        every, parts = self._repeated(x)
        log_q = self._flows.inverse(weights, every, parts)[1].reshape(self._count, -1)
        return None, self._arrays.logsumexp(log_q + self._log_pi(weights), axis=0)

    def _log_pi(self, weights: Weights) -> Array:
        return self._arrays.log_softmax(weights["flow.logits"], axis=0)[:, None]

    def _repeated(self, values: Array) -> tuple[Array, list[slice]]:
        """The batch once per flow, one after the other."""
        return self._arrays.xp.concat([values] * self._count), self._parts(self._count * values.shape[0])

    def _parts(self, size: int) -> list[slice]:
        """Consecutive slices of a batch, one per flow; lengths differ by at most 1, longer ones first."""
        sizes = [size // self._count + (k < size % self._count) for k in range(self._count)]
        return [
            slice(stop - size, stop) for size, stop in zip(sizes, itertools.accumulate(sizes), strict=True)
        ]
