"""O(N) φ⁴ theory with N real components, N = 3 by default; a linear source h breaks it to O(N−1)."""

import sympy as sp

import sesamo_dsl as sd


def on_model(*shape: int, components: int = 3) -> sd.Theory:
    """S = Σ_x [−2κ Σ_μ φ_x·φ_{x+μ} + (1−2λ) φ_x² + λ(φ_x²)² + h Σ_a φ_a]."""
    lattice = sd.Lattice(*shape)
    phi = sd.VectorField("phi", lattice, components)
    kappa, lam, h = sd.parameters("kappa lambda h")
    hopping = sum(phi.dot(phi.shift(mu)) for mu in lattice.directions)
    m_squared = sp.Add(*(lattice.sum(c) ** 2 for c in phi)) / lattice.volume**2
    return sd.Theory(
        "on_model",
        fields=[phi],
        action=lattice.sum(
            -2 * kappa * hopping + (1 - 2 * lam) * phi.squared + lam * phi.squared**2 + h * sum(phi)
        ),
        symmetries=[sd.SO(phi)],
        defaults={kappa: 0.3, lam: 0.022, h: 0},
        observables={
            "abs_m": sp.sqrt(m_squared),
            "m_squared": m_squared,
            "m_fourth": m_squared**2,
            "phi_squared": lattice.sum(phi.squared) / lattice.volume,
        },
    )


theory = on_model(8, 8)
