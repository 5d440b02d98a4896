"""Logarithms of what overflows, underflows or vanishes, and products with logarithms and tails."""

from __future__ import annotations

import sympy as sp

from ..errors import LoweringError
from ..symbols.fields import FieldComponent
from .cancelling import as_product, conjugate
from .conditions import branch_of, where_positive
from .lowering import Lowering
from .near_zero import polynomial, removed
from .removable import VARIABLE, poles, removable, split_singular, vanishing
from .scaled import (
    affine,
    degree,
    exponents,
    grows,
    is_steep,
    vanishing_ratio,
)
from .scaled_values import scaled
from .shapes import even_power, is_natural, sum_of_squares
from .spellings import (
    ERFC_SERIES_FROM,
    LARGE,
    erfcx_series,
    log_erfc_series,
    log_sinhc,
    multiple_of_erfc,
    ratio_sinhc,
    respelled,
)

_LARGEST_SINGLE = 3.4e38


def log_of(lower: Lowering, argument: sp.Expr) -> int:
    """log of an expression, which may itself be larger or smaller than any number."""
    b = lower.builder
    single = isinstance(argument, sp.Mul) and argument != lower.regular
    parts = split_singular(argument) if single else None
    found = None if parts is None or ratio_sinhc(argument) else removable(parts[0], sp.log)
    if parts is not None and found is not None:
        value = removed(lower, found.argument, found, sp.log(found.function))
        rest = found.factor * parts[1]
        return value if rest == 1 else b.add(value, log_of(lower, rest))
    positive = exponents(argument)
    if positive is not None:
        found = affine(positive)
        if found is not None:
            common, fields, rows = found
            return b.add(lower(common), b.stack_logsumexp(b.affine_stack([lower(f) for f in fields], rows)))
        terms = [lower(exponent) for exponent in positive]
        return terms[0] if len(terms) == 1 else b.logsumexp(terms)
    even = even_power(argument)
    if even is not None and isinstance(argument, sp.Pow):  # the power itself may underflow
        root = sp.Abs(even[0])
        logarithm = log_of(lower, root) if grows(root) else b.unary("log", lower(root))
        return b.mul(b.constant(float(even[1])), logarithm)
    ratio = ratio_sinhc(argument)
    if ratio is not None:
        return lower(log_sinhc(ratio[0]) + sp.log(ratio[1]))
    vanishing = vanishing_ratio(argument)
    if vanishing is not None:  # −log Σ exp(q − p) has no difference of large numbers
        rest, exponent, terms = vanishing
        gaps = [lower(sp.expand(q - exponent)) for q in terms]
        value = b.neg(b.logsumexp(gaps))
        return value if rest == 1 else b.add(value, log_of(lower, rest))
    factors = [(f, *f.as_base_exp()) for f in sp.Mul.make_args(argument)]
    tails = [(f, exponent, tail) for f, base, exponent in factors if (tail := multiple_of_erfc(base))]
    if tails:  # each erfc may underflow
        rest = sp.Mul(argument, *(1 / f for f, *_ in tails), *(n**power for _, power, (n, _) in tails))
        value = log_of(lower, rest)
        for _, power, (_, u) in tails:
            value = b.add(value, b.mul(lower(power), log_erfc(lower, lower(u))))
        return value
    if isinstance(argument, sp.gamma):
        return log_gamma(lower, argument.args[0])
    product = as_product(argument)
    if product is not None and product.is_nonnegative and argument != lower.regular:
        value = b.constant(0.0)
        for factor in sp.Mul.make_args(product):  # the product of all factors may underflow
            value = b.add(value, lower(sp.log(factor)))
        return value
    root = conjugate(argument)
    if root is not None and argument != lower.regular and not sum_of_squares(argument):
        numerator, denominator, other = root
        whole = sp.log(numerator) - sp.log(denominator)
        return where_positive(lower, other, whole, denominator, sp.log(argument))
    near = None if argument == lower.regular else log_of_vanishing(lower, argument)
    if near is not None:
        return near
    spelled = respelled(argument)
    if spelled is not None and grows(spelled):
        argument = spelled
    if not grows(argument) and not is_steep(argument):
        return b.unary("log", lower(argument))
    ratio, exponent = scaled(lower, argument)
    log_ratio = b.unary("log", ratio)
    return log_ratio if exponent is None else b.add(exponent, log_ratio)


