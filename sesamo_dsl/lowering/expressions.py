"""Translation of a SymPy expression to a program function that is stable in value and slope.

An expression is rewritten where its parts overflow, cancel or are undefined although the whole is finite.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, cast

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from ..errors import LoweringError
from ..ir.builder import Builder
from ..ir.intervals import ValueIntervals
from ..ir.operations import OPERATIONS
from ..ir.operations.functions import Elementwise
from ..ir.program import SITE_VALUES, Function
from ..ir.value import Kind
from ..symbols.bonds import BondWeight
from ..symbols.exact import floats
from ..symbols.fermions import FermionLogDet, Hopping, canonical_species
from ..symbols.fields import FieldComponent, Parameter
from ..symbols.lattice import Bonds, Functional, GraphLattice, SiteSum
from ..symbols.site_constants import SiteConstant
from .bonds import BondLayer, evaluated_once, layers, on_sites
from .bonds import constants as bond_constants
from .cancelling import as_product, conjugate, inverse_function, root_of_product
from .removable import SINC, VARIABLE, Removable, poles, removable, split_singular, vanishing
from .scaled import (
    LARGEST_DEGREE,
    affine,
    degree,
    difference_of_exponentials,
    exponents,
    grows,
    is_exponential,
    is_steep,
    vanishing_ratio,
)
from .spellings import (
    ERFC_SERIES_FROM,
    LARGE,
    branches_of,
    erfcx_series,
    log_erfc_series,
    log_sinhc,
    multiple_of_erfc,
    ratio_sinhc,
    respelled,
)

ADJACENCY = "ADJACENCY"  # the constant that holds the adjacency matrix of the lattice
_SMALLEST_EXPONENT = -745.0  # below it exp underflows to 0 in float64
_LARGEST_SINGLE = 3.4e38
_SUPPORTED = (
    "+, ·, powers, exp, log, sin, cos, tan, sec, csc, cot, sinc, asin, acos, atan, atan2; sinh, cosh, tanh, "
    "sech, csch, coth, asinh, acosh, atanh; erf, erfc, gamma and loggamma of positive arguments, "
    "besseli of order 0 and 1; Abs, sign, Heaviside, floor, ceiling, Mod, Max, Min, Piecewise"
)


def lower(
    name: str,
    doc: str,
    expr: sp.Expr,
    components: Sequence[FieldComponent],
    output: str,
    *,
    slopes: bool = True,
) -> Function:
    """A function (x; couplings) ↦ one number per configuration, from an expression in site sums.

    Without ``slopes`` the function is not differentiated, and kinks need no care.
    """
    couplings = _coupling_names(expr)
    builder = Builder(name, doc, [("x", Kind.FIELDS)], couplings)
    value = _Lowering(builder, components, slopes=slopes)(expr)
    if builder.kind(value) is Kind.SCALAR:  # the output has to have a batch axis
        volume = builder.constant(components[0].lattice.volume)
        value = builder.site_sum(builder.broadcast(builder.div(value, volume)))
    return builder.finish(**{output: value})


def lower_by_block(
    name: str, doc: str, expr: sp.Expr, components: Sequence[FieldComponent], block_axes: tuple[int, ...]
) -> Function:
    """A function (x; couplings) ↦ (batch, blocks) whose sum over the blocks is a combination of site sums."""
    couplings = _coupling_names(expr)
    builder = Builder(name, doc, [("x", Kind.FIELDS)], couplings)
    lowering = _Lowering(builder, components, block_axes)
    return builder.finish(breaking=lowering(expr))


def _coupling_names(expr: sp.Expr) -> list[str]:
    """Couplings of an expression whose values are given at run time."""
    names = {p.name for p in expr.atoms(Parameter)}
    return sorted(names | {h.coupling for h in expr.atoms(SiteConstant) if h.values is None})


def arrays(expressions: Iterable[sp.Expr]) -> dict[str, np.ndarray]:
    """The constants that lowered expressions refer to.

    They are the adjacency of a graph lattice, its bonds, hopping matrices and the values of site constants.
    """
    found: dict[str, np.ndarray] = {}
    for expr in expressions:
        for field in expr.atoms(FieldComponent):
            if field.hops is not None and isinstance(field.lattice, GraphLattice):
                found[ADJACENCY] = floats(field.lattice.adjacency)
        found |= {h.name: floats(h.matrix) for h in expr.atoms(Hopping)}
        for node in expr.atoms(SiteSum):
            found |= {} if node.bonds is None else bond_constants(node)
        given = (h for h in expr.atoms(SiteConstant) if h.values is not None)
        found |= {SITE_VALUES + h.coupling: cast(np.ndarray, h.values) for h in given}
    return dict(sorted(found.items()))


def lower_into(builder: Builder, expr: sp.Expr, values: Mapping[sp.Symbol, int]) -> int:
    """Write an expression, whose symbols stand for ``values``, to a Builder; returns its index."""
    lowering = _Lowering(builder, ())
    lowering.known.update(values.items())
    return lowering(expr)


class _Lowering:
    """Lowers SymPy nodes once each, in the order SymPy stores them (which does not depend on hash seeds)."""

    def __init__(
        self,
        builder: Builder,
        components: Sequence[FieldComponent],
        block_axes: tuple[int, ...] = (),
        *,
        slopes: bool = True,
    ) -> None:
        self._builder, self._block_axes, self._slopes = builder, block_axes, slopes
        self._components = components
        self._index = {(c.field, c.component): a for a, c in enumerate(components)}
        self._layer: BondLayer | None = None  # the bonds of the sum whose density is lowered
        self.known: dict[sp.Basic, int] = {}  # the expressions lowered so far
        self._regular: sp.Expr | None = None  # an expression to be lowered without special cases

    def __call__(self, expr: sp.Expr) -> int:
        if expr not in self.known:
            value = self._lower(expr)
            self.known[expr] = value
        return self.known[expr]

    def _lower(self, expr: sp.Expr) -> int:
        b = self._builder
        if isinstance(expr, FieldComponent):
            value = b.shift(b.component(b.input("x"), self._index[expr.field, expr.component]), expr.offset)
            for _ in range(0 if expr.hops is None else expr.hops.steps):
                value = b.neighbours(value, ADJACENCY)
            if expr.end and self._layer is not None:
                value = b.gather(value, f"{self._layer.name}_{' XY'[expr.end]}")
            b.note(value, expr.name)
            return value
        if isinstance(expr, Parameter):
            return b.parameter(expr.name)
        if isinstance(expr, SiteConstant):
            return self._site_constant(expr)
        if isinstance(expr, BondWeight):
            assert self._layer is not None
            return b.site_constant(f"{self._layer.name}_WEIGHTS")
        if isinstance(expr, SiteSum):
            density = b.broadcast(self(expr.density) if expr.bonds is None else self._bonds(expr))
            value = b.block_sum(density, self._block_axes) if self._block_axes else b.site_sum(density)
            b.note(value, str(expr))
            return value
        if isinstance(expr, FermionLogDet):
            same = canonical_species(expr)
            if same != expr:  # on a bipartite graph both species need one determinant
                return self(same)
            field = b.broadcast(self(expr.field))
            value = b.fermion_log_det(field, self(expr.step), expr.hopping.name, expr.species)
            b.note(value, str(expr))
            return value
        if expr.is_number:
            return b.constant(_number(expr))
        special = self._special(expr)
        if special is not None:
            return special
        stable = self._stable(expr)
        if stable is not None:
            return stable
        if self._overflows(expr):
            ratio, exponent = self._scaled(expr)
            return ratio if exponent is None else b.mul(ratio, b.unary("exp", exponent))
        if isinstance(expr, sp.Add):
            return self._sum(expr)
        if isinstance(expr, sp.Mul):
            return self._product(expr)
        if isinstance(expr, sp.exp):
            return self._exp(expr.args[0])
        if isinstance(expr, sp.Pow):
            return self._power(expr)
        if isinstance(expr, sp.log) and (folded := branches_of(expr)) is not None:
            return self(folded)
        if isinstance(expr, sp.log):
            return self._log(expr.args[0])
        if isinstance(expr, sp.Max | sp.Min):
            return self._extreme("maximum" if isinstance(expr, sp.Max) else "minimum", expr.args)
        if isinstance(expr, sp.Piecewise):
            return self._piecewise(expr)
        if isinstance(expr, sp.atan2):
            return self._angle(*(self(arg) for arg in expr.args))
        if isinstance(expr, sp.gamma | sp.loggamma):
            value = self._log_gamma(expr.args[0])
            return value if isinstance(expr, sp.loggamma) else b.unary("exp", value)
        if isinstance(expr, sp.sinc):
            return self._removed(expr.args[0], cast(Removable, removable(SINC)), SINC)
        if isinstance(expr, sp.asinh) and (grows(expr.args[0]) or is_steep(expr.args[0])):
            return self._asinh(expr.args[0])
        spelled = respelled(expr) or inverse_function(expr)
        if spelled is not None:
            return self(spelled)
        function = OPERATIONS.get(type(expr).__name__.lower())  # Abs is called abs
        if isinstance(function, Elementwise) and function.in_formulas and not isinstance(expr, AppliedUndef):
            return b.apply(function.name, *(self(arg) for arg in expr.args))
        raise _unsupported(expr)

    def _bonds(self, expr: SiteSum) -> int:
        """A density whose sum over the sites equals the sum over the bonds, added up layer by layer."""
        b = self._builder
        node = evaluated_once(expr)
        bonds = cast(Bonds, node.bonds)
        total = b.constant(0.0)
        for layer in layers(bonds):
            inside = _Lowering(b, self._components, self._block_axes, slopes=self._slopes)
            inside._layer = None if on_sites(bonds) else layer
            density = inside(node.density)
            if layer.factor is not None:
                value = b.mul(b.constant(layer.factor), density)
            else:
                factors = b.site_constant(f"{layer.name}_FACTORS")
                value = b.mul(factors, density)
                if (layer.factors == 0).any():  # 0·∞ at the bonds that only fill the layer
                    value = b.where(factors, value, b.constant(0.0))
            total = b.add(total, value)
        return total

    def _special(self, expr: sp.Expr) -> int | None:
        """A sum or product with terms or factors that are infinite where the whole is finite; else None."""
        parts = None if expr == self._regular else split_singular(expr)
        if parts is not None:
            singular, rest = parts
            found = removable(singular)
            if found is None:
                _check_couplings(singular)
            else:
                value = self._removed(found.argument, found, found.function)
                if found.factor != 1:
                    value = self._builder.mul(self(found.factor), value)
                if isinstance(expr, sp.Add):
                    return value if rest == 0 else self._builder.add(value, self(rest))
                return value if rest == 1 else self._builder.mul(self(rest), value)
        if isinstance(expr, sp.Mul):
            for product in (self._scaled_tail, self._flat_product, self._times_log):
                value = product(expr)
                if value is not None:
                    return value
        return None

    def _removed(self, argument: sp.Expr, found: Removable, function: sp.Expr) -> int:
        """A function of one variable t: its Taylor polynomial for |t| < radius, the function elsewhere."""
        b = self._builder
        t, zero = self(argument), b.constant(0.0)
        near = b.binary("lt", b.unary("abs", t), b.constant(found.radius))
        small = b.where(near, t, zero)
        value = self._polynomial(found.coefficients, small)
        far = _Lowering(b, (), slopes=self._slopes)
        far._regular = found.function
        far.known[VARIABLE] = b.where(near, b.constant(found.radius), t)
        return b.where(near, value, far(function))

    def _polynomial(self, coefficients: Sequence[float], t: int) -> int:
        b = self._builder
        step = 2 if not any(coefficients[1::2]) or not any(coefficients[::2]) else 1
        first = next((n for n, c in enumerate(coefficients) if c), 0) % step
        power, value = b.power(t, Fraction(step)), b.constant(0.0)
        for c in reversed(coefficients[first::step]):
            value = b.add(b.constant(c), b.mul(power, value))
        return b.mul(t, value) if first else value

    def _stable(self, expr: sp.Expr) -> int | None:
        """A difference that cancels, or a root of one, in a stable form; None for other expressions."""
        if expr == self._regular or not self._slopes:
            return None
        if isinstance(expr, sp.Add):
            root = conjugate(expr)
            if root is None or not root[2].has(FieldComponent):
                return None
            numerator, denominator, other = root
            return self._where_positive(other, numerator / denominator, denominator, expr)
        if isinstance(expr, sp.Pow) and isinstance(expr.exp, sp.Rational) and not expr.exp.is_Integer:
            product = root_of_product(expr)
            if product is not None:
                return self(product)
            if expr.exp.is_positive and not expr.base.is_positive and _even_power(expr.base) is None:
                return None if _sum_of_squares(expr.base) else self._root(expr)
        return None

    def _where_positive(self, sign: sp.Expr, yes: sp.Expr, regular: sp.Expr, no: sp.Expr) -> int:
        """``yes`` where ``sign`` > 0, else ``no``; nothing cancels in ``regular``, a part of ``yes``."""
        if sign.is_nonnegative:
            return self(yes)
        b = self._builder
        positive = b.binary("lt", b.constant(0.0), self(sign))
        plain = no.args[0] if isinstance(no, sp.log) else no
        apart = self._branch(no, b.sub(b.constant(1.0), positive), regular=plain)
        return b.where(positive, self._branch(yes, positive, regular=regular), apart)

    def _root(self, expr: sp.Pow) -> int | None:
        """f(t)^q of a function that vanishes like t^k: near 0 it is |t|^kq (f/t^k)^q."""
        found = vanishing(expr.base)
        if found is None or not found[0].factor.is_positive or found[0].argument.is_nonzero:
            return None
        b, (function, order), power = self._builder, found, Fraction(str(expr.exp))
        sign, argument = 1, function.argument
        if order % 2:
            if not argument.is_nonnegative and not argument.is_nonpositive:
                return None
            sign, argument = (1, argument) if argument.is_nonnegative else (-1, -argument)
        t = self(function.argument)
        near = b.binary("lt", b.unary("abs", t), b.constant(function.radius))
        small = b.where(near, t, b.constant(0.0))
        if order % 2:
            size = self(argument ** (order * expr.exp))
        else:
            size = self._kinked(b.unary("abs", small), power * order)
        rest = b.power(self._polynomial([sign * c for c in function.coefficients], small), power)
        far = _Lowering(b, (), slopes=self._slopes)
        far.known[VARIABLE] = b.where(near, b.constant(function.radius), t)
        far._regular = function.function**expr.exp
        value = b.where(near, b.mul(size, rest), far(far._regular))
        return value if function.factor == 1 else b.mul(self(function.factor**expr.exp), value)

    def _exp(self, exponent: sp.Expr) -> int:
        """exp of an exponent that may have a pole, such as exp(−1/x²): slope 0 where it underflows."""
        b = self._builder
        value = self(exponent)
        if not self._slopes or not any(poles(exponent)):
            return b.unary("exp", value)
        selected = b.binary("lt", b.constant(_SMALLEST_EXPONENT), value)
        return b.where(selected, b.unary("exp", self._branch(exponent, selected)), b.constant(0.0))

    def _flat_product(self, expr: sp.Mul) -> int | None:
        """A product with an exponential of a pole, as exp(−1/x²)/x: 0 where the exponential underflows."""
        b = self._builder
        flat = [f for f in expr.args if isinstance(f, sp.exp) and any(poles(f.args[0]))]
        if len(flat) != 1 or expr == self._regular:
            return None
        selected = b.binary("lt", b.constant(_SMALLEST_EXPONENT), self(flat[0].args[0]))
        return b.where(selected, self._branch(expr, selected, regular=expr), b.constant(0.0))

    def _times_log(self, expr: sp.Mul) -> int | None:
        """A product with log u, such as x² log x²: 0 where u and the other factors vanish together."""
        b = self._builder
        if expr == self._regular or not self._slopes:
            return None
        expanded = _expanded_log(expr)
        if expanded is not None:
            return self(expanded)
        logs = _singular_logs(expr)
        if len(logs) != 1:
            return None
        (log,) = logs
        others = sp.Mul(*(f for f in expr.args if f is not log))
        value, factor = self(log), self(others)
        selected = b.binary("lt", b.unary("abs", value), b.constant(_LARGEST_SINGLE))
        inside = self._branch(expr, selected, regular=expr)
        infinite = b.mul(b.unary("hold", value), b.unary("hold", factor))
        return b.where(selected, inside, b.where(factor, infinite, b.constant(0.0)))

    def _scaled_tail(self, expr: sp.Mul) -> int | None:
        """A product with erfc(u) exp(v): where erfc(u) is tiny exp(v − u²) times the asymptotic series."""
        b = self._builder
        tails = [(f, tail) for f in expr.args if (tail := multiple_of_erfc(f)) is not None]
        exponentials = [f for f in expr.args if isinstance(f, sp.exp) and f.has(FieldComponent)]
        if len(tails) != 1 or not exponentials:
            return None
        ((factor, (number, u)),) = tails
        rest = number * sp.Mul(*(f for f in expr.args if f is not factor and f not in exponentials))
        exponent = sp.Add(*(f.args[0] for f in exponentials))
        start, value = b.constant(ERFC_SERIES_FROM), self(u)
        far = b.binary("lt", start, value)
        zero = b.constant(0.0)
        power = b.unary("exp", b.where(far, zero, self(exponent)))
        product = b.mul(b.unary("erfc", b.where(far, zero, value)), power)
        lowering = _Lowering(b, ())
        lowering.known[LARGE] = b.where(far, value, start)
        gap = b.where(far, self(sp.expand(exponent - u**2)), zero)
        series = b.mul(lowering(erfcx_series()), b.unary("exp", gap))
        result = b.where(far, series, product)
        return result if rest == 1 else b.mul(self(rest), result)

    def _extreme(self, name: str, arguments: Sequence[sp.Expr]) -> int:
        """The largest or smallest of several values, each a branch since it may overflow elsewhere."""
        b = self._builder
        values = [self(arg) for arg in arguments]
        chosen = values[0]
        for value in values[1:]:
            chosen = b.binary(name, chosen, value)
        if all(map(_is_quadratic, arguments)) or not self._slopes:
            return chosen
        result = b.unary("hold", chosen)
        for arg, value in zip(reversed(arguments), reversed(values), strict=True):
            below, above = (chosen, value) if name == "maximum" else (value, chosen)
            selected = b.binary("le", below, above)  # True for the value that is equal to the extreme
            result = b.where(selected, self._branch(arg, selected), result)
        return result

    def _power(self, expr: sp.Pow) -> int:
        """A power; where its base is zero its slope is 0, which lies between the slopes on both sides."""
        b = self._builder
        base, exponent = expr.args
        base, exponent = base, exponent
        if isinstance(exponent, sp.Rational):
            q = Fraction(int(exponent.p), int(exponent.q))
            if q.denominator == 1 or base.is_positive or not self._slopes:
                return b.power(self(base), q)
            even = _even_power(base)
            if even is not None:  # the even power may underflow, and so may a product of several factors
                root, n = even
                value = b.constant(1.0)
                for factor in sp.Mul.make_args(root):
                    value = b.mul(value, self._kinked(b.unary("abs", self(factor)), q * n))
                return value
            squares = _sum_of_squares(base)
            if squares is not None and q.numerator > 0:
                return self._kinked(self._norm(squares), 2 * q)
            return self._kinked(self(base), q)
        if base.is_positive or not _leaves(base):
            return b.unary("exp", b.mul(self(exponent), self._log(base)))
        value, power, zero, one = self(base), self(exponent), b.constant(0.0), b.constant(1.0)
        inside = b.unary("exp", b.mul(power, b.unary("log", b.where(value, value, one))))
        at_zero = b.where(b.binary("lt", zero, power), zero, b.constant(math.inf))
        return b.where(value, inside, b.where(power, at_zero, one))

    def _kinked(self, base: int, exponent: Fraction) -> int:
        """A power of a base that may be zero; the slope there is 0."""
        b = self._builder
        if exponent.denominator == 1 and exponent >= 0:
            return b.power(base, exponent)
        inside = b.power(b.where(base, base, b.constant(1.0)), exponent)
        return b.where(base, inside, b.constant(0.0 if exponent > 0 else math.inf))

    def _norm(self, terms: list[sp.Expr]) -> int:
        """√Σ terms² with slope 0 at 0, computed in units of the largest term so that no square overflows."""
        b = self._builder
        values = [self(term) for term in terms]
        sizes = [b.unary("abs", value) for value in values]
        largest = sizes[0]
        for size in sizes[1:]:
            largest = b.binary("maximum", largest, size)
        largest, one = b.unary("hold", largest), b.constant(1.0)
        unit = b.where(largest, largest, one)
        total = b.constant(0.0)
        for value in values:
            ratio = b.div(b.where(largest, value, one), unit)
            total = b.add(total, b.mul(ratio, ratio))
        return b.mul(largest, b.unary("sqrt", total))

    def _angle(self, y: int, x: int) -> int:
        """The angle of (x, y) with slope 0 at the origin, computed in units of max(|x|, |y|)."""
        b = self._builder
        size = b.unary("hold", b.binary("maximum", b.unary("abs", x), b.unary("abs", y)))
        unit = b.where(size, size, b.constant(1.0))
        y, x = (b.where(size, value, b.constant(c)) for value, c in ((y, 0.0), (x, 1.0)))
        return b.atan2(b.div(y, unit), b.div(x, unit))

    def _asinh(self, argument: sp.Expr) -> int:
        """asinh u of a function u that may overflow: where |u| > 1 it is ±(log|u| + log(1 + √(1 + 1/u²)))."""
        b, one = self._builder, self._builder.constant(1.0)
        far = b.binary("lt", one, b.unary("abs", self(argument)))
        large = sp.log(sp.Abs(argument)) + sp.log(1 + sp.sqrt(1 + argument**-2))
        small = self._branch(argument, b.sub(one, far))
        return b.where(far, self._branch(sp.sign(argument) * large, far), b.unary("asinh", small))

    def _log_gamma(self, argument: sp.Expr) -> int:
        if not argument.is_positive:
            raise LoweringError(
                f"function gamma of {argument}",
                expected="an argument that is visibly positive",
                found=str(argument),
                remedy="write one that is, such as 1 + φ², or rewrite the expression without gamma",
            )
        return self._builder.unary("lgamma", self(argument))

    def _site_constant(self, h: SiteConstant) -> int:
        b = self._builder
        offset = h.offset
        if offset is None:
            raise LoweringError(
                f"site constant {h}",
                expected="one seen from x + offset",
                found="one that a map of the sites has carried along",
                remedy="evaluate it with its array, SiteConstant.array",
            )
        value = (
            b.site_parameter(h.coupling) if h.values is None else b.site_constant(SITE_VALUES + h.coupling)
        )
        value = b.shift(value, offset)
        b.note(value, h.name)
        return value

    def _sum(self, expr: sp.Expr) -> int:
        """A sum by Horner's scheme in the field that most terms contain: neighbours are added first."""
        b = self._builder
        terms = list(sp.Add.make_args(expr))
        powers = [{} if _singular_logs(term) else dict(_field_powers(term)) for term in terms]
        counts = Counter(base for power in powers for base in power)
        shared = [(-n, base.name, base) for base, n in counts.items() if n > 1]
        if not shared:
            value = self(terms[0])
            for term in terms[1:]:
                value = b.add(value, self(term))
            return value
        base = min(shared)[2]
        lowest = min(power[base] for power in powers if base in power)
        inside = [t / base**lowest for t, power in zip(terms, powers, strict=True) if base in power]
        outside = [t for t, power in zip(terms, powers, strict=True) if base not in power]
        value = b.mul(self(base**lowest), self(sp.Add(*inside)))
        return b.add(value, self(sp.Add(*outside))) if outside else value

    def _product(self, expr: sp.Mul) -> int:
        b = self._builder
        numerator, denominator = [], []
        for factor in expr.args:
            base, exponent = factor.as_base_exp()
            if isinstance(exponent, sp.Rational) and -1 <= exponent < 0 and not base.is_number:
                denominator.append(self(base**-exponent))
            else:
                numerator.append(self(factor))
        # small values first: literals and couplings are multiplied together before they meet a field
        numerator.sort(key=lambda v: list(Kind).index(b.kind(v)))
        value = numerator[0] if numerator else b.constant(1.0)
        for factor in numerator[1:]:
            value = b.mul(value, factor)
        for factor in denominator:
            value = b.div(value, factor)
        return value

    def _log(self, argument: sp.Expr) -> int:
        b = self._builder
        single = isinstance(argument, sp.Mul) and argument != self._regular
        parts = split_singular(argument) if single else None
        found = None if parts is None or ratio_sinhc(argument) else removable(parts[0], sp.log)
        if parts is not None and found is not None:
            value = self._removed(found.argument, found, sp.log(found.function))
            rest = found.factor * parts[1]
            return value if rest == 1 else b.add(value, self._log(rest))
        positive = exponents(argument)
        if positive is not None:
            found = affine(positive)
            if found is not None:
                common, fields, rows = found
                return b.add(self(common), b.stack_logsumexp(b.affine_stack([self(f) for f in fields], rows)))
            terms = [self(exponent) for exponent in positive]
            return terms[0] if len(terms) == 1 else b.logsumexp(terms)
        even = _even_power(argument)
        if even is not None and isinstance(argument, sp.Pow):  # the power itself may underflow
            root = sp.Abs(even[0])
            logarithm = self._log(root) if grows(root) else b.unary("log", self(root))
            return b.mul(b.constant(float(even[1])), logarithm)
        ratio = ratio_sinhc(argument)
        if ratio is not None:
            return self(log_sinhc(ratio[0]) + sp.log(ratio[1]))
        vanishing = vanishing_ratio(argument)
        if vanishing is not None:  # −log Σ exp(q − p) has no difference of large numbers
            rest, exponent, terms = vanishing
            gaps = [self(sp.expand(q - exponent)) for q in terms]
            value = b.neg(b.logsumexp(gaps))
            return value if rest == 1 else b.add(value, self._log(rest))
        factors = [(f, *f.as_base_exp()) for f in sp.Mul.make_args(argument)]
        tails = [(f, exponent, tail) for f, base, exponent in factors if (tail := multiple_of_erfc(base))]
        if tails:  # each erfc may underflow
            rest = sp.Mul(argument, *(1 / f for f, *_ in tails), *(n**power for _, power, (n, _) in tails))
            value = self._log(rest)
            for _, power, (_, u) in tails:
                value = b.add(value, b.mul(self(power), self._log_erfc(self(u))))
            return value
        if isinstance(argument, sp.gamma):
            return self._log_gamma(argument.args[0])
        product = as_product(argument)
        if product is not None and product.is_nonnegative and argument != self._regular:
            value = b.constant(0.0)
            for factor in sp.Mul.make_args(product):  # the product of all factors may underflow
                value = b.add(value, self(sp.log(factor)))
            return value
        root = conjugate(argument)
        if root is not None and argument != self._regular and not _sum_of_squares(argument):
            numerator, denominator, other = root
            whole = sp.log(numerator) - sp.log(denominator)
            return self._where_positive(other, whole, denominator, sp.log(argument))
        near = None if argument == self._regular else self._log_of_vanishing(argument)
        if near is not None:
            return near
        spelled = respelled(argument)
        if spelled is not None and grows(spelled):
            argument = spelled
        if not grows(argument) and not is_steep(argument):
            return b.unary("log", self(argument))
        ratio, exponent = self._scaled(argument)
        log_ratio = b.unary("log", ratio)
        return log_ratio if exponent is None else b.add(exponent, log_ratio)

    def _log_of_vanishing(self, argument: sp.Expr) -> int | None:
        """log f(t) of a function that vanishes like t^k: near 0 it is k log|t| + log(f/t^k)."""
        found = vanishing(argument)
        if found is None or not found[0].factor.is_positive or found[0].argument.is_nonzero:
            return None
        b, (function, order) = self._builder, found
        if order % 2 and not function.argument.is_nonnegative:
            return None
        if order * degree(function.argument) < 2:  # which does not underflow before the fields do
            return None
        t = self(function.argument)
        near = b.binary("lt", b.unary("abs", t), b.constant(function.radius))
        rest = self._polynomial(function.coefficients, b.where(near, t, b.constant(0.0)))
        size = self(order * sp.log(sp.Abs(function.argument)))
        far = _Lowering(b, (), slopes=self._slopes)
        far.known[VARIABLE] = b.where(near, b.constant(function.radius), t)
        far._regular = function.function
        value = b.where(near, b.add(size, b.unary("log", rest)), far(sp.log(function.function)))
        return value if function.factor == 1 else b.add(self(sp.log(function.factor)), value)

    def _log_erfc(self, u: int) -> int:
        """log erfc(u), by the asymptotic series where erfc(u) is tiny."""
        b, start = self._builder, ERFC_SERIES_FROM
        far = b.binary("lt", b.constant(start), u)
        near = b.unary("log", b.unary("erfc", b.where(far, b.constant(0.0), u)))
        lowering = _Lowering(b, ())
        lowering.known[LARGE] = b.where(far, u, b.constant(start))
        return b.where(far, lowering(log_erfc_series()), near)

    def _overflows(self, expr: sp.Expr) -> bool:
        """Whether parts of a product or power may overflow where the whole is finite.

        Such parts are exponentials and powers of high degree. A product of integer powers alone has the size
        of the whole.
        """
        if isinstance(expr, sp.besseli):
            return expr.has(FieldComponent)
        if isinstance(expr, sp.Mul):
            factors = expr.args
            growing = [factor for factor in factors if grows(factor)]
            if len(growing) > 1 or any(map(self._overflows, factors)):
                return True
            small = [f for f in factors if f in growing or not _is_natural(f.as_base_exp()[1])]
            steep = degree(sp.Mul(*(f for f in factors if f not in small))) > LARGEST_DEGREE
            return steep and any(f in growing or degree(f) > 0 for f in small)
        if isinstance(expr, sp.Pow) and isinstance(expr.exp, sp.Rational):
            return not _is_natural(expr.exp) and (grows(expr.base) or is_steep(expr.base))
        return False

    def _scaled(self, expr: sp.Expr, *, steep: bool = False) -> tuple[int, int | None]:
        """(r, m) with expr = r·exp(m) and r of order 1 where exponentials are large; None stands for m = 0.

        Parameters
        ----------
        steep
            Whether powers φ^c count as exponentials exp(c·log|φ|), as in expressions of high degree.
        """
        b = self._builder
        expr, steep = root_of_product(expr) or expr, steep or is_steep(expr)
        if steep and isinstance(expr, sp.Pow) and _is_leaf(expr.base) and expr.exp.is_Integer:
            return self._scaled_power(self(expr.base), int(expr.exp))
        if not grows(expr) and not (steep and isinstance(expr, sp.Add | sp.Mul | sp.Pow)):
            return self(expr), None
        if isinstance(expr, sp.exp):
            return b.constant(1.0), self(expr.args[0])
        if is_exponential(expr):
            return b.constant(1.0), self(expr.args[1] * sp.log(cast(Any, expr.args[0])))
        if isinstance(expr, sp.besseli):
            order, argument = expr.args
            if order not in (0, 1):
                raise _unsupported(expr, f"besseli of order {order}")
            value = self(argument)
            return b.unary(f"i{order}e", value), b.unary("abs", value)
        if isinstance(expr, sp.Abs):
            ratio, exponent = self._scaled(expr.args[0], steep=steep)
            return b.unary("abs", ratio), exponent
        if isinstance(expr, sp.Mul):
            parts = [self._scaled(factor, steep=steep) for factor in expr.args]
            ratio, total = parts[0]
            for factor, exponent in parts[1:]:
                ratio = b.mul(ratio, factor)
                total = total if exponent is None else exponent if total is None else b.add(total, exponent)
            return ratio, total
        if isinstance(expr, sp.Pow) and not isinstance(expr.exp, sp.Rational):
            return self(expr), None
        if isinstance(expr, sp.Pow):
            power = Fraction(str(expr.exp))
            ratio, exponent = self._scaled(expr.base, steep=steep)
            has_kink = power.denominator > 1 and not expr.base.is_positive
            ratio = self._kinked(ratio, power) if has_kink else b.power(ratio, power)
            return ratio, None if exponent is None else b.mul(b.constant(float(power)), exponent)
        difference = difference_of_exponentials(expr)
        if (
            difference is not None
        ):  # c (e^p − e^q) = c (1 − e^(q − p)) e^p where p > q, else c (e^(p − q) − 1) e^q
            c, p, q = difference
            gap, zero = self(sp.expand(p - q)), b.constant(0.0)
            below = b.binary("lt", gap, zero)
            rising = b.unary("expm1", b.neg(b.where(below, zero, gap)))
            falling = b.unary("expm1", b.where(below, gap, zero))
            ratio = b.mul(b.constant(_number(c)), b.where(below, falling, b.neg(rising)))
            return ratio, b.binary("maximum", self(p), self(q))
        if isinstance(expr, sp.cosh):
            argument = expr.args[0]
            expr = sp.exp(argument) / 2 + sp.exp(-argument) / 2
        return self._scaled_sum([self._scaled(term, steep=steep) for term in expr.args])

    def _scaled_power(self, base: int, exponent: int) -> tuple[int, int]:
        """(r, m) with base^exponent = r·exp(m) for a field: r its sign, m = exponent · log|base|."""
        b = self._builder
        one = b.constant(1.0)
        ratio = b.unary("sign", base) if exponent % 2 else b.where(base, one, b.constant(0.0))
        size = b.unary("log", b.unary("abs", b.where(base, base, one)))
        return ratio if exponent > 0 else b.div(one, ratio), b.mul(b.constant(float(exponent)), size)

    def _scaled_sum(self, parts: list[tuple[int, int | None]]) -> tuple[int, int]:
        """(r, m) of a sum; m is the largest exponent, held constant as r·exp(m) does not depend on it."""
        b = self._builder
        zero = b.constant(0.0)
        terms = [(ratio, zero if exponent is None else exponent) for ratio, exponent in parts]
        lowest = terms[0][1]
        for _, exponent in terms[1:]:
            lowest = b.binary("minimum", lowest, exponent)
        sizes = [m if b.op(r).name == "constant" else b.where(r, m, lowest) for r, m in terms]
        largest = sizes[0]
        for size in sizes[1:]:
            largest = b.binary("maximum", largest, size)
        largest = b.unary("hold", largest)
        total, infinity, intervals = zero, b.constant(math.inf), ValueIntervals(b)
        for ratio, exponent in terms:
            gap = b.sub(exponent, largest)
            if intervals(exponent)[1] == math.inf:  # ∞ − ∞
                gap = b.where(b.binary("lt", exponent, infinity), gap, zero)
            total = b.add(total, b.mul(ratio, b.unary("exp", gap)))
        return total, largest

    def _piecewise(self, expr: sp.Piecewise) -> int:
        b = self._builder
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
        conditions = [self._condition(condition) for _, condition in cases]
        walls = [index for index, (case, _) in enumerate(branches) if case is sp.oo]
        margins = [self._margin(condition) for _, condition in cases] if walls else []
        values, remaining = [], one
        for index, (case, _) in enumerate(branches):
            selected = remaining if index == len(cases) else b.mul(remaining, conditions[index])
            if index in walls:
                depths = [b.neg(margin) for margin in margins[:index]] + margins[index : index + 1]
                values.append(b.unary("wall", self._least(depths)))
            else:
                values.append(self._branch(case, selected))
            if index < len(cases):
                remaining = b.mul(remaining, b.sub(one, conditions[index]))
        value = values.pop()
        for condition, chosen in zip(reversed(conditions), reversed(values), strict=True):
            value = b.where(condition, chosen, value)
        return value

    def _branch(self, expr: sp.Expr, selected: int, *, regular: sp.Expr | None = None) -> int:
        """A branch of a Piecewise, evaluated at the fields where it is selected and at 1 elsewhere.

        If 1 is a pole, another number is taken. ``regular`` is to be lowered without special cases.

        The value elsewhere is discarded, but an undefined or overflowing branch would have an infinite
        derivative there, and 0·∞ is NaN. Quadratic polynomials have no such places and stay as they are.
        """
        if _is_quadratic(expr):
            return self(expr)
        b, leaves = self._builder, sorted(_leaves(expr), key=str)
        branch = _Lowering(b, (), slopes=self._slopes)
        elsewhere = b.constant(_ordinary_point(expr, leaves))
        branch.known.update({leaf: b.where(selected, self(leaf), elsewhere) for leaf in leaves})
        branch._regular = regular
        return branch(expr)

    def _least(self, values: list[int]) -> int:
        least = values[0]
        for value in values[1:]:
            least = self._builder.binary("minimum", least, value)
        return least

    def _margin(self, condition: sp.Basic) -> int:
        """The margin by which a condition holds, e.g. b − a for a < b; negative where it does not hold."""
        b = self._builder
        if isinstance(condition, sp.And):
            return self._least([self._margin(part) for part in condition.args])
        if isinstance(condition, sp.Or):
            parts = [b.neg(self._margin(part)) for part in condition.args]
            return b.neg(self._least(parts))
        assert isinstance(condition, sp.Rel)  # _condition has refused anything else
        left, right = (self(side) for side in condition.args)
        if isinstance(condition, sp.Eq | sp.Ne):
            size = b.unary("abs", b.sub(left, right))
            return b.neg(size) if isinstance(condition, sp.Eq) else size
        greater = isinstance(condition, sp.StrictGreaterThan | sp.GreaterThan)
        return b.sub(left, right) if greater else b.sub(right, left)

    def _condition(self, condition: sp.Basic) -> int:
        b = self._builder
        sides = [self(side) for side in condition.args] if isinstance(condition, sp.Rel) else []
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
                    value = b.mul(value, self._condition(part))
                return value
            case sp.Or():
                value = b.constant(0.0)
                for part in condition.args:
                    value = b.binary("maximum", value, self._condition(part))
                return value
        raise LoweringError(
            f"condition {condition}",
            expected="<, ≤, >, ≥, =, ≠ combined with And and Or",
            found=type(condition).__name__,
            remedy="rewrite the condition with inequalities",
        )


