"""Branches: Piecewise, Max and Min, each evaluated only where it is selected."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from ..errors import LoweringError
from .lowering import Lowering
from .removable import poles
from .shapes import is_quadratic, leaves_of

_SMALLEST_EXPONENT = -745.0  # below it exp underflows to 0 in float64


def piecewise(lower: Lowering, expr: sp.Piecewise) -> int:
    """The value of a Piecewise; an infinite one is a hard wall."""
    b = lower.builder
    branches = [tuple(arg.args) for arg in expr.args]
    *cases, (_, otherwise) = branches
    if otherwise != sp.true:
        raise LoweringError(
            f"expression {expr}",
            expected="a Piecewise that covers every case, ending in (…, True)",
            found=f"the last condition {otherwise}",
            remedy="add the missing case",
        )
    one = b.constant(1.0)
    conditions = [holds(lower, condition) for _, condition in cases]
    walls = [index for index, (case, _) in enumerate(branches) if case is sp.oo]
    margins = [margin_of(lower, condition) for _, condition in cases] if walls else []
    values, remaining = [], one
    for index, (case, _) in enumerate(branches):
        selected = remaining if index == len(cases) else b.mul(remaining, conditions[index])
        if index in walls:
            depths = [b.neg(margin) for margin in margins[:index]] + margins[index : index + 1]
            values.append(b.unary("wall", least(lower, depths)))
        else:
            values.append(branch_of(lower, case, selected))
        if index < len(cases):
            remaining = b.mul(remaining, b.sub(one, conditions[index]))
    value = values.pop()
    for condition, chosen in zip(reversed(conditions), reversed(values), strict=True):
        value = b.where(condition, chosen, value)
    return value


def branch_of(lower: Lowering, expr: sp.Expr, selected: int, *, regular: sp.Expr | None = None) -> int:
    """A branch of a Piecewise, evaluated at the fields where it is selected and at 1 elsewhere.

    If 1 is a pole, another number is taken. ``regular`` is to be lowered without special cases.

    The value elsewhere is discarded, but an undefined or overflowing branch would have an infinite
    derivative there, and 0·∞ is NaN. Quadratic polynomials have no such places and stay as they are.
    """
    if is_quadratic(expr):
        return lower(expr)
    b, leaves = lower.builder, sorted(leaves_of(expr), key=str)
    branch = lower.apart()
    elsewhere = b.constant(ordinary_point(expr, leaves))
    branch.known.update({leaf: b.where(selected, lower(leaf), elsewhere) for leaf in leaves})
    branch.regular = regular
    return branch(expr)


def where_positive(lower: Lowering, sign: sp.Expr, yes: sp.Expr, regular: sp.Expr, no: sp.Expr) -> int:
    """``yes`` where ``sign`` > 0, else ``no``; nothing cancels in ``regular``, a part of ``yes``."""
    if sign.is_nonnegative:
        return lower(yes)
    b = lower.builder
    positive = b.binary("lt", b.constant(0.0), lower(sign))
    plain = no.args[0] if isinstance(no, sp.log) else no
    apart = branch_of(lower, no, b.sub(b.constant(1.0), positive), regular=plain)
    return b.where(positive, branch_of(lower, yes, positive, regular=regular), apart)


def extreme_of(lower: Lowering, name: str, arguments: Sequence[sp.Expr]) -> int:
    """The largest or smallest of several values, each a branch since it may overflow elsewhere."""
    b = lower.builder
    values = [lower(arg) for arg in arguments]
    chosen = values[0]
    for value in values[1:]:
        chosen = b.binary(name, chosen, value)
    if all(map(is_quadratic, arguments)) or not lower.slopes:
        return chosen
    result = b.unary("hold", chosen)
    for arg, value in zip(reversed(arguments), reversed(values), strict=True):
        below, above = (chosen, value) if name == "maximum" else (value, chosen)
        selected = b.binary("le", below, above)  # True for the value that is equal to the extreme
        result = b.where(selected, branch_of(lower, arg, selected), result)
    return result


def least(lower: Lowering, values: list[int]) -> int:
    """The smallest of several values."""
    least = values[0]
    for value in values[1:]:
        least = lower.builder.binary("minimum", least, value)
    return least


def margin_of(lower: Lowering, condition: sp.Basic) -> int:
    """The margin by which a condition holds, e.g. b − a for a < b; negative where it does not hold."""
    b = lower.builder
    if isinstance(condition, sp.And):
        return least(lower, [margin_of(lower, part) for part in condition.args])
    if isinstance(condition, sp.Or):
        parts = [b.neg(margin_of(lower, part)) for part in condition.args]
        return b.neg(least(lower, parts))
    assert isinstance(condition, sp.Rel)  # _condition has refused anything else
    left, right = (lower(side) for side in condition.args)
    if isinstance(condition, sp.Eq | sp.Ne):
        size = b.unary("abs", b.sub(left, right))
        return b.neg(size) if isinstance(condition, sp.Eq) else size
    greater = isinstance(condition, sp.StrictGreaterThan | sp.GreaterThan)
    return b.sub(left, right) if greater else b.sub(right, left)


def holds(lower: Lowering, condition: sp.Basic) -> int:
    """1 where a condition holds, else 0."""
    b = lower.builder
    sides = [lower(side) for side in condition.args] if isinstance(condition, sp.Rel) else []
    match condition:
        case sp.StrictLessThan():
            return b.binary("lt", sides[0], sides[1])
        case sp.LessThan():
            return b.binary("le", sides[0], sides[1])
        case sp.StrictGreaterThan():
            return b.binary("lt", sides[1], sides[0])
        case sp.GreaterThan():
            return b.binary("le", sides[1], sides[0])
        case sp.Eq():
            return b.mul(b.binary("le", *sides), b.binary("le", *reversed(sides)))
        case sp.Ne():
            return b.binary("maximum", b.binary("lt", *sides), b.binary("lt", *reversed(sides)))
        case sp.And():
            value = b.constant(1.0)
            for part in condition.args:
                value = b.mul(value, holds(lower, part))
            return value
        case sp.Or():
            value = b.constant(0.0)
            for part in condition.args:
                value = b.binary("maximum", value, holds(lower, part))
            return value
    raise LoweringError(
        f"condition {condition}",
        expected="<, ≤, >, ≥, =, ≠ combined with And and Or",
        found=type(condition).__name__,
        remedy="rewrite the condition with inequalities",
    )


def exp_of(lower: Lowering, exponent: sp.Expr) -> int:
    """exp of an exponent that may have a pole, such as exp(−1/x²): slope 0 where it underflows."""
    b = lower.builder
    value = lower(exponent)
    if not lower.slopes or not any(poles(exponent)):
        return b.unary("exp", value)
    selected = b.binary("lt", b.constant(_SMALLEST_EXPONENT), value)
    return b.where(selected, b.unary("exp", branch_of(lower, exponent, selected)), b.constant(0.0))


def flat_product(lower: Lowering, expr: sp.Mul) -> int | None:
    """A product with an exponential of a pole, as exp(−1/x²)/x: 0 where the exponential underflows."""
    b = lower.builder
    flat = [f for f in expr.args if isinstance(f, sp.exp) and any(poles(f.args[0]))]
    if len(flat) != 1 or expr == lower.regular:
        return None
    selected = b.binary("lt", b.constant(_SMALLEST_EXPONENT), lower(flat[0].args[0]))
    return b.where(selected, branch_of(lower, expr, selected, regular=expr), b.constant(0.0))


def ordinary_point(expr: sp.Expr, leaves: Sequence[sp.Expr]) -> float:
    """A value of all leaves at which no denominator and no argument of a logarithm is 0, else 1."""
    critical = [
        *poles(expr),
        *(f.args[0] for f in expr.atoms(sp.log)),
        *(p for e in expr.atoms(sp.exp) for p in poles(e.args[0])),
    ]
    for number in (1.0, 0.75, 1.25, 0.5):
        point = dict.fromkeys(leaves, sp.nsimplify(number))
        if all(c.xreplace(point) != 0 for c in critical):
            return number
    return 1.0
