"""What the theories of one angle per site share: the bonds of the XY model, and the observables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

import sesamo_dsl as sd


def bonds(theta: sd.AngleField) -> sp.Expr:
    """Σ_μ cos(θ_x − θ_{x+μ}), as a density."""
    return sp.Add(*(sp.cos(theta - theta.shift(mu)) for mu in theta.lattice.directions))


def winding(theta: sd.AngleField) -> sp.Expr:
    """The number of turns of θ around the plaquette at x in the plane (0, 1): −1, 0 or 1."""
    corners = [theta, theta.shift(0), theta.shift(0).shift(1), theta.shift(1)]
    steps = [after - before for before, after in zip(corners, [*corners[1:], corners[0]], strict=True)]
    return sp.Add(*(sp.atan2(sp.sin(step), sp.cos(step)) for step in steps)) / (2 * sp.pi)


def angle_theory(
    name: str,
    theta: sd.AngleField,
    beta: sp.Symbol,
    breaking: sp.Expr,
    symmetries: Sequence[Any],
    defaults: Mapping[Any, float],
) -> sd.Theory:
    """S = Σ_x [−β Σ_μ cos(θ_x − θ_{x+μ}) + breaking].

    Observables are |Σ e^(iθ)|²/V², the mean cosine of a bond, the helicity modulus along axis 0,
    Υ = ⟨Σ_x cos Δ_0 θ⟩/V − β⟨(Σ_x sin Δ_0 θ)²⟩/V, and from two dimensions on the number of vortices per
    plaquette of the plane (0, 1), of both signs.
    """
    lattice = theta.lattice
    volume, step = lattice.volume, theta - theta.shift(0)
    observables = {
        "m_squared": (lattice.sum(sp.cos(theta)) ** 2 + lattice.sum(sp.sin(theta)) ** 2) / volume**2,
        "bond": lattice.sum(bonds(theta)) / (volume * lattice.dimension),
        "helicity": (lattice.sum(sp.cos(step)) - beta * lattice.sum(sp.sin(step)) ** 2) / volume,
    }
    if lattice.dimension >= 2:
        observables["vortices"] = lattice.sum(sp.Abs(winding(theta))) / volume
    return sd.Theory(
        name,
        fields=[theta],
        action=lattice.sum(-beta * bonds(theta) + breaking),
        symmetries=symmetries,
        defaults=defaults,
        observables=observables,
    )
