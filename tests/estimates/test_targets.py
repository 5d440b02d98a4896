"""The targets of the benchmark: their exact answers by a second route, and what becomes of a few of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.stages.lower import lower_theory
from support import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from targets import TARGETS, Target, all_targets, chain_log_z, judge

SMALL = sd.FlowSpec(layers=1, hidden=(4,), kernel=1)
BY_NAME: dict[str, Target] = {target.name: target for target in TARGETS}


def grid_log_z(theory: sd.Theory, sides: list[tuple[float, float]], points: int) -> float:
    """log Z by the midpoint rule on a box."""
    axes = [low + (high - low) * (np.arange(points) + 0.5) / points for low, high in sides]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, *theory.configuration_shape)
    program, values = lower_theory(sd.analyse(theory)), theory.parameter_values({})
    parts = np.array_split(grid, max(1, len(grid) // 50_000))
    total = sum(np.exp(-run(program, "action", {"x": part}, values)[0]).sum() for part in parts)
    return float(np.log(total * np.prod([(high - low) / points for low, high in sides])))


@pytest.mark.parametrize(
    ("name", "sides", "points", "accuracy"),
    [
        ("three_widths", [(-5, 8), (-9, 5), (-5, 5)], 140, 2e-3),
        ("corners", [(-9, 9)] * 3, 60, 1e-6),
        ("laplace_3", [(-14, 14)] * 3, 140, 2e-2),
        ("quartic_3", [(-3, 3)] * 3, 60, 1e-6),
        ("banana", [(-5, 5), (-3, 25), (-5, 5)], 150, 1e-3),
        ("shells", [(-12, 12)] * 3, 100, 1e-4),
        ("unequal_2", [(-14, 9), (-7, 15)], 600, 1e-3),
        ("trimer", [(-3, 3)] * 3, 100, 1e-4),
        ("clock", [(-3, 3)] * 2, 400, 1e-6),
    ],
)
def test_exact_answers_by_a_grid(name: str, sides: Any, points: int, accuracy: float) -> None:
    target = BY_NAME[name]
    assert target.log_z == pytest.approx(grid_log_z(target.theory(), sides, points), abs=accuracy)


def test_transfer_matrices_by_a_grid() -> None:
    def potential(x: Any) -> Any:
        return 3 * (x**2 - 1) ** 2 + (x + x**3) / 8

    lattice = sd.Lattice(3)
    phi = sd.ScalarField("phi", lattice)
    theory = sd.Theory(
        "three", fields=[phi], action=lattice.sum(2 * (phi - phi.shift(0)) ** 2 + potential(phi))
    )
    assert chain_log_z(2.0, potential, 3) == pytest.approx(
        grid_log_z(theory, [(-2.5, 2.5)] * 3, 100), abs=1e-6
    )


def test_every_target_says_what_is_expected() -> None:
    assert len(BY_NAME) == len(TARGETS) >= 10
    for target in TARGETS:
        assert (target.log_z is not None and np.isfinite(target.log_z)) == (target.kind == "right")
        assert target.why
        assert target.theory().name == target.name


def test_cases_are_read_from_a_directory(tmp_path: Path) -> None:
    (tmp_path / "targets.py").write_text(
        "from targets import Target\nTARGETS = [Target('more', lambda: None, 'right', 0.5)]\n"
    )
    assert [t.name for t in all_targets(tmp_path)][:2] == ["more", TARGETS[0].name]
    with pytest.raises(SystemExit, match=r"no targets\.py"):
        all_targets(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["three_widths", "small_far_well", "corners", "shells"])
def test_modes_that_are_missed_come_with_a_warning(name: str) -> None:
    result = judge(BY_NAME[name], "torch", steps=3, batch=16, flow=SMALL)
    assert result.verdict == "warned"
    assert {"missed mode", "low ESS"} & set(result.warnings)
    assert result.passed


def test_a_target_that_is_right_has_no_warning() -> None:
    result = judge(BY_NAME["stiff_gaussian"], "torch", steps=3, batch=16, flow=SMALL)
    assert (result.verdict, result.warnings) == ("right", ())
    assert result.pull is not None
    assert result.pull < 4


@pytest.mark.parametrize("name", [t.name for t in TARGETS if t.kind == "refuse"])
def test_infinite_z_never_ends_in_a_bare_number(name: str) -> None:
    assert judge(BY_NAME[name], "torch", steps=3, batch=16, flow=SMALL).passed
