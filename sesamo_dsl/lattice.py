"""Periodic hypercubic lattices and the sum over their sites."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import sympy as sp

from .errors import LatticeError


@dataclass(frozen=True, init=False)
class Lattice:
    """Periodic hypercubic lattice; ``Lattice(8, 8)`` is the 8×8 torus and ``Lattice(1)`` a single site.

    Two lattices of the same shape are the same lattice.

    Parameters
    ----------
    *shape
        Extent of each axis, at least one axis, each extent ≥ 1.
    """

    shape: tuple[int, ...]

    def __init__(self, *shape: int) -> None:
        try:
            extents = tuple(operator.index(extent) for extent in shape)
        except TypeError:
            extents = ()
        if not extents or min(extents) < 1:
            raise LatticeError(
                f"Lattice({', '.join(map(str, shape))})",
                expected="one integer extent ≥ 1 per axis",
                found=f"{shape}",
                remedy="write Lattice(8, 8) for an 8×8 torus or Lattice(1) for a single site",
            )
        object.__setattr__(self, "shape", extents)

    @property
    def dimension(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def volume(self) -> int:
        """Number of sites."""
        return prod(self.shape)

    @property
    def directions(self) -> tuple[int, ...]:
        """The axes, for sums over nearest neighbours."""
        return tuple(range(self.dimension))

    def axis(self, mu: int) -> int:
        """Check that axis ``mu`` exists and return it."""
        if mu not in self.directions:
            raise LatticeError(
                f"axis {mu} of {self}",
                expected=f"one of {self.directions}",
                found=str(mu),
                remedy="iterate over lattice.directions",
            )
        return int(mu)

    def wrap(self, offset: Iterable[int]) -> tuple[int, ...]:
        """Reduce an offset to its representative with 0 ≤ offset[mu] < shape[mu]."""
        return tuple(o % extent for o, extent in zip(offset, self.shape, strict=True))

    def sum(self, density: sp.Expr) -> sp.Expr:
        """Σ_x of an expression in field components at x and at shifted sites."""
        return cast(sp.Expr, SiteSum(self.symbol, sp.sympify(density)))

    @property
    def symbol(self) -> sp.Tuple:
        """The shape as a SymPy object."""
        return sp.Tuple(*self.shape)

    def __str__(self) -> str:
        return f"Lattice({', '.join(map(str, self.shape))})"


class SiteSum(sp.Expr):
    """Σ_x density(x) over the sites of a lattice: an unevaluated SymPy node ``SiteSum(shape, density)``."""

    is_commutative = True

    def __new__(cls, shape: sp.Tuple, density: sp.Expr) -> SiteSum:
        lattice = Lattice(*(int(extent) for extent in cast(Any, shape.args)))
        for atom in density.atoms(sp.Symbol):
            other = getattr(atom, "lattice", lattice)
            if other != lattice:
                raise LatticeError(
                    f"sum over {lattice} of {density}",
                    expected=f"fields on {lattice}",
                    found=f"{atom} on {other}",
                    remedy="declare all fields of an action on the same lattice",
                )
        return cast(SiteSum, super().__new__(cls, shape, density))

    @property
    def lattice(self) -> Lattice:
        """The lattice that is summed over."""
        return Lattice(*(int(extent) for extent in cast(Any, self.args[0].args)))

    @property
    def density(self) -> sp.Expr:
        """The summand."""
        return cast(sp.Expr, self.args[1])

    def _eval_is_real(self) -> bool | None:
        return self.density.is_real

    def _sympystr(self, printer) -> str:
        return f"Σ_x[{printer.doprint(self.density)}]"

    def _latex(self, printer) -> str:
        return rf"\sum_x \left[{printer.doprint(self.density)}\right]"
