"""Is the action invariant? Proved, refuted with a counterexample, or undecided with numerical evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import mpmath
import numpy as np
import sympy as sp

from ..errors import NotInvariantError
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..groups.symmetry import Symmetry
from ..theory import Theory
from .evaluate import evaluate, sufficient_shape
from .normal_form import NormalForm, transformed

_DIGITS = 40
_POINTS = 8

Status = Literal["exact", "broken", "undecided"]


@dataclass(frozen=True, eq=False)
class Counterexample:
    """A configuration at which S(T_g x) ≠ S(x).

    Attributes
    ----------
    configuration
        Array (components, *lattice).
    parameters
        Couplings it was evaluated with: generic values, because a breaking term may be switched off by default.
    difference
        S(T_g x) − S(x) in float64.
    """

    configuration: np.ndarray
    parameters: dict[str, float]
    difference: float


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is known about S∘T_g − S for one generator.

    Attributes
    ----------
    status
        ``exact``: the residual's normal form is zero, a proof. ``broken``: non-zero, with a counterexample.
        ``undecided``: the normal form does not vanish but no evaluation could tell it from zero.
    residual
        S∘T_g − S in normal form (0 when exact).
    evidence
        One sentence for the report.
    """

    generator: Element
    status: Status
    residual: sp.Expr
    evidence: str
    counterexample: Counterexample | None = None


def judge(theory: Theory, generator: Element, normal_form: NormalForm) -> Verdict:
    """Decide invariance of the action under one group element."""
    image = transformed(theory.action, generator, theory.components)
    residual = normal_form(cast(sp.Expr, normal_form(image) - normal_form(theory.action)))
    if residual == 0:
        return Verdict(generator, "exact", residual, "proved: both actions have the same normal form")
    counterexample = find_counterexample(theory, generator)
    if counterexample is not None:
        return Verdict(
            generator,
            "broken",
            residual,
            f"refuted: the action changes by {counterexample.difference:.6g} at a configuration",
            counterexample,
        )
    exponent = _largest_relative_change(theory, residual)
    if exponent is None:
        return Verdict(
            generator,
            "undecided",
            residual,
            f"numerically exact to 1e-{_DIGITS - 5} on {_POINTS} points, not proved",
        )
    return Verdict(generator, "broken", residual, f"the action changes by 1e{exponent} of its size on random points")


def find_counterexample(theory: Theory, element: Element) -> Counterexample | None:
    """A configuration, as simple as possible, at which the action visibly changes under ``element``."""
    rng = np.random.default_rng(0)
    shape = theory.configuration_shape
    trials = [np.ones(shape)]
    for component in range(shape[0]):
        single = np.zeros(shape)
        single[(component, *(0,) * (len(shape) - 1))] = 1.0
        trials.append(single)
    trials += [rng.integers(-2, 3, size=shape).astype(float) for _ in range(4)]
    trials += [rng.normal(size=shape) for _ in range(4)]
    parameters = _generic_parameters(theory)
    for configuration in trials:
        image = act(element, configuration)
        before = evaluate(theory.action, configuration, theory.components, parameters)
        after = evaluate(theory.action, image, theory.components, parameters)
        if np.isfinite(before) and np.isfinite(after) and abs(after - before) > 1e-9 * (1 + abs(before)):
            return Counterexample(configuration, parameters, after - before)
    return None


def act(element: Element, configuration: np.ndarray) -> np.ndarray:
    """T_g x for configurations (…, components, *lattice), written out from the definition as a reference."""
    matrix = np.array(element.matrix.evalf(20).tolist(), dtype=float)
    d = element.sites.lattice.dimension
    fields = np.moveaxis(configuration, -d - 1, 0)
    rotated = np.moveaxis(np.tensordot(matrix, fields, axes=1), 0, -d - 1)
    if element.sites.is_identity:
        return rotated
    out = np.empty_like(rotated)
    for site in np.ndindex(*element.sites.lattice.shape):
        image = element.sites.linear_image(site)
        image = element.sites.lattice.wrap(a + t for a, t in zip(image, element.sites.translation, strict=True))
        out[(..., *image)] = rotated[(..., *site)]
    return out


def _generic_parameters(theory: Theory) -> dict[str, float]:
    # a coupling that is zero by default is switched on; the others stay where the author wants them
    generic = np.random.default_rng(1).uniform(0.25, 0.75, size=len(theory.parameters))
    return {
        p.name: theory.defaults.get(p.name) or round(float(value), 3)
        for p, value in zip(theory.parameters, generic, strict=True)
    }


def _largest_relative_change(theory: Theory, residual: sp.Expr) -> int | None:
    """Decimal exponent of |residual| relative to |S| on random points, None if below the working precision."""
    rng = np.random.default_rng(2)
    shape = (len(theory.components), *sufficient_shape(residual, theory.lattice.shape))
    parameters = _generic_parameters(theory)
    worst: int | None = None
    for _ in range(_POINTS):
        configuration = rng.normal(size=shape)
        change = evaluate(residual, configuration, theory.components, parameters, digits=_DIGITS)
        size = 1 + abs(evaluate(theory.action, configuration, theory.components, parameters, digits=_DIGITS))
        if abs(change) > size * mpmath.mpf(10) ** (5 - _DIGITS):
            exponent = int(mpmath.floor(mpmath.log10(abs(change) / size)))
            worst = exponent if worst is None else max(worst, exponent)
    return worst


def enforce_claim(theory: Theory, symmetry: Symmetry, verdicts: Sequence[Verdict]) -> None:
    """Raise NotInvariantError if a symmetry claimed to be exact is refuted."""
    for verdict in verdicts:
        if symmetry.exact and verdict.status == "broken":
            found = verdict.counterexample
            assert found is not None or verdict.residual != 0
            raise NotInvariantError(
                f"symmetry {symmetry.name} of theory {theory.name}",
                expected="an action that does not change, as claimed by exact=True",
                found=f"S∘T_g − S = {verdict.residual} for g = {verdict.generator}; {verdict.evidence}"
                + (f", with couplings {found.parameters}" if found else ""),
                remedy="correct the action or the generator, or drop exact=True and let the term count as breaking; "
                "the configuration is in the .counterexample of this error",
                counterexample=found.configuration if found else None,
                difference=found.difference if found else float("nan"),
                residual=verdict.residual,
            )


def split(theory: Theory, group: FiniteGroup[Element], normal_form: NormalForm, proved: bool) -> sp.Expr:
    """S₁ of S = S₀ + S₁, with S₀ invariant and S₁ as small as the group average makes it.

    Terms that every generator leaves alone are never touched. The others are projected on the invariant
    functions by averaging over the group; if some invariance could only be tested numerically (``proved``
    false) they all count as breaking, which is always correct and only costs evaluations.
    """
    terms = [cast(sp.Expr, t) for t in sp.Add.make_args(normal_form(theory.action))]
    moved = [
        term
        for term in terms
        if any(
            normal_form(cast(sp.Expr, normal_form(transformed(term, g, theory.components)) - term)) != 0
            for g in group.generators
        )
    ]
    block = cast(sp.Expr, sp.Add(*moved))
    if not moved or not proved:
        return block
    images = [normal_form(transformed(block, g, theory.components)) for g in group.elements]
    average = normal_form(cast(sp.Expr, sp.Add(*images) / group.order))
    breaking = normal_form(cast(sp.Expr, block - average))
    return breaking if len(sp.Add.make_args(breaking)) <= len(moved) else block