def _check_couplings(singular: sp.Expr) -> None:
    """Raise LoweringError for 0/0 whose limit, and so its Taylor expansion, depends on run-time couplings."""
    couplings = sorted(singular.atoms(Parameter), key=str)
    values = {c: sp.Rational(2 * k + 3, 7) for k, c in enumerate(couplings)}
    if couplings and removable(singular.xreplace(values)) is not None:
        raise LoweringError(
            f"expression {singular}",
            expected="a function of one variable, couplings times fields, where 0/0 occurs",
            found="0/0, whose limit depends on " + ", ".join(map(str, couplings)),
            remedy="write it as such functions, as (exp(a·x) − 1)/x, or hold the couplings at numbers",
        )


def _ordinary_point(expr: sp.Expr, leaves: Sequence[sp.Expr]) -> float:
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


def _is_natural(exponent: sp.Basic) -> bool:
    return isinstance(exponent, sp.Integer) and int(exponent) >= 0


def _is_leaf(expr: sp.Basic) -> bool:
    """Whether powers of the expression count as growing: a field, a sum over sites or an absolute value."""
    return isinstance(expr, FieldComponent | Functional | sp.Abs)


def _singular_logs(expr: sp.Expr) -> list[sp.Expr]:
    """Powers of logarithms that may be infinite where the other factors of a product vanish."""
    found = []
    for factor in sp.Mul.make_args(expr):
        log, power = factor.as_base_exp()
        if not isinstance(log, sp.log) or not _is_natural(power) or log.args[0].is_positive:
            continue
        others = sp.Mul(*(f for f in sp.Mul.make_args(expr) if f is not factor))
        if others.atoms(FieldComponent) & log.atoms(FieldComponent) and not any(poles(log.args[0])):
            found.append(factor)
    return found


