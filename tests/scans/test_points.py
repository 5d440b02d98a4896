"""The points of a scan, what is refused, and what goes on after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.cli import app
from sesamo_dsl.errors import (
    NotNormalizableError,
    OptionError,
    ParameterError,
    RunError,
    ScanInterrupted,
    TrainingDivergedError,
)
from sesamo_dsl.scans.grid import Grid
from sesamo_dsl.scans.measuring import Order

X = sd.VectorField("x", sd.Lattice(1), 2)
A, H = sd.parameters("a h")
WELL = sd.Theory(
    "well",
    fields=[X],
    action=2 * (X.squared - A) ** 2 + X[1] ** 2 + H * X[0],
    defaults={A: 1.0, H: 0.0},
    symmetries=[sd.Z2(X)],
)
QUICK: dict[str, Any] = {
    "flow": sd.FlowSpec(layers=1, hidden=(4,), kernel=1),
    "batch": 16,
    "steps": 3,
    "n": 200,
    "progress": False,
    "check": False,
}


@pytest.fixture(scope="module")
def compiled() -> sd.CompiledTheory:
    return sd.compile(WELL, "torch")


def test_a_product_is_walked_like_a_snake() -> None:
    grid = Grid.of({A: [1, 2, 3], "h": np.array([0.2, 0.1])}, WELL)
    assert grid.names == ("a", "h")
    assert grid.values.tolist() == [[1, 0.2], [1, 0.1], [2, 0.1], [2, 0.2], [3, 0.2], [3, 0.1]]
    assert (np.abs(np.diff(grid.values, axis=0)) > 0).sum(axis=1).tolist() == [1] * 5
    assert not grid.notes
    unsorted = Grid.of({"a": [2, 1, 3]}, WELL)
    assert unsorted.values[:, 0].tolist() == [1, 2, 3]
    assert "not in order" in unsorted.notes[0]
    listed = Grid.of([{"h": 0.1, "a": 2}, {A: 1, H: 0.1}], WELL)
    assert listed.values.tolist() == [[0.1, 2.0], [0.1, 1.0]]
    assert listed.axes is None


@pytest.mark.parametrize(
    ("over", "error", "words"),
    [
        ({"kappa": [1, 2]}, ParameterError, "one of a, h"),
        ({"a": [1, np.nan]}, OptionError, "finite real numbers"),
        ({"a": [1, np.inf]}, OptionError, "finite real numbers"),
        ({"a": [1, 2, 1]}, OptionError, "a = 1 twice"),
        ({"a": [0.1, 0.1 + 1e-17]}, OptionError, "twice"),
        ({"a": [1]}, OptionError, "two points at least"),
        ({"a": []}, OptionError, "values of the coupling"),
        ({"a": 0.5}, OptionError, "values of the coupling"),
        ({"a": ["1", "2"]}, OptionError, "finite real numbers"),
        ({"a": [1, 2], A: [1, 2]}, OptionError, "a twice"),
        ({"a": np.arange(200), "h": np.arange(200)}, OptionError, "10000 at most"),
        ({}, OptionError, "two points at least"),
        ([{"a": 1}, {"h": 1}], OptionError, "the couplings a at every point"),
        ([{"a": 1}, {"a": 1}], OptionError, "twice"),
        ([{}, {}], OptionError, "at every point"),
        ("a=1:2:3", OptionError, "a list of points"),
        (np.array([1.0, 2.0]), OptionError, "a list of points"),
    ],
)
def test_points_that_are_refused(over: Any, error: type[sd.SesamoError], words: str) -> None:
    with pytest.raises(error, match=words):
        Grid.of(over, WELL)


def test_what_else_is_refused_before_any_training(compiled: sd.CompiledTheory, tmp_path: Path) -> None:
    def refused(error: type[sd.SesamoError], words: str, over: Any = None, **options: Any) -> None:
        with pytest.raises(error, match=words):
            sd.scan(compiled, over or {"a": [1, 2]}, directory=tmp_path / "never", **options)

    refused(ParameterError, "a range as well", parameters={A: 1.0})
    refused(ParameterError, "one of: a, h", parameters={"b": 1.0})
    refused(OptionError, "option n of a scan", n=3)
    refused(OptionError, "sample|memory|fewer", n=10**15)
    refused(OptionError, "batch", batch=0)
    refused(OptionError, "order_parameter", order_parameter="m")
    refused(OptionError, "order_parameter", order_parameter=lambda x: x)
    refused(OptionError, "order_parameter", order_parameter=lambda x: x[:, 7])
    refused(OptionError, "order_parameter", order_parameter=lambda x: np.full(len(x), np.nan))
    refused(OptionError, "order_parameter", order_parameter=3)
    refused(OptionError, "option check", check=1)
    assert not (tmp_path / "never").exists()
    site = sd.Lattice(2)
    phi, J = sd.ScalarField("phi", site), sd.SiteConstant("J", site)
    disorder = sd.Theory("disorder", fields=[phi], action=site.sum(phi**2 + J * phi + A * phi**4))
    with pytest.raises(ParameterError, match="a value for every site"):
        Grid.of({"J": [1, 2]}, disorder)


def test_a_range_with_an_infinite_integral(tmp_path: Path) -> None:
    m = sd.parameters("m")
    phi = sd.ScalarField("phi", sd.Lattice(2))
    theory = sd.Theory("gauss", fields=[phi], action=sd.Lattice(2).sum(m * phi**2), defaults={m: 1})
    with pytest.raises(NotNormalizableError, match=r"point 3 of 3 of a scan, m = -0\.1") as refused:
        sd.scan(theory, {"m": [0.5, 0.2, -0.1]}, directory=tmp_path / "never")
    assert "end the range before it" in refused.value.remedy
    assert not (tmp_path / "never").exists()


def test_the_order_parameter() -> None:
    phi, chi = sd.ScalarField("phi", sd.Lattice(2)), sd.ScalarField("chi", sd.Lattice(2))
    two = sd.Theory("two", fields=[phi, chi], action=sd.Lattice(2).sum(phi**2 + chi**2))
    assert "2 fields" in Order.of(None, two).missing
    assert not Order.of(None, WELL).missing
    assert Order.of(lambda x: x[:, 0, 0], two).function is not None


def test_a_vacuum_that_changes_its_symmetry_is_said(compiled: sd.CompiledTheory) -> None:
    """S = 2(x² − a)² + …: one minimum for a < 0, two that the sign relates for a > 0."""
    scan = sd.scan(compiled, {"a": [-3.0, -2.5, 2.5, 3.0]}, directory=False, **QUICK)
    starts = [point.start for point in scan.points]
    assert [start.startswith("anew") for start in starts] == [True, False, True, False]
    assert "vacuum changes its symmetry" in starts[2]
    assert any("a = 2.5: anew: the classical vacuum changes" in note for note in scan.notes)
    assert [point.steps for point in scan.points] == [3, 1, 3, 1]


def test_the_same_call_goes_on(compiled: sd.CompiledTheory, tmp_path: Path, monkeypatch: Any) -> None:
    place, over = tmp_path / "scan", {"a": [-3.0, -2.5, -2.0]}
    train, seen = sd.CompiledTheory.train, []

    def interrupted(self: Any, *args: Any, **options: Any) -> Any:
        run = train(self, *args, **options)
        seen.append(options["directory"].name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return run

    monkeypatch.setattr(sd.CompiledTheory, "train", interrupted)
    with pytest.raises(ScanInterrupted, match="the same call goes on") as stopped:
        sd.scan(compiled, over, directory=place, **QUICK)
    assert len(stopped.value.runs) == 1
    scan = sd.scan(compiled, over, directory=place, **QUICK)
    assert seen == ["point-000", "point-001", "point-002"]
    whole = sd.scan(compiled, over, directory=tmp_path / "whole", **QUICK)
    for one, other in zip(scan.points, whole.points, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-5)
    for changed in ({"over": {"a": [-3.0, -2.5]}}, {"batch": 32}, {"parameters": {"h": 0.1}}):
        with pytest.raises(RunError, match="nothing is overwritten"):
            sd.scan(compiled, **{"over": over, "directory": place, **QUICK, **changed})
    (place / "scan.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        sd.scan(compiled, over, directory=place, **QUICK)
    with pytest.raises(RunError, match="of a single run"):
        sd.scan(compiled, over, directory=place / "point-000", **QUICK)
    assert json.loads((tmp_path / "whole" / "scan.json").read_text())["points"][1] == {"a": -2.5}


def test_a_point_that_diverges_is_left_out_and_said(compiled: sd.CompiledTheory, monkeypatch: Any) -> None:
    train = sd.CompiledTheory.train

    def diverging(self: Any, *args: Any, **options: Any) -> Any:
        if options["parameters"]["a"] in bad:
            raise TrainingDivergedError(
                "training, step 2", expected="numbers", found="loss = nan", remedy="no"
            )
        return train(self, *args, **options)

    monkeypatch.setattr(sd.CompiledTheory, "train", diverging)
    bad = {-2.5}
    scan = sd.scan(compiled, {"a": [-3.0, -2.5, -2.0]}, directory=False, **QUICK)
    assert [point.couplings["a"] for point in scan.points] == [-3.0, -2.0]
    assert "left out: the point a = -2.5" in " ".join(scan.warnings)
    assert scan.consistency[0].possible == 1
    assert np.isnan(float(scan.to_xarray()["log_z"].sel(a=-2.5)))
    bad = {-3.0, -2.5, -2.0}
    with pytest.raises(TrainingDivergedError):
        sd.scan(compiled, {"a": [-3.0, -2.5, -2.0]}, directory=False, **QUICK)


def command(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["scan", *map(str, arguments)])


def test_the_command(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--steps", 4, "--batch", 16, "--count", 200, "--no-check", "--directory", tmp_path / "d")
    done = command(
        "gaussian_mixture", "--over", "h=0:0.1:2", *options, "--output", "s.npz", "--plot", "s.png"
    )
    assert done.exit_code in (0, 3), done.output
    assert "thermodynamic integration" in done.stdout
    assert (tmp_path / "s.png").stat().st_size > 1000
    assert len(sd.Scan.load(tmp_path / "s.npz")) == 2
    for wrong in ("h", "h=", "h=0:1", "h=0:1:x", "=0:1:3", "h=0:1:0", "h=a,b", "h=0:1:99999999999"):
        refused = command("gaussian_mixture", "--over", wrong)
        assert refused.exit_code == 1, wrong
        assert "remedy:" in refused.stderr
    refused = command("gaussian_mixture", "--over", "h=0,1", "--output", "s.h5")
    assert "ends in .npz" in refused.stderr
    assert not (tmp_path / "runs").exists()
