"""Finite symmetries as users declare them: by the action of generators on field components and sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import numpy as np
import sympy as sp

from ..checks import flag, integer, label, listed, shown
from ..errors import FieldError, GroupError, LatticeError, NotClosedError, NotFaithfulError
from ..symbols.exact import NumberTable, floats, is_zero, rational, symbolic
from ..symbols.fields import FieldComponent
from ..symbols.lattice import Lattice
from ..symbols.site_constants import SiteConstant
from ..values.manifolds import TURN
from .angles import angle_numbers, check_map_of_angles
from .element import Element, within_turn
from .finite import FiniteGroup
from .site_map import SiteMap
from .staggering import checked_axes

Use = Literal["modulate", "equivariant"]


@dataclass(frozen=True)
class Generator(Mapping[FieldComponent, sp.Expr]):
    """A generator (T_g φ)(x) = χ(x) R φ(g⁻¹x) + s of a group. As a mapping it is its substitution.

    Parameters
    ----------
    substitution
        R and s: for each component that changes, the linear combination of components, plus a number if there
        is a shift, that replaces it.
    sites
        g: a map of the lattice sites; None if no site moves.
    signs
        χ: for each component whose sign alternates the axes along which it does so, (0, 2) for
        (−1)^(x_0 + x_2). On a graph lattice the graph axis stands for the two colours of the nodes.
    """

    substitution: Mapping[FieldComponent, sp.Expr] = field(default_factory=dict)
    sites: SiteMap | None = None
    signs: Mapping[FieldComponent, Sequence[int]] = field(default_factory=dict)

    def __getitem__(self, component: FieldComponent) -> sp.Expr:
        return self.substitution[component]

    def __iter__(self) -> Iterator[FieldComponent]:
        return iter(self.substitution)

    def __len__(self) -> int:
        return len(self.substitution)

    @property
    def changes_components(self) -> bool:
        """Whether R is more than the identity."""
        return any(sp.expand(image - c) != 0 for c, image in self.substitution.items())


@dataclass(frozen=True, eq=False)
class Symmetry:
    """A finite group declared by generators; everything else about it is derived.

    Parameters
    ----------
    name
        Name of the group in reports.
    generators
        Each generator maps components to the linear combinations of components that replace them, e.g.
        ``{x: -y, y: x}`` for a quarter turn or ``{x: 1 - x}`` with a shift; components that are not mentioned
        stay. Shifts of angles count modulo 2π. Or it is a map of the sites like ``translation(lattice, 0)``,
        or a :class:`Generator`.
    exact
        Claim that the action is invariant for every value of the parameters. A false claim raises
        ``NotInvariantError`` with a counterexample; without the claim a broken symmetry is allowed.
    collective
        Linear combinations of components whose spatial means tell the sectors apart. Default: every
        component that some generator changes.
    order_bound
        Largest group order to enumerate before giving up.
    use
        How the sampler uses the group. ``"modulate"``: the flow samples one fundamental domain, and a random
        group element takes the sample to one of all domains. ``"equivariant"``: the generators are verified,
        and the flow may be equivariant under the group, which may then be infinite, as for φ → φ + 2π.
        Default: ``"modulate"`` for groups that change components; ``"equivariant"`` for groups that only move
        sites, which does not change spatial means, and for groups with alternating signs.

    Raises
    ------
    GroupError
        If there is no generator, an option has no meaning, or signs cannot alternate on the lattice.
    """

    name: str
    generators: tuple[Generator, ...]
    exact: bool
    collective: tuple[sp.Expr, ...] | None
    order_bound: int
    use: Use

    def __init__(
        self,
        name: str,
        generators: Iterable[Mapping[FieldComponent, Any] | SiteMap],
        *,
        exact: bool = False,
        collective: Sequence[sp.Expr] | None = None,
        order_bound: int = 1152,
        use: Use | None = None,
    ) -> None:
        name = label(name, "symmetry", error=GroupError)
        exact = flag(exact, f"exact of symmetry {name}", error=GroupError)
        several = isinstance(generators, Iterable) and not isinstance(generators, Mapping | np.ndarray)
        listed = tuple(_generator(g) for g in generators) if several else ()
        if not listed or None in listed:
            raise GroupError(
                f"symmetry {name}",
                expected="a list of at least one generator, each a mapping like {phi: -phi} "
                "or a map of the sites",
                found=shown(generators),
                remedy="give the substitutions that generate the group",
            )
        order_bound = integer(
            order_bound,
            f"order_bound of symmetry {name}",
            error=GroupError,
            remedy="give the largest number of elements to enumerate",
        )
        checked = cast(tuple[Generator, ...], listed)
        moves_sites = any(generator.sites is not None for generator in checked)
        staggered = any(generator.signs for generator in checked)
        if use is None:
            changes = any(generator.changes_components for generator in checked)
            use = "modulate" if not staggered and (changes or not moves_sites) else "equivariant"
        if collective is not None:
            collective = _collective(name, collective)
        if not isinstance(use, str) or use not in get_args(Use):
            raise GroupError(
                f"symmetry {name}",
                expected=" or ".join(f"use={known!r}" for known in get_args(Use)),
                found=shown(use),
                remedy="choose one of them, or leave it out for the default; how samples stay in the domain "
                "is an option of the model: plan(strategy='canonicalize')",
            )
        if staggered and use != "equivariant":
            raise GroupError(
                f"symmetry {name}",
                expected="use='equivariant' for signs that alternate from site to site",
                found=f"use={use!r}",
                remedy="leave use out: staggered symmetries are verified and not modulated",
            )
        values = {
            "name": name,
            "generators": checked,
            "exact": exact,
            "collective": collective,
            "order_bound": order_bound,
            "use": use,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def components(self) -> tuple[FieldComponent, ...]:
        """The components that the generators mention, in the order of the fields."""
        mentioned = {c for g in self.generators for c in (*g, *g.signs)}
        for generator in self.generators:
            for image in generator.values():
                mentioned |= image.atoms(FieldComponent)
        here = {c.at((0,) * c.lattice.dimension) for c in mentioned}
        return tuple(sorted(here, key=lambda c: (c.field, c.component)))

    @property
    def lattice(self) -> Lattice:
        """The lattice of the fields and of the site maps; raises LatticeError if there are several."""
        lattices = [c.lattice for c in self.components]
        lattices += [g.sites.lattice for g in self.generators if g.sites is not None]
        return common_lattice(self.name, lattices)

    def elements(self, components: Sequence[FieldComponent], numbers: NumberTable) -> tuple[Element, ...]:
        """The generators as they act on the stacked ``components`` of a theory.

        Raises
        ------
        FieldError, LatticeError, GroupError
            If a generator is no invertible linear map of these components on their lattice.
        """
        return tuple(self._element(generator, components, numbers) for generator in self.generators)

    def group(self, components: Sequence[FieldComponent], numbers: NumberTable) -> FiniteGroup[Element]:
        """Enumerate the group as it acts on the stacked ``components`` of a theory.

        Raises
        ------
        FieldError, LatticeError, GroupError
            If a generator is no invertible linear map of these components on their lattice.
        NotClosedError
            If the generators generate more than ``order_bound`` elements.
        NotFaithfulError
            If the group is to modulate but does nothing except move sites.
        """
        generators = self.elements(components, numbers)
        for generator in generators:
            self._check_order(generator)
        identity = Element.identity(len(components), components[0].lattice, angle_numbers(components))
        group = FiniteGroup(
            identity,
            generators,
            lambda a, b: a.compose(b, numbers),
            bound=self.order_bound,
            name=self.name,
        )
        moves_sites = any(not g.sites.is_identity for g in generators)
        if self.use != "equivariant" and moves_sites and all(_moves_sites_only(g) for g in generators):
            raise NotFaithfulError(
                f"symmetry {self.name}",
                expected="an action on spatial means that tells all elements apart, to modulate with it",
                found=f"a kernel of order {group.order}: all elements only move sites",
                remedy='declare it with use="equivariant", the default for maps of the sites',
            )
        return group

    def verified_group(
        self, components: Sequence[FieldComponent], numbers: NumberTable
    ) -> FiniteGroup[Element] | None:
        """The enumerated group; None for an equivariant group of more than ``order_bound`` elements.

        Raises
        ------
        GroupError
            Also if a generator of an equivariant group changes volumes: the measure has to be invariant.
        """
        if self.use != "equivariant":
            return self.group(components, numbers)
        for generator in self.elements(components, numbers):
            determinant = generator.matrix.det()
            if is_zero(sp.expand(determinant**2 - 1)) is not True:
                raise GroupError(
                    f"symmetry {self.name}",
                    expected="a map of the components that keeps volumes, |det R| = 1",
                    found=f"the generator {generator} with determinant {determinant}",
                    remedy="check the generator: the measure has to be invariant, not the action alone",
                )
        try:
            return self.group(components, numbers)
        except NotClosedError:
            return None

    def _check_order(self, generator: Element) -> None:
        """Raise NotClosedError if no power up to ``order_bound`` is 1; floating point is accurate enough."""
        linear, shift = floats(generator.matrix), floats(generator.shift_vector)
        matrix = np.block([[linear, shift], [np.zeros((1, len(linear))), np.ones((1, 1))]])
        power = matrix.copy()
        for _ in range(self.order_bound):
            turns = power[list(generator.angles), -1] / TURN
            power[list(generator.angles), -1] -= TURN * np.round(turns)
            if np.allclose(power, np.eye(len(matrix)), atol=1e-8):
                return
            with np.errstate(all="ignore"):  # powers of a generator that stretches overflow
                power = power @ matrix
        raise NotClosedError(
            f"group {self.name}",
            expected=f"at most {self.order_bound} elements",
            found=f"more than {self.order_bound} powers of the generator {generator}",
            remedy="check the generator (a rotation by an angle that is no rational multiple of π never "
            "closes, nor does a translation φ → φ + a), raise order_bound, or declare it with "
            "use='equivariant': generators of an infinite group are verified and not modulated",
        )

    def _element(
        self, generator: Generator, components: Sequence[FieldComponent], numbers: NumberTable
    ) -> Element:
        lattice = components[0].lattice
        for component in (*generator, *generator.signs):
            if component not in components:
                raise FieldError(
                    f"symmetry {self.name}",
                    expected=f"components of the theory: {', '.join(map(str, components))}",
                    found=str(component),
                    remedy="list its field in Theory(fields=[…])",
                )
        if generator.sites is not None:
            common_lattice(self.name, [lattice, generator.sites.lattice])
        shift, rows = [], []
        for c in components:
            image = sp.expand(rational(generator.get(c, c)))
            constant = image.as_independent(*components, as_Add=True)[0]
            constant = constant if constant.is_number and constant.is_real else sp.S.Zero
            shift.append(constant)
            subject = f"symmetry {self.name}: image of {c}"
            rows.append(linear_row(image - constant, components, subject))
        matrix = numbers.matrix(sp.Matrix(rows))
        if is_zero(sp.expand(matrix.det())) is not False:
            raise GroupError(
                f"symmetry {self.name}",
                expected="an invertible map of the components",
                found=f"the matrix {matrix.tolist()}",
                remedy="check the generator",
            )
        angles = angle_numbers(components)
        check_map_of_angles(matrix, components, f"symmetry {self.name}")
        sites = generator.sites or SiteMap.identity(lattice)
        constants = tuple(numbers.matrix(sp.Matrix(within_turn(shift, angles))).flat())
        signs = tuple(tuple(generator.signs.get(c, ())) for c in components)
        return Element(
            matrix, sites, constants if any(constants) else (), signs if any(signs) else (), angles
        )


def _collective(name: str, collective: Any) -> tuple[sp.Expr, ...]:
    """The declared linear combinations as SymPy expressions; raises GroupError for anything else."""
    given = listed(collective)
    found = [None] if given is None else [symbolic(c) for c in given]
    if None in found:
        raise GroupError(
            f"collective of symmetry {name}",
            expected="a list of components, or of linear combinations of them",
            found=shown(collective),
            remedy="write e.g. collective=[x, y]",
        )
    return cast(tuple[sp.Expr, ...], tuple(found))


def _moves_sites_only(element: Element) -> bool:
    return not element.shift and not element.signs and element.matrix == sp.eye(element.matrix.rows)


def _generator(declared: Any) -> Generator | None:
    """The declaration as a Generator; None if it is neither a mapping of components nor a map of sites."""
    if isinstance(declared, SiteMap):
        return Generator(sites=declared)
    whole = declared if isinstance(declared, Generator) else Generator(declared)
    mappings = isinstance(whole.substitution, Mapping) and isinstance(whole.signs, Mapping)
    if not mappings or not isinstance(whole.sites, SiteMap | None):
        return None
    images = {c: symbolic(image) for c, image in whole.substitution.items()}
    if None in images.values() or not all(isinstance(c, FieldComponent) for c in (*images, *whole.signs)):
        return None
    signs = {c: checked_axes(c.lattice, axes) for c, axes in whole.signs.items()}
    return Generator(cast(dict[FieldComponent, sp.Expr], images), whole.sites, signs)


def common_lattice(name: str, lattices: Sequence[Lattice]) -> Lattice:
    """The common lattice of a symmetry; raises LatticeError if there are several."""
    for lattice in lattices:
        if lattice != lattices[0]:
            raise LatticeError(
                f"symmetry {name}",
                expected=f"fields and site maps on {lattices[0]}",
                found=f"one on {lattice}",
                remedy="use the lattice of the fields in every generator",
            )
    return lattices[0]


def linear_row(declared: Any, components: Sequence[sp.Expr], subject: str) -> list[sp.Expr]:
    """Coefficients of a linear combination of components, or features, with real algebraic coefficients."""
    found = symbolic(declared)
    expr = sp.nan if found is None else sp.expand(rational(found))
    row = [expr.coeff(component) for component in components]
    rest = sp.expand(expr - sp.Add(*(a * c for a, c in zip(row, components, strict=True))))
    if rest != 0 or any(not (entry.is_number and entry.is_real) for entry in row):
        raise GroupError(
            subject,
            expected="a linear combination of field components at the same site "
            "with real constant coefficients",
            found=str(declared),
            remedy="signs that alternate from site to site are declared as groups.Staggered(phi, axes=(0,))"
            if expr.has(SiteConstant)
            else "write e.g. {x: -y, y: x}; couplings cannot stand in a group element",
        )
    return row
