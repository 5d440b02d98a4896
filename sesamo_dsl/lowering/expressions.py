"""Translation of a SymPy expression to a program function that is stable in value and slope.

An expression is rewritten where its parts overflow, cancel or are undefined although the whole is finite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from ..errors import LoweringError
from ..ir.builder import Builder
from ..ir.operations import OPERATIONS
from ..ir.operations.functions import Elementwise
from ..ir.program import SITE_VALUES, Function
from ..ir.value import Kind
from ..symbols.bonds import BondWeight
from ..symbols.exact import floats
from ..symbols.fermions import FermionLogDet, Hopping, canonical_species
from ..symbols.fields import FieldComponent, Parameter
from ..symbols.lattice import Bonds, GraphLattice, SiteSum
from ..symbols.site_constants import SiteConstant
from .bonds import BondLayer, evaluated_once, layers, on_sites
from .bonds import constants as bond_constants
from .cancelling import conjugate, inverse_function, root_of_product
from .conditions import branch_of, exp_of, extreme_of, flat_product, piecewise, where_positive
from .logarithms import log_gamma, log_of, scaled_tail, singular_logs, times_log
from .lowering import Lowering
from .near_zero import check_couplings, removed
from .powers import power_of, root_of
from .removable import SINC, Removable, removable, split_singular
from .scaled import (
    grows,
    is_steep,
)
from .scaled_values import overflows, scaled
from .shapes import even_power, float_of, sum_of_squares, unsupported
from .spellings import (
    branches_of,
    respelled,
)

ADJACENCY = "ADJACENCY"  # the constant that holds the adjacency matrix of the lattice


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


class _Lowering(Lowering):
    """Lowers SymPy nodes once each, in the order SymPy stores them (which does not depend on hash seeds)."""

    def __init__(
        self,
        builder: Builder,
        components: Sequence[FieldComponent],
        block_axes: tuple[int, ...] = (),
        *,
        slopes: bool = True,
    ) -> None:
        super().__init__(builder, slopes=slopes)
        self._components, self._block_axes = components, block_axes
        self._index = {(c.field, c.component): a for a, c in enumerate(components)}
        self._layer: BondLayer | None = None  # the bonds of the sum whose density is lowered

    def apart(self) -> _Lowering:
        return _Lowering(self.builder, (), slopes=self.slopes)

    def _lower(self, expr: sp.Expr) -> int:
        b = self.builder
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
            return b.constant(float_of(expr))
        special = self._special(expr)
        if special is not None:
            return special
        stable = self._stable(expr)
        if stable is not None:
            return stable
        if overflows(self, expr):
            ratio, exponent = scaled(self, expr)
            return ratio if exponent is None else b.mul(ratio, b.unary("exp", exponent))
        if isinstance(expr, sp.Add):
            return self._sum(expr)
        if isinstance(expr, sp.Mul):
            return self._product(expr)
        if isinstance(expr, sp.exp):
            return exp_of(self, expr.args[0])
        if isinstance(expr, sp.Pow):
            return power_of(self, expr)
        if isinstance(expr, sp.log) and (folded := branches_of(expr)) is not None:
            return self(folded)
        if isinstance(expr, sp.log):
            return log_of(self, expr.args[0])
        if isinstance(expr, sp.Max | sp.Min):
            return extreme_of(self, "maximum" if isinstance(expr, sp.Max) else "minimum", expr.args)
        if isinstance(expr, sp.Piecewise):
            return piecewise(self, expr)
        if isinstance(expr, sp.atan2):
            return self._angle(*(self(arg) for arg in expr.args))
        if isinstance(expr, sp.gamma | sp.loggamma):
            value = log_gamma(self, expr.args[0])
            return value if isinstance(expr, sp.loggamma) else b.unary("exp", value)
        if isinstance(expr, sp.sinc):
            return removed(self, expr.args[0], cast(Removable, removable(SINC)), SINC)
        if isinstance(expr, sp.asinh) and (grows(expr.args[0]) or is_steep(expr.args[0])):
            return self._asinh(expr.args[0])
        spelled = respelled(expr) or inverse_function(expr)
        if spelled is not None:
            return self(spelled)
        function = OPERATIONS.get(type(expr).__name__.lower())  # Abs is called abs
        if isinstance(function, Elementwise) and function.in_formulas and not isinstance(expr, AppliedUndef):
            return b.apply(function.name, *(self(arg) for arg in expr.args))
        raise unsupported(expr)

    def _bonds(self, expr: SiteSum) -> int:
        """A density whose sum over the sites equals the sum over the bonds, added up layer by layer."""
        b = self.builder
        node = evaluated_once(expr)
        bonds = cast(Bonds, node.bonds)
        total = b.constant(0.0)
        for layer in layers(bonds):
            inside = _Lowering(b, self._components, self._block_axes, slopes=self.slopes)
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
        parts = None if expr == self.regular else split_singular(expr)
        if parts is not None:
            singular, rest = parts
            found = removable(singular)
            if found is None:
                check_couplings(singular)
            else:
                value = removed(self, found.argument, found, found.function)
                if found.factor != 1:
                    value = self.builder.mul(self(found.factor), value)
                if isinstance(expr, sp.Add):
                    return value if rest == 0 else self.builder.add(value, self(rest))
                return value if rest == 1 else self.builder.mul(self(rest), value)
        if isinstance(expr, sp.Mul):
            for product in (scaled_tail, flat_product, times_log):
                value = product(self, expr)
                if value is not None:
                    return value
        return None

    def _stable(self, expr: sp.Expr) -> int | None:
        """A difference that cancels, or a root of one, in a stable form; None for other expressions."""
        if expr == self.regular or not self.slopes:
            return None
        if isinstance(expr, sp.Add):
            root = conjugate(expr)
            if root is None or not root[2].has(FieldComponent):
                return None
            numerator, denominator, other = root
            return where_positive(self, other, numerator / denominator, denominator, expr)
        if isinstance(expr, sp.Pow) and isinstance(expr.exp, sp.Rational) and not expr.exp.is_Integer:
            product = root_of_product(expr)
            if product is not None:
                return self(product)
            if expr.exp.is_positive and not expr.base.is_positive and even_power(expr.base) is None:
                return None if sum_of_squares(expr.base) else root_of(self, expr)
        return None

    def _angle(self, y: int, x: int) -> int:
        """The angle of (x, y) with slope 0 at the origin, computed in units of max(|x|, |y|)."""
        b = self.builder
        size = b.unary("hold", b.binary("maximum", b.unary("abs", x), b.unary("abs", y)))
        unit = b.where(size, size, b.constant(1.0))
        y, x = (b.where(size, value, b.constant(c)) for value, c in ((y, 0.0), (x, 1.0)))
        return b.atan2(b.div(y, unit), b.div(x, unit))

    def _asinh(self, argument: sp.Expr) -> int:
        """asinh u of a function u that may overflow: where |u| > 1 it is ±(log|u| + log(1 + √(1 + 1/u²)))."""
        b, one = self.builder, self.builder.constant(1.0)
        far = b.binary("lt", one, b.unary("abs", self(argument)))
        large = sp.log(sp.Abs(argument)) + sp.log(1 + sp.sqrt(1 + argument**-2))
        small = branch_of(self, argument, b.sub(one, far))
        return b.where(far, branch_of(self, sp.sign(argument) * large, far), b.unary("asinh", small))

    def _site_constant(self, h: SiteConstant) -> int:
        b = self.builder
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
        b = self.builder
        terms = list(sp.Add.make_args(expr))
        powers = [{} if singular_logs(term) else dict(_field_powers(term)) for term in terms]
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
        b = self.builder
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


def _field_powers(term: sp.Expr) -> list[tuple[FieldComponent, int]]:
    powers = []
    for factor in sp.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        if isinstance(base, FieldComponent) and exponent.is_Integer and exponent > 0:
            powers.append((base, int(exponent)))
    return powers
