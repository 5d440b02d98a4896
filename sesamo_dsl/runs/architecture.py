"""A check of the recorded architecture against the weights on disk, before memory is used for a model."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ..flows.bisection import BisectionSpec
from ..ir.program import Program
from ..plan.plan import Plan

_MEMBER = re.compile(r"flow\.flows\.(\d+)\.")
_LAYER = re.compile(r"flow\.(?:flows\.(\d+)\.)?layers\.(\d+)\.blocks\.(\d+)\.weight\.(\d+)")
_FIRST = re.compile(r"flow\.(?:flows\.(\d+)\.)?levels\.first\.0\.bias\.(\d+)")


def check_architecture(plan: Plan, program: Program, state: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless the recorded architecture fits the sizes of the weights.

    A damaged or edited architecture, a few numbers in ``run.json``, could ask for any amount of memory; the
    weights have the size of their file. Sizes of a user's flow are not known before its factory is called.
    """
    flow = plan.flow
    if isinstance(flow, str):
        if plan.flows > 1:
            _check_flows({match[1] for name in state if (match := _MEMBER.match(name))}, plan.flows)
        return
    if isinstance(flow, BisectionSpec):
        _check_bisection(flow, plan.flows, state)
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
    # half of the window of a checkerboard is frozen; on a graph the number of sites bounds the inputs
    if program.nodes is None and window > 4 * (inputs + 1):
        raise ValueError(f"weights with {inputs} inputs for a window of {window} entries")
    _check_flows({match[1] for match in found.values()}, plan.flows)


def _check_bisection(flow: BisectionSpec, flows: int, state: Mapping[str, np.ndarray]) -> None:
    found = [match for name in state if (match := _FIRST.fullmatch(name))]
    found.sort(key=lambda match: int(match[2]))
    one = found[0][1] if found else None
    widths = tuple(len(state[match[0]]) for match in found if match[1] == one)
    if widths != (*flow.hidden, flow.parameters_per_entry):
        raise ValueError(f"weights of widths {widths} for an architecture with hidden layers {flow.hidden}")
    _check_flows({match[1] for match in found}, flows)


def _check_flows(found: set[str | None], count: int) -> None:
    if len(found) != count:
        raise ValueError(f"weights of {len(found)} flows for a mixture of {count}")
