"""Reverse-mode differentiation of a Function: adds ∂output/∂x next to the output.

The program is differentiated and not the SymPy expression, so that a log-sum-exp becomes a softmax that
cannot overflow and values of the forward pass are shared. Each operation has its own ``pull_back``.
"""

from __future__ import annotations

from .builder import Builder
from .operations import OPERATIONS
from .program import Function
from .value import Kind


def with_gradient(function: Function, output: str, components: int, name: str, doc: str) -> Function:
    """The function (x, …) ↦ (output, gradient), gradient of the shape (batch, components, *lattice) of x."""
    builder = Builder(name, doc, function.inputs, function.parameters)
    root = builder.extend(function)[dict(function.outputs)[output]]
    adjoints: dict[int, int] = {root: builder.constant(1.0)}
    parts: dict[int, int] = {}  # of the gradient, by component

    def collect(sums: dict[int, int], key: int, contribution: int) -> None:
        sums[key] = builder.add(sums[key], contribution) if key in sums else contribution

    for value in reversed(range(root + 1)):
        if value not in adjoints:
            continue
        op, adjoint = builder.op(value), adjoints[value]
        if op.name == "component":
            collect(parts, op.attribute, adjoint)
            continue
        for target, contribution in OPERATIONS[op.name].pull_back(builder, op, value, adjoint):
            kind = builder.kind(target)
            if kind is Kind.SCALAR:
                continue  # parameters and literals do not depend on x
            if kind is Kind.CONFIG and op.kind is Kind.SITE:
                contribution = builder.site_sum(builder.broadcast(contribution))
            collect(adjoints, target, contribution)
    zero = builder.constant(0.0)
    gradient = builder.stack([builder.broadcast(parts.get(a, zero)) for a in range(components)])
    return builder.finish(**{output: root, "gradient": gradient})
