"""A training is never lost, and nothing that a run directory holds is run or believed unseen."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError, RunError, RunNotKeptError, TrainingInterrupted
from sesamo_dsl.ir.stored import program_as_data, program_from_data
from sesamo_dsl.ir.text import program_text
from sesamo_dsl.runs.store import RECORD, RunDirectory, record_digest, sha256
from sesamo_dsl.testing.coverage import coverage_program
from sesamo_theories.gaussian_mixture import gaussian_mixture
from support import shaken

SMALL = sd.FlowSpec(layers=2, hidden=(8,), kernel=1, transform="affine")
TINY: dict[str, Any] = {"flow": SMALL, "batch": 8, "progress": False}


@cache
def compiled(backend: str = "torch") -> sd.CompiledTheory:
    return sd.compile(gaussian_mixture(4, 5), backend)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to copy and damage."""
    place = tmp_path_factory.mktemp("runs") / "finished"
    compiled().train(directory=place, steps=6, **TINY)
    return place


def stopping(run_model: Any, at: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal arrives in the middle of a step."""
    kind, count = type(run_model), 0
    step = kind.step

    def stepped(self: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), number)
        return step(self, *arguments)

    monkeypatch.setattr(kind, "step", stepped)


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """SIGINT as it is in the foreground: a suite that runs in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("backend", "number"), [("torch", signal.SIGINT), ("torch", signal.SIGTERM), ("jax", signal.SIGTERM)]
)
def test_an_interrupted_training_is_finished_bit_for_bit(
    backend: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = compiled(backend).train(directory=tmp_path / "straight", steps=30, **TINY)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        stopping(straight.model, 13, number, patch)
        with pytest.raises(KeyboardInterrupt) as stopped:
            compiled(backend).train(directory=tmp_path / "stopped", steps=30, **TINY)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert isinstance(stopped.value, TrainingInterrupted)
    assert (stopped.value.signal, stopped.value.run.steps_done) == (number, 13)
    read = sd.load_run(tmp_path / "stopped")
    assert (read.steps_done, read.steps_asked, read.finished) == (13, 30, False)
    assert any("broken off" in warning for warning in read.sample(200).warnings)
    for run in (stopped.value.run, read):
        copy = shutil.copytree(tmp_path / "stopped", tmp_path / f"copy-{id(run)}")
        run.store = RunDirectory(copy)
        run.resume(progress=False)
        assert run.finished
        for name, array in straight.model.state().items():
            np.testing.assert_array_equal(run.model.state()[name], array)
        for name in ("loss", "ess", "gradient_norm"):
            assert run.history.columns[name] == straight.history.columns[name]
        assert sd.load_run(copy).history.columns == run.history.columns


def test_training_on_does_not_begin_at_the_peak(finished: Path, tmp_path: Path) -> None:
    rates: dict[bool, list[float]] = {}
    for restart in (False, True):
        run = sd.load_run(shutil.copytree(finished, tmp_path / str(restart)))
        kind = type(run.model)
        step, seen = kind.step, rates.setdefault(restart, [])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                kind, "step", lambda self, rate, s=step, seen=seen: seen.append(rate) or s(self, rate)
            )
            run.resume(40, restart=restart, progress=False)
        assert (run.steps_done, run.steps_asked, run.finished) == (46, 46, True)
        assert sd.load_run(run.directory).course == run.course
    cosine = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * np.arange(25, 46) / 46))
    np.testing.assert_allclose(rates[False][-21:], 2e-3 * cosine, rtol=1e-12)
    assert rates[True][0] == pytest.approx(0.05 * 2e-3)  # the warm-up


def test_what_resuming_refuses(finished: Path, tmp_path: Path) -> None:
    run = sd.load_run(shutil.copytree(finished, tmp_path / "run"))
    with pytest.raises(OptionError, match="6 of 6 steps"):
        run.resume()
    for wrong in (
        {"steps": 0},
        {"seconds": -1},
        {"steps": 1, "seconds": 1},
        {"steps": 1, "learning_rate": 0},
    ):
        with pytest.raises(OptionError):
            run.resume(**wrong)
    other = sd.load_run(run.directory).resume(2, learning_rate=1e-4, progress=False)
    assert other.plan.learning_rate == 1e-4
    with pytest.raises(RunError, match="trained since"):
        run.resume(1, progress=False)


def test_one_process_at_a_time(finished: Path, tmp_path: Path) -> None:
    run = sd.load_run(shutil.copytree(finished, tmp_path / "run"))
    code = (
        "import sys; from sesamo_dsl.runs.store import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).locked():\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run.directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process"):
            run.resume(1, progress=False)
        with pytest.raises(RunError, match="another process"):
            run.save()
        assert sd.load_run(run.directory).finished  # reading needs no lock
        holder.kill()
    run.resume(1, progress=False)  # the lock of a killed process is none


