"""Running error analysis: how far rounding can move the outputs of a program function.

Every value carries a bound on its error, |computed − exact|, propagated to first order and enlarged by one
unit roundoff of the result per operation (Higham, Accuracy and Stability of Numerical Algorithms, § 3.3).
Tolerances of the laws come from here and not from guesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import LoweringError
from ..ir.fermions import conditioning, log_det_and_gradient
from ..ir.interpreter import evaluate_op
from ..ir.program import Kind, Program

_SAFETY = 4.0  # covers the second order and library functions that are off by a few units in the last place


def error_bounds(
    program: Program,
    name: str,
    x: np.ndarray,
    parameters: Mapping[str, float],
    *,
    roundoff: float,
    input_error: np.ndarray | float = 0.0,
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
    """
    function = program.functions[name]
    site_shape = (x.shape[0], *x.shape[2:])
    values: list[Any] = []
    errors: list[Any] = []
    inputs = {function.inputs[0][0]: x}
    for op in function.ops:
        args, deltas = [values[a] for a in op.args], [errors[a] for a in op.args]
        if op.kind is Kind.SITE and op.name not in ("shift", "component", "stack_dot", "stack_logsumexp"):
            column = (site_shape[0], *(1,) * (len(site_shape) - 1))
            config = [function.ops[a].kind is Kind.CONFIG for a in op.args]
            args = [np.reshape(v, column) if c else v for v, c in zip(args, config, strict=True)]
            deltas = [np.reshape(d, column) if c else d for d, c in zip(deltas, config, strict=True)]
        value = evaluate_op(op.name, args, op.attribute, program, inputs, parameters, site_shape, x.dtype)
        attribute = op.attribute
        if op.name == "neighbours":
            attribute = program.constants[attribute]
        elif op.name in ("fermion_log_det", "fermion_gradient"):
            attribute = (program.constants[attribute[0]], attribute[1])
        error = _propagate(op.name, args, deltas, value, attribute, site_shape, input_error, roundoff)
        values.append(value)
        errors.append(
            np.asarray(error) + roundoff * np.abs(value) * (op.name not in ("component", "shift", "stack"))
        )
    shapes = [np.shape(values[i]) for _, i in function.outputs]
    return tuple(
        _SAFETY * np.broadcast_to(errors[i], shape)
        for (_, i), shape in zip(function.outputs, shapes, strict=True)
    )


def _propagate(name, args, deltas, value, attribute, site_shape, input_error, roundoff) -> Any:
    axes = tuple(range(1, len(site_shape)))
    match name:
        case "input":
            return np.broadcast_to(input_error, np.shape(value))
        case "parameter" | "constant":
            return 0.0
        case "component":
            return deltas[0][:, attribute]
        case "stack":
            return np.stack([np.broadcast_to(d, site_shape) for d in deltas], axis=1)
        case "shift":
            return np.roll(np.broadcast_to(deltas[0], site_shape), tuple(-o for o in attribute), axes)
        case "neighbours":
            matrix = np.abs(attribute)
            return (
                np.broadcast_to(deltas[0], site_shape) + roundoff * len(matrix) * np.abs(args[0])
            ) @ matrix
        case "broadcast":
            return np.broadcast_to(deltas[0], site_shape)
        case "fermion_log_det" | "fermion_gradient":
            # attribute: the matrix and the species. Slices are computed to a few roundoffs n, each level of
            # the tree adds as much; for the gradient a relative error of M is amplified by its condition
            # number, which the sum over all columns bounds. exp(K·step) inherits the error of its argument.
            nodes, levels = site_shape[2], 2 + np.log2(site_shape[1])
            amplified = conditioning(args[0], args[1], *attribute)
            kinetic = np.abs(attribute[0]).sum(axis=0).max() * np.abs(args[1])
            per_slice = roundoff * nodes * levels * (1 + kinetic) + deltas[1] * kinetic / np.abs(args[1])
            if name == "fermion_log_det":
                slope = log_det_and_gradient(args[0], args[1], *attribute)[1]
                moved = (np.abs(slope) * np.broadcast_to(deltas[0], site_shape)).sum(axis=axes)
                return moved + per_slice * amplified
            largest = np.broadcast_to(deltas[0], site_shape).max(axis=axes) + per_slice
            return (largest * amplified).reshape(-1, 1, 1) * (1 + np.abs(value))
        case "site_sum":
            terms = int(np.prod(site_shape[1:]))
            magnitude = np.abs(args[0]).sum(axis=axes)
            # pairwise or blocked summation in any order: the depth grows like log2, libraries may do worse
            return (
                np.broadcast_to(deltas[0], site_shape).sum(axis=axes)
                + roundoff * np.log2(terms + 1) * magnitude
            )
        case "add" | "sub":
            return deltas[0] + deltas[1]
        case "mul":
            return np.abs(args[1]) * deltas[0] + np.abs(args[0]) * deltas[1]
        case "div":
            return (deltas[0] + np.abs(value) * deltas[1]) / np.abs(args[1])
        case "exp":
            return np.abs(value) * deltas[0]
        case "log":
            return deltas[0] / np.abs(args[0])
        case "sqrt":
            return deltas[0] / np.maximum(2 * np.abs(value), np.sqrt(np.finfo(float).tiny))
        case "sin" | "cos" | "tanh" | "atan" | "abs" | "maximum" | "minimum":
            return np.max(np.stack(np.broadcast_arrays(*deltas)), axis=0)
        case "erf":
            return 1.13 * deltas[0]
        case "tan":
            return (1 + value**2) * deltas[0]
        case "sinh" | "cosh":
            return np.cosh(args[0]) * deltas[0]
        case "logsumexp":
            return np.max(np.stack(np.broadcast_arrays(*deltas)), axis=0) + roundoff * len(args)
        case "affine_stack":
            rows = np.abs(np.array(attribute))
            sizes = np.stack(args).reshape(len(args), -1)
            error = np.stack([np.broadcast_to(d, site_shape) for d in deltas]).reshape(len(args), -1)
            grown = error + roundoff * (len(args) + 1) * np.abs(sizes)
            return rows[:, 1:] @ grown + roundoff * rows[:, :1]
        case "stack_logsumexp":
            return (np.max(deltas[0], axis=0) + roundoff * len(args[0])).reshape(site_shape)
        case "stack_softmax":
            return np.abs(value) * (
                deltas[0] + np.reshape(deltas[1], -1) + roundoff * np.abs(np.reshape(args[1], -1))
            )
        case "stack_dot":
            weights = np.abs(np.array(attribute))
            return (weights @ (deltas[0] + roundoff * len(weights) * np.abs(args[0]))).reshape(site_shape)
        case "where":
            return np.where(args[0] != 0, deltas[1], deltas[2])
        case "lt" | "le" | "sign":
            return 0.0
    raise LoweringError(
        f"operation {name}",
        expected="an arithmetic operation",
        found=name,
        remedy="add its error propagation",
    )
