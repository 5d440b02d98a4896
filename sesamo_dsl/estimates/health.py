"""Checks of the reliability of a sample set: one function for each known way in which figures can be wrong.

ESS, reverse KL and error bars are averages over a model's own samples, and each can be wrong in several ways.
Every check tests for one of these and returns a :class:`Finding` with the problem and its remedy, or None. A
sound model has no findings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import shown
from .coverage import thin_threshold
from .estimate import SIGMAS
from .finding import Finding
from .pareto import HEAVY_TAIL, harmful_tail_index
from .weighted import WeightedSamples, virial_figure

LEAST_ESS = 0.1
LARGEST_SHARE = 0.05
"""Largest part of the total weight that one of N samples may have; 5/N below N = 100."""
FEWEST = 10
"""Number of effective samples below which no error bar is reliable."""
_MISMATCH = 0.01  # largest mean mismatch of log q; harmless rounding gives at most 1e-3
FINAL_BATCHES = 50
"""Number of batches at the end of a training whose ESS is compared with that of the samples."""
_LEAST_MASS = 1e-4  # least missed probability that is reported


def rounding(samples: WeightedSamples) -> Finding | None:
    """log q as accumulated while drawing a sample exceeds log q evaluated at the sample."""
    if samples.log_prob_mismatch is None or not float(samples.log_prob_mismatch.mean()) > _MISMATCH:
        return None
    return Finding(
        "rounding",
        "the density that is computed at the samples is too low by a factor "
        f"e^{samples.log_prob_mismatch.mean():.2g} on "
        "average, because the flow contracts more than the precision can follow; weights and all figures are "
        "wrong",
        "train with precision='float64'",
    )


def not_finite(samples: WeightedSamples) -> Finding | None:
    """NaN or infinity, except for S = +∞ in a hard wall; or no sample has a weight."""
    broken = {
        "configurations": ~samples.finite_configurations,
        "log q": ~np.isfinite(samples.log_q),
        "S": np.isnan(samples.action) | np.isneginf(samples.action),
    }
    if samples.work is not None:
        broken["work"] = ~np.isfinite(samples.work)
    if not samples.program.has_walls:
        broken["S"] |= np.isposinf(samples.action)
    counts = {name: int((rows & ~samples.leaked).sum()) for name, rows in broken.items()}
    if not any(counts.values()):
        if np.isfinite(samples.log_weights).any():
            return None
        return Finding(
            "not finite",
            f"none of the {len(samples)} samples has a weight above zero, so that no mean exists",
            "train for longer, or use strategy='fold', which never leaks",
        )
    return Finding(
        "not finite",
        ", ".join(f"{name} of {n} samples" for name, n in counts.items() if n)
        + " is NaN or infinite, and so is every figure that contains them",
        "check the action at these configurations (samples.x) for divisions by zero, overflow and "
        "logarithms of "
        "negative numbers, or use precision='float64'",
    )


def few_samples(samples: WeightedSamples) -> Finding | None:
    """Too few effective samples for an error bar."""
    effective = samples.ess * len(samples)
    if not effective < FEWEST:
        return None
    if len(samples) == 1:
        return Finding("few samples", "a single sample has no error bar", "draw more samples")
    return Finding(
        "few samples",
        f"{effective:.1f} effective samples of {len(samples)}: errors cannot be told from fewer than "
        f"{FEWEST}",
        "draw more samples, and train for longer if the ESS stays near 1/N",
    )


def low_ess(samples: WeightedSamples) -> Finding | None:
    """The ESS is low."""
    if not samples.ess < LEAST_ESS:
        return None
    return Finding(
        "low ESS",
        f"ESS {samples.ess:.2g} < {LEAST_ESS}: a few samples decide all means",
        "train for longer or with a larger flow (layers, hidden, flows), or start from a run at other "
        "couplings",
    )


def dominant_weight(samples: WeightedSamples) -> Finding | None:
    """One sample carries a large part of every mean."""
    largest = float(samples.weights.max())
    if not largest > max(LARGEST_SHARE, 5 / len(samples)):
        return None
    return Finding(
        "dominant weight",
        f"one of {len(samples)} samples carries {100 * largest:.1f} % of the weight, so the model is far "
        "too thin "
        "where that sample lies",
        "draw more samples; if one still dominates, train for longer",
    )


def heavy_tail(samples: WeightedSamples) -> Finding | None:
    """The weights have an infinite variance, or one that N samples cannot estimate (Pareto k̂ > 0.7)."""
    index = harmful_tail_index(samples.log_weights)
    if index is None:
        return None
    return Finding(
        "heavy tail",
        f"Pareto k̂ = {index:.2f} > {HEAVY_TAIL}: the largest weights grow so fast that error bars are not "
        "to be "
        "believed",
        "the model's tails are lighter than those of exp(−S) or it misses a region: train for longer, or "
        "with a "
        "base of heavier tails",
    )


def virial_identity(samples: WeightedSamples) -> Finding | None:
    """⟨x·∇S⟩ = n is violated; with hard walls the identity need not hold and is not tested."""
    if samples.program.has_walls:
        return None
    z = samples.virial_z_score
    if few_samples(samples) is not None or not abs(z) > SIGMAS:
        return None
    remedy = "train for longer, or with a wider base"
    if samples.program.functions["action"].may_jump:
        remedy += "; if S jumps somewhere, the identity does not hold and can be left aside"
    return Finding(
        "virial",
        f"{virial_figure(samples.program)} = {samples.virial} is {z:+.1f}σ from 1, so the samples do not "
        "span exp(−S)",
        remedy,
    )


def negative_kl(samples: WeightedSamples) -> Finding | None:
    """KL(q‖p) < 0 with the exact log Z."""
    if samples.exact is None or not samples.kl.value < -SIGMAS * samples.kl.error - 1e-6:
        return None
    return Finding(
        "impossible",
        f"KL(q‖p) = {samples.kl} is negative, so log q is not the density of the samples",
        "report it as an error of this package, with the theory and the seed",
    )


def exact_log_z(samples: WeightedSamples) -> Finding | None:
    """log Z contradicts the exact value by quadrature."""
    if samples.exact is None or negative_kl(samples) is not None:
        return None
    log_z, exact = samples.log_z, samples.exact
    # log q is rounded in the precision of the flow, by a similar amount for all samples: the error lacks this
    of_log_q = float(np.finfo(samples.log_q.dtype).eps) * max(1.0, float(np.abs(samples.log_q).mean()))
    resolution = 4 * (float(np.finfo(samples.action.dtype).eps) * abs(exact.log_z) + of_log_q)
    error = float(np.hypot(log_z.error, exact.log_z_error))
    if not abs(log_z.value - exact.log_z) > SIGMAS * error + resolution:
        return None
    return Finding(
        "log Z",
        f"log Z = {log_z} contradicts the exact {exact.log_z:.6f} by {abs(log_z.value - exact.log_z):.2g}: "
        "the "
        f"model covers {100 * np.exp(min(log_z.value - exact.log_z, 0.0)):.3g} % of exp(−S)",
        "train for longer, with several flows (flows=4) or a wider base, so that every mode is covered",
    )


def batches_disagree(samples: WeightedSamples) -> Finding | None:
    """The ESS of the last batches of the training differs from the ESS of the samples."""
    record = samples.training
    if record is None or len(record.batch_ess) < FINAL_BATCHES:
        return None
    last = record.batch_ess[-FINAL_BATCHES:]
    seen = samples.model_ess / max(1 - samples.leaked_fraction, 1e-300)  # batches keep leaked samples
    if 0.6 * np.median(last) - 0.05 <= seen <= 1.25 * last.max() + 0.05:
        return None
    return Finding(
        "batch ESS",
        f"the last batches of the training had an ESS of {np.median(last):.2g}, the samples have "
        f"{samples.model_ess:.2g}: "
        "training does not see what sampling does, such as rare large weights or a law p(u|y) that is not "
        "exact",
        "train with a larger batch, with law='heat_bath' where it exists, or with precision='float64'",
    )


def unfinished(samples: WeightedSamples) -> Finding | None:
    """The model is untrained, or its training was not finished."""
    record = samples.training
    if record is None or (record.done > 0 and record.share >= 1):
        return None
    if record.done == 0:
        return Finding("untrained", "the model has not been trained at all", "train it")
    return Finding(
        "unfinished",
        f"the training was broken off after {record.done} steps, {100 * record.share:.0f} % of what was "
        "asked for",
        "finish it with run.resume(…), or train anew",
    )


def extrapolated(samples: WeightedSamples) -> Finding | None:
    """The couplings are outside of the range that the weights were trained over."""
    if samples.training is None or not samples.training.beyond:
        return None
    return Finding(
        "extrapolation",
        f"{samples.training.beyond}, over which the weights were trained",
        "train over a larger range, or train on at these couplings: run.at(…, extrapolate=True).resume(500)",
    )


def missed_mode(samples: WeightedSamples) -> Finding | None:
    """A search finds a minimum of S with relevant weight, where the model's density is much too small."""
    log_z = samples.log_z
    if samples.search is None or not np.isfinite(log_z.value):
        return None
    missed = samples.search.missed(log_z.value, thin_threshold(samples))
    missed = [m for m in missed if m.mass > max(2 * np.nan_to_num(log_z.error), _LEAST_MASS)]
    if not missed:
        return None
    first = missed[0]
    more = f", and {len(missed) - 1} more like it" if len(missed) > 1 else ""
    return Finding(
        "missed mode",
        f"S has a minimum at {shown(first.configuration)} with {100 * first.mass:.2g} % of the mass by "
        f"Laplace's estimate, where the model's density is e^{first.log_ratio:.3g} times too small{more}; "
        "neither ESS nor any other figure of the samples contains it",
        "train for longer, with several flows (flows=4), or with configurations of the target from sd.hmc "
        "started there (reference=…); declare the symmetry if one relates it with the others",
    )


