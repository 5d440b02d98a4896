"""Writes a Program as a readable Python module of one framework, described by a ``Dialect``.

Each line is one assignment with literals and couplings in place and the symbolic term as a comment. The
module needs only NumPy and its framework, so that it can be copied elsewhere and run.
"""

from __future__ import annotations

import builtins
import keyword
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .program import Function, Program
from .value import Attribute, Kind, Op

_OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_STANDARD = ("functools", "math")  # modules of the standard library that helpers may use
_NAMED = ("input", "parameter", "config_parameter", "constant")  # values that need no line of their own
_RESERVED = frozenset({"np", "torch", "jax", "jnp", *_STANDARD, *dir(builtins), *keyword.kwlist})


@dataclass(frozen=True)
class Dialect:
    """The spelling of the operations of a Program in one framework.

    Attributes
    ----------
    framework
        Name of the framework, for the module docstring.
    imports
        Import lines of the framework, which bind np, torch, jax, jnp or names with a leading underscore.
        Imports of the standard library that helpers use are added.
    templates
        Operation → expression; ``{0}``, ``{1}`` are operands, ``{args}`` all of them, ``{rest}`` all but the
        first, ``{attribute}`` the attribute, ``{axes}`` the lattice axes of a SITE value, ``{field_axes}``
        the lattice axes of a FIELDS value.
    array
        Template of a constant array from the text ``{values}``.
    helpers
        Functions that templates may call, by name (with a leading underscore); a module contains the text of
        the helpers that it uses.
    scalar_operand
        How a literal or coupling is passed to a function that needs an array; ``{0}`` is the operand.
    joint
        Pairs of operations → the template that computes both where they have the same operands.
    """

    framework: str
    imports: str
    templates: Mapping[str, str]
    array: str
    scalar_operand: str
    helpers: Mapping[str, str]
    joint: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])


def argument_name(parameter: str) -> str:
    """The name of the Python argument for a coupling: ``lambda_`` for ``lambda``.

    An underscore is added to every name that emitted code needs: keywords, builtins, modules, helpers and
    constants.
    """
    return _free(parameter, {"x"})


def _free(name: str, more: Container[str] = ()) -> str:
    """The name, with an underscore added if it is reserved with or without its trailing underscores."""
    stem = name.rstrip("_")  # `lambda` and `lambda_` stay different
    hidden = stem in _RESERVED or stem in more or name.startswith("_")
    constant = len(stem) > 1 and stem == stem.upper()
    return name + "_" if hidden or constant else name


def docstring(text: str) -> str:
    """The text escaped for a docstring: it cannot end the docstring, and reads back unchanged."""
    escaped = text.replace("\\", "\\\\")
    shown = "".join(
        c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in escaped
    )
    ends_it = '"""' in shown or shown.endswith('"')
    return shown.replace('"', '\\"') if ends_it else shown


def _comment(text: str) -> str:
    """Text on one line of bounded length."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) < 90 else line[:87] + "…"


def module_source(program: Program, dialect: Dialect) -> str:
    """The complete text of the emitted module."""
    head = [
        f'"""{program.theory}, emitted for {dialect.framework} by sesamo-dsl.\n\n'
        f"{docstring(program.summary)}\n\n"
        f"Configurations have shape (batch, {len(program.components)}, "
        f'{", ".join(map(str, program.shape))}), components {", ".join(program.components)}.\n"""'
    ]
    defaults = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in program.parameters.items()
    }
    parts = [
        dialect.imports,
        f"COMPONENTS = {program.components!r}\nSHAPE = {program.shape!r}\nPARAMETERS = {defaults!r}",
    ]
    parts += [f"{name} = {_array(array, dialect)}" for name, array in program.constants.items()]
    functions = [function_source(f, program, dialect) for f in program.functions.values()]
    parts += ["\n" + text for text in (*_needed(dialect.helpers, functions), *functions)]
    body = "\n\n".join(parts) + "\n"
    standard = "".join(f"import {name}\n" for name in _STANDARD if f"{name}." in body)
    return "\n\n".join([*head, f"{standard}\n{body}" if standard else body])


def _needed(helpers: Mapping[str, str], functions: Sequence[str]) -> list[str]:
    """The helpers that functions call, directly or through other helpers."""
    needed: set[str] = set()
    texts = list(functions)
    while texts:
        text = texts.pop()
        new = [name for name in helpers if name not in needed and name in text]
        needed.update(new)
        texts += [helpers[name] for name in new]
    return [text for name, text in helpers.items() if name in needed]


