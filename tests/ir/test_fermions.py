"""The fermion operations: NumPy, PyTorch and JAX against dense determinants, differences and each other."""

from __future__ import annotations

import re
import types
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import torch

import sesamo_jax
import sesamo_torch
from oracles import dense
from sesamo_dsl.errors import ProgramError
from sesamo_dsl.ir import fermions
from sesamo_dsl.ir.builder import Builder
from sesamo_dsl.ir.gradient import with_gradient
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.program import Function, Program
from sesamo_dsl.ir.rounding import error_bounds
from sesamo_dsl.ir.value import Kind

Array = np.ndarray[Any, Any]
BACKENDS = {"torch": sesamo_torch.BACKEND, "jax": sesamo_jax.BACKEND}
PAIR = np.array([[0.0, 1.0], [1.0, 0.0]])


def ring(nodes: int) -> Array:
    matrix = np.roll(np.eye(nodes), 1, axis=0)
    return matrix + matrix.T


def honeycomb(width: int, height: int) -> Array:
    """Adjacency of the honeycomb torus with width·height cells of two sites."""
    matrix = np.zeros((2 * width * height,) * 2)
    for i in range(width):
        for j in range(height):
            for di, dj in ((0, 0), (1, 0), (0, 1)):
                a, b = 2 * (i * height + j), 2 * ((i - di) % width * height + (j - dj) % height) + 1
                matrix[a, b] = matrix[b, a] = 1.0
    return matrix


def action(matrix: Array, slices: int, species: int = 1) -> Program:
    """S = Σ φ²/2 − log det[φ; step = β/Nt], with β a coupling."""
    b = Builder("action", "S.", [("x", Kind.FIELDS)], ["beta"])
    phi = b.component(b.input("x"), 0)
    step = b.div(b.parameter("beta"), b.constant(slices))
    quadratic = b.mul(b.constant(0.5), b.site_sum(b.mul(phi, phi)))
    function = b.finish(action=b.sub(quadratic, b.fermion_log_det(phi, step, "HOPPING", species)))
    functions: dict[str, Function] = {
        "action": function,
        "action_and_gradient": with_gradient(function, "action", 1, "action_and_gradient", "S and ∂S."),
    }
    shape = (slices, len(matrix))
    return Program("fermions", "Fermions.", ("phi",), shape, {"beta": 2.0}, {"HOPPING": matrix}, functions)


@cache
def module(backend: str, program: Program) -> types.ModuleType:
    """The emitted module, executed with nothing of this project in reach."""
    source = BACKENDS[backend].emit(program)
    assert not re.search(r"^\s*(import|from) +sesamo", source, re.MULTILINE)
    emitted = types.ModuleType("emitted")
    exec(compile(source, "emitted", "exec"), emitted.__dict__)
    return emitted


CASES = [
    (PAIR, 1, 1.0, 4.0, 0.0),
    (PAIR, 2, 0.5, 2.0, 1.0),
    (ring(6), 3, 0.4, 0.7, -0.3),
    (ring(5), 7, 0.3, 1.0, 0.2),
    # products of 4, 3, 2, 1 and no levels
    *((honeycomb(3, 3), 20, 0.1, width, 0.0) for width in (0.4, 1.0, 1.2, 1.5)),
    (honeycomb(3, 3), 20, 0.25, 10.0, -1.0),
    (honeycomb(3, 3), 13, 0.2, 3.0, 0.5),
    (np.diag([0.5, -1.0, 0.0]) + 0.3 * ring(3), 9, 0.25, 10.0, -1.0),
]
ON_JAX = (1, 3, 20)  # slices; XLA takes seconds for each


@pytest.mark.parametrize("species", [1, -1])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_against_dense(case: int, species: int) -> None:
    matrix, slices, step, width, shift = CASES[case]
    phi = shift + width * np.random.default_rng(case).normal(size=(3, slices, len(matrix)))
    hop = scipy.linalg.expm(step * matrix)
    expected = [dense.log_det(species * one, hop)[1] for one in phi]
    slopes = [species * dense.gradient(species * one, hop) for one in phi]
    outcomes = [
        fermions.log_det_and_gradient(phi, step, matrix, species),
        sesamo_torch.fermions._fermion_solve(torch.tensor(phi), step, torch.tensor(matrix), species, True),
    ]
    if slices in ON_JAX:
        outcomes.append(sesamo_jax.fermions._fermion_solve(jnp.asarray(phi), step, matrix, species, True))
    for value, slope in outcomes:
        assert np.abs(np.asarray(value) - expected).max() < 1e-10
        assert np.abs(np.asarray(slope) - slopes).max() < 1e-9
    assert np.array_equal(fermions.log_det(phi, step, matrix, species), outcomes[0][0])


# emitted functions and kernels are called here as they are, without the backend around them
pytestmark = pytest.mark.usefixtures("float64_in_jax")


