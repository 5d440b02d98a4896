"""Continuous global rotations of angles, θ_a(x) → θ_a(x) + q_a α with one α for all sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import sympy as sp

from ..checks import as_integer, flag, label, listed, shown
from ..errors import FieldError, GroupError
from ..symbols.fields import FieldComponent
from ..symbols.lattice import Lattice
from .element import Element
from .site_map import SiteMap
from .symmetry import Use, common_lattice


@dataclass(frozen=True, eq=False, init=False)
class AngleRotation:
    """The U(1) group of global rotations of angles with whole charges.

    It is verified for all α at once, and not modulated: an angle may have any value in a flow anyway, and a
    flow of angles that rotate together is equivariant.

    Parameters
    ----------
    name
        Name of the group in reports.
    charges
        The charge q_a of each angle that turns, an integer other than zero.
    exact
        Claim that the action is invariant; a false claim raises ``NotInvariantError``.
    """

    name: str
    charges: Mapping[FieldComponent, int]
    exact: bool
    use: ClassVar[Use] = "equivariant"

    def __init__(self, name: str, charges: Mapping[FieldComponent, int], *, exact: bool = False) -> None:
        name = label(name, "symmetry", error=GroupError)
        given: Any = charges
        pairs = dict(given) if isinstance(given, Mapping) else {}
        whole = {c: as_integer(q) for c, q in pairs.items()}
        angles = all(isinstance(c, FieldComponent) and c.manifold == "circle" for c in whole)
        if not whole or not angles or not all(whole.values()):
            raise GroupError(
                f"symmetry {name}",
                expected="angles, each with a charge that is an integer other than zero",
                found=shown(charges),
                remedy="write U1(theta) or U1(theta, eta, charges=[1, 2])",
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "charges", {c: q for c, q in whole.items() if q is not None})
        object.__setattr__(self, "exact", flag(exact, f"exact of symmetry {name}", error=GroupError))

    @property
    def components(self) -> tuple[FieldComponent, ...]:
        """The angles that turn."""
        return tuple(self.charges)

    @property
    def lattice(self) -> Lattice:
        """The lattice of the angles; raises LatticeError if there are several."""
        return common_lattice(self.name, [c.lattice for c in self.charges])

    def element(self, components: Sequence[FieldComponent], alpha: sp.Expr) -> Element:
        """The rotation by α on the stacked components of a theory; FieldError for angles of no theory."""
        for component in self.charges:
            if component not in components:
                raise FieldError(
                    f"symmetry {self.name}",
                    expected=f"components of the theory: {', '.join(map(str, components))}",
                    found=str(component),
                    remedy="list its field in Theory(fields=[…])",
                )
        shift = tuple(self.charges.get(c, 0) * alpha for c in components)
        size = len(components)
        return Element(sp.ImmutableMatrix(sp.eye(size)), SiteMap.identity(components[0].lattice), shift)


def rotation_of(
    names: str, angles: Sequence[FieldComponent], charges: Sequence[int] | None, exact: bool
) -> AngleRotation:
    """The rotation that U1 of angles is: one charge for each angle, 1 where none is given."""
    given = [1] * len(angles) if charges is None else listed(charges)
    if given is None or len(given) != len(angles):
        raise GroupError(
            f"U1({names})",
            expected="one integer charge for each angle",
            found=f"{len(angles)} angles and charges {shown(charges)}",
            remedy="write U1(theta) or U1(theta, eta, charges=[1, 2])",
        )
    return AngleRotation(f"U1({names})", dict(zip(angles, given, strict=True)), exact=exact)
