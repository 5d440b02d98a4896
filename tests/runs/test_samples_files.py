"""Samples in files: figures as in memory, nothing lost whatever ends the work, the same bytes again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sympy as sp
from typer.testing import CliRunner

import sesamo_dsl as sd
from sesamo_dsl.annealing.layers import Layers
from sesamo_dsl.cli import app
from sesamo_dsl.errors import BackendError, ConfigurationError, OptionError, RunError, SamplingInterrupted
from sesamo_dsl.estimates import samples_writer
from sesamo_dsl.estimates.files import read_configurations
from sesamo_dsl.estimates.target_sample import TargetSample
from sesamo_dsl.estimates.weighted import WeightedSamples
from sesamo_dsl.machine.lock import alone
from sesamo_dsl.runs import sampling
from sesamo_theories.gaussian_mixture import gaussian_mixture
from support import shaken

SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")
ROWS, COUNT = 64, 230  # four parts, the last one shorter
FIELD = np.random.default_rng(3).normal(size=(2, 3))


def mixture() -> sd.Theory:
    return gaussian_mixture(4, 3)


def disordered() -> sd.Theory:
    """A random field, given at run time, and a derived quantity; Python alone knows the declaration."""
    lattice = sd.Lattice(2, 3)
    phi, h = sd.ScalarField("phi", lattice), sd.SiteConstant("h", lattice)
    return sd.Theory(
        "disordered",
        fields=[phi],
        action=lattice.sum(phi**2 - phi * phi.shift(0) / 4 + h * phi),
        symmetries=[sd.Z2(phi)],
        defaults={h: FIELD},
        observables={"m": lattice.sum(phi), "m_squared": lattice.sum(phi) ** 2},
        derived={"susceptibility": sp.Symbol("m_squared") - sp.Symbol("m") ** 2},
    )


@cache
def trained(make: Callable[[], sd.Theory] = mixture, backend: str = "torch") -> sd.Run:
    compiled = sd.compile(make(), backend)
    options: dict[str, Any] = {"flow": SMALL, "batch": 64, "steps": 1, "directory": False}
    run = compiled.train(progress=False, check=False, **options)
    shaken(run.model)
    return run


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files of several parts; and SIGINT as it is in the foreground."""
    monkeypatch.setattr(sampling, "rows_per_part", lambda shape: ROWS)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def written(run: sd.Run, path: Path, count: int = COUNT, **options: Any) -> sd.Samples:
    return run.sample_to(path, count, progress=False, **options)


def in_memory(run: sd.Run, seed: int = 1) -> sd.Samples:
    """The samples of a file by another way: parts drawn by hand, in samples as ``run.sample`` makes them."""
    parts = []
    for number, start in enumerate(range(0, COUNT, ROWS)):
        own = np.random.SeedSequence([seed, 16, number]).generate_state(1, np.uint64)[0] >> 1
        draws = run.model.sample(min(ROWS, COUNT - start), int(own))
        parts.append(WeightedSamples.of(draws, run.compiled.program, run.parameters, None))
    names = ("x", "log_q", "action", "sector", "leaked", "log_prob_mismatch")
    columns = {name: [getattr(part, name) for part in parts] for name in names}
    joined = {name: None if c[0] is None else np.concatenate(c) for name, c in columns.items()}
    return replace(run.sample(COUNT), **joined)


def refused(path: Path, *words: str, **options: Any) -> None:
    with pytest.raises((OptionError, RunError)) as caught:
        sd.Samples.open(path, **options)
    for word in (str(path), *words):
        assert word in str(caught.value)