def log_of_vanishing(lower: Lowering, argument: sp.Expr) -> int | None:
    """log f(t) of a function that vanishes like t^k: near 0 it is k log|t| + log(f/t^k)."""
    found = vanishing(argument)
    if found is None or not found[0].factor.is_positive or found[0].argument.is_nonzero:
        return None
    b, (function, order) = lower.builder, found
    if order % 2 and not function.argument.is_nonnegative:
        return None
    if order * degree(function.argument) < 2:  # which does not underflow before the fields do
        return None
    t = lower(function.argument)
    near = b.binary("lt", b.unary("abs", t), b.constant(function.radius))
    rest = polynomial(lower, function.coefficients, b.where(near, t, b.constant(0.0)))
    size = lower(order * sp.log(sp.Abs(function.argument)))
    far = lower.apart()
    far.known[VARIABLE] = b.where(near, b.constant(function.radius), t)
    far.regular = function.function
    value = b.where(near, b.add(size, b.unary("log", rest)), far(sp.log(function.function)))
    return value if function.factor == 1 else b.add(lower(sp.log(function.factor)), value)


def log_erfc(lower: Lowering, u: int) -> int:
    """log erfc(u), by the asymptotic series where erfc(u) is tiny."""
    b, start = lower.builder, ERFC_SERIES_FROM
    far = b.binary("lt", b.constant(start), u)
    near = b.unary("log", b.unary("erfc", b.where(far, b.constant(0.0), u)))
    lowering = lower.apart()
    lowering.known[LARGE] = b.where(far, u, b.constant(start))
    return b.where(far, lowering(log_erfc_series()), near)


def log_gamma(lower: Lowering, argument: sp.Expr) -> int:
    """log Γ of an argument that is visibly positive."""
    if not argument.is_positive:
        raise LoweringError(
            f"function gamma of {argument}",
            expected="an argument that is visibly positive",
            found=str(argument),
            remedy="write one that is, such as 1 + φ², or rewrite the expression without gamma",
        )
    return lower.builder.unary("lgamma", lower(argument))


def times_log(lower: Lowering, expr: sp.Mul) -> int | None:
    """A product with log u, such as x² log x²: 0 where u and the other factors vanish together."""
    b = lower.builder
    if expr == lower.regular or not lower.slopes:
        return None
    expanded = expanded_log(expr)
    if expanded is not None:
        return lower(expanded)
    logs = singular_logs(expr)
    if len(logs) != 1:
        return None
    (log,) = logs
    others = sp.Mul(*(f for f in expr.args if f is not log))
    value, factor = lower(log), lower(others)
    selected = b.binary("lt", b.unary("abs", value), b.constant(_LARGEST_SINGLE))
    inside = branch_of(lower, expr, selected, regular=expr)
    infinite = b.mul(b.unary("hold", value), b.unary("hold", factor))
    return b.where(selected, inside, b.where(factor, infinite, b.constant(0.0)))


def scaled_tail(lower: Lowering, expr: sp.Mul) -> int | None:
    """A product with erfc(u) exp(v): where erfc(u) is tiny exp(v − u²) times the asymptotic series."""
    b = lower.builder
    tails = [(f, tail) for f in expr.args if (tail := multiple_of_erfc(f)) is not None]
    exponentials = [f for f in expr.args if isinstance(f, sp.exp) and f.has(FieldComponent)]
    if len(tails) != 1 or not exponentials:
        return None
    ((factor, (number, u)),) = tails
    rest = number * sp.Mul(*(f for f in expr.args if f is not factor and f not in exponentials))
    exponent = sp.Add(*(f.args[0] for f in exponentials))
    start, value = b.constant(ERFC_SERIES_FROM), lower(u)
    far = b.binary("lt", start, value)
    zero = b.constant(0.0)
    power = b.unary("exp", b.where(far, zero, lower(exponent)))
    product = b.mul(b.unary("erfc", b.where(far, zero, value)), power)
    lowering = lower.apart()
    lowering.known[LARGE] = b.where(far, value, start)
    gap = b.where(far, lower(sp.expand(exponent - u**2)), zero)
    series = b.mul(lowering(erfcx_series()), b.unary("exp", gap))
    result = b.where(far, series, product)
    return result if rest == 1 else b.mul(lower(rest), result)


def singular_logs(expr: sp.Expr) -> list[sp.Expr]:
    """Powers of logarithms that may be infinite where the other factors of a product vanish."""
    found = []
    for factor in sp.Mul.make_args(expr):
        log, power = factor.as_base_exp()
        if not isinstance(log, sp.log) or not is_natural(power) or log.args[0].is_positive:
            continue
        others = sp.Mul(*(f for f in sp.Mul.make_args(expr) if f is not factor))
        if others.atoms(FieldComponent) & log.atoms(FieldComponent) and not any(poles(log.args[0])):
            found.append(factor)
    return found


def expanded_log(expr: sp.Mul) -> sp.Expr | None:
    """x² (1 + log x²) = x² + x² log x² and the like; None for other products."""
    for factor in expr.args:
        base, power = factor.as_base_exp()
        if isinstance(base, sp.Add) and is_natural(power) and base.has(sp.log):
            others = expr / factor
            terms = [others * term for term in sp.Add.make_args(sp.expand_multinomial(factor))]
            if any(map(singular_logs, terms)):
                return sp.Add(*terms)
    return None
