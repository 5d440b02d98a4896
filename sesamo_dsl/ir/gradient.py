"""Reverse-mode differentiation of a Function: adds ∂output/∂x next to the output.

The program is differentiated and not the SymPy expression, so that a log-sum-exp becomes a softmax that
cannot overflow and values of the forward pass are shared. Each operation has its own ``pull_back``.

A function that saturates, such as tanh(eˣ), has slope 0 where the slope of what is inside of it overflows.
Where an adjoint may be 0 and the slope that it is multiplied by may be infinite, 0·∞ is 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from .builder import Builder
from .intervals import ValueIntervals
from .operations import OPERATIONS
from .program import Function
from .value import Kind


def with_gradient(function: Function, output: str, components: int, name: str, doc: str) -> Function:
    """The function (x, …) ↦ (output, gradient), gradient of the shape (batch, components, *lattice) of x."""
    builder = Builder(name, doc, function.inputs, function.parameters)
    root = builder.extend(function)[dict(function.outputs)[output]]
    parts, zero = gradient_parts(builder, root), builder.constant(0.0)
    gradient = builder.stack([builder.broadcast(parts.get(a, zero)) for a in range(components)])
    return builder.finish(**{output: root, "gradient": gradient})


def gradient_parts(builder: Builder, root: int) -> dict[int, int]:
    """∂root/∂x by component; those that it does not depend on are left out."""
    parts: dict[int, int] = {}
    for value, adjoint in _adjoints(builder, root, frozenset()).items():
        op = builder.op(value)
        if op.name == "component":
            parts[op.attribute] = (
                builder.add(parts[op.attribute], adjoint) if op.attribute in parts else adjoint
            )
    return parts


def derivatives(builder: Builder, root: int, variables: Iterable[int]) -> dict[int, int]:
    """∂root/∂v of values v that are taken to be independent variables; those without influence are left out.

    Entry by entry, where root and variables are densities.
    """
    ends = frozenset(variables)
    return {v: a for v, a in _adjoints(builder, root, ends).items() if v in ends}


def coupling_slopes(builder: Builder, root: int, couplings: Iterable[str]) -> dict[str, int]:
    """∂root/∂θ of each configuration for couplings θ that are numbers; those without influence are left out.

    Operations that an argument enters without a derivative, such as comparisons, count as constant in it.
    """
    ends = {builder.parameter(name): name for name in couplings}
    adjoints = _adjoints(builder, root, frozenset(ends), couplings=True)
    return {name: adjoints[value] for value, name in ends.items() if value in adjoints}


def _adjoints(
    builder: Builder, root: int, ends: frozenset[int], *, couplings: bool = False
) -> dict[int, int]:
    """The adjoints of all values that a root depends on, back to ``ends`` and components.

    Those of numbers, which are made of couplings and literals, are among them only if ``couplings`` is True.
    """
    intervals = ValueIntervals(builder)
    adjoints: dict[int, int] = {root: builder.constant(1.0)}
    for value in reversed(range(root + 1)):
        if value not in adjoints or value in ends:
            continue
        op, adjoint = builder.op(value), adjoints[value]
        if op.name == "component":
            continue
        slopes = _Slopes(builder, intervals, root, adjoint)
        for target, contribution in OPERATIONS[op.name].pull_back(builder, op, value, adjoint):
            kind = builder.kind(target)
            if kind is Kind.SCALAR and (not couplings or builder.op(target).name == "constant"):
                continue
            if slopes.may_be_infinite(contribution) and intervals.may_vanish(adjoint):
                contribution = builder.where(adjoint, contribution, builder.constant(0.0))
            if kind in (Kind.SCALAR, Kind.CONFIG) and op.kind is Kind.SITE:
                contribution = builder.site_sum(builder.broadcast(contribution))
            known = adjoints.get(target)
            adjoints[target] = contribution if known is None else builder.add(known, contribution)
    return adjoints


class _Slopes:
    """The slopes that one adjoint is multiplied by in its contributions to other adjoints."""

    def __init__(self, builder: Builder, intervals: ValueIntervals, root: int, adjoint: int) -> None:
        self._builder, self._intervals, self._root = builder, intervals, root
        self._adjoint = self._factors(adjoint)  # the simplest form may have multiplied them one by one

    def may_be_infinite(self, contribution: int) -> bool:
        """Whether a slope may overflow or be divided by 0."""
        if contribution in self._adjoint or not self._is_product(contribution):
            return False
        op = self._builder.op(contribution)
        if op.name == "div" and self._intervals.may_vanish(op.args[1]):
            return True
        with_adjoint = [factor for factor in op.args if self._has_adjoint(factor)]
        slopes = [factor for factor in op.args if factor not in with_adjoint]
        if op.name == "mul" and any(map(self._intervals.may_overflow, slopes)):
            return True
        return any(map(self.may_be_infinite, with_adjoint))

    def _factors(self, value: int) -> set[int]:
        op = self._builder.op(value)
        if op.name == "constant":
            return set()
        parts = map(self._factors, op.args) if op.name == "mul" and value > self._root else ()
        return {value}.union(*parts)

    def _has_adjoint(self, value: int) -> bool:
        args = self._builder.op(value).args if self._is_product(value) else ()
        return value in self._adjoint or any(map(self._has_adjoint, args))

    def _is_product(self, value: int) -> bool:
        """Whether a value is a product or quotient that is not part of the function itself."""
        return value > self._root and self._builder.op(value).name in ("mul", "div")
