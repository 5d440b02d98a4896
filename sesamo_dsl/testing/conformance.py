"""The conformance suite that every backend has to pass, as a test case or as a table.

A test file of a third-party backend needs the line ``TestBackend = backend_suite("my_backend")`` alone.
"""

from __future__ import annotations

import ast
import sys
import time
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from rich.console import Console
from rich.table import Table

from ..backend import Backend, Model, call, load_backend
from ..compiled import compile
from ..errors import BackendError, SesamoError
from ..flows.base import GaussianBase
from ..flows.spec import FlowSpec
from ..groups.catalogue import Z2, Cyclic
from ..groups.lie import SO, U1
from ..ir.interpreter import run
from ..ir.rounding import error_bounds
from ..ir.source import argument_name
from ..language.theory import Theory
from ..machine.cache import load_source
from ..plan.base import make_base
from ..plan.decide import decide
from ..plan.options import TrainingOptions
from ..symbols.fields import ComplexField, ScalarField, VectorField, parameters
from ..symbols.lattice import Lattice
from .coverage import COUPLINGS, COVERAGE, coverage_program
from .properties import PROPERTIES
from .property import EPS, Measurement, Property
from .subject import Subject
from .suite import PropertyViolation, check_property, require

_EXAMPLES = 6


@dataclass(frozen=True)
class Check:
    """One test of a backend; ``run`` raises an AssertionError that explains what is wrong."""

    name: str
    statement: str
    run: Callable[[Backend], None]


@cache
def conformance_theories() -> tuple[Theory, ...]:
    """Small theories that together use every function a program can have."""
    a, b, h = parameters("a b h")
    line, plane, point = Lattice(3), Lattice(2, 2), Lattice(1)
    phi = ScalarField("phi", plane)
    x = VectorField("x", point, 2)
    z = ComplexField("z", line)
    n = VectorField("n", Lattice(2), 3)
    hopping = sum(phi * phi.shift(mu) for mu in plane.directions)
    well = x.squared**2 / 8 - x.squared + a * (x[0] ** 3 - 3 * x[0] * x[1] ** 2) / 8
    return (
        Theory(
            "conformance_z2",
            fields=[phi],
            action=plane.sum(phi**2 - a * hopping + b * phi**4 + h * phi),
            symmetries=[Z2(phi)],
            defaults={a: 0.2, b: 0.1, h: 0},
            observables={"m": plane.sum(phi) / 4},
        ),
        Theory(
            "conformance_z3",
            fields=[x],
            action=point.sum(well + h * x[0]),
            symmetries=[Cyclic(3, x)],
            defaults={a: 0.5, h: 0},
        ),
        Theory(
            "conformance_u1",
            fields=[z],
            action=line.sum(z.abs2 - a * z.dot(z.shift(0)) + b * z.abs2**2 + h * z.re),
            symmetries=[U1(z)],
            defaults={a: 0.3, b: 0.1, h: 0},
        ),
        Theory(
            "conformance_so3",
            fields=[n],
            action=n.lattice.sum(n.squared - a * n.dot(n.shift(0)) + b * n.squared**2),
            symmetries=[SO(n)],
            defaults={a: 0.3, b: 0.1},
        ),
    )


def _require(measurement: Measurement, subject: str) -> None:
    if not measurement.ratio <= 1:
        residual, tolerance = measurement.worst
        raise PropertyViolation(
            subject,
            expected=f"{measurement.what} within {tolerance:.3g}",
            found=f"a residual of {residual:.6g}",
            remedy="compare the emitted source with sesamo_dsl.ir.operations, which defines every operation",
        )


def _state(condition: bool, subject: str, expected: str, found: object) -> None:
    if not condition:
        raise PropertyViolation(subject, expected=expected, found=str(found), remedy="see docs/backends.md")


def _configurations() -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(3, 2, 3, 4))
    return (x + 0.05 * np.sign(x)).astype(np.float32).astype(np.float64)  # off the kinks, exact in float32


