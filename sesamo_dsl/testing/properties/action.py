"""Properties of the action: its change under the group, its gradient, and its agreement with SymPy's tree."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import mpmath
import numpy as np
from hypothesis import strategies as st

from ...analysis.evaluate import evaluate
from ...analysis.invariance import act
from ..property import EPS, Measurement, Property, action_bound, modulated
from ..strategies import configurations, x_and_element
from ..subject import Subject


def _invariant_part(subject: Subject, example: tuple[np.ndarray, np.ndarray]) -> Iterator[Measurement]:
    x, g = example
    change: Any = 0.0
    tolerance: Any = 0.0
    image = subject.act(g, x)
    for sign, y in ((1, image), (-1, x)):
        change = change + sign * subject.interpret("action", y)[0]
        tolerance = tolerance + action_bound(subject, "action", y, EPS["float64"])
        if "breaking" in subject.program.functions:
            change = change - sign * subject.interpret("breaking", y)[0]
            tolerance = tolerance + action_bound(subject, "breaking", y, EPS["float64"])
    yield Measurement(change, tolerance, "S₀(T_g x) = S₀(x)")


def _declared_residual(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    components = subject.theory.components
    for report in (r for r in subject.analysis.reports if not r.axes):  # groups that act on all sites alike
        for verdict in report.verdicts:
            image = np.stack([act(verdict.generator, one) for one in x])
            change = subject.interpret("action", image)[0] - subject.interpret("action", x)[0]
            expected = [evaluate(verdict.residual, one, components, subject.parameters) for one in x]
            tolerance = action_bound(subject, "action", image, EPS["float64"]) + action_bound(
                subject, "action", x, EPS["float64"]
            )
            yield Measurement(change - expected, tolerance, f"S∘T − S = {verdict.residual}")


def _at_one_block(subject: Subject, example: tuple[np.ndarray, int]) -> Iterator[Measurement]:
    """A sitewise generator that acts at one block alone changes S and its residual by the same amount.

    Both changes are computed from SymPy's own trees, so that the test relies on neither split nor program.
    """
    x, number = example
    components, parameters = subject.theory.components, subject.parameters
    for report in (r for r in subject.analysis.reports if r.axes):
        extents = [subject.theory.lattice.shape[mu] for mu in report.axes]
        block = np.unravel_index(number % int(np.prod(extents)), extents)
        inside: list[Any] = [slice(None)] * (x.ndim - 1)
        for mu, position in zip(report.axes, block, strict=True):
            inside[mu + 1] = int(position)
        for verdict in report.verdicts:
            before, after = x[0], x[0].copy()
            after[tuple(inside)] = act(verdict.generator, before)[tuple(inside)]
            change, expected = (
                evaluate(expr, after, components, parameters, digits=30)
                - evaluate(expr, before, components, parameters, digits=30)
                for expr in (subject.theory.action, verdict.residual)
            )
            tolerance = action_bound(subject, "action", np.stack([before, after]), EPS["float64"]).sum()
            what = f"at block {tuple(map(int, block))} the change of S is that of {verdict.residual}"
            yield Measurement(float(change - expected), tolerance, what)
            told = subject.interpret("action", np.stack([before, after]))[0]
            yield Measurement(float(change - (told[1] - told[0])), tolerance, "the program changes as much")
            if verdict.status == "exact":
                yield Measurement(float(change), tolerance, "an exact symmetry changes nothing")


def _program_is_symbols(subject: Subject, x: np.ndarray) -> Iterator[Measurement]:
    """Every lowered expression against SymPy's own tree, evaluated by mpmath with 30 digits."""
    theory, first = subject.theory, x[:1]
    lowered = {"action": theory.action, "breaking": subject.analysis.breaking}
    lowered |= {f"observable_{name}": expr for name, expr in theory.observables.items()}
    for name, expr in lowered.items():
        if name not in subject.program.functions:
            yield Measurement(int(expr != 0), 0, f"{name} is lowered")
            continue
        for at in (first, _beside(first)):
            with contextlib.suppress(
                ZeroDivisionError
            ):  # SymPy's tree has no value at 0/0; a point close by has one
                exact = evaluate(expr, at[0], theory.components, subject.parameters, digits=30)
                value = subject.interpret(name, at)[0][0]
                yield Measurement(float(value - exact), action_bound(subject, name, at, EPS["float64"]), name)
                break
        else:
            yield Measurement(np.inf, 0, f"{name} has a value beside x")


def _beside(x: np.ndarray) -> np.ndarray:
    """A configuration close by, shifted by a different small number at every entry."""
    return x + 2.0**-20 * np.sqrt(np.arange(2, x.size + 2)).reshape(x.shape)


def _gradient(subject: Subject, example: tuple[np.ndarray, np.ndarray]) -> Iterator[Measurement]:
    """Directional derivative against a symmetric difference in 40 digits, exact but for its h² term."""
    # multiples of 2⁻²⁰ and 2⁻⁸ keep x ± hv exact in float64; x is off the kinks of Abs, Max and Piecewise
    x, direction = (
        np.round(example[0][0] * 2**20) / 2**20,
        np.round(np.clip(example[1][0], -4, 4) * 256) / 256,
    )
    gradient = subject.interpret("action_and_gradient", x[None])[1][0]
    step = 2.0**-30
    plus, minus = x + step * direction, x - step * direction
    values = [
        evaluate(subject.theory.action, y, subject.theory.components, subject.parameters, digits=40)
        for y in (plus, minus)
    ]
    with mpmath.workdps(40):
        slope = float((values[0] - values[1]) / (2 * step))
    bound = action_bound(subject, "action_and_gradient", x[None], EPS["float64"], index=1)[0]
    curvature = 1e-14 * (1 + abs(slope) + np.abs(gradient).sum())  # the difference's own h² error
    yield Measurement(float((gradient * direction).sum()) - slope, np.abs(bound).sum() + curvature, "v·∇S")


PROPERTIES = (
    Property(
        "invariant_part", "S₀(T_g x) = S₀(x) with S₀ = S − S₁", x_and_element, _invariant_part, modulated
    ),
    Property(
        "declared_residual",
        "S(T_g x) − S(x) is what the analysis says",
        configurations,
        _declared_residual,
        lambda s: any(not r.axes for r in s.analysis.reports),
    ),
    Property(
        "one_block",
        "acting at one block changes S by what it changes in the residual",
        lambda s: st.tuples(configurations(s), st.integers(0, 63)),
        _at_one_block,
        lambda s: any(r.axes for r in s.analysis.reports),
        10,
    ),
    Property(
        "program_is_symbols",
        "the program is the symbolic action",
        configurations,
        _program_is_symbols,
        count=5,
    ),
    Property(
        "gradient",
        "the emitted gradient is the derivative",
        lambda s: st.tuples(
            configurations(s, kinds=("normal", "sector")), configurations(s, kinds=("unit", "normal"))
        ),
        _gradient,
        count=5,
    ),
)