def thin_region(samples: WeightedSamples) -> Finding | None:
    """Walkers under exp(−S) reach a region, such as a kink between wells, with much too small a density."""
    log_z = samples.log_z
    if samples.search is None or not np.isfinite(log_z.value) or missed_mode(samples) is not None:
        return None
    region = samples.search.thin(log_z.value, thin_threshold(samples))
    if region is None or not region.mass > max(2 * np.nan_to_num(log_z.error), _LEAST_MASS):
        return None
    return Finding(
        "thin region",
        f"walkers under exp(−S) from its minima spend {100 * region.mass:.2g} % of their time where the "
        f"model's density is e^{region.log_ratio:.3g} times too small, such as at "
        f"{shown(region.configuration)}; no figure of the samples contains it",
        "train for longer or with a larger flow (layers, flows), or with configurations of the target from "
        "sd.hmc (reference=…)",
    )


CHECKS: tuple[Callable[[WeightedSamples], Finding | None], ...] = (
    rounding,
    unfinished,
    extrapolated,
    few_samples,
    low_ess,
    dominant_weight,
    heavy_tail,
    virial_identity,
    negative_kl,
    exact_log_z,
    batches_disagree,
    missed_mode,
    thin_region,
)
"""All checks but :func:`not_finite`, which comes first: the others need finite figures."""


def examine(samples: WeightedSamples) -> tuple[Finding, ...]:
    """All findings about a sample set; if figures are NaN or infinite, no other check is made."""
    broken = not_finite(samples)
    if broken is not None:
        return tuple(f for f in (unfinished(samples), extrapolated(samples), broken) if f is not None)
    with np.errstate(all="ignore"):
        found = [check(samples) for check in CHECKS]
    return tuple(finding for finding in found if finding is not None)
