"""The functions of a model from which its samples and log q are made, for those who have the framework alone.

A sample takes four steps: noise, the flow, an orientation on each orbit, a group element. The second and the
last of them are functions of arrays, which a framework exports with the weights in them. The orientation is
drawn by NumPy, from a few numbers for each configuration.

================  ============================================  ============================================
function          takes                                         returns
================  ============================================  ============================================
draw_flow         z [, uniforms that draw a mixture's flow]     y on the slices, log q̃, leaked, a
modulate          y, uniforms [, orientations n]                x, log p(u|·), S − constant, u
density           x, a                                          log q̃ + log p(u|·), y [, orientations n]
action            x                                             S − constant
radius            y                                             r of the slice: von Mises–Fisher law of n
log_integral      κ                                             log ∫ exp(κ n·μ) dn, in float64
table             y                                             −log Σ_u exp(−S₁) on the circle of n
================  ============================================  ============================================
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BackendError
from ..laws.orbits import uniform_directions
from .arrays import Array, Weights
from .model import SamplerModel
from .orbits import log_orbit_integral


@dataclass(frozen=True, eq=False)
class ModelFunction:
    """A function of a model, with arguments for an example.

    Attributes
    ----------
    name
        See the table above.
    function
        (weights, *arrays) → a tuple of arrays; the batch is the first axis of all of them, but of a table
        the last.
    example
        Arrays that the function takes after the weights.
    """

    name: str
    function: Callable[..., tuple[Array, ...]]
    example: tuple[Array, ...]


def model_functions(model: SamplerModel, rows: int, evaluate: Callable[..., Any]) -> list[ModelFunction]:
    """The functions of a model, with examples of ``rows`` configurations; called in the backend's scope.

    Parameters
    ----------
    evaluate
        (function, weights, *example) → what the function returns, or its shapes and types if the framework
        exports with no more than these.
    """
    sampler, weights, law = model.sampler, model.weights, model.sampler.orientations.law
    emitted = sampler.group.emitted

    def draw_flow(weights: Weights, z: Array, choices: Array | None = None) -> tuple[Array, ...]:
        return sampler.draw_flow(weights, z, choices)[:4]

    def modulate(weights: Weights, y: Array, uniform: Array, *directions: Array) -> tuple[Array, ...]:
        return sampler.modulate(weights, y, uniform, list(directions))

    def density(weights: Weights, x: Array, auxiliary: Array) -> tuple[Array, ...]:
        y, log_p, directions = sampler.canonical(weights, x)
        return sampler.log_flow(weights, y, auxiliary) + log_p, y, *directions

    def action(_: Weights, x: Array) -> tuple[Array, ...]:
        return (emitted["action"](x),)

    def radius(_: Weights, y: Array) -> tuple[Array, ...]:
        return (sampler.orientations.radii(y)[0],)

    def log_integral(_: Weights, kappa: Array) -> tuple[Array, ...]:
        return (log_orbit_integral(model.arrays, kappa, law.dimensions[0]),)

    def table(_: Weights, y: Array) -> tuple[Array, ...]:
        return (sampler.table(y),)

    rng = np.random.default_rng(0)
    z = model._tensor(rng.normal(size=(rows, *sampler.shape)))
    uniform = model._tensor(rng.uniform(size=(rows, *sampler.uniforms)))
    choices = (model._tensor(rng.uniform(size=rows)),) if sampler.draws_flow else ()
    directions = [model._tensor(uniform_directions(rng, rows, n)) for n in law.dimensions]
    drawn = ModelFunction("draw_flow", draw_flow, (z, *choices))
    y, _, _, auxiliary = evaluate(draw_flow, weights, *drawn.example)
    functions = [
        drawn,
        ModelFunction("modulate", modulate, (y, uniform, *directions)),
        ModelFunction("density", density, (z, auxiliary)),
        ModelFunction("action", action, (z,)),
    ]
    if law.law == "von_mises":
        kappa = model.arrays.constant(np.linspace(0.0, 2.0, rows), "float64")
        functions += [
            ModelFunction("radius", radius, (y,)),
            ModelFunction("log_integral", log_integral, (kappa,)),
        ]
    if law.law == "tabulated":
        functions.append(ModelFunction("table", table, (y,)))
    return functions


def recipe(model: SamplerModel) -> dict[str, Any]:
    """What the caller of the functions has to know: shapes, chunks and the law of the orientations."""
    law = model.sampler.orientations.law
    return {
        "shape": list(model.sampler.shape),
        "uniforms": list(model.sampler.uniforms),
        "mixture": model.sampler.draws_flow,
        "precision": model._precision,
        "chunk": model._chunk,
        "constant": model._constant,
        "orientations": {
            "law": law.law,
            "dimensions": list(law.dimensions),
            "log_area": law.log_area,
            "strength": float(law.strength),
            "mean": None if law.mean is None else law.mean.tolist(),
        },
    }


def not_exportable(function: str, form: str, error: Exception, emitted: str, remedy: str) -> BackendError:
    """The error for a function with an operation that a format lacks, which it names.

    Parameters
    ----------
    emitted
        Path of the emitted module, one of whose lines may be what failed.
    """
    message = str(error)
    operators = re.findall(r"OpOverload\(op='([^']+)'", message)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.line for frame in frames if frame.filename == emitted and frame.line]
    own = [frame for frame in frames if "/sesamo_dsl/" in frame.filename.replace("\\", "/")]
    if operators:
        where = f"the operator {operators[0]}, in {own[-1].name}" if own else f"the operator {operators[0]}"
    elif lines:
        where = f"the line `{lines[0].partition('  #')[0]}` of the emitted theory"
    else:
        where = f"the line `{frames[-1].line}`" if frames else "an operation"
    # the exporter to ONNX says the reason below its advice
    said = re.search(r"Failure message: (.+)", message)
    reason = said[1] if said else message.strip().partition("\n")[0]
    return BackendError(
        f"export of {function} to {form}",
        expected="operations that the format has, for batches of any length",
        found=f"{where}: {type(error).__name__}: {reason[:160]}",
        remedy=remedy,
    )
