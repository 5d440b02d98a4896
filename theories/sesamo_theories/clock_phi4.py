"""Complex φ⁴ theory whose U(1) a clock term breaks to Z_n, n = 6 by default; a source h breaks all."""

import sympy as sp

import sesamo_dsl as sd

from ._phi4 import density, phi4_theory


def clock_phi4(*shape: int, order: int = 6) -> sd.Theory:
    """S = S(complex φ⁴) + Σ_x [g(|φ_x|^(2⌈n/2⌉) − Re φ_xⁿ) + h(Re φ_x + Im φ_x)].

    The first clock term keeps the action bounded from below for every n: −Re φⁿ alone wins over λ|φ|⁴ at
    large fields when n > 4, and exp(−S) could not be normalised.
    """
    lattice = sd.Lattice(*shape)
    phi = sd.ComplexField("phi", lattice)
    kappa, lam, g, h = sd.parameters("kappa lambda g h")
    clock = sp.re(sp.expand(phi.value**order)) - phi.abs2 ** ((order + 1) // 2)
    m = sum(lattice.sum(part) / lattice.volume * unit for part, unit in ((phi.re, 1), (phi.im, sp.I)))
    return phi4_theory(
        "clock_phi4",
        phi,
        lattice.sum(density(phi, kappa, lam) - g * clock + h * (phi.re + phi.im)),
        symmetries=[sd.U1(phi)],
        defaults={kappa: 0.3, lam: 0.022, g: 10.0 ** (1 - order), h: 0},
        observables={"clock_order": sp.re(sp.expand(m**order))},
    )


theory = clock_phi4(8, 8)
