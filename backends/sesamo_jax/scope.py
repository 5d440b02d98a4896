"""What the caller has switched on in JAX, put aside while this package computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import jax

from sesamo_dsl.values.precision import Precision

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def scope(precision: Precision) -> Iterator[None]:
    """JAX has float64 only behind a switch: it is set for the time of a call, and so is its promotion."""
    with jax.enable_x64(precision == "float64"), jax.numpy_dtype_promotion("standard"):
        yield


def scoped(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """A method inside of the scope of its object's attribute ``scope_precision``."""

    @wraps(method)
    def inside(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        with scope(self.scope_precision):
            return method(self, *args, **kwargs)

    return inside
