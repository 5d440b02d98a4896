"""Real scalar φ⁴ theory in the hopping parametrisation, symmetric under φ → −φ; a source h breaks it."""

import sesamo_dsl as sd

from ._phi4 import phi4_theory


def scalar_phi4(*shape: int) -> sd.Theory:
    """S = Σ_x [−2κ Σ_μ φ_x φ_{x+μ} + (1−2λ) φ_x² + λ φ_x⁴ + h φ_x]."""
    lattice = sd.Lattice(*shape)
    phi = sd.ScalarField("phi", lattice)
    kappa, lam, h = sd.parameters("kappa lambda h")
    neighbours = sum(phi.shift(mu) for mu in lattice.directions)
    return phi4_theory(
        "scalar_phi4",
        phi,
        lattice.sum(-2 * kappa * phi * neighbours + (1 - 2 * lam) * phi**2 + lam * phi**4 + h * phi),
        symmetries=[sd.Z2(phi)],
        defaults={kappa: 0.3, lam: 0.022, h: 0},
    )


theory = scalar_phi4(8, 8)
