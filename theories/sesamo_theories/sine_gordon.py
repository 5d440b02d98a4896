"""Sine-Gordon model of a compact field: its gradient is that of the XY model, a cosine pins it to zero."""

import sympy as sp

import sesamo_dsl as sd

from ._angles import angle_theory


def sine_gordon(*shape: int) -> sd.Theory:
    """S = Σ_x [−β Σ_μ cos(θ_x − θ_{x+μ}) + g(1 − cos θ_x)], symmetric under θ → −θ."""
    theta = sd.AngleField("theta", sd.Lattice(*shape))
    beta, g = sd.parameters("beta g")
    potential = g * (1 - sp.cos(theta))
    return angle_theory("sine_gordon", theta, beta, potential, [sd.Z2(theta)], {beta: 1.0, g: 0.3})


theory = sine_gordon(8, 8)
