"""The compiler on groups and theories of all kinds: verdicts, domains, slices, and the laws of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import sympy as sp
from scipy.stats import special_ortho_group

import sesamo_dsl as sd
from sesamo_dsl.analysis.lie_split import lie_split
from sesamo_dsl.errors import GroupError
from sesamo_dsl.groups.catalogue import Dihedral, FromMatrices, Hyperoctahedral, Permutations
from sesamo_dsl.testing import PROPERTIES, Subject, check_property
from sesamo_dsl.testing.properties.slices import orbit_jacobian

POINT = sd.Lattice(1)
SQUARE = sd.Lattice(4, 4)
KAPPA, LAM, H, G = sd.parameters("kappa lam h g")
DEFAULTS = {KAPPA: 0.2, LAM: 0.1, H: 0.3, G: 0.2}


@dataclass(frozen=True)
class Case:
    """What is known about a theory without the compiler.

    ``order`` is that of the modulating finite group, ``facets`` the number of walls of its domain, ``orbits``
    the dimensions N of the collective vectors of Lie groups.
    """

    build: Callable[[], sd.Theory]
    status: str
    order: int = 1
    facets: int = 0
    orbits: tuple[int, ...] = ()


def theory(name: str, fields, action, *symmetries) -> sd.Theory:
    free = {s.name for s in sp.sympify(action).free_symbols}
    defaults = {p: v for p, v in DEFAULTS.items() if p.name in free}
    return sd.Theory(name, fields=list(fields), action=action, symmetries=list(symmetries), defaults=defaults)


def plane() -> tuple[sd.VectorField, sp.Expr, sp.Expr, sp.Expr]:
    v = sd.VectorField("v", POINT, 2)
    return v, v[0], v[1], v.squared


def kinetic(*fields) -> sp.Expr:
    """Nearest-neighbour hopping and mass of all components."""
    components = [c for field in fields for c in field.components]
    return sp.Add(
        *(c**2 / 2 - KAPPA * c * sum(c.shift(mu) for mu in c.lattice.directions) for c in components)
    )


def power(v, n: int) -> sp.Expr:
    return sp.re(sp.expand((v[0] + sp.I * v[1]) ** n))


def planar(
    name: str, potential: Callable[..., sp.Expr], *symmetries: Callable[..., object]
) -> Callable[[], sd.Theory]:
    def build() -> sd.Theory:
        v, x, y, r2 = plane()
        return theory(name, [v], POINT.sum(potential(v, x, y, r2)), *(s(v) for s in symmetries))

    return build


def scalar(source: bool) -> sd.Theory:
    phi = sd.ScalarField("phi", SQUARE)
    action = kinetic(phi) + LAM * phi**4 + (H * phi if source else 0)
    return theory("scalar", [phi], SQUARE.sum(action), sd.Z2(phi))


def mixture(n: int, group: Callable[..., sd.Symmetry], source: bool = False) -> sd.Theory:
    v, x, y, _ = plane()
    modes = [2 * sp.pi * k / n for k in range(n)]
    weights = (sp.exp(-((x - 4 * sp.cos(a)) ** 2 + (y - 4 * sp.sin(a)) ** 2) / 2) for a in modes)
    return theory(
        "mixture", [v], POINT.sum(-sp.log(sp.Add(*weights)) + (H * (x + y) if source else 0)), group(n, v)
    )


def tetrahedral() -> sd.Theory:
    v = sd.VectorField("v", POINT, 3)
    action = v.squared**2 + G * v[0] * v[1] * v[2]
    threefold = sp.Matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    mirror = sp.Matrix([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    flip = sp.diag(-1, -1, 1)
    return theory("tetrahedral", [v], POINT.sum(action), FromMatrices("Td", [threefold, mirror, flip], v))


def cubic(source: bool = False) -> sd.Theory:
    v = sd.VectorField("v", SQUARE, 3)
    action = kinetic(v) + LAM * v.squared**2 + G * sum(c**4 for c in v) + (H * sum(v) if source else 0)
    return theory("cubic", [v], SQUARE.sum(action), Hyperoctahedral(v))


def potts(components: int, group: Callable[..., sd.Symmetry]) -> sd.Theory:
    v = sd.VectorField("v", POINT, components)
    return theory("potts", [v], POINT.sum(v.squared**2 + G * sum(c**3 for c in v)), group(v))


def two_scalars(swap: bool) -> sd.Theory:
    a, b = sd.ScalarField("a", SQUARE), sd.ScalarField("b", SQUARE)
    action = kinetic(a, b) + LAM * (a**4 + (1 if swap else 2) * b**4) + G * a**2 * b**2
    symmetries = [sd.Z2(a), sd.Z2(b)]
    if swap:
        symmetries = [sd.Symmetry("D4", [{a: -a}, {a: b, b: a}])]
    return theory("two_scalars", [a, b], SQUARE.sum(action), *symmetries)


def complex_field(
    extra: Callable[[sd.ComplexField], sp.Expr], *symmetries: Callable[..., object]
) -> sd.Theory:
    phi = sd.ComplexField("phi", SQUARE)
    action = kinetic(phi) + LAM * phi.abs2**2 + extra(phi)
    return theory("complex", [phi], SQUARE.sum(action), *(s(phi) for s in symmetries))


def vector(
    n: int, group: Callable[..., object], extra: Callable[..., sp.Expr] = lambda v: sp.S.Zero
) -> sd.Theory:
    v = sd.VectorField("v", SQUARE, n)
    return theory("vector", [v], SQUARE.sum(kinetic(v) + LAM * v.squared**2 + extra(v)), group(v))


def two_complex(coupling: Callable[..., sp.Expr], *symmetries: Callable[..., object]) -> sd.Theory:
    a, b = sd.ComplexField("a", SQUARE), sd.ComplexField("b", SQUARE)
    action = kinetic(a, b) + LAM * (a.abs2**2 + b.abs2**2) + coupling(a, b)
    return theory("two_complex", [a, b], SQUARE.sum(action), *(s(a, b) for s in symmetries))


def mixed() -> sd.Theory:
    phi, sigma = sd.ComplexField("phi", SQUARE), sd.ScalarField("sigma", SQUARE)
    action = kinetic(phi, sigma) + LAM * (phi.abs2**2 + sigma**4) + G * phi.abs2 * sigma**2 + H * sigma
    return theory("mixed", [phi, sigma], SQUARE.sum(action), sd.U1(phi), sd.Z2(sigma))


CASES: dict[str, Case] = {
    "Z2 scalar": Case(lambda: scalar(False), "exact", 2, 1),
    "Z2 scalar, source": Case(lambda: scalar(True), "broken", 2, 1),
    "Z3 clock": Case(
        planar("z3", lambda v, x, y, r: r**2 + G * power(v, 3), lambda v: sd.Cyclic(3, v)), "exact", 3, 2
    ),
    "D3 Potts": Case(
        planar("d3", lambda v, x, y, r: r**2 + G * power(v, 3), lambda v: Dihedral(3, v)), "exact", 6, 2
    ),
    "D3 Potts, source": Case(
        planar("d3h", lambda v, x, y, r: r**2 + G * power(v, 3) + H * y, lambda v: Dihedral(3, v)),
        "broken",
        6,
        2,
    ),
    "Z4 square": Case(planar("z4", lambda v, x, y, r: x**4 + y**4, lambda v: sd.Cyclic(4, v)), "exact", 4, 2),
    "D4 square, two sources": Case(
        planar("d4", lambda v, x, y, r: x**4 + y**4 + H * x + G * x * y, lambda v: Dihedral(4, v)),
        "broken",
        8,
        2,
    ),
    "Z5 wheel": Case(
        planar("z5", lambda v, x, y, r: r**3 + G * power(v, 5), lambda v: sd.Cyclic(5, v)), "exact", 5, 2
    ),
    "D7 wheel": Case(
        planar("d7", lambda v, x, y, r: r**4 + G * power(v, 7), lambda v: Dihedral(7, v)), "exact", 14, 2
    ),
    "Z8 mixture": Case(lambda: mixture(8, sd.Cyclic), "exact", 8, 2),
    "Z8 mixture, source": Case(lambda: mixture(8, sd.Cyclic, True), "broken", 8, 2),
    "D6 mixture": Case(lambda: mixture(6, Dihedral), "exact", 12, 2),
    "Td potential": Case(tetrahedral, "exact", 24, 3),
    "B3 cubic anisotropy": Case(cubic, "exact", 48, 3),
    "B3 with a 111 source": Case(lambda: cubic(True), "broken", 48, 3),
    "S3 permutations": Case(lambda: potts(3, Permutations), "exact", 6, 2),
    "S4 permutations": Case(lambda: potts(4, Permutations), "exact", 24, 3),
    "Z2 x Z2": Case(lambda: two_scalars(False), "exact", 4, 2),
    "D4 swap": Case(lambda: two_scalars(True), "exact", 8, 2),
    "Z6 clock on the lattice": Case(
        lambda: complex_field(lambda p: G * power((p.re, p.im), 6), lambda p: sd.Cyclic(6, p)), "exact", 6, 2
    ),
    "U1": Case(lambda: complex_field(lambda p: sp.S.Zero, sd.U1), "exact", orbits=(2,)),
    "U1, source": Case(lambda: complex_field(lambda p: H * p.im, sd.U1), "broken", orbits=(2,)),
    "U1 broken to Z6": Case(
        lambda: complex_field(lambda p: G * power((p.re, p.im), 6), sd.U1), "broken", orbits=(2,)
    ),
    "SO2 in a plane, source": Case(
        planar("so2", lambda v, x, y, r: r**2 + H * x, sd.SO), "broken", orbits=(2,)
    ),
    "SO2 in a plane, cosine": Case(
        planar("so2c", lambda v, x, y, r: r**2 - 2 * r + G * x**2 * y, sd.SO), "broken", orbits=(2,)
    ),
    "O3": Case(lambda: vector(3, sd.SO), "exact", orbits=(3,)),
    "O3, source": Case(lambda: vector(3, sd.SO, lambda v: H * v[2]), "broken", orbits=(3,)),
    "O4": Case(lambda: vector(4, sd.SO), "exact", orbits=(4,)),
    "SU2 doublet": Case(lambda: vector(4, sd.SU2, lambda v: H * v[0]), "broken", orbits=(4,)),
    "U1 x U1": Case(
        lambda: two_complex(lambda a, b: G * a.abs2 * b.abs2, lambda a, b: sd.U1(a), lambda a, b: sd.U1(b)),
        "exact",
        orbits=(2, 2),
    ),
    "U1, charges 1 and 2": Case(
        lambda: two_complex(
            lambda a, b: G * sp.re(sp.expand(a.value**2 * b.conjugate)),
            lambda a, b: sd.U1(a, b, charges=[1, 2]),
        ),
        "exact",
        orbits=(2,),
    ),
    "U1, charge-2 slice": Case(
        lambda: two_complex(
            lambda a, b: G * sp.re(sp.expand(a.value**2 * b.conjugate)),
            lambda a, b: sd.U1(b, a, charges=[2, 1]),
        ),
        "exact",
        orbits=(2,),
    ),
    "U1 x Z2, source": Case(mixed, "broken", 2, 1, (2,)),
}


@cache
def subject(name: str) -> Subject:
    return Subject.of(CASES[name].build(), ("torch",))


@pytest.mark.parametrize("name", CASES)
def test_derivation(name: str) -> None:
    case, analysis = CASES[name], subject(name).analysis
    assert analysis.status == case.status
    assert (analysis.breaking == 0) == (case.status == "exact")
    assert analysis.group.order == case.order
    assert len(analysis.domain.facets) == case.facets
    assert tuple(report.slice.dimension for report in analysis.lie_reports) == case.orbits
    for report in analysis.lie_reports:
        r = report.slice.radius
        assert sp.simplify(report.slice.determinant - r ** (report.slice.dimension - 1)) == 0


SLOW = ("density_of_samples", "normalised", "round_trip", "training", "metrics", "law_of_the_group", "loss")
SLOW += ("law_of_the_orbits", "bridge", "schwinger_dyson", "partition_function")
QUICK = [law for law in PROPERTIES if law.name not in SLOW]


@pytest.mark.parametrize("name", CASES)
def test_laws(name: str) -> None:
    for law in QUICK:
        if law.applies(subject(name)):
            result = check_property(law, subject(name), examples=min(law.count, 6))
            assert result.holds, f"{law.name}: {result.worst} at {result.counterexample}"


@pytest.mark.parametrize(
    "name", ["Z3 clock", "D3 Potts, source", "D4 square, two sources", "Z8 mixture, source"]
)
def test_densities_are_normalised(name: str) -> None:
    law = next(law for law in PROPERTIES if law.name == "normalised")
    result = check_property(law, subject(name), examples=2)
    assert result.holds, result.worst


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("Z2 scalar, source", 1),
        ("Z8 mixture, source", 1),
        ("B3 with a 111 source", 6),
        ("D3 Potts, source", 1),
    ],
)
def test_the_unbroken_subgroup_is_found(name: str, order: int) -> None:
    analysis = subject(name).analysis
    assert analysis.surviving is not None
    assert len(analysis.surviving) == order


def test_what_survives_of_lie_groups_is_found() -> None:
    clock = subject("U1 broken to Z6").analysis.lie_reports[0]
    assert clock.surviving == ()
    assert clock.charges == (6,)
    source = subject("O3, source").analysis.lie_reports[0]
    assert len(source.surviving) == 1  # rotations around the source
    assert all(entry == 0 for entry in source.surviving[0].col(2))
    assert len(subject("SU2 doublet").analysis.lie_reports[0].surviving) == 0
    assert len(subject("O4").analysis.lie_reports[0].surviving) == 6


def sign_error() -> sd.Theory:
    phi = sd.ComplexField("phi", SQUARE)
    hopping = sum(phi.re * phi.re.shift(mu) - phi.im * phi.im.shift(mu) for mu in (0, 1))
    return theory("sign_error", [phi], SQUARE.sum(phi.abs2 - KAPPA * hopping), sd.U1(phi, exact=True))


def wrong_charge() -> sd.Theory:
    return two_complex(
        lambda a, b: G * sp.re(sp.expand(a.value**2 * b.conjugate)),
        lambda a, b: sd.U1(a, b, charges=[1, 1], exact=True),
    )


def half_shifted() -> sd.Theory:
    phi = sd.ComplexField("phi", SQUARE)
    action = phi.abs2 - KAPPA * (phi.re * phi.re.shift(0) + phi.im * phi.im)
    return theory("half_shifted", [phi], SQUARE.sum(action), sd.U1(phi, exact=True))


def wrong_order() -> sd.Theory:
    return planar(
        "wrong_order", lambda v, x, y, r: r**2 + G * power(v, 3), lambda v: sd.Cyclic(4, v, exact=True)
    )()


@pytest.mark.parametrize("build", [sign_error, wrong_charge, half_shifted, wrong_order])
def test_false_claims_are_refuted_with_a_counterexample(build: Callable[[], sd.Theory]) -> None:
    declared = build()
    with pytest.raises(sd.NotInvariantError) as caught:
        sd.analyse(declared)
    error = caught.value
    assert error.counterexample.shape == declared.configuration_shape
    assert abs(error.difference) > 1e-9
    assert error.residual != 0
    assert all(part in str(error) for part in ("expected:", "found:", "remedy:"))


def test_the_collinear_modulation_is_rejected() -> None:
    """One real field times (cos θ, sin θ) spans V + 1 of the 2V degrees of freedom of a complex field."""
    full = Subject.of(sd.load_theory("complex_phi4"), ("torch",))
    x = np.random.default_rng(0).normal(size=full.theory.configuration_shape)
    jacobian, log_determinant = orbit_jacobian(full, "torch", x)
    assert np.linalg.matrix_rank(jacobian) == 128
    assert abs(np.linalg.slogdet(jacobian)[1] - log_determinant) < 1e-10

    volume, theta = full.theory.lattice.volume, 0.4
    field = x[0].reshape(-1)
    columns = [np.concatenate([np.cos(theta) * e, np.sin(theta) * e]) for e in np.eye(volume)]
    columns.append(np.concatenate([-np.sin(theta) * field, np.cos(theta) * field]))
    assert np.linalg.matrix_rank(np.array(columns).T) == volume + 1 < 128


def test_the_casimir_projection_is_the_group_average() -> None:
    """S₀ of an anisotropic quartic term under SO(3), against averages over random rotations."""
    v = sd.VectorField("v", POINT, 3)
    declared = theory("quartic", [v], POINT.sum(v[0] ** 4 + v[0] * v[1] ** 2 + v[2]), sd.SO(v))
    analysis = sd.analyse(declared, normalizable=False)
    model = sd.compile(analysis, "torch", precision="float64", normalizable=False)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1, 3, 1))
    rotations = special_ortho_group(3, seed=3).rvs(200_000)
    images = np.einsum("gab,bc->gac", rotations, x[0])
    values = model.action(images)
    invariant = model.action(x)[0] - model.evaluate("breaking", x)[0][0]
    assert abs(values.mean() - invariant) < 5 * values.std() / np.sqrt(len(values))


def test_lie_and_finite_factors_on_the_same_field_are_refused() -> None:
    phi = sd.ComplexField("phi", SQUARE)
    declared = theory("overlap", [phi], SQUARE.sum(kinetic(phi) + LAM * phi.abs2**2), sd.U1(phi), sd.Z2(phi))
    with pytest.raises(GroupError, match="different components"):
        sd.analyse(declared)


def test_lie_split_is_exact_for_exact_groups() -> None:
    analysis = sd.analyse(CASES["O4"].build())
    report = analysis.lie_reports[0]
    from sesamo_dsl.algebra.normal_form import NormalForm
    from sesamo_dsl.symbols.exact import NumberTable

    assert lie_split(analysis.theory, report.matrices, NormalForm(NumberTable())) == 0
