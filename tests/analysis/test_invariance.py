"""Verdicts on symmetries: proofs, refutations with counterexamples, and what is honestly left undecided."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.algebra.normal_form import NormalForm, transformed
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import act, check_invariance
from sesamo_dsl.groups.element import Element
from sesamo_dsl.groups.site_map import SiteMap
from sesamo_dsl.symbols.exact import NumberTable

Array = np.ndarray[Any, Any]
H, G = sd.parameters("h g")
LINE, SQUARE, POINT = sd.Lattice(4), sd.Lattice(4, 4), sd.Lattice(1)
PHI = sd.ScalarField("phi", SQUARE)
CHI = sd.ComplexField("chi", SQUARE)
X = sd.VectorField("x", POINT, 2)
V = sd.VectorField("v", LINE, 3)


def normal_form() -> NormalForm:
    return NormalForm(NumberTable())


def value(expr: sp.Expr, configuration: Array, field: Any, **couplings: float) -> float:
    return float(evaluate(expr, configuration, field.components, couplings))


# The normal form


@pytest.mark.parametrize("shape", [(2,), (3,), (4,), (2, 2), (3, 2)])
def test_normal_form_is_equality_of_functions(shape: tuple[int, ...]) -> None:
    """Sums of monomials have the same normal form if and only if they are the same function."""
    lattice = sd.Lattice(*shape)
    field = sd.VectorField("f", lattice, 2)
    rng = np.random.default_rng(3)
    sites = list(np.ndindex(*shape))

    def monomial() -> sp.Expr:
        factors = [field[rng.integers(2)].at(sites[rng.integers(len(sites))]) for _ in range(3)]
        return sp.Mul(*factors)

    actions = [lattice.sum(monomial()) for _ in range(24)]
    actions += [lattice.sum(monomial() - 2 * monomial()) for _ in range(8)]
    moved = []
    for action in actions[:12]:
        mu = int(rng.integers(len(shape)))
        fields = action.atoms(type(field[0]))
        moved.append(action.xreplace({f: f.shift(mu, 1) for f in fields}))
    actions += moved
    normalize = normal_form()
    forms = [normalize(action) for action in actions]
    points = [rng.normal(size=(2, *shape)) for _ in range(3)]
    values = np.array([[value(a, x, field) for x in points] for a in actions])
    for i, j in itertools.combinations(range(len(actions)), 2):
        assert (forms[i] == forms[j]) == bool(np.allclose(values[i], values[j], rtol=1e-10, atol=1e-12))
    for action, form, row in zip(actions, forms, values, strict=True):
        assert np.allclose([value(form, x, field) for x in points], row, rtol=1e-12), str(action)
    assert all(form == forms[i] for i, form in enumerate(forms[-12:]))


EQUAL: dict[str, tuple[sp.Expr, sp.Expr]] = {
    "forward and backward hopping": (SQUARE.sum(PHI * PHI.shift(0)), SQUARE.sum(PHI * PHI.shift(0, -1))),
    "shift of everything": (
        SQUARE.sum(sp.cos(PHI - PHI.shift(1))),
        SQUARE.sum(sp.cos(PHI.shift(1, -1) - PHI)),
    ),
    "wrap-around": (SQUARE.sum(PHI * PHI.shift(0, 3)), SQUARE.sum(PHI * PHI.shift(0))),
    "split sum": (SQUARE.sum(PHI**2 + H * PHI), SQUARE.sum(PHI**2) + H * SQUARE.sum(PHI.shift(1, 2))),
    "gradient squared": (
        SQUARE.sum((PHI - PHI.shift(0)) ** 2),
        2 * SQUARE.sum(PHI**2) - 2 * SQUARE.sum(PHI * PHI.shift(0)),
    ),
    "constant density": (SQUARE.sum(sp.Integer(3) + G), 48 + 16 * G),
    "functions of shifted fields": (
        SQUARE.sum(sp.exp(PHI * PHI.shift(0)) * PHI),
        SQUARE.sum(sp.exp(PHI.shift(0, -1) * PHI) * PHI.shift(0, -1)),
    ),
    "product of sums": (
        SQUARE.sum(PHI) * SQUARE.sum(PHI**2),
        SQUARE.sum(PHI.shift(0)) * SQUARE.sum(PHI.shift(1) ** 2),
    ),
}
DIFFERENT: dict[str, tuple[sp.Expr, sp.Expr]] = {
    "directions": (SQUARE.sum(PHI * PHI.shift(0)), SQUARE.sum(PHI * PHI.shift(1))),
    "order of powers": (SQUARE.sum(PHI**2 * PHI.shift(0)), SQUARE.sum(PHI * PHI.shift(0) ** 2)),
    "coefficients 1e-40 apart": (SQUARE.sum(PHI**2), SQUARE.sum((1 + sp.Rational(1, 10**40)) * PHI**2)),
    "lattices": (SQUARE.sum(PHI**2), sd.Lattice(8, 2).sum(sd.ScalarField("phi", sd.Lattice(8, 2)) ** 2)),
    "sum and product": (SQUARE.sum(PHI**2), SQUARE.sum(PHI) ** 2),
}


@pytest.mark.parametrize(
    ("pair", "same"),
    [pytest.param(p, s, id=n) for t, s in ((EQUAL, True), (DIFFERENT, False)) for n, p in t.items()],
)
def test_normal_form_of_named_pairs(pair: tuple[sp.Expr, sp.Expr], same: bool) -> None:
    normalize = normal_form()
    assert (normalize(pair[0]) == normalize(pair[1])) is same
    assert (normalize(normalize(pair[0]) - normalize(pair[1])) == 0) is same
    assert normalize(normalize(pair[0])) == normalize(pair[0])


def test_neighbours_coincide_on_two_sites() -> None:
    two = sd.Lattice(2)
    phi = sd.ScalarField("phi", two)
    assert phi.shift(0) == phi.shift(0, -1) == phi.shift(0, 7)
    normalize = normal_form()
    assert normalize(two.sum(phi**2 * phi.shift(0))) == normalize(two.sum(phi * phi.shift(0) ** 2))


# Verdicts


def action_of(density: sp.Expr, lattice: sd.Lattice = SQUARE) -> sp.Expr:
    return lattice.sum(density)


def hopping(field: Any) -> sp.Expr:
    return sum(field.dot(field.shift(mu)) for mu in field.lattice.directions)


def real_power(field: Any, n: int) -> sp.Expr:
    """Re (φ_0 + iφ_1)^n."""
    return sp.expand(sp.re(sp.expand((field[0] + sp.I * field[1]) ** n)))


@dataclass(frozen=True)
class Case:
    """An action, a symmetry of one generator, and S∘T − S worked out by hand (0 when it is exact)."""

    fields: Any
    action: sp.Expr
    symmetry: sd.Symmetry
    residual: sp.Expr = sp.S.Zero


R2 = sp.sqrt(2) / 2
CASES: dict[str, Case] = {
    "φ⁴": Case(PHI, action_of(PHI * PHI.shift(0) + PHI**2 + G * PHI**4), sd.Z2(PHI)),
    "φ⁴ in a source": Case(PHI, action_of(PHI**4 + H * PHI), sd.Z2(PHI), -2 * H * SQUARE.sum(PHI)),
    "cubic": Case(
        PHI,
        action_of(PHI**4 + G * PHI**2 * PHI.shift(0)),
        sd.Z2(PHI),
        -2 * G * SQUARE.sum(PHI**2 * PHI.shift(0)),
    ),
    "exponentials": Case(PHI, action_of(sp.exp(PHI) + sp.exp(-PHI)), sd.Z2(PHI)),
    "tilted exponentials": Case(
        PHI,
        action_of(2 * sp.exp(PHI) + sp.exp(-PHI)),
        sd.Z2(PHI),
        SQUARE.sum(sp.exp(-PHI) - sp.exp(PHI)),
    ),
    "even functions": Case(
        PHI, action_of(sp.Abs(PHI) + sp.cos(PHI - PHI.shift(0)) + sp.cosh(PHI)), sd.Z2(PHI)
    ),
    "complex φ⁴, Z5": Case(CHI, action_of(hopping(CHI) + CHI.abs2 + G * CHI.abs2**2), sd.Cyclic(5, CHI)),
    "complex φ⁴, Z7 of charge 3": Case(
        CHI, action_of(hopping(CHI) + CHI.abs2**2), sd.Cyclic(7, CHI, charge=3)
    ),
    "clock term": Case(CHI, action_of(CHI.abs2 + real_power(CHI, 6)), sd.Cyclic(6, CHI)),
    "clock term, twice its group": Case(
        CHI,
        action_of(CHI.abs2 + real_power(CHI, 3)),
        sd.Cyclic(6, CHI),
        -2 * SQUARE.sum(real_power(CHI, 3)),
    ),
    "eighth turn of a source": Case(
        X,
        POINT.sum(X.squared + H * (X[0] + X[1])),
        sd.Cyclic(8, X),
        POINT.sum(H * ((R2 + R2 - 1) * X[0] + (R2 - R2 - 1) * X[1])),
    ),
    "anisotropic well": Case(
        X, POINT.sum(X[0] ** 2 + 2 * X[1] ** 2), sd.Cyclic(4, X), POINT.sum(X[0] ** 2 - X[1] ** 2)
    ),
    "eight Gaussians": Case(
        X,
        -sp.log(
            sum(
                sp.exp(-((X[0] - 5 * sp.cos(a)) ** 2 + (X[1] - 5 * sp.sin(a)) ** 2) / 2)
                for a in (2 * sp.pi * k / 8 for k in range(8))
            )
        ),
        sd.Cyclic(8, X),
    ),
    "cyclic permutation": Case(
        V,
        LINE.sum(V[0] * V[1].shift(0) + V[1] * V[2].shift(0) + V[2] * V[0].shift(0)),
        sd.Symmetry("C3", [{V[0]: V[1], V[1]: V[2], V[2]: V[0]}]),
    ),
    "product of sums": Case(PHI, SQUARE.sum(PHI) ** 2 / 16 + SQUARE.sum(PHI**2), sd.Z2(PHI)),
    "odd product of sums": Case(
        PHI, SQUARE.sum(PHI) * SQUARE.sum(PHI**2), sd.Z2(PHI), -2 * SQUARE.sum(PHI) * SQUARE.sum(PHI**2)
    ),
}


def theory_of(case: Case) -> sd.Theory:
    return sd.Theory("case", fields=[case.fields], action=case.action, symmetries=[case.symmetry])


def matrix_of(symmetry: sd.Symmetry, components: Any) -> Array:
    """The generator's matrix, from the substitution as the user wrote it."""
    rows = [sp.sympify(symmetry.generators[0].get(c, c)) for c in components]
    return np.array(
        [[float(row.subs({d: int(d == c) for d in components})) for c in components] for row in rows]
    )


