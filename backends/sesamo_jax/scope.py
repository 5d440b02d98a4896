"""What the caller has switched on in JAX, put aside while this package computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from sesamo_dsl.values.precision import Precision


@contextmanager
def scope(precision: Precision) -> Iterator[None]:
    """JAX has float64 only behind a switch: it is set for the time of a call, and so is its promotion."""
    with jax.enable_x64(precision == "float64"), jax.numpy_dtype_promotion("standard"):
        yield