def _expanded_log(expr: sp.Mul) -> sp.Expr | None:
    """x² (1 + log x²) = x² + x² log x² and the like; None for other products."""
    for factor in expr.args:
        base, power = factor.as_base_exp()
        if isinstance(base, sp.Add) and _is_natural(power) and base.has(sp.log):
            others = expr / factor
            terms = [others * term for term in sp.Add.make_args(sp.expand_multinomial(factor))]
            if any(map(_singular_logs, terms)):
                return sp.Add(*terms)
    return None


def _field_powers(term: sp.Expr) -> list[tuple[FieldComponent, int]]:
    powers = []
    for factor in sp.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        if isinstance(base, FieldComponent) and exponent.is_Integer and exponent > 0:
            powers.append((base, int(exponent)))
    return powers


def _number(expr: sp.Expr) -> float:
    """A number in float64; LoweringError for one that is complex or too large."""
    try:
        value = float(expr)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise LoweringError(
            f"number {str(expr)[:60]}",
            expected="a real number within the range of float64",
            found="an infinity outside a Piecewise"
            if expr.is_infinite
            else "one that is complex or too large",
            remedy="measure fields and couplings in units in which the numbers are of moderate size",
        )
    return value


def _unsupported(expr: sp.Basic, what: str | None = None) -> LoweringError:
    return LoweringError(
        f"expression {expr}",
        expected=_SUPPORTED,
        found=what or type(expr).__name__,
        remedy="rewrite the expression with these functions",
    )