def test_default_directories_are_unique(tmp_path: Path) -> None:
    places = [RunDirectory.fresh(tmp_path / "runs" / "name").path for _ in range(3)]
    assert [place.name for place in places] == ["name", "name-2", "name-3"]
    assert all(place.is_dir() for place in places)


def written(place: Path, moment: int) -> None:
    """The files of one moment, alike in all parts."""
    weights = save_tensors({"w": np.full(1000, float(moment))})
    history = f"step,loss\n0,{moment}\n".encode()
    files = {
        f"state-{moment}-{sha256(weights)[:12]}.safetensors": weights,
        f"history-{moment}-{sha256(history)[:12]}.csv": history,
        "declaration.json": b"{}",
    }
    RunDirectory(place).write({"format": 2, "moment": moment}, files)


def moment_of(place: Path) -> int:
    """The moment of record, weights and history, which is one."""
    record, files = RunDirectory(place).read()
    state = next(load_tensors(data)["w"] for name, data in files.items() if name.startswith("state"))
    history = next(data for name, data in files.items() if name.startswith("history"))
    assert set(state) == {float(record["moment"])}
    assert history.decode().endswith(f",{record['moment']}\n")
    return record["moment"]


def test_killed_at_every_call_that_writes(tmp_path: Path) -> None:
    """A child process ends without any clean-up at its k-th call that opens, renames or removes a file."""
    written(tmp_path / "first", 1)
    events = ("open", "os.rename", "os.remove", "os.mkdir")
    seen = set()
    for k in range(1, 60):
        place = shutil.copytree(tmp_path / "first", tmp_path / str(k))
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # a fork of a process with threads may find a lock that nobody opens again
            count = 0

            def hook(event: str, arguments: Any, k: int = k) -> None:
                nonlocal count
                if event in events:
                    count += 1
                    if count == k:
                        os._exit(9)

            sys.addaudithook(hook)
            written(place, 2)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        seen.add(moment_of(place))
        written(place, 3)  # the next one goes through and leaves no stray files
        assert moment_of(place) == 3
        assert len([path for path in place.iterdir() if path.name != "run.lock"]) == 4
        if os.waitstatus_to_exitcode(status) == 0:
            break
    else:
        raise AssertionError("it never came to its end")
    assert seen == {1, 2}
    assert k > 10


@pytest.mark.parametrize("failing", ["write_bytes", "replace"])
def test_a_full_disk_costs_nothing_that_is_there(
    failing: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sd.load_run(shutil.copytree(finished, tmp_path / "run"))
    before = sd.load_run(run.directory).sample(20).x

    def full(*arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(
            *{"write_bytes": (Path, "write_bytes", full), "replace": (os, "replace", full)}[failing]
        )
        with pytest.raises(RunNotKeptError, match="No space left") as error:
            run.resume(5, progress=False)
        assert error.value.run is run
    assert run.sample(20).x.shape == before.shape
    kept = sd.load_run(run.directory)
    assert kept.steps_done == 6
    np.testing.assert_array_equal(kept.sample(20).x, before)
    run.save()
    assert sd.load_run(run.directory).steps_done == 11


def test_checkpoints_are_written_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    write = RunDirectory.write

    def counted(self: RunDirectory, record: Any, files: Any) -> str:
        steps.append(record["steps"]["done"])
        return write(self, record, files)

    monkeypatch.setattr(RunDirectory, "write", counted)
    compiled().train(directory=tmp_path / "often", steps=5, checkpoint_seconds=1e-9, check=False, **TINY)
    assert steps == [0, 0, 1, 2, 3, 4, 5]
    steps.clear()
    compiled().train(directory=tmp_path / "seldom", steps=5, check=False, **TINY)
    assert steps == [0, 5]


# What is read


def test_programs_survive_the_way_through_json() -> None:
    program = coverage_program()
    data = json.loads(json.dumps(program_as_data(program), allow_nan=False))
    assert program_text(program_from_data(data, program.constants)) == program_text(program)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({0: "system"}, "'system' is unknown"),
        ({2: "index"}, "is not index"),
        ({1: [0, 0]}, "is not config"),
        ({1: [99]}, "not there"),
    ],
)
def test_what_is_read_has_types(change: dict[int, Any], reason: str) -> None:
    """The last operation of an action is a sum over sites."""
    program = coverage_program()
    data = json.loads(json.dumps(program_as_data(program)))
    op = next(op for op in data["functions"][0]["ops"] if op[0] == "site_sum")
    for place, value in change.items():
        op[place] = value
    with pytest.raises(ValueError, match=reason):
        program_from_data(data, program.constants)


