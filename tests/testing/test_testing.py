"""The property tests as a product: suites, plugin, command, statistics, conformance, random theories."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
import unittest
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import networkx as nx
import numpy as np
import pytest
import sympy as sp
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.analysis.evaluate import evaluate
from sesamo_dsl.analysis.invariance import act
from sesamo_dsl.cli import app
from sesamo_dsl.errors import BackendError
from sesamo_dsl.ir.rounding import error_bounds
from sesamo_dsl.ir.source import module_source
from sesamo_dsl.stages.lower import lower_theory
from sesamo_dsl.symbols.exact import NumberTable
from sesamo_dsl.testing import (
    PROPERTIES,
    Measurement,
    Property,
    PropertyResult,
    PropertyViolation,
    RandomResult,
    Subject,
    backend_suite,
    check_properties,
    check_property,
    check_random,
    conformance,
    random_theory,
    run_backend,
    theory_suite,
)
from sesamo_dsl.testing.bridge_density import BridgeDensity
from sesamo_dsl.testing.properties import PARALLEL_GROUPS
from sesamo_dsl.testing.significance import SUITE_LEVEL, bernstein, student_bound, vanishing_mean
from sesamo_dsl.testing.suite import require
from sesamo_dsl.testing.table import counterexample, print_results, results_table
from sesamo_theories.complex_phi4 import complex_phi4
from sesamo_theories.hubbard import hubbard, two_sites
from sesamo_theories.on_model import on_model
from sesamo_theories.scalar_phi4 import scalar_phi4
from support import example

BY_NAME = {law.name: law for law in PROPERTIES}
THEORY = """
import sesamo_dsl as sd
lattice = sd.Lattice(3)
phi = sd.ScalarField("phi", lattice)
h = sd.parameters("h")
theory = sd.Theory(
    "mine",
    fields=[phi],
    action=lattice.sum(phi**2 + phi**4 / 4 - phi * phi.shift(0) / 2 + h * phi),
    symmetries=[sd.Z2(phi)],
    defaults={h: 0},
)
"""


EXAMPLE = example("numpy_backend")
test_the_numpy_backend_conforms = backend_suite(EXAMPLE.BACKEND)


def faulty(**templates: str) -> Any:
    """The NumPy backend with other templates."""
    dialect = replace(EXAMPLE.DIALECT, templates={**EXAMPLE.DIALECT.templates, **templates})

    class Faulty(EXAMPLE.NumpyBackend):
        name = "faulty"

        def emit(self, program):
            return module_source(program, dialect)

    return Faulty()


@cache
def small() -> sd.Theory:
    return scalar_phi4(2, 3)


# statistics


def test_bounds_hold_at_their_level() -> None:
    """At level 1e-2, 4 000 experiments: at most 1e-2 ± 5σ may fail; Bernstein is conservative."""
    rng = np.random.default_rng(0)
    failed = [0, 0]
    for _ in range(4000):
        bounded = (rng.random(200) < 0.05).astype(float)
        failed[0] += abs(bounded.mean() - 0.05) > bernstein(bounded, 1.0, 1e-2)
        normal = rng.normal(size=200)
        failed[1] += abs(normal.mean()) > student_bound(normal, 1e-2)
    allowed = 40 + 5 * np.sqrt(40)
    assert failed[0] <= allowed
    assert 40 - 5 * np.sqrt(40) <= failed[1] <= allowed


def test_a_bias_is_found_and_none_is_not() -> None:
    def draw(bias: float):
        return lambda stage: np.random.default_rng([5, stage]).normal(size=4096 * 4**stage) + bias

    assert vanishing_mean(draw(0.0), "fair").ratio <= 1
    assert vanishing_mean(draw(0.1), "biased").ratio > 1
    assert vanishing_mean(draw(0.0), "fair").level <= 1e-8


def test_one_unlucky_stage_is_forgiven() -> None:
    def unlucky(stage: int) -> np.ndarray:
        return np.random.default_rng(stage).normal(size=4096) + (1.0 if stage == 0 else 0.0)

    assert vanishing_mean(unlucky, "once").ratio <= 1


def test_nan_is_a_failure() -> None:
    assert Measurement(np.array([0.0, np.nan]), 1.0).ratio == np.inf
    assert vanishing_mean(lambda stage: np.full(100, np.nan), "nan").ratio == np.inf


def test_the_suite_states_its_false_alarms() -> None:
    results = check_properties(small(), ["torch"])
    assert all(result.holds for result in results), [r.prop.name for r in results if not r.holds]
    level = sum(result.false_alarm for result in results)
    assert 0 < level < SUITE_LEVEL
    assert {"bridge", "schwinger_dyson"} <= {r.prop.name for r in results if r.false_alarm}


@pytest.mark.parametrize(
    ("theory", "factor", "sign"),
    [
        (small, 1.3, 1),
        (small, 1.3, -1),
        (lambda: scalar_phi4(8, 8), 1.3, 1),
        (lambda: scalar_phi4(8, 8), 1.3, -1),
        (lambda: on_model(6, 6), 1.5, 1),
    ],
    ids=["small, larger", "small, smaller", "scalar, larger", "scalar, smaller", "on"],
)
def test_a_density_off_by_a_factor_is_found(
    theory: Callable[[], sd.Theory], factor: float, sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on lattices as large as those of shipped theories, where densities hardly overlap."""
    wrong = sign * np.log(factor)
    subject = Subject.of(theory(), ["torch"])
    model = subject.model("torch", strategy="fold", law="uniform")
    sample, log_prob = model.sample, model.log_prob

    def shifted(count: int, seed: int):
        draws = sample(count, seed)
        return replace(draws, log_q=draws.log_q + wrong)

    monkeypatch.setattr(model, "sample", shifted)
    monkeypatch.setattr(model, "log_prob", lambda *arguments: log_prob(*arguments) + wrong)
    found = list(BY_NAME["bridge"].measure(subject, {"strategy": "fold", "law": "uniform"}))
    assert max(m.ratio for m in found) > 1