def _array(array: np.ndarray, dialect: Dialect) -> str:
    # repr of a float is the shortest text that reads back as the same number
    values = repr((array + 0.0).tolist())
    return dialect.array.format(values=values, shape=array.shape)


def function_source(function: Function, program: Program, dialect: Dialect) -> str:
    """The text of one function definition."""
    names = _value_names(function, program)
    couplings = [argument_name(p) for p in function.parameters]
    signature = ", ".join([*(name for name, _ in function.inputs), *couplings])
    lines = [f"def {function.name}({signature}):", f'    """{docstring(function.doc)}"""']
    rank, joint = len(program.shape), _joint(function, dialect)
    for index, op in enumerate(function.ops):
        if op.name in _NAMED or index in joint.values():
            continue
        operands = [_operand(function, op, a, names, rank, dialect) for a in op.args]
        if op.name in _OPERATORS:
            text = f"{operands[0]} {_OPERATORS[op.name]} {operands[1]}"
        else:
            partner = joint.get(index)
            pair = None if partner is None else (op.name, function.ops[partner].name)
            text = (dialect.joint[pair] if pair else dialect.templates[op.name]).format(
                *operands,
                args=", ".join(operands),
                rest=", ".join(operands[1:]),
                attribute=_attribute(op),
                axes=tuple(range(1, 1 + rank)),
                field_axes=tuple(range(2, 2 + rank)),
            )
        note = function.notes.get(index, "")
        comment = f"  # {_comment(note)}" if note and note != names[index] else ""
        results = ", ".join(names[i] for i in (index, joint.get(index)) if i is not None)
        lines.append(f"    {results} = {text}{comment}")
    lines.append("    return " + ", ".join(names[index] for _, index in function.outputs))
    return "\n".join(lines)


def _attribute(op: Op) -> Attribute:
    """The attribute of an operation in the form that templates take."""
    if op.name == "shift":  # result(x) = value(x + offset) is a roll by −offset
        return tuple(-o for o in op.attribute)
    return argument_name(op.attribute) if op.name == "site_parameter" else op.attribute


def _joint(function: Function, dialect: Dialect) -> dict[int, int]:
    """Pairs of operations that are computed together: index of the first → index of the second."""
    found: dict[int, int] = {}
    for pair in dialect.joint:
        first, second = (
            {(op.args, op.attribute): index for index, op in enumerate(function.ops) if op.name == name}
            for name in pair
        )
        found |= {first[key]: second[key] for key in first.keys() & second.keys() if first[key] < second[key]}
    return found


def _value_names(function: Function, program: Program) -> list[str]:
    names: list[str] = []
    outputs = {index: name for name, index in function.outputs}
    taken = {*_RESERVED, *(name for name, _ in function.inputs), *map(argument_name, function.parameters)}
    for index, op in enumerate(function.ops):
        if op.name == "input":
            name = str(op.attribute)
        elif op.name in ("parameter", "config_parameter"):
            name = argument_name(str(op.attribute))
        elif op.name == "constant":
            name = "math.inf" if op.attribute == math.inf else repr(op.attribute)
            name = f"({name})" if name.startswith("-") else name
        elif op.name == "component" and function.ops[op.args[0]].name == "input":
            name = _free(program.components[int(op.attribute)])
        elif op.name == "shift" and function.ops[op.args[0]].name == "component":
            offsets: tuple[int, ...] = op.attribute
            steps = [
                (o if 2 * o <= e else o - e) if o > 0 else o
                for o, e in zip(offsets, program.shape, strict=True)
            ]
            moved = "".join(f"_{'p' if s > 0 else 'm'}{abs(s)}e{mu}" for mu, s in enumerate(steps) if s)
            name = names[op.args[0]] + moved
        elif index in outputs:
            name = _free(outputs[index])
        else:
            name = f"v{index}"
        while op.name not in _NAMED and (name in names or name in taken):
            name += "_"
        names.append(name)
    return names


def _operand(function: Function, op: Op, argument: int, names: list[str], rank: int, dialect: Dialect) -> str:
    kind, name = function.ops[argument].kind, names[argument]
    if kind is Kind.CONFIG and op.kind is Kind.SITE:
        return f"{name}[(...,) + (None,) * {rank}]" if rank > 2 else f"{name}[:{', None' * rank}]"
    if kind is Kind.CONFIG and op.kind is Kind.BLOCKS:
        return f"{name}[:, None]"
    comparison_of_numbers = op.name in ("lt", "le") and op.kind is Kind.SCALAR
    needs_array = comparison_of_numbers or op.name not in (*_OPERATORS, "broadcast", "lt", "le")
    if kind is Kind.SCALAR and needs_array:
        return dialect.scalar_operand.format(name)
    return name
