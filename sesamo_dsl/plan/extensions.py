"""Registries of flows and laws that users add, by the names that options have for them.

Options check the names here; the sampler uses the registered flows and laws. The registry of bases is in
:mod:`sesamo_dsl.plan.bases`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, get_args

from ..flows.base import GaussianBase
from ..values.arrays import Arrays
from ..values.registry import Registry
from .bases import BASES

Law = Literal["uniform", "learned", "conditional", "heat_bath"]
"""The laws p(u|y) of the package."""

FlowFactory = Callable[[Arrays, GaussianBase, str], object]
"""(arrays, base, dtype) → a :class:`sesamo_dsl.sampler.Flow`."""


class LawClass(Protocol):
    """The part of the class :class:`sesamo_dsl.sampler.GroupLaw` that a plan uses."""

    @property
    def has_table(self) -> bool:
        """True if the law evaluates log p(u|y) for every u at once."""
        ...

    def __call__(self, group: Any) -> Any:
        """The law for a :class:`sesamo_dsl.sampler.GroupAction`."""
        ...


FLOWS: Registry[FlowFactory] = Registry("flow")
"""Flows of users by name; a flow of the package is given by a :class:`~sesamo_dsl.flows.spec.FlowSpec`."""

LAWS: Registry[LawClass] = Registry("law", reserved=get_args(Law))
"""Laws of users by name; the laws of the package are in :mod:`sesamo_dsl.sampler.laws`."""

EXTENDABLE: Mapping[str, Registry[Any]] = {registry.option: registry for registry in (FLOWS, BASES, LAWS)}
"""The registries by the name of the option."""