@pytest.mark.parametrize("theory", [small, lambda: complex_phi4(2)])
def test_the_reference_density_is_that_of_its_draws(theory) -> None:
    """Its score is the gradient of its logarithm, and E_s[score] = 0."""
    subject = Subject.of(theory(), ["torch"])
    law = subject.laws[0]
    reference = BridgeDensity.of(subject, subject.model("torch", strategy="fold", law=law).sample(4096, 2))
    x, possible = reference.draw(20_000, 4)
    assert possible.all()
    score = reference.log_density_and_score(x)[1]
    step = 1e-6 * np.random.default_rng(0).normal(size=x[:5].shape)
    slope = (reference.log_density(x[:5] + step) - reference.log_density(x[:5] - step)) / 2
    expected = (score[:5] * step).reshape(5, -1).sum(axis=1)
    assert np.abs(slope - expected).max() < 1e-6 * np.abs(expected).max() + 1e-12
    flat = score.reshape(len(x), -1)
    assert (np.abs(flat.mean(axis=0)) < 5 * flat.std(axis=0) / np.sqrt(len(x))).all()


# suites


def test_a_suite_is_a_unittest_case() -> None:
    chosen = [BY_NAME[name] for name in ("group_axioms", "tiling", "slice_pair")]
    case = theory_suite(small, ["torch"], properties=chosen, examples=2)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun == 3
    assert result.wasSuccessful()
    assert [reason for _, reason in result.skipped] == ["slice_pair says nothing about this theory"]


test_laws_by_pytest = theory_suite(
    small, ["torch"], properties=[BY_NAME["inverse_pair"], BY_NAME["slice_pair"]]
)


def test_a_violation_shows_a_counterexample_that_runs() -> None:
    subject = Subject.of(small(), [faulty(site_mean="1.001 * {0}.mean(axis={field_axes})")])
    result = check_property(BY_NAME["emitted_is_program"], subject, examples=10)
    assert not result.holds
    text = counterexample(result)
    scope: dict[str, Any] = {}
    exec(text[text.index("import numpy") :], scope)
    x, couplings = scope["example"]
    assert x.shape[1:] == (1, 2, 3)
    assert set(couplings) == {"kappa", "lambda", "h"}
    with pytest.raises(PropertyViolation, match="emitted_is_program"):
        require(result, subject.theory)


def test_backends_without_models_are_not_asked_for_any() -> None:
    class Evaluating(EXAMPLE.NumpyBackend):
        def model(self, *arguments: Any) -> Any:
            raise BackendError("model", expected="one", found="none", remedy="none")

    results = check_properties(small(), [Evaluating()], examples=2)
    assert all(result.holds for result in results)
    assert "bridge" not in {result.prop.name for result in results}
    with pytest.raises(BackendError):
        sd.compile(small(), Evaluating()).train(directory=False)


