"""Running the laws: as a list of results, or as one pytest test per law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
from hypothesis import HealthCheck, given, settings

from ..errors import SesamoError
from ..theory import Theory
from .laws import LAWS, Law, Measurement
from .subject import Subject


class LawViolation(SesamoError, AssertionError):
    """A law failed; the message shows the smallest counterexample that was found."""


@dataclass(frozen=True, eq=False)
class LawResult:
    """Outcome of one law.

    Attributes
    ----------
    examples
        How many were tried.
    worst
        The measurement closest to, or furthest beyond, its tolerance.
    counterexample
        The smallest failing example, None if the law holds.
    """

    law: Law
    examples: int
    worst: Measurement
    counterexample: Any = None

    @property
    def holds(self) -> bool:
        """Whether no example violated the law."""
        return self.counterexample is None


class _Failed(AssertionError):
    pass


def run_law(law: Law, subject: Subject, *, examples: int | None = None) -> LawResult:
    """Try a law on examples drawn by Hypothesis; a failing example is shrunk to a small one."""
    worst = Measurement(0.0, 1.0)
    tried = 0
    failing: list[tuple[Any, Measurement]] = []

    @settings(
        max_examples=examples or law.count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=cast(list[HealthCheck], list(HealthCheck)),
    )
    @given(law.examples(subject))
    def check(example: Any) -> None:
        nonlocal worst, tried
        tried += 1
        for measurement in law.measure(subject, example):
            if measurement.ratio > worst.ratio:
                worst = measurement
            if not measurement.ratio <= 1.0:
                failing.append((example, measurement))
                raise _Failed

    try:
        check()
    except _Failed:
        example, measurement = failing[-1]  # Hypothesis replays the smallest one last
        return LawResult(law, tried, measurement, ("example", example))
    return LawResult(law, tried, worst)


def run_laws(
    theory: Theory, backends: Sequence[str] | None = None, *, examples: int | None = None
) -> list[LawResult]:
    """All laws that apply to a theory."""
    subject = Subject.of(theory, backends)
    return [run_law(law, subject, examples=examples) for law in LAWS if law.applies(subject)]


def require(result: LawResult, theory: Theory) -> None:
    """Raise LawViolation if a law does not hold."""
    if not result.holds:
        residual = np.max(np.abs(result.worst.residual))
        tolerance = np.max(result.worst.tolerance)
        raise LawViolation(
            f"law {result.law.name} of theory {theory.name}: {result.law.statement}",
            expected=f"{result.worst.what or result.law.statement} within {tolerance:.3g}",
            found=f"a residual of {residual:.6g} at\n{show(result.counterexample[1])}",
            remedy="check the declaration; if it is right, this is a bug of the compiler",
        )


def show(example: Any) -> str:
    """An example as Python that can be pasted: arrays become ``np.array(…)``."""
    if isinstance(example, np.ndarray):
        return f"np.array({np.array2string(example, separator=', ', threshold=100_000)})"
    if isinstance(example, tuple | list):
        return "(" + ", ".join(show(part) for part in example) + ")"
    return repr(example)


def theory_suite(
    theory: Theory | Callable[[], Theory], backends: Sequence[str] | None = None
) -> Callable[..., None]:
    """A pytest test that runs every law; one line in a test file: ``test_laws = theory_suite(theory)``.

    Parameters
    ----------
    theory
        The declaration, or a function that returns it (called when the first test runs).
    backends
        Backends to compare; default all that are registered.
    """
    import pytest

    @cache
    def subject() -> Subject:
        return Subject.of(theory if isinstance(theory, Theory) else theory(), backends)

    @pytest.mark.parametrize("law", LAWS, ids=[law.name for law in LAWS])
    def test_laws(law: Law) -> None:
        if not law.applies(subject()):
            pytest.skip(f"{law.name} says nothing about this theory")
        require(run_law(law, subject()), subject().theory)

    return test_laws
