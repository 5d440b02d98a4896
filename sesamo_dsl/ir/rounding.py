"""Running error analysis: how far rounding can move the outputs of a program function.

Every value carries a bound on its error, |computed − exact|, propagated to first order and enlarged by one
unit roundoff of the result per operation (Higham, Accuracy and Stability of Numerical Algorithms, § 3.3). The
class of each operation has the propagation rule. The properties in ``testing`` take their tolerances from
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..values.couplings import Couplings
from .interpreter import arguments
from .operations import OPERATIONS
from .operations.operation import Setting
from .program import Program

_SAFETY = 4.0  # covers the second order and library functions that are off by a few units in the last place


def error_bounds(
    program: Program,
    name: str,
    x: np.ndarray,
    parameters: Couplings,
    *,
    roundoff: float,
    input_error: np.ndarray | float = 0.0,
    inputs: Mapping[str, np.ndarray] | None = None,
) -> tuple[np.ndarray, ...]:
    """A bound on the rounding error of each output of function ``name`` at configurations ``x``.

    Parameters
    ----------
    x
        Float64 array (batch, components, *lattice).
    roundoff
        Unit roundoff of the arithmetic that is judged, e.g. ``np.finfo(np.float32).eps``.
    input_error
        Error that ``x`` itself may carry, broadcastable to ``x``.
    inputs
        Further inputs of the function, free of error.
    """
    function = program.functions[name]
    first = function.inputs[0][0]
    at = Setting(
        program.constants,
        {first: x, **(inputs or {})},
        parameters,
        (x.shape[0], *x.shape[2:]),
        x.dtype,
        roundoff,
        {first: input_error},
    )
    values: list[Any] = []
    errors: list[Any] = []
    for op in function.ops:
        operation = OPERATIONS[op.name]
        args, deltas = (arguments(function, op, known, at.site_shape) for known in (values, errors))
        with np.errstate(all="ignore"):
            value = operation.value(args, op.attribute, at)
            error = np.asarray(operation.error(args, deltas, value, op.attribute, at))
        values.append(value)
        errors.append(error if operation.is_exact else error + roundoff * np.abs(value))
    shapes = [np.shape(values[i]) for _, i in function.outputs]
    return tuple(
        _SAFETY * np.broadcast_to(errors[i], shape)
        for (_, i), shape in zip(function.outputs, shapes, strict=True)
    )