def test_no_file_is_run(tmp_path: Path) -> None:
    """A run of a user's file is read when the file is gone, and when it would do harm."""
    file = tmp_path / "own.py"
    text = """import sympy as sp
import sesamo_dsl as sd
point = sd.Lattice(1)
x = sd.ScalarField("x", point)
theory = sd.Theory("own", fields=[x], action=point.sum(x.shift(0)**2 / 2), symmetries=[sd.Z2(x)],
    observables={"second": point.sum(x**2)}, derived={"root": sp.sqrt(sp.Symbol("second"))})
"""
    file.write_text(text)
    from sesamo_dsl.language.theory_files import source_of
    from sesamo_dsl.runs import start

    run = start(
        sd.compile(sd.load_theory(file)),
        None,
        {"steps": 2, "flow": SMALL, "batch": 8},
        directory=tmp_path / "run",
        progress=False,
        origin=source_of(str(file)),
    )
    assert run.derived.keys() == sd.load_run(run.directory).derived.keys() == {"root"}
    file.write_text("raise SystemExit('it was run')\n" + text)
    changed = sd.load_run(run.directory)
    assert not changed.derived
    assert any("root" in note for note in changed.notes)
    np.testing.assert_array_equal(changed.sample(30).x, run.sample(30).x)
    assert changed.sample(30).expect("second") == run.sample(30).expect("second")
    file.unlink()
    (tmp_path / "run" / "own.py").write_text(text)  # moved, and as it was
    assert sd.load_run(run.directory).derived.keys() == {"root"}
    (tmp_path / "run" / "own.py").rename(tmp_path / "elsewhere.py")
    assert not sd.load_run(run.directory).derived
    assert sd.load_run(run.directory, theory=tmp_path / "elsewhere.py").derived.keys() == {"root"}
    with pytest.raises(RunError, match="compiled program differs"):
        sd.load_run(run.directory, theory="gaussian_mixture")
    # what is imported from beside a file has no digest: it is run only where the file is given
    importing = text + "import helper_of_own\n"
    file.write_text(importing)
    helper = tmp_path / "helper_of_own.py"
    helper.write_text("")
    run = start(
        sd.compile(sd.load_theory(file)),
        None,
        {"steps": 2, "flow": SMALL, "batch": 8},
        directory=tmp_path / "importing",
        progress=False,
        origin=source_of(str(file)),
    )
    helper.write_text("open(__file__ + '.run', 'w')")
    unasked = sd.load_run(run.directory)
    assert not unasked.derived
    assert any("beside it" in note for note in unasked.notes)
    assert not (tmp_path / "helper_of_own.py.run").exists()
    assert sd.load_run(run.directory, theory=file).derived.keys() == {"root"}
    assert (tmp_path / "helper_of_own.py.run").exists()


def resealed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Edit run.json, and write the checksum that belongs to the result."""

    def tamper(place: Path) -> None:
        record = json.loads((place / RECORD).read_text())
        change(record)
        record["checksum"] = record_digest(record)
        (place / RECORD).write_text(json.dumps(record))

    return tamper


def declared(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Edit the declaration, with checksums that belong to the result."""

    def tamper(place: Path) -> None:
        data = json.loads((place / "declaration.json").read_text())
        change(data)
        (place / "declaration.json").write_text(json.dumps(data))
        digest = sha256((place / "declaration.json").read_bytes())
        resealed(lambda r: r["files"].update({"declaration.json": digest}))(place)

    return tamper


def named(place: Path, stem: str) -> Path:
    return next(place.glob(f"{stem}*"))


def append(stem: str) -> Callable[[Path], object]:
    return lambda place: named(place, stem).write_bytes(named(place, stem).read_bytes() + b"\n")


