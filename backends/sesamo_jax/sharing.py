"""Functions that JAX compiles once for all models that differ in nothing but the numbers of their weights."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import equinox as eqx
import jax

Tree = TypeVar("Tree")


class Shared:
    """Jitted functions, and the structure of the weights that they were compiled for.

    Two trees of weights have equal structures only if their tables are the very same objects: ``alike`` gives
    a model's weights the tables of the first model.
    """

    def __init__(self, weights: Any, functions: dict[str, Callable[..., Any]]) -> None:
        self._structure = jax.tree.structure(weights)
        self._functions = {
            # a step replaces its weights: their memory is free for the new ones
            name: eqx.filter_jit(function, donate="all" if name == "step" else "none")
            for name, function in functions.items()
        }

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._functions[name]

    def alike(self, weights: Tree) -> Tree:
        """The same numbers with the tables of the first model."""
        return jax.tree.unflatten(self._structure, jax.tree.leaves(weights))


_shared: WeakValueDictionary[Hashable, Shared] = WeakValueDictionary()


def shared(key: Hashable, weights: Any, **functions: Callable[..., Any]) -> Shared:
    """What is shared under a key that determines all but the arguments; kept as long as any model uses it."""
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = Shared(weights, functions)
    return found
