"""The options whose values users may add to, and what is found under their names.

Names are checked here, where options are; what they stand for is used by the sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, get_args

from ..flows.base import GaussianBase
from ..values.arrays import Arrays
from ..values.registry import Registry
from .bases import BASES

Law = Literal["uniform", "learned", "conditional", "heat_bath"]
"""The laws of u of the package."""

FlowFactory = Callable[[Arrays, GaussianBase, str], object]
"""(arrays, base, dtype) → a :class:`sesamo_dsl.sampler.Flow`."""


class LawClass(Protocol):
    """A class of laws, :class:`sesamo_dsl.sampler.GroupLaw`, as far as a plan has to know it."""

    @property
    def has_table(self) -> bool:
        """Whether log p(u|y) of every u is at hand."""
        ...

    def __call__(self, group: Any) -> Any:
        """The law of a group as it acts on arrays."""
        ...


FLOWS: Registry[FlowFactory] = Registry("flow")
"""Flows by name; the package's own are a :class:`~sesamo_dsl.flows.spec.FlowSpec` instead."""

LAWS: Registry[LawClass] = Registry("law", reserved=get_args(Law))
"""Laws of u by name; what those of the package are is in :mod:`sesamo_dsl.sampler.laws`."""

EXTENDABLE: Mapping[str, Registry[Any]] = {registry.option: registry for registry in (FLOWS, BASES, LAWS)}
"""By the name of the option."""
