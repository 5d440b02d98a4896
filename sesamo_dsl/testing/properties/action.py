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
from ...estimates.evaluated import evaluated
from ...estimates.log_z_derivatives import action_derivatives
from ...ir.coupling_derivatives import coupling_derivatives
from ...values.couplings import numbers_only
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


_SHORTEST = 1e-4  # way through the couplings, relative to their size, that is tried before NaN is a failure


def _thermodynamic_integration(
    subject: Subject, example: tuple[np.ndarray, np.ndarray]
) -> Iterator[Measurement]:
    """∂ log Z/∂t = −⟨∂S/∂t⟩, and its derivative, for the sum over some configurations in the place of ∫dx.

    On a line through the couplings, the differences of log Σ exp(S₀ − S_t) and of its first derivative are
    compared with integrals of the next derivative, by Gauss and Legendre with 12 nodes. What the rule is off
    by is judged by that of 8 nodes.
    """
    x, way = example
    here = numbers_only(subject.parameters)
    known = action_derivatives(subject.program, subject.parameters, x[:1])[0]
    steps = {
        name: float(step) * max(abs(here[name]), 0.1)
        for name, step in zip(known.names, np.resize(way, len(known.names)), strict=True)
    }
    start = evaluated(subject.program, "action", subject.parameters, x)[:, 0]
    x, start = x[np.isfinite(start)], start[np.isfinite(start)]  # not in a wall
    if not len(x):
        return

    def at(t: float, length: float) -> tuple[float, float, float]:
        """log Σ exp(S₀ − S_t), −⟨∂S/∂t⟩ and ⟨(∂S/∂t)²⟩ − ⟨∂S/∂t⟩² − ⟨∂²S/∂t²⟩."""
        moved = {name: here[name] + t * length * step for name, step in steps.items()}
        values = {**subject.parameters, **moved}
        action = evaluated(subject.program, "action", values, x)[:, 0]
        _, slopes, curvatures = action_derivatives(subject.program, values, x)
        v = length * np.array([steps[name] for name in known.names])
        pairs = [(known.names.index(one), known.names.index(other)) for one, other in known.pairs]
        twice = np.array([v[i] * v[j] * (1 if i == j else 2) for i, j in pairs])
        slope, curvature = slopes @ v, curvatures @ twice
        log_w = start - action
        w = np.exp(log_w - log_w.max())
        total = w.sum()
        mean = w @ slope / total
        return (
            float(log_w.max() + np.log(total)),
            float(-mean),
            float(w @ (slope - mean) ** 2 / total - w @ curvature / total),
        )

    width = float(
        np.abs(action_derivatives(subject.program, subject.parameters, x)[1] @ list(steps.values())).max()
    )
    length = 1 / max(width, 1.0)  # S changes by about one
    while length > _SHORTEST and not np.isfinite(at(1.0, length)).all():
        length /= 2  # S need not be defined at all couplings
    first, last = at(0.0, length), at(1.0, length)
    rounding = float(action_bound(subject, "action", x, EPS["float64"]).sum())
    for order, what in enumerate(("log Z", "⟨∂S/∂t⟩")):
        found = []
        for nodes in (12, 8):
            places, weights = np.polynomial.legendre.leggauss(nodes)
            values = [at((1 + place) / 2, length)[order + 1] for place in places]
            found.append(float(weights @ values) / 2)
        size = max(abs(first[order]), abs(last[order]), 1.0)
        tolerance = 1e-10 * size + 64 * rounding + 10 * abs(found[0] - found[1])
        yield Measurement(
            last[order] - first[order] - found[0], tolerance, f"the difference of {what} is the integral"
        )


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
    Property(
        "thermodynamic_integration",
        "the difference of log Z is the integral of −⟨∂S/∂θ⟩, and that of ⟨∂S/∂θ⟩ of the second derivative",
        lambda s: st.tuples(
            configurations(s, kinds=("normal", "sector", "constant")),
            st.lists(st.sampled_from((1.0, -0.5, 0.25)), min_size=3, max_size=3).map(np.array),
        ),
        _thermodynamic_integration,
        lambda s: bool(coupling_derivatives(s.program).names),
        5,
    ),
)
