"""Random theories: random actions over random small groups on random small lattices, a test of all stages.

A theory is made symmetric by averaging its density over the group, left as it is drawn, or made symmetric
and then broken by one monomial; in the first case the verdict of the analysis is known. Every backend is
compared with the NumPy interpreter, and the interpreter with SymPy's own tree evaluated by mpmath.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import sympy as sp
from sympy.core.cache import clear_cache

from ..backend import Backend
from ..errors import SesamoError
from ..groups.catalogue import (
    Z2,
    Cyclic,
    Dihedral,
    FromMatrices,
    Hyperoctahedral,
    Permutations,
    Phases,
    PointGroup,
    Translations,
)
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..groups.lie import SO, U1, LieSymmetry
from ..groups.symmetry import Symmetry
from ..language.theory import Theory
from ..symbols.exact import NumberTable
from ..symbols.fields import ComplexField, FieldComponent, ScalarField, VectorField, parameters
from ..symbols.lattice import Lattice
from ..symbols.site_constants import SiteConstant
from .properties import PROPERTIES
from .property import Property
from .subject import Subject
from .suite import check_property, require

Mode = Literal["symmetric", "as drawn", "broken"]

_DISORDERED = 0.3  # fraction of the theories with a coupling that may depend on the site
_SHAPES = ((1,), (1,), (2,), (3,), (4,), (5,), (2, 2), (2, 3), (3, 2), (4, 1), (2, 2, 2), (1, 3))
_COMPARED = (
    "group_axioms",
    "homomorphism",
    "invariant_part",
    "declared_residual",
    "program_is_symbols",
    "gradient",
    "inverse_pair",
    "tiling",
    "facets",
    "chart_pair",
    "slice_pair",
    "orbit_invariance",
    "emitted_is_program",
    "emitted_canonical",
)


@dataclass(frozen=True)
class RandomTheory:
    """A theory, how it was made, and the verdict that its analysis has to give (None: any)."""

    theory: Theory
    mode: Mode
    expected: str | None


@dataclass(frozen=True)
class RandomResult:
    """The outcome of one random theory.

    Attributes
    ----------
    status
        ``refused`` with an explained error, as some theories should be; ``failed`` if something disagreed or
        crashed.
    found
        The explanation.
    error
        Class of the error with which it was refused.
    seconds
        Duration of the check.
    """

    seed: int
    status: Literal["agrees", "refused", "failed"]
    found: str = ""
    error: str = ""
    seconds: float = 0.0


def random_theory(seed: int) -> RandomTheory:
    """The theory with this number; raises a SesamoError if the drawn theory cannot be declared."""
    rng = np.random.default_rng([seed, 2718])
    lattice = Lattice(*_SHAPES[rng.integers(len(_SHAPES))])
    fields, components = _fields(rng, lattice)
    couplings: list[sp.Symbol] = list(parameters("a b lambda"))
    couplings[1] = _site_dependent(seed, lattice) or couplings[1]
    mode = cast(Mode, rng.choice(["symmetric", "as drawn", "broken"], p=[0.5, 0.3, 0.2]))
    symmetry = _symmetry(rng, fields, components, lattice)
    if isinstance(symmetry, LieSymmetry):
        density, expected = _isotropic(rng, fields[0], lattice, couplings), "exact"
    else:
        density, expected = _density(rng, components, lattice, couplings), None
        if symmetry is not None and mode != "as drawn":
            density, expected = _average(density, symmetry, components), "exact"
    if mode == "broken" and symmetry is not None:
        source = couplings[2] * components[rng.integers(len(components))] ** int(rng.choice([1, 3]))
        density, expected = density + source, None
    action = lattice.sum(density)
    if rng.random() < 0.15:  # not a sum of local terms
        squares = lattice.sum(sp.Add(*(c**2 for c in components)))
        action = action + squares**2 / (4 * lattice.volume)
        expected = expected if _orthogonal(symmetry, components) else None
    used = {s.name: s for s in couplings if action.has(s)}
    disorder = used.get("h")
    if disorder is not None and _moves_sites(symmetry, components):
        expected = None
    defaults = {s: round(float(rng.uniform(0.05, 0.4)), 3) for s in used.values()}
    if isinstance(disorder, SiteConstant) and disorder.values is not None:
        del defaults[disorder]
    theory = Theory(
        f"random_{seed}",
        fields=fields,
        action=action,
        symmetries=[] if symmetry is None else [symmetry],
        defaults=defaults,
        observables={"mean": lattice.sum(components[0]) / lattice.volume},
    )
    return RandomTheory(theory, mode, expected)


def _site_dependent(seed: int, lattice: Lattice) -> SiteConstant | None:
    """A coupling that depends on the site, given or with a default at run time; in most theories None."""
    rng = np.random.default_rng([seed, 1618])  # a stream of its own leaves all other draws unchanged
    if rng.random() > _DISORDERED:
        return None
    values = rng.choice([-0.4, -0.1, 0.2, 0.3], size=lattice.shape)
    return SiteConstant("h", lattice, values if rng.random() < 0.6 else None)


def _moves_sites(symmetry: Symmetry | LieSymmetry | None, components: list[FieldComponent]) -> bool:
    if not isinstance(symmetry, Symmetry):
        return False
    return any(not g.sites.is_identity for g in _group(symmetry, components).generators)


def _fields(
    rng: np.random.Generator, lattice: Lattice
) -> tuple[list[FieldComponent | VectorField], list[FieldComponent]]:
    fields: list[FieldComponent | VectorField]
    match rng.integers(5):
        case 0:
            fields = [ScalarField("phi", lattice)]
        case 1:
            fields = [ComplexField("z", lattice)]
        case 2:
            fields = [VectorField("v", lattice, int(rng.integers(2, 4)))]
        case 3:
            fields = [ScalarField("phi", lattice), ScalarField("chi", lattice)]
        case _:
            fields = [VectorField("v", lattice, 2), ScalarField("np", lattice)]
    return fields, [c for field in fields for c in field.components]


def _symmetry(
    rng: np.random.Generator,
    fields: list[FieldComponent | VectorField],
    components: list[FieldComponent],
    lattice: Lattice,
) -> Symmetry | LieSymmetry | None:
    first, n = fields[0], len(components)
    plane = tuple(components[:2])
    makers: list[Callable[[], Symmetry | LieSymmetry | None]] = [
        lambda: None,
        lambda: Z2(*fields),
        lambda: Translations(lattice),
        lambda: _signed_permutations(rng, components),
    ]
    if n >= 2:
        makers += [
            lambda: Cyclic(int(rng.choice([2, 3, 4, 5, 6, 8])), *plane),
            lambda: Dihedral(int(rng.choice([3, 4, 6])), *plane),
            lambda: Permutations(*components),
            lambda: Hyperoctahedral(*components),
            lambda: Z2(components[-1]),
        ]
    if isinstance(first, VectorField):
        makers += [lambda: SO(first)]
    if isinstance(first, ComplexField):
        makers += [lambda: U1(first), lambda: Phases(int(rng.integers(2, 7)), first)]
    if lattice.dimension > 1 and len(set(lattice.shape)) == 1:
        makers += [lambda: PointGroup(lattice)]
    return makers[rng.integers(len(makers))]()


def _signed_permutations(rng: np.random.Generator, components: list[FieldComponent]) -> Symmetry:
    n = len(components)
    matrices = [
        sp.Matrix(np.eye(n, dtype=int)[rng.permutation(n)] * rng.choice([-1, 1], size=n)).tolist()
        for _ in range(int(rng.integers(1, 3)))
    ]
    return FromMatrices("signed_permutations", matrices, components)


def _density(
    rng: np.random.Generator, components: list[FieldComponent], lattice: Lattice, couplings: list[sp.Symbol]
) -> sp.Expr:
    """A term that grows at infinity, plus random monomials with neighbours, plus sometimes a function."""

    def moved(c: FieldComponent) -> FieldComponent:
        if rng.random() < 0.5:
            return c
        return c.shift(int(rng.integers(lattice.dimension)), int(rng.choice([-1, 1, 2])))

    def coefficient() -> sp.Expr:
        number = sp.Rational(int(rng.integers(-6, 7)) or 1, int(rng.integers(2, 9)))
        kind = rng.integers(4)
        return number if kind else (number * couplings[rng.integers(len(couplings))])

    density: sp.Expr = sp.Add(*(c**2 * (1 + c**2) for c in components))
    for _ in range(int(rng.integers(1, 4))):
        degree = int(rng.integers(1, 4))
        chosen = [components[i] for i in rng.integers(len(components), size=degree)]
        density += coefficient() * sp.Mul(*(moved(c) for c in chosen)) / 2
    c = components[rng.integers(len(components))]
    other = moved(components[rng.integers(len(components))])
    functions = [
        sp.cos(c - other),
        sp.log(2 * sp.cosh(c)),
        sp.exp(-(c**2) / 2),
        sp.sqrt(1 + c**2 + other**2),
        sp.tanh(c * other),
        sp.Abs(c),
        sp.Max(c, other),
        c / (2 + sp.cos(other)),
        sp.Piecewise((c**2, c > other), (other**2, True)),
        sp.log(sp.exp(c) + sp.exp(-2 * other) + 1),
        sp.atan(c + other),
        sp.erf(c),
        (1 + c**2) ** sp.Rational(-3, 2),
    ]
    if rng.random() < 0.4:  # not always: averages of functions over large groups are long
        density += coefficient() * functions[rng.integers(len(functions))]
    return density


def _isotropic(rng: np.random.Generator, field, lattice: Lattice, couplings: list[sp.Symbol]) -> sp.Expr:
    """A density that is invariant under all rotations of the first field; other fields are spectators."""
    square = sp.Add(*(c**2 for c in field.components))
    direction = int(rng.integers(lattice.dimension))
    neighbour = [c.shift(direction, 1) for c in field.components]
    hopping = sp.Add(*(c * d for c, d in zip(field.components, neighbour, strict=True)))
    return square + couplings[0] * square**2 - couplings[1] * hopping


def _group(symmetry: Symmetry, components: list[FieldComponent]) -> FiniteGroup[Element]:
    return symmetry.group(tuple(components), NumberTable())


def _average(density: sp.Expr, symmetry: Symmetry, components: list[FieldComponent]) -> sp.Expr:
    """(1/|G|) Σ_g density(T_g x), (T_g φ)(x) = M φ(P⁻¹x), moved back to the running site."""
    group = _group(symmetry, components)
    atoms = sorted(density.atoms(FieldComponent), key=str)
    index = {(c.field, c.component): a for a, c in enumerate(components)}
    total: sp.Expr = sp.S.Zero
    for element in group.elements:
        back = element.sites.inverse
        images = {}
        for atom in atoms:
            row = element.matrix.row(index[atom.field, atom.component])
            offset = back.linear_image(atom.offset)
            images[atom] = sp.Add(*(m * c.at(offset) for m, c in zip(row, components, strict=True)))
        total = total + density.xreplace(images)
    total = total / group.order
    return sp.expand(total) if total.is_polynomial(*total.free_symbols) else total


def _orthogonal(symmetry: Symmetry | LieSymmetry | None, components: list[FieldComponent]) -> bool:
    if not isinstance(symmetry, Symmetry):
        return True
    identity = sp.eye(len(components))
    return all(g.matrix * g.matrix.T == identity for g in _group(symmetry, components).generators)


def check_random(seed: int, backends: Sequence[str | Backend] | None = None) -> RandomResult:
    """Build one random theory and compare all results that are computed from it."""
    try:
        drawn = random_theory(seed)
        subject = Subject.of(drawn.theory, backends)
        # the invariance of a non-polynomial action may stay undecided
        if drawn.expected == "exact" and drawn.theory.symmetries and subject.analysis.status == "broken":
            found = f"{drawn.theory.action} was made symmetric and is called broken"
            return RandomResult(seed, "failed", found)
        for prop in _compared_properties():
            if prop.applies(subject):
                require(check_property(prop, subject, examples=3), drawn.theory)
    except AssertionError as violation:
        return RandomResult(seed, "failed", str(violation))
    except SesamoError as error:
        return RandomResult(seed, "refused", str(error), type(error).__name__)
    except Exception:
        return RandomResult(seed, "failed", traceback.format_exc(limit=-4))
    return RandomResult(seed, "agrees")


def _compared_properties() -> list[Property]:
    return [prop for prop in PROPERTIES if prop.name in _COMPARED]


def run_random(
    count: int,
    *,
    seed: int = 0,
    backends: Sequence[str | Backend] | None = None,
    report: Callable[[RandomResult], None] = lambda result: None,
) -> list[RandomResult]:
    """Check theories number ``seed`` to ``seed + count − 1``; ``report`` is called with each result."""
    results = []
    for number in range(seed, seed + count):
        start = time.perf_counter()
        result = check_random(number, backends)
        results.append(replace(result, seconds=time.perf_counter() - start))
        report(results[-1])
        clear_cache()  # SymPy caches every expression, too much memory after a thousand theories
    return results
