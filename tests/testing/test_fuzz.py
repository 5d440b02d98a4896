"""Arguments at random: whatever is given, what comes is an answer or one of our errors."""

from __future__ import annotations

import contextlib
import io
import json
import math
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.main import get_command

import sesamo_dsl as sd
from sesamo_dsl import checks
from sesamo_dsl.cli import app

LATTICE = sd.Lattice(2)
PHI, V, Z = sd.ScalarField("phi", LATTICE), sd.VectorField("v", LATTICE, 2), sd.ComplexField("z", LATTICE)
ACTION = LATTICE.sum(PHI**2 + PHI**4)
COMMAND = get_command(
    app
)  # typer's CliRunner makes it anew for every line, which takes longer than most lines

few = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)

# what an argument may be by mistake; nothing of it is large, as what is allowed is computed
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(
        [10**400, -(2**63), 1e300, -0.0, math.nan, math.inf, 1j, b"x", (), [], {}, set(), object()]
    ),
    st.sampled_from([np.int64(2), np.float32(0.5), np.zeros(2), np.array(["a"]), np.nan, np.array(None)]),
    st.sampled_from([PHI, V, Z, LATTICE, ACTION, sp.Symbol("a"), sp.nan, sp.true, sp.oo, int, print]),
    st.text(max_size=4),
    st.lists(st.one_of(st.none(), st.integers(-2, 2), st.text(max_size=2)), max_size=3),
    st.dictionaries(st.sampled_from([PHI, "phi", 1]), st.sampled_from([PHI, -PHI, "x", 2, None]), max_size=2),
)


def _theory(**changed: Any) -> sd.Theory:
    return sd.Theory(**{"name": "t", "fields": [PHI], "action": ACTION, **changed})


CALLS: dict[str, Callable[..., Any]] = {
    "Lattice": lambda a, b: sd.Lattice(a, b),
    "GraphLattice": lambda a, b: sd.GraphLattice(a, time=b),
    "ScalarField": lambda a, b: sd.ScalarField(a, b),
    "VectorField": lambda a, b: sd.VectorField("v", a, b),
    "ComplexField": lambda a, b: sd.ComplexField(a, b),
    "parameters": lambda a, b: sd.parameters(a),
    "shift": lambda a, b: V.shift(a, b),
    "Z2": lambda a, b: sd.Z2(a, exact=b),
    "Cyclic": lambda a, b: sd.Cyclic(a, b),
    "U1": lambda a, b: sd.U1(Z, charges=a, exact=b),
    "U1 of": lambda a, b: sd.U1(a, b),
    "SO": lambda a, b: sd.SO(a, exact=b),
    "SU2": lambda a, b: sd.SU2(a),
    "Sitewise": lambda a, b: sd.Sitewise(a, b),
    "Sitewise axes": lambda a, b: sd.Sitewise(sd.Z2(PHI), a, name=b),
    "Symmetry": lambda a, b: sd.Symmetry(a, b),
    "Symmetry options": lambda a, b: sd.Symmetry("s", [{PHI: -PHI}], collective=a, order_bound=b),
    "LieSymmetry": lambda a, b: sd.LieSymmetry(a, b),
    "FromMatrices": lambda a, b: sd.groups.FromMatrices("m", a, b),
    "FermionLogDet": lambda a, b: sd.FermionLogDet(a, b, PHI),
    "Theory": lambda a, b: _theory(name=a, fields=b),
    "Theory action": lambda a, b: _theory(action=a, symmetries=b),
    "Theory names": lambda a, b: _theory(observables=a, derived=b),
    "Theory options": lambda a, b: _theory(defaults=a, notes=b),
    "Theory precision": lambda a, b: _theory(precision=a),
    "parameter_values": lambda a, b: _theory().parameter_values(a),
    "FlowSpec": lambda a, b: sd.FlowSpec(layers=a, hidden=b),
    "FlowSpec options": lambda a, b: sd.FlowSpec(layers=1, hidden=(), kernel=a, transform=b),
    "FlowSpec spline": lambda a, b: sd.FlowSpec(layers=1, hidden=(), bins=a, bound=b),
    "TrainingOptions": lambda a, b: sd.TrainingOptions(steps=a, batch=b),
    "TrainingOptions law": lambda a, b: sd.TrainingOptions(law=a, strategy=b),
    "TrainingOptions flow": lambda a, b: sd.TrainingOptions(flow=a, learning_rate=b),
    "TrainingOptions seed": lambda a, b: sd.TrainingOptions(seed=a, seconds=b),
    "compile": lambda a, b: sd.compile(a, b),
    "compile precision": lambda a, b: sd.compile(_theory(), a, precision=b),
    "analyse": lambda a, b: sd.analyse(a),
    "load_theory": lambda a, b: sd.load_theory(a),
    "load_run": lambda a, b: sd.load_run(a, backend=b),
    "path": lambda a, b: checks.path(a, "path"),
}


