"""The global options of PyTorch while this package computes; the caller's are restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def scope() -> Iterator[None]:
    """Context in which gradients are recorded, tensors are plain, and new tensors are on the CPU."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":  # an explicit default device slows down every call
            stack.enter_context(torch.device("cpu"))
        yield
