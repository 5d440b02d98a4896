"""Signs that alternate from site to site: staggered symmetries, proved and refuted, against plain NumPy."""

from __future__ import annotations

import pickle
from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.algebra.normal_form import transformed
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import act
from sesamo_dsl.errors import GroupError, NotInvariantError
from sesamo_dsl.groups import Generator, Staggered, node_permutation, reflection, rotation, translation
from sesamo_dsl.report.derivation import derivation
from sesamo_dsl.symbols.exact import NumberTable

SQUARE = sd.Lattice(4, 4)
PHI, CHI = sd.ScalarField("phi", SQUARE), sd.ScalarField("chi", SQUARE)
FIELDS = (PHI, CHI)
K = sd.parameters("k")
ROWS, COLUMNS = np.indices(SQUARE.shape)
EVEN = sd.SiteConstant("even", SQUARE, 1 + (-1) ** (ROWS + COLUMNS))
STAGGERED = sd.SiteConstant("staggered", SQUARE, (-1) ** (ROWS + COLUMNS))
RUN_TIME = sd.SiteConstant("h", SQUARE)


def theory(density: sp.Expr, symmetry: sd.Symmetry, fields: Any = (PHI,), **options: Any) -> sd.Theory:
    lattice = fields[0].components[0].lattice
    action = lattice.sum(density)
    return sd.Theory("alternating", fields=fields, action=action, symmetries=[symmetry], **options)


