"""Straight lines along which an S with exponentials falls or stays bounded, by expansions of S for t → ∞.

Exponentials that cancel are beyond float64: their difference is less than the rounding of either, and far out
each of them is ∞. On a line t v + b the expansion of S (``expansions``) is exact up to rounding of its
coefficients. exp(−S) is not integrable if

- S, without jumps, falls to −∞ like an exponential on the line through 0. Its slopes grow no faster than a
  power of an exponential of t, so that a tube around the line holds the fall, and the volume of the tube,
  falling no faster than the inverse of that power, does not matter beside exp(exp t); or
- S does not grow on lines t v + b with b drawn from a density. It then does not grow on a set of parallel
  lines of positive measure, and the integral along each of them is infinite.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np

from ..ir.interpreter import arguments
from ..ir.operations import OPERATIONS
from ..ir.operations.operation import Setting
from .directions import constant_fields
from .expansions import Expansion, UndecidedError, expanded, grows_exponentially, is_bounded
from .landscape import Landscape

_EXPONENTIAL = {"exp", "expm1", "sinh", "cosh"}
_FOLLOWED = _EXPONENTIAL | {
    *("input", "parameter", "site_parameter", "constant", "site_constant", "broadcast", "component"),
    *("add", "sub", "mul", "div", "abs", "sqrt", "log", "logsumexp", "affine_stack", "stack_logsumexp"),
    *("tanh", "sin", "cos", "atan", "hold", "lt", "le", "where", "maximum", "minimum"),
    *("shift", "neighbours", "gather", "site_sum"),
}
"""Operations whose values in NumPy are right for arrays of expansions."""
_WORK = 5_000  # entries of all values on all lines
_OFFSETS = 2  # lines beside the one through 0
_MULTIPLES, _NEAR = 32, 1e-6  # a direction so near to one of integers, up to this one, is taken for that one
_BITS = 20  # of the coordinates of any other direction

Kind = Literal["flat", "unbounded"]


def exponential_fall(landscape: Landscape, lines: np.ndarray) -> tuple[np.ndarray, Kind] | None:
    """(v, kind): a direction in which S falls, or stays bounded, among given ones; else None.

    ``lines``, (2 k, n), has k unit vectors and then their negatives.
    """
    function = landscape.program.functions["action"]
    names = {op.name for op in function.ops}
    if not names & _EXPONENTIAL or not names <= _FOLLOWED:
        return None
    rng = np.random.default_rng(0)
    c = len(landscape.program.components)
    there, back = np.split(lines, 2)
    lines = _distinct(np.stack([there, back], axis=1).reshape(lines.shape))
    if function.is_extensive and landscape.size > c:  # constant fields, where lattices are large
        constant = constant_fields(landscape)
        fields = lines.reshape(len(lines), c, -1)
        uniform = np.flatnonzero(np.ptp(fields, axis=2).max(axis=1) == 0)
        for row in uniform[: _WORK // (len(function.ops) * c)]:
            if _falls(constant, fields[row, :, 0]):
                return lines[row], "unbounded"
    entries = (1 + _OFFSETS) * len(function.ops) * landscape.size // c
    for v in lines[: _WORK // entries]:
        kind = _kind(landscape, v, rng)
        if kind is not None:
            return v, kind
    return None


def _kind(landscape: Landscape, v: np.ndarray, rng: np.random.Generator) -> Kind | None:
    """How S fails to grow in a direction, None where it grows or is not known to fail."""
    if _falls(landscape, v):
        return "unbounded"
    kinds: set[Kind] = set()
    for _ in range(_OFFSETS):
        s = _expansion(landscape, v, rng.normal(size=len(v)))
        if s is None:
            return None
        if s.order is None or is_bounded(s.order):
            kinds.add("flat")
        elif s.leading is not None and s.leading.coefficient < 0:
            kinds.add("unbounded")
        else:
            return None
    return "flat" if "flat" in kinds else "unbounded"


def _falls(landscape: Landscape, v: np.ndarray) -> bool:
    """Whether S falls to −∞ like an exponential on the line through 0, and on lines near it."""
    if landscape.program.functions["action"].may_jump:
        return False
    s = _expansion(landscape, v, np.zeros(len(v)))
    first = None if s is None else s.leading
    return first is not None and first.coefficient < 0 and grows_exponentially(first.key)


def _expansion(landscape: Landscape, v: np.ndarray, offset: np.ndarray) -> Expansion | None:
    """S at t v + offset; None where the larger of two values is not known."""
    program = landscape.program
    function = program.functions["action"]
    v = _without_rounding(v)
    x = np.empty((1, landscape.size), dtype=object)
    x[0] = [Expansion.line(slope, start) for slope, start in zip(v, offset, strict=True)]
    shape = (1, *landscape.shape)
    at = Setting(program.constants, {"x": landscape.fields(x)}, landscape.parameters, shape, np.dtype(float))
    values: list[Any] = []
    try:
        for op in function.ops:
            args = arguments(function, op, values, shape)
            if op.name == "logsumexp":  # numbers beside expansions have no exp of their own
                args = [_EXPANDED(arg) for arg in args]
            value = np.asarray(OPERATIONS[op.name].value(args, op.attribute, at))
            values.append(_EXPANDED(value) if value.dtype == object else value)
    except UndecidedError:
        return None
    (output,) = (values[index] for _, index in function.outputs)
    return cast(Expansion, expanded(np.asarray(output).reshape(-1)[0]))


_EXPANDED = np.frompyfunc(expanded, 1, 1)  # a maximum of fields and numbers holds both


def _distinct(lines: np.ndarray) -> np.ndarray:
    """Each direction once, in the given order."""
    _, first = np.unique(lines.round(9) + 0.0, axis=0, return_index=True)
    return lines[np.sort(first)]


def _without_rounding(v: np.ndarray) -> np.ndarray:
    """Nearly v, but for its length, in numbers whose sums have no rounding errors, small integers if any."""
    v = v / np.abs(v).max()
    for factor in range(1, _MULTIPLES + 1):
        if np.abs(factor * v - (factor * v).round()).max() < _NEAR:
            return (factor * v).round()
    return (v * 2.0**_BITS).round() / 2.0**_BITS
