"""A cache of jitted functions, compiled once for all models that differ in their weights only."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakValueDictionary

import jax


class Shared:
    """Jitted functions by name."""

    def __init__(self, functions: dict[str, Callable[..., Any]]) -> None:
        self._functions = {
            # a step replaces the weights, so that XLA may reuse (donate) their memory
            name: jax.jit(
                function,
                donate_argnums=(0, 1) if name == "step" else (),
                static_argnums=(1,) if name == "noise" else (),
            )
            for name, function in functions.items()
        }

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._functions[name]


_shared: WeakValueDictionary[Hashable, Shared] = WeakValueDictionary()


def shared(key: Hashable, **functions: Callable[..., Any]) -> Shared:
    """The jitted functions of a key, which has to determine them; cached as long as a model uses them."""
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = Shared(functions)
    return found
