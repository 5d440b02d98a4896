"""The arguments of all non-polynomial functions in S, as functions of a configuration.

They tell where S has narrow features: at stationary points of the exponent of a Gaussian, or where the
condition of a Piecewise changes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from ..ir.builder import Builder
from ..ir.interpreter import run
from ..ir.operations import OPERATIONS
from ..ir.operations.functions import Elementwise
from ..ir.program import Function
from ..ir.value import Kind
from .landscape import Landscape

_MOST_VALUES = 64
_COMPARED = frozenset({"lt", "le", "maximum", "minimum"})


class Followed:
    """Values of arguments at many points, (points, n) → (points, values)."""

    def __init__(self, landscape: Landscape, function: Function) -> None:
        program = replace(landscape.program, functions={"inner": function})
        self._landscape, self._program = landscape, program

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The values of all arguments at the first site, (points, n) → (points, values)."""
        fields = self._landscape.fields(x)
        found = run(self._program, "inner", {"x": fields}, self._landscape.parameters)
        rows = [value[(slice(None), *(0,) * (value.ndim - 1))] for value in found]  # of the first site
        return np.stack(rows, axis=1)


@dataclass(frozen=True, eq=False)
class InnerValues:
    """Arguments of non-polynomial functions, and their numbers by the way in which they matter.

    The stationary points of ``smooth`` arguments matter, and the changes of sign of ``broken`` ones; where a
    ``jumping`` one changes sign S may be discontinuous.
    """

    follow: Followed
    smooth: np.ndarray
    broken: np.ndarray
    jumping: np.ndarray


def inner_values(landscape: Landscape) -> InnerValues | None:
    """The inner values of the action; None if it is a polynomial or has a determinant, which is too slow."""
    action = landscape.program.functions["action"]
    if landscape.program.has_determinants:
        return None
    builder = Builder("inner", "", action.inputs, action.parameters)
    values = builder.extend(action)
    moving, logical = _depends_on_x(action), _is_logical(action)
    wanted: dict[int, set[str]] = {}

    def want(value: int, use: str) -> None:
        if builder.kind(value) in (Kind.SITE, Kind.CONFIG):
            wanted.setdefault(value, set()).add(use)

    seen = _seen(action)
    inside: set[int] = set()  # values that the arguments of curved functions depend on
    for index in reversed(seen):
        name = action.ops[index].name
        if _is_curved(name) or name == "logsumexp" or index in inside:
            inside.update(action.ops[index].args)
    for index in seen:
        op = action.ops[index]
        args = [a for a in op.args if moving[a]]
        if not args:
            continue
        if op.name in _COMPARED and not all(logical[a] for a in args):
            difference = builder.sub(values[op.args[0]], values[op.args[1]])
            want(difference, "smooth")
            want(difference, "broken")
            if op.name in ("lt", "le"):
                want(difference, "jumping")
        elif op.name == "floor":
            steps = builder.apply("sin", builder.mul(builder.constant(np.pi), values[args[0]]))
            want(steps, "broken")
            want(steps, "jumping")
        elif isinstance(function := OPERATIONS[op.name], Elementwise) and function.curved:
            want(values[args[0]], "smooth")
            if function.turns_at_zero:
                want(values[args[0]], "broken")
            if function.may_jump:
                want(values[args[0]], "jumping")
        elif op.name == "div" and moving[op.args[1]]:
            want(values[op.args[1]], "smooth")
            want(values[op.args[1]], "broken")
        elif op.name == "where" and moving[op.args[0]] and not logical[op.args[0]]:
            want(values[op.args[0]], "broken")
        elif op.name == "mul" and len(set(args)) == 1 and len(op.args) == 2 == len(args) and index in inside:
            want(values[args[0]], "smooth")  # a⁴ = (a²)² is flat at its centre, a² is not
        elif op.name == "logsumexp":
            for a in args:
                want(values[a], "smooth")
        elif op.name == "affine_stack":
            for row in op.attribute[:_MOST_VALUES]:
                total = builder.constant(row[0])
                for factor, a in zip(row[1:], op.args, strict=True):
                    if factor:
                        total = builder.add(total, builder.mul(builder.constant(factor), values[a]))
                want(total, "smooth")
    chosen = dict(itertools.islice(wanted.items(), _MOST_VALUES))
    if not chosen:
        return None
    function = builder.finish(**{f"value_{i}": value for i, value in enumerate(chosen)})
    smooth, broken, jumping = (
        np.array([i for i, uses in enumerate(chosen.values()) if use in uses], dtype=int)
        for use in ("smooth", "broken", "jumping")
    )
    return InnerValues(Followed(landscape, function), smooth, broken, jumping)


def _is_curved(name: str) -> bool:
    """Whether an operation is a function of one value with features where that is stationary."""
    operation = OPERATIONS[name]
    return isinstance(operation, Elementwise) and operation.curved


def _seen(function: Function) -> list[int]:
    """The operations that the value of S depends on; the argument of a wall only affects its slope."""
    seen = {index for _, index in function.outputs}
    for index in reversed(range(len(function.ops))):
        if index in seen and function.ops[index].name not in ("wall", "hold"):
            seen.update(function.ops[index].args)
    return sorted(seen)


def _depends_on_x(function: Function) -> list[bool]:
    """Whether each value depends on x; a ``hold`` is a scale that cancels and counts as constant."""
    moving: list[bool] = []
    for op in function.ops:
        moving.append(op.name == "input" or (op.name != "hold" and any(moving[a] for a in op.args)))
    return moving


def _is_logical(function: Function) -> list[bool]:
    """Whether each value is 0 or 1: a comparison, or an expression in comparisons alone."""
    logical: list[bool] = []
    for op in function.ops:
        made = op.name in ("maximum", "minimum", "mul", "sub") and all(logical[a] for a in op.args)
        literal = op.name == "constant" and op.attribute in (0.0, 1.0)
        logical.append(op.name in ("lt", "le") or literal or made)
    return logical