EXACT = {
    "square": PHI**2 + K * PHI**4,
    "even displacement": PHI * PHI.shift(0, 2) - K * PHI * PHI.shift(0).shift(1, -1),
    "odd displacement, even powers": PHI**2 * PHI.shift(0) ** 2,
    "four corners": PHI * PHI.shift(0) * PHI.shift(1) * PHI.shift(0).shift(1),
    "even functions": sp.cos(PHI) + sp.log(2 * sp.cosh(PHI)) + sp.Abs(PHI) * sp.exp(-(PHI**2)),
    "function of an even product": sp.exp(-sp.cos(PHI + PHI.shift(1, 2)) / 3),
    "field on the even sites": PHI**2 + EVEN * PHI,
    "mass that varies": RUN_TIME * PHI**2 + STAGGERED * PHI**4,
}
BROKEN = {
    "hopping": PHI**2 - PHI * PHI.shift(0),
    "source": PHI**2 + K * PHI,
    "staggered source": PHI**2 + STAGGERED * PHI,
    "source at run time": PHI**2 + RUN_TIME * PHI,
    "cube": PHI**4 + K * PHI * PHI.shift(0, 2) * PHI.shift(1, 2),
    "function": sp.exp(PHI),
    "function of a difference": sp.cos(PHI - PHI.shift(0)),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_invariant_is_proved(name: str) -> None:
    analysis = sd.analyse(theory(EXACT[name], Staggered(PHI, exact=True)), normalizable=False)
    (report,) = analysis.reports
    assert report.status == "exact"
    assert report.group.order == 2
    assert report.symmetry.use == "equivariant"
    assert not analysis.is_modulated


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_is_refuted(name: str) -> None:
    with pytest.raises(NotInvariantError) as raised:
        sd.analyse(theory(BROKEN[name], Staggered(PHI, exact=True)))
    x = raised.value.counterexample
    assert x is not None
    (report,) = sd.analyse(theory(BROKEN[name], Staggered(PHI)), normalizable=False).reports
    (verdict,) = report.verdicts
    assert verdict.status == "broken"
    assert verdict.residual != 0
    flipped = x * (-1.0) ** (ROWS + COLUMNS)
    assert verdict.counterexample is not None
    parameters = verdict.counterexample.parameters
    before, after = (
        evaluate(SQUARE.sum(BROKEN[name]), y, (PHI,), parameters, digits=30) for y in (x, flipped)
    )
    assert float(after - before) == pytest.approx(raised.value.difference)
    assert float(evaluate(verdict.residual, x, (PHI,), parameters, digits=30)) == pytest.approx(
        raised.value.difference
    )


def test_axes_fields_and_charges_of_one_theory() -> None:
    rows = Staggered(PHI, axes=(0,))
    assert sd.analyse(theory(PHI**2 - PHI * PHI.shift(1), rows), normalizable=False).status == "exact"
    assert sd.analyse(theory(PHI**2 - PHI * PHI.shift(0), rows), normalizable=False).status == "broken"
    both = Staggered(PHI, CHI)
    coupled = PHI * CHI + PHI * CHI.shift(0, 2) + PHI**2 * CHI.shift(1) ** 2
    assert sd.analyse(theory(coupled, both, FIELDS), normalizable=False).status == "exact"
    assert sd.analyse(theory(coupled, Staggered(PHI), FIELDS), normalizable=False).status == "broken"
    # each field has signs of its own, and −χ is a sign as well
    own = sd.Symmetry("own", [Generator({CHI: -CHI}, None, {PHI: (0,), CHI: (0, 1)})])
    density = (
        PHI**2 + CHI**2 + PHI * CHI * PHI.shift(1) * CHI.shift(0).shift(1) + (PHI * CHI.shift(0, 2)) ** 2
    )
    (report,) = sd.analyse(theory(density, own, FIELDS), normalizable=False).reports
    assert report.status == "exact"
    assert sd.analyse(theory(density + PHI * CHI, own, FIELDS), normalizable=False).status == "broken"


def test_a_translation_with_signs() -> None:
    """The ground state of an antiferromagnet: each step exchanges the sublattices and flips the field."""
    step = Staggered(PHI, sites=translation(SQUARE, 0), exact=True)
    (report,) = sd.analyse(theory(PHI**2 + PHI**3 * PHI.shift(0, 2), step), normalizable=False).reports
    assert report.status == "exact"
    assert report.group.order == 4  # twice is −1 and two steps
    step = sd.Symmetry("flip", [Generator({PHI: -PHI}, translation(SQUARE, 0))], use="equivariant")
    assert sd.analyse(theory(PHI**2 + STAGGERED * PHI, step)).status == "exact"
    assert sd.analyse(
        theory(PHI**2 + STAGGERED * PHI, Staggered(PHI, sites=reflection(SQUARE, 1)))
    ).status == ("broken")


def elements() -> list[Any]:
    generators = [
        Generator({PHI: CHI, CHI: -PHI}, translation(SQUARE, 0), {PHI: (1,), CHI: (1,)}),
        Generator({}, rotation(SQUARE, 0, 1), {PHI: (0, 1), CHI: (0, 1)}),
        Generator({CHI: -CHI}, reflection(SQUARE, 1) @ translation(SQUARE, 1), {PHI: (0,), CHI: (0, 1)}),
        Generator({}, None, {CHI: (0,)}),
        Generator({PHI: CHI, CHI: PHI}, rotation(SQUARE, 0, 1)),
    ]
    return list(sd.Symmetry("several", generators).elements(FIELDS, NumberTable()))


def test_the_image_of_an_action_is_the_action_of_the_image() -> None:
    density = (
        sp.exp(PHI.shift(0) * CHI / 5)
        + sp.sin(PHI + 2 * CHI.shift(1))
        + STAGGERED * PHI**3 * CHI.shift(0, 2)
        + RUN_TIME * CHI
    )
    action = SQUARE.sum(density) + sp.cos(SQUARE.sum(PHI)) * SQUARE.sum(CHI) ** 2
    rng = np.random.default_rng(5)
    h = {"h": rng.normal(size=SQUARE.shape)}
    for element in elements():
        x = rng.normal(size=(2, 4, 4))
        image = transformed(action, element, FIELDS)
        assert evaluate(image, x, FIELDS, h) == pytest.approx(evaluate(action, act(element, x), FIELDS, h))


def test_elements_compose_as_their_actions_do() -> None:
    rng, numbers = np.random.default_rng(6), NumberTable()
    x = rng.normal(size=(2, 4, 4))
    mixed = 0
    for a in elements():
        for b in elements():
            try:
                product = a.compose(b, numbers)
            except GroupError:
                mixed += 1
                continue
            np.testing.assert_allclose(act(product, x), act(a, act(b, x)), atol=1e-12)
    assert mixed < 5
    one = elements()[1]
    assert act(one, x)[0, 1, 2] == pytest.approx((-1) ** 3 * x[0, 2, 3])  # g⁻¹(1, 2) = (2, −1)


def test_products_that_are_no_such_element_are_refused() -> None:
    swap = Generator({PHI: (PHI + CHI) / sp.sqrt(2), CHI: (PHI - CHI) / sp.sqrt(2)})
    density = PHI**2 + CHI**2
    with pytest.raises(GroupError, match="separate symmetries"):
        sd.analyse(theory(density, sd.Symmetry("mix", [swap, Generator(signs={PHI: (0,)})]), FIELDS))
    shift = Generator({PHI: 2 - PHI})
    with pytest.raises(GroupError, match="one constant for all sites"):
        sd.analyse(theory(PHI**2, sd.Symmetry("shift", [shift, Generator(signs={PHI: (0,)})])))


def test_graphs_of_two_colours() -> None:
    hexagon = sd.GraphLattice(nx.cycle_graph(6), time=4)
    phi = sd.ScalarField("phi", hexagon)
    hopping = phi**2 - phi * hexagon.neighbours(phi)
    twice = phi**2 - hexagon.neighbours(phi) ** 2 + phi * hexagon.neighbours(hexagon.neighbours(phi))
    colours = Staggered(phi, axes=(1,))
    assert sd.analyse(theory(hopping, colours, [phi]), normalizable=False).status == "broken"
    assert sd.analyse(theory(twice, colours, [phi]), normalizable=False).status == "exact"
    # on all axes the signs of space and time cancel along diagonal bonds
    diagonal = phi * hexagon.neighbours(phi).shift(0)
    assert sd.analyse(theory(diagonal, Staggered(phi), [phi]), normalizable=False).status == "exact"
    assert sd.analyse(theory(diagonal, colours, [phi]), normalizable=False).status == "broken"
    step = node_permutation(hexagon, {i: (i + 1) % 6 for i in range(6)})
    turned = Staggered(phi, axes=(1,), sites=step)
    (report,) = sd.analyse(theory(twice, turned, [phi]), normalizable=False).reports
    assert report.status == "exact"
    assert report.group.order == 12  # six steps make −1
    (element,) = report.generators
    x = np.random.default_rng(0).normal(size=(1, 4, 6))
    expected = (
        np.roll(x, 1, axis=2) * np.array([1, -1] * 3) * np.sign(act(element, np.ones((1, 4, 6)))[0, 0, 0])
    )
    np.testing.assert_allclose(act(element, x), expected)
    triangle = sd.GraphLattice(nx.cycle_graph(3))
    with pytest.raises(GroupError, match="odd cycle"):
        Staggered(sd.ScalarField("phi", triangle))


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Staggered(sd.ScalarField("p", sd.Lattice(4, 3))),
        lambda: Staggered(PHI, axes=(2,)),
        lambda: Staggered(PHI, axes=(0, 0)),
        lambda: Staggered(PHI, axes=()),
        lambda: Staggered(PHI, axes=0),
        lambda: Staggered(PHI, axes="0"),
        lambda: Staggered(PHI, use="modulate"),
        lambda: Staggered(PHI, use="canonicalize"),
        lambda: Staggered(PHI, sites="left"),
        lambda: Staggered(),
        lambda: sd.Symmetry("odd", [Generator(signs={"phi": (0,)})]),
        lambda: sd.Symmetry("odd", [Generator(signs={PHI: None, CHI: (0.5,)})]),
        lambda: sd.Sitewise(Staggered(PHI)),
    ],
)
def test_mistakes_are_group_errors(declare: Any) -> None:
    with pytest.raises(GroupError):
        declare()


