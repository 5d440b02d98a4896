"""Compact Lie groups, declared by their infinitesimal generators on the field components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import overload

import sympy as sp

from ..checks import as_integer, flag, label, listed, shown
from ..errors import FieldError, GroupError
from ..symbols.exact import NumberTable, is_zero
from ..symbols.fields import AngleField, Field, FieldComponent, field_components
from .rotations import AngleRotation, rotation_of
from .symmetry import linear_row


@dataclass(frozen=True, eq=False, init=False)
class LieSymmetry:
    """A compact connected Lie group acting linearly; orbits, section and Jacobian are derived.

    Parameters
    ----------
    name
        Name of the group in reports.
    generators
        Each generator T maps a component φ_a to (Tφ)_a, a linear combination of components; components that
        are not mentioned do not move. ``{re: -im, im: re}`` generates the phase rotations of a complex field.
    exact
        Claim that the action is invariant; a false claim raises ``NotInvariantError``.
    collective
        Components c_1 … c_N whose spatial means form the collective coordinate. The group has to rotate
        them transitively on spheres; c_1 is the direction of the slice. Default: every component that moves.
    """

    name: str
    generators: tuple[Mapping[FieldComponent, sp.Expr], ...]
    exact: bool
    collective: tuple[FieldComponent, ...]

    def __init__(
        self,
        name: str,
        generators: Sequence[Mapping[FieldComponent, sp.Expr]],
        *,
        exact: bool = False,
        collective: Sequence[FieldComponent] | None = None,
    ) -> None:
        name = label(name, "symmetry", error=GroupError)
        exact = flag(exact, f"exact of symmetry {name}", error=GroupError)
        listed = isinstance(generators, Sequence) and len(generators) > 0
        if not listed or not all(_moves_something(generator) for generator in generators):
            raise GroupError(
                f"symmetry {name}",
                expected="at least one generator that moves something",
                found=shown(generators),
                remedy="give the substitutions δφ = Tφ",
            )
        moved = dict.fromkeys(c for generator in generators for c in sorted(generator, key=str))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "generators", tuple(dict(g) for g in generators))
        object.__setattr__(self, "exact", exact)
        chosen = tuple(moved) if collective is None else field_components(f"collective of {name}", collective)
        object.__setattr__(self, "collective", chosen)

    def matrices(
        self, components: Sequence[FieldComponent], numbers: NumberTable
    ) -> tuple[sp.ImmutableMatrix, ...]:
        """The generators as exact antisymmetric matrices on the stacked components of a theory.

        Raises GroupError if a generator is not antisymmetric: only orthogonal actions preserve the measure.
        """
        found = []
        for component in (*self.collective, *(c for g in self.generators for c in g)):
            if component not in components:
                raise FieldError(
                    f"symmetry {self.name}",
                    expected=f"components of the theory: {', '.join(map(str, components))}",
                    found=str(component),
                    remedy="list its field in Theory(fields=[…])",
                )
        for generator in self.generators:
            angle = next((c for c in generator if c.manifold == "circle"), None)
            if angle is not None:
                raise GroupError(
                    f"symmetry {self.name}",
                    expected="generators that turn real components",
                    found=f"the angle {angle}, which is shifted and not turned",
                    remedy="declare rotations of angles by U1(theta), those of other fields by themselves",
                )
            rows = [
                linear_row(generator.get(c, sp.S.Zero), components, f"symmetry {self.name}: image of {c}")
                for c in components
            ]
            matrix = numbers.matrix(sp.Matrix(rows))
            if any(is_zero(entry) is not True for entry in matrix + matrix.T):
                raise GroupError(
                    f"symmetry {self.name}",
                    expected="an antisymmetric generator (an infinitesimal rotation of the components)",
                    found=str(matrix.tolist()),
                    remedy="write δφ = Tφ, e.g. {re: -im, im: re}, not the finite transformation",
                )
            found.append(matrix)
        return tuple(found)


def _moves_something(generator: object) -> bool:
    return (
        isinstance(generator, Mapping)
        and len(generator) > 0
        and all(isinstance(component, FieldComponent) for component in generator)
    )


@overload
def U1(*fields: AngleField, charges: Sequence[int] | None = None, exact: bool = False) -> AngleRotation: ...
@overload
def U1(*fields: Field, charges: Sequence[int] | None = None, exact: bool = False) -> LieSymmetry: ...
def U1(
    *fields: Field, charges: Sequence[int] | None = None, exact: bool = False
) -> LieSymmetry | AngleRotation:
    """U(1): φ → e^{iqα}φ on complex fields (or 2-component fields) with integer charges, default all 1.

    The first field's zero mode is the collective coordinate; its charge must not vanish. On angles it is
    θ → θ + qα, which is verified and not modulated.
    """
    angles = [c for c in field_components("U1", fields) if c.manifold == "circle"]
    names = ", ".join(getattr(field, "name", str(field)) for field in fields)
    if angles and len(angles) == len(fields):
        return rotation_of(names, angles, charges, exact)
    given = [1] * len(fields) if charges is None else charges
    numbers = [as_integer(charge) for charge in listed(given) or []]
    whole = [number for number in numbers if number is not None]
    pairs = bool(fields) and all(len(f.components) == 2 for f in fields)
    if not pairs or not len(fields) == len(numbers) == len(whole) or not whole[0]:
        raise GroupError(
            f"U1({names})",
            expected="complex or 2-component fields, one integer charge each, the first one not zero",
            found=f"{[len(f.components) for f in fields]} components and charges {shown(given)}",
            remedy="write U1(phi) or U1(phi, chi, charges=[1, 2])",
        )
    generator: dict[FieldComponent, sp.Expr] = {}
    for field, charge in zip(fields, whole, strict=True):
        re, im = field.components
        if charge:
            generator |= {re: -charge * im, im: charge * re}
    return LieSymmetry(f"U1({names})", [generator], exact=exact, collective=fields[0].components)


def SO(field: Field, *, exact: bool = False) -> LieSymmetry:
    """SO(N): rotations of an N-component field, N ≥ 2 (the orbits are those of O(N))."""
    components = field_components("SO", field)
    if len(components) < 2:
        raise GroupError(
            f"SO({field})",
            expected="a field with at least two components",
            found=f"{len(components)}",
            remedy="use Z2 for a single component",
        )
    generators = [{b: a, a: -b} for a, b in combinations(components, 2)]
    name = getattr(field, "name", str(field))
    return LieSymmetry(f"SO{len(components)}({name})", generators, exact=exact, collective=components)


def SU2(doublet: Field, *, exact: bool = False) -> LieSymmetry:
    """SU(2) on a complex doublet (φ₁, φ₂), given as a 4-component field (Re φ₁, Im φ₁, Re φ₂, Im φ₂)."""
    components = field_components("SU2", doublet)
    if len(components) != 4:
        raise GroupError(
            f"SU2({doublet})",
            expected="a field with four real components",
            found=f"{len(components)}",
            remedy="declare VectorField(name, lattice, 4)",
        )
    return SU(2, doublet, exact=exact)


def SU(n: int, multiplet: Field, *, exact: bool = False) -> LieSymmetry:
    """SU(N) on a complex N-plet, given as a 2N-component field (Re φ₁, Im φ₁, …, Re φ_N, Im φ_N).

    It is transitive on spheres, so that the orbits are those of SO(2N), S^(2N−1).

    Raises
    ------
    GroupError
        If N is no integer ≥ 2, or the field does not have 2N components.
    """
    components = multiplet.components if isinstance(multiplet, Field) else ()
    whole = as_integer(n)
    if whole is None or whole < 2 or len(components) != 2 * whole:
        raise GroupError(
            f"SU({n}, {multiplet})",
            expected="an integer N ≥ 2 and a field with 2N real components",
            found=f"N = {n!r} and {len(components)} component(s)",
            remedy="declare VectorField(name, lattice, 2*N) for (Re φ_1, Im φ_1, Re φ_2, …)",
        )
    generators = []
    entries = list(zip(components[::2], components[1::2], strict=True))
    for (a, b), (c, d) in combinations(entries, 2):
        # i·σ_1 and i·σ_2 on (a + ib, c + id)
        generators += [{a: -d, b: c, c: -b, d: a}, {a: c, b: d, c: -a, d: -b}]
    for (a, b), (c, d) in pairwise(entries):
        generators.append({a: -b, b: a, c: d, d: -c})  # i·σ_3
    name = f"SU{n}({getattr(multiplet, 'name', str(multiplet))})"
    return LieSymmetry(name, generators, exact=exact, collective=components)
