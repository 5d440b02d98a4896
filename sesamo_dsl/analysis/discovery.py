"""Which symmetries does an action have? Found from the action alone, nothing has to be declared.

Four searches, each with an exact answer on its own ground:

- the Lie algebra of linear internal symmetries is the null space of an exact linear system;
- signed permutations of components, alone or together with a signed permutation of the lattice axes, are
  isomorphisms of a coloured graph drawn from the polynomial action;
- phase rotations of components taken in pairs follow from the charges of the monomials (a Smith normal form);
- orthogonal maps of a log-sum-exp permute the points its exponents define.

Whatever a search proposes counts only after :func:`~sesamo_dsl.analysis.invariance.judge` has proved it; the
limits of the searches are part of the answer.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb, factorial, gcd, prod
from typing import Any, cast

import mpmath
import networkx as nx
import numpy as np
import sympy as sp
from sympy.combinatorics import Permutation, PermutationGroup
from sympy.polys.matrices import DomainMatrix

from ..exact import NumberTable, numeric
from ..fields import ComplexField, FieldComponent, Parameter
from ..groups.element import Element, SiteMap
from ..groups.finite import FiniteGroup
from ..lattice import Lattice, SiteSum
from ..theory import Theory
from .evaluate import evaluate, sufficient_shape
from .invariance import Verdict, act, judge
from .normal_form import NormalForm

_ENUMERATED = 384  # groups and candidate lists up to this size are written out: all of B_4
_ORBIT = 1000  # a group whose orbits of the unit vectors are longer counts as infinite
_REDUCED = 8  # up to so many generators, those that the others generate are removed
_TREE = 20_000  # nodes of a backtracking search, terms of an expansion
_PLANES = 10  # coordinate planes that are searched in a non-polynomial action
_HIGHEST_TURN = 12  # rotations by 2π/n that are tried when no charge tells which n to try
_PROOF_SIZE = 2000  # operations in a derivative that is still simplified
_TOLERANCE = 1e-9  # relative change of the action that refutes a candidate in float64

Array = np.ndarray[Any, Any]
Site = tuple[int, ...]
Local = tuple[tuple[tuple[Site, int], int], ...]
"""A product of field components under one sum over sites: ((offset, component), power), sorted."""
Monomial = tuple[Local, ...]
"""A product of sums over sites, sorted."""


# Results


@dataclass(frozen=True, eq=False)
class LieAlgebra:
    """The continuous linear internal symmetries φ → exp(tA) φ.

    Attributes
    ----------
    basis
        Matrices A with Σ_ab A_ab φ_b ∂S/∂φ_a ≡ 0, each proved; antisymmetric ones first.
    orthogonal
        For each, whether it is antisymmetric, so that exp(tA) is a rotation.
    name
        What the algebra is, e.g. ``so(3)``.
    abelian, compact
        Its structure. ``compact``: exp(tA) are rotations for some positive definite inner product.
    undecided
        Further matrices that could be neither proved nor refuted.
    complete
        Whether every other matrix that does not depend on the couplings is refuted.
    """

    basis: tuple[sp.ImmutableMatrix, ...]
    orthogonal: tuple[bool, ...]
    name: str
    abelian: bool
    compact: bool
    undecided: tuple[sp.ImmutableMatrix, ...]
    complete: bool

    @property
    def dimension(self) -> int:
        """Number of independent generators."""
        return len(self.basis)


@dataclass(frozen=True, eq=False)
class InternalGroup:
    """Discrete symmetries that act on the components at every site alike.

    Attributes
    ----------
    generators
        A small generating set, each element proved.
    verdicts
        The proofs, in the same order.
    order
        Order of the group they generate.
    group
        The group, enumerated if it is small.
    signed_permutations
        Order of the subgroup of signed permutations of components, None if it is not known.
    name
        What the group is, e.g. ``D8``.
    undecided
        Verdicts on candidates that no evaluation could tell from a symmetry and no proof reached.
    """

    generators: tuple[Element, ...]
    verdicts: tuple[Verdict, ...]
    order: int
    group: FiniteGroup[Element] | None
    signed_permutations: int | None
    name: str
    undecided: tuple[Verdict, ...]


@dataclass(frozen=True, eq=False)
class LatticeGroup:
    """Symmetries that move sites: all translations, and a point group of signed axis permutations.

    Attributes
    ----------
    generators
        Elements whose site maps generate the point group; a component matrix other than the identity means
        that the site map is a symmetry only together with it.
    verdicts
        The proofs, in the same order.
    point_group
        The site maps, enumerated.
    name
        What the point group is.
    order
        Number of site maps: volume times order of the point group.
    undecided
        Verdicts on candidates that no evaluation could tell from a symmetry and no proof reached.
    """

    generators: tuple[Element, ...]
    verdicts: tuple[Verdict, ...]
    point_group: FiniteGroup[SiteMap]
    name: str
    order: int
    undecided: tuple[Verdict, ...]


@dataclass(frozen=True, eq=False)
class Discovery:
    """Everything :func:`find_symmetries` found; print it to read it.

    Attributes
    ----------
    theory
        What was searched.
    algebra, internal, lattice
        Continuous internal, discrete internal and lattice symmetries.
    name
        The internal group as a whole, e.g. ``O(3)``.
    limits
        What the searches could not have found, one sentence each.
    """

    theory: Theory
    algebra: LieAlgebra
    internal: InternalGroup
    lattice: LatticeGroup
    name: str
    limits: tuple[str, ...]

    def text(self) -> str:
        """The findings as plain text."""
        t, algebra, internal, lattice = self.theory, self.algebra, self.internal, self.lattice
        lines = [f"symmetries of {t.name}: components ({', '.join(map(str, t.components))}) on {t.lattice}"]
        lines.append(f"internal symmetry: {self.name}")
        known = "all of them" if algebra.complete else "there may be more"
        kind = "trivial"
        if algebra.dimension:
            kind = (
                algebra.name
                if "dimension" in algebra.name
                else f"{algebra.name}, dimension {algebra.dimension}"
            )
            kind += "" if algebra.abelian else ", not abelian"
            kind += ", compact" if algebra.compact else ", not compact"
        lines.append(f"  Lie algebra: {kind} ({known})")
        for matrix, orthogonal in zip(algebra.basis, algebra.orthogonal, strict=True):
            lines.append(f"    A = {_unit_matrices(matrix)}: exact{'' if orthogonal else ', not orthogonal'}")
        lines += [f"    A = {_unit_matrices(matrix)}: undecided" for matrix in algebra.undecided]
        order = "" if "order" in internal.name else f", order {internal.order}"
        lines.append(f"  discrete maps: {internal.name}{order}")
        if internal.signed_permutations is not None and internal.signed_permutations != internal.order:
            lines.append(f"    {internal.signed_permutations} of them signed permutations")
        for verdict in (*internal.verdicts, *internal.undecided):
            lines.append(f"    {self._field_map(verdict)}: {verdict.status}, {verdict.evidence}")
        if t.lattice.volume > 1:
            translations = " × ".join(f"Z{extent}" for extent in t.lattice.shape)
            name = f"({lattice.name})" if "×" in lattice.name else lattice.name
            lines.append(
                f"lattice symmetry: {name} ⋉ translations {translations}, {lattice.order} maps of sites"
            )
            for verdict in (*lattice.verdicts, *lattice.undecided):
                sites = verdict.generator.sites
                images = ", ".join(
                    f"e{mu} → {'-' if sign < 0 else ''}e{axis}"
                    for mu, (axis, sign) in enumerate(zip(sites.axes, sites.signs, strict=True))
                    if (axis, sign) != (mu, 1)
                )
                fields = self._field_map(verdict)
                lines.append(
                    f"    {images}{' with ' + fields if fields else ''}: {verdict.status}, {verdict.evidence}"
                )
        return "\n".join([*lines, *(f"limit: {limit}" for limit in self.limits)])

    __str__ = __repr__ = text

    def _field_map(self, verdict: Verdict) -> str:
        """The components that change, e.g. ``x → -y, y → x``."""
        components = self.theory.components
        images = (verdict.generator.matrix * sp.Matrix(components)).flat()
        pairs = zip(components, images, strict=True)
        return ", ".join(f"{a} → {sp.sstr(image)}" for a, image in pairs if a != image)


def _unit_matrices(matrix: sp.ImmutableMatrix) -> str:
    """Σ coefficient E_ab, where E_ab has a single entry 1 in row a and column b."""
    units = {(a, b): sp.Symbol(f"E({a},{b})") for a in range(matrix.rows) for b in range(matrix.cols)}
    return sp.sstr(sp.Add(*(matrix[index] * unit for index, unit in units.items())))


def find_symmetries(theory: Theory, *, at: Mapping[Parameter | str, float] | None = None) -> Discovery:
    """Find the symmetries of an action that hold, with the same matrices, for all values of its parameters.

    A map that depends on the couplings, such as the reflection that fixes the direction of a source (h₁, h₂),
    is a symmetry of one member of the family only; hold the couplings with ``at`` to find it.

    Parameters
    ----------
    theory
        Its declared symmetries are not looked at.
    at
        Couplings to hold at a value, e.g. ``{h: 0}`` for the symmetries without a source.

    Returns
    -------
    Discovery
        Continuous and discrete symmetries on the components and symmetries of the lattice. Everything listed
        as exact is proved; candidates that resist proof and refutation are listed as undecided.
    """
    search = _Search(theory if not at else _held(theory, at))
    algebra = _lie_algebra(search)
    internal = _internal_group(search, algebra)
    lattice = _lattice_group(search)
    limits = tuple(search.limits)
    return Discovery(search.theory, algebra, internal, lattice, _whole_name(algebra, internal), limits)


def _held(theory: Theory, at: Mapping[Parameter | str, float]) -> Theory:
    """The theory with some parameters replaced by numbers."""
    values = {str(key): value for key, value in at.items()}
    theory.parameter_values(
        {**dict.fromkeys((p.name for p in theory.parameters), 0.0), **values}
    )  # checks names
    numbers = {
        p: sp.nsimplify(str(values[p.name]), rational=True) for p in theory.parameters if p.name in values
    }
    defaults = {p: theory.defaults[p.name] for p in theory.parameters if p.name in theory.defaults}
    action = cast(sp.Expr, theory.action.xreplace(cast(Any, numbers)))
    left = {p: value for p, value in defaults.items() if p in action.free_symbols}
    return Theory(theory.name, fields=theory.fields, action=action, defaults=left)


class _Search:
    """What the searches share: the normal form, the polynomial if there is one, numerical values."""

    def __init__(self, theory: Theory) -> None:
        self.theory = theory
        self.components, self.lattice = theory.components, theory.lattice
        self.size = len(theory.components)
        self.numbers = NumberTable()
        self.normal_form = NormalForm(self.numbers)
        self.action = self.normal_form(theory.action)
        self.polynomial = _polynomial(self.action, self.components, self.numbers)
        self.limits: list[str] = []
        self._value: _Value | None = None

    @property
    def value(self) -> _Value:
        """The action as a function of a configuration and generic parameters."""
        if self._value is None:
            self._value = _Value(self.action, self.theory)
        return self._value

    def element(self, matrix: sp.Matrix | sp.ImmutableMatrix, sites: SiteMap | None = None) -> Element:
        """A group element with canonically spelled entries."""
        rational = all(entry.is_Rational for entry in matrix.flat())
        exact = sp.ImmutableMatrix(matrix) if rational else self.numbers.matrix(matrix)
        return Element(exact, sites or SiteMap.identity(self.lattice))

    def judge(self, element: Element) -> Verdict:
        """The verdict on one element."""
        return judge(self.theory, element, self.normal_form)


class _Value:
    """An action or a derivative of one, compiled once with NumPy, at generic parameters."""

    def __init__(self, expr: sp.Expr, theory: Theory) -> None:
        self._index = {(c.field, c.component): a for a, c in enumerate(theory.components)}
        self._parameters = theory.parameters
        self._sums: list[tuple[list[FieldComponent], Callable[..., Any]]] = []
        dummies: dict[sp.Basic, sp.Basic] = {}
        for node in sorted(expr.atoms(SiteSum), key=sp.default_sort_key):
            fields = sorted(node.density.atoms(FieldComponent), key=str)
            self._sums.append(
                (fields, sp.lambdify([*fields, *self._parameters], node.density, "numpy", cse=True))
            )
            dummies[node] = sp.Dummy()
        rest = expr.xreplace(dummies)
        self._outer = sp.lambdify([*dummies.values(), *self._parameters], rest, "numpy")
        # parameters are generic on purpose: equal defaults must not pass for a symmetry
        generic = np.random.default_rng(1).uniform(0.25, 0.75, size=len(theory.parameters))
        self.trials = (
            [round(float(g), 3) for g in generic],
            [theory.defaults.get(p.name, 0.5) for p in theory.parameters],
        )

    def __call__(self, configuration: Array) -> float:
        with np.errstate(all="ignore"):
            for values in self.trials:
                result = self._at(configuration, values)
                if np.isfinite(result):
                    return result
        return float("nan")

    def _at(self, configuration: Array, values: Sequence[float]) -> float:
        shape = configuration.shape[1:]
        axes = tuple(range(len(shape)))
        sums = []
        for fields, function in self._sums:
            arrays = [
                np.roll(configuration[self._index[f.field, f.component]], tuple(-o for o in f.offset), axes)
                for f in fields
            ]
            sums.append(float(np.sum(np.broadcast_to(function(*arrays, *values), shape))))
        return float(self._outer(*sums, *values))


class _Variations:
    """Σ_x φ_b(x) ∂S/∂φ_a(x) for all a and b as numbers, from one compiled derivative per field access."""

    def __init__(self, expr: sp.Expr, theory: Theory) -> None:
        parameters = theory.parameters
        # other couplings at every point: a matrix that depends on them is no symmetry of the family
        self._random = np.random.default_rng(1)
        self._parameters = len(parameters)
        self._index = {(c.field, c.component): a for a, c in enumerate(theory.components)}
        nodes = sorted(expr.atoms(SiteSum), key=sp.default_sort_key)
        dummies = [sp.Dummy(real=True) for _ in nodes]
        outer = cast(sp.Expr, expr.xreplace(dict(zip(nodes, dummies, strict=True))))
        slopes = [sp.diff(outer, dummy) for dummy in dummies]
        self._slopes = sp.lambdify([*dummies, *parameters], slopes, "numpy", cse=True)
        self._sums: list[tuple[list[FieldComponent], Callable[..., Any]]] = []
        for node in nodes:
            fields = sorted(node.density.atoms(FieldComponent), key=str)
            wanted = [node.density, *(sp.diff(node.density, f) for f in fields)]
            self._sums.append((fields, sp.lambdify([*fields, *parameters], wanted, "numpy", cse=True)))

    def __call__(self, configuration: Array) -> Array:
        shape = configuration.shape[1:]
        axes = tuple(range(1, 1 + len(shape)))
        totals, changes = [], []
        couplings = self._random.uniform(0.25, 0.75, size=self._parameters)
        with np.errstate(all="ignore"):
            for fields, function in self._sums:
                moved = [np.roll(configuration, tuple(-o for o in f.offset), axes) for f in fields]
                own = [self._index[f.field, f.component] for f in fields]
                values = function(*(m[a] for m, a in zip(moved, own, strict=True)), *couplings)
                total, *derivatives = (np.broadcast_to(value, shape) for value in values)
                change = np.zeros((len(configuration),) * 2)
                for a, m, derivative in zip(own, moved, derivatives, strict=True):
                    change[a] += np.sum(m * derivative, axis=axes)
                totals.append(np.sum(total))
                changes.append(change)
            return np.tensordot(np.array(self._slopes(*totals, *couplings)), np.array(changes), axes=1)


def _floats(matrix: sp.Matrix | sp.ImmutableMatrix) -> Array:
    def value(entry: sp.Expr) -> float:
        return float(entry) if entry.is_Rational else float(numeric(entry, 20))

    return np.array([[value(cast(sp.Expr, entry)) for entry in row] for row in matrix.tolist()])


# The action as a polynomial


@dataclass(frozen=True, eq=False)
class _Polynomial:
    """Σ coefficient · monomial; a coefficient is a sorted tuple of (factor of parameters, number).

    Attributes
    ----------
    independent
        Whether different monomials and parameter factors are linearly independent functions, so that an
        action that changes as a polynomial changes as a function.
    """

    lattice: Lattice
    size: int
    terms: dict[Monomial, tuple[tuple[sp.Expr, sp.Expr], ...]]
    independent: bool

    def moved(self, sites: SiteMap) -> _Polynomial:
        """The action with every φ(x + o) replaced by φ(x + P⁻¹o)."""
        back = sites.inverse.linear_image
        terms = {
            _sorted(
                _canonical(tuple(((back(o), a), p) for (o, a), p in local), self.lattice)
                for local in monomial
            ): c
            for monomial, c in self.terms.items()
        }
        return _Polynomial(self.lattice, self.size, terms, self.independent)


def _sorted(locals_: Iterable[Local]) -> Monomial:
    return tuple(sorted(locals_))


def _canonical(local: Local, lattice: Lattice) -> Local:
    """The same product at the position, among those with a factor at the origin, that sorts first."""
    origins = sorted({o for (o, _), _ in local})
    return min(
        tuple(
            sorted(
                ((lattice.wrap(a - b for a, b in zip(o, origin, strict=True)), c), p) for (o, c), p in local
            )
        )
        for origin in origins
    )


def _polynomial(
    action: sp.Expr, components: tuple[FieldComponent, ...], numbers: NumberTable
) -> _Polynomial | None:
    """Read an action in normal form as a polynomial; None if it is not one."""
    lattice = components[0].lattice
    index = {(c.field, c.component): a for a, c in enumerate(components)}
    collected: dict[Monomial, dict[sp.Expr, list[sp.Expr]]] = defaultdict(lambda: defaultdict(list))
    independent = True
    for term in sp.Add.make_args(action):
        number: list[sp.Expr] = []
        couplings: list[sp.Expr] = []
        sums: list[Local] = []
        for factor in cast(tuple[sp.Expr, ...], sp.Mul.make_args(term)):
            base, exponent = factor.as_base_exp()
            if factor.is_number:
                number.append(factor)
            elif not factor.has(FieldComponent):
                couplings.append(factor)
                independent &= isinstance(base, Parameter) and bool(exponent.is_Integer)
            elif isinstance(base, SiteSum) and exponent.is_Integer and int(exponent) > 0:
                local = _local(base.density, index)
                if local is None:
                    return None
                sums += [_canonical(local, lattice)] * int(exponent)
            else:
                return None
        # on a finite lattice a product of sums can equal a sum of products
        independent &= len(sums) <= 1
        if sums:
            collected[_sorted(sums)][cast(sp.Expr, sp.Mul(*couplings))].append(cast(sp.Expr, sp.Mul(*number)))
    terms = {}
    for monomial in sorted(collected):
        parts = []
        for coupling, values in collected[monomial].items():
            number_ = numbers.canonical(cast(sp.Expr, sp.expand(sp.Add(*values))))
            if number_ != 0:
                parts.append((coupling, number_))
        if parts:
            terms[monomial] = tuple(sorted(parts, key=lambda part: sp.default_sort_key(part[0])))
    return _Polynomial(lattice, len(components), terms, independent)


def _local(density: sp.Expr, index: dict[tuple[str, int], int]) -> Local | None:
    factors = []
    for factor in cast(tuple[sp.Expr, ...], sp.Mul.make_args(density)):
        base, exponent = factor.as_base_exp()
        if not (isinstance(base, FieldComponent) and exponent.is_Integer and int(exponent) > 0):
            return None
        factors.append(((base.offset, index[base.field, base.component]), int(exponent)))
    return tuple(sorted(factors))


# The Lie algebra


def _lie_algebra(search: _Search) -> LieAlgebra:
    n = search.size
    pairs = list(itertools.product(range(n), repeat=2))
    derivatives = [
        _variation(search.theory.action, search.components[a], search.components[b]) for a, b in pairs
    ]
    rows: dict[sp.Expr, dict[int, sp.Expr]] = defaultdict(dict)
    for column, derivative in enumerate(derivatives):
        for monomial, number in _coefficients(search.normal_form(derivative)).items():
            rows[monomial][column] = number
    equations = list(rows.values())
    proved = _null_space(equations, n * n, search.numbers)
    antisymmetry: list[dict[int, sp.Expr]] = [
        {a * n + b: sp.S.One, b * n + a: sp.S.One} if a != b else {a * n + a: sp.S.One}
        for a, b in pairs
        if a <= b
    ]
    rotations = _null_space(equations + antisymmetry, n * n, search.numbers)
    chosen = list(rotations)
    for vector in proved:
        # n·n minus the dimension of the null space is the rank
        trial = [*chosen, vector]
        as_rows = [{i: e for i, e in enumerate(v) if e != 0} for v in trial]
        if len(chosen) < len(proved) and n * n - len(_null_space(as_rows, n * n, search.numbers)) == len(
            trial
        ):
            chosen = trial
    undecided: list[sp.ImmutableMatrix] = []
    complete = search.polynomial is not None and search.polynomial.independent
    if not complete:
        more, undecided, complete = _numerical_candidates(search, derivatives, chosen)
        chosen += more
        if not complete:
            search.limits.append(
                "the linear system is not known to be complete: the Lie algebra may be larger"
            )
    basis = tuple(sp.ImmutableMatrix(n, n, vector) for vector in chosen)
    orthogonal = tuple(-matrix == matrix.T for matrix in basis)
    name, abelian, compact = _recognise(basis, all(orthogonal))
    return LieAlgebra(basis, orthogonal, name, abelian, compact, tuple(undecided), complete)


def _variation(action: sp.Expr, a: FieldComponent, b: FieldComponent) -> sp.Expr:
    """Σ_x φ_b(x) ∂S/∂φ_a(x), by the chain rule through the sums over sites."""
    dummies = {node: sp.Dummy(real=True) for node in sorted(action.atoms(SiteSum), key=sp.default_sort_key)}
    outer = action.xreplace(cast(Any, dummies))
    back = {dummy: node for node, dummy in dummies.items()}
    total: sp.Expr = sp.S.Zero
    for node, dummy in dummies.items():
        fields = sorted(node.density.atoms(FieldComponent), key=str)
        change = sp.Add(
            *(
                b.at(f.offset) * sp.diff(node.density, f)
                for f in fields
                if (f.field, f.component) == (a.field, a.component)
            )
        )
        if change != 0:
            factor = sp.diff(outer, dummy).xreplace(cast(Any, back))
            total += factor * node.lattice.sum(cast(sp.Expr, change))  # type: ignore[operator]
    return total


def _coefficients(expr: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    """Numbers in front of the symbolic parts of an expression in normal form."""
    found: dict[sp.Expr, sp.Expr] = {}
    for term in cast(tuple[sp.Expr, ...], sp.Add.make_args(expr)):
        if term != 0:
            factors = sp.Mul.make_args(term)
            number = sp.Mul(*(f for f in factors if f.is_number))
            rest = cast(sp.Expr, sp.Mul(*(f for f in factors if not f.is_number)))
            found[rest] = cast(sp.Expr, found.get(rest, sp.S.Zero) + number)
    return found


def _null_space(
    rows: Sequence[dict[int, sp.Expr]], columns: int, numbers: NumberTable
) -> list[list[sp.Expr]]:
    """Reduced basis of all vectors orthogonal to the rows, by exact elimination; first non-zero entry 1."""
    distinct = {tuple(sorted(row.items(), key=lambda item: item[0])): row for row in rows if row}
    rows = list(distinct.values())
    if all(entry.is_Rational for row in rows for entry in row.values()):
        pivots, reduced = _rational_elimination(rows, columns)
    else:
        pivots, reduced = _algebraic_elimination(rows, columns, numbers)
    basis = []
    for free in sorted(set(range(columns)) - set(pivots)):
        vector: list[sp.Expr] = [sp.S.Zero] * columns
        vector[free] = sp.S.One
        for pivot, row in zip(pivots, reduced, strict=True):
            vector[pivot] = cast(sp.Expr, -row.get(free, sp.S.Zero))
        first = next(entry for entry in vector if entry != 0)
        basis.append([numbers.canonical(sp.radsimp(sp.expand(entry / first))) for entry in vector])
    return basis


def _rational_elimination(
    rows: Sequence[dict[int, sp.Expr]], columns: int
) -> tuple[list[int], list[dict[int, sp.Expr]]]:
    if not rows:
        return [], []
    entries = {i: {j: sp.QQ(int(e.p), int(e.q)) for j, e in row.items()} for i, row in enumerate(rows)}  # type: ignore[attr-defined]
    reduced, pivots = DomainMatrix(entries, (len(rows), columns), sp.QQ).rref()  # type: ignore[misc]
    dense = reduced.to_list()
    return list(pivots), [
        {j: cast(sp.Expr, sp.QQ.to_sympy(e)) for j, e in enumerate(dense[i]) if e} for i in range(len(pivots))
    ]


def _algebraic_elimination(
    rows: Sequence[dict[int, sp.Expr]], columns: int, numbers: NumberTable
) -> tuple[list[int], list[dict[int, sp.Expr]]]:
    """Gauss–Jordan; every entry is brought to its canonical spelling, so that zero is recognised by proof."""
    remaining = [dict(row) for row in rows]
    pivots: list[int] = []
    done: list[dict[int, sp.Expr]] = []
    for column in range(columns):
        having = [row for row in remaining if column in row]
        if not having:
            continue
        pivot = min(having, key=lambda row: (not row[column].is_Rational, len(row)))
        remaining.remove(pivot)
        lead = pivot[column]
        pivot = {j: numbers.canonical(sp.radsimp(sp.expand(e / lead))) for j, e in pivot.items()}
        for row in (*remaining, *done):
            factor = row.get(column)
            if factor is not None:
                for j, e in pivot.items():
                    changed = numbers.canonical(cast(sp.Expr, sp.expand(row.get(j, sp.S.Zero) - factor * e)))
                    row[j] = changed
                    if changed == 0:
                        del row[j]
        pivots.append(column)
        done.append(pivot)
    return pivots, done


def _numerical_candidates(
    search: _Search, derivatives: Sequence[sp.Expr], proved: Sequence[Sequence[sp.Expr]]
) -> tuple[list[list[sp.Expr]], list[sp.ImmutableMatrix], bool]:
    """Matrices the normal form did not see: (proved after all, undecided, whether all others are refuted).

    The rank of the derivatives' values at random points bounds the dimension of the algebra from above.
    """
    n = search.size
    shape = (n, *sufficient_shape(search.action, search.lattice.shape))
    rng = np.random.default_rng(4)
    points = [rng.normal(scale=1 + k % 3, size=shape) for k in range(n * n + 20)]
    try:
        variations = _Variations(search.action, search.theory)
        values = np.array([variations(x).ravel() for x in points])
    except (TypeError, NameError, ValueError, AttributeError, KeyError):
        return [], [], False  # a derivative that NumPy cannot evaluate
    values = values[np.isfinite(values).all(axis=1)]
    scale = np.linalg.norm(values, axis=1, keepdims=True)
    values = values / np.where(scale > 0, scale, 1)
    if len(values) < n * n:
        return [], [], False
    _, singular, right = np.linalg.svd(values)
    null = right[singular < 1e-10 * max(singular[0], 1e-300)] if singular[0] > 0 else np.eye(n * n)
    if len(null) <= len(proved):
        return [], [], True
    more: list[list[sp.Expr]] = []
    undecided: list[sp.ImmutableMatrix] = []
    known = [np.array([float(numeric(e)) for e in v]) for v in proved]
    for vector in _rows_reduced(null):
        if np.linalg.matrix_rank(np.array([*known, vector]), tol=1e-8) == len(known):
            continue
        known.append(vector)
        exact = [
            cast(sp.Expr, sp.Rational(*Fraction(float(v)).limit_denominator(60).as_integer_ratio()))
            for v in vector
        ]
        if max(abs(float(e) - v) for e, v in zip(exact, vector, strict=True)) > 1e-9:
            exact = [cast(sp.Expr, sp.Float(float(v), 15)) for v in vector]
        change = cast(sp.Expr, sp.Add(*(e * d for e, d in zip(exact, derivatives, strict=True) if e != 0)))
        if all(e.is_Rational for e in exact) and _vanishes(change):
            more.append(exact)
        elif not all(e.is_Rational for e in exact) or _vanishes_numerically(search, change, shape):
            undecided.append(sp.ImmutableMatrix(n, n, exact))
    return more, undecided, not undecided


def _rows_reduced(matrix: Array) -> Array:
    """Reduced row echelon form in floating point."""
    reduced, row = matrix.copy(), 0
    for column in range(matrix.shape[1]):
        best = row + int(np.argmax(np.abs(reduced[row:, column]))) if row < len(reduced) else row
        if row < len(reduced) and abs(reduced[best, column]) > 1e-7:
            reduced[[row, best]] = reduced[[best, row]]
            reduced[row] /= reduced[row, column]
            others = np.arange(len(reduced)) != row
            reduced[others] -= np.outer(reduced[others, column], reduced[row])
            row += 1
    return reduced


def _vanishes(change: sp.Expr) -> bool:
    """Prove that a derivative is zero by bringing its density over a common denominator."""
    densities = []
    for term in sp.Add.make_args(change):
        factors = sp.Mul.make_args(term)
        sums = [factor for factor in factors if factor.has(SiteSum)]
        if len(sums) != 1 or not isinstance(sums[0], SiteSum):
            return False
        densities.append(sp.Mul(*(f.density if isinstance(f, SiteSum) else f for f in factors)))
    density = cast(sp.Expr, sp.Add(*densities))
    if sp.count_ops(density) > _PROOF_SIZE:
        return False
    numerator, _ = sp.fraction(sp.together(density))
    return sp.expand(sp.powsimp(sp.expand(numerator))) == 0


def _vanishes_numerically(search: _Search, change: sp.Expr, shape: tuple[int, ...]) -> bool:
    """Whether 40-digit evaluation at random points cannot tell a derivative from zero."""
    rng = np.random.default_rng(5)
    parameters = {p.name: float(rng.uniform(0.25, 0.75)) for p in search.theory.parameters}
    for _ in range(4):
        value = evaluate(change, rng.normal(size=shape), search.components, parameters, digits=40)
        if not abs(value) < mpmath.mpf(10) ** -30:
            return False
    return True


# Naming an algebra


def _recognise(basis: Sequence[sp.ImmutableMatrix], antisymmetric: bool) -> tuple[str, bool, bool]:
    """(name, abelian, compact) of a matrix Lie algebra."""
    if not basis:
        return "0", True, True
    blocks = _rotation_blocks(basis)
    if blocks is not None:
        names = ["u(1)" if len(block) == 2 else f"so({len(block)})" for block in blocks]
        return _direct_sum(names), all(len(block) == 2 for block in blocks), True
    matrices = np.array([_floats(matrix) for matrix in basis])
    d = len(matrices)
    flat = matrices.reshape(d, -1)
    brackets = np.einsum("iab,jbc->ijac", matrices, matrices)
    brackets = (brackets - brackets.swapaxes(0, 1)).reshape(d * d, -1)
    structure = np.linalg.lstsq(flat.T, brackets.T, rcond=None)[0].T.reshape(
        d, d, d
    )  # [i, j] = structure[i, j, k] k
    adjoint = structure.swapaxes(1, 2)
    abelian = bool(np.abs(structure).max() < 1e-9)
    killing = np.einsum("iab,jba->ij", adjoint, adjoint)
    centre = d - np.linalg.matrix_rank(adjoint.transpose(1, 2, 0).reshape(d * d, d), tol=1e-8)
    compact = antisymmetric or _is_compact(matrices, killing, int(centre))
    if abelian:
        return (_direct_sum(["u(1)"] * d) if compact else f"abelian, dimension {d}"), True, compact
    if not compact:
        return f"dimension {d}", False, False
    derived = _range(structure.reshape(d * d, d))
    names = ["u(1)"] * int(centre)
    for ideal in _simple_ideals(structure, derived):
        names.append(_simple_name(structure, killing, ideal, matrices))
    return _direct_sum(names), False, True


def _direct_sum(names: Iterable[str]) -> str:
    return " ⊕ ".join(sorted(names, key=lambda name: (len(name), name)))


def _rotation_blocks(basis: Sequence[sp.ImmutableMatrix]) -> list[list[int]] | None:
    """Blocks of components that are fully rotated, if the basis consists of E_ab − E_ba and nothing else."""
    graph = nx.Graph()
    for matrix in basis:
        entries = {
            (i, j): matrix[i, j] for i in range(matrix.rows) for j in range(matrix.cols) if matrix[i, j] != 0
        }
        ((i, j), _), *_ = sorted(entries.items(), key=lambda item: item[0])
        if len(entries) != 2 or entries[i, j] + entries.get((j, i), sp.S.One) != 0:
            return None
        graph.add_edge(i, j)
    blocks = sorted(sorted(block) for block in nx.connected_components(graph))
    return blocks if sum(len(b) * (len(b) - 1) // 2 for b in blocks) == len(basis) else None


def _generic(count: int) -> Array:
    return np.sqrt(np.array([sp.prime(i + 1) for i in range(count)], dtype=float)) % 1 + 0.1


def _range(vectors: Array) -> Array:
    """Orthonormal rows that span the same space."""
    _, singular, right = np.linalg.svd(vectors, full_matrices=False)
    return right[singular > 1e-8 * singular[0]]


def _is_compact(matrices: Array, killing: Array, centre: int) -> bool:
    """Reductive with a negative Killing form, and a generic element with imaginary, complete eigenvectors."""
    spectrum = np.linalg.eigvalsh(killing)
    if spectrum.max() > 1e-8 or int(np.sum(spectrum < -1e-8)) != len(matrices) - centre:
        return False
    element = np.tensordot(_generic(len(matrices)), matrices, axes=1)
    values, vectors = np.linalg.eig(element)
    return bool(
        np.abs(np.real(values)).max() < 1e-7 * (1 + np.abs(values).max()) and np.linalg.cond(vectors) < 1e6
    )


def _simple_ideals(structure: Array, derived: Array) -> list[Array]:
    """Simple ideals of a compact semisimple algebra: eigenspaces of a generic map that commutes with ad."""
    s = len(derived)
    if s > 15:
        return [derived]
    inner = np.einsum("ia,jb,abc,kc->ijk", derived, derived, structure, derived)
    identity = np.eye(s)
    # M with M ad_i = ad_i M, as a linear system for the entries of M
    system = np.concatenate([np.kron(identity, inner[i]) - np.kron(inner[i].T, identity) for i in range(s)])
    _, singular, right = np.linalg.svd(system)
    commuting = right[singular < 1e-8].reshape(-1, s, s)
    mixed = np.tensordot(_generic(len(commuting)), commuting, axes=1)
    values, vectors = np.linalg.eig(mixed.T)
    ideals = []
    for value in sorted({round(float(v), 6) for v in np.real(values)}):
        rows = np.real(vectors.T[np.abs(values - value) < 1e-5])
        ideals.append(_range(rows) @ derived)
    return ideals


def _simple_name(structure: Array, killing: Array, ideal: Array, matrices: Array) -> str:
    """The compact simple algebra of this dimension and rank; two names where these do not decide."""
    dimension = len(ideal)
    element = _generic(dimension) @ ideal
    adjoint = np.einsum("i,ijk->jk", element, structure)
    rank = dimension - int(np.linalg.matrix_rank(ideal @ adjoint, tol=1e-7))
    if (dimension, rank) == (3, 1):
        # length 1 in units where [T_1, T_2] = T_3, whose Killing form is −2: eigenvalues are i times the spin
        element = element * np.sqrt(-2 / (element @ killing @ element))
        spins = np.linalg.eigvals(np.tensordot(element, matrices, axes=1)).imag
        return "so(3)" if np.abs(spins - np.round(spins)).max() < 1e-6 else "su(2)"
    names = []
    for n in range(2, 12):
        names += [f"su({n})"] * ((n * n - 1, n - 1) == (dimension, rank))
        names += [f"so({n})"] * (
            (n * (n - 1) // 2, n // 2) == (dimension, rank) and n not in (4, 6) and n >= 5
        )
        names += [f"sp({n})"] * ((n * (2 * n + 1), n) == (dimension, rank) and n >= 3)
    names += ["g2"] * ((dimension, rank) == (14, 2))
    return " or ".join(names) or f"semisimple of dimension {dimension}"


def _whole_name(algebra: LieAlgebra, internal: InternalGroup) -> str:
    """The internal group as a whole; O(N) if all components rotate and some map reflects."""
    if not algebra.dimension:
        return internal.name
    blocks = _rotation_blocks(algebra.basis)
    n = algebra.basis[0].rows
    if blocks is not None and len(blocks) == 1 and len(blocks[0]) == n:
        # in SO(N) and O(N) every other map found is included, because it is orthogonal or not listed
        reflects = any(numeric(cast(sp.Expr, g.matrix.det())) < 0 for g in internal.generators)
        return f"O({n})" if reflects else ("U(1)" if n == 2 else f"SO({n})")
    more = "" if internal.order == 1 else f", and the discrete maps {internal.name}"
    return f"connected group with Lie algebra {algebra.name}{more}"


# Coloured graphs: signed permutations


def _graph(polynomial: _Polynomial, numbers: NumberTable) -> nx.DiGraph:
    """The polynomial as a coloured graph; nodes 2a and 2a + 1 are +φ_a and −φ_a.

    A monomial appears once for each choice of signs of the components it is odd in, coloured by the
    coefficient with that sign: that a map turns φ_a into −φ_b is seen by the graph alone. Displacements
    between the sites of a monomial colour edges, so translates look the same.
    """
    graph = nx.DiGraph()
    for a in range(polynomial.size):
        graph.add_node(2 * a, colour="component")
        graph.add_node(2 * a + 1, colour="component")
        graph.add_edge(2 * a, 2 * a + 1, colour="negative")
        graph.add_edge(2 * a + 1, 2 * a, colour="negative")

    def new(colour: str) -> int:
        node = graph.number_of_nodes()
        graph.add_node(node, colour=colour)
        return node

    for monomial, coefficient in polynomial.terms.items():
        degree: dict[int, int] = defaultdict(int)
        for local in monomial:
            for (_, a), power in local:
                degree[a] += power
        odd = sorted(a for a, power in degree.items() if power % 2)
        for signs in itertools.product((1, -1), repeat=len(odd)):
            sign = dict(zip(odd, signs, strict=True))
            value = prod(signs)
            parts = [
                f"{sp.srepr(p)}: {sp.srepr(numbers.canonical(cast(sp.Expr, value * c)))}"
                for p, c in coefficient
            ]
            term = new("; ".join(parts))
            for local in monomial:
                factor = new("sum")
                graph.add_edge(term, factor, colour="factor")
                sites = {offset: new("site") for offset in sorted({o for (o, _), _ in local})}
                for (first, u), (second, v) in itertools.permutations(sites.items(), 2):
                    step = polynomial.lattice.wrap(b - a for a, b in zip(first, second, strict=True))
                    graph.add_edge(u, v, colour=f"step {step}")
                for node in sites.values():
                    graph.add_edge(factor, node, colour="at")
                for (offset, a), power in local:
                    for s in (sign[a],) if a in sign else (1, -1):
                        graph.add_edge(sites[offset], 2 * a + (s < 0), colour=f"power {power}")
    return graph


def _refined(graphs: Sequence[nx.DiGraph], pinned: Sequence[tuple[int, int]]) -> list[dict[int, int]] | None:
    """Colours that repeated comparison of neighbourhoods leaves; None if the graphs cannot match."""
    names: list[dict[int, Any]] = [dict(graph.nodes(data="colour")) for graph in graphs]
    for k, pair in enumerate(pinned):
        for colours, node in zip(names, pair, strict=True):
            colours[node] = f"pinned {k}"
    count = 0
    while True:
        numbering = {
            name: i for i, name in enumerate(sorted({c for colours in names for c in colours.values()}))
        }
        current = [{node: numbering[c] for node, c in colours.items()} for colours in names]
        if sorted(current[0].values()) != sorted(current[1].values()):
            return None
        if len(numbering) == count:
            return current
        count = len(numbering)
        names = [
            {
                node: (
                    colours[node],
                    tuple(
                        sorted(
                            (data["colour"], colours[v]) for _, v, data in graph.out_edges(node, data=True)
                        )
                    ),
                    tuple(
                        sorted((data["colour"], colours[u]) for u, _, data in graph.in_edges(node, data=True))
                    ),
                )
                for node in graph
            }
            for graph, colours in zip(graphs, current, strict=True)
        ]


def _isomorphism(
    first: nx.DiGraph, second: nx.DiGraph, size: int, pinned: Sequence[tuple[int, int]] = ()
) -> tuple[int, ...] | None:
    """Images of the component nodes under an isomorphism that extends ``pinned``; None if there is none."""
    colours = _refined((first, second), pinned)
    if colours is None:
        return None
    for graph, refined in zip((first, second), colours, strict=True):
        nx.set_node_attributes(graph, refined, "refined")
    matcher = nx.algorithms.isomorphism.DiGraphMatcher(
        first,
        second,
        node_match=lambda u, v: u["refined"] == v["refined"],
        edge_match=lambda u, v: u["colour"] == v["colour"],
    )
    for mapping in matcher.isomorphisms_iter():
        return tuple(mapping[node] for node in range(2 * size))
    return None


def _signed_permutations(graph: nx.DiGraph, size: int) -> tuple[list[tuple[int, ...]], int]:
    """Generators and order of the signed permutations, by a chain of stabilizers.

    Level i holds the automorphisms that leave φ_0 … φ_{i−1} where they are; the order is the product of the
    orbits of φ_i under them, so the group is never enumerated.
    """
    generators: list[tuple[int, ...]] = []
    order = 1
    for level in reversed(range(size)):
        pinned = [(2 * a, 2 * a) for a in range(level)]
        orbit = _orbit(2 * level, generators)
        refused: set[int] = set()
        colours = cast(list[dict[int, int]], _refined((graph, graph), pinned))[0]
        for image in range(2 * level, 2 * size):
            if image in orbit or image in refused or colours[image] != colours[2 * level]:
                continue
            found = _isomorphism(graph, graph.copy(), size, [*pinned, (2 * level, image)])
            if found is None:
                refused |= _orbit(image, generators)
            else:
                generators.append(found)
                orbit = _orbit(2 * level, generators)
        order *= len(orbit)
    return generators, order


def _orbit(point: int, generators: Sequence[tuple[int, ...]]) -> set[int]:
    orbit, frontier = {point}, [point]
    while frontier:
        frontier = sorted({g[p] for p in frontier for g in generators} - orbit)
        orbit |= set(frontier)
    return orbit


def _signed_matrix(images: Sequence[int]) -> sp.ImmutableMatrix:
    """R with R_ab = ±1 if φ_a is replaced by ±φ_b."""
    n = len(images) // 2
    matrix = sp.zeros(n, n)
    for a in range(n):
        b, negative = divmod(images[2 * a], 2)
        matrix[a, b] = -1 if negative else 1
    return sp.ImmutableMatrix(matrix)


def _all_signed(size: int) -> list[sp.ImmutableMatrix]:
    """All signed permutation matrices if they are few, else those that change few components."""
    if 2**size * factorial(size) <= _ENUMERATED:
        choices = itertools.product(
            itertools.permutations(range(size)), itertools.product((0, 1), repeat=size)
        )
    else:
        identity = tuple(range(size))
        choices = [(identity, (1,) * size)]
        choices += [(identity, tuple(int(a == b) for b in range(size))) for a in range(size)]
        for a, b in itertools.combinations(range(size), 2):
            swapped = list(identity)
            swapped[a], swapped[b] = b, a
            choices += [
                (tuple(swapped), (0,) * size),
                (identity, tuple(int(c in (a, b)) for c in range(size))),
            ]
        shifted = (*identity[1:], 0)
        choices.append((shifted, (0,) * size))
    return [
        _signed_matrix(
            [node for a, s in zip(axes, signs, strict=True) for node in (2 * a + s, 2 * a + 1 - s)]
        )
        for axes, signs in choices
    ]


# Charges: rotations and reflections of planes


Plane = tuple[int, int]
Complex = tuple[sp.Expr, sp.Expr]


def _charged(
    polynomial: _Polynomial, planes: Sequence[Plane], numbers: NumberTable
) -> dict[tuple[Monomial, sp.Expr], Complex] | None:
    """The polynomial in z = φ_a + iφ_b and z̄, for each plane (a, b); index a stands for z and b for z̄.

    Returns real and imaginary part of each coefficient that is not zero, or None if there are too many terms.
    """
    partner = {c: plane for plane in planes for c in plane}
    sums: dict[tuple[Monomial, sp.Expr], tuple[list[sp.Expr], list[sp.Expr]]] = defaultdict(lambda: ([], []))
    count = 0
    for monomial, coefficient in polynomial.terms.items():
        choices = []
        for position, local in enumerate(monomial):
            for (offset, c), power in local:
                if c not in partner:
                    choices.append([(((position, offset, c), power),)])
                    continue
                a, b = partner[c]
                expanded = []
                for k in range(power + 1):  # k factors z̄
                    expanded.append((((position, offset, a), power - k), ((position, offset, b), k)))
                choices.append(expanded)
        count += prod(len(choice) for choice in choices)
        if count > _TREE:
            return None
        sources = [(c, power) for local in monomial for (_, c), power in local]
        for combination in itertools.product(*choices):
            factor, quarter_turns = Fraction(1), 0
            powers: dict[tuple[int, Site, int], int] = defaultdict(int)
            for (c, power), piece in zip(sources, combination, strict=True):
                for key, p in piece:
                    powers[key] += p
                if c in partner:
                    k = piece[1][1]
                    factor *= Fraction(comb(power, k), 2**power)
                    if c == partner[c][1]:  # φ_b = −i(z − z̄)/2
                        quarter_turns -= power
                        factor *= (-1) ** k
            locals_ = [
                tuple(sorted(((o, c), p) for (q, o, c), p in powers.items() if q == position and p))
                for position in range(len(monomial))
            ]
            target = _sorted(_canonical(local, polynomial.lattice) for local in locals_)
            weight = sp.Rational(factor.numerator, factor.denominator) * (1 if quarter_turns % 4 < 2 else -1)
            for coupling, number in coefficient:
                sums[target, coupling][quarter_turns % 2].append(cast(sp.Expr, weight * number))
    result = {}
    for key, (real, imaginary) in sums.items():
        parts = tuple(
            numbers.canonical(cast(sp.Expr, sp.expand(sp.Add(*part)))) for part in (real, imaginary)
        )
        if parts != (0, 0):
            result[key] = parts
    return result


def _charge(monomial: Monomial, plane: Plane) -> int:
    """Number of factors z minus number of factors z̄."""
    return sum(power * ((c == plane[0]) - (c == plane[1])) for local in monomial for (_, c), power in local)


def _plane_map(size: int, planes: Sequence[Plane], angles: Sequence[sp.Expr]) -> sp.Matrix:
    """z → exp(iα) z in each plane."""
    matrix = sp.eye(size)
    for (a, b), angle in zip(planes, angles, strict=True):
        matrix[a, a] = matrix[b, b] = sp.cos(angle)
        matrix[b, a] = sp.sin(angle)
        matrix[a, b] = -sp.sin(angle)
    return matrix


def _plane_reflection(size: int, plane: Plane, cosine: sp.Expr, sine: sp.Expr) -> sp.Matrix:
    """z → exp(iα) z̄."""
    (a, b), matrix = plane, sp.eye(size)
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = cosine, sine, sine, -cosine
    return matrix


def _rotations_from_charges(charges: Sequence[Sequence[int]]) -> list[list[Fraction]]:
    """Generators of { θ ∈ (R/Z)^k : every charge vector · θ is an integer } modulo its continuous part."""
    k = len(charges[0])
    rows = [list(row) for row in charges if any(row)]
    columns = [[int(i == j) for j in range(k)] for i in range(k)]  # columns[i] = i-th column of V in Q V
    diagonal: list[int] = []
    done = 0
    while any(row[j] for row in rows for j in range(done, k)):
        i, j = min(
            ((i, j) for i, row in enumerate(rows) for j in range(done, k) if row[j]),
            key=lambda ij: (abs(rows[ij[0]][ij[1]]), ij),
        )
        rows[0], rows[i] = rows[i], rows[0]
        for row in rows:
            row[done], row[j] = row[j], row[done]
        columns[done], columns[j] = columns[j], columns[done]
        pivot = rows[0][done]
        for row in rows[1:]:
            q = row[done] // pivot
            for c in range(done, k):
                row[c] -= q * rows[0][c]
        for c in range(done + 1, k):
            q = rows[0][c] // pivot
            for row in rows:
                row[c] -= q * row[done]
            columns[c] = [x - q * y for x, y in zip(columns[c], columns[done], strict=True)]
        if not any(row[done] for row in rows[1:]) and not any(rows[0][done + 1 :]):
            diagonal.append(abs(pivot))
            rows = [row for row in rows[1:] if any(row)]
            done += 1
    return [[Fraction(x, d) % 1 for x in columns[i]] for i, d in enumerate(diagonal) if d > 1]


def _turns(fraction: Fraction) -> sp.Expr:
    return 2 * sp.pi * sp.Rational(fraction.numerator, fraction.denominator)  # type: ignore[return-value]


def _plane_candidates(search: _Search, polynomial: _Polynomial, algebra: LieAlgebra) -> list[sp.Matrix]:
    """Rotations and reflections of coordinate planes, and joint rotations of all complex fields."""
    n = search.size
    found: list[sp.Matrix] = []
    skipped = False
    for plane in itertools.combinations(range(n), 2):
        if any(_rotates(matrix, plane) for matrix in algebra.basis):
            continue  # every angle is a symmetry
        terms = _charged(polynomial, [plane], search.numbers)
        if terms is None:
            skipped = True
            continue
        step = gcd(*(_charge(monomial, plane) for monomial, _ in terms))
        if step > 1:
            found.append(_plane_map(n, [plane], [_turns(Fraction(1, step))]))
        reflection, spelled = _reflection(n, plane, terms)
        if reflection is not None:
            found.append(reflection)
        if not spelled:
            search.limits.append(f"the plane {plane} has a reflection whose angle was not recognised")
    planes = _complex_planes(search.theory)
    if len(planes) > 1:
        terms = _charged(polynomial, planes, search.numbers)
        if terms is None:
            skipped = True
        else:
            vectors = sorted({tuple(_charge(monomial, plane) for plane in planes) for monomial, _ in terms})
            for angles in _rotations_from_charges(vectors):
                found.append(_plane_map(n, planes, [_turns(angle) for angle in angles]))
    if skipped:
        search.limits.append(f"rotations of planes were not searched: more than {_TREE} terms")
    return found


def _rotates(matrix: sp.ImmutableMatrix, plane: Plane) -> bool:
    """Whether the matrix is E_ab − E_ba for this plane (a, b)."""
    a, b = plane
    return matrix.todok() in ({(a, b): 1, (b, a): -1}, {(a, b): -1, (b, a): 1})


def _complex_planes(theory: Theory) -> list[Plane]:
    planes, start = [], 0
    for field in theory.fields:
        if isinstance(field, ComplexField):
            planes.append((start, start + 1))
        start += len(field.components)
    return planes


def _reflection(
    size: int, plane: Plane, terms: dict[tuple[Monomial, sp.Expr], Complex]
) -> tuple[sp.Matrix | None, bool]:
    """A reflection z → exp(iα) z̄ of the plane if there is one, and whether its angle could be written down.

    It maps a term C m to C exp(iαq) m̄, q the charge of m, and the action has the coefficient C̄ there.
    """
    values = [
        (_charge(monomial, plane), complex(float(numeric(re)), float(numeric(im))), (re, im))
        for (monomial, _), (re, im) in terms.items()
    ]

    def fits(alpha: float) -> bool:
        return all(abs(c * np.exp(1j * alpha * q) - np.conj(c)) < _TOLERANCE * abs(c) for q, c, _ in values)

    charged = [value for value in values if value[0]]
    if not charged:
        return (_plane_reflection(size, plane, sp.S.One, sp.S.Zero) if fits(0.0) else None), True
    q, c, (re, im) = min(charged, key=lambda value: (abs(value[0]), value[0]))
    for k in range(abs(q)):
        alpha = float((-2 * np.angle(c) + 2 * np.pi * k) / q)
        if not fits(alpha):
            continue
        turns = Fraction(alpha / (2 * np.pi)).limit_denominator(96)
        if abs(float(turns) * 2 * np.pi - alpha) < 1e-11:
            return _plane_reflection(size, plane, sp.cos(_turns(turns)), sp.sin(_turns(turns))), True
        # exp(iαq) = C̄/C, for charge ±2 its square root
        square = re**2 + im**2
        cosine, sine = sp.expand((re**2 - im**2) / square), sp.expand(-2 * re * im / square)
        if abs(q) == 1:
            return _plane_reflection(size, plane, cosine, sine * q), True
        if abs(q) == 2:
            half = [sp.sqrt((1 + cosine) / 2), sp.sqrt((1 - cosine) / 2)]
            signs = (np.sign(np.cos(alpha)), np.sign(np.sin(alpha)))
            return _plane_reflection(size, plane, int(signs[0]) * half[0], int(signs[1]) * half[1]), True
        return None, False
    return None, True


# Orthogonal maps from the points of a log-sum-exp


def _exponent_points(search: _Search) -> list[tuple[sp.Matrix, str]]:
    """Gradients at 0 of the exponents of every log-sum-exp; a symmetry must respect their labels."""
    origin = (0,) * search.lattice.dimension
    symbols = [c.at(origin) for c in search.components]
    points: list[tuple[sp.Matrix, str]] = []
    logs = sorted(search.action.atoms(sp.log), key=sp.default_sort_key)
    for log in logs:
        argument = cast(sp.Expr, sp.expand(log.args[0].rewrite(sp.exp), power_exp=False))
        found = []
        for term in cast(tuple[sp.Expr, ...], sp.Add.make_args(argument)):
            weight, exponential = term.as_independent(sp.exp, as_Add=False)
            exponent = cast(sp.Expr, exponential.args[0] if isinstance(exponential, sp.exp) else sp.S.Zero)
            fields = exponent.atoms(FieldComponent) | weight.atoms(FieldComponent)
            if not (isinstance(exponential, sp.exp) or exponential == 1) or not fields <= set(symbols):
                break
            if not exponent.is_polynomial(*symbols) or weight.has(FieldComponent):
                break
            zero = dict.fromkeys(symbols, sp.S.Zero)
            gradient = [sp.diff(exponent, s).xreplace(zero) for s in symbols]
            if any(g.free_symbols for g in gradient):
                break
            label = [
                weight,
                exponent.xreplace(zero),
                sp.Add(*(cast(sp.Expr, sp.diff(exponent, s, 2).xreplace(zero)) for s in symbols)),
            ]
            found.append(
                (sp.Matrix(gradient), "; ".join(sp.sstr(search.normal_form(cast(sp.Expr, e))) for e in label))
            )
        else:
            points += found
    return points


def _point_candidates(search: _Search) -> list[sp.Matrix]:
    """Orthogonal maps that permute the points: a basis of them goes to tuples with the same Gram matrix."""
    points = _exponent_points(search)
    if not points:
        return []
    numeric_points = np.array([_floats(p)[:, 0] for p, _ in points])
    labels = [label for _, label in points]
    scale = np.linalg.norm(numeric_points, axis=1).max()
    basis: list[int] = []
    for i in range(len(points)):
        if np.linalg.matrix_rank(numeric_points[[*basis, i]], tol=1e-8 * scale) > len(basis):
            basis.append(i)
    if not basis:
        return []
    gram = numeric_points @ numeric_points.T
    inverse = np.linalg.pinv(numeric_points[basis])
    complement = np.eye(search.size) - inverse @ numeric_points[basis]
    directions = (1, -1) if np.abs(complement).max() > 1e-8 else (1,)
    nodes = 0
    tuples: list[tuple[int, ...]] = []
    stack: list[tuple[int, ...]] = [()]
    while stack and nodes < _TREE and len(tuples) < _ENUMERATED:
        nodes += 1
        images = stack.pop()
        if len(images) == len(basis):
            tuples.append(images)
            continue
        k = len(images)
        for j in reversed(range(len(points))):
            trial = (*images, j)
            same = labels[j] == labels[basis[k]] and np.allclose(
                gram[j, list(trial)], gram[basis[k], basis[: k + 1]], rtol=0, atol=1e-8 * scale**2
            )
            if same:
                stack.append(trial)
    if stack:
        search.limits.append(
            f"the search for maps of the points of a log-sum-exp stopped after {nodes} steps"
        )
    known = _Permutations(search.size)
    exact: list[sp.Matrix] = []
    for images, sign in itertools.product(tuples, directions):
        matrix = (inverse @ numeric_points[list(images)]).T + sign * complement
        if matrix in known or not _unchanged(search, matrix) or not known.add(matrix):
            continue
        source = sp.Matrix.hstack(*(points[i][0] for i in basis))
        target = sp.Matrix.hstack(*(points[i][0] for i in images))
        dual = (source.T * source).applyfunc(sp.expand).inv() * source.T
        rest = sp.eye(search.size) - source * dual
        exact.append((target * dual + sign * rest).applyfunc(lambda e: sp.radsimp(sp.expand(e))))
    return exact


# Groups of matrices


class _Permutations:
    """A group of matrices, as it permutes the orbits of the unit vectors: never enumerated.

    The orbits are found in floating point; order and membership serve to choose generators and to name the
    group. That a generator is a symmetry is proved elsewhere.
    """

    def __init__(self, size: int, generators: Sequence[Array] = ()) -> None:
        self._generators: list[Array] = []
        self._points = np.eye(size)
        self._index = {key: i for i, key in enumerate(_keys(self._points))}
        self._group = PermutationGroup([Permutation(list(range(size)))])
        for generator in generators:
            self.add(generator)

    def add(self, generator: Array) -> bool:
        """Enlarge the group; False, and nothing changes, if an orbit becomes longer than is followed."""
        generators = [*self._generators, generator]
        blocks, index = [self._points], dict(self._index)
        frontier = self._points
        while len(frontier):
            images = np.concatenate([frontier @ g.T for g in generators])
            fresh = {key: i for i, key in enumerate(_keys(images)) if key not in index}
            frontier = images[sorted(fresh.values())]
            start = len(index)
            index.update((key, start + k) for k, key in enumerate(_keys(frontier)))
            if len(index) > _ORBIT:
                return False
            blocks.append(frontier)
        self._generators, self._points, self._index = generators, np.concatenate(blocks), index
        self._group = PermutationGroup([cast(Permutation, self._permutation(g)) for g in generators])
        return True

    def _permutation(self, matrix: Array) -> Permutation | None:
        images = [self._index.get(key) for key in _keys(self._points @ matrix.T)]
        return None if None in images else Permutation(images)

    def __contains__(self, matrix: Array) -> bool:
        permutation = self._permutation(matrix)
        return permutation is not None and bool(self._group.contains(permutation))

    @property
    def order(self) -> int:
        """Number of elements."""
        return int(self._group.order())


def _keys(points: Array) -> list[bytes]:
    return [row.tobytes() for row in np.round(points * 1e6).astype(np.int64)]


def _unchanged(search: _Search, matrix: Array, sites: SiteMap | None = None) -> bool:
    """Whether the action takes the same value at random configurations and their images, in float64."""
    rng = np.random.default_rng(3)
    shape = search.theory.configuration_shape
    moves = sites is not None and not sites.is_identity
    if not moves:
        shape = (search.size, *sufficient_shape(search.action, search.lattice.shape))
    for k in range(4):
        configuration = rng.normal(scale=(0.5, 1.0, 2.0, 5.0)[k], size=shape)
        image = np.tensordot(matrix, configuration, axes=1)
        if moves:
            identity = sp.ImmutableMatrix(sp.eye(search.size))
            image = act(Element(identity, cast(SiteMap, sites)), image)
        before, after = search.value(configuration), search.value(image)
        if np.isfinite(before) and not abs(after - before) < _TOLERANCE * (1 + abs(before)):
            return False
    return True


def _internal_group(search: _Search, algebra: LieAlgebra) -> InternalGroup:
    n = search.size
    signed_order: int | None = None
    candidates: list[sp.Matrix | sp.ImmutableMatrix]
    if search.polynomial is not None:
        images, signed_order = _signed_permutations(_graph(search.polynomial, search.numbers), n)
        candidates = [_signed_matrix(image) for image in images]
        # all signed permutations are known already
        candidates += [m for m in _plane_candidates(search, search.polynomial, algebra) if not _is_signed(m)]
        if not search.polynomial.independent:
            search.limits.append(
                "products of sums or functions of parameters: discrete maps may have been missed"
            )
        if n > 2 and algebra.dimension < n * (n - 1) // 2:
            search.limits.append(
                "discrete maps of more than two components are found if they are signed permutations, "
                "rotate or reflect one coordinate plane, or rotate complex fields by phases"
            )
    else:
        candidates = _tried(search, algebra)
    exact: list[Verdict] = []
    undecided: list[Verdict] = []
    known = _Permutations(n)
    for candidate in candidates:
        matrix = _floats(candidate)
        if matrix in known:
            continue
        verdict = search.judge(search.element(candidate))
        if verdict.status == "undecided":
            undecided.append(verdict)
        elif verdict.status == "exact" and not known.add(matrix):
            search.limits.append("maps that generate an infinite group with the others were left out")
        elif verdict.status == "exact":
            exact.append(verdict)
    order = known.order
    if len(exact) <= _REDUCED:
        for verdict in list(exact):
            fewer = [v for v in exact if v is not verdict]
            if _Permutations(n, [_floats(v.generator.matrix) for v in fewer]).order == order:
                exact = fewer
    generators = tuple(v.generator for v in exact)
    group = _enumerate(search, generators) if order <= _ENUMERATED else None
    if signed_order is None and group is not None:
        signed_order = sum(_is_signed(g.matrix) for g in group.elements)
    name = _group_name(group) if group else f"a group of order {order}"
    if order == 2**n * factorial(n) == signed_order and n > 2:
        name = f"B{n}"
    return InternalGroup(generators, tuple(exact), order, group, signed_order, name, tuple(undecided))


def _tried(search: _Search, algebra: LieAlgebra) -> list[sp.Matrix | sp.ImmutableMatrix]:
    """Generators of the maps, out of finite lists, that leave a non-polynomial action unchanged."""
    n = search.size
    listed: list[sp.Matrix | sp.ImmutableMatrix] = [*_point_candidates(search), *_all_signed(n)]
    planes = [
        p for p in itertools.combinations(range(n), 2) if not any(_rotates(m, p) for m in algebra.basis)
    ]
    for plane in planes[:_PLANES]:
        for m in range(3, _HIGHEST_TURN + 1):
            listed.append(_plane_map(n, [plane], [_turns(Fraction(1, m))]))
            for k in range(1, m):
                if gcd(k, m) == 1:
                    angle = _turns(Fraction(k, m))
                    listed.append(_plane_reflection(n, plane, sp.cos(angle), sp.sin(angle)))
    extent = "all" if 2**n * factorial(n) <= _ENUMERATED else "elementary"
    some = "" if len(planes) <= _PLANES else f"the first {_PLANES} "
    search.limits.append(
        f"the action is not a polynomial: discrete maps were looked for among {extent} signed permutations, "
        f"turns by 2π/m with m ≤ {_HIGHEST_TURN} and reflections in {some}coordinate planes, "
        "and maps of the points of a log-sum-exp"
    )
    chosen: list[sp.Matrix | sp.ImmutableMatrix] = []
    known = _Permutations(n)
    for matrix in listed:
        values = _floats(matrix)
        if values not in known and _unchanged(search, values) and known.add(values):
            chosen.append(matrix)
    return chosen


def _is_signed(matrix: sp.Matrix | sp.ImmutableMatrix) -> bool:
    return all(entry in (-1, 0, 1) for entry in matrix.flat())


def _enumerate(search: _Search, generators: Sequence[Element]) -> FiniteGroup[Element]:
    return FiniteGroup(
        Element.identity(search.size, search.lattice),
        generators,
        lambda a, b: search.element(a.matrix * b.matrix, a.sites @ b.sites),
        bound=_ENUMERATED,
        name=f"internal symmetries of {search.theory.name}",
    )


def _group_name(group: FiniteGroup[Any]) -> str:
    """Z_n, D_n, a power of Z_2, A_4 or S_4 if it is one of these, else the order."""
    n, orders = group.order, group.element_orders
    if n == 1:
        return "trivial"
    if orders.max() == n:
        return f"Z{n}"
    if orders.max() == 2:
        return " × ".join(["Z2"] * (n.bit_length() - 1))
    if n % 2 == 0:
        for r in np.flatnonzero(orders == n // 2):
            turns = set(group.subgroup([int(r)]))
            flips = [s for s in range(n) if s not in turns]
            if all(orders[s] == 2 for s in flips):
                return f"D{n // 2}"
    commuting = np.all(group.table == group.table.T, axis=1)
    if n == 24 and commuting.sum() == 1:
        return "S4"  # the only group of this order without a centre
    if n == 12 and not np.any(orders == 6):
        return "A4"  # no other non-abelian group of order 12 lacks elements of order 6
    return f"a group of order {n}"


# The lattice


def _site_maps(lattice: Lattice) -> list[SiteMap]:
    """Distinct signed axis permutations that preserve the shape, the identity first."""
    maps = []
    d, shape = lattice.dimension, lattice.shape
    for axes in itertools.permutations(range(d)):
        if any(shape[mu] != shape[axis] or (shape[mu] == 1 and mu != axis) for mu, axis in enumerate(axes)):
            continue
        # x → −x moves nothing on one or two sites
        choices = [(1,) if extent <= 2 else (1, -1) for extent in shape]
        maps += [SiteMap(lattice, axes, signs, (0,) * d) for signs in itertools.product(*choices)]
    return maps


def _lattice_group(search: _Search) -> LatticeGroup:
    lattice = search.lattice
    verdicts: list[Verdict] = []
    undecided: list[Verdict] = []

    def generated(by: Sequence[Verdict]) -> FiniteGroup[SiteMap]:
        return FiniteGroup(
            SiteMap.identity(lattice),
            [v.generator.sites for v in by],
            lambda a, b: a @ b,
            bound=2**lattice.dimension * factorial(lattice.dimension),
            name=f"point group of {search.theory.name}",
        )

    members, refused = {SiteMap.identity(lattice)}, set[SiteMap]()
    if lattice.dimension <= 4:
        graph = None if search.polynomial is None else _graph(search.polynomial, search.numbers)
        for sites in _site_maps(lattice):
            if sites in members or sites in refused:
                continue
            matrix = _companion(search, sites, graph)
            verdict = None if matrix is None else search.judge(search.element(matrix, sites))
            if verdict is not None and verdict.status == "exact":
                verdicts.append(verdict)
                members = set(generated(verdicts).elements)
            else:
                undecided += [verdict] if verdict is not None and verdict.status == "undecided" else []
                # a coset: if g is no symmetry, neither is g∘h for any symmetry h
                refused |= {sites @ h for h in members}
        if search.polynomial is None and lattice.volume > 1:
            search.limits.append("lattice maps of a non-polynomial action were tried with few field maps")
    else:
        search.limits.append("axis permutations are searched in at most four dimensions")
    for verdict in list(verdicts):
        fewer = [v for v in verdicts if v is not verdict]
        if generated(fewer).order == len(members):
            verdicts = fewer
    group = generated(verdicts)
    full = lattice.dimension > 2 and group.order == 2**lattice.dimension * factorial(lattice.dimension)
    return LatticeGroup(
        tuple(v.generator for v in verdicts),
        tuple(verdicts),
        group,
        f"B{lattice.dimension}" if full else _group_name(group),
        lattice.volume * group.order,
        tuple(undecided),
    )


def _companion(search: _Search, sites: SiteMap, graph: nx.DiGraph | None) -> sp.ImmutableMatrix | None:
    """A signed permutation of components that makes the site map a symmetry, the identity if possible."""
    n = search.size
    identity = sp.ImmutableMatrix(sp.eye(n))
    if search.polynomial is not None and graph is not None:
        moved = search.polynomial.moved(sites)
        if moved.terms == search.polynomial.terms:
            return identity
        images = _isomorphism(_graph(moved, search.numbers), graph, n)
        return None if images is None else _signed_matrix(images)
    trials = _all_signed(n) if n <= 2 else [identity, -identity]
    return next(
        (m for m in sorted(trials, key=lambda m: m != identity) if _unchanged(search, _floats(m), sites)),
        None,
    )
