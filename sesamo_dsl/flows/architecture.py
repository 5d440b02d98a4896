"""The architectures of the package's flows, and the default for a lattice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .bisection import BisectionSpec, check_chain
from .spec import FlowSpec

Architecture = FlowSpec | BisectionSpec
"""The architecture of a flow of the package."""


def default_architecture(components: int, shape: tuple[int, ...], markov: bool) -> Architecture:
    """A bisection if what the flow draws is a Markov chain; else the default of coupling flows."""
    return BisectionSpec() if markov else FlowSpec.default(components, shape)


def architecture_from_json(values: Mapping[str, Any]) -> Architecture:
    """Inverse of ``dataclasses.asdict``; coupling flows have layers, bisections have not."""
    kind: type[Architecture] = FlowSpec if "layers" in values else BisectionSpec
    options: dict[str, Any] = {**values, "hidden": tuple(values["hidden"])}
    return kind(**options)


def check_fits(flow: Architecture, shape: tuple[int, ...], graph: bool) -> None:
    """Raise OptionError if the architecture is not for such a lattice."""
    if isinstance(flow, BisectionSpec):
        check_chain(shape, graph)