@pytest.mark.parametrize("name", CASES)
def test_verdict_and_residual(name: str) -> None:
    case = CASES[name]
    analysis = sd.analyse(theory_of(case), normalizable=False)
    (verdict,) = analysis.reports[0].verdicts
    normalize = normal_form()
    assert verdict.status == analysis.status == ("exact" if case.residual == 0 else "broken")
    assert normalize(normalize(verdict.residual) - normalize(sp.sympify(case.residual))) == 0
    assert (analysis.breaking == 0) == (case.residual == 0)
    assert verdict.status in str(analysis)


@pytest.mark.parametrize("name", CASES)
def test_verdict_agrees_with_the_definition(name: str) -> None:
    """S(Rx) − S(x) at random configurations, and at the counterexample that comes with a refutation."""
    case = CASES[name]
    theory = theory_of(case)
    (verdict,) = sd.analyse(theory, normalizable=False).reports[0].verdicts
    matrix = matrix_of(case.symmetry, theory.components)
    rng = np.random.default_rng(5)
    couplings = {"h": 0.7, "g": 0.4}

    def change(x: Array, couplings: dict[str, float]) -> tuple[float, float]:
        before = value(theory.action, x, theory, **couplings)
        return value(
            theory.action, np.einsum("ab,b...->a...", matrix, x), theory, **couplings
        ) - before, before

    for _ in range(5):
        x = rng.normal(size=theory.configuration_shape)
        difference, size = change(x, couplings)
        expected = value(sp.sympify(case.residual), x, theory, **couplings)
        assert abs(difference - expected) < 1e-9 * (1 + abs(size))
    found = verdict.counterexample
    assert (found is None) == (verdict.status == "exact")
    if found is not None:
        assert found.configuration.shape == theory.configuration_shape
        difference, size = change(found.configuration, found.parameters)
        assert abs(difference - found.difference) < 1e-9 * (1 + abs(size))
        assert abs(difference) > 1e-9 * (1 + abs(size))


