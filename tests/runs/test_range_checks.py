"""Curves and annealings of one run that was trained over a range of couplings, against closed forms."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.annealing.driver import anneal_program
from sesamo_dsl.annealing.options import AnnealingOptions
from sesamo_dsl.cli import app
from sesamo_dsl.errors import NotNormalizableError, OptionError, ParameterError, RunError
from sesamo_dsl.estimates.target_sample import TargetSample
from sesamo_dsl.runs.point_checks import PointCheck, places

LATTICE = sd.Lattice(3)
PHI = sd.ScalarField("phi", LATTICE)
A, H = sd.parameters("a h")
GAUSSIAN = sd.Theory(
    "gaussian",
    fields=[PHI],
    action=LATTICE.sum(A * PHI**2 / 2 + H * PHI),
    defaults={A: 1, H: 0},
    observables={"m": LATTICE.sum(PHI) / 3},
)
TRAINING: dict[str, Any] = {
    "over": {"a": (0.7, 1.6), "h": (-0.7, 0.7)},
    "flow": sd.FlowSpec(layers=2, hidden=(8,), kernel=3),
    "batch": 64,
    "progress": False,
}


def a_few_walkers(
    compiled: Any, parameters: Any, seconds: Any, trained: float, seed: int, *, progress: bool
) -> Any:
    """An annealing of so many walkers instead of so many seconds, on busy machines as well."""
    options = AnnealingOptions(walkers=64, populations=4, seconds=600.0, seed=seed)
    annealed, signals = anneal_program(compiled, parameters, options, progress=False)
    return annealed.as_target(), signals


FILE = """
import sesamo_dsl as sd

