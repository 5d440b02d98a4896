"""One group element acting on fields: a matrix on components and a map of lattice sites.

(T_g φ)(x) = χ(x) R φ(g⁻¹x) + s, with R an exact matrix over all components of the theory stacked, s a
constant vector, mostly zero, and g: x ↦ P x + t a signed permutation P of the axes and a translation t. On a
graph lattice g permutes the nodes instead, and P and t act on the time axis. χ, mostly 1, is a diagonal
matrix of signs that alternate from site to site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from ..errors import GroupError
from ..symbols.exact import NumberTable
from ..symbols.lattice import Lattice
from .site_map import SiteMap
from .staggering import Axes, carried, product, sign_name


def within_turn(shift: Sequence[sp.Expr], angles: Sequence[int]) -> list[sp.Expr]:
    """A shift of components, with whole turns taken off angles so that they are in (−π, π]."""
    return [
        sp.expand(s - 2 * sp.pi * sp.ceiling(s / (2 * sp.pi) - sp.S.Half)) if a in angles else s
        for a, s in enumerate(shift)
    ]


@dataclass(frozen=True)
class Element:
    """A group element: exact component matrix R, site map g, shift s, signs χ; equal elements compare equal.

    Elements are equal if they are spelled alike, so numbers have to come from one ``NumberTable``. A zero
    shift is written (), and so are signs if none of them alternates.

    Attributes
    ----------
    signs
        For every component the axes along which its sign alternates.
    angles
        Numbers of the components that are angles: their shifts count modulo 2π and lie in (−π, π].
    """

    matrix: sp.ImmutableMatrix
    sites: SiteMap
    shift: tuple[sp.Expr, ...] = ()
    signs: tuple[Axes, ...] = ()
    angles: tuple[int, ...] = ()

    @classmethod
    def identity(cls, components: int, lattice: Lattice, angles: tuple[int, ...] = ()) -> Element:
        """The unit element."""
        return cls(sp.ImmutableMatrix(sp.eye(components)), SiteMap.identity(lattice), angles=angles)

    def compose(self, other: Element, numbers: NumberTable) -> Element:
        """The product: first ``other``, then ``self``.

        Raises GroupError if the product is no Element: if a component becomes a sum of components whose signs
        alternate differently, or if a shift would alternate.
        """
        first, signs = self.matrix, ()
        if self.signs or other.signs:
            first, signs = self._signs_of_product(other)
        matrix, sites = numbers.matrix(first * other.matrix), self.sites @ other.sites
        if not (self.shift or other.shift):
            return Element(matrix, sites, (), signs, self.angles)
        moved = self.matrix * other.shift_vector
        if any(axes and moved[a] != 0 for a, axes in enumerate(self.signs)):
            raise self._no_product(other, "shifts by one constant for all sites")
        shift = numbers.matrix(sp.Matrix(within_turn((moved + self.shift_vector).flat(), self.angles)))
        return Element(matrix, sites, tuple(shift.flat()) if any(shift.flat()) else (), signs, self.angles)

    def _signs_of_product(self, other: Element) -> tuple[sp.ImmutableMatrix, tuple[Axes, ...]]:
        """(R times the constant signs from χ of ``other`` carried along by g, χ of the product)."""
        size = self.matrix.rows
        behind = [carried(axes, self.sites) for axes in other.signs or ((),) * size]
        columns = sp.diag(*(sign for _, sign in behind))
        signs = []
        for a, axes in enumerate(self.signs or ((),) * size):
            found = {product(axes, behind[b][0]) for b in range(size) if self.matrix[a, b] != 0}
            if len(found) > 1:
                raise self._no_product(other, "mixed components whose signs alternate alike")
            signs.append(found.pop())
        return sp.ImmutableMatrix(self.matrix * columns), tuple(signs) if any(signs) else ()

    def _no_product(self, other: Element, expected: str) -> GroupError:
        return GroupError(
            "group with staggered signs",
            expected=expected,
            found=f"the product of {self} and {other}",
            remedy="declare them as separate symmetries, each of which is verified by itself",
        )

    @property
    def shift_vector(self) -> sp.ImmutableMatrix:
        """s as a column."""
        return sp.ImmutableMatrix(self.shift or [0] * self.matrix.rows)

    def __str__(self) -> str:
        rows = "; ".join(
            ", ".join(sp.sstr(entry) for entry in self.matrix.row(i)) for i in range(self.matrix.rows)
        )
        shift = f" + ({', '.join(map(sp.sstr, self.shift))})" if self.shift else ""
        names = ", ".join(sign_name(self.sites.lattice, axes) if axes else "1" for axes in self.signs)
        signs = f"({names}) " if names else ""
        return f"{signs}[{rows}]{shift}" + ("" if self.sites.is_identity else f" with {self.sites}")
