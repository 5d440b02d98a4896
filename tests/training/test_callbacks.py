"""Callbacks of the package: what they write, when they stop, and that interruptions change nothing."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.compiled import CompiledTheory
from sesamo_dsl.errors import BackendError, OptionError, RunError
from sesamo_dsl.training.callbacks import SHIPPED, Step, Watch, Watcher

OPTIONS: dict[str, Any] = {"batch": 16, "check": False, "progress": False, "seed": 1}


@pytest.fixture(scope="module")
def compiled() -> CompiledTheory:
    return sd.compile(sd.load_theory("gaussian_mixture"), "torch")


def step(number: int, loss: float, *, seconds: float = 0.0, progress: float = 0.0) -> Step:
    return Step(number, seconds, progress, {"loss": loss, "ess": -loss, "gradient_norm": 1.0})


def stop_after(number: int) -> Callable[[Step], bool]:
    return lambda step: step.number == number


class Interrupt(Exception):
    """What a process that is killed amounts to."""


def interrupt_after(number: int) -> Callable[[Step], None]:
    def callback(step: Step) -> None:
        if step.number == number:
            raise Interrupt

    return callback


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


# early stopping and best weights


def test_early_stopping_waits_for_so_many_windows() -> None:
    stopping = sd.EarlyStopping(patience=2, window=2, least=0.1)
    losses = [5, 3, 4, 4, 3, 3, 2.95, 2.95, 2.91, 2.93]  # means 4, 4, 3, 2.95, 2.92
    answers = [stopping(step(i, loss)) for i, loss in enumerate(losses)]
    assert answers == [False] * 9 + [True]
    assert stopping.best == 3
    rising = sd.EarlyStopping("ess", patience=1, window=1)
    assert [rising(step(i, -ess)) for i, ess in enumerate([0.1, 0.2, 0.3, 0.3])] == [False] * 3 + [True]
    assert rising.best == 0.3


def test_early_stopping_ends_a_training_which_can_go_on(compiled: CompiledTheory) -> None:
    stopping = sd.EarlyStopping(patience=2, window=3, least=1e9)  # only the first window is good enough
    run = compiled.train(steps=40, directory=False, callbacks=[stopping], **OPTIONS)
    assert (run.steps_done, run.ended) == (9, "stopped")
    run.resume(callbacks=[stopping], check=False, progress=False)
    assert (run.steps_done, run.ended) == (15, "stopped")  # it tries again for as many windows
    with pytest.warns(RuntimeWarning, match="EarlyStopping"):
        run.resume(check=False, progress=False)
    assert run.finished
    uninterrupted = compiled.train(steps=40, directory=False, **OPTIONS)
    assert same(run.model.state(), uninterrupted.model.state())


def test_best_weights_are_those_after_the_best_window(compiled: CompiledTheory) -> None:
    states: dict[int, dict[str, np.ndarray]] = {}

    class Spy(Watcher):
        def begin(self, model: Any, history: Any) -> None:
            self.model = model

        def __call__(self, step: Step) -> None:
            states[step.number] = self.model.state()

    best = sd.BestWeights(window=4)
    run = compiled.train(steps=21, learning_rate=0.5, directory=False, callbacks=[best, Spy()], **OPTIONS)
    means = np.array(run.history.columns["loss"][:20]).reshape(-1, 4).mean(1)
    assert best.step == 4 * (int(means.argmin()) + 1) < 20, (
        "the seed is to have its best window before the end"
    )
    assert best.best == pytest.approx(means.min(), rel=1e-12)
    assert run.finished
    assert run.steps_done == 21
    expected = {**states[best.step], "step": np.array(21)}
    assert same(run.model.state(), expected)
    assert not same(run.model.state(), states[21])


def test_an_interrupted_training_with_callbacks_ends_as_an_uninterrupted_one(
    compiled: CompiledTheory, tmp_path: Path
) -> None:
    def callbacks(name: str) -> list[Any]:
        return [
            sd.BestWeights(window=4),
            sd.Every(sd.BestWeights("ess", window=1), steps=3),
            sd.EarlyStopping(window=2, patience=99),
            sd.CSVLogger(tmp_path / f"{name}.csv"),
        ]

    options = {**OPTIONS, "steps": 21, "learning_rate": 0.5}
    whole = compiled.train(directory=tmp_path / "whole", callbacks=callbacks("whole"), **options)
    with pytest.raises(Interrupt):
        compiled.train(
            directory=tmp_path / "part", callbacks=[*callbacks("part"), interrupt_after(10)], **options
        )
    loaded = sd.load_run(tmp_path / "part")
    assert (loaded.steps_done, loaded.ended) == (10, "stopped")
    loaded.resume(callbacks=callbacks("part"), check=False, progress=False)
    assert loaded.finished
    assert same(loaded.model.state(), whole.model.state())
    assert same(dict(loaded.memory), dict(whole.memory))
    again = sd.load_run(tmp_path / "part")
    assert same(again.model.state(), whole.model.state())
    x = whole.sample(10).x
    assert np.array_equal(again.log_prob(x), whole.log_prob(x))
    kept = [path.name for path in (tmp_path / "part").iterdir() if path.name.startswith("callbacks-")]
    assert len(kept) == 1
    timeless = [[row[:1] + row[2:] for row in _rows(tmp_path / f"{n}.csv")] for n in ("whole", "part")]
    assert timeless[0] == timeless[1]


def test_a_training_that_diverges_goes_back_with_its_callbacks(compiled: CompiledTheory) -> None:
    best = sd.BestWeights(window=1)

    class Poison(Watcher):
        def begin(self, model: Any, history: Any) -> None:
            self.model = model

        def __call__(self, told: Step) -> None:
            if told.number == 3:
                state = self.model.state()
                self.model.load_state(
                    {k: v * np.nan if k.startswith("flow.") else v for k, v in state.items()}
                )

    with pytest.raises(sd.errors.TrainingDivergedError) as raised:
        compiled.train(steps=9, directory=False, callbacks=[best, Poison()], **OPTIONS)
    run = raised.value.run
    assert run is not None
    assert run.steps_done == 0
    assert best.step == 0
    assert np.isnan(best.best)


# how often


def test_every() -> None:
    calls: list[int] = []
    every = sd.Every(lambda told: calls.append(told.number), steps=3)
    for number in range(1, 9):
        every(step(number, 0.0, progress=number / 8))
    assert calls == [3, 6, 8]
    calls.clear()
    every = sd.Every(lambda told: calls.append(told.number), seconds=1)
    for number in range(1, 9):
        every(step(number, 0.0, seconds=number / 2))
    assert calls == [2, 4, 6, 8]
    assert sd.Every(lambda told: True, steps=1)(step(1, 0.0)) is True


# files


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_the_csv_file_has_the_history(compiled: CompiledTheory, tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    run = compiled.train(steps=5, directory=False, callbacks=[sd.CSVLogger(path)], **OPTIONS)
    header, *rows = _rows(path)
    assert header == ["step", "seconds", "progress", "loss", "ess", "gradient_norm"]
    assert [int(row[0]) for row in rows] == [1, 2, 3, 4, 5]
    for name in header[3:]:
        assert [float(row[header.index(name)]) for row in rows] == run.history.columns[name]
    before = path.read_bytes()
    with pytest.raises(OptionError, match="nothing is overwritten"):
        compiled.train(steps=5, directory=False, callbacks=[sd.CSVLogger(path)], **OPTIONS)
    assert path.read_bytes() == before
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(OptionError, match="nothing is overwritten"):
        compiled.train(steps=5, directory=False, callbacks=[sd.CSVLogger(other)], **OPTIONS)
    assert other.read_text() == "a,b\n1,2\n"


def test_a_line_that_was_cut_off_is_written_again(compiled: CompiledTheory, tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    logger = sd.CSVLogger(path)
    run = compiled.train(steps=6, directory=False, callbacks=[logger, stop_after(4)], **OPTIONS)
    whole = path.read_text()
    path.write_text(whole + "5,0.1,0.5,1.0,0.9,1.0\n6,0.1")  # two steps that no checkpoint has
    run.resume(callbacks=[sd.CSVLogger(path)], check=False, progress=False)
    assert path.read_text().startswith(whole)
    assert [row[0] for row in _rows(path)] == ["step", "1", "2", "3", "4", "5", "6"]
    assert float(_rows(path)[5][3]) == run.history.columns["loss"][4]


def test_tensorboard_reads_the_metrics(compiled: CompiledTheory, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    run = compiled.train(
        steps=3, directory=False, callbacks=[sd.TensorBoardLogger(tmp_path / "board")], **OPTIONS
    )
    found = EventAccumulator(str(tmp_path / "board")).Reload()
    events = found.Tensors("training/loss")
    assert [event.step for event in events] == [1, 2, 3]
    values = [float(make_ndarray(event.tensor_proto)) for event in events]
    np.testing.assert_allclose(values, run.history.columns["loss"], rtol=1e-6)


def test_without_tensorboard_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("sesamo_dsl.machine.optional.import_module", missing)
    with pytest.raises(BackendError, match=r"sesamo-dsl\[tensorboard\]"):
        sd.TensorBoardLogger(tmp_path / "board")


def test_the_picture_is_drawn_while_the_training_runs(compiled: CompiledTheory, tmp_path: Path) -> None:
    path = tmp_path / "training.png"
    seen: list[bool] = []
    picture = sd.LivePicture(path, seconds=1e-9)
    compiled.train(
        steps=5, directory=False, callbacks=[picture, lambda told: seen.append(path.exists())], **OPTIONS
    )
    assert seen[0]
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 5_000


def test_in_a_notebook_one_picture_is_drawn_again(
    compiled: CompiledTheory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda figure: shown.append("again"))

    def display(figure: object, display_id: bool) -> object:
        shown.append("first")
        return handle

    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()), version_info=(9, 0))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    compiled.train(steps=3, directory=False, callbacks=[sd.LivePicture(seconds=1e-9)], **OPTIONS)
    assert shown[0] == "first"
    assert set(shown[1:]) == {"again"}


# mistakes


@pytest.mark.parametrize(
    "make",
    [
        lambda p: sd.CSVLogger(p / "x.txt"),
        lambda p: sd.CSVLogger(3),
        lambda p: sd.EarlyStopping("accuracy"),
        lambda p: sd.EarlyStopping(patience=0),
        lambda p: sd.EarlyStopping(window=1.5),
        lambda p: sd.EarlyStopping(least=-1),
        lambda p: sd.BestWeights(window=0),
        lambda p: sd.BestWeights(least=float("nan")),
        lambda p: sd.Every(lambda told: None),
        lambda p: sd.Every(lambda told: None, steps=1, seconds=1),
        lambda p: sd.Every(lambda: None, steps=1),
        lambda p: sd.LivePicture(),
        lambda p: sd.LivePicture(p / "x.docx"),
        lambda p: sd.LivePicture(p / "x.png", seconds=0),
    ],
)
def test_mistakes(make: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        make(tmp_path)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for make in (sd.CSVLogger, sd.LivePicture):
        with pytest.raises(RunError):
            make(tmp_path / "file" / ("x.csv" if make is sd.CSVLogger else "x.png"))


def test_names_of_memories_are_distinct_and_known() -> None:
    watch = Watch([sd.EarlyStopping(), lambda told: None, sd.EarlyStopping("ess"), sd.BestWeights()])
    memory = watch.state()
    assert {key.partition("/")[0] for key in memory} == {"EarlyStopping", "EarlyStopping-2", "BestWeights"}
    assert Watch([sd.EarlyStopping()]).missing(memory) == ["BestWeights", "EarlyStopping-2"]
    assert set(SHIPPED) <= set(sd.__all__)