lattice = sd.Lattice(3)
phi, h = sd.ScalarField("phi", lattice), sd.parameters("h")
theory = sd.Theory("filed", fields=[phi], action=lattice.sum(phi**2 / 2 + h * phi), defaults={h: 0})
"""


def exact(a: float, h: float) -> float:
    """log Z of three Gaussians with a source."""
    return 1.5 * (math.log(2 * math.pi / a) + h**2 / a)


@pytest.fixture(scope="module")
def run() -> sd.Run:
    compiled = sd.compile(GAUSSIAN, precision="float64")
    return compiled.train(**TRAINING, steps=30, directory=False, check=False)


def test_curves_of_one_training_against_closed_forms(run: sd.Run) -> None:
    scan = run.scan({A: [0.7, 1.1, 1.6], "h": [-0.5, 0.3]}, n=2000, seed=3, progress=False)
    assert len(scan) == 6
    assert dict(scan.to_xarray().sizes) == {"a": 3, "h": 2}
    for point in scan.points:
        a, h = point.couplings["a"], point.couplings["h"]
        wanted = {
            "log_z": exact(a, h),
            "d_log_z[h]": 3 * h / a,
            "d2_log_z[h,h]": 3 / a,
            "m": -h / a,
            "d_log_z[a]": -1.5 / a - 1.5 * (h / a) ** 2,
        }
        for name, value in wanted.items():
            found = point[name]
            assert abs(found.value - value) < 4.5 * found.error + 1e-9, (name, point.text)
            assert found.error < 0.2
    integration, *reweighting = scan.consistency
    assert integration.holds
    assert integration.degrees >= 3
    assert all(law.holds is not False for law in reweighting)
    assert scan.runs == (run,)
    assert len({point["log_z"].value for point in scan.points}) == 6
    assert scan.plot("binder", against="h").axes


def test_samples_of_a_scan_are_those_of_the_run_at_the_point(run: sd.Run) -> None:
    """Another route to the same numbers, and other noise at every point."""
    scan = run.scan([{"a": 1.0}, {"a": 1.2}], n=300, parameters={"h": 0.5}, seed=8, progress=False)
    assert scan.fixed == {"h": 0.5}
    seeds = [int(np.random.SeedSequence([8, i]).generate_state(1, np.uint64)[0] >> 1) for i in (0, 1)]
    for point, seed in zip(scan.points, seeds, strict=True):
        samples = run.at(a=point.couplings["a"], h=0.5).sample(300, seed=seed)
        assert point["log_z"] == pytest.approx(samples.log_z, rel=1e-6)
        assert point.ess == samples.ess
    assert seeds[0] != seeds[1]


def test_what_no_scan_of_a_run_is(run: sd.Run) -> None:
    def refused(error: type[sd.SesamoError], words: str, over: Any, **options: Any) -> None:
        with pytest.raises(error, match=words):
            run.scan(over, **{"n": 100, "progress": False, **options})

    refused(ParameterError, "a point of the range", {"a": [0.5, 1.0]})
    refused(ParameterError, "couplings that vary: a, h", {"b": [0.5, 1.0]})
    refused(ParameterError, "a range as well", {"a": [0.8, 1.0]}, parameters={A: 1.0})
    refused(ParameterError, "couplings that vary", {"a": [0.8, 1.0]}, parameters={"b": 1.0})
    refused(ParameterError, "dictionary", {"a": [0.8, 1.0]}, parameters=[1.0])
    refused(OptionError, "two points at least", {"a": [1.0]})
    refused(OptionError, "option n of a scan", {"a": [0.8, 1.0]}, n=5)
    refused(OptionError, "option extrapolate", {"a": [0.8, 1.0]}, extrapolate=1)
    refused(OptionError, "one of m", {"a": [0.8, 1.0]}, order_parameter="q")
    refused(NotNormalizableError, r"point 1 of 2 of a scan", {"a": [-0.1, 1.0]}, extrapolate=True)
    with pytest.raises(NotNormalizableError):
        run.at(a=-0.1, extrapolate=True)
    with pytest.raises(RunError, match="range of couplings"):
        run.at(a=1.0).scan({"a": [0.8, 1.0]})


def test_points_outside_of_the_range_have_a_warning(run: sd.Run, tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="1 points of a scan are outside"):
        scan = run.scan({"a": [0.65, 1.0]}, n=200, extrapolate=True, progress=False)
    found = [any(w.startswith("extrapolation: a = 0.65") for w in point.warnings) for point in scan.points]
    assert found == [True, False]
    assert any("a = 0.65: extrapolation" in warning for warning in scan.warnings)
    with pytest.warns(RuntimeWarning, match="outside of the trained range"):
        far = run.at(a=0.65, extrapolate=True)
    samples = far.sample_to(tmp_path / "far.h5", 200, progress=False)
    assert any(w.startswith("extrapolation") for w in sd.Samples.open(tmp_path / "far.h5").warnings)
    assert any(w.startswith("extrapolation") for w in samples.warnings)
    far.save(tmp_path / "far")
    kept = sd.load_run(tmp_path / "far")
    assert any(w.startswith("extrapolation") for w in kept.sample(200).warnings)
    kept.resume(1, progress=False, check=False)  # from now on it is trained there
    assert not any(w.startswith("extrapolation") for w in kept.sample(200).warnings)


def test_the_point_of_the_lowest_ess_is_found(run: sd.Run) -> None:
    """A model that is exact at one end of a list of points, and wrong at the other."""
    compiled = run.compiled
    assert isinstance(compiled, sd.CompiledTheory)
    points = [{"h": h} for h in (0.0, 0.3, 1.1, 0.5)]
    standard: Any = compiled.model(over=points, base="standard", batch=64, flow=TRAINING["flow"])
    over = standard._plan.over
    found = places(standard, over, "ends", {"a": 1.0, "h": 0.0})
    assert found == {
        (0.0,): "an end",
        (1.1,): "an end, and the lowest ESS",
        (0.5,): "the middle",
    }
    ess = standard.ess_of_points([0, 1, 2, 3], 2)
    assert ess[0] == pytest.approx(1, abs=1e-6)
    assert list(np.argsort(ess)) == [2, 3, 1, 0]
    box: Any = run.model
    assert run.plan.over is not None
    assert list(places(box, run.plan.over, "ends", run.parameters))[:5] == [
        *[(a, h) for a in (0.7, 1.6) for h in (-0.7, 0.7)],
        (1.15, 0.0),
    ]


@pytest.mark.checked
def test_annealings_at_points_of_the_range_are_kept(run: sd.Run, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("sesamo_dsl.runs.run.anneal_for_check", a_few_walkers)
    monkeypatch.setattr("sesamo_dsl.runs.run.COMPARED", 500)
    compiled = run.compiled
    assert isinstance(compiled, sd.CompiledTheory)
    options: dict[str, Any] = {**TRAINING, "over": {"a": (0.7, 1.6)}}
    run = compiled.train(**options, steps=4, directory=tmp_path / "run")
    assert [check.place.partition(",")[0] for check in run.checked][:3] == [
        "an end",
        "an end",
        "the middle",
    ]
    assert {check.status for check in run.checked} == {"covered"}
    for check in run.checked:
        assert check.outside is not None
        assert check.outside.log_z is not None
        wanted = exact(check.couplings["a"], 0)
        assert abs(check.outside.log_z.value - wanted) < 5 * check.outside.log_z.error + 1e-9
    assert "a = 0.7" in str(run.sheet.text())
    loaded = sd.load_run(tmp_path / "run")
    assert [(c.couplings, c.place, c.ess, c.status) for c in loaded.checked] == [
        (c.couplings, c.place, c.ess, c.status) for c in run.checked
    ]
    coverage = loaded.at(a=0.7).sample(1000).coverage
    assert coverage is not None
    assert coverage.status == "covered"
    assert any("covered at a = 1.6" in note for note in loaded.at(a=0.8).sample(10).notes)
    loaded.report(tmp_path / "page.html", count=500)
    assert "points of the range of the training" in (tmp_path / "page.html").read_text(encoding="utf-8")
    loaded.resume(1, progress=False)
    assert [c.outside is not None for c in loaded.checked] == [True] * len(run.checked)
    assert {check.status for check in loaded.checked} == {"covered"}


def test_a_part_that_is_missed_somewhere_is_a_warning_elsewhere(run: sd.Run) -> None:
    """Walkers of another target at one point: the model is said to miss them there, and others say so."""
    ours = copy.copy(run)
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(size=(400, 1, 3)), 9 + rng.normal(size=(400, 1, 3))])[rng.permutation(800)]
    action = ours.compiled.action(x, {**ours.parameters, "a": 1.0, "h": 0.0})
    wrong = TargetSample.of_arrays(x, np.minimum(action, 5.0))
    ours.checked = (PointCheck({"a": 1.0, "h": 0.0}, "an end", wrong),)
    ours._compare()
    assert ours.checked[0].status == "missed"
    assert any(w.startswith("coverage") for w in ours.at(a=1.0, h=0.0).sample(500).warnings)
    assert any("misses a part at a = 1" in w for w in ours.at(a=1.2).sample(500).warnings)


def test_annealings_without_a_result_are_a_warning_everywhere(run: sd.Run) -> None:
    ours = copy.copy(run)
    ours.checked = (PointCheck({"a": 1.0, "h": 0.0}, "an end", None, "time was over after 5 s"),)
    ours._compare()
    scan = ours.scan({"a": [1.0, 1.2]}, n=200, parameters={"h": 0.0}, progress=False)
    assert [point.coverage for point in scan.points] == ["unknown", "unknown"]
    for a in (1.0, 1.2):
        assert any("time was over after 5 s" in w for w in ours.at(a=a, h=0.0).sample(200).warnings)
    assert "time was over" not in "".join(run.at(a=1.2).sample(200).warnings)  # where none was made
    assert "coverage unknown" in str(ours)
    assert "a from 0.7 to 1.6" in str(ours)


def test_the_commands(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)

    def command(*words: Any) -> Any:
        return CliRunner().invoke(app, list(map(str, words)))

    small = [f"--option=flow.{text}" for text in ("layers=1", "hidden=[4]")]
    options = ["--steps", 3, "--batch", 16, "--no-check", "--directory", "run", *small]
    (tmp_path / "t.py").write_text(FILE)  # three variables, for which there is no quadrature
    done = command("train", "t.py", "--over", "h=0:0.1", *options)
    assert done.exit_code in (0, 3), done.output
    assert "trained over       h from 0 to 0.1" in done.stdout
    scan = ["scan", "run", "--over", "h=0:0.1:2", "--count", 200]
    done = command(*scan, "--output", "s.npz", "--plot", "s.png", "--json")
    assert done.exit_code in (0, 3), done.output
    assert len(json.loads(done.stdout)["scan"]["points"]) == 2
    assert len(sd.Scan.load(tmp_path / "s.npz")) == 2
    for wrong, words in (
        (["scan", "run", "--over", "h=0:0.2:2"], "a point of the range"),
        ([*scan, "--steps", 3], "option --steps"),
        (["scan", "t.py", "--over", "h=0:0.2:2", "--extrapolate"], "option --extrapolate"),
        (["train", "t.py", "--over", "h=0.1"], "NAME=LOW:HIGH"),
        (["train", "t.py", "--over", "h=0:1", "--over", "h=0:2"], "h twice"),
        (["train", "t.py", "--over", "h=1:0"], "second end"),
        (["train", "t.py", "--over", "h=0:1", "--option", "over.h=[0,1]"], "--over as well"),
    ):
        refused = command(*wrong)
        assert refused.exit_code == 1, wrong
        assert words in " ".join(refused.stderr.split()), (words, refused.stderr)
    done = command("scan", "run", "--over", "h=0.05:0.12:2", "--count", 200, "--extrapolate")
    assert "extrapolation" in done.stdout + done.stderr
