"""Couplings with one value for each configuration, against the configurations one by one."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.errors import ParameterError, SesamoError
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.varying import with_varying
from sesamo_dsl.stages.lower import lower_theory
from sesamo_dsl.testing.random_theories import random_theory
from sesamo_theories.hubbard import hubbard

COUNT = 3


def functions_of_x(program: Program, names: set[str]) -> list[str]:
    return [
        name
        for name, f in program.functions.items()
        if [i for i, _ in f.inputs] == ["x"] and names & set(f.parameters)
    ]


def couplings(program: Program, names: set[str], rng: np.random.Generator) -> dict[str, float | np.ndarray]:
    numbers = {name: 0.7 if value is None else value for name, value in program.parameters.items()}
    return {name: v * rng.uniform(0.7, 1.4, COUNT) if name in names else v for name, v in numbers.items()}


def one_by_one(
    program: Program, name: str, x: np.ndarray, values: dict[str, float | np.ndarray], at: set[str]
):
    rows = [
        run(
            program,
            name,
            {"x": x[i : i + 1]},
            {k: np.asarray(v)[i] if k in at else v for k, v in values.items()},
        )
        for i in range(len(x))
    ]
    return [np.concatenate(outputs) for outputs in zip(*rows, strict=True)]


def test_random_theories() -> None:
    compared = 0
    for seed in range(12):
        try:
            program = lower_theory(sd.analyse(random_theory(seed).theory, normalizable=False))
        except SesamoError:
            continue
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(COUNT, *program.configuration_shape))
        names = {name for name, value in program.parameters.items() if np.ndim(value) == 0}
        for varied in [names, *({name} for name in names)]:
            values, variant = couplings(program, varied, rng), with_varying(program, varied)
            for name in functions_of_x(program, varied):
                wanted = one_by_one(program, name, x, values, varied)
                for found, one in zip(run(variant, name, {"x": x}, values), wanted, strict=True):
                    np.testing.assert_allclose(found, one, rtol=1e-9, atol=1e-9)
                    compared += bool(np.isfinite(one).all())
    assert compared > 40


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_emitted_functions(backend: str) -> None:
    """A group of blocks, three lattice axes, logarithms of sums, and a determinant."""
    rng = np.random.default_rng(3)
    line, cube = sd.Lattice(4), sd.Lattice(2, 2, 3)
    phi, chi, u, h, J = sd.ScalarField("phi", line), sd.ScalarField("chi", cube), *sd.parameters("u h J")
    blocks = sd.Theory(
        "blocks",
        fields=[phi],
        action=line.sum(phi**4 - u * phi**2 + h * phi**3),
        symmetries=[sd.Sitewise(sd.Z2(phi))],
        defaults={u: 1.2, h: 0.1},
    )
    hopping = sum(chi * chi.shift(mu) for mu in cube.directions)
    cubic = sd.Theory(
        "cubic",
        fields=[chi],
        action=cube.sum(u * chi**2 + chi**4 / 9 - J * hopping + h * chi),
        symmetries=[sd.Z2(chi)],
        defaults={u: 1.2, h: 0.1, J: 0.2},
    )
    for theory in (blocks, cubic, hubbard(nx.path_graph(2), 4, U=3.0, beta=1.0)):
        compiled = sd.compile(theory, backend, precision="float64")
        program = compiled.program
        names = set(program.parameters) - {"beta"}
        x, values = rng.normal(size=(COUNT, *program.configuration_shape)), couplings(program, names, rng)
        for name in functions_of_x(program, names):
            found = compiled.evaluate(name, x, values)
            for one, wanted in zip(found, one_by_one(program, name, x, values, names), strict=True):
                np.testing.assert_allclose(one, wanted, rtol=1e-9, atol=1e-9)


def test_what_cannot_vary() -> None:
    compiled = sd.compile(hubbard(nx.path_graph(2), 4, U=3.0, beta=1.0), "torch")
    x = np.zeros((2, *compiled.program.configuration_shape))
    with pytest.raises(ParameterError, match=r"parameter beta[\s\S]*fermion_log_det"):
        compiled.action(x, {"beta": [1.0, 2.0]})
    for value in ([1.0], [1.0, np.nan], ["a", "b"], [[1.0, 2.0]], [1.0, 2j]):
        with pytest.raises(ParameterError, match="one for each of the 2 configurations"):
            compiled.action(x, {"U": value})
