"""Independence Metropolis: a Markov chain whose proposals are the samples of a model."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..errors import OptionError
from .chains import Chain
from .gamma_method import SHORTEST
from .samples import Samples, check_samples


def _starting_points(count: int) -> int:
    """The number of samples from which the first configuration is drawn; the others are proposals."""
    return -(-count // 10)


def enough_proposals(count: int) -> bool:
    """True if a chain from ``count`` samples is long enough for the Γ-method."""
    return count - _starting_points(count) >= SHORTEST


def check_proposals(count: int, option: str) -> None:
    """OptionError if ``count`` samples are too few for independence Metropolis with the Γ-method."""
    if not enough_proposals(count):
        least = next(n for n in range(SHORTEST, 2 * SHORTEST) if enough_proposals(n))
        raise OptionError(
            option,
            expected=f"at least {least} samples, for a chain of {SHORTEST} configurations; far more for "
            "errors to believe",
            found=str(count),
            remedy=f"give a larger {option}, 10000 for instance",
        )


def independence_metropolis(samples: Samples, seed: int = 0) -> Chain:
    """Asymptotically exact samples of p by Metropolis and Hastings, with the model's samples as proposals.

    A proposal x' replaces x with probability min(1, w(x')/w(x)); a leaked sample has weight zero and is
    always rejected. With auxiliary coordinates the chain lives on the extended space (x, a), and x is its
    marginal; for annealed samples it lives on their paths. The chain starts at one of the first tenth of the
    samples, drawn with its weight (sampling importance resampling), so that it needs no thermalisation, and
    proposes the other samples in turn.

    Sources: L. Tierney, Ann. Statist. 22 (1994) 1701; for flows M. S. Albergo, G. Kanwar, P. E. Shanahan,
    Phys. Rev. D 100 (2019) 034515 (arXiv 1904.12072).

    Raises
    ------
    OptionError
        If ``samples`` is of another type, or all weights of its first tenth are zero.
    """
    check_samples(samples, "independence Metropolis")
    seed = checks.seed(seed, "seed of independence Metropolis")
    first = _starting_points(len(samples))
    log_w = samples.log_weights
    usable = np.isfinite(log_w[:first])
    if not usable.any() or len(samples) < 2:
        raise OptionError(
            f"independence Metropolis for {samples.program.theory}",
            expected="samples inside the fundamental domain, with finite weights, to start from",
            found=f"none among the first {first} of {len(samples)}",
            remedy="draw more samples, or use a model that was trained (strategy='fold' never leaks)",
        )
    rng = np.random.default_rng(seed)
    weights = np.where(usable, np.exp(log_w[:first] - log_w[:first][usable].max()), 0.0)
    current = int(rng.choice(first, p=weights / weights.sum()))
    thresholds = np.log(rng.uniform(size=len(samples)))
    visited = np.empty(len(samples) - first, dtype=np.int64)
    accepted = 0
    log_w = log_w.tolist()  # list items are much faster to read one by one than array items
    for step, proposal in enumerate(range(first, len(samples))):
        if thresholds[proposal] < log_w[proposal] - log_w[current]:
            current, accepted = proposal, accepted + 1
        visited[step] = current
    return Chain(
        samples.program,
        samples.parameters,
        samples.x[visited][None],
        samples.action[visited].astype(np.float64)[None],
        accepted / len(visited),
        samples.notes,
        samples.declared,
    )
