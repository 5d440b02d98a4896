"""Outputs are checked before the work that they are for, and figures come before what may fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sesamo_dsl import cli
from sesamo_dsl.errors import OptionError, RunError
from sesamo_dsl.machine.outputs import check_output, check_picture


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def test_what_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "old.npz").write_text("")
    for path in (
        tmp_path / "a.npz",
        tmp_path / "new" / "deep" / "a.npz",
        tmp_path / "old.npz",
        tmp_path / "b",
    ):
        check_output(path)
    check_output(tmp_path / "new", directory=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old.npz"]  # nothing is left behind
    for path in (tmp_path, tmp_path / "file" / "a.npz"):
        with pytest.raises(RunError):
            check_output(path)
    with pytest.raises(RunError):
        check_output(tmp_path / "file", directory=True)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):  # a rename would put a file in the place of the device
        with pytest.raises(RunError, match="ordinary file"):
            check_output(path)
    check_picture(tmp_path / "a.PNG")
    for name in ("a.txt", "a", "png"):
        with pytest.raises(OptionError, match="png"):
            check_picture(tmp_path / name)


def test_no_file_of_another_kind_is_replaced(tmp_path: Path) -> None:
    """Neither a theory nor a part of a run, by whatever command; the second sample of a name replaces it."""
    theory, directory = tmp_path / "mine.py", tmp_path / "run"
    theory.write_text(
        "import sesamo_theories.gaussian_mixture\ntheory = sesamo_theories.gaussian_mixture.theory\n"
    )
    assert run("train", theory, "--steps", "1", "--no-check", "--directory", directory).exit_code == 0
    (tmp_path / "notes.txt").write_text("kept")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for output in (
        theory,
        directory / "run.json",
        next(directory.glob("*.safetensors")),
        tmp_path / "notes.txt",
    ):
        for command in (
            ("sample", directory, "--count", "10", "--output", output),
            ("hmc", theory, "--chains", "2", "--trajectories", "20", "--output", output),
            ("anneal", theory, "--seconds", "1", "--out", output),
        ):
            result = run(*command)
            assert result.exit_code == 1, result.output
            assert str(output) in result.stderr
    for output in (theory, directory / "run.json"):
        assert run("derive", theory, "--output", output).exit_code == 1
    assert run("compare", theory, "--budget", "1s", "--out", directory).exit_code == 1
    assert {path: path.read_bytes() for path in before} == before
    for _ in range(2):
        assert run("sample", directory, "--count", "10", "--output", tmp_path / "x.npz").exit_code == 0


def test_no_work_is_begun_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*arguments: object, **options: object) -> None:
        raise AssertionError("work was begun")

    for room, name in (
        (cli.derived, "analyse"),
        (cli.training, "compile"),
        (cli.training, "load_run"),
        (cli.runs, "load_run"),
        (cli.runs, "compare_methods"),
        (cli.untrained, "hmc"),
    ):
        monkeypatch.setattr(room, name, work)
    (tmp_path / "file").write_text("")
    bad = tmp_path / "file" / "output"
    for command in (
        ("train", "scalar_phi4", "--plot", tmp_path / "x.txt"),
        ("train", "scalar_phi4", "--plot", f"{bad}.png"),
        ("resume", tmp_path, "--plot", f"{bad}.png"),
        ("sample", tmp_path, "--output", bad),
        ("sample", tmp_path, "--plot", tmp_path / "x"),
        ("hmc", "scalar_phi4", "--output", bad),
        ("derive", "scalar_phi4", "--output", bad),
        ("derive", "scalar_phi4", "--picture", tmp_path / "x.txt"),
        ("compare", "scalar_phi4", "--out", bad),
    ):
        result = run(*command)
        assert result.exit_code == 1, result.output
        assert "expected:" in result.stderr
