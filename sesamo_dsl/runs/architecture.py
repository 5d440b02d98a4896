"""Whether an architecture is that of given weights, found out before memory is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ..ir.program import Program
from ..plan.plan import Plan

_MEMBER = re.compile(r"flow\.flows\.(\d+)\.")
_LAYER = re.compile(r"flow\.(?:flows\.(\d+)\.)?layers\.(\d+)\.blocks\.(\d+)\.weight\.(\d+)")


def check_architecture(plan: Plan, program: Program, state: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless the recorded architecture has the size of the weights.

    The weights are there, on disk; an architecture is a few numbers in a text, which can be anything.
    The sizes of a flow that a user has added are those that its factory gives.
    """
    flow = plan.flow
    if isinstance(flow, str):
        if plan.flows > 1:
            _check_flows({match[1] for name in state if (match := _MEMBER.match(name))}, plan.flows)
        return
    found = {name: match for name in state if (match := _LAYER.fullmatch(name))}
    layers = {int(match[2]) for match in found.values()}
    if layers != set(range(min(flow.layers, len(found) + 1))):
        raise ValueError(f"weights of {len(layers)} layers for an architecture of {flow.layers}")
    first = {int(m[4]): state[name].shape for name, m in found.items() if m[2] == "0" and m[3] == "0"}
    widths = tuple(first[n][0] for n in sorted(first))
    if widths[:-1] != flow.hidden or widths[-1] % flow.parameters_per_entry:
        raise ValueError(f"weights of widths {widths} for an architecture with hidden layers {flow.hidden}")
    inputs = first[0][1]
    window = flow.kernel ** len(program.shape) * len(program.components)
    # half of the window of a checkerboard is frozen; a graph has no more inputs than sites
    if program.nodes is None and window > 4 * (inputs + 1):
        raise ValueError(f"weights with {inputs} inputs for a window of {window} entries")
    _check_flows({match[1] for match in found.values()}, plan.flows)


def _check_flows(found: set[str | None], count: int) -> None:
    if len(found) != count:
        raise ValueError(f"weights of {len(found)} flows for a mixture of {count}")
