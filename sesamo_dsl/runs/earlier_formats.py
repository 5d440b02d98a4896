"""What differs in runs of earlier formats: names, and the digest of a program.

Before format 4 the zero-mode layer was called collective.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar

from ..ir.program import Program
from ..ir.text import program_text
from .declaration import comparable

Value = TypeVar("Value")

_RENAMED_IN = 4  # the first format with the present name of the layer


def weights_of_today(state: Mapping[str, Value], format: int) -> dict[str, Value]:
    """The state of a model and of its optimiser with present names, from a state of an earlier format."""
    if format >= _RENAMED_IN:
        return dict(state)
    return {name.replace(".collective.", ".zero_mode."): value for name, value in state.items()}


def options_of_today(options: Mapping[str, Any], format: int) -> dict[str, Any]:
    """The options of a training with present names, from options of an earlier format."""
    flow = options.get("flow")
    if format >= _RENAMED_IN or not isinstance(flow, Mapping):
        return dict(options)
    names = {"collective": "zero_mode"}
    return {**options, "flow": {names.get(name, name): value for name, value in flow.items()}}


def digest_of_format_1(program: Program) -> str:
    """The digest of a program in runs of format 1, which depends on the order of its constants."""
    constants = [comparable(name, array) for name, array in program.constants.items()]
    return hashlib.sha256(f"{program_text(program)}\n{constants}".encode()).hexdigest()
