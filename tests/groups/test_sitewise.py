"""Finite groups at every site or block: verdicts, the split, what factorises, and what cannot be combined."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.algebra.normal_form import NormalForm
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import generic_parameters
from sesamo_dsl.errors import GroupError, NotInvariantError, SesamoError
from sesamo_dsl.groups import Dihedral, Hyperoctahedral, Translations, direct_product
from sesamo_dsl.report.derivation import derivation
from sesamo_dsl.symbols.exact import NumberTable, floats
from support import processor_time

G, H = sd.parameters("g h")
LINE, SQUARE = sd.Lattice(3), sd.Lattice(2, 3)
RING = sd.GraphLattice(nx.cycle_graph(4), time=2)
PHI, V, C = sd.ScalarField("phi", LINE), sd.VectorField("v", LINE, 2), sd.ComplexField("c", LINE)
P, Q = sd.ScalarField("p", RING), sd.ScalarField("q", SQUARE)


@dataclass(frozen=True)
class Case:
    """An action, a sitewise group, and what is known: S₁, the verdict, that of the diagonal group."""

    field: Any
    action: sp.Expr
    symmetry: sd.Sitewise
    breaking: sp.Expr
    diagonal: str
    factorised: bool = True

    @property
    def status(self) -> str:
        return "exact" if self.breaking == 0 else "broken"


def power(field: Any, n: int) -> sp.Expr:
    return sp.expand(sp.re(sp.expand((field[0] + sp.I * field[1]) ** n)))


CASES: dict[str, Case] = {
    "independent wells": Case(
        PHI, LINE.sum(PHI**2 + G * PHI**4), sd.Sitewise(sd.Z2(PHI)), sp.S.Zero, "exact"
    ),
    "even in each neighbour": Case(
        PHI, LINE.sum(PHI**2 * PHI.shift(0) ** 2 + sp.cosh(PHI)), sd.Sitewise(sd.Z2(PHI)), sp.S.Zero, "exact"
    ),
    "source": Case(PHI, LINE.sum(PHI**4 + H * PHI), sd.Sitewise(sd.Z2(PHI)), H * LINE.sum(PHI), "broken"),
    "odd part of a density": Case(
        PHI,
        LINE.sum(PHI**2 + (PHI + 1) ** 4),
        sd.Sitewise(sd.Z2(PHI)),
        4 * LINE.sum(PHI**3) + 4 * LINE.sum(PHI),
        "broken",
    ),
    "hopping": Case(
        PHI,
        LINE.sum(PHI**4 - G * PHI * PHI.shift(0)),
        sd.Sitewise(sd.Z2(PHI)),
        -G * LINE.sum(PHI * PHI.shift(0)),
        "exact",
        factorised=False,
    ),
    "difference squared": Case(
        PHI,
        LINE.sum((PHI - PHI.shift(0)) ** 2),
        sd.Sitewise(sd.Z2(PHI)),
        -2 * LINE.sum(PHI * PHI.shift(0)),
        "exact",
        factorised=False,
    ),
    "no block axes": Case(
        PHI, LINE.sum(PHI * PHI.shift(0)), sd.Sitewise(sd.Z2(PHI), axes=()), sp.S.Zero, "exact"
    ),
    "hopping along the block": Case(
        Q, SQUARE.sum(Q * Q.shift(1) + Q**4), sd.Sitewise(sd.Z2(Q), axes=(0,)), sp.S.Zero, "exact"
    ),
    "hopping across the blocks": Case(
        Q,
        SQUARE.sum(Q * Q.shift(1) + Q * Q.shift(0)),
        sd.Sitewise(sd.Z2(Q), axes=(0,)),
        SQUARE.sum(Q * Q.shift(0)),
        "exact",
        factorised=False,
    ),
    "square of a sum": Case(
        PHI,
        LINE.sum(PHI**2) + LINE.sum(PHI) ** 2,
        sd.Sitewise(sd.Z2(PHI)),
        LINE.sum(PHI) ** 2,
        "exact",
        factorised=False,
    ),
    "gauge-like moduli": Case(
        C,
        LINE.sum(C.abs2 * C.shift(0).abs2 + G * power(C, 6)),
        sd.Sitewise(sd.Cyclic(6, C)),
        sp.S.Zero,
        "exact",
    ),
    "local rotations of a pair": Case(
        V,
        LINE.sum(V.squared**2 - G * V.dot(V.shift(0))),
        sd.Sitewise(Dihedral(4, V)),
        -G * (LINE.sum(V[0] * V[0].shift(0)) + LINE.sum(V[1] * V[1].shift(0))),
        "exact",
        factorised=False,
    ),
    "antisymmetric pair": Case(
        V,
        LINE.sum(V.squared + V[0] * V[1].shift(0) - V[1] * V[0].shift(0)),
        sd.Sitewise(sd.Cyclic(4, V)),
        LINE.sum(V[0] * V[1].shift(0)) - LINE.sum(V[1] * V[0].shift(0)),
        "exact",
        factorised=False,
    ),
    "cubic potential at a site": Case(
        V,
        LINE.sum(V[0] ** 4 + V[1] ** 4 + H * V[0] ** 2),
        sd.Sitewise(Hyperoctahedral(V)),
        H * (LINE.sum(V[0] ** 2) - LINE.sum(V[1] ** 2)) / 2,
        "broken",
    ),
    "neighbours on a graph": Case(
        P,
        RING.sum(P**4 - G * P * RING.neighbours(P) + P * P.shift(0)),
        sd.Sitewise(sd.Z2(P)),
        -G * RING.sum(P * RING.neighbours(P)),
        "exact",
        factorised=False,
    ),
    "blocks of time on a graph": Case(
        P,
        RING.sum(P**4 - G * P * RING.neighbours(P)),
        sd.Sitewise(sd.Z2(P), axes=(0,)),
        sp.S.Zero,
        "exact",
    ),
    "even in the sum over neighbours": Case(
        P,
        RING.sum(P**2 + RING.neighbours(P) ** 4),
        sd.Sitewise(sd.Z2(P)),
        RING.sum(RING.neighbours(P) ** 4),
        "exact",
        factorised=False,
    ),
    "determinant": Case(
        P,
        RING.sum(P**2) - sd.FermionLogDet(RING, 1, P, 1) - sd.FermionLogDet(RING, 1, P, -1),
        sd.Sitewise(sd.Z2(P)),
        RING.sum(P) - 2 * sd.FermionLogDet(RING, 1, P, 1),
        "exact",
        factorised=False,
    ),
}


@cache
def analysed(name: str) -> sd.Analysis:
    case = CASES[name]
    defaults = {p: 0.3 for p in (G, H) if p in case.action.free_symbols}
    theory = sd.Theory(
        "sitewise", fields=[case.field], action=case.action, symmetries=[case.symmetry], defaults=defaults
    )
    return sd.analyse(theory, normalizable=False)


def block_action(analysis: sd.Analysis, choice: np.ndarray, x: np.ndarray) -> np.ndarray:
    """T_u x with one group element per block, by loops over blocks: choice has the shape of the blocks."""
    axes, elements = analysis.axes, analysis.group.elements
    out = x.copy()
    for block in itertools.product(*(range(analysis.theory.lattice.shape[mu]) for mu in axes)):
        where: list[Any] = [slice(None)] * x.ndim
        for mu, b in zip(axes, block, strict=True):
            where[mu + 1] = b
        matrix = floats(elements[int(choice[block])].matrix)
        out[tuple(where)] = np.tensordot(matrix, x[tuple(where)], axes=1)
    return out


@pytest.mark.parametrize("name", CASES)
def test_verdicts_and_split(name: str) -> None:
    case, analysis = CASES[name], analysed(name)
    (report,) = analysis.reports
    assert analysis.sitewise is report
    assert (report.status, report.diagonal, report.factorised) == (
        case.status,
        case.diagonal,
        case.factorised,
    )
    assert report.axes == case.symmetry.axes == analysis.axes
    assert report.group is analysis.group
    normalize = NormalForm(NumberTable())
    assert normalize(normalize(analysis.breaking) - normalize(case.breaking)) == 0


@pytest.mark.parametrize("name", CASES)
def test_the_rest_is_invariant_block_by_block(name: str) -> None:
    """S − S₁ at random configurations under random elements at every block, with NumPy."""
    analysis = analysed(name)
    theory, parameters = analysis.theory, generic_parameters(analysis.theory)
    shape = tuple(theory.lattice.shape[mu] for mu in analysis.axes)
    rng = np.random.default_rng(3)

    def rest(x: np.ndarray) -> float:
        return evaluate(theory.action, x, theory.components, parameters) - evaluate(
            analysis.breaking, x, theory.components, parameters
        )

    for _ in range(5):
        x = rng.normal(size=theory.configuration_shape)
        moved = block_action(analysis, rng.integers(analysis.group.order, size=shape), x)
        assert abs(rest(moved) - rest(x)) < 1e-10 * (1 + abs(rest(x)))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.status == "broken"])
def test_counterexamples_reproduce(name: str) -> None:
    analysis = analysed(name)
    theory = analysis.theory
    for verdict in analysis.reports[0].verdicts:
        found = verdict.counterexample
        if verdict.status == "exact":
            continue
        assert found is not None
        assert found.block == (0,) * len(analysis.axes)
        choice = np.zeros([theory.lattice.shape[mu] for mu in analysis.axes], dtype=int)
        choice[found.block] = analysis.group.elements.index(verdict.generator)
        image = block_action(analysis, choice, found.configuration)
        values = [
            evaluate(theory.action, x, theory.components, found.parameters)
            for x in (found.configuration, image)
        ]
        assert abs(found.difference) > 1e-6
        assert abs(values[1] - values[0] - found.difference) < 1e-9 * (1 + abs(values[0]))


@pytest.mark.parametrize("name", CASES)
def test_factorised_breaking_is_a_sum_over_blocks(name: str) -> None:
    """Mixed differences of S₁ between two blocks vanish exactly when it factorises."""
    analysis = analysed(name)
    if not analysis.axes:
        return
    theory, parameters = analysis.theory, generic_parameters(analysis.theory)
    rng = np.random.default_rng(4)
    x = rng.normal(size=theory.configuration_shape)
    mixed = []
    steps = [rng.normal(size=(len(x), *(1,) * (x.ndim - 2))) for _ in range(2)]
    axis = analysis.axes[-1] + 1
    for other in range(1, x.shape[axis]):
        values = []
        for first, second in itertools.product((0, 1), repeat=2):
            y = x.copy()
            np.moveaxis(y, axis, 0)[0] += steps[0] * first
            np.moveaxis(y, axis, 0)[other] += steps[1] * second
            values.append(evaluate(analysis.breaking, y, theory.components, parameters))
        mixed.append(abs(values[0] - values[1] - values[2] + values[3]))
    assert (max(mixed) < 1e-10) == CASES[name].factorised


def test_false_claims_are_refuted() -> None:
    symmetry = sd.Sitewise(sd.Z2(PHI, exact=True))
    action = LINE.sum(PHI**2 - G * PHI * PHI.shift(0))
    theory = sd.Theory("claim", fields=[PHI], action=action, symmetries=[symmetry])
    with pytest.raises(NotInvariantError, match="part of S that changes") as caught:
        sd.analyse(theory)
    x, g = caught.value.counterexample, generic_parameters(theory)["g"]
    flipped = x.copy()
    flipped[0, 0] *= -1
    change = sum(-g * (y[0] * np.roll(y[0], -1)).sum() * s for y, s in ((flipped, 1), (x, -1)))
    assert abs(change - caught.value.difference) < 1e-12


def large(lattice: sd.Lattice) -> sd.Theory:
    phi = sd.ScalarField("phi", lattice)
    if isinstance(lattice, sd.GraphLattice):
        hopping = phi * lattice.neighbours(phi) + phi * phi.shift(0)
    else:
        hopping = sum(phi * phi.shift(mu) for mu in lattice.directions)
    action = lattice.sum(phi**2 + phi**4 - G * hopping)
    return sd.Theory(
        "large", fields=[phi], action=action, symmetries=[sd.Sitewise(sd.Z2(phi))], defaults={G: 0.2}
    )


LARGE: dict[str, Callable[[], sd.Lattice]] = {
    "(Z₂)^18": lambda: sd.GraphLattice(nx.pappus_graph(), time=100),
    "a copy at each of 64×64 sites": lambda: sd.Lattice(64, 64),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_products_are_never_enumerated(name: str) -> None:
    theory = large(LARGE[name]())
    with processor_time() as spent:
        analysis = sd.analyse(theory)
    assert spent.is_below(5)
    assert analysis.group.order == 2
    assert analysis.reports[0].diagonal == "exact"
    symmetry = analysis.reports[0].symmetry
    assert isinstance(symmetry, sd.Sitewise)
    assert symmetry.n_blocks in (18, 4096)


@pytest.mark.parametrize("name", ["source", "hopping", "independent wells", "determinant"])
def test_it_reads_well(name: str) -> None:
    text = analysed(name).text()
    blocks = CASES[name].symmetry.n_blocks
    assert f"order 2^{blocks}" in text
    assert "Acting at all blocks alike" in text
    laws = {"source": "the heat bath of each, which is exact", "independent wells": "p(u|y) = 1/|G|"}
    assert laws.get(name, "couples the blocks") in text
    for format in ("latex", "html"):
        assert derivation(analysed(name), format)


def theory_with(*symmetries: Any, fields: Any = (C,), action: sp.Expr | None = None) -> sd.Theory:
    density = LINE.sum(C.abs2**2) if action is None else action
    return sd.Theory("combined", fields=list(fields), action=density, symmetries=list(symmetries))


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "Lie group": (lambda: sd.Sitewise(sd.U1(C)), "Lie groups"),
    "maps of the sites": (lambda: sd.Sitewise(Translations(LINE)), "moves sites"),
    "equivariant": (lambda: sd.Sitewise(sd.Z2(PHI, use="equivariant")), "modulated"),
    "missing axis": (lambda: sd.Sitewise(sd.Z2(PHI), axes=(1,)), "axes among"),
    "axis twice": (lambda: sd.Sitewise(sd.Z2(PHI), axes=(0, 0)), "each once"),
    "axis by name": (lambda: sd.Sitewise(sd.Z2(PHI), axes=("x",)), "axes among"),
    "with a global group": (
        lambda: sd.analyse(theory_with(sd.Sitewise(sd.Z2(C)), sd.Cyclic(4, C))),
        "only one to modulate",
    ),
    "with a Lie group": (
        lambda: sd.analyse(theory_with(sd.Sitewise(sd.Z2(C)), sd.U1(C))),
        "only one to modulate",
    ),
    "two of them": (
        lambda: sd.analyse(theory_with(sd.Sitewise(sd.Z2(C.re)), sd.Sitewise(sd.Z2(C.im)))),
        "direct_product",
    ),
    "with a shift": (
        lambda: sd.analyse(theory_with(sd.Sitewise(sd.Symmetry("r", [{C.re: 1 - C.re}])))),
        "fixed point",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be(name: str) -> None:
    mistake, words = BAD[name]
    with pytest.raises(GroupError, match=words) as caught:
        mistake()
    assert isinstance(caught.value, SesamoError)


def test_equivariant_groups_go_along_and_a_base_can_be_a_product() -> None:
    base = direct_product(sd.Z2(C.re), sd.Z2(C.im))
    analysis = sd.analyse(theory_with(sd.Sitewise(base), Translations(LINE)))
    assert [r.status for r in analysis.reports] == ["exact", "exact"]
    assert analysis.group.order == 4
    assert analysis.sitewise is analysis.reports[0]
