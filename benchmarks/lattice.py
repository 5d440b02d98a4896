"""Samplers of lattice φ⁴ theories: ESS, observables against HMC, the virial identity, log Z in two ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from common import REFERENCE, SAMPLES, Row, Task, train, train_run

import sesamo_dsl as sd
from sesamo_dsl.estimates.estimate import Estimate
from sesamo_dsl.estimates.weighted import observable_names
from sesamo_theories.clock_phi4 import clock_phi4
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.complex_phi4_collinear import complex_phi4_collinear
from sesamo_theories.on_model import on_model
from sesamo_theories.scalar_phi4 import scalar_phi4


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes
    ----------
    declare
        The theory on given extents.
    shapes
        Lattices to train on in turn, each from the weights of the one before; the last one is measured.
    bar
        The bar for the ESS; None: for information.
    other
        Symmetries of the second estimate of log Z; None: the same ones with the penalty strategy.
    """

    declare: Callable[..., sd.Theory]
    parameters: dict[str, float] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = ((8, 8),)
    bar: float | None = None
    seconds: float = 900
    count: int = SAMPLES
    other: Callable[[sd.Theory], Sequence[sd.Symmetry]] | None = None
    checked: bool = True


def signs(theory: sd.Theory) -> list[sd.Symmetry]:
    """Independent sign changes of the components, a finite subgroup of O(N)."""
    return [sd.Symmetry("signs", [{c: -c} for c in theory.components])]


def quarter_turns(theory: sd.Theory) -> list[sd.Symmetry]:
    """Z₄ inside U(1)."""
    return [sd.Cyclic(4, theory.fields[0])]  # pyright: ignore[reportArgumentType]


def label(theory: sd.Theory, parameters: dict[str, float]) -> str:
    """Key of a theory in the stored values."""
    values = theory.parameter_values(parameters)
    extents = "x".join(map(str, theory.lattice.shape))
    return f"{theory.name} {extents} kappa={values['kappa']} h={values.get('h', 0.0)}"


def against(name: str, found: Estimate, value: float, error: float, source: str) -> Row:
    """A row with a figure and its deviation z from another one, in standard errors."""
    z = (found.value - value) / math.hypot(found.error, error)
    bar = f"|z| ≤ 3 to {value:.6g} ± {error:.2g} ({source})"
    return Row(f"{name}, z = {z:+.2f}", *found, bar, abs(z) <= 3)


def observables(case: Case, theory: sd.Theory, samples: sd.Samples) -> Iterator[Row]:
    """Rows of every observable against stored values, or against a new HMC run."""
    stored = REFERENCE["phi4"]["runs"].get(label(theory, case.parameters))
    if stored is not None:
        for name, value in stored.items():
            yield against(f"⟨{name}⟩", samples.expect(name), value["value"], value["error"], "stored HMC")
        return
    chain = sd.hmc(theory, parameters=case.parameters, chains=128, trajectories=500, warm_up=300)
    for name in observable_names(samples.program):
        yield against(f"⟨{name}⟩", samples.expect(name), *chain.expect(name)[:2], "HMC")
    for name in samples.declared:
        yield against(name, samples.derived(name), *chain.derived(name)[:2], "HMC")
    ours, theirs = sd.two_point(samples.x), sd.two_point(chain.configurations)
    for t in range(ours.shape[1]):
        yield against(f"G({t})", samples.expect(ours[:, t]), *chain.expect(theirs[:, t])[:2], "HMC")


def second_log_z(case: Case, theory: sd.Theory, backend: str, seconds: float) -> tuple[str, Estimate]:
    """log Z by another strategy, trained for a third of the time with independent noise."""
    options = {"parameters": case.parameters, "count": SAMPLES, "seed": 1}
    if case.other is None:
        samples, _ = train(theory, backend, seconds, strategy="penalty", **options)
        return "penalty", samples.log_z
    symmetries = case.other(theory)
    fewer = sd.Theory(
        theory.name,
        fields=theory.fields,
        action=theory.action,
        symmetries=symmetries,
        defaults={p: theory.defaults[p.name] for p in theory.parameters},
    )
    samples, _ = train(fewer, backend, seconds, **options)
    return f"{symmetries[0].name} fold, ESS {samples.ess:.2f}", samples.log_z


