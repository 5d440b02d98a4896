"""First and second derivatives of S by the couplings, derived from a Program by reverse-mode differentiation.

∂ log Z/∂θ = −⟨∂S/∂θ⟩, and the second derivatives are connected correlators of the first ones. All couplings
that are numbers are differentiated in one pass; a coupling that differs from site to site has no derivative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

from .builder import Builder
from .gradient import coupling_slopes
from .operations import OPERATIONS
from .program import Function, Program
from .value import Kind


@dataclass(frozen=True, eq=False)
class CouplingDerivatives:
    """Derivatives of S by its couplings.

    Attributes
    ----------
    program
        Has the functions ``slopes``, with ∂S/∂θ for each coupling in turn, and ``curvatures``, with
        ∂²S/∂θ∂η for each pair.
    names
        The couplings, in the order of the slopes.
    pairs
        The pairs of couplings, in the order of the curvatures.
    obstacles
        Couplings of S by which it is not differentiated, with the reason in words.
    """

    program: Program
    names: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    obstacles: Mapping[str, str]


def coupling_derivatives(program: Program) -> CouplingDerivatives:
    """Derive all first and second derivatives of the action."""
    action = program.functions["action"]
    obstacles = _obstacles(action)
    names = tuple(name for name in action.parameters if name not in obstacles)
    builder = Builder("slopes", "∂S/∂θ for every coupling θ.", [("x", Kind.FIELDS)], action.parameters)
    zero = builder.constant(0.0)
    first = coupling_slopes(builder, builder.extend(action)[action.outputs[0][1]], names)
    slopes = builder.finish(**{f"d{i}": first.get(name, zero) for i, name in enumerate(names)})
    pairs, second = tuple(combinations_with_replacement(names, 2)), list[int]()
    again = {name: coupling_slopes(builder, value, names) for name, value in first.items()}
    for one, other in pairs:
        second.append(again.get(one, {}).get(other, zero))
    curvatures = replace(builder.finish(**{f"d{i}": v for i, v in enumerate(second)}), name="curvatures")
    derived = replace(program, functions={"slopes": slopes, "curvatures": curvatures})
    return CouplingDerivatives(derived, names, pairs, obstacles)


def _obstacles(action: Function) -> dict[str, str]:
    """Why S is not differentiated by a coupling, for those to which this applies."""
    found: dict[str, str] = {}
    depends: list[frozenset[str]] = []
    for op in action.ops:
        inside = frozenset[str]().union(*(depends[a] for a in op.args))
        if op.name in ("parameter", "site_parameter"):
            inside |= {op.attribute}
        depends.append(inside)
        if op.name == "site_parameter":
            found.setdefault(op.attribute, "it has a value for every site")
        if op.name == "fermion_log_det":
            for name in sorted(depends[op.args[1]]):
                found.setdefault(name, "a fermion determinant depends on it through its hopping")
        if OPERATIONS[op.name].may_jump and op.name != "where":
            for name in sorted(inside):
                found.setdefault(name, f"S may jump as a function of it, by its operation {op.name}")
    return found
