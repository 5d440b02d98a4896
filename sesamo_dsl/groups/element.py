"""One group element acting on fields: a matrix on components and a map of lattice sites.

(T_g φ)(x) = R φ(g⁻¹x), with R an exact matrix over all components of the theory stacked, and g: x ↦ P x + t
a signed permutation P of the axes and a translation t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from ..exact import NumberTable
from ..lattice import Lattice


@dataclass(frozen=True)
class SiteMap:
    """x ↦ P x + t on a periodic lattice, with P e_mu = signs[mu] e_axes[mu]."""

    lattice: Lattice
    axes: tuple[int, ...]
    signs: tuple[int, ...]
    translation: tuple[int, ...]

    @classmethod
    def identity(cls, lattice: Lattice) -> SiteMap:
        """The map that leaves every site where it is."""
        d = lattice.dimension
        return cls(lattice, tuple(range(d)), (1,) * d, (0,) * d)

    def linear_image(self, offset: Sequence[int]) -> tuple[int, ...]:
        """P·offset, wrapped into the lattice."""
        image = [0] * len(offset)
        for mu, step in enumerate(offset):
            image[self.axes[mu]] += self.signs[mu] * step
        return self.lattice.wrap(image)

    def __matmul__(self, other: SiteMap) -> SiteMap:
        """Composition: first ``other``, then ``self``."""
        axes = tuple(self.axes[other.axes[mu]] for mu in range(len(self.axes)))
        signs = tuple(self.signs[other.axes[mu]] * other.signs[mu] for mu in range(len(self.axes)))
        moved = self.linear_image(other.translation)
        translation = self.lattice.wrap(a + b for a, b in zip(moved, self.translation, strict=True))
        return SiteMap(self.lattice, axes, signs, translation)

    @property
    def inverse(self) -> SiteMap:
        """The inverse map."""
        axes, signs = [0] * len(self.axes), [0] * len(self.axes)
        for mu, (axis, sign) in enumerate(zip(self.axes, self.signs, strict=True)):
            axes[axis], signs[axis] = mu, sign
        linear = SiteMap(self.lattice, tuple(axes), tuple(signs), (0,) * len(axes))
        moved = linear.linear_image(self.translation)
        return SiteMap(self.lattice, linear.axes, linear.signs, self.lattice.wrap(-m for m in moved))

    @property
    def is_identity(self) -> bool:
        """Whether every site stays where it is."""
        return self == SiteMap.identity(self.lattice)


@dataclass(frozen=True)
class Element:
    """A group element: exact component matrix R and site map g; equal elements compare equal.

    Equality is equality of spelling, so matrices have to come from one ``NumberTable``.
    """

    matrix: sp.ImmutableMatrix
    sites: SiteMap

    @classmethod
    def identity(cls, components: int, lattice: Lattice) -> Element:
        """The unit element."""
        return cls(sp.ImmutableMatrix(sp.eye(components)), SiteMap.identity(lattice))

    def compose(self, other: Element, numbers: NumberTable) -> Element:
        """First ``other``, then ``self``."""
        return Element(numbers.matrix(self.matrix * other.matrix), self.sites @ other.sites)

    def __str__(self) -> str:
        rows = "; ".join(", ".join(sp.sstr(entry) for entry in self.matrix.row(i)) for i in range(self.matrix.rows))
        return f"[{rows}]" if self.sites.is_identity else f"[{rows}] with sites {self.sites}"
