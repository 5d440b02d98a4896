"""Reverse-mode differentiation of a Function: adds ∂output/∂x next to the output.

Done on the program and not in SymPy, so that a log-sum-exp differentiates to a softmax that cannot overflow
and values of the forward pass are shared.
"""

from __future__ import annotations

from fractions import Fraction

from ..errors import LoweringError
from .program import STEEPNESS, Builder, Function, Kind, Op


def with_gradient(function: Function, output: str, components: int, name: str, doc: str) -> Function:
    """The function (x, …) ↦ (output, gradient), gradient of the shape (batch, components, *lattice) of x."""
    builder = Builder(name, doc, function.inputs, function.parameters)
    values: list[int] = []
    for index, op in enumerate(function.ops):
        values.append(_replay(builder, op, [values[a] for a in op.args]))
        if index in function.notes:
            builder.note(values[-1], function.notes[index])
    root = dict(function.outputs)[output]
    adjoints: dict[int, int] = {root: builder.constant(1.0)}
    parts: dict[int, int] = {}
    for index in reversed(range(root + 1)):
        if index not in adjoints:
            continue
        op, adjoint = function.ops[index], adjoints[index]
        if op.name == "component":
            a = op.attribute
            parts[a] = builder.add(parts[a], adjoint) if a in parts else adjoint
            continue
        if op.name == "stack_logsumexp":
            # through the stack in one step: ∂/∂value_j = Σ_k softmax_k rows[k][j+1]
            stack = function.ops[op.args[0]]
            softmax = builder.stack_softmax(values[op.args[0]], values[index])
            for j, target in enumerate(stack.args):
                slope = builder.stack_dot(softmax, tuple(row[j + 1] for row in stack.attribute))
                contribution = builder.mul(adjoint, slope)
                adjoints[target] = (
                    builder.add(adjoints[target], contribution) if target in adjoints else contribution
                )
            continue
        for argument, contribution in _pull_back(
            builder, op, [values[a] for a in op.args], values[index], adjoint
        ):
            target = op.args[argument]
            kind = function.ops[target].kind
            if kind is Kind.SCALAR:
                continue  # parameters and literals do not depend on x
            if kind is Kind.CONFIG and op.kind is Kind.SITE:
                contribution = builder.site_sum(builder.broadcast(contribution))
            adjoints[target] = (
                builder.add(adjoints[target], contribution) if target in adjoints else contribution
            )
    zero = builder.constant(0.0)
    gradient = builder.stack([builder.broadcast(parts.get(a, zero)) for a in range(components)])
    return builder.finish(**{output: values[root], "gradient": gradient})


def _replay(b: Builder, op: Op, args: list[int]) -> int:
    return b.emit(op.name, tuple(args), op.kind, op.attribute)


def _pull_back(b: Builder, op: Op, args: list[int], value: int, adjoint: int) -> list[tuple[int, int]]:
    """(argument position, adjoint contribution) of one operation."""

    def times(factor: int) -> int:
        return b.mul(adjoint, factor)

    one = b.constant(1.0)
    match op.name:
        case "input" | "parameter" | "constant" | "site_constant" | "site_parameter":
            return []
        case "lt" | "le" | "sign" | "floor" | "hold":
            return []
        case "wall":
            return [(0, b.mul(b.constant(STEEPNESS), adjoint))]
        case "add":
            return [(0, adjoint), (1, adjoint)]
        case "sub":
            return [(0, adjoint), (1, b.unary("neg", adjoint))]
        case "mul" if args[0] == args[1]:
            return [(0, b.mul(b.constant(2.0), times(args[0])))]
        case "mul":
            return [(0, times(args[1])), (1, times(args[0]))]
        case "div":
            return [(0, b.div(adjoint, args[1])), (1, b.unary("neg", times(b.div(value, args[1]))))]
        case "shift":
            return [(0, b.shift(adjoint, tuple(-o for o in op.attribute)))]
        case "neighbours":
            return [(0, b.neighbours(b.broadcast(adjoint), op.attribute))]  # the matrix is symmetric
        case "gather":
            return [(0, b.scatter(b.broadcast(adjoint), op.attribute))]
        case "fermion_log_det":
            return [(0, times(b.fermion_gradient(args[0], args[1], *op.attribute)))]
        case "site_sum" | "broadcast":
            return [(0, adjoint)]
        case "exp":
            return [(0, times(value))]
        case "log":
            return [(0, b.div(adjoint, args[0]))]
        case "sin":
            return [(0, times(b.unary("cos", args[0])))]
        case "cos":
            return [(0, b.unary("neg", times(b.unary("sin", args[0]))))]
        case "tan":
            return [(0, times(b.add(one, b.mul(value, value))))]
        case "tanh":
            return [(0, times(b.sub(one, b.mul(value, value))))]
        case "sinh":
            return [(0, times(b.unary("cosh", args[0])))]
        case "cosh":
            return [(0, times(b.unary("sinh", args[0])))]
        case "sqrt":
            return [(0, b.div(b.mul(b.constant(0.5), adjoint), value))]
        case "abs":
            return [(0, times(b.unary("sign", args[0])))]
        case "atan":
            return [(0, b.div(adjoint, b.add(one, b.mul(args[0], args[0]))))]
        case "erf" | "erfc":
            sign = 1.0 if op.name == "erf" else -1.0
            gaussian = b.unary("exp", b.unary("neg", b.power(args[0], Fraction(2))))
            return [(0, times(b.mul(b.constant(sign * 1.1283791670955126), gaussian)))]
        case "expm1":
            return [(0, times(b.unary("exp", args[0])))]
        case "asin" | "acos":
            root = b.unary("sqrt", b.mul(b.sub(one, args[0]), b.add(one, args[0])))
            return [(0, b.div(adjoint if op.name == "asin" else b.unary("neg", adjoint), root))]
        case "asinh":
            return [(0, b.div(adjoint, b.unary("cosh", value)))]
        case "acosh":
            return [(0, b.div(adjoint, b.unary("sinh", value)))]
        case "atanh":
            return [(0, b.div(adjoint, b.mul(b.sub(one, args[0]), b.add(one, args[0]))))]
        case "atan2":
            y, x = args
            square = b.add(b.mul(x, x), b.mul(y, y))
            return [(0, times(b.div(x, square))), (1, b.unary("neg", times(b.div(y, square))))]
        case "lgamma":
            return [(0, times(b.unary("digamma", args[0])))]
        case "i0e":
            return [(0, times(b.sub(b.unary("i1e", args[0]), b.mul(b.unary("sign", args[0]), value))))]
        case "i1e":
            quotient = b.div(value, b.where(args[0], args[0], one))  # which is 1/2 at 0
            quotient = b.where(args[0], quotient, b.constant(0.5))
            slope = b.sub(b.unary("i0e", args[0]), b.mul(b.unary("sign", args[0]), value))
            return [(0, times(b.sub(slope, quotient)))]
        case "maximum" | "minimum":
            first = (
                b.binary("lt", args[1], args[0]) if op.name == "maximum" else b.binary("lt", args[0], args[1])
            )
            return [(0, times(first)), (1, times(b.sub(one, first)))]
        case "where":
            zero = b.constant(0.0)
            return [(1, b.where(args[0], adjoint, zero)), (2, b.where(args[0], zero, adjoint))]
        case "logsumexp":
            return [(i, times(b.unary("exp", b.sub(a, value)))) for i, a in enumerate(args)]
        case _:
            raise LoweringError(
                f"operation {op.name}",
                expected="a differentiable operation in an action",
                found=op.name,
                remedy="write the action with differentiable functions",
            )
