"""A second normal form, in which identities of exponentials, angles, logarithms and branches hold.

It is used where the first normal form cannot decide, and is not meant for reading. Trigonometric and
hyperbolic functions become exponentials, whose products are monomials again; exponentials and numbers are
taken out of logarithms and powers; and functions with branches are written with two indicators,

    H(v, t) = 1 if v > t else 0,     Z(v, t) = 1 if v = t else 0,

whose products with the same v reduce to one or to 0. Every rewriting is an identity on the reals, at points
where the function is finite.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from math import comb, floor, prod
from typing import Any, cast

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from ..symbols.exact import NumberTable, is_zero, numeric
from ..symbols.fields import FieldComponent
from ..symbols.lattice import Functional, SiteSum
from .normal_form import NormalForm
from .regularity import is_positive

_LARGEST = 1500  # largest number of operations in an expression that is rewritten
_MOST_TERMS = 400  # of one expanded expression
_MOST_WORK = 800  # terms of all expanded expressions together
_DENOMINATORS = 6
_FACTORED = 80  # largest number of operations in the argument of a logarithm that is factorised

_EXPONENTIAL = (
    sp.sin,
    sp.cos,
    sp.tan,
    sp.cot,
    sp.sec,
    sp.csc,
    sp.sinh,
    sp.cosh,
    sp.tanh,
    sp.coth,
    sp.sech,
    sp.csch,
)
_ABOVE = cast(Any, sp.Function("H", real=True))
_AT = cast(Any, sp.Function("Z", real=True))
_EULER = sp.Dummy("e", positive=True)  # exp(c) of numbers: its powers merge
_WALL = sp.Dummy("wall", positive=True)  # the height of a hard wall


class _TooLargeError(Exception):
    """An expression outgrew the bounds."""


def _size(expr: sp.Expr) -> int:
    """An upper bound on the number of terms of the expansion."""
    if expr.is_Add:
        return sum(_size(arg) for arg in expr.args)
    if expr.is_Mul:
        return prod(_size(arg) for arg in expr.args)
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer and expr.exp.is_positive:
        terms, power = _size(expr.base), int(expr.exp)
        return comb(terms + power - 1, power)
    return 1


def _expanded(expr: sp.Expr) -> sp.Expr:
    """Products multiplied out, exp(a + b) as exp(a)·exp(b)."""
    return sp.expand(expr, power_base=False, log=False)


class IdentityForm(NormalForm):
    """The normal form above. It is zero only for expressions that vanish everywhere, and for most of them."""

    def __init__(self, numbers: NumberTable) -> None:
        super().__init__(numbers)
        self._work = 0

    @classmethod
    def vanish(cls, normal_form: NormalForm, *exprs: sp.Expr) -> bool:
        """Whether an expression is proved to be zero in one of the given spellings."""
        form = cls(normal_form.numbers)
        return any(form.vanishes(expr) for expr in exprs)

    def vanishes(self, expr: sp.Expr) -> bool:
        """Whether an expression is proved to be zero; False where that would need too large expressions."""
        if sp.count_ops(expr) > _LARGEST:
            return False
        try:
            form = self(expr)
            return form == 0 or self._without_denominators(form) == 0
        except _TooLargeError:
            return False

    def _normalize(self, expr: sp.Expr) -> sp.Expr:
        if expr in (sp.oo, -sp.oo):
            return _WALL * (1 if expr == sp.oo else -1)
        if not expr.args or isinstance(expr, Functional) or expr.is_number:
            return super()._normalize(expr)
        if isinstance(expr, sp.log) and len(expr.args) == 1:
            return self._finished(self._log(expr.args[0]))
        if isinstance(expr, sp.Abs | sp.sign | sp.Heaviside | sp.Max | sp.Min | sp.Piecewise):
            return self._finished(self._branched(expr))
        args = [self(arg) if isinstance(arg, sp.Expr) else arg for arg in expr.args]
        if isinstance(expr, _EXPONENTIAL):
            return self(expr.func(*args).rewrite(sp.exp))
        if isinstance(expr, sp.exp):
            return self._finished(self._exp(args[0]))
        if isinstance(expr, sp.erfc):
            return self(1 - sp.erf(args[0]))
        if isinstance(expr, sp.ceiling):
            return self(-sp.floor(-expr.args[0]))
        if isinstance(expr, sp.frac):
            return self(expr.args[0] - sp.floor(expr.args[0]))
        if isinstance(expr, sp.Mod):
            a, b = expr.args
            return self(a - b * sp.floor(a / b))
        if isinstance(expr, sp.Pow) and isinstance(args[1], sp.Rational) and args[0].is_Add:
            return self._finished(self._power(args[0], args[1]))
        return self._finished(cast(Any, expr.func)(*args))

    # Sums of monomials

    def _finished(self, expr: sp.Expr) -> sp.Expr:
        """Expanded, with indicators multiplied out and equal terms collected."""
        if _size(expr) > _MOST_TERMS:
            raise _TooLargeError
        expanded = _expanded(expr)
        self._work += len(sp.Add.make_args(expanded))
        if self._work > _MOST_WORK:
            raise _TooLargeError
        if expanded.has(_ABOVE, _AT):
            expanded = sp.Add(*(_multiplied_out(t) for t in sp.Add.make_args(expanded)))
            expanded = _expanded(expanded)
        return self._collect(expanded)

    def _collect(self, expr: sp.Expr) -> sp.Expr:
        """Σ (a + ib) × symbols, a and b spelled by the table of numbers."""
        found: dict[sp.Expr, list[sp.Expr]] = defaultdict(list)
        for term in sp.Add.make_args(expr):
            factors = sp.Mul.make_args(term)
            symbols = sp.Mul(*(f for f in factors if not f.is_number))
            found[symbols].append(sp.Mul(*(f for f in factors if f.is_number)))
        terms = []
        for symbols, parts in found.items():
            number = sp.expand(sp.Add(*parts))
            if number.is_Rational or (number / sp.I).is_Rational:
                terms.append(number * symbols)
                continue
            imaginary = number.coeff(sp.I)
            real = sp.expand(number - sp.I * imaginary)
            if not (real.has(sp.I) or imaginary.has(sp.I)):
                a, b = (self.numbers.canonical(n) for n in (real, imaginary))
                number = a + sp.I * b
            terms.append(number * symbols)
        return sp.expand(sp.Add(*terms), deep=False, power_base=False)

    def _without_denominators(self, form: sp.Expr) -> sp.Expr:
        """0 if the summands of all sums vanish after multiplication by their denominators, else the form."""
        summands: dict[sp.Basic | None, list[sp.Expr]] = defaultdict(list)
        for term in sp.Add.make_args(form):
            factor, node = term.as_independent(*term.atoms(Functional), as_Add=False)
            if node.has(Functional) and not isinstance(node, SiteSum):
                return form
            bonds = node.bonds if isinstance(node, SiteSum) else None
            summands[bonds].append(factor * (node.density if isinstance(node, SiteSum) else node))
        cleared = [self._cleared(sp.Add(*some)) for some in summands.values()]
        vanish = all(some is not None and some[0] == 0 for some in cleared)
        return sp.S.Zero if vanish else form

    def _cleared(self, form: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
        """(numerator, denominator) of a form, the numerator in this form; None if there is no denominator."""
        powers: dict[sp.Expr, sp.Expr] = {}
        for term in sp.Add.make_args(form):
            for factor in sp.Mul.make_args(term):
                base, exponent = factor.as_base_exp()
                if base.is_Add and exponent.is_negative:
                    powers[base] = max(powers.get(base, sp.S.Zero), sp.ceiling(-exponent))
        if not powers or len(powers) > _DENOMINATORS:
            return None
        denominator = sp.Mul(*(base**power for base, power in powers.items()))
        terms = [sp.Mul(term, denominator) for term in sp.Add.make_args(form)]
        if sp.count_ops(denominator) * len(terms) > 4 * _LARGEST:
            raise _TooLargeError
        return self(sp.Add(*terms)), denominator

    # Exponentials, logarithms, powers

    def _exp(self, exponent: sp.Expr) -> sp.Expr:
        """exp of an exponent in this form: terms r log f become f^r, and numbers become factors."""
        factors: list[Any] = []
        rest = []
        for term in sp.Add.make_args(exponent):
            number, symbols = term.as_independent(*term.free_symbols, as_Add=False)
            if term.is_number:
                turn = sp.expand(term / (sp.I * sp.pi))
                unit = turn.is_Rational
                angle = sp.pi * turn
                factors.append(
                    sp.cos(angle) + sp.I * sp.sin(angle) if unit or not turn.has(sp.I) else _EULER**term
                )
            elif isinstance(symbols, sp.log) and number.is_Rational:
                factors.append(self._power(symbols.args[0], number))
            elif isinstance(symbols, sp.atan | sp.atan2) and (number / sp.I).is_Integer:
                factors.append(self._turn(symbols, int(number / sp.I)))
            else:
                rest.append(term)
        return sp.Mul(*factors, *map(sp.exp, rest))

    def _turn(self, angle: sp.Expr, times: int) -> sp.Expr:
        """exp(i n θ) of the angle θ of (x, y), which is atan2(y, x) or atan(y/x): ((x ± iy)/r)^|n|."""
        y, x = angle.args if isinstance(angle, sp.atan2) else (angle.args[0], sp.S.One)
        way, n = (1, times) if times > 0 else (-1, -times)
        square = self(x**2 + y**2)
        return self((x + way * sp.I * y) ** n) * self._power(square, sp.Rational(-n, 2))

    def _log(self, argument: sp.Expr) -> sp.Expr:
        """log of a positive function as a sum of logarithms of its factors, as far as it is factorised."""
        total: list[Any] = []
        rest: list[Any] = []
        for factor in sp.Mul.make_args(argument):
            base, exponent = factor.as_base_exp()
            if isinstance(factor, sp.exp):
                total.append(self(factor.args[0]))
            elif (
                is_positive(base)
                and exponent.is_real
                and len(sp.Mul.make_args(argument)) + (exponent != 1) > 1
            ):
                total.append(self(exponent) * self._log(base))
            else:
                rest.append(factor)
        number, exponent, rest_ = _unit(self(sp.Mul(*rest)))
        total += [sp.expand_log(sp.log(number), factor=True), exponent]
        factors = _positive_factors(rest_)
        return sp.Add(*total, *(power * sp.log(f) for f, power in factors))

    def _power(self, base: sp.Expr, exponent: sp.Rational) -> sp.Expr:
        """A power of a sum in this form; the integer part of the exponent is multiplied out."""
        if exponent.is_Integer and exponent > 0:
            return base**exponent
        cleared = self._cleared(base) if exponent.is_Integer else None
        if cleared is not None:
            numerator, denominator = cleared
            return denominator**-exponent * self._power(numerator, exponent)
        number, shift, rest = _unit(base, complex_too=bool(exponent.is_Integer))
        whole = max(floor(exponent), 0)
        unit = number**exponent * sp.exp(sp.expand(exponent * shift))
        return unit * sp.expand(rest**whole) * rest ** (exponent - whole)

    # Branches

    def _branched(self, expr: sp.Expr) -> sp.Expr:
        args = cast(tuple[Any, ...], expr.args)
        if isinstance(expr, sp.Abs):
            return self(args[0]) * self._sign(args[0])
        if isinstance(expr, sp.sign):
            return self._sign(args[0])
        if isinstance(expr, sp.Heaviside):
            positive, zero = self._indicators(args[0])
            return positive + self(args[1]) * zero
        if isinstance(expr, sp.Max | sp.Min):
            way = 1 if isinstance(expr, sp.Max) else -1
            if len(args) == 2:
                a, b = map(self, args)
                difference = a - b
                return (a + b + way * difference * self._sign(difference)) / 2
            return way * sp.Max(*(self(way * arg) for arg in args))
        total, left = sp.S.Zero, sp.S.One
        for value, condition in args:
            here = self._finished(left * self._holds(condition))
            total += self(value) * here
            left = self._finished(left - here)
        return total + sp.Symbol("undefined") * left

    def _holds(self, condition: Any) -> sp.Expr:
        """1 where a condition holds, 0 elsewhere."""
        if isinstance(condition, BooleanTrue | BooleanFalse):
            return sp.Integer(int(bool(condition)))
        if isinstance(condition, sp.Not):
            return 1 - self._holds(condition.args[0])
        if isinstance(condition, sp.And):
            return sp.Mul(*map(self._holds, condition.args))
        if isinstance(condition, sp.Or):
            return 1 - sp.Mul(*(1 - self._holds(c) for c in condition.args))
        if not isinstance(condition, Relational):
            raise _TooLargeError
        left, right = cast(tuple[sp.Expr, sp.Expr], condition.args)
        if isinstance(condition, sp.StrictLessThan | sp.LessThan):
            left, right = right, left
        positive, zero = self._indicators(left - right)
        if isinstance(condition, sp.Eq):
            return zero
        if isinstance(condition, sp.Ne):
            return 1 - zero
        return positive if isinstance(condition, sp.Gt | sp.Lt) else (positive + zero)

    def _sign(self, expr: sp.Expr) -> sp.Expr:
        positive, zero = self._indicators(expr)
        return 2 * positive + zero - 1

    def _indicators(self, expr: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """(1 where the expression is positive, 1 where it is zero)."""
        factors = [f.as_base_exp() for f in sp.Mul.make_args(expr)]
        if len(factors) > 1 and all(e.is_Integer and e.is_positive for _, e in factors):
            sign = self._finished(sp.Mul(*(self._sign(b) ** (2 - e % 2) for b, e in factors)))
            square = self._finished(sign**2)
            return (square + sign) / 2, 1 - square
        split = _absolute_value(expr)
        if split is not None:
            f, bound, way = split  # ±c(|f| − b): positive if |f| > b, which f or −f is, or if |f| < b
            sides = [self._indicators(side - bound) for side in (f, -f)]
            below = sp.Mul(*(1 - p for p, _ in sides))
            strictly_below = sp.Mul(*(1 - p - z for p, z in sides))
            above = 1 - below
            return above if way > 0 else strictly_below, below - strictly_below
        if is_positive(expr) or is_positive(-expr):
            return sp.Integer(int(is_positive(expr))), sp.S.Zero
        form = self(expr)
        roots = _real_roots(form)
        if roots is not None:
            return _between(*roots)
        sign, v, threshold = _half_space(form)
        if v is None:
            known = is_zero(threshold)
            if known is None:
                raise _TooLargeError
            return sp.Integer(int(not known and numeric(threshold) > 0)), sp.Integer(int(known))
        above, at = _ABOVE(v, threshold), _AT(v, threshold)
        return (above if sign > 0 else (1 - above - at)), at


def _absolute_value(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr, int] | None:
    """(f, b, sign of c) for an expression c(|f| − b) with a number c, None for any other."""
    for term in sp.Add.make_args(expr):
        number, rest = term.as_coeff_Mul()
        if isinstance(rest, sp.Abs):
            f, bound = rest.args[0], (term - expr) / number
            return f, bound, 1 if number.is_positive else -1
    return None


def _real_roots(form: sp.Expr) -> tuple[sp.Expr, int, list[sp.Expr]] | None:
    """(variable, sign of the leading coefficient, roots) of a polynomial of one field with rational numbers.

    Roots are sorted and repeated according to their multiplicity.
    """
    symbols = form.free_symbols
    variable = next(iter(symbols)) if len(symbols) == 1 else None
    if not isinstance(variable, FieldComponent) or not form.is_polynomial(variable):
        return None
    polynomial = sp.Poly(form, variable)
    if polynomial.degree() < 2 or not all(c.is_Rational for c in polynomial.all_coeffs()):
        return None
    if polynomial.degree() > 4:
        raise _TooLargeError
    return variable, int(sp.sign(polynomial.LC())), list(polynomial.real_roots())


def _between(variable: sp.Expr, leading: int, roots: list[sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    """The indicators of a polynomial from its roots."""
    sign = leading * (-1) ** len(roots)  # far to the left, if complex roots come in pairs
    positive: Any = sp.Integer(int(sign > 0))
    zero: Any = sp.S.Zero
    for root in dict.fromkeys(roots):
        after = sign * (-1) ** roots.count(root)
        above, at = _ABOVE(variable, root), _AT(variable, root)
        positive += ((after > 0) - (sign > 0)) * above - int(sign > 0) * at
        zero += at
        sign = after
    return positive, zero


def _half_space(form: sp.Expr) -> tuple[int, sp.Expr | None, sp.Expr]:
    """(±1, v, t) with a form that is ± a positive number times v − t; (1, None, number) for a number."""
    constant, varying = form.as_independent(*form.free_symbols, as_Add=True)
    if varying == 0:
        return 1, None, constant
    terms = {t.as_coeff_Mul()[1]: t.as_coeff_Mul()[0] for t in sp.Add.make_args(varying)}
    leading = terms[min(terms, key=sp.default_sort_key)]
    size = sp.Abs(leading)
    sign = 1 if leading > 0 else -1
    v = sp.expand(sign * varying / size)
    return sign, v, sp.expand(-sign * constant / size)


def _multiplied_out(term: sp.Expr) -> sp.Expr:
    """One monomial with at most one indicator of every v, and with v = t where it has a Z(v, t)."""
    kept: dict[sp.Expr, Any] = {}
    others: list[Any] = []
    for factor in sp.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        if base.func not in (_ABOVE, _AT) or not (exponent.is_Integer and exponent.is_positive):
            others.append(factor)
            continue
        v = base.args[0]
        product = _product(kept[v], base) if v in kept else base
        if product == 0:
            return sp.S.Zero
        kept[v] = product
    result = sp.Mul(*others)
    for v, indicator in kept.items():
        if indicator.func == _AT:
            variable = _linear_variable(v)
            if variable is not None:
                value = variable - (v - indicator.args[1]) / v.coeff(variable)
                result = result.xreplace({variable: sp.expand(value)})
    return result * sp.Mul(*kept.values())


def _product(a: Any, b: Any) -> Any:
    """The product of two indicators of the same v, an indicator or 0."""
    difference = a.args[1] - b.args[1]
    order = 0 if is_zero(difference) else (1 if numeric(difference) > 0 else -1)
    if a.func == b.func == _ABOVE:
        return a if order >= 0 else b
    if a.func == b.func:
        return a if order == 0 else sp.S.Zero
    at, order = (a, order) if a.func == _AT else (b, -order)
    return at if order > 0 else sp.S.Zero


def _linear_variable(v: sp.Expr) -> FieldComponent | None:
    """A field that a function is linear in, with a number as its coefficient."""
    for field in sorted(v.atoms(FieldComponent), key=str):
        coefficient = v.coeff(field)
        if coefficient.is_number and coefficient != 0 and not (v - coefficient * field).has(field):
            return field
    return None


def _unit(form: sp.Expr, *, complex_too: bool = False) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """(c, E, f) with form = c·exp(E)·f, c > 0 a number, the same f for all such multiples of a form.

    E is the smallest exponent of the terms, compared as vectors of coefficients: adding one exponent to all
    terms does not change their order. E is real unless ``complex_too``.
    """
    exponents = [_exponent(t) for t in sp.Add.make_args(form)]
    monomials = sorted({m for e in exponents for m in e}, key=sp.default_sort_key)

    def key(exponent: dict[sp.Expr, sp.Expr]) -> list[Any]:
        parts: list[Callable[[sp.Expr], Any]] = [sp.re, sp.im] if complex_too else [sp.re]
        return [numeric(part(exponent.get(m, sp.S.Zero))) for part in parts for m in monomials]

    smallest = min(exponents, key=key)
    shift = sp.Add(*((c if complex_too else sp.re(c)) * m for m, c in smallest.items()))
    rest = _expanded(form * sp.exp(-shift))
    first = min(sp.Add.make_args(rest), key=lambda t: sp.default_sort_key(_symbols(t)))
    number = sp.Mul(*(f for f in sp.Mul.make_args(first) if f.is_number))
    size = sp.Abs(number) if number.is_real else sp.S.One
    return size, shift, _expanded(rest / size)


def _positive_factors(form: sp.Expr) -> list[tuple[sp.Expr, int]]:
    """A form as a product of positive functions with their powers, as far as it is seen to be one."""
    if sp.count_ops(form) > _FACTORED or not form.is_Add or form.has(sp.I):
        return [(form, 1)]
    try:
        content, factors = sp.factor_list(form)
    except sp.PolynomialError:  # negative powers of exponentials
        return [(form, 1)]
    if content == 1 and all(is_positive(f) for f, _ in factors):
        return [(sp.expand(f), int(power)) for f, power in factors]
    return [(form, 1)]


def _symbols(term: sp.Expr) -> sp.Expr:
    return sp.Mul(*(f for f in sp.Mul.make_args(term) if not f.is_number))


def _exponent(term: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    """The exponent of a term as {monomial: number}."""
    found: dict[sp.Expr, sp.Expr] = {}
    for factor in sp.Mul.make_args(term):
        if isinstance(factor, sp.exp):
            for part in sp.Add.make_args(sp.expand(factor.args[0])):
                number = sp.Mul(*(f for f in sp.Mul.make_args(part) if f.is_number))
                symbols = _symbols(part)
                found[symbols] = found.get(symbols, sp.S.Zero) + number
    return found
