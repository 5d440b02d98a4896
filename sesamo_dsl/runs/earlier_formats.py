"""What has another name in runs of an earlier format: the layer of the zero modes was called collective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

_RENAMED_IN = 4  # the format in which the layer has its name of today


def weights_of_today(state: Mapping[str, Value], format: int) -> dict[str, Value]:
    """The state of a model, and of its optimizer, under the names of today."""
    if format >= _RENAMED_IN:
        return dict(state)
    return {name.replace(".collective.", ".zero_mode."): value for name, value in state.items()}


def options_of_today(options: Mapping[str, Any], format: int) -> dict[str, Any]:
    """The options of a training under the names of today."""
    flow = options.get("flow")
    if format >= _RENAMED_IN or not isinstance(flow, Mapping):
        return dict(options)
    names = {"collective": "zero_mode"}
    return {**options, "flow": {names.get(name, name): value for name, value in flow.items()}}
