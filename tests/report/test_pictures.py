"""Pictures: drawn for theories of every shape, true to what they claim, and written or explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError, RunError
from sesamo_dsl.report import samples_picture, save, training_picture
from sesamo_dsl.training.history import History


def drawn(theory: sd.Theory, directory: Path, **options: str) -> tuple[sd.Run, sd.Samples]:
    run = sd.compile(theory).train(steps=2, batch=16, directory=directory / "run", progress=False, **options)
    return run, run.sample(300)


def two_fields() -> sd.Theory:
    lattice = sd.Lattice(2, 2)
    a, b = sd.ScalarField("a", lattice), sd.ScalarField("b", lattice)
    return sd.Theory(
        "two", fields=[a, b], action=lattice.sum(a**2 + b**2 + a**2 * b**2), symmetries=[sd.Z2(a)]
    )


def no_symmetry() -> sd.Theory:
    x = sd.VectorField("x", sd.Lattice(1), 2)
    return sd.Theory("plain", fields=[x], action=x.squared / 2)


@pytest.mark.parametrize(
    ("theory", "panels"),
    [
        ("gaussian_mixture", 4),  # plane and its colour bar, sectors, weights
        ("scalar_phi4", 3),
        (two_fields(), 4),  # one panel for each component
        (no_symmetry(), 4),
    ],
    ids=["plane", "lattice", "components", "trivial"],
)
def test_samples_picture(theory: str | sd.Theory, panels: int, tmp_path: Path) -> None:
    _, samples = drawn(sd.load_theory(theory) if isinstance(theory, str) else theory, tmp_path)
    figure = samples_picture(samples)
    assert len(figure.axes) == panels
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)
    save(figure, tmp_path / "deep" / "picture.png")
    assert (tmp_path / "deep" / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_leaked_samples_are_named(tmp_path: Path) -> None:
    _, samples = drawn(sd.load_theory("scalar_phi4"), tmp_path, strategy="penalty")
    leaked = np.arange(len(samples)) % 10 == 0
    with_leaks = sd.Samples(
        samples.program,
        samples.parameters,
        samples.x,
        samples.log_q,
        samples.action,
        samples.sector,
        leaked,
        None,
    )
    assert any("10.0% leaked" in axes.get_xlabel() for axes in samples_picture(with_leaks).axes)


def test_training_picture(tmp_path: Path) -> None:
    run, _ = drawn(no_symmetry(), tmp_path)
    long = History({"loss": list(np.linspace(1e6, -3, 200)), "ess": list(np.linspace(0, 1, 200))})
    for history in (History(), run.history, long):
        figure = training_picture(history)
        labels = [axes.get_ylabel() for axes in figure.axes]
        assert labels == ["loss  ⟨log q + S⟩", "ESS of the batch", "norm of the gradient"]
        save(figure, tmp_path / "training.svg")
    assert "<svg" in (tmp_path / "training.svg").read_text(encoding="utf-8")


def test_a_picture_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    figure = training_picture(History())
    with pytest.raises(OptionError, match=r"picture\.png"):
        save(figure, tmp_path / "picture.unknown")
    with pytest.raises(OptionError):
        save(figure, tmp_path / "picture")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="can be written"):
        save(figure, tmp_path / "file" / "picture.png")