# figures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [mixture, disordered])
def test_figures_of_a_file_are_those_in_memory(make: Callable[[], sd.Theory], tmp_path: Path) -> None:
    """Arrays to the last bit; figures, errors, warnings, coverage and search; functions and derived ones."""
    run, rng = trained(make), np.random.default_rng(0)
    x = rng.normal(size=(300, *run.compiled.program.configuration_shape))
    target = run.coverage(run.sample(50), x)
    assert target.status == "missed"
    run.outside = TargetSample.of_arrays(x, run.compiled.action(x, run.parameters))
    try:
        expected = in_memory(run)
        found = written(run, tmp_path / "x.h5")
    finally:
        run.outside = None
    again = sd.Samples.open(tmp_path / "x.h5", theory=make())
    for samples in (found, again):
        assert isinstance(samples.x, np.memmap)
        for name in ("x", "log_q", "action", "sector", "leaked", "log_weights"):
            theirs, ours = getattr(expected, name), getattr(samples, name)
            assert ours.dtype == theirs.dtype, name
            np.testing.assert_array_equal(ours, theirs)
        assert samples.warnings == expected.warnings
        assert samples.warnings
        assert samples.text() == expected.text()
        for name in ("action", lambda x: np.abs(x).sum(axis=(1, 2, 3)) if x.ndim > 3 else x[:, 0, 0]):
            ours, theirs = samples.expect(name), expected.expect(name)
            assert ours == theirs
            assert (ours - theirs).error < 1e-9 * theirs.error  # they are known to be the same samples
        for name in run.derived:
            assert samples.derived(name) == expected.derived(name)
    assert set(again.declared) == set(run.derived)
    if make is disordered:
        without = sd.Samples.open(tmp_path / "x.h5")
        assert "susceptibility" in without.notes[-1]
        assert not without.declared
        with pytest.raises(RunError, match="gaussian_mixture"):
            sd.Samples.open(tmp_path / "x.h5", theory=mixture())


def test_a_part_of_a_file(tmp_path: Path) -> None:
    whole = written(trained(), tmp_path / "x.h5")
    for part in (slice(3, 100), slice(-5, None), slice(None, None, 7), slice(0, 10**9)):
        some = sd.Samples.open(tmp_path / "x.h5", part=part)
        np.testing.assert_array_equal(some.x, whole.x[part])
        np.testing.assert_array_equal(some.log_weights, whole.log_weights[part])
    for wrong in (slice(500, 600), slice(3, 3), 5, slice("a", None), (1, 2)):
        refused(tmp_path / "x.h5", "slice", part=wrong)


def test_a_function_is_called_with_some_configurations_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, sizes = written(trained(), tmp_path / "x.h5"), []
    monkeypatch.setattr("sesamo_dsl.estimates.weighted.chunk_size", lambda shape: 16)

    def first(x: np.ndarray) -> np.ndarray:
        sizes.append(len(x))
        x *= 2  # it may work in place
        return x[:, 0, 0]

    value = samples.expect(first)
    assert value == samples.expect(2 * samples.x[:, 0, 0])
    assert max(sizes) == 64
    with pytest.raises(OptionError, match="in parts"):
        samples.expect(lambda x: x[:, 0, 0] - x[:, 0, 0].mean())
    assert samples.expect(lambda x: np.full(len(x), np.pi)) == pytest.approx((np.pi, 0), abs=1e-12)