def test_a_site_constant_in_a_generator_is_told_the_other_declaration() -> None:
    lattice = sd.Lattice(4, 4)
    phi = sd.ScalarField("phi", lattice)
    chi = sd.SiteConstant("chi", lattice, (-1.0) ** np.indices((4, 4)).sum(axis=0))
    declared = theory(phi**2, sd.Symmetry("signs", [{phi: chi * phi}]), [phi])
    with pytest.raises(GroupError, match="Staggered"):
        sd.analyse(declared)


def test_an_odd_axis_may_stay_out() -> None:
    strip = sd.Lattice(4, 3)
    phi = sd.ScalarField("phi", strip)
    density = phi**2 + phi * phi.shift(1) + phi * phi.shift(0, 2).shift(1)
    assert (
        sd.analyse(theory(density, Staggered(phi, axes=(0,), exact=True), [phi]), normalizable=False).status
        == "exact"
    )


def test_with_other_groups_and_in_reports() -> None:
    both = sd.Theory(
        "both",
        fields=[PHI],
        action=SQUARE.sum(PHI**2 / 2 + PHI**4 - K * PHI * PHI.shift(0) + PHI**2 * PHI.shift(1)),
        symmetries=[sd.Z2(PHI), Staggered(PHI)],
        defaults={K: 0.1},
    )
    analysis = sd.analyse(both)
    assert [r.status for r in analysis.reports] == ["broken", "broken"]
    assert analysis.group.order == 2  # modulated with Z2 alone
    assert "(-1)^(x0+x1)" in str(analysis)
    for form in ("text", "latex", "html"):
        assert "(-1)" in derivation(analysis, form) or "−1" in derivation(analysis, form)
    again = pickle.loads(pickle.dumps(analysis))
    assert str(again) == str(analysis)
    pair = sd.groups.direct_product(Staggered(PHI), Staggered(PHI, axes=(0,)), sd.Z2(PHI))
    (report,) = sd.analyse(theory(PHI**2, pair)).reports
    assert report.group.order == 8
    assert report.status == "exact"
    together = sd.groups.together(Staggered(PHI), sd.Z2(CHI))
    assert (
        sd.analyse(theory(PHI**2 + PHI * PHI.shift(0) * CHI, together, FIELDS), normalizable=False).status
        == "exact"
    )


def test_the_derivation_moves_sites_before_it_multiplies() -> None:
    """χ is that of the site where the field arrives."""
    step = Staggered(PHI, axes=(1,), sites=translation(SQUARE, 1))
    text = derivation(sd.analyse(theory(PHI**2, step)), "text")
    assert 0 < text.index("moves the sites, x ↦ (x0, x1+1)") < text.index("by the sign (-1)^x1 of the site")
