"""From symbols to programs: the only module that knows both SymPy and the intermediate program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, cast

import numpy as np
import sympy as sp

from .errors import LoweringError
from .exact import floats
from .fermions import FermionLogDet, Hopping, canonical_species
from .fields import FieldComponent, Parameter
from .ir.program import Builder, Function, Kind
from .lattice import GraphLattice, SiteSum

ADJACENCY = "ADJACENCY"  # the constant that holds the adjacency matrix of the lattice
_AFFINE_FROM = 3  # exponents from which one matrix product beats term by term
_AFFINE_CONSTANTS = 200.0
_UNARY: dict[Any, str] = {
    sp.sin: "sin",
    sp.cos: "cos",
    sp.tan: "tan",
    sp.tanh: "tanh",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sp.Abs: "abs",
    sp.sign: "sign",
    sp.atan: "atan",
    sp.erf: "erf",
}


def lower(name: str, doc: str, expr: sp.Expr, components: Sequence[FieldComponent], output: str) -> Function:
    """A function (x; couplings) ↦ one number per configuration, from an expression in site sums."""
    couplings = sorted({s.name for s in expr.free_symbols if isinstance(s, Parameter)})
    builder = Builder(name, doc, [("x", Kind.FIELDS)], couplings)
    value = _Lowering(builder, components)(expr)
    if builder.kind(value) is Kind.SCALAR:  # one number per configuration all the same
        volume = builder.constant(components[0].lattice.volume)
        value = builder.site_sum(builder.broadcast(builder.div(value, volume)))
    return builder.finish(**{output: value})


def lower_by_block(
    name: str, doc: str, expr: sp.Expr, components: Sequence[FieldComponent], blocks: tuple[int, ...]
) -> Function:
    """The same for a linear combination of site sums, as a sum over the blocks: (batch, blocks)."""
    couplings = sorted({s.name for s in expr.free_symbols if isinstance(s, Parameter)})
    builder = Builder(name, doc, [("x", Kind.FIELDS)], couplings)
    lowering = _Lowering(builder, components, blocks)
    return builder.finish(breaking=lowering(expr))


def matrices(expressions: Iterable[sp.Expr]) -> dict[str, np.ndarray]:
    """The constants that lowered expressions refer to: the adjacency of a graph lattice, hopping matrices."""
    found: dict[str, np.ndarray] = {}
    for expr in expressions:
        for field in expr.atoms(FieldComponent):
            if field.hops is not None and isinstance(field.lattice, GraphLattice):
                found[ADJACENCY] = floats(field.lattice.adjacency)
        found |= {h.name: floats(h.matrix) for h in expr.atoms(Hopping)}
    return dict(sorted(found.items()))


def lower_into(builder: Builder, expr: sp.Expr, values: Mapping[sp.Symbol, int]) -> int:
    """Add an expression in symbols that stand for ``values`` to a function under construction."""
    lowering = _Lowering(builder, ())
    lowering.known.update(values.items())
    return lowering(expr)


class _Lowering:
    """Lowers SymPy nodes once each, in the order SymPy stores them (which does not depend on hash seeds)."""

    def __init__(
        self, builder: Builder, components: Sequence[FieldComponent], blocks: tuple[int, ...] = ()
    ) -> None:
        self._builder, self._blocks = builder, blocks
        self._index = {(c.field, c.component): a for a, c in enumerate(components)}
        self.known: dict[sp.Basic, int] = {}  # what has been lowered so far

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
            b.note(value, expr.name)
            return value
        if isinstance(expr, Parameter):
            return b.parameter(expr.name)
        if isinstance(expr, SiteSum):
            density = b.broadcast(self(expr.density))
            value = b.block_sum(density, self._blocks) if self._blocks else b.site_sum(density)
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
            return b.constant(float(expr))
        if isinstance(expr, sp.Add):
            return self._sum(expr)
        if isinstance(expr, sp.Mul):
            return self._product(expr)
        if isinstance(expr, sp.exp):
            return b.unary("exp", self(cast(sp.Expr, expr.args[0])))
        if isinstance(expr, sp.Pow):
            base, exponent = expr.as_base_exp()
            if isinstance(exponent, sp.Rational):
                return b.power(self(base), Fraction(int(exponent.p), int(exponent.q)))
            return b.unary("exp", b.mul(self(exponent), self._log(base)))
        if isinstance(expr, sp.log):
            return self._log(cast(sp.Expr, expr.args[0]))
        if isinstance(expr, sp.Max | sp.Min):
            name = "maximum" if isinstance(expr, sp.Max) else "minimum"
            first, *rest = (self(cast(sp.Expr, arg)) for arg in expr.args)
            for value in rest:
                first = b.binary(name, first, value)
            return first
        if isinstance(expr, sp.Piecewise):
            return self._piecewise(expr)
        if type(expr) in _UNARY:
            return b.unary(_UNARY[type(expr)], self(cast(sp.Expr, expr.args[0])))
        raise LoweringError(
            f"expression {expr}",
            expected="+, ·, powers, exp, log, sin, cos, tan, sinh, cosh, tanh, atan, erf, Abs, sign, "
            "Max, Min, Piecewise",
            found=type(expr).__name__,
            remedy="rewrite the expression with these functions",
        )

    def _sum(self, expr: sp.Expr) -> int:
        """Horner's scheme on the field in most terms, so that neighbours are added before multiplying."""
        b = self._builder
        terms = [cast(sp.Expr, t) for t in sp.Add.make_args(expr)]
        powers = [dict(_field_powers(term)) for term in terms]
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
        value = b.mul(self(cast(sp.Expr, base**lowest)), self(cast(sp.Expr, sp.Add(*inside))))
        return b.add(value, self(cast(sp.Expr, sp.Add(*outside)))) if outside else value

    def _product(self, expr: sp.Mul) -> int:
        b = self._builder
        numerator, denominator = [], []
        for factor in expr.args:
            base, exponent = factor.as_base_exp()
            if isinstance(exponent, sp.Rational) and exponent < 0 and not base.is_number:
                denominator.append(self(base**-exponent))
            else:
                numerator.append(self(cast(sp.Expr, factor)))
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
        exponents = _exponents(argument)
        if exponents is None:
            return b.unary("log", self(argument))
        affine = _affine(exponents)
        if affine is not None:
            common, fields, rows = affine
            return b.add(self(common), b.stack_logsumexp(b.affine_stack([self(f) for f in fields], rows)))
        terms = [self(exponent) for exponent in exponents]
        return terms[0] if len(terms) == 1 else b.logsumexp(terms)

    def _piecewise(self, expr: sp.Piecewise) -> int:
        b = self._builder
        *cases, (last, otherwise) = [(arg.args[0], arg.args[1]) for arg in expr.args]
        if otherwise != sp.true:
            raise LoweringError(
                f"expression {expr}",
                expected="a Piecewise that covers every case, ending in (…, True)",
                found=f"the last condition {otherwise}",
                remedy="add the missing case",
            )
        one = b.constant(1.0)
        conditions = [self._condition(cast(sp.Basic, condition)) for _, condition in cases]
        values, remaining = [], one
        for (case, _), condition in zip(cases, conditions, strict=True):
            values.append(self._branch(cast(sp.Expr, case), b.mul(remaining, condition)))
            remaining = b.mul(remaining, b.sub(one, condition))
        value = self._branch(cast(sp.Expr, last), remaining)
        for condition, chosen in zip(reversed(conditions), reversed(values), strict=True):
            value = b.where(condition, chosen, value)
        return value

    def _branch(self, expr: sp.Expr, selected: int) -> int:
        """A branch of a Piecewise; a partial function is kept from points where it is not selected.

        Such a branch sees φ = 1 there: its value is discarded, but its derivative would turn 0·∞ into NaN.
        """
        partial = [e for e in expr.atoms(sp.Pow, sp.log) if isinstance(e, sp.log) or not _is_natural(e.exp)]
        if not partial:
            return self(expr)
        b = self._builder
        branch = _Lowering(b, ())
        branch.known.update(
            {
                f: b.where(selected, self(f), b.constant(1.0))
                for f in sorted(expr.atoms(FieldComponent), key=str)
            }
        )
        return branch(expr)

    def _condition(self, condition: sp.Basic) -> int:
        b = self._builder
        sides = (
            [self(cast(sp.Expr, side)) for side in condition.args] if isinstance(condition, sp.Rel) else []
        )
        match condition:
            case sp.StrictLessThan():
                return b.binary("lt", sides[0], sides[1])
            case sp.LessThan():
                return b.binary("le", sides[0], sides[1])
            case sp.StrictGreaterThan():
                return b.binary("lt", sides[1], sides[0])
            case sp.GreaterThan():
                return b.binary("le", sides[1], sides[0])
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
            expected="<, ≤, >, ≥ combined with And and Or",
            found=type(condition).__name__,
            remedy="rewrite the condition with inequalities",
        )


