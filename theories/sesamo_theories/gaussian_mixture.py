"""Eight Gaussians on a circle of radius 12 in the plane, symmetric under Z₈; h(x₁+x₂) breaks it.

log Z = log 2π + log Σ_k exp(h² − hR√2 sin(2πk/8 + π/4)).
"""

import sympy as sp

import sesamo_dsl as sd


def gaussian_mixture(modes: int = 8, radius: int = 12) -> sd.Theory:
    """exp(−S) = exp(−h(x₁+x₂)) Σ_k exp(−|x − c_k|²/2)."""
    point = sd.Lattice(1)
    x = sd.VectorField("x", point, 2)
    h = sd.parameters("h")
    angles = [2 * sp.pi * k / modes for k in range(modes)]
    distances = [(x[0] - radius * sp.cos(a)) ** 2 + (x[1] - radius * sp.sin(a)) ** 2 for a in angles]
    return sd.Theory(
        "gaussian_mixture",
        fields=[x],
        action=-sp.log(sum(sp.exp(-d / 2) for d in distances)) + h * (x[0] + x[1]),
        symmetries=[sd.Cyclic(modes, x)],
        defaults={h: 0},
    )


theory = gaussian_mixture()
