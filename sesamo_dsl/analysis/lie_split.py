"""The split of the action under a compact Lie group, and the charges of its breaking part.

The invariant part is found without integrating over the group: with the Casimir C = Σ_T L_T², whose kernel
are the invariants, the polynomial p of least degree with p(C)·C S = 0 gives S₀ = p(C)S / p(0).

Such a p exists if S is a polynomial in the fields whose coefficients are numbers or invariant functions: the
images of x exp(−r²) under the group span a space of finite dimension, the images of cos x do not. Terms
without a p are in S₁ as a whole, and so are terms whose expansion exceeds a bound on the number of terms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sympy as sp

from ..algebra.normal_form import NormalForm
from ..algebra.regularity import regular_parts
from ..language.theory import Theory
from ..symbols.fields import FieldComponent, Parameter
from ..symbols.lattice import Functional, SiteSum
from .invariance import is_polynomial, visibly_changes
from .lie import coefficients, lie_derivative, moved_by, rotation

_MAX_DEGREE = 12  # of the polynomial p
_MAX_WORK = 300  # largest number of terms, of all C^k S together, that generators are applied to


@dataclass(frozen=True)
class _Multiplet:
    """Terms with a common coupling and kernel: coupling·part, or coupling·Σ_x kernel·part with a ``symbol``.

    Attributes
    ----------
    kernel
        Factors of the summand that are no powers of fields; 1 for a polynomial in sums over sites, None for
        terms of any other form.
    symbol
        The lattice that kernel·part is summed over; None if ``part`` contains its sums itself.
    """

    coupling: sp.Expr
    kernel: sp.Expr | None
    part: sp.Expr
    symbol: sp.Basic | None = None

    def whole(self, part: sp.Expr) -> sp.Expr:
        """The sum of the terms with this part in the place of their own."""
        if self.kernel is None or self.symbol is None:
            return self.coupling * part
        return self.coupling * SiteSum(self.symbol, self.kernel * part)


class _Splitter:
    """Shared by split and charges: the Casimir, invariance of single terms, and their multiplets."""

    def __init__(
        self, theory: Theory, generators: Sequence[sp.ImmutableMatrix], normal_form: NormalForm
    ) -> None:
        self._components, self._generators, self._normal_form = theory.components, generators, normal_form
        self._moved = moved_by(generators, theory.components)
        self._theory, self._rotations = theory, [rotation(g, 0.7) for g in generators]
        self._work = 0

    def derivative(self, expr: sp.Expr, generator: sp.ImmutableMatrix) -> sp.Expr:
        return self._normal_form(lie_derivative(expr, generator, self._components))

    def casimir(self, expr: sp.Expr) -> sp.Expr | None:
        """C f in normal form; None beyond the bound on the work."""
        self._work += len(sp.Add.make_args(expr)) * len(self._generators)
        if self._work > _MAX_WORK:
            return None
        twice = (self.derivative(self.derivative(expr, g), g) for g in self._generators)
        return self._normal_form(sp.Add(*twice))

    def affordable(self, expr: sp.Expr) -> bool:
        """Whether the bound on the work leaves room for C twice, the least that a relation needs."""
        terms = len(sp.Add.make_args(expr)) * len(self._generators)
        return self._work + 2 * terms <= _MAX_WORK

    def is_invariant(self, expr: sp.Expr) -> bool:
        """Whether an expression in normal form is proved to be invariant."""
        whole = expr if expr.has(Functional) else self._theory.lattice.sum(expr)
        # for a polynomial the derivative is quicker than numerical values
        if not is_polynomial(expr) and any(visibly_changes(self._theory, whole, r) for r in self._rotations):
            return False
        parts = regular_parts(expr, self._moved)
        return all(self.derivative(part, g) == 0 for part in parts for g in self._generators)

    def multiplets(self, terms: Sequence[sp.Expr]) -> list[_Multiplet]:
        """The terms grouped by coupling, kernel and degree; a kernel that is not invariant becomes None.

        The group acts linearly, so that a homogeneous polynomial keeps its degree.
        """
        found: dict[tuple[sp.Expr, sp.Expr | None, sp.Basic | None, int], list[sp.Expr]] = defaultdict(list)
        for term in terms:
            coupling = sp.Mul(
                *(f for f in sp.Mul.make_args(term) if f.atoms(Parameter) and not f.has(Functional))
            )
            rest = term / coupling
            kernel, part, symbol = _parted(rest)
            if kernel is not None and kernel != 1 and not self.is_invariant(kernel):
                kernel, part, symbol = None, rest, None
            degree = 0 if kernel is None else _degree(part)
            found[coupling, kernel, symbol, degree].append(part)
        return [_Multiplet(c, k, sp.Add(*p), s) for (c, k, s, _), p in found.items()]


def _parted(term: sp.Expr) -> tuple[sp.Expr | None, sp.Expr, sp.Basic | None]:
    """(kernel, part, lattice) of a term without coupling."""
    factors = [f.as_base_exp() for f in sp.Mul.make_args(term) if not f.is_number]
    if all(isinstance(b, SiteSum) and e.is_Integer and e.is_positive for b, e in factors) and all(
        _is_polynomial(b.density) for b, _ in factors if isinstance(b, SiteSum)
    ):
        return sp.S.One, term, None
    number, node = term.as_independent(*term.atoms(Functional), as_Add=False)
    if not isinstance(node, SiteSum):
        return None, term, None
    powers = [f for f in sp.Mul.make_args(node.density) if _is_polynomial(f)]
    monomial = sp.Mul(*powers)
    return node.density / monomial, number * monomial, node.args[0]


def _degree(monomial: sp.Expr) -> int:
    """Degree in the fields of a product of powers of fields and of sums over sites of such products."""
    degree = 0
    for factor in sp.Mul.make_args(monomial):
        base, exponent = factor.as_base_exp()
        if isinstance(base, SiteSum):
            degree += _degree(base.density) * int(exponent)
        elif base.atoms(FieldComponent):
            degree += int(exponent)
    return degree


def _is_polynomial(density: sp.Expr) -> bool:
    return bool(density.is_polynomial(*density.atoms(FieldComponent)))


def lie_split(
    theory: Theory,
    generators: Sequence[sp.ImmutableMatrix],
    normal_form: NormalForm,
    limits: list[str] | None = None,
) -> sp.Expr:
    """The breaking part S₁ of S = S₀ + S₁, with S₀ the projection of S on the invariants of the Lie group.

    Parameters
    ----------
    limits
        Gets a sentence if terms are in S₁ as a whole because no smaller part was found.
    """
    splitter = _Splitter(theory, generators, normal_form)
    terms = list(sp.Add.make_args(normal_form(theory.action)))
    breaking: list[sp.Expr] = []
    whole: list[sp.Expr] = []
    for multiplet in splitter.multiplets([t for t in terms if not splitter.is_invariant(t)]):
        invariant = None
        if splitter.is_invariant(multiplet.part):
            invariant = multiplet.part
        elif multiplet.kernel is not None and splitter.affordable(multiplet.part):
            invariant = _invariant_part(multiplet.part, splitter.casimir)
        if invariant is None:
            whole.append(multiplet.whole(multiplet.part))
        else:
            breaking.append(multiplet.whole(multiplet.part - invariant))
    if whole and limits is not None:
        shown = normal_form(sp.Add(*whole))
        limits.append(f"no smaller breaking part than the whole of {shown} was looked for")
    return normal_form(sp.Add(*breaking, *whole))


def _invariant_part(part: sp.Expr, casimir: Callable[[sp.Expr], sp.Expr | None]) -> sp.Expr | None:
    """The projection of ``part`` on the kernel of the Casimir; None beyond the bounds."""
    powers = [part]  # C^k S
    while powers[-1] != 0:
        following = casimir(powers[-1])
        if following is None or len(powers) > _MAX_DEGREE:
            return None
        powers.append(following)
        relation = dependency(powers[1:])
        if relation is not None:
            # Σ_k a_k C^k S = 0 over k ≥ 1, hence p(C)S with p = Σ_k a_k C^(k−1) is invariant; p(0) = a_1 ≠ 0
            total = sp.Add(*(a * power for a, power in zip(relation, powers, strict=False)))
            return total / relation[0]
    return part  # the Casimir is diagonalisable: C^k S = 0 for some k implies C S = 0


def breaking_charges(
    theory: Theory, generator: sp.ImmutableMatrix, breaking: sp.Expr, normal_form: NormalForm
) -> tuple[sp.Expr, ...]:
    """The k with terms exp(ikθ) in S₁∘exp(θT), from the eigenvalues −k² of L_T²; () if none are found.

    Rotations by 2π/k, k the greatest common divisor of the charges, leave S₁ invariant.
    """
    splitter = _Splitter(theory, [generator], normal_form)
    charges: set[sp.Expr] = set()
    terms = list(sp.Add.make_args(breaking))
    for multiplet in splitter.multiplets(terms):
        if multiplet.kernel is None:
            return ()
        powers = [multiplet.part]
        while (relation := dependency(powers)) is None:
            following = splitter.casimir(powers[-1])
            if following is None or len(powers) > _MAX_DEGREE:
                return ()
            powers.append(following)
        roots = sp.roots(sp.Poly(list(reversed(relation)), sp.Symbol("z")))
        charges |= {sp.sqrt(-root) for root in roots}
    return tuple(sorted(charges, key=float))


def dependency(vectors: list[sp.Expr]) -> list[sp.Expr] | None:
    """Exact coefficients with Σ a_k v_k = 0 and a_last = 1 among normal forms, if there are any."""
    columns = [coefficients(vector) for vector in vectors]
    monomials = sorted({m for column in columns for m in column}, key=sp.default_sort_key)
    matrix = sp.Matrix(len(monomials), len(vectors), lambda i, j: columns[j].get(monomials[i], sp.S.Zero))
    for vector in matrix.nullspace():
        if vector[-1] != 0:
            return [entry / vector[-1] for entry in vector]
    return None