def _is_natural(exponent: sp.Basic) -> bool:
    return isinstance(exponent, sp.Integer) and int(exponent) >= 0


def _field_powers(term: sp.Expr) -> list[tuple[FieldComponent, int]]:
    powers = []
    for factor in sp.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        if isinstance(base, FieldComponent) and exponent.is_Integer and exponent > 0:
            powers.append((base, int(exponent)))
    return powers


def _affine(
    exponents: list[sp.Expr],
) -> tuple[sp.Expr, list[FieldComponent], tuple[tuple[float, ...], ...]] | None:
    """(c, fields, rows) with exponent_k = c + rows[k][0] + Σ_j rows[k][j+1] fields[j] and c common to all.

    A mixture of Gaussians with one width is such a sum: its quadratic form is common. The constants must be
    small enough for what cancels between c and the rows not to matter in float32.
    """
    if len(exponents) < _AFFINE_FROM:
        return None
    expanded = [cast(sp.Expr, sp.expand(e)) for e in exponents]
    shared = set.intersection(*(set(sp.Add.make_args(e)) for e in expanded))
    common = cast(sp.Expr, sp.Add(*sorted(shared, key=sp.default_sort_key)))
    common = cast(sp.Expr, common - common.as_coeff_Add()[0])  # numbers cost nothing in the rows
    rests = [cast(sp.Expr, e - common) for e in expanded]
    fields = sorted({f for rest in rests for f in rest.atoms(FieldComponent)}, key=lambda f: f.name)
    rows = []
    for rest in rests:
        slopes = [cast(sp.Expr, rest.coeff(field)) for field in fields]
        constant = sp.expand(rest - sp.Add(*(s * f for s, f in zip(slopes, fields, strict=True))))
        if not all(value.is_number for value in (*slopes, constant)):
            return None
        rows.append(tuple(float(value) for value in (constant, *slopes)))
    small = max(abs(value) for row in rows for value in row) < _AFFINE_CONSTANTS
    return (common, fields, tuple(rows)) if fields and small else None


def _exponents(expr: sp.Expr) -> list[sp.Expr] | None:
    """Exponents e_i with expr = Σ exp(e_i), if expr is a sum of positive multiples of exponentials."""
    if isinstance(expr, sp.Add):
        parts = [_exponents(cast(sp.Expr, term)) for term in expr.args]
        if all(part is not None for part in parts) and expr.has(sp.exp, sp.cosh):
            return [e for part in parts for e in cast(list[sp.Expr], part)]
        return None
    if expr.is_number:
        return [cast(sp.Expr, sp.log(expr))] if expr.is_positive else None
    if isinstance(expr, sp.exp):
        return [cast(sp.Expr, expr.args[0])]
    if isinstance(expr, sp.cosh):
        argument = cast(sp.Expr, expr.args[0])
        return [cast(sp.Expr, argument - sp.log(2)), cast(sp.Expr, -argument - sp.log(2))]
    if isinstance(expr, sp.Mul):
        product: list[sp.Expr] = [sp.S.Zero]
        for factor in expr.args:
            exponents = _exponents(cast(sp.Expr, factor))
            if exponents is None:
                return None
            product = [cast(sp.Expr, a + e) for a in product for e in exponents]
        return product
    return None
