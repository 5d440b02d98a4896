"""What the caller has switched on in PyTorch, put aside while this package computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def scope() -> Iterator[None]:
    """Gradients are recorded, tensors are plain ones, and new ones are made on the CPU."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":  # a device that is set makes every call slower
            stack.enter_context(torch.device("cpu"))
        yield


def scoped(function: Callable[P, R]) -> Callable[P, R]:
    """The function inside of the scope."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with scope():
            return function(*args, **kwargs)

    return inside
