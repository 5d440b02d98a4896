"""A real field in a double well on a ring of four sites, in a field h."""

import sesamo_dsl as sd

lattice = sd.Lattice(4)
phi = sd.ScalarField("phi", lattice)
h = sd.parameters("h")

theory = sd.Theory(
    "double_well_ring",
    fields=[phi],
    action=lattice.sum(-phi * phi.shift(0) + phi**2 / 2 + phi**4 / 4 + h * phi),
    symmetries=[sd.Z2(phi)],
    defaults={h: 0.05},
    observables={"magnetisation": lattice.sum(phi) / lattice.volume},
)
