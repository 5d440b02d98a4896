"""The arrays of a framework: one namespace of the Python array API, and what it lacks.

Sampler and annealing are written once. PyTorch, JAX and NumPy lend them their namespace (PyTorch through
array-api-compat) and, in an :class:`Arrays`, the few operations that the standard does not have or that a
framework has fused.
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

    def repeat(self, count: Any, step: Callable[[Any, Any], Any], carry: Any) -> Any:
        """``carry = step(i, carry)`` for i = 0 … count − 1, compiled for any number of times at once."""
        ...

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of arrays and numbers, compiled where the framework compiles."""
        ...