HARM = "x(): pass\nraise SystemExit('it was run')\ndef y"
TAMPERED: dict[str, Callable[[Path], object]] = {
    "edited record": lambda p: (p / RECORD).write_text((p / RECORD).read_text().replace("8", "9", 1)),
    "edited history": append("history-"),
    "edited weights": append("state-"),
    "edited declaration": append("declaration.json"),
    "edited constants": append("declaration.safetensors"),
    "no history": lambda p: named(p, "history-").unlink(),
    "no declaration": lambda p: (p / "declaration.json").unlink(),
    "a key twice": lambda p: (p / RECORD).write_text('{"format": 2, "format": 1}'),
    "NaN": lambda p: (p / RECORD).write_text('{"format": 2, "x": NaN}'),
    "deep": lambda p: (p / RECORD).write_text("[" * 100_000),
    "a file elsewhere": resealed(lambda r: r["files"].update({"../x": "0"})),
    "files that are none": resealed(lambda r: r.update(files=[1])),
    "no files": resealed(lambda r: r.update(files={})),
    "format as text": resealed(lambda r: r.update(format="2")),
    "more steps": resealed(lambda r: r["steps"].update(done=7)),
    "negative steps": resealed(lambda r: r["steps"].update(done=-1)),
    "steps as text": resealed(lambda r: r["steps"].update(done="6")),
    "another length": resealed(lambda r: r["steps"].update(asked=1)),
    "seconds as text": resealed(lambda r: r["seconds"].update(done="long")),
    "unknown end": resealed(lambda r: r.update(ended="well")),
    "layers": resealed(lambda r: r["options"]["flow"].update(layers=10**9)),
    "widths": resealed(lambda r: r["options"]["flow"].update(hidden=[10**9])),
    "kernel": resealed(lambda r: r["options"]["flow"].update(kernel=10**9 + 1)),
    "bins": resealed(lambda r: r["options"]["flow"].update(transform="spline", bins=10**9)),
    "flows": resealed(lambda r: r["options"].update(flows=10**9, batch=10**9)),
    "law": resealed(lambda r: r["options"].update(law="conditional")),
    "no law": resealed(lambda r: r["options"].update(law=None)),
    "options as text": resealed(lambda r: r.update(options="all")),
    "precision": resealed(lambda r: r.update(precision="float8")),
    "parameters": resealed(lambda r: r.update(parameters={"h": [1.0]})),
    "notes": resealed(lambda r: r.update(notes=3)),
    "source": resealed(lambda r: r.update(theory_source="x")),
    "code for a function": declared(lambda d: d["program"]["functions"][0].update(name=HARM)),
    "code for a theory": declared(lambda d: d["program"].update(theory=HARM)),
    "code for a component": declared(lambda d: d["program"].update(components=[HARM, "y"])),
    "code for an operation": declared(lambda d: d["program"]["functions"][0]["ops"][1].__setitem__(0, HARM)),
    "code for an attribute": declared(lambda d: d["program"]["functions"][0]["ops"][1].__setitem__(3, HARM)),
    "unknown operation": declared(lambda d: d["program"]["functions"][0]["ops"][-1].__setitem__(0, "system")),
    "argument": declared(lambda d: d["program"]["functions"][0]["ops"][-1].__setitem__(1, [99])),
    "huge lattice": declared(lambda d: d["program"].update(shape=[10**12])),
    "no functions": declared(lambda d: d["program"].update(functions=[])),
    "facts": declared(lambda d: d["facts"].update(coupled="no")),
    "survivors": declared(lambda d: d["facts"].update(surviving=[99])),
    "orbit": declared(lambda d: d["facts"].update(orbit_law="von_mises")),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_directories_end_in_one_error(name: str, finished: Path, tmp_path: Path) -> None:
    place = shutil.copytree(finished, tmp_path / "run")
    TAMPERED[name](place)
    with pytest.raises(RunError) as error:
        sd.load_run(place)
    if name.startswith(("edited", "no ")) and name not in ("no files", "no law", "no functions"):
        stem = {"record": "run.json", "constants": "declaration", "weights": "state"}
        assert stem.get(name.split()[1], name.split()[1]) in str(error.value)


def test_text_that_leaves_a_docstring_is_dropped(finished: Path, tmp_path: Path) -> None:
    place = shutil.copytree(finished, tmp_path / "run")
    harm = '"""\nraise SystemExit("it was run")\n"""'

    def change(data: dict[str, Any]) -> None:
        data["program"]["summary"] = harm
        data["program"]["functions"][0].update(doc=harm, notes=[[1, harm]])

    declared(change)(place)
    assert "it was run" not in sd.load_run(place).compiled.source_path.read_text(encoding="utf-8")


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_model_travels_between_processes(backend: str) -> None:
    model = shaken(compiled(backend).model(seed=3, flow=SMALL, batch=8))
    for there in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert there is not model
        state = there.state()
        for name, array in model.state().items():
            np.testing.assert_array_equal(state[name], array, err_msg=name)


def test_a_run_travels_between_processes() -> None:
    run = compiled().train(directory=False, steps=4, check=False, **TINY)
    x, sent = run.sample(20).x, pickle.loads(pickle.dumps(run))
    run.resume(3, progress=False, check=False)
    np.testing.assert_array_equal(sent.sample(20).x, x)
    sent.resume(3, progress=False, check=False)
    np.testing.assert_array_equal(sent.sample(20).x, run.sample(20).x)
