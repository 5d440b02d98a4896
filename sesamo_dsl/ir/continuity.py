"""Whether a function of a Program is proved to have neither jumps nor poles, operation by operation.

Operations say themselves whether they are smooth or continuous; of one that does not, nothing is proved.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..values.couplings import Couplings
from .operations import OPERATIONS
from .program import Function
from .value import Kind, Op

_GIVEN = frozenset(("parameter", "constant", "site_parameter", "site_constant"))
_DETERMINANT = "fermion_log_det"


def is_given(op: Op) -> bool:
    """Whether an operation gives what no configuration is in, such as a coupling."""
    return op.name in _GIVEN


def discontinuity(
    function: Function, parameters: Couplings, constants: Mapping[str, np.ndarray]
) -> str | None:
    """Why exp(−f) of an output f may jump or not be bounded; None if it is proved to be continuous.

    Logarithms, roots and quotients are continuous where their arguments are proved to be positive. A
    determinant may vanish: exp(−f) with f = −log|det| is then zero, and other functions of it are not proved.
    """
    signs = _Signs(function, parameters, constants)
    falling = _falling_determinants(function, signs)
    for index, op in enumerate(function.ops):
        if OPERATIONS[op.name].is_smooth or OPERATIONS[op.name].is_continuous:
            continue
        if op.name == "where" and is_given(function.ops[op.args[0]]):
            continue
        if op.name == "log" and signs.positive(op.args[0]):
            continue
        if op.name == "div" and (signs.positive(op.args[1]) or signs.negative(op.args[1])):
            continue
        if op.name == "sqrt" and signs.nonnegative(op.args[0]):
            continue
        if op.name == _DETERMINANT and index in falling:
            continue
        return f"its operation {op.name} may jump or have a pole"
    return None


def _falling_determinants(function: Function, signs: _Signs) -> set[int]:
    """Log-determinants that enter the outputs with negative factors, and in no other way."""
    inside: dict[int, set[int]] = {}  # the signs that a value of the linear part has
    pending = [(index, 1) for _, index in function.outputs]
    while pending:
        index, sign = pending.pop()
        if sign in inside.setdefault(index, set()):
            continue
        inside[index].add(sign)
        op = function.ops[index]
        if op.name == "add":
            pending += [(arg, sign) for arg in op.args]
        elif op.name == "sub":
            pending += [(op.args[0], sign), (op.args[1], -sign)]
        elif op.name in ("mul", "div"):
            factor, other = op.args if op.name == "mul" else op.args[::-1]
            if function.ops[factor].kind is Kind.SCALAR:
                known = [s for s, holds in ((1, signs.positive), (-1, signs.negative)) if holds(factor)]
                pending += [(other, sign * s) for s in known or (1, -1)]
    rising_or_nested = {
        index
        for index, op in enumerate(function.ops)
        if op.name == _DETERMINANT
        and (
            inside.get(index) != {-1}
            or any(index in user.args and i not in inside for i, user in enumerate(function.ops))
        )
    }
    dets = {index for index, op in enumerate(function.ops) if op.name == _DETERMINANT}
    return dets - rising_or_nested


class _Signs:
    """Which values are proved to be positive, negative or nowhere negative."""

    def __init__(
        self, function: Function, parameters: Couplings, constants: Mapping[str, np.ndarray]
    ) -> None:
        self._ops, self._parameters, self._constants = function.ops, parameters, constants

    def positive(self, index: int) -> bool:
        """> 0 everywhere."""
        op = self._ops[index]
        known = self._known(op)
        if known is not None:
            return bool((known > 0).all())
        both = op.name in ("mul", "div", "minimum")
        if both and all(map(self.positive, op.args)):
            return True
        if op.name in ("mul", "div") and all(map(self.negative, op.args)):
            return True
        if op.name == "add":
            signs = [self.positive(a) for a in op.args]
            return any(signs) and all(s or self.nonnegative(a) for s, a in zip(signs, op.args, strict=True))
        if op.name == "sub":
            return self.positive(op.args[0]) and self.negative(op.args[1])
        if op.name == "maximum":
            return any(map(self.positive, op.args))
        if op.name in ("sqrt", "shift", "gather", "broadcast", "site_sum"):
            return self.positive(op.args[0])
        return op.name in ("exp", "cosh", "erfc")

    def negative(self, index: int) -> bool:
        """< 0 everywhere."""
        op = self._ops[index]
        known = self._known(op)
        if known is not None:
            return bool((known < 0).all())
        if op.name in ("mul", "div"):
            return any(self.positive(op.args[i]) and self.negative(op.args[1 - i]) for i in (0, 1))
        return op.name in ("shift", "gather", "broadcast", "site_sum") and self.negative(op.args[0])

    def nonnegative(self, index: int) -> bool:
        """≥ 0 everywhere."""
        op = self._ops[index]
        known = self._known(op)
        if known is not None:
            return bool((known >= 0).all())
        if self.positive(index) or op.name in ("abs", "sqrt"):
            return True
        if op.name == "mul" and op.args[0] == op.args[1]:
            return True
        if op.name in ("add", "mul", "minimum"):
            return all(map(self.nonnegative, op.args))
        if op.name == "div":
            return self.nonnegative(op.args[0]) and self.positive(op.args[1])
        if op.name == "maximum":
            return any(map(self.nonnegative, op.args))
        return op.name in ("shift", "gather", "broadcast", "site_sum") and self.nonnegative(op.args[0])

    def _known(self, op: Op) -> np.ndarray | None:
        """Of what no configuration is in."""
        if op.name == "constant":
            return np.asarray(op.attribute)
        if op.name in ("parameter", "site_parameter"):
            return np.asarray(self._parameters[op.attribute])
        return self._constants[op.attribute] if op.name == "site_constant" else None
