"""A function of angles has one value for θ and θ + 2π: what is not periodic is refused, with its term."""

from __future__ import annotations

import sympy as sp

from ..algebra.waves import in_waves
from ..errors import TheoryError
from ..symbols.fermions import FermionLogDet
from ..symbols.fields import angles_in
from ..symbols.lattice import SiteSum

_REMEDY = (
    "write it with cosines and sines of whole multiples and of sums of angles, such as cos(θ − θ.shift(0)); "
    "a field that is no angle is a ScalarField"
)


def check_periodic(expr: sp.Expr, subject: str) -> None:
    """Raise TheoryError unless every term is proved to be 2π-periodic in each angle at each site alone."""
    for angle in angles_in(expr):
        if angle.hops is not None:
            raise TheoryError(
                subject,
                expected="angles at sites or at the ends of bonds",
                found=f"{angle}, a sum of angles over neighbours",
                remedy="write a sum over bonds: lattice.bonds(lambda x, y, w: w * cos(x[theta] - y[theta]))",
            )
    nodes = sorted(expr.atoms(SiteSum, FermionLogDet), key=str)
    for density in (node.density if isinstance(node, SiteSum) else node.field for node in nodes):
        for term in sp.Add.make_args(density):
            for angle in angles_in(term):
                turned = term.xreplace({angle: angle + 2 * sp.pi})
                if turned != term and sp.expand(in_waves(turned) - in_waves(term)) != 0:
                    raise TheoryError(
                        subject,
                        expected=f"terms that are 2π-periodic in the angle {angle}",
                        found=f"the term {term}, which is not, or not seen to be",
                        remedy=_REMEDY,
                    )