def test_means_of_many_values_are_those_of_each() -> None:
    samples = trained().sample(5000)

    def values(x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        return np.stack([x[:, 0, 0], 1e6 + x[:, 1, 0], x[:, 0, 0] ** 2, np.ones(len(x))], axis=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sesamo_dsl.estimates.weighted.chunk_size", lambda shape: 100)
        found = samples.expect_each(values)
    expected = [samples.expect(column) for column in values(samples.x).T]
    np.testing.assert_allclose(np.transpose(found), expected, rtol=1e-9, atol=1e-12)
    behind = replace(samples, leaked=np.arange(5000) % 2 == 0)
    hidden = behind.expect_each(lambda x: np.where(np.arange(len(x)) % 2 == 0, np.inf, x[:, 0, 0])[:, None])
    assert np.isfinite(hidden).all()


# interruptions ----------------------------------------------------------------------------------------------


def test_every_way_to_a_file_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure before any of the moments at which bytes are brought to the disk."""
    run, whole = trained(), tmp_path / "whole.h5"
    expected = written(run, whole)
    bytes_of_whole, flush = whole.read_bytes(), samples_writer._flush
    for moment in range(9):
        path, calls = tmp_path / f"{moment}.h5", []

        def failing(file: Any, calls: list[int] = calls, moment: int = moment) -> None:
            calls.append(0)
            if len(calls) == moment + 1:
                raise OSError("no space left on device")
            flush(file)

        with monkeypatch.context() as patch:
            patch.setattr(samples_writer, "_flush", failing)
            with pytest.raises(RunError, match="no space"):
                written(run, path)
        if moment == 0:  # while it was made
            assert not path.exists()
        else:
            done = int(samples_writer.header_of(path)["done"])
            assert done in (ROWS * ((moment - 1) // 2), min(ROWS * (moment // 2), COUNT))
            if done:
                np.testing.assert_array_equal(sd.Samples.open(path).x, expected.x[:done])
            else:
                refused(path, "none of 230")
        written(run, path)
        assert path.read_bytes() == bytes_of_whole
    before = whole.stat().st_mtime_ns
    assert len(written(run, whole)) == COUNT  # nothing is left to do
    assert whole.stat().st_mtime_ns == before
    assert not list(tmp_path.glob(".*.new"))


KILLED = """
import os, signal, sys, time
import sesamo_dsl as sd
from sesamo_dsl.estimates import samples_writer
from sesamo_dsl.runs import sampling
sampling.rows_per_part = lambda shape: 64
append = samples_writer.SamplesWriter.append
def slow(self, part):
    append(self, part)
    if self.done >= 128:  # what follows is the middle of the third part
        with samples_writer.opened(self.path, "r+") as file:
            file["x"][self.done : self.done + 50] = 1e30
            file.flush()
            os.write(1, b"now")
            time.sleep(60)
samples_writer.SamplesWriter.append = slow
sd.load_run(sys.argv[1]).sample_to(sys.argv[2], 230, progress=False)
"""


def test_kill_9_in_the_middle_of_a_part(tmp_path: Path) -> None:
    run, path = trained(), tmp_path / "x.h5"
    run = sd.load_run(_saved(run, tmp_path / "run"))
    expected = written(run, tmp_path / "whole.h5")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "run"), str(path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert process.stdout.read(3) == b"now"
        with pytest.raises(RunError, match="another process that writes it"):
            written(run, path)
        half = sd.Samples.open(path)  # readers need not wait
        np.testing.assert_array_equal(half.x, expected.x[:128])
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with h5py.File(path) as file:
        assert file["x"][128].max() > 1e29  # it was in the middle
    assert len(sd.Samples.open(path)) == 128
    written(trained(), path)  # the run that was saved, which was never loaded
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()


def _saved(run: sd.Run, directory: Path) -> Path:
    """The directory of a copy of the run, which itself stays in memory."""
    replace(run).save(directory)
    return directory


@pytest.mark.parametrize(
    ("backend", "anneal", "number"),
    [
        ("torch", 0, signal.SIGINT),
        ("torch", 6, signal.SIGTERM),
        ("torch", "auto", signal.SIGINT),
        ("jax", 0, signal.SIGTERM),
    ],
)
def test_a_signal_keeps_what_is_done(
    backend: str, anneal: Any, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With layers the part that is going on is left; without, it is finished first."""
    run, path, calls = trained(mixture, backend), tmp_path / "x.h5", []
    whole = written(run, tmp_path / "whole.h5", anneal=anneal, anneal_seconds=1000)
    if anneal:
        record = whole.annealed
        assert record is not None
        assert anneal in ("auto", record.layers)
        assert whole.ess > record.model_ess + 0.02
        assert sd.Samples.open(tmp_path / "whole.h5").annealed == record
    kind, name = (Layers, "forward") if anneal else (type(run.model), "sample")
    original = getattr(kind, name)

    def interrupted(self: Any, *arguments: Any) -> Any:
        calls.append(0)
        if len(calls) == 3:
            signal.raise_signal(number)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(kind, name, interrupted)
        with pytest.raises(SamplingInterrupted, match=f"{number.name}: .* of 230 samples are in") as caught:
            written(run, path, anneal=anneal, anneal_seconds=1000)
    done = 128 if anneal else 192
    assert caught.value.signal == number
    assert len(caught.value.samples) == done
    np.testing.assert_array_equal(caught.value.samples.x, whole.x[:done])
    written(run, path, anneal=anneal, anneal_seconds=1000)
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_annealed_files_are_exact_and_know_their_layers(tmp_path: Path) -> None:
    """log Z by layers that draws of another seed have passed as well; the coverage uses the same layers."""
    run = trained()
    samples = written(run, tmp_path / "x.h5", 4000, anneal=3)
    plain = run.sample(4000, anneal=3, progress=False)
    exact = samples.exact
    assert exact is not None
    assert abs(samples.log_z.value - exact.log_z) < 4.5 * samples.log_z.error
    assert samples.annealed is not None
    assert plain.annealed is not None
    assert samples.annealed.pilot_ess == plain.annealed.pilot_ess
    assert samples.annealed.action_evaluations == plain.annealed.action_evaluations
    assert abs(samples.annealed.acceptance - plain.annealed.acceptance) < 0.05
    assert abs(samples.ess - plain.ess) < 0.1
    assert run.sample_to(tmp_path / "y.h5", 100, anneal="auto", progress=False).annealed is not None


# refusals ---------------------------------------------------------------------------------------------------


def test_other_arguments_and_other_runs_are_refused(tmp_path: Path) -> None:
    run, path = trained(), tmp_path / "x.h5"
    written(run, path)
    before = path.read_bytes()
    for word, options in (("seed", {"seed": 2}), ("count", {"count": 300}), ("anneal", {"anneal": 1})):
        with pytest.raises(OptionError, match=f"{word} = "):
            written(run, path, **options)
    state = run.model.state()
    try:
        shaken(run.model, seed=5, size=1e-6)
        with pytest.raises(OptionError, match="model_digest"):
            written(run, path)
    finally:
        run.model.load_state(state)
    with pytest.raises(OptionError, match="theory"):
        written(trained(disordered), path)
    fields_of_h = trained(disordered)
    written(fields_of_h, tmp_path / "h.h5")
    elsewhere = replace(fields_of_h, parameters={"h": FIELD + 1e-9})
    with pytest.raises(OptionError, match="couplings"):
        written(elsewhere, tmp_path / "h.h5")
    assert path.read_bytes() == before


def test_no_file_of_another_kind_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained()
    (tmp_path / "text.h5").write_text("theory = …")
    (tmp_path / "empty.h5").write_bytes(b"")
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["x"] = np.zeros(3)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path in before:
        with pytest.raises(OptionError, match="another kind"):
            written(run, path)
        refused(path, "another kind")
    with pytest.raises(OptionError, match=r"ends in \.h5"):
        written(run, tmp_path / "x.npz")
    (tmp_path / "directory.h5").mkdir()
    for place in (tmp_path / "directory.h5", tmp_path / "text.h5" / "x.h5"):
        with pytest.raises(RunError):
            written(run, place)
    refused(tmp_path / "nowhere.h5")
    assert {path: path.read_bytes() for path in before} == before
    busy = RunError("held", expected="", found="", remedy="")
    with (
        alone(samples_writer.lock_of(tmp_path / "x.h5"), busy),
        pytest.raises(RunError, match="another process"),
    ):
        written(run, tmp_path / "x.h5")
    with pytest.raises(RunError, match="GiB free"):
        written(run, tmp_path / "x.h5", 10**15)
    assert not (tmp_path / "x.h5").exists()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BackendError, match=r"sesamo-dsl\[files\]"):
        written(run, tmp_path / "x.h5")
    for wrong in ({"count": 0}, {"seed": -1}, {"anneal": -1}, {"anneal_seconds": 0}, {"path": ""}):
        with pytest.raises(OptionError):
            run.sample_to(**{"path": tmp_path / "x.h5", "count": 10, "progress": False, **wrong})


def _set(name: str, value: Any) -> Callable[[h5py.File], None]:
    return lambda file: file.attrs.__setitem__(name, value)


def _replace(name: str, array: Any, **options: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=array, **options)

    return change


def _linked(file: h5py.File) -> None:
    del file["x"]
    file["x"] = h5py.ExternalLink("other.h5", "x")


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (_set("done", 1000), "1000 of 230"),
        (_set("done", "many"), "integer"),
        (_set("format", 99), "format 99"),
        (_set("rows", 0), "done"),
        (_replace("log_q", np.zeros(3)), "log_q"),
        (_replace("x", np.zeros((COUNT, 2, 1)), chunks=(1, 2, 1)), "one piece"),
        (_replace("sector", np.full(COUNT, 4)), "elements of the group"),
        (_replace("leaked", np.zeros(COUNT)), "leaked"),
        (_replace("frame/values", np.frombuffer(b"{}", np.uint8)), "program"),
        (_replace("frame/values", np.frombuffer(b"[NaN]", np.uint8)), "NaN"),
        (_replace("frame/couplings/h", np.nan), "coupling h"),
        (_linked, "not an array of this file"),
    ],
)
def test_damaged_files(
    damage: Callable[[h5py.File], None], word: str, tmp_path: Path, pristine: Path
) -> None:
    path = shutil.copy(pristine, tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        damage(file)
    refused(path, word)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "x.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "rows_per_part", lambda shape: ROWS)
        written(trained(), path)
    return path


def test_a_file_that_was_cut(tmp_path: Path, pristine: Path) -> None:
    data = pristine.read_bytes()
    for length in (100, 3000, len(data) - 1):
        (tmp_path / "x.h5").write_bytes(data[:length])
        refused(tmp_path / "x.h5")


# command line -----------------------------------------------------------------------------------------------


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, path = trained(), tmp_path / "x.h5"
    directory = _saved(run, tmp_path / "run")
    sample = ["sample", str(directory), "--count", str(COUNT), "--output", str(path)]
    results = [CliRunner().invoke(app, sample) for _ in range(2)]
    for result in results:
        assert result.exit_code == 0, result.output
        assert "samples            230" in result.stdout
    x, log_weights = read_configurations(path, (2, 1))
    samples = sd.Samples.open(path)
    np.testing.assert_array_equal(x, samples.x)
    np.testing.assert_array_equal(log_weights, samples.log_weights)
    refusal = CliRunner().invoke(app, [*sample, "--seed", "2"])
    assert refusal.exit_code == 1
    assert "seed = 2" in refusal.stderr
    against = ["check-run", str(directory), "--count", "200", "--against", str(path)]
    assert "230 given ones" in CliRunner().invoke(app, against).stdout
    with h5py.File(tmp_path / "foreign.hdf5", "w") as file:
        file["x"] = np.zeros((3, 5, 2, 1))
        file["none"] = np.zeros(3)
    x, log_weights = read_configurations(tmp_path / "foreign.hdf5", (2, 1))
    assert (x.shape, log_weights) == ((15, 2, 1), None)
    with pytest.raises(ConfigurationError, match="shape"):
        read_configurations(tmp_path / "foreign.hdf5", (2, 2))
    (tmp_path / "bad.h5").write_text("no HDF5")
    with pytest.raises(ConfigurationError, match=r"or an \.h5 file"):
        read_configurations(tmp_path / "bad.h5", (2, 1))

    def stopped(*arguments: Any, **options: Any) -> tuple[signal.Signals]:
        return (signal.SIGTERM,)

    monkeypatch.setattr("sesamo_dsl.runs.run.sample_to_file", stopped)
    sample[-1] = str(tmp_path / "new.h5")
    result = CliRunner().invoke(app, sample)
    assert result.exit_code == 128 + signal.SIGTERM
    assert "0 of 230 samples" in result.stderr
