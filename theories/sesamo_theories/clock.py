"""Clock model with soft hands: the XY model with a potential that has n minima, n = 6 by default."""

import sympy as sp

import sesamo_dsl as sd

from ._angles import angle_theory


def clock(*shape: int, order: int = 6) -> sd.Theory:
    """S = Σ_x [−β Σ_μ cos(θ_x − θ_{x+μ}) − g cos nθ_x], symmetric under θ → θ + 2π/n and θ → −θ."""
    theta = sd.AngleField("theta", sd.Lattice(*shape))
    beta, g = sd.parameters("beta g")
    symmetries = [sd.groups.Dihedral(order, theta)]
    return angle_theory("clock", theta, beta, -g * sp.cos(order * theta), symmetries, {beta: 1.0, g: 0.5})


theory = clock(8, 8)
