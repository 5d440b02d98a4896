"""XY model: an angle at every site, symmetric under rotations of all angles and under θ → −θ."""

import sympy as sp

import sesamo_dsl as sd

from ._angles import angle_theory


def xy(*shape: int) -> sd.Theory:
    """S = −β Σ_x Σ_μ cos(θ_x − θ_{x+μ})."""
    theta = sd.AngleField("theta", sd.Lattice(*shape))
    beta = sd.parameters("beta")
    return angle_theory("xy", theta, beta, sp.S.Zero, [sd.U1(theta), sd.Z2(theta)], {beta: 1.0})


theory = xy(8, 8)
