"""A Program as text, one operation per line, for people and for golden files."""

from __future__ import annotations

from .program import Function, Program


def program_text(program: Program) -> str:
    """The text of a program: its components, constants and all functions."""
    head = f"program {program.theory}: components {', '.join(program.components)} on {program.shape}"
    constants = [f"constant {name}: {array.shape}" for name, array in program.constants.items()]
    return "\n".join([head, *constants, *(function_text(f) for f in program.functions.values())])


def function_text(function: Function) -> str:
    """The text of one function, one operation per line."""
    inputs = ", ".join(f"{name}: {kind.value}" for name, kind in function.inputs)
    lines = [f"{function.name}({inputs}; {', '.join(function.parameters)})"]
    for index, op in enumerate(function.ops):
        shown = [f"%{a}" for a in op.args] + ([repr(op.attribute)] if op.attribute is not None else [])
        note = f"  # {function.notes[index]}" if index in function.notes else ""
        lines.append(f"  %{index}: {op.kind.value} = {op.name}({', '.join(shown)}){note}")
    lines.append("  return " + ", ".join(f"{name}=%{index}" for name, index in function.outputs))
    return "\n".join(lines)