def _expression(index: int, backend: Backend) -> None:
    program = coverage_program()
    _, module = load_source(f"coverage_{backend.name}", backend.emit(program))
    x = _configurations()
    for function in (f"action_{index}", f"gradient_{index}"):
        couplings = {argument_name(p): COUPLINGS[p] for p in program.functions[function].parameters}
        expected = run(program, function, {"x": x}, COUPLINGS)
        for precision, eps in EPS.items():
            found = call(backend, module, function, {"x": x}, couplings, precision)
            bounds = error_bounds(program, function, x, COUPLINGS, roundoff=eps + EPS["float64"])
            for one, other, bound in zip(found, expected, bounds, strict=True):
                what = f"{list(COVERAGE)[index]}, {function}, {precision}"
                shown = f"{one.shape} {one.dtype}"
                _state(shown == f"{other.shape} {precision}", what, f"{other.shape} {precision}", shown)
                _require(Measurement(one - other, bound, what), f"backend {backend.name}")
    direction = np.random.default_rng(1).normal(size=x.shape)
    emitted = getattr(module, f"action_{index}")
    couplings = {argument_name(p): COUPLINGS[p] for p in program.functions[f"action_{index}"].parameters}
    slope = backend.derivative(lambda y: emitted(y, **couplings), [x], [direction])
    gradient = run(program, f"gradient_{index}", {"x": x}, COUPLINGS)[1]
    expected_slope = (gradient * direction).reshape(3, -1).sum(axis=1)
    size = 1e-12 * (1 + np.abs(gradient * direction).reshape(3, -1).sum(axis=1))
    measurement = Measurement(slope - expected_slope, size, "derivative along a direction")
    _require(measurement, f"backend {backend.name}")


def _arrays(backend: Backend) -> None:
    values = np.random.default_rng(2).normal(size=(3, 2))
    for precision in EPS:
        back = backend.to_numpy(backend.to_array(values, precision))
        _state(back.dtype == precision, "to_array", f"dtype {precision}", back.dtype)
        _state(np.array_equal(back, values.astype(precision)), "to_numpy∘to_array", "the same numbers", back)
        whole = backend.to_numpy(backend.to_array(np.arange(3), precision))
        _state(whole.dtype.kind in "iu", "to_array of integers", "integers", whole.dtype)


def _source(backend: Backend) -> None:
    for theory in conformance_theories():
        compiled = compile(theory, backend)
        text = compiled.source_path.read_text(encoding="utf-8")
        _state(backend.emit(compiled.program) == text, "emit", "the same text every time", "two texts")
        imported = [
            alias.name if isinstance(node, ast.Import) else str(node.module)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        ]
        ours = [name for name in imported if name.split(".")[0].startswith("sesamo")]
        _state(not ours, "emitted source", "a module that stands alone", f"imports of {ours}")
        known = {*compiled.program.functions} - {*vars(compiled.module)}
        _state(not known, "emitted module", "every function of the program", f"missing {sorted(known)}")


def _identity(backend: Backend) -> None:
    _state(bool(backend.name) and backend.name.isidentifier(), "name", "an identifier", repr(backend.name))
    versions = backend.versions()
    good = bool(versions) and all(isinstance(v, str) for pair in versions.items() for v in pair)
    _state(good, "versions()", "a dict of names and versions", versions)


def _models(backend: Backend) -> None:
    """The backend has the protocol of models, or refuses models, or training, with a BackendError."""
    theory = conformance_theories()[0]
    compiled = compile(theory, backend, precision="float64")
    parameters = theory.parameter_values()
    options = decide(TrainingOptions(batch=4), compiled.analysis)
    base = GaussianBase.standard(1, theory.lattice.shape)
    try:
        model: Model = backend.model(compiled, parameters, base, options)
    except BackendError:
        return
    count = 5
    draws = model.sample(count, 3)
    shapes = {
        "x": (draws.x, (count, *theory.configuration_shape)),
        "log_q": (draws.log_q, (count,)),
        "action": (draws.action, (count,)),
        "sector": (draws.sector, (count,)),
        "leaked": (draws.leaked, (count,)),
        "auxiliary": (draws.auxiliary, (count, 0)),
    }
    for name, (array, shape) in shapes.items():
        _state(
            isinstance(array, np.ndarray) and array.shape == shape, f"Draws.{name}", f"shape {shape}", array
        )
    trains = True
    try:
        metrics = model.step(1e-3)
    except BackendError:
        trains = False
    else:
        kept = {"loss", "ess", "gradient_norm"} <= set(metrics)
        _state(kept, "Model.step", "loss, ess, gradient_norm", metrics)
    state = model.state()
    of_training = ("step", "adam.") if trains else ()
    names = all(k.startswith(("flow.", "law.", *of_training)) for k in state)
    _state(
        names,
        "Model.state",
        "names flow.…, law.…, and of a model that trains adam.… and step",
        sorted(state)[:5],
    )
    float32 = compile(theory, backend, precision="float32")
    single = backend.model(float32, parameters, base, options).sample(count, 3)
    _state(single.x.dtype == np.float32, "a model in float32", "float32 samples", single.x.dtype)


