"""O(N) φ⁴ theory with N real components, N = 3 by default; a linear source h breaks it to O(N−1)."""

import sesamo_dsl as sd

from ._phi4 import density, phi4_theory


def on_model(*shape: int, components: int = 3) -> sd.Theory:
    """S = Σ_x [−2κ Σ_μ φ_x·φ_{x+μ} + (1−2λ) φ_x² + λ(φ_x²)² + h Σ_a φ_a]."""
    lattice = sd.Lattice(*shape)
    phi = sd.VectorField("phi", lattice, components)
    kappa, lam, h = sd.parameters("kappa lambda h")
    return phi4_theory(
        "on_model",
        phi,
        lattice.sum(density(phi, kappa, lam) + h * sum(phi)),
        symmetries=[sd.SO(phi)],
        defaults={kappa: 0.3, lam: 0.022, h: 0},
    )


theory = on_model(8, 8)
