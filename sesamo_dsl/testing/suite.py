"""Running the properties: as a list of results, as one pytest test each, or as a ``unittest.TestCase``."""

from __future__ import annotations

import time
import unittest
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from threading import Event
from typing import Any, cast

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

from ..backend import Backend
from ..checks import listed, shown
from ..errors import BackendError, SesamoError
from ..language.theory import Theory, check_theory
from .properties import PARALLEL_GROUPS, PROPERTIES
from .property import Measurement, Property
from .subject import Subject


class PropertyViolation(SesamoError, AssertionError):
    """A property failed; the message shows the smallest counterexample that was found."""


@dataclass(frozen=True, eq=False)
class PropertyResult:
    """Outcome of the test of one property.

    Attributes
    ----------
    examples
        Number of examples tried.
    worst
        The measurement with the largest residual in units of its tolerance.
    seconds
        Duration of the test.
    false_alarm
        Bound on the probability that the property fails although it holds: 0 unless it is statistical.
    counterexample
        The smallest failing example, None if the property holds.
    """

    prop: Property
    examples: int
    worst: Measurement
    seconds: float
    false_alarm: float = 0.0
    counterexample: Any = None

    @property
    def holds(self) -> bool:
        """Whether no example violated the property."""
        return self.counterexample is None


class _Failed(AssertionError):
    pass


def check_property(
    prop: Property, subject: Subject, *, examples: int | None = None, shrink: bool = True
) -> PropertyResult:
    """Test a property on examples drawn by Hypothesis; a failing example is shrunk if ``shrink``."""
    worst = Measurement(0.0, 1.0)
    tried, false_alarm, start = 0, 0.0, time.perf_counter()
    failing: list[tuple[Any, Measurement]] = []

    @settings(
        max_examples=examples or prop.count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate, *((Phase.shrink,) if shrink else ())),
        report_multiple_bugs=False,
        suppress_health_check=cast(list[HealthCheck], list(HealthCheck)),
    )
    @given(prop.examples(subject))
    def check(example: Any) -> None:
        nonlocal worst, tried, false_alarm
        tried += 1
        for measurement in prop.measure(subject, example):
            false_alarm += measurement.level
            if measurement.ratio > worst.ratio or not worst.what:
                worst = measurement
            if not measurement.ratio <= 1.0:
                failing.append((example, measurement))
                raise _Failed

    try:
        check()
    except _Failed:
        example, measurement = failing[-1]  # Hypothesis replays the smallest one last
        seconds = time.perf_counter() - start
        return PropertyResult(prop, tried, measurement, seconds, false_alarm, ("example", example))
    return PropertyResult(prop, tried, worst, time.perf_counter() - start, false_alarm)


def check_properties(
    theory: Theory,
    backends: Sequence[str | Backend] | None = None,
    *,
    examples: int | None = None,
    properties: Sequence[Property] = PROPERTIES,
    report: Callable[[PropertyResult], None] = lambda result: None,
) -> list[PropertyResult]:
    """Test all properties that apply to a theory, in two threads; each result is passed to ``report``.

    The results do not depend on the threads. Most of the time is spent outside the interpreter's lock.
    """
    subject = Subject.of(theory, backends)
    chosen = [prop for prop in properties if prop.applies(subject)]
    of_densities = deque(prop for prop in chosen if prop in PARALLEL_GROUPS[1])
    others = deque(prop for prop in chosen if prop not in PARALLEL_GROUPS[1])
    stopped = Event()

    def go_through(own: deque[Property], spare: deque[Property]) -> list[PropertyResult]:
        results = []
        while not stopped.is_set() and (prop := _next(own, spare)) is not None:
            results.append(check_property(prop, subject, examples=examples))
            report(results[-1])
        return results

    with ThreadPoolExecutor(2) as pool:
        # only properties of densities may change threads: mpmath's precision is global to all threads
        futures = [
            pool.submit(go_through, others, of_densities),
            pool.submit(go_through, of_densities, deque()),
        ]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()  # also when the user interrupts; threads stop before their next property
    found = {result.prop: result for future in futures for result in future.result()}
    return [found[prop] for prop in chosen]


def _next(own: deque[Property], spare: deque[Property]) -> Property | None:
    """The thread's next property, or else the last one of the other thread; None if there is none left."""
    try:
        return own.popleft() if own else spare.pop()
    except IndexError:
        return None


def require(result: PropertyResult, theory: Theory) -> None:
    """Raise PropertyViolation if a property does not hold."""
    if not result.holds:
        residual, tolerance = result.worst.worst
        raise PropertyViolation(
            f"property {result.prop.name} of theory {theory.name}: {result.prop.statement}",
            expected=f"{result.worst.what or result.prop.statement} within {tolerance:.3g}",
            found=f"a residual of {residual:.6g} at\n{show(result.counterexample[1])}",
            remedy="check the declaration; if it is right, this is a bug of the compiler or a backend",
        )


def show(example: Any) -> str:
    """An example as Python text that can be pasted: arrays become ``np.array(…)``."""
    if isinstance(example, np.ndarray):
        return f"np.array({np.array2string(example, separator=', ', threshold=100_000)})"
    if isinstance(example, tuple):
        return "(" + "".join(show(part) + ", " for part in example).rstrip() + ")"
    if isinstance(example, list):
        return "[" + ", ".join(show(part) for part in example) + "]"
    return repr(example)


@cache
def _subject(theory: Theory | Callable[[], Theory], backends: tuple[str | Backend, ...] | None) -> Subject:
    return Subject.of(theory if isinstance(theory, Theory) else theory(), backends)


def theory_suite(
    theory: Theory | Callable[[], Theory],
    backends: Sequence[str | Backend] | None = None,
    *,
    examples: int | None = None,
    properties: Sequence[Property] = PROPERTIES,
) -> type[unittest.TestCase]:
    """A test case with one test per property; one line in a test file: ``TestLaws = theory_suite(theory)``.

    Both pytest and unittest collect it under any name.

    Parameters
    ----------
    theory
        The declaration, or a function that returns it (called when the first test runs).
    backends
        Backends to compare, by name or as objects; default all that are registered.
    examples
        Number of examples of each property, instead of the property's own number.
    properties
        The properties to test; default all.
    """
    if not isinstance(theory, Theory) and not callable(theory):
        check_theory(theory)
    chosen = None
    if backends is not None:
        given = listed(backends)
        if given is None or not all(isinstance(b, str) or hasattr(b, "emit") for b in given):
            raise BackendError(
                "backends of a suite",
                expected="a list of names or backend objects",
                found=shown(backends),
                remedy='write backends=["torch"], or leave it out for all that are registered',
            )
        chosen = tuple(given)

    def method(prop: Property) -> Callable[[unittest.TestCase], None]:
        def test(self: unittest.TestCase) -> None:
            subject = _subject(theory, chosen)
            if not prop.applies(subject):
                self.skipTest(f"{prop.name} says nothing about this theory")
            require(check_property(prop, subject, examples=examples), subject.theory)

        test.__doc__ = prop.statement
        return test

    methods = {f"test_{prop.name}": method(prop) for prop in properties}
    return type("TheoryLaws", (unittest.TestCase,), methods)
