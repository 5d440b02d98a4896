"""Running error analysis: how far rounding can move the outputs of a program function.

Every value carries a bound on its error, |computed − exact|, propagated to first order and enlarged by one
unit roundoff of the result per operation (Higham, Accuracy and Stability of Numerical Algorithms, § 3.3).
Tolerances of the laws come from here and not from guesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from ..errors import LoweringError
from ..ir.fermions import conditioning, log_det_and_gradient
from ..ir.half_line import half_line, half_line_inverse, half_line_log_slope
from ..ir.interpreter import evaluate_op
from ..ir.program import Kind, Program
from ..values.couplings import Couplings

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
    site_shape = (x.shape[0], *x.shape[2:])
    values: list[Any] = []
    errors: list[Any] = []
    first = function.inputs[0][0]
    inputs = {first: x, **(inputs or {})}
    for op in function.ops:
        args, deltas = [values[a] for a in op.args], [errors[a] for a in op.args]
        if op.kind is Kind.SITE and op.name not in ("shift", "component", "stack_dot", "stack_logsumexp"):
            column = (site_shape[0], *(1,) * (len(site_shape) - 1))
            config = [function.ops[a].kind is Kind.CONFIG for a in op.args]
            args = [np.reshape(v, column) if c else v for v, c in zip(args, config, strict=True)]
            deltas = [np.reshape(d, column) if c else d for d, c in zip(deltas, config, strict=True)]
        with np.errstate(all="ignore"):
            value = evaluate_op(op.name, args, op.attribute, program, inputs, parameters, site_shape, x.dtype)
        carried = input_error if op.attribute == first else 0.0
        attribute, matrices = op.attribute, None
        if op.name in ("fermion_log_det", "fermion_gradient"):
            attribute = (program.constants[attribute[0]], attribute[1])
        elif op.name in ("act_on_blocks", "spread"):
            matrices = program.constants[attribute[0]]
        elif isinstance(attribute, str):
            matrices = program.constants.get(attribute)
        if op.name in ("neighbours", "gather", "scatter"):
            attribute = matrices
        with np.errstate(all="ignore"):
            error = _propagate(
                op.name, args, deltas, value, attribute, site_shape, carried, roundoff, matrices
            )
        values.append(value)
        errors.append(
            np.asarray(error) + roundoff * np.abs(value) * (op.name not in ("component", "shift", "stack"))
        )
    shapes = [np.shape(values[i]) for _, i in function.outputs]
    return tuple(
        _SAFETY * np.broadcast_to(errors[i], shape)
        for (_, i), shape in zip(function.outputs, shapes, strict=True)
    )


def _propagate(name, args, deltas, value, attribute, site_shape, input_error, roundoff, matrices) -> Any:
    axes = tuple(range(1, len(site_shape)))
    match name:
        case "input":
            return np.broadcast_to(input_error, np.shape(value))
        case "parameter" | "constant" | "site_constant" | "site_parameter":
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
        case "gather":
            return np.broadcast_to(deltas[0], site_shape)[..., attribute.astype(int)]
        case "scatter":
            grown = np.broadcast_to(deltas[0], site_shape) + roundoff * len(attribute) * np.abs(args[0])
            result = np.zeros(site_shape)
            np.add.at(result.T, attribute.astype(int), grown.T)
            return result
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
        case "erf" | "erfc":
            return 1.13 * deltas[0]
        case "asinh" | "i0e" | "i1e":
            return deltas[0] + roundoff
        case "hold":
            return deltas[0]
        case "wall":
            return 0.0
        case "expm1":
            return (1 + np.abs(value)) * deltas[0]
        case "asin" | "acos":
            return deltas[0] / np.sqrt(np.maximum(1 - args[0] ** 2, np.finfo(float).tiny))
        case "acosh":
            return deltas[0] / np.sqrt(np.maximum(args[0] ** 2 - 1, np.finfo(float).tiny))
        case "atanh":
            return deltas[0] / np.abs(1 - args[0] ** 2)
        case "floor":
            nearest = np.abs(args[0] - np.round(args[0]))
            return 1.0 * ((nearest <= deltas[0]) & (np.asarray(deltas[0]) > 0))
        case "lgamma":
            return np.abs(special.digamma(args[0])) * deltas[0] + roundoff
        case "digamma":
            return special.polygamma(1, args[0]) * deltas[0] + roundoff
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
            either = np.maximum(deltas[1], deltas[2]) + np.abs(args[1] - args[2])
            return np.where(np.asarray(deltas[0]) > 0.5, either, np.where(args[0] != 0, deltas[1], deltas[2]))
        case "site_mean":
            sites = tuple(range(2, args[0].ndim))
            grown = np.broadcast_to(deltas[0], args[0].shape) + roundoff * np.log2(
                np.prod(site_shape[1:]) + 1
            ) * np.abs(args[0])
            return grown.mean(axis=sites)
        case "linear":
            grown = np.broadcast_to(deltas[0], args[0].shape) + roundoff * (matrices.shape[1] + 1) * np.abs(
                args[0]
            )
            return grown @ np.abs(matrices).T
        case "act":
            grown = np.broadcast_to(deltas[0], args[0].shape) + roundoff * (matrices.shape[1] + 1) * np.abs(
                args[0]
            )
            return np.einsum("nab,nb...->na...", np.abs(matrices)[args[1]], grown)
        case "block_mean":
            rest = tuple(a + 2 for a in range(args[0].ndim - 2) if a not in attribute)
            grown = np.broadcast_to(deltas[0], args[0].shape) + roundoff * np.log2(
                np.prod(site_shape[1:]) + 1
            ) * np.abs(args[0])
            mean = grown.mean(axis=rest) if rest else grown
            return np.swapaxes(mean.reshape(*mean.shape[:2], -1), 1, 2)
        case "block_sum":
            rest = tuple(a for a in axes if a - 1 not in attribute)
            terms = int(np.prod(site_shape[1:]))
            grown = np.broadcast_to(deltas[0], site_shape) + roundoff * np.log2(terms + 1) * np.abs(args[0])
            return grown.sum(axis=rest).reshape(site_shape[0], -1)
        case "act_on_blocks":
            grown = np.broadcast_to(deltas[0], args[0].shape) + roundoff * (matrices.shape[1] + 1) * np.abs(
                args[0]
            )
            per_site = np.moveaxis(np.abs(matrices)[args[1]], 1, -1)
            return (_over_blocks(per_site, args[0], attribute[1]) * grown[:, None]).sum(axis=2)
        case "spread":
            size = np.broadcast_to(deltas[1], args[1].shape) + roundoff * (matrices.shape[1] + 1) * np.abs(
                args[1]
            )
            moved = size @ np.abs(matrices).T
            by_block = moved[:, None] if moved.ndim == 2 else moved
            steps = _over_blocks(np.swapaxes(by_block, 1, 2), args[0], attribute[1])
            return np.broadcast_to(deltas[0], args[0].shape) + steps
        case "half_line" | "half_line_inverse" | "half_line_log_slope":
            return _half_line(name, args, deltas, value, roundoff)
        case "difference":
            return np.broadcast_to(deltas[0], value.shape) + np.broadcast_to(deltas[1], value.shape)
        case "total":
            grown = np.broadcast_to(deltas[0], args[0].shape) + roundoff * args[0].size * np.abs(args[0])
            return grown.reshape(len(args[0]), -1).sum(axis=1)
        case "flatten":
            return np.broadcast_to(deltas[0], args[0].shape).reshape(len(args[0]), -1)
        case "entry" | "tail":
            delta = np.broadcast_to(deltas[0], args[0].shape)
            return delta[:, attribute] if name == "entry" else delta[:, 1:]
        case "norm":
            return np.broadcast_to(deltas[0], args[0].shape).sum(axis=1) + roundoff * args[0].shape[1] * value
        case "direction":
            length = np.maximum(np.sqrt((args[0] ** 2).sum(axis=1, keepdims=True)), np.finfo(float).tiny)
            total = np.broadcast_to(deltas[0], args[0].shape).sum(axis=1, keepdims=True)
            return 2 * total / length + roundoff * args[0].shape[1]
        case "atan2":
            radius = np.maximum(np.hypot(args[0], args[1]), np.finfo(float).tiny)
            return (deltas[0] + deltas[1]) / radius
        case "filled" | "argmax":
            return 0.0
        case "combination":
            grown = np.broadcast_to(deltas[0], args[0].shape) + roundoff * (len(matrices) + 1) * np.abs(
                args[0]
            )
            return np.einsum("ni,iab->nab", grown, np.abs(matrices))
        case "matrix_polynomial":
            return _matrix_polynomial(args, deltas, roundoff)
        case "rotate" | "rotate_back":
            back = name == "rotate_back"
            grown = np.broadcast_to(deltas[0], args[0].shape) + roundoff * (args[0].shape[1] + 1) * np.abs(
                args[0]
            )
            matrix, error = np.abs(args[1]), np.broadcast_to(deltas[1], args[1].shape)
            if back:
                matrix, error = matrix.swapaxes(1, 2), error.swapaxes(1, 2)
            return np.einsum("nab,nb...->na...", matrix, grown) + np.einsum(
                "nab,nb...->na...", error, np.abs(args[0])
            )
        case "lt" | "le":
            return 1.0 * _undecided(args[0] - args[1], deltas[0] + deltas[1])
        case "sign":
            return 2.0 * _undecided(args[0], deltas[0])
    raise LoweringError(
        f"operation {name}",
        expected="an arithmetic operation",
        found=name,
        remedy="add its error propagation",
    )


def _matrix_polynomial(args: list[Any], deltas: list[Any], roundoff: float) -> np.ndarray:
    matrix, *coefficients = args
    size = np.abs(matrix)
    change = np.broadcast_to(deltas[0], matrix.shape)
    identity = np.broadcast_to(np.eye(matrix.shape[1]), matrix.shape)
    total, power, error = np.zeros_like(size), identity, np.zeros_like(size)
    for coefficient, delta in zip(coefficients, deltas[1:], strict=True):
        c = np.abs(np.reshape(coefficient, (-1, 1, 1)))
        total = total + c * error + (np.reshape(delta, (-1, 1, 1)) + 2 * roundoff * c) * power
        error = error @ size + power @ change + roundoff * (matrix.shape[1] + 1) * (power @ size)
        power = power @ size
    return total


def _undecided(value: Any, error: Any) -> np.ndarray:
    """Where rounding may change the sign of a value; a value free of error has its sign."""
    return (np.abs(value) <= error) & (np.asarray(error) > 0)


def _half_line(name: str, args: list[Any], deltas: list[Any], value: Any, roundoff: float) -> np.ndarray:
    """Errors of the quantile chart: tails are held as logarithms of size v²/2, whose slope is of size v.

    A dozen roundings of numbers of size 1 + a² + t² + v² stand for the library's own.
    """
    vector, location, width = args
    other = half_line_inverse(vector, location, width) if name == "half_line_inverse" else vector
    image = vector if name == "half_line_inverse" else half_line(vector, location, width)
    a, t, v = -location / width, (other - location) / width, (image - location) / width
    size = 1 + a**2 + t**2 + v**2
    slope = np.exp(half_line_log_slope(other, location, width))
    moved = np.broadcast_to(deltas[0], np.shape(vector))
    if name == "half_line":
        return slope * moved + 12 * roundoff * width * size
    if name == "half_line_inverse":
        return (moved + 12 * roundoff * width * size) / slope
    return (np.abs(t) + np.abs(v)) * moved / width + 24 * roundoff * size * (1 + np.abs(v) + np.abs(t))


def _over_blocks(values: np.ndarray, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return values.reshape(*values.shape[:-1], *(n if mu in axes else 1 for mu, n in enumerate(x.shape[2:])))
