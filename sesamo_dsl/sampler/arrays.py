"""The arrays that the sampler computes with: one namespace of the Python array API, and what it lacks.

The sampler is written once. PyTorch, JAX and NumPy lend it their namespace (PyTorch through array-api-compat)
and, in an :class:`Arrays`, the few operations that the standard does not have or that a framework has fused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""An array of the framework; axes are named in each docstring."""

Weights: TypeAlias = Mapping[str, Array]
"""Everything that is trained, by the names that it has in the state of a model."""


class Arrays(Protocol):
    """What a framework provides."""

    @property
    def xp(self) -> Any:
        """The namespace of the array API."""
        ...

    def constant(self, values: np.ndarray, dtype: str) -> Array:
        """A table as a constant of this dtype, ``"index"`` for the framework's integers."""
        ...

    def cast(self, values: Array, dtype: str) -> Array:
        """The array in another floating-point type."""
        ...

    def double(self, values: Array) -> Array:
        """The array in float64 where the framework has it, as it is elsewhere."""
        ...

    def to_numpy(self, values: Array) -> np.ndarray:
        """A NumPy array of its values."""
        ...

    def dtype_of(self, values: Array) -> str:
        """``"float32"`` or ``"float64"``."""
        ...

    def detach(self, tree: Any) -> Any:
        """An array, or weights, as constants: no derivative passes through them."""
        ...

    def zeros(self, shape: tuple[int, ...], like: Array) -> Array:
        """Zeros of the dtype and on the device of an array."""
        ...

    def take(self, values: Array, index: Array) -> Array:
        """Rows of the first axis by their numbers, (n,)."""
        ...

    def affine(self, bias: Array, weight: Array, values: Array) -> Array:
        """weight @ values + bias."""
        ...

    def silu(self, values: Array) -> Array:
        """x/(1 + e^−x)."""
        ...

    def softmax(self, values: Array, axis: int) -> Array:
        """Exponentials normalised along an axis."""
        ...

    def log_softmax(self, values: Array, axis: int) -> Array:
        """The logarithm of :meth:`softmax`."""
        ...

    def logsumexp(self, values: Array, axis: int) -> Array:
        """log Σ exp along an axis."""
        ...

    def i0e(self, values: Array) -> Array:
        """e^−x I₀(x), x ≥ 0."""
        ...

    def i1e(self, values: Array) -> Array:
        """e^−x I₁(x), x ≥ 0."""
        ...

    def scan(
        self, step: Callable[[Array, tuple[Array, ...]], tuple[Array, Array]], carry: Array, rows: Any
    ) -> Array:
        """``carry, out = step(carry, rows[i])`` for every i in turn; the outs, stacked.

        ``rows`` is a tuple of arrays that share their first axis.
        """
        ...


class FrameworkArrays:
    """The operations that PyTorch and JAX have fused, from the modules where each keeps them.

    Attributes
    ----------
    nn, special
        ``torch.nn.functional`` or ``jax.nn``, and the module of special functions.
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


def perceptron(arrays: Arrays, layers: list[tuple[Array, Array]], values: Array) -> Array:
    """A network of (weight, bias) pairs with SiLU between its layers, (inputs, n) → (outputs, n)."""
    for n, (weight, bias) in enumerate(layers):
        values = arrays.affine(bias, weight, arrays.silu(values) if n else values)
    return values


def layers_of(weights: Weights, prefix: str, first: int = 0) -> list[tuple[Array, Array]]:
    """The pairs ``weight.n``, ``bias.n`` below a prefix, from layer number ``first``."""
    pairs = []
    while (name := f"{prefix}weight.{first}") in weights:
        pairs.append((weights[name], weights[f"{prefix}bias.{first}"]))
        first += 1
    return pairs


def chosen(arrays: Arrays, log_p: Array, choice: Array) -> Array:
    """Entries of one u per configuration, added over blocks: (order, batch, …), (batch, …) → (batch,)."""
    picked = arrays.xp.take_along_axis(log_p, choice[None], axis=0)[0]
    return picked.reshape(len(choice), -1).sum(axis=1)


def inverse_cdf(arrays: Arrays, log_probabilities: Array, uniform: Array) -> Array:
    """Indices of the first axis: log p (order, batch, …), uniforms (batch, …) → (batch, …)."""
    xp = arrays.xp
    cumulative = xp.cumulative_sum(xp.exp(log_probabilities), axis=0)
    below = (cumulative < uniform * cumulative[-1]).sum(axis=0)
    return xp.clip(below, 0, len(log_probabilities) - 1)
