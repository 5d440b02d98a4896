"""Runs that earlier versions have written: they load for ever, and draw the samples they drew then.

Each directory below ``golden_runs`` is a run as its version wrote it, with what it drew with seed 1 on either
backend, ``samples_torch.npz`` and ``samples_jax.npz``: x, log q as drawn, S, u, what leaked, log q at x as
evaluated. The runs are never written again; a new format adds new ones.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_theories.hubbard import hubbard, two_sites
from support import TESTS

RUNS = TESTS / "golden_runs"
NAMES = sorted(path.name for path in RUNS.iterdir())
ACROSS = [(name, "jax") for name in ("mixture_torch", "phi4_chart_torch")]  # XLA takes seconds for each
CASES = (
    [(name, "torch") for name in NAMES] + [(name, "jax") for name in NAMES if name.endswith("jax")] + ACROSS
)
# rounding of a network's worth of operations, in numbers of size one
ROUNDING = {"float32": 3e-5, "float64": 1e-10}


def declared(place: Path) -> sd.Theory | None:
    """The declaration, where the run was not made from a shipped theory."""
    record = json.loads((place / "run.json").read_text(encoding="utf-8"))
    if record["theory"] == "hubbard":
        return hubbard(two_sites(), 2)
    own = list(place.glob("double_well.py"))
    return sd.load_theory(own[0]) if own else None


@cache
def analysed(name: str) -> Any:
    return declared(RUNS / name)


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_a_run_of_an_earlier_version_draws_the_same(name: str, backend: str, tmp_path: Path) -> None:
    place = shutil.copytree(RUNS / name, tmp_path / name)
    run = sd.load_run(place, theory=analysed(name), backend=backend)
    then = np.load(place / f"samples_{backend}.npz")
    drawn = run.sample(len(then["x"]), seed=1)
    rounding = ROUNDING[run.plan.flow_precision or run.compiled.precision]
    assert np.array_equal(drawn.sector, then["sector"])
    assert np.array_equal(drawn.leaked, then["leaked"])
    for now, before in ((drawn.x, "x"), (drawn.log_q, "log_q"), (drawn.action, "action")):
        # the action of samples is computed again in float64
        assert now.dtype == (np.float64 if before == "action" else then[before].dtype)
        assert np.abs(now - then[before]).max() < rounding * (1 + np.abs(then[before]).max())
    for at in ("torch", "jax"):  # log q of what either backend has drawn
        drawn_at = np.load(place / f"samples_{at}.npz")
        kept = ~drawn_at["leaked"]
        log_q = run.log_prob(drawn_at["x"])[kept]
        assert np.abs(log_q - drawn_at["log_prob"][kept]).max() < 10 * rounding * (1 + np.abs(log_q).max())
    assert len(run.history) == 30
