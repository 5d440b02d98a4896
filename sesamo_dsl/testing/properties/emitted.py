"""Properties of the emitted code: each function equals the program's, on all backends, in both precisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ...backend import call
from ...ir.rounding import error_bounds
from ...ir.source import argument_name
from ...ir.value import Kind
from ...laws.orbits import uniform_directions
from ...values.couplings import Coupling
from ..property import EPS, Measurement, Property, largest
from ..strategies import configurations, couplings
from ..subject import Subject
from .domain import differs, height, wall_width

_DISCONTINUOUS = ("canonicalize", "orient")  # compared where the program decides clearly


def _inputs(subject: Subject, function: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of a function beside the configurations, from a fixed seed."""
    rng = np.random.default_rng(17)
    inputs: dict[str, np.ndarray] = {}
    slices = [report.slice for report in subject.analysis.lie_reports]
    for name, kind in subject.program.functions[function].inputs[1:]:
        if name in ("location", "width"):
            inputs[name] = subject.wall_inputs[name]
        elif kind is Kind.VECTOR and name.startswith(("n_", "a_")):
            dimension = slices[int(name[2:])].dimension
            directions = uniform_directions(rng, len(x), dimension)
            inputs[name] = directions if name.startswith("n_") else rng.normal(size=(len(x), dimension - 1))
        else:
            inputs[name] = rng.integers(
                0, subject.analysis.group.order, size=(len(x), *subject.element_shape)
            )
    return inputs


def _emitted_is_program(
    subject: Subject, example: tuple[np.ndarray, dict[str, Coupling]]
) -> Iterator[Measurement]:
    """Emitted functions equal the interpreter's; tolerance: the sum of the running error bounds of both."""
    x, parameters = example
    for backend in subject.backends:
        for precision in subject.precisions:
            rounded = x.astype(precision).astype(np.float64)
            for name in subject.program.functions:
                if name not in _DISCONTINUOUS:
                    inside = _inside(subject, rounded, precision) if name == "unchart" else rounded
                    yield from _compared(subject, backend, precision, name, inside, parameters)


def _inside(subject: Subject, x: np.ndarray, precision: str) -> np.ndarray:
    """Configurations inside the domain, where ``unchart`` is defined, a step away from all walls.

    A chart has the scale of its base: the image of a point many widths behind a wall rounds to the wall.
    """
    inputs = subject.wall_inputs
    scaled = np.clip(x, -8, 8) * np.minimum(inputs["width"].min(), 1)
    return subject.interpret("chart", scaled, **inputs)[0].astype(precision).astype(np.float64)


def _compared(subject, backend, precision, name, x, parameters) -> Iterator[Measurement]:
    inputs = {
        key: value.astype(precision).astype(np.float64) if value.dtype.kind == "f" else value
        for key, value in _inputs(subject, name, x).items()
    }
    with np.errstate(all="ignore"):  # log Δ of a vanishing radius, say
        expected = subject.interpret(name, x, parameters, **inputs)
        found = subject.compiled(backend, precision).evaluate(name, x, parameters, **inputs)
    roundoff = EPS[precision] + EPS["float64"]
    bounds = error_bounds(subject.program, name, x, parameters, roundoff=roundoff, inputs=inputs)
    for a, b, bound in zip(found, expected, bounds, strict=True):
        same = np.broadcast_to(np.isfinite(b), a.shape)  # log Δ of a vanishing radius is infinite for both
        residual = np.where(same, a - np.where(same, b, 0.0), np.isfinite(a))
        yield Measurement(residual, np.where(same, bound, 0.0), f"{name}, {backend}, {precision}")