def test_counterexample_in_plain_numpy() -> None:
    """The worked example of a hopping term whose sign is wrong for one of two components."""
    action = SQUARE.sum(-CHI.re * CHI.re.shift(0) + CHI.im * CHI.im.shift(0) + CHI.abs2)
    theory = sd.Theory("sign_error", fields=[CHI], action=action, symmetries=[sd.Cyclic(4, CHI, exact=True)])
    with pytest.raises(sd.NotInvariantError) as caught:
        sd.analyse(theory)
    x = caught.value.counterexample

    def plain(x: Array) -> float:
        return float((-x[0] * np.roll(x[0], -1, 0) + x[1] * np.roll(x[1], -1, 0) + (x**2).sum(axis=0)).sum())

    assert abs(plain(np.stack([-x[1], x[0]])) - plain(x) - caught.value.difference) < 1e-12
    assert abs(caught.value.difference) > 1e-3
    expected = 2 * SQUARE.sum(CHI.re * CHI.re.shift(0)) - 2 * SQUARE.sum(CHI.im * CHI.im.shift(0))
    normalize = normal_form()
    assert normalize(normalize(caught.value.residual) - normalize(expected)) == 0


THREE = sd.VectorField("n", SQUARE, 3)
REFUTED: dict[str, tuple[Any, sp.Expr, Callable[[], sd.Symmetry]]] = {
    "sign of one term": (
        CHI,
        SQUARE.sum(CHI.re * CHI.re.shift(0) - CHI.im * CHI.im.shift(0)),
        lambda: sd.Cyclic(4, CHI, exact=True),
    ),
    "shift of one component only": (
        CHI,
        SQUARE.sum(CHI.re * CHI.re.shift(0) + CHI.im**2 + CHI.abs2**2),
        lambda: sd.Cyclic(4, CHI, exact=True),
    ),
    "wrong charge": (CHI, SQUARE.sum(CHI.abs2 + real_power(CHI, 4)), lambda: sd.Cyclic(8, CHI, exact=True)),
    "wrong plane": (
        THREE,
        SQUARE.sum(THREE[0] ** 2 + THREE[1] ** 2 + 2 * THREE[2] ** 2),
        lambda: sd.Cyclic(4, THREE[0], THREE[2], exact=True),
    ),
    "term that is off by default": (PHI, SQUARE.sum(PHI**4 + H * PHI**3), lambda: sd.Z2(PHI, exact=True)),
    "second generator": (
        X,
        POINT.sum(X[0] ** 4 + X[1] ** 4 + X[0] * X[1]),
        lambda: sd.Symmetry("D4", [{X[0]: X[1], X[1]: X[0]}, {X[0]: -X[0]}], exact=True),
    ),
    "far away only": (
        PHI,
        SQUARE.sum(PHI**2 + sp.Piecewise((PHI, 2 * PHI > 1), (0, True))),
        lambda: sd.Z2(PHI, exact=True),
    ),
}