def _free_field(backend: Backend) -> None:
    """For a free field the base is exact: all weights are equal, and the loss is −log Z.

    The path gradient of an exact model vanishes for every batch, where an estimator that differentiates log q
    in its weights too would only vanish on average (Roeder et al., arXiv 1703.09194).
    """
    lattice = Lattice(2, 4)
    phi, kappa = ScalarField("phi", lattice), 0.1
    hopping = sum(phi * phi.shift(mu) for mu in lattice.directions)
    action = lattice.sum(phi**2 / 2 - kappa * hopping)
    theory = Theory("free_field", fields=[phi], action=action, symmetries=[Z2(phi)])
    compiled = compile(theory, backend, precision="float64")
    options = decide(TrainingOptions(batch=16, gradient="path"), compiled.analysis)
    try:
        model = backend.model(compiled, {}, make_base(compiled.program, {}, options), options)
        metrics = model.step(1e-12)
    except BackendError:
        return
    momenta = np.stack(np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in lattice.shape)))
    log_z = 0.5 * np.log(2 * np.pi / (1 - 2 * kappa * np.cos(momenta).sum(axis=0))).sum()
    rounding = 1e4 * EPS["float64"] * log_z  # thousands of operations in the flow, none of them cancels
    _state(abs(metrics["loss"] + log_z) < rounding, "loss of a free field", f"−log Z = {-log_z}", metrics)
    _state(abs(metrics["ess"] - 1) < rounding, "ESS of a batch of a free field", "1", metrics)
    _state(metrics["gradient_norm"] < rounding, "path gradient of an exact model", "0", metrics)


def _network(backend: Backend) -> None:
    """log p(u|y) of a conditional law is that of its oracle in NumPy."""
    subject = _subject(conformance_theories()[0], backend)
    if not subject.samplers:
        return
    law = next(prop for prop in PROPERTIES if prop.name == "law_of_the_group")
    x = np.random.default_rng(3).normal(size=(16, *subject.theory.configuration_shape))
    options = {"strategy": subject.strategies[0], "law": "conditional"}
    for measurement in law.measure(subject, (options, x, 1)):
        residual, tolerance = measurement.worst
        _state(measurement.ratio <= 1, measurement.what, f"within {tolerance}", residual)


def _score_function(backend: Backend) -> None:
    """REINFORCE finds the sector that a source prefers; P(mean < 0) = Φ(√2) = 0.92."""
    lattice = Lattice(2)
    phi = ScalarField("phi", lattice)
    theory = Theory("tilted", fields=[phi], action=lattice.sum(phi**2 / 2 + phi), symmetries=[Z2(phi)])
    compiled = compile(theory, backend, precision="float64")
    asked = TrainingOptions(
        batch=128, law="learned", law_gradient="reinforce", flow=FlowSpec(layers=2, hidden=(4,), kernel=1)
    )
    options = decide(asked, compiled.analysis)
    try:
        model = backend.model(compiled, {}, make_base(compiled.program, {}, options), options)
        state = model.state()
        model.load_state(state | {"law.logits": np.zeros_like(state["law.logits"])})  # not near the answer
        for _ in range(60):
            model.step(0.05)
    except BackendError:
        return
    found = float((model.sample(1000, 1).x.mean(axis=(1, 2)) < 0).mean())
    _state(found > 0.85, "mass of the sector that a source prefers", "above 0.85", found)


