"""Complex φ⁴ restricted to collinear fields χ_x exp(iθ): V+1 of its 2V degrees of freedom, not complex φ⁴.

This is what a layer samples that multiplies one real field by a common phase, as the U(1) layer published
with SESaMo does (arXiv 2505.19619). It is kept to reproduce those figures; the full theory is
``complex_phi4``.
"""

import sesamo_dsl as sd

from ._phi4 import phi4_theory


def complex_phi4_collinear(*shape: int) -> sd.Theory:
    """S = Σ_x [−2κ Σ_μ χ_x χ_{x+μ} + (1−2λ) χ_x² + λ χ_x⁴], the complex action at φ_x = χ_x exp(iθ).

    θ drops out and is uniform; θ → θ + π is χ → −χ. There is no source: with one, θ would not be independent
    of χ.
    """
    lattice = sd.Lattice(*shape)
    chi = sd.ScalarField("chi", lattice)
    kappa, lam = sd.parameters("kappa lambda")
    neighbours = sum(chi.shift(mu) for mu in lattice.directions)
    volume = lattice.volume
    return phi4_theory(
        "complex_phi4_collinear",
        chi,
        lattice.sum(-2 * kappa * chi * neighbours + (1 - 2 * lam) * chi**2 + lam * chi**4),
        symmetries=[sd.Z2(chi)],
        defaults={kappa: 0.3, lam: 0.022},
        notes=[
            f"reduced problem: one real field times a common phase, {volume + 1} of the {2 * volume} degrees "
            f"of freedom of complex φ⁴. Missing are the {volume - 1} relative phases of the sites: all "
            "fields are collinear in the complex plane, there are no Goldstone modes, and no expectation "
            "value is one of complex φ⁴."
        ],
    )


theory = complex_phi4_collinear(8, 8)
