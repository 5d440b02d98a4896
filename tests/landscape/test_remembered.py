"""Searches are made once for a program and its couplings, and nothing outlives the program."""

from __future__ import annotations

import gc
import weakref

import numpy as np

import sesamo_dsl as sd
from sesamo_dsl.estimates.exact import exact_values
from sesamo_dsl.ir.program import Program
from sesamo_dsl.landscape.minima import find_minima
from sesamo_dsl.landscape.remembered import Remembered
from sesamo_dsl.stages.lower import lower_theory
from sesamo_dsl.values.couplings import Couplings


def program() -> Program:
    x = sd.ScalarField("x", sd.Lattice(1))
    a = sd.parameters("a")
    return lower_theory(sd.analyse(sd.Theory("well", fields=[x], action=(x**2 - a) ** 2, defaults={a: 1})))


def test_equal_couplings_are_searched_once() -> None:
    calls: list[Couplings] = []

    @Remembered
    def counted(program: Program, parameters: Couplings) -> list[str]:
        """Its docstring stays."""
        calls.append(parameters)
        return [*parameters]

    one, other = program(), program()
    field = np.array([1.0, 2.0])
    assert counted(one, {"a": 1.0, "h": field}) is counted(one, {"h": field.copy(), "a": 1})
    assert len(calls) == 1
    counted(one, {"a": 1.0, "h": field + 1})
    counted(other, {"a": 1.0, "h": field})
    assert len(calls) == 3
    for value in range(40):  # the oldest are forgotten
        counted(one, {"a": float(value)})
    counted(one, {"a": 39.0})
    counted(one, {"a": 0.0})
    assert len(calls) == 44
    assert counted.__doc__ == "Its docstring stays."


def test_results_depend_on_the_couplings_and_go_with_the_program() -> None:
    searched = program()
    depths = [abs(find_minima(searched, {"a": a})[0].configuration.item()) for a in (1.0, 4.0, 1.0)]
    assert np.allclose(depths, [1, 2, 1], atol=1e-6)
    exact = [exact_values(searched, {"a": a}) for a in (1.0, 4.0, 1.0)]
    assert exact[0] is exact[2]
    assert exact[0] is not None
    assert exact[1] is not None
    assert exact[0].log_z != exact[1].log_z
    known = weakref.ref(searched)
    del searched
    gc.collect()
    assert known() is None
