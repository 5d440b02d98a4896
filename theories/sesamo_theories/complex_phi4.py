"""Complex scalar φ⁴ theory, symmetric under U(1); a linear source h breaks it."""

import sesamo_dsl as sd

from ._phi4 import density, phi4_theory


def complex_phi4(*shape: int) -> sd.Theory:
    """S = Σ_x [−2κ Σ_μ φ_x·φ_{x+μ} + (1−2λ)|φ_x|² + λ|φ_x|⁴ + h(Re φ_x + Im φ_x)], φ·χ = Re(φ*χ)."""
    lattice = sd.Lattice(*shape)
    phi = sd.ComplexField("phi", lattice)
    kappa, lam, h = sd.parameters("kappa lambda h")
    return phi4_theory(
        "complex_phi4",
        phi,
        lattice.sum(density(phi, kappa, lam) + h * (phi.re + phi.im)),
        symmetries=[sd.U1(phi)],
        defaults={kappa: 0.3, lam: 0.022, h: 0},
    )


theory = complex_phi4(8, 8)
