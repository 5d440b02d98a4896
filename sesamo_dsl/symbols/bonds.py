"""Sums over bonds: the edges of a graph, or nearest neighbours on a hypercubic lattice.

On a graph the sum is a ``SiteSum`` whose symbol holds the bonds, with a factor and a weight each. Its density
is an expression in fields at the ends x (1) and y (2) of the running bond, so that an identity proved for the
density holds for all bonds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from ..checks import mismatch, shown
from ..errors import LatticeError
from .exact import rational, symbolic
from .fields import FieldComponent, Parameter, VectorField
from .lattice import Bonds, GraphLattice, Lattice, SiteSum
from .site_constants import SiteConstant

_TRIALS = 5
_DIGITS = 30


class BondWeight(sp.Symbol):
    """w: the weight of the running bond, a number for every bond, as a symbol in densities."""

    on_bonds = True

    def __new__(cls) -> BondWeight:
        """The symbol w."""
        return sp.Symbol.__xnew__(cls, "w", real=True)

    def __getnewargs_ex__(self) -> Any:
        return (), {}


WEIGHT = BondWeight()


@dataclass(frozen=True)
class BondEnd:
    """One end x of the running bond: ``x[phi]`` is the field ``phi`` at this end."""

    lattice: Lattice
    move: Callable[[FieldComponent], FieldComponent]

    def __getitem__(self, seen: Any) -> Any:
        """A field, a component or an expression in fields at this end."""
        if isinstance(seen, VectorField):
            return seen._of(seen.name, tuple(self[c] for c in seen.components))
        expr = symbolic(seen)
        fields = set() if expr is None else expr.atoms(FieldComponent)
        wrong = [f for f in fields if f.hops is not None or f.end or f.lattice != self.lattice]
        if expr is None or wrong or expr.has(SiteConstant, SiteSum):
            raise LatticeError(
                f"end of a bond of {self.lattice}",
                expected=f"a field on {self.lattice}, or an expression in fields and couplings",
                found=str(min(wrong, key=str)) if wrong else shown(seen),
                remedy="write lattice.bonds(lambda x, y, w: w * x[phi] * y[phi]); what differs between sites "
                "is summed by lattice.sum(…), what differs between bonds is their weight",
            )
        return expr.xreplace({f: self.move(f) for f in fields})


def bond_sum(lattice: Lattice, density: Callable[..., Any], weights: Any, oriented: bool) -> sp.Expr:
    """Σ_⟨xy⟩ density(x, y, w), see :meth:`Lattice.bonds`."""
    wrong = mismatch(density, 3) if callable(density) else shown(density)
    if wrong is not None:
        raise LatticeError(
            f"sum over the bonds of {lattice}",
            expected="a function of both ends and the weight of a bond",
            found=wrong,
            remedy="write lattice.bonds(lambda x, y, w: w * x[phi] * y[phi])",
        )
    if not isinstance(lattice, GraphLattice):
        if weights is not None:
            raise LatticeError(
                f"weights of the bonds of {lattice}",
                expected="none: there are as many bonds in every direction as sites",
                found=shown(weights),
                remedy="write lattice.sum(J * phi * phi.shift(mu)) with a SiteConstant J for each direction",
            )
        here = BondEnd(lattice, lambda f: f)
        total = sp.S.Zero
        for mu in lattice.directions:
            there = BondEnd(lattice, lambda f, mu=mu: f.shift(mu))
            total += _summand(lattice, density, here, there, sp.S.One, oriented)
        return lattice.sum(total)
    values = _weights(lattice, weights)
    if not values:
        return sp.S.Zero
    weight = values[0] if len(set(values)) == 1 else WEIGHT
    ends = [BondEnd(lattice, lambda f, end=end: f.at_end(end)) for end in (1, 2)]
    summand = _summand(lattice, density, ends[0], ends[1], weight, oriented)
    bonds = [(i, j, sp.S.One, w) for (i, j, _), w in zip(lattice.edges, values, strict=True)]
    return SiteSum(Bonds(lattice, bonds), summand)


def _summand(
    lattice: Lattice,
    density: Callable[..., Any],
    x: BondEnd,
    y: BondEnd,
    weight: sp.Expr,
    oriented: bool,
) -> sp.Expr:
    """The density at a bond; LatticeError if it is no expression, or changes where x and y are exchanged."""
    found, other = (symbolic(density(*ends, weight)) for ends in ((x, y), (y, x)))
    if found is None or other is None:
        raise LatticeError(
            f"sum over the bonds of {lattice}",
            expected="a SymPy expression in fields at both ends",
            found=shown(density(x, y, weight)),
            remedy="write lattice.bonds(lambda x, y, w: w * x[phi] * y[phi])",
        )
    if not oriented and _differ(rational(found), rational(other)):
        raise LatticeError(
            f"sum over the bonds of {lattice}",
            expected="a function that does not change where both ends are exchanged",
            found=f"{found}, and {other} with the ends exchanged",
            remedy="make it symmetric, f(x, y) + f(y, x), or write oriented=True: x is then the first node "
            "of an edge in lattice.edges, and y = x + e_mu on a hypercubic lattice",
        )
    return found


def _differ(a: sp.Expr, b: sp.Expr) -> bool:
    """Whether two expressions differ at a generic point; False if they cannot be evaluated there."""
    difference = sp.expand(a - b)
    symbols = sorted(difference.free_symbols, key=str)
    rng = np.random.default_rng(0)
    function = sp.lambdify(symbols, difference, "mpmath")
    with mpmath.workdps(_DIGITS):
        for _ in range(_TRIALS if difference != 0 else 0):
            point = [mpmath.mpf(value) for value in rng.uniform(0.2, 1.5, size=len(symbols))]
            signs = [1 if isinstance(s, Parameter) else int(rng.choice([-1, 1])) for s in symbols]
            try:
                value = function(*(p * sign for p, sign in zip(point, signs, strict=True)))
            except (ArithmeticError, ValueError, TypeError):
                continue
            if mpmath.isfinite(value) and abs(value) > mpmath.mpf(10) ** (10 - _DIGITS):
                return True
    return False


def _weights(lattice: GraphLattice, weights: Any) -> list[sp.Expr]:
    """One exact weight for every edge."""
    if weights is None:
        return [weight for _, _, weight in lattice.edges]
    several = isinstance(weights, np.ndarray | Sequence) and not isinstance(weights, str)
    values = [symbolic(value) for value in np.asarray(weights, dtype=object).ravel()] if several else []
    exact = [sp.nan if value is None else rational(value) for value in values]
    wrong = next(
        (v for v, e in zip(values, exact, strict=True) if not (e.is_number and e.is_finite and e.is_real)), 0
    )
    if not several or np.ndim(weights) != 1 or len(exact) != len(lattice.edges) or wrong != 0:
        raise LatticeError(
            f"weights of the bonds of {lattice}",
            expected=f"{len(lattice.edges)} real numbers, one for every edge in the order of lattice.edges",
            found=shown(weights) if wrong == 0 else f"{wrong}",
            remedy="leave weights out for those of the graph",
        )
    return exact


def exchanged(density: sp.Expr) -> sp.Expr:
    """A density with both ends exchanged."""
    return density.xreplace({f: f.at_end(3 - f.end) for f in density.atoms(FieldComponent) if f.end})
