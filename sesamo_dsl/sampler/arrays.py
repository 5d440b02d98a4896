"""Small functions on arrays of any framework: perceptrons, and draws from discrete distributions."""

from __future__ import annotations

from typing import Any

from ..values.arrays import Array as Array
from ..values.arrays import Arrays as Arrays
from ..values.arrays import Weights as Weights


class FrameworkArrays:
    """Fused operations of a framework that has PyTorch's or JAX's names for them.

    Attributes
    ----------
    nn
        The module of neural networks: ``torch.nn.functional`` or ``jax.nn``.
    special
        The module of special functions: ``torch.special`` or ``jax.scipy.special``.
    """

    nn: Any
    special: Any

    def silu(self, values: Array) -> Array:
        """See :meth:`Arrays.silu`."""
        return self.nn.silu(values)

    def softmax(self, values: Array, axis: int) -> Array:
        """See :meth:`Arrays.softmax`."""
        return self.nn.softmax(values, axis)

    def log_softmax(self, values: Array, axis: int) -> Array:
        """See :meth:`Arrays.log_softmax`."""
        return self.nn.log_softmax(values, axis)

    def logsumexp(self, values: Array, axis: int) -> Array:
        """See :meth:`Arrays.logsumexp`."""
        return self.special.logsumexp(values, axis)

    def i0e(self, values: Array) -> Array:
        """See :meth:`Arrays.i0e`."""
        return self.special.i0e(values)

    def i1e(self, values: Array) -> Array:
        """See :meth:`Arrays.i1e`."""
        return self.special.i1e(values)

    def ndtr(self, values: Array) -> Array:
        """See :meth:`Arrays.ndtr`."""
        return self.special.ndtr(values)


def perceptron(arrays: Arrays, layers: list[tuple[Array, Array]], values: Array) -> Array:
    """A network of layers (weight, bias) with SiLU between them, (inputs, n) → (outputs, n)."""
    for n, (weight, bias) in enumerate(layers):
        values = arrays.affine(bias, weight, arrays.silu(values) if n else values)
    return values


def layers_of(weights: Weights, prefix: str, first: int = 0) -> list[tuple[Array, Array]]:
    """The layers (``weight.n``, ``bias.n``) whose names begin with the prefix, from number ``first`` on."""
    pairs = []
    while (name := f"{prefix}weight.{first}") in weights:
        pairs.append((weights[name], weights[f"{prefix}bias.{first}"]))
        first += 1
    return pairs


def repeated(arrays: Arrays, rows: Array, count: Any) -> Array:
    """Every row ``count`` times in turn, (rows, …) → (rows·count, …).

    The count may be a symbol, for a batch of any size when the sampler is exported.
    """
    shape = (rows.shape[0], count, *rows.shape[1:])
    return arrays.xp.broadcast_to(rows[:, None], shape).reshape(-1, *rows.shape[1:])


def chosen(arrays: Arrays, log_p: Array, choice: Array) -> Array:
    """log p of the chosen element, summed over blocks: (order, batch, …), (batch, …) → (batch,)."""
    picked = arrays.xp.take_along_axis(log_p, choice[None], axis=0)[0]
    return picked.reshape(choice.shape[0], -1).sum(axis=1)


def inverse_cdf(arrays: Arrays, log_probabilities: Array, uniform: Array) -> Array:
    """Draws from discrete distributions: log p (order, batch, …), uniform (batch, …) → indices (batch, …)."""
    xp = arrays.xp
    cumulative = xp.cumulative_sum(xp.exp(log_probabilities), axis=0)
    below = (cumulative < uniform * cumulative[-1]).sum(axis=0)
    return xp.clip(below, 0, len(log_probabilities) - 1)