def _emitted_canonical(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    """At a wall rounding may decide the element u, but T_u y = x holds all the same."""
    y, u = subject.interpret("canonicalize", x)
    width = wall_width(subject, x)
    clear = height(subject, y) < -4 * width
    for backend in subject.backends:
        compiled = subject.compiled(backend, "float64")
        z, v = compiled.evaluate("canonicalize", x)
        yield Measurement(np.where(clear, differs(u, v), 0), 0, f"u(x) ({backend})")
        yield Measurement(np.where(clear, largest(z - y), 0.0), width, f"C(x) ({backend})")
        yield Measurement(np.clip(height(subject, z), 0, None), width, f"C(x) lies in Ω ({backend})")
        (back,) = compiled.evaluate("modulate", z, u=v)
        yield Measurement(largest(back - x), width, f"modulate∘canonicalize = id ({backend})")


def _types(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    """Outputs have the dtype, the device and the batch of the input."""
    for backend in subject.backends:
        for precision in subject.precisions:
            compiled = subject.compiled(backend, precision)
            checked = compiled.check_configurations(x)
            for name, function in subject.program.functions.items():
                values = {argument_name(p): subject.parameters[p] for p in function.parameters}
                with compiled.backend.scope(precision):
                    given = compiled.backend.to_array(checked, precision)
                    inputs = {
                        key: compiled.backend.to_array(value, precision)
                        for key, value in _inputs(subject, name, x).items()
                    }
                    inputs[function.inputs[0][0]] = given
                    outputs = getattr(compiled.module, name)(**inputs, **values)
                outputs = outputs if isinstance(outputs, tuple) else (outputs,)
                what = f"{name}, {backend}, {precision}"
                for output, (_, index) in zip(outputs, function.outputs, strict=True):
                    array = compiled.backend.to_numpy(output)
                    integer = function.ops[index].kind is Kind.INDEX
                    kept = array.dtype.kind in "iu" if integer else array.dtype == precision
                    yield Measurement(int(not kept), 0, f"dtype of {what}")
                    yield Measurement(int(_device(output) != _device(given)), 0, f"device of {what}")
                    yield Measurement(int(len(array) != len(x)), 0, f"batch of {what}")


def _device(array: Any) -> str:
    return str(getattr(array, "device", "host"))


def _batches(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    for backend in subject.backends:
        compiled = subject.compiled(backend, "float64")
        for name, function in subject.program.functions.items():
            values = {argument_name(p): subject.parameters[p] for p in function.parameters}
            first = function.inputs[0][0]

            def evaluated(
                part: np.ndarray, name=name, first=first, values=values, compiled=compiled
            ) -> tuple[np.ndarray, ...]:
                inputs = {first: part, **_inputs(subject, name, part)}
                return call(compiled.backend, compiled.module, name, inputs, values, "float64")

            nothing = evaluated(x[:0])
            yield Measurement(sum(len(a) for a in nothing), 0, f"{name} of an empty batch ({backend})")
            if name not in ("action", "action_and_gradient", "facets"):
                continue
            together = evaluated(x)
            alone = [evaluated(x[i : i + 1]) for i in range(len(x))]
            bounds = error_bounds(subject.program, name, x, subject.parameters, roundoff=EPS["float64"])
            for index, (a, bound) in enumerate(zip(together, bounds, strict=True)):
                b = np.concatenate([part[index] for part in alone])
                yield Measurement(a - b, 2 * bound, f"{name} of a batch of n ({backend})")


PROPERTIES = (
    Property(
        "emitted_is_program",
        "emitted code = NumPy interpreter, all functions, backends, precisions, couplings",
        lambda s: st.tuples(configurations(s), couplings(s)),
        _emitted_is_program,
        count=15,
    ),
    Property(
        "emitted_canonical",
        "emitted canonicalize = the interpreter's, up to ties at walls",
        configurations,
        _emitted_canonical,
        count=10,
    ),
    Property(
        "types",
        "dtype, device and batch of the input are those of the outputs",
        lambda s: configurations(s, kinds=("normal",)),
        _types,
        count=2,
    ),
    Property(
        "batches",
        "a batch of n is n batches of one",
        lambda s: configurations(s, kinds=("normal", "sector")),
        _batches,
        count=3,
    ),
)