@pytest.mark.parametrize("shift", [0.0, 0.3, -1.0, 1.0])
@pytest.mark.parametrize("beta", [8.0, 20.0])
def test_where_products_fail(beta: float, shift: float) -> None:
    matrix, slices = honeycomb(3, 3), 100
    rng = np.random.default_rng(int(10 * (beta + shift)))
    phi = shift + np.sqrt(3 * beta / slices) * rng.normal(size=(1, slices, 18))
    hop = scipy.linalg.expm(matrix * beta / slices)
    value, slope = sesamo_torch.fermions._fermion_solve(
        torch.tensor(phi), beta / slices, torch.tensor(matrix), 1, True
    )
    assert abs(float(value) - dense.log_det(phi[0], hop)[1]) < 1e-9
    assert np.abs(slope[0].numpy() - dense.gradient(phi[0], hop)).max() < 1e-9
    numbers = fermions.log_det_and_gradient(phi, beta / slices, matrix, 1)
    assert abs(numbers[0][0] - float(value)) < 1e-9
    assert np.abs(numbers[1] - slope.numpy()).max() < 1e-9


@pytest.mark.parametrize("size", [30.0, 1e3])
def test_huge_fields(size: float) -> None:
    phi = size * np.random.default_rng(7).normal(size=(5, 3, 2))
    outcomes = [
        fermions.log_det_and_gradient(phi, 0.5, PAIR, 1),
        sesamo_torch.fermions._fermion_solve(torch.tensor(phi), 0.5, torch.tensor(PAIR), 1, True),
        sesamo_jax.fermions._fermion_solve(jnp.asarray(phi), 0.5, PAIR, 1, True),
    ]
    expected = dense.precise_log_dets(phi, PAIR, 0.5)
    for value, slope in outcomes:
        assert np.abs(np.asarray(value) - expected).max() < 1e-12 * size
        assert np.isfinite(np.asarray(slope)).all()
        assert np.abs(np.asarray(slope) - 0.5).max() <= 0.5 + 1e-12  # occupations


def test_huge_fields_where_minors_vanish() -> None:
    """On the 4-ring det exp(K)[{0, 2}, {1, 3}] = 0: finite there, exact with distinct couplings."""
    phi = 1e3 * np.random.default_rng(7).normal(size=(6, 3, 4))
    value, slope = fermions.log_det_and_gradient(phi, 0.5, ring(4), 1)
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    assert fermions.conditioning(phi, 0.5, ring(4), 1).max() > 1e12
    distinct = ring(4) * (1 + 0.1 * np.add.outer(np.arange(4), np.arange(4)))
    value = fermions.log_det(phi, 0.5, distinct, 1)
    expected = dense.precise_log_dets(phi, distinct, 0.5)
    assert np.abs(value - expected).max() < 1e-9


def test_small_and_large_in_one_batch() -> None:
    phi = np.random.default_rng(1).normal(size=(4, 6, 6))
    together = phi.copy()
    together[0] *= 300
    alone = fermions.log_det_and_gradient(phi, 0.3, ring(6), 1)
    mixed = fermions.log_det_and_gradient(together, 0.3, ring(6), 1)
    assert np.abs(alone[0] - mixed[0])[1:].max() < 1e-12
    assert np.abs(alone[1] - mixed[1])[1:].max() < 1e-12


@pytest.mark.parametrize("width", [0.5, 2.0, 6.0])
def test_signs(width: float) -> None:
    """On bipartite graphs det[−φ] = e^{−Σφ} det[φ]: both species have one sign, though it may be −1."""
    signs = []
    for seed in range(20):
        phi = width * np.random.default_rng(seed).normal(size=(7, 18))
        hop = scipy.linalg.expm(0.2 * honeycomb(3, 3))
        up, down = dense.log_det(phi, hop), dense.log_det(-phi, hop)
        assert up[0] == down[0]
        assert abs(up[1] - down[1] - phi.sum()) < 1e-9
        signs.append(up[0])
    assert (min(signs) < 0) == (width > 5)


def test_gradient_against_differences() -> None:
    program = action(ring(6), 5, -1)
    x = np.random.default_rng(3).normal(size=(1, 1, 5, 6))
    _, slope = run(program, "action_and_gradient", {"x": x}, {"beta": 2.0})
    moves = 1e-3 * np.eye(30).reshape(30, 1, 5, 6)
    values = [run(program, "action", {"x": x + k * moves}, {"beta": 2.0})[0] for k in (-2, -1, 1, 2)]
    expected = ((values[0] - values[3]) / 12 + (values[2] - values[1]) * 2 / 3).reshape(x.shape) / 1e-3
    assert np.abs(slope - expected).max() < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
def test_emitted(backend: str) -> None:
    program = action(ring(6), 3)
    emitted, face = module(backend, program), BACKENDS[backend]
    x = 2 * np.random.default_rng(4).normal(size=(4, 1, 3, 6))
    expected = run(program, "action_and_gradient", {"x": x}, {"beta": 2.0})
    value, slope = emitted.action_and_gradient(face.to_array(x, "float64"), beta=2.0)
    bounds = error_bounds(program, "action_and_gradient", x, {"beta": 2.0}, roundoff=2.3e-16)
    for found, wanted, bound in zip((value, slope), expected, bounds, strict=True):
        assert (np.abs(face.to_numpy(found) - wanted) <= bound).all()
        assert bound.max() < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
