"""NumPy interpreter of a Program: tests compare all backends with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..values.couplings import Couplings
from .operations import OPERATIONS
from .operations.operation import Setting
from .program import Function, Program
from .value import Kind, Op


def run(
    program: Program,
    name: str,
    inputs: Mapping[str, np.ndarray],
    parameters: Couplings | None = None,
) -> tuple[np.ndarray, ...]:
    """Evaluate function ``name`` of a program; returns its outputs in order.

    ``inputs`` have a leading batch axis; values are computed in their dtype. Infinity and NaN raise no
    warning, as on the backends.
    """
    with np.errstate(all="ignore"):
        return _evaluated(program, name, inputs, parameters)


def _evaluated(
    program: Program, name: str, inputs: Mapping[str, np.ndarray], parameters: Couplings | None
) -> tuple[np.ndarray, ...]:
    function = program.functions[name]
    first = next(iter(inputs.values()))
    site_shape = (first.shape[0], *first.shape[2:])  # the lattice may be smaller than the program's
    dtype = next((a.dtype for a in inputs.values() if np.issubdtype(a.dtype, np.floating)), np.dtype(float))
    at = Setting(program.constants, inputs, parameters or {}, site_shape, dtype)
    values: list[Any] = []
    for op in function.ops:
        args = arguments(function, op, values, site_shape)
        values.append(OPERATIONS[op.name].value(args, op.attribute, at))
    return tuple(_as_output(values[i], function, i, site_shape[0]) for _, i in function.outputs)


def arguments(function: Function, op: Op, values: Sequence[Any], site_shape: tuple[int, ...]) -> list[Any]:
    """The arguments of the next operation, picked from all values (or errors) before it, ready to broadcast.

    A CONFIG value beside SITE or BLOCKS values gets axes of extent 1 for the lattice or the blocks.
    """
    args = [values[a] for a in op.args]
    for place in function.spread[len(values)]:
        axes = len(site_shape) - 1 if op.kind is Kind.SITE else 1
        args[place] = np.reshape(args[place], (site_shape[0], *(1,) * axes))
    return args


def _as_output(value: Any, function: Function, index: int, batch: int) -> np.ndarray:
    value = np.asarray(value)
    return np.broadcast_to(value, (batch,)) if function.ops[index].kind is Kind.SCALAR else value
