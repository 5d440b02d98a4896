"""Real scalar φ⁴ theory in the hopping parametrisation, symmetric under φ → −φ; a source h breaks it."""

import sympy as sp

import sesamo_dsl as sd


def scalar_phi4(*shape: int) -> sd.Theory:
    """S = Σ_x [−2κ Σ_μ φ_x φ_{x+μ} + (1−2λ) φ_x² + λ φ_x⁴ + h φ_x]."""
    lattice = sd.Lattice(*shape)
    phi = sd.ScalarField("phi", lattice)
    kappa, lam, h = sd.parameters("kappa lambda h")
    neighbours = sum(phi.shift(mu) for mu in lattice.directions)
    mean = lattice.sum(phi) / lattice.volume
    return sd.Theory(
        "scalar_phi4",
        fields=[phi],
        action=lattice.sum(-2 * kappa * phi * neighbours + (1 - 2 * lam) * phi**2 + lam * phi**4 + h * phi),
        symmetries=[sd.Z2(phi)],
        defaults={kappa: 0.3, lam: 0.022, h: 0},
        observables={
            "abs_m": sp.Abs(mean),
            "m": mean,
            "m_squared": mean**2,
            "m_fourth": mean**4,
            "phi_squared": lattice.sum(phi**2) / lattice.volume,
        },
    )


theory = scalar_phi4(8, 8)