def _property(prop: Property, backend: Backend) -> None:
    subjects = [_subject(theory, backend) for theory in conformance_theories()]
    subjects = [subject for subject in subjects if prop.applies(subject)]
    if not subjects:
        raise unittest.SkipTest(f"backend {backend.name} has no models")
    for subject in subjects:
        require(check_property(prop, subject, examples=min(prop.count, _EXAMPLES)), subject.theory)


@cache
def _subject(theory: Theory, backend: Backend) -> Subject:
    return Subject.of(theory, [backend])


_CORE = ("group_axioms", "homomorphism", "subgroups", "invariant_part", "declared_residual")
_CORE += ("one_block", "inverse_pair", "program_is_symbols", "gradient", "tiling", "facets", "slice_pair")
_CORE += ("orbit_invariance", "directions")


def _expression_check(index: int, name: str) -> Check:
    return Check(
        "expression_" + "".join(c if c.isalnum() else "_" for c in name),
        f"{name}: value, gradient and derivative, in both precisions",
        lambda backend: _expression(index, backend),
    )


def _property_check(prop: Property) -> Check:
    return Check(f"law_{prop.name}", prop.statement, lambda backend: _property(prop, backend))


CHECKS: tuple[Check, ...] = (
    Check("identity", "name and versions", _identity),
    Check("arrays", "to_array and to_numpy are inverse and keep types", _arrays),
    Check("source", "emitted source is deterministic, complete and stands alone", _source),
    *(_expression_check(index, name) for index, name in enumerate(COVERAGE)),
    Check("models", "the model protocol, or a BackendError", _models),
    Check("free_field", "a new model of a free field is exact: loss −log Z, ESS 1", _free_field),
    Check("network", "a conditional law is that of its oracle in NumPy", _network),
    Check("score_function", "REINFORCE finds the sector that a source prefers", _score_function),
    # the other properties test the compiler, not a backend
    *(_property_check(prop) for prop in PROPERTIES if prop.name not in _CORE),
)
"""All checks, cheapest first."""


def backend_suite(backend: str | Backend) -> type[unittest.TestCase]:
    """The conformance suite as a test case, collected by pytest and by unittest.

    A backend that only emits and evaluates refuses ``model`` with a BackendError; the checks of models then
    do not apply.

    Parameters
    ----------
    backend
        The backend object, or its name in the entry points.
    """

    def method(check: Check) -> Callable[[unittest.TestCase], None]:
        def test(self: unittest.TestCase) -> None:
            check.run(load_backend(backend) if isinstance(backend, str) else backend)

        test.__doc__ = check.statement
        return test

    return type("BackendSuite", (unittest.TestCase,), {f"test_{c.name}": method(c) for c in CHECKS})


def run_backend(backend: str | Backend, console: Console | None = None) -> bool:
    """Run all checks and show them as a table; returns True if all passed."""
    loaded = load_backend(backend) if isinstance(backend, str) else backend
    shown = console or Console(file=sys.stdout)
    table = Table("", "check", "statement", "seconds", box=None, header_style="bold", pad_edge=False)
    failures: list[str] = []
    passed = 0
    for check in CHECKS:
        start, mark = time.perf_counter(), "[green]✓[/]"
        try:
            check.run(loaded)
            passed += 1
        except unittest.SkipTest:
            mark = "–"
        except (AssertionError, SesamoError) as error:
            mark = "[bold red]✗[/]"
            failures.append(f"{check.name}: {error}")
        table.add_row(mark, check.name, check.statement, f"{time.perf_counter() - start:.1f}")
    shown.print(table)
    skipped = len(CHECKS) - passed - len(failures)
    rest = f", {skipped} about models that it does not have" if skipped else ""
    shown.print(f"\nbackend {loaded.name}: {passed} checks passed, {len(failures)} failed{rest}")
    for failure in failures:
        shown.print(failure, highlight=False, markup=False)
    return not failures