@pytest.mark.parametrize("name", REFUTED)
def test_false_claims_are_refuted(name: str) -> None:
    field, action, symmetry = REFUTED[name]
    defaults = {H: 0} if H in action.free_symbols else {}
    claimed = symmetry()
    theory = sd.Theory("claim", fields=[field], action=action, symmetries=[claimed], defaults=defaults)
    with pytest.raises(sd.NotInvariantError, match=r"remedy") as caught:
        sd.analyse(theory)
    error = caught.value
    assert error.counterexample.shape == theory.configuration_shape
    assert np.isfinite(error.difference)
    assert abs(error.difference) > 1e-6
    assert error.residual != 0
    # the same claim, not made, is not an error
    quiet = sd.Symmetry(claimed.name, claimed.generators)
    silent = sd.Theory("silent", fields=[field], action=action, symmetries=[quiet], defaults=defaults)
    assert sd.analyse(silent, normalizable=False).status == "broken"


TINY = sp.Rational(1, 10**20)
UNDECIDED: dict[str, sp.Expr] = {
    "arctangent": (sp.atan(sp.exp(PHI)) - sp.pi / 4) ** 2,
    "inverse hyperbolic sine": sp.log(PHI + sp.sqrt(1 + PHI**2)) ** 2,
    "gamma function": (sp.loggamma(sp.exp(PHI) + 1) - sp.loggamma(sp.exp(PHI)) - PHI) * PHI + PHI**2,
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_identities_beyond_the_normal_form_are_undecided(name: str) -> None:
    """Even functions of φ, but only by an identity that no normal form knows: evidence, not a proof."""
    density = UNDECIDED[name]
    theory = sd.Theory(
        "hidden", fields=[PHI], action=SQUARE.sum(density), symmetries=[sd.Z2(PHI, exact=True)]
    )
    analysis = sd.analyse(theory, normalizable=False)
    (verdict,) = analysis.reports[0].verdicts
    assert analysis.status == verdict.status == "undecided"
    assert verdict.residual != 0
    assert verdict.counterexample is None
    assert "not proved" in verdict.evidence
    assert "undecided" in str(analysis)
    # what is not proved counts as breaking, so that the sampler stays right if the evidence misleads
    assert analysis.breaking != 0
    moved = act(analysis.group.elements[1], x := np.random.default_rng(0).normal(size=(1, 4, 4)))
    rest = theory.action - analysis.breaking
    assert abs(value(rest, moved, theory) - value(rest, x, theory)) < 1e-10


@pytest.mark.parametrize("name", UNDECIDED)
def test_a_breaking_too_small_for_floats_is_found(name: str) -> None:
    density = UNDECIDED[name] + TINY * PHI**3
    theory = sd.Theory("hidden", fields=[PHI], action=SQUARE.sum(density), symmetries=[sd.Z2(PHI)])
    assert sd.analyse(theory, normalizable=False).status == "broken"
    claimed = sd.Theory(
        "hidden", fields=[PHI], action=SQUARE.sum(density), symmetries=[sd.Z2(PHI, exact=True)]
    )
    with pytest.raises(sd.NotInvariantError):
        sd.analyse(claimed)


# Lattice automorphisms, for which the core is ready


def site_maps(lattice: sd.Lattice) -> list[SiteMap]:
    maps = []
    for axes in itertools.permutations(range(lattice.dimension)):
        for signs in itertools.product((1, -1), repeat=lattice.dimension):
            maps.append(SiteMap(lattice, axes, signs, tuple(range(1, lattice.dimension + 1))))
    return maps


@pytest.mark.parametrize("index", range(8))
def test_transformed_action_is_the_action_of_the_image(index: int) -> None:
    """transformed(S)(x) = S(T_g x), with (T_g φ)(x) = R φ(g⁻¹x) written out site by site."""
    element = Element(sp.ImmutableMatrix([[0, -1], [1, 0]]), site_maps(SQUARE)[index])
    density = CHI.re * CHI.re.shift(0) ** 2 * CHI.im.shift(1, -1) + CHI.im * CHI.re.shift(1, 2) + CHI.im
    action = SQUARE.sum(density)
    rng = np.random.default_rng(index)
    for _ in range(3):
        x = rng.normal(size=(2, 4, 4))
        image = np.empty_like(x)
        g = element.sites
        for site in np.ndindex(4, 4):
            target = [0, 0]
            for mu in range(2):
                target[g.axes[mu]] += g.signs[mu] * site[mu]
            there = tuple((t + s) % 4 for t, s in zip(target, g.translation, strict=True))
            image[(slice(None), *there)] = [-x[(1, *site)], x[(0, *site)]]
        assert np.array_equal(image, act(element, x))
        assert (
            abs(value(transformed(action, element, CHI.components), x, CHI) - value(action, image, CHI))
            < 1e-10
        )


@pytest.mark.parametrize("index", range(8))
def test_verdicts_on_lattice_automorphisms(index: int) -> None:
    element = Element(sp.ImmutableMatrix(sp.eye(1)), site_maps(SQUARE)[index])
    swaps = element.sites.axes == (1, 0)
    isotropic = SQUARE.sum(PHI * PHI.shift(0) + PHI * PHI.shift(1) + PHI**4)
    theory = sd.Theory("iso", fields=[PHI], action=isotropic)
    assert check_invariance(theory, element, normal_form()).status == "exact"
    anisotropic = SQUARE.sum(PHI * PHI.shift(0) + 3 * PHI * PHI.shift(1))
    verdict = check_invariance(sd.Theory("aniso", fields=[PHI], action=anisotropic), element, normal_form())
    assert verdict.status == ("broken" if swaps else "exact")
    expected = 2 * SQUARE.sum(PHI * PHI.shift(0)) - 2 * SQUARE.sum(PHI * PHI.shift(1)) if swaps else sp.S.Zero
    normalize = normal_form()
    assert normalize(normalize(verdict.residual) - normalize(sp.sympify(expected))) == 0


# The split S = S₀ + S₁


def d4(*fields: sp.Expr) -> sd.Symmetry:
    a, b = fields
    return sd.Symmetry("D4", [{a: b, b: a}, {a: -a}])


SPLITS: dict[str, tuple[Any, sp.Expr, sd.Symmetry, sp.Expr]] = {
    "source": (PHI, SQUARE.sum(PHI**2 + H * PHI), sd.Z2(PHI), H * SQUARE.sum(PHI)),
    "shifted quartic": (PHI, SQUARE.sum((PHI + 1) ** 4), sd.Z2(PHI), SQUARE.sum(4 * PHI**3 + 4 * PHI)),
    "average of two terms": (
        X,
        POINT.sum(3 * X[0] ** 2 + 5 * X[1] ** 2),
        sd.Cyclic(4, X),
        POINT.sum(X[1] ** 2 - X[0] ** 2),
    ),
    "average over D4": (
        X,
        POINT.sum(X[0] ** 4 + 7 * X[1] ** 4 + X[0] ** 2 * X[1] ** 2),
        d4(X[0], X[1]),
        POINT.sum(3 * X[1] ** 4 - 3 * X[0] ** 4),
    ),
    "average of exponentials": (
        PHI,
        SQUARE.sum(sp.exp(PHI) + 3 * sp.exp(-PHI) + PHI**2),
        sd.Z2(PHI),
        SQUARE.sum(sp.exp(-PHI) - sp.exp(PHI)),
    ),
    "block shorter than its average": (X, POINT.sum(X[0] ** 6), sd.Cyclic(4, X), POINT.sum(X[0] ** 6)),
    "eighth turns": (
        X,
        POINT.sum(X.squared + H * (X[0] + X[1])),
        sd.Cyclic(8, X),
        H * POINT.sum(X[0] + X[1]),
    ),
}


@pytest.mark.parametrize("name", SPLITS)
def test_split(name: str) -> None:
    field, action, symmetry, expected = SPLITS[name]
    theory = sd.Theory("split", fields=[field], action=action, symmetries=[symmetry])
    analysis = sd.analyse(theory, normalizable=False)
    normalize = normal_form()
    assert normalize(normalize(analysis.breaking) - normalize(expected)) == 0
    rest = action - analysis.breaking
    rng = np.random.default_rng(1)
    for _ in range(3):
        x = rng.normal(size=theory.configuration_shape)
        images = [act(g, x) for g in analysis.group.elements]
        rests = [value(rest, image, theory, h=0.3) for image in images]
        assert np.ptp(rests) < 1e-10 * (1 + abs(rests[0]))
        parts = [value(analysis.breaking, image, theory, h=0.3) for image in images]
        assert np.ptp(parts) > 1e-3
        if name != "block shorter than its average":
            assert abs(np.mean(parts)) < 1e-10 * (1 + max(map(abs, parts))), (
                "S₁ averages to zero over the group"
            )


def test_two_symmetries_are_judged_one_by_one() -> None:
    action = SQUARE.sum(CHI.abs2 + H * CHI.re)
    flip_im = sd.Symmetry("conjugation", [{CHI.im: -CHI.im}], exact=True)
    flip_re = sd.Symmetry("reflection", [{CHI.re: -CHI.re}])
    analysis = sd.analyse(sd.Theory("two", fields=[CHI], action=action, symmetries=[flip_im, flip_re]))
    assert [report.status for report in analysis.reports] == ["exact", "broken"]
    assert (analysis.status, analysis.group.order) == ("broken", 4)
    normalize = normal_form()
    assert normalize(analysis.breaking) == normalize(H * SQUARE.sum(CHI.re))
