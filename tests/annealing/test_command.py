"""``sesamo-dsl anneal``: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import sesamo_dsl as sd
from sesamo_dsl.cli import app
from sesamo_dsl.report import annealing_picture

QUICK = ("--walkers", "64", "--populations", "4", "--seed", "1")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["anneal", *(str(a) for a in arguments)])


def test_it_prints_and_writes_what_python_gives(tmp_path: Path) -> None:
    out, plot = tmp_path / "walkers.npz", tmp_path / "annealing.png"
    result = run("gaussian_mixture", "--set", "h=0.1", *QUICK, "--out", out, "--plot", plot)
    assert result.exit_code == 0, result.output
    theory = sd.load_theory("gaussian_mixture")
    annealed = sd.anneal(theory, parameters={"h": 0.1}, walkers=64, populations=4, seed=1, progress=False)
    assert f"log Z              {annealed.estimate}" in result.stdout
    with np.load(out) as written:
        assert np.array_equal(written["x"], annealed.samples)
        assert np.array_equal(written["log_weights"], annealed.log_weights)
    assert plot.stat().st_size > 10_000


def test_a_picture_of_walkers_that_were_stopped() -> None:
    annealed = sd.anneal(sd.load_theory("scalar_phi4@16x16"), seconds=0.2, progress=False)
    assert len(annealing_picture(annealed).axes) == 4


def test_too_little_time_is_a_failed_check() -> None:
    result = run("scalar_phi4@32x32", "--seconds", "0.1")
    assert result.exit_code == 3
    assert "WARNING: budget" in result.stdout
    assert "log Z              nan" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--walkers", "2"),
        ("--seconds", "0"),
        ("--populations", "0"),
        ("--set", "kap=1"),
        ("--out", "."),
    ],
)
def test_what_is_wrong_is_explained(arguments: tuple[str, ...]) -> None:
    result = run("scalar_phi4", *arguments)
    assert result.exit_code == 1
    assert "remedy:" in result.stderr
    assert "Traceback" not in result.output


def test_an_interrupt_prints_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    from sesamo_dsl.annealing import driver

    tick = driver._Clock.tick
    stages: list[str] = []

    def interrupted(clock: Any, beta: float) -> None:
        stages.append(clock.stage)
        if stages.count("population 3") == 1 and clock.stage == "population 3":
            signal.raise_signal(signal.SIGINT)
        tick(clock, beta)

    monkeypatch.setattr(driver._Clock, "tick", interrupted)
    result = run("gaussian_mixture", "--walkers", "64")
    assert result.exit_code == 130
    assert "2 populations × 64" in result.stdout
    assert "stopped by SIGINT: 2 population(s) are done" in result.stderr
