"""The array interface of a framework: the Python array API and a few operations that it lacks.

Sampler and annealing are written once for all frameworks. PyTorch, JAX and NumPy provide their namespace
(PyTorch through array-api-compat) and, in an :class:`Arrays`, the operations that the standard lacks or that
a framework has fused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""An array of the framework; axes are named in each docstring."""

Weights: TypeAlias = Mapping[str, Array]
"""All trained arrays, by their names in the state of a model."""


class Arrays(Protocol):
    """The array operations that a framework provides to sampler and annealing."""

    @property
    def xp(self) -> Any:
        """The namespace of the array API."""
        ...

    def constant(self, values: np.ndarray, dtype: str) -> Array:
        """A NumPy array as a constant of this dtype; ``"index"`` stands for the framework's integers."""
        ...

    def cast(self, values: Array, dtype: str) -> Array:
        """The array in another floating-point type."""
        ...

    def double(self, values: Array) -> Array:
        """The array in float64 if the framework allows it at the moment, else unchanged."""
        ...

    def to_numpy(self, values: Array) -> np.ndarray:
        """The array as a NumPy array."""
        ...

    def dtype_of(self, values: Array) -> str:
        """The name of the dtype, ``"float32"`` or ``"float64"``."""
        ...

    def detach(self, tree: Any) -> Any:
        """An array, or a mapping of weights, as constants: no derivative passes through them."""
        ...

    def zeros(self, shape: tuple[int, ...], like: Array) -> Array:
        """Zeros of the dtype and on the device of an array."""
        ...

    def take(self, values: Array, index: Array) -> Array:
        """values[index] along the first axis, index (n,)."""
        ...

    def affine(self, bias: Array, weight: Array, values: Array) -> Array:
        """weight @ values + bias."""
        ...

    def silu(self, values: Array) -> Array:
        """x/(1 + e^−x)."""
        ...

    def softmax(self, values: Array, axis: int) -> Array:
        """exp(x)/Σ exp(x) along an axis."""
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

    def ndtr(self, values: Array) -> Array:
        """Φ(x), the distribution function of N(0, 1)."""
        ...

    def scan(
        self, step: Callable[[Any, tuple[Array, ...]], tuple[Any, tuple[Array, ...]]], carry: Any, rows: Any
    ) -> tuple[Any, tuple[Array, ...]]:
        """The last carry and the stacked outs of ``carry, outs = step(carry, rows[i])`` for every i in turn.

        ``rows`` is a tuple of arrays that share their first axis.
        """
        ...

    def repeat(self, count: Any, step: Callable[[Any, Any], Any], carry: Any) -> Any:
        """The last ``carry`` of ``carry = step(i, carry)``, i < count; compiled once for all counts."""
        ...

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function of arrays and numbers, compiled if the framework has a compiler."""
        ...
