"""The list of checks: what was looked for, whether it was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...estimates.coverage import REMEDY, UNKNOWN_REMEDY
from ...estimates.examined import outcomes
from ...estimates.finding import Finding
from ...estimates.samples import Samples
from .blocks import Block, Card, Check, Checks, Items, State, Text
from .wording import typeset

_OF_COVERAGE: Mapping[str, tuple[State, str]] = {
    "covered": ("good", ""),
    "missed": ("bad", REMEDY),
    "unknown": ("unknown", UNKNOWN_REMEDY),
}
_ORDER: Mapping[State, int] = {"bad": 0, "unknown": 1, "good": 2}


def of_samples(samples: Samples) -> list[Check]:
    """Every check of samples, coverage included."""
    found = []
    for outcome in outcomes(samples):
        if outcome.finding is not None:
            found.append(_bad(outcome.title, outcome.finding))
        elif outcome.not_made:
            found.append(Check("unknown", outcome.title, f"Not made: {outcome.not_made}."))
        else:
            found.append(Check("good", outcome.title, _sentence(outcome.passed)))
    return [*found, _coverage(samples)]


def _coverage(samples: Samples) -> Check:
    title = "coverage, by configurations from outside"
    coverage = samples.coverage
    if coverage is None:
        reason = samples.unchecked or "there are no configurations from outside"
        return Check(
            "unknown", title, f"Whether the model misses a part of exp(−S): {reason}.", UNKNOWN_REMEDY
        )
    state, remedy = _OF_COVERAGE[coverage.status]
    return Check(state, title, _sentence(coverage.verdict), remedy)


def of_findings(findings: Mapping[str, Finding | None], unknown: Mapping[str, str]) -> list[Check]:
    """Checks of chains and annealings by what they are about; ``unknown`` says of which nothing is known."""
    found = []
    for title, finding in findings.items():
        if finding is not None:
            found.append(_bad(title, finding))
        elif title in unknown:
            found.append(Check("unknown", title, _sentence(unknown[title])))
        else:
            found.append(Check("good", title, "Nothing was found."))
    return found


def blocks(checks: Iterable[Check], notes: Iterable[str]) -> list[Block]:
    """The checks, those that found something first, and the notes of the result."""
    listed = sorted(checks, key=lambda check: _ORDER[check.state])
    shown: list[Block] = [Checks(listed)]
    if kept := list(dict.fromkeys(notes)):
        shown += [Text("Notes on what cannot be exact, or may surprise:"), Items(kept)]
    return shown


def card(checks: Iterable[Check]) -> Card:
    """How many checks found something."""
    listed = list(checks)
    bad, unknown = (sum(check.state == state for check in listed) for state in ("bad", "unknown"))
    if bad:
        return Card("checks", f"{bad} of {len(listed)} found something", "bad")
    made = len(listed) - unknown
    open_ones = any(check.state == "unknown" and check.remedy for check in listed)
    shown = f"{made} passed" + (f", {unknown} not made" if unknown else "")
    return Card("checks", shown, "unknown" if open_ones else "good")


def _bad(title: str, finding: Finding) -> Check:
    return Check("bad", title, _sentence(finding.found), finding.remedy)


def _sentence(text: str) -> str:
    """A text with a capital where it begins with a word, and a full stop."""
    first = text.split(" ")[0]
    text = typeset(text)
    begun = (
        text[0].upper() + text[1:]
        if first.isalpha() and len(first) > 1 and first.islower() and first != "log"
        else text
    )
    return begun if begun.endswith(".") else f"{begun}."
