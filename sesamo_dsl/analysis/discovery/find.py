"""The whole search: continuous and discrete maps of the components, then maps of the lattice."""

from __future__ import annotations

from collections.abc import Mapping

from ...checks import real
from ...errors import LatticeError
from ...language.theory import Theory, check_theory
from ...symbols.fields import Parameter
from .angle_shifts import angle_shifts
from .internal_maps import internal_group
from .lattice_maps import lattice_group
from .lie_algebra import lie_algebra
from .names import whole_name
from .result import Discovery
from .search import Search


def find_symmetries(
    theory: Theory,
    *,
    at: Mapping[Parameter | str, float] | None = None,
    seconds: float | None = None,
) -> Discovery:
    """Find the symmetries of an action that hold, with the same matrices, for all values of its parameters.

    A map that depends on the couplings, such as the reflection that fixes the direction of a source (h₁, h₂),
    is a symmetry of one member of the family only; hold the couplings with ``at`` to find it.

    Parameters
    ----------
    theory
        The theory; the search does not use its declared symmetries.
    at
        Couplings to hold at a value, e.g. ``{h: 0}`` for the symmetries without a source.
    seconds
        Time after which no further search is begun; ``limits`` then names what was left out. Default: none.

    Returns
    -------
    Discovery
        Continuous and discrete symmetries on the components, shifts of angles, and symmetries of the lattice.
        Everything listed
        as exact is proved; candidates that resist proof and refutation are listed as undecided.

    Raises
    ------
    TheoryError, ParameterError, OptionError
        For arguments that are no theory, no couplings of it, or no time.
    LatticeError
        On graph lattices, whose symmetries are declared.
    """
    theory = check_theory(theory)
    if seconds is not None:
        seconds = real(seconds, "option seconds of find_symmetries", remedy="give a time in seconds, or none")
    if theory.lattice.graph_axis is not None or theory.has_determinants:
        raise LatticeError(
            f"find_symmetries of theory {theory.name}",
            expected="an action on a hypercubic lattice without determinants",
            found="determinants" if theory.lattice.graph_axis is None else f"one on {theory.lattice}",
            remedy="declare the groups to be verified: "
            + ("Z2(phi)" if theory.lattice.graph_axis is None else "groups.Automorphisms(lattice), Z2(phi)")
            + ", …; sesamo-dsl check judges them",
        )
    search = Search(theory if at is None else theory.held(at), seconds)
    algebra = lie_algebra(search)
    internal = internal_group(search, algebra)
    lattice = lattice_group(search)
    angles = angle_shifts(search)
    limits = tuple(search.limits)
    name = whole_name(algebra, internal)
    return Discovery(search.theory, algebra, internal, lattice, name, limits, angles)
