"""What the caller has switched on in PyTorch, put aside while this package computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def scope() -> Iterator[None]:
    """Gradients are recorded, tensors are plain ones, and new ones are made on the CPU."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":  # a device that is set makes every call slower
            stack.enter_context(torch.device("cpu"))
        yield