def _leaves(expr: sp.Basic) -> set[sp.Expr]:
    """The outermost fields, site sums and determinants of an expression."""
    if isinstance(expr, Functional | FieldComponent | BondWeight):
        return {expr}
    return set().union(*map(_leaves, expr.args)) if expr.args else set()


def _is_quadratic(expr: sp.Expr) -> bool:
    """Whether ``expr`` is a polynomial of the fields of degree two at most."""
    leaves = sorted(_leaves(expr), key=str)
    return bool(expr.is_polynomial(*leaves) and (not leaves or sp.Poly(expr, *leaves).total_degree() <= 2))


def _even_power(base: sp.Expr) -> tuple[sp.Expr, int] | None:
    """(r, n) with base = |r|^n, an even power or (n = 1) an absolute value; None otherwise."""
    if isinstance(base, sp.Pow) and isinstance(base.exp, sp.Integer) and base.exp > 0 and base.exp % 2 == 0:
        return base.base, int(base.exp)
    return (base.args[0], 1) if isinstance(base, sp.Abs) else None


def _half_power(root: sp.Expr, exponent: int) -> sp.Expr:
    """|root|^(exponent/2) up to its sign, which does not matter in a square."""
    whole = root ** (exponent // 2)
    return whole * sp.sqrt(sp.Abs(root)) if exponent % 2 else whole


def _sum_of_squares(base: sp.Expr) -> list[sp.Expr] | None:
    """Terms t with base = Σ t², if all summands are positive numbers times even powers."""
    terms = []
    for summand in sp.Add.make_args(base):
        number, rest = summand.as_coeff_Mul()
        factors = [_even_power(f) for f in sp.Mul.make_args(rest)]
        if not number.is_positive or any(f is None for f in factors):
            return None
        roots = [_half_power(*cast(Any, f)) for f in factors]
        terms.append(sp.sqrt(number) * sp.Mul(*roots))
    return terms
