"""Every operation is whole: type rule, value, rounding bound, spelling, and its pull-back if it has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sesamo_dsl as sd
import sesamo_jax
import sesamo_torch
from sesamo_dsl.algebra.regularity import _ANALYTIC, _KINKED
from sesamo_dsl.errors import LoweringError, ProgramError
from sesamo_dsl.ir.builder import Builder
from sesamo_dsl.ir.gradient import with_gradient
from sesamo_dsl.ir.interpreter import run
from sesamo_dsl.ir.operations import OPERATIONS, register
from sesamo_dsl.ir.operations.functions import Elementwise
from sesamo_dsl.ir.operations.operation import Fixed, Pointwise, Setting
from sesamo_dsl.ir.program import Function, Program
from sesamo_dsl.ir.rounding import error_bounds
from sesamo_dsl.ir.value import Kind
from support import example

Array = np.ndarray[Any, Any]
BATCH, COMPONENTS, LATTICE = 2, 3, (4, 3)
CONSTANTS = {
    "NEIGHBOURS": np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0], [0.5, 0.0, 2.0]]),
    "PLACES": np.array([2, 0, 2]),
    "MATRIX": np.array([[0.3, -1.2, 0.7], [0.1, 0.9, -0.4]]),
    "MATRICES": np.array([np.eye(3), [[0.0, 1.0, 0.0], [-0.6, 0.0, 0.8], [0.8, 0.0, 0.6]], np.ones((3, 3))]),
    "SQUARE": np.array([[0.2, 0.5, -0.3], [1.1, -0.7, 0.4], [0.6, 0.8, 0.9]]),
    "WEIGHTS": np.random.default_rng(3).uniform(0.5, 1.5, LATTICE),
}
ROWS = ((0.1, 1.0, -0.5), (-0.3, 0.2, 0.7), (0.4, -1.1, 0.3), (0.0, 0.6, 0.6))
ATTRIBUTES: dict[str, Any] = {
    "parameter": "coupling",
    "config_parameter": "coupling",
    "site_parameter": "site_coupling",
    "site_constant": "WEIGHTS",
    "constant": 0.7,
    "component": 1,
    "shift": (1, -1),
    "neighbours": "NEIGHBOURS",
    "gather": "PLACES",
    "scatter": "PLACES",
    "block_mean": (1,),
    "block_sum": (1,),
    "act_on_blocks": ("MATRICES", (1,)),
    "spread": ("SQUARE", (1,)),
    "linear": "MATRIX",
    "entry": 2,
    "filled": 0.3,
    "act": "MATRICES",
    "combination": "MATRICES",
    "affine_stack": ROWS,
    "stack_dot": (0.3, -0.2, 1.1, 0.5),
    "fermion_log_det": ("NEIGHBOURS", 1),
    "fermion_gradient": ("NEIGHBOURS", -1),
}
KINDS = {
    "stack": [Kind.SITE] * COMPONENTS,
    "affine_stack": [Kind.SITE] * 2,
    "broadcast": [Kind.CONFIG],
    "matrix_polynomial": [Kind.MATRIX, *[Kind.CONFIG] * 3],
}
RANGES = {
    **dict.fromkeys(("log", "sqrt", "lgamma", "digamma", "div"), (0.2, 1.9)),
    "acosh": (1.2, 2.0),
    "half_line": (0.5, 1.5),
    "half_line_inverse": (0.5, 1.5),
    "half_line_log_slope": (0.5, 1.5),
}
SHAPES = {
    Kind.CONFIG: (BATCH,),
    Kind.SITE: (BATCH, *LATTICE),
    Kind.FIELDS: (BATCH, COMPONENTS, *LATTICE),
    Kind.VECTOR: (BATCH, COMPONENTS),
    Kind.MATRIX: (BATCH, COMPONENTS, COMPONENTS),
    Kind.STACK: (len(ROWS), BATCH * LATTICE[0] * LATTICE[1]),
}
DIMENSIONS = {Kind.BLOCKS: 2, Kind.INDEX: 1, Kind.SCALAR: 1, **{k: len(s) for k, s in SHAPES.items()}}
COUPLINGS = {"coupling": 0.7, "site_coupling": CONSTANTS["WEIGHTS"] / 3}
WITHOUT_PULL_BACK = {  # on what an action is made of: nobody differentiates twice, and these are derivatives
    *("digamma", "scatter", "fermion_gradient", "stack_softmax", "stack_dot", "block_sum"),
    *("affine_stack", "stack", "filled"),
}
BY_BLOCK = {"spread", "flatten", "total"}  # tried on a vector for every block
LEFT_OUT = {"hold", "wall"}  # whose derivative is meant to be another one
NAMES = sorted(OPERATIONS)


def kinds_of(name: str) -> list[Kind]:
    """Kinds of arguments to try an operation with."""
    operation = OPERATIONS[name]
    if isinstance(operation, Pointwise):
        return [Kind.SITE] * (operation.count or 3)
    return list(operation.takes) if isinstance(operation, Fixed) else KINDS[name]


def numbers(name: str, kind: Kind, seed: int) -> Array:
    """An argument that float32 holds exactly, away from kinks."""
    rng, shape = np.random.default_rng(seed), SHAPES.get(kind)
    if kind is Kind.INDEX:
        by_block = (BATCH, LATTICE[1]) if name == "act_on_blocks" else (BATCH,)
        return rng.integers(0, 3, by_block)
    if kind is Kind.VECTOR and name in BY_BLOCK:
        shape = (BATCH, LATTICE[1], COMPONENTS)
    assert shape is not None
    low, high = RANGES.get(name, (-0.9, 0.9))
    values = rng.uniform(low, high, shape) + (0.05 if low > 0 else 0)
    return values.astype(np.float32).astype(np.float64)


def alone(name: str) -> tuple[Program, dict[str, Array]]:
    """A program with one operation of its inputs, and values of these; ``x`` has the shape of the fields."""
    kinds = kinds_of(name)
    inputs = [(f"a{i}", kind) for i, kind in enumerate(kinds) if kind is not Kind.SCALAR]
    b = Builder("f", "f.", [("x", Kind.FIELDS), *inputs], list(COUPLINGS))
    args = [
        b.parameter("coupling") if kind is Kind.SCALAR else b.input(f"a{i}") for i, kind in enumerate(kinds)
    ]
    result = b.input("x") if name == "input" else b.emit(name, tuple(args), ATTRIBUTES.get(name))
    assert b.op(result).name == name
    values = {"x": numbers(name, Kind.FIELDS, 0)}
    values |= {key: numbers(name, kind, 1 + i) for i, (key, kind) in enumerate(inputs)}
    return program(b.finish(out=result)), values


def program(*functions: Function) -> Program:
    components = tuple("abc")
    return Program("one", "", components, LATTICE, dict(COUPLINGS), CONSTANTS, {f.name: f for f in functions})


@pytest.mark.parametrize("name", NAMES)
def test_value_and_rounding_bound(name: str) -> None:
    """The bound holds in float32, and says something."""
    one, values = alone(name)
    function = one.functions["f"]
    with np.errstate(all="ignore"):
        (exact,) = run(one, "f", values, COUPLINGS)
        single = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in values.items()}
        (rounded,) = run(one, "f", single, COUPLINGS)
    by_block = name == "block_mean"  # one axis more
    assert exact.ndim == DIMENSIONS[function.ops[-1].kind] + by_block
    assert rounded.dtype == (np.float32 if exact.dtype.kind == "f" else exact.dtype)
    rest = {k: v for k, v in values.items() if k != "x"}
    roundoff = float(np.finfo(np.float32).eps)
    (bound,) = error_bounds(one, "f", values["x"], COUPLINGS, roundoff=roundoff, inputs=rest)
    assert np.shape(bound) == np.shape(run(one, "f", values, COUPLINGS)[0]) or exact.ndim == 1
    if name != "wall":
        assert (np.abs(exact - rounded.astype(exact.dtype)) <= bound).all()
        assert (bound <= 1e-3 * (1 + np.abs(exact))).all()


@pytest.mark.parametrize("name", NAMES)
def test_type_rule(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation.name == name
    assert operation.arguments
    assert operation.kind([Kind.INDEX] * 7, ATTRIBUTES.get(name)) is None
    b = Builder("wrong", "", [("u", Kind.INDEX)])
    u = b.input("u")
    with pytest.raises(ProgramError, match=rf"operation {name}\n *expected: arguments .*\n *found: *index"):
        b.emit(name, (u,) * 7, ATTRIBUTES.get(name))


BACKENDS: dict[str, Any] = {
    "numpy": example("numpy_backend").BACKEND,
    "torch": sesamo_torch.BACKEND,
    "jax": sesamo_jax.BACKEND,
}
NOT_SPELLED = {
    "numpy": {"fermion_log_det", "fermion_gradient"}
}  # the example of a backend has no determinants


@pytest.mark.parametrize("framework", BACKENDS)
def test_every_backend_spells_every_operation(framework: str) -> None:
    """And means the same by it; JAX, which compiles each one, is left to conformance."""
    backend = BACKENDS[framework]
    for name in sorted({*NAMES} - NOT_SPELLED.get(framework, set())):
        one, values = alone(name)
        emitted: dict[str, Any] = {}
        exec(backend.emit(one), emitted)
        if framework == "jax" or name in (
            "constant",
            "parameter",
            "config_parameter",
        ):  # no line of their own
            continue
        expected = run(one, "f", values, COUPLINGS)[0]
        inputs = [backend.to_array(value, "float64") for value in values.values()]
        found = backend.to_numpy(emitted["f"](*inputs, *COUPLINGS.values()))
        found = np.broadcast_to(found, expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13, err_msg=name)


def in_action(name: str) -> Function:
    """One number per configuration that depends on x through one operation, unevenly from site to site."""
    b = Builder("f", "f.", [("x", Kind.FIELDS)], list(COUPLINGS))
    x, weights = b.input("x"), b.site_constant("WEIGHTS")
    make: dict[Kind, Callable[[int], int]] = {
        Kind.FIELDS: lambda i: x,
        Kind.SITE: lambda i: b.component(x, i % COMPONENTS),
        Kind.CONFIG: lambda i: b.site_sum(b.mul(weights, b.component(x, i % COMPONENTS))),
        Kind.SCALAR: lambda i: b.parameter("coupling"),
        Kind.STACK: lambda i: b.affine_stack([b.component(x, 0), b.component(x, 1)], ROWS),
    }
    args = [make[kind](i) for i, kind in enumerate(kinds_of(name))]
    if name == "where":
        args[0] = b.apply("floor", args[0])
    value = b.emit(name, tuple(args), ATTRIBUTES.get(name))
    if b.kind(value) is Kind.SCALAR:
        value = b.broadcast(value)
    if b.kind(value) is Kind.SITE:
        value = b.site_sum(b.mul(weights, value))
    if b.kind(value) is not Kind.CONFIG:
        raise LoweringError(name, expected="", found="", remedy="")
    return b.finish(out=value)


DIFFERENTIATED = [
    name
    for name in NAMES
    if name not in LEFT_OUT
    and name != "input"
    and {*kinds_of(name)} <= {Kind.SITE, Kind.CONFIG, Kind.SCALAR, Kind.STACK, Kind.FIELDS}
    and (Kind.FIELDS not in kinds_of(name) or name == "component")
]


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_pull_back_against_differences(name: str) -> None:
    if name in WITHOUT_PULL_BACK:
        with pytest.raises(LoweringError):
            with_gradient(in_action(name), "out", COMPONENTS, "gradient", "∂f.")
        return
    function = in_action(name)
    both = program(function, with_gradient(function, "out", COMPONENTS, "gradient", "∂f."))
    x = numbers(name, Kind.FIELDS, 5)[:1]
    step = 1e-3
    moves = step * np.eye(x.size).reshape(x.size, *x.shape[1:])
    far, near, other_near, other_far = (
        run(both, "f", {"x": x + k * moves}, COUPLINGS)[0] for k in (-2, -1, 1, 2)
    )
    slope = ((far - other_far) / 12 + (other_near - near) * 2 / 3) / step
    (gradient,) = run(both, "gradient", {"x": x}, COUPLINGS)[1]
    np.testing.assert_allclose(gradient.ravel(), slope, rtol=1e-8, atol=1e-8)


def test_a_name_stands_for_one_operation() -> None:
    known = OPERATIONS["exp"]
    register(known)
    with pytest.raises(ProgramError, match=r"operation exp(.|\n)*not taken(.|\n)*Elementwise"):
        register(type(known)("exp", np.exp, slope=None, error=lambda x, y, delta, roundoff: delta))
    assert OPERATIONS["exp"] is known


@pytest.mark.parametrize("components", [2, 3, 4])
def test_the_direction_of_a_vanishing_vector_has_a_bound(components: int) -> None:
    """No two directions are farther apart than 2, and what is turned by one keeps its length."""
    field = sd.VectorField("v", sd.Lattice(2), components)
    action = field.lattice.sum(field.squared + field.squared**2)
    theory = sd.Theory("balanced", fields=[field], action=action, symmetries=[sd.SO(field)])
    program = sd.compile(theory, "torch").program
    half = np.arange(1.0, components + 1)
    x = np.stack([half, -half], axis=1)[None]
    y, n = error_bounds(program, "unrotate", x, {}, roundoff=np.finfo(np.float32).eps)
    assert ((n >= 2) & (n < 10)).all()
    assert (y >= np.linalg.norm(half)).any()
    assert np.isfinite(y).all()
    long = error_bounds(program, "unrotate", x + 1, {}, roundoff=np.finfo(np.float32).eps)
    assert all((bound < 0.01).all() for bound in long)


FUNCTIONS = sorted(
    name for name, o in OPERATIONS.items() if isinstance(o, Elementwise) and name not in LEFT_OUT
)
STEP = 1e-4
HIDDEN_KINK = {"i1e"}  # in the second derivative
NOWHERE = Setting({}, {}, {}, (1,), np.dtype(np.float64))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_function_says_of_its_smoothness_is_what_its_values_say(name: str) -> None:
    """By differences at many points, among them those at which functions jump or have kinks and poles."""
    function = OPERATIONS[name]
    generic = np.random.default_rng(5).uniform(-5, 5, 200)
    points = np.concatenate([generic, np.arange(-5.0, 6.0), np.pi * np.array([-0.5, 0.5])])
    with np.errstate(all="ignore"):
        lower, middle, upper = (function.value([points + k * STEP], None, NOWHERE) for k in (-1, 0, 1))
        scale = 1 + np.abs(middle)
        jump = np.maximum(np.abs(upper - middle), np.abs(middle - lower)) / scale
        kink = np.abs(upper - 2 * middle + lower) / (STEP * scale)
    continuous = bool(np.isfinite(jump).all() and jump.max() < 0.01)
    assert (function.is_continuous or function.is_smooth) == continuous, f"{name} says otherwise"
    smooth = continuous and bool(kink.max() < 0.01) and name not in HIDDEN_KINK
    assert function.is_smooth == smooth, f"{name} says otherwise"


def test_the_lists_of_the_analysis_have_every_function_that_is_smooth_or_has_kinks() -> None:
    """``algebra`` is below ``ir`` and has lists of its own, of SymPy's functions."""
    for name in FUNCTIONS:
        function, known = OPERATIONS[name], getattr(sp, "Abs" if name == "abs" else name, None)
        if known is None or name in ("i0e", "i1e"):
            continue
        for listed, said in ((_ANALYTIC, function.is_smooth), (_KINKED, function.is_continuous)):
            assert (known in listed) == said, f"{name} in sesamo_dsl/algebra/regularity.py"