@pytest.mark.parametrize("call", CALLS)
@settings(few, max_examples=20)
@given(values, values)
def test_the_interface(call: str, a: Any, b: Any) -> None:
    try:
        CALLS[call](a, b)
    except sd.SesamoError as refusal:
        explained = refusal
    else:
        return
    assert explained.expected.strip()
    assert explained.remedy.strip()


NUMBERS = ["-1", "0", "1", "2", "1e300", "1e12", "nan", "inf", "-inf", "9" * 20]
SETTINGS = ["h=0.1", "h=nan", "=1", "h=1e400", "µ=1"]
NAMES = ["", " ", "~", "/", ".", "a" * 300, "\0", "torch", "fold", "ours", "run.png", "nope"]
THEORIES = ["gaussian_mixture", "scalar_phi4@2", "on_model@1x-1", "phi4.py"]
words = st.one_of(st.text(max_size=5), st.sampled_from([*NUMBERS, *SETTINGS, *NAMES]))
theories = st.one_of(words, st.sampled_from(THEORIES))
switches = {
    "check": ["--set", "--json"],
    "derive": ["--format", "--output", "--picture", "--json"],
    "train": [
        *("--set", "--seed", "--steps", "--seconds", "--method", "--law", "--strategy", "--learning-rate"),
        *("--precision", "--start-from", "--plot", "--directory", "--batch", "--backend"),
        *("--option", "--config"),
    ],
    "sample": ["--seed", "--backend", "--output", "--plot", "--count"],
    "compare": ["--methods", "--set", "--budget", "--seeds", "--out"],
    "scan": ["--over", "--set", "--seconds", "--steps", "--count", "--output", "--order-parameter", "--seed"],
    "test": ["--examples", "--backend", "--seed"],
    "hmc": ["--set", "--chains", "--trajectories", "--warm-up", "--backend", "--seed", "--output"],
}


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from([*switches, "theories", "nothing"]))
    given_ = draw(st.lists(st.tuples(st.sampled_from(switches.get(command, ["--help"])), words), max_size=3))
    # a theory that does not exist ends what would otherwise train for minutes
    subject = draw(theories if command in ("check", "derive") else words)
    line = [command, subject, *(part for pair in given_ for part in pair)]
    return line if draw(st.booleans()) else [part for part in line if draw(st.integers(0, 9))]


@settings(few, max_examples=300)
@given(command_lines())
@example(["train", "gaussian_mixture", "--batch", "1000000000000"])
@example(["train", "gaussian_mixture", "--seed", "99999999999999999999"])
@example(["train", "gaussian_mixture", "--set", "h=1", "--set", "h=2"])
@example(["train", "gaussian_mixture", "--steps", "2", "--seconds", "1"])
@example(["train", "gaussian_mixture", "--method", "sesamo", "--strategy", "fold"])
@example(["train", "gaussian_mixture", "--directory", ""])
@example(["check", "gaussian_mixture", "--output", "a", "--picture", "./a"])
@example(["check", "scalar_phi4@100000x100000"])
@example(["sample", "~nobody_of_that_name"])
def test_the_command_line(line: list[str]) -> None:
    """In a directory of its own, as some of what is asked for is done; only SystemExit ends a command."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.chdir(place),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            COMMAND.main(line, prog_name="sesamo-dsl")
        except SystemExit as end:
            code = end.code
    assert code in (0, 1, 2), (line, out.getvalue(), err.getvalue())
    assert "Traceback" not in out.getvalue() + err.getvalue()
    if code == 1:
        explained = "expected:" in err.getvalue() or json.loads(out.getvalue())["error"]["expected"]
        assert explained, (line, err.getvalue())
