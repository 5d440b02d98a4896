"""A training over a range of couplings: the choices that it needs, and theories that it has no means for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from ..analysis.result import Analysis
from ..checks import as_real, shown, spelling
from ..errors import OptionError, ParameterError
from ..flows.coupling_range import CouplingRange
from ..flows.spec import FlowSpec
from ..ir.program import Program
from ..landscape.integrability import require_normalizable
from ..values.couplings import Coupling, Couplings
from .options import TrainingOptions, option_error
from .plan import Plan

_EXAMINED = 4  # points inside of a box at which Z has to be finite, beside corners and centre
_LAWS = ("uniform", "heat_bath")  # laws without weights: those of other laws would depend on the couplings


def check_over(plan: Plan, over: CouplingRange, analysis: Analysis) -> str:
    """The reason of the base of a range, in words.

    Raises
    ------
    OptionError, ParameterError
        If a coupling is not one of the theory, or the plan has parts that do not depend on the couplings.
    """
    known = {parameter.name for parameter in analysis.theory.parameters}
    for name in over.names:
        if name not in known:
            raise ParameterError(
                f"option over of theory {analysis.theory.name}",
                expected=f"one of: {', '.join(sorted(known)) or 'none, the theory has no parameters'}",
                found=name,
                remedy="check the spelling",
            )
    if plan.law not in _LAWS:
        expected = f"{' or '.join(map(repr, _LAWS))} for a range of couplings, whose laws have no weights"
        raise option_error("law", expected, plan.law)
    if plan.law_gradient != "enumerate":
        expected = "'enumerate' for a range of couplings: a baseline would mix their values of log Z"
        raise option_error("law_gradient", expected, plan.law_gradient)
    if not isinstance(plan.flow, FlowSpec):
        raise option_error("flow", "a FlowSpec for a range of couplings", plan.flow)
    if plan.flows > 1:
        raise option_error("flows", "1 for a range of couplings", plan.flows)
    if plan.forward_weight:
        expected = "0 for a range of couplings: configurations of the target are those of one point"
        raise option_error("forward_weight", expected, plan.forward_weight)
    _check_source(over, analysis)
    nodes = math.prod(len(axis) for axis in over.axes)
    return f"base at {nodes} points of the range, interpolated; where the vacuum jumps, the flow corrects it"


def _check_source(over: CouplingRange, analysis: Analysis) -> None:
    """OptionError if the exact law of orientations has numbers that depend on the couplings."""
    if analysis.orbit_law != "von_mises":
        return
    symbols = {str(symbol) for h in analysis.linear_source or () for symbol in h.free_symbols}
    if symbols & set(over.names):
        raise OptionError(
            f"option over of theory {analysis.theory.name}",
            expected="couplings on which the source of the Lie group does not depend",
            found=f"a source that differs within {over}",
            remedy="train at single values of it",
        )


def asked_range(begun: Plan | TrainingOptions | None, changes: Mapping[str, Any]) -> CouplingRange | None:
    """The range that options ask for, or None."""
    over = changes["over"] if "over" in changes else getattr(begun, "over", None)
    return None if over is None else CouplingRange.of(over)


def couplings_in(
    over: CouplingRange | None,
    parameter_values: Callable[[Mapping[Any, Any] | None], dict[str, Coupling]],
    given: Mapping[Any, Coupling] | None,
) -> dict[str, Coupling]:
    """All couplings of a model; over a range those that vary are given ones, defaults inside, or the centre.

    Raises
    ------
    ParameterError
        For couplings that do not exist, and those that are given outside of the range.
    """
    if over is None or not isinstance(given, Mapping | None):
        return parameter_values(given)
    named = {spelling(str(getattr(key, "name", key))): value for key, value in (given or {}).items()}
    others = {name: value for name, value in named.items() if name not in over.names}
    _require_numbers(over, parameter_values({**over.centre, **others}))
    with suppress(ParameterError):  # couplings without defaults
        own = parameter_values(named)
        if over.contains(own):
            return own
    values = parameter_values({**over.centre, **named})
    if not over.contains(values):
        raise ParameterError(
            "parameters beside over",
            expected=f"a point of the range: {over}",
            found=", ".join(f"{name} = {values[name]:g}" for name in over.names),
            remedy="leave out the couplings that vary",
        )
    return values


def _require_numbers(over: CouplingRange, values: Couplings) -> None:
    for name in over.names:
        if np.ndim(values[name]):
            raise ParameterError(
                f"option over, {name}",
                expected="a coupling that is one number",
                found="one that has a value for every site",
                remedy="leave it out of the range",
            )


def require_normalizable_over(program: Program, parameters: Couplings, over: CouplingRange) -> None:
    """Raise NotNormalizableError if Z is infinite at a corner, the centre, or at a few points inside."""
    inside = over.trained("ends")[len(over.corners) :][:_EXAMINED]
    for point in (*over.corners, *inside, over.point(over.centre)):
        require_normalizable(program, {**parameters, **over.at(point)})


def point_of(
    over: CouplingRange,
    parameters: Mapping[str, Coupling],
    couplings: Mapping[Any, float] | None,
    named: Mapping[str, float],
    extrapolate: bool,
) -> tuple[dict[str, Coupling], bool]:
    """All couplings at a point of the range that a user names, and whether it is inside.

    Raises
    ------
    ParameterError
        For couplings that do not vary or are given twice or are no numbers, and points outside of the range
        unless ``extrapolate``.
    """
    if not isinstance(couplings, Mapping | None):
        found = shown(couplings)
        raise _no_point(over, "a dictionary of couplings", found, "write run.at(kappa=0.25)")
    values = dict(parameters)
    asked = [*(couplings or {}).items(), *named.items()]
    names = [spelling(str(getattr(key, "name", key))) for key, _ in asked]
    if len(set(names)) < len(names):
        raise _no_point(over, "every coupling once", ", ".join(names), "leave one of them out")
    for name, (_, value) in zip(names, asked, strict=True):
        if name not in over.names:
            expected = f"couplings that vary: {', '.join(over.names)}"
            raise _no_point(over, expected, name, "leave it out: others are as in the training")
        number = as_real(value)
        if number is None or not math.isfinite(number):
            raise _no_point(over, f"a finite number for {name}", shown(value), "give a number")
        values[name] = number
    inside = over.contains(values)
    if not inside and not extrapolate:
        found = ", ".join(f"{name} = {values[name]:g}" for name in over.names)
        remedy = "train over a larger range, or say extrapolate=True"
        raise _no_point(over, "a point of the range", found, remedy)
    return values, inside


def _no_point(over: CouplingRange, expected: str, found: str, remedy: str) -> ParameterError:
    return ParameterError(f"point of a run over {over}", expected=expected, found=found, remedy=remedy)
