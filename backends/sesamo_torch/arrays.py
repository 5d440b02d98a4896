"""The array interface of PyTorch for sampler and annealing, see ``sesamo_dsl.values.arrays``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import array_api_compat.torch
import numpy as np
import torch
from torch import Tensor

from sesamo_dsl.sampler import FrameworkArrays


def _take_along_axis(values: Tensor, index: Tensor, /, *, axis: int) -> Tensor:
    """``torch.take_along_dim``, but its result has a batch of any length when it is exported."""
    (before, after), at = ([list(a.shape) for a in (values, index)], axis % values.ndim)
    lengths = before[at], after[at]
    before[at] = after[at] = 1
    common = list(torch.broadcast_shapes(before, after))
    given, wanted = ([*common[:at], length, *common[at + 1 :]] for length in lengths)
    return torch.gather(values.expand(given), at, index.expand(wanted))


class TorchArrays(FrameworkArrays):
    """Implements ``sesamo_dsl.sampler.Arrays`` on one device."""

    xp = SimpleNamespace(**{**vars(array_api_compat.torch), "take_along_axis": _take_along_axis})
    nn, special = torch.nn.functional, torch.special

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def constant(self, values: np.ndarray, dtype: str) -> Tensor:
        """A table as a tensor on the device; indices are int64."""
        kind = torch.long if dtype == "index" else getattr(torch, dtype)
        return torch.as_tensor(np.asarray(values, order="C"), device=self._device).to(kind)

    def cast(self, values: Tensor, dtype: str) -> Tensor:
        """The tensor in another dtype."""
        return values.to(getattr(torch, dtype))

    def double(self, values: Tensor) -> Tensor:
        """The tensor in float64."""
        return values.double()

    def to_numpy(self, values: Tensor) -> np.ndarray:
        """The tensor as a NumPy array on the CPU."""
        return values.detach().cpu().numpy()

    def dtype_of(self, values: Tensor) -> str:
        """The name of the dtype."""
        return str(values.dtype).removeprefix("torch.")

    def detach(self, tree: Any) -> Any:
        """The tensors detached from the graph."""
        if isinstance(tree, Mapping):
            return {name: value.detach() for name, value in tree.items()}
        return tree.detach()

    def zeros(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Zeros with the dtype and device of another tensor."""
        return like.new_zeros(shape)

    def take(self, values: Tensor, index: Tensor) -> Tensor:
        """values[index] along the first axis."""
        return values.index_select(0, index)

    def affine(self, bias: Tensor, weight: Tensor, values: Tensor) -> Tensor:
        """bias + weight @ values, fused in ``addmm``."""
        return torch.addmm(bias, weight, values)

    def scan(
        self,
        step: Callable[[Any, tuple[Any, ...]], tuple[Any, tuple[Any, ...]]],
        carry: Any,
        rows: tuple[Any, ...],
    ) -> tuple[Any, tuple[Tensor, ...]]:
        """A Python loop."""
        outputs = []
        for row in zip(*rows, strict=True):
            carry, output = step(carry, row)
            outputs.append(output)
        return carry, tuple(torch.stack(kept) for kept in zip(*outputs, strict=True))

    def repeat(self, count: Any, step: Callable[[Any, Any], Any], carry: Any) -> Any:
        """A Python loop."""
        for i in range(count):
            carry = step(i, carry)
        return carry

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function without recording of gradients; PyTorch does not compile it."""
        return torch.no_grad()(function)