def test_a_backend_that_does_not_train_says_so() -> None:
    with pytest.raises(BackendError, match="numpy"):
        sd.compile(small(), EXAMPLE.BACKEND).train(directory=False, check=False, progress=False)


def test_results_are_in_the_order_of_the_laws() -> None:
    """Whichever of the threads is done first."""
    names = ["metrics", "group_axioms", "density_of_samples", "tiling"]
    results = check_properties(small(), ["torch"], properties=[BY_NAME[name] for name in names], examples=1)
    assert [result.prop.name for result in results] == names


def test_what_a_law_raises_comes_out_and_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    raised = Event()

    def raising(subject: Subject, example: int) -> Iterator[Measurement]:
        raised.set()
        raise ZeroDivisionError("of this law")
        yield

    def waiting(subject: Subject, example: int) -> Iterator[Measurement]:
        assert raised.wait(60)
        time.sleep(0.5)
        yield Measurement(0, 0)

    wrong = replace(PARALLEL_GROUPS[1][0], name="wrong", examples=lambda s: st.just(0), measure=raising)
    slow = [Property(f"slow_{k}", "waits", lambda s: st.just(0), waiting) for k in range(40)]
    monkeypatch.setattr("sesamo_dsl.testing.suite.PARALLEL_GROUPS", ((), (wrong,)))
    with pytest.raises(ZeroDivisionError, match="of this law"):
        check_properties(
            small(), ["torch"], properties=[wrong, *slow], report=lambda result: seen.append(result.prop.name)
        )
    assert seen == [law.name for law in slow[: len(seen)]]
    assert len(seen) < len(slow)


def test_threads_share_what_a_subject_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject.of(small(), ["torch"])
    fresh, made = subject.fresh_model, []

    def counted(*arguments: Any, **options: Any) -> Any:
        made.append(options)
        time.sleep(0.2)
        if len(made) == 1:
            raise BackendError("a", expected="b", found="c", remedy="d")
        return fresh(*arguments, **options)

    monkeypatch.setattr(subject, "fresh_model", counted)
    with ThreadPoolExecutor(2) as pool:
        refused = [pool.submit(subject.model, "torch", strategy="fold") for _ in range(2)]
        assert all(isinstance(future.exception(), BackendError) for future in refused)
        models = [pool.submit(subject.draws, "torch", 1, strategy="fold") for _ in range(2)]
        assert models[0].result() is models[1].result()
    assert len(made) == 2


def test_statements_are_shown_as_they_are_written() -> None:
    """Brackets are no markup."""
    shown = Console(file=io.StringIO(), width=250)
    law = BY_NAME["bridge"]
    shown.print(results_table([PropertyResult(law, 1, Measurement(0.0, 1.0), 0.0)]))
    assert isinstance(shown.file, io.StringIO)
    assert law.statement in shown.file.getvalue()


def test_a_narrow_table_has_statements_below_the_names() -> None:
    shown = Console(file=io.StringIO(), width=80)
    print_results([PropertyResult(law, 1, Measurement(0.0, 1.0), 0.0) for law in PROPERTIES], 1.0, shown)
    assert isinstance(shown.file, io.StringIO)
    text = shown.file.getvalue()
    assert all(f" {law.name} " in text for law in PROPERTIES)
    assert "…" not in text.replace("T_u", "").split("\n")[0]
    assert text.count("\n") < 5 * len(PROPERTIES)
    words = " ".join(text.split())
    assert BY_NAME["bridge"].statement.split()[0] in words


def test_conformance_finds_faults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expressions = [check for check in conformance.CHECKS if check.name.startswith("expression_")]
    monkeypatch.setattr(conformance, "CHECKS", expressions)
    assert not run_backend(faulty(tanh="np.sinh({0})"))
    printed = capsys.readouterr().out
    assert re.search(r"[1-9]\d* failed", printed)  # tanh is in more expressions than its own
    assert "expression_tanh" in printed


