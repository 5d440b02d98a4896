"""Eight overlapping Gaussians on a circle, Z₈ broken by two competing terms, h₁x₁ + h₂x₁x₂.

The relative weight of the sectors depends on where in its sector a point lies: no p(u) alone can be exact.
"""

import sympy as sp

import sesamo_dsl as sd


def two_sources(modes: int = 8, radius: int = 3) -> sd.Theory:
    """exp(−S) = exp(−h₁x₁ − h₂x₁x₂) Σ_k exp(−|x − c_k|²/2); |h₂| < 1."""
    point = sd.Lattice(1)
    x = sd.VectorField("x", point, 2)
    h1, h2 = sd.parameters("h1 h2")
    angles = [2 * sp.pi * k / modes for k in range(modes)]
    distances = [(x[0] - radius * sp.cos(a)) ** 2 + (x[1] - radius * sp.sin(a)) ** 2 for a in angles]
    return sd.Theory(
        "two_sources",
        fields=[x],
        action=-sp.log(sum(sp.exp(-d / 2) for d in distances)) + h1 * x[0] + h2 * x[0] * x[1],
        symmetries=[sd.Cyclic(modes, x)],
        defaults={h1: 0.2, h2: 0.3},
    )


theory = two_sources()
