"""A theory of one's own: a clock field in the plane, coupled to a real scalar, on a 4×4 torus.

The potential Re(χ³) gives the plane three minima that rotations by 2π/3 exchange, and χ pulls on the scalar σ
through |χ|²σ². The source h tilts the plane, which breaks Z₃ but not the sign flip of σ. Try

    sesamo-dsl check examples/my_theory.py
    sesamo-dsl train examples/my_theory.py --set h=0.05 --steps 500
"""

import sesamo_dsl as sd

lattice = sd.Lattice(4, 4)
chi = sd.ComplexField("chi", lattice)
sigma = sd.ScalarField("sigma", lattice)
kappa, g, h = sd.parameters("kappa g h")

hopping = sum(chi.dot(chi.shift(mu)) + sigma * sigma.shift(mu) for mu in lattice.directions)
cubic = chi.re**3 - 3 * chi.re * chi.im**2  # Re(χ³), invariant under χ → exp(2πi/3) χ

theory = sd.Theory(
    "clock_and_scalar",
    fields=[chi, sigma],
    action=lattice.sum(
        -2 * kappa * hopping
        + chi.abs2
        + sigma**2
        + chi.abs2**2 / 4
        - cubic / 2
        + g * chi.abs2 * sigma**2
        + h * chi.re
    ),
    symmetries=[sd.Cyclic(3, chi), sd.Z2(sigma, exact=True)],
    defaults={kappa: 0.2, g: 0.1, h: 0},
    observables={"chi_squared": lattice.sum(chi.abs2) / lattice.volume},
)