# command and plugin


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(THEORY)
    arguments = ["test", str(path), "--backend", "torch", "--examples", "2"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert "properties hold" in result.output
    assert re.search(r"✓ +tiling +every x lies in exactly one T_u Ω +2 ", result.output)
    assert CliRunner().invoke(app, ["test"]).exit_code == 1
    assert CliRunner().invoke(app, ["test", "scalar_phi4", "--random", "3"]).exit_code == 1


def test_the_plugin(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(THEORY)
    command = [sys.executable, "-m", "pytest", "-p", "sesamo_dsl.testing.plugin", "-p", "no:cacheprovider"]
    command += ["--sesamo-theory", "mine.py", "--sesamo-backend", "torch", "--sesamo-examples", "1", "-v"]
    command += ["-k", "tiling or slice_pair"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine.py::tiling PASSED" in done.stdout
    assert "slice_pair" not in done.stdout
    command += ["--sesamo-theory", "none.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 4
    assert "no such file" in done.stderr


# random theories


def test_random_theories_agree() -> None:
    results = [check_random(seed, ["torch", EXAMPLE.BACKEND]) for seed in range(6)]
    assert not [result for result in results if result.status == "failed"]
    assert sum(result.status == "agrees" for result in results) >= 3


def test_random_theories_are_what_they_say() -> None:
    """Averaging over a group makes a density invariant: SymPy evaluated, not the compiler."""
    tested = 0
    for seed in range(40):
        drawn = random_theory(seed)
        theory = drawn.theory
        symmetry = theory.symmetries[0] if theory.symmetries else None
        if drawn.expected != "exact" or not isinstance(symmetry, sd.Symmetry):
            continue
        x = np.random.default_rng(seed).normal(size=theory.configuration_shape)
        values = theory.parameter_values()
        before = evaluate(theory.action, x, theory.components, values)
        group = symmetry.group(theory.components, NumberTable())
        for element in group.generators:
            after = evaluate(theory.action, act(element, x), theory.components, values)
            assert abs(after - before) < 1e-10 * (1 + abs(before))
            tested += 1
    assert tested > 10


def test_random_theories_find_a_faulty_backend() -> None:
    result = check_random(0, [faulty(site_sum="2 * {0}.sum(axis={axes})")])
    assert result.status == "failed"
    assert "emitted_is_program" in result.found


def test_failures_of_random_theories_are_shown_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(count: int, *, seed: int, backends: Any, report: Callable[[RandomResult], None]) -> None:
        report(RandomResult(seed, "agrees"))
        report(RandomResult(seed + 1, "failed", "two backends disagree"))
        raise KeyboardInterrupt

    monkeypatch.setattr("sesamo_dsl.testing.run_random", stopped)
    result = CliRunner().invoke(app, ["test", "--random", "9", "--seed", "4"])
    assert result.exit_code != 0
    assert "random theory 5: two backends disagree" in result.output
    assert "random theory 4" not in result.output


@pytest.mark.parametrize(("seed", "backends"), [(77, ["torch"]), (445, None), (455, ["torch"])])
def test_random_theories_that_once_failed(seed: int, backends: list[str] | None) -> None:
    """A chart 300 widths behind a wall; a tie of Max in float32; quotients of nested roots that grew."""
    result = check_random(seed, backends)
    assert result.status == "agrees", result.found


def test_a_decision_may_fall_either_way_only_at_a_tie() -> None:
    lattice = sd.Lattice(1)
    phi = sd.VectorField("phi", lattice, 2)
    root = sp.sqrt(2) / 2
    action = lattice.sum(
        phi.squared + 3 * sp.Max(root * phi[0] + root * phi[1], root * phi[0] - root * phi[1])
    )
    program = lower_theory(sd.analyse(sd.Theory("kink", fields=[phi], action=action)))
    x = np.array([[[1.0], [0.0]], [[1.0], [0.01]]])
    gradient = error_bounds(program, "action_and_gradient", x, {}, roundoff=1.2e-7)[1]
    assert gradient[0].max() > 3 * np.sqrt(2)  # the two branches differ by that
    assert gradient[1].max() < 1e-4


def test_the_gradient_is_judged_off_kinks() -> None:
    """At a tie of a Piecewise a symmetric difference is off by its first order (random theory 5)."""
    lattice = sd.Lattice(3, 2)
    z = sd.ComplexField("z", lattice)
    kink = sp.Piecewise((z.re**2, z.re > z.im), (z.im**2, True))
    theory = sd.Theory("kinks", fields=[z], action=lattice.sum(z.abs2 + z.abs2**2 + kink / 4))
    result = check_property(BY_NAME["gradient"], Subject.of(theory, ["torch"]), examples=20)
    assert result.holds


def test_a_broken_symmetry_of_a_function_outside_numpy_has_a_counterexample() -> None:
    """erf is not in NumPy (random theory 125)."""
    v = sd.VectorField("v", sd.Lattice(2), 2)
    action = v.lattice.sum(v.squared + v.squared**2 - sp.erf(v[1]))
    (report,) = sd.analyse(
        sd.Theory("erf", fields=[v], action=action, symmetries=[sd.groups.Permutations(*v.components)])
    ).reports
    assert report.status == "broken"


def test_denominators_have_one_spelling() -> None:
    """A rotation of 1/(2 + cos φ) made denominators that grew for ever (random theory 143)."""
    lattice = sd.Lattice(2)
    z = sd.ComplexField("z", lattice)
    action = lattice.sum(z.abs2 + z.abs2**2 - 5 * z.re / (3 * (2 + sp.cos(z.re))))
    analysis = sd.analyse(
        sd.Theory("quotient", fields=[z], action=action, symmetries=[sd.groups.Phases(3, z)])
    )
    assert analysis.representation is not None
    assert analysis.representation.characters == (2, -1, -1)


def test_random_theories_that_failed_once() -> None:
    for seed in (125, 143):
        assert check_random(seed, ["torch"]).status == "agrees"


def sitewise(name: str, field: Any, action: sp.Expr, **defaults: float) -> sd.Theory:
    return sd.Theory(
        name, fields=[field], action=action, symmetries=[sd.Sitewise(sd.Z2(field))], defaults=defaults
    )


def local_theories() -> list[sd.Theory]:
    """A heat bath of factors, one that is none, a graph without a time axis, fermions on a graph."""
    line, ring = sd.Lattice(3), sd.GraphLattice(nx.cycle_graph(4))
    g, h = sd.parameters("g h")
    s, r = sd.ScalarField("s", line), sd.ScalarField("r", ring)
    well = s**2 - s**2 * s.shift(0) ** 2 / 9 + s**4 / 4
    return [
        sitewise("sites", s, line.sum(well + h * s), h=0.3),
        sitewise("hops", s, line.sum(well + g * s * s.shift(0)), g=0.2),
        sitewise("ring", r, ring.sum(r**2 + r**4 - g * r * ring.neighbours(r)), g=0.2),
        hubbard(two_sites(), 1),
    ]


@pytest.mark.parametrize(
    "theory",
    [*local_theories()[:-1], pytest.param(local_theories()[-1], marks=pytest.mark.long)],
    ids=lambda theory: theory.name,
)
def test_laws_of_local_groups(theory: sd.Theory) -> None:
    results = check_properties(theory, ["torch"], examples=5)
    assert [result.prop.name for result in results if not result.holds] == []
    assert "one_block" in {result.prop.name for result in results}


@pytest.mark.parametrize(
    ("theory", "backends"),
    [
        (small(), ["torch", "jax"]),
        (complex_phi4(2, 2), ["torch"]),
        *((theory, ["torch"]) for theory in local_theories()[:-1]),
        (local_theories()[-1], ["torch", "jax"]),
    ],
    ids=lambda given: given.name if isinstance(given, sd.Theory) else "",
)
def test_empty_batches(theory: sd.Theory, backends: list[str]) -> None:
    """Of every emitted function: charts, slices, local groups and determinants."""
    result = check_property(BY_NAME["batches"], Subject.of(theory, backends), examples=1)
    assert result.holds, counterexample(result)


def test_the_law_of_one_block_finds_a_wrong_verdict() -> None:
    """A verdict that leaves out half of what changes."""
    subject = Subject.of(local_theories()[0], ["torch"])
    (report,) = subject.analysis.reports
    verdicts = tuple(replace(v, residual=v.residual / 2) for v in report.verdicts)
    wrong = replace(subject.analysis, reports=(replace(report, verdicts=verdicts),))
    result = check_property(BY_NAME["one_block"], replace(subject, analysis=wrong))
    assert not result.holds


def test_a_backend_is_asked_in_the_precisions_a_theory_has() -> None:
    assert Subject.of(hubbard(two_sites(), 1), ["torch"]).precisions == ("float64",)
    assert Subject.of(small(), ["torch"]).precisions == ("float32", "float64")
