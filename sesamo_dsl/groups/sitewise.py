"""A finite group that acts at every point of some lattice axes independently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ..checks import as_integer, label, listed, shown
from ..errors import GroupError
from ..symbols.fields import FieldComponent
from ..symbols.lattice import Lattice
from .lie import LieSymmetry
from .symmetry import Symmetry, Use


@dataclass(frozen=True, eq=False)
class Sitewise:
    """The direct product of copies of a finite group, one for each point of the block axes.

    A block is the set of sites with the same coordinates on the block axes; the copy of the group that
    belongs to it acts on all its sites alike and leaves all others as they are. The product G₀^B is never
    enumerated. Each block has a collective coordinate of its own, the mean over the other axes.

    Parameters
    ----------
    symmetry
        G₀, a finite group that acts on components. Its options ``exact`` and ``collective`` apply to the
        product.
    axes
        The block axes. Default: the graph axis of a graph lattice, all axes of any other.

    Raises
    ------
    GroupError
        If the symmetry moves sites or is not a finite group, or an axis does not exist.
    """

    symmetry: Symmetry
    axes: tuple[int, ...]
    name: str

    def __init__(
        self, symmetry: Symmetry, axes: Sequence[int] | None = None, *, name: str | None = None
    ) -> None:
        if not isinstance(symmetry, Symmetry):
            raise _not_finite(symmetry)
        moves = any(g.sites is not None or g.signs for g in symmetry.generators)
        if moves or symmetry.use != "modulate":
            reason = "moves sites or has signs that depend on them" if moves else f"has use={symmetry.use!r}"
            raise GroupError(
                f"Sitewise({symmetry.name})",
                expected="a finite Symmetry that acts on components and is modulated with",
                found=f"one that {reason}",
                remedy=f"declare {symmetry.name} itself: it acts on the whole lattice"
                if moves
                else "leave use out",
            )
        lattice = symmetry.lattice
        if axes is None:
            axis = lattice.graph_axis
            chosen = tuple(range(lattice.dimension)) if axis is None else (axis,)
        else:
            given = listed(axes)
            numbers = [None] if given is None else [as_integer(mu) for mu in given]
            chosen = tuple(sorted(-1 if axis is None else axis for axis in numbers))
        if not set(chosen) <= set(range(lattice.dimension)) or len(set(chosen)) < len(chosen):
            raise GroupError(
                f"Sitewise({symmetry.name})",
                expected=f"axes among {tuple(range(lattice.dimension))} of {lattice}, each once",
                found=shown(axes),
                remedy="leave axes out for one copy per site, or per node of a graph lattice",
            )
        object.__setattr__(self, "symmetry", symmetry)
        object.__setattr__(self, "axes", chosen)
        default = f"{symmetry.name} at every block of axes {chosen}"
        object.__setattr__(
            self, "name", default if name is None else label(name, "symmetry", error=GroupError)
        )

    @property
    def use(self) -> Use:
        """How the sampler uses the group: always ``"modulate"``."""
        return self.symmetry.use

    @property
    def exact(self) -> bool:
        """Whether invariance under every copy is claimed."""
        return self.symmetry.exact

    @property
    def lattice(self) -> Lattice:
        """The lattice of the fields."""
        return self.symmetry.lattice

    @property
    def components(self) -> tuple[FieldComponent, ...]:
        """The components that the group mentions."""
        return self.symmetry.components

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the block axes."""
        return tuple(self.lattice.shape[mu] for mu in self.axes)

    @property
    def n_blocks(self) -> int:
        """B, the number of copies."""
        return prod(self.shape)


def _not_finite(declared: Any) -> GroupError:
    """The error for a declaration that is no finite group; it says what to declare instead."""
    if isinstance(declared, LieSymmetry):
        planes = len(declared.generators) == 1
        finite = "Cyclic(8, phi)" if planes else "Z2(phi) or groups.Hyperoctahedral(phi)"
        return GroupError(
            f"Sitewise({declared.name})",
            expected="a finite group; local Lie groups are not modulated with",
            found=f"the Lie group {declared.name}",
            remedy=f"declare {declared.name} itself, which turns all sites together, or a finite subgroup at "
            f"every site, Sitewise({finite})",
        )
    return GroupError(
        "Sitewise",
        expected="a finite Symmetry that acts on components and is modulated with",
        found=shown(declared),
        remedy="write Sitewise(Z2(phi))",
    )
