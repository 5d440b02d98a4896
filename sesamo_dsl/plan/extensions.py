"""Registries of flows and laws that users add, by the names that options have for them.

Options check the names here; the sampler uses the registered flows and laws. The registry of bases is in
:mod:`sesamo_dsl.plan.bases`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..flows.base import GaussianBase
from ..values.arrays import Arrays
from ..values.registry import Registry
from .bases import BASES

Law = Literal["uniform", "learned", "conditional", "heat_bath"]
"""The laws p(u|y) of the package, the most exact one last: the test suite looks at it most closely."""

FlowFactory = Callable[[Arrays, GaussianBase, str], object]
"""(arrays, base, dtype) → a :class:`sesamo_dsl.sampler.Flow`."""


class LawTraits(Protocol):
    """What a plan knows of a law; the class of a user has it from :class:`sesamo_dsl.sampler.GroupLaw`."""

    @property
    def has_table(self) -> bool:
        """True if the law evaluates log p(u|y) for every u at once."""
        ...

    @property
    def depends_on_y(self) -> bool:
        """False if p(u|y) is the same for all y, so that it cannot be exact where the symmetry is broken."""
        ...

    @property
    def equivariant(self) -> bool:
        """True if p(u|T_g y) = p(ug|y), so that the objective is continuous where a fold joins two walls."""
        ...

    @property
    def note(self) -> str:
        """What a reader of results has to know about the law, or nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class OwnLaw:
    """The traits of a law of the package: a plan is made before any class of the sampler is imported."""

    has_table: bool
    depends_on_y: bool
    equivariant: bool
    note: str = ""


_OWN_LAWS: dict[Law, OwnLaw] = {
    "uniform": OwnLaw(has_table=True, depends_on_y=False, equivariant=True),
    "learned": OwnLaw(has_table=True, depends_on_y=False, equivariant=False),
    "conditional": OwnLaw(
        has_table=True,
        depends_on_y=True,
        equivariant=True,
        note="p(u|y) is as good as its training; the weights correct for the rest",
    ),
    "heat_bath": OwnLaw(has_table=True, depends_on_y=True, equivariant=True),
}


FLOWS: Registry[FlowFactory] = Registry("flow")
"""Flows of users by name; a flow of the package is given by a :class:`~sesamo_dsl.flows.spec.FlowSpec`."""

LAWS: Registry[LawTraits] = Registry("law", {**_OWN_LAWS})
"""What is known of each law by name: classes of users, and traits of the laws of the package."""

EXTENDABLE: Mapping[str, Registry[Any]] = {registry.option: registry for registry in (FLOWS, BASES, LAWS)}
"""The registries by the name of the option."""
