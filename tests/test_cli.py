"""The command line: what it prints, what it writes, and that every explained failure is a message."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sesamo_dsl import shipped_theories
from support import EXAMPLES, QUICK, refused
from support import run_command as run

EXAMPLE = EXAMPLES / "my_theory.py"


def test_version_and_help() -> None:
    assert run("--version").stdout.startswith("sesamo-dsl 0.")
    listed = run("--help").stdout
    assert all(command in listed for command in ("theories", "check", "train", "sample"))


def test_theories_lists_all() -> None:
    result = run("theories")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in shipped_theories())
    assert "Z8(x)" in result.stdout


@pytest.mark.parametrize(
    ("theory", "words"),
    [
        ("scalar_phi4", ["verdict: broken", "A_1 is broken: refuted"]),
        (str(EXAMPLE), ["Z3(chi), order 3: broken", "Z2(sigma), order 2: exact"]),
    ],
)
def test_check(theory: str, words: list[str]) -> None:
    result = run("check", theory)
    assert result.exit_code == 0
    assert all(word in result.stdout for word in words)


def test_check_says_whether_z_is_finite_at_these_couplings(tmp_path: Path) -> None:
    path = tmp_path / "couplings.py"
    path.write_text(
        "import sesamo_dsl as sd\nx = sd.ScalarField('x', sd.Lattice(3))\n"
        "m, g = sd.parameters('m g')\n"
        "theory = sd.Theory('t', fields=[x], action=sd.Lattice(3).sum(m*x**2 + g*x**4), defaults={m: 1})\n"
    )
    unknown = run("check", path)
    assert unknown.exit_code == 0
    assert "not judged without a value for g" in unknown.stdout
    finite = run("check", path, "--set", "g=0")
    assert finite.exit_code == 0
    assert "not found to be infinite" in finite.stdout
    for command in ("check", "derive"):
        infinite = run(command, path, "--set", "g=-0.1")
        assert infinite.exit_code == 3
        assert "∫ exp(−S) is infinite: S is unbounded below along" in infinite.stderr
    assert "no symmetry" in run("check", path, "--set", "g=-0.1").stdout  # verdicts are printed all the same
    refused(run("train", path, "--set", "g=-0.1", *QUICK, "--directory", tmp_path / "run"), "g = -0.1")


def test_a_run_is_judged_at_its_couplings_not_at_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "couplings.py"
    path.write_text(
        "import sesamo_dsl as sd\nx = sd.ScalarField('x', sd.Lattice(1))\ng = sd.parameters('g')\n"
        "theory = sd.Theory('t', fields=[x], action=x**2 + g*x**4, defaults={g: -1})\n"
    )
    assert run("check", path).exit_code == 3
    refused(run("train", path, *QUICK, "--directory", tmp_path / "run"), "g = -1")
    trained = run("train", path, "--set", "g=1", *QUICK, "--directory", tmp_path / "run")
    assert trained.exit_code == 0, trained.output


def test_a_warning_is_a_sentence_without_a_line_of_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def listed() -> Any:
        warnings.warn("the moon is full", RuntimeWarning, stacklevel=1)
        return ()

    monkeypatch.setattr("sesamo_dsl.cli.declarations.shipped_theories", listed)
    result = run("theories")
    assert result.exit_code == 0
    assert result.stderr == "warning: the moon is full\n"


def test_check_without_symmetry_and_with_an_exact_one(tmp_path: Path) -> None:
    text = (
        "import sesamo_dsl as sd\nx = sd.ScalarField('x', sd.Lattice(1))\n"
        "theory = sd.Theory('t', fields=[x], action=x**2, symmetries=[{}])\n"
    )
    path = tmp_path / "plain.py"
    path.write_text(text.format(""))
    assert "no symmetry" in run("check", path).stdout
    path.write_text(text.format("sd.Z2(x)"))
    assert "verdict: exact" in run("check", path).stdout


def test_train_then_sample(tmp_path: Path) -> None:
    directory, output, plot = tmp_path / "run", tmp_path / "samples.npz", tmp_path / "picture.png"
    trained = run("train", "gaussian_mixture", "--set", "h=0.1", *QUICK, "--directory", directory)
    assert trained.exit_code == 0, trained.output
    assert "ESS" in trained.stdout
    assert str(directory) in trained.stdout.replace("\n", "")
    drawn = run("sample", directory, "--count", "200", "--output", output, "--plot", plot)
    assert drawn.exit_code == 0, drawn.output
    assert "samples            200" in drawn.stdout
    with np.load(output) as arrays:
        assert arrays["x"].shape == (200, 2, 1)
        log_w = -arrays["action"].astype(float) - arrays["log_q"]
        np.testing.assert_array_equal(arrays["log_weights"], log_w)
        assert set(arrays["sector"]) <= set(range(8))
    assert plot.stat().st_size > 10_000


def test_a_run_of_a_file_is_sampled_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert run("train", "mine.py", *QUICK, "--directory", "run").exit_code == 0
    monkeypatch.chdir("/")
    result = run("sample", tmp_path / "run", "--count", "50")
    assert result.exit_code == 0, result.output
    assert "⟨chi_squared⟩" in result.stdout


def test_too_few_samples_for_a_chain_are_refused_before_any_are_drawn(tmp_path: Path) -> None:
    refused(run("sample", tmp_path / "none", "--count", "22", "--exact"), "--count", "23")
    directory = tmp_path / "run"
    assert run("train", "gaussian_mixture", *QUICK, "--directory", directory).exit_code == 0
    refused(run("sample", directory, "--count", "10", "--exact"), "give a larger --count")
    assert run("sample", directory, "--count", "10").exit_code == 0
    assert run("sample", directory, "--count", "23", "--exact").exit_code == 0


@pytest.mark.parametrize("setting", ["h", "h=", "=", "h=high", "h=0.1=2", "0.1", ""])
def test_malformed_setting(setting: str) -> None:
    refused(run("train", "gaussian_mixture", "--set", setting), "--set", "NAME=VALUE")


@pytest.mark.parametrize(
    ("setting", "word"), [("g=1", "parameter g"), ("h=nan", "finite"), ("=1", "parameter")]
)
def test_impossible_coupling(setting: str, word: str) -> None:
    refused(run("train", "gaussian_mixture", "--set", setting), word)


def test_unknown_names(tmp_path: Path) -> None:
    refused(run("check", "phi5"), "phi5", "scalar_phi4")
    refused(run("check", tmp_path / "none.py"), "existing file")
    refused(run("train", "gaussian_mixture", "--backend", "tensorflow"), "tensorflow", "jax, torch")
    refused(run("sample", tmp_path / "none"), "run.json")


def test_options_out_of_range() -> None:
    refused(run("train", "gaussian_mixture", "--learning-rate", "-1"), "learning_rate")
    refused(run("train", "gaussian_mixture", "--seconds", "0"), "seconds")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("raise ValueError('my own mistake')", "my own mistake"),
        ("theory = (", "SyntaxError"),
        ("import no_such_module", "no_such_module"),
        ("", "theory = sd.Theory"),
        ("import sys; sys.exit(3)", "SystemExit"),
        (
            "import sesamo_dsl as sd\nx = sd.ScalarField('x', sd.Lattice(2))\n"
            "action = x.lattice.sum(x**4 + x)\n"
            "theory = sd.Theory('t', fields=[x], action=action, symmetries=[sd.Z2(x, exact=True)])",
            "Z2(x)",
        ),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(text)
    refused(run("check", path), word)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "below"
    refused(run("train", "gaussian_mixture", *QUICK, "--directory", below), "can be written")
    directory = tmp_path / "run"
    assert run("train", "gaussian_mixture", *QUICK, "--directory", directory).exit_code == 0
    refused(run("train", "gaussian_mixture", *QUICK, "--directory", directory), "nothing is overwritten")
    refused(run("sample", directory, "--count", "20", "--output", below), "can be written")
    refused(run("sample", directory, "--count", "20", "--plot", below.with_suffix(".png")), "can be written")
    refused(run("sample", directory, "--count", "20", "--plot", tmp_path / "picture.docx"), "picture.png")


@pytest.mark.parametrize(
    "arguments",
    [
        ("paint",),
        ("train",),
        ("train", "scalar_phi4", "--steps", "0"),
        ("train", "scalar_phi4", "--law", "murphy"),
        ("train", "scalar_phi4", "--precision", "float16"),
        ("sample", "run", "--count", "many"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
