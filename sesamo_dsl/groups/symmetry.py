"""Symmetries as users declare them: by what the generators do to the field components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import sympy as sp

from ..errors import FieldError, GroupError
from ..exact import NumberTable, is_zero, rational
from ..fields import ComplexField, Field, FieldComponent, VectorField
from .element import Element, SiteMap
from .finite import FiniteGroup

Substitution = Mapping[FieldComponent, sp.Expr]


@dataclass(frozen=True, eq=False)
class Symmetry:
    """A finite group declared by generators; everything else about it is derived.

    Parameters
    ----------
    name
        What to call it in reports.
    generators
        Each generator maps a component to the linear combination of components that replaces it, e.g.
        ``{x: -y, y: x}`` for a quarter turn. Components that are not mentioned stay.
    exact
        Claim that the action is invariant for every value of the parameters. A false claim raises
        ``NotInvariantError`` with a counterexample; without a claim the compiler finds out.
    collective
        Linear combinations of components whose spatial means tell the sectors apart. Default: every
        component that some generator changes.
    order_bound
        Largest group order to enumerate before giving up.
    """

    name: str
    generators: tuple[Substitution, ...]
    exact: bool = False
    collective: tuple[sp.Expr, ...] | None = None
    order_bound: int = 1152

    def __init__(
        self,
        name: str,
        generators: Sequence[Substitution],
        *,
        exact: bool = False,
        collective: Sequence[sp.Expr] | None = None,
        order_bound: int = 1152,
    ) -> None:
        if not generators:
            raise GroupError(
                f"symmetry {name}",
                expected="at least one generator",
                found="none",
                remedy="give the substitutions that generate the group",
            )
        for key, value in vars().copy().items():
            if key != "self":
                value = tuple(value) if key in ("generators", "collective") and value is not None else value
                object.__setattr__(self, key, value)

    def group(self, components: Sequence[FieldComponent], numbers: NumberTable) -> FiniteGroup[Element]:
        """Enumerate the group as it acts on the stacked ``components`` of a theory."""
        generators = [self._element(generator, components, numbers) for generator in self.generators]
        identity = Element.identity(len(components), components[0].lattice)
        return FiniteGroup(
            identity,
            generators,
            lambda a, b: a.compose(b, numbers),
            bound=self.order_bound,
            name=self.name,
        )

    def _element(
        self, generator: Substitution, components: Sequence[FieldComponent], numbers: NumberTable
    ) -> Element:
        for component in generator:
            if component not in components:
                raise FieldError(
                    f"symmetry {self.name}",
                    expected=f"components of the theory: {', '.join(map(str, components))}",
                    found=str(component),
                    remedy="list its field in Theory(fields=[…])",
                )
        rows = [linear_row(generator.get(c, c), components, f"symmetry {self.name}: image of {c}") for c in components]
        matrix = numbers.matrix(sp.Matrix(rows))
        if is_zero(cast(sp.Expr, sp.expand(matrix.det()))) is not False:
            raise GroupError(
                f"symmetry {self.name}",
                expected="an invertible map of the components",
                found=f"the matrix {matrix.tolist()}",
                remedy="check the generator",
            )
        return Element(matrix, SiteMap.identity(components[0].lattice))


def linear_row(expr: sp.Expr, components: Sequence[FieldComponent], subject: str) -> list[sp.Expr]:
    """Coefficients of a linear combination of components with real algebraic coefficients."""
    expr = cast(sp.Expr, sp.expand(rational(sp.sympify(expr))))
    row = [cast(sp.Expr, expr.coeff(component)) for component in components]
    rest = sp.expand(expr - sp.Add(*(a * c for a, c in zip(row, components, strict=True))))
    if rest != 0 or any(not (entry.is_number and entry.is_real) for entry in row):
        raise GroupError(
            subject,
            expected="a linear combination of field components at the same site with real constant coefficients",
            found=str(expr),
            remedy="write e.g. {x: -y, y: x}; couplings and constants cannot stand in a group element",
        )
    return row


def _components(fields: Sequence[Field | FieldComponent]) -> tuple[FieldComponent, ...]:
    return tuple(component for field in fields for component in field.components)


def Z2(*fields: Field, exact: bool = False, collective: Sequence[sp.Expr] | None = None) -> Symmetry:  # noqa: N802
    """The sign flip φ → −φ of all components of the given fields, together."""
    names = ", ".join(getattr(field, "name", "?") for field in fields)
    generator = {component: -component for component in _components(fields)}
    return Symmetry(f"Z2({names})", [generator], exact=exact, collective=collective)


def Cyclic(  # noqa: N802
    order: int,
    *plane: Field,
    charge: int = 1,
    exact: bool = False,
    collective: Sequence[sp.Expr] | None = None,
) -> Symmetry:
    """Z_n: rotations by multiples of 2π·charge/n in the plane of two components or of a complex field."""
    axes = _components(plane)
    if len(axes) != 2 or not isinstance(order, int) or order < 2:
        raise GroupError(
            f"Cyclic({order}, …)",
            expected="an order n ≥ 2 and a plane: two components, a 2-component field or a complex field",
            found=f"order {order} and {len(axes)} component(s)",
            remedy="write Cyclic(8, x[0], x[1]) or Cyclic(8, phi)",
        )
    a, b = axes
    angle = 2 * sp.pi * charge / order
    c, s = sp.cos(angle), sp.sin(angle)
    name = plane[0].name if len(plane) == 1 and isinstance(plane[0], VectorField | ComplexField) else f"{a}, {b}"
    return Symmetry(f"Z{order}({name})", [{a: c * a - s * b, b: s * a + c * b}], exact=exact, collective=collective)
