"""A Program whose couplings differ from configuration to configuration, derived from one at fixed couplings.

Where a coupling varies, it is a value of kind CONFIG, one number for each configuration of the batch. The
kinds of all values that depend on it follow from the type rules of the operations.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from ..errors import ParameterError
from .operations import OPERATIONS
from .program import Function, Program
from .value import Kind, Op


def with_varying(program: Program, names: Set[str]) -> Program:
    """The program in which these couplings are arrays (batch,), and all others as before.

    Raises
    ------
    ParameterError
        If a coupling has a value for every site, or an operation takes one value of it for all
        configurations, as a fermion determinant does of its hopping.
    """
    functions = {name: _varying(program, f, names) for name, f in program.functions.items()}
    return replace(program, functions=functions)


def _varying(program: Program, function: Function, names: Set[str]) -> Function:
    varied = [name for name in function.parameters if name in names]
    if not varied:
        return function
    ops: list[Op] = []
    for op in function.ops:
        if op.name == "site_parameter" and op.attribute in names:
            raise _one_for_all(program, [op.attribute], "it has a value for every site")
        if op.name == "parameter" and op.attribute in names:
            op = Op("config_parameter", (), Kind.CONFIG, op.attribute)
        elif op.name != "input":
            kind = OPERATIONS[op.name].kind([ops[a].kind for a in op.args], op.attribute)
            if kind is None:
                reason = f"operation {op.name} takes one number for all configurations"
                raise _one_for_all(program, _behind(ops, op, names), reason)
            op = replace(op, kind=kind)
        ops.append(op)
    doc = f"{function.doc}\n\nOne value for each configuration, (batch,): {', '.join(varied)}."
    return replace(function, doc=doc, ops=tuple(ops))


def _behind(ops: list[Op], op: Op, names: Set[str]) -> list[str]:
    """The varying couplings that numbers among the arguments of an operation depend on."""
    found: set[str] = set()
    seen: list[Op] = [ops[a] for a in op.args if ops[a].kind is Kind.CONFIG]
    while seen:
        one = seen.pop()
        found |= {one.attribute} & names if one.name == "config_parameter" else set()
        seen += [ops[a] for a in one.args]
    return sorted(found)


def _one_for_all(program: Program, names: list[str], reason: str) -> ParameterError:
    return ParameterError(
        f"parameter {', '.join(names)} of theory {program.theory}",
        expected="one value for all configurations",
        found=f"one for each configuration; {reason}",
        remedy="evaluate the values one after the other",
    )
