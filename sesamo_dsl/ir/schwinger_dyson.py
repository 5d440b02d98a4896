"""Schwinger–Dyson identities of a Program: ⟨Δf − ∇f·∇S⟩ = 0 for the monomials f of the theory.

∫ div(e^−S v) = 0 for every vector field v that e^−S makes vanish at infinity, if S neither jumps nor has a
pole. With v = ∇f that is the identity above. f are |x|², which gives the virial identity, the monomials of
the action and of the observables, and powers of every real component and of its sum. Laplacians are derived,
never approximated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from .builder import Builder
from .gradient import gradient_parts
from .monomials import Monomials
from .program import Program
from .value import Kind

MOST = 48
"""Monomials that are used, those of the action first."""
_POWERS = (1, 2, 3, 4)


@dataclass(frozen=True, eq=False)
class Operators:
    """The monomials f of a theory.

    Attributes
    ----------
    program
        Has functions ``operators``, of which each output is one f, and ``identities``, with Δf and ∇f·∇S for
        every f in turn.
    names
        Of the monomials, in the same order.
    """

    program: Program
    names: tuple[str, ...]


def operators(program: Program) -> Operators:
    """Derive the monomials and their identities."""
    action = program.functions["action"]
    observables = [f for name, f in program.functions.items() if name.startswith("observable_")]
    parameters = tuple(dict.fromkeys(p for f in (action, *observables) for p in f.parameters))
    builder = Builder("identities", "Δf and ∇f·∇S of every monomial f.", [("x", Kind.FIELDS)], parameters)
    monomials = Monomials(builder, program.components, program.shape, program.constants)
    slopes = gradient_parts(builder, builder.extend(action)[action.outputs[0][1]])
    found = dict([monomials.square(program.lines)]) if program.lines else {}
    for function in (action, *observables):
        found |= monomials.of(function)
    for power in _POWERS:
        for a in program.lines:  # f has to be a function on the circle of each angle
            found |= dict([monomials.power(a, power)])
            if prod(program.shape) > 1:
                found |= dict([monomials.power_of_sum(a, power)])
    chosen = dict(list(found.items())[:MOST])
    values = builder.finish(**_numbered(chosen.values()))
    outputs = []
    for value in chosen.values():
        outputs += [monomials.laplacian(value), monomials.slopes_times(value, slopes)]
    identities = builder.finish(**_numbered(outputs))
    return Operators(
        replace(
            program,
            constants=program.constants | monomials.weights,
            functions={"operators": replace(values, name="operators"), "identities": identities},
        ),
        tuple(chosen),
    )


def _numbered(values: Iterable[int]) -> dict[str, int]:
    return {f"f{i}": value for i, value in enumerate(values)}