def task(case: Case) -> Task:
    """The benchmark of a case: ESS, virial identity, observables, angle, log Z."""

    def rows(backend: str, seconds: float) -> Iterator[Row]:
        share, run = seconds / len(case.shapes), None
        for shape in case.shapes:
            theory = case.declare(*shape)
            count = case.count if shape == case.shapes[-1] else 10_000
            samples, spent, run = train_run(
                theory, backend, share, count=count, parameters=case.parameters, start_from=run
            )
            size = "×".join(map(str, shape))
            yield replace(spent, figure=f"{size}: {spent.figure}")
            reached = None if case.bar is None or shape != case.shapes[-1] else samples.ess >= case.bar
            yield Row(
                f"{size}: ESS", samples.ess, bar="" if reached is None else f"≥ {case.bar}", passed=reached
            )
        for note in samples.notes:
            print(f"note: {note}")
        z = samples.virial_z_score
        yield Row(f"virial, z = {z:+.2f}", *samples.virial, "|z| ≤ 3", abs(z) <= 3)
        if theory.name == complex_phi4.__name__:
            h = case.parameters.get("h", 0.0)
            angle = sd.angle_test(samples, (h, h))
            figure = f"angle of M, χ² for {angle.degrees_of_freedom}"
            yield Row(figure, angle.value, bar="p ≥ 0.003", passed=angle.p_value >= 0.003)
        for u, mass in enumerate(samples.sector_masses if len(samples.sector_masses) > 1 else ()):
            name = f"mass of sector {u}, in the model {samples.model_masses[u]:.4f}"
            yield Row(name, float(mass), float(samples.sector_errors[u]))
        if not case.checked:
            yield Row("log Z", *samples.log_z)
            return
        yield from observables(case, theory, samples)
        known = REFERENCE["phi4_log_z"].get(label(theory, case.parameters))
        if known is not None:
            yield against("log Z", samples.log_z, known["value"], known["error"], "stored")
        name, other = second_log_z(case, theory, backend, seconds / 3)
        yield against("log Z", samples.log_z, *other, name)

    rows.__doc__ = f"{case.declare.__name__} {case.parameters}."
    return rows


SMALL_TO_LARGE = ((8, 8), (16, 16))
CASES = {
    "phi4-h0": Case(scalar_phi4, bar=0.97),
    "phi4-h0.02": Case(scalar_phi4, {"h": 0.02}, bar=0.97),
    "complex-h0": Case(complex_phi4, bar=0.95, seconds=1800, other=quarter_turns),
    "complex-h0.02": Case(complex_phi4, {"h": 0.02}, bar=0.95, seconds=1800, other=quarter_turns),
    "o3": Case(on_model, bar=0.90, other=signs),
    "clock": Case(clock_phi4, bar=0.90, other=quarter_turns),
    "collinear": Case(complex_phi4_collinear, bar=0.95),
    "phi4-16": Case(scalar_phi4, {"kappa": 0.28}, SMALL_TO_LARGE, seconds=1800),
    "complex-16": Case(complex_phi4, {"kappa": 0.28}, SMALL_TO_LARGE, seconds=1800, other=quarter_turns),
    "phi4-32": Case(
        scalar_phi4, {"kappa": 0.28}, (*SMALL_TO_LARGE, (32, 32)), seconds=1800, count=20_000, checked=False
    ),
    "complex-32": Case(
        complex_phi4, {"kappa": 0.28}, (*SMALL_TO_LARGE, (32, 32)), seconds=1800, count=20_000, checked=False
    ),
}
LATTICE_TASKS = {name: task(case) for name, case in CASES.items()}
SECONDS = {name: case.seconds for name, case in CASES.items()}
