"""The compiler tells the logger ``sesamo_dsl`` how long its stages take."""

from __future__ import annotations

import logging
import re

import pytest

import sesamo_dsl as sd
from sesamo_dsl.machine.timing import stage


def test_every_stage_is_told_with_its_time(caplog: pytest.LogCaptureFixture) -> None:
    phi = sd.ScalarField("phi", lattice := sd.Lattice(2))
    theory = sd.Theory("timed", fields=[phi], action=lattice.sum(phi**2), symmetries=[sd.Z2(phi)])
    with caplog.at_level(logging.DEBUG, logger="sesamo_dsl"):
        sd.compile(theory, "torch")
    lines = [record.getMessage() for record in caplog.records if record.name == "sesamo_dsl"]
    told = [re.fullmatch(r"(.+) timed: (\d+\.\d{3}) s", line) for line in lines]
    assert [found and found[1] for found in told] == ["analyse", "lower", "emit for torch", "load for torch"]
    assert sum(float(found[2]) for found in told if found) > 0


def test_nothing_is_told_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="sesamo_dsl"), stage("lower", "phi"):
        pass
    assert not caplog.records


def test_a_stage_that_fails_says_by_what(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="sesamo_dsl"), pytest.raises(KeyError), stage("lower", "phi"):
        raise KeyError
    assert re.fullmatch(r"lower phi: \d\.\d{3} s, ended by KeyError", caplog.records[0].getMessage())
