"""A Program as plain data, and back: the form in which a run stores its theory.

A program that is read back becomes Python source, so everything in the data is checked to be a name or a
number: names have to be identifiers, attributes numbers or names of inputs, couplings or constants; text that
could end a comment or a docstring is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast, get_args

import numpy as np

from ..values.couplings import Coupling
from ..values.manifolds import Manifold
from ..values.node_order import NodeOrder
from .operations import OPERATIONS
from .program import Function, Program
from .value import Attribute, Kind, Op


def program_as_data(program: Program) -> dict[str, Any]:
    """The program without its constants, which are arrays, as values that JSON can hold."""
    nodes = program.nodes
    return {
        "theory": program.theory,
        "summary": program.summary,
        "components": list(program.components),
        "shape": list(program.shape),
        "parameters": {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in program.parameters.items()
        },
        "blocks": list(program.block_axes),
        **({"manifolds": list(program.manifolds)} if program.manifolds else {}),
        "nodes": None if nodes is None else {"colours": nodes.colours, "shells": nodes.shells},
        "functions": [_function_as_data(f) for f in program.functions.values()],
    }


def program_from_data(data: Mapping[str, Any], constants: Mapping[str, np.ndarray]) -> Program:
    """Inverse of :func:`program_as_data`.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        If the data are not a valid program.
    """
    for name, array in constants.items():
        _identifier(name)
        if array.dtype.kind not in "fi" or not np.isfinite(array).all():
            raise ValueError(f"constant {name}: {array.dtype} that is not finite numbers")
    shape = tuple(_count(extent, 1) for extent in data["shape"])
    parameters = {_identifier(name): _default(value, shape) for name, value in data["parameters"].items()}
    functions = [_function_from_data(f, constants) for f in data["functions"]]
    nodes = data["nodes"]
    if nodes is not None:
        shells = tuple(
            tuple(tuple(_count(n, -1) for n in shell) for shell in node) for node in nodes["shells"]
        )
        nodes = NodeOrder(tuple(_count(c, 0) for c in nodes["colours"]), shells)
        if not len(nodes.colours) == len(shells) == shape[-1]:
            raise ValueError(f"{len(shells)} nodes on a lattice {shape}")
    manifolds = tuple(data.get("manifolds", ()))
    if manifolds and (len(manifolds) != len(data["components"]) or set(manifolds) - {*get_args(Manifold)}):
        raise ValueError(f"manifolds {manifolds} of {len(data['components'])} components")
    return Program(
        _identifier(data["theory"]),
        _text(data["summary"]),
        tuple(_identifier(name) for name in data["components"]),
        shape,
        parameters,
        dict(constants),
        {f.name: f for f in functions},
        tuple(_count(mu, 0) for mu in data["blocks"]),
        nodes,
        manifolds,
    )


def _function_as_data(function: Function) -> dict[str, Any]:
    return {
        "name": function.name,
        "doc": function.doc,
        "inputs": [[name, kind.value] for name, kind in function.inputs],
        "parameters": list(function.parameters),
        "ops": [
            [op.name, list(op.args), op.kind.value, _attribute_as_data(op.attribute)] for op in function.ops
        ],
        "outputs": [[name, index] for name, index in function.outputs],
        "notes": [[index, note] for index, note in function.notes.items()],
    }


def _function_from_data(data: Mapping[str, Any], constants: Mapping[str, np.ndarray]) -> Function:
    inputs = tuple((_identifier(name), Kind(kind)) for name, kind in data["inputs"])
    parameters = tuple(_identifier(name) for name in data["parameters"])
    known = {*constants, *parameters, *(name for name, _ in inputs)}
    ops: list[Op] = []
    for name, args, kind, attribute in data["ops"]:
        if not all(type(a) is int and 0 <= a < len(ops) for a in args):
            raise ValueError(f"operation {len(ops)} of {data['name']}: arguments {args} that are not there")
        value = _attribute_from_data(attribute)
        strange = [part for part in _parts(value) if isinstance(part, str) and part not in known]
        if strange:
            raise ValueError(f"operation {len(ops)} of {data['name']}: {strange[0]!r} is unknown")
        ops.append(Op(name, tuple(args), Kind(kind), value))
        _check_types(ops, inputs)
    outputs = tuple((_identifier(name), _count(index, 0)) for name, index in data["outputs"])
    if not all(index < len(ops) for _, index in outputs):
        raise ValueError(f"outputs of {data['name']} that are not computed")
    notes = {_count(index, 0): note for index, note in data["notes"] if str(note).isprintable()}
    return Function(
        _identifier(data["name"]), _text(data["doc"]), inputs, parameters, tuple(ops), outputs, notes
    )


def _check_types(ops: list[Op], inputs: tuple[tuple[str, Kind], ...]) -> None:
    """Raise ValueError if the last operation is unknown or its kind disagrees with its type rule."""
    op = ops[-1]
    if op.name not in OPERATIONS:
        raise ValueError(f"operation {len(ops) - 1}: {op.name!r} is unknown")
    found = (
        dict(inputs).get(op.attribute)
        if op.name == "input"
        else OPERATIONS[op.name].kind([ops[a].kind for a in op.args], op.attribute)
    )
    if found is not op.kind:
        raise ValueError(f"operation {len(ops) - 1}: {op.name} of these arguments is not {op.kind.value}")


def _attribute_as_data(attribute: Attribute) -> Any:
    if isinstance(attribute, tuple):
        return [_attribute_as_data(part) for part in cast(tuple[Attribute, ...], attribute)]
    if isinstance(attribute, float) and not math.isfinite(attribute):
        return {"float": repr(float(attribute))}
    if isinstance(attribute, np.generic):
        return _attribute_as_data(attribute.item())
    if attribute is None or isinstance(attribute, bool | int | float | str):
        return attribute
    raise TypeError(f"attribute {attribute!r} that is neither number nor name")


def _attribute_from_data(data: Any) -> Attribute:
    if isinstance(data, list):
        return tuple(_attribute_from_data(part) for part in cast(list[Any], data))
    if isinstance(data, dict):
        return float(cast(dict[str, Any], data)["float"])
    if data is None or isinstance(data, bool | int | float | str):
        return data
    raise TypeError(f"attribute {data!r}")


def _parts(attribute: Attribute) -> Iterator[Any]:
    if isinstance(attribute, tuple):
        for part in cast(tuple[Attribute, ...], attribute):
            yield from _parts(part)
    else:
        yield attribute


def _identifier(name: Any) -> str:
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"{name!r} where a name is expected")
    return name


def _text(text: Any) -> str:
    """Text for a docstring, or an empty string if the text could end a docstring."""
    return text if isinstance(text, str) and '"' not in text and "\\" not in text else ""


def _count(value: Any, least: int) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{value!r} where an integer ≥ {least} is expected")
    return value


def _default(value: Any, shape: tuple[int, ...]) -> Coupling | None:
    if value is None:
        return None
    if isinstance(value, list):
        array = np.array(value, dtype=np.float64)
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"a coupling of shape {array.shape} on a lattice {shape}")
        return array
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} where a number is expected")
    return float(value)
