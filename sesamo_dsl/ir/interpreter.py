"""NumPy interpreter of a Program: the oracle both backends are tested against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from ..values.couplings import Couplings
from .fermions import log_det, log_det_and_gradient
from .half_line import half_line, half_line_inverse, half_line_log_slope
from .program import Function, Kind, Program

_SPECIAL = {
    "erf": special.erf,
    "erfc": special.erfc,
    "lgamma": special.gammaln,
    "digamma": special.digamma,
    "i0e": special.i0e,
    "i1e": special.i1e,
    **{name: getattr(np, f"arc{name[1:]}") for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
}


def run(
    program: Program,
    name: str,
    inputs: Mapping[str, np.ndarray],
    parameters: Couplings | None = None,
) -> tuple[np.ndarray, ...]:
    """Evaluate function ``name`` of a program; returns its outputs in order.

    ``inputs`` have a leading batch axis; values are computed in their dtype.
    """
    function = program.functions[name]
    values: list[Any] = []
    first = next(iter(inputs.values()))
    batch, lattice = first.shape[0], first.shape[2:]  # which may be smaller than the program's lattice
    dtype = next((a.dtype for a in inputs.values() if np.issubdtype(a.dtype, np.floating)), np.dtype(float))
    for op in function.ops:
        args = [values[a] for a in op.args]
        kinds = [function.ops[a].kind for a in op.args]
        if op.kind is Kind.SITE and op.name not in ("shift", "component"):
            # a per-configuration operand meets a density: give it the lattice axes
            args = [
                a.reshape(batch, *(1,) * len(lattice)) if k is Kind.CONFIG else a
                for a, k in zip(args, kinds, strict=True)
            ]
        values.append(
            evaluate_op(
                op.name, args, op.attribute, program, inputs, parameters or {}, (batch, *lattice), dtype
            )
        )
    return tuple(_as_output(values[i], function, i, batch) for _, i in function.outputs)


def _as_output(value: Any, function: Function, index: int, batch: int) -> np.ndarray:
    value = np.asarray(value)
    return np.broadcast_to(value, (batch,)) if function.ops[index].kind is Kind.SCALAR else value


def evaluate_op(name, args, attribute, program: Program, inputs, parameters, site_shape, dtype) -> Any:
    """The result of one operation; operands are already broadcast to each other."""
    lattice_axes = tuple(range(1, len(site_shape)))
    match name:
        case "input":
            return inputs[attribute]
        case "parameter":
            return np.asarray(parameters[attribute], dtype=dtype)
        case "constant":
            return np.asarray(attribute, dtype=dtype)
        case "site_parameter":
            return np.broadcast_to(np.asarray(parameters[attribute], dtype=dtype), site_shape)
        case "site_constant":
            return np.broadcast_to(program.constants[attribute].astype(dtype), site_shape)
        case "component":
            return args[0][:, attribute]
        case "stack":
            return np.stack(args, axis=1)
        case "shift":
            return np.roll(args[0], tuple(-o for o in attribute), lattice_axes)
        case "neighbours":
            return args[0] @ program.constants[attribute].astype(dtype)
        case "gather":
            return args[0][..., program.constants[attribute].astype(int)]
        case "scatter":
            result = np.zeros_like(args[0])
            np.add.at(result.T, program.constants[attribute].astype(int), args[0].T)
            return result
        case "fermion_log_det":
            field, step = args
            return log_det(field, step, program.constants[attribute[0]], attribute[1]).astype(dtype)
        case "fermion_gradient":
            field, step = args
            slope = log_det_and_gradient(field, step, program.constants[attribute[0]], attribute[1])[1]
            return slope.astype(dtype)
        case "site_sum":
            return args[0].sum(axis=lattice_axes)
        case "broadcast":
            return np.broadcast_to(args[0], site_shape)
        case "site_mean":
            return args[0].mean(axis=tuple(range(2, args[0].ndim)))
        case "linear":
            return args[0] @ program.constants[attribute].astype(dtype).T
        case "argmax":
            return np.argmax(args[0], axis=-1)
        case "act":
            matrices = program.constants[attribute].astype(dtype)[args[1]]
            return np.einsum("nab,nb...->na...", matrices, args[0])
        case "block_mean":
            rest = tuple(a + 2 for a in range(args[0].ndim - 2) if a not in attribute)
            mean = args[0].mean(axis=rest) if rest else args[0]
            return np.swapaxes(mean.reshape(*mean.shape[:2], -1), 1, 2)
        case "block_sum":
            rest = tuple(a for a in lattice_axes if a - 1 not in attribute)
            return args[0].sum(axis=rest).reshape(len(args[0]), -1)
        case "act_on_blocks":
            matrices, axes = program.constants[attribute[0]].astype(dtype), attribute[1]
            per_site = _over_blocks(np.moveaxis(matrices[args[1]], 1, -1), args[0], axes)
            return (per_site * args[0][:, None]).sum(axis=2)
        case "spread":
            moved = args[1] @ program.constants[attribute[0]].astype(dtype).T
            by_block = moved[:, None] if moved.ndim == 2 else moved
            return args[0] + _over_blocks(np.swapaxes(by_block, 1, 2), args[0], attribute[1])
        case "half_line":
            return half_line(*args)
        case "half_line_inverse":
            return half_line_inverse(*args)
        case "half_line_log_slope":
            return half_line_log_slope(*args)
        case "difference":
            return args[0] - args[1]
        case "total":
            return args[0].reshape(len(args[0]), -1).sum(axis=1)
        case "flatten":
            return args[0].reshape(len(args[0]), -1)
        case "affine_stack":
            rows = np.array(attribute, dtype=dtype)
            return rows[:, :1] + rows[:, 1:] @ np.stack(args).reshape(len(args), -1)
        case "stack_logsumexp":
            top = args[0].max(axis=0)
            return (top + np.log(np.exp(args[0] - top).sum(axis=0))).reshape(site_shape)
        case "stack_softmax":
            return np.exp(args[0] - args[1].reshape(-1))
        case "stack_dot":
            return (np.array(attribute, dtype=dtype) @ args[0]).reshape(site_shape)
        case "entry":
            return args[0][:, attribute]
        case "tail":
            return args[0][:, 1:]
        case "norm":
            return np.sqrt((args[0] ** 2).sum(axis=1))
        case "direction":
            length = np.sqrt((args[0] ** 2).sum(axis=1, keepdims=True))
            first = np.eye(args[0].shape[1], dtype=dtype)[:1]
            return np.where(length > 0, args[0] / np.where(length > 0, length, 1), first)
        case "filled":
            return np.full_like(args[0], attribute)
        case "atan2":
            return np.arctan2(args[0], args[1])
        case "combination":
            return np.einsum("ni,iab->nab", args[0], program.constants[attribute].astype(dtype))
        case "matrix_polynomial":
            matrix, *coefficients = args
            total, power = (
                np.zeros_like(matrix),
                np.broadcast_to(np.eye(matrix.shape[1], dtype=dtype), matrix.shape),
            )
            for coefficient in coefficients:
                total = total + coefficient[:, None, None] * power
                power = power @ matrix
            return total
        case "rotate":
            return np.einsum("nab,nb...->na...", args[1], args[0])
        case "rotate_back":
            return np.einsum("nba,nb...->na...", args[1], args[0])
        case "where":
            return np.where(args[0] != 0, args[1], args[2])
        case "logsumexp":
            stacked = np.stack(np.broadcast_arrays(*args))
            top = stacked.max(axis=0)
            return top + np.log(np.exp(stacked - top).sum(axis=0))
        case "add":
            return args[0] + args[1]
        case "sub":
            return args[0] - args[1]
        case "mul":
            return args[0] * args[1]
        case "div":
            return args[0] / args[1]
        case "maximum" | "minimum":
            return getattr(np, name)(*args)
        case "lt":
            return (args[0] < args[1]).astype(dtype)
        case "le":
            return (args[0] <= args[1]).astype(dtype)
        case "hold":
            return args[0]
        case "wall":
            return np.full_like(args[0], np.inf)
        case _ if name in _SPECIAL:
            return _SPECIAL[name](args[0]).astype(dtype)
        case _:
            return getattr(np, name)(args[0])


def _over_blocks(values: np.ndarray, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Values (batch, …, blocks) laid out along the lattice of ``x``, with extent 1 off the block axes."""
    shape = [n if mu in axes else 1 for mu, n in enumerate(x.shape[2:])]
    return values.reshape(*values.shape[:-1], *shape)
