"""The architectures of the package's flows, and the default for a lattice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import OptionError
from .bisection import BisectionSpec, check_chain
from .circular import CircularSpec
from .spec import FlowSpec

Architecture = FlowSpec | BisectionSpec | CircularSpec
"""The architecture of a flow of the package."""


def default_architecture(
    components: int, shape: tuple[int, ...], markov: bool, *, angles: bool = False
) -> Architecture:
    """A bisection if what the flow draws is a Markov chain; else the default of coupling flows.

    With angles it is a circular flow.
    """
    if angles:
        return CircularSpec.default(components, shape)
    return BisectionSpec() if markov else FlowSpec.default(components, shape)


def architecture_from_json(values: Mapping[str, Any]) -> Architecture:
    """Inverse of ``dataclasses.asdict``: coupling flows have layers, and circular ones may be relative."""
    kind: type[Architecture] = FlowSpec if "layers" in values else BisectionSpec
    kind = CircularSpec if "relative" in values else kind
    options: dict[str, Any] = {**values, "hidden": tuple(values["hidden"])}
    return kind(**options)


def check_fits(flow: Architecture, shape: tuple[int, ...], graph: bool, *, angles: bool = False) -> None:
    """Raise OptionError if the architecture is not for such a lattice, or not for such fields."""
    if angles != isinstance(flow, CircularSpec):
        raise OptionError(
            "option flow",
            expected="a CircularSpec for a theory with angles" if angles else "a flow for real fields",
            found=str(flow),
            remedy="leave the flow out, or give one for the fields of the theory",
        )
    if isinstance(flow, BisectionSpec):
        check_chain(shape, graph)
