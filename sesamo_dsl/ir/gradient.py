"""Reverse-mode differentiation of a Function: adds ∂output/∂x next to the output.

The program is differentiated and not the SymPy expression, so that a log-sum-exp becomes a softmax that
cannot overflow and values of the forward pass are shared. Each operation has its own ``pull_back``.
"""

from __future__ import annotations

from collections.abc import Iterable

from .builder import Builder
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


def _adjoints(builder: Builder, root: int, ends: frozenset[int]) -> dict[int, int]:
    """The adjoints of all values that a root depends on, back to ``ends`` and components."""
    adjoints: dict[int, int] = {root: builder.constant(1.0)}
    for value in reversed(range(root + 1)):
        if value not in adjoints or value in ends:
            continue
        op, adjoint = builder.op(value), adjoints[value]
        if op.name == "component":
            continue
        for target, contribution in OPERATIONS[op.name].pull_back(builder, op, value, adjoint):
            kind = builder.kind(target)
            if kind is Kind.SCALAR:
                continue  # parameters and literals do not depend on x
            if kind is Kind.CONFIG and op.kind is Kind.SITE:
                contribution = builder.site_sum(builder.broadcast(contribution))
            known = adjoints.get(target)
            adjoints[target] = contribution if known is None else builder.add(known, contribution)
    return adjoints
