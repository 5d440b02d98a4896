"""Complex scalar φ⁴ theory, symmetric under U(1); a linear source h breaks it."""

import sympy as sp

import sesamo_dsl as sd


def complex_phi4(*shape: int) -> sd.Theory:
    """S = Σ_x [−2κ Σ_μ φ_x·φ_{x+μ} + (1−2λ)|φ_x|² + λ|φ_x|⁴ + h(Re φ_x + Im φ_x)], φ·χ = Re(φ*χ)."""
    lattice = sd.Lattice(*shape)
    phi = sd.ComplexField("phi", lattice)
    kappa, lam, h = sd.parameters("kappa lambda h")
    hopping = sum(phi.dot(phi.shift(mu)) for mu in lattice.directions)
    m_squared = (lattice.sum(phi.re) ** 2 + lattice.sum(phi.im) ** 2) / lattice.volume**2
    return sd.Theory(
        "complex_phi4",
        fields=[phi],
        action=lattice.sum(
            -2 * kappa * hopping + (1 - 2 * lam) * phi.abs2 + lam * phi.abs2**2 + h * (phi.re + phi.im)
        ),
        symmetries=[sd.U1(phi)],
        defaults={kappa: 0.3, lam: 0.022, h: 0},
        observables={
            "abs_m": sp.sqrt(m_squared),
            "sum_of_components_of_m": (lattice.sum(phi.re) + lattice.sum(phi.im)) / lattice.volume,
            "m_squared": m_squared,
            "m_fourth": m_squared**2,
            "phi_squared": lattice.sum(phi.abs2) / lattice.volume,
        },
    )


theory = complex_phi4(8, 8)
