"""The outcome of every check of a sample set: passed, found, or not made, and why.

:mod:`sesamo_dsl.estimates.health` has the checks and says what they find. A check that finds nothing has only
passed if it could have found something: here is said what each needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from . import health
from .finding import Finding
from .pareto import HEAVY_TAIL, pareto_tail_index
from .samples import Samples
from .weighted import virial_figure


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    Attributes
    ----------
    title
        What is checked.
    finding
        What was found; None if nothing was, or the check was not made.
    passed
        A sentence on what was seen, if nothing was found.
    not_made
        The reason why the check was not made; empty if it was.
    """

    title: str
    finding: Finding | None = None
    passed: str = ""
    not_made: str = ""


@dataclass(frozen=True)
class _Entry:
    """What a check is called, what it needs, and what it means that it finds nothing."""

    title: str
    passed: Callable[[Samples], str]
    lacks: Callable[[Samples], str] = lambda samples: ""


def outcomes(samples: Samples) -> tuple[Outcome, ...]:
    """The outcome of every check, in the order of :data:`sesamo_dsl.estimates.health.CHECKS`."""
    return tuple(_outcomes(samples))


def _outcomes(samples: Samples) -> Iterator[Outcome]:
    broken = health.not_finite(samples)
    yield Outcome(
        "finite values",
        broken,
        f"Configurations, log q and S are finite at all {len(samples)} samples, leaked ones aside.",
    )
    with np.errstate(all="ignore"):
        for check in health.CHECKS:
            entry = TABLE[check]
            if broken is not None and check not in (health.unfinished, health.extrapolated):
                yield Outcome(entry.title, not_made="figures are NaN or infinite")
                continue
            finding, lacks = check(samples), entry.lacks(samples)
            if finding is None and lacks:
                yield Outcome(entry.title, not_made=lacks)
            else:
                yield Outcome(entry.title, finding, "" if finding else entry.passed(samples))


def _no_exact(samples: Samples) -> str:
    if samples.exact is None:
        return "no exact log Z is known: quadrature gives it up to two real variables"
    return "" if np.isfinite(samples.log_z.error) else "log Z has no error bar"


def _no_virial(samples: Samples) -> str:
    if samples.program.has_walls:
        return "with hard walls the identity need not hold"
    if health.few_samples(samples) is not None or np.isnan(samples.virial_z_score):
        return "there are too few effective samples"
    return ""


def _no_batches(samples: Samples) -> str:
    record = samples.training
    if record is None or len(record.batch_ess) < health.FINAL_BATCHES:
        return f"the training has fewer than {health.FINAL_BATCHES} steps to compare with"
    return ""


def _no_search(samples: Samples) -> str:
    if samples.search is None:
        return "there is no model at hand to search with"
    if not np.isfinite(samples.log_z.value):
        return "log Z is not known"
    return "no minima of S are known" if samples.search.basins is None else ""


def _no_journey(samples: Samples) -> str:
    if health.missed_mode(samples) is not None:
        return "a mode is missed, which comes first"
    return _no_search(samples)


def _tail(samples: Samples) -> str:
    index = pareto_tail_index(samples.log_weights)
    if np.isneginf(index):
        return "The weights are too few or too even to have a tail."
    if index > HEAVY_TAIL:
        return f"Pareto k̂ = {index:.2f}, yet no weight is much larger than the mean."
    return f"Pareto k̂ = {index:.2f} of the largest weights, below {HEAVY_TAIL}: error bars can be believed."


def _trained(samples: Samples) -> str:
    assert samples.training is not None
    return f"The training was finished, after {samples.training.done} steps."


def _no_training(samples: Samples) -> str:
    return "" if samples.training is not None else "nothing is known of a training"


TABLE: Mapping[Callable[[Samples], Finding | None], _Entry] = {
    health.rounding: _Entry(
        "rounding of log q",
        lambda s: "log q along the draw agrees with log q at the sample.",
        lambda s: "" if s.log_prob_mismatch is not None else "the model does not tell log q along the draw",
    ),
    health.unfinished: _Entry("training", _trained, _no_training),
    health.extrapolated: _Entry(
        "range of the training",
        lambda s: "The couplings are those of the training, or in its range.",
        lambda s: "" if s.training is not None else "there is no record of a training",
    ),
    health.few_samples: _Entry(
        "number of samples",
        lambda s: f"{len(s)} samples are worth {s.ess * len(s):.0f} independent ones, enough for error bars.",
    ),
    health.low_ess: _Entry(
        "effective sample size", lambda s: f"The ESS is {100 * s.ess:.3g} % of the samples."
    ),
    health.dominant_weight: _Entry(
        "largest weight",
        lambda s: f"The largest weight is {100 * float(s.weights.max()):.2g} % of all.",
    ),
    health.heavy_tail: _Entry("tail of the weights", _tail),
    health.virial_identity: _Entry(
        "virial identity ⟨x·∇S⟩ = n",
        lambda s: f"{virial_figure(s.program)} = {s.virial}, {s.virial_z_score:+.1f} σ from 1.",
        _no_virial,
    ),
    health.negative_kl: _Entry(
        "sign of KL(q‖p)", lambda s: f"KL(q‖p) = {s.kl} with the exact log Z is not negative.", _no_exact
    ),
    health.exact_log_z: _Entry(
        "exact log Z", lambda s: f"log Z = {s.log_z} agrees with quadrature.", _no_exact
    ),
    health.batches_disagree: _Entry(
        "batches of the training", lambda s: "Their ESS is that of the samples.", _no_batches
    ),
    health.missed_mode: _Entry(
        "modes that are missed",
        lambda s: "At every minimum of S that was found the model has density.",
        _no_search,
    ),
    health.thin_region: _Entry(
        "thin regions",
        lambda s: "Walkers under exp(−S) from its minima stay where the model has density.",
        _no_journey,
    ),
}
"""What every check of :data:`sesamo_dsl.estimates.health.CHECKS` is called, and needs."""