def test_action_and_gradient_share_one_tree(backend: str) -> None:
    source = BACKENDS[backend].emit(action(ring(6), 9))
    body = source[source.index("def action_and_gradient(") :]
    assert body.count("_fermion_log_det_and_gradient(phi, ") == body.count("_fermion_") == 1


def test_parts_of_a_batch() -> None:
    """Batches larger than what fits the cache are evaluated in parts: nothing depends on the others."""
    phi, matrix = 0.3 * np.random.default_rng(8).normal(size=(201, 2, 32)), honeycomb(4, 4)
    outcomes = [
        sesamo_torch.fermions._fermion_solve(torch.tensor(phi), 0.05, torch.tensor(matrix), 1, True),
        sesamo_jax.fermions._fermion_solve(jnp.asarray(phi), 0.05, matrix, 1, True),
    ]
    expected = [fermions.log_det_and_gradient(one[None], 0.05, matrix, 1) for one in phi]
    for value, slope in outcomes:
        assert np.abs(np.asarray(value) - [v[0] for v, _ in expected]).max() < 1e-10
        assert np.abs(np.asarray(slope) - [s[0] for _, s in expected]).max() < 1e-10


def test_autodiff_through_torch() -> None:
    emitted = module("torch", action(ring(6), 9))
    x = torch.randn(3, 1, 9, 6, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(emitted.action(x, 2.0).sum(), x)
    assert torch.allclose(slope, emitted.action_and_gradient(x, 2.0)[1], atol=1e-12)
    assert torch.autograd.gradcheck(lambda y: emitted.action(y, 2.0), (x,))
    assert torch.equal(torch.autograd.grad(emitted.action_and_gradient(x, 2.0)[0].sum(), x)[0], slope)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        torch.autograd.grad(emitted.action(x, 2.0).sum(), x, create_graph=True)


def test_autodiff_through_jax() -> None:
    program = action(ring(4), 2)
    emitted = module("jax", program)
    x = jnp.asarray(np.random.default_rng(5).normal(size=(3, 1, 2, 4)))
    along = jax.random.normal(jax.random.key(0), x.shape, jnp.float64)

    @jax.jit  # of one function XLA compiles the common parts once
    def derivatives(x: jax.Array) -> tuple[jax.Array, ...]:
        expected = emitted.action_and_gradient(x, 2.0)[1]
        reverse = jax.grad(lambda y: emitted.action(y, 2.0).sum())(x)
        together = jax.grad(lambda y: emitted.action_and_gradient(y, 2.0)[0].sum())(x)
        forward = jax.jvp(lambda y: emitted.action(y, 2.0), (x,), (along,))[1]
        each = jax.vmap(lambda y: emitted.action_and_gradient(y[None], 2.0)[1][0])(x)
        return expected, reverse, together, forward, each

    expected, reverse, together, forward, each = derivatives(x)
    assert (
        np.abs(expected - run(program, "action_and_gradient", {"x": np.asarray(x)}, {"beta": 2.0})[1]).max()
        < 1e-12
    )
    assert np.abs(reverse - expected).max() < 1e-12
    assert np.abs(together - expected).max() < 1e-12
    assert np.abs(forward - (expected * along).sum(axis=(1, 2, 3))).max() < 1e-11
    assert np.abs(each - expected).max() < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_single_precision_is_promoted_inside(backend: str) -> None:
    """The determinant is computed in float64 and rounded once; without float64 JAX refuses."""
    program = action(honeycomb(2, 2), 4)
    emitted, face = module(backend, program), BACKENDS[backend]
    x = np.random.default_rng(6).normal(size=(4, 1, 4, 8)).astype(np.float32)
    value = face.to_numpy(emitted.action(face.to_array(x, "float32"), beta=24.0))
    expected = run(program, "action", {"x": x.astype(np.float64)}, {"beta": 24.0})[0]
    assert value.dtype == np.float32
    assert np.abs(value - expected).max() < 1e-6 * np.abs(expected).max()


def test_jax_refuses_without_float64() -> None:
    emitted = module("jax", action(PAIR, 2))
    with jax.enable_x64(False), pytest.raises(TypeError, match="needs float64"):
        emitted.action(jnp.zeros((1, 1, 2, 2)), 2.0)


def test_types() -> None:
    b = Builder("f", "f.", [("x", Kind.FIELDS)])
    x = b.input("x")
    with pytest.raises(ProgramError):
        b.fermion_log_det(x, b.constant(1.0), "K", 1)
    with pytest.raises(ProgramError):
        b.apply("fermion_gradient", b.component(x, 0), b.component(x, 0), attribute=("K", 1))
