"""Commands that write files or serve scripts: new, symmetries, emit, doctor, options by name, JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

import sesamo_dsl as sd
from sesamo_dsl.cli import app, doctor
from sesamo_dsl.cli.output import write_object
from sesamo_dsl.cli.settings import architecture, parse_options
from sesamo_dsl.errors import OptionError, SesamoError
from support import QUICK, refused
from support import run_command as run

FIELDS = [
    ("real", "Z2", "Z2(phi)"),
    ("complex", "U1", "U1(phi)"),
    ("complex", "Z6", "Z6(phi)"),
    ("doublet", "SU2", "SU2(phi)"),
    ("vector", "SO", "SO3(phi)"),
    ("real", "none", None),
]


def record(result: Result) -> dict[str, Any]:
    """The one JSON object on stdout, read strictly."""
    return json.loads(result.stdout, parse_constant=lambda word: pytest.fail(word))


# new


@pytest.mark.parametrize(("field", "group", "name"), FIELDS)
def test_a_new_theory_has_its_group_exactly(tmp_path: Path, field: str, group: str, name: str | None) -> None:
    path = tmp_path / "mine.py"
    assert run("new", path, "--shape", "3x4", "--field", field, "--group", group).exit_code == 0
    analysis = sd.analyse(sd.load_theory(path))
    assert analysis.theory.name == "mine"
    assert analysis.theory.lattice.shape == (3, 4)
    reports = (*analysis.reports, *analysis.lie_reports)
    assert [(r.symmetry.name, r.status) for r in reports] == ([] if name is None else [(name, "exact")])
    assert "phi_squared" in analysis.theory.observables


def test_a_new_theory_with_a_source_is_broken_and_trains(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    made = run("new", path, "--shape", "3", "--field", "vector", "--components", "2", "--source", "--json")
    assert record(made)["file"] == f"{path}.py"
    checked = run("check", f"{path}.py", "--json")
    assert [s["status"] for s in record(checked)["symmetries"]] == ["broken"]
    trained = run("train", f"{path}.py", *QUICK, "--no-check", "--directory", tmp_path / "run", "--json")
    assert trained.exit_code == 0, trained.output
    assert record(trained)["samples"]["expectations"].keys() >= {"action", "phi_squared"}


def test_new_asks_on_a_terminal_for_what_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def prompt(question: str, default: Any, err: bool) -> Any:
        asked.append(question)
        return {"Field": "complex", "Group": "Z4"}.get(question.split()[0], default)

    monkeypatch.setattr("sesamo_dsl.cli.new.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr(typer, "confirm", lambda question, default, err: True)
    assert run("new", tmp_path / "t", "--shape", "5").exit_code == 0
    assert [question.split()[0] for question in asked] == ["Field", "Group"]
    theory = sd.load_theory(tmp_path / "t.py")
    assert [s.name for s in theory.symmetries] == ["Z4(phi)"]
    assert "h" in theory.defaults


def test_new_overwrites_nothing_and_takes_no_nonsense(tmp_path: Path) -> None:
    kept = tmp_path / "kept.py"
    kept.write_text("mine")
    refused(run("new", kept), "nothing is overwritten")
    refused(run("new", tmp_path / "kept"), "nothing is overwritten")
    assert kept.read_text() == "mine"
    refused(run("new", tmp_path / "2nd"), "digit")
    refused(run("new", tmp_path / "class"), "digits")
    refused(run("new", tmp_path / "a", "--shape", "8x0"), "8x8")
    refused(run("new", tmp_path / "a", "--field", "real", "--group", "U1"), "Z2, none")
    refused(run("new", tmp_path / "a", "--components", "3"), "vector")
    assert run("new", tmp_path / "a", "--field", "spinor").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["kept.py"]


# symmetries, derive, emit


def test_symmetries_finds_what_is_not_declared(tmp_path: Path) -> None:
    assert run("new", tmp_path / "t", "--shape", "4", "--field", "complex", "--group", "none").exit_code == 0
    found = record(run("symmetries", tmp_path / "t.py", "--json"))
    assert found["algebra"]["dimension"] == 1
    assert {g["status"] for g in found["lattice"]["generators"]} == {"exact"}
    printed = run("symmetries", "gaussian_mixture", "--set", "h=0")
    assert printed.exit_code == 0
    assert "discrete maps" in printed.stdout
    assert record(run("symmetries", "scalar_phi4@3", "--set", "h=0", "--json"))["discrete"]["order"] == 2
    assert record(run("symmetries", "scalar_phi4@3", "--json"))["discrete"]["order"] == 1  # for all h


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_emit_writes_a_module_that_runs(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "emitted.py"
    assert run("emit", "scalar_phi4@2x2", "--backend", backend, "--output", path).exit_code == 0
    source = path.read_text(encoding="utf-8")
    compile(source, "emitted.py", "exec")
    assert "def action" in source
    assert run("emit", "scalar_phi4@2x2", "--backend", backend).stdout == source
    refused(run("emit", "scalar_phi4@2x2", "--output", path), "nothing is overwritten")
    refused(run("emit", "scalar_phi4@2x2", "--output", tmp_path / "x.txt"), ".py")


# doctor


def test_doctor_finds_nothing_broken_here_or_says_what() -> None:
    result = run("doctor", "--json")
    findings = record(result)["findings"]
    assert result.exit_code == (3 if any(f["fails"] for f in findings) else 0)
    subjects = {f["subject"] for f in findings}
    assert {"Python", "memory", "numpy", "float32", "float64", "devices"} <= subjects
    assert "log|det| of 500 × 500" in subjects


def test_doctor_finds_a_broken_determinant_and_a_lost_precision() -> None:
    good = sd.backend.load_backend("torch")

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(good, name)

        def to_array(self, values: np.ndarray, precision: Any) -> Any:
            return good.to_array(values, "float32")

        def arrays(self) -> Any:
            zero = good.to_array(np.zeros(()), "float64")
            linalg = SimpleNamespace(slogdet=lambda matrix: (zero, zero - np.inf))
            return SimpleNamespace(xp=SimpleNamespace(linalg=linalg))

    broken: Any = Broken()
    assert doctor._determinant("p", broken, 40).fails
    assert "broken LU" in doctor._determinant("p", broken, 40).found
    assert doctor._dtype("p", broken, "float64").fails
    assert not doctor._dtype("p", good, "float64").fails


# options by name


def test_values_of_options() -> None:
    given = ["steps=10", "clip=1e-3", "base=standard", "flow.hidden=[8, 4]", "flow.layers=2", "check=false"]
    assert parse_options(given) == {
        "steps": 10,
        "clip": 1e-3,
        "base": "standard",
        "flow": {"hidden": [8, 4], "layers": 2},
        "check": False,
    }
    assert parse_options(["law=__import__('os')"]) == {"law": "__import__('os')"}  # text, never code
    assert parse_options(["law=2024-01-01"]) == {"law": "2024-01-01"}
    for wrong in (
        ["steps"],
        ["=1"],
        ["steps="],
        ["a.=1"],
        ["a=1", "a=2"],
        ["a=1", "a.b=2"],
        ["a.b=1", "a=2"],
    ):
        with pytest.raises(OptionError):
            parse_options(wrong)


def test_architectures() -> None:
    assert architecture({"layers": 2, "hidden": [8]}) == sd.FlowSpec(layers=2, hidden=(8,))
    assert architecture({"kind": "bisection", "bins": 4}) == sd.BisectionSpec(bins=4)
    assert architecture("mine") == "mine"
    for wrong in (
        {"layers": 2},
        {"layer": 2, "hidden": [8]},
        {"kind": "b"},
        {"layers": "two", "hidden": [8]},
    ):
        with pytest.raises(SesamoError):
            architecture(wrong)


def test_options_reach_the_plan_and_the_command_line_comes_first(tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        'steps = 7\nbase = "standard"\nclip = 5\ncheck = false\nseed = 3\nbatch = 16\n'
        "parameters = {h = 0.2}\nflow = {layers = 2, hidden = [4]}\n"
        f"callbacks.CSVLogger.path = '{tmp_path / 'steps.csv'}'\n"
    )
    line = ("--config", config, "--option", "clip=2.5", "--steps", "2", "--directory", tmp_path / "run")
    result = run("train", "gaussian_mixture", *line, "--json")
    assert result.exit_code == 0, result.output
    found = record(result)
    assert (found["steps"], found["finished"]) == (2, True)
    trained = sd.load_run(tmp_path / "run")
    plan = trained.plan
    assert (plan.steps, plan.base, plan.clip, plan.seed, plan.batch) == (2, "standard", 2.5, 3, 16)
    assert plan.flow == sd.FlowSpec(layers=2, hidden=(4,))
    assert trained.parameters == {"h": 0.2}
    assert len((tmp_path / "steps.csv").read_text().splitlines()) == 3


def test_options_that_are_wrong(tmp_path: Path) -> None:
    def train(*arguments: str | Path) -> Result:
        return run("train", "gaussian_mixture", *arguments)

    refused(train("--option", "step=3"), "did you mean steps?")
    refused(train("--option", "steps=3", "--steps", "2"), "--steps as well")
    refused(train("--option", "steps=ten"), "option steps", "'ten'")
    refused(train("--option", "steps=1.5"), "option steps")
    refused(train("--option", "seed=true"), "option seed")
    refused(train("--option", "flow.layer=3", "--option", "flow.hidden=[3]"), "did you mean layers?")
    refused(train("--option", "callbacks.CSVLoger.path=x.csv"), "did you mean CSVLogger?")
    refused(train("--option", "callbacks.CSVLogger.file=x.csv"), "file")
    refused(train("--option", "callbacks.EarlyStopping.patience=0"), "patience")
    refused(train("--option", "optimizer.name=SDG", "--option", "optimizer.lr=0.1"), "did you mean SGD?")
    refused(train("--option", "optimizer.lr=0.1"), "optimizer.name")
    refused(train("--option", "parameters=3"), "--set")
    refused(train("--config", tmp_path / "none.toml"), "none.toml")
    (tmp_path / "bad.toml").write_text("steps = = 3")
    refused(train("--config", tmp_path / "bad.toml"), "bad.toml")
    (tmp_path / "bad.toml").write_text("stepz = 3")
    refused(train("--config", tmp_path / "bad.toml"), "did you mean steps?")
    refused(run("resume", tmp_path, "--option", "law=uniform"), "callbacks, optimizer")


def test_an_optimizer_by_name_and_its_resume(tmp_path: Path) -> None:
    sgd = (
        "--option",
        "optimizer.name=SGD",
        "--option",
        "optimizer.lr=0.001",
        "--option",
        "optimizer.momentum=0.5",
    )
    quick = (*QUICK, "--no-check", "--directory", tmp_path / "run")
    assert run("train", "gaussian_mixture", *quick, *sgd).exit_code == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["optimizer"].endswith("SGD")
    refused(run("resume", tmp_path / "run", "--steps", "1", "--no-check"), "SGD")
    resumed = run("resume", tmp_path / "run", "--steps", "1", "--no-check", *sgd, "--json")
    assert record(resumed)["steps"] == 3


# for scripts


def test_json_is_all_of_stdout_also_for_errors(tmp_path: Path) -> None:
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        "import sesamo_dsl as sd\nprint('noise')\nx = sd.ScalarField('x', sd.Lattice(1))\n"
        "theory = sd.Theory('t', fields=[x], action=x**2, symmetries=[sd.Z2(x)])\n"
    )
    checked = run("check", noisy, "--json")
    assert record(checked)["verdict"] == "exact"
    assert "noise" in checked.stderr
    wrong = run("check", "phi5", "--json")
    assert wrong.exit_code == record(wrong)["exit_code"] == 1
    assert record(wrong)["error"]["class"] == "TheoryFileError"
    assert record(wrong)["error"]["remedy"]
    usage = run("check", "--no-such", "--json")
    assert usage.exit_code == record(usage)["exit_code"] == 2
    infinite = run("check", "scalar_phi4@2", "--set", "lambda=-1", "--json")
    assert infinite.exit_code == record(infinite)["exit_code"] == 3
    assert record(infinite)["infinite"] is True
    names = [theory["name"] for theory in record(run("theories", "--json"))["theories"]]
    assert names == list(sd.shipped_theories())


def test_numbers_that_json_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"a": np.float32(0.5), "b": [float("nan"), np.inf], "c": np.arange(2), "d": Path("x"), "e": None}
    write_object(values, sys.stdout)
    read = json.loads(capsys.readouterr().out)
    assert read == {"a": 0.5, "b": [None, None], "c": [0, 1], "d": "x", "e": None}


def test_quiet_and_words_from_the_start() -> None:
    loud, quiet = run("check", "scalar_phi4@2"), run("check", "scalar_phi4@2", "--quiet")
    assert loud.stderr.startswith("verifying")
    assert quiet.stderr == ""
    assert loud.stdout == quiet.stdout


@pytest.mark.parametrize("width", [60, 200])
def test_theories_fit_the_terminal(width: int) -> None:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, ["theories"])
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= min(width, 104)
    assert all(name in map(str.strip, lines) for name in sd.shipped_theories())
