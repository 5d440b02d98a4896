"""The second stage: from an analysis to a typed program without SymPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..analysis.result import Analysis
from ..groups.angles import angle_numbers
from ..groups.automorphisms import node_order
from ..groups.rotations import AngleRotation
from ..ir.gradient import with_gradient
from ..ir.interpreter import run
from ..ir.program import Function, Program
from ..landscape.vacua import find_vacuum
from ..language.theory import Theory
from ..lowering.constants import split_constant
from ..lowering.expressions import arrays, lower, lower_by_block
from ..lowering.modulation import constants, finite_functions, slice_functions
from ..symbols.lattice import GraphLattice


def _without_constant(theory: Theory, program: Program) -> dict[str, Function]:
    """Functions for S − C and the constant C, if |S − C| < |S|/2 at the vacuum, else none."""
    constant, rest = split_constant(theory.action)
    if constant == 0:
        return {}
    functions = {
        "constant": lower(
            "constant", "The part of S that no field is in.", constant, theory.components, "constant"
        ),
        "relative_action": lower(
            "relative_action", "S(x) less the constant.", rest, theory.components, "action"
        ),
    }
    functions["relative_action_and_gradient"] = with_gradient(
        functions["relative_action"],
        "action",
        len(theory.components),
        "relative_action_and_gradient",
        "S(x) less the constant, and ∂S/∂x.",
    )
    parameters = {p.name: theory.defaults.get(p.name, 0.5) for p in theory.parameters}
    vacuum = find_vacuum(program, parameters)
    mean = np.zeros(len(theory.components)) if vacuum is None else vacuum.mean
    x = np.broadcast_to(mean.reshape(-1, *(1,) * theory.lattice.dimension), theory.configuration_shape)
    split = replace(program, functions=program.functions | functions)
    with np.errstate(all="ignore"):
        sizes = [
            abs(run(split, name, {"x": x[None]}, parameters)[0]) for name in ("relative_action", "action")
        ]
    return functions if sizes[0] < sizes[1] / 2 else {}


def action_program(theory: Theory, extra: Mapping[str, Function] | None = None, **fields: Any) -> Program:
    """The program of S and ∂S/∂x, with further functions and fields of :class:`.Program`."""
    action = lower("action", "S(x) per configuration.", theory.action, theory.components, "action")
    gradient = with_gradient(
        action, "action", len(theory.components), "action_and_gradient", "S(x) and ∂S/∂x, of the shape of x."
    )
    return Program(
        theory.name,
        fields.get("summary", ""),
        tuple(c.label for c in theory.components),
        theory.lattice.shape,
        {p.name: theory.defaults.get(p.name) for p in theory.parameters},
        arrays([theory.action, *theory.observables.values()]) | fields.get("constants", {}),
        {"action": action, "action_and_gradient": gradient, **(extra or {})},
        fields.get("block_axes", ()),
        fields.get("nodes"),
        theory.manifolds,
    )


def lower_theory(analysis: Analysis) -> Program:
    """The program with all functions that a backend needs: action, gradient, S₁, observables, modulation."""
    theory, domain = analysis.theory, analysis.domain
    functions = {}
    if analysis.breaking != 0:
        functions["breaking"] = lower(
            "breaking",
            "S₁(x), the part of S that the group changes.",
            analysis.breaking,
            theory.components,
            "breaking",
        )
    for name, expr in theory.observables.items():
        function = f"observable_{name}"
        functions[function] = lower(
            function, f"Observable {name}.", expr, theory.components, name, slopes=False
        )
    count, volume = len(theory.components), theory.lattice.volume
    slices = [report.slice for report in analysis.lie_reports]
    block_axes = analysis.axes
    if block_axes and analysis.breaking != 0 and analysis.factorised:
        functions["breaking_by_block"] = lower_by_block(
            "breaking_by_block",
            "S₁(x) as a sum over the blocks, (batch, blocks).",
            analysis.breaking,
            theory.components,
            block_axes,
        )
    functions |= {
        f.name: f
        for f in (
            *finite_functions(domain, block_axes, angle_numbers(theory.components)),
            *slice_functions(slices, count, volume),
        )
    }
    functions |= _without_constant(theory, action_program(theory))
    of_modulation = constants(domain, analysis.group, slices, count, volume)
    rotations = [r.symmetry for r in analysis.reports if isinstance(r.symmetry, AngleRotation)]
    if rotations:
        charges = [[rotation.charges.get(c, 0) for c in theory.components] for rotation in rotations]
        of_modulation["CHARGES"] = np.array(charges, dtype=np.float64)
    lattice = theory.lattice
    return action_program(
        theory,
        functions,
        constants=of_modulation,
        block_axes=block_axes,
        nodes=node_order(lattice) if isinstance(lattice, GraphLattice) else None,
        summary=analysis.text(),
    )
