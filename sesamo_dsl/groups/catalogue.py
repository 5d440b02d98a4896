"""Groups by name. Every function here only writes down generators and returns a ``Symmetry``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import factorial, prod
from typing import Any, TypedDict, Unpack, cast

import sympy as sp
from sympy.combinatorics import Permutation, PermutationGroup
from sympy.combinatorics.named_groups import AlternatingGroup, SymmetricGroup

from ..checks import as_integer, label, shown
from ..errors import FieldError, GroupError, LatticeError, NotClosedError
from ..symbols.exact import NumberTable, exact_matrix
from ..symbols.fields import ComplexField, Field, FieldComponent, ScalarField, VectorField, field_components
from ..symbols.lattice import GraphLattice, Lattice
from .element import Element
from .finite import FiniteGroup
from .lie import LieSymmetry
from .site_map import SiteMap, axis_exchange, reflection, translation
from .sitewise import Sitewise
from .staggering import checked_axes
from .symmetry import Generator, Symmetry, Use, common_lattice

_ENUMERABLE = 20_000  # largest number of automorphisms that are enumerated by default


class Options(TypedDict, total=False):
    """The keyword arguments of :class:`Symmetry`, which every function of this module passes on."""

    exact: bool
    collective: Sequence[sp.Expr] | None
    order_bound: int
    use: Use | None


def Z2(*fields: Field, **options: Unpack[Options]) -> Symmetry:
    """The sign flip φ → −φ of all components of the given fields, together."""
    components = _components("Z2", fields)
    return Symmetry(f"Z2({_names(fields)})", [{c: -c for c in components}], **options)


def Cyclic(order: int, *plane: Field, charge: int = 1, **options: Unpack[Options]) -> Symmetry:
    """Z_n: rotations by multiples of 2π·charge/n in the plane of two components or of a complex field."""
    turn = _turn("Cyclic", order, plane, charge)
    return Symmetry(f"Z{order}({_names(plane)})", [turn], **options)


def Dihedral(order: int, *plane: Field, **options: Unpack[Options]) -> Symmetry:
    """D_n of order 2n: the rotations of Z_n in a plane (a, b), and the reflection b → −b."""
    turn = _turn("Dihedral", order, plane, 1)
    _, b = _components("Dihedral", plane)
    return Symmetry(f"D{order}({_names(plane)})", [turn, {b: -b}], **options)


def Phases(order: int, field: ComplexField, charge: int = 1, **options: Unpack[Options]) -> Symmetry:
    """Z_n ⊂ U(1): φ → exp(2πi·charge/n) φ. For fields of different charges see :func:`together`."""
    if not isinstance(field, ComplexField):
        raise FieldError(
            f"Phases({order}, …)",
            expected="a ComplexField",
            found=shown(field),
            remedy="rotate two real components with Cyclic(n, a, b)",
        )
    turn = _turn("Phases", order, (field,), charge)
    name = f"Z{order}({field.name})" if charge == 1 else f"Z{order}({field.name}, charge {charge})"
    return Symmetry(name, [turn], **options)


def Permutations(*fields: Field, **options: Unpack[Options]) -> Symmetry:
    """S_n: all n! permutations of the n components."""
    components = _components("Permutations", fields, at_least=2)
    group = SymmetricGroup(len(components))
    return from_permutation_group(group, fields, name=f"S{len(components)}({_names(fields)})", **options)


def Alternating(*fields: Field, **options: Unpack[Options]) -> Symmetry:
    """A_n: the n!/2 even permutations of the n components."""
    components = _components("Alternating", fields, at_least=3)
    group = AlternatingGroup(len(components))
    return from_permutation_group(group, fields, name=f"A{len(components)}({_names(fields)})", **options)


def Hyperoctahedral(*fields: Field, **options: Unpack[Options]) -> Symmetry:
    """B_n: all 2ⁿ n! signed permutations of the n components, the symmetries of the n-cube."""
    components = _components("Hyperoctahedral", fields)
    generators = [{components[0]: -components[0]}]
    generators += [{a: b, b: a} for a, b in pairwise(components)]
    return Symmetry(f"B{len(components)}({_names(fields)})", generators, **options)


def from_permutation_group(
    group: PermutationGroup, fields: Sequence[Field], *, name: str | None = None, **options: Unpack[Options]
) -> Symmetry:
    """A SymPy permutation group acting on components: p takes component i to place p(i)."""
    components = _components("from_permutation_group", fields)
    if not isinstance(group, PermutationGroup) or group.degree != len(components):
        degree = group.degree if isinstance(group, PermutationGroup) else None
        raise GroupError(
            f"permutations of {', '.join(map(str, components))}",
            expected=f"a SymPy PermutationGroup of degree {len(components)}, the number of components",
            found=shown(group) if degree is None else f"degree {degree}",
            remedy="list as many components as the group permutes points",
        )
    images = [cast(list[int], cast(Permutation, p).array_form) for p in group.generators]
    generators = [{components[image]: c for image, c in zip(p, components, strict=True)} for p in images]
    return Symmetry(_named(name, f"permutations({_names(fields)})"), generators, **options)


def FromMatrices(
    name: str, matrices: Iterable[Any], fields: Sequence[Field], **options: Unpack[Options]
) -> Symmetry:
    """The group that exact matrices generate: φ_a → Σ_b R_ab φ_b for the components in the order given.

    Parameters
    ----------
    matrices
        SymPy matrices or nested lists, n×n for n components, with real algebraic entries.
    """
    components = _components(f"FromMatrices({name!r}, …)", fields)
    generators = []
    if not isinstance(matrices, Iterable):
        matrices = (matrices,)
    for declared in matrices:
        matrix = exact_matrix(declared)
        if matrix is None or matrix.shape != (len(components), len(components)):
            raise GroupError(
                f"symmetry {name}",
                expected=f"{len(components)}×{len(components)} matrices on {', '.join(map(str, components))}",
                found=shown(declared),
                remedy="give one row and one column per component",
            )
        images = matrix * sp.Matrix(components)
        generators.append({c: images[a] for a, c in enumerate(components)})
    return Symmetry(name, generators, **options)


def Translations(lattice: Lattice, **options: Unpack[Options]) -> Symmetry:
    """All translations of a periodic lattice, as many as it has sites; on a graph lattice all in time."""
    _dimension(lattice)
    maps = [translation(lattice, mu) for mu in lattice.directions if lattice.shape[mu] > 1]
    options.setdefault("order_bound", max(1152, lattice.volume))
    return Symmetry(f"translations({lattice})", maps or [SiteMap.identity(lattice)], **options)


def Staggered(
    *fields: Field,
    axes: Sequence[int] | None = None,
    sites: SiteMap | None = None,
    **options: Unpack[Options],
) -> Symmetry:
    """φ(x) → (−1)^(x_0 + x_1 + …) φ(x) for all components of the given fields; verified, not modulated.

    On the graph axis of a graph lattice the sign is + on one colour of the nodes and − on the other.

    Parameters
    ----------
    axes
        The axes whose coordinates are added up, each of even extent. Default: all of them.
    sites
        A map g of the sites to combine with it, such as ``translation(lattice, 0)``: φ(x) → ± φ(g⁻¹x).

    Raises
    ------
    GroupError
        If an extent is odd, or the graph has an odd cycle.
    """
    components = _components("Staggered", fields)
    signs = {c: checked_axes(c.lattice, axes) for c in components}
    name = f"staggered signs of {_names(fields)}" + ("" if sites is None else f" with {sites}")
    return Symmetry(name, [Generator({}, sites, signs)], **options)


def PointGroup(lattice: Lattice, **options: Unpack[Options]) -> Symmetry:
    """All rotations and reflections about a site: the signed permutations of axes that the shape allows.

    On a graph lattice that is the reflection of time; for maps of the nodes see :func:`Automorphisms`.
    """
    _dimension(lattice)
    axes = sorted(lattice.directions, key=lambda mu: lattice.shape[mu])
    maps = [reflection(lattice, mu) for mu in axes]
    maps += [
        axis_exchange(lattice, *two) for two in pairwise(axes) if len({lattice.shape[mu] for mu in two}) == 1
    ]
    moving = [g for g in maps if not g.is_identity]
    options.setdefault("order_bound", max(1152, 2**lattice.dimension * factorial(lattice.dimension)))
    return Symmetry(f"point group({lattice})", moving or [SiteMap.identity(lattice)], **options)


def Automorphisms(lattice: GraphLattice, **options: Unpack[Options]) -> Symmetry:
    """All maps of the nodes of a graph lattice that keep the weight of every edge."""
    if not isinstance(lattice, GraphLattice):
        raise LatticeError(
            "Automorphisms",
            expected="a GraphLattice",
            found=shown(lattice),
            remedy="use Translations and PointGroup on a hypercubic lattice",
        )
    from .automorphisms import automorphisms

    maps, order = automorphisms(lattice)
    if order > _ENUMERABLE and "order_bound" not in options:
        raise NotClosedError(
            f"automorphisms of {lattice}",
            expected=f"at most {_ENUMERABLE} of them, which are enumerated",
            found=f"{order}",
            remedy="declare a subgroup by a few maps node_permutation(lattice, …), or give order_bound",
        )
    options.setdefault("order_bound", max(1152, order))
    return Symmetry(f"automorphisms({lattice})", maps or [SiteMap.identity(lattice)], **options)


def together(*symmetries: Symmetry, name: str | None = None, **options: Unpack[Options]) -> Symmetry:
    """Several groups that act in step: generator k acts as the k-th generator of each group at once.

    ``together(Phases(6, a), Phases(6, b, 2))`` rotates a by multiples of an angle and b by twice the angle.

    Raises
    ------
    GroupError
        If the numbers of generators differ, or two of the groups change the same component.
    """
    _check_symmetries("together", symmetries)
    name = _named(name, " & ".join(s.name for s in symmetries))
    counts = {len(s.generators) for s in symmetries}
    if len(counts) > 1:
        raise GroupError(
            f"symmetry {name}",
            expected="groups with the same number of generators, to act in step",
            found=", ".join(f"{len(s.generators)} of {s.name}" for s in symmetries),
            remedy="declare the groups by corresponding generators, or use direct_product",
        )
    common_lattice(name, [s.lattice for s in symmetries])
    merged = []
    for parts in zip(*(s.generators for s in symmetries), strict=True):
        substitution: dict[FieldComponent, sp.Expr] = {}
        signs: dict[FieldComponent, Sequence[int]] = {}
        for part in parts:
            twice = [str(c) for c in dict.fromkeys((*part, *part.signs)) if c in (*substitution, *signs)]
            if twice:
                raise GroupError(
                    f"symmetry {name}",
                    expected="groups that act on different components",
                    found=f"{', '.join(twice)} in more than one of them",
                    remedy="compose the two substitutions into one generator",
                )
            substitution.update(part)
            signs.update(part.signs)
        maps = list(dict.fromkeys(part.sites for part in parts if part.sites is not None))
        if len(maps) > 1:
            raise GroupError(
                f"symmetry {name}",
                expected="one map of the sites for all fields",
                found=", ".join(map(str, maps)),
                remedy="compose the maps with @ into one generator",
            )
        merged.append(Generator(substitution, maps[0] if maps else None, signs))
    return Symmetry(name, merged, **_joint_options(symmetries, 1, options))


def direct_product(*symmetries: Symmetry, name: str | None = None, **options: Unpack[Options]) -> Symmetry:
    """G_1 × G_2 × …, for groups that commute and share only the identity; both are checked exactly.

    Raises
    ------
    GroupError
        If elements of two of the groups do not commute, or one lies in the product of the others.
    """
    _check_symmetries("direct_product", symmetries)
    name = _named(name, " × ".join(s.name for s in symmetries))
    groups, numbers = _enumerate(name, symmetries)
    for k, second in enumerate(groups):
        for first in groups[:k]:
            for a in first.generators:
                for b in second.generators:
                    if a.compose(b, numbers) != b.compose(a, numbers):
                        raise GroupError(
                            f"symmetry {name}",
                            expected="generators that commute, so that the product is direct",
                            found=f"{a} of {first.name} and {b} of {second.name}",
                            remedy="use semidirect_product, or declare one group by all generators",
                        )
    _check_disjoint(name, groups, numbers)
    generators = [g for s in symmetries for g in s.generators]
    return Symmetry(name, generators, **_joint_options(symmetries, prod(g.order for g in groups), options))


def semidirect_product(
    normal: Symmetry, acting: Symmetry, *, name: str | None = None, **options: Unpack[Options]
) -> Symmetry:
    """N ⋊ A: all products n∘a, for A that maps N to itself by conjugation and shares only the identity.

    Raises
    ------
    GroupError
        If A does not normalise N or the two intersect; both are decided exactly.
    """
    symmetries = (normal, acting)
    _check_symmetries("semidirect_product", symmetries)
    name = _named(name, f"{normal.name} ⋊ {acting.name}")
    groups, numbers = _enumerate(name, symmetries)
    inside = set(groups[0].elements)
    for a, k in zip(groups[1].generators, groups[1].generator_indices, strict=True):
        inverse = groups[1].elements[groups[1].inverses[k]]
        for n in groups[0].generators:
            conjugate = a.compose(n, numbers).compose(inverse, numbers)
            if conjugate not in inside:
                raise GroupError(
                    f"symmetry {name}",
                    expected=f"a∘n∘a⁻¹ in {normal.name} for n in {normal.name} and a in {acting.name}",
                    found=f"{conjugate} for n = {n} and a = {a}",
                    remedy="exchange the two groups, or declare one group by all generators",
                )
    _check_disjoint(name, groups, numbers)
    generators = [*normal.generators, *acting.generators]
    return Symmetry(name, generators, **_joint_options(symmetries, prod(g.order for g in groups), options))


def _components(subject: str, fields: Sequence[Field], at_least: int = 1) -> tuple[FieldComponent, ...]:
    components = field_components(subject, fields)
    if len(components) < at_least or len(set(components)) < len(components):
        raise GroupError(
            subject,
            expected=f"at least {at_least} component(s), each once",
            found=", ".join(map(str, components)) or "none",
            remedy="list the components that the group acts on",
        )
    common_lattice(subject, [c.lattice for c in components])
    return components


def _turn(subject: str, order: Any, plane: Sequence[Field], charge: Any) -> dict[FieldComponent, sp.Expr]:
    axes = _components(f"{subject}({order}, …)", plane, at_least=0)
    whole, turns = as_integer(order), as_integer(charge)
    if len(axes) != 2 or whole is None or whole < 2 or turns is None:
        raise GroupError(
            f"{subject}({order}, …)",
            expected="an order n ≥ 2, an integer charge and a plane: two components, a 2-component field "
            "or a complex field",
            found=f"order {order}, charge {charge} and {len(axes)} component(s)",
            remedy=f"write {subject}(8, x[0], x[1]) or {subject}(8, phi)",
        )
    a, b = axes
    angle = 2 * sp.pi * sp.Rational(turns, whole)
    c, s = sp.cos(angle), sp.sin(angle)
    return {a: c * a - s * b, b: s * a + c * b}


def _named(name: Any, default: str) -> str:
    """The given name, or the default if it is None; raises GroupError if it cannot be a name."""
    return default if name is None else label(name, "symmetry", error=GroupError)


def _names(fields: Sequence[Field]) -> str:
    if isinstance(fields, Field):
        fields = (fields,)
    return ", ".join(f.name if isinstance(f, VectorField) else str(f) for f in fields)


def _dimension(lattice: Lattice) -> int:
    return SiteMap.identity(lattice).lattice.dimension  # raises LatticeError for anything else


def _check_symmetries(what: str, symmetries: Sequence[Any]) -> None:
    other = next((s for s in symmetries if isinstance(s, LieSymmetry | Sitewise)), None)
    if isinstance(other, LieSymmetry):
        raise GroupError(
            what,
            expected="finite groups",
            found=f"the Lie group {other.name}",
            remedy="declare one LieSymmetry whose generators move all these fields at once"
            if what == "together"
            else "list it beside the finite groups, Theory(symmetries=[…]): all in the list are modulated "
            "with, as a product",
        )
    if isinstance(other, Sitewise):
        raise GroupError(
            what,
            expected="finite groups that act at all sites alike",
            found=other.name,
            remedy=f"make the product inside: Sitewise({what}(…))",
        )
    if len(symmetries) < 2 or not all(isinstance(s, Symmetry) for s in symmetries):
        raise GroupError(
            what,
            expected="at least two Symmetry objects",
            found=", ".join(map(shown, symmetries)) or "none",
            remedy=f"write {what}(Cyclic(3, a), Z2(b))",
        )


def _joint_options(symmetries: Sequence[Symmetry], order: int, options: Options) -> Options:
    """Options of a group made of several groups; options that the user gave take precedence."""
    collective: list[sp.Expr] | None = None
    if any(s.collective is not None for s in symmetries):
        moved = [
            tuple(c for c in s.components if any(g.get(c, c) != c for g in s.generators))
            if s.collective is None
            else s.collective
            for s in symmetries
        ]
        collective = list(dict.fromkeys(c for part in moved for c in part))
    derived: Options = {
        "exact": all(s.exact for s in symmetries),
        "collective": collective,
        "order_bound": max(order, *(s.order_bound for s in symmetries)),
    }
    return {**derived, **options}


def _enumerate(name: str, symmetries: Sequence[Symmetry]) -> tuple[list[FiniteGroup[Element]], NumberTable]:
    """The groups as they act on the union of their components."""
    lattice = common_lattice(name, [s.lattice for s in symmetries])
    union = tuple(dict.fromkeys(c for s in symmetries for c in s.components))
    numbers = NumberTable()
    # maps of sites need a field to act on; any one will do
    spectators = union or (ScalarField("spectator", lattice),)
    return [_as_declared(s).group(spectators, numbers) for s in symmetries], numbers


def _as_declared(symmetry: Symmetry) -> Symmetry:
    """The group as an equivariant one: the product has to be fit for modulation, its factors need not."""
    options: Options = {"order_bound": symmetry.order_bound, "use": "equivariant"}
    return Symmetry(symmetry.name, symmetry.generators, **options)


def _check_disjoint(name: str, groups: Sequence[FiniteGroup[Element]], numbers: NumberTable) -> None:
    """Raise GroupError if some g ≠ 1 of one group is a product of elements of the groups before it."""
    before = set(groups[0].elements)
    for group in groups[1:]:
        common = [g for g in group.elements[1:] if g in before]
        if common:
            raise GroupError(
                f"symmetry {name}",
                expected="groups that share only the identity",
                found=f"{len(common)} more common element(s), {common[0]} among them",
                remedy="remove the common part from one of the groups",
            )
        if group is not groups[-1]:
            before = {a.compose(b, numbers) for a in before for b in group.elements}
