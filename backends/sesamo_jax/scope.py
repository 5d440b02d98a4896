"""The global options of JAX while this package computes; the caller's are restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from sesamo_dsl.values.precision import Precision


@contextmanager
def scope(precision: Precision) -> Iterator[None]:
    """Context that sets JAX's options for float64 (``jax_enable_x64``) and for dtype promotion."""
    with jax.enable_x64(precision == "float64"), jax.numpy_dtype_promotion("standard"):
        yield
