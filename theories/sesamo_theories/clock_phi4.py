"""Complex φ⁴ theory whose U(1) a clock term breaks to Z₆; orientations follow the tabulated law."""

import sympy as sp

import sesamo_dsl as sd


def clock_phi4(*shape: int, order: int = 6) -> sd.Theory:
    """S = Σ_x [−2κ Σ_μ φ_x·φ_{x+μ} + (1−2λ)|φ_x|² + λ|φ_x|⁴ − g Re φ_xⁿ], n = 6 by default."""
    lattice = sd.Lattice(*shape)
    phi = sd.ComplexField("phi", lattice)
    kappa, lam, g = sd.parameters("kappa lambda g")
    hopping = sum(phi.dot(phi.shift(mu)) for mu in lattice.directions)
    clock = sp.re(sp.expand(phi.value**order))
    m_squared = (lattice.sum(phi.re) ** 2 + lattice.sum(phi.im) ** 2) / lattice.volume**2
    return sd.Theory(
        "clock_phi4",
        fields=[phi],
        action=lattice.sum(-2 * kappa * hopping + (1 - 2 * lam) * phi.abs2 + lam * phi.abs2**2 - g * clock),
        symmetries=[sd.U1(phi)],
        defaults={kappa: 0.3, lam: 0.022, g: 1e-5},
        observables={
            "abs_m": sp.sqrt(m_squared),
            "m_squared": m_squared,
            "phi_squared": lattice.sum(phi.abs2) / lattice.volume,
        },
    )


theory = clock_phi4(8, 8)
